//! `clinicians`: people whom an EHR vouches for.
//!
//! Guards: a person is who the validated identity token names, by issuer and subject; an e-mail
//! address is never looked at.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::{Database, StoreError, Stored, Tx};
use crate::model::id::{ClinicianId, PracticeId};
use crate::model::launch::ClinicianStatus;
use crate::model::time::Timestamp;

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clinician {
    /// Who.
    pub id: ClinicianId,
    /// At which practice.
    pub practice: PracticeId,
    /// Who vouches for them: the `iss` of the identity token.
    pub issuer: String,
    /// Who they are there: its `sub`.
    pub subject: String,
    /// The name in the EHR, where it could be read.
    pub name: Option<String>,
    /// The user's record in the EHR.
    pub fhir_user: Option<String>,
    /// Where they stand.
    pub status: ClinicianStatus,
    /// When they last came.
    pub last_seen_at: Timestamp,
}

impl Clinician {
    /// What they are called: the name, the record, or at least who the EHR says they are.
    pub fn label(&self) -> &str {
        self.name.as_deref().or(self.fhir_user.as_deref()).unwrap_or(&self.subject)
    }
}

/// Notes that a person came, and answers how they stand. `seen.status` is what a new one gets, and one
/// who still waits; a decision stays. An unknown name does not replace a known one.
///
/// # Errors
/// When the database fails.
pub async fn seen(tx: &mut Tx, seen: &Clinician) -> Stored<Clinician> {
    let row = sqlx::query(
        "INSERT INTO clinicians (id, practice_id, issuer, subject, name, fhir_user, status, created_at, last_seen_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) \
         ON CONFLICT (practice_id, issuer, subject) DO UPDATE SET \
         name = COALESCE(excluded.name, clinicians.name), fhir_user = excluded.fhir_user, \
         status = CASE WHEN clinicians.status = 'pending' THEN excluded.status ELSE clinicians.status END, \
         last_seen_at = excluded.last_seen_at \
         RETURNING id, practice_id, issuer, subject, name, fhir_user, status, last_seen_at",
    )
    .bind(seen.id.to_string())
    .bind(seen.practice.to_string())
    .bind(seen.issuer.clone())
    .bind(seen.subject.clone())
    .bind(seen.name.clone())
    .bind(seen.fhir_user.clone())
    .bind(seen.status.as_str().to_owned())
    .bind(seen.last_seen_at.0)
    .fetch_one(&mut **tx)
    .await?;
    read(&row)
}

/// A person of the practice.
///
/// # Errors
/// When the database fails.
pub async fn find<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    id: &ClinicianId,
) -> Stored<Option<Clinician>> {
    let row = sqlx::query(
        "SELECT id, practice_id, issuer, subject, name, fhir_user, status, last_seen_at FROM clinicians \
         WHERE practice_id = $1 AND id = $2",
    )
    .bind(practice.to_string())
    .bind(id.to_string())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Everyone who came to the practice, the last one first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &Database, practice: &PracticeId) -> Stored<Vec<Clinician>> {
    let rows = sqlx::query(
        "SELECT id, practice_id, issuer, subject, name, fhir_user, status, last_seen_at FROM clinicians \
         WHERE practice_id = $1 ORDER BY last_seen_at DESC, id DESC LIMIT 500",
    )
    .bind(practice.to_string())
    .fetch_all(db.pool())
    .await?;
    rows.iter().map(read).collect()
}

/// Decides about a person. `false` when there is none of this id.
///
/// # Errors
/// When the database fails.
pub async fn decide(tx: &mut Tx, practice: &PracticeId, id: &ClinicianId, status: ClinicianStatus) -> Stored<bool> {
    let result = sqlx::query("UPDATE clinicians SET status = $3 WHERE practice_id = $1 AND id = $2")
        .bind(practice.to_string())
        .bind(id.to_string())
        .bind(status.as_str().to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(result.rows_affected() == 1)
}

fn read(row: &AnyRow) -> Stored<Clinician> {
    let text = |column: &'static str| row.try_get::<String, _>(column);
    Ok(Clinician {
        id: ClinicianId::new(text("id")?),
        practice: PracticeId::new(text("practice_id")?),
        issuer: text("issuer")?,
        subject: text("subject")?,
        name: row.try_get("name")?,
        fhir_user: row.try_get("fhir_user")?,
        status: ClinicianStatus::parse(&text("status")?).ok_or(StoreError::Corrupt("clinicians.status"))?,
        last_seen_at: Timestamp(row.try_get("last_seen_at")?),
    })
}
