//! An export that is downloaded from a server that answers as a test says.

use super::super::support::{Db, TestApp};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, Uri, header};
use bytes::Bytes;
use ehr_integrations::model::id::{ExportId, PracticeId};
use ehr_integrations::model::role::Role;
use ehr_integrations::model::time::Timestamp;
use ehr_integrations::server::bulk::run::{Job, Ran, run};
use ehr_integrations::server::bulk::server::Hosts;
use ehr_integrations::server::bulk::write::Target;
use futures::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use sqlx::Row as _;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(super) const TRANSACTION_TIME: Timestamp = Timestamp(1_795_000_000_000);

/// An export that is being downloaded.
pub async fn add_export(test: &TestApp, fhir_base: &str) -> Target {
    let practice = test.practice("bulk", Role::Owner).await;
    let target = Target { export: ExportId::new("export-1"), number: 1, fence: 5, source: 1 };
    sqlx::query("INSERT INTO resource_sources (id, practice_id, provider_id, fhir_base) VALUES (1, $1, 'generic', $2)")
        .bind(practice.to_string())
        .bind(fhir_base.to_owned())
        .execute(test.app.db.pool())
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO exports (id, number, practice_id, provider_id, source, state, life, request, requested_by, \
         next_at, created_at, lease_fence) VALUES ($1, 1, $2, 'generic', 1, 'downloading', '{}', '{}', 'x', 0, 0, $3)",
    )
    .bind(target.export.to_string())
    .bind(practice.to_string())
    .bind(target.fence)
    .execute(test.app.db.pool())
    .await
    .unwrap();
    target
}

/// A file of it.
pub async fn add_file(
    test: &TestApp,
    target: &Target,
    number: i64,
    kind: &str,
    resource_type: Option<&str>,
    url: &str,
) {
    sqlx::query(
        "INSERT INTO export_files (export_id, number, page, kind, type, url, needs_token, state) \
         VALUES ($1, $2, 1, $3, $4, $5, 1, 'pending')",
    )
    .bind(target.export.to_string())
    .bind(number)
    .bind(kind.to_owned())
    .bind(resource_type.map(str::to_owned))
    .bind(url.to_owned())
    .execute(test.app.db.pool())
    .await
    .unwrap();
}

pub(super) type Answer = Arc<dyn Fn(usize, &HeaderMap) -> Response<Body> + Send + Sync>;

/// A request that came: where to, and its headers.
pub(super) type Seen = (String, HeaderMap);

/// A server of files.
#[derive(Clone, Default)]
pub(super) struct Files {
    pub(super) answers: Arc<Mutex<HashMap<String, Answer>>>,
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
}

impl Files {
    pub(super) async fn start() -> (Self, String) {
        let files = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(files.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (files, url)
    }

    /// What is answered at a path, by how often it was asked before.
    pub(super) fn at(&self, path: &str, answer: impl Fn(usize, &HeaderMap) -> Response<Body> + Send + Sync + 'static) {
        self.answers.lock().unwrap().insert(path.to_owned(), Arc::new(answer));
    }

    pub(super) fn text(&self, path: &str, text: impl Into<Bytes>) {
        let text = text.into();
        self.at(path, move |_, _| Response::new(Body::from(text.clone())));
    }

    pub(super) fn seen(&self, path: &str) -> Vec<HeaderMap> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(at, _)| at == path).map(|(_, headers)| headers.clone()).collect()
    }

    pub(super) fn header(&self, path: &str, name: &str) -> Vec<Option<String>> {
        let text = |headers: &HeaderMap| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        self.seen(path).iter().map(text).collect()
    }
}

pub(super) async fn answer(State(files): State<Files>, uri: Uri, request: Request<Body>) -> Response<Body> {
    let path = uri.path().to_owned();
    let before = files.seen(&path).len();
    files.seen.lock().unwrap().push((path.clone(), request.headers().clone()));
    let answer = files.answers.lock().unwrap().get(&path).cloned();
    answer.map_or_else(|| status(404), |answer| answer(before, request.headers()))
}

pub(super) fn status(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

pub(super) fn redirect(status: u16, to: &str) -> Response<Body> {
    Response::builder().status(status).header(header::LOCATION, to).body(Body::empty()).unwrap()
}

/// A body that announces all of it, and breaks off.
pub(super) fn broken(all: &str, until: usize) -> Response<Body> {
    let pieces = [Ok(Bytes::copy_from_slice(&all.as_bytes()[..until])), Err(std::io::Error::other("broken"))];
    // The first piece has to be on its way before the connection breaks.
    let slow = futures::stream::unfold(pieces.into_iter(), |mut pieces| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        pieces.next().map(|piece| (piece, pieces))
    });
    Response::builder().header(header::CONTENT_LENGTH, all.len()).body(Body::from_stream(slow)).unwrap()
}

pub(super) fn gzip(text: &str) -> Vec<u8> {
    use async_compression::tokio::write::GzipEncoder;
    use tokio::io::AsyncWriteExt;
    let mut encoder = GzipEncoder::new(Vec::new());
    async {
        encoder.write_all(text.as_bytes()).await.unwrap();
        encoder.shutdown().await.unwrap();
    }
    .now_or_never()
    .unwrap();
    encoder.into_inner()
}

pub(super) fn gzipped(bytes: Vec<u8>) -> Response<Body> {
    Response::builder().header(header::CONTENT_ENCODING, "gzip").body(Body::from(bytes)).unwrap()
}

