//! EHR integrations: providers, their settings, and their connections.

use std::collections::BTreeMap;

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::json::Json;
use crate::model::body::Body;
use crate::model::connection::{Revocation, TestResult};
use crate::model::id::ProviderId;
use crate::model::problem::Problem;
use crate::model::provider::{ProviderList, ProviderPage};

/// Every provider of this installation, and where the practice stands with it.
///
/// # Errors
/// `forbidden`.
#[server(name = ReadProviderList, endpoint = "provider_list", input = GetUrl, output = Json)]
pub async fn provider_list() -> Result<Body<ProviderList>, Problem> {
    use crate::server::{flow::settings, request};
    request::read(settings::list(&request::app(), &request::caller()?).await)
}

/// The page of one provider.
///
/// # Errors
/// `not_found`, `forbidden`.
#[server(name = ReadProviderPage, endpoint = "provider_page", input = GetUrl, output = Json)]
pub async fn provider_page(provider: ProviderId) -> Result<Body<ProviderPage>, Problem> {
    use crate::server::{flow::settings, request};
    request::read(settings::page(&request::app(), &request::caller()?, &provider).await)
}

/// Switches a provider on or off for the practice.
///
/// # Errors
/// `not_found`, `forbidden`.
#[server(endpoint = "set_provider_enabled")]
pub async fn set_provider_enabled(provider: ProviderId, #[server(default)] enabled: bool) -> Result<(), Problem> {
    use crate::server::{flow::settings, request};
    let result = settings::set_enabled(&request::app(), &request::caller()?, &provider, enabled).await;
    request::done(result, "/settings/ehr-integrations?notice=saved")
}

/// Saves a provider's form. An empty secret is kept; `clear[key]=true` removes it.
///
/// # Errors
/// `invalid_input` with the fields' keys, `conflict`, `forbidden`.
#[server(endpoint = "save_provider")]
pub async fn save_provider(
    provider: ProviderId,
    revision: i64,
    #[server(default)] fields: BTreeMap<String, String>,
    #[server(default)] clear: BTreeMap<String, bool>,
    #[server(default)] enable_write: bool,
    #[server(default)] enable_patient_create: bool,
    #[server(default)] enable_note_create: bool,
    #[server(default)] enable_bulk_export: bool,
) -> Result<(), Problem> {
    use crate::model::settings::Flags;
    use crate::server::{flow::settings, request};
    let (app, caller) = (request::app(), request::caller()?);
    let flags = Flags { enable_write, enable_patient_create, enable_note_create, enable_bulk_export };
    let draft = settings::draft(&app, &provider, &fields, flags);
    let result = settings::save_form(&app, &caller, &provider, revision, fields, clear, flags).await;
    request::form(result, draft, &format!("/settings/ehr-integrations/{provider}"), "saved").await
}

/// Starts a standalone connect; answers the address that the browser goes to next.
///
/// # Errors
/// `invalid_issuer`, `discovery_failed`, `pkce_required`, `key_not_approved`, `invalid_input`, `forbidden`.
#[server(endpoint = "start_connect")]
pub async fn start_connect(provider: ProviderId) -> Result<String, Problem> {
    use crate::server::{flow::connect, request};
    let result = connect::start(&request::app(), &request::caller()?, &provider).await;
    request::connect_started(result, &provider)
}

/// Reads the EHR's CapabilityStatement and, when a patient is known, that patient.
///
/// # Errors
/// `needs_reconnect`, `ehr_unavailable`, `fhir_invalid`, `forbidden`.
#[server(endpoint = "test_connection")]
pub async fn test_connection(provider: ProviderId) -> Result<TestResult, Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::preflight, request};
    let page = format!("/settings/ehr-integrations/{provider}");
    let result = preflight::test(&request::app(), &request::caller()?, &provider).await;
    request::form_shown_once(result, Draft::of("test_connection", []), &page, &page).await
}

/// Ends the connection: revokes at the EHR where it can be, deletes the tokens here.
///
/// # Errors
/// `not_found`, `forbidden`.
#[server(endpoint = "disconnect")]
pub async fn disconnect(provider: ProviderId) -> Result<Revocation, Problem> {
    use crate::server::{flow::disconnect, request};
    let result = disconnect::disconnect(&request::app(), &request::caller()?, &provider).await;
    request::disconnected(result.map(|receipt| receipt.summary()), &provider)
}
