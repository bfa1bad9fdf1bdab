//! The three ways in by a one-time link: setting the installation up, accepting an invitation,
//! setting a new password.
//!
//! Guards: nothing is hashed for a link that does not work; the link is used up in the transaction of
//! what it is used for; an answer to a stranger never tells whether an e-mail address is known.

use crate::model::account::{check_email, check_name, check_password};
use crate::model::id::PracticeId;
use crate::model::problem::Code;
use crate::model::role::Role;
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::failure::{Failure, Outcome};
use crate::server::flow::audit;
use crate::server::flow::limit::{self, Subject};
use crate::server::flow::sign_in::{Origin, Proof, SignedIn, by_member, open, password};
use crate::server::store::link::{Kind, Purpose};
use crate::server::store::member::Member;
use crate::server::store::practice::Practice;
use crate::server::store::{Tx, audit as lines, link, member, practice, session};

use super::{Checks, add, new_member};

/// Makes the first practice and its owner, who is signed in.
///
/// # Errors
/// `link_invalid`, also once there is a practice; `invalid_input` with fields `practice`, `name`,
/// `email`, `password`.
pub async fn set_up(
    app: &App,
    origin: &Origin,
    token: &str,
    practice_name: &str,
    name: &str,
    email: &str,
    password: &str,
) -> Outcome<SignedIn> {
    find(app, Kind::Setup, token).await?;
    let mut checks = Checks::default();
    let practice_name = checks.value("practice", check_name(practice_name));
    let name = checks.value("name", check_name(name));
    checks.value("password", check_password(password, email));
    let email = checks.value("email", check_email(email));
    let ((practice_name, name), email) = checks.both(practice_name.zip(name), email)?;
    let hash = password::hash(app, password).await?;

    let mut tx = app.db.begin_write().await?;
    take(app, &mut tx, Kind::Setup, token).await?;
    link::remove_setup(&mut tx).await?;
    if practice::count(&mut *tx).await? > 0 {
        return Err(invalid());
    }
    let made = Practice { id: PracticeId::new(app.ids.mint()), name: practice_name, created_at: app.clock.now() };
    practice::add(&mut tx, &made).await?;
    let owner = new_member(app, made.id, email, name, Role::Owner, hash);
    add(&mut tx, &owner, invalid).await?;
    lines::add(&mut *tx, &by_member(app, origin, &owner, "practice.created", &made.name)).await?;
    enter(app, tx, origin, &owner, "member.joined").await
}

/// Makes the account of an invited member, who is signed in.
///
/// # Errors
/// `link_invalid`; `invalid_input` with fields `name`, `password`.
pub async fn accept_invite(app: &App, origin: &Origin, token: &str, name: &str, password: &str) -> Outcome<SignedIn> {
    let Purpose::Invite { email, .. } = find(app, Kind::Invite, token).await? else { return Err(invalid()) };
    let mut checks = Checks::default();
    let name = checks.value("name", check_name(name));
    let fits = checks.value("password", check_password(password, &email));
    let (name, ()) = checks.both(name, fits)?;
    let hash = password::hash(app, password).await?;

    let mut tx = app.db.begin_write().await?;
    let Purpose::Invite { practice, email, role, .. } = take(app, &mut tx, Kind::Invite, token).await? else {
        return Err(invalid());
    };
    let joined = new_member(app, practice, email, name, role, hash);
    add(&mut tx, &joined, invalid).await?;
    enter(app, tx, origin, &joined, "member.joined").await
}

/// Sets a new password. Every browser of the member is signed out, this one is signed in (or asked
/// for the second factor, which a link does not replace).
///
/// # Errors
/// `link_invalid`; `invalid_input` with field `password`.
pub async fn reset_password(app: &App, origin: &Origin, token: &str, password: &str) -> Outcome<SignedIn> {
    let Purpose::Reset { practice, member } = find(app, Kind::Reset, token).await? else { return Err(invalid()) };
    let known = member::get(app.db.pool(), &practice, &member).await?.ok_or_else(invalid)?;
    check_password(password, &known.email).map_err(|rule| Failure::field("password", rule))?;
    let hash = password::hash(app, password).await?;

    let mut tx = app.db.begin_write().await?;
    take(app, &mut tx, Kind::Reset, token).await?;
    member::set_password(&mut tx, &practice, &member, &hash).await?;
    session::remove_all_but(&mut tx, &practice, &member, None).await?;
    link::remove_of_member(&mut tx, &practice, &member, Kind::Reset).await?;
    let signed_in = enter(app, tx, origin, &known, "password.reset").await?;
    limit::forget(app, Subject::Account(&known.email)).await?;
    Ok(signed_in)
}

/// Signs a member in with what a link proved, under the audit line of what was done with it.
async fn enter(app: &App, mut tx: Tx, origin: &Origin, member: &Member, action: &str) -> Outcome<SignedIn> {
    lines::add(&mut *tx, &by_member(app, origin, member, action, &member.email)).await?;
    let (signed_in, event) = open(app, &mut tx, origin, member, Proof::Password).await?;
    audit::commit(tx, &event).await?;
    Ok(signed_in)
}

async fn find(app: &App, kind: Kind, token: &str) -> Outcome<Purpose> {
    let found = link::find(&app.db, kind, &hash_token(token), app.clock.now()).await?;
    found.map(|link| link.purpose).ok_or_else(invalid)
}

async fn take(app: &App, tx: &mut Tx, kind: Kind, token: &str) -> Outcome<Purpose> {
    let used = link::take(tx, kind, &hash_token(token), app.clock.now()).await?;
    used.map(|link| link.purpose).ok_or_else(invalid)
}

fn invalid() -> Failure {
    Code::LinkInvalid.into()
}
