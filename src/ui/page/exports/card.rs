//! One export: where it stands, what is going on, and what can be done about it.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::facts;
use crate::api::exports::{CancelExport, DeleteExport, PauseExport, ResumeExport, RetryExport};
use crate::model::export::{ExportState, ExportStatus, Wait};
use crate::model::problem::Code;
use crate::model::time::Timestamp;
use crate::ui::part::badge::{Tone, badge};
use crate::ui::part::confirm::Confirm;
use crate::ui::part::icon::icon;
use crate::ui::part::time::ago;
use crate::ui::text::export as words;

/// The card.
pub(super) fn card(export: &ExportStatus, now: Timestamp) -> AnyView {
    let id = &export.job_id;
    let title = format!("{}, {}", words::whom(&export.request), export.provider_name);
    let state = words::state(export);
    let says = format!("{title}: {state}");
    let body = [
        activity(export, now),
        facts::progress(export),
        facts::numbers(export, now),
        facts::types(export),
        facts::errors(export, may_retry(export)),
    ];
    let body: Vec<_> = body.into_iter().flatten().collect();
    let body = (!body.is_empty()).then(|| view! { <div class="panel-body space-y-5">{body}</div> });
    view! {
        <li class="panel" id=format!("export-{id}") tabindex="-1" data-export=id.clone() data-state=export.state.as_str() data-says=says>
            <div class="panel-head flex flex-wrap items-start justify-between gap-x-4 gap-y-2 sm:flex-nowrap">
                <div class="min-w-0">
                    <h3 class="title-2 wrap-anywhere">{title}</h3>
                    <p class="muted small wrap-anywhere">{words::what(&export.request)}</p>
                    <p class="muted small wrap-anywhere">{times(export, now)}</p>
                </div>
                {badge(tone(export), state)}
            </div>
            {body}
            {actions(export)}
        </li>
    }
    .into_any()
}

fn times(export: &ExportStatus, now: Timestamp) -> AnyView {
    let ended = export.finished_at.map(|at| view! { ", ended " {ago(at, now)} });
    view! { "Started by " {export.requested_by.clone()} " " {ago(export.created_at, now)} {ended} }.into_any()
}

const fn tone(export: &ExportStatus) -> Tone {
    match export.state {
        ExportState::Complete => Tone::Good,
        ExportState::CompleteWithErrors => Tone::Attention,
        ExportState::Failed | ExportState::Expired => Tone::Bad,
        ExportState::Cancelled => Tone::Plain,
        _ if export.paused => Tone::Attention,
        _ => Tone::Busy,
    }
}

/// What is going on, what the EHR says of it, and when something happens next.
fn activity(export: &ExportStatus, now: Timestamp) -> Option<AnyView> {
    if export.state.is_over() {
        return None;
    }
    let attention = words::wants_attention(export);
    let (class, sign) = match () {
        () if attention => ("note note-warning", icondata::LuTriangleAlert),
        () if export.paused && !export.cancelling => ("note note-warning", icondata::LuPause),
        () => ("note", icondata::LuInfo),
    };
    let said = export.progress.clone().filter(|text| !text.is_empty());
    let said = said.map(|text| view! { <p class="wrap-anywhere">"The EHR says: “" {text} "”"</p> });
    let next = export.next_poll_at.map(|at| {
        let left = words::until(at, now);
        view! { <p>"Next step " <time class="font-medium tabular-nums" datetime=at.to_string() data-until="">{left}</time></p> }
    });
    let why = export.next_poll_why.map(|why| {
        let more = match why {
            Wait::NoToken { code } => {
                let name = code.name();
                let href = format!("/troubleshooting#{name}");
                (code != Code::Conflict)
                    .then(|| view! { " " <a class="text-link" href=href>"More about " <code>{name}</code></a> })
            }
            _ => None,
        };
        view! { <p class="muted small">{words::wait(why)} {more}</p> }
    });
    let view = view! {
        <div class=class data-activity="">
            {icon(sign, "size-5")}
            <div class="space-y-1">
                <p class="font-medium">{words::activity(export)}</p>
                {said}
                {next}
                {why}
            </div>
        </div>
    };
    Some(view.into_any())
}

/// Whether failed files can still be had: the EHR has cleaned up after everything else that is over.
fn may_retry(export: &ExportStatus) -> bool {
    let open = export.state == ExportState::CompleteWithErrors || !export.state.is_over();
    open && !export.cancelling && export.files.failed > 0
}

fn actions(export: &ExportStatus) -> Option<AnyView> {
    let over = export.state.is_over();
    if export.cancelling && !over {
        return None;
    }
    let id = &export.job_id;
    let retry =
        (may_retry(export)).then(|| order(RetryExport::PATH, id, "Fetch failed files again", icondata::LuRotateCw));
    let hold = (!over && !export.paused).then(|| order(PauseExport::PATH, id, "Pause", icondata::LuPause));
    let resume = (!over && export.paused).then(|| order(ResumeExport::PATH, id, "Resume", icondata::LuPlay));
    let end = if over { delete(id) } else { cancel(id) };
    let view = view! {
        <div class="panel-foot flex flex-wrap items-start gap-2">
            {resume}
            {hold}
            {retry}
            {end}
        </div>
    };
    Some(view.into_any())
}

fn cancel(id: &str) -> AnyView {
    let question =
        "The EHR is told to stop and to delete its files. What was taken in so far stays here. It cannot be resumed.";
    let label = view! { {icon(icondata::LuX, "size-4")} "Cancel export" }.into_any();
    confirmed(format!("cancel-{id}"), CancelExport::PATH, id, label, question, "Cancel it")
}

fn delete(id: &str) -> AnyView {
    let question = "The export goes from this list, with what is known of its files. The records that it brought stay.";
    let label = view! { {icon(icondata::LuTrash2, "size-4")} "Remove" }.into_any();
    confirmed(format!("delete-{id}"), DeleteExport::PATH, id, label, question, "Remove it")
}

fn confirmed(
    name: String,
    action: &'static str,
    id: &str,
    label: AnyView,
    question: &'static str,
    yes: &'static str,
) -> AnyView {
    let id = id.to_owned();
    view! {
        <Confirm id=name label=label class="btn btn-sm" question=question>
            <form method="post" action=action>
                <input type="hidden" name="export" value=id/>
                <button class="btn btn-sm btn-error">{yes}</button>
            </form>
        </Confirm>
    }
    .into_any()
}

fn order(action: &'static str, id: &str, label: &'static str, sign: icondata::Icon) -> AnyView {
    view! {
        <form method="post" action=action>
            <input type="hidden" name="export" value=id.to_owned()/>
            <button class="btn btn-sm">{icon(sign, "size-4")} {label}</button>
        </form>
    }
    .into_any()
}
