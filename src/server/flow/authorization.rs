//! A browser's way through an EHR's authorize page and back, whoever started it.
//!
//! SMART App Launch 2.2, "Obtain authorization code" and "Obtain access token". Guards: an answer is
//! taken once, within ten minutes, from the browser that started ([`begin`] sets a cookie that
//! [`take`] wants back), and its code goes to the token endpoint that the flow started with.

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use url::Url;

use super::client::{self, Ready};
use super::recorder::Recorder;
use super::{Actor, Caller};
use crate::model::connection::AuthMethod;
use crate::model::id::{PracticeId, ProviderId};
use crate::model::key::ChosenAuth;
use crate::model::problem::Code;
use crate::model::recording::StepName;
use crate::model::scope::Scope;
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::cookies::{Reach, set_cookie};
use crate::server::failure::{Failure, Outcome};
use crate::server::provider::{AudMode, AuthorizeMethod};
use crate::server::smart::authorize::{self, AuthorizationAnswer, AuthorizationRequest};
use crate::server::smart::discovery::SmartConfiguration;
use crate::server::smart::id_token::{Expected, Identity};
use crate::server::smart::token::TokenAnswer;
use crate::server::store::connection::Terms;
use crate::server::store::flow::{self, FlowKind, FlowRow};
use crate::server::store::{StoreError, audit, recording};
use crate::server::vault::Place;

mod timeline;

/// How long an answer is taken, in seconds.
const LIFE: i64 = 600;
/// From this length on, an address is sent as a form where the EHR offers it.
const LONG_URL: usize = 1_800;

/// A started authorization.
pub struct Started {
    /// Where the browser goes.
    pub url: String,
    /// Whether its query goes as a form instead (SMART `authorize-post`).
    pub post: bool,
    /// The `Set-Cookie` header that ties the answer to this browser.
    pub cookie: String,
}

/// What is kept, sealed, between start and finish.
#[derive(Serialize, Deserialize)]
pub(super) struct Secrets {
    verifier: String,
    nonce: Option<String>,
    issuer: String,
    fhir_base: String,
    client_id: String,
    auth: ChosenAuth,
    scopes: String,
    scopes_offered: Option<String>,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
    /// The OpenID issuer and keys that discovery named.
    openid_issuer: Option<String>,
    jwks_uri: Option<String>,
    iss_expected: bool,
}

/// What an answer was exchanged for.
pub(super) struct Granted {
    /// The practice's provider.
    pub ready: Ready,
    /// With whom, and on which terms.
    pub terms: Terms,
    /// The token endpoint's answer.
    pub tokens: TokenAnswer,
    /// The scopes that the EHR lists, where it lists any.
    pub scopes_offered: Option<String>,
    /// Who signed in, where the EHR said so.
    pub identity: Option<Identity>,
}

/// What to ask an EHR for.
pub(super) struct Ask<'a> {
    /// The practice's provider.
    pub ready: &'a Ready,
    /// The scopes.
    pub scopes: &'a [Scope],
    /// The launch that the EHR started; `None` in a standalone connect.
    pub launch: Option<EhrLaunch<'a>>,
}

/// A launch as the EHR started it.
#[derive(Clone, Copy)]
pub(super) struct EhrLaunch<'a> {
    /// The opaque handle, which goes back untouched.
    pub handle: &'a str,
    /// The `iss`, which is the audience.
    pub iss: &'a str,
}

impl Ask<'_> {
    const fn kind(&self) -> FlowKind {
        if self.launch.is_some() { FlowKind::Launch } else { FlowKind::Connect }
    }
}

/// Sends the browser to the EHR.
///
/// # Errors
/// `discovery_failed`, `ehr_unavailable`, `pkce_required`, `client_auth_failed`, `key_not_approved`.
pub(super) async fn begin(app: &App, caller: &Caller, ask: &Ask<'_>) -> Outcome<Started> {
    let provider = ProviderId::new(ask.ready.plugin.id());
    let mut recorder = Recorder::start(app, caller, &provider, ask.kind());
    let result = prepare(app, caller, ask, &mut recorder).await;
    recorder.pause(app, &result).await;
    result
}

