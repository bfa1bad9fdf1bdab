//! What each step takes by itself, with as little around it as possible.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ehr_integrations::server::bulk::head::{Parsed, parse};
use ehr_integrations::server::bulk::lines::{MAX_LINE, Splitter};
use ehr_integrations::server::bulk::write::Row;
use futures::StreamExt;
use sqlx::{Connection, Executor};

use super::measure::{Taken, Watch};
use super::serve::{Entry, index};

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn figure(number: usize) -> f64 {
    number as f64
}

/// Every file, five at a time; what comes is counted.
pub async fn download(folder: &Path, url: &str) -> Taken {
    let client = reqwest::Client::builder().no_proxy().gzip(false).build().unwrap();
    let watch = Watch::start();
    let bytes: usize = futures::stream::iter(index(folder))
        .map(|file| {
            let request = client.get(format!("{url}/files/{}", file.name));
            async move {
                let mut stream = request.send().await.unwrap().bytes_stream();
                let mut bytes = 0;
                while let Some(piece) = stream.next().await {
                    bytes += piece.unwrap().len();
                }
                bytes
            }
        })
        .buffer_unordered(5)
        .fold(0, |sum, bytes| async move { sum + bytes })
        .await;
    watch.stop(figure(bytes))
}

/// Every file from the system's cache: lines, and their heads.
pub fn split(folder: &Path) -> Taken {
    let watch = Watch::start();
    let mut rows = 0;
    for file in index(folder) {
        each(folder, &file, |row| rows += usize::from(row.body.is_some()));
    }
    watch.stop(figure(rows))
}

fn each(folder: &Path, file: &Entry, mut with: impl FnMut(Row)) {
    let kind: Arc<str> = file.kind.as_str().into();
    let mut source = std::fs::File::open(folder.join(&file.name)).unwrap();
    let mut splitter = Splitter::new(MAX_LINE, 0, 0);
    let mut lines = Vec::new();
    loop {
        let mut piece = Vec::with_capacity(65_536);
        if source.by_ref().take(65_536).read_to_end(&mut piece).unwrap() == 0 {
            return;
        }
        splitter.push(Bytes::from(piece), &mut lines);
        for line in lines.drain(..) {
            let body = line.bytes.unwrap();
            let Ok(Parsed::Resource(head)) = parse(&body, Some(&file.kind)) else { panic!("not taken in") };
            let (id, version) = (head.id.as_ref().into(), head.version.as_deref().map(Into::into));
            let (kind, updated_at, partial) = (Arc::clone(&kind), head.updated_at, head.partial);
            with(Row { kind, id, updated_at, version, partial, body: Some(body) });
        }
    }
}

fn all(folder: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for file in index(folder) {
        each(folder, &file, |row| rows.push(row));
    }
    rows
}

const TABLE: &str = "CREATE TABLE resources (source BIGINT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, \
    updated_at BIGINT, version TEXT, partial BIGINT NOT NULL, export_no BIGINT NOT NULL, deleted_at BIGINT, body TEXT); \
    CREATE UNIQUE INDEX resources_key ON resources (source, type, id);";
const SETTINGS: &str = "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
    PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -32000;";

/// Rows that are in memory, into a new file: one prepared statement, 10,000 rows a transaction.
pub fn sqlite(folder: &Path) -> Taken {
    let rows = all(folder);
    let place = tempfile::tempdir().unwrap();
    let mut connection = rusqlite::Connection::open(place.path().join("bare.db")).unwrap();
    connection.execute_batch(SETTINGS).unwrap();
    connection.execute_batch(TABLE).unwrap();
    let watch = Watch::start();
    for rows in rows.chunks(10_000) {
        let tx = connection.transaction().unwrap();
        {
            let mut statement = tx
                .prepare_cached(
                    "INSERT INTO resources VALUES (1, ?1, ?2, ?3, ?4, 0, 1, NULL, ?5) ON CONFLICT (source, type, id) \
                     DO UPDATE SET updated_at = excluded.updated_at, version = excluded.version, body = excluded.body",
                )
                .unwrap();
            for row in rows {
                let body = std::str::from_utf8(row.body.as_ref().unwrap()).unwrap();
                let updated_at = row.updated_at.map(|time| time.0);
                statement.execute((&*row.kind, &*row.id, updated_at, row.version.as_deref(), body)).unwrap();
            }
        }
        tx.commit().unwrap();
    }
    watch.stop(figure(rows.len()))
}

/// Rows that are in memory, into a table of PostgreSQL: COPY into a temporary one, and one statement that merges,
/// 10,000 rows a transaction.
pub async fn postgres(folder: &Path, database: &str) -> Taken {
    let rows = all(folder);
    let mut connection = sqlx::postgres::PgConnection::connect(database).await.unwrap();
    connection.execute(TABLE).await.unwrap();
    connection.execute("SET temp_buffers = '32MB'; SET default_toast_compression = 'lz4'").await.unwrap();
    connection
        .execute(
            "CREATE TEMPORARY TABLE stage (type TEXT, id TEXT, updated_at BIGINT, version TEXT, body TEXT) \
             ON COMMIT DELETE ROWS",
        )
        .await
        .unwrap();
    let seen = AtomicUsize::new(0);
    let watch = Watch::start();
    for rows in rows.chunks(10_000) {
        let mut tx = connection.begin().await.unwrap();
        let mut buffer = b"PGCOPY\n\xFF\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for row in rows {
            let time = row.updated_at.map(|time| time.0.to_be_bytes());
            let fields = [
                Some(row.kind.as_bytes()),
                Some(row.id.as_bytes()),
                time.as_ref().map(<[u8; 8]>::as_slice),
                row.version.as_deref().map(str::as_bytes),
                row.body.as_deref(),
            ];
            buffer.extend_from_slice(&5_i16.to_be_bytes());
            for field in fields {
                let length = field.map_or(-1, |field| i32::try_from(field.len()).unwrap());
                buffer.extend_from_slice(&length.to_be_bytes());
                buffer.extend_from_slice(field.unwrap_or_default());
            }
        }
        buffer.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut sink = tx.copy_in_raw("COPY stage FROM STDIN (FORMAT binary)").await.unwrap();
        for piece in buffer.chunks(1 << 20) {
            sink.send(piece).await.unwrap();
        }
        sink.finish().await.unwrap();
        tx.execute(
            "INSERT INTO resources SELECT DISTINCT ON (type, id) 1, type, id, updated_at, version, 0, 1, NULL, body \
             FROM stage ON CONFLICT (source, type, id) DO UPDATE SET updated_at = excluded.updated_at, \
             version = excluded.version, body = excluded.body",
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        seen.fetch_add(rows.len(), Ordering::Relaxed);
    }
    watch.stop(figure(seen.into_inner()))
}
