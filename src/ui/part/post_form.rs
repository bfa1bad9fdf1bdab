//! A form of a server function that answers in place.
//!
//! The markup is the plain form that a browser posts by itself, so it works before the application
//! has started and without JavaScript; with it, the same post is made in the background. This is what
//! `ActionForm` does, in one copy for all server functions: `ActionForm` costs the browser a copy of
//! the form, the client and two codecs for each (the first load has a budget, see docs/decisions.md).

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::HtmlFormElement;

use crate::ui::browser::{self, Answer};

/// A form that posts to a server function.
#[component]
pub fn PostForm(
    /// The server function's address: `PATH` of its type.
    action: &'static str,
    /// Called in the browser with the answer.
    on_answer: Callback<Answer>,
    /// The form's id.
    #[prop(optional)]
    id: Option<&'static str>,
    /// The form's class.
    #[prop(optional)]
    class: &'static str,
    /// Its controls.
    children: Children,
) -> impl IntoView {
    let busy = RwSignal::new(false);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let form = event.target().and_then(|form| form.dyn_into::<HtmlFormElement>().ok());
        let Some(form) = form.filter(|_| !busy.get_untracked()) else { return };
        busy.set(true);
        spawn_local(async move {
            let answer = browser::post(action, &form).await;
            // The page may be gone by now: then nobody is left to tell.
            let _ = busy.try_set(false);
            let _ = on_answer.try_run(answer);
        });
    };
    view! {
        <form
            method="post"
            action=action
            id=id
            class=class
            novalidate=true
            aria-busy=move || busy.get().then_some("true")
            on:submit=submit
        >
            {children()}
        </form>
    }
    .into_any()
}
