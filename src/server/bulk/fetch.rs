//! Downloads one file of an export, and hands what is in it to the writer.
//!
//! May import `net`, the store's types and the other parts of `bulk`. Guards: a file that ends early, or holds
//! something else than the manifest says, is never taken for whole; what goes wrong with one file is a matter of
//! that file; neither an address nor a line of a file gets into a log.

use std::borrow::Cow;
use std::sync::Arc;

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::server::Hosts;
use super::write::{Closed, Outbox, Part};
use crate::model::problem::Code;
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::store::export_file::{DueFile, Progress};

mod body;
mod intake;
mod open;
mod retry;

use intake::Intake;

/// How long a token is used before it is asked for again, in seconds: not for each of thousands of files.
const TOKEN_KEPT: i64 = 20;

/// Gives an access token; with the one that was refused, a new one.
pub type TokenSource = Arc<dyn Fn(Option<SecretString>) -> BoxFuture<'static, Outcome<SecretString>> + Send + Sync>;

/// The access token of a run.
pub struct Tokens {
    source: TokenSource,
    last: Mutex<Option<(SecretString, Timestamp)>>,
}

impl Tokens {
    /// Tokens from this source.
    pub fn new(source: TokenSource) -> Self {
        Self { source, last: Mutex::default() }
    }

    /// A token; with the one that was refused, another one. One download asks, the others wait.
    async fn get(&self, refused: Option<&SecretString>, now: Timestamp) -> Outcome<SecretString> {
        let mut last = self.last.lock().await;
        let known = last.as_ref().filter(|(token, since)| match refused {
            Some(refused) => token.expose_secret() != refused.expose_secret(),
            None => since.plus_seconds(TOKEN_KEPT) > now,
        });
        if let Some((token, _)) = known {
            return Ok(token.clone());
        }
        let token = (self.source)(refused.cloned()).await?;
        *last = Some((token.clone(), now));
        Ok(token)
    }
}

/// What downloads of a run have in common.
pub struct Fetcher<'a> {
    /// The installation.
    pub app: &'a App,
    /// Which hosts may be called, and which is the FHIR server.
    pub hosts: &'a Hosts,
    /// Headers that the vendor wants on calls of the FHIR server.
    pub headers: &'a [(&'static str, String)],
    /// The EHR's time of the export.
    pub transaction_time: Option<Timestamp>,
    /// The longest line that is taken in.
    pub max_line: usize,
    /// The access token.
    pub tokens: &'a Tokens,
    /// The way to the writer.
    pub outbox: &'a Outbox,
}

/// How a download ended.
#[derive(Debug)]
pub enum Ended {
    /// The file is taken in.
    Done,
    /// It is tried again, or given up: its row says which.
    Trouble,
    /// The host has too much to do, and is left alone until then.
    LeftAlone(Timestamp),
    /// It is not there (any more): its address has to be renewed.
    Gone,
    /// The EHR refuses a token that it has just given.
    TokenRefused,
    /// There is no token.
    NoToken(Failure),
    /// The writer is gone.
    Closed,
}

/// What went wrong with a download.
#[derive(Debug)]
enum Trouble {
    /// It may go better later.
    Again {
        problem: Code,
        detail: Cow<'static, str>,
        /// After how many seconds the EHR wants to be asked.
        after: Option<i64>,
    },
    /// The host has too much to do: no fault of the file.
    TooMuch { after: Option<i64> },
    /// The file is not what the manifest says: once more from its beginning, and then it is so.
    Mismatch(&'static str),
    /// It will not go better.
    Hopeless { problem: Code, detail: Cow<'static, str> },
    /// It is not there.
    Gone(u16),
    /// The EHR refuses a token that it has just given.
    TokenRefused,
    /// There is no token.
    NoToken(Failure),
    /// The writer is gone.
    Closed,
}

impl From<Closed> for Trouble {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Trouble {
    const fn unavailable(detail: &'static str) -> Self {
        Self::Again { problem: Code::EhrUnavailable, detail: Cow::Borrowed(detail), after: None }
    }
}

impl Fetcher<'_> {
    /// Fetches a file from where it stopped, or from its beginning.
    pub async fn fetch(&self, file: &DueFile) -> Ended {
        let host = url::Url::parse(&file.url).ok();
        let host = host.as_ref().and_then(url::Url::host_str).unwrap_or_default();
        let pass = match self.app.gates.enter(host, self.app.clock.now()).await {
            Ok(pass) => pass,
            Err(until) => return Ended::LeftAlone(until),
        };
        let mut progress = file.progress.clone();
        let trouble = match self.attempt(file, &mut progress).await {
            Ok(()) => {
                pass.went_well();
                return Ended::Done;
            }
            Err(trouble) => trouble,
        };
        let now = self.app.clock.now();
        let random = u64::from_le_bytes(self.app.ids.bytes());
        let progress = retry::after(&trouble, &file.progress, progress, now, random);
        let ended = match trouble {
            Trouble::Closed => return Ended::Closed,
            Trouble::TokenRefused => return Ended::TokenRefused,
            Trouble::NoToken(failure) => return Ended::NoToken(failure),
            Trouble::TooMuch { .. } => {
                pass.too_much(now, progress.next_at);
                Ended::LeftAlone(progress.next_at)
            }
            Trouble::Gone(_) => Ended::Gone,
            Trouble::Again { ref detail, after, .. } if detail == "status_503" => {
                pass.too_much(now, Timestamp(now.0 + retry::patience(after)));
                Ended::Trouble
            }
            Trouble::Again { .. } | Trouble::Mismatch(_) | Trouble::Hopeless { .. } => Ended::Trouble,
        };
        tracing::info!(
            file.number = file.number,
            file.state = progress.state.as_str(),
            file.attempts = progress.attempts,
            code = progress.problem.map(Code::name),
            detail = progress.detail.as_deref(),
            "a file of an export was not taken in"
        );
        let part = Part { file: file.number, progress, ..Part::default() };
        if self.outbox.send(part).await.is_err() { Ended::Closed } else { ended }
    }

    /// Fetches once. `progress` is what was handed to the writer last.
    async fn attempt(&self, file: &DueFile, progress: &mut Progress) -> Result<(), Trouble> {
        let opened = self.open(file).await?;
        let known = opened.from > 0;
        let mut body = opened.body;
        if !known {
            *progress = Progress { attempts: progress.attempts, fetched: progress.fetched, ..Progress::default() };
        }
        progress.validator = opened.validator.filter(|_| Intake::can_resume(file.kind));
        let mut intake = Intake::new(self, file, progress.clone(), !known);
        let end = loop {
            match body.next().await {
                Ok(Some(piece)) => intake.take(piece),
                Ok(None) => break Ok(()),
                Err(trouble) => break Err(trouble),
            }
            if intake.is_due() {
                intake.send(body.raw(), progress).await?;
            }
        };
        let end = end.and_then(|()| intake.finish(body.raw(), known));
        intake.send(body.raw(), progress).await?;
        end
    }
}
