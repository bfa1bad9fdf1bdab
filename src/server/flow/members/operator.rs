//! What the command line does about members: the first link, accounts without a browser, reset links.
//!
//! Guards: whoever has the machine may do this, nobody else calls it; the audit trail names them
//! `operator`.

use crate::model::account::{check_email, check_name, check_password, normal_email};
use crate::model::id::{MemberId, PracticeId};
use crate::model::problem::Code;
use crate::model::role::Role;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::flow::sign_in::password;
use crate::server::flow::{Caller, audit};
use crate::server::store::audit::Event;
use crate::server::store::link::{Kind, Purpose};
use crate::server::store::practice::Practice;
use crate::server::store::{audit as lines, link, member, practice};

use super::{Checks, add, new_link, new_member, taken};

const SETUP_SECONDS: i64 = 24 * 3_600;
const RESET_SECONDS: i64 = 3_600;

/// An account that the command line made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Of which practice.
    pub practice: PracticeId,
    /// Whether the practice was made as well.
    pub new_practice: bool,
    /// Who.
    pub member: MemberId,
    /// With which role.
    pub role: Role,
}

/// Makes an account, and its practice if there is none of this name. Without a role, the first
/// member of a practice is its owner and every further one an admin.
///
/// # Errors
/// `invalid_input` with fields `practice`, `email`, `password`.
pub async fn create_by_operator(
    app: &App,
    practice_name: &str,
    email: &str,
    password: &str,
    role: Option<Role>,
) -> Outcome<Created> {
    let mut checks = Checks::default();
    let practice_name = checks.value("practice", check_name(practice_name));
    checks.value("password", check_password(password, email));
    let email = checks.value("email", check_email(email));
    let (practice_name, email) = checks.both(practice_name, email)?;
    let hash = password::hash(app, password).await?;

    let mut tx = app.db.begin_write().await?;
    let known = practice::by_name(&mut *tx, &practice_name).await?;
    let new_practice = known.is_none();
    let home = known.unwrap_or_else(|| Practice {
        id: PracticeId::new(app.ids.mint()),
        name: practice_name,
        created_at: app.clock.now(),
    });
    let caller = Caller::operator(app, home.id.clone());
    if new_practice {
        practice::add(&mut tx, &home).await?;
        link::remove_setup(&mut tx).await?;
        lines::add(&mut *tx, &caller.event(app, "practice.created", &home.name, "ok")).await?;
    }
    let role = role.unwrap_or(if new_practice { Role::Owner } else { Role::Admin });
    let joined = new_member(app, home.id.clone(), email, String::new(), role, hash);
    add(&mut tx, &joined, taken).await?;
    link::remove_invites_of(&mut tx, &home.id, &joined.email, app.clock.now()).await?;
    audit::commit(tx, &caller.event(app, "member.joined", &joined.email, "ok")).await?;
    Ok(Created { practice: home.id, new_practice, member: joined.id, role })
}

/// A new set-up link in place of older ones, while there is no practice.
///
/// # Errors
/// When the database fails.
pub async fn set_up_link(app: &App) -> Outcome<Option<String>> {
    let mut tx = app.db.begin_write().await?;
    if practice::count(&mut *tx).await? > 0 {
        return Ok(None);
    }
    link::remove_setup(&mut tx).await?;
    let url = new_link(app, &mut tx, "setup", Purpose::Setup, SETUP_SECONDS).await?;
    let event = Event {
        id: app.ids.mint(),
        practice: None,
        at: app.clock.now(),
        actor: "operator".into(),
        action: "setup.link_made".into(),
        target: "installation".into(),
        outcome: "ok".into(),
        request_id: app.ids.mint(),
    };
    audit::commit(tx, &event).await?;
    Ok(Some(url))
}

/// A new password-reset link for a member, in place of older ones.
///
/// # Errors
/// `not_found` when nobody has this e-mail address.
pub async fn reset_link(app: &App, email: &str) -> Outcome<String> {
    let mut tx = app.db.begin_write().await?;
    let known = member::by_email(&mut *tx, &normal_email(email)).await?;
    let known = known.ok_or(Failure::from(Code::NotFound))?;
    link::remove_of_member(&mut tx, &known.practice, &known.id, Kind::Reset).await?;
    let purpose = Purpose::Reset { practice: known.practice.clone(), member: known.id };
    let url = new_link(app, &mut tx, "reset", purpose, RESET_SECONDS).await?;
    let caller = Caller::operator(app, known.practice);
    audit::commit(tx, &caller.event(app, "password.reset_link_made", &known.email, "ok")).await?;
    Ok(url)
}
