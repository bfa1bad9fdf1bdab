//! Tokens over their life: renewals, races, what the EHR takes back, receipts, and what ends when.

use ehr_integrations::model::calendar::EndingKind;
use ehr_integrations::model::connection::Revocation;
use ehr_integrations::model::problem::Code;
use ehr_integrations::sandbox::{Endpoint, Fault, Personality};
use ehr_integrations::server::flow::{calendar, disconnect, preflight, refresh, settings};
use ehr_integrations::server::smart::client_auth::Credential;
use ehr_integrations::server::smart::token::TokenClient;
use ehr_integrations::server::store::audit;
use rstest::rstest;
use secrecy::SecretString;
use serde_json::Value;

use super::scene::{Scene, id};
use super::support::{Db, Wishes};

const DAY: i64 = 86_400;

/// Many tasks of two processes want a token at once, again and again; every refresh token is good once.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_use_a_refresh_token_twice(#[case] db: Db) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    let replicas = [scene.app.app.clone(), scene.app.replica().await];
    for round in 1..=3 {
        scene.app.clock.advance_seconds(3_600);
        let tasks: Vec<_> = (0..40)
            .map(|task| {
                let (app, caller) = (replicas[task % 2].clone(), scene.caller());
                tokio::spawn(async move { refresh::usable(&app, &caller, &id()).await.map(|_| ()) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(scene.app.sandbox.stats().token_refresh, round);
    }
    assert_eq!(scene.status("").await["status"], "connected");
}

/// A token that lives shorter than the margin before its end is used, not renewed without end.
#[tokio::test]
async fn short_tokens() {
    let personality = Personality { access_token_seconds: Some(30), ..Personality::default() };
    let mut scene = Scene::with(Db::Sqlite, "basic", Some("s3cret"), Wishes { personality, ..Wishes::default() }).await;
    scene.connect("allow").await;
    for _ in 0..5 {
        refresh::usable(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    }
    assert_eq!(scene.app.sandbox.stats().token_refresh, 0);
    scene.app.clock.advance_seconds(25);
    for _ in 0..5 {
        refresh::usable(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    }
    assert_eq!(scene.app.sandbox.stats().token_refresh, 1);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_patient_may_change_or_vanish_with_a_renewal(#[case] db: Db) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    let first = scene.row().await.patient.unwrap();
    let renew = async |change: fn(&mut Personality)| {
        scene.app.sandbox.set_personality(|personality| {
            *personality = Personality::default();
            change(personality);
        });
        scene.app.clock.advance_seconds(3_600);
        refresh::usable(&scene.app.app, &scene.caller(), &id()).await.unwrap().connection.patient
    };
    assert_eq!(renew(|personality| personality.refresh_without_context = true).await.as_ref(), Some(&first));
    let other = renew(|personality| personality.refresh_other_patient = true).await.unwrap();
    assert_ne!(other, first);
    let actions = audit_actions(&scene).await;
    assert_eq!(actions.iter().filter(|action| *action == "connection.patient_changed").count(), 1, "{actions:?}");
}

async fn audit_actions(scene: &Scene) -> Vec<String> {
    let events = audit::page(&scene.app.app.db, &scene.practice, "", 50).await.unwrap();
    events.into_iter().map(|event| event.action).collect()
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_token_that_the_ehr_took_back_is_renewed_and_a_grant_needs_a_person(#[case] db: Db) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    let test = async || preflight::test(&scene.app.app, &scene.caller(), &id()).await;
    assert_eq!(test().await.unwrap().token_active, Some(true));
    assert_eq!(scene.app.sandbox.stats().introspect, 1);
    scene.app.sandbox.take_back_tokens(false);
    let again = test().await.unwrap();
    assert_eq!((again.token_active, again.patient_problem), (Some(true), None));
    assert_eq!(scene.app.sandbox.stats().token_refresh, 1);
    scene.app.sandbox.take_back_tokens(true);
    assert_eq!(test().await.unwrap_err().code(), Code::NeedsReconnect);
    assert_eq!(scene.status("").await["lastProblem"], "needs_reconnect");
}

#[tokio::test]
async fn an_introspection_that_fails_or_lies_elsewhere_costs_nothing() {
    let mut scene = Scene::new(Db::Sqlite, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    scene.app.sandbox.inject(Endpoint::Introspect, Fault::Status(500));
    let test = preflight::test(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    assert_eq!((test.token_active, test.patient.is_some()), (None, true));
    let wishes = Wishes { without_key: true, ..Wishes::default() };
    let mut public = Scene::with(Db::Sqlite, "public", None, wishes).await;
    public.connect("allow").await;
    let test = preflight::test(&public.app.app, &public.caller(), &id()).await.unwrap();
    assert_eq!((test.token_active, public.app.sandbox.stats().introspect), (None, 0), "it cannot prove itself there");
}

#[rstest]
#[case::both(Db::Sqlite, None, [Some(Revocation::Confirmed), Some(Revocation::Confirmed)])]
#[case::postgres(Db::Postgres, None, [Some(Revocation::Confirmed), Some(Revocation::Confirmed)])]
#[case::refused(Db::Sqlite, Some(Fault::Status(500)), [Some(Revocation::Failed), Some(Revocation::Confirmed)])]
#[case::dropped(Db::Sqlite, Some(Fault::Dropped), [Some(Revocation::Failed), Some(Revocation::Confirmed)])]
#[case::unsupported(
    Db::Sqlite,
    Some(Fault::OAuthError("unsupported_token_type".into())),
    [Some(Revocation::NotOffered), Some(Revocation::Confirmed)]
)]
#[tokio::test]
async fn receipts(#[case] db: Db, #[case] fault: Option<Fault>, #[case] expected: [Option<Revocation>; 2]) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    if let Some(fault) = fault {
        // The refresh token is first: with it the grant goes.
        scene.app.sandbox.inject(Endpoint::Revoke, fault);
    }
    let receipt = disconnect::disconnect(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    assert_eq!([receipt.refresh_token, receipt.access_token], expected);
    let page = settings::page(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    assert_eq!(page.receipt, Some(receipt));
    assert!(page.connection.is_none());
}

/// An EHR that says why: another program used the refresh token.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_refresh_token_that_somebody_else_used(#[case] db: Db) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    let row = scene.row().await;
    let place = ehr_integrations::server::vault::Place {
        practice: scene.practice.as_str(),
        table: "connections",
        row: row.id.as_str(),
        column: "refresh_token",
        bound_to: &format!("{} {}", row.terms.issuer, scene.app.ehr),
    };
    let token = scene.app.app.vault.open(place, row.refresh_token.as_ref().unwrap()).unwrap();
    let credential = Credential::Basic { secret: SecretString::from("s3cret"), encoded: false };
    let other = TokenClient {
        http: &scene.app.app.http,
        endpoint: &row.terms.token_endpoint,
        client_id: "basic",
        credential: &credential,
        client_id_in_body: false,
    };
    other.refresh(&token, None).await.ok().unwrap();
    scene.app.clock.advance_seconds(3_600);
    let refused = refresh::usable(&scene.app.app, &scene.caller(), &id()).await.err().unwrap();
    assert_eq!(refused.code(), Code::NeedsReconnect);
    let status = scene.status("").await;
    assert_eq!((&status["status"], &status["lastProblem"]), (&"needs_reconnect".into(), &"refresh_reused".into()));
}

/// The EHR knows best when it wants to be asked again.
#[tokio::test]
async fn the_ehrs_retry_after_is_passed_on() {
    let mut scene = Scene::new(Db::Sqlite, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    scene.app.clock.advance_seconds(3_600);
    scene.app.sandbox.inject(Endpoint::Token, Fault::TooManyRequests(7));
    let url = "/api/integrations/ehr/status?providerId=generic&includeCapabilities=1";
    let answer = scene.app.server.get(url).authorization_bearer(&scene.token).await;
    assert_eq!(answer.status_code().as_u16(), 429);
    assert_eq!(answer.header("retry-after"), "7");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn what_ends_when(#[case] db: Db) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    let today = scene.app.app.clock.now();
    let in_ten_days = today.plus_seconds(10 * DAY).to_string()[..10].to_owned();
    let mut config = scene.app.generic("basic", None);
    config["providerConfigs"]["generic"]["clientSecretExpires"] = in_ten_days.into();
    let url = "/api/integrations/ehr/config";
    let save = scene.app.server.post(url).authorization_bearer(&scene.token).json(&config).await;
    save.assert_status_ok();
    scene.app.sandbox.set_personality(|personality| personality.no_refresh_token = true);
    scene.connect("allow").await;
    let page = calendar::page(&scene.app.app, &scene.caller()).await.unwrap();
    let kinds: Vec<_> = page.endings.iter().map(|ending| ending.kind).collect();
    assert_eq!(kinds, [EndingKind::Access, EndingKind::ClientSecret, EndingKind::SigningKey]);
    let soon = calendar::soon(&scene.app.app, &scene.caller()).await.unwrap();
    assert_eq!(soon.len(), 2, "the key has a year: {soon:?}");
    let overview = scene.browser.get(&scene.app.url).await.text;
    assert!(overview.contains("Due in"), "{overview}");
    let html = scene.browser.get(&format!("{}/settings/calendar", scene.app.url)).await.text;
    assert!(html.contains("Make a new one in the vendor") && html.contains("Soon"), "{html}");
    config["providerConfigs"]["generic"]["clientSecretExpires"] = "2027-02-30".into();
    let refused = scene.app.server.post(url).authorization_bearer(&scene.token).json(&config).await;
    assert_eq!(refused.json::<Value>()["fields"]["generic.clientSecretExpires"], "not_a_day");
}

/// `online_access`: the EHR renews while its user is there, and the page says so.
#[tokio::test]
async fn access_while_the_user_is_there() {
    let wishes = Wishes { default_scopes: Some("openid fhirUser online_access"), ..Wishes::default() };
    let mut scene = Scene::with(Db::Sqlite, "basic", Some("s3cret"), wishes).await;
    scene.connect("allow").await;
    let page = settings::page(&scene.app.app, &scene.caller(), &id()).await.unwrap();
    let connection = page.connection.unwrap();
    assert!(connection.renews && connection.online_only, "{:?}", connection.scopes);
    let url = format!("{}/settings/ehr-integrations/generic", scene.app.url);
    assert!(scene.browser.get(&url).await.text.contains("while the user is signed in at the EHR"));
}
