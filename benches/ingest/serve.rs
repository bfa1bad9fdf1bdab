//! A server of a folder of files, for a process of its own: the files, and as much of the bulk data protocol as a
//! client needs to find them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as At, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

/// A file, as the generator's index has it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Entry {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub count: i64,
    pub bytes: i64,
}

pub fn index(folder: &Path) -> Vec<Entry> {
    serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap()
}

/// Serves until the process ends; says where on its standard output.
pub async fn serve(folder: PathBuf) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/files/{name}", get(file))
        .route("/fhir/metadata", get(metadata))
        .route("/fhir/$export", get(kick_off))
        .route("/fhir/Patient/$export", get(kick_off))
        .route("/fhir/Group/{id}/$export", get(kick_off))
        .route("/status", get(status).delete(|| async { StatusCode::ACCEPTED }))
        .with_state(Arc::new(folder));
    axum::serve(listener, router).await.unwrap();
}

async fn file(State(folder): State<Arc<PathBuf>>, At(name): At<String>) -> Response<Body> {
    let Ok(mut file) = tokio::fs::File::open(folder.join(name)).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let length = file.metadata().await.unwrap().len();
    let body = if length < 65_536 {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await.unwrap();
        Body::from(bytes)
    } else {
        Body::from_stream(ReaderStream::with_capacity(file, 262_144))
    };
    Response::builder()
        .header(header::CONTENT_TYPE, "application/fhir+ndjson")
        .header(header::CONTENT_LENGTH, length)
        .body(body)
        .unwrap()
}

fn host(headers: &HeaderMap) -> String {
    format!("http://{}", headers[header::HOST].to_str().unwrap())
}

async fn metadata() -> impl IntoResponse {
    let body = r#"{"resourceType":"CapabilityStatement","status":"active","kind":"instance","fhirVersion":"4.0.1","format":["json"],"rest":[{"mode":"server"}]}"#;
    ([(header::CONTENT_TYPE, "application/fhir+json")], body)
}

async fn kick_off(headers: HeaderMap) -> impl IntoResponse {
    (StatusCode::ACCEPTED, [(header::CONTENT_LOCATION, format!("{}/status", host(&headers)))])
}

async fn status(State(folder): State<Arc<PathBuf>>, headers: HeaderMap) -> impl IntoResponse {
    let host = host(&headers);
    let output: Vec<_> = index(&folder)
        .iter()
        .map(|file| serde_json::json!({"type": file.kind, "url": format!("{host}/files/{}", file.name), "count": file.count}))
        .collect();
    let manifest = serde_json::json!({
        "transactionTime": "2026-01-01T00:00:00Z", "request": format!("{host}/fhir/$export"),
        "requiresAccessToken": false, "output": output, "error": [],
    });
    ([(header::CONTENT_TYPE, "application/json")], manifest.to_string())
}
