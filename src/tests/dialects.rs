//! Every dialect that the sandbox can insist on, and what a practice or a vendor's plugin sets for it.

use ehr_integrations::model::key::{KeyAlgorithm, KeyOwner};
use ehr_integrations::model::problem::Code;
use ehr_integrations::model::recording::StepName;
use ehr_integrations::sandbox::Personality;
use ehr_integrations::server::flow::{self, keys, preflight, refresh};
use rstest::rstest;
use serde_json::{Value, json};

use super::scene::{Scene, id};
use super::support::{Db, TestApp, Wishes};

async fn scene(db: Db, personality: Personality, client: &str, secret: Option<&str>, settings: Value) -> Scene {
    let scene = Scene::with(db, client, secret, Wishes { personality, ..Wishes::default() }).await;
    scene.set(&settings).await;
    scene
}

const ODD: &str = "s3cret/+ value";

#[rstest]
#[case::slash_wanted(Personality { aud_needs_slash: true, ..Personality::default() }, "secret", json!({}), "aud_rejected")]
#[case::slash_sent(Personality { aud_needs_slash: true, ..Personality::default() }, "secret", json!({"audience": "slash"}), "")]
#[case::no_slash_wanted(Personality { bad_aud_slash: true, ..Personality::default() }, "secret", json!({"audience": "slash"}), "aud_rejected")]
#[case::no_slash_sent(Personality { bad_aud_slash: true, ..Personality::default() }, "secret", json!({}), "")]
#[case::no_audience_wanted(Personality { no_aud: true, ..Personality::default() }, "secret", json!({}), "aud_rejected")]
#[case::no_audience_sent(Personality { no_aud: true, ..Personality::default() }, "secret", json!({"audience": "none"}), "")]
#[case::raw_wanted(Personality { basic_raw_only: true, ..Personality::default() }, "secret", json!({"basicEncoding": "form"}), "client_auth_failed")]
#[case::raw_sent(Personality { basic_raw_only: true, ..Personality::default() }, "secret", json!({}), "")]
#[case::encoded_wanted(Personality { basic_form_encoded_only: true, ..Personality::default() }, "secret", json!({}), "client_auth_failed")]
#[case::encoded_sent(Personality { basic_form_encoded_only: true, ..Personality::default() }, "secret", json!({"basicEncoding": "form"}), "")]
#[case::v1_only(Personality { v1_scopes_only: true, ..Personality::default() }, "secret", json!({"scopeVersion": "v2"}), "scope_denied")]
#[case::v1_sent(Personality { v1_scopes_only: true, ..Personality::default() }, "secret", json!({}), "")]
#[case::post_only(Personality { authorize_post_only: true, ..Personality::default() }, "secret", json!({}), "")]
#[case::rs384_only(Personality { rs384_only: true, ..Personality::default() }, "key", json!({}), "")]
#[tokio::test]
async fn connecting_to(
    #[values(Db::Sqlite, Db::Postgres)] db: Db,
    #[case] personality: Personality,
    #[case] client: &str,
    #[case] settings: Value,
    #[case] expected: &str,
) {
    let post = personality.authorize_post_only;
    let settings = if post { json!({"authorizeMethod": "post"}) } else { settings };
    let secret = (client == "secret").then_some(ODD);
    let mut scene = scene(db, personality, client, secret, settings).await;
    if post {
        // The page posts itself; its answer is the EHR's, as the browser tests see it.
        let login = scene.login();
        let page = scene.browser.get(&login).await;
        assert!(page.status == 200 && page.text.contains("method=\"post\""), "{}", page.text);
        return;
    }
    let end = scene.connect("allow").await;
    let expected = if expected.is_empty() { "notice=connected".into() } else { format!("problem={expected}&") };
    assert!(end.contains(&expected), "{end}");
}

/// Without a key of the one algorithm that the EHR takes nothing is signed; with one, that one is chosen.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn an_ehr_that_takes_es384_only(#[case] db: Db) {
    let personality = Personality { es384_only: true, ..Personality::default() };
    let mut scene = Scene::with(db, "key", None, Wishes { personality, ..Wishes::default() }).await;
    assert!(scene.connect("allow").await.contains("client_auth_failed"));
    let caller = scene.caller();
    keys::rotate(&scene.app.app, &caller, KeyOwner::Installation, KeyAlgorithm::Es384).await.unwrap();
    assert!(scene.connect("allow").await.contains("notice=connected"));
    assert_eq!(scene.row().await.terms.auth.algorithm, Some(KeyAlgorithm::Es384));
}

