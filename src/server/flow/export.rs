//! Bulk exports: starting them, watching them, and what people may do with one.
//!
//! FHIR Bulk Data Access. What an export does by itself is in [`advance`]. Guards: one export at a time with a
//! provider; who acts is in the audit trail; the resources of an export outlive it.

use serde_json::Value;

use super::{Caller, backend, settings};
use crate::model::export::request::SINCE_LAST;
use crate::model::export::{ExportFile, ExportProvider, ExportRequest, ExportStatus, ExportsPage, Life, Wait};
use crate::model::id::{ExportId, ProviderId};
use crate::model::problem::{Code, FieldError, Problem};
use crate::model::role::Permission;
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::fhir::bulk_capability::BulkCapability;
use crate::server::fhir::client::FhirClient;
use crate::server::provider::{self, Provider};
use crate::server::store::export::Export;
use crate::server::store::{StoreError, Tx, audit, export, export_manifest, practice};

pub mod advance;
mod kick_off;
mod poll;
mod take_in;
mod view;

/// How many exports a page shows.
const SHOWN: i64 = 50;

/// Starts an export.
///
/// # Errors
/// `forbidden`, `invalid_input`, `bulk_disabled`, `bulk_unsupported`, `bulk_busy`, and everything that keeps the
/// backend service from its EHR.
pub async fn start(app: &App, caller: &Caller, id: &ProviderId, request: ExportRequest) -> Outcome<ExportStatus> {
    caller.require(Permission::Export)?;
    let broken = request.errors();
    if !broken.is_empty() {
        let fields = broken.into_iter().map(|(field, rule)| FieldError { field: field.into(), rule });
        return Err(Problem { fields: fields.collect(), ..Code::InvalidInput.into() }.into());
    }
    let plugin = provider::by_id(id).ok_or(Code::NotFound)?;
    let (saved, _) = settings::load(app, &caller.practice).await?;
    if !saved.enable_bulk_export {
        return Err(Code::BulkDisabled.into());
    }
    let service = backend::service(app, &caller.practice, id).await?;
    check_offer(app, plugin, &service, &request).await?;
    let export = add(app, caller, id, &service.ready.fhir_base, request).await?;
    app.exports.notify_one();
    view::status(app, export).await
}

/// Refuses what the EHR does not offer. A CapabilityStatement that cannot be read refuses nothing: the EHR will
/// say so itself.
async fn check_offer(
    app: &App,
    plugin: &dyn Provider,
    service: &backend::Service,
    request: &ExportRequest,
) -> Outcome<()> {
    if !plugin.writes().bulk {
        return Err(Code::BulkUnsupported.into());
    }
    match capability(app, service).await {
        Some(offered) if !offered.offers(request.level) => Err(Code::BulkUnsupported.into()),
        _ => Ok(()),
    }
}

/// What the EHR offers, if it can be asked. The statement is public: the token is not sent.
async fn capability(app: &App, service: &backend::Service) -> Option<BulkCapability> {
    let headers = service.ready.headers();
    let client = FhirClient {
        http: &app.http,
        base: &service.ready.fhir_base,
        token: None,
        accept: service.ready.accept(),
        headers: &headers,
    };
    let statement: Value = client.read("metadata", "CapabilityStatement").await.ok()?;
    Some(BulkCapability::of(&statement))
}

async fn add(
    app: &App,
    caller: &Caller,
    provider: &ProviderId,
    fhir_base: &str,
    mut request: ExportRequest,
) -> Outcome<Export> {
    let now = app.clock.now();
    let id = ExportId::new(app.ids.mint());
    let mut tx = app.db.begin_write().await?;
    // Two starts at once: the second one sees the first.
    practice::lock(&mut tx, &caller.practice).await?;
    if export::is_busy(&mut tx, &caller.practice, provider).await? {
        return Err(Code::BulkBusy.into());
    }
    let source = export::source(&mut tx, &caller.practice, provider, fhir_base).await?;
    if request.since.as_deref() == Some(SINCE_LAST) {
        request.since = last_time(&mut tx, source, &request).await?;
    }
    let export = Export {
        id: id.clone(),
        number: 0,
        practice: caller.practice.clone(),
        provider: provider.clone(),
        source,
        fhir_base: fhir_base.to_owned(),
        life: Life::default(),
        request,
        requested_by: caller.actor_name(),
        paused: false,
        cancel_asked: false,
        progress: None,
        transaction_time: None,
        next_at: now,
        next_why: None,
        expires_at: None,
        created_at: now,
        finished_at: None,
        lease_until: Timestamp(0),
        lease_fence: 0,
        version: 0,
    };
    export::add(&mut tx, &export).await?;
    audit::add(&mut *tx, &caller.event(app, "export.started", provider.as_str(), "ok")).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(export::find(app.db.pool(), &caller.practice, &id).await?.ok_or(Code::Internal)?)
}

