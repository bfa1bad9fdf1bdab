//! `/reset?token=`: sets a new password with the operator's link.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use super::{incomplete_link, new_password_check, query_word};
use crate::api::account::ResetPassword;
use crate::ui::part::field::Field;
use crate::ui::part::loading::{use_draft, with_draft};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::public::PublicPage;

/// The page.
pub fn reset() -> AnyView {
    let messages = Messages::from_query();
    let token = query_word("token");
    let form = with_draft(use_draft(), move |draft| {
        messages.seed(draft.as_ref());
        if token.is_empty() { incomplete_link() } else { form(&token, messages) }
    });
    view! {
        <Title text="New password"/>
        <PublicPage title="Choose a new password" text="Every browser that is signed in to your account is signed out.">
            {form}
        </PublicPage>
    }
    .into_any()
}

fn form(token: &str, messages: Messages) -> AnyView {
    view! {
        {message_area(messages, Vec::new())}
        <form method="post" action=ResetPassword::PATH class="space-y-5" novalidate=true>
            <input type="hidden" name="token" value=token.to_owned()/>
            <Field
                key="password"
                label="New password"
                kind="password"
                autocomplete="new-password"
                help="At least 12 characters. A short sentence is easy to remember and hard to guess."
                check=new_password_check()
                messages
            />
            <button class="btn btn-primary btn-block" id="reset-password">"Save password"</button>
        </form>
    }
    .into_any()
}
