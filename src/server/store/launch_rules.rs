//! `launch_settings` and `launch_issuers`: what a practice allows launches to do, and from which
//! issuers they come.

use sqlx::{Any, Executor, Row};

use super::{Database, Stored, Tx};
use crate::model::id::{PracticeId, ProviderId};
use crate::model::launch::LaunchSettings;
use crate::model::time::Timestamp;

/// What the practice allows; nothing unless it said so.
///
/// # Errors
/// When the database fails.
pub async fn settings<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
) -> Stored<LaunchSettings> {
    let row =
        sqlx::query("SELECT auto_approve, allow_anonymous, frame_origins FROM launch_settings WHERE practice_id = $1")
            .bind(practice.to_string())
            .fetch_optional(executor)
            .await?;
    let Some(row) = row else { return Ok(LaunchSettings::default()) };
    let origins: String = row.try_get("frame_origins")?;
    Ok(LaunchSettings {
        auto_approve: row.try_get::<i64, _>("auto_approve")? != 0,
        allow_anonymous: row.try_get::<i64, _>("allow_anonymous")? != 0,
        frame_origins: origins.split_ascii_whitespace().map(str::to_owned).collect(),
    })
}

/// Saves what the practice allows.
///
/// # Errors
/// When the database fails.
pub async fn save_settings(
    tx: &mut Tx,
    practice: &PracticeId,
    settings: &LaunchSettings,
    now: Timestamp,
) -> Stored<()> {
    sqlx::query(
        "INSERT INTO launch_settings (practice_id, auto_approve, allow_anonymous, frame_origins, updated_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (practice_id) DO UPDATE SET auto_approve = excluded.auto_approve, \
         allow_anonymous = excluded.allow_anonymous, frame_origins = excluded.frame_origins, \
         updated_at = excluded.updated_at",
    )
    .bind(practice.to_string())
    .bind(i64::from(settings.auto_approve))
    .bind(i64::from(settings.allow_anonymous))
    .bind(settings.frame_origins.join(" "))
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes from which issuers a practice's provider launches; earlier ones go.
///
/// # Errors
/// When the database fails.
pub async fn register(tx: &mut Tx, practice: &PracticeId, provider: &ProviderId, issuers: &[String]) -> Stored<()> {
    sqlx::query("DELETE FROM launch_issuers WHERE practice_id = $1 AND provider_id = $2")
        .bind(practice.to_string())
        .bind(provider.to_string())
        .execute(&mut **tx)
        .await?;
    for issuer in issuers {
        sqlx::query("INSERT INTO launch_issuers (practice_id, provider_id, issuer) VALUES ($1, $2, $3)")
            .bind(practice.to_string())
            .bind(provider.to_string())
            .bind(issuer.clone())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Who is configured for an issuer, in the whole installation: a launch may come without naming its
/// practice.
///
/// # Errors
/// When the database fails.
pub async fn configured_for(db: &Database, issuer: &str) -> Stored<Vec<(PracticeId, ProviderId)>> {
    let rows = sqlx::query("SELECT practice_id, provider_id FROM launch_issuers WHERE issuer = $1 LIMIT 50")
        .bind(issuer.to_owned())
        .fetch_all(db.pool())
        .await?;
    rows.iter()
        .map(|row| {
            let (practice, provider): (String, String) = (row.try_get("practice_id")?, row.try_get("provider_id")?);
            Ok((PracticeId::new(practice), ProviderId::new(provider)))
        })
        .collect()
}
