//! Introspection (RFC 7662, SMART "Token Introspection") and revocation (RFC 7009).
//!
//! Imports nothing of ours outside the sandbox. Invariant: a client learns and ends only what is
//! its own.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::client_auth::authenticate;
use super::error::{OAuthError, no_store};
use super::grants::Live;
use super::params::{Params, is_form};
use super::scope::{self, Meaning};
use super::{ClientAuth, Sandbox, oidc};

/// `POST /auth/introspect`.
pub(super) async fn introspect(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    sandbox.count(|stats| stats.introspect += 1);
    let form = Params::parse(&body);
    match inspect(&sandbox, &headers, &form).await {
        Ok(body) => no_store(Json(body).into_response()),
        Err(error) => error.into_response(),
    }
}

async fn inspect(sandbox: &Sandbox, headers: &HeaderMap, form: &Params) -> Result<Value, OAuthError> {
    let endpoint = sandbox.url("/auth/introspect");
    let token = token(headers, form)?;
    let client = authenticate(sandbox, headers, form, &endpoint).await?;
    if matches!(client.auth, ClientAuth::Public) {
        // RFC 7662 §2.1: the endpoint must not let itself be scanned for tokens.
        return Err(OAuthError::client("a public client may not introspect"));
    }
    let now = sandbox.now();
    let live = {
        let grants = sandbox.grants();
        grants.access(token, now).or_else(|| grants.refresh(token, now))
    };
    Ok(live
        .filter(|live| live.grant.client == client.id)
        .map_or_else(|| json!({ "active": false }), |live| describe(sandbox, &live)))
}

fn describe(sandbox: &Sandbox, live: &Live) -> Value {
    let grant = &live.grant;
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("active", json!(true));
    put("scope", json!(scope::join(&live.scopes)));
    put("client_id", json!(grant.client));
    put("token_type", json!("Bearer"));
    put("exp", json!(live.expires / 1000));
    if let Some(patient) = &grant.context.patient {
        put("patient", json!(patient));
    }
    if let Some(encounter) = &grant.context.encounter {
        put("encounter", json!(encounter));
    }
    if let Some(user) = grant.user
        && scope::has(&grant.scopes, &Meaning::OpenId)
    {
        put("iss", json!(sandbox.inner.base_url));
        put("sub", json!(user.subject));
        if let Some(fhir_user) = oidc::fhir_user(sandbox, grant) {
            put("fhirUser", json!(fhir_user));
        }
    }
    Value::Object(body)
}

/// `POST /auth/revoke`.
pub(super) async fn revoke(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if sandbox.personality().no_revocation_endpoint {
        return StatusCode::NOT_FOUND.into_response();
    }
    sandbox.count(|stats| stats.revoke += 1);
    let form = Params::parse(&body);
    match end(&sandbox, &headers, &form).await {
        Ok(()) => no_store(StatusCode::OK.into_response()),
        Err(error) => error.into_response(),
    }
}

async fn end(sandbox: &Sandbox, headers: &HeaderMap, form: &Params) -> Result<(), OAuthError> {
    let endpoint = sandbox.url("/auth/revoke");
    let token = token(headers, form)?;
    let client = authenticate(sandbox, headers, form, &endpoint).await?;
    sandbox.count(|stats| stats.revoked_tokens.push(token.to_owned()));
    let mut grants = sandbox.grants();
    // RFC 7009 §2.2: an unknown token is no error; §2.1: another client's is.
    match grants.owner(token) {
        Some(owner) if owner != client.id => {
            Err(OAuthError::new("unauthorized_client", "the token was issued to another client"))
        }
        _ => {
            grants.revoke(token);
            Ok(())
        }
    }
}

fn token<'a>(headers: &HeaderMap, form: &'a Params) -> Result<&'a str, OAuthError> {
    if !is_form(headers) {
        return Err(OAuthError::request("the body has to be application/x-www-form-urlencoded"));
    }
    form.one("token")?.ok_or_else(|| OAuthError::request("token is missing"))
}
