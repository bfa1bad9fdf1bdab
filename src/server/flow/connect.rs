//! Standalone connect: sending a member's browser to the EHR, and taking the answer.
//!
//! SMART App Launch 2.2, "Standalone Launch". Guards: the answer is taken once, within ten minutes,
//! from the browser that started ([`start`] sets a cookie that [`finish`] wants back); tokens go
//! straight into the vault, bound to issuer and token-endpoint origin.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use url::Url;

use super::settings::{self, binding, secret_place};
use super::{Actor, Caller};
use crate::model::connection::{AuthMethod, ConnectionStatus};
use crate::model::field::Rule;
use crate::model::id::{ConnectionId, PracticeId, ProviderId};
use crate::model::problem::{Code, Problem};
use crate::model::provider::WriteFlags;
use crate::model::role::Permission;
use crate::model::scope::Scope;
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::failure::{Failure, Outcome};
use crate::server::provider::{self, AudMode, AuthorizeMethod, BasicEncoding, PracticeConfig, Provider};
use crate::server::smart::authorize::{self, AuthorizationAnswer, AuthorizationRequest};
use crate::server::smart::client_auth::{self, Credential, Offer, Preference};
use crate::server::smart::discovery::{DiscoveryError, SmartConfiguration};
use crate::server::smart::id_token::{Expected, Identity};
use crate::server::smart::token::{TokenAnswer, TokenClient};
use crate::server::store::connection::{self, Connection, SealedTokens, Terms};
use crate::server::store::flow::{self, FlowRow};
use crate::server::store::signing::{self, Use};
use crate::server::store::{StoreError, audit, secret};
use crate::server::vault::Place;

/// How long an answer is taken, in seconds.
const LIFE: i64 = 600;
/// From this length on, an address is sent as a form where the EHR offers it.
const LONG_URL: usize = 1_800;

/// A started connect.
pub struct Started {
    /// Where the browser goes.
    pub url: String,
    /// Whether its query goes as a form instead (SMART `authorize-post`).
    pub post: bool,
    /// The `Set-Cookie` header that ties the answer to this browser.
    pub cookie: String,
}

/// A finished connect.
#[derive(Debug)]
pub struct Finished {
    /// Which provider's page to go to.
    pub provider: ProviderId,
}

/// What is kept, sealed, between start and finish.
#[derive(Serialize, Deserialize)]
struct Secrets {
    verifier: String,
    nonce: Option<String>,
    issuer: String,
    fhir_base: String,
    client_id: String,
    auth_method: AuthMethod,
    scopes: String,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
    /// The OpenID issuer and keys that discovery named.
    openid_issuer: Option<String>,
    jwks_uri: Option<String>,
    iss_expected: bool,
}

/// A practice's provider, ready to be connected.
pub(super) struct Ready {
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
    Ok(Ready { plugin, config, fhir_base, secret, flags, enabled: loaded.is_enabled(id) })
}

