//! `export_files` as the download reads them. What is written while it runs goes by way of
//! [`bulk::write`](crate::server::bulk::write), with the rows.
//!
//! Guards: a file is given out only when it is pending and due.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Database, StoreError, Stored};
use crate::model::id::{ExportId, PracticeId};
use crate::model::problem::Code;
use crate::model::time::Timestamp;
use crate::server::bulk::manifest::FileKind;

/// Where a file stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileState {
    /// To be fetched.
    #[default]
    Pending,
    /// Taken in.
    Done,
    /// Given up.
    Failed,
}

impl FileState {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// How far a file is stored, and what went wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub state: FileState,
    /// How often it failed.
    pub attempts: i64,
    /// When it is tried again.
    pub next_at: Timestamp,
    /// How many bytes of it are stored, uncompressed, up to a line's end.
    pub bytes: i64,
    /// How many lines these are.
    pub lines: i64,
    /// How many resources of these were taken in, or marked as deleted.
    pub rows: i64,
    /// How many lines of these were refused.
    pub rejected: i64,
    /// Rows per type in JSON, where the manifest names no type.
    pub counts: Option<String>,
    /// How many bytes came over the network in all.
    pub fetched: i64,
    /// With what a later request can go on where this one stopped (`If-Range`).
    pub validator: Option<String>,
    /// Why it failed, or is tried again.
    pub problem: Option<Code>,
    /// A word of ours on that.
    pub detail: Option<String>,
}

/// A file that is to be fetched.
#[derive(Clone, Debug)]
pub struct DueFile {
    /// Its number in the export.
    pub number: i64,
    /// What is in it.
    pub kind: FileKind,
    /// The resource type that the manifest names.
    pub resource_type: Option<String>,
    /// Where it is. It can be all that one needs to read it: never in a log.
    pub url: String,
    /// Whether it wants the access token.
    pub needs_token: bool,
    /// How many resources it has, as the manifest says.
    pub expected_lines: Option<i64>,
    /// How many bytes it has, as the manifest says.
    pub expected_bytes: Option<i64>,
    /// How far it is.
    pub progress: Progress,
}

/// The files of a kind that are pending and due, after the one of a number.
///
/// # Errors
/// When the database fails.
pub async fn due(
    db: &Database,
    practice: &PracticeId,
    export: &ExportId,
    kind: FileKind,
    after: i64,
    now: Timestamp,
    limit: i64,
) -> Stored<Vec<DueFile>> {
    let rows = sqlx::query(
        "SELECT export_files.number, type, url, needs_token, expected_lines, expected_bytes, attempts, bytes, \
         lines, rows, rejected, counts, fetched, validator, problem, detail FROM export_files \
         JOIN exports ON exports.id = export_id WHERE exports.practice_id = $1 AND export_id = $2 AND kind = $3 \
         AND export_files.number > $4 AND export_files.state = 'pending' AND export_files.next_at <= $5 \
         ORDER BY export_files.number LIMIT $6",
    )
    .bind(practice.to_string())
    .bind(export.to_string())
    .bind(kind.as_str().to_owned())
    .bind(after)
    .bind(now.0)
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    rows.iter().map(|row| read(row, kind)).collect()
}

/// How many files of a kind are pending, and when the next of them are due: those that are already, and the first
/// that is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// How many are pending.
    pub files: i64,
    /// How many of these are due.
    pub due: i64,
    /// When the next one is due that is not yet.
    pub next: Option<Timestamp>,
}

/// What is pending of a kind.
///
/// # Errors
/// When the database fails.
pub async fn pending(
    db: &Database,
    practice: &PracticeId,
    export: &ExportId,
    kind: FileKind,
    now: Timestamp,
) -> Stored<Pending> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS files, CAST(COALESCE(SUM(CASE WHEN export_files.next_at <= $4 THEN 1 ELSE 0 END), 0) \
         AS BIGINT) AS due, MIN(CASE WHEN export_files.next_at > $4 THEN export_files.next_at END) AS next \
         FROM export_files JOIN exports ON exports.id = export_id \
         WHERE exports.practice_id = $1 AND export_id = $2 AND kind = $3 AND export_files.state = 'pending'",
    )
    .bind(practice.to_string())
    .bind(export.to_string())
    .bind(kind.as_str().to_owned())
    .bind(now.0)
    .fetch_one(db.pool())
    .await?;
    Ok(Pending {
        files: row.try_get("files")?,
        due: row.try_get("due")?,
        next: row.try_get::<Option<i64>, _>("next")?.map(Timestamp),
    })
}

fn read(row: &AnyRow, kind: FileKind) -> Stored<DueFile> {
    let number = |column: &'static str| row.try_get::<i64, _>(column);
    let problem: Option<String> = row.try_get("problem")?;
    let problem = problem.map(|name| Code::parse(&name).ok_or(StoreError::Corrupt("export_files.problem")));
    Ok(DueFile {
        number: number("number")?,
        kind,
        resource_type: row.try_get("type")?,
        url: row.try_get("url")?,
        needs_token: number("needs_token")? != 0,
        expected_lines: row.try_get("expected_lines")?,
        expected_bytes: row.try_get("expected_bytes")?,
        progress: Progress {
            state: FileState::Pending,
            attempts: number("attempts")?,
            next_at: Timestamp::default(),
            bytes: number("bytes")?,
            lines: number("lines")?,
            rows: number("rows")?,
            rejected: number("rejected")?,
            counts: row.try_get("counts")?,
            fetched: number("fetched")?,
            validator: row.try_get("validator")?,
            problem: problem.transpose()?,
            detail: row.try_get("detail")?,
        },
    })
}
