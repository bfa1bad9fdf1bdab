//! The settings form, drawn from the provider's `uiFields`.
//!
//! Guards: a secret is never in the markup; an empty secret keeps the saved one.

use std::sync::Arc;

use leptos::ev::Event;
use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::HtmlInputElement;

use super::{State, flags};
use crate::api::integrations::SaveProvider;
use crate::model::connection::ConnectionStatus;
use crate::model::draft::Draft;
use crate::model::field::{self, FieldKind, UiField};
use crate::model::provider::ProviderPage;
use crate::model::settings::{ConfigValue, Flags, SecretState};
use crate::ui::browser::{self, Answer};
use crate::ui::part::field::{Check, Choices, Field};
use crate::ui::part::icon::icon;
use crate::ui::part::panel::Panel;
use crate::ui::part::post_form::PostForm;
use crate::ui::text::Notice;

/// The form's id in the page.
const FORM: &str = "provider-form";

/// The panel.
pub fn panel(page: &ProviderPage, draft: Option<&Draft>, state: State) -> AnyView {
    let is_refused_form = |draft: &&Draft| draft.problem.is_some() && draft.form == "provider";
    let draft = draft.filter(is_refused_form).filter(|_| !state.saved.get_value());
    let flags = draft.map_or(page.form.flags, drafted_flags);
    let fields: Vec<_> = page.form.fields.iter().map(|field| control(field, page, draft, state)).collect();
    take_saved_values(page.form.revision, state);
    let saved = Callback::new(move |answer: Answer| match answer {
        Ok(_) => {
            state.saved.set_value(true);
            state.unsaved.0.set(false);
            state.moved.set(false);
            state.messages.notice(Notice::Saved);
            state.data.refetch();
        }
        Err(problem) => state.messages.refuse(problem),
    });
    let keys = address_keys(page);
    let typed = move |event: Event| {
        state.unsaved.0.set(true);
        if let Some(input) = event.target().and_then(|input| input.dyn_into::<HtmlInputElement>().ok()) {
            let differs = |(id, saved): &(String, String)| {
                *id == input.id() && saved.trim_end_matches('/') != input.value().trim().trim_end_matches('/')
            };
            if keys.iter().any(|(id, _)| *id == input.id()) {
                state.moved.set(keys.iter().any(differs));
            }
        }
    };
    let may_write = page.may_write;
    let (provider, revision) = (page.card.id.to_string(), page.form.revision.to_string());
    let (moved, switches) = (moved_hint(page, state), flags::switches(page, flags));
    view! {
        <Panel id="settings" title="Settings" text="The values come from the EHR's vendor, with your application registration.">
            <PostForm action=SaveProvider::PATH on_answer=saved id=FORM>
                <input type="hidden" name="provider" value=provider/>
                <input type="hidden" name="revision" value=revision/>
                <div class="space-y-8" on:input=typed>
                    <fieldset class="space-y-6" disabled=!may_write>
                        <legend class="sr-only">"Provider settings"</legend>
                        {fields}
                    </fieldset>
                    {moved}
                    {switches}
                    <div class="flex flex-wrap items-center gap-4">
                        <button class="btn btn-primary" id="save" disabled=!may_write>"Save settings"</button>
                        {unsaved_hint(may_write, state)}
                    </div>
                </div>
            </PostForm>
        </Panel>
    }
    .into_any()
}

/// After a save the form goes back to its markup, which has the saved values and no secret by then.
fn take_saved_values(revision: i64, state: State) {
    let before = state.revision.get_value();
    state.revision.set_value(Some(revision));
    if before.is_some_and(|before| before != revision) {
        Effect::new(|_| browser::reset_form(FORM));
    }
}

fn unsaved_hint(may_write: bool, state: State) -> AnyView {
    let words = move || match (may_write, state.unsaved.0.get()) {
        (false, _) => "Your role may look at these settings, not change them.",
        (true, true) => "You have unsaved changes.",
        (true, false) => "",
    };
    view! { <p class="muted small" id="unsaved">{words}</p> }.into_any()
}

/// Says what a new address or tenant means, before it is saved.
fn moved_hint(page: &ProviderPage, state: State) -> AnyView {
    let has_secret = page.form.values.values().any(|value| matches!(value, ConfigValue::Secret(secret) if secret.set));
    let connected = page.card.status != ConnectionStatus::NotConnected;
    let text = match (has_secret, connected) {
        (true, true) => "You changed the address or tenant: enter the secret again. Saving ends the connection.",
        (true, false) => "You changed the address or tenant: enter the secret again.",
        (false, true) => "You changed the address or tenant: saving ends the connection.",
        (false, false) => return ().into_any(),
    };
    let hint = move || {
        state.moved.get().then(|| {
            view! {
                <div class="note note-warning" id="moved">{icon(icondata::LuTriangleAlert, "size-5")}<div>{text}</div></div>
            }
        })
    };
    view! { <div aria-live="polite">{hint}</div> }.into_any()
}

