//! `/settings/keys`: the keys that sign for us, who fetches them, and changing them.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use super::shown_once;
use crate::api;
use crate::api::keys::{CheckKeys, RetireKey, RotateKey, UseKey};
use crate::model::draft::Draft;
use crate::model::key::{JwksFetch, KeyAlgorithm, KeyCheck, KeyOwner, KeySetView, KeyState, KeyView, KeysPage};
use crate::model::time::Timestamp;
use crate::ui::part::badge::{Tone, badge};
use crate::ui::part::confirm::Confirm;
use crate::ui::part::copy::copy_value;
use crate::ui::part::icon::icon;
use crate::ui::part::loading::{load_once, use_draft, with_data};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::panel::{PageHeader, Panel, fact};
use crate::ui::part::time::ago;

/// The page.
pub fn keys() -> AnyView {
    let messages = Messages::from_query();
    let body = with_data(load_once(api::keys::keys), use_draft(), move |page, draft| {
        messages.seed(draft.as_ref());
        body(&page, draft.as_ref(), messages)
    });
    view! { <Title text="Signing keys"/> {body} }.into_any()
}

fn body(page: &KeysPage, draft: Option<&Draft>, messages: Messages) -> AnyView {
    let check: Option<KeyCheck> = shown_once(draft, "check_keys").and_then(|json| serde_json::from_str(&json).ok());
    let sets: Vec<_> = page.sets.iter().map(|set| key_set(set, check.as_ref(), page.now)).collect();
    view! {
        <PageHeader
            title="Signing keys"
            text="Where an EHR wants signed requests, we sign with a private key that never leaves this server. The EHR checks with the public half, which it fetches from the JWKS URL."
        />
        {message_area(messages, Vec::new())}
        <div class="space-y-6">{sets}</div>
    }
    .into_any()
}

fn key_set(set: &KeySetView, check: Option<&KeyCheck>, now: Timestamp) -> AnyView {
    let (id, title, text) = match set.owner {
        KeyOwner::Installation => (
            "installation-keys",
            "The installation's keys",
            "Used for every provider, unless its settings say otherwise.",
        ),
        KeyOwner::Practice => (
            "practice-keys",
            "Your practice's own keys",
            "For practices that do not want to share a key with others. Make one, register its JWKS URL with the EHR, \
             and choose it in the provider's settings.",
        ),
    };
    let rows: Vec<_> = set.keys.iter().map(|key| key_row(key, set, now)).collect();
    let has_keys = !rows.is_empty();
    let table = has_keys.then(|| {
        view! {
            <table class="grid-table">
                <thead>
                    <tr>
                        <th scope="col">"Key"</th>
                        <th scope="col">"State"</th>
                        <th scope="col">"Signature taken by"</th>
                        <th scope="col"><span class="sr-only">"Actions"</span></th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        }
    });
    let found = check.filter(|check| check.jwks_url == set.jwks_url).map(|check| check_view(check, now));
    let address = copy_value("JWKS URL", set.jwks_url.clone());
    let (actions, fetches) = (actions(set, has_keys), fetches(&set.fetches, now));
    view! {
        <Panel id=id title=title text=text>
            <div class="space-y-6">
                <div>
                    <p class="muted small mb-2">"JWKS URL"</p>
                    {address}
                </div>
                {table}
                {(!has_keys).then(|| view! { <p class="muted">"No key yet."</p> })}
                {found}
                {actions}
                {fetches}
            </div>
        </Panel>
    }
    .into_any()
}

fn key_row(key: &KeyView, set: &KeySetView, now: Timestamp) -> AnyView {
    let (tone, word) = match key.state {
        KeyState::Next => (Tone::Attention, "Next"),
        KeyState::Active => (Tone::Good, "Signs"),
        KeyState::Retiring => (Tone::Plain, "Retiring"),
        KeyState::Retired => (Tone::Plain, "Retired"),
    };
    let when = match key.state {
        KeyState::Next => view! { "Published; signs " {ago(key.times.activates_at, now)} }.into_any(),
        KeyState::Active => view! { "First signed " {ago(key.times.activates_at, now)} }.into_any(),
        KeyState::Retiring => {
            let until = key.times.retires_at.unwrap_or(now);
            view! { "Signs no more; published until " {ago(until, now)} }.into_any()
        }
        KeyState::Retired => view! { "Deleted " {ago(key.times.retires_at.unwrap_or(now), now)} }.into_any(),
    };
    let accepted: Vec<_> = key
        .accepted_by
        .iter()
        .map(|(name, at)| view! { <span class="block">{name.clone()} ", " {ago(*at, now)}</span> })
        .collect();
    let accepted = if accepted.is_empty() { "Nobody yet".into_any() } else { accepted.into_any() };
    view! {
        <tr data-key=key.kid.clone()>
            <td>
                <span class="font-medium">{key.algorithm.as_str()}</span>
                <code class="muted small block break-all">{key.kid.clone()}</code>
            </td>
            <td data-label="State">
                {badge(tone, word)}
                <span class="muted small block mt-1">{when}</span>
            </td>
            <td data-label="Signature taken by"><span class="small">{accepted}</span></td>
            <td><div class="flex flex-wrap gap-2 md:justify-end">{key_actions(key, set)}</div></td>
        </tr>
    }
    .into_any()
}

