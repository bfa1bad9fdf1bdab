//! What happens to answers on their way: they are counted, and may break.
//!
//! Imports nothing of ours outside the sandbox. Invariant: a request counts whatever the answer, and a file is in
//! transfer until its body is over or given up.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures::{Stream, StreamExt, stream};

use super::super::Sandbox;
use super::super::faults::{Endpoint, Fault};

/// What arrived at the bulk server so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkStats {
    /// Kick-offs, whatever the answer.
    pub kickoffs: u64,
    /// Status requests, whatever the answer.
    pub polls: u64,
    /// Deletions, whatever the answer.
    pub deletes: u64,
    /// Requests for files by path, whatever the answer, at either origin.
    pub file_requests: BTreeMap<String, u64>,
    /// Bytes of file bodies that went out, as encoded.
    pub bytes_sent: u64,
    /// Requests for files with `Range`.
    pub range_requests: u64,
    /// How many files were in transfer at once, at most.
    pub max_parallel_files: u64,
    /// Paths (of files, status and kick-off) that were asked for with an `Authorization` header.
    pub authorized_paths: Vec<String>,
    /// Requests for files with an `Authorization` header where none was wanted.
    pub leaked_tokens: u64,
    /// The parameters of the last kick-off, in order.
    pub last_kickoff: Vec<(String, String)>,
    /// The `Prefer` header of the last kick-off.
    pub last_prefer: String,
    files_now: u64,
}

/// Watches the transfer of one file.
pub(in super::super) struct Watch {
    sandbox: Sandbox,
}

impl Watch {
    /// Counts a request; that of a file is watched further.
    pub(in super::super) fn new(sandbox: &Sandbox, endpoint: Endpoint, request: &Request) -> Option<Self> {
        let path = request.uri().path().to_owned();
        let headers = request.headers();
        sandbox.count(|stats| {
            let stats = &mut stats.bulk;
            match endpoint {
                Endpoint::BulkKickoff => {
                    stats.kickoffs += 1;
                    let prefer = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
                    stats.last_prefer = prefer.collect::<Vec<_>>().join(", ");
                }
                Endpoint::BulkStatus => stats.polls += 1,
                Endpoint::BulkDelete => stats.deletes += 1,
                Endpoint::BulkFile => {
                    *stats.file_requests.entry(path.clone()).or_default() += 1;
                    stats.range_requests += u64::from(headers.contains_key(header::RANGE));
                    stats.files_now += 1;
                    stats.max_parallel_files = stats.max_parallel_files.max(stats.files_now);
                }
                _ => return,
            }
            if headers.contains_key(header::AUTHORIZATION) && !stats.authorized_paths.contains(&path) {
                stats.authorized_paths.push(path);
            }
        });
        (endpoint == Endpoint::BulkFile).then(|| Self { sandbox: sandbox.clone() })
    }

    /// Goes along with the body of the answer.
    pub(in super::super) fn over(self, response: Response) -> Response {
        let response = announce(response);
        response.map(|body| {
            Body::from_stream(body.into_data_stream().inspect(move |chunk| {
                let sent = chunk.as_ref().map_or(0, Bytes::len);
                let sent = u64::try_from(sent).unwrap_or_default();
                self.sandbox.count(|stats| stats.bulk.bytes_sent += sent);
            }))
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.sandbox.count(|stats| stats.bulk.files_now = stats.bulk.files_now.saturating_sub(1));
    }
}

/// Tells the length of a body while it is known.
fn announce(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    response
}

/// Lets the body of an answer go wrong, for those faults that are about bodies.
pub(in super::super) fn mangle(response: Response, fault: &Fault) -> Response {
    match fault {
        Fault::CutAfter(bytes) => cut(announce(response), *bytes, true),
        Fault::CutChunked(bytes) => {
            let mut response = response;
            response.headers_mut().remove(header::CONTENT_LENGTH);
            cut(response, *bytes, true)
        }
        Fault::Truncated(bytes) => {
            let mut response = announce(response);
            let announced = response.headers().get(header::CONTENT_LENGTH);
            let length: usize = announced.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(usize::MAX);
            if length != usize::MAX {
                response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length.min(*bytes)));
            }
            cut(response, *bytes, false)
        }
        Fault::Trickle { bytes, millis } => {
            let (bytes, pause) = ((*bytes).max(1), Duration::from_millis(*millis));
            announce(response).map(|body| Body::from_stream(trickle(body, bytes, pause)))
        }
        _ => response,
    }
}

/// The first bytes of a body, and then an error or an end.
fn cut(response: Response, bytes: usize, broken: bool) -> Response {
    response.map(|body| {
        let kept = body.into_data_stream().scan(bytes, |left, chunk| {
            let chunk = chunk.ok().filter(|_| *left > 0).map(|chunk: Bytes| chunk.slice(..chunk.len().min(*left)));
            *left -= chunk.as_ref().map_or(0, Bytes::len);
            std::future::ready(chunk.map(Ok))
        });
        if !broken {
            return Body::from_stream(kept);
        }
        let end = stream::once(async {
            // What went before shall arrive first.
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(std::io::Error::other("the connection broke"))
        });
        Body::from_stream(kept.chain(end))
    })
}

fn trickle(body: Body, bytes: usize, pause: Duration) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    body.into_data_stream()
        .flat_map(move |chunk| {
            let pieces: Vec<_> = match chunk {
                Ok(mut chunk) => {
                    let mut pieces = Vec::new();
                    while !chunk.is_empty() {
                        pieces.push(Ok(chunk.split_to(chunk.len().min(bytes))));
                    }
                    pieces
                }
                Err(error) => vec![Err(error)],
            };
            stream::iter(pieces)
        })
        .then(move |piece| async move {
            tokio::time::sleep(pause).await;
            piece
        })
}
