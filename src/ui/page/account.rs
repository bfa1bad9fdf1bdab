//! `/account`: the member, the password, the second factor, the signed-in browsers.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use super::new_password_check;
use crate::api;
use crate::api::account::{ChangePassword, RevokeOtherSessions, RevokeSession, TotpDisable};
use crate::model::account::{Account, Me, SessionView};
use crate::model::draft::Draft;
use crate::model::problem::Problem;
use crate::model::time::Timestamp;
use crate::ui::browser::{self, Answer};
use crate::ui::part::badge::{Tone, badge};
use crate::ui::part::confirm::Confirm;
use crate::ui::part::field::Field;
use crate::ui::part::icon::icon;
use crate::ui::part::loading::{Loaded, load_once, use_draft, with_data};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::panel::{PageHeader, Panel, fact};
use crate::ui::part::post_form::PostForm;
use crate::ui::part::time::ago;
use crate::ui::text::{self, Notice};

/// The password form's id.
const PASSWORD_FORM: &str = "password-form";

/// The form that switches the second factor off, in drafts.
const TOTP_DISABLE: &str = "totp_disable";

#[derive(Clone, Copy)]
struct State {
    data: Loaded<Account>,
    messages: Messages,
}

impl State {
    fn answered(self, done: Notice, refused: fn(Problem) -> Problem) -> Callback<Answer> {
        Callback::new(move |answer: Answer| match answer {
            Ok(_) => {
                browser::reset_form(PASSWORD_FORM);
                self.messages.notice(done);
                self.data.refetch();
            }
            Err(problem) => self.messages.refuse(refused(problem)),
        })
    }
}

/// The page.
pub fn account() -> AnyView {
    let data = load_once(api::account::account);
    let state = State { data, messages: Messages::from_query() };
    let body = with_data(data, use_draft(), move |account, draft| body(&account, draft, state));
    view! { <Title text="Your account"/> {body} }.into_any()
}

/// Two forms of the page have a field `password`: the second one's errors go by another key.
fn about_totp(mut problem: Problem) -> Problem {
    for error in problem.fields.iter_mut().filter(|error| error.field == "password") {
        error.field = "totp-password".into();
    }
    problem
}

fn body(account: &Account, mut draft: Option<Draft>, state: State) -> AnyView {
    if let Some(draft) = draft.as_mut().filter(|draft| draft.form == TOTP_DISABLE) {
        draft.problem = draft.problem.take().map(about_totp);
    }
    state.messages.seed(draft.as_ref());
    view! {
        <PageHeader title="Your account"/>
        {message_area(state.messages, Vec::new())}
        <div class="space-y-6">
            {profile(account.me.clone())}
            {second_factor(account, state)}
            {password(account.me.email.clone(), state)}
            {sessions(account, state)}
        </div>
    }
    .into_any()
}

fn profile(me: Me) -> AnyView {
    view! {
        <Panel id="profile" title="Profile">
            <dl class="facts facts-2">
                {(!me.name.is_empty()).then(|| fact("Name", me.name))}
                {fact("E-mail address", me.email)}
                {fact("Practice", me.practice_name)}
                {fact("Role", text::role(me.role))}
            </dl>
        </Panel>
    }
    .into_any()
}

