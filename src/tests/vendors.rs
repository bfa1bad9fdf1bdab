//! Every vendor, as a practice configures it, against an EHR that insists on that vendor's dialect.

use ehr_integrations::model::calendar::EndingKind;
use ehr_integrations::model::connection::AuthMethod;
use ehr_integrations::model::id::ProviderId;
use ehr_integrations::model::key::KeyAlgorithm;
use ehr_integrations::model::time::Timestamp;
use ehr_integrations::sandbox::Personality;
use ehr_integrations::server::flow::{calendar, preflight, refresh, settings};
use ehr_integrations::server::store::connection;
use rstest::rstest;
use serde_json::{Value, json};

use super::scene::Scene;
use super::support::{Db, Wishes};

const DAY: i64 = 86_400;

/// What a vendor's registration and server are like.
struct Vendor {
    id: &'static str,
    /// The sandbox's client and its secret.
    client: (&'static str, Option<&'static str>),
    /// The issuer's path at the sandbox.
    path: &'static str,
    /// Further fields of its form.
    more: Value,
    /// What its server insists on.
    personality: Personality,
    /// One of the scopes, as it is asked for.
    scope: &'static str,
    method: AuthMethod,
}

const BASIC: (&str, Option<&str>) = ("basic", Some("s3cret"));

fn vendor(id: &'static str) -> Vendor {
    let plain = Vendor {
        id,
        client: BASIC,
        path: "/fhir/",
        more: json!({}),
        personality: Personality { v1_scopes_only: true, ..Personality::default() },
        scope: "user/Patient.read",
        method: AuthMethod::ClientSecretBasic,
    };
    let v1 = || Personality { v1_scopes_only: true, ..Personality::default() };
    match id {
        "ecw" => Vendor {
            client: ("key", None),
            path: "/fhir/r4/DEMO/",
            personality: Personality { rs384_only: true, bad_aud_slash: true, ..v1() },
            method: AuthMethod::PrivateKeyJwt,
            ..plain
        },
        "epic" => Vendor {
            client: ("secret", Some("s3cret/+ value")),
            path: "/interconnect-fhir-oauth/api/FHIR/R4",
            personality: Personality { basic_form_encoded_only: true, bare_scope_echo: true, ..Personality::default() },
            scope: "user/Patient.rs",
            ..plain
        },
        "oracle" => Vendor {
            personality: Personality { access_token_seconds: Some(570), empty_create_body: true, ..v1() },
            ..plain
        },
        "athena" => Vendor {
            more: json!({"audience": "slash"}),
            personality: Personality { aud_needs_slash: true, ..v1() },
            ..plain
        },
        "nextgen" => Vendor { personality: Personality { no_aud: true, ..v1() }, ..plain },
        "meditech" => Vendor { personality: Personality { v1_scope_echo: true, ..v1() }, ..plain },
        "pcc" => Vendor { path: "", more: json!({"pccTenantId": "demo-tenant"}), ..plain },
        "generic" => Vendor { scope: "user/Patient.rs", personality: Personality::default(), ..plain },
        _ => plain,
    }
}

/// Configures the vendor as the practice's only provider, and connects.
async fn connected(db: Db, vendor: &Vendor) -> (Scene, ProviderId) {
    let wishes = Wishes { personality: vendor.personality.clone(), ..Wishes::default() };
    let mut scene = Scene::with(db, "basic", Some("s3cret"), wishes).await;
    let (client, secret) = vendor.client;
    let mut config = vendor.more.clone();
    config["issuer"] = format!("{}{}", scene.app.ehr, vendor.path).into();
    config["clientId"] = client.into();
    if let Some(secret) = secret {
        config["clientSecret"] = secret.into();
    }
    let id = vendor.id;
    let body = json!({"enabledProviders": [id], "providerConfigs": {id: config}});
    let save = scene.app.server.post("/api/integrations/ehr/config").authorization_bearer(&scene.token).json(&body);
    save.await.assert_status_ok();
    let login = format!("{}/api/integrations/ehr/login?providerId={id}", scene.app.url);
    let authorize = scene.browser.get(&login).await.location.unwrap();
    let url = url::Url::parse(&authorize).unwrap();
    let scopes = url.query_pairs().find(|(name, _)| name == "scope").unwrap().1.into_owned();
    assert!(scopes.split(' ').any(|scope| scope == vendor.scope), "{scopes}");
    let callback = scene.browser.approve(&scene.app.sandbox, &scene.app.ehr, &authorize, "allow").await;
    let back = scene.browser.get(&callback).await.location.unwrap();
    assert_eq!(back, format!("/settings/ehr-integrations/{id}?notice=connected"));
    (scene, ProviderId::new(id))
}

