//! The FHIR bases: where the same records are mounted, once for each vendor's URL shape.
//!
//! Imports nothing of ours outside the sandbox. Invariant: an `aud`, a token and a request path
//! name exactly one base, so that a token for one base is worth nothing at another.

use super::SandboxError;

/// One mount point of the FHIR server, as an absolute path without a trailing slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base(&'static str);

/// Every base: plain, eClinicalWorks-shaped, PointClickCare-shaped and Epic-shaped.
pub(super) const BASES: [Base; 4] =
    [Base("/fhir"), Base("/fhir/r4/DEMO"), Base("/fhir/R4/demo-tenant"), Base("/interconnect-fhir-oauth/api/FHIR/R4")];

impl Base {
    /// The base that a request path belongs to, and the rest of the path without slashes around.
    pub(super) fn locate(path: &str) -> Option<(Self, &str)> {
        BASES
            .into_iter()
            .filter_map(|base| {
                let rest = path.strip_prefix(base.0)?;
                (rest.is_empty() || rest.starts_with('/')).then(|| (base, rest.trim_matches('/')))
            })
            .max_by_key(|(base, _)| base.0.len())
    }

    /// The base that an absolute URL names exactly (one trailing slash allowed when `slash`).
    pub(super) fn named(origin: &str, url: &str, slash: bool) -> Option<Self> {
        let url = if slash { url.strip_suffix('/').unwrap_or(url) } else { url };
        let path = url.strip_prefix(origin)?;
        BASES.into_iter().find(|base| base.0 == path)
    }

    /// The absolute URL of this base.
    pub(super) fn url(self, origin: &str) -> String {
        format!("{origin}{}", self.0)
    }

    /// What a token answer calls the `tenant`: the last part of the path.
    pub(super) fn tenant(self) -> &'static str {
        self.0.rsplit('/').next().unwrap_or(self.0)
    }
}

impl Default for Base {
    fn default() -> Self {
        Self("/fhir")
    }
}

/// The sandbox lives at a bare origin, because every URL it hands out is origin plus path.
pub(super) fn check_origin(origin: &str) -> Result<(), SandboxError> {
    let refuse = || SandboxError::BaseUrl(origin.to_owned());
    let url = url::Url::parse(origin).map_err(|_| refuse())?;
    let bare = matches!(url.scheme(), "http" | "https") && url.as_str() == format!("{origin}/");
    if bare { Ok(()) } else { Err(refuse()) }
}
