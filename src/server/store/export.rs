//! `exports`: bulk exports and where each stands.
//!
//! Guards: while an export is worked on, it is changed only by the holder of its lease, under the fence; every
//! change counts its version up, so that whoever watches misses none.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::dialect::Dialect;
use super::{Database, StoreError, Stored, Tx, hit_one};
use crate::model::export::{ExportRequest, Life, Wait};
use crate::model::id::{ExportId, PracticeId, ProviderId};
use crate::model::time::Timestamp;

/// An export.
#[derive(Clone, Debug)]
pub struct Export {
    /// Which.
    pub id: ExportId,
    /// Counts exports.
    pub number: i64,
    /// Whose.
    pub practice: PracticeId,
    /// With which provider.
    pub provider: ProviderId,
    /// Where its resources come from.
    pub source: i64,
    /// The FHIR base URL of that.
    pub fhir_base: String,
    /// Where it stands.
    pub life: Life,
    /// What was asked for.
    pub request: ExportRequest,
    /// By whom.
    pub requested_by: String,
    /// Whether it is held.
    pub paused: bool,
    /// Whether its end was asked for.
    pub cancel_asked: bool,
    /// What the EHR says of its progress.
    pub progress: Option<String>,
    /// The EHR's time of the export.
    pub transaction_time: Option<String>,
    /// When something is to be done next.
    pub next_at: Timestamp,
    /// Why then.
    pub next_why: Option<Wait>,
    /// Until when the EHR keeps the files.
    pub expires_at: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// Until when somebody works on it.
    pub lease_until: Timestamp,
    /// The number of whoever took it last.
    pub lease_fence: i64,
    /// Counts changes.
    pub version: i64,
}

/// What somebody wants of an export that is worked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// It is to be held.
    pub paused: bool,
    /// It is to end.
    pub cancel_asked: bool,
}

/// The one list of columns: a macro, because SQL text has to be a literal.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT exports.id, number, exports.practice_id, exports.provider_id, source, fhir_base, life, request, \
             requested_by, paused, cancel_asked, progress, transaction_time, next_at, next_why, expires_at, \
             created_at, finished_at, lease_until, lease_fence, version \
             FROM exports JOIN resource_sources ON resource_sources.id = source ",
            $tail
        )
    };
}

fn read(row: &AnyRow) -> Stored<Export> {
    let text = |column: &'static str| row.try_get::<String, _>(column);
    let time = |column: &'static str| row.try_get::<i64, _>(column).map(Timestamp);
    let some_time = |column: &'static str| row.try_get::<Option<i64>, _>(column).map(|time| time.map(Timestamp));
    let why: Option<String> = row.try_get("next_why")?;
    Ok(Export {
        id: ExportId::new(text("id")?),
        number: row.try_get("number")?,
        practice: PracticeId::new(text("practice_id")?),
        provider: ProviderId::new(text("provider_id")?),
        source: row.try_get("source")?,
        fhir_base: text("fhir_base")?,
        life: serde_json::from_str(&text("life")?).map_err(|_| StoreError::Corrupt("exports.life"))?,
        request: serde_json::from_str(&text("request")?).map_err(|_| StoreError::Corrupt("exports.request"))?,
        requested_by: text("requested_by")?,
        paused: row.try_get::<i64, _>("paused")? != 0,
        cancel_asked: row.try_get::<i64, _>("cancel_asked")? != 0,
        progress: row.try_get("progress")?,
        transaction_time: row.try_get("transaction_time")?,
        next_at: time("next_at")?,
        next_why: why.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        expires_at: some_time("expires_at")?,
        created_at: time("created_at")?,
        finished_at: some_time("finished_at")?,
        lease_until: time("lease_until")?,
        lease_fence: row.try_get("lease_fence")?,
        version: row.try_get("version")?,
    })
}

fn json<T: serde::Serialize>(value: &T) -> Stored<String> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt("export"))
}

/// The number of a practice's FHIR server, made when there is none.
///
/// # Errors
/// When the database fails.
pub async fn source(tx: &mut Tx, practice: &PracticeId, provider: &ProviderId, fhir_base: &str) -> Stored<i64> {
    sqlx::query(
        "INSERT INTO resource_sources (id, practice_id, provider_id, fhir_base) \
         SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3 FROM resource_sources WHERE true \
         ON CONFLICT (practice_id, provider_id, fhir_base) DO NOTHING",
    )
    .bind(practice.to_string())
    .bind(provider.to_string())
    .bind(fhir_base.to_owned())
    .execute(&mut **tx)
    .await?;
    let row =
        sqlx::query("SELECT id FROM resource_sources WHERE practice_id = $1 AND provider_id = $2 AND fhir_base = $3")
            .bind(practice.to_string())
            .bind(provider.to_string())
            .bind(fhir_base.to_owned())
            .fetch_one(&mut **tx)
            .await?;
    Ok(row.try_get("id")?)
}

