//! Asking how the export stands, and noting which files there are.
//!
//! Guards: the files of a page and the state that knows them are one transaction; a page is followed by the next
//! one that it names, once.

use super::advance::{Next, Refusal, Work};
use crate::model::export::life::{Downloading, Job, Waiting};
use crate::model::export::{Life, Wait};
use crate::model::problem::Code;
use crate::server::bulk::manifest::{Manifest, ManifestFile};
use crate::server::bulk::server::CallError;
use crate::server::bulk::status::{self, Status};
use crate::server::failure::Outcome;
use crate::server::store::export_manifest::{self, NewFile};
use crate::server::store::{StoreError, Tx};

/// Asks for the last page that is known.
pub(super) async fn ask(work: &mut Work<'_>, waiting: Waiting) -> Outcome<Next> {
    let page = waiting.job.page();
    let (bounds, job) = (work.bounds(), waiting.job.clone());
    let later = |job: Job| {
        let job = job.troubled();
        (job.troubles, Life::Waiting(Waiting { job }))
    };
    let status = match read(work, &job, page).await? {
        Ok(status) => status,
        Err(refusal) => {
            let (troubles, life) = later(job);
            return work.refused(life, troubles, refusal).await;
        }
    };
    match status {
        Status::InProgress { progress, after, so_far } => {
            work.export.progress = progress;
            let why = Wait::poll(after, job.polls, bounds);
            match so_far {
                Some(manifest) => found(work, job, manifest, Some(why)).await,
                None => work.wait(Life::Waiting(Waiting { job: job.polled() }), why).await,
            }
        }
        Status::Ready { manifest, expires } => {
            work.export.expires_at = expires.or(work.export.expires_at);
            found(work, job, manifest, None).await
        }
        Status::Busy(after) => {
            let (troubles, life) = later(job);
            if work.is_out_of_patience() {
                return work.fail(Code::RateLimited, None).await;
            }
            work.wait(life, Wait::busy(after, troubles, bounds)).await
        }
        Status::Transient(after) => {
            let (troubles, life) = later(job);
            if work.is_out_of_patience() {
                return work.fail(Code::EhrUnavailable, None).await;
            }
            work.wait(life, Wait::unavailable(after, troubles, bounds)).await
        }
        Status::Unauthorized => work.hold(Life::Waiting(waiting), Wait::TokenRefused).await,
        Status::Gone => {
            let life = work.export.life.clone().expired();
            work.go(life, Next::Done, None).await
        }
        Status::Failed(status, said) => {
            work.fail(Code::BulkFailed, said.or_else(|| Some(format!("status {status}")))).await
        }
    }
}

/// Asks for a page, with another token where the first one is refused.
pub(super) async fn read(work: &Work<'_>, job: &Job, page: usize) -> Outcome<Result<Status, Refusal>> {
    let url = job.page_url(page).unwrap_or(&job.status_url);
    let mut stale = None;
    loop {
        let access = match work.access(stale.as_ref()).await? {
            Ok(access) => access,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match status::ask(&access.server(work.app), url, work.now()).await {
            Ok(Status::Unauthorized) if stale.is_none() => stale = Some(access.token),
            Ok(status) => return Ok(Ok(status)),
            Err(CallError::ForeignHost(host)) => return Ok(Err(Refusal::ForeignHost(host))),
            Err(CallError::Net(_)) => return Ok(Err(Refusal::Passing(Code::EhrUnavailable))),
        }
    }
}

/// Notes the files of a page. `more` says when to ask again where the page is not complete.
async fn found(work: &mut Work<'_>, job: Job, manifest: Manifest, more: Option<Wait>) -> Outcome<Next> {
    let page = job.page();
    work.export.transaction_time = manifest.transaction_time.clone().or(work.export.transaction_time.take());
    let now = work.now();
    let (job, more_at) = match (manifest.next.clone(), more) {
        // A page that names a next one is complete.
        (Some(next), more) if !is_known(&job, &next) => {
            (job.next_page(next), Some(more.map_or(now, |why| work.after(why))))
        }
        (_, Some(why)) => (job.polled(), Some(work.after(why))),
        (_, None) => (job.polled(), None),
    };
    let downloading = Waiting { job }.found(more_at, now);
    let mut tx = work.app.db.begin_write().await?;
    put(&mut tx, work, page, &manifest).await?;
    work.put(&mut tx, Life::Downloading(downloading), Next::Now, None).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(Next::Now)
}

/// An EHR must not send us round in circles.
fn is_known(job: &Job, url: &str) -> bool {
    job.status_url == url || job.further_pages.iter().any(|known| known == url)
}

async fn put(tx: &mut Tx, work: &Work<'_>, page: usize, manifest: &Manifest) -> Outcome<()> {
    let page = i64::try_from(page).unwrap_or(i64::MAX);
    let files = manifest.files.iter().map(as_new);
    Ok(export_manifest::put(tx, &work.export.id, page, manifest.requires_access_token, files).await?)
}

fn as_new(file: &ManifestFile) -> NewFile<'_> {
    NewFile {
        kind: file.kind.as_str(),
        resource_type: file.resource_type.as_deref(),
        url: &file.url,
        lines: file.count,
        bytes: file.size,
    }
}

/// What came of asking for new addresses.
pub(super) enum Renewal {
    /// Files have new addresses, or are given up.
    Done,
    /// The EHR has forgotten the export: its files are given up.
    Forgotten,
    /// The EHR could not be asked.
    Refused(Refusal),
}

/// Reads a page again because files of it are gone: their addresses may have been renewed. Those that have the same
/// address as before, and all of them where the page is gone, are given up.
pub(super) async fn renew(work: &mut Work<'_>, downloading: &Downloading, gone: &[(i64, i64)]) -> Outcome<Renewal> {
    let mut renewal = Renewal::Done;
    let mut pages: Vec<i64> = gone.iter().map(|(_, page)| *page).collect();
    pages.sort_unstable();
    pages.dedup();
    for page in pages {
        let numbers: Vec<i64> = gone.iter().filter(|(_, of)| *of == page).map(|(number, _)| *number).collect();
        let index = usize::try_from(page).unwrap_or_default();
        let status = match read(work, &downloading.job, index).await? {
            Ok(status) => status,
            Err(refusal) => return Ok(Renewal::Refused(refusal)),
        };
        let mut tx = work.app.db.begin_write().await?;
        match status {
            Status::Ready { manifest, expires } => {
                let before = export_manifest::addresses(&mut tx, &work.export.id, &numbers).await?;
                put(&mut tx, work, index, &manifest).await?;
                let after = export_manifest::addresses(&mut tx, &work.export.id, &numbers).await?;
                let same = before.iter().filter(|file| after.contains(file)).map(|(number, _)| *number);
                let same: Vec<i64> = same.collect();
                export_manifest::give_up(&mut tx, &work.export.id, Code::BulkExpired, &same).await?;
                work.export.expires_at = expires.or(work.export.expires_at);
            }
            status @ (Status::Gone | Status::Failed(..)) => {
                if status == Status::Gone {
                    renewal = Renewal::Forgotten;
                }
                export_manifest::give_up(&mut tx, &work.export.id, Code::BulkExpired, &numbers).await?;
            }
            // Still being prepared, or in trouble: the files are tried again later.
            Status::InProgress { .. } | Status::Busy(_) | Status::Transient(_) => {}
            Status::Unauthorized => return Ok(Renewal::Refused(Refusal::Hold(Wait::TokenRefused))),
        }
        tx.commit().await.map_err(StoreError::from)?;
    }
    Ok(renewal)
}
