//! `attempts`: failures within a window, by what is limited.
//!
//! The table has no practice: a sign-in is limited before anybody knows whose it is. Guards: counting
//! is one statement, so that replicas and parallel requests share one count.

use sqlx::Row;

use super::{Database, Stored};
use crate::model::time::Timestamp;

/// Counts one attempt and answers how many there are within the window now.
///
/// # Errors
/// When the database fails.
pub async fn count(db: &Database, subject: &str, now: Timestamp, window_seconds: i64) -> Stored<i64> {
    let row = sqlx::query(
        "INSERT INTO attempts (subject, failures, window_start) VALUES ($1, 1, $2) \
         ON CONFLICT (subject) DO UPDATE SET \
         failures = CASE WHEN attempts.window_start <= $3 THEN 1 ELSE attempts.failures + 1 END, \
         window_start = CASE WHEN attempts.window_start <= $3 THEN $2 ELSE attempts.window_start END \
         RETURNING failures",
    )
    .bind(subject.to_owned())
    .bind(now.0)
    .bind(now.plus_seconds(-window_seconds).0)
    .fetch_one(db.pool())
    .await?;
    Ok(row.try_get("failures")?)
}

/// Takes one attempt back: it was none.
///
/// # Errors
/// When the database fails.
pub async fn take_back(db: &Database, subject: &str) -> Stored<()> {
    sqlx::query("UPDATE attempts SET failures = failures - 1 WHERE subject = $1 AND failures > 0")
        .bind(subject.to_owned())
        .execute(db.pool())
        .await?;
    Ok(())
}

/// Forgets a subject's attempts.
///
/// # Errors
/// When the database fails.
pub async fn forget(db: &Database, subject: &str) -> Stored<()> {
    sqlx::query("DELETE FROM attempts WHERE subject = $1").bind(subject.to_owned()).execute(db.pool()).await?;
    Ok(())
}

/// Forgets every window that started before a time.
///
/// # Errors
/// When the database fails.
pub async fn forget_before(db: &Database, time: Timestamp) -> Stored<()> {
    sqlx::query("DELETE FROM attempts WHERE window_start < $1").bind(time.0).execute(db.pool()).await?;
    Ok(())
}
