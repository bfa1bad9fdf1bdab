//! The writers of both databases against a model: which version of a resource wins, and what a lost lease costs.

use std::collections::BTreeMap;

use bytes::Bytes;
use ehr_integrations::model::id::ExportId;
use ehr_integrations::model::time::Timestamp;
use ehr_integrations::server::bulk::head::Refusal;
use ehr_integrations::server::bulk::notes::Remark;
use ehr_integrations::server::bulk::write::{Part, Reject, Row, Target, WriteError, Writer};
use ehr_integrations::server::store::Database;
use ehr_integrations::server::store::export_file::{FileState, Progress};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sqlx::Row as _;

use super::bulk_ingest::scene::{add_export, add_file};
use super::support::{Db, TestApp};

/// A version of a resource that comes in: `None` for its deletion.
#[derive(Clone, Debug)]
struct Version {
    id: u8,
    updated_at: Option<i64>,
    partial: bool,
    body: Option<String>,
}

/// What is stored of it: when, whether some elements only, by which export, and what.
type State = (Option<i64>, bool, i64, Option<String>);

fn any_version() -> impl Strategy<Value = Version> {
    let body = proptest::option::weighted(0.8, "\\{\"[a-z\\\\\té]{0,12}\"\\}");
    (0_u8..3, proptest::option::weighted(0.7, 0_i64..4), any::<bool>(), body).prop_map(
        |(id, updated_at, partial, body)| Version { id, updated_at, partial: partial && body.is_some(), body },
    )
}

/// The rule, in the words of the schema.
fn apply(model: &mut BTreeMap<u8, State>, version: &Version, export: i64) {
    let new = (version.updated_at, version.partial, export, version.body.clone());
    let Some((updated_at, partial, number, _)) = model.get(&version.id) else {
        model.insert(version.id, new);
        return;
    };
    let complete_enough = *partial || !version.partial;
    let as_new = match (version.updated_at, *updated_at) {
        (Some(incoming), Some(existing)) => incoming >= existing,
        _ => export >= *number,
    };
    if complete_enough && as_new {
        model.insert(version.id, new);
    }
}

fn part(file: i64, versions: &[Version]) -> Part {
    let row = |version: &Version| Row {
        kind: "Patient".into(),
        id: version.id.to_string().into(),
        updated_at: version.updated_at.map(Timestamp),
        version: None,
        partial: version.partial,
        body: version.body.clone().map(Bytes::from),
    };
    Part { file, rows: versions.iter().map(row).collect(), ..Part::default() }
}

async fn stored(db: &Database, source: i64) -> BTreeMap<u8, State> {
    let rows =
        sqlx::query("SELECT id, updated_at, partial, export_no, deleted_at, body FROM resources WHERE source = $1")
            .bind(source)
            .fetch_all(db.pool())
            .await
            .unwrap();
    rows.iter()
        .map(|row| {
            let body: Option<String> = row.get("body");
            assert_eq!(body.is_none(), row.get::<Option<i64>, _>("deleted_at").is_some());
            let state = (row.get("updated_at"), row.get::<i64, _>("partial") == 1, row.get("export_no"), body);
            (row.get::<String, _>("id").parse().unwrap(), state)
        })
        .collect()
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_complete_version_wins(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let test = TestApp::new(db).await;
    let export = add_export(&test, "https://ehr.example/fhir").await;
    add_file(&test, &export, 1, "output", Some("Patient"), "https://ehr.example/1").await;
    let mut writer = Writer::connect(&test.app.db).await.unwrap();
    let mut runner = TestRunner::deterministic();
    // Transactions of parts of versions.
    let part_of = proptest::collection::vec(any_version(), 0..6);
    let transactions = proptest::collection::vec(proptest::collection::vec(part_of, 1..3), 1..5);
    for case in 0..60 {
        let source = 1_000 + case;
        let mut model = BTreeMap::new();
        for (number, parts) in transactions.new_tree(&mut runner).unwrap().current().iter().enumerate() {
            // Exports do not end in the order in which they began.
            let number = [2, 1, 3, 2, 4][number];
            let target = Target { number, source, ..export.clone() };
            for version in parts.iter().flatten() {
                apply(&mut model, version, number);
            }
            let parts = parts.iter().map(|versions| part(1, versions)).collect();
            writer.write(&target, parts, Timestamp(7)).await.unwrap();
        }
        assert_eq!(stored(&test.app.db, source).await, model, "case {case}");
    }
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn without_the_lease_nothing_is_written(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let test = TestApp::new(db).await;
    let export = add_export(&test, "https://ehr.example/fhir").await;
    add_file(&test, &export, 1, "output", Some("Patient"), "https://ehr.example/1").await;
    let mut writer = Writer::connect(&test.app.db).await.unwrap();
    let version = Version { id: 1, updated_at: None, partial: false, body: Some("{}".into()) };
    let mut one = part(1, std::slice::from_ref(&version));
    one.progress = Progress { lines: 1, rows: 1, ..Progress::default() };
    let other = Target { fence: export.fence - 1, ..export.clone() };
    let refused = writer.write(&other, vec![part(1, std::slice::from_ref(&version))], Timestamp(7)).await;
    assert!(matches!(refused, Err(WriteError::Fenced)));
    // A file that is not there: nothing of the transaction stays.
    assert!(writer.write(&export, vec![part(2, std::slice::from_ref(&version))], Timestamp(7)).await.is_err());
    assert!(stored(&test.app.db, export.source).await.is_empty());
    writer.write(&export, vec![one], Timestamp(7)).await.unwrap();
    assert_eq!(stored(&test.app.db, export.source).await.len(), 1);
}

async fn count(db: &Database, sql: &'static str, export: &ExportId) -> i64 {
    sqlx::query(sql).bind(export.to_string()).fetch_one(db.pool()).await.unwrap().get(0)
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_starts_again_counts_anew(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let test = TestApp::new(db).await;
    let export = add_export(&test, "https://ehr.example/fhir").await;
    add_file(&test, &export, 1, "error", None, "https://ehr.example/1").await;
    let mut writer = Writer::connect(&test.app.db).await.unwrap();
    let remark = Remark { severity: "error".into(), code: "x".into(), text: "y\\ \t".into() };
    let part = |restart| Part {
        file: 1,
        restart,
        rejects: vec![Reject { line: 3, reason: Refusal::NotJson, bytes: 9 }],
        remarks: BTreeMap::from([(remark.clone(), 2)]),
        progress: Progress { state: FileState::Done, rejected: 1, counts: Some("{}".into()), ..Progress::default() },
        ..Part::default()
    };
    writer.write(&export, vec![part(false), part(false)], Timestamp(7)).await.unwrap();
    let times = "SELECT CAST(SUM(times) AS BIGINT) FROM export_outcomes WHERE export_id = $1";
    let rejects = "SELECT COUNT(*) FROM export_rejects WHERE export_id = $1";
    let db = &test.app.db;
    assert_eq!((count(db, times, &export.export).await, count(db, rejects, &export.export).await), (4, 1));
    writer.write(&export, vec![part(true)], Timestamp(7)).await.unwrap();
    assert_eq!((count(db, times, &export.export).await, count(db, rejects, &export.export).await), (2, 1));
    assert_eq!(count(db, "SELECT version FROM exports WHERE id = $1", &export.export).await, 2);
    let done = "SELECT COUNT(*) FROM export_files WHERE export_id = $1 AND state = 'done' AND counts = '{}'";
    assert_eq!(count(db, done, &export.export).await, 1);
}
