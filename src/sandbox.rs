//! A stand-in EHR for rehearsal and for integration tests: a SMART App Launch 2.2 authorization
//! server and a FHIR R4 server over generated, synthetic patients, in one process and one origin.
//!
//! It may import nothing of ours. That is the point of the room: it is a second, independent
//! reading of the standards, so a misreading in the client cannot agree with itself here.
//!
//! Invariants: the default [`Personality`] is the plain standard and refuses whatever the standard
//! lets a server refuse; time comes only from [`SandboxConfig::now`]; codes and tokens are kept as
//! SHA-256 digests, except in [`Stats`], which exists to show tests what arrived on the wire.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};

mod authorize;
mod base;
pub mod bulk;
mod capability;
mod client_auth;
mod dates;
mod discovery;
mod documents;
mod ehr;
mod error;
mod faults;
mod fhir;
mod grants;
mod inspect;
mod jose;
mod oidc;
mod pages;
mod params;
mod patients;
mod people;
mod personality;
mod records;
mod resource_types;
mod scope;
mod search;
mod steps;
#[cfg(test)]
mod tests;
mod token;
mod write;

pub use bulk::{Bulk, BulkStats, Dialect, Issue, Synthetic};
pub use error::SandboxError;
pub use faults::{Endpoint, Fault};
pub use personality::Personality;

/// What the stand-in EHR is told at start.
#[derive(Clone)]
pub struct SandboxConfig {
    /// Public origin, for example `http://127.0.0.1:4000`, without a trailing slash.
    pub base_url: String,
    /// The registered applications.
    pub clients: Vec<Client>,
    /// The only clock the sandbox reads: Unix time in milliseconds.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// How many synthetic patients to generate (40 is a good number; two search pages).
    pub patients: usize,
    /// Lifetime of access tokens of the code flow (SMART advises no more than one hour).
    pub access_token_seconds: i64,
    /// Deviations from the plain standard.
    pub personality: Personality,
}

/// One registered application (SMART App Launch, "Register App with EHR").
#[derive(Clone, Debug)]
pub struct Client {
    /// The `client_id`.
    pub id: String,
    /// How the application proves who it is at the token endpoint.
    pub auth: ClientAuth,
    /// Fixed, fully specified redirect URIs; compared as strings.
    pub redirect_uris: Vec<String>,
    /// Where an EHR launch opens the application, when it supports one.
    pub launch_url: Option<String>,
}

/// Client authentication at the token endpoint.
#[derive(Clone)]
pub enum ClientAuth {
    /// A public client: `client_id` in the body and no secret.
    Public,
    /// A shared secret by `client_secret_basic` or `client_secret_post`.
    Secret(String),
    /// A shared secret by `client_secret_basic` only.
    SecretBasic(String),
    /// A shared secret by `client_secret_post` only.
    SecretPost(String),
    /// Asymmetric authentication with keys published at a JWKS URL.
    PrivateKeyJwt {
        /// Where the client publishes its public keys.
        jwks_url: String,
    },
}

impl std::fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Public => "Public",
            Self::Secret(_) => "Secret(..)",
            Self::SecretBasic(_) => "SecretBasic(..)",
            Self::SecretPost(_) => "SecretPost(..)",
            Self::PrivateKeyJwt { .. } => "PrivateKeyJwt(..)",
        })
    }
}

/// What arrived so far: for tests, which may look at the wire.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Requests for a SMART configuration, whatever the answer.
    pub discovery: u64,
    /// Authorization requests, whatever the answer.
    pub authorize: u64,
    /// Token requests with `grant_type=authorization_code`.
    pub token_code: u64,
    /// Token requests with `grant_type=refresh_token`.
    pub token_refresh: u64,
    /// Token requests with `grant_type=client_credentials`.
    pub token_client_credentials: u64,
    /// Revocation requests.
    pub revoke: u64,
    /// Introspection requests.
    pub introspect: u64,
    /// FHIR reads, searches and pages that were answered with data.
    pub fhir_reads: u64,
    /// The parameters of the last authorization request, in order.
    pub last_authorize_query: Vec<(String, String)>,
    /// The form of the last token request, in order.
    pub last_token_form: Vec<(String, String)>,
    /// The `Authorization` header of the last token request.
    pub last_token_authorization: Option<String>,
    /// The last identity token that was issued.
    pub last_id_token: Option<String>,
    /// Tokens presented to the revocation endpoint by an authenticated client, as sent.
    pub revoked_tokens: Vec<String>,
    /// What arrived at the bulk server.
    pub bulk: BulkStats,
}

