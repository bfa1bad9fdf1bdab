//! The standalone flow from the first page to the last token.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::*;

const SCOPE: &str = "openid fhirUser launch/patient launch/encounter patient/*.rs offline_access";

#[tokio::test]
async fn a_public_client_gets_tokens_and_context() {
    let bed = Bed::new();
    let reply = bed.approve(&changed(request("public", SCOPE), "nonce", "n-123")).await;
    assert_eq!(reply.param("state"), STATE);
    assert_eq!(reply.param("iss"), ORIGIN);
    let code = reply.param("code");
    let reply = bed.redeem(&code, &[("client_id", "public")], None).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header(header::CACHE_CONTROL), "no-store");
    let json = reply.json();
    assert_eq!(json["token_type"], "Bearer");
    assert_eq!(json["expires_in"], 3600);
    assert_eq!(json["scope"], SCOPE);
    assert_eq!(json["patient"], "pat-0001");
    assert_eq!(json["encounter"], "enc-0001-1");
    assert_eq!(json["need_patient_banner"], true);
    assert_eq!(json["tenant"], "fhir");
    assert_eq!(json["smart_style_url"], "http://sandbox.test/style.json");
    assert!(json["refresh_token"].is_string());

    // The id token, read by another implementation than the one that signed it.
    let jwks = bed.get("/auth/jwks").await.json();
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwks["keys"][0].clone()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["public"]);
    validation.set_issuer(&[ORIGIN]);
    validation.validate_exp = false;
    let token = json["id_token"].as_str().unwrap();
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
    assert_eq!(decoded.header.kid, jwk.common.key_id);
    let claims = decoded.claims;
    assert_eq!(claims["nonce"], "n-123");
    assert_eq!(claims["iat"], START / 1000);
    assert_eq!(claims["exp"], START / 1000 + 300);
    assert_eq!(claims["fhirUser"], "http://sandbox.test/fhir/Practitioner/prac-river");

    let access = json["access_token"].as_str().unwrap();
    let patient = bed.fhir(access, "Patient/pat-0001").await;
    assert_eq!(patient.status, StatusCode::OK);
    assert_eq!(patient.header(header::CONTENT_TYPE), "application/fhir+json");
    assert_eq!(bed.fhir(access, "Practitioner/prac-river").await.status, StatusCode::OK);
    let stats = bed.sandbox.stats();
    assert_eq!((stats.authorize, stats.token_code, stats.fhir_reads), (1, 1, 2));
    assert!(stats.last_authorize_query.contains(&("state".to_owned(), STATE.to_owned())));
    assert!(stats.last_token_form.contains(&("code".to_owned(), code)));
    assert_eq!(stats.last_token_authorization, None);
}

#[tokio::test]
async fn an_authorization_request_may_be_posted() {
    let bed = Bed::new();
    let page = bed.form("/auth/authorize", &request("public", SCOPE)).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("id=\"sign-in\""));
    let json = Request::post("/auth/authorize").header(header::CONTENT_TYPE, "application/json");
    let reply = bed.send(json.body(Body::from("{}")).unwrap()).await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_wrong_password_says_so_and_escapes_what_was_typed() {
    let bed = Bed::new();
    let id = bed.authorize(&request("public", SCOPE)).await.transaction();
    let page = bed.form("/auth/sign-in", &[("transaction", &id), ("username", "<b>\"x"), ("password", "no")]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("do not match"));
    assert!(page.text().contains("&lt;b&gt;&quot;x"));
    assert!(!page.text().contains("<b>"));
}

#[tokio::test]
async fn the_picker_searches_and_the_consent_page_names_scopes() {
    let bed = Bed::new();
    let id = bed.authorize(&request("public", SCOPE)).await.transaction();
    let found = format!("/auth/patient?transaction={id}&q=pat");
    assert!(bed.get(&found).await.text().contains("id=\"sign-in\""), "nobody has signed in yet");
    let page =
        bed.form("/auth/sign-in", &[("transaction", &id), ("username", "dr.stone"), ("password", "sandbox")]).await;
    assert_eq!(page.text().matches("name=\"patient\" value=").count(), 40);
    let mrn = "SBX-100037";
    let page = bed.get(&format!("/auth/patient?transaction={id}&q={mrn}")).await;
    assert_eq!(page.text().matches("name=\"patient\" value=").count(), 1);
    let page = bed.get(&format!("/auth/patient?transaction={id}&q=nobody-at-all")).await;
    assert!(page.text().contains("No patient matches"));
    let page = bed.form("/auth/patient", &[("transaction", &id), ("patient", "pat-0002")]).await;
    assert!(page.text().contains("Read, search: all kinds of records of the chosen patient"));
    assert!(page.text().contains("Amara Stone"));
    assert!(page.header(header::CONTENT_SECURITY_POLICY).contains("style-src 'sha256-"));
    assert!(page.headers.get(header::X_FRAME_OPTIONS).is_none());
    assert!(page.headers.get(header::SET_COOKIE).is_none());
}

