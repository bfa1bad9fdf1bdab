//! `/invite?token=`: makes the account of an invited member.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use super::{incomplete_link, name_check, new_password_check, query_word, typed};
use crate::api::account::AcceptInvite;
use crate::model::draft::Draft;
use crate::ui::part::field::Field;
use crate::ui::part::loading::{use_draft, with_draft};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::public::PublicPage;

/// The page.
pub fn invite() -> AnyView {
    let messages = Messages::from_query();
    let token = query_word("token");
    let form = with_draft(use_draft(), move |draft| {
        messages.seed(draft.as_ref());
        if token.is_empty() { incomplete_link() } else { form(&token, draft.as_ref(), messages) }
    });
    view! {
        <Title text="Accept invitation"/>
        <PublicPage title="Join your practice" text="You were invited. Choose a password to make your account.">
            {form}
        </PublicPage>
    }
    .into_any()
}

fn form(token: &str, draft: Option<&Draft>, messages: Messages) -> AnyView {
    view! {
        {message_area(messages, Vec::new())}
        <form method="post" action=AcceptInvite::PATH class="space-y-5" novalidate=true>
            <input type="hidden" name="token" value=token.to_owned()/>
            <Field
                key="name"
                label="Your name"
                autocomplete="name"
                value=typed(draft, "name")
                check=name_check()
                messages
            />
            <Field
                key="password"
                label="Password"
                kind="password"
                autocomplete="new-password"
                help="At least 12 characters. A short sentence is easy to remember and hard to guess."
                check=new_password_check()
                messages
            />
            <button class="btn btn-primary btn-block" id="accept-invite">"Create account"</button>
        </form>
    }
    .into_any()
}
