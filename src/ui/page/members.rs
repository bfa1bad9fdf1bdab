//! `/members`: everyone in the practice, open invitations, and a new one.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;

use super::{email_check, shown_once, typed};
use crate::api;
use crate::api::members::{InviteMember, RemoveMember, RevokeInvite, SetMemberRole};
use crate::model::account::{InviteView, MemberView, Members};
use crate::model::draft::Draft;
use crate::model::role::{Permission, Role};
use crate::model::time::Timestamp;
use crate::ui::browser::{self, Answer};
use crate::ui::part::badge::{Tone, badge};
use crate::ui::part::confirm::Confirm;
use crate::ui::part::copy::copy_value;
use crate::ui::part::field::{Choices, Field};
use crate::ui::part::icon::icon;
use crate::ui::part::loading::{Loaded, load_once, use_draft, with_data};
use crate::ui::part::message::{Messages, message_area};
use crate::ui::part::panel::{PageHeader, Panel};
use crate::ui::part::post_form::PostForm;
use crate::ui::part::time::ago;
use crate::ui::text::{self, Notice};

/// The invitation form's id.
const INVITE_FORM: &str = "invite-form";

#[derive(Clone, Copy)]
struct State {
    data: Loaded<Members>,
    messages: Messages,
    /// The link of the invitation that was just made.
    link: RwSignal<Option<String>>,
}

impl State {
    fn answered(self, done: Notice) -> Callback<Answer> {
        Callback::new(move |answer: Answer| match answer {
            Ok(_) => {
                self.messages.notice(done);
                self.data.refetch();
            }
            Err(problem) => self.messages.refuse(problem),
        })
    }
}

/// The page.
pub fn members() -> AnyView {
    let data = load_once(api::members::members);
    let state = State { data, messages: Messages::from_query(), link: RwSignal::new(None) };
    let body = with_data(data, use_draft(), move |members, draft| body(&members, draft.as_ref(), state));
    view! { <Title text="Members"/> {body} }.into_any()
}

fn body(members: &Members, draft: Option<&Draft>, state: State) -> AnyView {
    state.messages.seed(draft);
    let my_role = members.members.iter().find(|member| member.is_me).map_or(Role::Auditor, |member| member.role);
    let may_manage = my_role.may(Permission::ManageMembers);
    let rows: Vec<_> = members.members.iter().map(|member| row(member, my_role, members.now, state)).collect();
    let invites: Vec<_> =
        members.invites.iter().map(|invite| invite_row(invite, may_manage, members.now, state)).collect();
    view! {
        <PageHeader title="Members" text="The people of this practice who may sign in, and what each may do."/>
        {message_area(state.messages, Vec::new())}
        <div class="space-y-6">
            <section class="panel" aria-label="People">
                <table class="grid-table">
                    <thead>
                        <tr>
                            <th scope="col">"Person"</th>
                            <th scope="col">"Role"</th>
                            <th scope="col">"Second factor"</th>
                            <th scope="col">"Joined"</th>
                            <th scope="col"><span class="sr-only">"Actions"</span></th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </section>
            {(!invites.is_empty())
                .then(|| {
                    view! {
                        <Panel id="invites" title="Open invitations">
                            <ul class="divide-y divide-base-300">{invites}</ul>
                        </Panel>
                    }
                })}
            {may_manage.then(|| invite_panel(my_role, draft, state))}
            {roles()}
        </div>
    }
    .into_any()
}

fn row(member: &MemberView, my_role: Role, now: Timestamp, state: State) -> AnyView {
    let factor = if member.totp_enabled { badge(Tone::Good, "On") } else { badge(Tone::Plain, "Off") };
    let manages = my_role.may_manage(member.role) && !member.is_me;
    let name = if member.name.is_empty() { member.email.clone() } else { member.name.clone() };
    view! {
        <tr data-member=member.email.clone()>
            <td>
                <span class="font-medium">{name}</span>
                {member.is_me.then(|| view! { " " <span class="badge badge-sm badge-soft">"You"</span> })}
                <span class="muted small block">{member.email.clone()}</span>
            </td>
            <td data-label="Role">
                {if manages { role_form(member, my_role, state) } else { text::role(member.role).into_any() }}
            </td>
            <td data-label="Second factor">{factor}</td>
            <td data-label="Joined">{ago(member.created_at, now)}</td>
            <td class="md:text-right">{manages.then(|| remove(member, state))}</td>
        </tr>
    }
    .into_any()
}

fn role_options(my_role: Role) -> Vec<(String, String)> {
    let given = Role::ALL.into_iter().filter(|role| my_role.may_manage(*role));
    given.map(|role| (role.as_str().to_owned(), text::role(role).to_owned())).collect()
}

