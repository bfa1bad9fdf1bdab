//! Faults of single requests: what networks and tired servers do.
//!
//! Imports nothing of ours outside the sandbox. Invariant: a fault hits one request, the next one to its
//! endpoint.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::error::Outcome;
use super::{Sandbox, bulk, lock};

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
    /// Kick-off of an export.
    BulkKickoff,
    /// Status of an export.
    BulkStatus,
    /// Deletion of an export.
    BulkDelete,
    /// Files of an export, at either origin.
    BulkFile,
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
    /// This status, and an `OperationOutcome` with the code `transient`.
    Transient(u16),
    /// This status, this `Retry-After` (whatever it says), and an `OperationOutcome` with the code `throttled`.
    Busy {
        /// The status.
        status: u16,
        /// What `Retry-After` says.
        retry_after: String,
    },
    /// Status: the export goes on (202), with this `Retry-After`, and the answer counts for nothing. Elsewhere
    /// as `Busy` with 429.
    RetryAfter(String),
    /// 307 to this origin.
    Redirect(String),
    /// Every access token that was issued so far ends first.
    TokenEnded,
    /// `Content-Length` is true, but the connection breaks after so many bytes of the body.
    CutAfter(usize),
    /// The body comes in chunks, and the connection breaks after so many bytes of it.
    CutChunked(usize),
    /// The body (as encoded) ends after so many bytes as if it were whole.
    Truncated(usize),
    /// The right answer, so many bytes at a time, with a pause before each.
    Trickle {
        /// How many bytes.
        bytes: usize,
        /// How long the pause is, in milliseconds.
        millis: u64,
    },
    /// Status and files: the export is gone from now on (404).
    JobGone,
    /// Files: this link is answered with this status (404 or 410) until the manifest is fetched again, which
    /// then has a new one.
    Expired(u16),
    /// Status: the counts of the manifest are off by so many.
    WrongCount(i64),
    /// Files: the first resource is of another type.
    WrongType,
    /// Files: a line in the middle is half of a resource.
    BadLine,
    /// Files: a line in the middle is not UTF-8.
    InvalidUtf8,
    /// Files: a line in the middle is so many bytes longer.
    HugeLine(usize),
    /// Files: a byte order mark comes first.
    Bom,
    /// Files: lines end with CRLF.
    Crlf,
    /// Files: the last line has no end.
    NoLastNewline,
    /// Files, where the client accepts gzip: the checksum is wrong.
    GzipBadCrc,
}

/// How many faults one order may bring.
const MOST: usize = 10_000;

/// The faults that wait.
#[derive(Default)]
pub(super) struct Faults {
    anywhere: HashMap<Endpoint, VecDeque<Fault>>,
    files: HashMap<usize, VecDeque<Fault>>,
}

impl Faults {
    pub(super) fn add(&mut self, endpoint: Endpoint, fault: Fault) {
        self.anywhere.entry(endpoint).or_default().push_back(fault);
    }

    pub(super) fn add_to_file(&mut self, number: usize, fault: Fault) {
        self.files.entry(number).or_default().push_back(fault);
    }

    /// What waits for this very file comes first.
    fn take(&mut self, endpoint: Endpoint, path: &str) -> Option<Fault> {
        let number = (endpoint == Endpoint::BulkFile).then(|| bulk::file_number(path)).flatten();
        let own = number.and_then(|number| self.files.get_mut(&number)?.pop_front());
        own.or_else(|| self.anywhere.get_mut(&endpoint)?.pop_front())
    }
}

/// A fault as `POST /sandbox/faults` takes it: `{"endpoint": "token", "fault": {"status": 503}}`, and with
/// `"times": 3` as often; with `"file": 2` (from 0) it waits for that file of an export.
#[derive(Deserialize)]
pub(super) struct Order {
    endpoint: Endpoint,
    fault: Fault,
    #[serde(default = "once")]
    times: usize,
    file: Option<usize>,
}

fn once() -> usize {
    1
}

