//! Knowing who asks: the session cookie of staff, or an API token.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, AUTHORIZATION, COOKIE, USER_AGENT};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Refused;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::flow::sign_in::{self, Origin};
use crate::server::flow::{Caller, tokens};
use crate::server::request::{RequestMeta, SESSION_COOKIE};

/// Whether the session still wants its second factor; only the pages of signing in look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotpWanted(pub bool);

/// Puts a [`RequestMeta`] into the request, and the request id into the answer.
pub async fn attach(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let request_id = app.ids.mint();
    let path = request.uri().path();
    if path == "/healthz" || super::assets::is_asset(path) {
        return next.run(request).await;
    }
    let is_api = path.starts_with("/api/integrations/ehr/");
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut meta = RequestMeta {
        ip: client_ip(&app, &request),
        user_agent: text(USER_AGENT).chars().take(300).collect(),
        accepts_html: text(ACCEPT).contains("text/html"),
        caller: None,
        session_token: cookie(headers, SESSION_COOKIE),
        request_id: request_id.clone(),
    };
    let bearer = is_api.then(|| bearer(headers)).flatten();
    let (caller, totp_wanted) = match identify(&app, &meta, bearer.as_deref()).await {
        Ok(found) => found,
        Err(failure) => return Refused(failure.into_problem(&request_id)).into_response(),
    };
    meta.caller = caller;
    request.extensions_mut().insert(meta);
    request.extensions_mut().insert(TotpWanted(totp_wanted));
    let mut response = next.run(request).await;
    if let Ok(value) = request_id.parse() {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// An `Authorization` header decides alone: a bad token is not made good by a cookie.
async fn identify(app: &App, meta: &RequestMeta, bearer: Option<&str>) -> Outcome<(Option<Caller>, bool)> {
    if let Some(token) = bearer {
        return Ok((tokens::authenticate(app, token, &meta.request_id).await?, false));
    }
    let Some(token) = &meta.session_token else { return Ok((None, false)) };
    let origin = Origin {
        request_id: meta.request_id.clone(),
        ip: meta.ip,
        user_agent: meta.user_agent.clone(),
        session_token: meta.session_token.clone(),
    };
    Ok(match sign_in::resume(app, token, &origin).await? {
        sign_in::Resumed::Active(caller) => (Some(caller), false),
        sign_in::Resumed::TotpWanted => (None, true),
        sign_in::Resumed::None => (None, false),
    })
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// Every cookie of a request, as it came.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = cookie::Cookie<'_>> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(cookie::Cookie::split_parse).filter_map(Result::ok)
}

/// A cookie's value. A name that comes twice is refused: one of the two was planted.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = cookies(headers).filter(|pair| pair.name() == name).map(|pair| pair.value().to_owned());
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The client's address: the peer, or with trusted proxies the entry that the outermost of them wrote.
fn client_ip(app: &App, request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let proxies = app.config.trusted_proxies;
    if proxies == 0 {
        return peer;
    }
    let forwarded = request.headers().get_all("x-forwarded-for");
    let chain: Vec<_> = forwarded
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|entry| entry.trim().parse::<IpAddr>().ok())
        .collect();
    chain.len().checked_sub(proxies).and_then(|at| chain.get(at).copied()).or(peer)
}