async fn prepare(app: &App, caller: &Caller, ask: &Ask<'_>, recorder: &mut Recorder) -> Outcome<Started> {
    let Ask { ready, scopes, launch } = ask;
    timeline::asked(app, recorder, caller, ask);
    recorder.step(app, StepName::Discovery);
    let found = client::discover(app, ready).await?;
    timeline::discovered(recorder, &found);
    if found.authorization_endpoint.is_empty() {
        return Err(Failure::explained(Code::DiscoveryFailed, "no authorization endpoint"));
    }
    client::check_pkce(&found)?;
    let scopes = &client::in_dialect(app, ready, &found, scopes);
    recorder.step(app, StepName::ClientAuthentication);
    let auth = client::choose_auth(app, ready, &found).await?;
    timeline::authentication(recorder, auth, ready);
    if auth.method == AuthMethod::PrivateKeyJwt {
        client::check_approval(app, ready, &found.token_endpoint).await?;
    }
    let openid = scopes.contains(&Scope::Flow("openid".into()));
    let (state, cookie) = (app.ids.token(), app.ids.token());
    let secrets = Secrets {
        verifier: app.ids.token(),
        nonce: openid.then(|| app.ids.token()),
        issuer: ready.config.issuer.to_string(),
        fhir_base: ready.fhir_base.clone(),
        client_id: ready.config.client_id.clone(),
        auth,
        scopes: scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        scopes_offered: client::offered_scopes(&found),
        token_endpoint: found.token_endpoint.clone(),
        revocation_endpoint: found.revocation_endpoint.clone(),
        openid_issuer: found.issuer.clone(),
        jwks_uri: found.jwks_uri.clone(),
        iss_expected: found.authorization_response_iss_parameter_supported,
    };
    let redirect_uri = app.config.redirect_url();
    // In a launch the audience is its `iss` (SMART "Obtain authorization code").
    let base = launch.map_or(secrets.fhir_base.as_str(), |launch| launch.iss);
    let audience = match ready.aud_mode() {
        AudMode::FhirBase => Some(base.to_owned()),
        AudMode::WithSlash => Some(format!("{}/", base.trim_end_matches('/'))),
        AudMode::Omit => None,
    };
    let request = AuthorizationRequest {
        endpoint: &found.authorization_endpoint,
        client_id: &secrets.client_id,
        redirect_uri: &redirect_uri,
        scopes,
        state: &state,
        nonce: secrets.nonce.as_deref(),
        audience: audience.as_deref().map(|audience| ("aud", audience)),
        launch: launch.map(|launch| launch.handle),
        verifier: &secrets.verifier,
    };
    let url = request.url().map_err(|_| Failure::explained(Code::DiscoveryFailed, "authorization endpoint"))?;
    let post = by_post(ready, &found, &url);
    timeline::redirected(app, recorder, &url, post, &secrets.scopes);
    let flow = NewFlow { state: &state, cookie: &cookie, secrets: &secrets, recording_id: recorder.id() };
    keep(app, caller, ask, &flow).await?;
    Ok(Started { url: url.into(), post, cookie: flow_cookie(ask.kind(), &state, &cookie) })
}

/// A flow that is about to be kept.
struct NewFlow<'a> {
    state: &'a str,
    cookie: &'a str,
    secrets: &'a Secrets,
    recording_id: &'a str,
}

