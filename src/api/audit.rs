//! The audit trail.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::json::Json;
use crate::model::account::AuditPage;
use crate::model::body::Body;
use crate::model::problem::Problem;

/// A page of the practice's audit trail, newest first. `before` is the last page's `next`.
///
/// # Errors
/// `forbidden`.
#[server(endpoint = "audit_log", input = GetUrl, output = Json)]
pub async fn audit_log(#[server(default)] before: String) -> Result<Body<AuditPage>, Problem> {
    use crate::server::{flow::audit, request};
    request::read(audit::page(&request::app(), &request::caller()?, &before).await)
}
