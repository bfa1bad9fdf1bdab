//! `practices`: the tenants.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::{Stored, Tx, hit_one};
use crate::model::id::PracticeId;
use crate::model::time::Timestamp;

/// A practice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Practice {
    /// Its id.
    pub id: PracticeId,
    /// Its name; not unique by the database, only by how the command line makes practices.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Adds a practice.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut Tx, practice: &Practice) -> Stored<()> {
    sqlx::query("INSERT INTO practices (id, name, created_at) VALUES ($1, $2, $3)")
        .bind(practice.id.to_string())
        .bind(practice.name.clone())
        .bind(practice.created_at.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A practice by its id.
///
/// # Errors
/// When the database fails.
pub async fn get<'c>(executor: impl Executor<'c, Database = Any>, practice: &PracticeId) -> Stored<Option<Practice>> {
    let row = sqlx::query("SELECT id, name, created_at FROM practices WHERE id = $1")
        .bind(practice.to_string())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The oldest practice of this name: how the command line names one.
///
/// # Errors
/// When the database fails.
pub async fn by_name<'c>(executor: impl Executor<'c, Database = Any>, name: &str) -> Stored<Option<Practice>> {
    let row = sqlx::query("SELECT id, name, created_at FROM practices WHERE name = $1 ORDER BY id LIMIT 1")
        .bind(name.to_owned())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(read).transpose()
}

/// How many practices the installation has.
///
/// # Errors
/// When the database fails.
pub async fn count<'c>(executor: impl Executor<'c, Database = Any>) -> Stored<i64> {
    let row = sqlx::query("SELECT CAST(COUNT(*) AS BIGINT) AS number FROM practices").fetch_one(executor).await?;
    Ok(row.try_get("number")?)
}

/// Holds the practice's row until the transaction ends, so that two changes of its members cannot
/// both count the same last owner.
///
/// # Errors
/// When the database fails, or there is no such practice.
pub async fn lock(tx: &mut Tx, practice: &PracticeId) -> Stored<()> {
    let result = sqlx::query("UPDATE practices SET name = name WHERE id = $1")
        .bind(practice.to_string())
        .execute(&mut **tx)
        .await?;
    hit_one(&result, "practice")
}

fn read(row: &AnyRow) -> Stored<Practice> {
    Ok(Practice {
        id: PracticeId::new(row.try_get::<String, _>("id")?),
        name: row.try_get("name")?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}