fn second_factor(account: &Account, state: State) -> AnyView {
    if !account.me.totp_enabled {
        return view! {
            <Panel id="second-factor" title="Two-factor sign-in" text="A code from your phone, besides the password.">
                <div class="flex flex-wrap items-center gap-4">
                    {badge(Tone::Attention, "Off")}
                    <a class="btn btn-primary" href="/account/two-factor" id="set-up-totp">
                        {icon(icondata::LuShieldCheck, "size-4")}
                        "Set up"
                    </a>
                </div>
            </Panel>
        }
        .into_any();
    }
    let left = account.recovery_codes_left;
    let label = view! { "Switch off" }.into_any();
    let question = "Your password alone will be enough to sign in. Recovery codes stop working.";
    view! {
        <Panel id="second-factor" title="Two-factor sign-in" text="A code from your phone, besides the password.">
            <div class="flex flex-wrap items-center gap-3">
                {badge(Tone::Good, "On")}
                <span class=if left < 3 { "small text-warning" } else { "muted small" }>
                    {format!("{left} recovery codes left")}
                </span>
            </div>
            <div class="mt-4 max-w-md">
                <Confirm id="totp-disable-confirm" label question>
                    <PostForm
                        action=TotpDisable::PATH
                        on_answer=state.answered(Notice::TotpDisabled, about_totp)
                        class="w-full space-y-4"
                    >
                        <Field
                            key="totp-password"
                            name="password"
                            label="Current password"
                            kind="password"
                            autocomplete="current-password"
                            messages=state.messages
                        />
                        <button class="btn btn-sm btn-error" id="totp-disable">"Switch off now"</button>
                    </PostForm>
                </Confirm>
            </div>
        </Panel>
    }
    .into_any()
}

fn password(email: String, state: State) -> AnyView {
    let messages = state.messages;
    view! {
        <Panel id="change-password" title="Password" text="Changing it signs every other browser out.">
            <PostForm
                action=ChangePassword::PATH
                on_answer=state.answered(Notice::PasswordChanged, |problem| problem)
                id=PASSWORD_FORM
                class="max-w-md space-y-5"
            >
                // For password managers: whose password this is.
                <input type="email" class="hidden" autocomplete="username" value=email aria-hidden="true" tabindex="-1" readonly=true/>
                <Field
                    key="current"
                    label="Current password"
                    kind="password"
                    autocomplete="current-password"
                    messages
                />
                <Field
                    key="password"
                    label="New password"
                    kind="password"
                    autocomplete="new-password"
                    help="At least 12 characters. A short sentence is easy to remember and hard to guess."
                    check=new_password_check()
                    messages
                />
                <button class="btn btn-primary" id="save-password">"Change password"</button>
            </PostForm>
        </Panel>
    }
    .into_any()
}

fn sessions(account: &Account, state: State) -> AnyView {
    let others = account.sessions.iter().any(|session| !session.current);
    let rows: Vec<_> = account.sessions.iter().map(|session| session_row(session, account.now, state)).collect();
    let all = others.then(|| {
        view! {
            <PostForm
                action=RevokeOtherSessions::PATH
                on_answer=state.answered(Notice::SessionRevoked, |problem| problem)
                class="mt-4"
            >
                <button class="btn btn-sm" id="revoke-others">"Sign every other browser out"</button>
            </PostForm>
        }
    });
    view! {
        <Panel id="sessions" title="Signed-in browsers" text="Sign a browser out that you do not know, then change your password.">
            <ul class="divide-y divide-base-300">{rows}</ul>
            {all}
        </Panel>
    }
    .into_any()
}

fn session_row(session: &SessionView, now: Timestamp, state: State) -> AnyView {
    let action = if session.current {
        badge(Tone::Good, "This browser")
    } else {
        let id = session.id.to_string();
        let label = format!("Sign out {}", session.device);
        view! {
            <PostForm
                action=RevokeSession::PATH
                on_answer=state.answered(Notice::SessionRevoked, |problem| problem)
            >
                <input type="hidden" name="session" value=id/>
                <button class="btn btn-sm" aria-label=label>"Sign out"</button>
            </PostForm>
        }
        .into_any()
    };
    view! {
        <li class="flex flex-wrap items-center gap-x-4 gap-y-2 py-3 first:pt-0 last:pb-0">
            <span class="muted">{icon(icondata::LuLaptop, "size-5")}</span>
            <div class="min-w-0 flex-1">
                <p class="font-medium">{session.device.clone()}</p>
                <p class="muted small">"Active " {ago(session.last_seen_at, now)} ", signed in " {ago(session.created_at, now)}</p>
            </div>
            {action}
        </li>
    }
    .into_any()
}
