//! The layout of signed-in pages: navigation and main part, and the guard over unsaved changes.
//!
//! Guards: at small widths the navigation is a `<details>`, so it opens without JavaScript.

use std::sync::Arc;

use leptos::ev;
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::{Element, MouseEvent};
use leptos_router::components::Outlet;
use leptos_router::hooks::use_location;

use super::icon::icon;
use super::loading::{Loaded, load_once};
use super::nav::{anonymous_navigation, brand, navigation, skip_link};
use crate::api;
use crate::model::account::Me;
use crate::ui::browser;

/// Who is signed in, for every page.
#[derive(Clone, Copy)]
pub struct CurrentMember(pub Loaded<Me>);

/// Whether a form of the page has changes that are not saved.
#[derive(Clone, Copy)]
pub struct Unsaved(pub RwSignal<bool>);

impl Unsaved {
    /// The frame's.
    pub fn of_page() -> Self {
        use_context().unwrap_or_else(|| Self(RwSignal::new(false)))
    }
}

/// The layout around signed-in pages.
#[component]
pub fn Frame() -> impl IntoView {
    let me = load_once(api::account::me);
    let unsaved = Unsaved(RwSignal::new(false));
    provide_context(CurrentMember(me));
    provide_context(unsaved);
    watch_navigation(unsaved);
    view! {
        {skip_link()}
        <div class="min-h-dvh lg:grid lg:grid-cols-[16.5rem_minmax(0,1fr)]" on:click:capture=move |event| guard(unsaved, &event)>
            <header class="sticky top-0 z-40 flex items-center justify-between gap-4 border-b border-base-300 bg-base-100 px-4 py-3 lg:hidden">
                {brand()}
                <details id="menu">
                    <summary class="btn btn-ghost btn-sm">{icon(icondata::LuMenu, "size-5")} "Menu"</summary>
                    <div class="absolute inset-x-0 top-full max-h-[calc(100dvh-4rem)] overflow-y-auto border-b border-base-300 bg-base-100 p-4 shadow-lg">
                        {member_navigation(me, "menu-")}
                    </div>
                </details>
            </header>
            <header class="sticky top-0 hidden h-dvh flex-col gap-6 overflow-y-auto border-r border-base-300 bg-base-100 p-4 lg:flex">
                <div class="px-3 pt-1">{brand()}</div>
                {member_navigation(me, "")}
            </header>
            <main id="main" tabindex="-1" class="mx-auto w-full max-w-5xl px-4 py-6 sm:px-8 sm:py-10">
                <Outlet/>
            </main>
        </div>
    }
    .into_any()
}

fn member_navigation(me: Loaded<Me>, prefix: &'static str) -> AnyView {
    let body: Arc<dyn Fn() -> Option<AnyView> + Send + Sync> = Arc::new(move || {
        // The anonymous may read the troubleshooting page; a page with data of its own sends them away.
        me.get().map(|me| me.map_or_else(|_| anonymous_navigation(), |me| navigation(&me, prefix)))
    });
    view! { <Suspense fallback=|| ()>{move || body()}</Suspense> }.into_any()
}

/// After a navigation the main part gets the focus, as after a page load.
fn watch_navigation(unsaved: Unsaved) {
    let path = use_location().pathname;
    Effect::new(move |before: Option<String>| {
        let path = path.get();
        if before.is_some_and(|before| before != path) {
            unsaved.0.set(false);
            browser::focus("main");
        }
        path
    });
    Effect::new(move |_| {
        let listener = window_event_listener(ev::beforeunload, move |event| {
            if unsaved.0.get_untracked() {
                event.prevent_default();
                event.set_return_value("unsaved");
            }
        });
        on_cleanup(move || listener.remove());
    });
}

/// Asks before a link of the router leaves a page with unsaved changes.
fn guard(unsaved: Unsaved, event: &MouseEvent) {
    if !unsaved.0.get_untracked() || event.ctrl_key() || event.meta_key() || event.shift_key() || event.button() != 0 {
        return;
    }
    let link = event
        .target()
        .and_then(|target| target.dyn_into::<Element>().ok())
        .and_then(|element| element.closest("a[href]").ok().flatten());
    let Some(link) = link.filter(|link| !link.has_attribute("target") && !link.has_attribute("rel")) else { return };
    let stays = link.get_attribute("href").is_some_and(|href| href.starts_with('#'));
    if stays {
        return;
    }
    if browser::confirm("Leave without saving? Your changes on this page will be lost.") {
        unsaved.0.set(false);
    } else {
        event.prevent_default();
        event.stop_propagation();
    }
}
