//! The switch that takes a provider into use. A form with one button, so it needs no JavaScript.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::post_form::PostForm;
use crate::api::integrations::SetProviderEnabled;
use crate::model::provider::ProviderCard;
use crate::ui::browser::Answer;

/// The switch of a provider.
pub fn provider_switch(card: &ProviderCard, may_write: bool, switched: Callback<Answer>) -> AnyView {
    let (id, label) = (card.id.to_string(), format!("Use {}", card.name));
    let (now, then) = if card.enabled { ("true", "false") } else { ("false", "true") };
    view! {
        <PostForm action=SetProviderEnabled::PATH on_answer=switched class="flex">
            <input type="hidden" name="provider" value=id/>
            <input type="hidden" name="enabled" value=then/>
            <button
                class="toggle"
                role="switch"
                aria-checked=now
                aria-label=label
                disabled=!may_write
            ></button>
        </PostForm>
    }
    .into_any()
}
