//! What only a browser can do: focus, navigate, ask, post.
//!
//! May import `model`. Guards: called from event handlers and effects only, which never run on the
//! server.

use gloo_net::http::Request;
use leptos::prelude::*;
use leptos::wasm_bindgen::{JsCast, JsValue};
use leptos::web_sys::{FormData, HtmlElement, HtmlFormElement, UrlSearchParams};

use crate::model::problem::{Code, Problem};

/// What a submitted form came back with: the answer's JSON, or why it was refused.
pub type Answer = Result<String, Problem>;

/// Moves the keyboard focus to an element, after the next paint has put it there.
pub fn focus_soon(id: &'static str) {
    request_animation_frame(move || focus(id));
}

/// Moves the keyboard focus to an element.
pub fn focus(id: &str) {
    if let Some(element) = document().get_element_by_id(id).and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        let _ = element.focus();
    }
}

/// Marks the document as taken over by the application.
pub fn mark_hydrated() {
    if let Some(root) = document().document_element() {
        let _ = root.set_attribute("data-hydrated", "true");
    }
}

/// Sets a form back to the values of its markup.
pub fn reset_form(id: &str) {
    if let Some(form) = document().get_element_by_id(id).and_then(|form| form.dyn_into::<HtmlFormElement>().ok()) {
        form.reset();
    }
}

/// Asks a yes-or-no question.
pub fn confirm(question: &str) -> bool {
    window().confirm_with_message(question).unwrap_or(false)
}

/// Goes to the sign-in page, and back here after it.
pub fn go_to_sign_in() {
    let location = window().location();
    let path = location.pathname().unwrap_or_default();
    let _ = location.assign(&format!("/sign-in?next={path}"));
}

/// Posts a form to a server function in the way that the browser itself would, and reads its JSON.
///
/// # Errors
/// The problem that the server names; `internal` when it cannot be reached or understood.
pub async fn post(address: &str, form: &HtmlFormElement) -> Answer {
    match fetch(address, form).await {
        Ok((200..=299, text)) => Ok(text),
        Ok((status, text)) => Err(serde_json::from_str(&text).unwrap_or_else(|_| Problem::new(by_status(status)))),
        Err(_) => Err(Problem::new(Code::Internal)),
    }
}

const fn by_status(status: u16) -> Code {
    match status {
        401 => Code::Unauthenticated,
        403 => Code::Forbidden,
        404 => Code::NotFound,
        413 => Code::PayloadTooLarge,
        429 => Code::RateLimited,
        _ => Code::Internal,
    }
}

async fn fetch(address: &str, form: &HtmlFormElement) -> Result<(u16, String), gloo_net::Error> {
    let body = UrlSearchParams::new_with_str_sequence_sequence(&FormData::new_with_form(form).map_err(thrown)?.into());
    let request = Request::post(address).header("Accept", "application/json").body(body.map_err(thrown)?)?;
    let response = request.send().await?;
    Ok((response.status(), response.text().await?))
}

fn thrown(error: JsValue) -> gloo_net::Error {
    gloo_net::Error::GlooError(format!("{error:?}"))
}
