//! `form_drafts`: what a form post left behind, sealed, for ten minutes.
//!
//! Guards: a draft is found by the hash of its id only; plain text never passes through here.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Database, Stored};
use crate::model::id::SessionId;
use crate::model::time::Timestamp;

/// A draft as it is kept.
#[derive(Debug)]
pub struct DraftRow {
    /// The hash of its id.
    pub id_hash: String,
    /// The browser that may read it; absent when nobody was signed in.
    pub session: Option<SessionId>,
    /// The sealed draft.
    pub sealed: Vec<u8>,
    /// Until when it is there.
    pub expires_at: Timestamp,
}

/// Keeps a draft, and drops those that are over: nothing else grows this table.
///
/// # Errors
/// When the database fails.
pub async fn add(db: &Database, draft: &DraftRow, now: Timestamp) -> Stored<()> {
    sqlx::query("DELETE FROM form_drafts WHERE expires_at <= $1").bind(now.0).execute(db.pool()).await?;
    sqlx::query("INSERT INTO form_drafts (id_hash, session_id, sealed, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(draft.id_hash.clone())
        .bind(draft.session.as_ref().map(ToString::to_string))
        .bind(draft.sealed.clone())
        .bind(draft.expires_at.0)
        .execute(db.pool())
        .await?;
    Ok(())
}

/// Reads a draft that is not over, if it is for this browser or for whoever has its id.
///
/// # Errors
/// When the database fails.
pub async fn find(
    db: &Database,
    id_hash: &str,
    session: Option<&SessionId>,
    now: Timestamp,
) -> Stored<Option<DraftRow>> {
    let row = sqlx::query(
        "SELECT id_hash, session_id, sealed, expires_at FROM form_drafts \
         WHERE id_hash = $1 AND (session_id IS NULL OR session_id = $2) AND expires_at > $3",
    )
    .bind(id_hash.to_owned())
    .bind(session.map(ToString::to_string))
    .bind(now.0)
    .fetch_optional(db.pool())
    .await?;
    row.as_ref().map(read).transpose()
}

/// Removes a draft; whether it was there, so that of two readers only one is the first.
///
/// # Errors
/// When the database fails.
pub async fn remove(db: &Database, id_hash: &str) -> Stored<bool> {
    let result =
        sqlx::query("DELETE FROM form_drafts WHERE id_hash = $1").bind(id_hash.to_owned()).execute(db.pool()).await?;
    Ok(result.rows_affected() == 1)
}

fn read(row: &AnyRow) -> Stored<DraftRow> {
    Ok(DraftRow {
        id_hash: row.try_get("id_hash")?,
        session: row.try_get::<Option<String>, _>("session_id")?.map(SessionId::new),
        sealed: row.try_get("sealed")?,
        expires_at: Timestamp(row.try_get("expires_at")?),
    })
}
