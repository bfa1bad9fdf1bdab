//! `vault_secrets`: the sealed secrets of a practice's providers.
//!
//! Guards: plain text never passes through here.

use std::collections::BTreeMap;

use sqlx::{Any, Executor, Row};

use super::{Stored, Tx};
use crate::model::id::{PracticeId, ProviderId};
use crate::model::time::Timestamp;

/// One sealed secret, or `None`.
///
/// # Errors
/// When the database fails.
pub async fn load<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    provider: &ProviderId,
    name: &str,
) -> Stored<Option<Vec<u8>>> {
    let row = sqlx::query("SELECT sealed FROM vault_secrets WHERE practice_id = $1 AND provider_id = $2 AND name = $3")
        .bind(practice.to_string())
        .bind(provider.to_string())
        .bind(name.to_owned())
        .fetch_optional(executor)
        .await?;
    Ok(row.map(|row| row.try_get("sealed")).transpose()?)
}

/// Which secrets a practice has, by provider and name, and since when.
///
/// # Errors
/// When the database fails.
pub async fn names<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
) -> Stored<BTreeMap<(ProviderId, String), Timestamp>> {
    let rows = sqlx::query("SELECT provider_id, name, updated_at FROM vault_secrets WHERE practice_id = $1")
        .bind(practice.to_string())
        .fetch_all(executor)
        .await?;
    rows.iter()
        .map(|row| {
            let provider: String = row.try_get("provider_id")?;
            Ok(((ProviderId::new(provider), row.try_get("name")?), Timestamp(row.try_get("updated_at")?)))
        })
        .collect()
}

/// Keeps a sealed secret in place of an older one.
///
/// # Errors
/// When the database fails.
pub async fn put(
    tx: &mut Tx,
    practice: &PracticeId,
    provider: &ProviderId,
    name: &str,
    sealed: Vec<u8>,
    now: Timestamp,
) -> Stored<()> {
    sqlx::query(
        "INSERT INTO vault_secrets (practice_id, provider_id, name, sealed, updated_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (practice_id, provider_id, name) DO UPDATE SET sealed = excluded.sealed, \
         updated_at = excluded.updated_at",
    )
    .bind(practice.to_string())
    .bind(provider.to_string())
    .bind(name.to_owned())
    .bind(sealed)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes a secret; one that is not there is fine.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Tx, practice: &PracticeId, provider: &ProviderId, name: &str) -> Stored<()> {
    sqlx::query("DELETE FROM vault_secrets WHERE practice_id = $1 AND provider_id = $2 AND name = $3")
        .bind(practice.to_string())
        .bind(provider.to_string())
        .bind(name.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
