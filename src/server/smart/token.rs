//! The token endpoint: exchanging a code, and renewing an access token.
//!
//! SMART App Launch 2.2, "Obtain access token" and "Refresh access token"; RFC 6749 §4.1.3, §5, §6.
//! Guards: tokens are [`SecretString`]s from the first byte that is parsed; a request is sent once.

use oauth2::basic::{BasicErrorResponse, BasicErrorResponseType};
use reqwest::header::RETRY_AFTER;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::client_auth::Credential;
use crate::model::problem::Code;
use crate::server::net::{Http, NetError, Request};

/// Where a token request goes, and as whom.
pub struct TokenClient<'a> {
    /// The client for outbound calls.
    pub http: &'a Http,
    /// The EHR's token endpoint.
    pub endpoint: &'a str,
    /// As whom.
    pub client_id: &'a str,
    /// What proves it.
    pub credential: &'a Credential,
    /// Whether the vendor wants `client_id` in the form of confidential clients too.
    pub client_id_in_body: bool,
}

/// A token answer. Fields that vendors get wrong are read leniently.
#[derive(Deserialize)]
pub struct TokenAnswer {
    /// The access token; opaque.
    pub access_token: SecretString,
    /// `Bearer`, in any case.
    #[serde(default)]
    token_type: String,
    /// Seconds of life.
    #[serde(default, deserialize_with = "lenient_seconds")]
    pub expires_in: Option<i64>,
    /// What was granted; `None` when the EHR does not say.
    #[serde(default)]
    pub scope: Option<String>,
    /// To renew with.
    #[serde(default)]
    pub refresh_token: Option<SecretString>,
    /// Who granted it.
    #[serde(default)]
    pub id_token: Option<SecretString>,
    /// The patient of the grant.
    #[serde(default, deserialize_with = "lenient_text")]
    pub patient: Option<String>,
    /// The encounter that is open in the EHR.
    #[serde(default, deserialize_with = "lenient_text")]
    pub encounter: Option<String>,
    /// What the user wants to do.
    #[serde(default, deserialize_with = "lenient_text")]
    pub intent: Option<String>,
    /// `false` when the EHR shows the patient's name itself.
    #[serde(default, deserialize_with = "lenient_bool")]
    pub need_patient_banner: Option<bool>,
    /// Where the EHR's colours are.
    #[serde(default, deserialize_with = "lenient_text")]
    pub smart_style_url: Option<String>,
    /// The EHR's tenant.
    #[serde(default, deserialize_with = "lenient_text")]
    pub tenant: Option<String>,
    /// Further references of the launch.
    #[serde(default, rename = "fhirContext")]
    pub fhir_context: Option<serde_json::Value>,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The EHR did not answer.
    #[error("token endpoint: {0}")]
    Net(#[from] NetError),
    /// The code or refresh token is used up, expired or not ours.
    #[error("invalid_grant")]
    InvalidGrant,
    /// The refresh token was used before, and the EHR says so.
    #[error("invalid_grant, because of another use")]
    Reused,
    /// The client is not who it says.
    #[error("{0}")]
    Client(&'static str),
    /// A scope is not allowed.
    #[error("invalid_scope")]
    InvalidScope,
    /// Too many requests.
    #[error("too many requests")]
    RateLimited {
        /// After how many seconds the EHR wants to be asked again, where it says.
        retry_after: Option<u32>,
    },
    /// Another error of RFC 6749 §5.2, or a status without one.
    #[error("status {0} without a usable error")]
    Status(u16),
    /// Not a token answer, or not a bearer token.
    #[error("not a token answer")]
    Malformed,
}

impl TokenError {
    /// What it means in our catalogue, for an exchange that a person waits for.
    pub const fn code(&self) -> Code {
        match self {
            Self::InvalidGrant | Self::Reused => Code::StateExpired,
            Self::Client(_) => Code::ClientAuthFailed,
            Self::InvalidScope => Code::ScopeDenied,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Net(_) | Self::Status(_) | Self::Malformed => Code::EhrUnavailable,
        }
    }

    /// After how many seconds the EHR wants to be asked again, where it says.
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after } => *retry_after,
            _ => None,
        }
    }
}

impl TokenClient<'_> {
    /// Exchanges a code.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn exchange(&self, code: &str, redirect_uri: &str, verifier: &str) -> Result<TokenAnswer, TokenError> {
        self.post(vec![
            ("grant_type", "authorization_code".into()),
            ("code", code.into()),
            ("redirect_uri", redirect_uri.into()),
            ("code_verifier", verifier.into()),
        ])
        .await
    }

    /// Renews an access token. Without `scope` the grant stays as it is (RFC 6749 §6); with one, it must be
    /// what was granted, or less.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn refresh(&self, refresh_token: &SecretString, scope: Option<&str>) -> Result<TokenAnswer, TokenError> {
        let mut form =
            vec![("grant_type", "refresh_token".into()), ("refresh_token", refresh_token.expose_secret().into())];
        form.extend(scope.map(|scope| ("scope", scope.to_owned())));
        self.post(form).await
    }

    /// Asks for a token of the client's own (SMART "Backend Services", "Obtain access token").
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn client_credentials(&self, scopes: &str) -> Result<TokenAnswer, TokenError> {
        self.post(vec![("grant_type", "client_credentials".into()), ("scope", scopes.into())]).await
    }

    async fn post(&self, mut form: Vec<(&'static str, String)>) -> Result<TokenAnswer, TokenError> {
        let proof = self.credential.prove(self.client_id, self.client_id_in_body);
        form.extend(proof.form);
        let headers: Vec<_> =
            proof.authorization.iter().map(|value| ("authorization", value.expose_secret().to_owned())).collect();
        let request = Request { url: self.endpoint, accept: "application/json", bearer: None, headers: &headers };
        let answer = self.http.post_form(&request, &form).await?;
        if answer.status.is_success() {
            let token: TokenAnswer = serde_json::from_slice(&answer.body).map_err(|_| TokenError::Malformed)?;
            let bearer = token.token_type.is_empty() || token.token_type.eq_ignore_ascii_case("bearer");
            return if bearer && !token.access_token.expose_secret().is_empty() {
                Ok(token)
            } else {
                Err(TokenError::Malformed)
            };
        }
        let retry_after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Err(refusal(answer.status.as_u16(), &answer.body, retry_after))
    }
}

