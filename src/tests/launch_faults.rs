//! Launches that meet a fault on their way, and views whose EHR does not give what they show.

use ehr_integrations::model::problem::Code;
use ehr_integrations::sandbox::{Endpoint, Fault, Personality};
use ehr_integrations::server::flow::preflight;
use rstest::rstest;
use serde_json::json;

use super::launch::{Scene, name, problem};
use super::scene;
use super::support::{Browser, Db};

#[rstest]
#[case::discovery(Endpoint::Discovery, vec![Fault::Malformed, Fault::Malformed], "discovery_failed")]
#[case::discovery_dropped(Endpoint::Discovery, vec![Fault::Dropped, Fault::Dropped], "ehr_unavailable")]
#[case::code_expired(Endpoint::Token, vec![Fault::OAuthError("invalid_grant".into())], "state_expired")]
#[case::client(Endpoint::Token, vec![Fault::OAuthError("invalid_client".into())], "client_auth_failed")]
#[case::token_503(Endpoint::Token, vec![Fault::Status(503)], "ehr_unavailable")]
#[case::token_429(Endpoint::Token, vec![Fault::TooManyRequests(7)], "rate_limited")]
#[case::token_broken(Endpoint::Token, vec![Fault::Malformed], "ehr_unavailable")]
#[case::keys_down(Endpoint::Jwks, vec![Fault::Status(500)], "jwks_unreachable")]
#[tokio::test]
async fn a_launch_meets(
    #[values(Db::Sqlite, Db::Postgres)] db: Db,
    #[case] at: Endpoint,
    #[case] faults: Vec<Fault>,
    #[case] code: &str,
) {
    let scene = Scene::new(db).await;
    scene.rules(true, false).await;
    for fault in faults {
        scene.app.sandbox.inject(at, fault);
    }
    let (_, page) = scene.launch(&mut Browser::new(), "pat-0001").await;
    assert_eq!(problem(&page), code, "{}", page.text);
    assert!(page.header("content-security-policy").contains("frame-ancestors https:"), "the frame shows why");
    assert_eq!(scene.page().await["launches"], json!([]));
    let recordings = scene.app.server.get("/api/recordings").add_header("cookie", scene.owner.as_str()).await;
    assert_eq!(recordings.json::<serde_json::Value>()["recordings"][0]["outcome"], json!({"Err": code}));
    // The next launch, without the fault, works.
    let (_, page) = scene.launch(&mut Browser::new(), "pat-0001").await;
    assert_ne!(name(&page), "none", "{}", page.text);
}

/// What the EHR does not give is said in its place; the view opens, and shows it once it is there.
#[rstest]
#[case::too_many(Fault::TooManyRequests(7), "rate_limited")]
#[case::down(Fault::Status(503), "ehr_unavailable")]
#[case::dropped(Fault::Dropped, "ehr_unavailable")]
#[case::malformed(Fault::Malformed, "fhir_invalid")]
#[tokio::test]
async fn a_view_meets(#[values(Db::Sqlite, Db::Postgres)] db: Db, #[case] fault: Fault, #[case] code: &str) {
    let scene = Scene::new(db).await;
    scene.rules(true, false).await;
    let mut browser = Browser::new();
    let (view, page) = scene.launch(&mut browser, "pat-0001").await;
    assert_ne!(name(&page), "none", "{}", page.text);
    // Reads are tried twice where that may help: every one of the view's has to fail.
    scene.app.sandbox.inject_times(Endpoint::Fhir, &fault, 8);
    let page = browser.get(&view).await;
    assert_eq!((page.status, problem(&page), name(&page)), (200, code, "none"), "{}", page.text);
    assert!(page.text.contains("could not be read"), "{}", page.text);
    for _ in 0..8 {
        if name(&browser.get(&view).await) != "none" {
            return;
        }
    }
    panic!("the view does not recover");
}

/// "Test connection" says that the EHR answers, and why the patient could not be read.
#[rstest]
#[case::too_many(Fault::TooManyRequests(7), Code::RateLimited)]
#[case::down(Fault::Status(503), Code::EhrUnavailable)]
#[case::dropped(Fault::Dropped, Code::EhrUnavailable)]
#[case::malformed(Fault::Malformed, Code::FhirInvalid)]
#[tokio::test]
async fn a_test_meets(#[values(Db::Sqlite, Db::Postgres)] db: Db, #[case] fault: Fault, #[case] code: Code) {
    let mut scene = scene::Scene::new(db, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    scene.app.sandbox.inject_times(Endpoint::Fhir, &fault, 2);
    let test = async || preflight::test(&scene.app.app, &scene.caller(), &scene::id()).await.unwrap();
    let met = test().await;
    assert_eq!((met.patient, met.patient_problem), (None, Some(code)));
    test().await;
    assert_eq!(test().await.patient_problem, None);
}

/// The searches of the view, at an EHR that refuses `_count`.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn searches_send_no_count(#[case] db: Db) {
    let scene = Scene::with(db, Personality { count_refused: true, ..Personality::default() }).await;
    scene.rules(true, false).await;
    let mut browser = Browser::new();
    let (view, page) = scene.launch(&mut browser, "pat-0001").await;
    assert!(page.text.contains("class=\"list\"") && problem(&page) == "none", "documents: {}", page.text);
    let notes = browser.get(&format!("{view}/notes")).await;
    assert_eq!(problem(&notes), "none", "{}", notes.text);
}
