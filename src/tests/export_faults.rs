//! What EHRs and networks do to an export: every fault of the sandbox has an outcome, and none loses or doubles a
//! resource.

use std::collections::BTreeMap;

use ehr_integrations::sandbox::bulk::{Bulk, Issue};
use ehr_integrations::sandbox::{Endpoint, Fault, Personality};
use ehr_integrations::server::store::audit;
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::Row;

use super::exports::Exports;
use super::support::Db;

/// The resources that are stored, by type and id.
#[derive(PartialEq)]
pub struct Rows(pub BTreeMap<(String, String), Option<String>>);

/// Whole bodies would bury the difference.
impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |((kind, id), body): (&(String, String), &Option<String>)| {
            format!("{kind}/{id} {:?}", body.as_ref().map(String::len))
        };
        f.debug_list().entries(self.0.iter().map(short)).finish()
    }
}

/// Every resource that is stored.
pub async fn rows(exports: &Exports) -> Rows {
    let rows = sqlx::query("SELECT type, id, body FROM resources").fetch_all(exports.scene.app.app.db.pool()).await;
    // Every sandbox has a port of its own.
    let body = |row: &sqlx::any::AnyRow| {
        row.get::<Option<String>, _>("body").map(|body| body.replace(&exports.scene.app.ehr, "http://ehr.example"))
    };
    let rows = rows.unwrap();
    let map: BTreeMap<_, _> = rows.iter().map(|row| ((row.get("type"), row.get("id")), body(row))).collect();
    assert_eq!(map.len(), rows.len(), "no resource is there twice");
    Rows(map)
}

/// What an export without faults stores.
async fn undisturbed(db: Db) -> Rows {
    let exports = Exports::new(db, Bulk::default()).await;
    let id = exports.start(json!({})).await;
    assert_eq!(exports.finish(&id).await["state"], "complete");
    rows(&exports).await
}

/// Faults that pass: the export is complete in the end, as if nothing had been.
#[rstest]
#[case::kickoff_busy(Endpoint::BulkKickoff, Fault::TooManyRequests(2), 3)]
#[case::kickoff_transient(Endpoint::BulkKickoff, Fault::Transient(500), 3)]
#[case::kickoff_dropped(Endpoint::BulkKickoff, Fault::Dropped, 2)]
#[case::kickoff_gateway(Endpoint::BulkKickoff, Fault::Status(503), 3)]
#[case::kickoff_token(Endpoint::BulkKickoff, Fault::TokenEnded, 1)]
#[case::status_transient(Endpoint::BulkStatus, Fault::Transient(500), 3)]
#[case::status_gateway(Endpoint::BulkStatus, Fault::Status(502), 5)]
#[case::status_busy(Endpoint::BulkStatus, Fault::TooManyRequests(1), 6)]
#[case::status_dropped(Endpoint::BulkStatus, Fault::Dropped, 2)]
#[case::status_cut(Endpoint::BulkStatus, Fault::CutAfter(20), 2)]
#[case::status_malformed(Endpoint::BulkStatus, Fault::Malformed, 2)]
#[case::status_token(Endpoint::BulkStatus, Fault::TokenEnded, 1)]
#[case::status_epoch_millis(Endpoint::BulkStatus, Fault::RetryAfter("1795468740000".into()), 1)]
#[case::status_hours(Endpoint::BulkStatus, Fault::RetryAfter("18000".into()), 1)]
#[case::status_date(Endpoint::BulkStatus, Fault::RetryAfter("Wed, 25 Nov 2099 08:00:00 GMT".into()), 1)]
#[case::file_503(Endpoint::BulkFile, Fault::Status(503), 6)]
#[case::file_500(Endpoint::BulkFile, Fault::Status(500), 2)]
#[case::file_429(Endpoint::BulkFile, Fault::TooManyRequests(1), 20)]
#[case::file_dropped(Endpoint::BulkFile, Fault::Dropped, 2)]
#[case::file_cut(Endpoint::BulkFile, Fault::CutAfter(100), 2)]
#[case::file_cut_chunked(Endpoint::BulkFile, Fault::CutChunked(100), 2)]
#[case::file_truncated(Endpoint::BulkFile, Fault::Truncated(60), 2)]
#[case::file_bad_crc(Endpoint::BulkFile, Fault::GzipBadCrc, 2)]
#[case::file_token(Endpoint::BulkFile, Fault::TokenEnded, 1)]
#[case::file_expired(Endpoint::BulkFile, Fault::Expired(410), 1)]
#[case::file_not_found(Endpoint::BulkFile, Fault::Expired(404), 2)]
#[case::file_trickles(Endpoint::BulkFile, Fault::Trickle { bytes: 4_000, millis: 5 }, 1)]
#[case::file_bom(Endpoint::BulkFile, Fault::Bom, 3)]
#[case::file_crlf(Endpoint::BulkFile, Fault::Crlf, 3)]
#[case::file_last_newline(Endpoint::BulkFile, Fault::NoLastNewline, 3)]
#[tokio::test]
async fn what_passes(#[case] at: Endpoint, #[case] fault: Fault, #[case] times: usize) {
    let expected = undisturbed(Db::Sqlite).await;
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    for _ in 0..times {
        exports.scene.app.sandbox.inject(at, fault.clone());
    }
    let id = exports.start(json!({})).await;
    let done = exports.finish(&id).await;
    assert_eq!((&done["state"], &done["rejected"]), (&json!("complete"), &json!(0)), "{done}");
    assert_eq!(rows(&exports).await, expected);
    assert_eq!((exports.bulk_stats().deletes, exports.bulk_stats().leaked_tokens), (1, 0));
}

