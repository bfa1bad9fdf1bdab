//! What a form post left behind for the page that it redirected to.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::json::Json;
use crate::model::body::Body;
use crate::model::draft::Draft;
use crate::model::problem::Problem;

/// The draft of this id, if this browser may see it and it is not older than ten minutes. An answer
/// that is to be shown once is gone after this.
///
/// # Errors
/// `internal` only.
#[server(name = TakeDraft, endpoint = "draft", input = GetUrl, output = Json)]
pub async fn draft(#[server(default)] id: String) -> Result<Body<Option<Draft>>, Problem> {
    use crate::server::{flow::draft, request};
    request::read(draft::take(&request::app(), request::caller().ok().as_ref(), &id).await)
}
