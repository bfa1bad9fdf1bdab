//! `oauth_flows`: connects and launches between our redirect and the EHR's answer.
//!
//! Guards: a flow is found by the hash of its state only, and is used once.

use sqlx::Row;

use super::{Database, StoreError, Stored, Tx};
use crate::model::id::{MemberId, PracticeId, ProviderId};
use crate::model::time::Timestamp;

/// What an answer of the EHR finishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowKind {
    /// A standalone connect: the practice's service connection.
    Connect,
    /// An EHR launch: a view of one patient.
    Launch,
}

impl FlowKind {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Launch => "launch",
        }
    }

    /// Reads what [`FlowKind::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Connect, Self::Launch].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A connect or launch under way.
pub struct FlowRow {
    /// The hash of the `state` parameter.
    pub state_hash: String,
    /// What it finishes.
    pub kind: FlowKind,
    /// Whose.
    pub practice: PracticeId,
    /// With which provider.
    pub provider: ProviderId,
    /// Who started it; absent for an API token and for an EHR.
    pub member: Option<MemberId>,
    /// The hash of the browser's cookie.
    pub cookie_hash: String,
    /// The sealed rest: verifier, nonce, endpoints.
    pub sealed: Vec<u8>,
    /// When it started.
    pub created_at: Timestamp,
    /// Until when an answer is taken.
    pub expires_at: Timestamp,
    /// Whether an answer was taken.
    pub used: bool,
    /// Its recording.
    pub recording_id: String,
}

/// Keeps a new flow.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut Tx, flow: &FlowRow) -> Stored<()> {
    sqlx::query(
        "INSERT INTO oauth_flows (state_hash, practice_id, provider_id, member_id, cookie_hash, sealed, created_at, \
         expires_at, kind, recording_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(flow.state_hash.clone())
    .bind(flow.practice.to_string())
    .bind(flow.provider.to_string())
    .bind(flow.member.as_ref().map(ToString::to_string))
    .bind(flow.cookie_hash.clone())
    .bind(flow.sealed.clone())
    .bind(flow.created_at.0)
    .bind(flow.expires_at.0)
    .bind(flow.kind.as_str().to_owned())
    .bind(flow.recording_id.clone())
    .execute(&mut **tx)
    .await?;
    // Old flows go with the next new one: nothing else grows this table.
    sqlx::query("DELETE FROM oauth_flows WHERE expires_at < $1")
        .bind(flow.created_at.plus_seconds(-3_600).0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Finds a flow, without using it.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &Database, state_hash: &str) -> Stored<Option<FlowRow>> {
    let row = sqlx::query(
        "SELECT practice_id, provider_id, member_id, cookie_hash, sealed, created_at, expires_at, used_at, kind, recording_id \
         FROM oauth_flows WHERE state_hash = $1",
    )
    .bind(state_hash.to_owned())
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (practice, provider): (String, String) = (row.try_get("practice_id")?, row.try_get("provider_id")?);
    let member: Option<String> = row.try_get("member_id")?;
    let kind: String = row.try_get("kind")?;
    Ok(Some(FlowRow {
        state_hash: state_hash.to_owned(),
        kind: FlowKind::parse(&kind).ok_or(StoreError::Corrupt("oauth_flows.kind"))?,
        practice: PracticeId::new(practice),
        provider: ProviderId::new(provider),
        member: member.map(MemberId::new),
        cookie_hash: row.try_get("cookie_hash")?,
        sealed: row.try_get("sealed")?,
        created_at: Timestamp(row.try_get("created_at")?),
        expires_at: Timestamp(row.try_get("expires_at")?),
        used: row.try_get::<Option<i64>, _>("used_at")?.is_some(),
        recording_id: row.try_get("recording_id")?,
    }))
}

/// Uses a flow up. `false` when another request was faster.
///
/// # Errors
/// When the database fails.
pub async fn take(db: &Database, state_hash: &str, now: Timestamp) -> Stored<bool> {
    let result = sqlx::query("UPDATE oauth_flows SET used_at = $2 WHERE state_hash = $1 AND used_at IS NULL")
        .bind(state_hash.to_owned())
        .bind(now.0)
        .execute(db.pool())
        .await?;
    Ok(result.rows_affected() == 1)
}
