//! Bulk exports, from the request to the rows: asked for over JSON, worked on by the embedded engine, given by the
//! sandbox EHR.

use ehr_integrations::sandbox::bulk::{Bulk, Dialect};
use ehr_integrations::sandbox::{Endpoint, Fault, Personality};
use ehr_integrations::server::engine::embedded;
use ehr_integrations::server::store::export;
use rstest::rstest;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::scene::Scene;
use super::support::{Db, Wishes};

/// A practice that may export from the sandbox.
pub struct Exports {
    pub scene: Scene,
}

impl Exports {
    pub async fn new(db: Db, bulk: Bulk) -> Self {
        Self::with(db, Personality { bulk, ..Personality::default() }).await
    }

    pub async fn with(db: Db, personality: Personality) -> Self {
        let scene = Scene::with(db, "key", None, Wishes { personality, ..Wishes::default() }).await;
        let exports = Self { scene };
        exports.post("config", &json!({"enableBulkExport": true})).await;
        exports
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("/api/integrations/ehr/{path}");
        let answer = self.scene.app.server.post(&url).authorization_bearer(&self.scene.token).json(body).await;
        (answer.status_code().as_u16(), answer.json())
    }

    /// Starts an export of all patients' resources; answers its id.
    pub async fn start(&self, more: Value) -> String {
        let mut body = json!({"providerId": "generic", "level": "patient"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, job) = self.post("bulk/start", &body).await;
        assert_eq!(status, 202, "{job}");
        assert_eq!(job["state"], "queued");
        job["jobId"].as_str().unwrap().to_owned()
    }

    pub async fn status(&self, id: &str) -> Value {
        let url = format!("/api/integrations/ehr/bulk/status?jobId={id}");
        self.scene.app.server.get(&url).authorization_bearer(&self.scene.token).await.json()
    }

    /// Works on what is due now.
    pub async fn work(&self) {
        let stop = CancellationToken::new();
        while embedded::work_once(&self.scene.app.app, &stop).await.unwrap() {}
    }

    /// Works, and lets the time pass, until the export is over or held; answers how it ended.
    pub async fn finish(&self, id: &str) -> Value {
        for _ in 0..200 {
            self.work().await;
            let status = self.status(id).await;
            if !status["finishedAt"].is_null() || status["paused"] == true {
                return status;
            }
            let due = export::next_due(&self.scene.app.app.db).await.unwrap().expect("something is due");
            let now = ehr_integrations::server::clock::Clock::now(&self.scene.app.clock);
            self.scene.app.clock.advance_seconds((due.0 - now.0).max(0) / 1000 + 1);
        }
        panic!("it does not end: {}", self.status(id).await);
    }

    /// Lets files come from a host, or with an empty text from none but the EHR's own.
    pub async fn allow_files_of(&self, host: &str) {
        let mut config = self.scene.app.generic("key", None);
        config["providerConfigs"]["generic"]["bulkFileHosts"] = host.into();
        assert_eq!(self.post("config", &config).await.0, 200);
    }

    pub fn bulk_stats(&self) -> ehr_integrations::sandbox::bulk::BulkStats {
        self.scene.app.sandbox.stats().bulk
    }
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn an_export_from_the_request_to_the_rows(#[case] db: Db) {
    let exports = Exports::new(db, Bulk::default()).await;
    let id = exports.start(json!({})).await;
    let done = exports.finish(&id).await;
    assert_eq!(done["state"], "complete", "{done}");
    assert_eq!(done["files"]["done"], done["files"]["total"]);
    assert_eq!(done["rows"]["byType"]["Patient"], 5);
    assert_eq!(exports.bulk_stats().deletes, 1);
    assert_eq!(exports.bulk_stats().leaked_tokens, 0);
}

#[tokio::test]
async fn what_cannot_be_started() {
    let exports = Exports::new(Db::Sqlite, Bulk { no_bulk: Some(404), ..Bulk::default() }).await;
    let start = json!({"providerId": "generic", "level": "patient"});
    let refused = |body: Value| exports.post("bulk/start", Box::leak(Box::new(body)));
    assert_eq!(refused(start.clone()).await.1["error"], "bulk_unsupported");
    exports.scene.app.sandbox.set_personality(|all| all.bulk.no_bulk = None);
    let (status, answer) = refused(json!({"providerId": "generic", "level": "group", "types": ["patient"]})).await;
    assert_eq!((status, &answer["fields"]), (422, &json!({"groupId": "required", "types": "bad_characters"})));
    assert_eq!(refused(json!({"providerId": "none", "level": "patient"})).await.0, 404);
    exports.start(json!({})).await;
    assert_eq!(refused(start.clone()).await.1["error"], "bulk_busy");
    exports.post("config", &json!({"enableBulkExport": false})).await;
    assert_eq!(refused(start).await.1["error"], "bulk_disabled");
}

#[tokio::test]
async fn the_ehr_is_asked_in_its_dialect() {
    for dialect in [Dialect::V2, Dialect::V3, Dialect::V4] {
        let exports = Exports::new(Db::Sqlite, Bulk { dialect, polls: 0, ..Bulk::default() }).await;
        let id = exports.start(json!({"types": ["Patient", "Encounter"]})).await;
        exports.work().await;
        let asked = exports.bulk_stats().last_kickoff;
        let types: Vec<_> = asked.iter().filter(|(name, _)| name == "_type").map(|(_, value)| value.as_str()).collect();
        let expected: &[&str] = if dialect == Dialect::V4 { &["Patient", "Encounter"] } else { &["Patient,Encounter"] };
        assert_eq!(types, expected);
        assert_eq!(exports.finish(&id).await["state"], "complete");
    }
}

#[rstest]
#[case::busy(Endpoint::BulkKickoff, Fault::TooManyRequests(60), "busy", 60)]
#[case::transient(Endpoint::BulkKickoff, Fault::Transient(503), "unavailable", 4)]
#[case::dropped(Endpoint::BulkKickoff, Fault::Dropped, "unavailable", 4)]
#[tokio::test]
async fn a_kick_off_that_waits(#[case] at: Endpoint, #[case] fault: Fault, #[case] reason: &str, #[case] seconds: i64) {
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    exports.scene.app.sandbox.inject(at, fault);
    let id = exports.start(json!({})).await;
    exports.work().await;
    let waits = exports.status(&id).await;
    assert_eq!((&waits["state"], &waits["nextPollWhy"]["reason"]), (&json!("queued"), &json!(reason)), "{waits}");
    assert_eq!(waits["nextPollWhy"]["seconds"], seconds);
    assert_eq!(exports.finish(&id).await["state"], "complete");
}

/// A group's export reads the group, too; scopes are of the version that the EHR takes.
#[rstest]
#[case::version_2("auto", "system/Patient.rs system/Group.rs")]
#[case::version_1("v1", "system/Patient.read system/Group.read")]
#[tokio::test]
async fn groups_and_scopes(#[case] version: &str, #[case] scopes: &str) {
    let exports = Exports::new(Db::Sqlite, Bulk { group_scope_wanted: true, ..Bulk::default() }).await;
    let mut config = exports.scene.app.generic("key", None);
    config["providerConfigs"]["generic"]["scopeVersion"] = version.into();
    assert_eq!(exports.post("config", &config).await.0, 200);
    let group = json!({"level": "group", "groupId": "first-patients", "types": ["Patient"]});
    let id = exports.start(group).await;
    let done = exports.finish(&id).await;
    assert_eq!(done["state"], "complete", "{done}");
    let form = exports.scene.app.sandbox.stats().last_token_form;
    assert!(form.contains(&("scope".into(), scopes.into())), "{form:?}");
    let rows = done["rows"]["total"].as_i64().unwrap();
    assert!((1..5).contains(&rows), "some of the patients: {rows}");
    assert_eq!(exports.bulk_stats().last_prefer, "respond-async");
}

/// Filters and single patients are asked for as they were written.
#[tokio::test]
async fn filters_and_single_patients() {
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    let patient = exports.scene.app.sandbox.first_patient_id();
    let id = exports.start(json!({"types": ["Patient"], "patients": [patient]})).await;
    assert_eq!(exports.finish(&id).await["rows"]["total"], 1);
    let id = exports.start(json!({"types": ["Patient"], "typeFilters": [format!("Patient?_id={patient}")]})).await;
    assert_eq!(exports.finish(&id).await["rows"]["total"], 1);
}

/// A manifest of thousands of files is noted and worked off.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn very_many_files(#[case] db: Db) {
    let synthetic = serde_json::from_value(json!({"resources": 2_050})).unwrap();
    let exports = Exports::new(db, Bulk { synthetic: Some(synthetic), lines_per_file: 1, ..Bulk::default() }).await;
    let id = exports.start(json!({})).await;
    let done = exports.finish(&id).await;
    assert_eq!((&done["state"], &done["files"]["done"]), (&json!("complete"), &json!(2_050)), "{done}");
    assert_eq!(done["rows"]["total"], 2_050);
    let url = format!("/api/integrations/ehr/bulk/files?jobId={id}&file=1999");
    let files: Value = exports.scene.app.server.get(&url).authorization_bearer(&exports.scene.token).await.json();
    assert_eq!(files["files"].as_array().unwrap().len(), 51);
    assert_eq!(files["files"][0]["state"], "done");
}
