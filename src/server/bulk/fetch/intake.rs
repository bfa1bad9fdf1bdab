//! Makes parts for the writer of the lines of a file, and says in the end whether the file is what it should be.
//!
//! Bulk Data Access, "Bulk Data Output File Organization". Guards: a part ends at a line's end, and its progress
//! is the file's up to there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Fetcher, Trouble};
use crate::model::time::Timestamp;
use crate::server::bulk::head::{Head, Parsed, Refusal, parse};
use crate::server::bulk::lines::{Line, Splitter};
use crate::server::bulk::manifest::FileKind;
use crate::server::bulk::notes;
use crate::server::bulk::write::{Closed, Outbox, Part, Reject, Row};
use crate::server::store::export_file::{DueFile, FileState, Progress};

/// How much a part holds, and how long it waits for more.
const PART: usize = 256 * 1024;
const LINGER: Duration = Duration::from_millis(500);
/// How many lines of a file are noted that were not taken in; the rest is counted.
const MAX_REJECTS: i64 = 1_000;
/// With fewer lines than this, most of them may be refused.
const FEW: i64 = 10;

/// Takes a file in.
pub(super) struct Intake<'a> {
    outbox: &'a Outbox,
    file: &'a DueFile,
    transaction_time: Option<Timestamp>,
    splitter: Splitter,
    lines: Vec<Line>,
    /// Type names that came so far: most files have one.
    kinds: Vec<Arc<str>>,
    part: Part,
    /// About how much memory it takes.
    size: usize,
    since: Instant,
    progress: Progress,
    fetched_before: i64,
    counts: BTreeMap<String, i64>,
    /// Lines that were taken in.
    taken: i64,
    wrong_types: i64,
}

impl<'a> Intake<'a> {
    /// What can go on in the middle of the file. Deletions and outcomes are small, and counted otherwise.
    pub(super) fn can_resume(kind: FileKind) -> bool {
        kind == FileKind::Output
    }

    /// Goes on from `progress`; at the file's start, `restart` is true.
    pub(super) fn new(fetcher: &Fetcher<'a>, file: &'a DueFile, progress: Progress, restart: bool) -> Self {
        let before = &file.progress;
        let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
        let splitter = Splitter::new(fetcher.max_line, unsigned(progress.bytes), unsigned(progress.lines));
        // Whatever came before may have left something.
        let restart = restart && before.fetched > 0;
        Self {
            outbox: fetcher.outbox,
            file,
            transaction_time: fetcher.transaction_time,
            splitter,
            lines: Vec::new(),
            kinds: file.resource_type.iter().map(|kind| Arc::from(kind.as_str())).collect(),
            part: Part { file: file.number, restart, ..Part::default() },
            size: 0,
            since: Instant::now(),
            fetched_before: progress.fetched,
            counts: progress.counts.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default(),
            taken: progress.rows,
            wrong_types: 0,
            progress,
        }
    }

    /// Takes the next bytes in.
    pub(super) fn take(&mut self, piece: Bytes) {
        self.splitter.push(piece, &mut self.lines);
        self.take_lines();
    }

    /// The file is over: takes its last line in, and says whether it was what the manifest says. `raw` bytes came,
    /// after what was there already if `resumed`.
    pub(super) fn finish(&mut self, raw: u64, resumed: bool) -> Result<(), Trouble> {
        self.splitter.finish(&mut self.lines);
        self.take_lines();
        self.check(raw, resumed)?;
        let Progress { state, validator, problem, detail, .. } = &mut self.progress;
        (*state, *validator, *problem, *detail) = (FileState::Done, None, None, None);
        Ok(())
    }

    fn take_lines(&mut self) {
        let mut lines = std::mem::take(&mut self.lines);
        for line in lines.drain(..) {
            self.size += 200 + line.bytes.as_ref().map_or(0, Bytes::len);
            let taken = match &line.bytes {
                None => Err(Refusal::TooLong),
                Some(bytes) => self.take_line(bytes),
            };
            match taken {
                Ok(()) => {}
                Err(reason) => self.refuse(&line, reason),
            }
        }
        self.lines = lines;
    }

