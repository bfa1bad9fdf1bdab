# Sourced by every script: where tools and caches live, and which toolchain builds.
# Nothing here installs anything; scripts/setup does.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${EHR_BUILD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ehr-integrations}
export ROOT CACHE

# Versions of the tools, in one place. wasm-bindgen must equal the crate's version to the patch.
WASM_BINDGEN_VERSION=0.2.130
CARGO_LEPTOS_VERSION=0.3.10
CARGO_DENY_VERSION=0.20.2
SMART_FETCH_VERSION=1.0.3
HELIOS_VERSION=0.2.7

tool_dir() { echo "$CACHE/tools/$1-$2"; }

PATH="$ROOT/node_modules/.bin:$(tool_dir wasm-bindgen-cli $WASM_BINDGEN_VERSION)/bin:$(tool_dir cargo-leptos $CARGO_LEPTOS_VERSION)/bin:$(tool_dir cargo-deny $CARGO_DENY_VERSION)/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
export PATH

# scripts/setup records the toolchain that can build for wasm32 (see there).
if [ -f "$CACHE/toolchain" ]; then
  RUSTUP_TOOLCHAIN=$(cat "$CACHE/toolchain")
  export RUSTUP_TOOLCHAIN
fi
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

step() { printf '\n\033[1m==> %s\033[0m (%s)\n' "$*" "$(date +%H:%M:%S)"; }
note() { printf '    %s\n' "$*"; }
die() { printf '\033[31merror:\033[0m %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
