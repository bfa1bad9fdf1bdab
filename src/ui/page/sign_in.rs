//! `/sign-in` and `/sign-in/code`: the two steps of signing in. Plain forms, rendered on the server
//! only.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use super::{query_word, typed};
use crate::api::account::{SignIn, SignInTotp};
use crate::model::draft::Draft;
use crate::ui::part::field::Field;
use crate::ui::part::loading::{use_draft, with_draft};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::public::PublicPage;

/// The first step: e-mail address and password.
pub fn sign_in() -> AnyView {
    let fields = |draft: Option<&Draft>, messages| {
        view! {
            <Field
                key="email"
                label="E-mail address"
                kind="email"
                autocomplete="username"
                value=typed(draft, "email")
                messages
            />
            <Field key="password" label="Password" kind="password" autocomplete="current-password" messages/>
            <button class="btn btn-primary btn-block" id="sign-in">"Sign in"</button>
        }
        .into_any()
    };
    let form = form(SignIn::PATH, fields);
    view! {
        <Title text="Sign in"/>
        <PublicPage title="Sign in" text="Connect your practice to its electronic health record.">
            {form}
            <p class="muted small mt-6">
                "Forgot your password? Ask the operator of this installation for a reset link. "
                "New here? Ask an administrator of your practice for an invitation."
            </p>
        </PublicPage>
    }
    .into_any()
}

/// The second step: a code of the second factor.
pub fn sign_in_code() -> AnyView {
    let fields = |_: Option<&Draft>, messages| {
        view! {
            <Field
                key="code"
                label="Code"
                autocomplete="one-time-code"
                help="Six digits from your authenticator app, or one of your recovery codes."
                messages
            />
            <button class="btn btn-primary btn-block" id="sign-in">"Continue"</button>
        }
        .into_any()
    };
    let form = form(SignInTotp::PATH, fields);
    view! {
        <Title text="Two-factor sign-in"/>
        <PublicPage title="Enter your code" text="Your account is protected by a second factor.">
            {form}
            <p class="small mt-6"><a class="text-link" href="/sign-in" rel="external">"Sign in with another account"</a></p>
        </PublicPage>
    }
    .into_any()
}

/// A form that leads to the page that was asked for first.
fn form(action: &'static str, fields: fn(Option<&Draft>, Messages) -> AnyView) -> AnyView {
    let messages = Messages::from_query();
    let next = next_path();
    with_draft(use_draft(), move |draft| {
        messages.seed(draft.as_ref());
        let kept = typed(draft.as_ref(), "next");
        let next = if kept.is_empty() { next.clone() } else { kept };
        view! {
            {message_area(messages, Vec::new())}
            <form method="post" action=action class="space-y-5" novalidate=true>
                <input type="hidden" name="next" value=next/>
                {fields(draft.as_ref(), messages)}
            </form>
        }
        .into_any()
    })
}

/// Where to go after a sign-in: a path of this site, or nothing. The server checks again.
fn next_path() -> String {
    let next = query_word("next");
    if next.starts_with('/') && !next.starts_with("//") && !next.contains('\\') { next } else { String::new() }
}
