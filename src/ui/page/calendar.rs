//! `/settings/calendar`: what ends when, and what to do before.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::api;
use crate::model::calendar::{CalendarPage, Ending, EndingKind, Nearness};
use crate::model::time::Timestamp;
use crate::ui::part::badge::{Tone, badge};
use crate::ui::part::empty::Empty;
use crate::ui::part::loading::{load_once, use_draft, with_data};
use crate::ui::part::panel::PageHeader;
use crate::ui::part::time::ago;

/// The page.
pub fn calendar() -> AnyView {
    let body = with_data(load_once(api::calendar::calendar), use_draft(), |page, _| body(&page));
    view! { <Title text="What ends when"/> {body} }.into_any()
}

fn body(page: &CalendarPage) -> AnyView {
    let list = if page.endings.is_empty() {
        view! {
            <Empty
                icon=icondata::LuCalendar
                title="Nothing is known to end"
                text="Connections renew themselves. Where a vendor limits that, or you enter the day on which a client secret ends, it stands here."
            >
                <a class="btn" href="/settings/ehr-integrations">"EHR integrations"</a>
            </Empty>
        }
        .into_any()
    } else {
        let rows: Vec<_> = page.endings.iter().map(|ending| row(ending, page.now)).collect();
        view! {
            <table class="grid-table">
                <thead>
                    <tr>
                        <th scope="col">"What"</th>
                        <th scope="col">"Ends"</th>
                        <th scope="col">"What to do"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        }
        .into_any()
    };
    view! {
        <PageHeader
            title="What ends when"
            text="Grants, secrets and keys that end by themselves. Two weeks before, the overview reminds you."
            up=("Overview", "/")
        />
        <section class="panel" aria-label="What ends when">{list}</section>
    }
    .into_any()
}

fn row(ending: &Ending, now: Timestamp) -> AnyView {
    let mark = match ending.nearness(now) {
        Nearness::Over => Some(badge(Tone::Bad, "Over")),
        Nearness::Soon => Some(badge(Tone::Attention, "Soon")),
        Nearness::Later => None,
    };
    let (action, href) = action(ending);
    let mut what = ending.kind.what().to_owned();
    if let Some(first) = what.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    view! {
        <tr data-ending=ending.name.clone()>
            <td>
                <span class="font-medium">{what}</span>
                <span class="muted small block break-all">{ending.name.clone()}</span>
            </td>
            <td data-label="Ends">
                <span class="inline-flex flex-wrap items-center gap-2">{ago(ending.at, now)} {mark}</span>
            </td>
            <td data-label="What to do"><a class="text-link" href=href>{action}</a></td>
        </tr>
    }
    .into_any()
}

/// What to do about it, and where.
fn action(ending: &Ending) -> (&'static str, String) {
    let provider = ending.provider.as_ref().map(ToString::to_string).unwrap_or_default();
    let page = format!("/settings/ehr-integrations/{provider}");
    match ending.kind {
        EndingKind::Access => ("Connect again before", page),
        EndingKind::RefreshToken => ("Connect again before, if it is not used until then", page),
        EndingKind::ClientSecret => ("Make a new one in the vendor's portal, and enter it", page),
        EndingKind::SigningKey => ("Make a new key", "/settings/keys".into()),
        EndingKind::ApiToken => ("Give the application a new one", "/account".into()),
    }
}
