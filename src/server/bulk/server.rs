//! The EHR's server as an export may use it.
//!
//! Guards: the access token is sent to the origin of the FHIR base only; other hosts are called only where the
//! practice allows them.

use reqwest::Method;
use secrecy::SecretString;
use url::Url;

use crate::server::net::{Answer, Http, NetError, Payload, Request};

/// The largest manifest that is read, in bytes: 20,000 files with long addresses take some ten megabytes.
const MAX_MANIFEST: usize = 64 * 1024 * 1024;

/// The EHR's server.
pub struct Server<'a> {
    /// The client for outbound calls.
    pub http: &'a Http,
    /// The FHIR base URL.
    pub base: &'a str,
    /// The access token.
    pub token: &'a SecretString,
    /// Headers that the vendor wants.
    pub headers: &'a [(&'static str, String)],
    /// Which other hosts may be called.
    pub hosts: &'a Hosts,
}

/// Hosts beside the FHIR server's own that files may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    own: Option<url::Origin>,
    others: Vec<String>,
}

impl Hosts {
    /// Those of a FHIR base, and what the practice lists: hosts, hosts with ports, or origins, separated by spaces
    /// or commas.
    pub fn new(base: &str, listed: &str) -> Self {
        let words = listed.split([' ', ',', ';', '\n', '\t']).map(str::trim).filter(|word| !word.is_empty());
        let host = |word: &str| {
            word.split_once("://").map_or(word, |(_, rest)| rest).trim_end_matches('/').to_ascii_lowercase()
        };
        Self { own: Url::parse(base).ok().map(|url| url.origin()), others: words.map(host).collect() }
    }

    /// Whether this is the FHIR server itself, which may see the token.
    pub fn is_own(&self, url: &Url) -> bool {
        self.own.as_ref() == Some(&url.origin())
    }

    /// Whether an address may be called at all. Without a port in the list, any port of the host will do.
    pub fn allows(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
        self.is_own(url) || self.others.iter().any(|other| other == host || Some(other) == with_port.as_ref())
    }
}

/// Why the EHR was not asked, or did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The address is on a host that the practice does not allow.
    #[error("a host that is not allowed")]
    ForeignHost(String),
}

impl Server<'_> {
    /// Sends a request once; the token goes along to the FHIR server's own origin only. No redirect is followed.
    pub(super) async fn call(
        &self,
        method: Method,
        url: &str,
        accept: &'static str,
        prefer: Option<&str>,
        payload: Payload<'_>,
    ) -> Result<Answer, CallError> {
        let parsed = Url::parse(url).map_err(|_| NetError::NotAllowed)?;
        if !self.hosts.allows(&parsed) {
            return Err(CallError::ForeignHost(parsed.host_str().unwrap_or_default().to_owned()));
        }
        let own = self.hosts.is_own(&parsed);
        let mut headers = if own { self.headers.to_vec() } else { Vec::new() };
        headers.extend(prefer.map(|prefer| ("prefer", prefer.to_owned())));
        let bearer = own.then_some(self.token);
        let request = Request { url, accept, bearer, headers: &headers };
        Ok(self.http.call(method, &request, payload, MAX_MANIFEST).await?)
    }
}

/// An address that may be relative to another one.
pub(super) fn absolute(text: &str, base: &str) -> Option<String> {
    Url::parse(base).ok()?.join(text.trim()).ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_hosts() {
        let hosts = Hosts::new("https://ehr.example/fhir", "files.example https://other.example:8443/, MORE.example");
        let allows = |url: &str| hosts.allows(&Url::parse(url).unwrap());
        for good in [
            "https://ehr.example/x",
            "https://files.example/a",
            "https://files.example:444/a",
            "https://other.example:8443/",
            "https://more.example",
        ] {
            assert!(allows(good), "{good}");
        }
        for bad in [
            "https://ehr.example:444/x",
            "https://evil.example",
            "https://other.example/",
            "https://files.example.evil.example",
        ] {
            assert!(!allows(bad), "{bad}");
        }
        let own = |url: &str| hosts.is_own(&Url::parse(url).unwrap());
        assert!(own("https://ehr.example:443/y") && !own("http://ehr.example/y") && !own("https://files.example/a"));
    }
}
