//! `/audit`: who did what, newest first.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use crate::api;
use crate::model::account::{AuditPage, AuditView};
use crate::model::time::Timestamp;
use crate::ui::part::badge::{Tone, badge};
use crate::ui::part::empty::Empty;
use crate::ui::part::icon::icon;
use crate::ui::part::loading::{load, use_draft, with_data};
use crate::ui::part::panel::PageHeader;
use crate::ui::part::time::ago;
use crate::ui::text;

/// The page.
pub fn audit() -> AnyView {
    let query = use_query_map();
    let before = move || query.with(|query| query.get("before").unwrap_or_default());
    let data = load(before, api::audit::audit_log);
    let body = with_data(data, use_draft(), move |page, _| body(&page, before()));
    view! { <Title text="Audit trail"/> {body} }.into_any()
}

fn body(page: &AuditPage, before: String) -> AnyView {
    let rows: Vec<_> = page.events.iter().map(|event| row(event, page.now)).collect();
    let table = if rows.is_empty() {
        view! {
            <Empty
                icon=icondata::LuScrollText
                title="Nothing here yet"
                text="Every sign-in, change of settings and connection of this practice is written down here, and never changed."
            />
        }
        .into_any()
    } else {
        view! {
            <table class="grid-table">
                <thead>
                    <tr>
                        <th scope="col">"When"</th>
                        <th scope="col">"Who"</th>
                        <th scope="col">"What"</th>
                        <th scope="col">"On what"</th>
                        <th scope="col">"Outcome"</th>
                        <th scope="col">"Request"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        }
        .into_any()
    };
    let newest = (!before.is_empty()).then(|| {
        view! { <a class="btn btn-sm" href="/audit">{icon(icondata::LuArrowLeft, "size-4")} "Newest"</a> }
    });
    let older = page.next.clone().map(|next| {
        view! {
            <a class="btn btn-sm ml-auto" href=format!("/audit?before={next}") id="older">
                "Older"
                {icon(icondata::LuArrowRight, "size-4")}
            </a>
        }
    });
    view! {
        <PageHeader title="Audit trail" text="Everything that matters for security, newest first. It can be read, not changed."/>
        <section class="panel" aria-label="Events">{table}</section>
        <div class="mt-4 flex">{newest} {older}</div>
    }
    .into_any()
}

fn row(event: &AuditView, now: Timestamp) -> AnyView {
    let outcome = if event.outcome == "ok" {
        badge(Tone::Good, "Done")
    } else {
        view! { {badge(Tone::Bad, "Refused")} <code class="small mt-1 block">{event.outcome.clone()}</code> }.into_any()
    };
    view! {
        <tr data-action=event.action.clone()>
            <td class="whitespace-nowrap" data-label="When">{ago(event.at, now)}</td>
            <td data-label="Who">{event.actor.clone()}</td>
            <td class="font-medium" data-label="What">{text::humanise(&event.action)}</td>
            <td data-label="On what">{event.target.clone()}</td>
            <td data-label="Outcome">{outcome}</td>
            <td data-label="Request"><code class="small muted">{event.request_id.clone()}</code></td>
        </tr>
    }
    .into_any()
}
