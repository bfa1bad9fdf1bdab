//! Fetching the files of an export and taking them in.
//!
//! Guards: files whose addresses are gone get new ones from the manifest, or are given up; while the EHR prepares
//! more of them, those that are there are taken in.

use std::sync::Arc;

use futures::FutureExt;

use super::super::backend;
use super::advance::{Access, Next, Refusal, Work};
use super::poll::{self, Renewal};
use crate::model::export::life::Downloading;
use crate::model::export::{Life, Wait};
use crate::model::time::Timestamp;
use crate::server::bulk::run::{self, Job, Ran, RunError};
use crate::server::bulk::write::{Target, WriteError};
use crate::server::failure::Outcome;
use crate::server::store::{StoreError, export_manifest};

/// How long files are left alone whose addresses could not be renewed, in seconds.
const GONE: i64 = 30;

/// Fetches what is due; asks for more pages when it is time.
pub(super) async fn run(work: &mut Work<'_>, downloading: Downloading) -> Outcome<Next> {
    if downloading.more_at.is_some_and(|at| at <= work.now()) {
        return poll::ask(work, downloading.wait()).await;
    }
    let troubles = downloading.job.troubles + 1;
    let access = match work.access(None).await? {
        Ok(access) => access,
        Err(refusal) => return troubled(work, downloading, troubles, refusal).await,
    };
    let job = job(work, access);
    let ran = match run::run(work.app, &job, work.stop).await {
        Ok(ran) => ran,
        Err(RunError::Token(failure)) => {
            let refusal = work.refusal(failure)?;
            return troubled(work, downloading, troubles, refusal).await;
        }
        Err(RunError::Write(error)) => return Err(unwritten(error).into()),
    };
    if let Some(why) = ran.paused {
        return work.hold(Life::Downloading(downloading), why).await;
    }
    let mut forgotten = false;
    if !ran.gone.is_empty() {
        let gone = export_manifest::pages(&work.app.db, &work.export.id, &ran.gone).await?;
        match poll::renew(work, &downloading, &gone).await? {
            Renewal::Done => {}
            Renewal::Forgotten => forgotten = true,
            Renewal::Refused(refusal) => return troubled(work, downloading, troubles, refusal).await,
        }
    }
    then(work, downloading, &ran, forgotten).await
}

fn unwritten(error: WriteError) -> StoreError {
    match error {
        WriteError::Store(error) => error,
        WriteError::Fenced => StoreError::NotOne { what: "export", rows: 0 },
        error => StoreError::Writer(error.to_string()),
    }
}

fn job(work: &Work<'_>, access: Access) -> Job {
    let export = &*work.export;
    let (app, caller, provider) = (work.app.clone(), work.caller.clone(), export.provider.clone());
    let scopes: Arc<str> = access.scopes.as_str().into();
    let Access { hosts, headers, .. } = access;
    Job {
        practice: export.practice.clone(),
        target: Target {
            export: export.id.clone(),
            number: export.number,
            fence: export.lease_fence,
            source: export.source,
        },
        transaction_time: export.transaction_time.as_deref().and_then(Timestamp::parse_instant),
        hosts,
        headers,
        tokens: Arc::new(move |stale| {
            let (app, caller, provider) = (app.clone(), caller.clone(), provider.clone());
            let scopes = Arc::clone(&scopes);
            async move { backend::token(&app, &caller, &provider, &scopes, stale.as_ref()).await }.boxed()
        }),
        max_line: None,
    }
}

/// What comes after a run; `forgotten` when the EHR knows nothing of the export any more.
async fn then(work: &mut Work<'_>, downloading: Downloading, ran: &Ran, forgotten: bool) -> Outcome<Next> {
    let pending = export_manifest::pending(&work.app.db, &work.export.id).await?;
    if pending == 0 && forgotten {
        return work.go(Life::Downloading(downloading).expired(), Next::Done, None).await;
    }
    if pending == 0 {
        return match downloading.more_at {
            None => work.go(Life::Finishing(downloading.done()), Next::Now, None).await,
            Some(at) => work.go(Life::Waiting(downloading.wait()), Next::At(at), None).await,
        };
    }
    let now = work.now();
    // Addresses that were renewed are due at once; those that were not, a little later.
    let renewed = if ran.gone.is_empty() { None } else { Some(now.plus_seconds(GONE)) };
    let next = ran.next.into_iter().chain(renewed).chain(downloading.more_at).min().unwrap_or(now);
    let next = if work.stop.is_cancelled() || next <= now { Next::Now } else { Next::At(next) };
    let why = matches!(next, Next::At(_)).then_some(Wait::FilesAgain);
    work.go(Life::Downloading(downloading), next, why).await
}

async fn troubled(work: &mut Work<'_>, downloading: Downloading, troubles: u32, refusal: Refusal) -> Outcome<Next> {
    let Downloading { job, more_at } = downloading;
    let life = Life::Downloading(Downloading { job: job.troubled(), more_at });
    work.refused(life, troubles, refusal).await
}
