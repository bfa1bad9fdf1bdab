//! Listening, and stopping gracefully.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::router;
use crate::server::App;
use crate::server::engine::embedded;
use leptos::config::LeptosOptions;

/// How long exports under way may take to be given back.
const HAND_OVER: Duration = Duration::from_secs(20);

/// Serves, and works on exports, until the process is asked to stop; requests under way are finished.
///
/// # Errors
/// When the router cannot be built or the listener fails.
pub async fn serve(app: App, leptos: LeptosOptions, listener: TcpListener) -> anyhow::Result<()> {
    let service = router(app.clone(), leptos)?.into_make_service_with_connect_info::<SocketAddr>();
    let engine = tokio::spawn(embedded::run(app.clone(), app.stopping.clone()));
    let stopping = app.stopping.clone();
    let stop = async move {
        stop_asked().await;
        stopping.cancel();
    };
    axum::serve(listener, service).with_graceful_shutdown(stop).await?;
    app.stopping.cancel();
    // Exports under way are given back, so that another replica goes on at once.
    if tokio::time::timeout(HAND_OVER, engine).await.is_err() {
        tracing::warn!("exports under way were not given back in time");
    }
    app.db.close().await;
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn stop_asked() {
    let interrupt = tokio::signal::ctrl_c();
    let kind = tokio::signal::unix::SignalKind::terminate();
    let Ok(mut terminate) = tokio::signal::unix::signal(kind) else { return drop(interrupt.await) };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}
