//! What server-function bodies ask of their request, and how they answer it.
//!
//! May import the flows; the one file of `server` that knows leptos contexts. The session middleware
//! of `web` puts a [`RequestMeta`] into the request's extensions and the router provides [`App`].
//!
//! A form post without JavaScript accepts `text/html`. `leptos_axum` answers it by a redirect to the
//! Referer and applies `ResponseOptions` after that, so our `Location` wins and a status that we set
//! would show raw bytes. Guards: a status is set only for a server-function call that is not such a
//! post, and 404 for a page about nothing; what was typed comes back as a sealed draft, not in the
//! URL; a redirect goes where we say, or to a local path ([`local_path`]).

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use leptos::prelude::{expect_context, use_context};
use leptos_axum::ResponseOptions;
use serde::Serialize;
use serde_json::Value;
use url::form_urlencoded;

use crate::model::account::SignInStep;
use crate::model::body::Body;
use crate::model::connection::Revocation;
use crate::model::draft::Draft;
use crate::model::id::ProviderId;
use crate::model::problem::{Code, Problem};

use super::App;
use super::cookies::{self, Reach};
use super::failure::{Failure, Outcome};
use super::flow::authorization::Started;
use super::flow::sign_in::{Origin, SignedIn};
use super::flow::{Caller, draft};

/// The staff session's cookie. `__Host-` makes browsers insist on Secure, `Path=/` and no Domain.
pub const SESSION_COOKIE: &str = "__Host-session";

/// What the session middleware found out about a request.
#[derive(Clone, Default)]
pub struct RequestMeta {
    /// The request's id.
    pub request_id: String,
    /// The browser's address, where it is known.
    pub ip: Option<IpAddr>,
    /// The browser's User-Agent.
    pub user_agent: String,
    /// Whether `Accept` has `text/html`.
    pub accepts_html: bool,
    /// Who it is, if signed in.
    pub caller: Option<Caller>,
    /// The session cookie's value, also while the second factor is wanted.
    pub session_token: Option<String>,
}

/// How a server function's answer is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// A form post or link without JavaScript: it wants a redirect.
    Html,
    /// A program: it wants a status and JSON.
    Program,
    /// A page that is rendered on the server: the answer becomes part of it.
    Page,
}

/// The installation.
///
/// # Panics
/// When the router does not provide it: a fault of the wiring that the first request shows.
pub fn app() -> App {
    expect_context::<App>()
}

/// Who asks.
///
/// # Errors
/// `unauthenticated`.
pub fn caller() -> Result<Caller, Problem> {
    let meta = meta();
    meta.caller.ok_or_else(|| {
        set_status(Some(Code::Unauthenticated));
        Problem { request_id: Some(meta.request_id), ..Code::Unauthenticated.into() }
    })
}

/// Where the request comes from.
pub fn origin() -> Origin {
    let RequestMeta { request_id, ip, user_agent, session_token, .. } = meta();
    Origin { request_id, ip, user_agent, session_token }
}

/// Answers a flow's result.
///
/// # Errors
/// What the flow refused.
pub fn answer<T>(result: Outcome<T>) -> Result<T, Problem> {
    let result = result.map_err(|failure| failure.into_problem(&meta().request_id));
    set_status(result.as_ref().err().map(|problem| problem.code));
    result
}

/// Answers what a flow read, as JSON.
///
/// # Errors
/// What the flow refused.
pub fn read<T: Serialize>(result: Outcome<T>) -> Result<Body<T>, Problem> {
    answer(result.and_then(|value| Body::of(&value).map_err(|_| Failure::Corrupt("answer"))))
}

/// Answers a change without a form: a post without JavaScript goes on to `redirect_to`, or to the
/// same page with the problem.
///
/// # Errors
/// What the flow refused.
pub fn done(result: Outcome<()>, redirect_to: &str) -> Result<(), Problem> {
    let result = answer(result);
    match &result {
        Ok(()) => redirect_html(redirect_to),
        Err(problem) => redirect_html(&with_problem(redirect_to, problem)),
    }
    result
}

/// The page of an address, with a problem in its query: codes and ids of ours only.
fn with_problem(address: &str, problem: &Problem) -> String {
    let page = address.split('?').next().unwrap_or_default();
    let request = problem.request_id.as_deref().unwrap_or_default();
    format!("{page}?problem={}&request={request}", problem.code.name())
}

