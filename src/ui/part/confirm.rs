//! A button that asks before it does something that cannot be taken back.
//!
//! Guards: a `<details>`, so that the question is asked without JavaScript too.

use leptos::prelude::*;

/// A button that opens a question; the children are the form that answers it with yes.
#[component]
pub fn Confirm(
    /// The id of the `<details>`.
    #[prop(into)]
    id: String,
    /// What the button says.
    #[prop(into)]
    label: AnyView,
    /// What will happen, in full sentences.
    #[prop(into)]
    question: String,
    /// How the button looks.
    #[prop(default = "btn btn-outline btn-error")]
    class: &'static str,
    /// The form with the button that does it.
    children: Children,
) -> impl IntoView {
    view! {
        <details class="confirm" id=id>
            <summary class=class>{label}</summary>
            <div class="space-y-3 text-left">
                <p class="text-sm">{question}</p>
                <div class="flex flex-wrap gap-2">
                    {children()}
                    <button type="button" class="btn btn-sm btn-ghost hidden js:inline-flex" data-close="">
                        "Keep it"
                    </button>
                </div>
            </div>
        </details>
    }
    .into_any()
}
