//! EHR launch: the address that an EHR opens, and the end of the way to the embedded view.
//!
//! Guards: whether our cookie comes back is tried before anything goes to the EHR, so that a launch
//! handle, which most EHRs take once, is not used up in a browser that cannot finish. Pages that say
//! why a launch failed carry no data.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{OriginalUri, Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use leptos::prelude::*;
use serde::Deserialize;
use url::form_urlencoded;

use super::connect::go;
use super::embed::cookie_name;
use super::plain::{self, Framed, Page};
use super::problem::status;
use super::session::cookies;
use crate::model::address::Address;
use crate::model::id::{PracticeId, ProviderId};
use crate::model::problem::{Code, Problem};
use crate::server::App;
use crate::server::cookies::{Reach, set_cookie};
use crate::server::flow::launch::{self, Asked};
use crate::server::flow::sign_in::Origin;
use crate::server::request::RequestMeta;
use crate::server::smart::authorize::AuthorizationAnswer;
use crate::server::store::flow::FlowRow;

/// Set by the first request and wanted back by the second. It carries nothing.
const PROBE: &str = "__Host-launch";

/// The query of a launch. What else an EHR adds is left alone.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LaunchQuery {
    iss: String,
    launch: String,
    provider_id: Option<ProviderId>,
    practice_id: Option<PracticeId>,
    /// Present when we have come back to see whether the cookie did.
    check: Option<String>,
}

/// `GET launch?iss=…&launch=…&providerId=…&practiceId=…`
pub(super) async fn launch(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    query: Result<Query<LaunchQuery>, QueryRejection>,
) -> Response {
    // A parameter that comes twice names nobody.
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let LaunchQuery { iss, launch, provider_id, practice_id, check } = query;
    let asked = Asked { iss: &iss, launch: &launch, provider: provider_id, practice: practice_id };
    let result = match check {
        None => launch::check(&app, &asked, &origin(&meta)).await.map(|()| try_cookie(&uri)),
        // It may come twice: an older browser has kept it for all sites, too.
        Some(_) if !cookies(&headers).any(|pair| pair.name() == PROBE) => {
            launch::cookie_blocked(&app, &asked, &origin(&meta)).await;
            return cookie_blocked(&app, &meta, &uri);
        }
        Some(_) => {
            launch::start(&app, &asked, &origin(&meta)).await.map(|(started, framed)| go(&app, &started, &framed))
        }
    };
    result.unwrap_or_else(|failure| {
        let problem = failure.into_problem(&meta.request_id);
        let named = issuer(&iss).filter(|_| problem.code == Code::InvalidIssuer);
        refused(&app, &problem, named.into_any())
    })
}

fn origin(meta: &RequestMeta) -> Origin {
    let RequestMeta { request_id, ip, user_agent, .. } = meta.clone();
    Origin { request_id, ip, user_agent, session_token: None }
}

/// The issuer as the EHR sent it, for the administrator who has to configure it.
fn issuer(iss: &str) -> Option<AnyView> {
    let address = Address::parse(iss).ok()?.to_string();
    (address.len() <= 300).then(|| view! { <p>"The EHR calls itself " <code>{address}</code> "."</p> }.into_any())
}

/// The same address once more, with a cookie to bring back.
fn try_cookie(uri: &Uri) -> Response {
    let again = with_query(uri, &[("check", "1")]);
    let probe = set_cookie(PROBE, "1", Reach::Framed, 600);
    let mut response = StatusCode::SEE_OTHER.into_response();
    for (name, text) in [(LOCATION, again), (SET_COOKIE, probe)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// This address with other values for some parameters; the rest stays as the EHR wrote it.
fn with_query(uri: &Uri, more: &[(&str, &str)]) -> String {
    let kept = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).filter(|(name, _)| name != "check");
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).extend_pairs(more).finish();
    format!("{}?{query}", uri.path())
}

/// The launch handle is still good: a window of its own starts again with it.
fn cookie_blocked(app: &App, meta: &RequestMeta, uri: &Uri) -> Response {
    let problem = Problem { request_id: Some(meta.request_id.clone()), ..Code::CookieBlocked.into() };
    tracing::info!(request.id = meta.request_id, code = problem.code.name(), "request refused");
    let again = with_query(uri, &[]);
    let link = view! {
        <p>
            <a class="button primary" id="own-window" href=again target="_blank" rel="noopener">
                "Open in a new window"
            </a>
        </p>
    };
    refused(app, &problem, link.into_any())
}

