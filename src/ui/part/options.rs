//! One of a few choices, each with what it means.

use leptos::prelude::*;

/// A choice.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// What is posted.
    pub value: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// What it means, in a sentence.
    pub text: &'static str,
}

/// The choices, as radio buttons; each is a target of its whole size.
pub fn options(name: &'static str, legend: &'static str, chosen: &str, choices: &[Choice]) -> AnyView {
    let choices: Vec<_> = choices
        .iter()
        .map(|choice| {
            let checked = choice.value == chosen;
            view! {
                <label class="flex cursor-pointer gap-3 rounded-field border border-base-300 p-3 hover:bg-base-200 has-checked:border-primary has-checked:bg-primary/8">
                    <input type="radio" class="mt-1 size-4 flex-none accent-primary" name=name value=choice.value checked=checked/>
                    <span class="min-w-0">
                        <span class="block font-medium">{choice.label}</span>
                        <span class="muted small block">{choice.text}</span>
                    </span>
                </label>
            }
        })
        .collect();
    view! {
        <fieldset>
            <legend class="field-label">{legend}</legend>
            <div class="grid gap-2 md:grid-cols-3">{choices}</div>
        </fieldset>
    }
    .into_any()
}
