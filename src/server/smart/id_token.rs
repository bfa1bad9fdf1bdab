//! Validating the EHR's identity token.
//!
//! OpenID Connect Core 1.0 §3.1.3.7; SMART App Launch 2.2, "Scopes for requesting identity data".
//! Guards: only asymmetric signatures by a key that the issuer publishes; the issuer must be the one
//! that the EHR's configuration names (or, where it names none, one of the EHR's own origins).

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use moka::future::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::model::problem::Code;
use crate::model::time::Timestamp;
use crate::server::net::{Http, NetError, Request};

/// How far the clocks of both sides may be apart, in seconds.
const SKEW: i64 = 120;

/// What the token must match.
pub struct Expected<'a> {
    /// The issuer that the EHR's configuration names.
    pub issuer: Option<&'a str>,
    /// The keys' address that the EHR's configuration names.
    pub jwks_uri: Option<&'a str>,
    /// Addresses of the EHR: where no issuer is named, the token's must be of one of their origins.
    pub own_urls: [&'a str; 2],
    /// Us.
    pub client_id: &'a str,
    /// What we sent.
    pub nonce: Option<&'a str>,
}

/// The claims that we use.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Identity {
    /// The issuer.
    pub iss: String,
    /// The user, unique at the issuer.
    pub sub: String,
    /// The user's FHIR resource, absolute or relative to the FHIR base.
    #[serde(default, rename = "fhirUser")]
    pub fhir_user: Option<String>,
    #[serde(default)]
    profile: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    azp: Option<String>,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    iat: Option<i64>,
    #[serde(default)]
    nbf: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What may be told of a token that nobody has checked: its shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The algorithm, where it is one of the standard's.
    pub algorithm: Option<String>,
    /// Whether it names a key.
    pub names_key: bool,
    /// When it says that it was made, in seconds.
    pub issued_at: Option<i64>,
    /// The names of its claims.
    pub claims: Vec<String>,
}

/// The shape of a token.
pub fn outline(token: &SecretString) -> Outline {
    use base64::Engine;
    let header = jsonwebtoken::decode_header(token.expose_secret()).ok();
    let payload = token.expose_secret().split('.').nth(1).unwrap_or_default();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    let claims: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes).unwrap_or_default();
    Outline {
        algorithm: header.as_ref().map(|header| format!("{:?}", header.alg)),
        names_key: header.is_some_and(|header| header.kid.is_some()),
        issued_at: claims.get("iat").and_then(serde_json::Value::as_i64),
        claims: claims.keys().cloned().collect(),
    }
}

/// Why an identity token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// Not a JWT, or signed in a way that is not accepted (`none`, a shared secret).
    #[error("not a JWT with an accepted algorithm")]
    Malformed,
    /// A claim does not match.
    #[error("claim {0} does not match")]
    Claim(&'static str),
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// Our nonce did not come back.
    #[error("the nonce does not match")]
    Nonce,
    /// The issuer does not publish the key.
    #[error("no published key fits")]
    UnknownKey,
    /// The issuer's keys cannot be read.
    #[error("keys: {0}")]
    Keys(#[from] NetError),
    /// The issuer's key set, or its OpenID configuration, is not one.
    #[error("the issuer's documents are not readable")]
    Documents,
}

impl IdTokenError {
    /// What it means in our catalogue.
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed | Self::Claim(_) | Self::Signature => Code::IdTokenInvalid,
            Self::Nonce => Code::NonceMismatch,
            Self::UnknownKey => Code::KidUnknown,
            Self::Keys(_) | Self::Documents => Code::JwksUnreachable,
        }
    }
}

/// Remembers key sets for an hour; an unknown key id asks again, at most once a minute per issuer.
#[derive(Clone)]
pub struct KeySets {
    sets: Cache<String, Arc<JwkSet>>,
    asked: Cache<String, ()>,
}

