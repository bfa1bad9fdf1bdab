//! What must not be found anywhere: in recordings, in the log, nor in the database.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ehr_integrations::sandbox::{Endpoint, Fault, Personality};
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use url::Url;

use super::launch::{follow, name};
use super::log;
use super::recordings::{SECRET, Scene};
use super::support::{Browser, Db, TestApp};

/// Everything that the database holds, byte columns in hexadecimal.
async fn contents(app: &TestApp, db: Db) -> Vec<u8> {
    let Db::Postgres = db else { return app.database_bytes() };
    let pool = app.app.db.pool();
    let tables: Vec<(String,)> =
        sqlx::query_as("SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'")
            .fetch_all(pool)
            .await
            .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut text = String::new();
    for (table,) in tables {
        let rows = sqlx::AssertSqlSafe(format!("SELECT CAST(whole AS TEXT) FROM \"{table}\" AS whole"));
        let rows: Vec<(String,)> = sqlx::query_as(rows).fetch_all(pool).await.unwrap();
        text.extend(rows.into_iter().map(|(row,)| row + "\n"));
    }
    text.into_bytes()
}

fn has(bytes: &[u8], canary: &str) -> bool {
    let found = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    let hexadecimal = canary.bytes().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    found(canary.as_bytes()) || found(hexadecimal.as_bytes())
}

/// The values of some parameters of an address.
fn values(address: &str, names: &[&str]) -> Vec<String> {
    let url = Url::parse(address).unwrap();
    url.query_pairs().filter(|(name, _)| names.contains(&&**name)).map(|(_, value)| value.into_owned()).collect()
}

/// An EHR launch into the view, ended by the owner; answers what of it is secret, and whose chart it was.
async fn launched(scene: &mut Scene) -> (Vec<String>, String) {
    let owner = |path: &str| scene.app.server.post(path).add_header("cookie", scene.owner.as_str());
    let rules = [("auto_approve", "true"), ("allow_anonymous", "false"), ("frame_origins", "")];
    owner("/api/save_launch_settings").form(&rules).await.assert_status_ok();
    let order = json!({"client_id": "canary", "patient": "pat-0002", "need_patient_banner": true});
    let post = reqwest::Client::builder().build().unwrap().post(format!("{}/ehr/launch", scene.app.ehr)).json(&order);
    let answer: Value = post.send().await.unwrap().json().await.unwrap();
    let url = answer["url"].as_str().unwrap();
    let mut canaries = values(url, &["launch"]);
    let mut browser = Browser::new();
    let (view, page) = follow(&mut browser, url).await;
    let patient = name(&page).to_owned();
    assert_ne!(patient, "none", "{}", page.text);
    let id = Url::parse(&view).unwrap().path().rsplit('/').next().unwrap().to_owned();
    canaries.push(browser.cookie(&format!("__Host-embed-{id}")).to_owned());
    canaries.extend(scene.app.sandbox.stats().last_id_token);
    owner("/api/revoke_launch").form(&[("launch", id.as_str())]).await.assert_status_ok();
    assert!(canaries.len() == 3 && !scene.app.sandbox.stats().revoked_tokens.is_empty());
    (canaries, patient)
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn nothing_is_given_away(#[case] db: Db) {
    log::keep();
    let mut scene = Scene::new(db, Personality::default()).await;
    let [authorize, callback, _] = scene.connect("allow").await;
    let stats = scene.app.sandbox.stats();
    let basic = STANDARD.encode(format!("canary:{SECRET}"));
    assert_eq!(stats.last_token_authorization, Some(format!("Basic {basic}")), "this is what went over the wire");
    let mut canaries = vec![SECRET.to_owned(), basic];
    let pem = scene.app.app.config.signing_key.as_ref().unwrap().pem.expose_secret().to_owned();
    canaries.push(pem.lines().nth(5).unwrap().to_owned());
    for address in [&authorize, &callback] {
        canaries.extend(values(address, &["state", "nonce", "code", "code_challenge"]));
    }
    let form = stats.last_token_form.iter().filter(|(name, _)| name == "code_verifier" || name == "code");
    canaries.extend(form.map(|(_, value)| value.clone()));
    canaries.extend(stats.last_id_token);
    // Things go wrong, too: what is said then is said with less care.
    for fault in [Fault::Malformed, Fault::Status(500), Fault::OAuthError("invalid_grant".into())] {
        scene.app.sandbox.inject(Endpoint::Token, fault);
        let [_, callback, _] = scene.connect("allow").await;
        canaries.extend(values(&callback, &["code"]));
    }
    scene.connect("allow").await;
    let (of_launch, patient) = launched(&mut scene).await;
    canaries.extend(of_launch);
    // Ending the connection shows the tokens on the wire.
    let end = scene.app.server.post("/api/disconnect").add_header("cookie", scene.owner.as_str());
    end.form(&[("provider", "generic")]).await.assert_status_ok();
    canaries.extend(scene.app.sandbox.stats().revoked_tokens);
    assert!(canaries.len() >= 18 && canaries.iter().all(|canary| canary.len() >= 16), "{canaries:?}");
    let recordings = scene.list("").await.to_string();
    let contents = contents(&scene.app, db).await;
    assert!(has(&contents, "connection.made"), "the database is read");
    let log = log::kept();
    assert!(log.contains("request refused"), "the log is read: {log}");
    for canary in &canaries {
        assert!(!recordings.contains(canary.as_str()), "{canary} is in a recording");
        assert!(!log.contains(canary.as_str()), "{canary} is in the log");
        assert!(!has(&contents, canary), "{canary} is in the database");
    }
    // Whose charts they were is not in a recording or the log, and no name of a patient is kept.
    let first = scene.app.sandbox.first_patient_id();
    for whose in [first.as_str(), "pat-0002", patient.as_str()] {
        assert!(!recordings.contains(whose) && !log.contains(whose), "{whose}");
    }
    assert!(!has(&contents, &patient), "{patient} is in the database");
}
