//! What is known of an export: its files, its records, and what went wrong with them.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use crate::api::exports::RetryExport;
use crate::model::export::{ExportError, ExportState, ExportStatus};
use crate::model::time::Timestamp;
use crate::ui::part::icon::icon;
use crate::ui::part::panel::fact;
use crate::ui::text::{self, export as words};

/// So many errors are shown at once.
const SHOWN: usize = 3;

/// How many files are dealt with.
pub(super) fn progress(export: &ExportStatus) -> Option<AnyView> {
    let files = export.files;
    let idle = files.total == 0 && (export.paused || export.cancelling);
    if export.state.is_over() || idle {
        return None;
    }
    let dealt_with = files.done.saturating_add(files.failed);
    let label = match files.total {
        0 => "No files yet".to_owned(),
        total => format!("{} of {}", words::count(dealt_with), words::counted(total, "file", "files")),
    };
    // Without a value the bar says that something is going on, not how much.
    let known = files.total > 0;
    let value = known.then_some(dealt_with);
    let view = view! {
        <div>
            <p class="mb-1.5 flex justify-between gap-4 small">
                <span class="font-medium">{label}</span>
                {known.then(|| view! { <span class="muted tabular-nums">{percent(dealt_with, files.total)} " %"</span> })}
            </p>
            <progress class="meter" aria-label="Files" max=files.total.max(1) value=value></progress>
        </div>
    };
    Some(view.into_any())
}

const fn percent(part: i64, whole: i64) -> i64 {
    match part.saturating_mul(100).checked_div(whole) {
        Some(percent) => percent,
        None => 0,
    }
}

/// The numbers.
pub(super) fn numbers(export: &ExportStatus, now: Timestamp) -> Option<AnyView> {
    let over = export.state.is_over();
    let files = export.files;
    let came = files.total > 0;
    if !came && over && export.transaction_time.is_none() {
        return None;
    }
    let files_fact = over.then(|| {
        let failed = (files.failed > 0).then(|| format!(", {} failed", words::count(files.failed)));
        fact(
            "Files",
            format!("{} of {}{}", words::count(files.done), words::count(files.total), failed.unwrap_or_default()),
        )
    });
    let rate =
        export.bytes_per_second.filter(|rate| *rate > 0).map(|rate| format!(", {} a second", words::bytes(rate)));
    let came_facts = came.then(|| {
        view! {
            {fact("Records taken in", words::count(export.rows.total))}
            {fact("Lines not taken in", words::count(export.rejected))}
            {fact("Received", format!("{}{}", words::bytes(export.bytes), rate.unwrap_or_default()))}
        }
    });
    let eta = export.eta.map(|at| {
        let left = words::until(at, now);
        fact(
            "All here",
            view! { <time class="tabular-nums" datetime=at.to_string() data-until="">{left}</time> }.into_any(),
        )
    });
    let keeps = export.expires_at.filter(|_| export.state != ExportState::Complete).map(|at| {
        let date = text::date_time(at);
        fact("Files kept until", view! { <time datetime=at.to_string()>{date}</time> }.into_any())
    });
    let as_of = export.transaction_time.as_deref().map(|time| fact("Records as of", words::instant(time)));
    let view = view! {
        <dl class="facts grid-cols-2 md:grid-cols-4 tabular-nums">
            {files_fact}
            {came_facts}
            {eta}
            {as_of}
            {keeps}
        </dl>
    };
    Some(view.into_any())
}

/// How many records of each type.
pub(super) fn types(export: &ExportStatus) -> Option<AnyView> {
    let chips: Vec<_> = export
        .rows
        .by_type
        .iter()
        .map(|(kind, count)| {
            view! {
                <li class="rounded-field border border-base-300 bg-base-200 px-2.5 py-1 small" data-type=kind.clone()>
                    {kind.clone()}
                    " "
                    <span class="font-semibold tabular-nums">{words::count(*count)}</span>
                </li>
            }
        })
        .collect();
    (!chips.is_empty())
        .then(|| view! { <ul class="flex flex-wrap gap-2" aria-label="Records by type">{chips}</ul> }.into_any())
}

/// What went wrong: the first errors, and the rest on demand.
pub(super) fn errors(export: &ExportStatus, may_retry: bool) -> Option<AnyView> {
    // Of what is over, nothing is tried again.
    let over = export.state.is_over();
    let errors = export.errors.iter().filter(|error| !(over && error.again));
    let mut lines: Vec<_> = errors.map(|error| line(error, &export.job_id, may_retry)).collect();
    if lines.is_empty() {
        return None;
    }
    let more = lines.split_off(lines.len().min(SHOWN));
    let more = (!more.is_empty()).then(|| {
        let label = format!("{} more", words::count(i64::try_from(more.len()).unwrap_or(i64::MAX)));
        let id = format!("more-{}", export.job_id);
        view! {
            <details id=id>
                <summary class="text-link small inline-block">{label}</summary>
                <ul class="mt-3 space-y-3">{more}</ul>
            </details>
        }
    });
    let class = if export.state == ExportState::Failed || export.state == ExportState::Expired {
        "note note-error"
    } else {
        "note note-warning"
    };
    let view = view! {
        <div class=class data-errors="">
            {icon(icondata::LuTriangleAlert, "size-5")}
            <div class="flex-1 space-y-3">
                <ul class="space-y-3">{lines}</ul>
                {more}
            </div>
        </div>
    };
    Some(view.into_any())
}

fn line(error: &ExportError, id: &str, may_retry: bool) -> AnyView {
    let (what, action) = words::error(error);
    let of = error.file.map(|number| {
        let kind = error.kind.as_deref().map(|kind| format!(", {kind}")).unwrap_or_default();
        format!("{}{kind}: ", words::file(number))
    });
    let name = error.error.name();
    let again = error.file.filter(|_| may_retry && !error.again).map(|number| {
        view! {
            <form method="post" action=RetryExport::PATH>
                <input type="hidden" name="export" value=id.to_owned()/>
                <input type="hidden" name="file" value=number/>
                <button class="btn btn-sm" aria-label=format!("Fetch again: {}", words::file(number))>"Fetch again"</button>
            </form>
        }
    });
    view! {
        <li class="flex flex-wrap items-start justify-between gap-x-4 gap-y-2" data-problem=name>
            <div class="min-w-0 flex-1 basis-64">
                <p class="wrap-anywhere"><span class="font-semibold">{of}</span> {what}</p>
                <p class="small mt-0.5">
                    {action} " " <a class="text-link" href=format!("/troubleshooting#{name}")>"More about " <code>{name}</code></a>
                </p>
            </div>
            {again}
        </li>
    }
    .into_any()
}
