//! Client authentication: none, Basic, post, and signed assertions.
//!
//! Imports nothing of ours outside the sandbox. Invariants: one method per request (RFC 6749
//! §2.3); a client authenticates only the way it was registered; an assertion works once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::error::OAuthError;
use super::jose::Jws;
use super::params::{Params, same};
use super::{Client, ClientAuth, Sandbox, lock};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_SECONDS: i64 = 300;
const JWKS_CACHE_MS: i64 = 60 * 1000;
const JWKS_BYTES: usize = 256 * 1024;

/// Fetched key sets and the HTTP client that fetches them.
#[derive(Default)]
pub(super) struct KeyCache {
    http: OnceLock<reqwest::Client>,
    sets: Mutex<HashMap<String, (i64, Vec<Value>)>>,
}

/// Finds out which registered client sent a form, or refuses.
pub(super) async fn authenticate(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    form: &Params,
    endpoint: &str,
) -> Result<Arc<Client>, OAuthError> {
    let client_id = form.one("client_id")?;
    let secret = form.one("client_secret")?;
    let assertion = form.one("client_assertion")?;
    let authorization = headers.get(header::AUTHORIZATION);
    let methods = [authorization.is_some(), secret.is_some(), assertion.is_some()];
    if methods.into_iter().filter(|used| *used).count() > 1 {
        return Err(OAuthError::request("more than one client authentication method (RFC 6749 section 2.3)"));
    }
    let client = if let Some(value) = authorization {
        let value = value.to_str().unwrap_or_default();
        basic(sandbox, value)?
    } else if let Some(assertion) = assertion {
        if form.one("client_assertion_type")? != Some(ASSERTION_TYPE) {
            return Err(OAuthError::request("client_assertion_type is missing or unknown (RFC 7523 section 2.2)"));
        }
        signed(sandbox, assertion, endpoint).await?
    } else if let Some(secret) = secret {
        let client = known(sandbox, client_id)?;
        let (ClientAuth::Secret(expected) | ClientAuth::SecretPost(expected)) = &client.auth else {
            return Err(OAuthError::client("this client may not use client_secret_post"));
        };
        if !same(expected, secret) {
            return Err(OAuthError::client("wrong client secret"));
        }
        client
    } else {
        let client = known(sandbox, client_id)?;
        if !matches!(client.auth, ClientAuth::Public) {
            return Err(OAuthError::client("this client has to authenticate"));
        }
        client
    };
    if client_id.is_some_and(|id| id != client.id) {
        return Err(OAuthError::client("client_id names another client than the credentials"));
    }
    Ok(client)
}

fn known(sandbox: &Sandbox, id: Option<&str>) -> Result<Arc<Client>, OAuthError> {
    let id = id.ok_or_else(|| OAuthError::client("no client authentication and no client_id"))?;
    sandbox.client(id).ok_or_else(|| OAuthError::client("unknown client"))
}

/// HTTP Basic, with id and secret form-encoded as RFC 6749 §2.3.1 says, or raw as SMART "Client
/// Authentication: Symmetric" writes it in its example.
fn basic(sandbox: &Sandbox, header: &str) -> Result<Arc<Client>, OAuthError> {
    let bad = || OAuthError::client("the Authorization header is not well-formed Basic");
    let (scheme, encoded) = header.split_once(' ').ok_or_else(bad)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(bad());
    }
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| bad())?;
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    let (id, secret) = text.split_once(':').ok_or_else(bad)?;
    let client = sandbox
        .client(id)
        .or_else(|| sandbox.client(&form_decoded(id)))
        .ok_or_else(|| OAuthError::client("unknown client"))?;
    let (ClientAuth::Secret(expected) | ClientAuth::SecretBasic(expected)) = &client.auth else {
        return Err(OAuthError::client("this client may not use client_secret_basic"));
    };
    let personality = sandbox.personality();
    let as_it_is = !personality.basic_form_encoded_only && same(expected, secret);
    let decoded = !personality.basic_raw_only && same(expected, &form_decoded(secret));
    if as_it_is || decoded { Ok(client) } else { Err(OAuthError::client("wrong client secret")) }
}

fn form_decoded(text: &str) -> String {
    let pair = format!("v={text}");
    if text.contains(['&', '=']) {
        return text.to_owned();
    }
    url::form_urlencoded::parse(pair.as_bytes()).next().map_or_else(String::new, |(_, value)| value.into_owned())
}

