//! Web addresses as practices type them: a small parser, and the rules for issuers and allowlists.
//!
//! Guards: addresses are compared by parts, never by string prefix, and the same rule runs in the
//! browser and on the server (so no URL crate here). The server parses again with a full URL parser
//! before it connects anywhere.

use std::fmt;

/// An `http` or `https` address without user info, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    https: bool,
    /// Lower case; IPv6 in brackets.
    host: String,
    port: Option<u16>,
    /// Empty, or starts with `/` and does not end with one.
    path: String,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Not of the form `scheme://host…`, or with characters no address has.
    Malformed,
    /// Neither http nor https.
    Scheme,
    /// Carries `user@`.
    UserInfo,
    /// Carries `?` or `#`.
    QueryOrFragment,
}

impl Address {
    /// Parses and normalises: scheme and host to lower case, the default port and trailing slashes dropped.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Malformed)?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(AddressError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(AddressError::QueryOrFragment);
        }
        if rest.chars().any(|c| c.is_whitespace() || c.is_control() || "\\\"<>^`{|}".contains(c)) {
            return Err(AddressError::Malformed);
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(AddressError::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        let default_port = if https { 443 } else { 80 };
        let path = path.trim_end_matches('/');
        if path.split('/').any(|segment| matches!(segment, "." | "..") || segment.to_ascii_lowercase().contains("%2e"))
        {
            return Err(AddressError::Malformed);
        }
        Ok(Self { https, host, port: port.filter(|port| *port != default_port), path: path.to_owned() })
    }

    /// Whether the scheme is https.
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// The host, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path: empty, or with a leading and without a trailing slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the host names this machine: `localhost`, `*.localhost`, `127.0.0.0/8`, `[::1]`.
    pub fn is_loopback(&self) -> bool {
        let v4_loopback = self.host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        v4_loopback || self.host == "[::1]" || self.host == "localhost" || self.host.ends_with(".localhost")
    }

    /// `scheme://host[:port]`.
    pub fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        match self.port {
            Some(port) => format!("{scheme}://{}:{port}", self.host),
            None => format!("{scheme}://{}", self.host),
        }
    }

    /// Whether `other` is this address or lies below it, by whole path segments.
    pub fn covers(&self, other: &Self) -> bool {
        self.origin() == other.origin()
            && (self.path.is_empty()
                || other.path == self.path
                || other.path.strip_prefix(&self.path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// This address with a path appended.
    #[must_use]
    pub fn join(&self, path: &str) -> Self {
        let path = path.trim_matches('/');
        let mut joined = self.clone();
        if !path.is_empty() {
            joined.path = format!("{}/{path}", self.path);
        }
        joined
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

fn split_port(authority: &str) -> Result<(String, Option<u16>), AddressError> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (inner, after) = rest.split_once(']').ok_or(AddressError::Malformed)?;
        inner.parse::<std::net::Ipv6Addr>().map_err(|_| AddressError::Malformed)?;
        (format!("[{inner}]"), after.strip_prefix(':').or(if after.is_empty() { None } else { Some("bad") }))
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (authority.to_owned(), None),
        }
    };
    let host = host.to_ascii_lowercase();
    let label_chars = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let named = host.split('.').all(|label| !label.is_empty() && label.chars().all(label_chars));
    if host.is_empty() || !(named || host.starts_with('[')) {
        return Err(AddressError::Malformed);
    }
    let port = port.map(|port| port.parse::<u16>().map_err(|_| AddressError::Malformed)).transpose()?;
    Ok((host, port))
}

/// The issuers that an installation talks to; empty means every issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowlist(Vec<Address>);

impl Allowlist {
    /// Parses a comma list. An entry without a path allows its whole origin; one with a path allows
    /// that path and what lies below it, by whole segments.
    ///
    /// # Errors
    /// The entry that is no address.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| Address::parse(entry).map_err(|_| entry.to_owned()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the issuer may be used.
    pub fn allows(&self, issuer: &Address) -> bool {
        self.0.is_empty() || self.0.iter().any(|entry| entry.covers(issuer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn normalises() {
        assert_eq!(address(" HTTPS://Fhir.Example.ORG:443/R4/ ").to_string(), "https://fhir.example.org/R4");
        assert_eq!(address("http://127.0.0.1:4000").to_string(), "http://127.0.0.1:4000");
        assert_eq!(address("http://[::1]:80/x").to_string(), "http://[::1]/x");
    }

    #[test]
    fn refuses() {
        use AddressError::{Malformed, QueryOrFragment, Scheme, UserInfo};
        for (text, error) in [
            ("", Malformed),
            ("example.org", Malformed),
            ("ftp://example.org", Scheme),
            ("javascript://alert", Scheme),
            ("https://", Malformed),
            ("https://a b", Malformed),
            ("https://user@example.org", UserInfo),
            ("https://example.org/?q", QueryOrFragment),
            ("https://example.org#x", QueryOrFragment),
            ("https://example.org:99999", Malformed),
            ("https://exa..mple", Malformed),
            ("https://example.org/a/../b", Malformed),
            ("https://example.org/%2E%2e/b", Malformed),
            ("https://[::1", Malformed),
            ("https://[::1]x", Malformed),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn loopback() {
        for text in ["http://localhost", "http://app.localhost:3000", "http://127.9.9.9", "http://[::1]"] {
            assert!(address(text).is_loopback(), "{text}");
        }
        for text in ["http://localhost.example.org", "http://128.0.0.1", "http://127.0.0.1.example.org"] {
            assert!(!address(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn allowlist_goes_by_whole_segments() {
        let list = Allowlist::parse("https://a.example, https://b.example/fhir/r4").unwrap();
        for (text, allowed) in [
            ("https://a.example/anything", true),
            ("https://a.example:8443", false),
            ("http://a.example", false),
            ("https://a.example.evil.test", false),
            ("https://b.example/fhir/r4", true),
            ("https://b.example/fhir/r4/tenant", true),
            ("https://b.example/fhir/r4tenant", false),
            ("https://b.example", false),
        ] {
            assert_eq!(list.allows(&address(text)), allowed, "{text}");
        }
        assert!(Allowlist::default().allows(&address("https://any.example")));
        assert_eq!(Allowlist::parse("nonsense"), Err("nonsense".into()));
    }

    proptest! {
        #[test]
        fn never_panics_and_is_stable(text in "\\PC{0,60}") {
            if let Ok(parsed) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&parsed.to_string()), Ok(parsed));
            }
        }

        #[test]
        fn stable_on_likely_input(text in "https?://[a-zA-Z0-9.-]{1,12}(:[0-9]{1,5})?(/[a-zA-Z0-9._~%-]{0,6}){0,3}") {
            if let Ok(parsed) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&parsed.to_string()), Ok(parsed));
            }
        }
    }
}
