//! `audit_events`: rows are added, never changed or removed.

use sqlx::{Any, Executor, Row};

use super::{Database, Stored};
use crate::model::id::PracticeId;
use crate::model::time::Timestamp;

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `UUIDv7`: also the order.
    pub id: String,
    /// Whose; absent for what concerns the installation.
    pub practice: Option<PracticeId>,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// On what.
    pub target: String,
    /// `ok` or a code of the catalogue.
    pub outcome: String,
    /// Under which request.
    pub request_id: String,
}

/// Adds a line, in the caller's transaction or by itself.
///
/// # Errors
/// When the database fails.
pub async fn add<'c>(executor: impl Executor<'c, Database = Any>, event: &Event) -> Stored<()> {
    sqlx::query(
        "INSERT INTO audit_events (id, practice_id, at, actor, action, target, outcome, request_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(event.id.clone())
    .bind(event.practice.as_ref().map(ToString::to_string))
    .bind(event.at.0)
    .bind(event.actor.clone())
    .bind(event.action.clone())
    .bind(event.target.clone())
    .bind(event.outcome.clone())
    .bind(event.request_id.clone())
    .execute(executor)
    .await?;
    Ok(())
}

/// A practice's lines, newest first, older than `before` (an event id; empty for the newest).
///
/// # Errors
/// When the database fails.
pub async fn page(db: &Database, practice: &PracticeId, before: &str, limit: i64) -> Stored<Vec<Event>> {
    let rows = sqlx::query(
        "SELECT id, at, actor, action, target, outcome, request_id FROM audit_events \
         WHERE practice_id = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3",
    )
    .bind(practice.to_string())
    .bind(before.to_owned())
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Event {
                id: row.try_get("id")?,
                practice: Some(practice.clone()),
                at: Timestamp(row.try_get("at")?),
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                target: row.try_get("target")?,
                outcome: row.try_get("outcome")?,
                request_id: row.try_get("request_id")?,
            })
        })
        .collect()
}