/// The end of the way: the view opens, with a cookie of its own.
pub(super) async fn finish(app: &App, meta: &RequestMeta, answer: &AuthorizationAnswer, row: &FlowRow) -> Response {
    match launch::finish(app, answer, row, &origin(meta)).await {
        Ok(launched) => {
            let cookie = set_cookie(&cookie_name(&launched.id), &launched.cookie, Reach::Framed, launched.life);
            let view = format!("/embed/{}", launched.id);
            (StatusCode::SEE_OTHER, [(LOCATION, view), (SET_COOKIE, cookie)]).into_response()
        }
        Err(failure) => {
            let more = help(app, answer, failure.code());
            refused(app, &failure.into_problem(&meta.request_id), more.into_any())
        }
    }
}

/// The EHR's own page about its error (RFC 6749 §4.1.2.1), where it is one that we would call ourselves. An answer
/// that is not the EHR's offers nothing.
pub(super) fn help(app: &App, answer: &AuthorizationAnswer, code: Code) -> Option<AnyView> {
    let uri = answer.error_uri.as_deref().filter(|_| answer.error.is_some() && code != Code::StateMismatch)?;
    let url = app.http.allowed(uri).ok()?;
    let host = url.host_str()?.to_owned();
    let link = view! {
        <p>
            <a href=url.to_string() target="_blank" rel="noopener noreferrer">"What the EHR says about it"</a>
            " (" {host} ")"
        </p>
    };
    Some(link.into_any())
}

/// Why a launch failed, and what to do next.
pub(super) fn refused(app: &App, problem: &Problem, more: AnyView) -> Response {
    let body = plain::problem(problem, next_step(problem.code), more);
    let status = status(problem.code);
    Page { status, ..Page::new("Not opened", body, Framed::ByAnyone) }.respond(app)
}

/// The next step of somebody who works in the EHR. The catalogue speaks to administrators.
const fn next_step(code: Code) -> &'static str {
    match code {
        Code::StateMismatch
        | Code::StateExpired
        | Code::NonceMismatch
        | Code::TokenExpired
        | Code::Conflict
        | Code::NotFound => "Close this, and open the application from the patient's chart again.",
        Code::AccessDenied => "Open the application from the chart again, and allow access when the EHR asks for it.",
        Code::Forbidden => "Ask an administrator of your practice whether you may use this application.",
        Code::InvalidIssuer => {
            "Ask an administrator of your practice to configure this EHR under Settings → EHR Integrations, \
             and to give the EHR the launch URL from that page."
        }
        code => code.entry().action,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever an EHR sends comes back to us as it was, with one mark of ours.
        #[test]
        fn the_second_request_is_the_first_one_and_a_mark(iss in "\\PC{0,40}", launch in "\\PC{0,40}", more in "[a-z]{1,8}") {
            prop_assume!(more != "check");
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("iss", &iss)
                .append_pair("launch", &launch)
                .append_pair(&more, "1")
                .finish();
            let uri: Uri = format!("/launch?{query}").parse().unwrap();
            let again: Uri = with_query(&uri, &[("check", "1")]).parse().unwrap();
            let thrice: Uri = with_query(&again, &[("check", "1")]).parse().unwrap();
            prop_assert_eq!(&again, &thrice);
            let Query(read) = Query::<LaunchQuery>::try_from_uri(&again).unwrap();
            prop_assert_eq!((read.iss, read.launch, read.check.as_deref()), (iss, launch, Some("1")));
            prop_assert_eq!(with_query(&again, &[]), uri.to_string());
        }

        /// Nothing of an issuer reaches the page but an address.
        #[test]
        fn an_issuer_is_shown_as_an_address_or_not_at_all(iss in "\\PC{0,60}") {
            if let Some(shown) = issuer(&iss) {
                let html = shown.to_html();
                prop_assert!(html.contains("http") && !html.contains("<script"), "{}", html);
            }
        }
    }
}
