//! Who reaches what: every server function and every route.

use axum::http::Method;
use ehr_integrations::api;
use ehr_integrations::model::role::{Role, TokenScope};
use rstest::rstest;
use serde_json::{Value, json};

use super::support::{Db, TestApp};

const ROUTES: [(&str, &str); 6] = [
    ("GET", "/api/integrations/ehr/config"),
    ("POST", "/api/integrations/ehr/config"),
    ("GET", "/api/integrations/ehr/status?providerId=generic"),
    ("POST", "/api/integrations/ehr/disconnect?providerId=generic"),
    ("GET", "/api/integrations/ehr/login?providerId=generic"),
    ("GET", "/api/integrations/ehr/nothing"),
];

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

#[tokio::test]
async fn every_server_function_refuses_the_anonymous() {
    let app = TestApp::new(Db::Sqlite).await;
    let mut seen = 0;
    for (path, verb) in leptos::server_fn::axum::server_fn_paths() {
        let response = app.server.method(verb.clone(), path).add_header("accept", "application/json").await;
        if api::PUBLIC.contains(&path) {
            assert_ne!(response.json::<Value>()["code"], "unauthenticated", "{path} is public");
        } else {
            assert_eq!(response.status_code().as_u16(), 401, "{path}");
            assert_eq!(response.json::<Value>()["code"], "unauthenticated", "{path}");
        }
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} server functions are registered");
}

#[tokio::test]
async fn every_route_refuses_the_anonymous_and_bad_tokens() {
    let app = TestApp::new(Db::Sqlite).await;
    for (verb, path) in ROUTES {
        for token in [None, Some("ehri_nonsense"), Some("")] {
            let mut request = app.server.method(method(verb), path);
            if let Some(token) = token {
                request = request.authorization_bearer(token);
            }
            let response = request.await;
            assert_eq!(response.status_code().as_u16(), 401, "{verb} {path} {token:?}");
            let body: Value = response.json();
            assert!(body["requestId"].is_string() && body["action"].is_string(), "{body}");
        }
    }
}

#[tokio::test]
async fn pages_send_the_anonymous_to_sign_in() {
    let app = TestApp::new(Db::Sqlite).await;
    for path in ["/", "/settings/ehr-integrations", "/members", "/account", "/audit", "/nothing"] {
        let response = app.server.get(path).add_header("accept", "text/html").await;
        assert_eq!(response.status_code().as_u16(), 303, "{path}");
        assert!(response.header("location").to_str().unwrap().starts_with("/sign-in"), "{path}");
    }
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say() {
    let app = TestApp::new(Db::Sqlite).await;
    let practice = app.practice("north", Role::Owner).await;
    let token = app.token(&practice, &[TokenScope::Read]).await;
    for (verb, path) in ROUTES {
        let response = app.server.method(method(verb), path).authorization_bearer(&token).json(&json!({})).await;
        let expected = match (verb, path.contains("nothing")) {
            (_, true) => 404,
            ("GET", _) if !path.contains("login") => 200,
            _ => 403,
        };
        assert_eq!(response.status_code().as_u16(), expected, "{verb} {path}");
    }
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn practices_do_not_see_each_other(#[case] db: Db) {
    let app = TestApp::new(db).await;
    let (north, south) = (app.practice("north", Role::Owner).await, app.practice("south", Role::Owner).await);
    let (north, south) = (app.token(&north, &TokenScope::ALL).await, app.token(&south, &TokenScope::ALL).await);
    let config = app.generic("basic", Some("s3cret"));
    app.server.post("/api/integrations/ehr/config").authorization_bearer(&north).json(&config).await.assert_status_ok();
    for (verb, path) in ROUTES {
        let response = app.server.method(method(verb), path).authorization_bearer(&south).json(&json!({})).await;
        assert!(!response.text().contains(&app.ehr), "{verb} {path} shows another practice's settings");
        assert_ne!(response.status_code().as_u16(), 303, "{verb} {path}");
    }
    let still: Value = app.server.get("/api/integrations/ehr/config").authorization_bearer(&north).await.json();
    assert_eq!(still["enabledProviders"], json!(["generic"]));
}

#[tokio::test]
async fn another_site_cannot_post() {
    let app = TestApp::new(Db::Sqlite).await;
    app.practice("north", Role::Owner).await;
    let cookie = app.sign_in("owner@north.example").await;
    let response = app
        .server
        .post("/api/sign_out")
        .add_header("cookie", cookie.as_str())
        .add_header("origin", "https://evil.example")
        .add_header("sec-fetch-site", "cross-site")
        .await;
    assert_eq!(response.status_code().as_u16(), 403);
    let me = app.server.get("/api/me").add_header("cookie", cookie.as_str()).await;
    me.assert_status_ok();
}

#[tokio::test]
async fn bodies_are_limited() {
    let app = TestApp::new(Db::Sqlite).await;
    let practice = app.practice("north", Role::Owner).await;
    let token = app.token(&practice, &TokenScope::ALL).await;
    let body = json!({"x": "y".repeat(300 * 1024)});
    let response = app.server.post("/api/integrations/ehr/config").authorization_bearer(&token).json(&body).await;
    assert_eq!(response.status_code().as_u16(), 413);
}

#[tokio::test]
async fn headers_of_a_page_and_of_an_answer() {
    let app = TestApp::new(Db::Sqlite).await;
    let page = app.server.get("/sign-in").add_header("accept", "text/html").await;
    page.assert_status_ok();
    let policy = page.header("content-security-policy").to_str().unwrap().to_owned();
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    assert!(page.text().contains(&format!("nonce=\"{nonce}\"")), "the page carries its nonce");
    assert!(!page.text().contains(" style=\""), "no inline style");
    let shown = policy.replace(&nonce, "N").replace(" ws://127.0.0.1:3001 ws://localhost:3001", "");
    insta::assert_snapshot!(shown, @"default-src 'none'; script-src 'nonce-N' 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'");
    let answer = app.server.get("/api/integrations/ehr/config").await;
    for (name, value) in [
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    app.server.get("/healthz").await.assert_status_ok();
}

#[tokio::test]
async fn the_page_of_an_unknown_provider_is_not_found() {
    let app = TestApp::new(Db::Sqlite).await;
    app.practice("north", Role::Owner).await;
    let cookie = app.sign_in("owner@north.example").await;
    for (provider, status) in [("generic", 200), ("nothing", 404)] {
        let page = app.server.get(&format!("/settings/ehr-integrations/{provider}"));
        let page = page.add_header("accept", "text/html").add_header("cookie", &cookie).await;
        assert_eq!(page.status_code().as_u16(), status, "{provider}");
    }
}
