//! `export_files` as manifests fill them and pages show them; the files' progress is the ingest's.
//!
//! Guards: a file is known by its place in its page, because its address may be renewed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sqlx::Row;

use super::{Database, Stored, Tx};
use crate::model::export::{ExportError, ExportFile, FileCounts, RowCounts};
use crate::model::id::ExportId;
use crate::model::problem::Code;

/// Numbers of a page's files start at this many times the page's number.
const PER_PAGE: i64 = 1_000_000;

/// A file as a manifest names it.
pub struct NewFile<'a> {
    /// What is in it.
    pub kind: &'static str,
    /// The resource type, where it has one only.
    pub resource_type: Option<&'a str>,
    /// Where it is.
    pub url: &'a str,
    /// How many lines it has.
    pub lines: Option<i64>,
    /// How many bytes it has.
    pub bytes: Option<i64>,
}

/// Adds the files of a page, all with or without the access token. Those that are known keep their progress; one
/// that is still to be fetched gets its new address.
///
/// # Errors
/// When the database fails.
pub async fn put<'a>(
    tx: &mut Tx,
    export: &ExportId,
    page: i64,
    needs_token: bool,
    files: impl Iterator<Item = NewFile<'a>>,
) -> Stored<()> {
    let mut numbered = (page * PER_PAGE + 1..).zip(files).peekable();
    while numbered.peek().is_some() {
        let batch: Vec<_> = numbered.by_ref().take(BATCH).collect();
        // One statement for many files: manifests have tens of thousands of them.
        let (sql, at_once) = if batch.len() == BATCH { (MANY.as_str(), BATCH) } else { (ONE.as_str(), 1) };
        for rows in batch.chunks(at_once) {
            let mut query = sqlx::query(sql);
            for (number, file) in rows {
                query = query
                    .bind(export.to_string())
                    .bind(*number)
                    .bind(page)
                    .bind(file.kind.to_owned())
                    .bind(file.resource_type.map(str::to_owned))
                    .bind(file.url.to_owned())
                    .bind(i64::from(needs_token))
                    .bind(file.lines)
                    .bind(file.bytes);
            }
            query.execute(&mut **tx).await?;
        }
    }
    Ok(())
}

/// How many files one statement adds.
const BATCH: usize = 100;

static ONE: LazyLock<String> = LazyLock::new(|| insert(1));
static MANY: LazyLock<String> = LazyLock::new(|| insert(BATCH));

/// The statement that adds so many files: nothing but places for values is added to it.
fn insert(files: usize) -> String {
    const COLUMNS: usize = 9;
    let values = (0..files).map(|file| {
        let places: Vec<_> = (1..=COLUMNS).map(|column| format!("${}", file * COLUMNS + column)).collect();
        format!("({}, 'pending')", places.join(", "))
    });
    let values: Vec<_> = values.collect();
    format!(
        "INSERT INTO export_files (export_id, number, page, kind, type, url, needs_token, expected_lines, \
         expected_bytes, state) VALUES {} \
         ON CONFLICT (export_id, number) DO UPDATE SET next_at = CASE WHEN export_files.url = excluded.url \
         THEN export_files.next_at ELSE 0 END, url = excluded.url, needs_token = excluded.needs_token \
         WHERE export_files.state = 'pending'",
        values.join(", ")
    )
}

/// What is known of all files together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many there are.
    pub files: FileCounts,
    /// What was taken in.
    pub rows: RowCounts,
    /// Lines that were not.
    pub rejected: i64,
    /// Bytes that were read.
    pub bytes: i64,
    /// Lines that were read, and that are expected, of the files that say how many they have.
    pub expected: (i64, i64),
}