/// The inputs that say which EHR it is, with their saved values.
fn address_keys(page: &ProviderPage) -> Vec<(String, String)> {
    let is_address = |field: &&UiField| field.kind == FieldKind::Url || field.key.ends_with("enantId");
    page.form
        .fields
        .iter()
        .filter(is_address)
        .map(|field| (format!("field-{}", field.key), saved(page, &field.key)))
        .collect()
}

/// The saved text of a field; a secret has none.
fn saved(page: &ProviderPage, key: &str) -> String {
    match page.form.values.get(key) {
        Some(ConfigValue::Text(text)) => text.clone(),
        Some(ConfigValue::Flag(flag)) => flag.to_string(),
        Some(ConfigValue::Secret(_)) | None => String::new(),
    }
}

fn drafted_flags(draft: &Draft) -> Flags {
    let on = |key: &str| draft.values.get(key).is_some_and(|value| value == "true");
    Flags {
        enable_write: on("enable_write"),
        enable_patient_create: on("enable_patient_create"),
        enable_note_create: on("enable_note_create"),
        enable_bulk_export: on("enable_bulk_export"),
    }
}

fn control(field: &UiField, page: &ProviderPage, draft: Option<&Draft>, state: State) -> AnyView {
    let drafted = draft.and_then(|draft| draft.values.get(&field.key).cloned());
    let value = drafted.unwrap_or_else(|| saved(page, &field.key));
    let name = format!("fields[{}]", field.key);
    let messages = state.messages;
    let find_it = find_it(field);
    let rule = field.clone();
    let check: Check = Arc::new(move |typed| field::check(&rule, typed));
    match field.kind {
        FieldKind::Select | FieldKind::Boolean => {
            let options = options(field);
            view! {
                <Choices
                    key=field.key.clone()
                    name
                    label=field.label.clone()
                    value
                    options
                    help=field.help.clone()
                    optional=!field.required
                    messages
                >
                    {find_it}
                </Choices>
            }
            .into_any()
        }
        FieldKind::Password => {
            let secret = page.form.values.get(&field.key).and_then(|value| match value {
                ConfigValue::Secret(secret) => Some(*secret),
                ConfigValue::Text(_) | ConfigValue::Flag(_) => None,
            });
            let set = secret.is_some_and(|secret| secret.set);
            let state = secret.filter(|secret| secret.set).map(|secret| secret_state(field, secret, page));
            view! {
                <Field
                    key=field.key.clone()
                    name
                    label=field.label.clone()
                    kind="password"
                    autocomplete="new-password"
                    placeholder=if set { "Type a new one to replace it" } else { "" }
                    help=field.help.clone()
                    optional=!field.required || set
                    check
                    messages
                >
                    {state}
                    {find_it}
                </Field>
            }
            .into_any()
        }
        FieldKind::Text | FieldKind::Url | FieldKind::Date => view! {
            <Field
                key=field.key.clone()
                name
                label=field.label.clone()
                kind=if field.kind == FieldKind::Date { "date" } else { "text" }
                value
                placeholder=field.placeholder.clone()
                help=field.help.clone()
                optional=!field.required
                check
                messages
            >
                {find_it}
            </Field>
        }
        .into_any(),
    }
}

fn options(field: &UiField) -> Vec<(String, String)> {
    if field.kind == FieldKind::Boolean {
        return vec![("false".into(), "No".into()), ("true".into(), "Yes".into())];
    }
    let none = (!field.required).then(|| (String::new(), "Not set".to_owned()));
    none.into_iter().chain(field.options.iter().map(|choice| (choice.value.clone(), choice.label.clone()))).collect()
}

/// Where the practice finds the value.
fn find_it(field: &UiField) -> Option<AnyView> {
    field.find_it.clone().map(|link| {
        view! {
            <p class="small mt-1">
                <a class="text-link" href=link.url target="_blank" rel="noreferrer">
                    {link.label}
                    <span class="sr-only">" (opens in a new tab)"</span>
                </a>
            </p>
        }
        .into_any()
    })
}

/// Since when a secret is set, and the switch that removes it.
fn secret_state(field: &UiField, secret: SecretState, page: &ProviderPage) -> AnyView {
    let since = secret.updated_at.map_or_else(|| "Set".to_owned(), |at| format!("Set {}", at.relative_to(page.now)));
    let id = format!("clear-{}", field.key);
    view! {
        <div class="mt-2 flex flex-wrap items-center gap-x-4 gap-y-1">
            <span class="small inline-flex items-center gap-1.5" data-secret=field.key.clone()>
                {icon(icondata::LuKeyRound, "size-4")}
                {since}
            </span>
            <span class="small inline-flex items-center gap-2">
                <input
                    type="checkbox"
                    class="checkbox checkbox-xs"
                    id=id.clone()
                    name=format!("clear[{}]", field.key)
                    value="true"
                />
                <label for=id>{format!("Remove the saved {}", field.label.to_ascii_lowercase())}</label>
            </span>
        </div>
    }
    .into_any()
}
