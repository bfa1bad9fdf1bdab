//! `sessions`: signed-in browsers, by the hash of their cookie's token.
//!
//! Guards: [`by_token`] is the one look-up without a practice: it tells which practice a browser
//! belongs to. Every other statement is bound to practice and member.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::member::read_role;
use super::{Database, Stored, Tx};
use crate::model::id::{MemberId, PracticeId, SessionId};
use crate::model::role::Role;
use crate::model::time::Timestamp;

/// A signed-in browser.
#[derive(Clone, Debug)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Of which practice.
    pub practice: PracticeId,
    /// Of whom.
    pub member: MemberId,
    /// Whether the second factor is still wanted: such a session may do nothing else.
    pub totp_pending: bool,
    /// The browser's User-Agent, shortened.
    pub user_agent: String,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it last did something.
    pub last_seen_at: Timestamp,
    /// When it ends, whatever it does.
    pub expires_at: Timestamp,
}

/// A session with what its member is today.
#[derive(Clone, Debug)]
pub struct SessionOf {
    /// The session.
    pub session: Session,
    /// The member's e-mail address.
    pub email: String,
    /// The member's role.
    pub role: Role,
}

/// Adds a session, and drops those that are over: nothing else grows this table.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut Tx, session: &Session, token_hash: &str) -> Stored<()> {
    sqlx::query("DELETE FROM sessions WHERE expires_at <= $1").bind(session.created_at.0).execute(&mut **tx).await?;
    sqlx::query(
        "INSERT INTO sessions (id, token_hash, practice_id, member_id, totp_pending, user_agent, created_at, \
         last_seen_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(session.id.to_string())
    .bind(token_hash.to_owned())
    .bind(session.practice.to_string())
    .bind(session.member.to_string())
    .bind(i64::from(session.totp_pending))
    .bind(session.user_agent.clone())
    .bind(session.created_at.0)
    .bind(session.last_seen_at.0)
    .bind(session.expires_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The session of a token, whether it is over or not.
///
/// # Errors
/// When the database fails.
pub async fn by_token<'c>(executor: impl Executor<'c, Database = Any>, token_hash: &str) -> Stored<Option<SessionOf>> {
    let row = sqlx::query(
        "SELECT s.id, s.practice_id, s.member_id, s.totp_pending, s.user_agent, s.created_at, s.last_seen_at, \
         s.expires_at, m.email, m.role FROM sessions s \
         JOIN members m ON m.id = s.member_id AND m.practice_id = s.practice_id WHERE s.token_hash = $1",
    )
    .bind(token_hash.to_owned())
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(SessionOf { session: read(&row)?, email: row.try_get("email")?, role: read_role(&row, "role")? }))
}

/// A member's signed-in browsers that are not over, the one that did something last first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &Database, practice: &PracticeId, member: &MemberId, now: Timestamp) -> Stored<Vec<Session>> {
    let rows = sqlx::query(
        "SELECT id, practice_id, member_id, totp_pending, user_agent, created_at, last_seen_at, expires_at \
         FROM sessions WHERE practice_id = $1 AND member_id = $2 AND totp_pending = 0 AND expires_at > $3 \
         ORDER BY last_seen_at DESC, id DESC",
    )
    .bind(practice.to_string())
    .bind(member.to_string())
    .bind(now.0)
    .fetch_all(db.pool())
    .await?;
    rows.iter().map(read).collect()
}

/// Notes that a session did something.
///
/// # Errors
/// When the database fails.
pub async fn touch(db: &Database, practice: &PracticeId, session: &SessionId, now: Timestamp) -> Stored<()> {
    sqlx::query("UPDATE sessions SET last_seen_at = $3 WHERE practice_id = $1 AND id = $2 AND last_seen_at < $3")
        .bind(practice.to_string())
        .bind(session.to_string())
        .bind(now.0)
        .execute(db.pool())
        .await?;
    Ok(())
}

/// Ends one session of a member; whether it was there.
///
/// # Errors
/// When the database fails.
pub async fn remove<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    member: &MemberId,
    session: &SessionId,
) -> Stored<bool> {
    let result = sqlx::query("DELETE FROM sessions WHERE practice_id = $1 AND member_id = $2 AND id = $3")
        .bind(practice.to_string())
        .bind(member.to_string())
        .bind(session.to_string())
        .execute(executor)
        .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends the session of a token, whoever's it is: the browser that has it signs in anew.
///
/// # Errors
/// When the database fails.
pub async fn remove_by_token(tx: &mut Tx, token_hash: &str) -> Stored<bool> {
    let result = sqlx::query("DELETE FROM sessions WHERE token_hash = $1")
        .bind(token_hash.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends a member's sessions, except one; how many.
///
/// # Errors
/// When the database fails.
pub async fn remove_all_but(
    tx: &mut Tx,
    practice: &PracticeId,
    member: &MemberId,
    keep: Option<&SessionId>,
) -> Stored<u64> {
    let result = sqlx::query("DELETE FROM sessions WHERE practice_id = $1 AND member_id = $2 AND id <> $3")
        .bind(practice.to_string())
        .bind(member.to_string())
        .bind(keep.map(ToString::to_string).unwrap_or_default())
        .execute(&mut **tx)
        .await?;
    Ok(result.rows_affected())
}

fn read(row: &AnyRow) -> Stored<Session> {
    Ok(Session {
        id: SessionId::new(row.try_get::<String, _>("id")?),
        practice: PracticeId::new(row.try_get::<String, _>("practice_id")?),
        member: MemberId::new(row.try_get::<String, _>("member_id")?),
        totp_pending: row.try_get::<i64, _>("totp_pending")? != 0,
        user_agent: row.try_get("user_agent")?,
        created_at: Timestamp(row.try_get("created_at")?),
        last_seen_at: Timestamp(row.try_get("last_seen_at")?),
        expires_at: Timestamp(row.try_get("expires_at")?),
    })
}
