//! What ends when.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::json::Json;
use crate::model::body::Body;
use crate::model::calendar::CalendarPage;
use crate::model::problem::Problem;

/// What ends, the next one first.
///
/// # Errors
/// `forbidden`.
#[server(name = ReadCalendar, endpoint = "calendar", input = GetUrl, output = Json)]
pub async fn calendar() -> Result<Body<CalendarPage>, Problem> {
    use crate::server::{flow::calendar, request};
    request::read(calendar::page(&request::app(), &request::caller()?).await)
}
