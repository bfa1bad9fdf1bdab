//! The download as the program does it: from the files of a manifest to rows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ehr_integrations::model::address::{Address, Allowlist};
use ehr_integrations::model::id::{ExportId, PracticeId};
use ehr_integrations::model::time::Timestamp;
use ehr_integrations::server::App;
use ehr_integrations::server::bulk::run::{Job, run};
use ehr_integrations::server::bulk::server::Hosts;
use ehr_integrations::server::bulk::write::{Part, Row, Target, Writer};
use ehr_integrations::server::clock::{SystemClock, SystemEntropy};
use ehr_integrations::server::config::{Config, EncryptionKey};
use ehr_integrations::server::store::Database;
use futures::FutureExt;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::measure::{Taken, Watch, percentile};
use super::serve::index;

async fn execute(db: &Database, sql: &'static str) {
    sqlx::query(sql).execute(db.pool()).await.unwrap();
}

/// A database with an export; no files.
async fn export(database: &str) -> (Database, Target) {
    let db = Database::connect(database).await.unwrap();
    execute(&db, "INSERT INTO practices (id, name, created_at) VALUES ('p', 'p', 0)").await;
    execute(&db, "INSERT INTO resource_sources VALUES (1, 'p', 'generic', 'x')").await;
    execute(
        &db,
        "INSERT INTO exports (id, number, practice_id, provider_id, source, state, life, request, requested_by, \
         next_at, created_at) VALUES ('e', 1, 'p', 'generic', 1, 'downloading', '{}', '{}', 'x', 0, 0)",
    )
    .await;
    (db, Target { export: ExportId::new("e"), number: 1, fence: 0, source: 1 })
}

async fn app(folder: &Path, url: &str, database: &str) -> (App, Job) {
    let (db, target) = export(database).await;
    let mut tx = db.begin_write().await.unwrap();
    for (number, file) in (1_i64..).zip(index(folder)) {
        sqlx::query(
            "INSERT INTO export_files (export_id, number, page, kind, type, url, expected_lines, state) \
             VALUES ('e', $1, 1, 'output', $2, $3, $4, 'pending')",
        )
        .bind(number)
        .bind(file.kind)
        .bind(format!("{url}/files/{}", file.name))
        .bind(file.count)
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let config = Config {
        encryption_key: EncryptionKey::from_bytes([7; 32]),
        base_url: Address::parse("http://127.0.0.1:1").unwrap(),
        allowlist: Allowlist::parse("").unwrap(),
        default_scopes: None,
        signing_key: None,
        allow_private_network: true,
        bulk_max_poll_seconds: 300,
        trusted_proxies: 0,
        outbound_timeout: Duration::from_secs(10),
    };
    let app = App::new(config, db, Arc::new(SystemClock), Arc::new(SystemEntropy)).ok().unwrap();
    let job = Job {
        practice: PracticeId::new("p"),
        target,
        transaction_time: None,
        hosts: Hosts::new(&format!("{url}/fhir"), ""),
        headers: Vec::new(),
        tokens: Arc::new(|_| async { Ok(SecretString::from("token")) }.boxed()),
        max_line: None,
    };
    (app, job)
}

/// Everything: from the first request to the last commit.
pub async fn everything(folder: &Path, url: &str, database: &str) -> Taken {
    let (app, job) = app(folder, url, database).await;
    let watch = Watch::start();
    let ran = run(&app, &job, &CancellationToken::new()).await.unwrap();
    let taken = watch.stop(0.0);
    assert!(ran.all_done, "{ran:?}");
    let lines: i64 = index(folder).iter().map(|file| file.count).sum();
    let row: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM resources").fetch_one(app.db.pool()).await.unwrap();
    assert_eq!(row.0, lines);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Taken { figure: lines as f64, ..taken }
}

/// How long others wait while everything is done, in microseconds.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Others {
    /// p99 of a page's query, while nothing is done.
    pub idle: f64,
    /// p99 of the same meanwhile.
    pub read: f64,
    /// p99 of a transaction that writes, meanwhile.
    pub write: f64,
}

async fn read(app: &App) {
    sqlx::query("SELECT name, created_at FROM practices WHERE id = $1")
        .bind("p")
        .fetch_all(app.db.pool())
        .await
        .unwrap();
}

async fn write(app: &App) {
    let mut tx = app.db.begin_write().await.unwrap();
    sqlx::query("UPDATE practices SET name = name WHERE id = $1").bind("p").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Does it again and again, with a little rest, until it is over or enough.
async fn times(app: App, over: Arc<AtomicBool>, at_most: usize, what: impl AsyncFn(&App)) -> Vec<Duration> {
    let mut times = Vec::new();
    while times.len() < at_most && !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        what(&app).await;
        times.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times
}

pub async fn others(folder: &Path, url: &str, database: &str) -> Others {
    let (app, job) = app(folder, url, database).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut idle = times(app.clone(), Arc::clone(&over), 1_000, read).await;
    let reads = times(app.clone(), Arc::clone(&over), usize::MAX, read);
    let writes = times(app.clone(), Arc::clone(&over), usize::MAX, write);
    let whole = async {
        run(&app, &job, &CancellationToken::new()).await.unwrap();
        over.store(true, Ordering::Relaxed);
    };
    let (mut reads, mut writes, ()) = tokio::join!(reads, writes, whole);
    Others {
        idle: percentile(&mut idle, 0.99),
        read: percentile(&mut reads, 0.99),
        write: percentile(&mut writes, 0.99),
    }
}

/// What a resource costs when there are so many already, in microseconds: at each power of ten.
pub async fn curve(database: &str, most: u64) -> Vec<(u64, f64)> {
    let (db, target) = export(database).await;
    execute(&db, "INSERT INTO export_files (export_id, number, page, kind, url, state) VALUES ('e', 1, 1, 'output', '', 'pending')").await;
    let mut writer = Writer::connect(&db).await.unwrap();
    let body = Bytes::from(format!(r#"{{"resourceType":"Observation","x":"{}"}}"#, "x".repeat(1_250)));
    let kind: Arc<str> = "Observation".into();
    let (mut rows, mut from, mut next) = (0_u64, 0_u64, 10_000_u64);
    let mut curve = Vec::new();
    let mut took = Duration::ZERO;
    while next <= most {
        let row = |number: u64| {
            // As random as a UUID, and as long.
            let mixed = (u128::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            let id = format!("{mixed:032x}----").into();
            Row {
                kind: Arc::clone(&kind),
                id,
                updated_at: Some(Timestamp(1)),
                version: None,
                partial: false,
                body: Some(body.clone()),
            }
        };
        let part = Part { file: 1, rows: (rows..rows + 2_500).map(row).collect(), ..Part::default() };
        rows += 2_500;
        let began = Instant::now();
        writer.write(&target, vec![part], Timestamp(1)).await.unwrap();
        took += began.elapsed();
        if rows == next {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            curve.push((rows, took.as_secs_f64() * 1e6 / (rows - from) as f64));
            (from, next, took) = (rows, next * 10, Duration::ZERO);
        }
    }
    curve
}
