//! The engine is killed, with a signal that it cannot see, in every state and at random moments: what is stored in
//! the end is what an export without a kill stores, and what was stored once is not fetched again.
//!
//! The engine is the real program in a process of its own. A lease is ended by hand where a test would have to wait
//! for its end.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

use ehr_integrations::sandbox::bulk::Bulk;
use ehr_integrations::sandbox::{Endpoint, Fault, Personality};
use rstest::rstest;
use serde_json::json;
use sqlx::Row;

use super::export_commands::program;
use super::export_faults::{Rows, rows};
use super::exports::Exports;
use super::support::Db;

/// How many random runs each database gets; the long run has more.
fn runs() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "scripts/test faults says how many")]
    std::env::var("EHR_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A practice whose clock goes on by itself, as the other process's does.
async fn scene(db: Db) -> Exports {
    let bulk = Bulk { polls: 1, lines_per_file: 2, ..Bulk::default() };
    let exports = Exports::with(db, Personality { bulk, ..Personality::default() }).await;
    exports.scene.app.clock.follow_the_real_one();
    exports
}

/// A process that works on an export.
fn engine(exports: &Exports, id: &str) -> Child {
    program(&exports.scene.app, &["export", "watch", id, "--practice", "north", "--here"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn state(exports: &Exports, id: &str) -> String {
    exports.status(id).await["state"].as_str().unwrap().to_owned()
}

/// How often each file was asked for that is stored whole.
async fn stored_files(exports: &Exports, id: &str) -> BTreeMap<String, u64> {
    let done = sqlx::query("SELECT url FROM export_files WHERE export_id = $1 AND state = 'done'")
        .bind(id.to_owned())
        .fetch_all(exports.scene.app.app.db.pool())
        .await
        .unwrap();
    let requests = exports.bulk_stats().file_requests;
    let path = |row: &sqlx::any::AnyRow| url::Url::parse(&row.get::<String, _>("url")).unwrap().path().to_owned();
    done.iter().map(path).map(|path| (path.clone(), requests.get(&path).copied().unwrap_or_default())).collect()
}

/// Kills the process, and ends its lease; answers which files are stored.
async fn kill(exports: &Exports, id: &str, child: &mut Child) -> BTreeMap<String, u64> {
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    sqlx::query("UPDATE exports SET lease_until = 0, next_at = 0 WHERE id = $1 AND finished_at IS NULL")
        .bind(id.to_owned())
        .execute(exports.scene.app.app.db.pool())
        .await
        .unwrap();
    sqlx::query("UPDATE service_tokens SET lease_until = 0").execute(exports.scene.app.app.db.pool()).await.unwrap();
    stored_files(exports, id).await
}

/// Lets a process work until the export is over.
async fn finish(exports: &Exports, id: &str) {
    let mut child = engine(exports, id);
    for _ in 0..600 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _ = child.kill();
    child.wait().unwrap();
    let done = exports.status(id).await;
    assert_eq!((&done["state"], &done["rejected"]), (&json!("complete"), &json!(0)), "{done}");
    assert_eq!(done["files"]["done"], done["files"]["total"]);
}

async fn undisturbed(db: Db) -> Rows {
    let exports = scene(db).await;
    let id = exports.start(json!({})).await;
    finish(&exports, &id).await;
    rows(&exports).await
}

/// What holds an export in a state for long enough to be seen there.
fn slow(state: &str) -> Option<(Endpoint, Fault)> {
    Some(match state {
        "kicking_off" => (Endpoint::BulkKickoff, Fault::Slow(1_500)),
        "waiting" => (Endpoint::BulkStatus, Fault::Slow(1_500)),
        "downloading" => (Endpoint::BulkFile, Fault::Trickle { bytes: 64, millis: 40 }),
        "finishing" => (Endpoint::BulkDelete, Fault::Slow(1_500)),
        _ => return None,
    })
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_every_state(
    #[values(Db::Sqlite, Db::Postgres)] db: Db,
    #[values("queued", "kicking_off", "waiting", "downloading", "finishing")] at: &str,
) {
    let expected = undisturbed(db).await;
    let exports = scene(db).await;
    if let Some((endpoint, fault)) = slow(at) {
        exports.scene.app.sandbox.inject(endpoint, fault);
    }
    let id = exports.start(json!({})).await;
    let mut child = engine(&exports, &id);
    let mut seen = state(&exports, &id).await;
    for _ in 0..2_000 {
        if seen == at {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        seen = state(&exports, &id).await;
    }
    assert_eq!(seen, at);
    let stored = kill(&exports, &id, &mut child).await;
    finish(&exports, &id).await;
    assert_eq!(rows(&exports).await, expected);
    untouched(&exports, &stored);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_random_moments(#[case] db: Db) {
    let expected = undisturbed(db).await;
    for seed in 1..=runs() {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut draw = |most: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % most
        };
        let exports = scene(db).await;
        for _ in 0..draw(6) {
            let fault = Fault::Trickle { bytes: 256, millis: 10 };
            exports.scene.app.sandbox.inject(Endpoint::BulkFile, fault);
        }
        let id = exports.start(json!({})).await;
        let mut stored = BTreeMap::new();
        for _ in 0..=draw(3) {
            let mut child = engine(&exports, &id);
            tokio::time::sleep(Duration::from_millis(draw(3_000))).await;
            stored.extend(kill(&exports, &id, &mut child).await);
            if !exports.status(&id).await["finishedAt"].is_null() {
                break;
            }
        }
        if exports.status(&id).await["finishedAt"].is_null() {
            finish(&exports, &id).await;
        }
        assert_eq!(rows(&exports).await, expected, "seed {seed}");
        untouched(&exports, &stored);
    }
}

/// What was stored when the process was killed was not asked for again.
fn untouched(exports: &Exports, stored: &BTreeMap<String, u64>) {
    let requests = exports.bulk_stats().file_requests;
    for (path, times) in stored {
        assert_eq!(requests.get(path), Some(times), "a file that was stored is fetched again");
    }
}
