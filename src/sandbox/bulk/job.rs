//! Exports and their files, from kick-off to deletion.
//!
//! Imports nothing of ours outside the sandbox. Invariants: what an export contains is settled at kick-off; an
//! export is known to the client that started it, and to nobody else.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::ask::Ask;
use super::generate::DataSet;
use super::options::Dialect;

/// In which array of the manifest a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Resources.
    Output,
    /// Bundles of deletions.
    Deleted,
    /// Outcomes.
    Error,
}

/// Where the lines of a file come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// They are here.
    Held(Arc<Vec<String>>),
    /// They are drawn when somebody wants them.
    Drawn {
        /// From which data set.
        data: Arc<DataSet>,
        /// The first one.
        from: usize,
        /// The one after the last.
        to: usize,
    },
    /// They are in a file.
    Stored(PathBuf, u64),
}

/// One file of an export.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// In which array it is listed.
    pub(super) role: Role,
    /// The type of its resources; empty in files by patient.
    pub(super) kind: String,
    /// Its lines.
    pub(super) source: Source,
    /// How many resources it has.
    pub(super) count: usize,
    /// How many headers it has.
    pub(super) headers: usize,
    /// Its last block goes on in the next file.
    pub(super) continues: bool,
    /// Which link of it is good.
    pub(super) version: u32,
    /// Since when.
    pub(super) minted: i64,
    /// The link is no longer good, and is answered so.
    pub(super) gone: Option<u16>,
}

impl Part {
    /// A file of an export.
    pub(super) fn new(role: Role, kind: &str, source: Source, count: usize, now: i64) -> Self {
        let kind = kind.to_owned();
        Self { role, kind, source, count, headers: 0, continues: false, version: 1, minted: now, gone: None }
    }
}

/// One export.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Who started it.
    pub(super) client: String,
    /// The URL of the kick-off.
    pub(super) request: String,
    /// What was asked for.
    pub(super) ask: Ask,
    /// In which dialect.
    pub(super) dialect: Dialect,
    /// The time of the data.
    pub(super) started: i64,
    /// All files, those of the output first.
    pub(super) parts: Vec<Part>,
    /// How often it was answered that it goes on.
    pub(super) polls: u32,
    /// When somebody last asked.
    pub(super) asked: Option<i64>,
    /// When it was complete.
    pub(super) finished: Option<i64>,
}

impl Job {
    /// Whether its time is over.
    fn over(&self, expires_seconds: Option<i64>, now: i64) -> bool {
        self.finished.zip(expires_seconds).is_some_and(|(finished, seconds)| finished + seconds * 1000 <= now)
    }
}

/// All exports.
#[derive(Debug, Default)]
pub(in super::super) struct Jobs(HashMap<String, Job>);

impl Jobs {
    /// Remembers an export, and forgets those whose time is over.
    pub(super) fn open(&mut self, id: &str, job: Job, expires_seconds: Option<i64>, now: i64) {
        self.0.retain(|_, job| !job.over(expires_seconds, now));
        self.0.insert(id.to_owned(), job);
    }

    /// An export of a client that is still there.
    pub(super) fn find(&mut self, id: &str, client: &str, expires_seconds: Option<i64>, now: i64) -> Option<&mut Job> {
        self.any(id, expires_seconds, now).filter(|job| job.client == client)
    }

    /// An export that is still there, whoever asks.
    pub(super) fn any(&mut self, id: &str, expires_seconds: Option<i64>, now: i64) -> Option<&mut Job> {
        self.0.get_mut(id).filter(|job| !job.over(expires_seconds, now))
    }

    /// Forgets an export and its files.
    pub(super) fn end(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Whether a client has an export whose manifest it has not fetched.
    pub(super) fn busy(&self, client: &str) -> bool {
        self.0.values().any(|job| job.client == client && job.finished.is_none())
    }
}
