//! The customer's `config` routes, and the settings behind them.

use ehr_integrations::model::role::{Role, TokenScope};
use ehr_integrations::server::store::secret;
use rstest::rstest;
use serde_json::{Value, json};

use super::support::{Db, TestApp, Wishes};

const CONFIG: &str = "/api/integrations/ehr/config";

async fn save(app: &TestApp, token: &str, body: &Value) -> (u16, Value) {
    let response = app.server.post(CONFIG).authorization_bearer(token).json(body).await;
    (response.status_code().as_u16(), response.json())
}

async fn read(app: &TestApp, token: &str) -> Value {
    app.server.get(CONFIG).authorization_bearer(token).await.json()
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn saves_and_reads_back_without_secrets(#[case] db: Db) {
    let app = TestApp::new(db).await;
    let practice = app.practice("north", Role::Owner).await;
    let token = app.token(&practice, &[TokenScope::Read, TokenScope::ConfigWrite]).await;
    let empty = read(&app, &token).await;
    insta::allow_duplicates! { insta::assert_json_snapshot!(empty, @r#"
    {
      "enableBulkExport": false,
      "enableNoteCreate": false,
      "enablePatientCreate": false,
      "enableWrite": false,
      "enabledProviders": [],
      "providerConfigs": {},
      "revision": 0
    }
    "#); }
    let mut body = app.generic("secret", Some("s3cret value"));
    body["enableWrite"] = true.into();
    let (status, saved) = save(&app, &token, &body).await;
    assert_eq!(status, 200, "{saved}");
    assert_eq!(saved["revision"], 1);
    assert_eq!(saved["providerConfigs"]["generic"]["clientSecret"]["set"], true);
    assert!(!saved.to_string().contains("s3cret"));

    // Posting back what was read keeps everything, the secret too.
    let (status, again) = save(&app, &token, &saved).await;
    assert_eq!((status, &again["revision"]), (200, &json!(2)));
    assert_eq!(again["providerConfigs"], saved["providerConfigs"]);

    // The old revision is stale now; without one it is taken.
    let (status, stale) = save(&app, &token, &saved).await;
    assert_eq!((status, &stale["error"]), (409, &json!("conflict")));
    let (status, cleared) = save(
        &app,
        &token,
        &json!({"providerConfigs": {"generic": {
        "issuer": format!("{}/fhir", app.ehr), "clientId": "x", "clientSecret": null}}}),
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(cleared["providerConfigs"]["generic"].get("clientSecret"), None);
    assert_eq!(cleared["enableWrite"], true, "an absent switch stays");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn bad_values_are_named_and_nothing_is_saved(#[case] db: Db) {
    let app = TestApp::with(db, Wishes { without_key: true, ..Wishes::default() }).await;
    let practice = app.practice("north", Role::Owner).await;
    let token = app.token(&practice, &TokenScope::ALL).await;
    let (status, body) = save(
        &app,
        &token,
        &json!({"enableWrite": true, "providerConfigs": {
        "ecw": {"issuer": "http://ehr.example", "clientId": "", "colour": "blue"},
        "pcc": {"issuer": "https://pcc.example", "clientId": "c", "pccTenantId": "a/b"},
        "epic": {"issuer": "https://epic.example?x", "clientId": "c", "clientAuth": "magic"}}}),
    )
    .await;
    assert_eq!(status, 422);
    insta::allow_duplicates! { insta::assert_json_snapshot!(body["fields"], @r#"
    {
      "ecw.clientId": "required",
      "ecw.colour": "unknown_key",
      "ecw.issuer": "needs_https",
      "epic.clientAuth": "unknown_choice",
      "epic.issuer": "url_query",
      "pcc.pccTenantId": "bad_characters"
    }
    "#); }
    let (status, body) =
        save(&app, &token, &json!({"providerConfigs": {"ecw": {"issuer": "https://e.example", "clientId": "c"}}}))
            .await;
    assert_eq!((status, &body["fields"]["ecw.clientSecret"]), (422, &json!("key_or_secret")));
    assert_eq!(read(&app, &token).await["revision"], 0);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn another_address_demands_the_secret_again(#[case] db: Db) {
    let app = TestApp::new(db).await;
    let practice = app.practice("north", Role::Owner).await;
    let token = app.token(&practice, &TokenScope::ALL).await;
    save(&app, &token, &app.generic("secret", Some("s3cret"))).await;
    let moved = |extra: Value| {
        let mut values = json!({"issuer": "https://elsewhere.example/fhir", "clientId": "secret"});
        values.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"providerConfigs": {"generic": values}})
    };
    let (status, body) = save(&app, &token, &moved(json!({}))).await;
    assert_eq!((status, &body["fields"]["generic.clientSecret"]), (422, &json!("secret_again")));
    let (status, _) = save(&app, &token, &moved(json!({"clientSecret": "new"}))).await;
    assert_eq!(status, 200);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn allowlist_and_private_addresses(#[case] db: Db) {
    let wishes = Wishes { allowlist: "https://good.example/fhir", public_network_only: true, ..Wishes::default() };
    let app = TestApp::with(db, wishes).await;
    let practice = app.practice("north", Role::Owner).await;
    let token = app.token(&practice, &TokenScope::ALL).await;
    let rule = async |issuer: &str| {
        let body = json!({"providerConfigs": {"generic": {"issuer": issuer, "clientId": "c"}}});
        let (status, body) = save(&app, &token, &body).await;
        (status, body["fields"]["generic.issuer"].clone())
    };
    assert_eq!(rule("https://good.example/fhir/tenant").await, (200, Value::Null));
    assert_eq!(rule("https://good.example/fhirx").await, (422, json!("not_allowlisted")));
    assert_eq!(rule("http://127.0.0.1:4000/fhir").await, (422, json!("private_address")));
    assert_eq!(rule("https://10.0.0.1/fhir").await, (422, json!("private_address")));
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_database_holds_no_secret_in_clear(#[case] db: Db) {
    let app = TestApp::new(db).await;
    let practice = app.practice("north", Role::Owner).await;
    let token = app.token(&practice, &TokenScope::ALL).await;
    save(&app, &token, &app.generic("secret", Some("CANARY-s3cret"))).await;
    let id = ehr_integrations::model::id::ProviderId::new("generic");
    let sealed = secret::load(app.app.db.pool(), &practice, &id, "clientSecret").await.unwrap().unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"CANARY"));
    let (settings, _) = ehr_integrations::server::store::settings::load(app.app.db.pool(), &practice).await.unwrap();
    assert!(!serde_json::to_string(&settings).unwrap().contains("CANARY"));
}
