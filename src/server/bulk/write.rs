//! Puts what was fetched into the database: one writer for a running export, fed by many downloads.
//!
//! May import the store and `model`. SQLite is written by rusqlite on a blocking thread, PostgreSQL by COPY: row
//! by row through sqlx it takes three times as long. Guards: a transaction counts the export's version up under
//! the fence of its lease, else nothing is written; the rows of a file and how far it is stored are one
//! transaction, with absolute numbers, so that nothing is ever counted twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::head::Refusal;
use super::notes::Remark;
use crate::model::id::ExportId;
use crate::model::time::Timestamp;
use crate::server::clock::Clock;
use crate::server::store::dialect::Dialect;
use crate::server::store::export_file::Progress;
use crate::server::store::{Database, StoreError};

mod postgres;
mod sqlite;

/// How much may be between the downloads and the database, in bytes. PostgreSQL keeps its pages in a process of its
/// own.
const fn in_flight(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Sqlite => 16 * 1024 * 1024,
        Dialect::Postgres => 28 * 1024 * 1024,
    }
}
/// What a row takes beside its body.
const ROW: usize = 200;
/// A transaction is written when it has half of what may be in flight, or so many rows: the more, the fewer times a
/// page of the index is written; and the longer others wait.
const BATCH_ROWS: usize = 10_000;
/// How long a transaction waits for more.
const LINGER: Duration = Duration::from_millis(20);
/// How long other writers are let in between two transactions, at most. SQLite asks again after at most 100 ms.
const GIVE_WAY: Duration = Duration::from_millis(120);

/// Where it goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The export.
    pub export: ExportId,
    /// Its number.
    pub number: i64,
    /// The number of the lease that it is worked on under.
    pub fence: i64,
    /// Where its resources come from.
    pub source: i64,
}

/// A resource, or that it was deleted.
#[derive(Clone, Debug)]
pub struct Row {
    /// The resource type.
    pub kind: Arc<str>,
    /// The id.
    pub id: Box<str>,
    /// `meta.lastUpdated`.
    pub updated_at: Option<Timestamp>,
    /// `meta.versionId`.
    pub version: Option<Box<str>>,
    /// Whether only some of its elements are there.
    pub partial: bool,
    /// The resource as it came, in UTF-8; `None` for one that was deleted.
    pub body: Option<Bytes>,
}

/// A line that was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its number in the file.
    pub line: i64,
    /// Why.
    pub reason: Refusal,
    /// How long it is.
    pub bytes: i64,
}

/// The next part of a file, and how far that is.
#[derive(Debug, Default)]
pub struct Part {
    /// The file's number.
    pub file: i64,
    /// Whether the file starts again: what was kept of its lines is forgotten.
    pub restart: bool,
    /// Its rows.
    pub rows: Vec<Row>,
    /// Lines that were not taken in.
    pub rejects: Vec<Reject>,
    /// What the EHR says, and how often.
    pub remarks: BTreeMap<Remark, i64>,
    /// How far the file is with this part.
    pub progress: Progress,
}

impl Part {
    /// About how much memory it takes.
    pub fn size(&self) -> usize {
        let bodies: usize = self.rows.iter().map(|row| ROW + row.body.as_ref().map_or(0, Bytes::len)).sum();
        bodies + ROW * (1 + self.rejects.len() + self.remarks.len())
    }
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else works on the export now.
    #[error("the lease was lost")]
    Fenced,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The driver of the SQLite writer failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The SQLite writer's thread panicked.
    #[error("the writer's thread ended")]
    Thread,
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The way to the writer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox {
    most: usize,
    room: Arc<Semaphore>,
    sender: Sender<(Part, OwnedSemaphorePermit)>,
}

/// What came and is not written yet.
#[derive(Debug)]
pub struct Inbox(Receiver<(Part, OwnedSemaphorePermit)>);

/// The writer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// A way to a writer of such a database, with room for so much as may be in flight.
pub fn outbox(dialect: Dialect) -> (Outbox, Inbox) {
    let most = in_flight(dialect);
    // The number of parts is bounded by the room: each takes some.
    let (sender, receiver) = channel(most / ROW);
    (Outbox { most, room: Arc::new(Semaphore::new(most)), sender }, Inbox(receiver))
}

impl Outbox {
    /// Hands a part over, as soon as there is room for it.
    ///
    /// # Errors
    /// When the writer is gone.
    pub async fn send(&self, part: Part) -> Result<(), Closed> {
        let size = u32::try_from(part.size().min(self.most)).unwrap_or(u32::MAX);
        let room = tokio::select! {
            room = Arc::clone(&self.room).acquire_many_owned(size) => room.map_err(|_| Closed)?,
            () = self.sender.closed() => return Err(Closed),
        };
        self.sender.send((part, room)).await.map_err(|_| Closed)
    }
}

/// Writes into one of the databases.
pub enum Writer {
    /// By rusqlite.
    Sqlite(sqlite::Writer),
    /// By COPY.
    Postgres(Box<postgres::Writer>),
}

impl Writer {
    /// Connects.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn connect(db: &Database) -> Result<Self, WriteError> {
        match db.dialect() {
            Dialect::Sqlite => Ok(Self::Sqlite(sqlite::Writer::open(db).await?)),
            Dialect::Postgres => Ok(Self::Postgres(Box::new(postgres::Writer::connect(db).await?))),
        }
    }

