//! Every address that is no page.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::ui::part::public::PublicPage;

/// The page.
pub fn not_found() -> AnyView {
    view! {
        <Title text="Page not found"/>
        <PublicPage title="Page not found" text="There is no page at this address. It may have moved, or the link is incomplete.">
            <a class="btn btn-primary btn-block" href="/" rel="external">"Go to the overview"</a>
        </PublicPage>
    }
    .into_any()
}
