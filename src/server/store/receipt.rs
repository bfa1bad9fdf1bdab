//! `revocation_receipts`: what EHRs said when connections were ended from here, the last one of each provider.

use sqlx::{Any, Executor, Row};

use super::Stored;
use crate::model::connection::{Receipt, Revocation};
use crate::model::id::{PracticeId, ProviderId};
use crate::model::time::Timestamp;

/// Keeps a receipt in the place of the one before.
///
/// # Errors
/// When the database fails.
pub async fn put<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    provider: &ProviderId,
    receipt: &Receipt,
) -> Stored<()> {
    let word = |revocation: Option<Revocation>| revocation.map(|revocation| revocation.as_str().to_owned());
    sqlx::query(
        "INSERT INTO revocation_receipts (practice_id, provider_id, at, refresh_token, access_token) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (practice_id, provider_id) DO UPDATE SET at = excluded.at, \
         refresh_token = excluded.refresh_token, access_token = excluded.access_token",
    )
    .bind(practice.to_string())
    .bind(provider.to_string())
    .bind(receipt.at.0)
    .bind(word(receipt.refresh_token))
    .bind(word(receipt.access_token))
    .execute(executor)
    .await?;
    Ok(())
}

/// The last receipt.
///
/// # Errors
/// When the database fails.
pub async fn find<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    provider: &ProviderId,
) -> Stored<Option<Receipt>> {
    let row = sqlx::query(
        "SELECT at, refresh_token, access_token FROM revocation_receipts WHERE practice_id = $1 AND provider_id = $2",
    )
    .bind(practice.to_string())
    .bind(provider.to_string())
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let word = |column| {
        let word = row.try_get::<Option<String>, _>(column)?;
        Stored::Ok(word.as_deref().and_then(Revocation::parse))
    };
    Ok(Some(Receipt {
        at: Timestamp(row.try_get("at")?),
        refresh_token: word("refresh_token")?,
        access_token: word("access_token")?,
    }))
}
