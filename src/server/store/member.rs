//! `members`: the staff of practices. The columns of the second factor are written by
//! [`totp`](super::totp).
//!
//! Guards: every look-up is bound to a practice, except [`by_email`] and the commands that start with
//! it: an e-mail address is how one signs in, so it is unique in the installation.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::{StoreError, Stored, Tx, hit_one};
use crate::model::id::{MemberId, PracticeId};
use crate::model::role::Role;
use crate::model::time::Timestamp;

/// A member.
#[derive(Clone)]
pub struct Member {
    /// Who.
    pub id: MemberId,
    /// Of which practice.
    pub practice: PracticeId,
    /// The e-mail address, in lower case.
    pub email: String,
    /// The name; may be empty.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The password's PHC string.
    pub password_hash: String,
    /// The sealed secret of the second factor, in use or waiting for its first code.
    pub totp_sealed: Option<Vec<u8>>,
    /// Since when the second factor is wanted at sign-in.
    pub totp_enabled_at: Option<Timestamp>,
    /// When the account was made.
    pub created_at: Timestamp,
}

impl Member {
    /// Whether signing in wants a second factor.
    pub const fn has_second_factor(&self) -> bool {
        self.totp_enabled_at.is_some()
    }
}

/// Adds a member without a second factor.
///
/// # Errors
/// When the database fails, or has the e-mail address ([`super::is_taken`]).
pub async fn add(tx: &mut Tx, member: &Member) -> Stored<()> {
    sqlx::query(
        "INSERT INTO members (id, practice_id, email, name, role, password_hash, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(member.id.to_string())
    .bind(member.practice.to_string())
    .bind(member.email.clone())
    .bind(member.name.clone())
    .bind(member.role.as_str().to_owned())
    .bind(member.password_hash.clone())
    .bind(member.created_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A practice's member.
///
/// # Errors
/// When the database fails.
pub async fn get<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    member: &MemberId,
) -> Stored<Option<Member>> {
    let row = sqlx::query(
        "SELECT id, practice_id, email, name, role, password_hash, totp_sealed, totp_enabled_at, created_at \
         FROM members WHERE practice_id = $1 AND id = $2",
    )
    .bind(practice.to_string())
    .bind(member.to_string())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Whoever has this e-mail address, in any practice.
///
/// # Errors
/// When the database fails.
pub async fn by_email<'c>(executor: impl Executor<'c, Database = Any>, email: &str) -> Stored<Option<Member>> {
    let row = sqlx::query(
        "SELECT id, practice_id, email, name, role, password_hash, totp_sealed, totp_enabled_at, created_at \
         FROM members WHERE email = $1",
    )
    .bind(email.to_owned())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Everyone in a practice, by e-mail address.
///
/// # Errors
/// When the database fails.
pub async fn list<'c>(executor: impl Executor<'c, Database = Any>, practice: &PracticeId) -> Stored<Vec<Member>> {
    let rows = sqlx::query(
        "SELECT id, practice_id, email, name, role, password_hash, totp_sealed, totp_enabled_at, created_at \
         FROM members WHERE practice_id = $1 ORDER BY email",
    )
    .bind(practice.to_string())
    .fetch_all(executor)
    .await?;
    rows.iter().map(read).collect()
}

/// How many members of a practice have a role.
///
/// # Errors
/// When the database fails.
pub async fn count(tx: &mut Tx, practice: &PracticeId, role: Role) -> Stored<i64> {
    let row =
        sqlx::query("SELECT CAST(COUNT(*) AS BIGINT) AS number FROM members WHERE practice_id = $1 AND role = $2")
            .bind(practice.to_string())
            .bind(role.as_str().to_owned())
            .fetch_one(&mut **tx)
            .await?;
    Ok(row.try_get("number")?)
}

/// Replaces a member's password hash.
///
/// # Errors
/// When the database fails, or there is no such member.
pub async fn set_password(tx: &mut Tx, practice: &PracticeId, member: &MemberId, hash: &str) -> Stored<()> {
    let result = sqlx::query("UPDATE members SET password_hash = $3 WHERE practice_id = $1 AND id = $2")
        .bind(practice.to_string())
        .bind(member.to_string())
        .bind(hash.to_owned())
        .execute(&mut **tx)
        .await?;
    hit_one(&result, "member's password")
}

/// Gives a member another role.
///
/// # Errors
/// When the database fails, or there is no such member.
pub async fn set_role(tx: &mut Tx, practice: &PracticeId, member: &MemberId, role: Role) -> Stored<()> {
    let result = sqlx::query("UPDATE members SET role = $3 WHERE practice_id = $1 AND id = $2")
        .bind(practice.to_string())
        .bind(member.to_string())
        .bind(role.as_str().to_owned())
        .execute(&mut **tx)
        .await?;
    hit_one(&result, "member's role")
}

/// Removes a member; sessions, recovery codes and links go with the row.
///
/// # Errors
/// When the database fails, or there is no such member.
pub async fn remove(tx: &mut Tx, practice: &PracticeId, member: &MemberId) -> Stored<()> {
    let result = sqlx::query("DELETE FROM members WHERE practice_id = $1 AND id = $2")
        .bind(practice.to_string())
        .bind(member.to_string())
        .execute(&mut **tx)
        .await?;
    hit_one(&result, "member")
}

/// Reads a role column.
pub(super) fn read_role(row: &AnyRow, column: &'static str) -> Stored<Role> {
    Role::parse(&row.try_get::<String, _>(column)?).ok_or(StoreError::Corrupt("role"))
}

fn read(row: &AnyRow) -> Stored<Member> {
    Ok(Member {
        id: MemberId::new(row.try_get::<String, _>("id")?),
        practice: PracticeId::new(row.try_get::<String, _>("practice_id")?),
        email: row.try_get("email")?,
        name: row.try_get("name")?,
        role: read_role(row, "role")?,
        password_hash: row.try_get("password_hash")?,
        totp_sealed: row.try_get("totp_sealed")?,
        totp_enabled_at: row.try_get::<Option<i64>, _>("totp_enabled_at")?.map(Timestamp),
        created_at: Timestamp(row.try_get("created_at")?),
    })
}
