//! Who comes by a launch: the validated identity token, and the record that it names.

use crate::model::id::{ClinicianId, PracticeId};
use crate::model::launch::ClinicianStatus;
use crate::model::problem::Code;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::fhir::client::FhirClient;
use crate::server::fhir::{patient, user};
use crate::server::flow::authorization::Granted;
use crate::server::smart::id_token::Identity;
use crate::server::store::clinician::Clinician;

/// The longest name that is kept, in characters.
const MAX_NAME: usize = 200;

/// Who the identity token names. The record of the user is read for the name; an EHR that does not
/// give it away costs the name, not the launch.
pub(super) async fn meet(
    app: &App,
    practice: &PracticeId,
    granted: &Granted,
    identity: &Identity,
) -> Outcome<Clinician> {
    let reference = identity.user().and_then(|text| user::reference(text, &granted.terms.fhir_base));
    if reference.as_ref().is_some_and(user::Reference::is_patient_side) {
        // A patient's own view is not what a practice approves clinicians for.
        return Err(Code::Forbidden.into());
    }
    let name = match &reference {
        Some(reference) => name(app, granted, reference).await,
        None => None,
    };
    Ok(Clinician {
        id: ClinicianId::new(app.ids.mint()),
        practice: practice.clone(),
        issuer: identity.iss.clone(),
        subject: identity.sub.clone(),
        name,
        fhir_user: identity.user().map(|text| text.chars().take(1_024).collect()),
        status: ClinicianStatus::Pending,
        last_seen_at: app.clock.now(),
    })
}

async fn name(app: &App, granted: &Granted, reference: &user::Reference) -> Option<String> {
    let headers = granted.ready.headers();
    let client = FhirClient {
        http: &app.http,
        base: &granted.terms.fhir_base,
        token: Some(&granted.tokens.access_token),
        accept: granted.ready.accept(),
        headers: &headers,
    };
    match client.read(&reference.path(), reference.kind).await {
        Ok(record) => patient::name(&record).map(|name| name.chars().take(MAX_NAME).collect()),
        Err(error) => {
            tracing::info!(provider.id = granted.ready.plugin.id(), error = %error, "the user's record was not read");
            None
        }
    }
}
