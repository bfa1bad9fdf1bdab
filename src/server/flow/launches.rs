//! What administrators see and decide of EHR launches.

use std::collections::BTreeMap;

use super::{Caller, embed};
use crate::model::field::Rule;
use crate::model::id::{ClinicianId, LaunchId};
use crate::model::launch::{
    ClinicianStatus, ClinicianView, LaunchEnd, LaunchSettings, LaunchView, LaunchesPage, parse_origins,
};
use crate::model::problem::Code;
use crate::model::role::Permission;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::provider;
use crate::server::store::clinician::{self, Clinician};
use crate::server::store::launch::{self, LaunchSession};
use crate::server::store::{StoreError, audit, launch_rules};

/// How many launches are listed.
const LISTED: i64 = 100;

/// Who came, the last launches, and what the practice allows.
///
/// # Errors
/// `forbidden`.
pub async fn page(app: &App, caller: &Caller) -> Outcome<LaunchesPage> {
    caller.require(Permission::ReadMembers)?;
    let people = clinician::list(&app.db, &caller.practice).await?;
    let launches = launch::list(&app.db, &caller.practice, LISTED).await?;
    let names: BTreeMap<_, _> = people.iter().map(|person| (&person.id, person.label().to_owned())).collect();
    Ok(LaunchesPage {
        launches: launches.iter().map(|session| launch_view(session, &names)).collect(),
        clinicians: people.iter().map(clinician_view).collect(),
        settings: launch_rules::settings(app.db.pool(), &caller.practice).await?,
        may_manage: caller.may(Permission::ManageMembers),
        now: app.clock.now(),
    })
}

fn clinician_view(person: &Clinician) -> ClinicianView {
    ClinicianView {
        id: person.id.clone(),
        name: person.name.clone(),
        fhir_user: person.fhir_user.clone(),
        issuer: person.issuer.clone(),
        status: person.status,
        last_seen_at: person.last_seen_at,
    }
}

fn launch_view(session: &LaunchSession, names: &BTreeMap<&ClinicianId, String>) -> LaunchView {
    LaunchView {
        id: session.id.clone(),
        provider: provider::name_of(&session.provider),
        clinician: session.clinician.as_ref().and_then(|id| names.get(id).cloned()),
        started_at: session.started_at,
        expires_at: session.expires_at,
        ended_at: session.ended.map(|(at, _)| at),
    }
}

/// Ends a launch now, and revokes its tokens at the EHR.
///
/// # Errors
/// `not_found`, `forbidden`.
pub async fn revoke(app: &App, caller: &Caller, id: &LaunchId) -> Outcome<()> {
    caller.require(Permission::ManageMembers)?;
    let session = launch::find(app.db.pool(), &caller.practice, id).await?.ok_or(Code::NotFound)?;
    embed::end(app, caller, &session, LaunchEnd::Revoked).await.map(|_| ())
}

/// Approves or refuses a person. `decision` is a status by its name.
///
/// # Errors
/// `not_found`, `forbidden`, `invalid_input` for another word.
pub async fn decide(app: &App, caller: &Caller, id: &ClinicianId, decision: &str) -> Outcome<()> {
    caller.require(Permission::ManageMembers)?;
    let status = ClinicianStatus::parse(decision).filter(|status| *status != ClinicianStatus::Pending);
    let status = status.ok_or_else(|| Failure::field("decision", Rule::UnknownChoice))?;
    let mut tx = app.db.begin_write().await?;
    if !clinician::decide(&mut tx, &caller.practice, id, status).await? {
        return Err(Code::NotFound.into());
    }
    let action = match status {
        ClinicianStatus::Approved => "clinician.approved",
        ClinicianStatus::Pending | ClinicianStatus::Refused => "clinician.refused",
    };
    audit::add(&mut *tx, &caller.event(app, action, id.as_str(), "ok")).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

/// Saves what the practice allows. `origins` are separated by spaces, commas or lines.
///
/// # Errors
/// `invalid_input`, `forbidden`.
pub async fn save_settings(
    app: &App,
    caller: &Caller,
    auto_approve: bool,
    allow_anonymous: bool,
    origins: &str,
) -> Outcome<()> {
    caller.require(Permission::WriteSettings)?;
    let frame_origins = parse_origins(origins).map_err(|rule| Failure::field("frame_origins", rule))?;
    let settings = LaunchSettings { auto_approve, allow_anonymous, frame_origins };
    let mut tx = app.db.begin_write().await?;
    launch_rules::save_settings(&mut tx, &caller.practice, &settings, app.clock.now()).await?;
    audit::add(&mut *tx, &caller.event(app, "launch.settings_saved", "", "ok")).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}