/// What is known of all files together.
///
/// # Errors
/// When the database fails.
pub async fn totals(db: &Database, export: &ExportId) -> Stored<Totals> {
    let groups = sqlx::query(
        "SELECT type, state, CAST(COUNT(*) AS BIGINT) AS files, CAST(SUM(rows) AS BIGINT) AS rows, \
         CAST(SUM(rejected) AS BIGINT) AS rejected, CAST(SUM(bytes) AS BIGINT) AS bytes, \
         CAST(SUM(CASE WHEN expected_lines IS NULL THEN 0 ELSE lines END) AS BIGINT) AS read, \
         CAST(SUM(COALESCE(expected_lines, 0)) AS BIGINT) AS expected \
         FROM export_files WHERE export_id = $1 GROUP BY type, state",
    )
    .bind(export.to_string())
    .fetch_all(db.pool())
    .await?;
    let mut totals = Totals::default();
    for group in &groups {
        let files: i64 = group.try_get("files")?;
        totals.files.total += files;
        match group.try_get::<String, _>("state")?.as_str() {
            "done" => totals.files.done += files,
            "failed" => totals.files.failed += files,
            _ => {}
        }
        let rows: i64 = group.try_get("rows")?;
        totals.rows.total += rows;
        if let Some(kind) = group.try_get::<Option<String>, _>("type")?.filter(|_| rows > 0) {
            *totals.rows.by_type.entry(kind).or_default() += rows;
        }
        totals.rejected += group.try_get::<i64, _>("rejected")?;
        totals.bytes += group.try_get::<i64, _>("bytes")?;
        totals.expected.0 += group.try_get::<i64, _>("read")?;
        totals.expected.1 += group.try_get::<i64, _>("expected")?;
    }
    add_mixed(db, export, &mut totals.rows.by_type).await?;
    Ok(totals)
}

/// Files of organized output have several types each.
async fn add_mixed(db: &Database, export: &ExportId, by_type: &mut BTreeMap<String, i64>) -> Stored<()> {
    let mixed = sqlx::query("SELECT counts FROM export_files WHERE export_id = $1 AND counts IS NOT NULL")
        .bind(export.to_string())
        .fetch_all(db.pool())
        .await?;
    for row in &mixed {
        let counts: String = row.try_get("counts")?;
        for (kind, rows) in serde_json::from_str::<BTreeMap<String, i64>>(&counts).unwrap_or_default() {
            *by_type.entry(kind).or_default() += rows;
        }
    }
    Ok(())
}

/// Files of an export after the one of a number, in order.
///
/// # Errors
/// When the database fails.
pub async fn files(db: &Database, export: &ExportId, after: i64, limit: i64) -> Stored<Vec<ExportFile>> {
    let rows = sqlx::query(
        "SELECT number, kind, type, state, expected_lines, lines, rows, rejected, bytes, attempts, problem, detail \
         FROM export_files WHERE export_id = $1 AND number > $2 ORDER BY number LIMIT $3",
    )
    .bind(export.to_string())
    .bind(after)
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ExportFile {
                number: row.try_get("number")?,
                kind: row.try_get("kind")?,
                resource_type: row.try_get("type")?,
                state: row.try_get("state")?,
                expected: row.try_get("expected_lines")?,
                lines: row.try_get("lines")?,
                rows: row.try_get("rows")?,
                rejected: row.try_get("rejected")?,
                bytes: row.try_get("bytes")?,
                attempts: row.try_get("attempts")?,
                problem: row.try_get::<Option<String>, _>("problem")?.as_deref().and_then(Code::parse),
                detail: row.try_get("detail")?,
            })
        })
        .collect()
}

/// What is wrong with files, the first of them.
///
/// # Errors
/// When the database fails.
pub async fn errors(db: &Database, export: &ExportId, limit: i64) -> Stored<Vec<ExportError>> {
    let rows = sqlx::query(
        "SELECT number, type, problem, detail, state FROM export_files \
         WHERE export_id = $1 AND problem IS NOT NULL AND state <> 'done' ORDER BY number LIMIT $2",
    )
    .bind(export.to_string())
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    let read = |row: &sqlx::any::AnyRow| -> Stored<ExportError> {
        Ok(ExportError {
            error: Code::parse(&row.try_get::<String, _>("problem")?).unwrap_or(Code::Internal),
            file: Some(row.try_get("number")?),
            kind: row.try_get("type")?,
            detail: row.try_get("detail")?,
            again: row.try_get::<String, _>("state")? == "pending",
        })
    };
    rows.iter().map(read).collect()
}

