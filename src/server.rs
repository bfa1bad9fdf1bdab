//! The machine without HTTP-in and without views.
//!
//! May import `model`. Nothing here knows of axum routes or pages; HTTP, jobs and the command line
//! all call the same flows. [`App`] is what a running installation consists of.

use std::ops::Deref;
use std::sync::Arc;

pub mod clock;
pub mod config;
pub mod failure;
pub mod fhir;
pub mod flow;
pub mod net;
pub mod provider;
pub mod request;
pub mod smart;
pub mod store;
pub mod vault;

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
    /// The installation's signing key, if one is configured.
    pub signing_key: Option<SigningKey>,
    /// Discovery documents that were read in the last minutes.
    pub discovery: DiscoveryCache,
    /// The EHRs' public keys.
    pub key_sets: KeySets,
    /// The EHRs' colours.
    pub styles: StyleCache,
}

impl App {
    /// Puts an installation together; connects nothing that `db` is not connected to already.
    ///
    /// # Errors
    /// When the signing key is not one, or no HTTP client can be made.
    pub fn new(
        config: Config,
        db: Database,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, config::ConfigError> {
        let signing_key = config.signing_key.as_ref().map(SigningKey::from_pem).transpose()?;
        let http = Http::new(config.allow_private_network, config.outbound_timeout)?;
        let vault = Vault::new(&config.encryption_key, Arc::clone(&entropy));
        Ok(Self(Arc::new(Installation {
            ids: Ids::new(Arc::clone(&clock), entropy),
            vault,
            db,
            http,
            signing_key,
            discovery: DiscoveryCache::default(),
            key_sets: KeySets::default(),
            styles: StyleCache::default(),
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