/// The stand-in EHR; clones share one state.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("base_url", &self.inner.base_url).finish_non_exhaustive()
    }
}

struct Inner {
    base_url: String,
    clients: Mutex<Vec<Arc<Client>>>,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
    access_token_seconds: i64,
    personality: Mutex<Personality>,
    stats: Mutex<Stats>,
    grants: Mutex<grants::Grants>,
    records: Mutex<records::Records>,
    client_keys: client_auth::KeyCache,
    signer: jose::Signer,
    faults: Mutex<faults::Faults>,
    bulk: Mutex<bulk::Jobs>,
}

/// A poisoned lock still holds plain data; a rehearsal server goes on with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sandbox {
    /// Builds the sandbox: checks the configuration, generates patients and an RSA signing key.
    ///
    /// # Errors
    ///
    /// When the base URL is not a bare http(s) origin, when a client is unusable (a duplicate id,
    /// a redirect URI that is not absolute or has a fragment), or when no key can be generated.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        base::check_origin(&config.base_url)?;
        check_clients(&config.clients)?;
        Ok(Self {
            inner: Arc::new(Inner {
                records: Mutex::new(records::Records::generate(config.patients)),
                base_url: config.base_url,
                clients: Mutex::new(config.clients.into_iter().map(Arc::new).collect()),
                now: config.now,
                access_token_seconds: config.access_token_seconds,
                personality: Mutex::new(config.personality),
                stats: Mutex::default(),
                grants: Mutex::default(),
                client_keys: client_auth::KeyCache::default(),
                signer: jose::Signer::generate()?,
                faults: Mutex::default(),
                bulk: Mutex::default(),
            }),
        })
    }

    /// The whole server as one router.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(ehr::index))
            .route("/ehr", get(ehr::chart))
            .route("/ehr/open", post(ehr::open))
            .route("/ehr/launch", post(ehr::launch))
            .route("/style.json", get(discovery::style))
            .route("/.well-known/openid-configuration", get(oidc::configuration))
            .route("/auth/jwks", get(oidc::jwks))
            .route("/auth/authorize", get(authorize::by_get).post(authorize::by_post))
            .route("/auth/sign-in", post(steps::sign_in))
            .route("/auth/patient", get(steps::find).post(steps::choose))
            .route("/auth/consent", post(steps::consent))
            .route("/auth/token", post(token::token))
            .route("/auth/introspect", post(inspect::introspect))
            .route("/auth/revoke", post(inspect::revoke))
            .route("/files/{token}", get(fhir::file))
            .route("/bulk/status/{job}", get(bulk::poll).delete(bulk::end))
            .route("/bulk/files/{job}/{name}", get(bulk::file))
            .route("/sandbox/personality", post(personality::change))
            .route("/sandbox/faults", post(faults::inject))
            .route("/sandbox/take-back", post(faults::take_back))
            .route("/fhir", any(fhir::dispatch))
            .route("/fhir/", any(fhir::dispatch))
            .route("/fhir/{*rest}", any(fhir::dispatch))
            .route("/interconnect-fhir-oauth/{*rest}", any(fhir::dispatch))
            .layer(from_fn_with_state(self.clone(), faults::apply))
            .layer(DefaultBodyLimit::max(fhir::BODY_LIMIT))
            .with_state(self.clone())
    }

    /// The file store of exports, for a listener of its own: `Bulk::file_origin` names it, and it refuses bearer
    /// tokens.
    pub fn file_host(&self) -> Router {
        Router::new()
            .route("/bulk/files/{job}/{name}", get(bulk::hosted))
            .layer(from_fn_with_state(self.clone(), faults::apply))
            .with_state(self.clone())
    }

    /// Changes the personality at run time.
    pub fn set_personality(&self, change: impl FnOnce(&mut Personality)) {
        change(&mut lock(&self.inner.personality));
    }

    /// Lets the next request to an endpoint go wrong; several faults wait in line.
    pub fn inject(&self, endpoint: Endpoint, fault: Fault) {
        lock(&self.inner.faults).add(endpoint, fault);
    }

    /// Lets the next few requests to an endpoint go wrong in the same way.
    pub fn inject_times(&self, endpoint: Endpoint, fault: &Fault, times: usize) {
        for _ in 0..times {
            self.inject(endpoint, fault.clone());
        }
    }

    /// Lets the next request for one file of an export go wrong; files are numbered from 0, as in the manifest:
    /// output, then deletions, then outcomes.
    pub fn inject_file(&self, number: usize, fault: Fault) {
        lock(&self.inner.faults).add_to_file(number, fault);
    }

    /// Ends every access token that was issued so far, as an administrator of the EHR may do; with `grants`
    /// the refresh tokens, too.
    pub fn take_back_tokens(&self, grants: bool) {
        self.grants().take_back(grants);
    }

    /// What arrived so far.
    pub fn stats(&self) -> Stats {
        lock(&self.inner.stats).clone()
    }

    /// The id of the first synthetic patient (empty when none was generated).
    pub fn first_patient_id(&self) -> String {
        lock(&self.inner.records).ids(records::PATIENT).next().unwrap_or_default().to_owned()
    }

    fn personality(&self) -> Personality {
        lock(&self.inner.personality).clone()
    }

    fn now(&self) -> i64 {
        (self.inner.now)()
    }

    fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut lock(&self.inner.stats));
    }

    fn grants(&self) -> MutexGuard<'_, grants::Grants> {
        lock(&self.inner.grants)
    }

    fn records(&self) -> MutexGuard<'_, records::Records> {
        lock(&self.inner.records)
    }

    /// Registers one more application.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::new`].
    pub fn register(&self, client: Client) -> Result<(), SandboxError> {
        let mut clients = lock(&self.inner.clients);
        let mut all: Vec<_> = clients.iter().map(|client| Client::clone(client)).collect();
        all.push(client);
        check_clients(&all)?;
        *clients = all.into_iter().map(Arc::new).collect();
        Ok(())
    }

    fn clients(&self) -> Vec<Arc<Client>> {
        lock(&self.inner.clients).clone()
    }

    fn client(&self, id: &str) -> Option<Arc<Client>> {
        lock(&self.inner.clients).iter().find(|client| client.id == id).cloned()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.inner.base_url)
    }
}

