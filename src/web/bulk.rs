//! The JSON routes of bulk exports under `/api/integrations/ehr/bulk/`, and their live events.
//!
//! Guards: an event stream ends when the process stops, and after five minutes: the browser comes back with the
//! last id that it has seen.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::ehr::{answer, caller, parse};
use crate::model::export::{ExportRequest, ExportStatus};
use crate::model::field::Rule;
use crate::model::id::{ExportId, ProviderId};
use crate::model::problem::Code;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::flow::Caller;
use crate::server::flow::export::{self, Order};
use crate::server::request::RequestMeta;

/// How often an event stream looks for changes.
const LOOK: Duration = Duration::from_secs(1);
/// How long an event stream lasts.
const STREAM: Duration = Duration::from_mins(5);

/// The body of `start`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    provider_id: ProviderId,
    #[serde(flatten)]
    request: ExportRequest,
}

/// An export with the address of its status.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    #[serde(flatten)]
    status: ExportStatus,
    status_url: String,
}

impl Job {
    fn new(app: &App, status: ExportStatus) -> Self {
        let status_url = app.config.ehr_url(&format!("bulk/status?jobId={}", status.job_id));
        Self { status, status_url }
    }
}

/// `POST bulk/start`: 202 with the export and the address of its status.
pub(super) async fn start(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let start = async {
        let Start { provider_id, request } = parse(body)?;
        Ok(Job::new(&app, export::start(&app, caller(&meta)?, &provider_id, request).await?))
    };
    match start.await {
        Ok(job) => (StatusCode::ACCEPTED, [(LOCATION, job.status_url.clone())], Json(job)).into_response(),
        Err(failure) => answer::<()>(&meta, Err(failure)),
    }
}

/// Which export, in a query or a body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Which {
    job_id: ExportId,
    /// One of its files; in `files`, the last one that is known already.
    #[serde(default)]
    file: Option<i64>,
}

fn which(query: Result<Query<Which>, QueryRejection>) -> Outcome<Which> {
    query.map(|Query(which)| which).map_err(|_| Failure::field("jobId", Rule::Required))
}

/// `GET bulk/status?jobId`
pub(super) async fn status(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    query: Result<Query<Which>, QueryRejection>,
) -> Response {
    let read = async { Ok(Job::new(&app, export::status(&app, caller(&meta)?, &which(query)?.job_id).await?)) };
    answer(&meta, read.await)
}

/// `GET bulk/jobs`: the last exports, newest first.
pub(super) async fn jobs(State(app): State<App>, Extension(meta): Extension<RequestMeta>) -> Response {
    let read = async {
        let page = export::page(&app, caller(&meta)?).await?;
        let jobs: Vec<_> = page.exports.into_iter().map(|status| Job::new(&app, status)).collect();
        Ok(json!({ "jobs": jobs }))
    };
    answer(&meta, read.await)
}

/// `GET bulk/files?jobId[&file]`: up to 1,000 files after the one of that number.
pub(super) async fn files(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    query: Result<Query<Which>, QueryRejection>,
) -> Response {
    let read = async {
        let Which { job_id, file } = which(query)?;
        let files = export::files(&app, caller(&meta)?, &job_id, file.unwrap_or_default()).await?;
        Ok(json!({ "files": files }))
    };
    answer(&meta, read.await)
}

/// `POST bulk/{pause,resume,cancel,retry,delete}` with `jobId` in the body or the query.
pub(super) async fn order(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    Path(name): Path<String>,
    query: Result<Query<Which>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let give = async {
        let Which { job_id, file } = match query {
            Ok(Query(which)) => which,
            Err(_) => parse(body)?,
        };
        let order = match name.as_str() {
            "pause" => Order::Pause,
            "resume" => Order::Resume,
            "cancel" => Order::Cancel,
            "retry" => Order::Retry { file },
            "delete" => Order::Delete,
            _ => return Err(Code::NotFound.into()),
        };
        let left = export::order(&app, caller(&meta)?, &job_id, order).await?;
        Ok(left.map_or_else(|| json!({"jobId": job_id, "deleted": true}), |status| json!(Job::new(&app, status))))
    };
    answer(&meta, give.await)
}

/// Where an event stream is.
struct Watch {
    app: App,
    caller: Caller,
    seen: Option<i64>,
    until: Instant,
}

/// `GET bulk/events`: the practice's exports, whenever one of them changes, as events called `exports`.
pub(super) async fn events(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    headers: HeaderMap,
) -> Response {
    let caller = match caller(&meta).cloned() {
        Ok(caller) => caller,
        Err(failure) => return answer::<()>(&meta, Err(failure)),
    };
    // Refused now rather than in the stream.
    if let Err(failure) = export::stamp(&app, &caller).await {
        return answer::<()>(&meta, Err(failure));
    }
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let watch = Watch { app, caller, seen, until: Instant::now() + STREAM };
    let events = stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(event), watch))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

impl Watch {
    /// The next change; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.app.stopping.is_cancelled() || Instant::now() > self.until {
                return None;
            }
            let stamp = export::stamp(&self.app, &self.caller).await.ok()?;
            if self.seen != Some(stamp) {
                let page = export::page(&self.app, &self.caller).await.ok()?;
                self.seen = Some(stamp);
                return Event::default().event("exports").id(stamp.to_string()).json_data(page).ok();
            }
            let stopping = self.app.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => return None,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}
