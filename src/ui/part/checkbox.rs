//! A switch of a form with what it means.

use leptos::prelude::*;

/// A checkbox that posts `true`. `lacks` says why it may have no effect.
pub fn checkbox(
    key: &'static str,
    label: &'static str,
    needs: &'static str,
    lacks: Option<String>,
    on: bool,
) -> AnyView {
    let (id, help) = (format!("field-{key}"), format!("help-{key}"));
    view! {
        <div class="flex gap-3">
            <input
                type="checkbox"
                class="checkbox checkbox-sm checkbox-primary mt-0.5"
                id=id.clone()
                name=key
                value="true"
                checked=on
                aria-describedby=help.clone()
            />
            <div class="min-w-0">
                <label class="font-medium" for=id>{label}</label>
                <p class="muted small" id=help>
                    {needs}
                    {lacks.map(|lacks| view! { " " <strong class="font-medium text-warning">{lacks}</strong> })}
                </p>
            </div>
        </div>
    }
    .into_any()
}
