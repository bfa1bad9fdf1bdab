//! Bulk exports from the command line: the real program, by the same flow as the API.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ehr_integrations::sandbox::bulk::Bulk;
use serde_json::Value;

use super::exports::Exports;
use super::support::{Db, TestApp};

/// The program with the environment of a test's installation.
pub fn program(app: &TestApp, arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_ehr-integrations")));
    command
        .args(arguments)
        .env_clear()
        .env("INTEGRATIONS_TOKEN_ENC_KEY", STANDARD.encode([7; 32]))
        .env("APP_BASE_URL", &app.url)
        .env("DATABASE_URL", app.database_url())
        .env("EHR_ALLOW_PRIVATE_NETWORK", "1")
        .env("EHR_BULK_MAX_POLL_SECONDS", "1");
    command
}

async fn run(exports: &Exports, arguments: &[&str]) -> Output {
    let mut command = program(&exports.scene.app, &[&["export"], arguments, &["--practice", "north"]].concat());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn started_followed_and_forgotten() {
    let exports = Exports::new(Db::Sqlite, Bulk::default()).await;
    exports.scene.app.clock.follow_the_real_one();
    let started = run(&exports, &["start", "--provider", "generic", "--types", "Patient,Encounter", "--here"]).await;
    let printed = text(&started.stdout);
    assert!(started.status.success(), "{printed}\n{}", text(&started.stderr));
    let id = printed.lines().next().unwrap().to_owned();
    assert!(printed.contains(&format!("{id}  generic  complete  2/2 files")), "{printed}");
    let status = run(&exports, &["status", &id]).await;
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((status["jobId"].as_str(), status["rows"]["byType"]["Patient"].as_i64()), (Some(&*id), Some(5)));
    assert!(text(&run(&exports, &["list"]).await.stdout).starts_with(&id));
    assert!(run(&exports, &["watch", &id]).await.status.success());

    let refused = run(&exports, &["retry", &id]).await;
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).starts_with("error: bulk_expired: "), "{}", text(&refused.stderr));
    let refused = run(&exports, &["start", "--provider", "generic", "--level", "group"]).await;
    assert!(text(&refused.stderr).contains("invalid_input: groupId"), "{}", text(&refused.stderr));

    let waiting = run(&exports, &["start", "--provider", "generic"]).await;
    let other = text(&waiting.stdout).trim().to_owned();
    assert!(text(&run(&exports, &["pause", &other]).await.stdout).contains("queued (held)"));
    assert!(text(&run(&exports, &["resume", &other]).await.stdout).contains("queued  0/0"));
    assert!(run(&exports, &["cancel", &other]).await.status.success());
    let ended = run(&exports, &["watch", &other, "--here"]).await;
    assert!(!ended.status.success() && text(&ended.stderr).contains("ended as cancelled"), "{}", text(&ended.stderr));
    assert!(text(&run(&exports, &["delete", &other]).await.stdout).contains("is forgotten"));
    assert!(text(&run(&exports, &["status", &other]).await.stderr).starts_with("error: not_found"));
}
