//! A bulk server over a folder, for measuring clients: it does nothing but tell of files and send them.
//!
//! Imports nothing of ours outside the sandbox. Invariant: it takes no tokens, and gives away nothing but what is
//! in the folder.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_compression::tokio::write::GzipEncoder;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufReader};
use tower_http::services::ServeDir;

use super::plan::{Listed, index};

/// The servers of this kind have one export, which is always complete.
const STATUS: &str = "/bulk/status/folder";

/// How much is read at once.
const BUFFER: usize = 256 * 1024;

/// A router over a folder that [`generate::write_folder`](super::generate::write_folder) wrote: kick-off at every
/// level below `/fhir`, status, manifest and files, without tokens. Where there is a compressed sibling of a file
/// (`.gz`), it goes to clients that accept it.
///
/// # Errors
///
/// When the folder has no good index.
pub fn served_folder(dir: &Path) -> io::Result<Router> {
    let listed = Arc::new(index(dir)?);
    let files = Router::new()
        .fallback_service(ServeDir::new(dir).precompressed_gzip().with_buf_chunk_size(BUFFER))
        .layer(map_response(as_ndjson));
    Ok(Router::new()
        .route("/fhir/$export", any(kick_off))
        .route("/fhir/Patient/$export", any(kick_off))
        .route("/fhir/Group/{id}/$export", any(kick_off))
        .route(STATUS, get(manifest).delete(async || StatusCode::ACCEPTED))
        .nest("/bulk/files", files)
        .with_state(listed))
}

/// Writes a compressed sibling of every file of a folder, for clients that accept gzip.
///
/// # Errors
///
/// When the folder has no good index, or a file cannot be read or written.
pub async fn compress_folder(dir: &Path) -> io::Result<()> {
    for one in index(dir)? {
        let mut plain = BufReader::with_capacity(BUFFER, File::open(dir.join(&one.name)).await?);
        let zipped = File::create(dir.join(format!("{}.gz", one.name))).await?;
        let mut encoder = GzipEncoder::new(zipped);
        tokio::io::copy_buf(&mut plain, &mut encoder).await?;
        encoder.shutdown().await?;
    }
    Ok(())
}

async fn as_ndjson(mut response: Response) -> Response {
    if response.status().is_success() {
        let ndjson = HeaderValue::from_static("application/fhir+ndjson");
        response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
    }
    response
}

/// The origin that the client knows this server by.
fn origin(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("127.0.0.1");
    format!("http://{host}")
}

async fn kick_off(headers: HeaderMap) -> Response {
    (StatusCode::ACCEPTED, [(header::CONTENT_LOCATION, format!("{}{STATUS}", origin(&headers)))]).into_response()
}

async fn manifest(State(listed): State<Arc<Vec<Listed>>>, headers: HeaderMap) -> Json<Value> {
    let origin = origin(&headers);
    let output: Vec<Value> = listed
        .iter()
        .map(|one| {
            let url = format!("{origin}/bulk/files/{}", one.name);
            json!({ "type": one.kind, "url": url, "count": one.count })
        })
        .collect();
    Json(json!({
        "transactionTime": "2025-01-01T00:00:00Z",
        "request": format!("{origin}/fhir/$export"),
        "requiresAccessToken": false,
        "output": output,
        "error": []
    }))
}