/// Serves a sandbox on a listener until `shutdown` resolves.
///
/// # Errors
///
/// As [`Sandbox::new`], or when the listener fails.
pub async fn serve(
    config: SandboxConfig,
    listener: tokio::net::TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), SandboxError> {
    let sandbox = Sandbox::new(config)?;
    axum::serve(listener, sandbox.router()).with_graceful_shutdown(shutdown).await.map_err(SandboxError::Serve)
}

fn check_clients(clients: &[Client]) -> Result<(), SandboxError> {
    for (index, client) in clients.iter().enumerate() {
        let refuse = |why: &str| SandboxError::Client(format!("client {:?}: {why}", client.id));
        if client.id.is_empty() {
            return Err(refuse("empty id"));
        }
        if clients.iter().skip(index + 1).any(|other| other.id == client.id) {
            return Err(refuse("registered twice"));
        }
        for uri in &client.redirect_uris {
            // RFC 6749 §3.1.2: an absolute URI without a fragment.
            let parsed = url::Url::parse(uri).map_err(|_| refuse("redirect URI not absolute"))?;
            if parsed.fragment().is_some() {
                return Err(refuse("redirect URI with a fragment"));
            }
        }
        if let Some(launch_url) = &client.launch_url
            && url::Url::parse(launch_url).is_err()
        {
            return Err(refuse("launch URL not absolute"));
        }
    }
    Ok(())
}
