//! The checks of the public Inferno client suite (SMART App Launch Test Kit, suite `smart_client_stu2_2`),
//! restated: our client from the outside, judged by what arrived at a server that is told nothing else.
//!
//! The server has the suite's habits: its own paths, an issuer that is the FHIR base, no `jwks_uri` in the
//! SMART configuration, identity tokens without a nonce, refresh tokens that are not rotated.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ehr_integrations::model::id::PracticeId;
use ehr_integrations::model::key::KeyAlgorithm;
use ehr_integrations::model::role::{Role, TokenScope};
use ehr_integrations::server::flow::{Caller, preflight, refresh};
use ehr_integrations::server::smart::keys::{PublicJwk, SigningKey, generate_pem};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::scene::id;
use super::support::{Browser, Db, TestApp};

const ROOT: &str = "/custom/smart_client_stu2_2";
const SECRET: &str = "s3cret/+ with: odd %characters";

type Fields = BTreeMap<String, String>;

/// What arrived.
#[derive(Default)]
struct Seen {
    authorizations: Vec<Fields>,
    tokens: Vec<(Option<String>, Fields)>,
    bearers: Vec<String>,
}

#[derive(Clone)]
struct Server {
    origin: String,
    seen: Arc<Mutex<Seen>>,
    key: Arc<(EncodingKey, Value)>,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Server {
    async fn start(app: &TestApp) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let pem = generate_pem(KeyAlgorithm::Rs384).unwrap();
        let public = SigningKey::from_pem(&pem, Some("inferno")).unwrap().material().clone();
        let mut jwk = serde_json::to_value(PublicJwk::new("inferno".into(), KeyAlgorithm::Rs384, public)).unwrap();
        jwk["alg"] = "RS256".into();
        let key = EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes()).unwrap();
        let clock = app.app.clock.clone();
        let now = Arc::new(move || clock.now().as_seconds());
        let server = Self { origin, seen: Arc::default(), key: Arc::new((key, jwk)), now };
        let at = |path: &str| format!("{ROOT}{path}");
        let router = Router::new()
            .route(&at("/fhir/.well-known/smart-configuration"), get(smart_configuration))
            .route(&at("/fhir/.well-known/openid-configuration"), get(openid_configuration))
            .route(&at("/auth/keys"), get(keys))
            .route(&at("/auth/authorization"), get(authorize))
            .route(&at("/auth/token"), post(token))
            .route(&at("/fhir/{*path}"), get(fhir))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    fn fhir_base(&self) -> String {
        format!("{}{ROOT}/fhir", self.origin)
    }

    fn token_url(&self) -> String {
        format!("{}{ROOT}/auth/token", self.origin)
    }
}

async fn smart_configuration(State(server): State<Server>) -> Json<Value> {
    Json(json!({
        "issuer": server.fhir_base(),
        "authorization_endpoint": format!("{}{ROOT}/auth/authorization", server.origin),
        "token_endpoint": server.token_url(),
        "introspection_endpoint": format!("{}{ROOT}/auth/introspect", server.origin),
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "capabilities": ["launch-ehr", "launch-standalone", "client-public", "client-confidential-symmetric",
            "client-confidential-asymmetric", "sso-openid-connect", "permission-v2", "permission-offline"],
    }))
}

async fn openid_configuration(State(server): State<Server>) -> Json<Value> {
    Json(json!({"issuer": server.fhir_base(), "jwks_uri": format!("{}{ROOT}/auth/keys", server.origin)}))
}

async fn keys(State(server): State<Server>) -> Json<Value> {
    Json(json!({"keys": [server.key.1]}))
}

async fn authorize(State(server): State<Server>, Query(fields): Query<Fields>) -> Redirect {
    let back = format!("{}?code=code-1&state={}", fields["redirect_uri"], fields["state"]);
    server.seen.lock().unwrap().authorizations.push(fields);
    Redirect::to(&back)
}

