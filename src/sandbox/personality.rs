//! How the sandbox differs from the plain standard, as real servers do.
//!
//! Imports nothing of ours outside the sandbox.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::Sandbox;
use super::bulk::Bulk;

/// Named deviations of real servers, all off by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent named quirks that one can grep for")]
pub struct Personality {
    /// The authorization endpoint refuses GET (405).
    pub authorize_post_only: bool,
    /// No `.well-known/smart-configuration` (404): only the `CapabilityStatement` names endpoints.
    pub no_well_known: bool,
    /// The SMART configuration names its endpoints by relative references.
    pub relative_endpoints: bool,
    /// No `id_token`, although `openid` was granted.
    pub no_id_token: bool,
    /// The `id_token` carries a nonce that nobody sent.
    pub wrong_nonce: bool,
    /// The `id_token` names another issuer.
    pub wrong_id_token_issuer: bool,
    /// Granted scopes are the requested ones without these.
    pub drop_scopes: Vec<String>,
    /// There is no revocation endpoint and none is advertised.
    pub no_revocation_endpoint: bool,
    /// Every refresh is answered `invalid_grant`.
    pub refresh_always_invalid_grant: bool,
    /// The token endpoint waits this long before it answers.
    pub token_delay_ms: u64,
    /// The token answer has no `scope`.
    pub omit_scope_in_token: bool,
    /// Resource scopes are echoed in their v1 form (`.read`, `.write`, `.*`).
    pub v1_scope_echo: bool,
    /// Grants are told as Epic tells them: resource scopes without a context (`Patient.read Patient.search`),
    /// and `offline_access` not at all.
    pub bare_scope_echo: bool,
    /// No refresh token is ever issued.
    pub no_refresh_token: bool,
    /// An `aud` that ends with a slash is refused.
    pub bad_aud_slash: bool,
    /// Only v1 scopes are offered and taken.
    pub v1_scopes_only: bool,
    /// An `aud` is refused; what is asked for is the plain base.
    pub no_aud: bool,
    /// The `id_token` has expired before it is delivered.
    pub id_token_expired: bool,
    /// The `id_token` is unsigned (`alg` none).
    pub id_token_alg_none: bool,
    /// Discovery documents and `metadata` answer 500.
    pub metadata_500: bool,
    /// An `aud` that does not end with a slash is refused.
    pub aud_needs_slash: bool,
    /// HTTP Basic is read as it is: form-encoded credentials are refused (SMART "Client Authentication:
    /// Symmetric").
    pub basic_raw_only: bool,
    /// HTTP Basic is form-decoded: credentials as they are do not fit (RFC 6749 §2.3.1).
    pub basic_form_encoded_only: bool,
    /// Assertions have to be signed with RS384.
    pub rs384_only: bool,
    /// Assertions have to be signed with ES384.
    pub es384_only: bool,
    /// The `id_token` names a key that the JWKS does not have.
    pub id_token_unknown_kid: bool,
    /// How far the clock that dates the `id_token` is ahead, in seconds.
    pub clock_ahead_seconds: i64,
    /// Another lifetime of access tokens, in seconds.
    pub access_token_seconds: Option<i64>,
    /// A renewed token is for another patient.
    pub refresh_other_patient: bool,
    /// A renewed token comes without launch context.
    pub refresh_without_context: bool,
    /// A renewal without `scope` is refused.
    pub refresh_wants_scope: bool,
    /// Searches with `_count` are refused.
    pub count_refused: bool,
    /// A create answers without a body, whatever was preferred.
    pub empty_create_body: bool,
    /// Documents are in a file store: reading one answers 307 to an address that takes no bearer token.
    pub documents_elsewhere: bool,
    /// Clients with a secret may use client credentials, too: a backend service without keys.
    pub backend_secret_allowed: bool,
    /// How the bulk server differs.
    pub bulk: Bulk,
}

/// `POST /sandbox/personality`: these deviations, and no others.
pub(super) async fn change(State(sandbox): State<Sandbox>, Json(mut wanted): Json<Personality>) -> StatusCode {
    sandbox.set_personality(|personality| {
        wanted.bulk.folder = personality.bulk.folder.take();
        *personality = wanted;
    });
    StatusCode::NO_CONTENT
}
