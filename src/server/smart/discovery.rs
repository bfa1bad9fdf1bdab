//! Reading an EHR's endpoints.
//!
//! SMART App Launch 2.2, "Conformance: Using .well-known": `{FHIR base}/.well-known/smart-configuration`
//! first; the `oauth-uris` extension of the CapabilityStatement as the deprecated fallback.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::Url;

use crate::server::net::{Http, NetError, Request};

/// What an EHR publishes about its authorization.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct SmartConfiguration {
    /// The OpenID issuer, when the EHR has one.
    #[serde(deserialize_with = "lenient")]
    pub issuer: Option<String>,
    /// The keys that sign its identity tokens.
    #[serde(deserialize_with = "lenient")]
    pub jwks_uri: Option<String>,
    /// Where the browser goes; empty where the EHR serves backend services only.
    #[serde(deserialize_with = "lenient")]
    pub authorization_endpoint: String,
    /// Where codes become tokens.
    #[serde(deserialize_with = "lenient")]
    pub token_endpoint: String,
    /// Where tokens are revoked (RFC 7009).
    #[serde(deserialize_with = "lenient")]
    pub revocation_endpoint: Option<String>,
    /// The capability strings.
    #[serde(deserialize_with = "lenient")]
    pub capabilities: Vec<String>,
    /// The PKCE methods; absent on some EHRs that nevertheless take S256.
    #[serde(deserialize_with = "lenient")]
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// How clients may prove themselves.
    #[serde(deserialize_with = "lenient")]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// With which algorithms they may sign.
    #[serde(deserialize_with = "lenient")]
    pub token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    /// The scopes that it lists; there may be more.
    #[serde(deserialize_with = "lenient")]
    pub scopes_supported: Option<Vec<String>>,
    /// Where tokens are introspected (RFC 7662).
    #[serde(deserialize_with = "lenient")]
    pub introspection_endpoint: Option<String>,
    /// Whether the answer at the redirect names its issuer (RFC 9207).
    #[serde(deserialize_with = "lenient")]
    pub authorization_response_iss_parameter_supported: bool,
    /// Where this was read.
    #[serde(skip)]
    pub source: Source,
}

