//! Several processes and the embedded engine: one token for all, exports that are handed over, and live events.

use std::time::Duration;

use ehr_integrations::sandbox::bulk::Bulk;
use ehr_integrations::sandbox::{Endpoint, Fault};
use ehr_integrations::server::App;
use ehr_integrations::server::engine::embedded;
use ehr_integrations::server::flow::backend;
use futures::StreamExt;
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::exports::Exports;
use super::scene::id as provider;
use super::support::Db;

const SCOPES: &str = "system/Patient.rs";

/// Many downloads in two processes want a token at once: one of them asks. A token that is refused is replaced
/// once, however many find out.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn one_token_for_many(#[case] db: Db) {
    let exports = Exports::new(db, Bulk::default()).await;
    let apps = [exports.scene.app.app.clone(), exports.scene.app.replica().await];
    let caller = exports.scene.caller();
    let all = async |stale: Option<secrecy::SecretString>| {
        let wanted = (0..40).map(|index: usize| {
            let (app, caller, stale) = (&apps[index % 2], &caller, stale.as_ref());
            async move { backend::token(app, caller, &provider(), SCOPES, stale).await.unwrap() }
        });
        let tokens: Vec<_> = futures::future::join_all(wanted).await;
        assert!(tokens.iter().all(|token| token.expose_secret() == tokens[0].expose_secret()));
        tokens[0].clone()
    };
    let asked = || exports.scene.app.sandbox.stats().token_client_credentials;
    let first = all(None).await;
    assert_eq!(asked(), 1);
    let second = all(Some(first.clone())).await;
    assert_eq!(asked(), 2);
    assert_ne!(first.expose_secret(), second.expose_secret());
    // It lives for five minutes; the last of them is left alone.
    exports.scene.app.clock.advance_seconds(200);
    all(None).await;
    assert_eq!(asked(), 2);
    exports.scene.app.clock.advance_seconds(41);
    all(None).await;
    assert_eq!(asked(), 3);
    let asked_for = exports.scene.app.sandbox.stats().last_token_form;
    assert!(asked_for.contains(&("scope".into(), SCOPES.into())));
    assert!(!asked_for.iter().any(|(name, _)| name == "client_id"), "the assertion says who we are");
}

/// Works on whatever is due, in the background.
fn worker(app: &App, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let (app, stop) = (app.clone(), stop.clone());
    tokio::spawn(async move { while embedded::work_once(&app, &stop).await.unwrap() && !stop.is_cancelled() {} })
}

/// An export that downloads, and will for a while.
async fn downloading(db: Db) -> (Exports, String) {
    let exports = Exports::new(db, Bulk { polls: 0, lines_per_file: 4, ..Bulk::default() }).await;
    exports.scene.app.sandbox.inject_times(Endpoint::BulkFile, &Fault::Trickle { bytes: 100, millis: 200 }, 5);
    let id = exports.start(json!({})).await;
    exports.work().await;
    exports.scene.app.clock.advance_seconds(5);
    (exports, id)
}

async fn wait_for_files(exports: &Exports) {
    for _ in 0..500 {
        if !exports.bulk_stats().file_requests.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no file is asked for");
}

/// A process that stops gives its exports back: another one goes on at once, without waiting for a lease.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn handed_over_at_once(#[case] db: Db) {
    let (exports, id) = downloading(db).await;
    let stop = CancellationToken::new();
    let first = worker(&exports.scene.app.app, &stop);
    wait_for_files(&exports).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), first).await.expect("it stops soon").unwrap();
    assert_eq!(exports.status(&id).await["state"], "downloading");
    let other = exports.scene.app.replica().await;
    worker(&other, &CancellationToken::new()).await.unwrap();
    assert_eq!(exports.status(&id).await["state"], "complete");
}

/// A process that is gone is followed by another when its lease ends, and not before; if it comes back, it changes
/// nothing any more.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn taken_over_when_the_lease_ends(#[case] db: Db) {
    let (exports, id) = downloading(db).await;
    let first = worker(&exports.scene.app.app, &CancellationToken::new());
    wait_for_files(&exports).await;
    let other = exports.scene.app.replica().await;
    let stop = CancellationToken::new();
    assert!(!embedded::work_once(&other, &stop).await.unwrap(), "it is worked on");
    exports.scene.app.clock.advance_seconds(31);
    assert!(embedded::work_once(&other, &stop).await.unwrap());
    worker(&other, &stop).await.unwrap();
    let done = exports.status(&id).await;
    assert_eq!(done["state"], "complete", "{done}");
    first.await.unwrap();
    assert_eq!(exports.status(&id).await["rows"], done["rows"]);
}

/// Somebody's wish interrupts a long download.
#[tokio::test]
async fn a_wish_is_heard_while_it_downloads() {
    let (exports, id) = downloading(Db::Sqlite).await;
    let stop = CancellationToken::new();
    let first = worker(&exports.scene.app.app, &stop);
    wait_for_files(&exports).await;
    exports.post("bulk/cancel", &json!({"jobId": id})).await;
    tokio::time::timeout(Duration::from_secs(8), first).await.expect("it is heard").unwrap();
    let done = exports.finish(&id).await;
    assert_eq!((&done["state"], exports.bulk_stats().deletes), (&json!("cancelled"), 1));
}

#[tokio::test]
async fn events_tell_every_change_and_end_with_the_process() {
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    let url = format!("{}/api/integrations/ehr/bulk/events", exports.scene.app.url);
    let client = reqwest::Client::builder().build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    let answer = client.get(&url).bearer_auth(&exports.scene.token).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut stream = answer.bytes_stream();
    let mut text = String::new();
    let mut next = async |until: &str| {
        while !text.contains(until) {
            let piece = tokio::time::timeout(Duration::from_secs(5), stream.next()).await.expect("an event");
            let piece = piece?;
            text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        Some(std::mem::take(&mut text))
    };
    let first = next("\n\n").await.unwrap();
    assert!(first.contains("event: exports") && first.contains("id: 0"), "{first}");
    let id = exports.start(json!({})).await;
    let changed = next("queued").await.unwrap();
    assert!(changed.contains(&id));
    exports.finish(&id).await;
    let data = next("\"complete\"").await.unwrap();
    let data = data.lines().rev().find_map(|line| line.strip_prefix("data:")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(data).unwrap()["exports"][0]["rows"]["byType"]["Patient"], 5);
    exports.scene.app.app.stopping.cancel();
    assert_eq!(next("never").await, None, "the stream ends");
}
