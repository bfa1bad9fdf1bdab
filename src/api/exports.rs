//! Bulk exports: starting them, watching them, and what people may do with one.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::json::Json;
use crate::model::body::Body;
use crate::model::export::{ExportForm, ExportsPage};
use crate::model::id::{ExportId, ProviderId};
use crate::model::problem::Problem;

/// The practice's last exports, and what can be started.
///
/// # Errors
/// `forbidden`.
#[server(name = ReadExports, endpoint = "exports", input = GetUrl, output = Json)]
pub async fn exports() -> Result<Body<ExportsPage>, Problem> {
    use crate::server::{flow::export, request};
    request::read(export::page(&request::app(), &request::caller()?).await)
}

/// Starts an export of what the form says.
///
/// # Errors
/// `invalid_input`, `bulk_disabled`, `bulk_unsupported`, `bulk_busy`, `forbidden`, and everything that keeps the
/// backend service from its EHR.
#[server(endpoint = "start_export")]
pub async fn start_export(provider: ProviderId, #[server(default)] wanted: ExportForm) -> Result<(), Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::export, request};
    let typed = wanted.values().into_iter().chain([("provider", provider.to_string())]);
    let draft = Draft::of("start_export", typed);
    let result = export::start(&request::app(), &request::caller()?, &provider, wanted.request()).await;
    request::form(result.map(|_| ()), draft, "/exports", "export_started").await
}

/// Holds an export.
///
/// # Errors
/// `not_found`, `conflict`, `forbidden`.
#[server(endpoint = "pause_export")]
pub async fn pause_export(export: ExportId) -> Result<(), Problem> {
    use crate::server::flow::export::{Order, order};
    use crate::server::request;
    let result = order(&request::app(), &request::caller()?, &export, Order::Pause).await;
    request::done(result.map(|_| ()), "/exports?notice=export_paused")
}

/// Lets an export go on.
///
/// # Errors
/// `not_found`, `conflict`, `forbidden`.
#[server(endpoint = "resume_export")]
pub async fn resume_export(export: ExportId) -> Result<(), Problem> {
    use crate::server::flow::export::{Order, order};
    use crate::server::request;
    let result = order(&request::app(), &request::caller()?, &export, Order::Resume).await;
    request::done(result.map(|_| ()), "/exports?notice=export_resumed")
}

/// Ends an export, and lets the EHR clean up.
///
/// # Errors
/// `not_found`, `conflict`, `forbidden`.
#[server(endpoint = "cancel_export")]
pub async fn cancel_export(export: ExportId) -> Result<(), Problem> {
    use crate::server::flow::export::{Order, order};
    use crate::server::request;
    let result = order(&request::app(), &request::caller()?, &export, Order::Cancel).await;
    request::done(result.map(|_| ()), "/exports?notice=export_cancelled")
}

/// Fetches a failed file of an export again, or without `file` all of them.
///
/// # Errors
/// `not_found`, `conflict`, `bulk_expired`, `forbidden`.
#[server(endpoint = "retry_export")]
pub async fn retry_export(export: ExportId, #[server(default)] file: Option<i64>) -> Result<(), Problem> {
    use crate::server::flow::export::{Order, order};
    use crate::server::request;
    let result = order(&request::app(), &request::caller()?, &export, Order::Retry { file }).await;
    request::done(result.map(|_| ()), "/exports?notice=export_retried")
}

/// Forgets an export. What was taken in stays.
///
/// # Errors
/// `not_found`, `conflict`, `forbidden`.
#[server(endpoint = "delete_export")]
pub async fn delete_export(export: ExportId) -> Result<(), Problem> {
    use crate::server::flow::export::{Order, order};
    use crate::server::request;
    let result = order(&request::app(), &request::caller()?, &export, Order::Delete).await;
    request::done(result.map(|_| ()), "/exports?notice=export_deleted")
}
