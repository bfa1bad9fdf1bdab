//! Icons. Guards: decoration only, hidden from assistive technology; words stand beside them.

use leptos::prelude::*;

/// A lucide icon, as large as the text unless a class says otherwise.
pub fn icon(icon: icondata::Icon, class: &'static str) -> AnyView {
    view! {
        <svg
            class=class
            viewBox="0 0 24 24"
            fill="none"
            stroke="currentColor"
            stroke-width="2"
            stroke-linecap="round"
            stroke-linejoin="round"
            aria-hidden="true"
            inner_html=icon.data
        ></svg>
    }
    .into_any()
}

/// The product's mark.
pub fn logo() -> AnyView {
    view! {
        <span class="grid size-8 flex-none place-items-center rounded-[0.625rem] bg-primary text-primary-content">
            {icon(icondata::LuActivity, "size-5")}
        </span>
    }
    .into_any()
}
