//! `launch_sessions`: the grants that EHR launches gave, one for each launch.
//!
//! Guards: tokens are sealed before they come here, and go when the launch ends.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::connection::Terms;
use super::{Database, StoreError, Stored, Tx};
use crate::model::connection::AuthMethod;
use crate::model::id::{ClinicianId, LaunchId, PracticeId, ProviderId};
use crate::model::key::{ChosenAuth, KeyAlgorithm};
use crate::model::launch::LaunchEnd;
use crate::model::time::Timestamp;

/// How long ended launches stay listed, in seconds.
const KEPT: i64 = 90 * 86_400;

/// A launch.
#[derive(Clone)]
pub struct LaunchSession {
    /// Which.
    pub id: LaunchId,
    /// Whose.
    pub practice: PracticeId,
    /// From which provider.
    pub provider: ProviderId,
    /// Who; absent when the EHR did not say.
    pub clinician: Option<ClinicianId>,
    /// The hash of the browser's cookie.
    pub cookie_hash: String,
    /// What was agreed when it was made.
    pub terms: Terms,
    /// What the EHR granted; `None` when it did not say.
    pub scopes_granted: Option<String>,
    /// What is open in the EHR.
    pub context: LaunchContext,
    /// Sealed; gone when the launch ended.
    pub access_token: Option<Vec<u8>>,
    /// Sealed; kept only to be revoked.
    pub refresh_token: Option<Vec<u8>>,
    /// Since when.
    pub started_at: Timestamp,
    /// When the token ends, and the launch with it.
    pub expires_at: Timestamp,
    /// Whether and how it ended before.
    pub ended: Option<(Timestamp, LaunchEnd)>,
}

/// What is open in the EHR (SMART App Launch 2.2, "Launch context arrives with your `access_token`").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchContext {
    /// The patient.
    pub patient: Option<String>,
    /// The encounter.
    pub encounter: Option<String>,
    /// What the user wants to do.
    pub intent: Option<String>,
    /// Whether the EHR does not show the patient's name itself.
    pub need_patient_banner: bool,
    /// Where the EHR's colours are.
    pub smart_style_url: Option<String>,
    /// The EHR's tenant.
    pub tenant: Option<String>,
    /// Further references, in JSON.
    pub fhir_context: Option<String>,
}

/// Adds a launch; tokens of launches that are over go, and launches that nobody lists any more.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut Tx, launch: &LaunchSession) -> Stored<()> {
    let LaunchSession { terms, context, .. } = launch;
    sqlx::query(
        "INSERT INTO launch_sessions (id, practice_id, provider_id, clinician_id, cookie_hash, issuer, fhir_base, \
         token_endpoint, revocation_endpoint, client_id, auth_method, scopes_requested, scopes_granted, patient, \
         encounter, intent, need_patient_banner, smart_style_url, tenant, fhir_context, access_token, refresh_token, \
         started_at, expires_at, signing_algorithm) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
         $18, $19, $20, $21, $22, $23, $24, $25)",
    )
    .bind(launch.id.to_string())
    .bind(launch.practice.to_string())
    .bind(launch.provider.to_string())
    .bind(launch.clinician.as_ref().map(ToString::to_string))
    .bind(launch.cookie_hash.clone())
    .bind(terms.issuer.clone())
    .bind(terms.fhir_base.clone())
    .bind(terms.token_endpoint.clone())
    .bind(terms.revocation_endpoint.clone())
    .bind(terms.client_id.clone())
    .bind(terms.auth.method.as_str().to_owned())
    .bind(terms.scopes_requested.clone())
    .bind(launch.scopes_granted.clone())
    .bind(context.patient.clone())
    .bind(context.encounter.clone())
    .bind(context.intent.clone())
    .bind(i64::from(context.need_patient_banner))
    .bind(context.smart_style_url.clone())
    .bind(context.tenant.clone())
    .bind(context.fhir_context.clone())
    .bind(launch.access_token.clone())
    .bind(launch.refresh_token.clone())
    .bind(launch.started_at.0)
    .bind(launch.expires_at.0)
    .bind(terms.auth.algorithm.map(|algorithm| algorithm.as_str().to_owned()))
    .execute(&mut **tx)
    .await?;
    let now = launch.started_at;
    sqlx::query(
        "UPDATE launch_sessions SET access_token = NULL, refresh_token = NULL \
         WHERE expires_at < $1 AND access_token IS NOT NULL",
    )
    .bind(now.plus_seconds(-3_600).0)
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM launch_sessions WHERE expires_at < $1")
        .bind(now.plus_seconds(-KEPT).0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The one list of columns: a macro, because SQL text has to be a literal.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, practice_id, provider_id, clinician_id, cookie_hash, issuer, fhir_base, token_endpoint, \
             revocation_endpoint, client_id, auth_method, signing_algorithm, scopes_requested, scopes_granted, patient, \
             encounter, intent, need_patient_banner, smart_style_url, tenant, fhir_context, access_token, refresh_token, \
             started_at, expires_at, ended_at, end_reason FROM launch_sessions ",
            $tail
        )
    };
}

