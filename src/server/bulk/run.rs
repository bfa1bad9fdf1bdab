//! Fetches the files of an export that are due, and puts them into the database.
//!
//! Guards: it never waits for a time to come: what is not due is left for the next run; deletions are applied
//! when no output is left to fetch; when it is stopped, or dies, what is in the database is consistent.

use std::sync::{Mutex, PoisonError};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::fetch::{Ended, Fetcher, TokenSource, Tokens};
use super::lines::MAX_LINE;
use super::manifest::FileKind;
use super::server::Hosts;
use super::write::{self, Target, WriteError, Writer};
use crate::model::export::Wait;
use crate::model::id::PracticeId;
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::failure::Failure;
use crate::server::store::StoreError;
use crate::server::store::export_file::{self, DueFile, Pending};

/// How many downloads run at a time, if the host's gate lets them.
const DOWNLOADS: usize = 5;
/// How many files are read from the database at a time.
const PAGE: i64 = 500;

/// An export whose files are to be fetched.
pub struct Job {
    /// Whose.
    pub practice: PracticeId,
    /// Where its resources go.
    pub target: Target,
    /// The EHR's time of the export.
    pub transaction_time: Option<Timestamp>,
    /// Which hosts may be called, and which is the FHIR server.
    pub hosts: Hosts,
    /// Headers that the vendor wants on calls of the FHIR server.
    pub headers: Vec<(&'static str, String)>,
    /// Gives access tokens.
    pub tokens: TokenSource,
    /// The longest line that is taken in, in bytes: [`MAX_LINE`], if nobody says otherwise.
    pub max_line: Option<usize>,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// When there is something to do again; now or earlier, when it was stopped.
    pub next: Option<Timestamp>,
    /// Files whose addresses have to be renewed.
    pub gone: Vec<i64>,
    /// Why it stopped by itself.
    pub paused: Option<Wait>,
    /// Whether every file is taken in, or given up.
    pub all_done: bool,
}

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Somebody else works on the export now, or the database failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// There is no access token.
    #[error("no access token: {0}")]
    Token(Failure),
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Write(error.into())
    }
}

/// What the downloads of a run found out.
#[derive(Default)]
struct Findings {
    started: usize,
    gone: Vec<i64>,
    left_alone: Option<Timestamp>,
    paused: Option<Wait>,
    no_token: Option<Failure>,
}

/// Fetches what is due, until nothing is due or `stop` is cancelled.
///
/// # Errors
/// See [`RunError`].
pub async fn run(app: &App, job: &Job, stop: &CancellationToken) -> Result<Ran, RunError> {
    let tokens = Tokens::new(job.tokens.clone());
    let findings = Mutex::new(Findings::default());
    // Ends the downloads when one of them finds that there is no point.
    let halt = stop.child_token();
    loop {
        let before = look(&findings, |found| found.started);
        fetch_all(app, job, &tokens, &findings, &halt, &[FileKind::Output, FileKind::Error]).await?;
        if pending(app, job, FileKind::Output).await?.files == 0 {
            fetch_all(app, job, &tokens, &findings, &halt, &[FileKind::Deleted]).await?;
        }
        if halt.is_cancelled() || look(&findings, |found| found.started) == before {
            break;
        }
    }
    let Findings { gone, left_alone, paused, no_token, .. } =
        findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = no_token {
        return Err(RunError::Token(failure));
    }
    let [output, error, deleted] = [
        pending(app, job, FileKind::Output).await?,
        pending(app, job, FileKind::Error).await?,
        pending(app, job, FileKind::Deleted).await?,
    ];
    let all_done = output.files + error.files + deleted.files == 0;
    // Deletions wait for the output.
    let considered = if output.files == 0 { vec![error, deleted] } else { vec![output, error] };
    let left = considered.iter().any(|pending| pending.due > 0);
    let now = app.clock.now();
    let soon = left.then(|| left_alone.unwrap_or(now));
    let next = considered.iter().filter_map(|pending| pending.next).chain(soon).min();
    Ok(Ran { next, gone, paused, all_done })
}

async fn pending(app: &App, job: &Job, kind: FileKind) -> Result<Pending, RunError> {
    Ok(export_file::pending(&app.db, &job.practice, &job.target.export, kind, app.clock.now()).await?)
}

