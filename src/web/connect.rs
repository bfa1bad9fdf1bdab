//! The SMART redirects: `login` sends the browser to the EHR, `callback` takes its answer.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use leptos::prelude::*;
use url::Url;

use super::ehr::{ProviderQuery, caller};
use super::launch;
use super::plain::{self, Framed, Page};
use super::problem::{Refused, status};
use super::session::cookie;
use crate::model::id::ProviderId;
use crate::model::problem::{Code, Problem};
use crate::server::App;
use crate::server::cookies::set_cookie;
use crate::server::failure::Failure;
use crate::server::flow::authorization::{self, Started};
use crate::server::flow::connect;
use crate::server::request::RequestMeta;
use crate::server::smart::authorize::AuthorizationAnswer;
use crate::server::store::flow::FlowKind;

/// `GET login?providerId=…`
pub(super) async fn login(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    query: Result<Query<ProviderQuery>, QueryRejection>,
) -> Response {
    let provider = query.ok().map(|Query(query)| query.provider_id);
    let started = async {
        let id = provider.as_ref().ok_or(Code::NotFound)?;
        connect::start(&app, caller(&meta)?, id).await
    };
    match started.await {
        Ok(started) => go(&app, &started, &[]),
        Err(failure) => {
            let problem = failure.into_problem(&meta.request_id);
            if meta.accepts_html { back(provider.as_ref(), &problem) } else { Refused(problem).into_response() }
        }
    }
}

/// Sends the browser to the EHR's authorize page, in the way that the EHR wants. `framed`: who may frame a
/// page of ours on this way.
pub(super) fn go(app: &App, started: &Started, framed: &[String]) -> Response {
    let mut response = if started.post {
        self_posting_form(app, started, framed)
    } else {
        match HeaderValue::from_str(&started.url) {
            Ok(url) => (StatusCode::SEE_OTHER, [(LOCATION, url)]).into_response(),
            Err(_) => return Refused(Code::DiscoveryFailed.into()).into_response(),
        }
    };
    if let Ok(cookie) = HeaderValue::from_str(&started.cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// SMART `authorize-post`: a form that posts itself to the EHR; with a button, should scripts be off.
fn self_posting_form(app: &App, started: &Started, framed: &[String]) -> Response {
    let Ok(url) = Url::parse(&started.url) else { return Refused(Code::DiscoveryFailed.into()).into_response() };
    let mut action = url.clone();
    action.set_query(None);
    let inputs: Vec<_> = url
        .query_pairs()
        .into_owned()
        .map(|(name, value)| view! { <input type="hidden" name=name value=value/> })
        .collect();
    let form = view! {
        <form method="post" action=action.to_string()>
            {inputs}
            <button class="button primary" id="continue">"Continue"</button>
        </form>
    };
    let page = Page {
        form_action: url.origin().ascii_serialization(),
        script: Some("document.forms[0].submit()"),
        ..Page::new("Going to the EHR", plain::card("Going to the EHR…", form.into_any()), Framed::By(framed))
    };
    page.respond(app)
}

/// `GET callback`
pub(super) async fn callback(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    headers: HeaderMap,
    query: Result<Query<AuthorizationAnswer>, QueryRejection>,
) -> Response {
    // A parameter that comes twice is nobody's answer (RFC 6749 §3.1).
    let answer = query.map(|Query(answer)| answer).unwrap_or_default();
    let name = answer.state.as_deref().map(authorization::cookie_name);
    let value = name.as_deref().and_then(|name| cookie(&headers, name));
    let taken = authorization::take(&app, &answer, value.as_deref(), &meta.request_id).await;
    let kind = taken.as_ref().map_or_else(|(kind, _)| *kind, |row| Some(row.kind));
    let mut response = match (taken, kind) {
        (Ok(row), Some(FlowKind::Launch)) => launch::finish(&app, &meta, &answer, &row).await,
        (Ok(row), _) => {
            let result = connect::finish(&app, &answer, &row, &meta.request_id).await;
            let more = result.as_ref().err().and_then(|failure| launch::help(&app, &answer, failure.code()));
            connected(&app, &meta, Some(&row.provider), result, more)
        }
        (Err((_, failure)), Some(FlowKind::Launch)) => {
            launch::refused(&app, &failure.into_problem(&meta.request_id), ().into_any())
        }
        (Err((_, failure)), _) => connected(&app, &meta, None, Err(failure), None),
    };
    // Used up. The attributes are those that it was set with, or the browser keeps it.
    let reach = authorization::reach(kind.unwrap_or(FlowKind::Connect));
    let cleared = name.filter(|_| value.is_some()).map(|name| set_cookie(&name, "", reach, 0));
    if let Some(value) = cleared.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

/// Back to the settings page. A page of its own says how it went to a browser without a session of ours (an
/// application started the connect with its API token), and where the EHR has `more` to say about an error.
fn connected(
    app: &App,
    meta: &RequestMeta,
    provider: Option<&ProviderId>,
    result: Result<(), Failure>,
    more: Option<AnyView>,
) -> Response {
    let signed_in = meta.caller.is_some();
    match result {
        Ok(()) if signed_in => Redirect::to(&format!("{}?notice=connected", page(provider))).into_response(),
        Ok(()) => {
            let content = view! { <p>"The EHR is connected. You can close this window."</p> };
            Page::new("Connected", plain::card("Connected", content.into_any()), Framed::Never).respond(app)
        }
        Err(failure) => {
            let problem = failure.into_problem(&meta.request_id);
            if signed_in && more.is_none() {
                return back(provider, &problem);
            }
            let settings = signed_in.then(|| {
                let url = back_to(provider, &problem);
                view! { <p><a class="button primary" id="settings" href=url>"Back to the settings"</a></p> }
            });
            let entry = problem.code.entry();
            let more = view! { {more} {settings} };
            let body = plain::problem(&problem, entry.action, more.into_any());
            // Nothing tells a launch's lost answer from a connect's: this page may stand in a frame.
            let page = Page { status: status(problem.code), ..Page::new("Not connected", body, Framed::ByAnyone) };
            page.respond(app)
        }
    }
}

fn page(provider: Option<&ProviderId>) -> String {
    let known = provider.filter(|id| crate::server::provider::by_id(id).is_some());
    known.map_or_else(|| "/settings/ehr-integrations".into(), |id| format!("/settings/ehr-integrations/{id}"))
}

fn back(provider: Option<&ProviderId>, problem: &Problem) -> Response {
    Redirect::to(&back_to(provider, problem)).into_response()
}

fn back_to(provider: Option<&ProviderId>, problem: &Problem) -> String {
    let request = problem.request_id.as_deref().unwrap_or_default();
    format!("{}?problem={}&request={request}", page(provider), problem.code.name())
}
