//! The second factor: its columns in `members`, and `recovery_codes`.
//!
//! Guards: a time step and a recovery code are each accepted once, decided by one statement. Recovery
//! codes have no practice of their own: they hang on the member's row.

use sqlx::{Any, Executor, Row};

use super::{Stored, Tx, hit_one};
use crate::model::id::{MemberId, PracticeId};
use crate::model::time::Timestamp;

/// Keeps a sealed secret that waits for its first code; whether it is kept: not when there is one.
///
/// # Errors
/// When the database fails.
pub async fn set_pending<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    member: &MemberId,
    sealed: Vec<u8>,
) -> Stored<bool> {
    let result = sqlx::query(
        "UPDATE members SET totp_sealed = $3, totp_last_step = 0 \
         WHERE practice_id = $1 AND id = $2 AND totp_sealed IS NULL AND totp_enabled_at IS NULL",
    )
    .bind(practice.to_string())
    .bind(member.to_string())
    .bind(sealed)
    .execute(executor)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Switches the waiting second factor on; whether it was waiting.
///
/// # Errors
/// When the database fails.
pub async fn enable(tx: &mut Tx, practice: &PracticeId, member: &MemberId, now: Timestamp) -> Stored<bool> {
    let result = sqlx::query(
        "UPDATE members SET totp_enabled_at = $3 \
         WHERE practice_id = $1 AND id = $2 AND totp_sealed IS NOT NULL AND totp_enabled_at IS NULL",
    )
    .bind(practice.to_string())
    .bind(member.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Forgets the second factor and its recovery codes.
///
/// # Errors
/// When the database fails, or there is no such member.
pub async fn disable(tx: &mut Tx, practice: &PracticeId, member: &MemberId) -> Stored<()> {
    let result = sqlx::query(
        "UPDATE members SET totp_sealed = NULL, totp_enabled_at = NULL, totp_last_step = 0 \
         WHERE practice_id = $1 AND id = $2",
    )
    .bind(practice.to_string())
    .bind(member.to_string())
    .execute(&mut **tx)
    .await?;
    hit_one(&result, "member's second factor")?;
    remove_codes(tx, member).await
}

/// Uses up a time step (RFC 6238 §5.2); whether it was newer than the last one.
///
/// # Errors
/// When the database fails.
pub async fn use_step(tx: &mut Tx, practice: &PracticeId, member: &MemberId, step: i64) -> Stored<bool> {
    let result = sqlx::query(
        "UPDATE members SET totp_last_step = $3 WHERE practice_id = $1 AND id = $2 AND totp_last_step < $3",
    )
    .bind(practice.to_string())
    .bind(member.to_string())
    .bind(step)
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Replaces a member's recovery codes.
///
/// # Errors
/// When the database fails.
pub async fn replace_codes(tx: &mut Tx, member: &MemberId, hashes: &[String]) -> Stored<()> {
    remove_codes(tx, member).await?;
    for hash in hashes {
        sqlx::query("INSERT INTO recovery_codes (member_id, code_hash) VALUES ($1, $2)")
            .bind(member.to_string())
            .bind(hash.clone())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Uses up a recovery code; whether there was one.
///
/// # Errors
/// When the database fails.
pub async fn use_code(tx: &mut Tx, member: &MemberId, hash: &str, now: Timestamp) -> Stored<bool> {
    let result = sqlx::query(
        "UPDATE recovery_codes SET used_at = $3 WHERE member_id = $1 AND code_hash = $2 AND used_at IS NULL",
    )
    .bind(member.to_string())
    .bind(hash.to_owned())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// How many recovery codes a member has left.
///
/// # Errors
/// When the database fails.
pub async fn codes_left<'c>(executor: impl Executor<'c, Database = Any>, member: &MemberId) -> Stored<i64> {
    let row = sqlx::query(
        "SELECT CAST(COUNT(*) AS BIGINT) AS number FROM recovery_codes WHERE member_id = $1 AND used_at IS NULL",
    )
    .bind(member.to_string())
    .fetch_one(executor)
    .await?;
    Ok(row.try_get("number")?)
}

async fn remove_codes(tx: &mut Tx, member: &MemberId) -> Stored<()> {
    sqlx::query("DELETE FROM recovery_codes WHERE member_id = $1").bind(member.to_string()).execute(&mut **tx).await?;
    Ok(())
}