fn role_form(member: &MemberView, my_role: Role, state: State) -> AnyView {
    let options: Vec<_> = role_options(my_role)
        .into_iter()
        .map(|(value, label)| {
            let selected = value == member.role.as_str();
            view! { <option value=value selected=selected>{label}</option> }
        })
        .collect();
    let id = member.id.to_string();
    let (of, change) = (format!("Role of {}", member.email), format!("Change the role of {}", member.email));
    view! {
        <PostForm action=SetMemberRole::PATH on_answer=state.answered(Notice::RoleChanged) class="flex max-w-64 gap-2">
            <input type="hidden" name="member" value=id/>
            <select class="select select-sm" name="role" aria-label=of>{options}</select>
            <button class="btn btn-sm" aria-label=change>"Change"</button>
        </PostForm>
    }
    .into_any()
}

fn remove(member: &MemberView, state: State) -> AnyView {
    let id = member.id.to_string();
    let label = view! { "Remove" <span class="sr-only">{format!(" {}", member.email)}</span> }.into_any();
    let question = format!("{} can no longer sign in, and is signed out everywhere at once.", member.email);
    view! {
        <Confirm id=format!("remove-{id}-confirm") label question class="btn btn-sm btn-ghost text-error">
            <PostForm action=RemoveMember::PATH on_answer=state.answered(Notice::MemberRemoved)>
                <input type="hidden" name="member" value=id/>
                <button class="btn btn-sm btn-error">"Remove now"</button>
            </PostForm>
        </Confirm>
    }
    .into_any()
}

fn invite_row(invite: &InviteView, may_manage: bool, now: Timestamp, state: State) -> AnyView {
    let revoke = may_manage.then(|| {
        let id = invite.id.clone();
        let label = format!("Withdraw the invitation of {}", invite.email);
        view! {
            <PostForm action=RevokeInvite::PATH on_answer=state.answered(Notice::InviteRevoked)>
                <input type="hidden" name="invite" value=id/>
                <button class="btn btn-sm" aria-label=label>"Withdraw"</button>
            </PostForm>
        }
    });
    view! {
        <li class="flex flex-wrap items-center justify-between gap-3 py-3 first:pt-0 last:pb-0" data-invite=invite.email.clone()>
            <div class="min-w-0">
                <p class="break-words font-medium">{invite.email.clone()}</p>
                <p class="muted small">{text::role(invite.role)} ", link ends " {ago(invite.expires_at, now)}</p>
            </div>
            {revoke}
        </li>
    }
    .into_any()
}

fn invite_panel(my_role: Role, draft: Option<&Draft>, state: State) -> AnyView {
    let messages = state.messages;
    let invited = Callback::new(move |answer: Answer| match answer {
        Ok(json) => {
            messages.clear();
            state.link.set(serde_json::from_str(&json).ok());
            browser::reset_form(INVITE_FORM);
            browser::focus_soon("invitation");
            state.data.refetch();
        }
        Err(problem) => messages.refuse(problem),
    });
    let drafted_link = shown_once(draft, "invite_member");
    let link = move || state.link.get().or_else(|| drafted_link.clone()).map(invitation);
    // An answered form starts empty again; a refused one keeps what was typed.
    let refused = draft.filter(|draft| draft.form == "invite_member" && draft.problem.is_some());
    let (email, role) = (typed(refused, "email"), typed(refused, "role"));
    view! {
        <Panel
            id="invite"
            title="Invite a colleague"
            text="You get a link to hand over, by e-mail or in person. It works once."
        >
            <PostForm action=InviteMember::PATH on_answer=invited id=INVITE_FORM>
                <div class="grid items-start gap-5 sm:grid-cols-2">
                    <Field
                        key="email"
                        label="E-mail address"
                        kind="email"
                        value=email
                        check=email_check()
                        messages
                    />
                    <Choices
                        key="role"
                        label="Role"
                        value=if role.is_empty() { Role::Clinician.as_str().to_owned() } else { role }
                        options=role_options(my_role)
                        messages
                    />
                </div>
                <button class="btn btn-primary mt-5" id="invite-member">{icon(icondata::LuUserPlus, "size-4")} "Make invitation"</button>
            </PostForm>
            {link}
        </Panel>
    }
    .into_any()
}

fn invitation(link: String) -> AnyView {
    view! {
        <div class="note note-success mt-5" role="status" id="invitation" tabindex="-1">
            {icon(icondata::LuMail, "size-5")}
            <div class="flex-1">
                <p class="font-semibold">"Invitation made"</p>
                <p class="small mb-2 mt-1">"Hand this link over now: it is shown only once."</p>
                {copy_value("invitation link", link)}
            </div>
        </div>
    }
    .into_any()
}

fn roles() -> AnyView {
    let rows: Vec<_> = Role::ALL
        .into_iter()
        .map(|role| {
            view! { <div><dt class="title-3">{text::role(role)}</dt><dd class="muted small">{text::role_summary(role)}</dd></div> }
        })
        .collect();
    view! {
        <Panel id="roles" title="What each role may do">
            <dl class="grid gap-4 sm:grid-cols-2">{rows}</dl>
        </Panel>
    }
    .into_any()
}