/// Keeps a flow, and writes the audit line of its start.
async fn keep(app: &App, caller: &Caller, ask: &Ask<'_>, flow: &NewFlow<'_>) -> Outcome<()> {
    let state_hash = hash_token(flow.state);
    let plain = serde_json::to_string(flow.secrets).map_err(|_| Failure::Corrupt("flow"))?;
    let sealed = app.vault.seal(flow_place(&caller.practice, &state_hash), &plain.into())?;
    let now = app.clock.now();
    let row = FlowRow {
        kind: ask.kind(),
        practice: caller.practice.clone(),
        provider: ProviderId::new(ask.ready.plugin.id()),
        member: match &caller.actor {
            Actor::Member { id, .. } => Some(id.clone()),
            _ => None,
        },
        cookie_hash: hash_token(flow.cookie),
        sealed,
        created_at: now,
        expires_at: now.plus_seconds(LIFE),
        used: false,
        recording_id: flow.recording_id.to_owned(),
        state_hash,
    };
    let mut tx = app.db.begin_write().await?;
    flow::add(&mut tx, &row).await?;
    recording::forget_old(&mut *tx, &row.practice, now).await?;
    let action = match row.kind {
        FlowKind::Connect => "connection.started",
        FlowKind::Launch => "launch.started",
    };
    audit::add(&mut *tx, &caller.event(app, action, row.provider.as_str(), "ok")).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

/// Takes the flow that an answer belongs to. `cookie` is what the browser sent back under
/// [`cookie_name`]. With a failure comes what would have been finished, where that is known.
///
/// # Errors
/// `state_mismatch`, `cookie_blocked`, `state_expired`.
pub async fn take(
    app: &App,
    answer: &AuthorizationAnswer,
    cookie: Option<&str>,
    request_id: &str,
) -> Result<FlowRow, (Option<FlowKind>, Failure)> {
    let row = find(app, answer).await.map_err(|failure| (None, failure))?;
    if let Err(failure) = take_up(app, &row, cookie).await {
        let mut recorder = Recorder::resume(app, &row, request_id).await;
        if recorder.has_room() {
            timeline::came_back(app, &mut recorder, answer);
            recorder.astray(app, failure.code()).await;
        }
        return Err((Some(row.kind), failure));
    }
    Ok(row)
}

async fn find(app: &App, answer: &AuthorizationAnswer) -> Outcome<FlowRow> {
    let state = answer.state.as_deref().ok_or(Code::StateMismatch)?;
    Ok(flow::find(&app.db, &hash_token(state)).await?.ok_or(Code::StateMismatch)?)
}

async fn take_up(app: &App, row: &FlowRow, cookie: Option<&str>) -> Outcome<()> {
    // Before anything is used up: another browser must not be able to end somebody's connect.
    let cookie = cookie.ok_or(Code::CookieBlocked)?;
    if !bool::from(hash_token(cookie).as_bytes().ct_eq(row.cookie_hash.as_bytes())) {
        return Err(Code::StateMismatch.into());
    }
    let now = app.clock.now();
    if row.used || row.expires_at < now || !flow::take(&app.db, &row.state_hash, now).await? {
        return Err(Code::StateExpired.into());
    }
    Ok(())
}

/// Exchanges an answer's code, and validates who signed in.
///
/// # Errors
/// What the EHR answered, `conflict` when the settings changed meanwhile, and everything of the token
/// exchange and the identity token.
pub(super) async fn redeem(
    app: &App,
    answer: &AuthorizationAnswer,
    row: &FlowRow,
    recorder: &mut Recorder,
) -> Outcome<Granted> {
    timeline::came_back(app, recorder, answer);
    let opened = app.vault.open(flow_place(&row.practice, &row.state_hash), &row.sealed)?;
    let secrets: Secrets =
        serde_json::from_str(opened.expose_secret()).map_err(|_| Failure::Corrupt("oauth_flows.sealed"))?;
    check_answer_issuer(answer, &secrets)?;
    if let Some(error) = &answer.error {
        let code = authorize::meaning(error, answer.error_description.as_deref().unwrap_or_default());
        return Err(code.into());
    }
    let code = answer.code.as_deref().ok_or(Code::StateMismatch)?;
    let ready = client::ready(app, &row.practice, &row.provider).await?;
    let terms = secrets.terms();
    if !ready.is_of(&terms) {
        return Err(Code::Conflict.into());
    }
    let credential = client::credential(app, &ready, &terms).await?;
    recorder.step(app, StepName::TokenExchange);
    let tokens = client::token_client(app, &ready, &terms, &credential)
        .exchange(code, &app.config.redirect_url(), &secrets.verifier)
        .await
        .map_err(|error| Failure::of_token(&error))?;
    client::accepted(app, &ready, &credential).await;
    timeline::exchanged(recorder, &tokens, &terms);
    timeline::identity(app, recorder, &tokens);
    let identity = identity(app, &tokens, &secrets).await?;
    timeline::context(app, recorder, &tokens, &terms);
    Ok(Granted { ready, terms, tokens, identity, scopes_offered: secrets.scopes_offered })
}

impl Secrets {
    fn terms(&self) -> Terms {
        Terms {
            issuer: self.issuer.clone(),
            fhir_base: self.fhir_base.clone(),
            token_endpoint: self.token_endpoint.clone(),
            revocation_endpoint: self.revocation_endpoint.clone(),
            client_id: self.client_id.clone(),
            auth: self.auth,
            scopes_requested: self.scopes.clone(),
        }
    }
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

/// RFC 9207: an answer that names another issuer, or none where the EHR promised one, is a mix-up.
fn check_answer_issuer(answer: &AuthorizationAnswer, secrets: &Secrets) -> Outcome<()> {
    let fits = match (&answer.iss, &secrets.openid_issuer) {
        (Some(iss), Some(expected)) => iss == expected,
        (Some(_), None) => true,
        (None, _) => !secrets.iss_expected,
    };
    if fits { Ok(()) } else { Err(Code::StateMismatch.into()) }
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
    format!("__Host-flow-{}", hash.get(..16).unwrap_or_default())
}

/// A connect's answer is a top-level GET from another site; a launch may run in the EHR's frame.
fn flow_cookie(kind: FlowKind, state: &str, value: &str) -> String {
    set_cookie(&cookie_name(state), value, reach(kind), LIFE)
}

/// Where the cookie of a flow has to come back.
pub const fn reach(kind: FlowKind) -> Reach {
    match kind {
        FlowKind::Connect => Reach::Own,
        FlowKind::Launch => Reach::Framed,
    }
}

fn flow_place<'a>(practice: &'a PracticeId, state_hash: &'a str) -> Place<'a> {
    Place { practice: practice.as_str(), table: "oauth_flows", row: state_hash, column: "sealed", bound_to: "" }
}
