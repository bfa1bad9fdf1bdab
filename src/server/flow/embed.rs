//! The embedded view of one launch: who may see it, and what it shows.
//!
//! Guards: a view opens only with the cookie of its launch, while the token lives, and shows nothing
//! before the practice approved the person; every look at a patient's records is audited.

use std::sync::Arc;

use secrecy::SecretString;
use subtle::ConstantTimeEq;

use super::client::{self, Ready};
use super::sealed::Holder;
use super::{Actor, Caller, retire};
use crate::model::connection::{PatientSummary, Revocation};
use crate::model::id::LaunchId;
use crate::model::launch::{ClinicianStatus, LaunchEnd};
use crate::model::problem::Code;
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::failure::Outcome;
use crate::server::fhir::client::{FhirClient, FhirError, is_id};
use crate::server::fhir::document_reference::{self, DocumentSummary};
use crate::server::fhir::encounter::{self, EncounterSummary};
use crate::server::fhir::patient;
use crate::server::smart::style::SmartStyle;
use crate::server::store::clinician::{self, Clinician};
use crate::server::store::launch::{self, LaunchSession};
use crate::server::store::{StoreError, audit, practice};

/// The most cookies of launches that are looked at.
const MAX_OTHERS: usize = 20;

/// A launch whose view may be shown.
pub struct Opened {
    /// The launch.
    pub session: LaunchSession,
    /// Who looks; `None` when the EHR did not say and the practice allows that.
    pub clinician: Option<Clinician>,
    /// The practice's name.
    pub practice_name: String,
    /// Who may frame the view.
    pub frame_origins: Vec<String>,
    ready: Ready,
}

/// What a part of the view has to show, or why it has nothing.
pub type Part<T> = Result<T, Code>;

/// What the view shows.
pub struct Shown {
    /// The patient; `None` when none is open in the EHR.
    pub patient: Option<Part<PatientSummary>>,
    /// The encounter; `None` when none is open in the EHR.
    pub encounter: Option<Part<EncounterSummary>>,
    /// The patient's documents, newest first, and whether the EHR has more; `None` where they are not
    /// asked for.
    pub documents: Option<Part<(Vec<DocumentSummary>, bool)>>,
}

impl Opened {
    /// The provider's name.
    pub fn provider_name(&self) -> &'static str {
        self.ready.plugin.display_name()
    }

    /// Whether the person may see what the launch gives.
    pub fn is_approved(&self) -> bool {
        self.clinician.as_ref().is_none_or(|person| person.status == ClinicianStatus::Approved)
    }

    fn caller(&self, request_id: &str) -> Caller {
        let actor = self.clinician.as_ref().map_or(Actor::Browser, super::launch::actor);
        Caller { practice: self.session.practice.clone(), actor, request_id: request_id.into() }
    }
}

/// The launch of an id and its cookie.
///
/// # Errors
/// `not_found`, `token_expired` when it is over, `cookie_blocked` without the cookie, `forbidden` when the
/// practice refused the person.
pub async fn open(app: &App, id: &LaunchId, cookie: Option<&str>) -> Outcome<Opened> {
    let session = launch::by_id(&app.db, id).await?.ok_or(Code::NotFound)?;
    // Before the cookie is looked at: it ends with the launch.
    if !is_live(app, &session) {
        return Err(Code::TokenExpired.into());
    }
    let cookie = cookie.ok_or(Code::CookieBlocked)?;
    if !is_of(&session, cookie) {
        return Err(Code::NotFound.into());
    }
    let clinician = match &session.clinician {
        Some(id) => Some(clinician::find(app.db.pool(), &session.practice, id).await?.ok_or(Code::NotFound)?),
        None => None,
    };
    if clinician.as_ref().is_some_and(|person| person.status == ClinicianStatus::Refused) {
        return Err(Code::Forbidden.into());
    }
    let ready = client::configured(app, &session.practice, &session.provider).await?;
    let found = practice::get(app.db.pool(), &session.practice).await?.ok_or(Code::NotFound)?;
    let ehr = [session.terms.issuer.as_str(), session.terms.fhir_base.as_str()];
    let frame_origins = super::launch::frame_origins(app, &session.practice, ehr).await?;
    Ok(Opened { clinician, practice_name: found.name, frame_origins, ready, session })
}

fn is_of(session: &LaunchSession, cookie: &str) -> bool {
    hash_token(cookie).as_bytes().ct_eq(session.cookie_hash.as_bytes()).into()
}

fn is_live(app: &App, session: &LaunchSession) -> bool {
    session.ended.is_none() && session.expires_at > app.clock.now()
}