    fn take_line(&mut self, line: &Bytes) -> Result<(), Refusal> {
        match self.file.kind {
            FileKind::Output => match parse(line, self.file.resource_type.as_deref())? {
                Parsed::Header => {}
                Parsed::Resource(head) => self.take_resource(&head, line),
            },
            FileKind::Deleted => {
                for (kind, id) in notes::deletions(line)? {
                    self.take_deletion(&kind, &id);
                }
                self.taken += 1;
            }
            FileKind::Error => {
                for remark in notes::remarks(line)? {
                    *self.part.remarks.entry(remark).or_default() += 1;
                }
                self.taken += 1;
            }
        }
        Ok(())
    }

    fn take_resource(&mut self, head: &Head<'_>, line: &Bytes) {
        let kind = self.kind(&head.kind);
        if self.file.resource_type.is_none() {
            self.count(&kind);
        }
        self.part.rows.push(Row {
            kind,
            id: head.id.as_ref().into(),
            updated_at: head.updated_at,
            version: head.version.as_deref().map(Into::into),
            partial: head.partial,
            body: Some(line.clone()),
        });
        self.progress.rows += 1;
        self.taken += 1;
    }

    fn take_deletion(&mut self, kind: &str, id: &str) {
        let kind = self.kind(kind);
        self.count(&kind);
        self.size += 200;
        let updated_at = self.transaction_time;
        self.part.rows.push(Row { kind, id: id.into(), updated_at, version: None, partial: false, body: None });
        self.progress.rows += 1;
    }

    fn kind(&mut self, name: &str) -> Arc<str> {
        if let Some(kind) = self.kinds.iter().find(|kind| &***kind == name) {
            return Arc::clone(kind);
        }
        let kind: Arc<str> = name.into();
        self.kinds.push(Arc::clone(&kind));
        kind
    }

    fn count(&mut self, kind: &str) {
        match self.counts.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(kind.to_owned(), 1);
            }
        }
    }

    fn refuse(&mut self, line: &Line, reason: Refusal) {
        self.progress.rejected += 1;
        self.wrong_types += i64::from(reason == Refusal::WrongType);
        if self.progress.rejected <= MAX_REJECTS {
            self.part.rejects.push(Reject { line: signed(line.number), reason, bytes: signed(line.length) });
        }
    }

    /// Whether what is there should go to the writer.
    pub(super) fn is_due(&self) -> bool {
        self.size >= PART || (self.size > 0 && self.since.elapsed() >= LINGER)
    }

    /// Hands what is there to the writer; `sent` is the file's progress with it.
    pub(super) async fn send(&mut self, raw: u64, sent: &mut Progress) -> Result<(), Closed> {
        self.progress.bytes = signed(self.splitter.offset());
        self.progress.lines = signed(self.splitter.lines());
        self.progress.fetched = self.fetched_before.saturating_add(signed(raw));
        if !self.counts.is_empty() {
            self.progress.counts = serde_json::to_string(&self.counts).ok();
        }
        sent.clone_from(&self.progress);
        let next = Part { file: self.file.number, ..Part::default() };
        let mut part = std::mem::replace(&mut self.part, next);
        part.progress = self.progress.clone();
        self.size = 0;
        self.since = Instant::now();
        self.outbox.send(part).await
    }

    fn check(&self, raw: u64, resumed: bool) -> Result<(), Trouble> {
        let refused = self.progress.rejected;
        let all = self.taken + refused;
        if refused * 2 > all && (all > FEW || self.taken == 0) {
            let wrong_type = self.wrong_types * 2 > refused;
            return Err(Trouble::Mismatch(if wrong_type { "wrong_type" } else { "not_ndjson" }));
        }
        if let Some(expected) = self.file.expected_bytes {
            let raw = i64::try_from(raw).ok().filter(|_| !resumed);
            let bytes = signed(self.splitter.offset());
            if bytes < expected && raw != Some(expected) {
                return Err(Trouble::unavailable("truncated"));
            }
            if bytes > expected && raw != Some(expected) {
                return Err(Trouble::Mismatch("wrong_size"));
            }
        }
        let Some(expected) = self.file.expected_lines else { return Ok(()) };
        // Organized output: it is not said whether the headers of its blocks count.
        let with_headers = self.file.resource_type.is_none() && self.file.kind == FileKind::Output;
        let right = all == expected || (with_headers && (all..=signed(self.splitter.lines())).contains(&expected));
        if right { Ok(()) } else { Err(Trouble::Mismatch("wrong_count")) }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
