//! `/`: where the practice stands, and the next best step.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::api;
use crate::model::connection::ConnectionStatus;
use crate::model::draft::Draft;
use crate::model::provider::{ProviderCard, ProviderList};
use crate::model::role::Permission;
use crate::ui::part::badge::status_badge;
use crate::ui::part::empty::Empty;
use crate::ui::part::frame::CurrentMember;
use crate::ui::part::icon::icon;
use crate::ui::part::loading::{load_once, use_draft, with_data};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::nav;
use crate::ui::part::panel::{PageHeader, Panel};

/// The page.
pub fn overview() -> AnyView {
    let messages = Messages::from_query();
    let list = load_once(api::integrations::provider_list);
    let body = with_data(list, use_draft(), move |list, draft| body(&list, draft.as_ref(), messages));
    view! { <Title text="Overview"/> {body} }.into_any()
}

fn body(list: &ProviderList, draft: Option<&Draft>, messages: Messages) -> AnyView {
    messages.seed(draft);
    let used: Vec<_> = list.providers.iter().filter(|card| in_use(card)).map(row).collect();
    let used = if used.is_empty() {
        view! {
            <Empty
                icon=icondata::LuPlug
                title="No EHR is set up yet"
                text="An integration lets this practice read from its electronic health record, with access that the EHR grants and can take back."
            />
        }
        .into_any()
    } else {
        view! { <ul class="divide-y divide-base-300">{used}</ul> }.into_any()
    };
    view! {
        <PageHeader title="Overview" text="Where your practice stands with its electronic health record."/>
        {message_area(messages, Vec::new())}
        <div class="space-y-6">
            {next_step(list)}
            {ending(list)}
            <Panel id="in-use" title="Integrations in use">{used}</Panel>
            {more_steps()}
        </div>
    }
    .into_any()
}

fn in_use(card: &ProviderCard) -> bool {
    card.enabled || card.configured || card.status != ConnectionStatus::NotConnected
}

fn address(card: &ProviderCard) -> String {
    format!("/settings/ehr-integrations/{}", card.id)
}

fn row(card: &ProviderCard) -> AnyView {
    view! {
        <li class="flex flex-wrap items-center gap-x-4 gap-y-2 py-3 first:pt-0 last:pb-0">
            <span class="icon-tile">{icon(icondata::LuPlug, "size-5")}</span>
            <div class="min-w-0 flex-1">
                <a class="font-medium hover:underline" href=address(card)>{card.name.clone()}</a>
                <p class="muted small">{if card.enabled { "In use" } else { "Switched off" }}</p>
            </div>
            {status_badge(card.status)}
        </li>
    }
    .into_any()
}

/// What the practice should do first: heading, explanation, button and where it goes.
fn advice(list: &ProviderList) -> (String, &'static str, Option<(&'static str, String)>) {
    let find = |wanted: fn(&ProviderCard) -> bool| list.providers.iter().find(|card| wanted(card));
    if let Some(card) = find(|card| card.status == ConnectionStatus::NeedsReconnect) {
        let why = "The EHR no longer accepts the connection. Nothing is read or written until it is made again.";
        return (format!("Reconnect {}", card.name), why, Some(("Reconnect", address(card))));
    }
    if find(|card| card.status == ConnectionStatus::Connected).is_some() {
        let why = "Access renews itself where the EHR allows it. If that ever fails, this page tells you what to do.";
        return ("Your practice is connected".into(), why, None);
    }
    if !list.may_write {
        let why = "An administrator of your practice sets the integration up. You will see its state here.";
        return ("Waiting for the integration".into(), why, None);
    }
    if let Some(card) = find(|card| card.configured && card.enabled) {
        let why = "Everything is filled in. Sign in at the EHR once, and approve the access.";
        return (format!("Connect {}", card.name), why, Some(("Go to the connection", address(card))));
    }
    if let Some(card) = find(|card| card.configured) {
        let why = "Its settings are saved. Switch it on to connect.";
        return (format!("Switch {} on", card.name), why, Some(("Open settings", address(card))));
    }
    if let Some(card) = find(|card| card.enabled) {
        let why = "It is switched on, and still needs the addresses and the client id from the EHR's vendor.";
        return (format!("Finish the settings of {}", card.name), why, Some(("Open settings", address(card))));
    }
    let why =
        "Pick the system that your practice works with. The page of each one tells what you need from its vendor.";
    ("Choose your EHR".into(), why, Some(("Choose an EHR", "/settings/ehr-integrations".into())))
}

fn next_step(list: &ProviderList) -> AnyView {
    let (title, why, link) = advice(list);
    let settled = link.is_none();
    let sign = if settled { icondata::LuCircleCheck } else { icondata::LuCompass };
    view! {
        <section class="panel flex flex-wrap items-center gap-4 p-5 sm:p-6" aria-labelledby="next-step" id="next">
            <span class="icon-tile">{icon(sign, "size-5")}</span>
            <div class="min-w-0 flex-1 basis-64">
                <p class="muted small">{if settled { "Status" } else { "Next step" }}</p>
                <h2 class="title-2" id="next-step">{title}</h2>
                <p class="muted mt-1">{why}</p>
            </div>
            {link
                .map(|(label, href)| {
                    view! { <a class="btn btn-primary" href=href>{label} {icon(icondata::LuArrowRight, "size-4")}</a> }
                })}
        </section>
    }
    .into_any()
}

/// What ends soon.
fn ending(list: &ProviderList) -> Option<AnyView> {
    let first = list.ending.first()?;
    let more = match list.ending.len() {
        1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    let sentence = format!("Due {}: {} ({}){more}.", first.at.relative_to(list.now), first.kind.what(), first.name);
    Some(
        view! {
            <div class="note note-warning" id="ending">
                {icon(icondata::LuTriangleAlert, "size-5")}
                <p>
                    {sentence}
                    " "
                    <a class="text-link" href="/settings/calendar" rel="external">"What ends when"</a>
                </p>
            </div>
        }
        .into_any(),
    )
}

/// What else is worth doing, by what the member may do and has done.
fn more_steps() -> AnyView {
    let Some(CurrentMember(me)) = use_context() else { return ().into_any() };
    let steps = move || {
        let me = me.get()?.ok()?;
        let protect = (!me.totp_enabled).then(|| {
            let text = "Add a second factor, so that a stolen password is not enough.";
            step(icondata::LuShieldCheck, "Protect your account", text, "/account/two-factor")
        });
        let invite = me.role.may(Permission::ManageMembers).then(|| {
            let text = "Give colleagues an account of their own, with the role that fits.";
            step(icondata::LuUserPlus, "Invite your colleagues", text, "/members")
        });
        let help = "Every error of this product, its likely cause and what to do.";
        let help = step(icondata::LuLifeBuoy, "When something does not work", help, "/troubleshooting");
        Some(view! { <ul class="grid gap-4 sm:grid-cols-2 xl:grid-cols-3">{protect} {invite} {help}</ul> }.into_any())
    };
    view! { <Suspense fallback=|| ()>{steps}</Suspense> }.into_any()
}

fn step(sign: icondata::Icon, title: &'static str, text: &'static str, href: &'static str) -> AnyView {
    view! {
        <li class="panel relative flex gap-4 p-5 hover:border-primary">
            <span class="muted mt-0.5">{icon(sign, "size-5")}</span>
            <div>
                <a href=href rel=nav::rel(href) class="font-medium after:absolute after:inset-0 after:rounded-box">{title}</a>
                <p class="muted small mt-0.5">{text}</p>
            </div>
        </li>
    }
    .into_any()
}
