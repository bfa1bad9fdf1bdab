//! EHR launches: who came by one, and what the practice allows.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::json::Json;
use crate::model::body::Body;
use crate::model::id::{ClinicianId, LaunchId};
use crate::model::launch::LaunchesPage;
use crate::model::problem::Problem;

/// Who came, the last launches, and what the practice allows.
///
/// # Errors
/// `forbidden`.
#[server(name = ReadLaunches, endpoint = "launches", input = GetUrl, output = Json)]
pub async fn launches() -> Result<Body<LaunchesPage>, Problem> {
    use crate::server::{flow::launches, request};
    request::read(launches::page(&request::app(), &request::caller()?).await)
}

/// Ends a launch now, and revokes its tokens at the EHR.
///
/// # Errors
/// `not_found`, `forbidden`.
#[server(endpoint = "revoke_launch")]
pub async fn revoke_launch(launch: LaunchId) -> Result<(), Problem> {
    use crate::server::{flow::launches, request};
    let result = launches::revoke(&request::app(), &request::caller()?, &launch).await;
    request::done(result, "/launches?notice=launch_ended")
}

/// Approves or refuses a person whom an EHR sent. `decision` is `approved` or `refused`.
///
/// # Errors
/// `not_found`, `forbidden`, `invalid_input`.
#[server(endpoint = "decide_clinician")]
pub async fn decide_clinician(clinician: ClinicianId, decision: String) -> Result<(), Problem> {
    use crate::server::{flow::launches, request};
    let result = launches::decide(&request::app(), &request::caller()?, &clinician, &decision).await;
    request::done(result, "/launches?notice=decided")
}

/// Saves what launches may do. `frame_origins` are separated by spaces, commas or lines.
///
/// # Errors
/// `invalid_input`, `forbidden`.
#[server(endpoint = "save_launch_settings")]
pub async fn save_launch_settings(
    #[server(default)] auto_approve: bool,
    #[server(default)] allow_anonymous: bool,
    #[server(default)] frame_origins: String,
) -> Result<(), Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::launches, request};
    let switches = [("auto_approve", auto_approve), ("allow_anonymous", allow_anonymous)];
    let typed = switches.map(|(name, on)| (name, on.to_string()));
    let draft = Draft::of("save_launch_settings", typed.into_iter().chain([("frame_origins", frame_origins.clone())]));
    let (app, caller) = (request::app(), request::caller()?);
    let result = launches::save_settings(&app, &caller, auto_approve, allow_anonymous, &frame_origins).await;
    request::form(result, draft, "/launches", "saved").await
}
