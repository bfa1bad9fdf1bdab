//! The machine without HTTP-in and without views.
//!
//! May import `model`. Nothing here knows of axum routes or pages; HTTP, jobs and the command line
//! all call the same flows. [`App`] is what a running installation consists of.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub mod bulk;
pub mod clock;
pub mod config;
pub mod cookies;
pub mod engine;
pub mod failure;
pub mod fhir;
pub mod flow;
pub mod net;
pub mod provider;
pub mod request;
pub mod smart;
pub mod store;
pub mod vault;

use bulk::gate::Gates;
use clock::{Clock, Entropy, Ids};
use config::Config;
use net::Http;
use smart::discovery::DiscoveryCache;
use smart::id_token::KeySets;
use smart::keys::SigningKey;
use smart::style::StyleCache;
use store::Database;
use vault::Vault;

/// A running installation; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Installation>);

/// What an installation consists of.
pub struct Installation {
    /// Settings from the environment.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, ids and tokens.
    pub ids: Ids,
    /// Seals and opens secrets.
    pub vault: Vault,
    /// The database.
    pub db: Database,
    /// Outbound HTTP.
    pub http: Http,
    /// How many downloads of exports run from each host.
    pub gates: Gates,
    /// Discovery documents that were read in the last minutes.
    pub discovery: DiscoveryCache,
    /// The EHRs' public keys.
    pub key_sets: KeySets,
    /// The EHRs' colours.
    pub styles: StyleCache,
    /// Ends when the process stops: whatever goes on by itself looks at it.
    pub stopping: CancellationToken,
    /// Told when an export may be due.
    pub exports: Notify,
    /// Who fetched a JWKS within the last minute.
    pub jwks_fetches: Cache<String, ()>,
}

impl App {
    /// Puts an installation together; connects nothing that `db` is not connected to already.
    ///
    /// # Errors
    /// When the signing key of the environment is not one, or no HTTP client can be made.
    pub fn new(
        config: Config,
        db: Database,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, config::ConfigError> {
        if let Some(private) = &config.signing_key {
            let wrong = "it is no RSA or P-384 private key in PEM; make one with `ehr-integrations keys generate`";
            let read = SigningKey::from_pem(&private.pem, private.kid.as_deref());
            read.map_err(|_| config::ConfigError::invalid("EHR_JWT_PRIVATE_KEY", wrong))?;
        }
        let http = Http::new(config.allow_private_network, config.outbound_timeout)?;
        let vault = Vault::new(&config.encryption_key, Arc::clone(&entropy));
        Ok(Self(Arc::new(Installation {
            ids: Ids::new(Arc::clone(&clock), entropy),
            vault,
            db,
            http,
            gates: Gates::default(),
            discovery: DiscoveryCache::default(),
            key_sets: KeySets::default(),
            styles: StyleCache::default(),
            stopping: CancellationToken::new(),
            exports: Notify::new(),
            jwks_fetches: Cache::builder().max_capacity(10_000).time_to_live(Duration::from_mins(1)).build(),
            clock,
            config,
        })))
    }
}

impl Deref for App {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        &self.0
    }
}
