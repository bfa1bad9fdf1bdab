//! `signing_keys`, `jwks_fetches`, `key_uses`: keys, who fetches the public halves, and who took what they
//! signed.
//!
//! Guards: the private half is sealed before it comes here, and goes when the key is retired.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::{Database, StoreError, Stored, Tx, hit_one};
use crate::model::id::{PracticeId, ProviderId};
use crate::model::key::{JwksFetch, KeyAlgorithm, KeyTimes};
use crate::model::time::Timestamp;

/// How many of those who fetch a JWKS are remembered.
const FETCHERS: i64 = 50;

/// A signing key.
#[derive(Clone)]
pub struct Key {
    /// `UUIDv7`.
    pub id: String,
    /// Whose; `None` for the installation's.
    pub owner: Option<PracticeId>,
    /// The name in the JWKS: unique in the installation.
    pub kid: String,
    /// What it signs with.
    pub algorithm: KeyAlgorithm,
    /// The public numbers, in JSON.
    pub public_key: String,
    /// Sealed; gone when the key is retired.
    pub sealed: Option<Vec<u8>>,
    /// The times that decide where it stands.
    pub times: KeyTimes,
}

/// An owner as the column has it.
fn column(owner: Option<&PracticeId>) -> String {
    owner.map(ToString::to_string).unwrap_or_default()
}

/// Adds a key. `false` when a key of this name is there already.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut Tx, key: &Key) -> Stored<bool> {
    let result = sqlx::query(
        "INSERT INTO signing_keys (id, practice_id, kid, algorithm, public_key, sealed, created_at, activates_at, \
         superseded_at, retires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
    )
    .bind(key.id.clone())
    .bind(column(key.owner.as_ref()))
    .bind(key.kid.clone())
    .bind(key.algorithm.as_str().to_owned())
    .bind(key.public_key.clone())
    .bind(key.sealed.clone())
    .bind(key.times.created_at.0)
    .bind(key.times.activates_at.0)
    .bind(key.times.superseded_at.map(|time| time.0))
    .bind(key.times.retires_at.map(|time| time.0))
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The keys of an owner, newest first.
///
/// # Errors
/// When the database fails.
pub async fn all<'c>(executor: impl Executor<'c, Database = Any>, owner: Option<&PracticeId>) -> Stored<Vec<Key>> {
    let rows = sqlx::query(
        "SELECT id, practice_id, kid, algorithm, public_key, sealed, created_at, activates_at, superseded_at, \
         retires_at FROM signing_keys WHERE practice_id = $1 ORDER BY id DESC",
    )
    .bind(column(owner))
    .fetch_all(executor)
    .await?;
    rows.iter().map(read).collect()
}

/// The public numbers of the key of this name, whoever has it.
///
/// # Errors
/// When the database fails.
pub async fn public_key<'c>(executor: impl Executor<'c, Database = Any>, kid: &str) -> Stored<Option<String>> {
    let row = sqlx::query("SELECT public_key FROM signing_keys WHERE kid = $1")
        .bind(kid.to_owned())
        .fetch_optional(executor)
        .await?;
    Ok(row.map(|row| row.try_get("public_key")).transpose()?)
}

/// Gives a key other times.
///
/// # Errors
/// [`StoreError::NotOne`] when it is gone.
pub async fn set_times(tx: &mut Tx, id: &str, times: &KeyTimes) -> Stored<()> {
    let result =
        sqlx::query("UPDATE signing_keys SET activates_at = $2, superseded_at = $3, retires_at = $4 WHERE id = $1")
            .bind(id.to_owned())
            .bind(times.activates_at.0)
            .bind(times.superseded_at.map(|time| time.0))
            .bind(times.retires_at.map(|time| time.0))
            .execute(&mut **tx)
            .await?;
    hit_one(&result, "signing key")
}