/// How grants are told: nothing, in version 1, in part.
#[rstest]
#[case::not_said(Personality { omit_scope_in_token: true, ..Personality::default() }, None)]
#[case::in_version_1(Personality { v1_scope_echo: true, ..Personality::default() }, Some(true))]
#[case::without_context(Personality { bare_scope_echo: true, ..Personality::default() }, Some(true))]
#[case::in_part(Personality { drop_scopes: vec!["user/Binary.rs".into()], ..Personality::default() }, Some(false))]
#[tokio::test]
async fn scopes_that_are_told_oddly(
    #[values(Db::Sqlite, Db::Postgres)] db: Db,
    #[case] personality: Personality,
    #[case] expected: Option<bool>,
) {
    let echoes_renewal = !personality.omit_scope_in_token;
    let mut scene = Scene::with(db, "secret", Some(ODD), Wishes { personality, ..Wishes::default() }).await;
    scene.connect("allow").await;
    let page = flow::settings::page(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    let scopes = page.connection.unwrap().scopes;
    let binary = scopes.iter().find(|scope| scope.scope == "user/Binary.rs").unwrap();
    assert_eq!((binary.granted, binary.offered), (expected, Some(true)));
    assert_eq!(binary.without.is_some(), expected == Some(false));
    // A refresh token came, whatever the EHR tells of it.
    let offline = scopes.iter().find(|scope| scope.scope == "offline_access").unwrap();
    assert_eq!((offline.granted, &offline.without), (Some(true), &None), "echoed: {echoes_renewal}");
    let recordings = flow::recorder::page(&scene.app.app, &scene.caller(), "").await.unwrap().recordings;
    let mut facts = recordings[0].steps.iter().flat_map(|step| &step.facts);
    let missing = facts.find(|fact| fact.name == "Not granted").unwrap().value.as_str();
    let told = match expected {
        None => "not said",
        Some(true) => "everything is granted",
        Some(false) => "user/Binary.rs",
    };
    assert_eq!(missing, told);
}

/// What the generic provider's form sets for EHRs that want more in token requests.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn token_requests_with_more_in_them(#[case] db: Db) {
    let personality = Personality { refresh_wants_scope: true, ..Personality::default() };
    let mut scene = scene(db, personality, "secret", Some(ODD), json!({})).await;
    scene.connect("allow").await;
    let form = |scene: &Scene, name: &str| {
        let form = scene.app.sandbox.stats().last_token_form;
        form.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    };
    assert_eq!(form(&scene, "client_id"), None);
    scene.app.clock.advance_seconds(3_600);
    let renew = async |scene: &Scene| refresh::usable(&scene.app.app, &scene.caller(), &id()).await.map(|_| ());
    assert_eq!(renew(&scene).await.unwrap_err().code(), Code::EhrUnavailable, "this EHR wants the scopes named");
    scene.set(&json!({"refreshWithScope": "yes", "clientIdInBody": "yes"})).await;
    renew(&scene).await.unwrap();
    assert_eq!(form(&scene, "scope"), scene.row().await.scopes_granted);
    assert_eq!(form(&scene, "client_id").as_deref(), Some("secret"));
}

#[rstest]
#[case::named("yes", true)]
#[case::left_out("no", false)]
#[tokio::test]
async fn assertions_name_our_jwks_url_where_that_is_wanted(#[case] chosen: &str, #[case] named: bool) {
    let mut scene = scene(Db::Sqlite, Personality::default(), "key", None, json!({"jku": chosen})).await;
    assert!(scene.connect("allow").await.contains("notice=connected"));
    let form = scene.app.sandbox.stats().last_token_form;
    let assertion = &form.iter().find(|(name, _)| name == "client_assertion").unwrap().1;
    let header = jsonwebtoken::decode_header(assertion).unwrap();
    assert_eq!(header.jku, named.then(|| format!("{}/api/integrations/ehr/jwks", scene.app.url)));
}

/// With Epic's header one base has endpoints for each client: what was read for one is not another's.
#[tokio::test]
async fn each_client_reads_its_own_endpoints() {
    use axum::{Json, Router, http::HeaderMap, routing::get};
    let answer = async |headers: HeaderMap| {
        let client = headers.get("epic-client-id").map_or("nobody", |value| value.to_str().unwrap()).to_owned();
        Json(json!({
            "authorization_endpoint": format!("http://127.0.0.1/{client}/authorize"),
            "token_endpoint": format!("http://127.0.0.1/{client}/token"),
        }))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/fhir", listener.local_addr().unwrap());
    let router = Router::new().route("/fhir/.well-known/smart-configuration", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let app = TestApp::new(Db::Sqlite).await;
    let read = async |headers: &[(&'static str, String)]| {
        app.app.discovery.read(&app.app.http, &base, headers).await.unwrap().token_endpoint.clone()
    };
    for client in ["one", "two", "one"] {
        let headers = [("epic-client-id", client.to_owned())];
        assert_eq!(read(&headers).await, format!("http://127.0.0.1/{client}/token"));
    }
    assert_eq!(read(&[]).await, "http://127.0.0.1/nobody/token");
}

/// Where a grant has no patient, although one was asked for, everything else works, and it is said.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_grant_without_the_patient_that_was_asked_for(#[case] db: Db) {
    let personality = Personality { drop_scopes: vec!["launch/patient".into()], ..Personality::default() };
    let mut scene = scene(db, personality, "secret", Some(ODD), json!({})).await;
    assert!(scene.connect("allow").await.contains("notice=connected"));
    let recordings = flow::recorder::page(&scene.app.app, &scene.caller(), "").await.unwrap().recordings;
    assert_eq!(recordings[0].outcome, Some(Ok(())));
    let warned = recordings[0].steps.iter().find(|step| step.problem.is_some()).unwrap();
    assert_eq!((warned.name, warned.problem), (StepName::Context, Some(Code::PatientContextMissing)));
    let test = preflight::test(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    assert_eq!((test.patient, test.patient_problem), (None, Some(Code::PatientContextMissing)));
    let html = scene.browser.get(&format!("{}/recordings", scene.app.url)).await.text;
    assert!(html.contains("note-warning") && html.contains("Through"), "{html}");
}
