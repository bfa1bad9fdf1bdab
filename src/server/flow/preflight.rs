//! Asking whether a connection works, and what is known of it without asking.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::Caller;
use super::client::{self, Ready};
use super::refresh::{self, Usable};
use crate::model::connection::{AuthMethod, ConnectionStatus, TestResult};
use crate::model::id::ProviderId;
use crate::model::problem::Code;
use crate::model::role::Permission;
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::fhir::capability::Capabilities;
use crate::server::fhir::client::{FhirClient, is_id};
use crate::server::fhir::patient;
use crate::server::provider;
use crate::server::smart::introspect;
use crate::server::smart::token::TokenClient;
use crate::server::store::{audit, connection};

/// Reads the CapabilityStatement and, when the grant has a patient, that Patient.
///
/// # Errors
/// `forbidden`, `not_found` without a connection, `needs_reconnect`, `ehr_unavailable`, `fhir_invalid`.
pub async fn test(app: &App, caller: &Caller, id: &ProviderId) -> Outcome<TestResult> {
    caller.require(Permission::Connect)?;
    let started = Instant::now();
    let ready = client::ready(app, &caller.practice, id).await?;
    let mut usable = refresh::usable(app, caller, id).await?;
    let mut introspected = introspect(app, &ready, &usable).await;
    if introspected == Some(false) {
        // It was taken back at the EHR: a renewal finds out whether the grant was, too.
        usable = refresh::renewed(app, caller, id, &usable).await?;
        introspected = introspect(app, &ready, &usable).await;
    }
    let capabilities = read_capabilities(app, &ready, &usable).await?;
    let (patient, patient_problem) = match &usable.connection.patient {
        Some(patient) if is_id(patient) => read_patient(app, caller, &ready, &usable, patient).await?,
        Some(_) => (None, Some(Code::FhirInvalid)),
        None => (None, usable.connection.terms.asked_for("launch/patient").then_some(Code::PatientContextMissing)),
    };
    Ok(TestResult {
        creates_patient: capabilities.offers("Patient", "create"),
        creates_document: capabilities.offers("DocumentReference", "create"),
        resource_types: u32::try_from(capabilities.resources.len()).unwrap_or(u32::MAX),
        token_active: introspected,
        software: capabilities.software,
        fhir_version: capabilities.fhir_version,
        patient,
        patient_problem,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Whether the EHR says that the token is good; `None` where it is not to be asked: it offers no
/// introspection, or elsewhere than where our tokens come from, or we are a public client.
async fn introspect(app: &App, ready: &Ready, usable: &Usable) -> Option<bool> {
    let terms = &usable.connection.terms;
    let found = client::discover(app, ready).await.ok()?;
    let endpoint = found.introspection_endpoint.as_deref()?;
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    if terms.auth.method == AuthMethod::None || origin(endpoint) != origin(&terms.token_endpoint) {
        return None;
    }
    let credential = client::credential(app, ready, terms).await.ok()?;
    let client = TokenClient { endpoint, ..client::token_client(app, ready, terms, &credential) };
    match introspect::introspect(&client, &usable.token).await {
        Ok(said) => Some(said.active),
        Err(error) => {
            tracing::info!(connection.id = %usable.connection.id, error = %error, "not introspected");
            None
        }
    }
}

type PatientRead = (Option<crate::model::connection::PatientSummary>, Option<Code>);

async fn read_patient(
    app: &App,
    caller: &Caller,
    ready: &Ready,
    usable: &Usable,
    patient: &str,
) -> Outcome<PatientRead> {
    let headers = ready.headers();
    let client = fhir_client(app, ready, usable, &headers);
    let read = client.read(&format!("Patient/{patient}"), "Patient").await;
    let outcome = read.as_ref().err().map_or("ok", |error| error.code().name());
    // Patient data was asked for: that is audited, without saying whose.
    audit::add(app.db.pool(), &caller.event(app, "patient.read", ready.plugin.id(), outcome)).await?;
    Ok(match read {
        Ok(resource) => (Some(patient::summary(&resource)), None),
        Err(error) => (None, Some(error.code())),
    })
}

async fn read_capabilities(app: &App, ready: &Ready, usable: &Usable) -> Outcome<Capabilities> {
    let headers = ready.headers();
    let client = fhir_client(app, ready, usable, &headers);
    // The CapabilityStatement is public (FHIR R4, "capabilities"): the token is not needed and not sent.
    let open = FhirClient { token: None, ..client };
    let statement: Value = open
        .read("metadata", "CapabilityStatement")
        .await
        .map_err(|error| Failure::explained(error.code(), error.to_string()))?;
    let capabilities = Capabilities::of(&statement);
    let json = serde_json::to_string(&capabilities).map_err(|_| Failure::Corrupt("capabilities"))?;
    connection::save_capabilities(&app.db, &usable.connection, json, app.clock.now()).await?;
    Ok(capabilities)
}

fn fhir_client<'a>(
    app: &'a App,
    ready: &Ready,
    usable: &'a Usable,
    headers: &'a [(&'static str, String)],
) -> FhirClient<'a> {
    FhirClient {
        http: &app.http,
        base: &usable.connection.terms.fhir_base,
        token: Some(&usable.token),
        accept: ready.accept(),
        headers,
    }
}