fn key_actions(key: &KeyView, set: &KeySetView) -> Option<AnyView> {
    (set.may_manage && key.state.is_published()).then(|| {
        let waits = key.state == KeyState::Next;
        let signs = key.state == KeyState::Active;
        let (use_form, retire_form) = (
            key_form(UseKey::PATH, key, set.owner, "Use it now"),
            key_form(RetireKey::PATH, key, set.owner, "Retire it now"),
        );
        let use_now = waits.then(|| {
            let question = "EHRs that still have the old key set in their cache refuse our requests until they fetch it again. For some that takes more than a day.";
            view! {
                <Confirm id=format!("use-{}", key.id) label="Use now".into_any() class="btn btn-sm" question>
                    {use_form}
                </Confirm>
            }
        });
        let question = if signs {
            "From now on nothing is signed with this key, and EHRs that check with it refuse our requests. A key that waits takes its place at once. Do this when the private key may have leaked."
        } else {
            "The key is published no more, and its private half is deleted."
        };
        view! {
            {use_now}
            <Confirm id=format!("retire-{}", key.id) label="Retire".into_any() class="btn btn-sm btn-outline btn-error" question>
                {retire_form}
            </Confirm>
        }
        .into_any()
    })
}

fn key_form(action: &'static str, key: &KeyView, owner: KeyOwner, label: &'static str) -> AnyView {
    view! {
        <form method="post" action=action>
            <input type="hidden" name="owner" value=owner.as_str()/>
            <input type="hidden" name="key" value=key.id.clone()/>
            <button class="btn btn-sm btn-error">{label}</button>
        </form>
    }
    .into_any()
}

fn actions(set: &KeySetView, has_keys: bool) -> AnyView {
    let owner = set.owner.as_str();
    let waits = |algorithm| set.keys.iter().any(|key| key.algorithm == algorithm && key.state == KeyState::Next);
    let new_key = |algorithm: KeyAlgorithm| {
        (set.may_manage && !waits(algorithm)).then(|| {
            view! {
                <form method="post" action=RotateKey::PATH>
                    <input type="hidden" name="owner" value=owner/>
                    <input type="hidden" name="algorithm" value=algorithm.as_str()/>
                    <button class="btn">{icon(icondata::LuPlus, "size-4")} "New " {algorithm.as_str()} " key"</button>
                </form>
            }
        })
    };
    let check = has_keys.then(|| {
        view! {
            <form method="post" action=CheckKeys::PATH>
                <input type="hidden" name="owner" value=owner/>
                <button class="btn">{icon(icondata::LuActivity, "size-4")} "Can the EHR see my key?"</button>
            </form>
        }
    });
    let explained = if set.may_manage {
        "A new key is published at once and signs after 30 hours, when no EHR can still have the old set in its cache. The key before it stays published for a day after that."
    } else if set.owner == KeyOwner::Installation {
        "The operator of this installation changes these keys, with: ehr-integrations keys rotate."
    } else {
        "Owners and administrators of your practice change these keys."
    };
    view! {
        <div class="space-y-3">
            <div class="flex flex-wrap gap-3">{check} {KeyAlgorithm::ALL.map(new_key).into_iter().collect::<Vec<_>>()}</div>
            <p class="muted small max-w-prose">{explained}</p>
        </div>
    }
    .into_any()
}

fn check_view(check: &KeyCheck, now: Timestamp) -> AnyView {
    let published = match check.published {
        Ok(()) => "Yes: every key is there".into_any(),
        Err(code) => {
            let entry = code.entry();
            view! {
                {entry.message} " "
                <a class="text-link" href=format!("/troubleshooting#{}", entry.name)>"More about " <code>{entry.name}</code></a>
            }
            .into_any()
        }
    };
    let fetched = match &check.fetched {
        Some(fetch) => view! { "Yes: " {ago(fetch.last_at, now)} ", from " <code>{fetch.ip.clone()}</code> }.into_any(),
        None => "Not yet. Most EHRs fetch it when we first connect".into_any(),
    };
    let accepted = match &check.accepted {
        Some((name, at)) => view! { "Yes: " {name.clone()} ", " {ago(*at, now)} }.into_any(),
        None => "Not yet".into_any(),
    };
    let (class, sign) = if check.published.is_ok() {
        ("note note-success", icondata::LuCheck)
    } else {
        ("note note-error", icondata::LuTriangleAlert)
    };
    view! {
        <div class=class id="key-check">
            {icon(sign, "size-5")}
            <dl class="facts">
                {fact("The JWKS URL answers this server", published)}
                {fact("Fetched since the newest key is there", fetched)}
                {fact("A signature of a key in use was taken", accepted)}
            </dl>
        </div>
    }
    .into_any()
}

fn fetches(fetches: &[JwksFetch], now: Timestamp) -> Option<AnyView> {
    let rows: Vec<_> = fetches
        .iter()
        .map(|fetch| {
            let program = Some(fetch.user_agent.clone()).filter(|name| !name.is_empty());
            let program = program.unwrap_or_else(|| "Not said".into());
            view! {
                <tr>
                    <td><code class="small break-all">{fetch.ip.clone()}</code></td>
                    <td data-label="Program"><span class="small break-all">{program}</span></td>
                    <td data-label="Last">{ago(fetch.last_at, now)}</td>
                    <td data-label="First">{ago(fetch.first_at, now)}</td>
                    <td data-label="Times">{fetch.times}</td>
                </tr>
            }
        })
        .collect();
    (!rows.is_empty()).then(|| {
        view! {
            <details>
                <summary class="cursor-pointer font-medium">"Who fetched it"</summary>
                <table class="grid-table mt-3">
                    <thead>
                        <tr>
                            <th scope="col">"From"</th>
                            <th scope="col">"Program"</th>
                            <th scope="col">"Last"</th>
                            <th scope="col">"First"</th>
                            <th scope="col">"Times"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </details>
        }
        .into_any()
    })
}
