//! Panels, page headers and facts: the layout of a signed-in page.

use leptos::prelude::*;

use super::icon::icon;

/// The head of a page: its only `h1`, a sentence, and what one can do here.
#[component]
pub fn PageHeader(
    /// The heading.
    #[prop(into)]
    title: String,
    /// One sentence about the page.
    #[prop(optional, into)]
    text: String,
    /// A way up: label and address.
    #[prop(optional)]
    up: Option<(&'static str, &'static str)>,
    /// Beside the heading: badges, buttons.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let up = up.map(|(label, href)| {
        view! {
            <a href=href class="muted small mb-2 inline-flex items-center gap-1 hover:underline">
                {icon(icondata::LuArrowLeft, "size-4")}
                {label}
            </a>
        }
    });
    view! {
        <div class="mb-6">
            {up}
            <div class="flex flex-wrap items-center gap-x-4 gap-y-2">
                <h1 class="title-1">{title}</h1>
                {children.map(|children| children())}
            </div>
            {(!text.is_empty()).then(|| view! { <p class="muted mt-1.5 max-w-prose">{text}</p> })}
        </div>
    }
    .into_any()
}

/// A section of a page with a heading.
#[component]
pub fn Panel(
    /// The heading.
    #[prop(into)]
    title: String,
    /// One or two sentences below the heading.
    #[prop(optional, into)]
    text: String,
    /// The section's id, which its heading's id is made of.
    id: &'static str,
    /// What is in it.
    children: Children,
) -> impl IntoView {
    let heading = format!("{id}-heading");
    view! {
        <section class="panel" id=id aria-labelledby=heading.clone()>
            <div class="panel-head">
                <h2 class="title-2" id=heading.clone()>{title}</h2>
                {(!text.is_empty()).then(|| view! { <p class="muted small mt-1 max-w-prose">{text}</p> })}
            </div>
            <div class="panel-body">{children()}</div>
        </section>
    }
    .into_any()
}

/// A line of a list of facts (`<dl class="facts">`).
pub fn fact(label: &'static str, value: impl IntoAny) -> AnyView {
    view! { <div><dt>{label}</dt><dd>{value.into_any()}</dd></div> }.into_any()
}
