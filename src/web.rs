//! The axum edge: routes, session cookies, guards, security headers.
//!
//! May import everything above `main`. Guards: every request passes [`session::attach`], which knows
//! who asks before any handler runs; the anonymous reach only what [`guard`] names.

use std::path::PathBuf;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use leptos::config::LeptosOptions;
use leptos::prelude::provide_context;
use leptos::server_fn::axum::get_server_fn_service;
use leptos_axum::{LeptosRoutes, generate_route_list, render_app_async_with_context};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::csrf::CsrfLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::server::App;
use crate::server::config::ConfigError;
use crate::server::request::RequestMeta;
use crate::ui::app::{App as Pages, plain_shell, shell};
use crate::ui::part::nav;

pub mod assets;
mod bulk;
mod connect;
mod ehr;
mod embed;
pub mod guard;
mod headers;
mod launch;
mod plain;
mod problem;
pub mod serve;
pub mod session;

/// What handlers can ask for.
#[derive(Clone, FromRef)]
struct Web {
    app: App,
    leptos: LeptosOptions,
}

/// The largest request body, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// The whole router.
///
/// # Errors
/// When the base URL cannot be a trusted origin.
pub fn router(app: App, leptos: LeptosOptions) -> Result<Router, ConfigError> {
    let routes = generate_route_list(Pages);
    let origin = app.config.base_url.origin();
    let csrf = CsrfLayer::new()
        .add_trusted_origin(&origin)
        .map_err(|error| ConfigError::invalid("APP_BASE_URL", error.to_string()))?;
    let context = {
        let app = app.clone();
        move || {
            provide_context(app.clone());
            headers::provide_page_nonce();
        }
    };
    let web = Web { app: app.clone(), leptos: leptos.clone() };
    let compressible = SizeAbove::new(1_024).and(NotForContentType::IMAGES).and(NotForContentType::SSE);
    Ok(Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .nest("/api/integrations/ehr", ehr_routes())
        .nest("/embed", embed::routes().fallback(embed::not_found))
        .route("/api/{*endpoint}", any(server_function))
        .leptos_routes_with_context(&web, routes, context.clone(), {
            let leptos = leptos.clone();
            move || shell(leptos.clone())
        })
        .merge(plain_pages(leptos, context.clone()))
        .fallback(leptos_axum::file_and_error_handler_with_context::<Web, _>(context, shell))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(from_fn(guard::refuse_anonymous))
        .layer(csrf)
        .layer(from_fn_with_state(app.clone(), session::attach))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(90)))
        .layer(CompressionLayer::new().gzip(true).compress_when(compressible))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(app, headers::secure))
        .with_state(web))
}

/// The pages that are rendered on the server only. `leptos_routes` mounts every server function each time that it is used,
/// so these are mounted by hand.
fn plain_pages(leptos: LeptosOptions, context: impl Fn() + Clone + Send + Sync + 'static) -> Router<Web> {
    let page = render_app_async_with_context(context, move || plain_shell(leptos.clone()));
    let paths = guard::ENTRY_PAGES.into_iter().chain(nav::PLAIN);
    paths.fold(Router::new(), |router, path| router.route(path, get(page.clone())))
}

fn ehr_routes() -> Router<Web> {
    Router::new()
        .route("/config", get(ehr::read_config).post(ehr::save_config))
        .route("/status", get(ehr::status))
        .route("/disconnect", post(ehr::disconnect))
        .route("/bulk/start", post(bulk::start))
        .route("/bulk/status", get(bulk::status))
        .route("/bulk/jobs", get(bulk::jobs))
        .route("/bulk/files", get(bulk::files))
        .route("/bulk/events", get(bulk::events))
        .route("/bulk/{order}", post(bulk::order))
        .route("/jwks", get(ehr::jwks))
        .route("/jwks/{practice}", get(ehr::practice_jwks))
        .route("/login", get(connect::login))
        .route("/callback", get(connect::callback))
        .route("/launch", get(launch::launch))
        .route("/{*rest}", any(ehr::not_found))
}

/// Every server function, with the installation in its context.
async fn server_function(State(app): State<App>, meta: Extension<RequestMeta>, request: Request) -> Response {
    let known = get_server_fn_service(request.uri().path(), request.method().clone()).is_some();
    if !known {
        return ehr::not_found(meta).await;
    }
    leptos_axum::handle_server_fns_with_context(move || provide_context(app.clone()), request).await.into_response()
}

/// The run-time settings of the leptos half: `Leptos.toml` under the environment, and where the
/// assets really are.
///
/// # Errors
/// When a `LEPTOS_` variable cannot be read.
pub fn leptos_options(site_root: Option<PathBuf>) -> Result<LeptosOptions, ConfigError> {
    let mut options = leptos_config::get_config_from_str(include_str!("../Leptos.toml"))
        .map_err(|error| ConfigError::invalid("LEPTOS_*", error.to_string()))?;
    let root = site_root.unwrap_or_else(assets::default_root);
    options.site_root = root.to_string_lossy().into();
    Ok(options)
}

#[cfg(test)]
mod tests {
    /// Leptos.toml is what the program reads, Cargo.toml what cargo-leptos reads.
    #[test]
    fn leptos_toml_agrees_with_cargo_toml() {
        let keys = |text: &str| {
            let section = text.split("[package.metadata.leptos]").nth(1).unwrap_or_default().to_owned();
            let lines = section.lines().take_while(|line| !line.starts_with('['));
            lines
                .filter_map(|line| line.split_once(" = "))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        let cargo = keys(include_str!("../Cargo.toml"));
        for (key, value) in keys(include_str!("../Leptos.toml")) {
            assert_eq!(cargo.get(&key), Some(&value), "{key}");
        }
    }
}