/// Forgets the private halves of keys that are retired.
///
/// # Errors
/// When the database fails.
pub async fn forget_retired(tx: &mut Tx, now: Timestamp) -> Stored<()> {
    sqlx::query("UPDATE signing_keys SET sealed = NULL WHERE retires_at <= $1 AND sealed IS NOT NULL")
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Stored<Key> {
    let text = |column: &'static str| row.try_get::<String, _>(column);
    let time = |column: &'static str| row.try_get::<Option<i64>, _>(column).map(|time| time.map(Timestamp));
    let owner = text("practice_id")?;
    Ok(Key {
        id: text("id")?,
        owner: (!owner.is_empty()).then(|| PracticeId::new(owner)),
        kid: text("kid")?,
        algorithm: KeyAlgorithm::parse(&text("algorithm")?).ok_or(StoreError::Corrupt("signing_keys.algorithm"))?,
        public_key: text("public_key")?,
        sealed: row.try_get("sealed")?,
        times: KeyTimes {
            created_at: Timestamp(row.try_get("created_at")?),
            activates_at: Timestamp(row.try_get("activates_at")?),
            superseded_at: time("superseded_at")?,
            retires_at: time("retires_at")?,
        },
    })
}

/// Notes that somebody fetched an owner's JWKS. Those who did so longest ago are forgotten.
///
/// # Errors
/// When the database fails.
pub async fn fetched(
    db: &Database,
    owner: Option<&PracticeId>,
    ip: &str,
    user_agent: &str,
    now: Timestamp,
) -> Stored<()> {
    let mut tx = db.begin_write().await?;
    sqlx::query(
        "INSERT INTO jwks_fetches (practice_id, ip, user_agent, first_at, last_at, times) \
         VALUES ($1, $2, $3, $4, $4, 1) ON CONFLICT (practice_id, ip, user_agent) \
         DO UPDATE SET last_at = excluded.last_at, times = jwks_fetches.times + 1",
    )
    .bind(column(owner))
    .bind(ip.to_owned())
    .bind(user_agent.to_owned())
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "DELETE FROM jwks_fetches WHERE practice_id = $1 AND last_at < COALESCE((SELECT last_at FROM jwks_fetches \
         WHERE practice_id = $1 ORDER BY last_at DESC LIMIT 1 OFFSET $2), 0)",
    )
    .bind(column(owner))
    .bind(FETCHERS - 1)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Who fetched an owner's JWKS, the last one first.
///
/// # Errors
/// When the database fails.
pub async fn fetches(db: &Database, owner: Option<&PracticeId>) -> Stored<Vec<JwksFetch>> {
    let rows = sqlx::query(
        "SELECT ip, user_agent, first_at, last_at, times FROM jwks_fetches WHERE practice_id = $1 \
         ORDER BY last_at DESC LIMIT $2",
    )
    .bind(column(owner))
    .bind(FETCHERS)
    .fetch_all(db.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(JwksFetch {
                ip: row.try_get("ip")?,
                user_agent: row.try_get("user_agent")?,
                first_at: Timestamp(row.try_get("first_at")?),
                last_at: Timestamp(row.try_get("last_at")?),
                times: row.try_get("times")?,
            })
        })
        .collect()
}

/// Notes that a practice's EHR took an assertion that a key signed.
///
/// # Errors
/// When the database fails.
pub async fn accepted(
    db: &Database,
    kid: &str,
    practice: &PracticeId,
    provider: &ProviderId,
    now: Timestamp,
) -> Stored<()> {
    sqlx::query(
        "INSERT INTO key_uses (kid, practice_id, provider_id, accepted_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (kid, practice_id, provider_id) DO UPDATE SET accepted_at = excluded.accepted_at",
    )
    .bind(kid.to_owned())
    .bind(practice.to_string())
    .bind(provider.to_string())
    .bind(now.0)
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Which of a practice's EHRs took an assertion of which key, and when: the last one first.
///
/// # Errors
/// When the database fails.
pub async fn uses(db: &Database, practice: &PracticeId) -> Stored<Vec<(String, ProviderId, Timestamp)>> {
    let rows = sqlx::query(
        "SELECT kid, provider_id, accepted_at FROM key_uses WHERE practice_id = $1 ORDER BY accepted_at DESC",
    )
    .bind(practice.to_string())
    .fetch_all(db.pool())
    .await?;
    rows.iter()
        .map(|row| {
            let provider: String = row.try_get("provider_id")?;
            Ok((row.try_get("kid")?, ProviderId::new(provider), Timestamp(row.try_get("accepted_at")?)))
        })
        .collect()
}
