//! The three ways of saying no: to whoever starts the sandbox, to an OAuth client, to a FHIR client.
//!
//! Imports nothing of ours outside the sandbox. Invariant: every OAuth error has a code of its
//! RFC, and every FHIR error has an `OperationOutcome`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::params::Repeated;

/// Why a sandbox could not start or stopped.
#[derive(Debug)]
pub enum SandboxError {
    /// The base URL is not a bare http(s) origin in its normal form.
    BaseUrl(String),
    /// A registered client is unusable.
    Client(String),
    /// No signing key could be generated.
    Key,
    /// The listener failed.
    Serve(std::io::Error),
}

impl std::fmt::Display for SandboxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BaseUrl(url) => write!(f, "sandbox base URL {url:?} is not an origin such as http://127.0.0.1:4000"),
            Self::Client(why) => write!(f, "sandbox {why}"),
            Self::Key => f.write_str("sandbox could not generate a signing key"),
            Self::Serve(_) => f.write_str("sandbox stopped serving"),
        }
    }
}

impl std::error::Error for SandboxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Serve(error) => Some(error),
            _ => None,
        }
    }
}

/// An error answer of the token, introspection or revocation endpoint (RFC 6749 §5.2).
#[derive(Debug)]
pub(super) struct OAuthError {
    status: StatusCode,
    code: &'static str,
    description: String,
}

impl OAuthError {
    /// An error with status 400, the rule of RFC 6749 §5.2.
    pub(super) fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description: description.into() }
    }

    /// The client did not prove who it is: 401.
    pub(super) fn client(description: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..Self::new("invalid_client", description) }
    }

    /// The grant, code or token is worth nothing.
    pub(super) fn grant(description: impl Into<String>) -> Self {
        Self::new("invalid_grant", description)
    }

    /// The request is malformed.
    pub(super) fn request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    /// The sandbox itself failed.
    pub(super) fn server() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Self::new("server_error", "the sandbox could not draw random bytes")
        }
    }
}

/// RFC 6749 §4.1.2.1 and §5.2: what characters an `error_description` may have.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '\\' => '\'',
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}

impl From<Repeated> for OAuthError {
    fn from(Repeated(name): Repeated) -> Self {
        Self::request(format!("parameter {name:?} is repeated"))
    }
}

impl From<getrandom::Error> for OAuthError {
    fn from(_: getrandom::Error) -> Self {
        Self::server()
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code, "error_description": self.description });
        let mut response = no_store((self.status, Json(body)).into_response());
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 6749 §5.2 demands it after a Basic attempt, RFC 9110 §15.5.2 with every 401.
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"sandbox\", charset=\"UTF-8\""),
            );
        }
        response
    }
}

/// RFC 6749 §5.1: an answer that may carry tokens is not to be stored by any cache.
pub(super) fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// A FHIR error: a status and the `OperationOutcome` that explains it.
#[derive(Debug)]
pub(super) struct Outcome {
    status: StatusCode,
    code: &'static str,
    text: String,
    challenge: Option<&'static str>,
}

impl Outcome {
    /// An outcome with an issue type of the FHIR value set `issue-type`.
    pub(super) fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into(), challenge: None }
    }

    /// 400: the request is not understood.
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", text)
    }

    /// 404: no such resource, type or operation.
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", text)
    }

    /// 401 without an error code: no credentials were presented (RFC 6750 §3.1).
    pub(super) fn no_token() -> Self {
        Self {
            challenge: Some("Bearer realm=\"sandbox\""),
            ..Self::new(StatusCode::UNAUTHORIZED, "login", "A bearer token is required")
        }
    }

    /// 401 `invalid_token`: expired, revoked, unknown, or of another base (RFC 6750 §3.1).
    pub(super) fn bad_token() -> Self {
        Self {
            challenge: Some("Bearer realm=\"sandbox\", error=\"invalid_token\""),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "login",
                "The bearer token is expired, revoked, unknown or bound to another base",
            )
        }
    }

    /// 403: the token's scopes do not reach this far (RFC 6750 §3.1).
    pub(super) fn scope(text: impl Into<String>) -> Self {
        Self {
            challenge: Some("Bearer realm=\"sandbox\", error=\"insufficient_scope\""),
            ..Self::new(StatusCode::FORBIDDEN, "forbidden", text)
        }
    }

    /// 422: the resource breaks a rule of the server.
    pub(super) fn unprocessable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invariant", text)
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let body = json!({
            "resourceType": "OperationOutcome",
            "issue": [{
                "severity": "error",
                "code": self.code,
                "diagnostics": self.text,
                "details": { "text": self.text }
            }]
        });
        let mut response = fhir_json(self.status, &body);
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// A FHIR JSON answer (FHIR R4 HTTP, "Content Types and encodings").
pub(super) fn fhir_json(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/fhir+json"), (header::CACHE_CONTROL, "no-store")], body.to_string())
        .into_response()
}