/// How many resources the EHR named as deleted.
///
/// # Errors
/// When the database fails.
pub async fn deletions(db: &Database, export: &ExportId) -> Stored<i64> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(rows), 0) AS BIGINT) AS rows FROM export_files \
         WHERE export_id = $1 AND kind = 'deleted'",
    )
    .bind(export.to_string())
    .fetch_one(db.pool())
    .await?;
    Ok(row.try_get("rows")?)
}

/// How many outcomes of the EHR tell of an error, not of a warning.
///
/// # Errors
/// When the database fails.
pub async fn reported_errors(db: &Database, export: &ExportId) -> Stored<i64> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(times), 0) AS BIGINT) AS times FROM export_outcomes \
         WHERE export_id = $1 AND severity IN ('error', 'fatal')",
    )
    .bind(export.to_string())
    .fetch_one(db.pool())
    .await?;
    Ok(row.try_get("times")?)
}

/// Lets files that failed be fetched again, from their beginning: one, or all of them. Answers how many.
///
/// # Errors
/// When the database fails.
pub async fn retry(tx: &mut Tx, export: &ExportId, number: Option<i64>) -> Stored<u64> {
    let result = sqlx::query(
        "UPDATE export_files SET state = 'pending', attempts = 0, next_at = 0, bytes = 0, lines = 0, rows = 0, \
         rejected = 0, counts = NULL, validator = NULL, problem = NULL, detail = NULL \
         WHERE export_id = $1 AND state = 'failed' AND ($2 = -1 OR number = $2)",
    )
    .bind(export.to_string())
    .bind(number.unwrap_or(-1))
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected())
}

/// Gives files up that are gone at the EHR.
///
/// # Errors
/// When the database fails.
pub async fn give_up(tx: &mut Tx, export: &ExportId, why: Code, numbers: &[i64]) -> Stored<()> {
    for number in numbers {
        sqlx::query(
            "UPDATE export_files SET state = 'failed', problem = $3, detail = 'gone' \
             WHERE export_id = $1 AND number = $2 AND state = 'pending'",
        )
        .bind(export.to_string())
        .bind(*number)
        .bind(why.name().to_owned())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Where files are, by number.
///
/// # Errors
/// When the database fails.
pub async fn addresses(tx: &mut Tx, export: &ExportId, numbers: &[i64]) -> Stored<Vec<(i64, String)>> {
    let mut addresses = Vec::new();
    for number in numbers {
        let row = sqlx::query("SELECT url FROM export_files WHERE export_id = $1 AND number = $2")
            .bind(export.to_string())
            .bind(*number)
            .fetch_one(&mut **tx)
            .await?;
        addresses.push((*number, row.try_get("url")?));
    }
    Ok(addresses)
}

/// Of which pages files are, by number.
///
/// # Errors
/// When the database fails.
pub async fn pages(db: &Database, export: &ExportId, numbers: &[i64]) -> Stored<Vec<(i64, i64)>> {
    let mut pages = Vec::new();
    for number in numbers {
        let row = sqlx::query("SELECT page FROM export_files WHERE export_id = $1 AND number = $2")
            .bind(export.to_string())
            .bind(*number)
            .fetch_one(db.pool())
            .await?;
        pages.push((*number, row.try_get("page")?));
    }
    Ok(pages)
}

/// How many files are still to be fetched.
///
/// # Errors
/// When the database fails.
pub async fn pending(db: &Database, export: &ExportId) -> Stored<i64> {
    let row = sqlx::query(
        "SELECT CAST(COUNT(*) AS BIGINT) AS files FROM export_files WHERE export_id = $1 AND state = 'pending'",
    )
    .bind(export.to_string())
    .fetch_one(db.pool())
    .await?;
    Ok(row.try_get("files")?)
}
