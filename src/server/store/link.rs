//! `one_time_links`: set-up, invitation and password-reset links, by the hash of their token.
//!
//! Guards: a link is used by deleting it, in the transaction of what it is used for. Look-ups by
//! token have no practice: the token is what tells which practice it is about.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use super::member::read_role;
use super::{Database, Stored, Tx};
use crate::model::id::{MemberId, PracticeId};
use crate::model::role::Role;
use crate::model::time::Timestamp;

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Making the first practice and its owner.
    Setup,
    /// Joining a practice.
    Invite {
        /// Which.
        practice: PracticeId,
        /// Who invited; absent for the command line. The link goes when this member goes.
        by: Option<MemberId>,
        /// For whom.
        email: String,
        /// With which role.
        role: Role,
    },
    /// Setting a new password.
    Reset {
        /// Of which practice.
        practice: PracticeId,
        /// Whose password.
        member: MemberId,
    },
}

/// The kind of a link, for look-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Purpose::Setup`].
    Setup,
    /// [`Purpose::Invite`].
    Invite,
    /// [`Purpose::Reset`].
    Reset,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Invite => "invite",
            Self::Reset => "reset",
        }
    }
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The record's id (never the token).
    pub id: String,
    /// What it is for.
    pub purpose: Purpose,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it works.
    pub expires_at: Timestamp,
}

/// Adds a link.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut Tx, link: &Link, token_hash: &str) -> Stored<()> {
    let (kind, practice, member, email, role) = match &link.purpose {
        Purpose::Setup => (Kind::Setup, None, None, None, None),
        Purpose::Invite { practice, by, email, role } => {
            (Kind::Invite, Some(practice), by.as_ref(), Some(email.clone()), Some(role.as_str().to_owned()))
        }
        Purpose::Reset { practice, member } => (Kind::Reset, Some(practice), Some(member), None, None),
    };
    sqlx::query(
        "INSERT INTO one_time_links (id, token_hash, kind, practice_id, member_id, email, role, created_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(link.id.clone())
    .bind(token_hash.to_owned())
    .bind(kind.as_str().to_owned())
    .bind(practice.map(ToString::to_string))
    .bind(member.map(ToString::to_string))
    .bind(email)
    .bind(role)
    .bind(link.created_at.0)
    .bind(link.expires_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A link that still works, without using it.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &Database, kind: Kind, token_hash: &str, now: Timestamp) -> Stored<Option<Link>> {
    let row = sqlx::query(
        "SELECT id, kind, practice_id, member_id, email, role, created_at, expires_at FROM one_time_links \
         WHERE token_hash = $1 AND kind = $2 AND expires_at > $3",
    )
    .bind(token_hash.to_owned())
    .bind(kind.as_str().to_owned())
    .bind(now.0)
    .fetch_optional(db.pool())
    .await?;
    row.map(|row| read(&row, kind)).transpose()
}

/// Uses a link that still works.
///
/// # Errors
/// When the database fails.
pub async fn take(tx: &mut Tx, kind: Kind, token_hash: &str, now: Timestamp) -> Stored<Option<Link>> {
    let row = sqlx::query(
        "DELETE FROM one_time_links WHERE token_hash = $1 AND kind = $2 AND expires_at > $3 \
         RETURNING id, kind, practice_id, member_id, email, role, created_at, expires_at",
    )
    .bind(token_hash.to_owned())
    .bind(kind.as_str().to_owned())
    .bind(now.0)
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| read(&row, kind)).transpose()
}

/// A practice's open invitations, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn invites<'c>(
    executor: impl Executor<'c, Database = Any>,
    practice: &PracticeId,
    now: Timestamp,
) -> Stored<Vec<Link>> {
    let rows = sqlx::query(
        "SELECT id, kind, practice_id, member_id, email, role, created_at, expires_at FROM one_time_links \
         WHERE practice_id = $1 AND kind = 'invite' AND expires_at > $2 ORDER BY id",
    )
    .bind(practice.to_string())
    .bind(now.0)
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| read(row, Kind::Invite)).collect()
}

/// Takes an invitation back; whether it was there.
///
/// # Errors
/// When the database fails.
pub async fn remove_invite(tx: &mut Tx, practice: &PracticeId, id: &str) -> Stored<bool> {
    let result = sqlx::query("DELETE FROM one_time_links WHERE practice_id = $1 AND kind = 'invite' AND id = $2")
        .bind(practice.to_string())
        .bind(id.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(result.rows_affected() == 1)
}

/// Drops a practice's invitations of an e-mail address, and every link that is over.
///
/// # Errors
/// When the database fails.
pub async fn remove_invites_of(tx: &mut Tx, practice: &PracticeId, email: &str, now: Timestamp) -> Stored<()> {
    sqlx::query(
        "DELETE FROM one_time_links \
         WHERE (practice_id = $1 AND kind = 'invite' AND email = $2) OR expires_at <= $3",
    )
    .bind(practice.to_string())
    .bind(email.to_owned())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Drops what hangs on a member: the invitations that they sent, and their password-reset links.
///
/// # Errors
/// When the database fails.
pub async fn remove_of_member(tx: &mut Tx, practice: &PracticeId, member: &MemberId, kind: Kind) -> Stored<()> {
    sqlx::query("DELETE FROM one_time_links WHERE practice_id = $1 AND member_id = $2 AND kind = $3")
        .bind(practice.to_string())
        .bind(member.to_string())
        .bind(kind.as_str().to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Drops every set-up link.
///
/// # Errors
/// When the database fails.
pub async fn remove_setup(tx: &mut Tx) -> Stored<()> {
    sqlx::query("DELETE FROM one_time_links WHERE kind = 'setup'").execute(&mut **tx).await?;
    Ok(())
}

fn read(row: &AnyRow, kind: Kind) -> Stored<Link> {
    let practice = || row.try_get::<String, _>("practice_id").map(PracticeId::new);
    let purpose = match kind {
        Kind::Setup => Purpose::Setup,
        Kind::Invite => Purpose::Invite {
            practice: practice()?,
            by: row.try_get::<Option<String>, _>("member_id")?.map(MemberId::new),
            email: row.try_get("email")?,
            role: read_role(row, "role")?,
        },
        Kind::Reset => {
            Purpose::Reset { practice: practice()?, member: MemberId::new(row.try_get::<String, _>("member_id")?) }
        }
    };
    Ok(Link {
        id: row.try_get("id")?,
        purpose,
        created_at: Timestamp(row.try_get("created_at")?),
        expires_at: Timestamp(row.try_get("expires_at")?),
    })
}