impl Default for KeySets {
    fn default() -> Self {
        let cache = |seconds| Duration::from_secs(seconds);
        Self {
            sets: Cache::builder().max_capacity(1_000).time_to_live(cache(3_600)).build(),
            asked: Cache::builder().max_capacity(1_000).time_to_live(cache(60)).build(),
        }
    }
}

impl KeySets {
    /// Validates a token.
    ///
    /// # Errors
    /// See [`IdTokenError`].
    pub async fn validate(
        &self,
        http: &Http,
        token: &SecretString,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Identity, IdTokenError> {
        let header = jsonwebtoken::decode_header(token.expose_secret()).map_err(|_| IdTokenError::Malformed)?;
        if !accepted(header.alg) {
            return Err(IdTokenError::Malformed);
        }
        let issuer = unverified_issuer(token)?;
        check_issuer(&issuer, expected)?;
        let jwks_uri = match expected.jwks_uri {
            Some(uri) => uri.to_owned(),
            None => openid_jwks_uri(http, &issuer).await?,
        };
        let key = self.key(http, &jwks_uri, header.kid.as_deref(), header.alg).await?;
        let identity = verify(token, &key, header.alg)?;
        identity.check(&issuer, expected, now)?;
        Ok(identity)
    }

    async fn key(
        &self,
        http: &Http,
        uri: &str,
        kid: Option<&str>,
        alg: Algorithm,
    ) -> Result<DecodingKey, IdTokenError> {
        let set = match self.sets.get(uri).await {
            Some(set) => set,
            None => self.fetch(http, uri).await?,
        };
        if let Some(jwk) = fitting(&set, kid, alg) {
            return DecodingKey::from_jwk(jwk).map_err(|_| IdTokenError::UnknownKey);
        }
        if self.asked.contains_key(uri) {
            return Err(IdTokenError::UnknownKey);
        }
        let set = self.fetch(http, uri).await?;
        let jwk = fitting(&set, kid, alg).ok_or(IdTokenError::UnknownKey)?;
        DecodingKey::from_jwk(jwk).map_err(|_| IdTokenError::UnknownKey)
    }

    async fn fetch(&self, http: &Http, uri: &str) -> Result<Arc<JwkSet>, IdTokenError> {
        let first = self.sets.get(uri).await.is_none();
        let answer = http.get(&Request { url: uri, accept: "application/json", bearer: None, headers: &[] }).await?;
        if !answer.status.is_success() {
            return Err(IdTokenError::Documents);
        }
        let set = Arc::new(read_keys(&answer.body).ok_or(IdTokenError::Documents)?);
        self.sets.insert(uri.to_owned(), Arc::clone(&set)).await;
        if !first {
            self.asked.insert(uri.to_owned(), ()).await;
        }
        Ok(set)
    }
}

/// Reads a key set, leaving out keys of kinds that we do not know.
fn read_keys(body: &[u8]) -> Option<JwkSet> {
    #[derive(Deserialize)]
    struct Raw {
        keys: Vec<serde_json::Value>,
    }
    let raw: Raw = serde_json::from_slice(body).ok()?;
    Some(JwkSet { keys: raw.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()).collect() })
}

const fn accepted(alg: Algorithm) -> bool {
    !matches!(alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// The key of this id; without an id, the only key of the algorithm's family.
fn fitting<'a>(set: &'a JwkSet, kid: Option<&str>, alg: Algorithm) -> Option<&'a Jwk> {
    use jsonwebtoken::jwk::AlgorithmParameters;
    let family = |jwk: &&Jwk| match jwk.algorithm {
        AlgorithmParameters::RSA(_) => !matches!(alg, Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA),
        AlgorithmParameters::EllipticCurve(_) => matches!(alg, Algorithm::ES256 | Algorithm::ES384),
        AlgorithmParameters::OctetKeyPair(_) => matches!(alg, Algorithm::EdDSA),
        _ => false,
    };
    let mut fitting = set.keys.iter().filter(family).filter(|jwk| kid.is_none() || jwk.common.key_id.as_deref() == kid);
    let first = fitting.next()?;
    (kid.is_some() || fitting.next().is_none()).then_some(first)
}

