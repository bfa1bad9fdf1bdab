//! Empty states: they say what belongs here and what to do first.

use leptos::prelude::*;

use super::icon::icon;

/// An empty state; the children are the next step.
#[component]
pub fn Empty(
    /// The sign.
    icon: icondata::Icon,
    /// What is not here.
    title: &'static str,
    /// What belongs here and how it gets here.
    text: &'static str,
    /// The next step.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <div class="flex flex-col items-center gap-3 px-6 py-12 text-center">
            <span class="icon-tile">{self::icon(icon, "size-5")}</span>
            <h2 class="title-2">{title}</h2>
            <p class="muted max-w-prose">{text}</p>
            {children.map(|children| view! { <div class="mt-2">{children()}</div> })}
        </div>
    }
    .into_any()
}