    /// Writes these parts, in their order, in one transaction.
    ///
    /// # Errors
    /// When nothing was written.
    pub async fn write(&mut self, target: &Target, parts: Vec<Part>, now: Timestamp) -> Result<(), WriteError> {
        match self {
            Self::Sqlite(writer) => writer.write(target, parts, now).await,
            Self::Postgres(writer) => writer.write(target, &parts, now).await,
        }
    }

    /// Writes until every [`Outbox`] is gone.
    ///
    /// # Errors
    /// When a transaction was not written; the rest is not, either.
    pub async fn drain(
        &mut self,
        db: &Database,
        clock: &dyn Clock,
        target: &Target,
        mut inbox: Inbox,
    ) -> Result<(), WriteError> {
        let enough = in_flight(db.dialect()) / 2;
        while let Some(batch) = gather(&mut inbox.0, enough).await {
            let (parts, room): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            self.write(target, parts, clock.now()).await?;
            drop(room);
            if db.dialect() == Dialect::Sqlite {
                give_way(db).await;
            }
        }
        Ok(())
    }
}

/// What goes into the next transaction: what is there, up to its limits, and what comes within a moment.
async fn gather<T>(inbox: &mut Receiver<(Part, T)>, enough: usize) -> Option<Vec<(Part, T)>> {
    let first = inbox.recv().await?;
    let (mut bytes, mut rows) = (first.0.size(), first.0.rows.len());
    let mut batch = vec![first];
    let until = Instant::now() + LINGER;
    while bytes < enough && rows < BATCH_ROWS {
        let Ok(Some(next)) = timeout_at(until, inbox.recv()).await else { break };
        bytes += next.0.size();
        rows += next.0.rows.len();
        batch.push(next);
    }
    Some(batch)
}

async fn give_way(db: &Database) {
    let until = Instant::now() + GIVE_WAY;
    while db.waiting() > 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The last progress of each file of these parts.
fn last(parts: &[Part]) -> BTreeMap<i64, &Progress> {
    parts.iter().map(|part| (part.file, &part.progress)).collect()
}

/// Statements of both databases: SQLite numbers `$1` by the order in which they come, so they come in order.
mod sql {
    /// Under the fence, or not at all.
    pub(super) const FENCE: &str = "UPDATE exports SET version = version + 1 WHERE id = $1 AND lease_fence = $2";
    /// A file starts again.
    pub(super) const FORGET: [&str; 2] = [
        "DELETE FROM export_rejects WHERE export_id = $1 AND file = $2",
        "DELETE FROM export_outcomes WHERE export_id = $1 AND file = $2",
    ];
    /// A line that was not taken in.
    pub(super) const REJECT: &str = "INSERT INTO export_rejects (export_id, file, line, reason, bytes) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (export_id, file, line) DO UPDATE SET \
         reason = excluded.reason, bytes = excluded.bytes";
    /// What the EHR says.
    pub(super) const REMARK: &str = "INSERT INTO export_outcomes (export_id, file, severity, code, text, times) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (export_id, file, severity, code, text) DO UPDATE SET \
         times = export_outcomes.times + excluded.times";
    /// How far a file is.
    pub(super) const PROGRESS: &str = "UPDATE export_files SET state = $1, attempts = $2, next_at = $3, bytes = $4, \
         lines = $5, rows = $6, rejected = $7, counts = $8, fetched = $9, validator = $10, problem = $11, \
         detail = $12 WHERE export_id = $13 AND number = $14";

    /// Which version of a resource wins: some elements never replace a complete resource, and older never newer;
    /// where a time is not known, the later export is newer.
    macro_rules! resources {
        ($from:literal) => {
            concat!(
                "INSERT INTO resources (source, type, id, updated_at, version, partial, export_no, deleted_at, body) ",
                $from,
                " ON CONFLICT (source, type, id) DO UPDATE SET updated_at = excluded.updated_at, \
                 version = excluded.version, partial = excluded.partial, export_no = excluded.export_no, \
                 deleted_at = excluded.deleted_at, body = excluded.body \
                 WHERE (resources.partial = 1 OR excluded.partial = 0) AND CASE \
                 WHEN resources.updated_at IS NULL OR excluded.updated_at IS NULL \
                 THEN excluded.export_no >= resources.export_no \
                 ELSE excluded.updated_at >= resources.updated_at END"
            )
        };
    }
    pub(super) use resources;
}
