//! A practice's client at its EHR: the registration it configured, and what proves it.
//!
//! Guards: the installation's key signs only for an (issuer, token endpoint, client id) that the
//! operator approved for that practice; an assertion's audience is the token endpoint or one that the
//! operator approved, never a practice's setting.

use secrecy::SecretString;

use super::settings::{self, binding, secret_place};
use super::{Caller, keys};
use crate::model::connection::AuthMethod;
use crate::model::field::Rule;
use crate::model::id::{PracticeId, ProviderId};
use crate::model::key::{ChosenAuth, KeyAlgorithm, KeyOwner};
use crate::model::problem::Code;
use crate::model::provider::WriteFlags;
use crate::model::scope::{Scope, Version};
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::provider::{self, AudMode, BasicEncoding, PracticeConfig, Provider};
use crate::server::smart::client_auth::{self, Credential, Offer, Preference};
use crate::server::smart::discovery::{DiscoveryError, SmartConfiguration};
use crate::server::smart::keys::Assertion;
use crate::server::smart::token::TokenClient;
use crate::server::store::connection::Terms;
use crate::server::store::signing::{self, Use};
use crate::server::store::{StoreError, audit, key, secret};

/// A practice's provider, ready to be connected.
pub(super) struct Ready {
    pub practice: PracticeId,
    pub plugin: &'static dyn Provider,
    pub config: PracticeConfig,
    pub fhir_base: String,
    pub secret: Option<SecretString>,
    pub flags: WriteFlags,
    pub enabled: bool,
}

impl Ready {
    /// Headers that the vendor wants on discovery and FHIR calls.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let header = self.plugin.quirks().client_id_header;
        header.map(|name| (name, self.config.client_id.clone())).into_iter().collect()
    }

    /// Whether a grant was made with this registration. A secret must not go where another one was agreed.
    pub fn is_of(&self, terms: &Terms) -> bool {
        self.config.issuer.to_string() == terms.issuer
            && self.fhir_base == terms.fhir_base
            && self.config.client_id == terms.client_id
    }

    /// Whose keys sign: the practice's own, or, with `None`, the installation's.
    pub fn key_practice(&self) -> Option<&PracticeId> {
        match self.config.key_owner() {
            KeyOwner::Installation => None,
            KeyOwner::Practice => Some(&self.practice),
        }
    }

    /// How the FHIR base goes into the audience: as the practice chose, else as the vendor wants it.
    pub fn aud_mode(&self) -> AudMode {
        match self.config.value("audience") {
            Some("plain") => AudMode::FhirBase,
            Some("slash") => AudMode::WithSlash,
            Some("none") => AudMode::Omit,
            _ => self.plugin.quirks().aud_mode,
        }
    }

    /// How Basic credentials are encoded: as the practice chose, else as the vendor wants it.
    pub fn basic_encoding(&self) -> BasicEncoding {
        match self.config.value("basicEncoding") {
            Some("raw") => BasicEncoding::Raw,
            Some("form") => BasicEncoding::UrlEncoded,
            _ => self.plugin.quirks().basic_encoding,
        }
    }

    /// Whether token requests name the client id in the form, too.
    pub fn client_id_in_body(&self) -> bool {
        self.chosen("clientIdInBody").unwrap_or(self.plugin.quirks().client_id_in_body)
    }

    /// Whether assertions name the address of our JWKS.
    pub fn jku(&self) -> bool {
        self.chosen("jku").unwrap_or(self.plugin.quirks().jku)
    }

    /// Whether a renewal names the scopes again.
    pub fn refresh_with_scope(&self) -> bool {
        self.chosen("refreshWithScope").unwrap_or(self.plugin.quirks().refresh_with_scope)
    }

    fn chosen(&self, key: &str) -> Option<bool> {
        match self.config.value(key) {
            Some("yes") => Some(true),
            Some("no") => Some(false),
            _ => None,
        }
    }

    /// What the vendor wants in `Accept` on FHIR calls.
    pub fn accept(&self) -> &'static str {
        self.plugin.quirks().accept.unwrap_or("application/fhir+json")
    }
}

