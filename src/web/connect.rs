//! The SMART redirects: `login` sends the browser to the EHR, `callback` takes its answer.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use url::Url;

use super::ehr::{ProviderQuery, caller};
use super::problem::Refused;
use super::session::cookie;
use crate::model::id::ProviderId;
use crate::model::problem::{Code, Problem};
use crate::server::App;
use crate::server::flow::authorization::{self, Started};
use crate::server::flow::connect;
use crate::server::request::RequestMeta;
use crate::server::smart::authorize::AuthorizationAnswer;

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
        Ok(started) if started.post => self_posting_form(&app, &started),
        Ok(started) => go(&started),
        Err(failure) => {
            let problem = failure.into_problem(&meta.request_id);
            if meta.accepts_html { back(provider.as_ref(), &problem) } else { Refused(problem).into_response() }
        }
    }
}

fn go(started: &Started) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    for (name, text) in [(LOCATION, &started.url), (SET_COOKIE, &started.cookie)] {
        match HeaderValue::from_str(text) {
            Ok(value) => response.headers_mut().append(name, value),
            Err(_) => return Refused(Code::DiscoveryFailed.into()).into_response(),
        };
    }
    response
}

/// SMART `authorize-post`: a form that posts itself to the EHR; with a button, should scripts be off.
fn self_posting_form(app: &App, started: &Started) -> Response {
    let Ok(url) = Url::parse(&started.url) else { return Refused(Code::DiscoveryFailed.into()).into_response() };
    let mut action = url.clone();
    action.set_query(None);
    let mut inputs = String::new();
    for (name, value) in url.query_pairs() {
        let (name, value) = (escape(&name), escape(&value));
        for part in [r#"<input type="hidden" name=""#, &name, r#"" value=""#, &value, r#"">"#] {
            inputs.push_str(part);
        }
    }
    let nonce = app.ids.token();
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Going to the EHR</title>\
         <meta name=\"viewport\" content=\"width=device-width\"></head><body><main><h1>Going to the EHR…</h1>\
         <form method=\"post\" action=\"{}\">{inputs}<button id=\"continue\">Continue</button></form></main>\
         <script nonce=\"{nonce}\">document.forms[0].submit()</script></body></html>",
        escape(action.as_str())
    );
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; form-action {}; base-uri 'none'; frame-ancestors 'none'",
        url.origin().ascii_serialization()
    );
    let mut response = Html(page).into_response();
    for (name, text) in [(CONTENT_SECURITY_POLICY, &policy), (SET_COOKIE, &started.cookie)] {
        if let Ok(value) = HeaderValue::from_str(text) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
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
    let result = connect::finish(&app, &answer, value.as_deref(), &meta.request_id).await;
    let mut response = match result {
        Ok(finished) if meta.caller.is_some() => {
            Redirect::to(&format!("{}?notice=connected", page(Some(&finished.provider)))).into_response()
        }
        Ok(_) => Html(CONNECTED).into_response(),
        Err((provider, failure)) => {
            let problem = failure.into_problem(&meta.request_id);
            if meta.caller.is_some() { back(provider.as_ref(), &problem) } else { outside(&problem) }
        }
    };
    let cleared = name.filter(|_| value.is_some()).map(|name| format!("{name}=; Path=/; Secure; HttpOnly; Max-Age=0"));
    if let Some(value) = cleared.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

/// For a browser without a session of ours: an application started the connect with its API token.
const CONNECTED: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Connected</title></head>\
    <body><main><h1>Connected</h1><p>The EHR is connected. You can close this window.</p></main></body></html>";

fn outside(problem: &Problem) -> Response {
    let entry = problem.code.entry();
    let status = StatusCode::from_u16(entry.status).unwrap_or(StatusCode::BAD_REQUEST);
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Not connected</title></head><body><main>\
         <h1>Not connected</h1><p>{}</p><p>{}</p><p>Code <code>{}</code>, request <code>{}</code></p></main></body></html>",
        entry.message,
        entry.action,
        entry.name,
        problem.request_id.as_deref().unwrap_or_default()
    );
    (status, Html(page)).into_response()
}

fn page(provider: Option<&ProviderId>) -> String {
    let known = provider.filter(|id| crate::server::provider::by_id(id).is_some());
    known.map_or_else(|| "/settings/ehr-integrations".into(), |id| format!("/settings/ehr-integrations/{id}"))
}

fn back(provider: Option<&ProviderId>, problem: &Problem) -> Response {
    let request = problem.request_id.as_deref().unwrap_or_default();
    let url = format!("{}?problem={}&request={request}", page(provider), problem.code.name());
    Redirect::to(&url).into_response()
}
