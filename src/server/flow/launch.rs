//! EHR launch: a browser that an EHR sends opens a view of the patient who is open there.
//!
//! SMART App Launch 2.2, "EHR Launch". Guards: the issuer must be one that the practice configured,
//! before anything leaves; who comes is who the validated identity token names, never above
//! clinician; a launch has a session of its own and never touches the service connection.

use super::authorization::{self, Ask, EhrLaunch, Granted, Started};
use super::recorder::Recorder;
use super::sealed::Holder;
use super::sign_in::Origin;
use super::{Actor, Caller, client, limit};
use crate::model::address::Address;
use crate::model::id::{LaunchId, PracticeId, ProviderId};
use crate::model::launch::ClinicianStatus;
use crate::model::problem::Code;
use crate::model::provider::WriteFlags;
use crate::model::recording::StepName;
use crate::model::scope::Scope;
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::failure::{Failure, Outcome};
use crate::server::provider::Provider;
use crate::server::smart::authorize::AuthorizationAnswer;
use crate::server::smart::token::TokenAnswer;
use crate::server::store::clinician::{self, Clinician};
use crate::server::store::flow::FlowRow;
use crate::server::store::launch::{self, LaunchContext, LaunchSession};
use crate::server::store::{StoreError, audit, launch_rules};

mod person;
mod refused;
mod registry;

/// The longest `launch` handle that is taken, in bytes.
const MAX_HANDLE: usize = 4_096;
/// The longest further context that is kept, in bytes of JSON.
const MAX_CONTEXT: usize = 16_384;
/// How long a launch lasts whose token says nothing about it, in seconds (RFC 6749 §5.1 leaves it open).
const LIFE: i64 = 3_600;
/// How long a launch lasts at most, in seconds: a working day, whatever its token says.
const MAX_LIFE: i64 = 12 * 3_600;

/// A launch as the EHR's link asks for it.
pub struct Asked<'a> {
    /// The EHR's FHIR base URL.
    pub iss: &'a str,
    /// The opaque handle.
    pub launch: &'a str,
    /// The provider that our launch URL names.
    pub provider: Option<ProviderId>,
    /// The practice that our launch URL names.
    pub practice: Option<PracticeId>,
}

/// A finished launch.
pub struct Launched {
    /// Which.
    pub id: LaunchId,
    /// The cookie's value.
    pub cookie: String,
    /// How long the cookie is good, in seconds.
    pub life: i64,
}

/// The scopes of a launch. It lives as long as its token, so it never asks to stay connected.
pub fn scopes_to_ask(app: &App, plugin: &dyn Provider, flags: WriteFlags) -> Vec<Scope> {
    client::scopes(app, plugin, flags, "launch openid fhirUser", &["launch/patient", "offline_access"])
}

/// Checks where a launch comes from, without asking anybody.
///
/// # Errors
/// `invalid_issuer` when no practice, or more than one, is configured for it.
pub async fn check(app: &App, asked: &Asked<'_>, origin: &Origin) -> Outcome<()> {
    let result = registry::resolve(app, asked).await.map(|_| ());
    refused::record(app, asked, origin, result).await
}

/// Notes that a launch cannot go on because the browser keeps no cookie of ours.
pub async fn cookie_blocked(app: &App, asked: &Asked<'_>, origin: &Origin) {
    let _: Outcome<()> = refused::record(app, asked, origin, Err(Code::CookieBlocked.into())).await;
}

/// Sends the browser on to the EHR's authorize page. Answers, too, who may frame a page of ours on this way.
///
/// # Errors
/// `invalid_issuer` when no practice, or more than one, is configured for it; `discovery_failed`,
/// `ehr_unavailable`, `pkce_required`, `client_auth_failed`, `key_not_approved`, `rate_limited`.
pub async fn start(app: &App, asked: &Asked<'_>, origin: &Origin) -> Outcome<(Started, Vec<String>)> {
    let resolved = if asked.launch.is_empty() || asked.launch.len() > MAX_HANDLE {
        Err(Failure::explained(Code::InvalidIssuer, "no usable launch parameter"))
    } else {
        registry::resolve(app, asked).await
    };
    let (practice, ready) = refused::record(app, asked, origin, resolved).await?;
    limit::launch_starts(app, origin.ip).await?;
    let caller = Caller { practice, actor: Actor::Browser, request_id: origin.request_id.clone() };
    let scopes = scopes_to_ask(app, ready.plugin, ready.flags);
    let issuer = ready.config.issuer.to_string();
    let frame_origins = frame_origins(app, &caller.practice, [&issuer, &ready.fhir_base]).await?;
    let launch = EhrLaunch { handle: asked.launch, iss: asked.iss.trim_end_matches('/') };
    let ask = Ask { ready: &ready, scopes: &scopes, launch: Some(launch) };
    Ok((authorization::begin(app, &caller, &ask).await?, frame_origins))
}

