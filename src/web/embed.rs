//! `/embed/{launch}`: the view that stands in the EHR's frame.
//!
//! Server-rendered, its data loaded before it is rendered, plain forms, no script at all. Guards: a view
//! answers only to the cookie of its launch, and only the practice's EHR may frame it.

use axum::Extension;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use leptos::prelude::*;
use serde::Deserialize;

use super::plain::{self, Framed, Page};
use super::session::{cookie, cookies};
use super::{Web, launch};
use crate::model::connection::Revocation;
use crate::model::id::LaunchId;
use crate::model::problem::Code;
use crate::server::App;
use crate::server::cookies::{Reach, set_cookie};
use crate::server::failure::Outcome;
use crate::server::flow::embed::{self, Opened};
use crate::server::request::RequestMeta;

mod view;

use view::Tab;

/// What the names of our cookies start with.
const COOKIE: &str = "__Host-embed-";

/// The cookie of a launch: one for each, so that frames do not mix.
pub(super) fn cookie_name(id: &LaunchId) -> String {
    format!("{COOKIE}{id}")
}

/// The routes below `/embed`.
pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/{launch}", get(documents))
        .route("/{launch}/notes", get(notes))
        .route("/{launch}/about", get(about))
        .route("/{launch}/sign-out", post(sign_out))
        .route("/{launch}/closed", get(closed))
}

/// What every request to a view brings.
type Asked = (State<App>, Extension<RequestMeta>, Path<LaunchId>, HeaderMap);

async fn documents(asked: Asked) -> Response {
    show(asked, Tab::Documents).await
}

async fn notes(asked: Asked) -> Response {
    show(asked, Tab::Notes).await
}

async fn about(asked: Asked) -> Response {
    show(asked, Tab::About).await
}

async fn show((State(app), Extension(meta), Path(id), headers): Asked, tab: Tab) -> Response {
    let result = async {
        let opened = embed::open(&app, &id, cookie(&headers, &cookie_name(&id)).as_deref()).await?;
        page(&app, &meta, &headers, &opened, tab).await
    };
    result.await.unwrap_or_else(|failure| launch::refused(&app, &failure.into_problem(&meta.request_id), ().into_any()))
}

async fn page(app: &App, meta: &RequestMeta, headers: &HeaderMap, opened: &Opened, tab: Tab) -> Outcome<Response> {
    let left = opened.session.expires_at.as_seconds() - app.clock.now().as_seconds();
    let style = embed::style(app, &opened.session);
    let (style, title, body) = if opened.is_approved() {
        let shown = embed::show(app, opened, tab != Tab::About, &meta.request_id);
        let (style, shown) = tokio::join!(style, shown);
        let shown = shown?;
        let other = embed::has_other_patient(app, &opened.session, &launch_cookies(headers)).await?;
        (style, tab.title(), view::body(opened, &shown, tab, other, app.clock.now()))
    } else {
        (style.await, "Waiting for approval", view::waiting(opened))
    };
    let page = Page {
        style: style.as_deref(),
        // A view that is left open closes itself with its token.
        ends_after: Some(left.saturating_add(1)),
        ..Page::new(title, body, Framed::By(&opened.frame_origins))
    };
    Ok(page.respond(app))
}

/// The launches that this browser has a cookie of.
fn launch_cookies(headers: &HeaderMap) -> Vec<(LaunchId, String)> {
    cookies(headers)
        .filter_map(|pair| Some((LaunchId::new(pair.name().strip_prefix(COOKIE)?), pair.value().to_owned())))
        .collect()
}

/// `POST sign-out`
async fn sign_out((State(app), Extension(meta), Path(id), headers): Asked) -> Response {
    let name = cookie_name(&id);
    let result = async {
        let opened = embed::open(&app, &id, cookie(&headers, &name).as_deref()).await?;
        embed::sign_out(&app, &opened, &meta.request_id).await
    };
    match result.await {
        Ok(revocation) => {
            let word = revocation.as_str();
            let cleared = set_cookie(&name, "", Reach::Framed, 0);
            let to = format!("/embed/{id}/closed?revocation={word}");
            (StatusCode::SEE_OTHER, [(LOCATION, to), (SET_COOKIE, cleared)]).into_response()
        }
        Err(failure) => launch::refused(&app, &failure.into_problem(&meta.request_id), ().into_any()),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClosedQuery {
    revocation: String,
}

/// `GET closed`: says what a sign-out did. It knows nothing of the launch any more.
async fn closed(State(app): State<App>, query: Result<Query<ClosedQuery>, QueryRejection>) -> Response {
    let word = query.map(|Query(query)| query.revocation).unwrap_or_default();
    let said = match Revocation::parse(&word) {
        Some(Revocation::Confirmed) => "The EHR confirmed that our access has ended.",
        Some(Revocation::NotOffered) => "Our access is deleted here. This EHR lets it end by itself.",
        Some(Revocation::Failed) => {
            "Our access is deleted here. The EHR did not confirm it, and lets it end by itself."
        }
        None => "This view is closed.",
    };
    let content = view! {
        <p>{said}</p>
        <p class="next">"To go on, open the application from the patient's chart again."</p>
    };
    Page::new("Signed out", plain::card("You are signed out", content.into_any()), Framed::ByAnyone).respond(&app)
}

/// Any other address below `/embed`.
pub(super) async fn not_found(State(app): State<App>, Extension(meta): Extension<RequestMeta>) -> Response {
    let failure = crate::server::failure::Failure::from(Code::NotFound);
    launch::refused(&app, &failure.into_problem(&meta.request_id), ().into_any())
}