/// Single lines that are broken are put aside, and counted; the rest is taken in.
#[rstest]
#[case::not_json(Fault::BadLine, "not_json")]
#[case::not_utf8(Fault::InvalidUtf8, "not_utf8")]
#[case::wrong_type(Fault::WrongType, "wrong_type")]
#[tokio::test]
async fn one_bad_line(#[case] fault: Fault, #[case] reason: &str) {
    let Rows(expected) = undisturbed(Db::Sqlite).await;
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    // The file of documents has enough lines for one to be an exception.
    exports.scene.app.sandbox.set_personality(|all| all.bulk.broken_files = BTreeMap::from([(0, fault)]));
    let id = exports.start(json!({"types": ["DocumentReference"]})).await;
    let done = exports.finish(&id).await;
    assert_eq!((&done["state"], &done["rejected"]), (&json!("complete_with_errors"), &json!(1)), "{done}");
    let Rows(stored) = rows(&exports).await;
    let documents = expected.iter().filter(|((kind, _), _)| kind == "DocumentReference").count();
    assert_eq!(stored.len(), documents - 1);
    assert!(stored.iter().all(|(key, body)| expected.get(key) == Some(body)));
    let kept = sqlx::query("SELECT reason FROM export_rejects").fetch_one(exports.scene.app.app.db.pool()).await;
    assert_eq!(kept.unwrap().get::<String, _>("reason"), reason);
}

#[tokio::test]
async fn a_huge_line_is_a_line() {
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    exports.scene.app.sandbox.inject(Endpoint::BulkFile, Fault::HugeLine(20_000_000));
    let id = exports.start(json!({"types": ["Patient"]})).await;
    let done = exports.finish(&id).await;
    assert_eq!((&done["state"], &done["rows"]["total"]), (&json!("complete"), &json!(5)), "{done}");
    assert!(done["bytes"].as_i64().unwrap() > 20_000_000);
}

