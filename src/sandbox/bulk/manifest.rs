//! The manifest: what files an export has, in each dialect.
//!
//! Imports nothing of ours outside the sandbox. Invariant: a page that was shown stays as it is, but for a link
//! to the next one and for links that had expired (Bulk Data Access 3.0.0, "Response - In-Progress Status").

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::Sandbox;
use super::super::faults::Fault;
use super::damage;
use super::job::{Job, Part, Role};
use super::options::{Bulk, Dialect};

/// A page of a manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// Which one, from 1.
    pub(super) number: usize,
    /// The last one that there is so far.
    pub(super) last: usize,
}

/// How many pages a manifest has in the end.
pub(super) fn pages(job: &Job, options: &Bulk) -> usize {
    if !job.ask.partial || options.page_files == 0 {
        return 1;
    }
    job.parts.iter().filter(|part| part.role == Role::Output).count().div_ceil(options.page_files).max(1)
}

/// Writes a page of the manifest; links that are no longer good are renewed.
pub(super) fn write(
    sandbox: &Sandbox,
    id: &str,
    job: &mut Job,
    options: &Bulk,
    page: Page,
    fault: Option<&Fault>,
) -> Value {
    let now = sandbox.now();
    for part in &mut job.parts {
        let stale = options.links_seconds.is_some_and(|seconds| part.minted + seconds * 1000 <= now);
        if part.gone.take().is_some() || stale {
            part.version += 1;
            part.minted = now;
        }
    }
    let origin = match &options.file_origin {
        Some(origin) if !options.file_redirect => origin.clone(),
        _ => sandbox.url(""),
    };
    let urls: Vec<String> = (0..).zip(&job.parts).map(|(place, part)| url(&origin, id, place, part)).collect();
    let list = |role: Role| -> Vec<Value> {
        let all = job.parts.iter().zip(&urls).enumerate().filter(|(_, (part, _))| part.role == role);
        let (skip, take) = match role {
            Role::Output if pages(job, options) > 1 => ((page.number - 1) * options.page_files, options.page_files),
            _ => (0, usize::MAX),
        };
        all.skip(skip)
            .take(take)
            .map(|(place, (part, url))| {
                let next = urls.get(place + 1).filter(|_| part.continues);
                entry(job, part, url, next, options, fault)
            })
            .collect()
    };
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(job.started) * 1_000_000).ok();
    let instant = instant.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default();
    let mut manifest = Map::new();
    let mut put = |name: &str, value: Value| manifest.insert(name.to_owned(), value);
    put("transactionTime", json!(instant));
    put("requiresAccessToken", json!(options.token_wanted()));
    put("output", json!(list(Role::Output)));
    let deleted = if page.number == pages(job, options) { list(Role::Deleted) } else { Vec::new() };
    if !deleted.is_empty() || options.empty_deleted {
        put("deleted", json!(deleted));
    }
    let newest = job.dialect == Dialect::V4;
    if !options.no_error_array {
        put(if newest { "outcome" } else { "error" }, json!(list(Role::Error)));
    }
    if job.ask.by_patient {
        put("outputOrganizedBy", json!("Patient"));
    }
    let note = "http://sandbox.example.org/extensions/synthetic";
    if newest {
        put("manifestType", json!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export|4.0.0-ballot"));
        put("outputFormat", json!("application/fhir+ndjson"));
        put("extension", json!([{ "url": note, "valueBoolean": true }]));
    } else {
        put("request", json!(job.request));
        put("extension", json!({ note: true }));
    }
    if page.number < page.last {
        let url = sandbox.url(&format!("/bulk/status/{id}?page={}", page.number + 1));
        put("link", json!([{ "relation": "next", "url": url }]));
    }
    Value::Object(manifest)
}

fn url(origin: &str, id: &str, place: usize, part: &Part) -> String {
    format!("{origin}/bulk/files/{id}/{place}.{}.ndjson", part.version)
}

fn entry(job: &Job, part: &Part, url: &str, next: Option<&String>, options: &Bulk, fault: Option<&Fault>) -> Value {
    let mut entry = Map::new();
    let mut put = |name: &str, value: Value| entry.insert(name.to_owned(), value);
    if !part.kind.is_empty() {
        put("type", json!(part.kind));
    }
    put("url", json!(url));
    if let Some(next) = next {
        put("continuesInFile", json!(next));
    }
    if !options.no_count {
        let off = match fault {
            Some(Fault::WrongCount(off)) => *off,
            _ => options.count_off,
        };
        let count = part.count + if options.headers_counted { part.headers } else { 0 };
        let off = if part.role == Role::Output { off } else { 0 };
        put("count", json!(i64::try_from(count).unwrap_or(i64::MAX).saturating_add(off)));
    }
    if job.dialect == Dialect::V4 || options.file_size {
        put("fileSize", json!(damage::size(part, options)));
    }
    if job.dialect == Dialect::V4 && part.role == Role::Error {
        put("countSeverity", json!(severities(part)));
    }
    Value::Object(entry)
}

/// How many outcomes of each severity a file has (Bulk Data Access 4.0.0-ballot, `BulkDataManifest`).
fn severities(part: &Part) -> Vec<Value> {
    let lines = damage::lines(part);
    ["fatal", "error", "warning", "information"]
        .into_iter()
        .filter_map(|severity| {
            let marker = format!("\"severity\":\"{severity}\"");
            let count = lines.iter().filter(|line| line.contains(&marker)).count();
            (count > 0).then(|| json!({ "code": severity, "count": count }))
        })
        .collect()
}