/// A provider that is filled and switched on.
pub(super) async fn ready(app: &App, practice: &PracticeId, id: &ProviderId) -> Outcome<Ready> {
    let ready = configured(app, practice, id).await?;
    if ready.enabled { Ok(ready) } else { Err(Failure::field("enabledProviders", Rule::Required)) }
}

/// The configuration, secret and switches of a provider that is filled, whether it is on or not.
pub(super) async fn configured(app: &App, practice: &PracticeId, id: &ProviderId) -> Outcome<Ready> {
    let plugin = provider::by_id(id).ok_or(Code::NotFound)?;
    let (loaded, _) = settings::load(app, practice).await?;
    let saved = loaded.provider_configs.get(id);
    let config = saved
        .and_then(|saved| PracticeConfig::of(plugin, saved))
        .ok_or_else(|| Failure::field(&format!("{id}.issuer"), Rule::Required))?;
    if !app.config.allowlist.allows(&config.issuer) {
        return Err(Code::InvalidIssuer.into());
    }
    let sealed = secret::load(app.db.pool(), practice, id, "clientSecret").await?;
    let bound_to = binding(plugin, &config);
    let place = secret_place(practice, id.as_str(), "clientSecret", &bound_to);
    let secret = sealed.map(|sealed| app.vault.open(place, &sealed)).transpose()?;
    let fhir_base = plugin.fhir_base_url(&config).to_string();
    let flags = settings::view::write_flags(loaded.flags());
    Ok(Ready { practice: practice.clone(), plugin, config, fhir_base, secret, flags, enabled: loaded.is_enabled(id) })
}

