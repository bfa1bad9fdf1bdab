//! Writes a transaction of an export into SQLite.
//!
//! Guards: a connection of its own, with the settings that every other connection has; the write lock is held
//! for one transaction of prepared statements, and while nothing is waited for.

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, Transaction, TransactionBehavior, params};
use sqlx::sqlite::SqliteConnectOptions;

use super::sql::{FENCE, FORGET, PROGRESS, REJECT, REMARK, resources};
use super::{Part, Target, WriteError, last};
use crate::model::problem::Code;
use crate::model::time::Timestamp;
use crate::server::store::{Database, StoreError};

/// What a transaction changes of the index should be in here, else its pages are written before its end.
const CACHE: &str = "PRAGMA cache_size = -32000";

const RESOURCE: &str = resources!("VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");

/// A connection to an SQLite file. It is gone while a thread writes with it, and after that thread panicked.
pub struct Writer(Option<Connection>);

impl Writer {
    /// Opens the file.
    pub(super) async fn open(db: &Database) -> Result<Self, WriteError> {
        let options: SqliteConnectOptions = db.address().parse()?;
        let file = options.get_filename().to_owned();
        let settings = db.dialect().on_connect();
        let open = move || -> Result<Connection, rusqlite::Error> {
            let connection = Connection::open(file)?;
            connection.execute_batch(settings)?;
            connection.execute_batch(CACHE)?;
            Ok(connection)
        };
        let connection = tokio::task::spawn_blocking(open).await.map_err(|_| WriteError::Thread)??;
        Ok(Self(Some(connection)))
    }

    /// Writes these parts.
    pub(super) async fn write(&mut self, target: &Target, parts: Vec<Part>, now: Timestamp) -> Result<(), WriteError> {
        let mut connection = self.0.take().ok_or(WriteError::Thread)?;
        let target = target.clone();
        let write = move || {
            let result = write(&mut connection, &target, &parts, now);
            (connection, result)
        };
        let (connection, result) = tokio::task::spawn_blocking(write).await.map_err(|_| WriteError::Thread)?;
        self.0 = Some(connection);
        result
    }
}

fn write(connection: &mut Connection, target: &Target, parts: &[Part], now: Timestamp) -> Result<(), WriteError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let export = target.export.as_str();
    if tx.prepare_cached(FENCE)?.execute(params![export, target.fence])? != 1 {
        return Err(WriteError::Fenced);
    }
    {
        let mut resource = tx.prepare_cached(RESOURCE)?;
        for part in parts {
            if part.restart {
                for sql in FORGET {
                    tx.prepare_cached(sql)?.execute(params![export, part.file])?;
                }
            }
            put_rows(&mut resource, target, part, now)?;
            put_notes(&tx, export, part)?;
        }
    }
    let mut statement = tx.prepare_cached(PROGRESS)?;
    for (file, progress) in last(parts) {
        let rows = statement.execute(params![
            progress.state.as_str(),
            progress.attempts,
            progress.next_at.0,
            progress.bytes,
            progress.lines,
            progress.rows,
            progress.rejected,
            progress.counts,
            progress.fetched,
            progress.validator,
            progress.problem.map(Code::name),
            progress.detail,
            export,
            file,
        ])?;
        if rows != 1 {
            let rows = u64::try_from(rows).unwrap_or(u64::MAX);
            return Err(StoreError::NotOne { what: "export file", rows }.into());
        }
    }
    drop(statement);
    tx.commit()?;
    Ok(())
}

fn put_rows(
    statement: &mut Statement<'_>,
    target: &Target,
    part: &Part,
    now: Timestamp,
) -> Result<(), rusqlite::Error> {
    for row in &part.rows {
        let deleted_at = row.body.is_none().then_some(now.0);
        statement.execute(params![
            target.source,
            &*row.kind,
            &*row.id,
            row.updated_at.map(|time| time.0),
            row.version.as_deref(),
            i64::from(row.partial),
            target.number,
            deleted_at,
            row.body.as_deref().map(Utf8),
        ])?;
    }
    Ok(())
}

fn put_notes(tx: &Transaction<'_>, export: &str, part: &Part) -> Result<(), rusqlite::Error> {
    for reject in &part.rejects {
        let values = params![export, part.file, reject.line, reject.reason.as_str(), reject.bytes];
        tx.prepare_cached(REJECT)?.execute(values)?;
    }
    for (remark, times) in &part.remarks {
        let values = params![export, part.file, remark.severity, remark.code, remark.text, times];
        tx.prepare_cached(REMARK)?.execute(values)?;
    }
    Ok(())
}

/// A text whose bytes were checked when it was read.
struct Utf8<'a>(&'a [u8]);

impl ToSql for Utf8<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}
