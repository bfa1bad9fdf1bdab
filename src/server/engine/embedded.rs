//! The engine that needs nothing but the database.
//!
//! Workers take exports that are due, under a lease and a fence, and keep the lease while they work; beside them
//! retired signing keys are deleted, also where nobody looks at the keys any more. Guards: a
//! process that is killed is followed by another when its lease ends; one that stops gives its exports back at
//! once; somebody's wish to hold or end an export interrupts a long step.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::server::App;
use crate::server::failure::Failure;
use crate::server::flow::export::advance::{Next, advance};
use crate::server::flow::keys;
use crate::server::store::export::{self, Export};
use crate::server::store::{StoreError, Stored};

/// How many exports one process works on at a time.
const WORKERS: usize = 4;
/// How long a lease lasts, in seconds.
const LEASE: i64 = 30;
/// How often it is kept, and wishes are looked at.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a worker sleeps at most: exports may be started elsewhere.
const NAP: Duration = Duration::from_secs(1);
/// How long a worker waits after the database failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How often retired keys are looked for.
const TIDYING: Duration = Duration::from_mins(10);

/// Works on exports until `stop`; what is under way is given back.
pub async fn run(app: App, stop: CancellationToken) {
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(worker(app.clone(), stop.clone()));
    }
    workers.spawn(tidy(app, stop));
    while workers.join_next().await.is_some() {}
}

async fn worker(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let rest = match work_once(&app, &stop).await {
            Ok(true) => continue,
            Ok(false) => NAP,
            Err(error) => {
                tracing::error!(error = %error, "exports cannot be worked on");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.exports.notified() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// Deletes signing keys that have retired.
async fn tidy(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = keys::forget_retired(&app).await {
            tracing::error!(error = %error, "retired signing keys could not be deleted");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(TIDYING) => {}
        }
    }
}

/// Takes one export that is due, and works on it until it waits. `false` when none is due.
///
/// # Errors
/// When the database fails.
pub async fn work_once(app: &App, stop: &CancellationToken) -> Stored<bool> {
    let now = app.clock.now();
    let Some(export) = export::claim(&app.db, now, now.plus_seconds(LEASE)).await? else { return Ok(false) };
    let (id, fence) = (export.id.clone(), export.lease_fence);
    let own = stop.child_token();
    let heart = tokio::spawn(keep(app.clone(), export.clone(), own.clone()));
    let went_well = steps(app, export, &own).await;
    heart.abort();
    if went_well {
        export::release(&app.db, &id, fence).await?;
    }
    // What failed is left to its lease, so that it is not tried again at once.
    Ok(true)
}

/// One step after the other until the export waits; `false` when a step failed.
async fn steps(app: &App, mut export: Export, stop: &CancellationToken) -> bool {
    while !stop.is_cancelled() {
        match advance(app, &mut export, stop).await {
            Ok(Next::Now) => {}
            Ok(Next::At(_) | Next::Done) => return true,
            Err(Failure::Store(StoreError::NotOne { .. })) => {
                tracing::info!(export.id = %export.id, "another process works on the export now");
                return false;
            }
            Err(failure) => {
                tracing::error!(export.id = %export.id, error = %failure, "an export's step failed");
                return false;
            }
        }
    }
    true
}

/// Keeps the lease; interrupts the work when it is lost, or when somebody wants something else.
async fn keep(app: App, export: Export, stop: CancellationToken) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let until = app.clock.now().plus_seconds(LEASE);
        match export::extend(&app.db, &export.id, export.lease_fence, until).await {
            Ok(Some(wishes)) if !wishes.paused && wishes.cancel_asked == export.cancel_asked => {}
            Ok(_) => return stop.cancel(),
            // The lease may still be good: the fence decides.
            Err(error) => tracing::warn!(export.id = %export.id, error = %error, "a lease could not be kept"),
        }
    }
}