/// What to ask for: the flow's own scopes, then the provider's defaults or `SMART_DEFAULT_SCOPES` but for
/// those that the flow never asks for, then what the write flags add.
pub(super) fn scopes(app: &App, plugin: &dyn Provider, flags: WriteFlags, first: &str, never: &[&str]) -> Vec<Scope> {
    let defaults = match &app.config.default_scopes {
        Some(scopes) => scopes.clone(),
        None => plugin.default_scopes(WriteFlags::default()),
    };
    let mut scopes = Scope::parse_list(first);
    for scope in defaults.into_iter().chain(plugin.write_scopes(flags)) {
        let unwanted = matches!(&scope, Scope::Flow(name) if never.contains(&name.as_str()));
        if !unwanted && !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}

/// The scopes in the version that the EHR takes: what the practice chose; else, unless the operator wrote
/// the scopes, the vendor's (in which the plugin has them already), or version 1 where the EHR offers that
/// one only (SMART "Scopes for requesting FHIR Resources (STU1)").
pub(super) fn in_dialect(app: &App, ready: &Ready, found: &SmartConfiguration, scopes: &[Scope]) -> Vec<Scope> {
    let offers = |name: &str| found.capabilities.iter().any(|capability| capability == name);
    let version = match ready.config.value("scopeVersion") {
        Some("v1") => Some(Version::V1),
        Some("v2") => Some(Version::V2),
        _ if app.config.default_scopes.is_some() => None,
        _ => (offers("permission-v1") && !offers("permission-v2")).then_some(Version::V1),
    };
    version.map_or_else(|| scopes.to_vec(), |version| Scope::all_in_version(scopes, version))
}

/// The longest list of offered scopes that is kept, in bytes.
const MAX_OFFERED: usize = 16_384;

/// The scopes that the EHR lists, where it lists any.
pub(super) fn offered_scopes(found: &SmartConfiguration) -> Option<String> {
    let listed = found.scopes_supported.as_ref().filter(|listed| !listed.is_empty())?;
    let listed: Vec<_> = listed.iter().filter(|scope| Scope::parse(scope).is_some()).map(String::as_str).collect();
    Some(listed.join(" ")).filter(|text| text.len() <= MAX_OFFERED)
}

/// Reads where the EHR's endpoints are.
pub(super) async fn discover(app: &App, ready: &Ready) -> Outcome<std::sync::Arc<SmartConfiguration>> {
    app.discovery.read(&app.http, &ready.fhir_base, &ready.headers()).await.map_err(|error| {
        let code = match error {
            DiscoveryError::Net(_) => Code::EhrUnavailable,
            DiscoveryError::NoEndpoints { .. } | DiscoveryError::BadEndpoint(_) => Code::DiscoveryFailed,
        };
        Failure::explained(code, error.to_string())
    })
}

/// PKCE is sent always; an EHR that lists its methods without S256 is refused.
pub(super) fn check_pkce(found: &SmartConfiguration) -> Outcome<()> {
    match &found.code_challenge_methods_supported {
        Some(methods) if !methods.iter().any(|method| method == "S256") => Err(Code::PkceRequired.into()),
        _ => Ok(()),
    }
}

/// How to prove ourselves, of what the EHR takes and the practice has.
pub(super) async fn choose_auth(app: &App, ready: &Ready, found: &SmartConfiguration) -> Outcome<ChosenAuth> {
    let quirks = ready.plugin.quirks();
    let ours = keys::algorithms(app, ready.key_practice()).await?;
    let listed = found.token_endpoint_auth_signing_alg_values_supported.as_deref();
    let offer = Offer {
        preference: preference(ready),
        has_secret: ready.secret.is_some(),
        key: client_auth::algorithm(&ours, quirks.signing_algorithms, listed),
        offered: found.token_endpoint_auth_methods_supported.as_deref(),
        vendor_takes_key: quirks.takes_key,
    };
    let rule = || Failure::field(&format!("{}.clientSecret", ready.plugin.id()), Rule::KeyOrSecret);
    client_auth::choose(offer).ok_or_else(rule)
}

fn preference(ready: &Ready) -> Preference {
    match ready.config.value("clientAuth") {
        Some("public") => Preference::Public,
        Some("secret") => Preference::Secret,
        Some("key") => Preference::Key,
        _ => Preference::Auto,
    }
}

/// The installation's key signs only where the operator approved it; by itself while there is one practice.
/// A practice's own key signs for that practice only.
pub(super) async fn check_approval(app: &App, ready: &Ready, token_endpoint: &str) -> Outcome<()> {
    if ready.config.key_owner() == KeyOwner::Practice {
        return Ok(());
    }
    let wanted = key_use(ready, token_endpoint);
    if signing::approval(app.db.pool(), &ready.practice, &wanted).await?.is_some() {
        return Ok(());
    }
    if signing::practices(app.db.pool()).await? > 1 {
        return Err(Code::KeyNotApproved.into());
    }
    let mut tx = app.db.begin_write().await?;
    signing::approve(&mut tx, &ready.practice, &wanted, None, app.clock.now()).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

fn key_use(ready: &Ready, token_endpoint: &str) -> Use {
    Use {
        issuer: ready.config.issuer.to_string(),
        token_endpoint: token_endpoint.into(),
        client_id: ready.config.client_id.clone(),
    }
}

/// The operator's approval: the installation's key may sign for this practice's provider as it is
/// configured now. `audience` is for EHRs whose assertions name something else than the token endpoint:
/// that is the operator's to say, because an assertion is good for whoever it names. Answers the approved
/// use.
///
/// # Errors
/// `not_found`, `invalid_input`, `discovery_failed`, `ehr_unavailable`.
pub async fn approve_key(app: &App, caller: &Caller, id: &ProviderId, audience: Option<&str>) -> Outcome<Use> {
    let ready = ready(app, &caller.practice, id).await?;
    let found = discover(app, &ready).await?;
    let wanted = key_use(&ready, &found.token_endpoint);
    // The backend service is the same application, where it has a client id of its own.
    let backend = ready.config.value(provider::BACKEND_CLIENT_ID);
    let backend = backend.map(|client_id| Use { client_id: client_id.to_owned(), ..wanted.clone() });
    let mut tx = app.db.begin_write().await?;
    for wanted in backend.iter().chain([&wanted]) {
        signing::approve(&mut tx, &caller.practice, wanted, audience, app.clock.now()).await?;
    }
    audit::add(&mut *tx, &caller.event(app, "key.approved", id.as_str(), "ok")).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(wanted)
}

/// What proves us at the token endpoint, in one request.
pub(super) async fn credential(app: &App, ready: &Ready, terms: &Terms) -> Outcome<Credential> {
    let no_secret = || Failure::from(Code::ClientAuthFailed);
    Ok(match terms.auth.method {
        AuthMethod::None => Credential::None,
        AuthMethod::ClientSecretBasic => Credential::Basic {
            secret: ready.secret.clone().ok_or_else(no_secret)?,
            encoded: ready.basic_encoding() == BasicEncoding::UrlEncoded,
        },
        AuthMethod::ClientSecretPost => Credential::Post(ready.secret.clone().ok_or_else(no_secret)?),
        AuthMethod::PrivateKeyJwt => assertion(app, ready, terms).await?,
    })
}

/// The audience is the token endpoint, unless the operator approved another; never a practice's setting.
async fn assertion(app: &App, ready: &Ready, terms: &Terms) -> Outcome<Credential> {
    let owner = ready.key_practice();
    // Grants that were made before the algorithm was kept are of an RSA key.
    let algorithm = terms.auth.algorithm.unwrap_or(KeyAlgorithm::Rs384);
    let key = keys::signer(app, owner, algorithm).await?.ok_or(Code::ClientAuthFailed)?;
    let approval = match owner {
        None => signing::approval(app.db.pool(), &ready.practice, &key_use(ready, &terms.token_endpoint)).await?,
        Some(_) => None,
    };
    let audience = approval.and_then(|approval| approval.assertion_audience);
    let jwks_url = ready.jku().then(|| keys::jwks_url(app, owner));
    let of = Assertion {
        client_id: &terms.client_id,
        audience: audience.as_deref().unwrap_or(&terms.token_endpoint),
        id: &app.ids.mint(),
        jwks_url: jwks_url.as_deref(),
    };
    let jwt = key.assertion(of, app.clock.now());
    let jwt = jwt.map_err(|_| Failure::explained(Code::Internal, "the key cannot sign"))?;
    Ok(Credential::Assertion { jwt, kid: key.kid().to_owned() })
}

/// Notes that an EHR took what proves us, where a key did. A failure costs a log line, never the token.
pub(super) async fn accepted(app: &App, ready: &Ready, credential: &Credential) {
    let Credential::Assertion { kid, .. } = credential else { return };
    let provider = ProviderId::new(ready.plugin.id());
    if let Err(error) = key::accepted(&app.db, kid, &ready.practice, &provider, app.clock.now()).await {
        tracing::warn!(error = %error, "the use of a key was not noted");
    }
}

/// A client of a connection's token endpoint.
pub(super) fn token_client<'a>(
    app: &'a App,
    ready: &Ready,
    terms: &'a Terms,
    credential: &'a Credential,
) -> TokenClient<'a> {
    TokenClient {
        http: &app.http,
        endpoint: &terms.token_endpoint,
        client_id: &terms.client_id,
        credential,
        client_id_in_body: ready.client_id_in_body(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pkce() {
        let with = |methods: Option<&[&str]>| SmartConfiguration {
            code_challenge_methods_supported: methods.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
            ..SmartConfiguration::default()
        };
        assert!(check_pkce(&with(Some(&["plain", "S256"]))).is_ok());
        assert!(check_pkce(&with(None)).is_ok(), "some EHRs take it and do not say so");
        for without in [&["plain"][..], &[]] {
            assert_eq!(check_pkce(&with(Some(without))).unwrap_err().code(), Code::PkceRequired);
        }
    }
}