/// Faults that stay end an export, and say why.
#[rstest]
#[case::refused(Endpoint::BulkKickoff, Fault::Status(400), "failed", Some("bulk_failed"))]
#[case::forbidden(Endpoint::BulkKickoff, Fault::Status(403), "failed", Some("scope_denied"))]
#[case::not_there(Endpoint::BulkKickoff, Fault::Status(404), "failed", Some("bulk_unsupported"))]
#[case::job_gone(Endpoint::BulkStatus, Fault::JobGone, "expired", Some("bulk_expired"))]
#[case::files_gone(Endpoint::BulkFile, Fault::JobGone, "expired", Some("bulk_expired"))]
#[case::status_400(Endpoint::BulkStatus, Fault::Status(400), "failed", Some("bulk_failed"))]
#[tokio::test]
async fn what_ends_an_export(
    #[case] at: Endpoint,
    #[case] fault: Fault,
    #[case] state: &str,
    #[case] code: Option<&str>,
) {
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    exports.scene.app.sandbox.inject(at, fault);
    let id = exports.start(json!({})).await;
    let done = exports.finish(&id).await;
    assert_eq!(done["state"], state, "{done}");
    assert_eq!(done["errors"][0]["error"].as_str(), code, "{done}");
    // The next one works.
    let id = exports.start(json!({})).await;
    assert_eq!(exports.finish(&id).await["state"], "complete");
}

#[tokio::test]
async fn an_ehr_that_cannot_complete_it_says_why() {
    let exports = Exports::new(Db::Sqlite, Bulk { fails: Some(500), ..Bulk::default() }).await;
    let id = exports.start(json!({})).await;
    let done = exports.finish(&id).await;
    assert_eq!((&done["state"], &done["errors"][0]["error"]), (&json!("failed"), &json!("bulk_failed")), "{done}");
    assert!(!done["errors"][0]["detail"].as_str().unwrap().is_empty());
    assert_eq!(exports.bulk_stats().deletes, 0, "what the EHR has stays there");
}

/// A file that never comes: the rest is taken in, the job stays at the EHR, and later the file can be had.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_file_that_fails_is_fetched_again_when_asked(#[case] db: Db) {
    let expected = undisturbed(db).await;
    let broken = BTreeMap::from([(1, Fault::Truncated(60))]);
    let exports = Exports::new(db, Bulk { broken_files: broken, ..Bulk::default() }).await;
    let id = exports.start(json!({})).await;
    let done = exports.finish(&id).await;
    assert_eq!((&done["state"], &done["files"]["failed"]), (&json!("complete_with_errors"), &json!(1)), "{done}");
    assert_eq!(done["errors"][0]["error"], "ehr_unavailable");
    assert_eq!(done["errors"][0]["detail"], "truncated");
    assert_eq!(exports.bulk_stats().deletes, 0);
    exports.scene.app.sandbox.set_personality(|all| all.bulk.broken_files.clear());
    let file = done["errors"][0]["file"].clone();
    let (status, again) = exports.post("bulk/retry", &json!({"jobId": id, "file": file})).await;
    assert_eq!((status, &again["state"]), (200, &json!("downloading")), "{again}");
    assert_eq!(exports.finish(&id).await["state"], "complete");
    assert_eq!(exports.bulk_stats().deletes, 1);
    assert_eq!(rows(&exports).await, expected);
    assert_eq!(exports.post("bulk/retry", &json!({"jobId": id})).await.1["error"], "bulk_expired");
}

/// A count that is wrong: the file is looked at twice, and its rows are kept.
#[tokio::test]
async fn a_wrong_count_is_never_silent() {
    let exports = Exports::new(Db::Sqlite, Bulk { count_off: 1, ..Bulk::default() }).await;
    let id = exports.start(json!({"types": ["Patient"]})).await;
    let done = exports.finish(&id).await;
    assert_eq!((&done["state"], &done["errors"][0]["detail"]), (&json!("complete_with_errors"), &json!("wrong_count")));
    assert_eq!(done["rows"]["total"], 5);
    assert_eq!(rows(&exports).await.0.len(), 5);
}

