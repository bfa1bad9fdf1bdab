//! What an export does by itself: one step after the other, from wherever it stands.
//!
//! Every engine calls [`advance`]. Guards: a step begins and ends in the database, under the fence of whoever works
//! on the export; a step that is done again after a crash changes nothing that was done; the EHR is told to clean
//! up only when everything is stored, or when somebody ended the export.

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::super::backend::{self, Service};
use super::super::{Actor, Caller};
use super::{kick_off, poll, take_in};
use crate::model::export::life::{Finishing, Job};
use crate::model::export::wait::Bounds;
use crate::model::export::{Life, Wait};
use crate::model::problem::Code;
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::bulk::server::{CallError, Hosts, Server};
use crate::server::bulk::status;
use crate::server::failure::{Failure, Outcome};
use crate::server::fhir::bulk_capability::BulkCapability;
use crate::server::provider::BULK_FILE_HOSTS;
use crate::server::store::export::Export;
use crate::server::store::{StoreError, Tx, audit, export, export_manifest};

/// For how long an EHR is given: exports of large ones take weeks.
const PATIENCE_SECONDS: i64 = 30 * 86_400;
/// How often the EHR is told to clean up, before it is left to do so by itself.
const MAX_TELLS: u32 = 5;

/// When the next step is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Now,
    /// Then.
    At(Timestamp),
    /// Never: it is over, or held.
    Done,
}

/// Does the next step of an export that the caller has taken. `stop` ends a long step early; it goes on with the
/// next call.
///
/// # Errors
/// When the database fails, or the export was taken by somebody else.
pub async fn advance(app: &App, export: &mut Export, stop: &CancellationToken) -> Outcome<Next> {
    let mut work = Work::new(app, export, stop);
    if work.export.cancel_asked && !work.export.life.state().is_over() {
        return work.cancel().await;
    }
    match work.export.life.clone() {
        Life::Queued(queued) => kick_off::begin(&mut work, queued).await,
        Life::KickingOff(kicking) => kick_off::ask(&mut work, kicking).await,
        Life::Waiting(waiting) => poll::ask(&mut work, waiting).await,
        Life::Downloading(downloading) => take_in::run(&mut work, downloading).await,
        Life::Finishing(finishing) => work.finish(finishing).await,
        Life::Complete(_) | Life::CompleteWithErrors(_) | Life::Cancelled(_) | Life::Failed(_) | Life::Expired(_) => {
            Ok(Next::Done)
        }
    }
}

/// An export that is worked on.
pub(super) struct Work<'a> {
    pub app: &'a App,
    pub caller: Caller,
    pub export: &'a mut Export,
    pub stop: &'a CancellationToken,
    /// How many resources the EHR named as deleted, where that is known.
    deletions: i64,
}

/// Why the EHR could not be asked.
pub(super) enum Refusal {
    /// Trouble that passes, by its code.
    Passing(Code),
    /// Somebody has to look.
    Hold(Wait),
    /// The address is on a host that is not allowed.
    ForeignHost(String),
}

/// The backend service with a token.
pub(super) struct Access {
    service: Service,
    pub hosts: Hosts,
    pub scopes: String,
    pub token: SecretString,
    pub headers: Vec<(&'static str, String)>,
}

impl Access {
    /// The EHR's server.
    pub fn server<'b>(&'b self, app: &'b App) -> Server<'b> {
        Server {
            http: &app.http,
            base: &self.service.ready.fhir_base,
            token: &self.token,
            headers: &self.headers,
            hosts: &self.hosts,
        }
    }

    /// What the EHR offers, as far as it says.
    pub async fn capability(&self, app: &App) -> BulkCapability {
        super::capability(app, &self.service).await.unwrap_or_default()
    }
}

impl<'a> Work<'a> {
    fn new(app: &'a App, export: &'a mut Export, stop: &'a CancellationToken) -> Self {
        let caller = Caller { practice: export.practice.clone(), actor: Actor::Engine, request_id: app.ids.mint() };
        Self { app, caller, export, stop, deletions: 0 }
    }