#[tokio::test]
async fn steps_cannot_be_skipped_and_a_form_works_once() {
    let bed = Bed::new();
    let id = bed.authorize(&request("public", SCOPE)).await.transaction();
    let allow = [("transaction", id.as_str()), ("decision", "allow"), ("scope", "openid")];
    assert!(bed.form("/auth/consent", &allow).await.text().contains("id=\"sign-in\""));
    bed.form("/auth/sign-in", &[("transaction", &id), ("username", "dr.river"), ("password", "sandbox")]).await;
    assert!(bed.form("/auth/consent", &allow).await.text().contains("Choose a patient"));
    bed.form("/auth/patient", &[("transaction", &id), ("patient", "pat-0001")]).await;
    assert!(!bed.form("/auth/consent", &allow).await.param("code").is_empty());
    let again = bed.form("/auth/consent", &allow).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.text().contains("sign-in is over"));
}

#[tokio::test]
async fn a_transaction_ends_after_ten_minutes() {
    let bed = Bed::new();
    let id = bed.authorize(&request("public", SCOPE)).await.transaction();
    bed.forward(600);
    let page =
        bed.form("/auth/sign-in", &[("transaction", &id), ("username", "dr.river"), ("password", "sandbox")]).await;
    assert!(page.text().contains("sign-in is over"));
}

#[tokio::test]
async fn deny_goes_home_as_access_denied() {
    let bed = Bed::new();
    let scope = "openid user/Patient.rs";
    let id = bed.authorize(&request("public", scope)).await.transaction();
    bed.form("/auth/sign-in", &[("transaction", &id), ("username", "dr.river"), ("password", "sandbox")]).await;
    let reply = bed.form("/auth/consent", &[("transaction", &id), ("decision", "deny"), ("scope", "openid")]).await;
    assert_eq!(reply.param("error"), "access_denied");
    assert_eq!(reply.param("state"), STATE);
    assert_eq!(reply.param("iss"), ORIGIN);
}

#[tokio::test]
async fn unticked_scopes_are_not_granted() {
    let bed = Bed::new();
    let scope = "launch/patient patient/Patient.rs patient/Encounter.rs";
    let id = bed.authorize(&request("public", scope)).await.transaction();
    bed.form("/auth/sign-in", &[("transaction", &id), ("username", "dr.river"), ("password", "sandbox")]).await;
    bed.form("/auth/patient", &[("transaction", &id), ("patient", "pat-0003")]).await;
    let form = [
        ("transaction", id.as_str()),
        ("decision", "allow"),
        ("scope", "launch/patient"),
        ("scope", "patient/Patient.rs"),
        ("scope", "patient/*.cruds"),
    ];
    let code = bed.form("/auth/consent", &form).await.param("code");
    let json = bed.redeem(&code, &[("client_id", "public")], None).await.json();
    assert_eq!(json["scope"], "launch/patient patient/Patient.rs");
    assert_eq!(json["patient"], "pat-0003");
    let access = json["access_token"].as_str().unwrap();
    assert_eq!(bed.fhir(access, "Encounter").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_redirect_uri_keeps_its_own_query() {
    let bed = Bed::new();
    let uri = "http://app.test/callback?other=1";
    let reply = bed.approve(&changed(request("public", "openid"), "redirect_uri", uri)).await;
    assert_eq!(reply.param("other"), "1");
    assert!(!reply.param("code").is_empty());
}

#[tokio::test]
async fn tokens_work_at_their_own_base_only() {
    let bed = Bed::new();
    let aud = "http://sandbox.test/fhir/r4/DEMO/";
    let code = bed.approve(&changed(request("public", "user/Patient.rs"), "aud", aud)).await.param("code");
    let json = bed.redeem(&code, &[("client_id", "public")], None).await.json();
    assert_eq!(json["tenant"], "DEMO");
    assert!(json.get("patient").is_none());
    let token = json["access_token"].as_str().unwrap();
    assert_eq!(bed.fhir_at("/fhir/r4/DEMO", token, "Patient").await.status, StatusCode::OK);
    for other in ["/fhir", "/fhir/R4/demo-tenant", "/interconnect-fhir-oauth/api/FHIR/R4"] {
        let reply = bed.fhir_at(other, token, "Patient").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert!(reply.header(header::WWW_AUTHENTICATE).contains("invalid_token"));
    }
}

#[tokio::test]
async fn the_front_page_names_bases_users_and_applications() {
    let text = Bed::new().get("/").await.text();
    assert!(text.contains("http://sandbox.test/interconnect-fhir-oauth/api/FHIR/R4"));
    assert!(text.contains("dr.river"));
    assert!(text.contains("<code>public</code>"));
    assert!(text.contains("Synthetic data only"));
}
