//! Everything that the authorization and token endpoints must refuse.

use super::*;

const SCOPE: &str = "launch/patient patient/*.rs offline_access";

#[tokio::test]
async fn an_unknown_client_or_redirect_uri_never_redirects() {
    let bed = Bed::new();
    let good = || request("public", SCOPE);
    for bad in [
        changed(good(), "client_id", "nobody"),
        changed(good(), "client_id", ""),
        changed(good(), "redirect_uri", "http://app.test/callback/"),
        changed(good(), "redirect_uri", "http://evil.test/callback"),
        changed(good(), "redirect_uri", ""),
        [good(), vec![("redirect_uri", REDIRECT)]].concat(),
        [good(), vec![("client_id", "public")]].concat(),
    ] {
        let reply = bed.authorize(&bad).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{bad:?}");
        assert!(reply.header(header::CONTENT_TYPE).starts_with("text/html"));
        assert!(reply.headers.get(header::LOCATION).is_none());
    }
}

#[tokio::test]
async fn every_other_flaw_is_told_to_the_client() {
    let bed = Bed::new();
    let long = "a".repeat(44);
    let odd = format!("{}+", "a".repeat(42));
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("scope", "", "invalid_scope"),
        ("scope", "openid patient/Patient.sr", "invalid_scope"),
        ("scope", "openid  fhirUser", "invalid_scope"),
        ("scope", "email", "invalid_scope"),
        ("scope", "system/Patient.rs", "invalid_scope"),
        ("scope", "launch patient/Patient.rs", "invalid_scope"),
        ("state", "", "invalid_request"),
        ("state", "only-21-characters-xx", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "too-short", "invalid_request"),
        ("code_challenge", &long, "invalid_request"),
        ("code_challenge", &odd, "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("aud", "", "invalid_request"),
        ("aud", "http://sandbox.test", "invalid_request"),
        ("aud", "http://sandbox.test/fhir//", "invalid_request"),
        ("aud", "http://sandbox.test/FHIR", "invalid_request"),
        ("aud", "https://sandbox.test/fhir", "invalid_request"),
        ("launch", "unknown-handle", "invalid_scope"),
    ] {
        let reply = bed.authorize(&changed(request("public", SCOPE), name, value)).await;
        assert_eq!(reply.param("error"), error, "{name}={value}");
        assert!(!reply.param("error_description").is_empty());
        assert_eq!(reply.param("iss"), ORIGIN);
        if name != "state" {
            assert_eq!(reply.param("state"), STATE);
        }
    }
    let twice = [request("public", SCOPE), vec![("scope", "openid")]].concat();
    assert_eq!(bed.authorize(&twice).await.param("error"), "invalid_request");
    let launch = changed(changed(request("public", SCOPE), "scope", "launch openid"), "launch", "unknown");
    assert_eq!(bed.authorize(&launch).await.param("error"), "invalid_request");
}

#[tokio::test]
async fn a_code_works_once_and_its_replay_ends_the_grant() {
    let bed = Bed::new();
    let code = bed.code("public", SCOPE).await;
    let json = bed.redeem(&code, &[("client_id", "public")], None).await.json();
    let access = json["access_token"].as_str().unwrap();
    let refresh = json["refresh_token"].as_str().unwrap();
    assert_eq!(bed.fhir(access, "Patient/pat-0001").await.status, StatusCode::OK);
    let replay = bed.redeem(&code, &[("client_id", "public")], None).await;
    assert_eq!((replay.status, replay.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));
    assert_eq!(bed.fhir(access, "Patient/pat-0001").await.status, StatusCode::UNAUTHORIZED);
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", "public")];
    assert_eq!(bed.form("/auth/token", &form).await.error(), "invalid_grant");
}

#[tokio::test]
async fn a_code_lives_for_sixty_seconds() {
    let bed = Bed::new();
    let (early, late) = (bed.code("public", SCOPE).await, bed.code("public", SCOPE).await);
    bed.forward(59);
    assert_eq!(bed.redeem(&early, &[("client_id", "public")], None).await.status, StatusCode::OK);
    bed.forward(1);
    assert_eq!(bed.redeem(&late, &[("client_id", "public")], None).await.error(), "invalid_grant");
}

#[tokio::test]
async fn a_wrong_verifier_or_redirect_uri_spends_the_code() {
    let bed = Bed::new();
    let other = "x".repeat(43);
    for (name, value) in [("code_verifier", other.as_str()), ("redirect_uri", "http://app.test/callback?other=1")] {
        let code = bed.code("public", SCOPE).await;
        let good = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("client_id", "public"),
        ];
        let bad = changed(good.clone(), name, value);
        assert_eq!(bed.form("/auth/token", &bad).await.error(), "invalid_grant", "{name}");
        assert_eq!(bed.form("/auth/token", &good).await.error(), "invalid_grant", "{name} again");
    }
}

#[tokio::test]
async fn a_malformed_token_request_is_refused() {
    let bed = Bed::new();
    let code = bed.code("public", SCOPE).await;
    let good = vec![
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("client_id", "public"),
    ];
    for (name, value, error) in [
        ("grant_type", "", "invalid_request"),
        ("grant_type", "password", "unsupported_grant_type"),
        ("code", "", "invalid_request"),
        ("code", "unknown", "invalid_grant"),
        ("redirect_uri", "", "invalid_request"),
        ("code_verifier", "", "invalid_request"),
        ("code_verifier", "short", "invalid_grant"),
        ("client_id", "", "invalid_client"),
        ("client_id", "nobody", "invalid_client"),
    ] {
        let reply = bed.form("/auth/token", &changed(good.clone(), name, value)).await;
        assert_eq!(reply.error(), error, "{name}={value}");
        assert_eq!(reply.header(header::CACHE_CONTROL), "no-store");
    }
    let json = Request::post("/auth/token").header(header::CONTENT_TYPE, "application/json");
    let reply = bed.send(json.body(Body::from(encode(&good))).unwrap()).await;
    assert_eq!(reply.error(), "invalid_request");
    let twice = [good.clone(), vec![("code", "other")]].concat();
    assert_eq!(bed.form("/auth/token", &twice).await.error(), "invalid_request");
    // None of that touched the code.
    assert_eq!(bed.form("/auth/token", &good).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_code_belongs_to_its_client() {
    let bed = Bed::new();
    let code = bed.code("public", SCOPE).await;
    let reply = bed.redeem(&code, &[], Some(&basic("basic", "basic-secret"))).await;
    assert_eq!(reply.error(), "invalid_grant");
    assert_eq!(bed.redeem(&code, &[("client_id", "public")], None).await.status, StatusCode::OK);
}
