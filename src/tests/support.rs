//! A whole installation for one test: the real router on a real port, a clock that the test moves,
//! a database of its own, and the sandbox EHR.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum_test::TestServer;
use ehr_integrations::model::address::{Address, Allowlist};
use ehr_integrations::model::id::PracticeId;
use ehr_integrations::model::key::KeyAlgorithm;
use ehr_integrations::model::role::{Role, TokenScope};
use ehr_integrations::model::time::Timestamp;
use ehr_integrations::sandbox::{Client, ClientAuth, Personality, Sandbox, SandboxConfig};
use ehr_integrations::server::App;
use ehr_integrations::server::clock::{Clock, SystemClock, SystemEntropy};
use ehr_integrations::server::config::{Config, EncryptionKey, PrivateKey};
use ehr_integrations::server::flow::{Caller, keys, members, tokens};
use ehr_integrations::server::smart::keys::generate_pem;
use ehr_integrations::server::store::{Database, practice};
use ehr_integrations::web;
use tokio::net::TcpListener;

#[derive(Clone, Copy, Debug)]
pub enum Db {
    Sqlite,
    Postgres,
}

#[derive(Clone)]
pub struct FakeClock(Arc<AtomicI64>);

impl FakeClock {
    pub fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// From now on it goes as the machine's does: another process looks at that one.
    pub fn follow_the_real_one(&self) {
        let time = Arc::clone(&self.0);
        tokio::spawn(async move {
            loop {
                time.store(SystemClock.now().0, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

pub struct TestApp {
    pub app: App,
    pub clock: FakeClock,
    pub server: TestServer,
    pub sandbox: Sandbox,
    /// Where the router really listens.
    pub url: String,
    /// Where the sandbox really listens.
    pub ehr: String,
    database_url: String,
    folder: Option<tempfile::TempDir>,
}

/// What a test may want otherwise.
#[derive(Default)]
pub struct Wishes {
    pub allowlist: &'static str,
    pub without_key: bool,
    pub public_network_only: bool,
    pub default_scopes: Option<&'static str>,
    pub personality: Personality,
    /// A client `canary` of the sandbox with this secret.
    pub client_secret: Option<&'static str>,
    /// No other client is registered, so that the sandbox advertises only how this one proves itself.
    pub only_client: Option<&'static str>,
}

pub const PASSWORD: &str = "correct horse battery staple";

impl TestApp {
    pub async fn new(db: Db) -> Self {
        Self::with(db, Wishes::default()).await
    }

    pub async fn with(db: Db, wishes: Wishes) -> Self {
        super::log::start();
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = FakeClock(Arc::new(AtomicI64::new(SystemClock.now().0)));
        let (database_url, folder) = fresh_database(db).await;
        let database = Database::connect(&database_url).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sandbox, ehr) = start_sandbox(&url, clock.clone(), &wishes).await;
        let config = Config {
            encryption_key: EncryptionKey::from_bytes([7; 32]),
            base_url: Address::parse(&url).unwrap(),
            allowlist: Allowlist::parse(wishes.allowlist).unwrap(),
            default_scopes: wishes.default_scopes.map(ehr_integrations::model::scope::Scope::parse_list),
            signing_key: (!wishes.without_key)
                .then(|| PrivateKey { pem: generate_pem(KeyAlgorithm::Rs384).unwrap(), kid: Some("test-key".into()) }),
            allow_private_network: !wishes.public_network_only,
            bulk_max_poll_seconds: 300,
            trusted_proxies: 0,
            outbound_timeout: Duration::from_secs(3),
        };
        let app = App::new(config, database, Arc::new(clock.clone()), Arc::new(SystemEntropy)).ok().unwrap();
        keys::import(&app).await.unwrap();
        let mut leptos = web::leptos_options(None).ok().unwrap();
        // There are no assets beside a test binary.
        leptos.hash_files = false;
        let router = web::router(app.clone(), leptos).ok().unwrap();
        serve(router.clone(), listener);
        let server = TestServer::new(router.into_make_service_with_connect_info::<SocketAddr>());
        Self { app, clock, server, sandbox, url, ehr, database_url, folder }
    }

    /// A practice with one member of this role; the e-mail address is `{role}@{name}.example`.
    pub async fn practice(&self, name: &str, role: Role) -> PracticeId {
        let email = format!("{}@{name}.example", role.as_str());
        members::create_by_operator(&self.app, name, &email, PASSWORD, Some(role)).await.unwrap();
        practice::by_name(self.app.db.pool(), name).await.unwrap().unwrap().id
    }

    /// The cookie header of a member who signs in.
    pub async fn sign_in(&self, email: &str) -> String {
        let response = self.server.post("/api/sign_in").form(&[("email", email), ("password", PASSWORD)]).await;
        response.assert_status_ok();
        let cookie = response.headers().get("set-cookie").unwrap().to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// An API token of a practice.
    pub async fn token(&self, practice: &PracticeId, scopes: &[TokenScope]) -> String {
        let caller = Caller::operator(&self.app, practice.clone());
        tokens::create(&self.app, &caller, "test", scopes, None).await.unwrap()
    }

    /// Another process of this installation: nothing in common but the database.
    pub async fn replica(&self) -> App {
        let database = Database::connect(&self.database_url).await.unwrap();
        let clock = Arc::new(self.clock.clone());
        App::new(self.app.config.clone(), database, clock, Arc::new(SystemEntropy)).ok().unwrap()
    }

    /// The installation as it is once the environment has another key.
    pub fn with_key(&self, key: PrivateKey) -> App {
        let config = Config { signing_key: Some(key), ..self.app.config.clone() };
        App::new(config, self.app.db.clone(), Arc::new(self.clock.clone()), Arc::new(SystemEntropy)).ok().unwrap()
    }

    /// Where the database is.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The SQLite file with everything that is still in its log.
    pub fn database_bytes(&self) -> Vec<u8> {
        let folder = self.folder.as_ref().expect("an SQLite database").path();
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_default();
        [read("test.db"), read("test.db-wal")].concat()
    }

    /// A configuration of the generic provider for the sandbox.
    pub fn generic(&self, client: &str, secret: Option<&str>) -> serde_json::Value {
        let mut values = serde_json::json!({"issuer": format!("{}/fhir", self.ehr), "clientId": client});
        if let Some(secret) = secret {
            values["clientSecret"] = secret.into();
        }
        serde_json::json!({"enabledProviders": ["generic"], "providerConfigs": {"generic": values}})
    }
}

fn serve(router: Router, listener: TcpListener) {
    tokio::spawn(async move {
        axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
    });
}

async fn start_sandbox(app: &str, clock: FakeClock, wishes: &Wishes) -> (Sandbox, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ehr = format!("http://{}", listener.local_addr().unwrap());
    let client = |id: &str, auth| Client {
        id: id.into(),
        auth,
        redirect_uris: vec![format!("{app}/api/integrations/ehr/callback")],
        launch_url: Some(format!("{app}/api/integrations/ehr/launch")),
    };
    let mut clients = vec![
        client("public", ClientAuth::Public),
        client("secret", ClientAuth::Secret("s3cret/+ value".into())),
        client("basic", ClientAuth::SecretBasic("s3cret".into())),
        client("canary", ClientAuth::Secret(wishes.client_secret.unwrap_or("none").into())),
        client("post", ClientAuth::SecretPost("s3cret".into())),
        client("key", ClientAuth::PrivateKeyJwt { jwks_url: format!("{app}/api/integrations/ehr/jwks") }),
    ];
    clients.retain(|client| wishes.only_client.is_none_or(|only| only == client.id));
    let sandbox = Sandbox::new(SandboxConfig {
        base_url: ehr.clone(),
        clients,
        now: Arc::new(move || clock.now().0),
        patients: 5,
        access_token_seconds: 3_600,
        personality: wishes.personality.clone(),
    })
    .unwrap();
    serve(sandbox.router(), listener);
    (sandbox, ehr)
}

/// A database of its own for every test. PostgreSQL: `scripts/test` starts a throw-away cluster and
/// names it; without one these tests fail rather than pass unseen.
async fn fresh_database(db: Db) -> (String, Option<tempfile::TempDir>) {
    match db {
        Db::Sqlite => {
            let folder = tempfile::tempdir().unwrap();
            (format!("sqlite://{}/test.db", folder.path().display()), Some(folder))
        }
        Db::Postgres => {
            #[expect(clippy::disallowed_methods, reason = "the cluster that scripts/test started")]
            let cluster =
                std::env::var("EHR_TEST_POSTGRES").expect("no EHR_TEST_POSTGRES: run scripts/test integration");
            let name = format!("test_{}", uuid_like());
            sqlx::any::install_default_drivers();
            let admin = sqlx::any::AnyPoolOptions::new()
                .max_connections(1)
                .connect(&format!("{cluster}/postgres"))
                .await
                .unwrap();
            let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::query(create).execute(&admin).await.unwrap();
            admin.close().await;
            (format!("{cluster}/{name}"), None)
        }
    }
}

fn uuid_like() -> String {
    let mut bytes = [0_u8; 16];
    ehr_integrations::server::clock::Entropy::fill(&SystemEntropy, &mut bytes);
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// A browser at the EHR: it keeps cookies, and follows no redirect by itself.
pub struct Browser {
    client: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

pub struct Page {
    pub status: u16,
    pub location: Option<String>,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Browser {
    pub fn new() -> Self {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { client, cookies: BTreeMap::new() }
    }

    pub fn with_cookie(mut self, pair: &str) -> Self {
        self.put_cookie(pair);
        self
    }

    /// The cookie pair of the connect under way.
    pub fn cookie_of_flow(&self) -> String {
        let flow = self.cookies.iter().find(|(name, _)| name.starts_with("__Host-flow-"));
        flow.map(|(name, value)| format!("{name}={value}")).expect("a connect is under way")
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> &str {
        self.cookies.get(name).expect("a cookie of this name")
    }

    pub fn put_cookie(&mut self, pair: &str) {
        let (name, value) = pair.split_once('=').unwrap();
        self.cookies.insert(name.into(), value.into());
    }

    pub async fn get(&mut self, url: &str) -> Page {
        self.send(self.client.get(url)).await
    }

    pub async fn post(&mut self, url: &str, form: &[(&str, &str)]) -> Page {
        self.send(self.client.post(url).form(form)).await
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Page {
        let jar: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header("cookie", jar.join("; ")).header("accept", "text/html").send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let (pair, rest) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.into(), value.into());
            }
        }
        Page {
            status: response.status().as_u16(),
            location: response.headers().get("location").map(|value| value.to_str().unwrap().to_owned()),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    /// Signs in at the sandbox, picks the first patient, and allows or denies; answers the address
    /// that the EHR sends the browser back to.
    pub async fn approve(&mut self, sandbox: &Sandbox, ehr: &str, authorize: &str, decision: &str) -> String {
        let mut page = self.get(authorize).await;
        if let Some(location) = page.location {
            return location;
        }
        let user = [("username", "dr.river"), ("password", "sandbox")];
        page = self.step(ehr, "/auth/sign-in", &page, &user).await;
        if page.text.contains("name=\"patient\"") {
            let patient = sandbox.first_patient_id();
            page = self.step(ehr, "/auth/patient", &page, &[("patient", patient.as_str())]).await;
        }
        let scopes = values(&page.text, "scope");
        let mut fields: Vec<_> = scopes.iter().map(|scope| ("scope", scope.as_str())).collect();
        fields.push(("decision", decision));
        page = self.step(ehr, "/auth/consent", &page, &fields).await;
        page.location.expect("the EHR sends the browser back")
    }

    async fn step(&mut self, ehr: &str, path: &str, page: &Page, fields: &[(&str, &str)]) -> Page {
        let transaction = values(&page.text, "transaction").remove(0);
        let mut form = vec![("transaction", transaction.as_str())];
        form.extend_from_slice(fields);
        self.post(&format!("{ehr}{path}"), &form).await
    }
}

/// The values of inputs of this name.
fn values(html: &str, name: &str) -> Vec<String> {
    let unescape = |text: &str| text.replace("&amp;", "&").replace("&quot;", "\"").replace("&#39;", "'");
    html.split("<input")
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
        .filter(|tag| tag.contains(&format!("name=\"{name}\"")))
        .filter_map(|tag| tag.split("value=\"").nth(1)?.split('"').next())
        .map(unescape)
        .collect()
}
