//! `api_tokens`: what applications show as `Authorization: Bearer …`, by hash.
//!
//! Guards: [`by_token`] is the one look-up without a practice: it tells which practice a token
//! belongs to. A token's record stays after its end, for the audit trail.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::{Database, StoreError, Stored, Tx};
use crate::model::id::{PracticeId, TokenId};
use crate::model::role::TokenScope;
use crate::model::time::Timestamp;

/// An API token's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Which.
    pub id: TokenId,
    /// Of which practice.
    pub practice: PracticeId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<TokenScope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it works; absent for one without an end.
    pub expires_at: Option<Timestamp>,
    /// Since when it is revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Adds a token.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut Tx, token: &ApiToken, token_hash: &str) -> Stored<()> {
    let scopes: Vec<_> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    sqlx::query(
        "INSERT INTO api_tokens (id, practice_id, name, token_hash, scopes, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(token.id.to_string())
    .bind(token.practice.to_string())
    .bind(token.name.clone())
    .bind(token_hash.to_owned())
    .bind(scopes.join(","))
    .bind(token.created_at.0)
    .bind(token.expires_at.map(|time| time.0))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The record of a token, whether it is over or not.
///
/// # Errors
/// When the database fails.
pub async fn by_token<'c>(executor: impl Executor<'c, Database = Any>, token_hash: &str) -> Stored<Option<ApiToken>> {
    let row = sqlx::query(
        "SELECT id, practice_id, name, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_tokens \
         WHERE token_hash = $1",
    )
    .bind(token_hash.to_owned())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(read).transpose()
}

/// A practice's tokens, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &Database, practice: &PracticeId) -> Stored<Vec<ApiToken>> {
    let rows = sqlx::query(
        "SELECT id, practice_id, name, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_tokens \
         WHERE practice_id = $1 ORDER BY id DESC",
    )
    .bind(practice.to_string())
    .fetch_all(db.pool())
    .await?;
    rows.iter().map(read).collect()
}

/// Notes that a token was used.
///
/// # Errors
/// When the database fails.
pub async fn touch(db: &Database, practice: &PracticeId, token: &TokenId, now: Timestamp) -> Stored<()> {
    sqlx::query("UPDATE api_tokens SET last_used_at = $3 WHERE practice_id = $1 AND id = $2")
        .bind(practice.to_string())
        .bind(token.to_string())
        .bind(now.0)
        .execute(db.pool())
        .await?;
    Ok(())
}

/// Revokes a token; its name, or `None` when there is no such token or it is revoked already.
///
/// # Errors
/// When the database fails.
pub async fn revoke(tx: &mut Tx, practice: &PracticeId, token: &TokenId, now: Timestamp) -> Stored<Option<String>> {
    let row = sqlx::query(
        "UPDATE api_tokens SET revoked_at = $3 WHERE practice_id = $1 AND id = $2 AND revoked_at IS NULL \
         RETURNING name",
    )
    .bind(practice.to_string())
    .bind(token.to_string())
    .bind(now.0)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| row.try_get("name")).transpose()?)
}

fn read(row: &AnyRow) -> Stored<ApiToken> {
    let time = |column| row.try_get::<Option<i64>, _>(column).map(|time| time.map(Timestamp));
    let scopes: String = row.try_get("scopes")?;
    Ok(ApiToken {
        id: TokenId::new(row.try_get::<String, _>("id")?),
        practice: PracticeId::new(row.try_get::<String, _>("practice_id")?),
        name: row.try_get("name")?,
        scopes: TokenScope::parse_list(&scopes).map_err(|_| StoreError::Corrupt("api_tokens.scopes"))?,
        created_at: Timestamp(row.try_get("created_at")?),
        expires_at: time("expires_at")?,
        revoked_at: time("revoked_at")?,
        last_used_at: time("last_used_at")?,
    })
}
