//! Standalone connect against the sandbox EHR: the whole way, and every way it can go wrong.

use ehr_integrations::model::connection::AuthMethod;
use ehr_integrations::model::key::AuthReason;
use ehr_integrations::model::problem::Code;
use ehr_integrations::model::role::Role;
use ehr_integrations::sandbox::Personality;
use ehr_integrations::server::flow::refresh;
use rstest::rstest;
use serde_json::{Value, json};

use super::scene::{Scene, id};
use super::support::{Browser, Db, Page, TestApp, Wishes};

const SECRET: &str = "s3cret/+ value";

#[rstest]
#[case::sqlite_public(Db::Sqlite, "public", None, AuthMethod::None)]
#[case::sqlite_basic(Db::Sqlite, "basic", Some("s3cret"), AuthMethod::ClientSecretBasic)]
#[case::sqlite_odd_secret(Db::Sqlite, "secret", Some(SECRET), AuthMethod::ClientSecretBasic)]
#[case::sqlite_key(Db::Sqlite, "key", None, AuthMethod::PrivateKeyJwt)]
#[case::postgres_basic(Db::Postgres, "basic", Some("s3cret"), AuthMethod::ClientSecretBasic)]
#[case::postgres_key(Db::Postgres, "key", None, AuthMethod::PrivateKeyJwt)]
#[tokio::test]
async fn connects_and_reads_a_patient(
    #[case] db: Db,
    #[case] client: &str,
    #[case] secret: Option<&str>,
    #[case] method: AuthMethod,
) {
    let wishes = Wishes { without_key: client == "public", ..Wishes::default() };
    let mut scene = Scene::with(db, client, secret, wishes).await;
    assert_eq!(scene.connect("allow").await, "/settings/ehr-integrations/generic?notice=connected");
    let status = scene.status("&includeCapabilities=1").await;
    assert_eq!(status["connected"], true, "{status}");
    assert_eq!(status["status"], "connected");
    assert_eq!(status["issuer"], format!("{}/fhir", scene.app.ehr));
    assert_eq!(status["patient"], scene.app.sandbox.first_patient_id());
    assert_eq!(status["capabilities"]["fhirVersion"], "4.0.1");
    assert!(status["scopesGranted"].as_array().unwrap().contains(&json!("launch/patient")), "{status}");
    assert_eq!(scene.row().await.terms.auth.method, method);
    let result = ehr_integrations::server::flow::preflight::test(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    assert!(!result.patient.unwrap().name.is_empty());
    assert!(result.creates_patient && result.creates_document);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_secret_in_the_form_where_the_ehr_wants_it(#[case] db: Db) {
    // The sandbox offers basic and post; `post` takes the form only, so that Basic must fail with the right code.
    let mut scene = Scene::new(db, "post", Some("s3cret")).await;
    assert!(scene.connect("allow").await.contains("problem=client_auth_failed"));
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_secret_in_the_form_where_the_ehr_takes_it_nowhere_else(#[case] db: Db) {
    let wishes = Wishes { only_client: Some("post"), ..Wishes::default() };
    let mut scene = Scene::with(db, "post", Some("s3cret"), wishes).await;
    assert!(scene.connect("allow").await.contains("notice=connected"));
    let auth = scene.row().await.terms.auth;
    assert_eq!((auth.method, auth.reason), (AuthMethod::ClientSecretPost, Some(AuthReason::SecretFormOnly)));
    let stats = scene.app.sandbox.stats();
    assert!(stats.last_token_form.contains(&("client_secret".into(), "s3cret".into())));
    assert_eq!(stats.last_token_authorization, None);
}

/// A secret that is entered is not sent to an EHR that lists signed assertions and no way to send one.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_key_where_the_ehr_takes_no_secret(#[case] db: Db) {
    let wishes = Wishes { only_client: Some("key"), ..Wishes::default() };
    let mut scene = Scene::with(db, "key", Some("left over"), wishes).await;
    assert!(scene.connect("allow").await.contains("notice=connected"));
    let auth = scene.row().await.terms.auth;
    assert_eq!((auth.method, auth.reason), (AuthMethod::PrivateKeyJwt, Some(AuthReason::KeyOnly)));
}

/// The EHR's page about its error is offered as a link; a script is none, and a mixed-up answer is not the EHR's.
#[rstest]
#[case::page("https://ehr.example/help?a=%221", "iss=", "")]
#[case::script("javascript:alert(1)", "iss=", "access_denied")]
#[case::mixed_up("https://evil.example/help", "iss=https%3A%2F%2Fevil.example&x=", "state_mismatch")]
#[tokio::test]
async fn the_ehrs_page_about_an_error_is_a_link(#[case] uri: &str, #[case] iss: &str, #[case] back: &str) {
    let mut scene = Scene::new(Db::Sqlite, "basic", Some("s3cret")).await;
    let authorize = scene.start().await;
    let callback = scene.browser.approve(&scene.app.sandbox, &scene.app.ehr, &authorize, "deny").await;
    let mut answer = url::Url::parse(&callback.replace("iss=", iss)).unwrap();
    answer.query_pairs_mut().append_pair("error_uri", uri);
    let Page { text, location, .. } = scene.browser.get(answer.as_str()).await;
    if back.is_empty() {
        let link = format!("<a href=\"{uri}\" target=\"_blank\" rel=\"noopener noreferrer\">");
        assert!(text.contains(&link) && text.contains("data-problem=\"access_denied\""), "{text}");
        assert!(text.contains("href=\"/settings/ehr-integrations/generic?problem=access_denied"), "{text}");
    } else {
        assert!(location.expect("nothing to offer").contains(&format!("problem={back}&")), "{text}");
    }
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn denial_comes_back_as_its_code(#[case] db: Db) {
    let mut scene = Scene::new(db, "public", None).await;
    let back = scene.connect("deny").await;
    assert!(back.starts_with("/settings/ehr-integrations/generic?problem=access_denied&request="), "{back}");
    assert_eq!(scene.status("").await["status"], "not_connected");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn an_answer_is_taken_once_from_the_browser_that_started(#[case] db: Db) {
    let mut scene = Scene::with(db, "public", None, Wishes { without_key: true, ..Wishes::default() }).await;
    let authorize = scene.start().await;
    let callback = scene.browser.approve(&scene.app.sandbox, &scene.app.ehr, &authorize, "allow").await;

    // Another browser has no cookie, and does not use the answer up.
    let stolen = Browser::new().get(&callback).await;
    assert!(stolen.text.contains("cookie_blocked"), "{}", stolen.text);
    let forged = callback.replace("state=", "state=x");
    assert!(scene.browser.get(&forged).await.location.unwrap().contains("problem=state_mismatch"));
    let twice = format!("{callback}&state=other");
    assert!(scene.browser.get(&twice).await.location.unwrap().contains("problem=state_mismatch"));
    let mixed_up = callback.replace("iss=", "iss=https%3A%2F%2Fevil.example&x=");
    let name = |text: &str| text.contains("problem=state_mismatch");
    assert!(name(&scene.browser.get(&mixed_up).await.location.unwrap()));

    // The mix-up used the flow up: what follows is too late.
    let late = scene.browser.get(&callback).await;
    assert!(late.location.unwrap().contains("problem="));
    assert!(scene.connect("allow").await.contains("notice=connected"));
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_replayed_answer_is_refused(#[case] db: Db) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    let authorize = scene.start().await;
    let callback = scene.browser.approve(&scene.app.sandbox, &scene.app.ehr, &authorize, "allow").await;
    let state = authorize.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let kept = scene.browser.cookie_of_flow();
    assert!(scene.browser.get(&callback).await.location.unwrap().contains("notice=connected"));
    scene.browser.put_cookie(&kept);
    let replay = scene.browser.get(&callback).await.location.unwrap();
    assert!(replay.contains("problem=state_expired"), "{state}: {replay}");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn ten_minutes_and_no_more(#[case] db: Db) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    let authorize = scene.start().await;
    let callback = scene.browser.approve(&scene.app.sandbox, &scene.app.ehr, &authorize, "allow").await;
    scene.app.clock.advance_seconds(601);
    assert!(scene.browser.get(&callback).await.location.unwrap().contains("problem=state_expired"));
}

#[rstest]
#[case::expired(Personality { id_token_expired: true, ..Personality::default() }, "id_token_invalid")]
#[case::alg_none(Personality { id_token_alg_none: true, ..Personality::default() }, "id_token_invalid")]
#[case::issuer(Personality { wrong_id_token_issuer: true, ..Personality::default() }, "id_token_invalid")]
#[case::nonce(Personality { wrong_nonce: true, ..Personality::default() }, "nonce_mismatch")]
#[case::plain_legacy(Personality { no_well_known: true, ..Personality::default() }, "connected")]
#[case::relative(Personality { relative_endpoints: true, ..Personality::default() }, "connected")]
#[case::no_identity(Personality { no_id_token: true, ..Personality::default() }, "connected")]
#[case::no_slash(Personality { bad_aud_slash: true, ..Personality::default() }, "connected")]
#[tokio::test]
async fn what_an_ehr_may_do(
    #[values(Db::Sqlite, Db::Postgres)] db: Db,
    #[case] personality: Personality,
    #[case] outcome: &str,
) {
    let mut scene = Scene::with(db, "basic", Some("s3cret"), Wishes { personality, ..Wishes::default() }).await;
    let back = scene.connect("allow").await;
    assert!(back.contains(&format!("={outcome}")), "{back}");
}

#[tokio::test]
async fn an_ehr_that_says_nothing_usable() {
    let personality = Personality { no_well_known: true, metadata_500: true, ..Personality::default() };
    let mut scene = Scene::with(Db::Sqlite, "basic", Some("s3cret"), Wishes { personality, ..Wishes::default() }).await;
    let login = scene.login();
    let page = scene.browser.get(&login).await;
    assert!(page.location.unwrap().contains("problem=discovery_failed"));
    let json =
        scene.app.server.get("/api/integrations/ehr/login?providerId=generic").authorization_bearer(&scene.token);
    let json = json.await;
    assert_eq!((json.status_code().as_u16(), &json.json::<Value>()["error"]), (502, &json!("discovery_failed")));
}

#[tokio::test]
async fn the_ehr_may_want_a_post() {
    let personality = Personality { authorize_post_only: true, ..Personality::default() };
    let mut scene = Scene::with(Db::Sqlite, "basic", Some("s3cret"), Wishes { personality, ..Wishes::default() }).await;
    let mut config = scene.app.generic("basic", None);
    config["providerConfigs"]["generic"]["authorizeMethod"] = "post".into();
    let saved = scene.app.server.post("/api/integrations/ehr/config").authorization_bearer(&scene.token);
    saved.json(&config).await.assert_status_ok();
    let login = scene.login();
    let page = scene.browser.get(&login).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("method=\"post\"") && page.text.contains("code_challenge_method"), "{}", page.text);
}

#[tokio::test]
async fn asks_for_what_the_flags_say() {
    let mut scene = Scene::new(Db::Sqlite, "basic", Some("s3cret")).await;
    let asked = |url: &str| url.split("scope=").nth(1).unwrap().split('&').next().unwrap().replace('+', " ");
    let before = asked(&scene.start().await);
    assert!(before.starts_with("launch%2Fpatient openid") && !before.contains("Patient.c"), "{before}");
    let flags = json!({"enableWrite": true, "enablePatientCreate": true});
    let saved = scene.app.server.post("/api/integrations/ehr/config").authorization_bearer(&scene.token).json(&flags);
    saved.await.assert_status_ok();
    let after = asked(&scene.start().await);
    assert!(after.contains("Patient.c") && !after.contains("DocumentReference.c"), "{after}");
}

/// `auto` asks in version 1 where the EHR offers nothing else; the practice may decide for itself.
#[rstest]
#[case::auto_v2(false, "auto", "user/Patient.rs user/Practitioner.rs", true)]
#[case::auto_v1(true, "auto", "user/Patient.read user/Practitioner.read", true)]
#[case::chosen_v1(false, "v1", "user/Patient.read user/Practitioner.read", true)]
#[case::chosen_v2(true, "v2", "user/Patient.rs user/Practitioner.rs", false)]
#[tokio::test]
async fn scopes_are_asked_for_in_the_ehrs_version(
    #[case] v1_scopes_only: bool,
    #[case] chosen: &str,
    #[case] asked: &str,
    #[case] connects: bool,
) {
    let personality = Personality { v1_scopes_only, ..Personality::default() };
    let mut scene = Scene::with(Db::Sqlite, "basic", None, Wishes { personality, ..Wishes::default() }).await;
    let mut config = scene.app.generic("basic", Some("s3cret"));
    config["providerConfigs"]["generic"]["scopeVersion"] = chosen.into();
    let save = scene.app.server.post("/api/integrations/ehr/config").authorization_bearer(&scene.token).json(&config);
    save.await.assert_status_ok();
    let url = url::Url::parse(&scene.start().await).unwrap();
    let scope = url.query_pairs().find(|(name, _)| name == "scope").unwrap().1.into_owned();
    assert!(scope.contains(asked), "{scope}");
    let back = scene.connect("allow").await;
    let expected = if connects { "notice=connected" } else { "problem=scope_denied" };
    assert!(back.contains(expected), "{back}");
    if connects {
        let status = scene.status("").await;
        let words = scope.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(status["scopesRequested"], json!(words));
    }
}

#[tokio::test]
async fn default_scopes_of_the_installation_replace_the_providers() {
    let wishes = Wishes { default_scopes: Some("openid launch user/Patient.read"), ..Wishes::default() };
    let mut scene = Scene::with(Db::Sqlite, "basic", Some("s3cret"), wishes).await;
    let url = scene.start().await;
    assert!(url.contains("scope=launch%2Fpatient+openid+user%2FPatient.read&"), "{url}");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn renews_once_for_many(#[case] db: Db) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    scene.app.clock.advance_seconds(3_590);
    let uses = (0..20).map(|_| {
        let (app, caller) = (scene.app.app.clone(), scene.caller());
        tokio::spawn(async move { refresh::usable(&app, &caller, &id()).await.map(|_| ()) })
    });
    for used in uses.collect::<Vec<_>>() {
        used.await.unwrap().unwrap();
    }
    assert_eq!(scene.app.sandbox.stats().token_refresh, 1);
    assert!(scene.row().await.refreshed_at.is_some());
    // The rotated refresh token was kept: the next renewal works too.
    scene.app.clock.advance_seconds(3_590);
    refresh::usable(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    assert_eq!(scene.app.sandbox.stats().token_refresh, 2);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_dead_grant_needs_reconnect(#[case] db: Db) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    scene.app.sandbox.set_personality(|personality| personality.refresh_always_invalid_grant = true);
    scene.app.clock.advance_seconds(3_590);
    let failure = refresh::usable(&scene.app.app, &scene.caller(), &id()).await.err().unwrap();
    assert_eq!(failure.code(), Code::NeedsReconnect);
    let status = scene.status("").await;
    assert_eq!((&status["connected"], &status["status"]), (&json!(false), &json!("needs_reconnect")));
    scene.app.sandbox.set_personality(|personality| personality.refresh_always_invalid_grant = false);
    assert!(scene.connect("allow").await.contains("notice=connected"), "reconnect");
    assert_eq!(scene.status("").await["status"], "connected");
}

#[rstest]
#[case::sqlite(Db::Sqlite, false, "confirmed", 2)]
#[case::postgres(Db::Postgres, false, "confirmed", 2)]
#[case::not_offered(Db::Sqlite, true, "not_offered", 0)]
#[tokio::test]
async fn disconnect_says_what_the_ehr_confirmed(
    #[case] db: Db,
    #[case] no_endpoint: bool,
    #[case] revocation: &str,
    #[case] revoked: usize,
) {
    let personality = Personality { no_revocation_endpoint: no_endpoint, ..Personality::default() };
    let mut scene = Scene::with(db, "basic", Some("s3cret"), Wishes { personality, ..Wishes::default() }).await;
    scene.connect("allow").await;
    let post = |token: &str| {
        let url = "/api/integrations/ehr/disconnect";
        scene.app.server.post(url).authorization_bearer(token).json(&json!({"providerId": "generic"}))
    };
    let response = post(&scene.token).await;
    response.assert_status_ok();
    assert_eq!(response.json::<Value>()["revocation"], revocation);
    assert_eq!(scene.app.sandbox.stats().revoked_tokens.len(), revoked);
    assert_eq!(scene.status("").await["status"], "not_connected");
    assert_eq!(post(&scene.token).await.status_code().as_u16(), 404);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_installations_key_signs_only_where_approved(#[case] db: Db) {
    let mut scene = Scene::new(db, "key", None).await;
    scene.app.practice("south", Role::Owner).await;
    let login = scene.login();
    let refused = scene.browser.get(&login).await.location.unwrap();
    assert!(refused.contains("problem=key_not_approved"), "{refused}");
    ehr_integrations::server::flow::client::approve_key(&scene.app.app, &scene.caller(), &id(), None).await.unwrap();
    assert!(scene.connect("allow").await.contains("notice=connected"));
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn changing_the_client_ends_the_connection_here_and_at_the_ehr(#[case] db: Db) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    let same = scene.app.generic("basic", None);
    let saved = scene.app.server.post("/api/integrations/ehr/config").authorization_bearer(&scene.token).json(&same);
    saved.await.assert_status_ok();
    assert_eq!(scene.status("").await["status"], "connected");
    let config = scene.app.generic("other", None);
    let saved = scene.app.server.post("/api/integrations/ehr/config").authorization_bearer(&scene.token).json(&config);
    saved.await.assert_status_ok();
    assert_eq!(scene.status("").await["status"], "not_connected");
    // The EHR is told behind the answer.
    for _ in 0..100 {
        if scene.app.sandbox.stats().revoked_tokens.len() == 2 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the EHR was not told");
}

#[tokio::test]
async fn jwks_has_public_members_only_and_is_empty_without_a_key() {
    let app = TestApp::new(Db::Sqlite).await;
    let response = app.server.get("/api/integrations/ehr/jwks").await;
    assert_eq!(response.header("cache-control"), "public, max-age=3600");
    let keys: Value = response.json();
    let members: Vec<_> = keys["keys"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["alg", "e", "key_ops", "kid", "kty", "n", "use"]);
    let bare = TestApp::with(Db::Sqlite, Wishes { without_key: true, ..Wishes::default() }).await;
    assert_eq!(bare.server.get("/api/integrations/ehr/jwks").await.json::<Value>(), json!({"keys": []}));
}