/// Answers a form: a post without JavaScript goes back to `page`, with a notice or with its draft.
///
/// # Errors
/// What the flow refused.
pub async fn form<T>(result: Outcome<T>, draft: Draft, page: &str, notice: &str) -> Result<T, Problem> {
    let result = answer(result);
    match &result {
        Ok(_) => redirect_html(&with_query(page, "notice", notice)),
        Err(problem) => redirect_refused(draft, problem, page).await,
    }
    result
}

/// Answers a form whose result is shown once: for a post without JavaScript it travels in a draft,
/// text as it is, everything else as JSON.
///
/// # Errors
/// What the flow refused.
pub async fn form_shown_once<T: Serialize>(
    result: Outcome<T>,
    draft: Draft,
    page_on_error: &str,
    page_on_success: &str,
) -> Result<T, Problem> {
    let result = answer(result);
    match &result {
        Ok(value) => {
            let shown_once = Some(as_text(value));
            redirect_to_draft(Draft { form: draft.form, shown_once, ..Draft::default() }, page_on_success).await;
        }
        Err(problem) => redirect_refused(draft, problem, page_on_error).await,
    }
    result
}

/// Answers a sign-in: sets the cookie; a post without JavaScript goes on to `next`, to the page of
/// the second factor, or back to `page` with its draft.
///
/// # Errors
/// What the flow refused.
pub async fn signed_in(result: Outcome<SignedIn>, draft: Draft, page: &str, next: &str) -> Result<SignInStep, Problem> {
    match answer(result) {
        Ok(SignedIn { step, token, max_age_seconds }) => {
            set_cookie(&session_cookie(&token, max_age_seconds));
            match step {
                SignInStep::Done => redirect_html(local_path(next)),
                SignInStep::TotpWanted => redirect_html(&with_query("/sign-in/code", "next", local_path(next))),
            }
            Ok(step)
        }
        Err(problem) => {
            redirect_refused(draft, &problem, page).await;
            Err(problem)
        }
    }
}

/// Answers a sign-out: removes the cookie; a post without JavaScript goes to the sign-in page.
///
/// # Errors
/// What the flow refused.
pub fn signed_out(result: Outcome<()>) -> Result<(), Problem> {
    let result = done(result, "/sign-in?notice=signed_out");
    if result.is_ok() {
        set_cookie(&session_cookie("", 0));
    }
    result
}

/// Answers the start of a connect: sets its cookie; a post without JavaScript goes to the EHR.
///
/// # Errors
/// What the flow refused.
pub fn connect_started(result: Outcome<Started>, provider: &ProviderId) -> Result<String, Problem> {
    let Started { url, post, cookie, .. } = answer(result)?;
    if post {
        // Only a page of ours can post a form to the EHR: the login route makes one.
        let login = format!("/api/integrations/ehr/login?providerId={provider}");
        redirect_html(&login);
        return Ok(login);
    }
    set_cookie(&cookie);
    redirect_html(&url);
    Ok(url)
}

/// Answers a disconnect: a post without JavaScript goes back to the provider's page, with a notice
/// that says what the EHR did.
///
/// # Errors
/// What the flow refused.
pub fn disconnected(result: Outcome<Revocation>, provider: &ProviderId) -> Result<Revocation, Problem> {
    let page = format!("/settings/ehr-integrations/{provider}");
    let revocation = match answer(result) {
        Ok(revocation) => revocation,
        Err(problem) => {
            redirect_html(&with_problem(&page, &problem));
            return Err(problem);
        }
    };
    let notice = match revocation {
        Revocation::Confirmed => "disconnected_confirmed",
        Revocation::NotOffered => "disconnected_not_offered",
        Revocation::Failed => "disconnected_failed",
    };
    redirect_html(&with_query(&page, "notice", notice));
    Ok(revocation)
}

/// The text of a session cookie; an empty token with no age removes it.
pub fn session_cookie(token: &str, max_age_seconds: i64) -> String {
    cookies::set_cookie(SESSION_COOKIE, token, Reach::Own, max_age_seconds)
}

