//! Client authentication with shared secrets; introspection and revocation.

use super::*;

const SCOPE: &str = "openid fhirUser launch/patient patient/*.rs offline_access";

#[tokio::test]
async fn basic_is_taken_raw_and_form_encoded() {
    let bed = Bed::new();
    let secret = "s3cret/+ %:&=";
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    for header in [basic("any", secret), basic("any", &encoded), basic("basic", "basic-secret")] {
        let id = if header.starts_with(&basic("basic", "")[..12]) { "basic" } else { "any" };
        let code = bed.code(id, SCOPE).await;
        let reply = bed.redeem(&code, &[], Some(&header)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(bed.sandbox.stats().last_token_authorization, Some(header));
    }
}

#[tokio::test]
async fn post_is_taken_from_who_registered_it() {
    let bed = Bed::new();
    for (id, secret) in [("post", "post-secret"), ("any", "s3cret/+ %:&=")] {
        let code = bed.code(id, SCOPE).await;
        let reply = bed.redeem(&code, &[("client_id", id), ("client_secret", secret)], None).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
}

#[tokio::test]
async fn wrong_credentials_are_invalid_client_with_a_challenge() {
    let bed = Bed::new();
    for (id, extra, header) in [
        ("basic", vec![], Some(basic("basic", "wrong"))),
        ("basic", vec![("client_id", "basic"), ("client_secret", "basic-secret")], None),
        ("post", vec![], Some(basic("post", "post-secret"))),
        ("post", vec![("client_id", "post"), ("client_secret", "wrong")], None),
        ("post", vec![("client_id", "post")], None),
        ("public", vec![("client_id", "public"), ("client_secret", "guess")], None),
        ("public", vec![], Some(basic("public", ""))),
        ("jwt", vec![("client_id", "jwt")], None),
        ("basic", vec![("client_id", "post")], Some(basic("basic", "basic-secret"))),
        ("basic", vec![], Some("Basic not-base64!".to_owned())),
        ("basic", vec![], Some("Bearer abc".to_owned())),
    ] {
        let code = bed.code(id, SCOPE).await;
        let reply = bed.redeem(&code, &extra, header.as_deref()).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{extra:?} {header:?}");
        assert_eq!(reply.error(), "invalid_client");
        assert!(reply.header(header::WWW_AUTHENTICATE).starts_with("Basic "));
    }
}

#[tokio::test]
async fn two_methods_at_once_are_refused() {
    let bed = Bed::new();
    let code = bed.code("any", SCOPE).await;
    let secret = "s3cret/+ %:&=";
    let extra = [("client_id", "any"), ("client_secret", secret)];
    let reply = bed.redeem(&code, &extra, Some(&basic("any", secret))).await;
    assert_eq!((reply.status, reply.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_request"));
}

#[tokio::test]
async fn introspection_tells_a_client_about_its_own_tokens() {
    let bed = Bed::new();
    let header = basic("basic", "basic-secret");
    let code = bed.code("basic", SCOPE).await;
    let tokens = bed.redeem(&code, &[], Some(&header)).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    let json = bed.form_with("/auth/introspect", &[("token", access)], Some(&header)).await.json();
    assert_eq!(json["active"], true);
    assert_eq!(json["scope"], SCOPE);
    assert_eq!(json["client_id"], "basic");
    assert_eq!(json["exp"], START / 1000 + 3600);
    assert_eq!(json["patient"], "pat-0001");
    assert_eq!(json["iss"], ORIGIN);
    assert!(json["fhirUser"].as_str().unwrap().ends_with("/Practitioner/prac-river"));
    let other = basic("any", "s3cret/+ %:&=");
    let json = bed.form_with("/auth/introspect", &[("token", access)], Some(&other)).await.json();
    assert_eq!(json, serde_json::json!({ "active": false }));
    let open = bed.form("/auth/introspect", &[("token", access), ("client_id", "public")]).await;
    assert_eq!(open.status, StatusCode::UNAUTHORIZED);
    bed.forward(3600);
    let json = bed.form_with("/auth/introspect", &[("token", access)], Some(&header)).await.json();
    assert_eq!(json["active"], false);
    assert_eq!(bed.fhir(access, "Patient").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bed.sandbox.stats().introspect, 4);
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_the_grant() {
    let bed = Bed::new();
    let tokens = bed.tokens(SCOPE).await;
    let access = tokens["access_token"].as_str().unwrap();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let stranger = basic("basic", "basic-secret");
    let reply = bed.form_with("/auth/revoke", &[("token", refresh)], Some(&stranger)).await;
    assert_eq!(reply.error(), "unauthorized_client");
    assert_eq!(bed.fhir(access, "Patient/pat-0001").await.status, StatusCode::OK);
    let form = [("token", refresh), ("token_type_hint", "refresh_token"), ("client_id", "public")];
    assert_eq!(bed.form("/auth/revoke", &form).await.status, StatusCode::OK);
    assert_eq!(bed.fhir(access, "Patient/pat-0001").await.status, StatusCode::UNAUTHORIZED);
    let unknown = [("token", "never-issued"), ("client_id", "public")];
    assert_eq!(bed.form("/auth/revoke", &unknown).await.status, StatusCode::OK);
    assert_eq!(bed.sandbox.stats().revoked_tokens, [refresh, refresh, "never-issued"]);
}

#[tokio::test]
async fn revoking_an_access_token_leaves_the_refresh_token() {
    let bed = Bed::new();
    let tokens = bed.tokens(SCOPE).await;
    let access = tokens["access_token"].as_str().unwrap();
    bed.form("/auth/revoke", &[("token", access), ("client_id", "public")]).await;
    assert_eq!(bed.fhir(access, "Patient/pat-0001").await.status, StatusCode::UNAUTHORIZED);
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", "public")];
    assert_eq!(bed.form("/auth/token", &form).await.status, StatusCode::OK);
}
