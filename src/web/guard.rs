//! What the anonymous may reach.
//!
//! Guards: server functions decode their arguments before their bodies run, so the anonymous are
//! refused here, before that. Everything that is not named is closed.

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::problem::{Refused, status};
use super::session::TotpWanted;
use crate::api;
use crate::model::problem::{Code, Problem};
use crate::server::request::RequestMeta;

/// The pages before a session.
pub const ENTRY_PAGES: [&str; 5] = ["/sign-in", "/sign-in/code", "/setup", "/invite", "/reset"];

/// Another page that needs none.
const TROUBLESHOOTING: &str = "/troubleshooting";

/// Routes under `/api/integrations/ehr/` that need neither session nor token.
pub const PUBLIC_ROUTES: [&str; 3] =
    ["/api/integrations/ehr/jwks", "/api/integrations/ehr/callback", "/api/integrations/ehr/launch"];

/// The key sets of practices.
const KEY_SETS: &str = "/api/integrations/ehr/jwks/";

/// Views of launches, which have cookies of their own.
const EMBED: &str = "/embed/";

/// Sends anonymous browsers to the sign-in page, and refuses other anonymous requests.
pub async fn refuse_anonymous(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let Some(meta) = request.extensions().get::<RequestMeta>() else { return next.run(request).await };
    if meta.caller.is_some() || is_public(path) {
        return next.run(request).await;
    }
    let is_page = !path.starts_with("/api/");
    if !is_page && !meta.accepts_html {
        let problem = Problem { request_id: Some(meta.request_id.clone()), ..Code::Unauthenticated.into() };
        let json_route = path.starts_with("/api/integrations/ehr/");
        return if json_route { Refused(problem).into_response() } else { typed(problem) };
    }
    let totp = request.extensions().get::<TotpWanted>().is_some_and(|wanted| wanted.0);
    let page = if totp { "/sign-in/code" } else { "/sign-in" };
    let wanted = request.uri().path_and_query().map_or(path, |whole| whole.as_str());
    let next_page = if is_page || path == "/api/integrations/ehr/login" { wanted } else { "/" };
    let query: String = url::form_urlencoded::byte_serialize(next_page.as_bytes()).collect();
    if next_page == "/" { Redirect::to(page) } else { Redirect::to(&format!("{page}?next={query}")) }.into_response()
}

/// A problem as the browser half of a server function reads it.
fn typed(problem: Problem) -> Response {
    (status(problem.code), Json(problem)).into_response()
}

fn is_public(path: &str) -> bool {
    ENTRY_PAGES.contains(&path)
        || path == TROUBLESHOOTING
        || path.starts_with(KEY_SETS)
        || path.starts_with(EMBED)
        || PUBLIC_ROUTES.contains(&path)
        || api::PUBLIC.contains(&path)
}
