//! Fetching the files of an export and taking them in.

use super::advance::{Next, Work};
use super::poll;
use crate::model::export::life::Downloading;
use crate::model::export::{Life, Wait};
use crate::server::failure::Outcome;
use crate::server::store::export_manifest;

/// Fetches what is due; asks for more pages when it is time.
pub(super) async fn run(work: &mut Work<'_>, downloading: Downloading) -> Outcome<Next> {
    let now = work.now();
    if downloading.more_at.is_some_and(|at| at <= now) {
        return poll::ask(work, downloading.wait()).await;
    }
    let pending = export_manifest::pending(&work.app.db, &work.export.id).await?;
    if pending == 0 {
        return match downloading.more_at {
            None => work.go(Life::Finishing(downloading.done()), Next::Now, None).await,
            Some(at) => work.go(Life::Waiting(downloading.wait()), Next::At(at), None).await,
        };
    }
    work.go(Life::Downloading(downloading), Next::Done, Some(Wait::FilesAgain)).await
}
