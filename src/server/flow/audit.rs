//! The audit trail: reading it, and the one way in which the account flows write it.
//!
//! May import the store. Guards: a change and its line are one transaction ([`commit`]).

use crate::model::account::{AuditPage, AuditView};
use crate::model::role::Permission;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::store::audit::Event;
use crate::server::store::{StoreError, Tx, audit};

use super::Caller;

const PAGE: usize = 50;

/// A page of the caller's practice, newest first, older than `before` (empty for the newest).
///
/// # Errors
/// `forbidden`.
pub async fn page(app: &App, caller: &Caller, before: &str) -> Outcome<AuditPage> {
    caller.require(Permission::ReadAudit)?;
    // One more than shown tells whether there are older ones.
    let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let mut rows = audit::page(&app.db, &caller.practice, before, limit).await?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let next = rows.last().filter(|_| more).map(|last| last.id.clone());
    Ok(AuditPage { events: rows.into_iter().map(view).collect(), next, now: app.clock.now() })
}

/// Writes the line of a change and commits both.
///
/// # Errors
/// When the database fails; then neither is there.
pub(super) async fn commit(mut tx: Tx, event: &Event) -> Outcome<()> {
    audit::add(&mut *tx, event).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

fn view(event: Event) -> AuditView {
    AuditView {
        id: event.id,
        at: event.at,
        actor: event.actor,
        action: event.action,
        target: event.target,
        outcome: event.outcome,
        request_id: event.request_id,
    }
}