#[tokio::test]
async fn a_refused_token_holds_the_export_until_somebody_looks() {
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    let id = exports.start(json!({})).await;
    exports.scene.app.sandbox.inject(Endpoint::Token, Fault::OAuthError("invalid_client".into()));
    let held = exports.finish(&id).await;
    assert_eq!((&held["paused"], &held["nextPollWhy"]["reason"]), (&json!(true), &json!("no_token")), "{held}");
    assert_eq!(held["nextPollWhy"]["code"], "client_auth_failed");
    let (status, _) = exports.post("bulk/resume", &json!({"jobId": id})).await;
    assert_eq!(status, 200);
    assert_eq!(exports.finish(&id).await["state"], "complete");
}

#[tokio::test]
async fn warnings_of_the_ehr_fail_nothing_and_errors_are_told() {
    for (severity, expected) in [("warning", "complete"), ("error", "complete_with_errors")] {
        let issue: Issue = serde_json::from_value(json!({"severity": severity, "code": "processing", "text": "odd"}))
            .expect("an issue of the sandbox");
        let exports = Exports::new(Db::Sqlite, Bulk { issues: vec![issue], ..Bulk::default() }).await;
        let id = exports.start(json!({})).await;
        assert_eq!(exports.finish(&id).await["state"], expected);
    }
}

/// Files of another host are fetched where the practice allows it, without the token; else the file says which
/// host it is.
#[tokio::test]
async fn files_of_other_hosts() {
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let files = exports.scene.app.sandbox.file_host();
    tokio::spawn(async move { axum::serve(listener, files).await.unwrap() });
    for redirected in [false, true] {
        exports.scene.app.sandbox.set_personality(|all| {
            all.bulk.file_origin = Some(origin.clone());
            all.bulk.file_redirect = redirected;
        });
        let id = exports.start(json!({"types": ["Patient"]})).await;
        let done = exports.finish(&id).await;
        assert_eq!(done["errors"][0]["error"], "forbidden", "{done}");
        assert_eq!(done["errors"][0]["detail"], format!("host_not_allowed {}", origin.trim_start_matches("http://")));
        exports.allow_files_of(&origin).await;
        let (_, again) = exports.post("bulk/retry", &json!({"jobId": id})).await;
        assert_eq!(again["state"], "downloading", "{again}");
        let done = exports.finish(&id).await;
        assert_eq!((&done["state"], &done["rows"]["total"]), (&json!("complete"), &json!(5)), "{done}");
        assert_eq!(exports.bulk_stats().leaked_tokens, 0);
        exports.allow_files_of("").await;
    }
}

/// A manifest in parts: files are taken in while the EHR prepares others.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_manifest_in_parts(#[case] db: Db) {
    let expected = undisturbed(db).await;
    let exports = Exports::new(db, Bulk { page_files: 2, polls: 4, lines_per_file: 3, ..Bulk::default() }).await;
    let id = exports.start(json!({})).await;
    let done = exports.finish(&id).await;
    assert_eq!(done["state"], "complete", "{done}");
    assert!(done["files"]["total"].as_i64().unwrap() > 4);
    assert_eq!(rows(&exports).await, expected);
}

/// The next export asks for what changed; what was deleted stays without its body.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn since_the_last_time(#[case] db: Db) {
    let exports = Exports::new(db, Bulk::default()).await;
    let first = exports.start(json!({"since": "auto"})).await;
    let first = exports.finish(&first).await;
    assert!(first["request"]["since"].is_null(), "there was none before: {first}");
    let patient = exports.scene.app.sandbox.first_patient_id();
    exports.scene.app.sandbox.set_personality(|all| all.bulk.deleted = vec![format!("Patient/{patient}")]);
    let second = exports.start(json!({"since": "auto"})).await;
    let second = exports.finish(&second).await;
    assert_eq!(second["state"], "complete", "{second}");
    assert_eq!(second["request"]["since"], first["transactionTime"]);
    let asked = exports.bulk_stats().last_kickoff;
    assert!(asked.iter().any(|(name, value)| name == "_since" && first["transactionTime"] == *value));
    let trail = audit::page(&exports.scene.app.app.db, &exports.scene.practice, "", 100).await.unwrap();
    let deleted: Vec<_> = trail.iter().filter(|event| event.action == "export.deletions_applied").collect();
    assert_eq!(deleted.len(), 1);
    assert_eq!((deleted[0].target.as_str(), deleted[0].actor.as_str()), ("generic: 1 deleted", "engine"));
    let Rows(stored) = rows(&exports).await;
    assert_eq!(stored.get(&("Patient".into(), patient)), Some(&None));
    assert_eq!(stored.values().filter(|body| body.is_none()).count(), 1);
}

