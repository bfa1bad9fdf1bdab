//! Files of an export: who may have them, and in which representation.
//!
//! Imports nothing of ours outside the sandbox. Invariant: a link works once with a token or without, never both
//! ways (Bulk Data Access 3.0.0, "Bulk Data Output File Request").

use std::time::Duration;

use async_compression::tokio::write::GzipEncoder;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncWriteExt;
use tower_http::services::ServeFile;

use super::super::error::Outcome;
use super::super::faults::{Fault, instead};
use super::super::fhir::bearer;
use super::super::scope::{Level, Scope};
use super::super::{Sandbox, lock};
use super::damage;
use super::job::{Part, Role, Source};
use super::options::Bulk;

/// How much is sent at once.
const CHUNK: usize = 64 * 1024;

/// `GET /bulk/files/{job}/{name}`
pub(in super::super) async fn file(
    State(sandbox): State<Sandbox>,
    Path((id, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let options = sandbox.personality().bulk;
    let allowed = if options.token_wanted() {
        with_token(&sandbox, &id, request.headers()).map(Some)
    } else {
        without_token(&sandbox, request.headers()).map(|()| None)
    };
    match allowed {
        Ok(scopes) => serve(&sandbox, &options, (&id, &name), request, scopes.as_deref(), true).await,
        Err(outcome) => outcome.into_response(),
    }
}

/// The same at another origin, which takes no token.
pub(in super::super) async fn hosted(
    State(sandbox): State<Sandbox>,
    Path((id, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let options = sandbox.personality().bulk;
    match without_token(&sandbox, request.headers()) {
        Ok(()) => serve(&sandbox, &options, (&id, &name), request, None, false).await,
        Err(outcome) => outcome.into_response(),
    }
}

fn without_token(sandbox: &Sandbox, headers: &HeaderMap) -> Result<(), Outcome> {
    if headers.contains_key(header::AUTHORIZATION) {
        sandbox.count(|stats| stats.bulk.leaked_tokens += 1);
        return Err(Outcome::invalid("the link proves enough: no Authorization header here"));
    }
    Ok(())
}

fn with_token(sandbox: &Sandbox, id: &str, headers: &HeaderMap) -> Result<Vec<Scope>, Outcome> {
    let live = bearer(sandbox, headers)?;
    let expires = sandbox.personality().bulk.expires_seconds;
    let now = sandbox.now();
    let mut jobs = lock(&sandbox.inner.bulk);
    jobs.find(id, &live.grant.client, expires, now).ok_or_else(missing)?;
    Ok(live.scopes)
}

fn missing() -> Outcome {
    Outcome::not_found("no such file")
}

/// The number of the file that a path names.
pub(in super::super) fn file_number(path: &str) -> Option<usize> {
    named(path.rsplit('/').next()?).ok().map(|(place, _)| place)
}

/// The number and the version of the file that a link names.
fn named(name: &str) -> Result<(usize, u32), Outcome> {
    let parts = name.strip_suffix(".ndjson").and_then(|name| name.split_once('.'));
    let numbers = parts.and_then(|(place, version)| Some((place.parse().ok()?, version.parse().ok()?)));
    numbers.ok_or_else(missing)
}

/// Finds the file that a link names, if the link is good.
fn find(
    sandbox: &Sandbox,
    options: &Bulk,
    id: &str,
    (place, version): (usize, u32),
    fault: Option<&Fault>,
) -> Result<Part, Outcome> {
    let now = sandbox.now();
    let mut jobs = lock(&sandbox.inner.bulk);
    let job = jobs.any(id, options.expires_seconds, now).ok_or_else(missing)?;
    if fault == Some(&Fault::JobGone) {
        jobs.end(id);
        return Err(missing());
    }
    let part = job.parts.get_mut(place).ok_or_else(missing)?;
    if let Some(Fault::Expired(status)) = fault {
        part.gone = Some(*status);
    }
    let stale = options.links_seconds.is_some_and(|seconds| part.minted + seconds * 1000 <= now);
    let status = part.gone.or((stale || part.version != version).then_some(410));
    if let Some(status) = status {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::GONE);
        return Err(Outcome::new(status, "not-found", "this link has expired: the manifest has a new one"));
    }
    Ok(part.clone())
}

async fn serve(
    sandbox: &Sandbox,
    options: &Bulk,
    (id, name): (&str, &str),
    request: Request,
    scopes: Option<&[Scope]>,
    own: bool,
) -> Response {
    let queued = request.extensions().get::<Fault>().cloned();
    let (place, version) = match named(name) {
        Ok(named) => named,
        Err(outcome) => return outcome.into_response(),
    };
    let lasting = options.broken_files.get(&place);
    let fault = queued.as_ref().or(lasting);
    let part = match find(sandbox, options, id, (place, version), fault) {
        Ok(part) => part,
        Err(outcome) => return outcome.into_response(),
    };
    if let Some(scopes) = scopes
        && part.role == Role::Output
        && !part.kind.is_empty()
        && !reads(scopes, &part.kind)
    {
        return Outcome::scope("the granted scopes do not cover what is in this file").into_response();
    }
    if let Some(origin) = &options.file_origin
        && own
        && options.file_redirect
    {
        let url = format!("{origin}/bulk/files/{id}/{name}");
        return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response();
    }
    match lasting {
        Some(Fault::Slow(millis)) => tokio::time::sleep(Duration::from_millis(*millis)).await,
        Some(fault) => {
            if let Some(response) = instead(fault) {
                return response;
            }
        }
        None => {}
    }
    let response = if let Source::Stored(path, _) = &part.source
        && damage::plain(options, fault)
    {
        stored(path, options, request).await
    } else {
        let bytes = damage::bytes(&part, options, fault);
        let etag = format!("{}-{place}", id.get(..12).unwrap_or(id));
        represent(request.headers(), bytes, &etag, options, fault).await
    };
    // A fault that waited for this request is applied where it was taken from the line.
    match lasting {
        Some(fault) => super::mangle(response, fault),
        None => response,
    }
}

fn reads(scopes: &[Scope], kind: &str) -> bool {
    let mut scopes = scopes.iter().filter_map(Scope::resource);
    scopes.any(|scope| scope.level == Level::System && scope.reaches('r', kind))
}

fn media_type(options: &Bulk) -> HeaderValue {
    let other = options.content_type.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
    other.unwrap_or(HeaderValue::from_static("application/fhir+ndjson"))
}

/// A file of a folder, as it is.
async fn stored(path: &std::path::Path, options: &Bulk, mut request: Request) -> Response {
    if options.no_ranges {
        request.headers_mut().remove(header::RANGE);
    }
    let service = ServeFile::new(path).with_buf_chunk_size(4 * CHUNK);
    let service = if options.never_gzip { service } else { service.precompressed_gzip() };
    let mut service = service;
    match service.try_call(request).await {
        Ok(response) => {
            let mut response = response.map(Body::new).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, media_type(options));
            response
        }
        Err(_) => Outcome::not_found("the folder has lost this file").into_response(),
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

async fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await?;
    encoder.shutdown().await?;
    Ok(encoder.into_inner())
}

/// A `Range` of bytes within a length (RFC 9110 §14.1.2): none asked for, one that is there, or one that is not.
fn range(headers: &HeaderMap, length: usize, etag: &str) -> Option<Result<(usize, usize), ()>> {
    let asked = headers.get(header::RANGE)?.to_str().ok()?.trim().strip_prefix("bytes=")?;
    // RFC 9110 §13.1.5: the range counts only for the representation that the client has a part of.
    if let Some(condition) = headers.get(header::IF_RANGE)
        && condition.to_str().ok() != Some(etag)
    {
        return None;
    }
    let (from, to) = asked.split_once('-')?;
    let (from, to): (usize, usize) = match (from, to) {
        ("", last) => (length.saturating_sub(last.parse().ok()?), length),
        (from, "") => (from.parse().ok()?, length),
        (from, to) => (from.parse().ok()?, to.parse::<usize>().ok()?.saturating_add(1).min(length)),
    };
    Some(if from < to { Ok((from, to)) } else { Err(()) })
}

/// The bytes as the client wants them: whole or in part, compressed or not.
async fn represent(
    headers: &HeaderMap,
    mut bytes: Vec<u8>,
    etag: &str,
    options: &Bulk,
    fault: Option<&Fault>,
) -> Response {
    let zipped = takes_gzip(headers) && !options.never_gzip;
    if zipped {
        match gzip(&bytes).await {
            Ok(smaller) => bytes = smaller,
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
        // RFC 1952 §2.3.1: the checksum is the first half of the last eight bytes.
        let sum = bytes.len().saturating_sub(8);
        if fault == Some(&Fault::GzipBadCrc)
            && let Some(byte) = bytes.get_mut(sum)
        {
            *byte ^= 0xff;
        }
    }
    let etag = format!("\"{etag}{}\"", if zipped { "-gz" } else { "" });
    let length = bytes.len();
    let asked = if options.no_ranges { None } else { range(headers, length, &etag) };
    let whole = Bytes::from(bytes);
    let (status, sent) = match asked {
        None => (StatusCode::OK, whole),
        Some(Ok((from, to))) => (StatusCode::PARTIAL_CONTENT, whole.slice(from..to)),
        Some(Err(())) => (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new()),
    };
    let mut out = HeaderMap::new();
    let mut put = |name: header::HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            out.insert(name, value);
        }
    };
    if zipped {
        put(header::CONTENT_ENCODING, "gzip".to_owned());
    }
    put(header::VARY, "accept-encoding".to_owned());
    if !options.no_ranges {
        put(header::ACCEPT_RANGES, "bytes".to_owned());
    }
    if !options.no_etag {
        put(header::ETAG, etag);
    }
    match asked {
        Some(Ok((from, to))) => put(header::CONTENT_RANGE, format!("bytes {from}-{}/{length}", to - 1)),
        Some(Err(())) => put(header::CONTENT_RANGE, format!("bytes */{length}")),
        None => {}
    }
    if !options.no_content_length {
        put(header::CONTENT_LENGTH, sent.len().to_string());
    }
    out.insert(header::CONTENT_TYPE, media_type(options));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (status, out, Body::from_stream(pieces(sent))).into_response()
}

fn pieces(mut whole: Bytes) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    let mut pieces = Vec::new();
    while !whole.is_empty() {
        pieces.push(Ok(whole.split_to(whole.len().min(CHUNK))));
    }
    futures::stream::iter(pieces)
}
