//! The pages behind one-time links: `/setup`, `/invite` and `/reset`, each with `?token=`. Plain
//! forms, rendered on the server only.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use super::{query_word, typed};
use crate::api::account::{AcceptInvite, ResetPassword, Setup};
use crate::model::draft::Draft;
use crate::model::problem::{Code, Problem};
use crate::ui::part::field::Field;
use crate::ui::part::loading::{use_draft, with_draft};
use crate::ui::part::message::{Messages, message_area, problem_note};
use crate::ui::part::public::PublicPage;

/// The fields of a form, by what was typed before.
type Fields = fn(Option<&Draft>, Messages) -> AnyView;

/// Makes the first practice and its owner.
pub fn setup() -> AnyView {
    let fields = |draft: Option<&Draft>, messages| {
        view! {
            <Field
                key="practice"
                label="Practice name"
                autocomplete="organization"
                placeholder="Riverside Family Medicine"
                value=typed(draft, "practice")
                messages
            />
            {name(draft, messages)}
            <Field
                key="email"
                label="E-mail address"
                kind="email"
                autocomplete="username"
                help="You sign in with it."
                value=typed(draft, "email")
                messages
            />
            {new_password("Password", messages)}
            <button class="btn btn-primary btn-block" id="setup">"Create practice"</button>
        }
        .into_any()
    };
    let form = form(Setup::PATH, fields);
    view! {
        <Title text="Set up"/>
        <PublicPage
            title="Set up your practice"
            text="This makes the practice and your account as its owner. You invite the others afterwards."
        >
            {form}
        </PublicPage>
    }
    .into_any()
}

/// Makes the account of an invited member.
pub fn invite() -> AnyView {
    let fields = |draft: Option<&Draft>, messages| {
        view! {
            {name(draft, messages)}
            {new_password("Password", messages)}
            <button class="btn btn-primary btn-block" id="accept-invite">"Create account"</button>
        }
        .into_any()
    };
    let form = form(AcceptInvite::PATH, fields);
    view! {
        <Title text="Accept invitation"/>
        <PublicPage title="Join your practice" text="You were invited. Choose a password to make your account.">
            {form}
        </PublicPage>
    }
    .into_any()
}

/// Sets a new password.
pub fn reset() -> AnyView {
    let fields = |_: Option<&Draft>, messages| {
        view! {
            {new_password("New password", messages)}
            <button class="btn btn-primary btn-block" id="reset-password">"Save password"</button>
        }
        .into_any()
    };
    let form = form(ResetPassword::PATH, fields);
    view! {
        <Title text="New password"/>
        <PublicPage title="Choose a new password" text="Every browser that is signed in to your account is signed out.">
            {form}
        </PublicPage>
    }
    .into_any()
}

/// A form that uses the link's token up. Without one there is nothing to fill in.
fn form(action: &'static str, fields: Fields) -> AnyView {
    let messages = Messages::from_query();
    let token = query_word("token");
    with_draft(use_draft(), move |draft| {
        messages.seed(draft.as_ref());
        if token.is_empty() {
            return problem_note(&Problem::new(Code::LinkInvalid), Vec::new());
        }
        view! {
            {message_area(messages, Vec::new())}
            <form method="post" action=action class="space-y-5" novalidate=true>
                <input type="hidden" name="token" value=token.clone()/>
                {fields(draft.as_ref(), messages)}
            </form>
        }
        .into_any()
    })
}

fn name(draft: Option<&Draft>, messages: Messages) -> AnyView {
    view! { <Field key="name" label="Your name" autocomplete="name" value=typed(draft, "name") messages/> }.into_any()
}

fn new_password(label: &'static str, messages: Messages) -> AnyView {
    view! {
        <Field
            key="password"
            label=label
            kind="password"
            autocomplete="new-password"
            help="At least 12 characters. A short sentence is easy to remember and hard to guess."
            messages
        />
    }
    .into_any()
}