    pub fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    /// The bounds of waiting for the EHR.
    pub fn bounds(&self) -> Bounds {
        Bounds { min: 1, max: self.app.config.bulk_max_poll_seconds }
    }

    /// Whether the EHR was given enough time.
    pub fn is_out_of_patience(&self) -> bool {
        let since = self.export.life.job().map_or(self.export.created_at, |job| job.accepted_at);
        self.now() > since.plus_seconds(PATIENCE_SECONDS)
    }

    /// The backend service with a token that works; `stale` is one that does not any more.
    pub async fn access(&self, stale: Option<&SecretString>) -> Outcome<Result<Access, Refusal>> {
        match self.try_access(stale).await {
            Ok(access) => Ok(Ok(access)),
            Err(failure) => Ok(Err(self.refusal(failure)?)),
        }
    }

    /// What it means for the export that there is no token.
    ///
    /// # Errors
    /// The failure, where it is one of ours.
    pub fn refusal(&self, failure: Failure) -> Outcome<Refusal> {
        if let Failure::Store(_) | Failure::Vault(_) | Failure::Corrupt(_) = failure {
            return Err(failure);
        }
        let code = failure.code();
        tracing::info!(export.id = %self.export.id, code = code.name(), error = %failure, "no access for an export");
        Ok(match code {
            Code::EhrUnavailable | Code::RateLimited | Code::DiscoveryFailed => Refusal::Passing(code),
            _ => Refusal::Hold(Wait::NoToken { code }),
        })
    }

    async fn try_access(&self, stale: Option<&SecretString>) -> Outcome<Access> {
        let (app, provider) = (self.app, &self.export.provider);
        let service = backend::service(app, &self.export.practice, provider).await?;
        if service.ready.fhir_base != self.export.fhir_base {
            // Another server than the one that was asked: its files are not this export's.
            return Err(Code::Conflict.into());
        }
        let scopes = backend::scopes(app, &service, &self.export.request);
        let token = backend::token(app, &self.caller, provider, &scopes, stale).await?;
        let listed = service.ready.config.value(BULK_FILE_HOSTS).unwrap_or_default();
        let hosts = Hosts::new(&self.export.fhir_base, listed);
        let headers = service.ready.headers();
        Ok(Access { service, hosts, scopes, token, headers })
    }

    /// Goes on with another life at a time, for a reason.
    pub async fn go(&mut self, life: Life, next: Next, why: Option<Wait>) -> Outcome<Next> {
        let mut tx = self.app.db.begin_write().await?;
        self.put(&mut tx, life, next, why).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(next)
    }

    /// The same within a transaction.
    pub async fn put(&mut self, tx: &mut Tx, life: Life, next: Next, why: Option<Wait>) -> Outcome<()> {
        let now = self.now();
        let over = life.state().is_over();
        if over && !self.export.life.state().is_over() {
            let outcome = life.problem().map_or("ok", |(code, _)| code.name());
            let action = format!("export.{}", life.state().as_str());
            let event = self.caller.event(self.app, &action, self.export.provider.as_str(), outcome);
            audit::add(&mut **tx, &event).await?;
            if self.deletions > 0 {
                let target = format!("{}: {} deleted", self.export.provider, self.deletions);
                audit::add(&mut **tx, &self.caller.event(self.app, "export.deletions_applied", &target, "ok")).await?;
            }
            self.export.finished_at = Some(now);
        }
        self.export.life = life;
        self.export.next_why = why;
        self.export.next_at = match next {
            Next::At(at) => at,
            Next::Now | Next::Done => now,
        };
        export::save(tx, self.export, self.export.lease_fence).await?;
        Ok(())
    }

    /// Waits, spread a little so that many exports do not ask at once.
    pub async fn wait(&mut self, life: Life, why: Wait) -> Outcome<Next> {
        let at = self.after(why);
        self.go(life, Next::At(at), Some(why)).await
    }

