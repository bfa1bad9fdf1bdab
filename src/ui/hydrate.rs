//! The entry point of the browser half: takes the server's page over.
//!
//! May import `ui`. Compiled under feature `hydrate` only; the gate is in `lib.rs`.

/// Called by the start script once the module is loaded. Marks the document as alive when it is.
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(crate::ui::app::App);
    if let Some(root) = leptos::prelude::document().document_element() {
        let _ = root.set_attribute("data-hydrated", "true");
    }
}
