//! Values to copy. `ui/boot.js` does the copying, so it works before the application has started.

use leptos::prelude::*;

use super::icon::icon;

/// A value in a box with a copy button. The button is not shown without JavaScript; the value can
/// be selected with one click then.
pub fn copy_value(label: &str, value: String) -> AnyView {
    view! {
        <div class="copy-row">
            <code class="small">{value.clone()}</code>
            <button
                type="button"
                class="btn btn-sm btn-ghost hidden js:inline-flex"
                data-copy=value
                aria-label=format!("Copy {label}")
            >
                <span class="copy inline-flex items-center gap-1.5">{icon(icondata::LuCopy, "size-4")} "Copy"</span>
                <span class="copied items-center gap-1.5 text-success">{icon(icondata::LuCheck, "size-4")} "Copied"</span>
            </button>
        </div>
    }
    .into_any()
}