/// The `error` member decides, not the status: some servers answer 401 to `invalid_grant`.
fn refusal(status: u16, body: &[u8], retry_after: Option<&str>) -> TokenError {
    let error = serde_json::from_slice::<BasicErrorResponse>(body).ok();
    match error.as_ref().map(oauth2::StandardErrorResponse::error) {
        Some(BasicErrorResponseType::InvalidGrant) => {
            let description = error.as_ref().and_then(oauth2::StandardErrorResponse::error_description);
            if description.is_some_and(|text| is_reuse(text)) { TokenError::Reused } else { TokenError::InvalidGrant }
        }
        Some(BasicErrorResponseType::InvalidClient) => TokenError::Client("invalid_client"),
        Some(BasicErrorResponseType::UnauthorizedClient) => TokenError::Client("unauthorized_client"),
        Some(BasicErrorResponseType::InvalidScope) => TokenError::InvalidScope,
        // A date instead of seconds is rare here, and a minute is what we say without.
        _ if status == 429 => {
            TokenError::RateLimited { retry_after: retry_after.and_then(|text| text.trim().parse().ok()) }
        }
        _ if status == 401 => TokenError::Client("status 401"),
        _ => TokenError::Status(status),
    }
}

/// Whether a description says that the token was used before: the standard has no word of its own for it.
fn is_reuse(description: &str) -> bool {
    let said = description.to_ascii_lowercase();
    ["reuse", "re-use", "used before", "already used", "already been used", "used twice"]
        .iter()
        .any(|word| said.contains(word))
}

/// Some servers send the number as text.
fn lenient_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Whole(i64),
        Fraction(f64),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Option::<Seconds>::deserialize(deserializer)? {
        Some(Seconds::Whole(seconds)) => Some(seconds),
        #[expect(clippy::cast_possible_truncation, reason = "a life of seconds fits; `as` saturates")]
        Some(Seconds::Fraction(seconds)) => Some(seconds as i64),
        Some(Seconds::Text(text)) => text.trim().parse().ok(),
        Some(Seconds::Other(_)) | None => None,
    }
    .filter(|seconds| (0..=31_536_000).contains(seconds)))
}

/// Context that is no text is as good as none; it must not cost the token.
fn lenient_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| match value {
        serde_json::Value::String(text) if !text.trim().is_empty() => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }))
}

/// Some servers send `"false"`.
fn lenient_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| match value {
        serde_json::Value::Bool(is) => Some(is),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_odd_answers() {
        let read = |text: &str| serde_json::from_str::<TokenAnswer>(text).unwrap();
        assert_eq!(read(r#"{"access_token":"a","token_type":"bearer","expires_in":"570"}"#).expires_in, Some(570));
        assert_eq!(read(r#"{"access_token":"a","token_type":"Bearer","expires_in":3600.0}"#).expires_in, Some(3600));
        assert_eq!(read(r#"{"access_token":"a","expires_in":-1}"#).expires_in, None);
        assert_eq!(read(r#"{"access_token":"a","scope":"x"}"#).scope.as_deref(), Some("x"));
    }

    #[test]
    fn the_error_member_decides() {
        let refused = |status, body: &[u8]| refusal(status, body, Some(" 7"));
        assert_eq!(refused(401, br#"{"error":"invalid_grant"}"#), TokenError::InvalidGrant);
        assert_eq!(refused(400, br#"{"error":"invalid_client"}"#), TokenError::Client("invalid_client"));
        assert_eq!(refused(401, b"<html>"), TokenError::Client("status 401"));
        assert_eq!(refused(500, b""), TokenError::Status(500));
        assert_eq!(refused(429, b"").retry_after(), Some(7));
        assert_eq!(refused(500, b"").retry_after(), None);
    }

    #[test]
    fn another_use_is_known_by_its_words() {
        let refused = |text: &str| {
            let body = serde_json::json!({"error": "invalid_grant", "error_description": text});
            refusal(400, body.to_string().as_bytes(), None)
        };
        for text in ["Maximum allowed refresh token reuse exceeded", "The token has already been used."] {
            assert_eq!(refused(text), TokenError::Reused, "{text}");
        }
        assert_eq!(refused("The refresh token is invalid or expired."), TokenError::InvalidGrant);
    }
}
