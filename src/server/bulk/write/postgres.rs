//! Writes a transaction of an export into PostgreSQL: COPY into a table of the session, then one statement that
//! merges it.
//!
//! Guards: versions of one resource are merged in the order in which they came, so that both databases agree.

use std::collections::HashMap;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use super::sql::{FENCE, FORGET, PROGRESS, REJECT, REMARK, resources};
use super::{Part, Row, Target, WriteError, last};
use crate::model::problem::Code;
use crate::model::time::Timestamp;
use crate::server::store::{Database, StoreError};

/// The table of the session, without log and constraints. A round has no resource twice.
const STAGE: &str = "CREATE TEMPORARY TABLE incoming (round BIGINT, type TEXT, id TEXT, updated_at BIGINT, \
     version TEXT, partial BIGINT, deleted_at BIGINT, body TEXT) ON COMMIT DELETE ROWS";
const COPY: &str = "COPY incoming FROM STDIN (FORMAT binary)";
const MERGE: &str = resources!(
    "SELECT $1, type, id, updated_at, version, partial, $2, deleted_at, body FROM incoming WHERE round = $3"
);
const COLUMNS: i16 = 8;
/// The head of a binary COPY: its mark, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xFF\r\n\0\0\0\0\0\0\0\0\0";
/// How much is sent at a time.
const CHUNK: usize = 1024 * 1024;

/// A connection to a PostgreSQL server.
pub struct Writer(PgConnection);

impl Writer {
    /// Connects, and makes the session's table.
    pub(super) async fn connect(db: &Database) -> Result<Self, WriteError> {
        let mut connection = PgConnection::connect(db.address()).await?;
        connection.execute(db.dialect().on_connect()).await?;
        connection.execute("SET temp_buffers = '32MB'").await?;
        // Faster than the default by far; a server that was built without it keeps the default.
        let _ = connection.execute("SET default_toast_compression = 'lz4'").await;
        connection.execute(STAGE).await?;
        Ok(Self(connection))
    }

    /// Writes these parts.
    pub(super) async fn write(&mut self, target: &Target, parts: &[Part], now: Timestamp) -> Result<(), WriteError> {
        let mut tx = self.0.begin().await?;
        let fence = sqlx::query(FENCE).bind(target.export.as_str()).bind(target.fence);
        if fence.execute(&mut *tx).await?.rows_affected() != 1 {
            return Err(WriteError::Fenced);
        }
        let rounds = copy(&mut tx, parts, now).await?;
        for round in 0..rounds {
            sqlx::query(MERGE).bind(target.source).bind(target.number).bind(round).execute(&mut *tx).await?;
        }
        for part in parts {
            put_notes(&mut tx, target.export.as_str(), part).await?;
        }
        for (file, progress) in last(parts) {
            let result = sqlx::query(PROGRESS)
                .bind(progress.state.as_str())
                .bind(progress.attempts)
                .bind(progress.next_at.0)
                .bind(progress.bytes)
                .bind(progress.lines)
                .bind(progress.rows)
                .bind(progress.rejected)
                .bind(progress.counts.as_deref())
                .bind(progress.fetched)
                .bind(progress.validator.as_deref())
                .bind(progress.problem.map(Code::name))
                .bind(progress.detail.as_deref())
                .bind(target.export.as_str())
                .bind(file)
                .execute(&mut *tx)
                .await?;
            if result.rows_affected() != 1 {
                return Err(StoreError::NotOne { what: "export file", rows: result.rows_affected() }.into());
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

async fn put_notes(connection: &mut PgConnection, export: &str, part: &Part) -> Result<(), sqlx::Error> {
    if part.restart {
        for sql in FORGET {
            sqlx::query(sql).bind(export).bind(part.file).execute(&mut *connection).await?;
        }
    }
    for reject in &part.rejects {
        let query = sqlx::query(REJECT).bind(export).bind(part.file).bind(reject.line);
        query.bind(reject.reason.as_str()).bind(reject.bytes).execute(&mut *connection).await?;
    }
    for (remark, times) in &part.remarks {
        let query = sqlx::query(REMARK).bind(export).bind(part.file).bind(&remark.severity).bind(&remark.code);
        query.bind(&remark.text).bind(times).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Sends the rows; answers in how many rounds they have to be merged.
async fn copy(connection: &mut PgConnection, parts: &[Part], now: Timestamp) -> Result<i64, sqlx::Error> {
    let mut seen: HashMap<(&str, &str), i64> = HashMap::new();
    let mut rounds = 0;
    if parts.iter().all(|part| part.rows.is_empty()) {
        return Ok(rounds);
    }
    let mut sink = connection.copy_in_raw(COPY).await?;
    let mut buffer = Vec::with_capacity(CHUNK + CHUNK / 4);
    buffer.extend_from_slice(HEAD);
    for row in parts.iter().flat_map(|part| &part.rows) {
        let next = seen.entry((&row.kind, &row.id)).or_default();
        encode(&mut buffer, *next, row, now);
        *next += 1;
        rounds = rounds.max(*next);
        if buffer.len() >= CHUNK {
            sink.send(&buffer[..]).await?;
            buffer.clear();
        }
    }
    buffer.extend_from_slice(&(-1_i16).to_be_bytes());
    sink.send(&buffer[..]).await?;
    sink.finish().await?;
    Ok(rounds)
}

/// A tuple of a binary COPY: the number of its fields, then each with its length; -1 is NULL.
fn encode(out: &mut Vec<u8>, round: i64, row: &Row, now: Timestamp) {
    out.extend_from_slice(&COLUMNS.to_be_bytes());
    let deleted_at = row.body.is_none().then_some(now.0);
    number(out, Some(round));
    field(out, Some(row.kind.as_bytes()));
    field(out, Some(row.id.as_bytes()));
    number(out, row.updated_at.map(|time| time.0));
    field(out, row.version.as_deref().map(str::as_bytes));
    number(out, Some(i64::from(row.partial)));
    number(out, deleted_at);
    field(out, row.body.as_deref());
}

fn number(out: &mut Vec<u8>, value: Option<i64>) {
    field(out, value.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
}

fn field(out: &mut Vec<u8>, value: Option<&[u8]>) {
    // No line is as long as 2 GiB.
    let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX));
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.unwrap_or_default());
}
