//! How an export is shown.

use crate::model::export::{ExportError, ExportState, ExportStatus};
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::provider;
use crate::server::store::export::Export;
use crate::server::store::export_manifest::{self, Totals};

/// How many errors of files are shown.
const MAX_ERRORS: i64 = 100;

/// An export with what is known of its files.
pub(super) async fn status(app: &App, export: Export) -> Outcome<ExportStatus> {
    let totals = export_manifest::totals(&app.db, &export.id).await?;
    let of_all = export.life.problem().map(|(error, detail)| ExportError {
        error,
        file: None,
        kind: None,
        detail: detail.map(str::to_owned),
        again: false,
    });
    let of_files = export_manifest::errors(&app.db, &export.id, MAX_ERRORS).await?;
    let now = app.clock.now();
    let speed = speed(&export, &totals, now);
    let state = export.life.state();
    // While somebody works on it, something happens now.
    let waits = !state.is_over() && !export.paused && (export.next_at > now || export.lease_until <= now);
    Ok(ExportStatus {
        job_id: export.id.to_string(),
        provider_name: provider::name_of(&export.provider),
        provider_id: export.provider,
        state,
        paused: export.paused,
        cancelling: export.cancel_asked && !state.is_over(),
        progress: export.progress,
        next_poll_at: waits.then_some(export.next_at),
        next_poll_why: export.next_why.filter(|_| waits || export.paused),
        files: totals.files,
        rows: totals.rows,
        rejected: totals.rejected,
        bytes: totals.bytes,
        bytes_per_second: speed.map(|speed| speed.bytes_per_second),
        eta: speed.and_then(|speed| speed.eta),
        errors: of_all.into_iter().chain(of_files).collect(),
        expires_at: export.expires_at,
        transaction_time: export.transaction_time,
        request: export.request,
        requested_by: export.requested_by,
        created_at: export.created_at,
        finished_at: export.finished_at,
        version: export.version,
    })
}

#[derive(Clone, Copy)]
struct Speed {
    bytes_per_second: i64,
    eta: Option<Timestamp>,
}

/// Over the time that it has been downloading. The end is told where every file says how many lines it has.
fn speed(export: &Export, totals: &Totals, now: Timestamp) -> Option<Speed> {
    if export.life.state() != ExportState::Downloading || export.paused {
        return None;
    }
    let since = export.life.job()?.files_at?;
    let millis = now.0.saturating_sub(since.0).max(1);
    let (read, expected) = totals.expected;
    let left = millis.checked_mul(expected - read)?.checked_div(read);
    Some(Speed {
        bytes_per_second: totals.bytes.saturating_mul(1000) / millis,
        eta: left.filter(|left| *left >= 0).map(|left| Timestamp(now.0.saturating_add(left))),
    })
}