/// Who may frame a practice's launches: the origins of the EHR's addresses, and those that the practice
/// names.
pub(super) async fn frame_origins(app: &App, practice: &PracticeId, ehr: [&str; 2]) -> Outcome<Vec<String>> {
    let rules = launch_rules::settings(app.db.pool(), practice).await?;
    let own = ehr.into_iter().filter_map(|address| Address::parse(address).ok()).map(|address| address.origin());
    let mut origins = Vec::new();
    for origin in own.chain(rules.frame_origins) {
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    Ok(origins)
}

/// Takes the EHR's answer, and opens the launch.
///
/// # Errors
/// What the EHR answered, `conflict` when the settings changed meanwhile, everything of the token
/// exchange and the identity token, `identity_missing`, and `forbidden` for patients and for people
/// whom the practice refused.
pub async fn finish(app: &App, answer: &AuthorizationAnswer, row: &FlowRow, origin: &Origin) -> Outcome<Launched> {
    let request_id = &origin.request_id;
    let caller = Caller { practice: row.practice.clone(), actor: Actor::Browser, request_id: request_id.clone() };
    let mut recorder = Recorder::resume(app, row, request_id).await;
    let result = complete(app, answer, row, &caller, &mut recorder).await;
    recorder.end(app, &result).await;
    if let Err(error) = limit::launch_opened(app, origin.ip).await {
        // Costs the address a place under its limit, never the launch.
        tracing::warn!(request.id = request_id, error = %error, "an opened launch was not counted");
    }
    if let Err(failure) = &result {
        let event = caller.event(app, "launch.opened", row.provider.as_str(), failure.code().name());
        audit::add(app.db.pool(), &event).await?;
    }
    result
}

async fn complete(
    app: &App,
    answer: &AuthorizationAnswer,
    row: &FlowRow,
    caller: &Caller,
    recorder: &mut Recorder,
) -> Outcome<Launched> {
    let granted = authorization::redeem(app, answer, row, recorder).await?;
    let rules = launch_rules::settings(app.db.pool(), &row.practice).await?;
    let person = match &granted.identity {
        Some(identity) => Some(person::meet(app, &row.practice, &granted, identity).await?),
        None if rules.allow_anonymous => None,
        None => return Err(Code::IdentityMissing.into()),
    };
    if let Some(person) = &person {
        recorder.fact("The user's record", if person.name.is_some() { "read" } else { "not readable" });
    }
    recorder.step(app, StepName::Kept);
    let status = if rules.auto_approve { ClinicianStatus::Approved } else { ClinicianStatus::Pending };
    let mut tx = app.db.begin_write().await?;
    let known = match person {
        Some(person) => Some(clinician::seen(&mut tx, &Clinician { status, ..person }).await?),
        None => None,
    };
    if known.as_ref().is_some_and(|known| known.status == ClinicianStatus::Refused) {
        tx.commit().await.map_err(StoreError::from)?;
        return Err(Code::Forbidden.into());
    }
    let cookie = app.ids.token();
    let session = session(app, row, &granted, known.as_ref(), &cookie)?;
    launch::add(&mut tx, &session).await?;
    let actor = known.as_ref().map_or(Actor::Browser, actor);
    let caller = Caller { actor, ..caller.clone() };
    audit::add(&mut *tx, &caller.event(app, "launch.opened", session.id.as_str(), "ok")).await?;
    tx.commit().await.map_err(StoreError::from)?;
    let life = session.expires_at.as_seconds() - session.started_at.as_seconds();
    Ok(Launched { id: session.id, cookie, life })
}

/// The person as the one who acts.
pub(super) fn actor(person: &Clinician) -> Actor {
    Actor::Clinician { id: person.id.clone(), name: person.label().to_owned() }
}

fn session(
    app: &App,
    row: &FlowRow,
    granted: &Granted,
    known: Option<&Clinician>,
    cookie: &str,
) -> Outcome<LaunchSession> {
    let Granted { terms, tokens, .. } = granted;
    let id = LaunchId::new(app.ids.mint());
    let holder = Holder { practice: &row.practice, table: "launch_sessions", row: id.as_str(), terms };
    let sealed = holder.seal(app, tokens)?;
    let now = app.clock.now();
    Ok(LaunchSession {
        practice: row.practice.clone(),
        provider: row.provider.clone(),
        clinician: known.map(|known| known.id.clone()),
        cookie_hash: hash_token(cookie),
        terms: terms.clone(),
        scopes_granted: sealed.scopes_granted,
        context: context(app, tokens),
        access_token: Some(sealed.access_token),
        refresh_token: sealed.refresh_token,
        started_at: now,
        expires_at: sealed.expires_at.unwrap_or_else(|| now.plus_seconds(LIFE)).min(now.plus_seconds(MAX_LIFE)),
        ended: None,
        id,
    })
}

/// The launch context of a token answer; what is too long or points where we may not go is left out.
fn context(app: &App, tokens: &TokenAnswer) -> LaunchContext {
    let short = |text: &Option<String>| text.clone().filter(|text| text.len() <= 1_024);
    LaunchContext {
        patient: short(&tokens.patient),
        encounter: short(&tokens.encounter),
        intent: short(&tokens.intent),
        need_patient_banner: tokens.need_patient_banner != Some(false),
        smart_style_url: short(&tokens.smart_style_url).filter(|url| app.http.allowed(url).is_ok()),
        tenant: short(&tokens.tenant),
        fhir_context: tokens.fhir_context.as_ref().map(ToString::to_string).filter(|json| json.len() <= MAX_CONTEXT),
    }
}
