//! The sandbox against the standards: its own tests, over its router, with a clock of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tower::ServiceExt;

use super::{Client, ClientAuth, Endpoint, Fault, Personality, Sandbox, SandboxConfig};

mod assertions;
mod bulk;
mod clients;
mod config;
mod fhir;
mod flow;
mod launch;
mod personality;
mod refresh;
mod refusals;
mod scopes;
mod writes;

const ORIGIN: &str = "http://sandbox.test";
const REDIRECT: &str = "http://app.test/callback";
const STATE: &str = "0123456789abcdefghijklmn";
/// The example of RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const START: i64 = 1_750_000_000_000;

/// A sandbox with one client of each kind, and a clock that only tests move.
struct Bed {
    sandbox: Sandbox,
    clock: Arc<AtomicI64>,
}

/// An answer, read to its end.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The query of the redirect.
    fn query(&self) -> Vec<(String, String)> {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text());
        let url = url::Url::parse(self.header(header::LOCATION)).unwrap();
        assert!(url.as_str().starts_with(REDIRECT), "{url}");
        url.query_pairs().into_owned().collect()
    }

    fn param(&self, name: &str) -> String {
        self.query().into_iter().find(|(key, _)| key == name).map_or_else(String::new, |(_, value)| value)
    }

    /// The transaction id in the page's form.
    fn transaction(&self) -> String {
        let text = self.text();
        let (_, rest) = text.split_once("name=\"transaction\" value=\"").unwrap_or_else(|| panic!("no form: {text}"));
        rest.split('"').next().unwrap().to_owned()
    }

    fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }
}

fn client(id: &str, auth: ClientAuth) -> Client {
    Client {
        id: id.to_owned(),
        auth,
        redirect_uris: vec![REDIRECT.to_owned(), "http://app.test/callback?other=1".to_owned()],
        launch_url: Some("http://app.test/launch?practice=1".to_owned()),
    }
}

impl Bed {
    fn new() -> Self {
        Self::with_jwks("http://127.0.0.1:1/jwks")
    }

    fn with_jwks(jwks_url: &str) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let shared = Arc::clone(&clock);
        let sandbox = Sandbox::new(SandboxConfig {
            base_url: ORIGIN.to_owned(),
            clients: vec![
                client("public", ClientAuth::Public),
                client("any", ClientAuth::Secret("s3cret/+ %:&=".to_owned())),
                client("basic", ClientAuth::SecretBasic("basic-secret".to_owned())),
                client("post", ClientAuth::SecretPost("post-secret".to_owned())),
                client("jwt", ClientAuth::PrivateKeyJwt { jwks_url: jwks_url.to_owned() }),
            ],
            now: Arc::new(move || shared.load(Ordering::SeqCst)),
            patients: 40,
            access_token_seconds: 3600,
            personality: Personality::default(),
        })
        .unwrap();
        Self { sandbox, clock }
    }

    fn forward(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.sandbox.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Reply { status: parts.status, headers: parts.headers, body: to_bytes(body, usize::MAX).await.unwrap() }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn form_with(&self, path: &str, pairs: &[(&str, &str)], authorization: Option<&str>) -> Reply {
        let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        self.send(request.body(Body::from(encode(pairs))).unwrap()).await
    }

    async fn form(&self, path: &str, pairs: &[(&str, &str)]) -> Reply {
        self.form_with(path, pairs, None).await
    }

    async fn authorize(&self, pairs: &[(&str, &str)]) -> Reply {
        self.get(&format!("/auth/authorize?{}", encode(pairs))).await
    }

    /// A FHIR request with a bearer token, at the plain base.
    async fn fhir(&self, token: &str, path: &str) -> Reply {
        self.fhir_at("/fhir", token, path).await
    }

    async fn fhir_at(&self, base: &str, token: &str, path: &str) -> Reply {
        let path = path.strip_prefix(&format!("{ORIGIN}{base}/")).unwrap_or(path);
        let request = Request::get(format!("{base}/{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::ACCEPT, "application/fhir+json");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post_json(&self, token: &str, path: &str, body: &Value) -> Reply {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/fhir+json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Walks through the pages and presses Allow.
    async fn approve(&self, pairs: &[(&str, &str)]) -> Reply {
        let mut page = self.authorize(pairs).await;
        let id = page.transaction();
        page = self
            .form("/auth/sign-in", &[("transaction", &id), ("username", "dr.river"), ("password", "sandbox")])
            .await;
        if page.text().contains("Choose a patient") {
            let patient = self.sandbox.first_patient_id();
            page = self.form("/auth/patient", &[("transaction", &id), ("patient", &patient)]).await;
        }
        assert!(page.text().contains("id=\"allow\""), "{}", page.text());
        let scopes = pairs.iter().find(|(name, _)| *name == "scope").unwrap().1;
        let mut form = vec![("transaction", id.as_str()), ("decision", "allow")];
        form.extend(scopes.split(' ').map(|scope| ("scope", scope)));
        self.form("/auth/consent", &form).await
    }

    async fn code(&self, client: &str, scope: &str) -> String {
        let code = self.approve(&request(client, scope)).await.param("code");
        assert!(!code.is_empty());
        code
    }

    /// The whole flow of a public client.
    async fn tokens(&self, scope: &str) -> Value {
        let code = self.code("public", scope).await;
        let reply = self.redeem(&code, &[("client_id", "public")], None).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()
    }

    async fn access(&self, scope: &str) -> String {
        self.tokens(scope).await["access_token"].as_str().unwrap().to_owned()
    }

    async fn redeem(&self, code: &str, extra: &[(&str, &str)], authorization: Option<&str>) -> Reply {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        form.extend(extra);
        self.form_with("/auth/token", &form, authorization).await
    }
}

/// A good authorization request.
fn request<'a>(client: &'a str, scope: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", REDIRECT),
        ("scope", scope),
        ("state", STATE),
        ("aud", "http://sandbox.test/fhir"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

/// The same with one parameter changed, or left out when the value is empty.
fn changed<'a>(mut pairs: Vec<(&'a str, &'a str)>, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    pairs.retain(|(key, _)| *key != name);
    if !value.is_empty() {
        pairs.push((name, value));
    }
    pairs
}

fn encode(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}
