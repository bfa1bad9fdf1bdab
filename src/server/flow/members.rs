//! A practice's members: who is in, who is invited, and who may change that.
//!
//! May import the store. Guards: only owners touch owners; a practice never loses its last owner
//! (checked while the practice's row is held); a removed or demoted member's invitations end.

use crate::model::account::{InviteView, MemberView, Members, check_email};
use crate::model::field::Rule;
use crate::model::id::{MemberId, PracticeId};
use crate::model::problem::{Code, FieldError, Problem};
use crate::model::role::{Permission, Role};
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::failure::{Failure, Outcome};
use crate::server::store::link::{Kind, Link, Purpose};
use crate::server::store::member::Member;
use crate::server::store::{StoreError, Tx, is_taken, link, member, practice, session};

use super::{Actor, Caller, audit};

mod join;
mod operator;

pub use join::{accept_invite, reset_password, set_up};
pub use operator::{Created, create_by_operator, reset_link, set_up_link};

const INVITE_SECONDS: i64 = 7 * 86_400;

/// Everyone in the caller's practice, and open invitations.
///
/// # Errors
/// `forbidden`.
pub async fn list(app: &App, caller: &Caller) -> Outcome<Members> {
    caller.require(Permission::ReadMembers)?;
    let now = app.clock.now();
    let me = caller.member().ok().map(|(id, _)| id);
    let members = member::list(app.db.pool(), &caller.practice).await?;
    let invites = link::invites(app.db.pool(), &caller.practice, now).await?;
    Ok(Members {
        members: members.into_iter().map(|member| member_view(member, me)).collect(),
        invites: invites.into_iter().filter_map(invite_view).collect(),
        now,
    })
}

/// Invites a person, in place of an older invitation of theirs. Answers the link, which nobody can
/// read again.
///
/// # Errors
/// `invalid_input` with field `email` or `role`; `forbidden`.
pub async fn invite(app: &App, caller: &Caller, email: &str, role: &str) -> Outcome<String> {
    caller.require(Permission::ManageMembers)?;
    let mut checks = Checks::default();
    let email = checks.value("email", check_email(email));
    let role = checks.value("role", Role::parse(role).ok_or(Rule::UnknownRole));
    let (email, role) = checks.both(email, role)?;
    require_over(caller, role)?;
    let mut tx = app.db.begin_write().await?;
    if member::by_email(&mut *tx, &email).await?.is_some() {
        return Err(taken());
    }
    link::remove_invites_of(&mut tx, &caller.practice, &email, app.clock.now()).await?;
    let event = caller.event(app, "member.invited", &format!("{email} as {}", role.as_str()), "ok");
    let by = caller.member().ok().map(|(id, _)| id.clone());
    let purpose = Purpose::Invite { practice: caller.practice.clone(), by, email, role };
    let url = new_link(app, &mut tx, "invite", purpose, INVITE_SECONDS).await?;
    audit::commit(tx, &event).await?;
    Ok(url)
}

/// Takes an invitation back.
///
/// # Errors
/// `not_found`, `forbidden`.
pub async fn revoke_invite(app: &App, caller: &Caller, invite: &str) -> Outcome<()> {
    caller.require(Permission::ManageMembers)?;
    let mut tx = app.db.begin_write().await?;
    let open = link::invites(&mut *tx, &caller.practice, app.clock.now()).await?;
    let found = open.into_iter().find(|link| link.id == invite).and_then(invite_view);
    let found = found.ok_or(Failure::from(Code::NotFound))?;
    require_over(caller, found.role)?;
    link::remove_invite(&mut tx, &caller.practice, &found.id).await?;
    audit::commit(tx, &caller.event(app, "member.invite_revoked", &found.email, "ok")).await
}

/// Gives a member another role, and signs them out: a session never outlives the role that it began with.
///
/// # Errors
/// `not_found`, `forbidden`, `invalid_input` with field `role`, `conflict` when the practice would lose
/// its last owner.
pub async fn set_role(app: &App, caller: &Caller, member: &MemberId, role: &str) -> Outcome<()> {
    caller.require(Permission::ManageMembers)?;
    let role = Role::parse(role).ok_or(Failure::field("role", Rule::UnknownRole))?;
    let (mut tx, target) = lock_target(app, caller, member).await?;
    require_over(caller, role)?;
    if target.role == role {
        return Ok(());
    }
    keep_an_owner(&mut tx, &target).await?;
    member::set_role(&mut tx, &target.practice, &target.id, role).await?;
    link::remove_of_member(&mut tx, &target.practice, &target.id, Kind::Invite).await?;
    let own = caller.member().ok().filter(|(id, _)| **id == target.id).map(|(_, session)| session);
    session::remove_all_but(&mut tx, &target.practice, &target.id, own).await?;
    let what = format!("{} from {} to {}", target.email, target.role.as_str(), role.as_str());
    audit::commit(tx, &caller.event(app, "member.role_changed", &what, "ok")).await
}

