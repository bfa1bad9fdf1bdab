//! Asking an EHR about a token (RFC 7662; SMART App Launch 2.2, "Token Introspection").

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::token::TokenClient;
use crate::server::net::{NetError, Request};

/// What the EHR says about a token, as far as we look.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Introspection {
    /// Whether it is good now.
    pub active: bool,
    /// What it allows.
    #[serde(default)]
    pub scope: Option<String>,
}

/// Why nothing is known of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntrospectError {
    /// The EHR did not answer.
    #[error("introspection endpoint: {0}")]
    Net(#[from] NetError),
    /// It answered, but not with success.
    #[error("introspection endpoint: status {0}")]
    Status(u16),
    /// It answered with something else.
    #[error("introspection endpoint: not an answer")]
    Malformed,
}

/// Asks. `client.endpoint` is the introspection endpoint. A public client should not be
/// answered (RFC 7662 §2.1), so it need not ask.
///
/// # Errors
/// See [`IntrospectError`].
pub async fn introspect(client: &TokenClient<'_>, token: &SecretString) -> Result<Introspection, IntrospectError> {
    let mut form = vec![("token", token.expose_secret().to_owned()), ("token_type_hint", "access_token".to_owned())];
    let proof = client.credential.prove(client.client_id, client.client_id_in_body);
    form.extend(proof.form);
    let headers: Vec<_> =
        proof.authorization.iter().map(|value| ("authorization", value.expose_secret().to_owned())).collect();
    let request = Request { url: client.endpoint, accept: "application/json", bearer: None, headers: &headers };
    let answer = client.http.post_form(&request, &form).await?;
    if !answer.status.is_success() {
        return Err(IntrospectError::Status(answer.status.as_u16()));
    }
    serde_json::from_slice(&answer.body).map_err(|_| IntrospectError::Malformed)
}