/// Adds an export; its number is the next one, whatever it says.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut Tx, export: &Export) -> Stored<()> {
    sqlx::query(
        "INSERT INTO exports (id, number, practice_id, provider_id, source, state, life, request, requested_by, \
         next_at, created_at) \
         SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM exports",
    )
    .bind(export.id.to_string())
    .bind(export.practice.to_string())
    .bind(export.provider.to_string())
    .bind(export.source)
    .bind(export.life.state().as_str().to_owned())
    .bind(json(&export.life)?)
    .bind(json(&export.request)?)
    .bind(export.requested_by.clone())
    .bind(export.next_at.0)
    .bind(export.created_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An export of a practice.
///
/// # Errors
/// When the database fails.
pub async fn find<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    id: &ExportId,
) -> Stored<Option<Export>> {
    let row = sqlx::query(select!("WHERE exports.practice_id = $1 AND exports.id = $2"))
        .bind(practice.to_string())
        .bind(id.to_string())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The last exports of a practice, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &Database, practice: &PracticeId, limit: i64) -> Stored<Vec<Export>> {
    let rows = sqlx::query(select!("WHERE exports.practice_id = $1 ORDER BY number DESC LIMIT $2"))
        .bind(practice.to_string())
        .bind(limit)
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(read).collect()
}

/// A number that changes with every change of a practice's exports.
///
/// # Errors
/// When the database fails.
pub async fn stamp(db: &Database, practice: &PracticeId) -> Stored<i64> {
    let row = sqlx::query(
        // Far apart, so that changes never make up for a removal.
        "SELECT CAST(COUNT(*) * 1000000000000 + COALESCE(SUM(version), 0) AS BIGINT) AS stamp FROM exports \
         WHERE practice_id = $1",
    )
    .bind(practice.to_string())
    .fetch_one(db.pool())
    .await?;
    Ok(row.try_get("stamp")?)
}

/// The complete exports of a source, newest first: what `since` may be taken from.
///
/// # Errors
/// When the database fails.
pub async fn complete(tx: &mut Tx, source: i64) -> Stored<Vec<Export>> {
    let rows = sqlx::query(select!("WHERE source = $1 AND state = 'complete' ORDER BY number DESC LIMIT 100"))
        .bind(source)
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(read).collect()
}

/// Whether an export with the provider is under way.
///
/// # Errors
/// When the database fails.
pub async fn is_busy(tx: &mut Tx, practice: &PracticeId, provider: &ProviderId) -> Stored<bool> {
    let row = sqlx::query(
        "SELECT id FROM exports WHERE practice_id = $1 AND provider_id = $2 AND finished_at IS NULL LIMIT 1",
    )
    .bind(practice.to_string())
    .bind(provider.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.is_some())
}

macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "UPDATE exports SET lease_until = $2, lease_fence = lease_fence + 1 WHERE id = (SELECT id FROM exports \
             WHERE finished_at IS NULL AND next_at <= $1 AND lease_until <= $1 AND (paused = 0 OR cancel_asked = 1) \
             ORDER BY next_at LIMIT 1",
            $lock,
            ") RETURNING id, practice_id"
        )
    };
}

/// Takes an export that is due and that nobody works on, of whichever practice, until `until`.
///
/// # Errors
/// When the database fails.
pub async fn claim(db: &Database, now: Timestamp, until: Timestamp) -> Stored<Option<Export>> {
    let sql = match db.dialect() {
        Dialect::Sqlite => claim!(""),
        Dialect::Postgres => claim!(" FOR UPDATE SKIP LOCKED"),
    };
    let row = sqlx::query(sql).bind(now.0).bind(until.0).fetch_optional(db.pool()).await?;
    let Some(row) = row else { return Ok(None) };
    let (id, practice) = (ExportId::new(row.try_get::<String, _>("id")?), row.try_get::<String, _>("practice_id")?);
    find(db.pool(), &PracticeId::new(practice), &id).await
}

/// When the next export is due that nobody works on, if there is one.
///
/// # Errors
/// When the database fails.
pub async fn next_due(db: &Database) -> Stored<Option<Timestamp>> {
    let row = sqlx::query(
        "SELECT CAST(MIN(CASE WHEN lease_until > next_at THEN lease_until ELSE next_at END) AS BIGINT) AS due \
         FROM exports WHERE finished_at IS NULL AND (paused = 0 OR cancel_asked = 1)",
    )
    .fetch_one(db.pool())
    .await?;
    Ok(row.try_get::<Option<i64>, _>("due")?.map(Timestamp))
}

/// Keeps the lease until `until`; answers what somebody wants meanwhile, or `None` when the lease is lost.
///
/// # Errors
/// When the database fails.
pub async fn extend(db: &Database, id: &ExportId, fence: i64, until: Timestamp) -> Stored<Option<Wishes>> {
    let row = sqlx::query(
        "UPDATE exports SET lease_until = $3 WHERE id = $1 AND lease_fence = $2 RETURNING paused, cancel_asked",
    )
    .bind(id.to_string())
    .bind(fence)
    .bind(until.0)
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Wishes {
        paused: row.try_get::<i64, _>("paused")? != 0,
        cancel_asked: row.try_get::<i64, _>("cancel_asked")? != 0,
    }))
}

