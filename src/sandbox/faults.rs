//! Faults of single requests: what networks and tired servers do.
//!
//! Imports nothing of ours outside the sandbox. Invariant: a fault hits one request, the next one to its
//! endpoint.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::{Sandbox, lock};

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `.well-known/smart-configuration`, `.well-known/openid-configuration` and `metadata`.
    Discovery,
    /// The authorization endpoint.
    Authorize,
    /// The token endpoint.
    Token,
    /// The keys that sign identity tokens.
    Jwks,
    /// The revocation endpoint.
    Revoke,
    /// The introspection endpoint.
    Introspect,
    /// The rest of the FHIR server.
    Fhir,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// This status, and a page that is no protocol's answer.
    Status(u16),
    /// 429 with `Retry-After`, in seconds.
    TooManyRequests(u32),
    /// An error of OAuth: at the authorization endpoint it goes to the redirect URI.
    #[serde(rename = "oauth_error")]
    OAuthError(String),
    /// The right answer, so many milliseconds late.
    Slow(u64),
    /// 200 and half of a JSON document.
    Malformed,
    /// The connection breaks in the middle of the answer.
    Dropped,
}

/// The faults that wait.
#[derive(Default)]
pub(super) struct Faults(HashMap<Endpoint, VecDeque<Fault>>);

impl Faults {
    pub(super) fn add(&mut self, endpoint: Endpoint, fault: Fault) {
        self.0.entry(endpoint).or_default().push_back(fault);
    }

    fn take(&mut self, endpoint: Endpoint) -> Option<Fault> {
        self.0.get_mut(&endpoint)?.pop_front()
    }
}

/// A fault as `POST /sandbox/faults` takes it: `{"endpoint": "token", "fault": {"status": 503}}`.
#[derive(Deserialize)]
pub(super) struct Order {
    endpoint: Endpoint,
    fault: Fault,
}

/// `POST /sandbox/faults`
pub(super) async fn inject(State(sandbox): State<Sandbox>, Json(order): Json<Order>) -> StatusCode {
    sandbox.inject(order.endpoint, order.fault);
    StatusCode::NO_CONTENT
}

fn endpoint(path: &str) -> Option<Endpoint> {
    Some(match path {
        "/auth/authorize" => Endpoint::Authorize,
        "/auth/token" => Endpoint::Token,
        "/auth/jwks" => Endpoint::Jwks,
        "/auth/revoke" => Endpoint::Revoke,
        "/auth/introspect" => Endpoint::Introspect,
        _ if path.contains("/.well-known/") || path.ends_with("/metadata") => Endpoint::Discovery,
        _ if path.starts_with("/fhir") || path.starts_with("/interconnect-fhir-oauth/") => Endpoint::Fhir,
        _ => return None,
    })
}

/// Lets a request go wrong, if a fault waits for it.
pub(super) async fn apply(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    let endpoint = endpoint(request.uri().path());
    let fault = endpoint.and_then(|endpoint| lock(&sandbox.inner.faults).take(endpoint));
    match (fault, endpoint) {
        (None, _) => next.run(request).await,
        (Some(Fault::Slow(millis)), _) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            next.run(request).await
        }
        (Some(Fault::OAuthError(error)), Some(Endpoint::Authorize)) => refuse(&sandbox, &request, &error),
        (Some(Fault::OAuthError(error)), _) => {
            (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
        }
        (Some(Fault::Status(status)), _) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, "<html><h1>Something went wrong</h1>").into_response()
        }
        (Some(Fault::TooManyRequests(seconds)), _) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())], "{}").into_response()
        }
        (Some(Fault::Malformed), _) => {
            ([(header::CONTENT_TYPE, "application/json")], "{\"access_token\": \"half-a-tok").into_response()
        }
        (Some(Fault::Dropped), _) => {
            let broken = futures::stream::iter([
                Ok(Bytes::from_static(b"{\"access_token\": ")),
                Err(std::io::Error::other("the connection broke")),
            ]);
            ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(broken)).into_response()
        }
    }
}

/// The error goes where the request asks to be answered; a fault may be careless about whether that is
/// registered.
fn refuse(sandbox: &Sandbox, request: &Request, error: &str) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let find = |name: &str| {
        url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let redirect_uri = find("redirect_uri").unwrap_or_default();
    super::authorize::deny(sandbox, &redirect_uri, find("state").as_deref(), error, "as it was asked for")
}