/// Some elements only: they never take the place of the whole resource.
#[tokio::test]
async fn elements_never_replace_what_is_whole() {
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    let first = exports.start(json!({})).await;
    exports.finish(&first).await;
    let whole = rows(&exports).await;
    let second = exports.start(json!({"types": ["Patient"], "elements": ["id"]})).await;
    assert_eq!(exports.finish(&second).await["state"], "complete");
    assert_eq!(rows(&exports).await, whole);
}

#[tokio::test]
async fn resources_that_come_twice_are_there_once() {
    let expected = undisturbed(Db::Sqlite).await;
    let exports = Exports::new(Db::Sqlite, Bulk { files_repeated: true, lines_per_file: 2, ..Bulk::default() }).await;
    let id = exports.start(json!({})).await;
    assert_eq!(exports.finish(&id).await["state"], "complete");
    assert_eq!(rows(&exports).await, expected);
}

#[tokio::test]
async fn one_that_is_cancelled_is_cleaned_up_at_the_ehr() {
    let exports = Exports::new(Db::Sqlite, Bulk { polls: 50, ..Bulk::default() }).await;
    let id = exports.start(json!({})).await;
    exports.work().await;
    assert_eq!(exports.status(&id).await["state"], "waiting");
    assert_eq!(exports.post("bulk/delete", &json!({"jobId": id})).await.1["error"], "conflict");
    exports.scene.app.sandbox.inject(Endpoint::BulkDelete, Fault::Status(503));
    let (_, ending) = exports.post("bulk/cancel", &json!({"jobId": id})).await;
    assert_eq!(ending["cancelling"], true);
    let done = exports.finish(&id).await;
    assert_eq!((&done["state"], exports.bulk_stats().deletes), (&json!("cancelled"), 2), "{done}");
    assert_eq!(exports.post("bulk/delete", &json!({"jobId": id})).await.1, json!({"jobId": id, "deleted": true}));
    assert_eq!(exports.status(&id).await["error"], "not_found");
}

#[tokio::test]
async fn one_that_is_held_waits_for_its_release() {
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    let id = exports.start(json!({})).await;
    let (_, held) = exports.post("bulk/pause", &json!({"jobId": id})).await;
    assert_eq!((&held["paused"], &held["nextPollWhy"]["reason"]), (&json!(true), &json!("held")));
    exports.work().await;
    assert_eq!(exports.status(&id).await["state"], "queued");
    assert_eq!(exports.post("bulk/resume", &json!({"jobId": id})).await.0, 200);
    assert_eq!(exports.finish(&id).await["state"], "complete");
    assert_eq!(exports.post("bulk/pause", &json!({"jobId": id})).await.1["error"], "conflict");
}

/// With a secret, where a vendor wants that of a backend service.
#[tokio::test]
async fn a_backend_service_with_a_secret() {
    let exports =
        Exports::with(Db::Sqlite, Personality { backend_secret_allowed: true, ..Personality::default() }).await;
    let mut config: Value = exports.scene.app.generic("basic", Some("s3cret"));
    config["providerConfigs"]["generic"]["backendAuth"] = "secret".into();
    config["enableBulkExport"] = true.into();
    assert_eq!(exports.post("config", &config).await.0, 200);
    let id = exports.start(json!({})).await;
    assert_eq!(exports.finish(&id).await["state"], "complete");
}