/// Gives the lease back.
///
/// # Errors
/// When the database fails.
pub async fn release(db: &Database, id: &ExportId, fence: i64) -> Stored<()> {
    sqlx::query("UPDATE exports SET lease_until = 0 WHERE id = $1 AND lease_fence = $2")
        .bind(id.to_string())
        .bind(fence)
        .execute(db.pool())
        .await?;
    Ok(())
}

/// Keeps where an export stands, under the fence of whoever works on it. Holding is only added, never taken away;
/// an end that was asked for meanwhile is due at once.
///
/// # Errors
/// [`StoreError::NotOne`] when the fence is not ours any more.
pub async fn save(tx: &mut Tx, export: &Export, fence: i64) -> Stored<()> {
    let result = sqlx::query(
        "UPDATE exports SET state = $3, life = $4, progress = $5, transaction_time = $6, next_why = $8, \
         next_at = CASE WHEN cancel_asked = 1 AND $12 = 0 THEN 0 ELSE $7 END, \
         expires_at = $9, finished_at = $10, paused = CASE WHEN $11 = 1 THEN 1 ELSE paused END, version = version + 1 \
         WHERE id = $1 AND lease_fence = $2",
    )
    .bind(export.id.to_string())
    .bind(fence)
    .bind(export.life.state().as_str().to_owned())
    .bind(json(&export.life)?)
    .bind(export.progress.clone())
    .bind(export.transaction_time.clone())
    .bind(export.next_at.0)
    .bind(export.next_why.as_ref().map(json).transpose()?)
    .bind(export.expires_at.map(|time| time.0))
    .bind(export.finished_at.map(|time| time.0))
    .bind(i64::from(export.paused))
    .bind(i64::from(export.cancel_asked))
    .execute(&mut **tx)
    .await?;
    hit_one(&result, "export")
}

/// Holds an export that is not over. `false` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn pause(tx: &mut Tx, practice: &PracticeId, id: &ExportId, why: Wait) -> Stored<bool> {
    let result = sqlx::query(
        "UPDATE exports SET paused = 1, next_why = $3, version = version + 1 \
         WHERE practice_id = $1 AND id = $2 AND finished_at IS NULL",
    )
    .bind(practice.to_string())
    .bind(id.to_string())
    .bind(json(&why)?)
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Lets an export that is held go on now. `false` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn resume(tx: &mut Tx, practice: &PracticeId, id: &ExportId, now: Timestamp) -> Stored<bool> {
    let result = sqlx::query(
        "UPDATE exports SET paused = 0, next_at = $3, next_why = NULL, version = version + 1 \
         WHERE practice_id = $1 AND id = $2 AND finished_at IS NULL AND paused = 1",
    )
    .bind(practice.to_string())
    .bind(id.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Asks for the end of an export that is not over. `false` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn ask_cancel(tx: &mut Tx, practice: &PracticeId, id: &ExportId, now: Timestamp) -> Stored<bool> {
    let result = sqlx::query(
        "UPDATE exports SET cancel_asked = 1, next_at = $3, next_why = NULL, version = version + 1 \
         WHERE practice_id = $1 AND id = $2 AND finished_at IS NULL",
    )
    .bind(practice.to_string())
    .bind(id.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Puts a life in the place of the one that is over, so that it goes on now. `false` when it is not over.
///
/// # Errors
/// When the database fails.
pub async fn reopen(tx: &mut Tx, practice: &PracticeId, id: &ExportId, life: &Life, now: Timestamp) -> Stored<bool> {
    let result = sqlx::query(
        "UPDATE exports SET state = $3, life = $4, next_at = $5, next_why = NULL, finished_at = NULL, \
         paused = 0, cancel_asked = 0, version = version + 1 \
         WHERE practice_id = $1 AND id = $2 AND finished_at IS NOT NULL",
    )
    .bind(practice.to_string())
    .bind(id.to_string())
    .bind(life.state().as_str().to_owned())
    .bind(json(life)?)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Removes an export that is over, and what is kept of its files; the resources stay. `false` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Tx, practice: &PracticeId, id: &ExportId) -> Stored<bool> {
    let over = sqlx::query("SELECT id FROM exports WHERE practice_id = $1 AND id = $2 AND finished_at IS NOT NULL")
        .bind(practice.to_string())
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await?;
    if over.is_none() {
        return Ok(false);
    }
    for sql in [
        "DELETE FROM export_outcomes WHERE export_id = $1",
        "DELETE FROM export_rejects WHERE export_id = $1",
        "DELETE FROM export_files WHERE export_id = $1",
        "DELETE FROM exports WHERE id = $1",
    ] {
        sqlx::query(sql).bind(id.to_string()).execute(&mut **tx).await?;
    }
    Ok(true)
}