pub(super) fn patient(id: usize) -> String {
    format!(r#"{{"resourceType":"Patient","id":"p{id}","meta":{{"lastUpdated":"2026-01-01T00:00:00Z"}},"x":"äöü"}}"#)
}

pub(super) fn patients(ids: std::ops::Range<usize>) -> String {
    ids.map(|id| patient(id) + "\n").collect()
}

pub(super) struct Scene {
    pub(super) test: TestApp,
    pub(super) practice: PracticeId,
    pub(super) target: Target,
    pub(super) ehr: Files,
    pub(super) url: String,
    pub(super) cdn: Files,
    pub(super) cdn_url: String,
    pub(super) files: i64,
    pub(super) stale: Arc<Mutex<Vec<Option<String>>>>,
    pub(super) max_line: Option<usize>,
}

/// What is known of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) state: String,
    pub(super) attempts: i64,
    pub(super) lines: i64,
    pub(super) rows: i64,
    pub(super) rejected: i64,
    pub(super) why: Option<String>,
}

pub(super) fn known(state: &str, attempts: i64, counts: (i64, i64, i64), why: Option<&str>) -> Known {
    let (lines, rows, rejected) = counts;
    Known { state: state.into(), attempts, lines, rows, rejected, why: why.map(str::to_owned) }
}

impl Scene {
    pub(super) async fn new(db: Db) -> Self {
        let test = TestApp::new(db).await;
        let (ehr, url) = Files::start().await;
        let (cdn, cdn_url) = Files::start().await;
        let target = add_export(&test, &format!("{url}/fhir")).await;
        let practice = ehr_integrations::server::store::practice::by_name(test.app.db.pool(), "bulk").await;
        let practice = practice.unwrap().unwrap().id;
        let stale = Arc::default();
        Self { test, practice, target, ehr, url, cdn, cdn_url, files: 0, stale, max_line: None }
    }

    /// Another file of the export; answers its number.
    pub(super) async fn file(&mut self, kind: &str, resource_type: Option<&str>, path: &str) -> i64 {
        self.files += 1;
        add_file(&self.test, &self.target, self.files, kind, resource_type, &format!("{}{path}", self.url)).await;
        self.files
    }

    pub(super) async fn patients(&mut self, path: &str) -> i64 {
        self.file("output", Some("Patient"), path).await
    }

    pub(super) async fn set(&self, number: i64, sql: &'static str, value: i64) {
        sqlx::query(sql).bind(number).bind(value).execute(self.test.app.db.pool()).await.unwrap();
    }

    pub(super) async fn expect_lines(&self, number: i64, lines: i64) {
        self.set(number, "UPDATE export_files SET expected_lines = $2 WHERE number = $1", lines).await;
    }

    pub(super) fn job(&self, hosts: &str) -> Job {
        let stale = Arc::clone(&self.stale);
        Job {
            practice: self.practice.clone(),
            target: self.target.clone(),
            transaction_time: Some(TRANSACTION_TIME),
            hosts: Hosts::new(&format!("{}/fhir", self.url), hosts),
            headers: vec![("x-vendor", "1".into())],
            tokens: Arc::new(move |refused: Option<SecretString>| {
                let mut stale = stale.lock().unwrap();
                stale.push(refused.map(|token| token.expose_secret().to_owned()));
                let token = SecretString::from(format!("token-{}", stale.len()));
                async move { Ok(token) }.boxed()
            }),
            max_line: self.max_line,
        }
    }

    pub(super) async fn run(&self) -> Ran {
        let hosts = self.cdn_url.clone();
        run(&self.test.app, &self.job(&hosts), &CancellationToken::new()).await.unwrap()
    }

    /// Runs until nothing is left to do, as the engine would.
    pub(super) async fn settle(&self) {
        for _ in 0..20 {
            let ran = self.run().await;
            if ran.all_done {
                return;
            }
            let wait = ran.next.unwrap().0 - self.test.app.clock.now().0;
            self.test.clock.advance_seconds(wait.max(0) / 1_000 + 1);
        }
        panic!("it never ends");
    }

    pub(super) async fn known(&self, number: i64) -> Known {
        let row = sqlx::query(
            "SELECT state, attempts, lines, rows, rejected, problem, detail FROM export_files WHERE number = $1",
        )
        .bind(number)
        .fetch_one(self.test.app.db.pool())
        .await
        .unwrap();
        let problem: Option<String> = row.get("problem");
        Known {
            state: row.get("state"),
            attempts: row.get("attempts"),
            lines: row.get("lines"),
            rows: row.get("rows"),
            rejected: row.get("rejected"),
            why: problem.map(|problem| format!("{problem}: {}", row.get::<String, _>("detail"))),
        }
    }

    /// What is stored: type, id, and body.
    pub(super) async fn stored(&self) -> Vec<(String, String, Option<String>)> {
        let rows =
            sqlx::query("SELECT type, id, body FROM resources").fetch_all(self.test.app.db.pool()).await.unwrap();
        let mut rows: Vec<_> = rows.iter().map(|row| (row.get("type"), row.get("id"), row.get("body"))).collect();
        rows.sort();
        rows
    }

    pub(super) async fn ids(&self) -> Vec<String> {
        self.stored().await.into_iter().map(|(_, id, _)| id).collect()
    }

    pub(super) async fn rejects(&self) -> Vec<(i64, String)> {
        let rows = sqlx::query("SELECT line, reason FROM export_rejects ORDER BY file, line")
            .fetch_all(self.test.app.db.pool())
            .await
            .unwrap();
        rows.iter().map(|row| (row.get("line"), row.get("reason"))).collect()
    }
}