/// The scopes of a standalone connect: the flow's own, then the provider's defaults or
/// `SMART_DEFAULT_SCOPES`, then what the write flags add.
pub fn scopes_to_ask(app: &App, plugin: &dyn Provider, flags: WriteFlags) -> Vec<Scope> {
    let defaults = match &app.config.default_scopes {
        Some(scopes) => scopes.clone(),
        None => plugin.default_scopes(WriteFlags::default()),
    };
    let writes = plugin.write_scopes(flags);
    let mut scopes = Vec::new();
    let all = Scope::parse("launch/patient").into_iter().chain(defaults);
    for scope in all.chain(writes.iter().filter_map(|text| Scope::parse(text))) {
        // `launch` alone belongs to launches that the EHR starts.
        if scope != Scope::Flow("launch".into()) && !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}

/// Starts a standalone connect.
///
/// # Errors
/// `forbidden`, `not_found`, `invalid_input` when the provider is off or not filled, `invalid_issuer`,
/// `discovery_failed`, `ehr_unavailable`, `pkce_required`, `client_auth_failed`, `key_not_approved`.
pub async fn start(app: &App, caller: &Caller, id: &ProviderId) -> Outcome<Started> {
    caller.require(Permission::Connect)?;
    let ready = ready(app, &caller.practice, id).await?;
    let found = discover(app, &ready).await?;
    check_pkce(&found)?;
    let auth_method = auth_method(app, &ready, &found)?;
    if auth_method == AuthMethod::PrivateKeyJwt {
        check_approval(app, &caller.practice, &ready, &found.token_endpoint).await?;
    }
    let scopes = scopes_to_ask(app, ready.plugin, ready.flags);
    let openid = scopes.contains(&Scope::Flow("openid".into()));
    let (state, cookie) = (app.ids.token(), app.ids.token());
    let secrets = Secrets {
        verifier: app.ids.token(),
        nonce: openid.then(|| app.ids.token()),
        issuer: ready.config.issuer.to_string(),
        fhir_base: ready.fhir_base.clone(),
        client_id: ready.config.client_id.clone(),
        auth_method,
        scopes: scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        token_endpoint: found.token_endpoint.clone(),
        revocation_endpoint: found.revocation_endpoint.clone(),
        openid_issuer: found.issuer.clone(),
        jwks_uri: found.jwks_uri.clone(),
        iss_expected: found.authorization_response_iss_parameter_supported,
    };
    let redirect_uri = app.config.redirect_url();
    let request = AuthorizationRequest {
        endpoint: &found.authorization_endpoint,
        client_id: &secrets.client_id,
        redirect_uri: &redirect_uri,
        scopes: &scopes,
        state: &state,
        nonce: secrets.nonce.as_deref(),
        audience: match ready.plugin.quirks().aud_mode {
            AudMode::FhirBase => Some(("aud", &secrets.fhir_base)),
            AudMode::Omit => None,
        },
        launch: None,
        verifier: &secrets.verifier,
    };
    let url = request.url().map_err(|_| Failure::explained(Code::DiscoveryFailed, "authorization endpoint"))?;
    let post = by_post(&ready, &found, &url);
    keep(app, caller, id, &state, &cookie, &secrets).await?;
    Ok(Started { url: url.into(), post, cookie: flow_cookie(&state, &cookie) })
}

/// Keeps a flow, and writes the audit line of its start.
async fn keep(
    app: &App,
    caller: &Caller,
    id: &ProviderId,
    state: &str,
    cookie: &str,
    secrets: &Secrets,
) -> Outcome<()> {
    let state_hash = hash_token(state);
    let plain = serde_json::to_string(secrets).map_err(|_| Failure::Corrupt("flow"))?;
    let sealed = app.vault.seal(flow_place(&caller.practice, &state_hash), &plain.into())?;
    let now = app.clock.now();
    let row = FlowRow {
        practice: caller.practice.clone(),
        provider: id.clone(),
        member: match &caller.actor {
            Actor::Member { id, .. } => Some(id.clone()),
            Actor::Token { .. } | Actor::Operator => None,
        },
        cookie_hash: hash_token(cookie),
        sealed,
        created_at: now,
        expires_at: now.plus_seconds(LIFE),
        used: false,
        state_hash,
    };
    let mut tx = app.db.begin_write().await?;
    flow::add(&mut tx, &row).await?;
    audit::add(&mut *tx, &caller.event(app, "connection.started", id.as_str(), "ok")).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

/// Takes the EHR's answer. `cookie` is what the browser sent back under [`cookie_name`]. The
/// provider comes back with a failure too, once it is known.
///
/// # Errors
/// `state_mismatch`, `state_expired`, `cookie_blocked`, what the EHR answered, `conflict` when the
/// settings changed meanwhile, and everything of the token exchange and the identity token.
pub async fn finish(
    app: &App,
    answer: &AuthorizationAnswer,
    cookie: Option<&str>,
    request_id: &str,
) -> Result<Finished, (Option<ProviderId>, Failure)> {
    let row = find(app, answer, cookie).await.map_err(|failure| (None, failure))?;
    let provider = row.provider.clone();
    let caller = Caller { practice: row.practice.clone(), actor: Actor::Operator, request_id: request_id.into() };
    let result = complete(app, answer, row, &caller).await;
    let outcome = result.as_ref().err().map_or("ok", |failure| failure.code().name());
    let event =
        audit::Event { actor: "browser".into(), ..caller.event(app, "connection.made", provider.as_str(), outcome) };
    let audited = audit::add(app.db.pool(), &event).await.map_err(Failure::from);
    match result.and(audited) {
        Ok(()) => Ok(Finished { provider }),
        Err(failure) => Err((Some(provider), failure)),
    }
}

async fn find(app: &App, answer: &AuthorizationAnswer, cookie: Option<&str>) -> Outcome<FlowRow> {
    let state = answer.state.as_deref().ok_or(Code::StateMismatch)?;
    let row = flow::find(&app.db, &hash_token(state)).await?.ok_or(Code::StateMismatch)?;
    // Before anything is used up: another browser must not be able to end somebody's connect.
    let cookie = cookie.ok_or(Code::CookieBlocked)?;
    if !bool::from(hash_token(cookie).as_bytes().ct_eq(row.cookie_hash.as_bytes())) {
        return Err(Code::StateMismatch.into());
    }
    let now = app.clock.now();
    if row.used || row.expires_at < now || !flow::take(&app.db, &row.state_hash, now).await? {
        return Err(Code::StateExpired.into());
    }
    Ok(row)
}

async fn complete(app: &App, answer: &AuthorizationAnswer, row: FlowRow, caller: &Caller) -> Outcome<()> {
    let opened = app.vault.open(flow_place(&row.practice, &row.state_hash), &row.sealed)?;
    let secrets: Secrets =
        serde_json::from_str(opened.expose_secret()).map_err(|_| Failure::Corrupt("oauth_flows.sealed"))?;
    check_answer_issuer(answer, &secrets)?;
    if let Some(error) = &answer.error {
        let code = authorize::meaning(error, answer.error_description.as_deref().unwrap_or_default());
        return Err(code.into());
    }
    let code = answer.code.as_deref().ok_or(Code::StateMismatch)?;
    let ready = ready(app, &row.practice, &row.provider).await?;
    let same = ready.config.issuer.to_string() == secrets.issuer
        && ready.fhir_base == secrets.fhir_base
        && ready.config.client_id == secrets.client_id;
    if !same {
        return Err(Code::Conflict.into());
    }
    let terms = Terms {
        issuer: secrets.issuer.clone(),
        fhir_base: secrets.fhir_base.clone(),
        token_endpoint: secrets.token_endpoint.clone(),
        revocation_endpoint: secrets.revocation_endpoint.clone(),
        client_id: secrets.client_id.clone(),
        auth_method: secrets.auth_method,
        scopes_requested: secrets.scopes.clone(),
    };
    let credential = credential(app, &ready, &terms)?;
    let client = token_client(app, &ready, &terms, &credential);
    let tokens = client
        .exchange(code, &app.config.redirect_url(), &secrets.verifier)
        .await
        .map_err(|error| Failure::explained(error.code(), error.to_string()))?;
    let identity = identity(app, &tokens, &secrets).await?;
    save(app, caller, row.provider, terms, &tokens, identity).await
}

async fn identity(app: &App, tokens: &TokenAnswer, secrets: &Secrets) -> Outcome<Option<Identity>> {
    let Some(id_token) = &tokens.id_token else { return Ok(None) };
    let expected = Expected {
        issuer: secrets.openid_issuer.as_deref(),
        jwks_uri: secrets.jwks_uri.as_deref(),
        own_urls: [&secrets.fhir_base, &secrets.token_endpoint],
        client_id: &secrets.client_id,
        nonce: secrets.nonce.as_deref(),
    };
    let validated = app.key_sets.validate(&app.http, id_token, &expected, app.clock.now()).await;
    validated.map(Some).map_err(|error| Failure::explained(error.code(), error.to_string()))
}

async fn save(
    app: &App,
    caller: &Caller,
    provider: ProviderId,
    terms: Terms,
    tokens: &TokenAnswer,
    identity: Option<Identity>,
) -> Outcome<()> {
    let now = app.clock.now();
    let id = ConnectionId::new(app.ids.mint());
    let sealed = seal(app, &caller.practice, &id, &terms, tokens)?;
    let connection = Connection {
        id,
        practice: caller.practice.clone(),
        provider,
        status: ConnectionStatus::Connected,
        terms,
        scopes_granted: sealed.scopes_granted,
        patient: sealed.patient,
        fhir_user: identity.as_ref().and_then(Identity::user).map(str::to_owned),
        access_token: Some(sealed.access_token),
        refresh_token: sealed.refresh_token,
        expires_at: sealed.expires_at,
        connected_at: now,
        refreshed_at: None,
        last_problem: None,
        capabilities: None,
        capabilities_at: None,
        lease_fence: 0,
    };
    let mut tx = app.db.begin_write().await?;
    connection::replace(&mut tx, &connection).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

/// Seals the tokens of an answer for a connection.
pub(super) fn seal(
    app: &App,
    practice: &PracticeId,
    id: &ConnectionId,
    terms: &Terms,
    tokens: &TokenAnswer,
) -> Outcome<SealedTokens> {
    let bound_to = token_binding(terms);
    let place = |column| token_place(practice, id, column, &bound_to);
    let now = app.clock.now();
    let refresh = tokens.refresh_token.as_ref().map(|token| app.vault.seal(place("refresh_token"), token));
    Ok(SealedTokens {
        access_token: app.vault.seal(place("access_token"), &tokens.access_token)?,
        refresh_token: refresh.transpose()?,
        expires_at: tokens.expires_in.map(|seconds| now.plus_seconds(seconds)),
        scopes_granted: tokens.scope.clone(),
        patient: tokens.patient.clone(),
    })
}

/// What tokens are bound to: the issuer, and the origin that may see the refresh token.
pub(super) fn token_binding(terms: &Terms) -> String {
    let origin = Url::parse(&terms.token_endpoint).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    format!("{} {origin}", terms.issuer)
}

/// The place of a connection's token.
pub(super) fn token_place<'a>(
    practice: &'a PracticeId,
    id: &'a ConnectionId,
    column: &'a str,
    bound_to: &'a str,
) -> Place<'a> {
    Place { practice: practice.as_str(), table: "connections", row: id.as_str(), column, bound_to }
}

fn flow_place<'a>(practice: &'a PracticeId, state_hash: &'a str) -> Place<'a> {
    Place { practice: practice.as_str(), table: "oauth_flows", row: state_hash, column: "sealed", bound_to: "" }
}

async fn discover(app: &App, ready: &Ready) -> Outcome<std::sync::Arc<SmartConfiguration>> {
    app.discovery.read(&app.http, &ready.fhir_base, &ready.headers()).await.map_err(|error| {
        let code = match error {
            DiscoveryError::Net(_) => Code::EhrUnavailable,
            DiscoveryError::NoEndpoints { .. } | DiscoveryError::BadEndpoint(_) => Code::DiscoveryFailed,
        };
        Failure::explained(code, error.to_string())
    })
}

/// PKCE is sent always; an EHR that lists its methods without S256 is refused.
fn check_pkce(found: &SmartConfiguration) -> Outcome<()> {
    match &found.code_challenge_methods_supported {
        Some(methods) if !methods.iter().any(|method| method == "S256") => Err(Code::PkceRequired.into()),
        _ => Ok(()),
    }
}

fn auth_method(app: &App, ready: &Ready, found: &SmartConfiguration) -> Outcome<AuthMethod> {
    let preference = match ready.config.value("clientAuth") {
        Some("public") => Preference::Public,
        Some("secret") => Preference::Secret,
        Some("key") => Preference::Key,
        _ => Preference::Auto,
    };
    let offer = Offer {
        preference,
        has_secret: ready.secret.is_some(),
        has_key: app.signing_key.is_some(),
        offered: found.token_endpoint_auth_methods_supported.as_deref(),
        vendor_takes_key: ready.plugin.quirks().takes_key,
    };
    let rule = || Failure::field(&format!("{}.clientSecret", ready.plugin.id()), Rule::KeyOrSecret);
    client_auth::choose(offer).ok_or_else(rule)
}

/// The installation's key signs only where the operator approved it; by itself while there is one practice.
async fn check_approval(app: &App, practice: &PracticeId, ready: &Ready, token_endpoint: &str) -> Outcome<()> {
    let wanted = key_use(ready, token_endpoint);
    if signing::is_approved(app.db.pool(), practice, &wanted).await? {
        return Ok(());
    }
    if signing::practices(app.db.pool()).await? > 1 {
        return Err(Code::KeyNotApproved.into());
    }
    let mut tx = app.db.begin_write().await?;
    signing::approve(&mut tx, practice, &wanted, app.clock.now()).await?;
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
/// configured now. Answers the approved use.
///
/// # Errors
/// `not_found`, `invalid_input`, `discovery_failed`, `ehr_unavailable`.
pub async fn approve_key(app: &App, caller: &Caller, id: &ProviderId) -> Outcome<Use> {
    let ready = ready(app, &caller.practice, id).await?;
    let found = discover(app, &ready).await?;
    let wanted = key_use(&ready, &found.token_endpoint);
    let mut tx = app.db.begin_write().await?;
    signing::approve(&mut tx, &caller.practice, &wanted, app.clock.now()).await?;
    audit::add(&mut *tx, &caller.event(app, "key.approved", id.as_str(), "ok")).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(wanted)
}

/// What proves us at the token endpoint. An assertion's audience is the token endpoint, never a
/// practice's setting.
pub(super) fn credential(app: &App, ready: &Ready, terms: &Terms) -> Outcome<Credential> {
    let no_secret = || Failure::from(Code::ClientAuthFailed);
    Ok(match terms.auth_method {
        AuthMethod::None => Credential::None,
        AuthMethod::ClientSecretBasic => Credential::Basic {
            secret: ready.secret.clone().ok_or_else(no_secret)?,
            encoded: ready.plugin.quirks().basic_encoding == BasicEncoding::UrlEncoded,
        },
        AuthMethod::ClientSecretPost => Credential::Post(ready.secret.clone().ok_or_else(no_secret)?),
        AuthMethod::PrivateKeyJwt => {
            let key = app.signing_key.as_ref().ok_or_else(no_secret)?;
            let jwt = key.assertion(&terms.client_id, &terms.token_endpoint, &app.ids.mint(), app.clock.now());
            Credential::Assertion(jwt.map_err(|_| Failure::explained(Code::Internal, "the key cannot sign"))?)
        }
    })
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
        client_id_in_body: ready.plugin.quirks().client_id_in_body,
    }
}

/// RFC 9207: an answer that names another issuer, or none where the EHR promised one, is a mix-up.
fn check_answer_issuer(answer: &AuthorizationAnswer, secrets: &Secrets) -> Outcome<()> {
    let fits = match (&answer.iss, &secrets.openid_issuer) {
        (Some(iss), Some(expected)) => iss == expected,
        (Some(_), None) => true,
        (None, _) => !secrets.iss_expected,
    };
    if fits { Ok(()) } else { Err(Problem::new(Code::StateMismatch).into()) }
}

fn by_post(ready: &Ready, found: &SmartConfiguration, url: &Url) -> bool {
    let offered = found.capabilities.iter().any(|capability| capability == "authorize-post");
    match (ready.config.value("authorizeMethod"), ready.plugin.quirks().authorize_method) {
        (Some("post"), _) | (None | Some("auto"), AuthorizeMethod::Post) => true,
        (None | Some("auto"), AuthorizeMethod::Auto) => offered && url.as_str().len() > LONG_URL,
        _ => false,
    }
}

/// The cookie of a flow: one per state, so that tabs do not mix.
pub fn cookie_name(state: &str) -> String {
    let hash = hash_token(state);
    format!("__Host-connect-{}", hash.get(..16).unwrap_or_default())
}

/// Lax: the EHR's answer is a top-level GET from another site.
fn flow_cookie(state: &str, value: &str) -> String {
    format!("{}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={LIFE}", cookie_name(state))
}
