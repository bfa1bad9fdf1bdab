//! `/sign-in`: e-mail address and password. A plain form, with JavaScript or without.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use super::{email_check, next_path, typed};
use crate::api::account::SignIn;
use crate::ui::part::field::Field;
use crate::ui::part::loading::{use_draft, with_draft};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::public::PublicPage;

/// The page.
pub fn sign_in() -> AnyView {
    let messages = Messages::from_query();
    let next = next_path();
    let form = with_draft(use_draft(), move |draft| {
        messages.seed(draft.as_ref());
        let kept = typed(draft.as_ref(), "next");
        let next = if kept.is_empty() { next.clone() } else { kept };
        view! {
            {message_area(messages, Vec::new())}
            <form method="post" action=SignIn::PATH class="space-y-5" novalidate=true>
                <input type="hidden" name="next" value=next/>
                <Field
                    key="email"
                    label="E-mail address"
                    kind="email"
                    autocomplete="username"
                    value=typed(draft.as_ref(), "email")
                    check=email_check()
                    messages
                />
                <Field key="password" label="Password" kind="password" autocomplete="current-password" messages/>
                <button class="btn btn-primary btn-block" id="sign-in">"Sign in"</button>
            </form>
            <p class="muted small mt-6">
                "Forgot your password? Ask the operator of this installation for a reset link. "
                "New here? Ask an administrator of your practice for an invitation."
            </p>
        }
        .into_any()
    });
    view! {
        <Title text="Sign in"/>
        <PublicPage title="Sign in" text="Connect your practice to its electronic health record.">{form}</PublicPage>
    }
    .into_any()
}