/// Removes a member, with sessions, second factor and links.
///
/// # Errors
/// `not_found`, `forbidden`, `conflict` when the practice would lose its last owner.
pub async fn remove(app: &App, caller: &Caller, member: &MemberId) -> Outcome<()> {
    caller.require(Permission::ManageMembers)?;
    let (mut tx, target) = lock_target(app, caller, member).await?;
    keep_an_owner(&mut tx, &target).await?;
    member::remove(&mut tx, &target.practice, &target.id).await?;
    audit::commit(tx, &caller.event(app, "member.removed", &target.email, "ok")).await
}

/// Holds the practice, and answers its member whom the caller may change.
async fn lock_target(app: &App, caller: &Caller, member: &MemberId) -> Outcome<(Tx, Member)> {
    let mut tx = app.db.begin_write().await?;
    practice::lock(&mut tx, &caller.practice).await?;
    let target = member::get(&mut *tx, &caller.practice, member).await?;
    let target = target.ok_or(Failure::from(Code::NotFound))?;
    require_over(caller, target.role)?;
    Ok((tx, target))
}

/// Refuses to take the owner role from the last one who has it.
async fn keep_an_owner(tx: &mut Tx, target: &Member) -> Outcome<()> {
    if target.role == Role::Owner && member::count(tx, &target.practice, Role::Owner).await? < 2 {
        return Err(Code::Conflict.into());
    }
    Ok(())
}

/// Refuses a caller who may not give or take this role.
fn require_over(caller: &Caller, role: Role) -> Outcome<()> {
    let may = match &caller.actor {
        Actor::Member { role: own, .. } => own.may_manage(role),
        Actor::Operator => true,
        Actor::Token { .. } | Actor::Engine | Actor::Browser | Actor::Clinician { .. } => false,
    };
    if may { Ok(()) } else { Err(Code::Forbidden.into()) }
}

/// Makes a one-time link; answers its address.
async fn new_link(app: &App, tx: &mut Tx, page: &str, purpose: Purpose, life_seconds: i64) -> Outcome<String> {
    let (token, now) = (app.ids.token(), app.clock.now());
    let link = Link { id: app.ids.mint(), purpose, created_at: now, expires_at: now.plus_seconds(life_seconds) };
    link::add(tx, &link, &hash_token(&token)).await?;
    Ok(format!("{}/{page}?token={token}", app.config.base_url))
}

/// Adds a member; `taken` is what is said when somebody has the e-mail address.
async fn add(tx: &mut Tx, new: &Member, taken: impl FnOnce() -> Failure) -> Outcome<()> {
    let otherwise = |error: StoreError| if is_taken(&error) { taken() } else { error.into() };
    member::add(tx, new).await.map_err(otherwise)
}

/// A member without a second factor, as from now.
fn new_member(
    app: &App,
    practice: PracticeId,
    email: String,
    name: String,
    role: Role,
    password_hash: String,
) -> Member {
    Member {
        id: MemberId::new(app.ids.mint()),
        practice,
        email,
        name,
        role,
        password_hash,
        totp_sealed: None,
        totp_enabled_at: None,
        created_at: app.clock.now(),
    }
}

/// For those who may know: somebody has this e-mail address already.
fn taken() -> Failure {
    Failure::field("email", Rule::Taken)
}

/// Collects the broken rules of a form, so that one answer names them all.
#[derive(Default)]
struct Checks(Vec<FieldError>);

impl Checks {
    /// The checked value, or `None` and a note.
    fn value<T>(&mut self, field: &str, checked: Result<T, Rule>) -> Option<T> {
        checked.map_err(|rule| self.0.push(FieldError { field: field.to_owned(), rule })).ok()
    }

    /// Both values, or what is wrong with the form.
    fn both<A, B>(self, a: Option<A>, b: Option<B>) -> Outcome<(A, B)> {
        match (a, b) {
            (Some(a), Some(b)) if self.0.is_empty() => Ok((a, b)),
            _ => Err(Problem::invalid(self.0).into()),
        }
    }
}

fn member_view(member: Member, me: Option<&MemberId>) -> MemberView {
    MemberView {
        is_me: me == Some(&member.id),
        totp_enabled: member.has_second_factor(),
        id: member.id,
        name: member.name,
        email: member.email,
        role: member.role,
        created_at: member.created_at,
    }
}

fn invite_view(link: Link) -> Option<InviteView> {
    match link.purpose {
        Purpose::Invite { email, role, .. } => {
            Some(InviteView { id: link.id, email, role, expires_at: link.expires_at })
        }
        Purpose::Setup | Purpose::Reset { .. } => None,
    }
}