async fn token(State(server): State<Server>, headers: axum::http::HeaderMap, Form(form): Form<Fields>) -> Json<Value> {
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let count = {
        let mut seen = server.seen.lock().unwrap();
        seen.tokens.push((authorization, form));
        seen.tokens.len()
    };
    let scope = server.seen.lock().unwrap().authorizations.last().unwrap()["scope"].clone();
    let client_id = server.seen.lock().unwrap().authorizations.last().unwrap()["client_id"].clone();
    let now = (server.now)();
    let claims = json!({"iss": server.fhir_base(), "sub": "user-1", "aud": client_id, "iat": now, "exp": now + 300,
        "fhirUser": format!("{}/Practitioner/p1", server.fhir_base())});
    let header = Header { kid: Some("inferno".into()), ..Header::new(Algorithm::RS256) };
    let mut body = json!({"access_token": format!("token-{count}"), "token_type": "Bearer", "expires_in": 60,
        "patient": "p-1", "id_token": jsonwebtoken::encode(&header, &claims, &server.key.0).unwrap()});
    if scope.contains("offline_access") {
        body["refresh_token"] = "refresh-1".into();
    }
    body["scope"] = scope.into();
    Json(body)
}

async fn fhir(State(server): State<Server>, request: Request) -> Response {
    let path = request.uri().path().rsplit("/fhir/").next().unwrap_or_default().to_owned();
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        server.seen.lock().unwrap().bearers.push(value.to_str().unwrap().to_owned());
    }
    match path.as_str() {
        "metadata" => Json(json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})).into_response(),
        "Patient/p-1" => {
            Json(json!({"resourceType": "Patient", "id": "p-1", "name": [{"text": "Echo"}]})).into_response()
        }
        "Practitioner/p1" => Json(json!({"resourceType": "Practitioner", "id": "p1"})).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A practice that has the server as its EHR.
struct Tester {
    app: TestApp,
    server: Server,
    practice: PracticeId,
    browser: Browser,
}

impl Tester {
    async fn new(db: Db, client: &str) -> Self {
        let app = TestApp::new(db).await;
        let server = Server::start(&app).await;
        let practice = app.practice("north", Role::Owner).await;
        let token = app.token(&practice, &TokenScope::ALL).await;
        let (kind, secret) = match client {
            "alca" => ("key", None),
            "alcs" => ("secret", Some(SECRET)),
            _ => ("public", None),
        };
        let mut generic = json!({"issuer": server.fhir_base(), "clientId": client, "clientAuth": kind});
        if let Some(secret) = secret {
            generic["clientSecret"] = secret.into();
        }
        let config = json!({"enabledProviders": ["generic"], "providerConfigs": {"generic": generic}});
        let saved = app.server.post("/api/integrations/ehr/config").authorization_bearer(&token).json(&config).await;
        saved.assert_status_ok();
        let browser = Browser::new().with_cookie(&app.sign_in("owner@north.example").await);
        Self { app, server, practice, browser }
    }

    fn redirect_uri(&self) -> String {
        format!("{}/api/integrations/ehr/callback", self.app.url)
    }

    /// Follows redirects from an address of ours until one is answered.
    async fn follow(&mut self, mut url: String) -> String {
        for _ in 0..6 {
            match self.browser.get(&url).await.location {
                Some(next) if next.starts_with("http") => url = next,
                Some(next) if next.starts_with("/api/") => url = format!("{}{next}", self.app.url),
                Some(end) => return end,
                None => return url,
            }
        }
        url
    }

    async fn standalone(&mut self) {
        let end = self.follow(format!("{}/api/integrations/ehr/login?providerId=generic", self.app.url)).await;
        assert!(end.contains("notice=connected"), "{end}");
    }

    async fn ehr_launch(&mut self) {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("iss", &self.server.fhir_base())
            .append_pair("launch", "handle &1")
            .finish();
        let end = self.follow(format!("{}/api/integrations/ehr/launch?{query}", self.app.url)).await;
        assert!(end.starts_with("/embed/"), "{end}");
    }

    /// `smart_client_registration_{alca,alcs,alp}_verification`
    async fn verify_registration(&self) {
        for url in [self.redirect_uri(), self.app.app.config.ehr_url("launch")] {
            assert!(url::Url::parse(&url).is_ok(), "{url}");
        }
        let set: JwkSet = self.app.server.get("/api/integrations/ehr/jwks").await.json();
        assert!(!set.keys.is_empty());
    }

