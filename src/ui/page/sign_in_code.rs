//! `/sign-in/code`: the second step of a sign-in.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use super::{next_path, typed};
use crate::api::account::SignInTotp;
use crate::ui::part::field::Field;
use crate::ui::part::loading::{use_draft, with_draft};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::public::PublicPage;

/// The page.
pub fn sign_in_code() -> AnyView {
    let messages = Messages::from_query();
    let next = next_path();
    let form = with_draft(use_draft(), move |draft| {
        messages.seed(draft.as_ref());
        let kept = typed(draft.as_ref(), "next");
        let next = if kept.is_empty() { next.clone() } else { kept };
        view! {
            {message_area(messages, Vec::new())}
            <form method="post" action=SignInTotp::PATH class="space-y-5" novalidate=true>
                <input type="hidden" name="next" value=next/>
                <Field
                    key="code"
                    label="Code"
                    autocomplete="one-time-code"
                    help="Six digits from your authenticator app, or one of your recovery codes."
                    messages
                />
                <button class="btn btn-primary btn-block" id="sign-in">"Continue"</button>
            </form>
            <p class="small mt-6"><a class="text-link" href="/sign-in" rel="external">"Sign in with another account"</a></p>
        }
        .into_any()
    });
    view! {
        <Title text="Two-factor sign-in"/>
        <PublicPage title="Enter your code" text="Your account is protected by a second factor.">{form}</PublicPage>
    }
    .into_any()
}