/// A launch by its id alone: the browser that has the cookie does not know the practice.
///
/// # Errors
/// When the database fails.
pub async fn by_id(db: &Database, id: &LaunchId) -> Stored<Option<LaunchSession>> {
    let row = sqlx::query(select!("WHERE id = $1")).bind(id.to_string()).fetch_optional(db.pool()).await?;
    row.as_ref().map(read).transpose()
}

/// A launch of the practice.
///
/// # Errors
/// When the database fails.
pub async fn find<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    id: &LaunchId,
) -> Stored<Option<LaunchSession>> {
    let row = sqlx::query(select!("WHERE practice_id = $1 AND id = $2"))
        .bind(practice.to_string())
        .bind(id.to_string())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(read).transpose()
}

/// A practice's launches, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &Database, practice: &PracticeId, limit: i64) -> Stored<Vec<LaunchSession>> {
    let rows = sqlx::query(select!("WHERE practice_id = $1 ORDER BY id DESC LIMIT $2"))
        .bind(practice.to_string())
        .bind(limit)
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(read).collect()
}

/// Ends a launch, and forgets its tokens. `false` when it was over already.
///
/// # Errors
/// When the database fails.
pub async fn end(tx: &mut Tx, practice: &PracticeId, id: &LaunchId, how: LaunchEnd, now: Timestamp) -> Stored<bool> {
    let result = sqlx::query(
        "UPDATE launch_sessions SET ended_at = $3, end_reason = $4, access_token = NULL, refresh_token = NULL \
         WHERE practice_id = $1 AND id = $2 AND ended_at IS NULL",
    )
    .bind(practice.to_string())
    .bind(id.to_string())
    .bind(now.0)
    .bind(how.as_str().to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends every launch from a provider, and forgets their tokens: its registration is another one now.
///
/// # Errors
/// When the database fails.
pub async fn end_all(tx: &mut Tx, practice: &PracticeId, provider: &ProviderId, now: Timestamp) -> Stored<()> {
    sqlx::query(
        "UPDATE launch_sessions SET ended_at = $3, end_reason = $4, access_token = NULL, refresh_token = NULL \
         WHERE practice_id = $1 AND provider_id = $2 AND ended_at IS NULL AND expires_at > $3",
    )
    .bind(practice.to_string())
    .bind(provider.to_string())
    .bind(now.0)
    .bind(LaunchEnd::Revoked.as_str().to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Stored<LaunchSession> {
    let text = |column: &'static str| row.try_get::<String, _>(column);
    let optional = |column: &'static str| row.try_get::<Option<String>, _>(column);
    let corrupt = StoreError::Corrupt;
    let ended_at = row.try_get::<Option<i64>, _>("ended_at")?.map(Timestamp);
    let reason = optional("end_reason")?.as_deref().and_then(LaunchEnd::parse);
    Ok(LaunchSession {
        id: LaunchId::new(text("id")?),
        practice: PracticeId::new(text("practice_id")?),
        provider: ProviderId::new(text("provider_id")?),
        clinician: optional("clinician_id")?.map(ClinicianId::new),
        cookie_hash: text("cookie_hash")?,
        terms: Terms {
            issuer: text("issuer")?,
            fhir_base: text("fhir_base")?,
            token_endpoint: text("token_endpoint")?,
            revocation_endpoint: optional("revocation_endpoint")?,
            client_id: text("client_id")?,
            auth: ChosenAuth {
                method: AuthMethod::parse(&text("auth_method")?).ok_or(corrupt("launch_sessions.auth_method"))?,
                algorithm: optional("signing_algorithm")?.as_deref().and_then(KeyAlgorithm::parse),
                reason: None,
            },
            scopes_requested: text("scopes_requested")?,
        },
        scopes_granted: optional("scopes_granted")?,
        context: LaunchContext {
            patient: optional("patient")?,
            encounter: optional("encounter")?,
            intent: optional("intent")?,
            need_patient_banner: row.try_get::<i64, _>("need_patient_banner")? != 0,
            smart_style_url: optional("smart_style_url")?,
            tenant: optional("tenant")?,
            fhir_context: optional("fhir_context")?,
        },
        access_token: row.try_get("access_token")?,
        refresh_token: row.try_get("refresh_token")?,
        started_at: Timestamp(row.try_get("started_at")?),
        expires_at: Timestamp(row.try_get("expires_at")?),
        ended: ended_at.zip(reason),
    })
}