/// A member of a type that we do not expect is as good as none: it must not cost the others.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Where a configuration was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The current way.
    #[default]
    WellKnown,
    /// The deprecated way.
    CapabilityStatement,
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The EHR did not answer.
    #[error("smart-configuration: {0}")]
    Net(#[from] NetError),
    /// It answered, but neither way gives the two endpoints.
    #[error("neither smart-configuration (status {well_known}) nor oauth-uris (status {metadata}) give the endpoints")]
    NoEndpoints {
        /// The status of the first answer.
        well_known: u16,
        /// The status of the second answer.
        metadata: u16,
    },
    /// An endpoint is no address, or is not https where the FHIR base is.
    #[error("endpoint {0} is not usable")]
    BadEndpoint(&'static str),
}

/// Remembers configurations for ten minutes, and asks once where many want the same.
#[derive(Clone)]
pub struct DiscoveryCache(Cache<CacheKey, Arc<SmartConfiguration>>);

/// The base, and the headers: with Epic's `Epic-Client-ID` the same base answers each client its own endpoints.
type CacheKey = (String, Vec<(&'static str, String)>);

impl Default for DiscoveryCache {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(1_000).time_to_live(Duration::from_mins(10)).build())
    }
}

impl DiscoveryCache {
    /// The configuration of the EHR with this FHIR base URL.
    ///
    /// # Errors
    /// See [`DiscoveryError`]. Failures are not remembered.
    pub async fn read(
        &self,
        http: &Http,
        fhir_base: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Arc<SmartConfiguration>, DiscoveryError> {
        self.0
            .try_get_with(key(fhir_base, headers), async { discover(http, fhir_base, headers).await.map(Arc::new) })
            .await
            .map_err(|error: Arc<DiscoveryError>| (*error).clone())
    }
}

fn key(fhir_base: &str, headers: &[(&'static str, String)]) -> CacheKey {
    (fhir_base.to_owned(), headers.to_vec())
}

async fn discover(
    http: &Http,
    fhir_base: &str,
    headers: &[(&'static str, String)],
) -> Result<SmartConfiguration, DiscoveryError> {
    let base = fhir_base.trim_end_matches('/');
    let url = format!("{base}/.well-known/smart-configuration");
    let answer = http.get(&Request { url: &url, accept: "application/json", bearer: None, headers }).await?;
    let well_known = answer.status.as_u16();
    let configuration = serde_json::from_slice::<SmartConfiguration>(&answer.body).ok();
    let configuration = configuration.filter(|found| answer.status.is_success() && !found.token_endpoint.is_empty());
    let configuration = match configuration {
        Some(found) if !found.authorization_endpoint.is_empty() => return resolve(found, base),
        other => other,
    };
    let url = format!("{base}/metadata");
    let answer = http.get(&Request { url: &url, accept: "application/fhir+json", bearer: None, headers }).await?;
    let metadata = answer.status.as_u16();
    let configuration = answer
        .status
        .is_success()
        .then(|| serde_json::from_slice::<Value>(&answer.body).ok())
        .flatten()
        .and_then(|statement| oauth_uris(&statement))
        // An EHR for backend services alone has a token endpoint only.
        .or(configuration)
        .ok_or(DiscoveryError::NoEndpoints { well_known, metadata })?;
    resolve(configuration, base)
}

/// Reads the `oauth-uris` extension (deprecated, SMART App Launch 1.0).
fn oauth_uris(statement: &Value) -> Option<SmartConfiguration> {
    let rest = statement.get("rest")?.as_array()?;
    let extensions = rest.iter().filter_map(|rest| rest.pointer("/security/extension")?.as_array()).flatten();
    let uris = extensions
        .filter(|extension| {
            extension.get("url").and_then(Value::as_str)
                == Some("http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris")
        })
        .find_map(|extension| extension.get("extension")?.as_array())?;
    let uri = |name: &str| {
        let entry = uris.iter().find(|entry| entry.get("url").and_then(Value::as_str) == Some(name))?;
        entry.get("valueUri").and_then(Value::as_str).map(str::to_owned)
    };
    Some(SmartConfiguration {
        authorization_endpoint: uri("authorize")?,
        token_endpoint: uri("token")?,
        revocation_endpoint: uri("revoke"),
        introspection_endpoint: uri("introspect"),
        source: Source::CapabilityStatement,
        ..SmartConfiguration::default()
    })
}

/// Relative endpoints are relative to the FHIR base; none may leave https where the base is https.
fn resolve(mut configuration: SmartConfiguration, base: &str) -> Result<SmartConfiguration, DiscoveryError> {
    let base = Url::parse(&format!("{base}/")).map_err(|_| DiscoveryError::BadEndpoint("base"))?;
    let absolute = |text: &str, name: &'static str| {
        let url = base.join(text).map_err(|_| DiscoveryError::BadEndpoint(name))?;
        if url.scheme() == base.scheme() || url.scheme() == "https" {
            Ok(url.to_string())
        } else {
            Err(DiscoveryError::BadEndpoint(name))
        }
    };
    if !configuration.authorization_endpoint.is_empty() {
        configuration.authorization_endpoint =
            absolute(&configuration.authorization_endpoint, "authorization_endpoint")?;
    }
    configuration.token_endpoint = absolute(&configuration.token_endpoint, "token_endpoint")?;
    configuration.revocation_endpoint =
        configuration.revocation_endpoint.map(|text| absolute(&text, "revocation_endpoint")).transpose()?;
    configuration.introspection_endpoint =
        configuration.introspection_endpoint.map(|text| absolute(&text, "introspection_endpoint")).transpose()?;
    configuration.jwks_uri = configuration.jwks_uri.map(|text| absolute(&text, "jwks_uri")).transpose()?;
    Ok(configuration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn with(authorize: &str) -> Result<SmartConfiguration, DiscoveryError> {
        let configuration = SmartConfiguration {
            authorization_endpoint: authorize.into(),
            token_endpoint: "https://auth.example/token".into(),
            ..SmartConfiguration::default()
        };
        resolve(configuration, "https://ehr.example/fhir/r4")
    }

    #[test]
    fn endpoints_resolve_against_the_base() {
        assert_eq!(
            with("auth/authorize").unwrap().authorization_endpoint,
            "https://ehr.example/fhir/r4/auth/authorize"
        );
        assert_eq!(with("/authorize").unwrap().authorization_endpoint, "https://ehr.example/authorize");
        assert_eq!(with("http://ehr.example/a"), Err(DiscoveryError::BadEndpoint("authorization_endpoint")));
        assert!(with("javascript:alert(1)").is_err());
    }

    /// Such an EHR connects nobody, but exports.
    #[test]
    fn an_ehr_for_backend_services_only() {
        let found = with("").unwrap();
        assert_eq!(
            (found.authorization_endpoint.as_str(), found.token_endpoint.as_str()),
            ("", "https://auth.example/token")
        );
    }

    #[test]
    fn reads_the_deprecated_extension() {
        let statement = json!({"rest": [{"security": {"extension": [{
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [{"url": "authorize", "valueUri": "https://a"}, {"url": "token", "valueUri": "https://t"}]
        }]}}]});
        let found = oauth_uris(&statement).unwrap();
        assert_eq!((found.authorization_endpoint.as_str(), found.token_endpoint.as_str()), ("https://a", "https://t"));
        assert_eq!(oauth_uris(&json!({"rest": "none"})), None);
    }

    #[test]
    fn odd_members_do_not_cost_the_others() {
        let text = r#"{"authorization_endpoint": "https://a", "token_endpoint": "https://t", "capabilities": null,
            "scopes_supported": "openid", "code_challenge_methods_supported": ["S256"], "issuer": 7, "more": {}}"#;
        let read: SmartConfiguration = serde_json::from_str(text).unwrap();
        assert_eq!((read.token_endpoint.as_str(), read.capabilities.len(), read.issuer), ("https://t", 0, None));
        assert_eq!((read.scopes_supported, read.code_challenge_methods_supported), (None, Some(vec!["S256".into()])));
    }

    /// Any JSON: members that we know with values that nobody expects.
    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
            Just(Value::from("https://ehr.example/auth")),
            Just(Value::from("auth/token")),
            Just(Value::from("javascript:alert(1)")),
            Just(Value::from("http://elsewhere.example")),
        ];
        let value = leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z]{1,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        let name = prop_oneof![
            Just("authorization_endpoint".to_owned()),
            Just("token_endpoint".to_owned()),
            Just("revocation_endpoint".to_owned()),
            Just("introspection_endpoint".to_owned()),
            Just("jwks_uri".to_owned()),
            Just("issuer".to_owned()),
            Just("capabilities".to_owned()),
            Just("scopes_supported".to_owned()),
            Just("rest".to_owned()),
            "[a-z_]{1,12}",
        ];
        proptest::collection::btree_map(name, value, 0..8).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = serde_json::from_str::<SmartConfiguration>(&text);
            let _ = with(&text);
        }

        /// Whatever an EHR publishes, an object is read, and no endpoint that comes of it leaves https.
        #[test]
        fn any_document_gives_safe_endpoints_or_none(document in document()) {
            let read: SmartConfiguration = serde_json::from_value(document.clone()).unwrap();
            if let Ok(safe) = resolve(read, "https://ehr.example/fhir") {
                let optional = [safe.revocation_endpoint, safe.introspection_endpoint, safe.jwks_uri];
                for endpoint in optional.iter().flatten().chain([&safe.authorization_endpoint, &safe.token_endpoint]) {
                    let none = endpoint.is_empty() && *endpoint == safe.authorization_endpoint;
                    prop_assert!(none || endpoint.starts_with("https://"), "{}", endpoint);
                }
            }
            let _ = oauth_uris(&document);
        }
    }
}