    /// `smart_client_authorization_request_{alca,alcs,alp}_verification`
    fn verify_authorization(&self, client: &str, launch: Option<&str>) {
        let seen = self.server.seen.lock().unwrap();
        let request = seen.authorizations.last().unwrap();
        assert_eq!(request["response_type"], "code");
        assert_eq!(request["client_id"], client);
        assert_eq!(request["redirect_uri"], self.redirect_uri());
        assert_eq!(request.get("launch").map(String::as_str), launch);
        // 122 bits at least (R@40).
        assert!(request["state"].len() >= 21);
        assert_eq!(request["aud"], self.server.fhir_base());
        assert_eq!(request["code_challenge_method"], "S256");
        assert_eq!(request["code_challenge"].len(), 43);
        assert!(!request["scope"].is_empty());
    }

    /// `smart_client_token_request_{alca,alcs,alp}_verification`
    async fn verify_token_requests(&self, client: &str) {
        let set: JwkSet = self.app.server.get("/api/integrations/ehr/jwks").await.json();
        let seen = self.server.seen.lock().unwrap();
        let mut ids = Vec::new();
        for (authorization, form) in &seen.tokens {
            match form["grant_type"].as_str() {
                "authorization_code" => {
                    assert_eq!((form["code"].as_str(), &form["redirect_uri"]), ("code-1", &self.redirect_uri()));
                    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
                    assert!(seen.authorizations.iter().any(|request| request["code_challenge"] == challenge));
                }
                "refresh_token" => assert_eq!(form["refresh_token"], "refresh-1"),
                other => panic!("{other}"),
            }
            match client {
                "alca" => {
                    assert_eq!(authorization, &None);
                    ids.push(verify_assertion(form, client, &self.server, &set));
                }
                "alcs" => {
                    let exact = format!("Basic {}", STANDARD.encode(format!("{client}:{SECRET}")));
                    assert_eq!(authorization.as_deref(), Some(exact.as_str()));
                    assert!(!form.contains_key("client_id"));
                }
                _ => assert_eq!((authorization, form["client_id"].as_str()), (&None, client)),
            }
        }
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "a jti is used once");
    }

    /// `smart_client_token_use_verification`
    fn verify_token_use(&self, token: &str) {
        let seen = self.server.seen.lock().unwrap();
        assert!(seen.bearers.iter().any(|bearer| bearer == &format!("Bearer {token}")), "{:?}", seen.bearers);
    }
}

fn verify_assertion(form: &Fields, client: &str, server: &Server, set: &JwkSet) -> String {
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let jwt = &form["client_assertion"];
    let header = jsonwebtoken::decode_header(jwt).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("JWT"), Algorithm::RS384));
    let key = set.find(header.kid.as_deref().unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS384);
    validation.set_audience(&[server.token_url()]);
    validation.validate_exp = false;
    let claims: Value = jsonwebtoken::decode(jwt, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims;
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(client), &json!(client)));
    assert_eq!(claims["aud"], server.token_url());
    let left = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=300).contains(&left), "{left}");
    claims["jti"].as_str().unwrap().to_owned()
}

#[rstest]
#[case::confidential_asymmetric("alca")]
#[case::confidential_symmetric("alcs")]
#[case::public("alp")]
#[tokio::test]
async fn app_launch(#[values(Db::Sqlite, Db::Postgres)] db: Db, #[case] client: &str) {
    let mut tester = Tester::new(db, client).await;
    tester.verify_registration().await;
    tester.standalone().await;
    tester.verify_authorization(client, None);
    let caller = Caller::operator(&tester.app.app, tester.practice.clone());
    preflight::test(&tester.app.app, &caller, &id()).await.unwrap();
    tester.verify_token_use("token-1");
    tester.app.clock.advance_seconds(60);
    refresh::usable(&tester.app.app, &caller, &id()).await.unwrap();
    tester.ehr_launch().await;
    tester.verify_authorization(client, Some("handle &1"));
    tester.verify_token_use("token-3");
    tester.verify_token_requests(client).await;
    assert_eq!(tester.server.seen.lock().unwrap().tokens.len(), 3);
}
