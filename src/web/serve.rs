//! Listening, and stopping gracefully.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::router;
use crate::server::App;
use leptos::config::LeptosOptions;

/// Serves until the process is asked to stop; requests under way are finished.
///
/// # Errors
/// When the router cannot be built or the listener fails.
pub async fn serve(app: App, leptos: LeptosOptions, listener: TcpListener) -> anyhow::Result<()> {
    let service = router(app.clone(), leptos)?.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop_asked()).await?;
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
