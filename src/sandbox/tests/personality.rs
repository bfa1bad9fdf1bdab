//! The knobs: each one deviates in its own way and in no other.

use super::*;

const SCOPE: &str = "openid fhirUser launch/patient patient/*.rs offline_access";

fn claims(tokens: &Value) -> Value {
    let token = tokens["id_token"].as_str().unwrap();
    let part = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn discovery_can_be_missing_relative_or_broken() {
    let bed = Bed::new();
    let path = "/fhir/.well-known/smart-configuration";
    bed.sandbox.set_personality(|p| p.relative_endpoints = true);
    assert_eq!(bed.get(path).await.json()["token_endpoint"], "/auth/token");
    bed.sandbox.set_personality(|p| p.no_revocation_endpoint = true);
    assert!(bed.get(path).await.json().get("revocation_endpoint").is_none());
    let form = [("token", "x"), ("client_id", "public")];
    assert_eq!(bed.form("/auth/revoke", &form).await.status, StatusCode::NOT_FOUND);
    bed.sandbox.set_personality(|p| p.no_well_known = true);
    assert_eq!(bed.get(path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bed.get("/fhir/metadata").await.status, StatusCode::OK);
    bed.sandbox.set_personality(|p| p.metadata_500 = true);
    for path in [path, "/fhir/metadata", "/.well-known/openid-configuration"] {
        assert_eq!(bed.get(path).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[tokio::test]
async fn authorization_can_be_pickier() {
    let bed = Bed::new();
    let slash = changed(request("public", SCOPE), "aud", "http://sandbox.test/fhir/");
    assert_eq!(bed.authorize(&slash).await.status, StatusCode::OK);
    bed.sandbox.set_personality(|p| p.bad_aud_slash = true);
    assert_eq!(bed.authorize(&slash).await.param("error"), "invalid_request");
    bed.sandbox.set_personality(|p| p.authorize_post_only = true);
    let refused = bed.authorize(&request("public", SCOPE)).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.header(header::ALLOW), "POST");
    assert_eq!(bed.form("/auth/authorize", &request("public", SCOPE)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn token_answers_can_be_odd() {
    let bed = Bed::new();
    bed.sandbox.set_personality(|p| p.v1_scope_echo = true);
    let scope = bed.tokens(SCOPE).await["scope"].as_str().unwrap().to_owned();
    assert_eq!(scope, "openid fhirUser launch/patient patient/*.read offline_access");
    bed.sandbox.set_personality(|p| p.bare_scope_echo = true);
    let tokens = bed.tokens(SCOPE).await;
    assert_eq!(tokens["scope"], "openid fhirUser launch/patient *.read *.search");
    assert!(tokens["refresh_token"].is_string());
    bed.sandbox.set_personality(|p| p.bare_scope_echo = false);
    bed.sandbox.set_personality(|p| {
        p.omit_scope_in_token = true;
        p.no_refresh_token = true;
        p.no_id_token = true;
    });
    let tokens = bed.tokens(SCOPE).await;
    for absent in ["scope", "refresh_token", "id_token"] {
        assert!(tokens.get(absent).is_none(), "{absent}");
    }
    bed.sandbox.set_personality(|p| {
        *p = Personality { drop_scopes: vec!["offline_access".to_owned(), "openid".to_owned()], ..Default::default() };
    });
    let tokens = bed.tokens(SCOPE).await;
    assert_eq!(tokens["scope"], "fhirUser launch/patient patient/*.rs");
    assert!(tokens.get("refresh_token").is_none());
    bed.sandbox.set_personality(|p| p.drop_scopes = vec!["user/Patient.rs".to_owned()]);
    let reply = bed.approve(&request("public", "user/Patient.rs")).await;
    assert_eq!(reply.param("error"), "access_denied");
}

#[tokio::test]
async fn refreshing_can_fail_without_spending_the_token() {
    let bed = Bed::new();
    let token = bed.tokens(SCOPE).await["refresh_token"].as_str().unwrap().to_owned();
    let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str()), ("client_id", "public")];
    bed.sandbox.set_personality(|p| p.refresh_always_invalid_grant = true);
    assert_eq!(bed.form("/auth/token", &form).await.error(), "invalid_grant");
    bed.sandbox.set_personality(|p| *p = Personality::default());
    assert_eq!(bed.form("/auth/token", &form).await.status, StatusCode::OK);
}

#[tokio::test]
async fn id_tokens_can_be_wrong_in_each_way() {
    let bed = Bed::new();
    bed.sandbox.set_personality(|p| p.wrong_nonce = true);
    assert!(claims(&bed.tokens(SCOPE).await)["nonce"].is_string());
    bed.sandbox.set_personality(|p| *p = Personality { wrong_id_token_issuer: true, ..Personality::default() });
    assert_ne!(claims(&bed.tokens(SCOPE).await)["iss"], ORIGIN);
    bed.sandbox.set_personality(|p| *p = Personality { id_token_expired: true, ..Personality::default() });
    assert!(claims(&bed.tokens(SCOPE).await)["exp"].as_i64().unwrap() < START / 1000);
    bed.sandbox.set_personality(|p| *p = Personality { id_token_alg_none: true, ..Personality::default() });
    let tokens = bed.tokens(SCOPE).await;
    assert!(tokens["id_token"].as_str().unwrap().ends_with('.'));
    assert_eq!(claims(&tokens)["iss"], ORIGIN);
}

#[tokio::test]
async fn the_token_endpoint_can_be_slow() {
    let bed = Bed::new();
    bed.sandbox.set_personality(|p| p.token_delay_ms = 50);
    let before = std::time::Instant::now();
    bed.form("/auth/token", &[("grant_type", "refresh_token")]).await;
    assert!(before.elapsed().as_millis() >= 50);
}

#[tokio::test]
async fn reading_and_writing_can_be_odd() {
    let bed = Bed::new();
    let token = bed.access("launch/patient user/DocumentReference.crs user/Binary.r").await;
    let found = bed.fhir(&token, "/DocumentReference?_count=1").await;
    assert_eq!(found.status, StatusCode::OK);
    let url = found.json()["entry"][0]["resource"]["content"][0]["attachment"]["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix(ORIGIN).unwrap().strip_prefix("/fhir").unwrap().to_owned();
    assert_eq!(bed.fhir(&token, &path).await.status, StatusCode::OK);
    bed.sandbox.set_personality(|p| {
        p.count_refused = true;
        p.documents_elsewhere = true;
    });
    assert_eq!(bed.fhir(&token, "/DocumentReference?_count=1").await.status, StatusCode::BAD_REQUEST);
    let moved = bed.fhir(&token, &path).await;
    assert_eq!(moved.status, StatusCode::TEMPORARY_REDIRECT);
    let elsewhere = moved.header(header::LOCATION).strip_prefix(ORIGIN).unwrap().to_owned();
    assert_eq!(
        bed.fhir_at("/files", &token, elsewhere.strip_prefix("/files/").unwrap()).await.status,
        StatusCode::BAD_REQUEST,
        "the link proves enough"
    );
    assert_eq!(bed.get(&elsewhere).await.status, StatusCode::OK);
}

#[tokio::test]
async fn faults_hit_one_request_each() {
    let bed = Bed::new();
    let path = "/fhir/.well-known/smart-configuration";
    bed.sandbox.inject(Endpoint::Discovery, Fault::Status(502));
    bed.sandbox.inject(Endpoint::Discovery, Fault::TooManyRequests(7));
    assert_eq!(bed.get(path).await.status, StatusCode::BAD_GATEWAY);
    let limited = bed.get(path).await;
    assert_eq!((limited.status, limited.header(header::RETRY_AFTER)), (StatusCode::TOO_MANY_REQUESTS, "7"));
    assert_eq!(bed.get(path).await.status, StatusCode::OK);
    bed.sandbox.inject(Endpoint::Authorize, Fault::OAuthError("invalid_scope".into()));
    assert_eq!(bed.authorize(&request("public", SCOPE)).await.param("error"), "invalid_scope");
    assert_eq!(bed.authorize(&request("public", SCOPE)).await.status, StatusCode::OK);
}
