//! `signing_approvals`: where the installation's key may sign for a practice.

use sqlx::{Any, Executor, Row};

use super::{Stored, Tx};
use crate::model::id::PracticeId;
use crate::model::time::Timestamp;

/// One use of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The EHR's issuer.
    pub issuer: String,
    /// Where the assertion goes.
    pub token_endpoint: String,
    /// As whom.
    pub client_id: String,
}

/// What the operator approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Whom assertions name, if not the token endpoint.
    pub assertion_audience: Option<String>,
}

/// What the operator approved of this use for the practice, if anything.
///
/// # Errors
/// When the database fails.
pub async fn approval<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    wanted: &Use,
) -> Stored<Option<Approval>> {
    let row = sqlx::query(
        "SELECT assertion_audience FROM signing_approvals WHERE practice_id = $1 AND issuer = $2 AND token_endpoint = $3 \
         AND client_id = $4",
    )
    .bind(practice.to_string())
    .bind(wanted.issuer.clone())
    .bind(wanted.token_endpoint.clone())
    .bind(wanted.client_id.clone())
    .fetch_optional(executor)
    .await?;
    let read = |row: sqlx::any::AnyRow| Ok(Approval { assertion_audience: row.try_get("assertion_audience")? });
    row.map(read).transpose()
}

/// Approves a use; one that is approved already gets this audience.
///
/// # Errors
/// When the database fails.
pub async fn approve(
    tx: &mut Tx,
    practice: &PracticeId,
    wanted: &Use,
    audience: Option<&str>,
    now: Timestamp,
) -> Stored<()> {
    sqlx::query(
        "INSERT INTO signing_approvals (practice_id, issuer, token_endpoint, client_id, approved_at, assertion_audience) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (practice_id, issuer, token_endpoint, client_id) \
         DO UPDATE SET assertion_audience = excluded.assertion_audience",
    )
    .bind(practice.to_string())
    .bind(wanted.issuer.clone())
    .bind(wanted.token_endpoint.clone())
    .bind(wanted.client_id.clone())
    .bind(now.0)
    .bind(audience.map(str::to_owned))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How many practices the installation has: with one, every use is approved by itself.
///
/// # Errors
/// When the database fails.
pub async fn practices<'c>(executor: impl Executor<'c, Database = Any>) -> Stored<i64> {
    let row = sqlx::query("SELECT CAST(COUNT(*) AS BIGINT) AS n FROM practices").fetch_one(executor).await?;
    Ok(row.try_get("n")?)
}
