//! Refresh tokens: rotation, reuse, narrowing.

use super::*;

const SCOPE: &str = "launch/patient patient/*.rs patient/DocumentReference.c offline_access";

fn form<'a>(token: &'a str, scope: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "public")];
    form.extend(scope.map(|scope| ("scope", scope)));
    form
}

async fn first(bed: &Bed) -> String {
    bed.tokens(SCOPE).await["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_refresh_token_is_replaced_and_its_reuse_ends_the_grant() {
    let bed = Bed::new();
    let old = first(&bed).await;
    let json = bed.form("/auth/token", &form(&old, None)).await.json();
    assert_eq!(json["scope"], SCOPE);
    assert_eq!(json["patient"], "pat-0001");
    assert!(json.get("id_token").is_none());
    let new = json["refresh_token"].as_str().unwrap();
    let access = json["access_token"].as_str().unwrap();
    assert_ne!(new, old);
    assert_eq!(bed.fhir(access, "Patient/pat-0001").await.status, StatusCode::OK);
    let reuse = bed.form("/auth/token", &form(&old, None)).await;
    assert_eq!((reuse.status, reuse.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));
    assert_eq!(bed.form("/auth/token", &form(new, None)).await.error(), "invalid_grant");
    assert_eq!(bed.fhir(access, "Patient/pat-0001").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bed.sandbox.stats().token_refresh, 3);
}

#[tokio::test]
async fn a_refresh_may_narrow_but_not_widen() {
    let bed = Bed::new();
    let token = first(&bed).await;
    for wide in ["patient/*.cruds", "user/Patient.rs", "openid", "patient/Patient.c", "nonsense"] {
        assert_eq!(bed.form("/auth/token", &form(&token, Some(wide))).await.error(), "invalid_scope", "{wide}");
    }
    let json = bed.form("/auth/token", &form(&token, Some("patient/Patient.r"))).await.json();
    assert_eq!(json["scope"], "patient/Patient.r");
    let access = json["access_token"].as_str().unwrap();
    assert_eq!(bed.fhir(access, "Patient/pat-0001").await.status, StatusCode::OK);
    assert_eq!(bed.fhir(access, "Patient").await.status, StatusCode::FORBIDDEN);
    // RFC 6749 §6: the new refresh token has the scope of the old one.
    let next = json["refresh_token"].as_str().unwrap();
    assert_eq!(bed.form("/auth/token", &form(next, None)).await.json()["scope"], SCOPE);
}

#[tokio::test]
async fn refresh_tokens_are_given_only_for_lasting_access() {
    let bed = Bed::new();
    assert!(bed.tokens("launch/patient patient/*.rs").await.get("refresh_token").is_none());
    assert!(bed.tokens("online_access user/*.rs").await["refresh_token"].is_string());
}

#[tokio::test]
async fn online_access_ends_before_offline_access() {
    let bed = Bed::new();
    let online = bed.tokens("online_access user/*.rs").await;
    let offline = bed.tokens("offline_access user/*.rs").await;
    bed.forward(24 * 3600);
    let refresh = |tokens: &Value| tokens["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(bed.form("/auth/token", &form(&refresh(&online), None)).await.error(), "invalid_grant");
    assert_eq!(bed.form("/auth/token", &form(&refresh(&offline), None)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn another_client_cannot_use_it() {
    let bed = Bed::new();
    let token = first(&bed).await;
    let stolen = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    let reply = bed.form_with("/auth/token", &stolen, Some(&basic("basic", "basic-secret"))).await;
    assert_eq!(reply.error(), "invalid_grant");
    assert_eq!(bed.form("/auth/token", &form(&token, None)).await.status, StatusCode::OK);
}
