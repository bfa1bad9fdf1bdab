//! Security headers of every answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use leptos::nonce::Nonce;
use leptos::prelude::{provide_context, use_context};

use super::assets;
use crate::server::App;

/// What everything that is no page of ours may do: nothing.
const CLOSED: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Where cargo-leptos's live reload listens while one develops.
const DEVELOPMENT: &str = if cfg!(debug_assertions) { " ws://127.0.0.1:3001 ws://localhost:3001" } else { "" };

/// The nonce of a request's page: made before the page, so that policy and scripts agree whatever
/// becomes of the rendering's own headers.
#[derive(Clone)]
struct PageNonce(Arc<str>);

/// Gives a page's scripts the nonce of its request.
pub fn provide_page_nonce() {
    let nonce = use_context::<Parts>().and_then(|parts| parts.extensions.get::<PageNonce>().cloned());
    if let Some(PageNonce(nonce)) = nonce {
        provide_context(Nonce::from_value(nonce));
    }
}

/// The policy of a page.
fn page_policy(nonce: &str) -> Option<HeaderValue> {
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self'; \
         img-src 'self' data:; font-src 'self'; connect-src 'self'{DEVELOPMENT}; manifest-src 'self'; \
         base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).ok()
}

fn is_page(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// Adds what an answer does not say itself.
pub async fn secure(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let is_asset = assets::is_asset(request.uri().path());
    let nonce: Arc<str> = app.ids.token().into();
    request.extensions_mut().insert(PageNonce(nonce.clone()));
    let mut response = next.run(request).await;
    let found = response.status().is_success() || response.status().as_u16() == 304;
    let headers = response.headers_mut();
    let fixed = HeaderValue::from_static;
    let cache = if is_asset && found { assets::CACHE } else { "no-store" };
    headers.entry(CACHE_CONTROL).or_insert(fixed(cache));
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        let page = if is_page(headers) { page_policy(&nonce) } else { None };
        headers.insert(CONTENT_SECURITY_POLICY, page.unwrap_or(fixed(CLOSED)));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    headers.insert(REFERRER_POLICY, fixed("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin"));
    headers.insert(
        HeaderName::from_static("permissions-policy"),
        fixed("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    );
    if app.config.base_url.is_https() {
        headers.insert(STRICT_TRANSPORT_SECURITY, fixed("max-age=31536000"));
    }
    response
}
