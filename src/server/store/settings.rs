//! `practice_settings`: the customer's JSON and its revision.

use sqlx::{Any, Executor, Row};

use super::{StoreError, Stored, Tx};
use crate::model::id::PracticeId;
use crate::model::settings::IntegrationSettings;
use crate::model::time::Timestamp;

/// The settings and how often they were saved; a practice that never saved has the default, revision 0.
///
/// # Errors
/// When the database fails or the JSON is not of our form.
pub async fn load<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
) -> Stored<(IntegrationSettings, i64)> {
    let row = sqlx::query("SELECT ehr_integrations, revision FROM practice_settings WHERE practice_id = $1")
        .bind(practice.to_string())
        .fetch_optional(executor)
        .await?;
    let Some(row) = row else { return Ok((IntegrationSettings::default(), 0)) };
    let json: String = row.try_get("ehr_integrations")?;
    let settings =
        serde_json::from_str(&json).map_err(|_| StoreError::Corrupt("practice_settings.ehr_integrations"))?;
    Ok((settings, row.try_get("revision")?))
}

/// Saves the settings over `revision`. `false` when somebody else saved in between.
///
/// # Errors
/// When the database fails.
pub async fn save(
    tx: &mut Tx,
    practice: &PracticeId,
    settings: &IntegrationSettings,
    revision: i64,
    now: Timestamp,
) -> Stored<bool> {
    let json = serde_json::to_string(settings).map_err(|_| StoreError::Corrupt("settings"))?;
    let result = sqlx::query(
        "INSERT INTO practice_settings (practice_id, ehr_integrations, revision, updated_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (practice_id) DO UPDATE SET ehr_integrations = excluded.ehr_integrations, \
         revision = excluded.revision, updated_at = excluded.updated_at \
         WHERE practice_settings.revision = excluded.revision - 1",
    )
    .bind(practice.to_string())
    .bind(json)
    .bind(revision + 1)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}