/// `next` if it is a path of ours, else `/`: an address of another host would make the sign-in page
/// a springboard for phishing.
pub fn local_path(next: &str) -> &str {
    let local =
        next.starts_with('/') && !next.contains("//") && !next.contains('\\') && !next.contains(char::is_control);
    if local { next } else { "/" }
}

fn meta() -> RequestMeta {
    use_context::<Parts>().and_then(|parts| parts.extensions.get::<RequestMeta>().cloned()).unwrap_or_default()
}

fn reader() -> Reader {
    let call = use_context::<Parts>().is_some_and(|parts| parts.uri.path().starts_with("/api/"));
    match (call, meta().accepts_html) {
        (false, _) => Reader::Page,
        (true, true) => Reader::Html,
        (true, false) => Reader::Program,
    }
}

/// Sets the status of a program's answer by the catalogue, or leaves it at its default again. A page
/// has a status of its own only if what it is about does not exist.
fn set_status(code: Option<Code>) {
    let Some(options) = use_context::<ResponseOptions>() else { return };
    let reader = reader();
    if reader == Reader::Program || (reader == Reader::Page && code == Some(Code::NotFound)) {
        let status = code.and_then(|code| StatusCode::from_u16(code.entry().status).ok());
        options.0.write().unwrap_or_else(std::sync::PoisonError::into_inner).status = status;
    }
}

fn set_cookie(cookie: &str) {
    if let (Some(options), Ok(value)) = (use_context::<ResponseOptions>(), HeaderValue::from_str(cookie)) {
        options.append_header(header::SET_COOKIE, value);
    }
}

/// Redirects a post without JavaScript. The path may hold what a user sent: what no header may hold
/// is percent-encoded, as `leptos_axum::redirect` panics on it.
fn redirect_html(path: &str) {
    if reader() == Reader::Html {
        leptos_axum::redirect(&header_safe(path));
    }
}

async fn redirect_refused(draft: Draft, problem: &Problem, page: &str) {
    redirect_to_draft(Draft { problem: Some(problem.clone()), ..draft }, page).await;
}

/// Keeps a draft and redirects to the page with its id. When it cannot be kept, `leptos_axum`'s own
/// redirect stays, which has the problem's code in the URL.
async fn redirect_to_draft(kept: Draft, page: &str) {
    if reader() != Reader::Html {
        return;
    }
    let meta = meta();
    match draft::save(&app(), meta.caller.as_ref(), &kept).await {
        Ok(id) => redirect_html(&with_query(page, "draft", &id)),
        Err(failure) => drop(failure.into_problem(&meta.request_id)),
    }
}

fn with_query(page: &str, key: &str, value: &str) -> String {
    let join = if page.contains('?') { '&' } else { '?' };
    let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    format!("{page}{join}{key}={value}")
}

fn header_safe(path: &str) -> String {
    let mut safe = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() {
            safe.push(char::from(byte));
        } else {
            safe.extend(form_urlencoded::byte_serialize(&[byte]).map(|text| text.replace('+', "%20")));
        }
    }
    safe
}

fn as_text<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/settings?tab=1#x", "/settings?tab=1#x")]
    #[case("", "/")]
    #[case("settings", "/")]
    #[case("//evil.example", "/")]
    #[case("/\\evil.example", "/")]
    #[case("/a//b", "/")]
    #[case("https://evil.example", "/")]
    #[case("/a\r\nSet-Cookie: x=y", "/")]
    fn only_local_paths(#[case] next: &str, #[case] expected: &str) {
        assert_eq!(local_path(next), expected);
    }

    #[test]
    fn queries_and_headers() {
        assert_eq!(with_query("/a", "next", "/b?c=d&e"), "/a?next=%2Fb%3Fc%3Dd%26e");
        assert_eq!(with_query("/a?x=1", "draft", "y"), "/a?x=1&draft=y");
        assert_eq!(header_safe("/setup?token=ä \r\n%"), "/setup?token=%C3%A4%20%0D%0A%");
        assert_eq!(as_text(&"https://x"), "https://x");
        assert_eq!(as_text(&["a", "b"]), r#"["a","b"]"#);
    }

    #[test]
    fn the_cookie() {
        assert_eq!(session_cookie("T", 60), "__Host-session=T; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60");
    }
}