/// The status of a connection, as the JSON API answers it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The provider.
    pub provider_id: ProviderId,
    /// Whether the grant works, as far as is known without asking.
    pub connected: bool,
    /// Where it stands.
    pub status: ConnectionStatus,
    /// The EHR's issuer.
    pub issuer: Option<String>,
    /// The FHIR base URL.
    pub fhir_base_url: Option<String>,
    /// What was asked for.
    pub scopes_requested: Vec<String>,
    /// What was granted; `null` when the EHR did not say.
    pub scopes_granted: Option<Vec<String>>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// Whether it renews itself.
    pub renews: bool,
    /// When the connection was made.
    pub connected_at: Option<Timestamp>,
    /// The patient of the grant.
    pub patient: Option<String>,
    /// The user who granted it.
    pub fhir_user: Option<String>,
    /// Why it ended.
    pub last_problem: Option<Code>,
    /// What the CapabilityStatement says, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
}

/// The status of the practice's connection with a provider. The EHR is called only for
/// `include_capabilities`, and then only for its CapabilityStatement.
///
/// # Errors
/// `forbidden`, `not_found` for an unknown provider; with `include_capabilities` also what the EHR answers.
pub async fn status(app: &App, caller: &Caller, id: &ProviderId, include_capabilities: bool) -> Outcome<Status> {
    caller.require(Permission::ReadSettings)?;
    provider::by_id(id).ok_or(Code::NotFound)?;
    let found = connection::find(app.db.pool(), &caller.practice, id).await?;
    let connected = found.as_ref().is_some_and(|found| found.status == ConnectionStatus::Connected);
    let capabilities = if include_capabilities && connected {
        let ready = client::ready(app, &caller.practice, id).await?;
        let usable = refresh::usable(app, caller, id).await?;
        Some(read_capabilities(app, &ready, &usable).await?)
    } else {
        None
    };
    // Read again: asking may have renewed or ended the connection.
    let found = connection::find(app.db.pool(), &caller.practice, id).await?;
    let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let Some(found) = found else {
        return Ok(Status {
            provider_id: id.clone(),
            connected: false,
            status: ConnectionStatus::NotConnected,
            issuer: None,
            fhir_base_url: None,
            scopes_requested: Vec::new(),
            scopes_granted: None,
            expires_at: None,
            renews: false,
            connected_at: None,
            patient: None,
            fhir_user: None,
            last_problem: None,
            capabilities,
        });
    };
    Ok(Status {
        provider_id: id.clone(),
        connected: found.status == ConnectionStatus::Connected,
        status: found.status,
        scopes_requested: words(&found.terms.scopes_requested),
        scopes_granted: found.scopes_granted.as_deref().map(words),
        issuer: Some(found.terms.issuer),
        fhir_base_url: Some(found.terms.fhir_base),
        expires_at: found.expires_at,
        renews: found.refresh_token.is_some(),
        connected_at: Some(found.connected_at),
        patient: found.patient,
        fhir_user: found.fhir_user,
        last_problem: found.last_problem,
        capabilities,
    })
}
