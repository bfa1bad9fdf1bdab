//! `/recordings`: what connects and launches did, step by step.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use crate::api;
use crate::model::problem::Code;
use crate::model::recording::{RecordingView, RecordingsPage, Step, StepName};
use crate::model::time::Timestamp;
use crate::ui::part::badge::{Tone, badge};
use crate::ui::part::empty::Empty;
use crate::ui::part::loading::{load, use_draft, with_data};
use crate::ui::part::panel::PageHeader;
use crate::ui::part::time::ago;

/// The page.
pub fn recordings() -> AnyView {
    let query = use_query_map();
    let request = move || query.with(|query| query.get("request").unwrap_or_default());
    let data = load(request, api::recordings::recordings);
    let body = with_data(data, use_draft(), move |page, _| body(&page, &request()));
    view! { <Title text="Recent attempts"/> {body} }.into_any()
}

fn body(page: &RecordingsPage, request: &str) -> AnyView {
    let one = !request.is_empty();
    let list = if page.recordings.is_empty() {
        empty(one)
    } else {
        let open = page.recordings.len() == 1;
        page.recordings.iter().map(|recording| entry(recording, open, page.now)).collect::<Vec<_>>().into_any()
    };
    view! {
        <PageHeader
            title="Recent attempts"
            text="What each connect and launch did, step by step, and where it stopped. No secret, token or patient data is in it. Kept for 30 days."
            up=("Troubleshooting", "/troubleshooting")
        />
        {one.then(|| view! { <p class="mb-4"><a class="text-link" href="/recordings">"All recent attempts"</a></p> })}
        <div class="space-y-4">{list}</div>
    }
    .into_any()
}

fn empty(one: bool) -> AnyView {
    let text = if one {
        "This request was no connect or launch of this practice, or it is older than 30 days. The operator's log has it \
         under the same id."
    } else {
        "Every Standalone connect and every launch from inside the EHR is written down here."
    };
    view! {
        <section class="panel" aria-label="Attempts">
            <Empty icon=icondata::LuLifeBuoy title="Nothing recorded" text=text>
                <a class="btn" href="/settings/ehr-integrations">"EHR integrations"</a>
            </Empty>
        </section>
    }
    .into_any()
}

fn entry(recording: &RecordingView, open: bool, now: Timestamp) -> AnyView {
    let (tone, word) = match recording.outcome {
        Some(Ok(())) => (Tone::Good, "Through"),
        Some(Err(_)) => (Tone::Bad, "Failed"),
        None => (Tone::Plain, "At the EHR"),
    };
    let kind = if recording.is_launch { "EHR launch" } else { "Standalone connect" };
    let steps: Vec<_> = recording.steps.iter().map(|step| step_view(step, recording)).collect();
    let requests = recording.request_ids.join(", ");
    view! {
        <details class="panel" open=open data-recording=recording.id.clone()>
            <summary class="panel-head cursor-pointer">
                <span class="inline-flex flex-wrap items-center gap-x-4 gap-y-1 align-middle">
                    <span class="font-semibold">{kind} ", " {recording.provider.clone()}</span>
                    {badge(tone, word)}
                    {recording.outcome.and_then(Result::err).map(|code| view! { <code class="small">{code.name()}</code> })}
                    <span class="muted small">{ago(recording.started_at, now)}</span>
                </span>
            </summary>
            <div class="panel-body space-y-5">
                <ol class="steps-list gap-y-6">{steps}</ol>
                <p class="muted small">"Requests: " <code>{requests}</code></p>
            </div>
        </details>
    }
    .into_any()
}

fn step_view(step: &Step, recording: &RecordingView) -> AnyView {
    let facts: Vec<_> = step
        .facts
        .iter()
        .map(|fact| view! { <div><dt>{fact.name.clone()}</dt><dd>{fact.value.clone()}</dd></div> })
        .collect();
    let millis = step.at.0.saturating_sub(recording.started_at.0);
    let after = format!("after {}.{} s", millis / 1000, millis % 1000 / 100);
    view! {
        <li>
            <div class="min-w-0 flex-1">
                <h2 class="title-3">{name(step.name)} " " <span class="muted small font-normal">{after}</span></h2>
                {(!facts.is_empty()).then(|| view! { <dl class="facts facts-2 mt-2">{facts}</dl> })}
                {step.problem.map(|code| problem(code, recording.outcome == Some(Ok(()))))}
            </div>
        </li>
    }
    .into_any()
}

/// A problem of a step; one that did not keep the attempt from its end is a warning.
fn problem(code: Code, went_on: bool) -> AnyView {
    let entry = code.entry();
    let class = if went_on { "note note-warning mt-3" } else { "note note-error mt-3" };
    view! {
        <div class=class data-problem=entry.name>
            <div>
                <p class="font-semibold">{entry.message}</p>
                <p class="mt-1">{entry.cause}</p>
                <p class="mt-1 font-medium">{entry.action}</p>
                <p class="small mt-2">
                    <a class="text-link" href=format!("/troubleshooting#{}", entry.name)>"More about " <code>{entry.name}</code></a>
                </p>
            </div>
        </div>
    }
    .into_any()
}

const fn name(step: StepName) -> &'static str {
    match step {
        StepName::Asked => "Asked for",
        StepName::Discovery => "Read the EHR's endpoints",
        StepName::ClientAuthentication => "Chose how to identify ourselves",
        StepName::Redirect => "Sent the browser to the EHR",
        StepName::Callback => "The browser came back",
        StepName::TokenExchange => "Exchanged the code for a token",
        StepName::Identity => "Checked who signed in",
        StepName::Context => "Read what is open in the EHR",
        StepName::Kept => "Kept the grant",
    }
}
