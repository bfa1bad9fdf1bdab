//! Revoking a token at the EHR (RFC 7009).

use secrecy::{ExposeSecret, SecretString};

use super::token::TokenClient;
use crate::server::net::{NetError, Request};

/// Which kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
}

impl Kind {
    /// Its name, as a hint for the EHR (RFC 7009 §2.1) and as our column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access_token",
            Self::Refresh => "refresh_token",
        }
    }
}

/// What the EHR said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The token is revoked.
    Yes,
    /// This kind of token cannot be revoked there (RFC 7009 §2.2.1): often a signed access token, which
    /// ends by age.
    Unsupported,
}

/// Why it is not known to be revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// The EHR did not answer.
    #[error("revocation endpoint: {0}")]
    Net(#[from] NetError),
    /// It answered, but not with success.
    #[error("revocation endpoint: status {0}")]
    Status(u16),
}

/// Revokes a token. `client.endpoint` is the revocation endpoint.
///
/// # Errors
/// See [`RevokeError`].
pub async fn revoke(client: &TokenClient<'_>, token: &SecretString, kind: Kind) -> Result<Revoked, RevokeError> {
    let mut form = vec![("token", token.expose_secret().to_owned()), ("token_type_hint", kind.name().to_owned())];
    let proof = client.credential.prove(client.client_id, client.client_id_in_body);
    form.extend(proof.form);
    let headers: Vec<_> =
        proof.authorization.iter().map(|value| ("authorization", value.expose_secret().to_owned())).collect();
    let request = Request { url: client.endpoint, accept: "application/json", bearer: None, headers: &headers };
    let answer = client.http.post_form(&request, &form).await?;
    if answer.status.is_success() {
        Ok(Revoked::Yes)
    } else if is_unsupported(&answer.body) {
        Ok(Revoked::Unsupported)
    } else {
        Err(RevokeError::Status(answer.status.as_u16()))
    }
}

fn is_unsupported(body: &[u8]) -> bool {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    body.is_some_and(|body| body.get("error").and_then(|error| error.as_str()) == Some("unsupported_token_type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_revoked() {
        assert!(is_unsupported(br#"{"error": "unsupported_token_type"}"#));
        assert!(
            !is_unsupported(br#"{"error": "invalid_client"}"#) && !is_unsupported(b"<html>") && !is_unsupported(b"[]")
        );
    }
}