/// `POST /sandbox/faults`
pub(super) async fn inject(State(sandbox): State<Sandbox>, Json(order): Json<Order>) -> StatusCode {
    for _ in 0..order.times.min(MOST) {
        match order.file {
            Some(number) => sandbox.inject_file(number, order.fault.clone()),
            None => sandbox.inject(order.endpoint, order.fault.clone()),
        }
    }
    StatusCode::NO_CONTENT
}

/// What `POST /sandbox/take-back` wants.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TakeBack {
    grants: bool,
}

/// `POST /sandbox/take-back`: an administrator of the EHR ends the access tokens; with `grants` the refresh
/// tokens, too.
pub(super) async fn take_back(State(sandbox): State<Sandbox>, Json(wanted): Json<TakeBack>) -> StatusCode {
    sandbox.take_back_tokens(wanted.grants);
    StatusCode::NO_CONTENT
}

fn endpoint(method: &Method, path: &str) -> Option<Endpoint> {
    Some(match path {
        _ if path.starts_with("/bulk/status/") && method == Method::DELETE => Endpoint::BulkDelete,
        _ if path.starts_with("/bulk/status/") => Endpoint::BulkStatus,
        _ if path.starts_with("/bulk/files/") => Endpoint::BulkFile,
        _ if path.ends_with("/$export") || path.ends_with("/%24export") => Endpoint::BulkKickoff,
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
    let Some(endpoint) = endpoint(request.method(), request.uri().path()) else {
        return next.run(request).await;
    };
    let watch = bulk::Watch::new(&sandbox, endpoint, &request);
    let fault = lock(&sandbox.inner.faults).take(endpoint, request.uri().path());
    let response = match fault {
        None => next.run(request).await,
        Some(fault) => strike(&sandbox, endpoint, fault, request, next).await,
    };
    match watch {
        Some(watch) => watch.over(response),
        None => response,
    }
}

async fn strike(sandbox: &Sandbox, endpoint: Endpoint, fault: Fault, mut request: Request, next: Next) -> Response {
    match fault {
        Fault::Slow(millis) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            next.run(request).await
        }
        Fault::OAuthError(error) if endpoint == Endpoint::Authorize => refuse(sandbox, &request, &error),
        Fault::RetryAfter(text) if endpoint != Endpoint::BulkStatus => busy(StatusCode::TOO_MANY_REQUESTS, &text),
        Fault::Redirect(origin) => {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("{origin}{path}"))]).into_response()
        }
        Fault::TokenEnded => {
            sandbox.take_back_tokens(false);
            next.run(request).await
        }
        fault => {
            if let Some(response) = instead(&fault) {
                return response;
            }
            // The rest is about what is in the answer, or about how its body arrives.
            request.extensions_mut().insert(fault.clone());
            bulk::mangle(next.run(request).await, &fault)
        }
    }
}

/// What comes in place of the right answer.
pub(super) fn instead(fault: &Fault) -> Option<Response> {
    Some(match fault {
        Fault::OAuthError(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
        Fault::Status(status) => (status_of(*status), "<html><h1>Something went wrong</h1>").into_response(),
        Fault::TooManyRequests(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())], "{}").into_response()
        }
        Fault::Malformed => {
            ([(header::CONTENT_TYPE, "application/json")], "{\"access_token\": \"half-a-tok").into_response()
        }
        Fault::Dropped => {
            let broken = futures::stream::iter([
                Ok(Bytes::from_static(b"{\"access_token\": ")),
                Err(std::io::Error::other("the connection broke")),
            ]);
            ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(broken)).into_response()
        }
        Fault::Transient(status) => Outcome::new(status_of(*status), "transient", "try again later").into_response(),
        Fault::Busy { status, retry_after } => busy(status_of(*status), retry_after),
        _ => return None,
    })
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn busy(status: StatusCode, retry_after: &str) -> Response {
    bulk::wait_text(Outcome::new(status, "throttled", "not now").into_response(), retry_after)
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
