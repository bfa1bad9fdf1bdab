//! Reading from an EHR's FHIR server.

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::model::problem::Code;
use crate::server::net::{Http, NetError, Request};

/// A FHIR server as one connection may use it.
pub struct FhirClient<'a> {
    /// The client for outbound calls.
    pub http: &'a Http,
    /// The FHIR base URL.
    pub base: &'a str,
    /// The access token; without one only public endpoints answer.
    pub token: Option<&'a SecretString>,
    /// What the vendor wants in `Accept`.
    pub accept: &'static str,
    /// Headers that the vendor wants.
    pub headers: &'a [(&'static str, String)],
}

/// Why a resource could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FhirError {
    /// The EHR did not answer.
    #[error("fhir: {0}")]
    Net(#[from] NetError),
    /// 401: the token is not accepted.
    #[error("fhir: token not accepted")]
    Unauthorized,
    /// 403: the scope does not allow it.
    #[error("fhir: not allowed")]
    Forbidden,
    /// 404 or 410.
    #[error("fhir: not there")]
    NotFound,
    /// 429.
    #[error("fhir: too many requests")]
    RateLimited,
    /// Another status.
    #[error("fhir: status {0}")]
    Status(u16),
    /// Not JSON, or not the resource that was asked for.
    #[error("fhir: not a valid answer")]
    Invalid,
}

impl FhirError {
    /// What it means in our catalogue.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unauthorized => Code::TokenExpired,
            Self::Forbidden => Code::ScopeDenied,
            Self::NotFound => Code::NotFound,
            Self::RateLimited => Code::RateLimited,
            Self::Invalid => Code::FhirInvalid,
            Self::Net(_) | Self::Status(_) => Code::EhrUnavailable,
        }
    }
}

impl FhirClient<'_> {
    /// Reads `{base}/{path}`, which must be a resource of this type.
    ///
    /// # Errors
    /// See [`FhirError`].
    pub async fn read(&self, path: &str, resource_type: &str) -> Result<Value, FhirError> {
        self.get(self.address(path)?, resource_type).await
    }

    /// Searches a type, and answers the first page of what matches (FHIR R4, "search"): entries of other
    /// types, such as an outcome, are left out.
    ///
    /// # Errors
    /// See [`FhirError`].
    pub async fn search(&self, resource_type: &str, params: &[(&str, &str)]) -> Result<Found, FhirError> {
        let mut url = self.address(resource_type)?;
        url.query_pairs_mut().extend_pairs(params);
        let mut bundle = self.get(url, "Bundle").await?;
        let more = bundle.get("link").and_then(Value::as_array).into_iter().flatten().any(is_next);
        let entries = match bundle.get_mut("entry").map(Value::take) {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        };
        let resources = entries.into_iter().filter_map(|mut entry| entry.get_mut("resource").map(Value::take));
        let resources = resources.filter(|resource| type_of(resource) == Some(resource_type)).collect();
        Ok(Found { resources, more })
    }

    async fn get(&self, url: Url, resource_type: &str) -> Result<Value, FhirError> {
        let request = Request { url: url.as_str(), accept: self.accept, bearer: self.token, headers: self.headers };
        let answer = self.http.get(&request).await?;
        match answer.status.as_u16() {
            200..=299 => {}
            401 => return Err(FhirError::Unauthorized),
            403 => return Err(FhirError::Forbidden),
            404 | 410 => return Err(FhirError::NotFound),
            429 => return Err(FhirError::RateLimited),
            status => return Err(FhirError::Status(status)),
        }
        let resource: Value = serde_json::from_slice(&answer.body).map_err(|_| FhirError::Invalid)?;
        if type_of(&resource) == Some(resource_type) { Ok(resource) } else { Err(FhirError::Invalid) }
    }

    /// The address of a path, which must stay below the base: ids come from the EHR's answers.
    fn address(&self, path: &str) -> Result<Url, FhirError> {
        let base = Url::parse(&format!("{}/", self.base.trim_end_matches('/'))).map_err(|_| FhirError::Invalid)?;
        let url = base.join(path).map_err(|_| FhirError::Invalid)?;
        let below = url.origin() == base.origin() && url.path().starts_with(base.path());
        if below { Ok(url) } else { Err(FhirError::Invalid) }
    }
}

/// A page of a search.
pub struct Found {
    /// What matched.
    pub resources: Vec<Value>,
    /// Whether the server has more.
    pub more: bool,
}

fn type_of(resource: &Value) -> Option<&str> {
    resource.get("resourceType").and_then(Value::as_str)
}

fn is_next(link: &Value) -> bool {
    link.get("relation").and_then(Value::as_str) == Some("next")
}

/// Whether a text is a FHIR id (R4, "id": 1 to 64 of letters, digits, `-` and `.`); some vendors
/// also use `_` and longer ids.
pub fn is_id(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (1..=128).contains(&text.len()) && text.chars().all(legal) && text != "." && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_path_stays_below_the_base() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = Http::new(false, Duration::from_secs(1)).ok().unwrap();
        let client = FhirClient {
            http: &http,
            base: "https://ehr.example/fhir",
            token: None,
            accept: "application/fhir+json",
            headers: &[],
        };
        assert_eq!(client.address("Patient/1").unwrap().as_str(), "https://ehr.example/fhir/Patient/1");
        for bad in ["//evil.example/x", "https://evil.example", "../admin", "/other"] {
            assert!(client.address(bad).is_err(), "{bad}");
        }
        assert!(is_id("a-1.B_2") && !is_id("..") && !is_id("a/b") && !is_id(""));
    }
}
