//! The layout of pages before sign-in: one card in the middle.

use leptos::prelude::*;

use super::icon::logo;
use super::nav::{skip_link, theme_switch};
use crate::ui::text;

/// A page with one card.
#[component]
pub fn PublicPage(
    /// The heading.
    #[prop(into)]
    title: String,
    /// One or two sentences below it.
    #[prop(optional, into)]
    text: String,
    /// The form.
    children: Children,
) -> impl IntoView {
    view! {
        {skip_link()}
        <div class="flex min-h-dvh flex-col">
            <header class="flex items-center justify-between gap-4 p-4 sm:p-6">
                <a href="/" rel="external" class="flex items-center gap-3 font-semibold">{logo()} {text::PRODUCT}</a>
                {theme_switch()}
            </header>
            <main id="main" tabindex="-1" class="mx-auto w-full max-w-md flex-1 px-4 pb-16 pt-6 sm:pt-16">
                <div class="panel p-6 sm:p-8">
                    <h1 class="title-1">{title}</h1>
                    {(!text.is_empty()).then(|| view! { <p class="muted mt-2">{text}</p> })}
                    <div class="mt-6">{children()}</div>
                </div>
            </main>
        </div>
    }
    .into_any()
}