/// The EHR's time of the last complete export that asked for the same; `None` where there is none, and everything
/// is wanted.
async fn last_time(tx: &mut Tx, source: i64, request: &ExportRequest) -> Outcome<Option<String>> {
    let before = export::complete(tx, source).await?;
    Ok(before.into_iter().find(|export| export.request.is_like(request)).and_then(|export| export.transaction_time))
}

/// An export as it stands.
///
/// # Errors
/// `forbidden`, `not_found`.
pub async fn status(app: &App, caller: &Caller, id: &ExportId) -> Outcome<ExportStatus> {
    caller.require(Permission::Export)?;
    view::status(app, load(app, caller, id).await?).await
}

/// The practice's last exports, and what can be started.
///
/// # Errors
/// `forbidden`.
pub async fn page(app: &App, caller: &Caller) -> Outcome<ExportsPage> {
    caller.require(Permission::Export)?;
    let (saved, _) = settings::load(app, &caller.practice).await?;
    let mut exports = Vec::new();
    for export in export::list(&app.db, &caller.practice, SHOWN).await? {
        exports.push(view::status(app, export).await?);
    }
    let usable = |id: &&ProviderId| provider::by_id(id).is_some_and(|plugin| plugin.writes().bulk);
    let named = |id: &ProviderId| ExportProvider { id: id.clone(), name: provider::name_of(id) };
    Ok(ExportsPage {
        exports,
        providers: saved.enabled_providers.iter().filter(usable).map(named).collect(),
        enabled: saved.enable_bulk_export,
        now: app.clock.now(),
    })
}

/// A number that changes with every change of the practice's exports.
///
/// # Errors
/// `forbidden`.
pub async fn stamp(app: &App, caller: &Caller) -> Outcome<i64> {
    caller.require(Permission::Export)?;
    Ok(export::stamp(&app.db, &caller.practice).await?)
}

/// The files of an export after the one of this number.
///
/// # Errors
/// `forbidden`, `not_found`.
pub async fn files(app: &App, caller: &Caller, id: &ExportId, after: i64) -> Outcome<Vec<ExportFile>> {
    caller.require(Permission::Export)?;
    let export = load(app, caller, id).await?;
    Ok(export_manifest::files(&app.db, &export.id, after, 1_000).await?)
}

/// What somebody wants done with an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Hold it.
    Pause,
    /// Let it go on.
    Resume,
    /// End it, and let the EHR clean up.
    Cancel,
    /// Fetch one of its failed files again, or all of them.
    Retry {
        /// Which; all without one.
        file: Option<i64>,
    },
    /// Forget it. What was taken in stays.
    Delete,
}

impl Order {
    const fn action(self) -> &'static str {
        match self {
            Self::Pause => "export.paused",
            Self::Resume => "export.resumed",
            Self::Cancel => "export.cancel_asked",
            Self::Retry { .. } => "export.file_retried",
            Self::Delete => "export.deleted",
        }
    }
}

/// Does what somebody wants with an export; answers how it stands then, unless it is gone.
///
/// # Errors
/// `forbidden`, `not_found`; `conflict` where it cannot be done any more, or not yet; `bulk_expired` where the EHR
/// has no files any more.
pub async fn order(app: &App, caller: &Caller, id: &ExportId, order: Order) -> Outcome<Option<ExportStatus>> {
    caller.require(Permission::Export)?;
    let found = load(app, caller, id).await?;
    let mut tx = app.db.begin_write().await?;
    let now = app.clock.now();
    let practice = &caller.practice;
    let done = match order {
        Order::Pause => export::pause(&mut tx, practice, id, Wait::Held).await?,
        Order::Resume => export::resume(&mut tx, practice, id, now).await?,
        Order::Cancel => export::ask_cancel(&mut tx, practice, id, now).await?,
        Order::Retry { file } => retry(&mut tx, found.clone(), file, now).await?,
        Order::Delete => export::remove(&mut tx, practice, id).await?,
    };
    if !done {
        return Err(Code::Conflict.into());
    }
    audit::add(&mut *tx, &caller.event(app, order.action(), found.provider.as_str(), "ok")).await?;
    tx.commit().await.map_err(StoreError::from)?;
    app.exports.notify_one();
    if order == Order::Delete {
        return Ok(None);
    }
    Ok(Some(view::status(app, load(app, caller, id).await?).await?))
}

async fn retry(tx: &mut Tx, export: Export, file: Option<i64>, now: Timestamp) -> Outcome<bool> {
    if !export.life.state().is_over() {
        return Ok(export_manifest::retry(tx, &export.id, file).await? > 0);
    }
    let life = export.life.reopened().map_err(|_| Failure::from(Code::BulkExpired))?;
    if export_manifest::retry(tx, &export.id, file).await? == 0 {
        return Ok(false);
    }
    Ok(export::reopen(tx, &export.practice, &export.id, &Life::Downloading(life), now).await?)
}

async fn load(app: &App, caller: &Caller, id: &ExportId) -> Outcome<Export> {
    Ok(export::find(app.db.pool(), &caller.practice, id).await?.ok_or(Code::NotFound)?)
}