/// Whether one of the browser's other launches is about another patient. The cookies are those of
/// other launches, by their ids.
///
/// # Errors
/// When the database fails.
pub async fn has_other_patient(app: &App, here: &LaunchSession, cookies: &[(LaunchId, String)]) -> Outcome<bool> {
    for (id, cookie) in cookies.iter().filter(|(id, _)| *id != here.id).take(MAX_OTHERS) {
        let Some(other) = launch::by_id(&app.db, id).await? else { continue };
        let patient = |session: &LaunchSession| (session.terms.fhir_base.clone(), session.context.patient.clone());
        let another = other.context.patient.is_some() && patient(&other) != patient(here);
        if another && is_of(&other, cookie) && is_live(app, &other) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The EHR's colours.
pub async fn style(app: &App, session: &LaunchSession) -> Option<Arc<SmartStyle>> {
    app.styles.read(&app.http, session.context.smart_style_url.as_deref()?).await
}

/// Reads what the view shows, all at once.
///
/// # Errors
/// `approval_pending`, and when the database or the vault fails. What the EHR does not give is part of
/// the answer.
pub async fn show(app: &App, opened: &Opened, with_documents: bool, request_id: &str) -> Outcome<Shown> {
    if !opened.is_approved() {
        return Err(Code::ApprovalPending.into());
    }
    let session = &opened.session;
    let sealed = session.access_token.as_deref().ok_or(Code::TokenExpired)?;
    let token = Holder::launch(session).open(app, "access_token", sealed)?;
    let headers = opened.ready.headers();
    let client = fhir(app, opened, &token, &headers);
    let patient_id = session.context.patient.as_deref();
    let (patient, encounter, documents) = tokio::join!(
        read(&client, "Patient", patient_id),
        read(&client, "Encounter", session.context.encounter.as_deref()),
        async {
            match patient_id.filter(|_| with_documents) {
                Some(patient) => Some(documents(&client, patient).await),
                None => None,
            }
        },
    );
    let shown = Shown {
        patient: patient.map(|read| read.map(|record| patient::summary(&record))),
        encounter: encounter.map(|read| read.map(|record| encounter::summary(&record))),
        documents,
    };
    let problem = shown.patient.as_ref().and_then(|part| part.as_ref().err());
    let outcome = problem.map_or("ok", |code| code.name());
    let event = opened.caller(request_id).event(app, "launch.viewed", session.id.as_str(), outcome);
    audit::add(app.db.pool(), &event).await?;
    Ok(shown)
}

fn fhir<'a>(
    app: &'a App,
    opened: &'a Opened,
    token: &'a SecretString,
    headers: &'a [(&'static str, String)],
) -> FhirClient<'a> {
    FhirClient {
        http: &app.http,
        base: &opened.session.terms.fhir_base,
        token: Some(token),
        accept: opened.ready.accept(),
        headers,
    }
}

async fn read(client: &FhirClient<'_>, kind: &'static str, id: Option<&str>) -> Option<Part<serde_json::Value>> {
    let id = id?;
    if !is_id(id) {
        return Some(Err(Code::FhirInvalid));
    }
    Some(client.read(&format!("{kind}/{id}"), kind).await.map_err(|error| note(kind, &error)))
}

/// The first page; no `_count`, which some EHRs refuse for documents.
async fn documents(client: &FhirClient<'_>, patient: &str) -> Part<(Vec<DocumentSummary>, bool)> {
    if !is_id(patient) {
        return Err(Code::FhirInvalid);
    }
    let kind = "DocumentReference";
    let found = client.search(kind, &[("patient", patient)]).await.map_err(|error| note(kind, &error))?;
    let mut documents: Vec<_> = found.resources.iter().map(document_reference::summary).collect();
    documents.sort_by(|one, other| other.date.cmp(&one.date));
    Ok((documents, found.more))
}

/// The log line of a part that could not be read; without ids.
fn note(kind: &str, error: &FhirError) -> Code {
    tracing::info!(fhir.kind = kind, error = %error, "not read for a launch");
    error.code()
}

/// Ends a launch: forgets its tokens here, and revokes them at the EHR where it can be.
///
/// # Errors
/// When the database fails.
pub async fn sign_out(app: &App, opened: &Opened, request_id: &str) -> Outcome<Revocation> {
    end(app, &opened.caller(request_id), &opened.session, LaunchEnd::SignedOut).await
}

/// Ends a launch, whoever asks for it.
pub(super) async fn end(app: &App, caller: &Caller, session: &LaunchSession, how: LaunchEnd) -> Outcome<Revocation> {
    let (access, refresh) = (session.access_token.as_deref(), session.refresh_token.as_deref());
    let retiring = retire::grant(app, &session.provider, Holder::launch(session), access, refresh).await;
    let mut tx = app.db.begin_write().await?;
    launch::end(&mut tx, &session.practice, &session.id, how, app.clock.now()).await?;
    tx.commit().await.map_err(StoreError::from)?;
    let revocation = retiring.revoke(app).await.summary();
    let action = match how {
        LaunchEnd::SignedOut => "launch.signed_out",
        LaunchEnd::Revoked => "launch.revoked",
    };
    audit::add(app.db.pool(), &caller.event(app, action, session.id.as_str(), revocation.outcome())).await?;
    Ok(revocation)
}
