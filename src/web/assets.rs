//! The browser assets: where they are, and how long they may be kept.

use std::path::PathBuf;

/// Names of files below `/pkg/` carry a hash of their content.
pub const CACHE: &str = "public, max-age=31536000, immutable";

/// Whether a path is one of the hashed files.
pub fn is_asset(path: &str) -> bool {
    path.starts_with("/pkg/")
}

/// `site` beside the program, as a release is deployed; else `target/site`, as it is built.
pub fn default_root() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("site")));
    beside.filter(|folder| folder.is_dir()).unwrap_or_else(|| PathBuf::from("target/site"))
}

/// Whether the assets and the list of their hashes are there. leptos serves names without hashes,
/// which nothing answers to, when the list is missing: better not to start.
///
/// # Errors
/// A line that says what is missing.
pub fn check(options: &leptos::config::LeptosOptions) -> Result<(), String> {
    let package = PathBuf::from(options.site_root.as_ref()).join(options.site_pkg_dir.as_ref());
    if !package.is_dir() {
        return Err(format!(
            "no assets at {}: build them with scripts/build, or set LEPTOS_SITE_ROOT",
            package.display()
        ));
    }
    let list = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(options.hash_file.as_ref())));
    match list {
        Some(list) if options.hash_files && !list.is_file() => {
            Err(format!("{} is missing: it belongs beside the program", list.display()))
        }
        _ => Ok(()),
    }
}