async fn row(scene: &Scene, id: &ProviderId) -> connection::Connection {
    connection::find(scene.app.app.db.pool(), &scene.practice, id).await.unwrap().unwrap()
}

#[rstest]
#[tokio::test]
async fn connects_every_vendor(
    #[values(Db::Sqlite, Db::Postgres)] db: Db,
    #[values("ecw", "pcc", "epic", "oracle", "athena", "nextgen", "veradigm", "meditech", "generic")] id: &'static str,
) {
    let vendor = vendor(id);
    let (scene, id) = connected(db, &vendor).await;
    let terms = row(&scene, &id).await.terms;
    assert_eq!(terms.auth.method, vendor.method);
    let signs = vendor.method == AuthMethod::PrivateKeyJwt;
    assert_eq!(terms.auth.algorithm, signs.then_some(KeyAlgorithm::Rs384));
    // It reads, and its token is renewed; nothing of what was asked for is told as missing.
    let test = preflight::test(&scene.app.app, &scene.caller(), &id).await.unwrap();
    assert!(test.patient.is_some() && test.patient_problem.is_none());
    let life = vendor.personality.access_token_seconds.unwrap_or(3_600);
    scene.app.clock.advance_seconds(life - 30);
    refresh::usable(&scene.app.app, &scene.caller(), &id).await.ok().unwrap();
    assert_eq!(scene.app.sandbox.stats().token_refresh, 1);
    let page = settings::page(&scene.app.app, &scene.caller(), &id).await.unwrap();
    let missing: Vec<_> = page.connection.unwrap().scopes;
    assert!(missing.iter().all(|scope| scope.granted != Some(false)), "{missing:?}");
}

/// athenahealth's practice id is for people: nothing depends on it.
#[tokio::test]
async fn athena_takes_a_practice_id_and_needs_none() {
    let mut athena = vendor("athena");
    athena.more["athenaPracticeId"] = "195900".into();
    connected(Db::Sqlite, &athena).await;
}

/// A refresh token's end by the vendor's documentation: 90 days from when it was issued, or was last used.
#[rstest]
#[case::from_its_issue("ecw")]
#[case::from_its_last_use("oracle")]
#[tokio::test]
async fn refresh_tokens_end_by_the_vendors_limit(#[values(Db::Sqlite, Db::Postgres)] db: Db, #[case] id: &'static str) {
    let (scene, id) = connected(db, &vendor(id)).await;
    let ends = async || {
        let page = calendar::page(&scene.app.app, &scene.caller()).await.unwrap();
        page.endings.into_iter().find(|ending| ending.kind == EndingKind::RefreshToken).map(|ending| ending.at)
    };
    let in_90_days = |from: Timestamp| Some(from.plus_seconds(90 * DAY));
    let connected_at = row(&scene, &id).await.connected_at;
    assert_eq!(ends().await, in_90_days(connected_at));
    scene.app.clock.advance_seconds(20 * DAY);
    assert_eq!(ends().await, in_90_days(connected_at), "nothing used it");
    refresh::usable(&scene.app.app, &scene.caller(), &id).await.ok().unwrap();
    assert_eq!(ends().await, in_90_days(scene.app.app.clock.now()), "with a renewal comes a new one");
    let soon = async || calendar::soon(&scene.app.app, &scene.caller()).await.unwrap();
    let is_told = async || soon().await.iter().any(|ending| ending.kind == EndingKind::RefreshToken);
    assert!(!is_told().await);
    scene.app.clock.advance_seconds(80 * DAY);
    assert!(is_told().await, "ten days before its end");
}