#[derive(Deserialize)]
struct IssuerOnly {
    iss: String,
}

/// Only to know whose keys to ask for; everything is checked again after the signature.
fn unverified_issuer(token: &SecretString) -> Result<String, IdTokenError> {
    use base64::Engine;
    let payload = token.expose_secret().split('.').nth(1).ok_or(IdTokenError::Malformed)?;
    let bytes =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).map_err(|_| IdTokenError::Malformed)?;
    serde_json::from_slice::<IssuerOnly>(&bytes).map(|claims| claims.iss).map_err(|_| IdTokenError::Malformed)
}

fn check_issuer(issuer: &str, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    let fits = if let Some(named) = expected.issuer {
        issuer.trim_end_matches('/') == named.trim_end_matches('/')
    } else {
        let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
        let wanted = origin(issuer);
        wanted.is_some() && expected.own_urls.iter().any(|own| origin(own) == wanted)
    };
    if fits { Ok(()) } else { Err(IdTokenError::Claim("iss")) }
}

/// OpenID Connect Discovery 1.0 §4: `{issuer}/.well-known/openid-configuration`.
async fn openid_jwks_uri(http: &Http, issuer: &str) -> Result<String, IdTokenError> {
    #[derive(Deserialize)]
    struct OpenIdConfiguration {
        issuer: String,
        jwks_uri: String,
    }
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let answer = http.get(&Request { url: &url, accept: "application/json", bearer: None, headers: &[] }).await?;
    let document: OpenIdConfiguration = serde_json::from_slice(&answer.body).map_err(|_| IdTokenError::Documents)?;
    if answer.status.is_success() && document.issuer.trim_end_matches('/') == issuer.trim_end_matches('/') {
        Ok(document.jwks_uri)
    } else {
        Err(IdTokenError::Documents)
    }
}

/// The signature only: claims are checked by [`Identity::check`], against our own clock.
fn verify(token: &SecretString, key: &DecodingKey, alg: Algorithm) -> Result<Identity, IdTokenError> {
    let mut validation = Validation::new(alg);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    match jsonwebtoken::decode::<Identity>(token.expose_secret(), key, &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) => Err(match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => IdTokenError::Signature,
            _ => IdTokenError::Malformed,
        }),
    }
}

impl Identity {
    fn check(&self, issuer: &str, expected: &Expected<'_>, now: Timestamp) -> Result<(), IdTokenError> {
        let claim = |fits: bool, name| if fits { Ok(()) } else { Err(IdTokenError::Claim(name)) };
        let now = now.as_seconds();
        claim(self.iss == issuer, "iss")?;
        match &self.aud {
            Audience::One(aud) => claim(aud == expected.client_id, "aud")?,
            Audience::Many(all) => {
                claim(all.iter().any(|aud| aud == expected.client_id), "aud")?;
                claim(all.len() == 1 || self.azp.as_deref().is_none_or(|azp| azp == expected.client_id), "azp")?;
            }
        }
        claim(self.exp > now - SKEW, "exp")?;
        claim(self.iat.is_none_or(|iat| iat < now + SKEW), "iat")?;
        claim(self.nbf.is_none_or(|nbf| nbf < now + SKEW), "nbf")?;
        claim(!self.sub.is_empty(), "sub")?;
        // A server that leaves the nonce out cannot be told from one that does not know it: only a
        // different one is refused.
        if let (Some(sent), Some(back)) = (expected.nonce, self.nonce.as_deref())
            && sent != back
        {
            return Err(IdTokenError::Nonce);
        }
        Ok(())
    }

    /// The user's FHIR resource: `fhirUser`, or `profile` as older servers have it.
    pub fn user(&self) -> Option<&str> {
        self.fhir_user.as_deref().or(self.profile.as_deref()).filter(|text| text.contains('/'))
    }
}

#[cfg(test)]
mod tests;
