//! Bulk data: exports of many patients at once, as FHIR Bulk Data Access 3.0.0 describes them, and as 2.0.0 and
//! the ballot of 4.0.0 do if asked to.
//!
//! Imports nothing of ours outside the sandbox. Invariants: only a backend service exports, and only what its
//! `system/` scopes cover; a file that takes no token refuses one, so that a client that sends it is caught.

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::Outcome;
use super::fhir::{Call, whole};
use super::params::{Params, random};
use super::scope::{Level, Scope};
use super::{Sandbox, lock};

mod ask;
mod capability;
mod damage;
mod file;
mod folder;
pub mod generate;
mod job;
mod manifest;
mod options;
mod plan;
mod status;
mod wire;

pub use folder::{compress_folder, served_folder};
pub use options::{Bulk, Dialect, Issue, Synthetic};
pub use wire::BulkStats;

pub(super) use capability::announce;
pub(super) use file::{file, file_number, hosted};
pub(super) use job::Jobs;
pub(super) use status::{end, poll, wait_text};
pub(super) use wire::{Watch, mangle};

use job::Job;
use options::Dialect as Version;

/// Whose records an export covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// `{base}/$export`
    System,
    /// `{base}/Patient/$export`
    Patient,
    /// `{base}/Group/{id}/$export`
    Group(String),
}

impl Reach {
    /// The export that a path below a base names.
    pub(super) fn of(segments: &[&str]) -> Option<Self> {
        // The dollar sign needs no escape in a path, but may have one (RFC 3986 §2.2).
        let (last, level) = segments.split_last()?;
        if !matches!(*last, "$export" | "%24export") {
            return None;
        }
        match level {
            [] => Some(Self::System),
            ["Patient"] => Some(Self::Patient),
            ["Group", id] => Some(Self::Group((*id).to_owned())),
            _ => None,
        }
    }

    fn path(&self) -> String {
        match self {
            Self::System => "/$export".to_owned(),
            Self::Patient => "/Patient/$export".to_owned(),
            Self::Group(id) => format!("/Group/{id}/$export"),
        }
    }
}

/// What a kick-off is answered where there is no bulk export.
pub(super) fn absent(sandbox: &Sandbox) -> Outcome {
    let status = sandbox.personality().bulk.no_bulk.and_then(|status| StatusCode::from_u16(status).ok());
    Outcome::new(status.unwrap_or(StatusCode::NOT_FOUND), "not-supported", "there is no bulk export here")
}

/// A kick-off (Bulk Data Access 3.0.0, "Bulk Data Kick-off Request").
pub(super) async fn kick_off(
    call: &Call<'_>,
    reach: Reach,
    method: &Method,
    query: Option<&str>,
    body: Body,
) -> Result<Response, Outcome> {
    let options = call.sandbox.personality().bulk;
    if !matches!(method, &Method::GET | &Method::POST) {
        return Err(Outcome::new(StatusCode::METHOD_NOT_ALLOWED, "not-supported", "a kick-off is a GET or a POST"));
    }
    if options.dialect == Version::V4 && method == Method::GET {
        return Err(Outcome::new(StatusCode::METHOD_NOT_ALLOWED, "not-supported", "version 4 takes POST only"));
    }
    ask::check_headers(call.headers)?;
    let params = if method == Method::POST {
        ask::of_body(call.headers, &whole(body).await?)?
    } else {
        Params::parse(query.unwrap_or_default().as_bytes())
    };
    call.sandbox.count(|stats| stats.bulk.last_kickoff.clone_from(&params.0));
    let of_system = |scope: &Scope| scope.resource().is_some_and(|scope| scope.level == Level::System);
    if call.live.grant.user.is_some() || !call.live.scopes.iter().any(of_system) {
        return Err(Outcome::scope("an export needs system scopes"));
    }
    if options.group_scope_wanted && matches!(reach, Reach::Group(_)) {
        call.rules('r', super::records::GROUP)?;
    }
    let ask = ask::read(call, &options, &reach, method, &params)?;
    let client = call.live.grant.client.clone();
    if options.one_at_a_time && lock(&call.sandbox.inner.bulk).busy(&client) {
        let busy = Outcome::new(StatusCode::TOO_MANY_REQUESTS, "throttled", "another export of this client goes on");
        return Ok(status::wait(busy.into_response(), &options, call.sandbox.now()));
    }
    let parts = plan::parts(call, &options, &reach, &ask)?;
    let id = random().map_err(|_| {
        Outcome::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the sandbox could not draw random bytes")
    })?;
    let mark = if query.is_some() && method == Method::GET { "?" } else { "" };
    let asked = if method == Method::GET { query.unwrap_or_default() } else { "" };
    let separate = ask.separate;
    let job = Job {
        client,
        request: format!("{}{}{mark}{asked}", call.base_url, reach.path()),
        ask,
        dialect: options.dialect,
        started: call.sandbox.now(),
        parts,
        polls: 0,
        asked: None,
        finished: None,
    };
    lock(&call.sandbox.inner.bulk).open(&id, job, options.expires_seconds, call.sandbox.now());
    let path = format!("/bulk/status/{id}");
    let location = if options.relative_content_location { path } else { call.sandbox.url(&path) };
    let mut response = StatusCode::ACCEPTED.into_response();
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(header::CONTENT_LOCATION, location);
    }
    if separate {
        headers.insert("preference-applied", HeaderValue::from_static("respond-async, separate-export-status"));
    }
    Ok(response)
}
