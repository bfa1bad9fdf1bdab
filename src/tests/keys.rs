//! Signing keys: made, published, used, rotated and retired, against an EHR that keeps key sets.

use ehr_integrations::model::key::{KeyAlgorithm, KeyOwner, KeyState};
use ehr_integrations::model::problem::Code;
use ehr_integrations::model::role::Role;
use ehr_integrations::sandbox::{Client, ClientAuth};
use ehr_integrations::server::config::PrivateKey;
use ehr_integrations::server::flow::keys::{self, Imported};
use ehr_integrations::server::flow::{Caller, preflight, refresh};
use ehr_integrations::server::smart::keys::generate_pem;
use rstest::rstest;
use serde_json::Value;

use super::scene::{Scene, id};
use super::support::{Browser, Db, TestApp};

const HOUR: i64 = 3_600;

async fn states(app: &TestApp, caller: &Caller, owner: KeyOwner) -> Vec<(KeyAlgorithm, KeyState)> {
    let set = keys::set(&app.app, caller, owner).await.unwrap();
    set.keys.iter().map(|key| (key.algorithm, key.state)).collect()
}

async fn published(app: &TestApp, path: &str) -> Vec<String> {
    let set: Value = app.server.get(&format!("/api/integrations/ehr/{path}")).await.json();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// The `kid` of the assertion that the EHR saw last.
fn signed_with(app: &TestApp) -> String {
    let form = app.sandbox.stats().last_token_form;
    let assertion = form.iter().find(|(name, _)| name == "client_assertion").unwrap().1.clone();
    let header = jsonwebtoken::decode_header(&assertion).unwrap();
    header.kid.unwrap()
}

/// A renewal: another signed request.
async fn renew(scene: &Scene) -> Result<(), Code> {
    scene.app.clock.advance_seconds(HOUR);
    let result = refresh::usable(&scene.app.app, &scene.caller(), &id()).await;
    result.map(|_| ()).map_err(|failure| failure.code())
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_rotation_that_no_ehr_notices(#[case] db: Db) {
    use KeyState::{Active, Next, Retired, Retiring};
    let mut scene = Scene::new(db, "key", None).await;
    assert!(scene.connect("allow").await.contains("notice=connected"));
    assert_eq!(signed_with(&scene.app), "test-key");
    let caller = scene.caller();
    let rotated = keys::rotate(&scene.app.app, &caller, KeyOwner::Installation, KeyAlgorithm::Rs384).await;
    let (kid, _) = rotated.unwrap();
    let rs = |states: Vec<(KeyAlgorithm, KeyState)>| states.into_iter().map(|(_, state)| state).collect::<Vec<_>>();
    assert_eq!(rs(states(&scene.app, &caller, KeyOwner::Installation).await), [Next, Active]);
    assert_eq!(published(&scene.app, "jwks").await, [kid.as_str(), "test-key"]);
    // Only one at a time: the third would push the second out before anybody used it.
    let again = keys::rotate(&scene.app.app, &caller, KeyOwner::Installation, KeyAlgorithm::Rs384).await;
    assert_eq!(again.unwrap_err().code(), Code::Conflict);
    scene.app.clock.advance_seconds(28 * HOUR);
    renew(&scene).await.unwrap();
    assert_eq!(signed_with(&scene.app), "test-key", "29 hours on: Epic may still have the old set");
    renew(&scene).await.unwrap();
    assert_eq!(signed_with(&scene.app), kid);
    assert_eq!(rs(states(&scene.app, &caller, KeyOwner::Installation).await), [Active, Retiring]);
    let set = keys::set(&scene.app.app, &caller, KeyOwner::Installation).await.unwrap();
    assert!(set.keys.iter().all(|key| key.accepted_by.len() == 1), "both were taken by the EHR: {set:?}");
    scene.app.clock.advance_seconds(24 * HOUR);
    assert_eq!(rs(states(&scene.app, &caller, KeyOwner::Installation).await), [Active, Retired]);
    assert_eq!(published(&scene.app, "jwks").await, [kid]);
    renew(&scene).await.unwrap();
}

/// The keys whose private half is still there.
async fn kept(app: &TestApp) -> Vec<String> {
    let rows: Vec<(String,)> = sqlx::query_as("SELECT kid FROM signing_keys WHERE sealed IS NOT NULL ORDER BY id")
        .fetch_all(app.app.db.pool())
        .await
        .unwrap();
    rows.into_iter().map(|(kid,)| kid).collect()
}

/// Whoever looks first once a key's retirement has passed: its private half goes then, not with the next change.
#[rstest]
#[case::page(Db::Sqlite, "page")]
#[case::page_postgres(Db::Postgres, "page")]
#[case::jwks(Db::Sqlite, "jwks")]
#[case::signer(Db::Sqlite, "signer")]
#[case::engine(Db::Sqlite, "engine")]
#[case::engine_postgres(Db::Postgres, "engine")]
#[tokio::test]
async fn a_private_half_goes_when_its_key_retires(#[case] db: Db, #[case] by: &str) {
    let mut scene = Scene::new(db, "key", None).await;
    assert!(scene.connect("allow").await.contains("notice=connected"));
    let (caller, owner) = (scene.caller(), KeyOwner::Installation);
    let (kid, _) = keys::rotate(&scene.app.app, &caller, owner, KeyAlgorithm::Rs384).await.unwrap();
    scene.app.clock.advance_seconds(53 * HOUR);
    keys::set(&scene.app.app, &caller, owner).await.unwrap();
    assert_eq!(kept(&scene.app).await, ["test-key", kid.as_str()], "it is published for a day after its last use");
    scene.app.clock.advance_seconds(HOUR);
    match by {
        "page" => drop(keys::set(&scene.app.app, &caller, owner).await.unwrap()),
        "jwks" => drop(published(&scene.app, "jwks").await),
        "signer" => drop(refresh::usable(&scene.app.app, &caller, &id()).await.ok().unwrap()),
        _ => keys::forget_retired(&scene.app.app).await.unwrap(),
    }
    assert_eq!(kept(&scene.app).await, [kid]);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_leaked_key_goes_at_once_and_a_waiting_one_takes_its_place(#[case] db: Db) {
    let mut scene = Scene::new(db, "key", None).await;
    scene.connect("allow").await;
    let caller = scene.caller();
    let (kid, _) = keys::rotate(&scene.app.app, &caller, KeyOwner::Installation, KeyAlgorithm::Rs384).await.unwrap();
    let set = keys::set(&scene.app.app, &caller, KeyOwner::Installation).await.unwrap();
    let leaked = set.keys.iter().find(|key| key.state == KeyState::Active).unwrap();
    keys::retire(&scene.app.app, &caller, KeyOwner::Installation, &leaked.id).await.unwrap();
    assert_eq!(published(&scene.app, "jwks").await, [kid.as_str()]);
    renew(&scene).await.unwrap();
    assert_eq!(signed_with(&scene.app), kid);
    let gone = keys::retire(&scene.app.app, &caller, KeyOwner::Installation, &leaked.id).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    // Without any key the EHR cannot be asked; that is said, and nothing is lost.
    let set = keys::set(&scene.app.app, &caller, KeyOwner::Installation).await.unwrap();
    let last = set.keys.iter().find(|key| key.state == KeyState::Active).unwrap();
    keys::retire(&scene.app.app, &caller, KeyOwner::Installation, &last.id).await.unwrap();
    assert_eq!(renew(&scene).await.unwrap_err(), Code::ClientAuthFailed);
    assert_eq!(scene.status("").await["status"], "connected");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_new_key_can_be_taken_back_or_used_early(#[case] db: Db) {
    let app = TestApp::new(db).await;
    let practice = app.practice("north", Role::Owner).await;
    let caller = Caller::operator(&app.app, practice);
    let owner = KeyOwner::Installation;
    keys::rotate(&app.app, &caller, owner, KeyAlgorithm::Rs384).await.unwrap();
    let next = keys::set(&app.app, &caller, owner).await.unwrap().keys.remove(0);
    keys::retire(&app.app, &caller, owner, &next.id).await.unwrap();
    app.clock.advance_seconds(100 * HOUR);
    assert_eq!(published(&app, "jwks").await, ["test-key"], "the old key goes on");
    let (kid, _) = keys::rotate(&app.app, &caller, owner, KeyAlgorithm::Rs384).await.unwrap();
    let next = keys::set(&app.app, &caller, owner).await.unwrap().keys.remove(0);
    keys::use_now(&app.app, &caller, owner, &next.id).await.unwrap();
    let set = keys::set(&app.app, &caller, owner).await.unwrap();
    let state = |wanted: &str| set.keys.iter().find(|key| key.kid == wanted).unwrap().state;
    assert_eq!((state(&kid), state("test-key")), (KeyState::Active, KeyState::Retiring));
    assert_eq!(keys::use_now(&app.app, &caller, owner, &next.id).await.unwrap_err().code(), Code::NotFound);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_practice_signs_with_an_es384_key_of_its_own(#[case] db: Db) {
    let mut scene = Scene::new(db, "key", None).await;
    // With a second practice the installation's key would want an approval.
    scene.app.practice("south", Role::Owner).await;
    let caller = scene.caller();
    let path = format!("jwks/{}", scene.practice);
    let jwks_url = format!("{}/api/integrations/ehr/{path}", scene.app.url);
    scene
        .app
        .sandbox
        .register(Client {
            id: "own".into(),
            auth: ClientAuth::PrivateKeyJwt { jwks_url },
            redirect_uris: vec![format!("{}/api/integrations/ehr/callback", scene.app.url)],
            launch_url: None,
        })
        .unwrap();
    let mut config = scene.app.generic("own", None);
    config["providerConfigs"]["generic"]["signingKeys"] = "practice".into();
    let save =
        || scene.app.server.post("/api/integrations/ehr/config").authorization_bearer(&scene.token).json(&config);
    let refused = save().await;
    assert_eq!(refused.status_code().as_u16(), 422, "there is no such key yet");
    assert_eq!(refused.json::<Value>()["fields"]["generic.signingKeys"], "no_own_keys");
    let (kid, times) = keys::rotate(&scene.app.app, &caller, KeyOwner::Practice, KeyAlgorithm::Es384).await.unwrap();
    assert_eq!(times.activates_at, times.created_at, "the first key signs at once");
    save().await.assert_status_ok();
    assert_eq!(published(&scene.app, &path).await, [kid.as_str()]);
    let set: Value = scene.app.server.get(&format!("/api/integrations/ehr/{path}")).await.json();
    let members: Vec<_> = set["keys"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["alg", "crv", "key_ops", "kid", "kty", "use", "x", "y"]);
    assert!(scene.connect("allow").await.contains("notice=connected"));
    assert_eq!(signed_with(&scene.app), kid);
    let terms = scene.row().await.terms;
    assert_eq!(terms.auth.algorithm, Some(KeyAlgorithm::Es384));
    assert_eq!(published(&scene.app, "jwks/nobody").await, Vec::<String>::new());
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn fetches_are_logged_and_the_check_sees_them(#[case] db: Db) {
    let mut scene = Scene::new(db, "key", None).await;
    let caller = scene.caller();
    let check = || keys::check(&scene.app.app, &caller, KeyOwner::Installation);
    let before = check().await.unwrap();
    assert_eq!((before.published, before.fetched, before.accepted), (Ok(()), None, None), "we do not count ourselves");
    assert!(scene.connect("allow").await.contains("notice=connected"));
    let check = || keys::check(&scene.app.app, &caller, KeyOwner::Installation);
    let after = check().await.unwrap();
    assert_eq!(after.fetched.unwrap().ip, "127.0.0.1");
    assert_eq!(after.accepted.unwrap().0, "Generic SMART on FHIR");
    // Once a minute for each.
    for _ in 0..3 {
        scene.app.server.get("/api/integrations/ehr/jwks").add_header("user-agent", "probe").await;
    }
    let set = keys::set(&scene.app.app, &caller, KeyOwner::Installation).await.unwrap();
    let probe = set.fetches.iter().find(|fetch| fetch.user_agent == "probe").unwrap();
    assert_eq!(probe.times, 1);
}

#[tokio::test]
async fn a_key_set_is_not_sent_twice_to_those_who_have_it() {
    let app = TestApp::new(Db::Sqlite).await;
    let url = "/api/integrations/ehr/jwks";
    let first = app.server.get(url).await;
    let etag = first.header("etag");
    let again = app.server.get(url).add_header("if-none-match", etag.clone()).await;
    assert_eq!(again.status_code().as_u16(), 304);
    assert_eq!(again.header("etag"), etag);
    assert_eq!(app.server.get(url).add_header("if-none-match", "\"other\"").await.status_code().as_u16(), 200);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_key_of_the_environment_is_taken_in_once(#[case] db: Db) {
    let app = TestApp::new(db).await;
    assert_eq!(keys::import(&app.app).await.unwrap(), Imported::Nothing);
    let with = |kid: &str| PrivateKey { pem: generate_pem(KeyAlgorithm::Rs384).unwrap(), kid: Some(kid.into()) };
    // The same name for another key would make EHRs check with the wrong one.
    let clash = app.with_key(with("test-key"));
    assert_eq!(keys::import(&clash).await.unwrap(), Imported::NameTaken);
    app.clock.advance_seconds(1);
    let other = app.with_key(with("second"));
    assert_eq!(keys::import(&other).await.unwrap(), Imported::Added(KeyState::Next));
    assert_eq!(published(&app, "jwks").await, ["second", "test-key"]);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_operator_may_name_another_audience(#[case] db: Db) {
    let mut scene = Scene::new(db, "key", None).await;
    let (app, caller) = (&scene.app.app, scene.caller());
    let approve = ehr_integrations::server::flow::client::approve_key;
    approve(app, &caller, &id(), Some("https://elsewhere.example/token")).await.unwrap();
    let refused = scene.connect("allow").await;
    assert!(refused.contains("client_auth_failed"), "the sandbox wants its token endpoint: {refused}");
    approve(&scene.app.app, &caller, &id(), None).await.unwrap();
    assert!(scene.connect("allow").await.contains("notice=connected"));
    preflight::test(&scene.app.app, &caller, &id()).await.unwrap();
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn who_may_change_which_keys(#[case] db: Db) {
    let app = TestApp::new(db).await;
    app.practice("north", Role::Owner).await;
    app.practice("north", Role::Clinician).await;
    let post = async |email: &str, owner: &str| {
        let cookie = app.sign_in(email).await;
        let form = [("owner", owner), ("algorithm", "ES384")];
        app.server.post("/api/rotate_key").add_header("cookie", cookie).form(&form).await.status_code().as_u16()
    };
    assert_eq!(post("clinician@north.example", "practice").await, 403);
    assert_eq!(post("owner@north.example", "installation").await, 200, "alone, a practice is its own operator");
    app.practice("south", Role::Owner).await;
    assert_eq!(post("owner@south.example", "installation").await, 403);
    assert_eq!(post("owner@south.example", "practice").await, 200);
    let mut browser = Browser::new().with_cookie(&app.sign_in("owner@south.example").await);
    let html = browser.get(&format!("{}/settings/keys", app.url)).await.text;
    assert!(html.contains("The operator of this installation changes these keys"), "{html}");
}
