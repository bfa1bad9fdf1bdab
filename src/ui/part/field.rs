//! Form controls with label, help and error tied together.
//!
//! Guards: inputs are uncontrolled, so what was typed before the application started stays; a field
//! is checked when it is left, by the same rule that the server applies.

use std::sync::Arc;

use leptos::ev::FocusEvent;
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::HtmlButtonElement;

use super::icon::icon;
use super::message::Messages;
use crate::model::field::Rule;
use crate::ui::text;

/// A rule for what is typed.
pub type Check = Arc<dyn Fn(&str) -> Result<(), Rule> + Send + Sync>;

/// The ids and states of one control, for its `aria-` attributes.
#[derive(Clone)]
struct Wiring {
    key: String,
    messages: Messages,
    has_help: bool,
}

impl Wiring {
    fn id(&self) -> String {
        format!("field-{}", self.key)
    }

    fn rule(&self) -> Option<Rule> {
        self.messages.rule_of(&self.key)
    }

    fn described_by(&self) -> Option<String> {
        let key = &self.key;
        match (self.has_help, self.rule().is_some()) {
            (true, true) => Some(format!("help-{key} error-{key}")),
            (true, false) => Some(format!("help-{key}")),
            (false, true) => Some(format!("error-{key}")),
            (false, false) => None,
        }
    }
}

/// One line of text.
#[component]
pub fn Field(
    /// The key of its errors; the input's id is `field-KEY`.
    #[prop(into)]
    key: String,
    /// The name that is posted; the key unless given.
    #[prop(optional, into)]
    name: String,
    /// The label.
    #[prop(into)]
    label: String,
    /// The page's messages.
    messages: Messages,
    /// The input's type.
    #[prop(default = "text")]
    kind: &'static str,
    /// What is in it.
    #[prop(optional, into)]
    value: String,
    /// One or two sentences below it.
    #[prop(optional, into)]
    help: String,
    /// An example.
    #[prop(optional, into)]
    placeholder: String,
    /// What a password manager may fill in.
    #[prop(default = "off")]
    autocomplete: &'static str,
    /// Whether it may be left empty.
    #[prop(optional)]
    optional: bool,
    /// The rule for what is typed.
    #[prop(optional)]
    check: Option<Check>,
    /// Below the help: links, a switch that goes with it.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let wiring = Wiring { key: key.clone(), messages, has_help: !help.is_empty() };
    let name = if name.is_empty() { key.clone() } else { name };
    let leave = move |event: FocusEvent| {
        // A message that appears now would move the button away from under the pointer.
        let to_button = event.related_target().is_some_and(|target| target.has_type::<HtmlButtonElement>());
        if let Some(check) = check.as_ref().filter(|_| !to_button) {
            let typed = event_target_value(&event);
            // An empty field is not scolded on the way through; the server asks for it on submit.
            let rule = check(&typed).err().filter(|_| !typed.trim().is_empty());
            messages.set_rule(&key, rule);
        }
    };
    let (invalid, described) = (wiring.clone(), wiring.clone());
    let input = view! {
        <input
            class="input"
            id=wiring.id()
            type=kind
            name=name
            value=value
            placeholder=(!placeholder.is_empty()).then_some(placeholder)
            autocomplete=autocomplete
            autocapitalize="off"
            spellcheck="false"
            required=!optional
            aria-invalid=move || invalid.rule().map(|_| "true")
            aria-describedby=move || described.described_by()
            on:blur=leave
        />
    };
    framed(wiring, label, optional, help, input.into_any(), children)
}

/// One of some choices: value and label.
#[component]
pub fn Choices(
    /// The key of its errors; the control's id is `field-KEY`.
    #[prop(into)]
    key: String,
    /// The name that is posted; the key unless given.
    #[prop(optional, into)]
    name: String,
    /// The label.
    #[prop(into)]
    label: String,
    /// The page's messages.
    messages: Messages,
    /// The chosen value.
    #[prop(optional, into)]
    value: String,
    /// The choices.
    options: Vec<(String, String)>,
    /// One or two sentences below it.
    #[prop(optional, into)]
    help: String,
    /// Whether it may be left empty.
    #[prop(optional)]
    optional: bool,
    /// Below the help.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let wiring = Wiring { key: key.clone(), messages, has_help: !help.is_empty() };
    let name = if name.is_empty() { key } else { name };
    let options: Vec<_> = options
        .into_iter()
        .map(|(option, label)| {
            let selected = option == value;
            view! { <option value=option selected=selected>{label}</option> }
        })
        .collect();
    let (invalid, described) = (wiring.clone(), wiring.clone());
    let select = view! {
        <select
            class="select"
            id=wiring.id()
            name=name
            aria-invalid=move || invalid.rule().map(|_| "true")
            aria-describedby=move || described.described_by()
        >
            {options}
        </select>
    };
    framed(wiring, label, optional, help, select.into_any(), children)
}

/// Several lines of text.
#[component]
pub fn Lines(
    /// The key of its errors; the control's id is `field-KEY`.
    #[prop(into)]
    key: String,
    /// The name that is posted.
    #[prop(into)]
    name: String,
    /// The label.
    #[prop(into)]
    label: String,
    /// The page's messages.
    messages: Messages,
    /// What is in it.
    #[prop(optional, into)]
    value: String,
    /// One or two sentences below it.
    #[prop(optional, into)]
    help: String,
    /// An example.
    #[prop(optional, into)]
    placeholder: String,
) -> impl IntoView {
    let wiring = Wiring { key, messages, has_help: !help.is_empty() };
    let (invalid, described) = (wiring.clone(), wiring.clone());
    let control = view! {
        <textarea
            class="input h-auto py-2 leading-normal whitespace-pre-wrap"
            id=wiring.id()
            name=name
            rows="3"
            placeholder=placeholder
            autocomplete="off"
            autocapitalize="off"
            spellcheck="false"
            aria-invalid=move || invalid.rule().map(|_| "true")
            aria-describedby=move || described.described_by()
        >
            {value}
        </textarea>
    };
    framed(wiring, label, true, help, control.into_any(), None)
}

fn framed(
    wiring: Wiring,
    label: String,
    optional: bool,
    help: String,
    control: AnyView,
    children: Option<Children>,
) -> AnyView {
    let (id, key) = (wiring.id(), wiring.key.clone());
    let help = wiring.has_help.then(|| view! { <p class="field-help" id=format!("help-{key}")>{help}</p> });
    let error = move || {
        wiring.rule().map(|rule| {
            view! {
                <p class="field-error" id=format!("error-{}", wiring.key)>
                    {icon(icondata::LuCircleAlert, "size-4")}
                    {text::rule(rule)}
                </p>
            }
        })
    };
    view! {
        <div>
            <label class="field-label" for=id>
                {label}
                {optional.then(|| view! { <span class="muted small font-normal">"Optional"</span> })}
            </label>
            {control}
            {error}
            {help}
            {children.map(|children| children())}
        </div>
    }
    .into_any()
}
