//! The first steps of an export: the EHR is asked.
//!
//! Guards: the address of the status is committed together with the fact that the EHR has begun.

use super::advance::{Next, Refusal, Work};
use crate::model::export::Life;
use crate::model::export::Wait;
use crate::model::export::life::{KickingOff, Queued};
use crate::model::problem::Code;
use crate::server::bulk::kickoff::{self, Kickoff, KickoffError};
use crate::server::bulk::server::CallError;
use crate::server::failure::Outcome;

/// What is asked is written down before it is.
pub(super) async fn begin(work: &mut Work<'_>, queued: Queued) -> Outcome<Next> {
    work.go(Life::KickingOff(queued.kick_off()), Next::Now, None).await
}

/// Asks the EHR. After a crash nobody knows whether it was asked: it is asked again, and one that works on one
/// export at a time says so.
pub(super) async fn ask(work: &mut Work<'_>, kicking: KickingOff) -> Outcome<Next> {
    let mut stale = None;
    loop {
        let access = match work.access(stale.as_ref()).await? {
            Ok(access) => access,
            Err(refusal) => return troubled(work, kicking, refusal).await,
        };
        let request = work.export.request.clone();
        let offered = access.capability(work.app).await;
        let wanted = Kickoff {
            request: &request,
            since: request.since.as_deref(),
            post_only: offered.post_only,
            partial_manifests: offered.partial_manifests,
        };
        let now = work.now();
        let answer = kickoff::ask(&access.server(work.app), &wanted, now).await;
        return match answer {
            Ok(status_url) => {
                let waiting = kicking.accepted(status_url, now);
                let first = Wait::poll(None, 0, work.bounds());
                work.wait(Life::Waiting(waiting), first).await
            }
            Err(KickoffError::Unauthorized) if stale.is_none() => {
                stale = Some(access.token);
                continue;
            }
            Err(error) => refused(work, kicking, error).await,
        };
    }
}

async fn refused(work: &mut Work<'_>, kicking: KickingOff, error: KickoffError) -> Outcome<Next> {
    match error {
        KickoffError::Unauthorized => work.hold(Life::Queued(kicking.busy()), Wait::TokenRefused).await,
        KickoffError::Forbidden(said) => work.fail(Code::ScopeDenied, said).await,
        KickoffError::Unsupported(said) => work.fail(Code::BulkUnsupported, said).await,
        KickoffError::NoLocation => work.fail(Code::BulkFailed, Some("no Content-Location".into())).await,
        KickoffError::Refused(status, said) => {
            work.fail(Code::BulkFailed, said.or_else(|| Some(format!("status {status}")))).await
        }
        KickoffError::Busy(_) if work.is_out_of_patience() => work.fail(Code::BulkBusy, None).await,
        KickoffError::Busy(after) => {
            let why = Wait::busy(after, 4, work.bounds());
            work.wait(Life::Queued(kicking.busy()), why).await
        }
        KickoffError::Transient(Some(after)) if !work.is_out_of_patience() => {
            let queued = kicking.troubled();
            let why = Wait::unavailable(Some(after), queued.troubles, work.bounds());
            work.wait(Life::Queued(queued), why).await
        }
        KickoffError::Transient(_) | KickoffError::Call(CallError::Net(_)) => {
            troubled(work, kicking, Refusal::Passing(Code::EhrUnavailable)).await
        }
        KickoffError::Call(CallError::ForeignHost(host)) => troubled(work, kicking, Refusal::ForeignHost(host)).await,
    }
}

async fn troubled(work: &mut Work<'_>, kicking: KickingOff, refusal: Refusal) -> Outcome<Next> {
    let queued = kicking.troubled();
    let troubles = queued.troubles;
    work.refused(Life::Queued(queued), troubles, refusal).await
}
