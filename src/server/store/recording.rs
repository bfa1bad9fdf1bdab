//! `recordings`: what connects and launches did, step by step.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::flow::FlowKind;
use super::{Database, StoreError, Stored};
use crate::model::id::{PracticeId, ProviderId};
use crate::model::problem::Code;
use crate::model::recording::Step;
use crate::model::time::Timestamp;

/// How long recordings are kept, in seconds.
const KEPT: i64 = 30 * 86_400;

/// A recording.
#[derive(Clone, Debug)]
pub struct Recording {
    /// `UUIDv7`: also the order.
    pub id: String,
    /// Whose.
    pub practice: PracticeId,
    /// Of which provider.
    pub provider: ProviderId,
    /// Of what.
    pub kind: FlowKind,
    /// When it began.
    pub started_at: Timestamp,
    /// How it ended; `None` while the EHR is asked.
    pub outcome: Option<Result<(), Code>>,
    /// The requests that it took.
    pub request_ids: Vec<String>,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// Keeps a recording as it is now.
///
/// # Errors
/// When the database fails.
pub async fn put(db: &Database, recording: &Recording) -> Stored<()> {
    let steps = serde_json::to_string(&recording.steps).map_err(|_| StoreError::Corrupt("recording"))?;
    let outcome = recording.outcome.map(|outcome| outcome.map_or_else(Code::name, |()| "ok").to_owned());
    sqlx::query(
        "INSERT INTO recordings (id, practice_id, provider_id, kind, started_at, outcome, request_ids, steps) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET \
         outcome = excluded.outcome, request_ids = excluded.request_ids, steps = excluded.steps",
    )
    .bind(recording.id.clone())
    .bind(recording.practice.to_string())
    .bind(recording.provider.to_string())
    .bind(recording.kind.as_str().to_owned())
    .bind(recording.started_at.0)
    .bind(outcome)
    .bind(recording.request_ids.join(" "))
    .bind(steps)
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Forgets a practice's old recordings.
///
/// # Errors
/// When the database fails.
pub async fn forget_old<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    now: Timestamp,
) -> Stored<()> {
    sqlx::query("DELETE FROM recordings WHERE practice_id = $1 AND started_at < $2")
        .bind(practice.to_string())
        .bind(now.plus_seconds(-KEPT).0)
        .execute(executor)
        .await?;
    Ok(())
}

/// The one list of columns: a macro, because SQL text has to be a literal.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, practice_id, provider_id, kind, started_at, outcome, request_ids, steps FROM recordings ",
            $tail
        )
    };
}

/// A recording of the practice.
///
/// # Errors
/// When the database fails.
pub async fn find<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    id: &str,
) -> Stored<Option<Recording>> {
    let row = sqlx::query(select!("WHERE practice_id = $1 AND id = $2"))
        .bind(practice.to_string())
        .bind(id.to_owned())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(read).transpose()
}

/// A practice's last recordings, newest first; with a request id only those that it was part of.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &Database, practice: &PracticeId, request_id: &str, limit: i64) -> Stored<Vec<Recording>> {
    let rows = sqlx::query(select!(
        "WHERE practice_id = $1 AND ($2 = '' OR ' ' || request_ids || ' ' LIKE '% ' || $2 || ' %') \
         ORDER BY id DESC LIMIT $3"
    ))
    .bind(practice.to_string())
    .bind(request_id.to_owned())
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Stored<Recording> {
    let text = |column: &'static str| row.try_get::<String, _>(column);
    let corrupt = StoreError::Corrupt;
    let outcome = match row.try_get::<Option<String>, _>("outcome")?.as_deref() {
        None => None,
        Some("ok") => Some(Ok(())),
        Some(name) => Some(Err(Code::parse(name).ok_or(corrupt("recordings.outcome"))?)),
    };
    Ok(Recording {
        id: text("id")?,
        practice: PracticeId::new(text("practice_id")?),
        provider: ProviderId::new(text("provider_id")?),
        kind: FlowKind::parse(&text("kind")?).ok_or(corrupt("recordings.kind"))?,
        started_at: Timestamp(row.try_get("started_at")?),
        outcome,
        request_ids: text("request_ids")?.split_ascii_whitespace().map(str::to_owned).collect(),
        steps: serde_json::from_str(&text("steps")?).map_err(|_| corrupt("recordings.steps"))?,
    })
}
