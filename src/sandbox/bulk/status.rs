//! How an export gets on, and its end.
//!
//! Imports nothing of ours outside the sandbox. Invariant: an export that was deleted is unknown from then on
//! (Bulk Data Access 3.0.0, "Bulk Data Delete Request").

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use time::OffsetDateTime;
use time::macros::format_description;

use super::super::error::Outcome;
use super::super::faults::Fault;
use super::super::fhir::bearer;
use super::super::params::Params;
use super::super::{Sandbox, lock};
use super::job::Job;
use super::manifest::{self, Page};
use super::options::Bulk;

/// A date of HTTP (RFC 9110 §5.6.7).
pub(super) fn http_date(millis: i64) -> String {
    let format =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let time = OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000)).ok();
    time.and_then(|time| time.format(format).ok()).unwrap_or_default()
}

/// Says when to ask again, as the options have it.
pub(super) fn wait(response: Response, options: &Bulk, now: i64) -> Response {
    let Some(seconds) = options.retry_after_seconds else { return response };
    let text = if options.retry_after_date { http_date(now + i64::from(seconds) * 1000) } else { seconds.to_string() };
    wait_text(response, &text)
}

/// Says when to ask again, in these words.
pub(in super::super) fn wait_text(mut response: Response, text: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

fn gone() -> Outcome {
    Outcome::not_found("no such export")
}

/// `GET /bulk/status/{job}` (Bulk Data Access 3.0.0, "Bulk Data Status Request").
pub(in super::super) async fn poll(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    answer(&sandbox, &id, &request).unwrap_or_else(IntoResponse::into_response)
}

/// `DELETE /bulk/status/{job}`
pub(in super::super) async fn end(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let end = || {
        let live = bearer(&sandbox, &headers)?;
        let expires = sandbox.personality().bulk.expires_seconds;
        let now = sandbox.now();
        let mut jobs = lock(&sandbox.inner.bulk);
        jobs.find(&id, &live.grant.client, expires, now).ok_or_else(gone)?;
        jobs.end(&id);
        Ok::<_, Outcome>(StatusCode::ACCEPTED.into_response())
    };
    end().unwrap_or_else(IntoResponse::into_response)
}

fn answer(sandbox: &Sandbox, id: &str, request: &Request) -> Result<Response, Outcome> {
    let live = bearer(sandbox, request.headers())?;
    let options = sandbox.personality().bulk;
    let fault = request.extensions().get::<Fault>();
    let now = sandbox.now();
    let query = Params::parse(request.uri().query().unwrap_or_default().as_bytes());
    let page: usize = query.first("page").map_or(Ok(1), str::parse).map_err(|_| gone())?;
    let mut jobs = lock(&sandbox.inner.bulk);
    let job = jobs.find(id, &live.grant.client, options.expires_seconds, now).ok_or_else(gone)?;
    if fault == Some(&Fault::JobGone) {
        jobs.end(id);
        return Err(gone());
    }
    let pages = manifest::pages(job, &options);
    if page == 0 || page > pages {
        return Err(Outcome::not_found("no such page of the manifest"));
    }
    if options.polling_watched {
        let pause = i64::from(options.retry_after_seconds.unwrap_or_default()) * 1000;
        let early = job.finished.is_none() && job.asked.is_some_and(|asked| now < asked + pause);
        if early {
            let slower = Outcome::new(StatusCode::TOO_MANY_REQUESTS, "throttled", "you are asking too often");
            return Ok(wait(slower.into_response(), &options, now));
        }
    }
    job.asked = Some(now);
    if let Some(Fault::RetryAfter(text)) = fault {
        let percent = percent(job, &options);
        return Ok(wait_text(in_progress(job, &options, percent, None, now), text));
    }
    if job.polls < options.polls {
        job.polls += 1;
        let percent = percent(job, &options);
        let ready = pages.min(usize::try_from(job.polls).unwrap_or(usize::MAX));
        if page > ready {
            return Err(Outcome::not_found("this page of the manifest is not there yet"));
        }
        let shown = (job.ask.partial && options.page_files > 0)
            .then(|| manifest::write(sandbox, id, job, &options, Page { number: page, last: ready }, fault));
        return Ok(in_progress(job, &options, percent, shown, now));
    }
    if let Some(status) = options.fails {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let failed = Outcome::new(status, "processing", "the export failed").into_response();
        return Ok(separate(job, failed));
    }
    let finished = *job.finished.get_or_insert(now);
    let body = manifest::write(sandbox, id, job, &options, Page { number: page, last: pages }, fault);
    let mut response = separate(job, Json(body).into_response());
    if let Some(seconds) = options.expires_seconds
        && let Ok(value) = HeaderValue::from_str(&http_date(finished + seconds * 1000))
    {
        response.headers_mut().insert(header::EXPIRES, value);
    }
    Ok(response)
}

fn percent(job: &Job, options: &Bulk) -> u32 {
    job.polls.saturating_mul(100) / options.polls.saturating_add(1).max(job.polls + 1)
}

fn in_progress(job: &Job, options: &Bulk, percent: u32, shown: Option<serde_json::Value>, now: i64) -> Response {
    let mut response = match shown {
        Some(manifest) => (StatusCode::ACCEPTED, Json(manifest)).into_response(),
        None => StatusCode::ACCEPTED.into_response(),
    };
    let progress = options.progress.clone().unwrap_or_else(|| format!("{percent}%"));
    if let Ok(value) = HeaderValue::from_str(&progress) {
        response.headers_mut().insert("x-progress", value);
    }
    separate(job, wait(response, options, now))
}

/// Where the client preferred so, the status of the answer is one thing and that of the export another.
fn separate(job: &Job, mut response: Response) -> Response {
    if job.ask.separate {
        let status = HeaderValue::from(response.status().as_u16());
        response.headers_mut().insert("x-export-status", status);
        *response.status_mut() = StatusCode::OK;
    }
    response
}