    /// When a wait ends: up to a tenth later than it says.
    pub fn after(&self, why: Wait) -> Timestamp {
        let [random] = self.app.ids.bytes::<1>();
        let millis = why.seconds().saturating_mul(1000);
        Timestamp(self.now().0.saturating_add(millis).saturating_add(millis / 10 * i64::from(random) / 255))
    }

    /// Holds the export until somebody has looked.
    pub async fn hold(&mut self, life: Life, why: Wait) -> Outcome<Next> {
        self.export.paused = true;
        self.go(life, Next::Done, Some(why)).await
    }

    /// It cannot go on.
    pub async fn fail(&mut self, code: Code, detail: Option<String>) -> Outcome<Next> {
        let life = self.export.life.clone().failed(code, detail);
        self.go(life, Next::Done, None).await
    }

    /// The EHR could not be asked: waits, holds or fails.
    pub async fn refused(&mut self, later: Life, troubles: u32, refusal: Refusal) -> Outcome<Next> {
        match refusal {
            Refusal::Hold(why) => {
                let life = self.export.life.clone();
                self.hold(life, why).await
            }
            Refusal::ForeignHost(host) => self.fail(Code::Forbidden, Some(host)).await,
            Refusal::Passing(code) if self.is_out_of_patience() => self.fail(code, None).await,
            Refusal::Passing(_) => self.wait(later, Wait::unavailable(None, troubles, self.bounds())).await,
        }
    }

    /// Everything is here.
    async fn finish(&mut self, finishing: Finishing) -> Outcome<Next> {
        let totals = export_manifest::totals(&self.app.db, &self.export.id).await?;
        self.deletions = export_manifest::deletions(&self.app.db, &self.export.id).await?;
        if totals.files.failed > 0 {
            // The job stays at the EHR, so that the rest can still be had.
            return self.go(finishing.complete_with_errors(true), Next::Done, None).await;
        }
        let reported = export_manifest::reported_errors(&self.app.db, &self.export.id).await?;
        if !self.tell(&finishing.job).await? && finishing.tries < MAX_TELLS {
            let why = Wait::unavailable(None, finishing.tries, self.bounds());
            return self.wait(Life::Finishing(finishing.troubled()), why).await;
        }
        let whole = totals.rejected == 0 && reported == 0;
        let life = if whole { finishing.complete() } else { finishing.complete_with_errors(false) };
        self.go(life, Next::Done, None).await
    }

    /// Somebody ended it.
    async fn cancel(&mut self) -> Outcome<Next> {
        let life = self.export.life.clone();
        let Some(job) = life.job().cloned() else { return self.go(life.cancelled(true), Next::Done, None).await };
        let told = self.tell(&job).await?;
        if !told && job.troubles < MAX_TELLS {
            let why = Wait::unavailable(None, job.troubles, self.bounds());
            return self.wait(with_job(life, job.troubled()), why).await;
        }
        self.go(life.cancelled(told), Next::Done, None).await
    }

    /// Tells the EHR to clean up; `false` when it did not answer.
    async fn tell(&self, job: &Job) -> Outcome<bool> {
        let Ok(access) = self.access(None).await? else { return Ok(false) };
        match status::delete(&access.server(self.app), &job.status_url).await {
            Ok(told) => Ok(told),
            // Nobody is asked there, now or later.
            Err(CallError::ForeignHost(_)) => Ok(true),
            Err(CallError::Net(_)) => Ok(false),
        }
    }
}

fn with_job(life: Life, job: Job) -> Life {
    use crate::model::export::life::{Downloading, Waiting};
    match life {
        Life::Waiting(_) => Life::Waiting(Waiting { job }),
        Life::Downloading(Downloading { more_at, .. }) => Life::Downloading(Downloading { job, more_at }),
        Life::Finishing(Finishing { tries, .. }) => Life::Finishing(Finishing { job, tries }),
        other => other,
    }
}
