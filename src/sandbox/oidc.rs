//! OIDC: the issuer's configuration, its keys, and id tokens.
//!
//! Imports nothing of ours outside the sandbox. Invariant: a plain id token names the issuer that
//! the configuration names, one client, and lives five minutes.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::discovery::server_metadata;
use super::grants::Grant;
use super::scope::{self, Meaning};
use super::{Sandbox, jose};

/// `{issuer}/.well-known/openid-configuration` (OIDC Discovery §3 and §4).
pub(super) async fn configuration(State(sandbox): State<Sandbox>) -> Response {
    if sandbox.personality().metadata_500 {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let mut metadata = server_metadata(&sandbox, false);
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("subject_types_supported".to_owned(), json!(["public"]));
        metadata.insert("id_token_signing_alg_values_supported".to_owned(), json!(["RS256"]));
        metadata.insert("claims_supported".to_owned(), json!(["iss", "sub", "aud", "exp", "iat", "nonce", "fhirUser"]));
    }
    Json(metadata).into_response()
}

/// The public key that verifies id tokens.
pub(super) async fn jwks(State(sandbox): State<Sandbox>) -> Response {
    let keys = json!({ "keys": [sandbox.inner.signer.jwk()] });
    ([(header::CACHE_CONTROL, "max-age=300")], Json(keys)).into_response()
}

/// The `fhirUser` of a grant, as an absolute URL, when that scope was granted.
pub(super) fn fhir_user(sandbox: &Sandbox, grant: &Grant) -> Option<String> {
    let user = grant.user?;
    let base = grant.base?.url(&sandbox.inner.base_url);
    scope::has(&grant.scopes, &Meaning::FhirUser).then(|| format!("{base}/Practitioner/{}", user.practitioner))
}

/// The id token of a grant (SMART "Scopes for requesting identity data"; OIDC Core §2).
pub(super) fn id_token(sandbox: &Sandbox, grant: &Grant) -> Option<String> {
    let personality = sandbox.personality();
    let user = grant.user?;
    if personality.no_id_token || !scope::has(&grant.scopes, &Meaning::OpenId) {
        return None;
    }
    let issuer =
        if personality.wrong_id_token_issuer { "https://other-issuer.example.org" } else { &sandbox.inner.base_url };
    let mut now = sandbox.now() / 1000 + personality.clock_ahead_seconds;
    if personality.id_token_expired {
        now -= 3600;
    }
    let mut claims = serde_json::Map::new();
    claims.insert("iss".to_owned(), json!(issuer));
    claims.insert("sub".to_owned(), json!(user.subject));
    claims.insert("aud".to_owned(), json!(grant.client));
    claims.insert("iat".to_owned(), json!(now));
    claims.insert("exp".to_owned(), json!(now + 300));
    if personality.wrong_nonce {
        claims.insert("nonce".to_owned(), json!("a-nonce-that-nobody-sent"));
    } else if let Some(nonce) = &grant.nonce {
        claims.insert("nonce".to_owned(), json!(nonce));
    }
    if let Some(fhir_user) = fhir_user(sandbox, grant) {
        claims.insert("fhirUser".to_owned(), json!(fhir_user));
    }
    let claims = Value::Object(claims);
    if personality.id_token_alg_none {
        return Some(jose::unsigned(&claims));
    }
    let kid = personality.id_token_unknown_kid.then_some("a-key-that-nobody-has");
    sandbox.inner.signer.sign(&claims, kid)
}
