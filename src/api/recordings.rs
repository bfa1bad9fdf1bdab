//! Recordings of connects and launches.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::json::Json;
use crate::model::body::Body;
use crate::model::problem::Problem;
use crate::model::recording::RecordingsPage;

/// The practice's last recordings, newest first; with `request` only those that the request was part of.
///
/// # Errors
/// `forbidden`.
#[server(name = ReadRecordings, endpoint = "recordings", input = GetUrl, output = Json)]
pub async fn recordings(#[server(default)] request: String) -> Result<Body<RecordingsPage>, Problem> {
    use crate::server::{flow::recorder, request as asked};
    asked::read(recorder::page(&asked::app(), &asked::caller()?, &request).await)
}
