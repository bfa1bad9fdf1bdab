//! `/settings/ehr-integrations`: every provider, where the practice stands with it, and its switch.

use leptos::prelude::*;
use leptos_meta::Title;

use super::query_word;
use crate::api;
use crate::model::provider::{ProviderCard, ProviderList};
use crate::ui::browser::Answer;
use crate::ui::part::badge::{Tone, badge, status_badge};
use crate::ui::part::empty::Empty;
use crate::ui::part::icon::icon;
use crate::ui::part::loading::{load_once, use_draft, with_data};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::panel::PageHeader;
use crate::ui::part::provider_switch::provider_switch;
use crate::ui::text::Notice;

/// The page.
pub fn integrations() -> AnyView {
    let messages = Messages::from_query();
    let wanted = RwSignal::new(query_word("q"));
    let list = load_once(api::integrations::provider_list);
    let switched = Callback::new(move |answer: Answer| match answer {
        Ok(_) => {
            messages.notice(Notice::Saved);
            list.refetch();
        }
        Err(problem) => messages.refuse(problem),
    });
    let body = with_data(list, use_draft(), move |list: ProviderList, draft| {
        messages.seed(draft.as_ref());
        body(list, wanted, messages, switched)
    });
    view! { <Title text="EHR integrations"/> {body} }.into_any()
}

fn body(list: ProviderList, wanted: RwSignal<String>, messages: Messages, switched: Callback<Answer>) -> AnyView {
    let may_write = list.may_write;
    let cards = move || {
        let words = wanted.get().to_ascii_lowercase();
        let found: Vec<_> = list
            .providers
            .iter()
            .filter(|card| matches(card, &words))
            .map(|card| provider_card(card, may_write, switched))
            .collect();
        if found.is_empty() {
            view! {
                <div class="panel">
                    <Empty
                        icon=icondata::LuSearch
                        title="No provider of this name"
                        text="Search for another name, or use “Generic SMART on FHIR”: it works with any EHR that follows the standard."
                    />
                </div>
            }
            .into_any()
        } else {
            view! { <ul class="grid gap-4 md:grid-cols-2">{found}</ul> }.into_any()
        }
    };
    view! {
        <PageHeader
            title="EHR integrations"
            text="Choose the systems that your practice works with, then open one to fill in its settings and connect."
        />
        {message_area(messages, Vec::new())}
        {(!may_write)
            .then(|| {
                view! {
                    <p class="note mb-6">
                        {icon(icondata::LuLock, "size-5")}
                        <span>"Your role may look at these settings, not change them."</span>
                    </p>
                }
            })}
        <form role="search" class="mb-6 flex max-w-md gap-2" on:submit=|event| event.prevent_default()>
            <label class="sr-only" for="provider-search">"Search providers"</label>
            <input
                class="input"
                id="provider-search"
                type="search"
                name="q"
                placeholder="Search providers"
                autocomplete="off"
                value=wanted.get_untracked()
                on:input=move |event| wanted.set(event_target_value(&event))
            />
            <button class="btn js:hidden">"Search"</button>
        </form>
        {cards}
    }
    .into_any()
}

/// Whether every word is part of the card's text.
fn matches(card: &ProviderCard, words: &str) -> bool {
    let text = format!("{} {} {}", card.name, card.summary, card.id).to_ascii_lowercase();
    words.split_whitespace().all(|word| text.contains(word))
}

fn provider_card(card: &ProviderCard, may_write: bool, switched: Callback<Answer>) -> AnyView {
    let href = format!("/settings/ehr-integrations/{}", card.id);
    let setup = if card.configured { badge(Tone::Good, "Configured") } else { badge(Tone::Plain, "Not configured") };
    let action = if card.configured || !may_write { "Open" } else { "Set up" };
    view! {
        <li class="panel flex flex-col p-5 sm:p-6" data-provider=card.id.to_string()>
            <div class="flex items-start gap-4">
                <span class="icon-tile">{icon(icondata::LuPlug, "size-5")}</span>
                <div class="min-w-0 flex-1">
                    <h2 class="title-2"><a href=href.clone() class="hover:underline">{card.name.clone()}</a></h2>
                    <p class="muted small mt-1">{card.summary.clone()}</p>
                </div>
                {provider_switch(card, may_write, switched)}
            </div>
            <div class="mt-auto flex flex-wrap items-center gap-2 pt-5">
                {status_badge(card.status)}
                {setup}
                <a class="btn btn-sm ml-auto" href=href aria-label=format!("{action} {}", card.name)>
                    {action}
                    {icon(icondata::LuChevronRight, "size-4")}
                </a>
            </div>
        </li>
    }
    .into_any()
}
