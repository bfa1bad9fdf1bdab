//! Every dialect that the sandbox can insist on, and what a practice or a vendor's plugin sets for it.

use ehr_integrations::model::key::{KeyAlgorithm, KeyOwner};
use ehr_integrations::sandbox::Personality;
use ehr_integrations::server::flow::{keys, preflight};
use rstest::rstest;
use serde_json::{Value, json};

use super::scene::{Scene, id};
use super::support::{Db, Wishes};

async fn scene(personality: Personality, client: &str, secret: Option<&str>, settings: Value) -> Scene {
    let scene = Scene::with(Db::Sqlite, client, secret, Wishes { personality, ..Wishes::default() }).await;
    let mut config = scene.app.generic(client, None);
    for (key, value) in settings.as_object().unwrap() {
        config["providerConfigs"]["generic"][key] = value.clone();
    }
    let save = scene.app.server.post("/api/integrations/ehr/config").authorization_bearer(&scene.token).json(&config);
    save.await.assert_status_ok();
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
    #[case] personality: Personality,
    #[case] client: &str,
    #[case] settings: Value,
    #[case] expected: &str,
) {
    let post = personality.authorize_post_only;
    let settings = if post { json!({"authorizeMethod": "post"}) } else { settings };
    let secret = (client == "secret").then_some(ODD);
    let mut scene = scene(personality, client, secret, settings).await;
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
#[case::in_part(Personality { drop_scopes: vec!["user/Binary.rs".into()], ..Personality::default() }, Some(false))]
#[tokio::test]
async fn scopes_that_are_told_oddly(#[case] personality: Personality, #[case] expected: Option<bool>) {
    let mut scene = Scene::with(Db::Sqlite, "secret", Some(ODD), Wishes { personality, ..Wishes::default() }).await;
    scene.connect("allow").await;
    let page = ehr_integrations::server::flow::settings::page(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    let scopes = page.connection.unwrap().scopes;
    let binary = scopes.iter().find(|scope| scope.scope == "user/Binary.rs").unwrap();
    assert_eq!((binary.granted, binary.offered), (expected, Some(true)));
    assert_eq!(binary.without.is_some(), expected == Some(false));
}

/// What reading meets does not depend on how the search or the create is answered.
#[tokio::test]
async fn searches_send_no_count() {
    let personality = Personality { count_refused: true, ..Personality::default() };
    let mut scene = Scene::with(Db::Sqlite, "secret", Some(ODD), Wishes { personality, ..Wishes::default() }).await;
    scene.connect("allow").await;
    preflight::test(&scene.app.app, &scene.caller(), &id()).await.unwrap();
}