fn look<T>(findings: &Mutex<Findings>, with: impl FnOnce(&mut Findings) -> T) -> T {
    with(&mut findings.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Fetches the files of these kinds that are due now, each once.
async fn fetch_all(
    app: &App,
    job: &Job,
    tokens: &Tokens,
    findings: &Mutex<Findings>,
    halt: &CancellationToken,
    kinds: &[FileKind],
) -> Result<(), RunError> {
    let queue = tokio::sync::Mutex::new(Queue::new(app, job, kinds));
    let Some(first) = queue.lock().await.next().await? else { return Ok(()) };
    let mut writer = Writer::connect(&app.db).await?;
    let (outbox, inbox) = write::outbox(app.db.dialect());
    queue.lock().await.files.push(first);
    let downloads = async {
        let outbox = outbox;
        let fetcher = Fetcher {
            app,
            hosts: &job.hosts,
            headers: &job.headers,
            transaction_time: job.transaction_time,
            max_line: job.max_line.unwrap_or(MAX_LINE),
            tokens,
            outbox: &outbox,
        };
        let workers: FuturesUnordered<_> = (0..DOWNLOADS).map(|_| work(&fetcher, &queue, findings, halt)).collect();
        workers.fold(Ok(()), |all, one| async move { all.and(one) }).await
    };
    let written = async {
        let result = writer.drain(&app.db, &*app.clock, &job.target, inbox).await;
        if result.is_err() {
            halt.cancel();
        }
        result
    };
    let (fetched, written) = tokio::join!(downloads, written);
    written?;
    fetched
}

/// Fetches one file after the other.
async fn work(
    fetcher: &Fetcher<'_>,
    queue: &tokio::sync::Mutex<Queue<'_>>,
    findings: &Mutex<Findings>,
    halt: &CancellationToken,
) -> Result<(), RunError> {
    loop {
        let next = async { queue.lock().await.next().await };
        let Some(Some(file)) = halt.run_until_cancelled(next).await.transpose()? else { return Ok(()) };
        let Some(ended) = halt.run_until_cancelled(fetcher.fetch(&file)).await else { return Ok(()) };
        let go_on = look(findings, |found| {
            found.started += usize::from(!matches!(ended, Ended::LeftAlone(_)));
            match ended {
                Ended::Done | Ended::Trouble => true,
                Ended::LeftAlone(until) => {
                    found.left_alone = Some(found.left_alone.map_or(until, |earlier| earlier.min(until)));
                    true
                }
                Ended::Gone => {
                    found.gone.push(file.number);
                    true
                }
                Ended::TokenRefused => {
                    found.paused = Some(Wait::TokenRefused);
                    false
                }
                Ended::NoToken(failure) => {
                    found.no_token = Some(failure);
                    false
                }
                Ended::Closed => false,
            }
        });
        if !go_on {
            halt.cancel();
            return Ok(());
        }
    }
}

/// The files that are due, in order.
struct Queue<'a> {
    app: &'a App,
    job: &'a Job,
    /// Kinds that are still to come, the next one last.
    kinds: Vec<FileKind>,
    after: i64,
    /// What was read, the next one last.
    files: Vec<DueFile>,
    /// Files that become due while the run goes on are for its next round.
    now: Timestamp,
}

impl<'a> Queue<'a> {
    fn new(app: &'a App, job: &'a Job, kinds: &[FileKind]) -> Self {
        let kinds = kinds.iter().rev().copied().collect();
        Self { app, job, kinds, after: i64::MIN, files: Vec::new(), now: app.clock.now() }
    }

    async fn next(&mut self) -> Result<Option<DueFile>, StoreError> {
        while self.files.is_empty() {
            let Some(kind) = self.kinds.last() else { return Ok(None) };
            let (practice, export) = (&self.job.practice, &self.job.target.export);
            let files = export_file::due(&self.app.db, practice, export, *kind, self.after, self.now, PAGE).await?;
            if let Some(last) = files.last() {
                self.after = last.number;
            } else {
                self.kinds.pop();
                self.after = i64::MIN;
            }
            self.files = files;
            self.files.reverse();
        }
        Ok(self.files.pop())
    }
}