/// A signed assertion, by SMART "Client Authentication: Asymmetric", "Authenticating to the token
/// endpoint".
async fn signed(sandbox: &Sandbox, assertion: &str, endpoint: &str) -> Result<Arc<Client>, OAuthError> {
    let refuse = |why: &str| OAuthError::client(format!("client assertion: {why}"));
    let jws = Jws::parse(assertion).ok_or_else(|| refuse("not a compact JWS"))?;
    let id = jws.claim("iss").ok_or_else(|| refuse("no iss"))?;
    let client = sandbox.client(id).ok_or_else(|| refuse("iss is no registered client"))?;
    let ClientAuth::PrivateKeyJwt { jwks_url } = &client.auth else {
        return Err(refuse("this client may not use private_key_jwt"));
    };
    let algorithm = jws
        .header("alg")
        .filter(|alg| sandbox.signing_algorithms().contains(alg))
        .ok_or_else(|| refuse("alg is not one of those that discovery lists"))?;
    if jws.header("typ") != Some("JWT") {
        return Err(refuse("typ has to be JWT"));
    }
    let kid = jws.header("kid").ok_or_else(|| refuse("no kid"))?;
    if jws.header.contains_key("crit") {
        return Err(refuse("crit is not understood (RFC 7515 section 4.1.11)"));
    }
    if jws.header.contains_key("jku") && jws.header("jku") != Some(jwks_url) {
        return Err(refuse("jku differs from the registered JWKS URL"));
    }
    if jws.claim("sub") != Some(client.id.as_str()) {
        return Err(refuse("sub has to equal iss"));
    }
    check_audience(sandbox, jws.claims.get("aud"), endpoint).map_err(refuse)?;
    let now = sandbox.now();
    let seconds = |name: &str| jws.claims.get(name).and_then(number);
    let expires = seconds("exp").ok_or_else(|| refuse("no exp"))?;
    if expires.saturating_mul(1000) <= now {
        return Err(refuse("expired"));
    }
    if expires.saturating_mul(1000) > now + ASSERTION_SECONDS * 1000 {
        return Err(refuse("exp is more than five minutes ahead"));
    }
    if seconds("nbf").is_some_and(|start| start.saturating_mul(1000) > now) {
        return Err(refuse("nbf is in the future"));
    }
    let jti = jws.claim("jti").filter(|jti| !jti.is_empty()).ok_or_else(|| refuse("no jti"))?;
    let keys = keys(sandbox, jwks_url, kid).await.map_err(refuse)?;
    if keys.iter().any(|key| key.get("d").is_some()) {
        return Err(refuse("the JWKS publishes a private key"));
    }
    if !keys.iter().any(|key| jws.verify(algorithm, key)) {
        return Err(refuse("the signature does not verify under the key of that kid"));
    }
    if !sandbox.grants().first_use(&client.id, jti, expires * 1000, now) {
        return Err(refuse("jti was used before"));
    }
    Ok(client)
}

/// `aud` is the token URL. At the other endpoints their own URL will do as well, because RFC 7523
/// §3 only asks for a value that identifies the server.
fn check_audience(sandbox: &Sandbox, audience: Option<&Value>, endpoint: &str) -> Result<(), &'static str> {
    let one = match audience {
        Some(Value::String(one)) => Some(one.as_str()),
        Some(Value::Array(list)) => match list.as_slice() {
            [Value::String(one)] => Some(one.as_str()),
            _ => None,
        },
        _ => None,
    };
    match one {
        Some(url) if url == sandbox.url("/auth/token") || url == endpoint => Ok(()),
        _ => Err("aud has to be the token URL exactly"),
    }
}

/// A `NumericDate`, which may have a fraction (RFC 7519 §2); the fraction does not count.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.to_string().split('.').next()?.parse().ok())
}

/// The keys of a client with a `kid`. A cached set that lacks it is fetched again, so that a
/// rotated key works at once.
async fn keys(sandbox: &Sandbox, url: &str, kid: &str) -> Result<Vec<Value>, &'static str> {
    let cache = &sandbox.inner.client_keys;
    let pick = |keys: &[Value]| -> Vec<Value> {
        keys.iter().filter(|key| key.get("kid").and_then(Value::as_str) == Some(kid)).cloned().collect()
    };
    let now = sandbox.now();
    let cached = lock(&cache.sets)
        .get(url)
        .filter(|(fetched, _)| now - fetched < JWKS_CACHE_MS)
        .map(|(_, keys)| pick(keys))
        .unwrap_or_default();
    if !cached.is_empty() {
        return Ok(cached);
    }
    let fetched = fetch(cache, url).await?;
    let found = pick(&fetched);
    lock(&cache.sets).insert(url.to_owned(), (now, fetched));
    if found.is_empty() {
        return Err("the JWKS has no key of that kid");
    }
    Ok(found)
}

async fn fetch(cache: &KeyCache, url: &str) -> Result<Vec<Value>, &'static str> {
    const UNREACHABLE: &str = "the JWKS URL cannot be read";
    let http = if let Some(http) = cache.http.get() {
        http
    } else {
        let built = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| UNREACHABLE)?;
        cache.http.get_or_init(|| built)
    };
    let mut response = http.get(url).send().await.map_err(|_| UNREACHABLE)?;
    if !response.status().is_success() {
        return Err("the JWKS URL does not answer 200");
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| UNREACHABLE)? {
        body.extend_from_slice(&chunk);
        if body.len() > JWKS_BYTES {
            return Err("the JWKS is larger than 256 kB");
        }
    }
    let set: Value = serde_json::from_slice(&body).map_err(|_| "the JWKS is not JSON")?;
    match set.get("keys") {
        Some(Value::Array(keys)) => Ok(keys.clone()),
        _ => Err("the JWKS has no keys"),
    }
}
