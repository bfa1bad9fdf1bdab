//! `/exports`: the practice's bulk exports, live, and starting one.
//!
//! Rendered on the server only; `exports.js` keeps the list as the server has it (docs/decisions.md). Guards:
//! without scripts the page has the same facts, and every button is a form.

use leptos::nonce::use_nonce;
use leptos::prelude::*;
use leptos_meta::Title;

use crate::api;
use crate::model::draft::Draft;
use crate::model::export::ExportsPage;
use crate::ui::part::empty::Empty;
use crate::ui::part::icon::icon;
use crate::ui::part::loading::{load_once, use_draft, with_data};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::panel::PageHeader;

mod card;
mod facts;
mod start;

/// Keeps the list live.
const LIVE: &str = include_str!("exports/exports.js");

/// Where the events come from.
const EVENTS: &str = "/api/integrations/ehr/bulk/events";

/// Where providers are switched on and exports allowed.
const SETTINGS: &str = "/settings/ehr-integrations";

/// The page.
pub fn exports() -> AnyView {
    let messages = Messages::from_query();
    let data = load_once(api::exports::exports);
    let body = with_data(data, use_draft(), move |page, draft| body(&page, draft.as_ref(), messages));
    view! { <Title text="Bulk exports"/> {body} }.into_any()
}

fn body(page: &ExportsPage, draft: Option<&Draft>, messages: Messages) -> AnyView {
    messages.seed(draft);
    let can_start = page.enabled && !page.providers.is_empty();
    let first = if can_start { start::panel(page, draft, messages) } else { closed(page) };
    view! {
        <PageHeader
            title="Bulk exports"
            text="The records of many patients at once: the EHR prepares files, and we fetch them and take the records in. It goes on by itself when you leave this page."
        />
        {message_area(messages, start::labels())}
        <div class="space-y-8">{first} {list(page, can_start)}</div>
        <script nonce=use_nonce()>{LIVE}</script>
    }
    .into_any()
}

/// Why no export can be started, and where that is changed.
fn closed(page: &ExportsPage) -> AnyView {
    let offering = page.providers.first();
    let (title, text, action, href) = match offering {
        Some(provider) => (
            "Bulk export is switched off",
            "Your practice does not allow exports of many patients at once. An administrator switches “Bulk export” on under “What this practice allows”.",
            "Open the switch",
            format!("{SETTINGS}/{}#field-enable_bulk_export", provider.id),
        ),
        None => (
            "No provider offers bulk exports",
            "Exports need a provider that is in use, whose EHR offers bulk data, and a signing key that the EHR knows. Switch such a provider on and fill in its settings.",
            "EHR integrations",
            SETTINGS.to_owned(),
        ),
    };
    view! {
        <section class="note note-warning" aria-labelledby="closed-heading" id="closed">
            {icon(icondata::LuLock, "size-5")}
            <div>
                <h2 class="font-semibold" id="closed-heading">{title}</h2>
                <p class="mt-1 max-w-prose">{text}</p>
                <p class="mt-3"><a class="btn btn-sm" href=href>{action}</a></p>
            </div>
        </section>
    }
    .into_any()
}

/// The exports. Whatever is in `#exports-list` is replaced as it changes.
fn list(page: &ExportsPage, can_start: bool) -> AnyView {
    let cards: Vec<_> = page.exports.iter().map(|export| card::card(export, page.now)).collect();
    let content = if cards.is_empty() {
        let text = if can_start {
            "What you start above is listed here, with its files, its records and what went wrong. The first export usually fetches everything, later ones only what changed."
        } else {
            "Exports that are started are listed here, with their files, their records and what went wrong."
        };
        view! { <div class="panel"><Empty icon=icondata::LuDatabase title="No exports yet" text=text/></div> }
            .into_any()
    } else {
        view! { <ul class="space-y-4">{cards}</ul> }.into_any()
    };
    view! {
        <section id="exports" class="group/live" aria-labelledby="exports-heading" data-events=EVENTS>
            <div class="mb-3 flex flex-wrap items-center justify-between gap-x-4 gap-y-1">
                <h2 class="title-2" id="exports-heading">"Exports"</h2>
                {liveness()}
            </div>
            <div id="exports-list" data-now=page.now.to_string()>{content}</div>
        </section>
    }
    .into_any()
}

/// Whether the list changes by itself.
fn liveness() -> AnyView {
    view! {
        <p class="muted small">
            <span class="hidden items-center gap-2 group-data-[live=on]/live:inline-flex">
                <span class="size-2 rounded-full bg-success motion-safe:animate-pulse" aria-hidden="true"></span>
                "Live"
            </span>
            <span class="hidden group-data-[live=off]/live:inline">"Connecting again…"</span>
            <a class="text-link group-data-[live=off]/live:hidden group-data-[live=on]/live:hidden" rel="external" href="/exports">
                "Reload"
            </a>
        </p>
    }
    .into_any()
}
