//! Signing in and out, and telling from a cookie who a browser is.
//!
//! May import the store. Guards: every way in ([`open`]) mints a new token and ends the session that
//! the browser had, so that no session can be fixed beforehand; an unknown account costs the same
//! time and the same writes as a wrong password; a session that still wants the second factor is
//! never a [`Caller`].
//!
//! Lives of a session: twelve hours without a request, fourteen days in all; ten minutes while the
//! second factor is wanted.

use std::fmt;
use std::net::IpAddr;

use crate::model::account::{SignInStep, normal_email};
use crate::model::id::SessionId;
use crate::model::problem::Code;
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::failure::{Failure, Outcome};
use crate::server::store::audit::Event;
use crate::server::store::member::Member;
use crate::server::store::session::{Session, SessionOf};
use crate::server::store::{Tx, member, session};

use super::{Actor, Caller, audit};

pub(super) mod password;
pub(super) mod second_factor;

use super::limit::{self, Subject};
use second_factor::Means;

const IDLE_SECONDS: i64 = 12 * 3_600;
const LIFE_SECONDS: i64 = 14 * 86_400;
const PENDING_SECONDS: i64 = 10 * 60;
const TOUCH_SECONDS: i64 = 60;
const USER_AGENT_CHARS: usize = 256;

/// Where a request comes from.
#[derive(Clone, Default)]
pub struct Origin {
    /// The request's id.
    pub request_id: String,
    /// The browser's address, where it is known.
    pub ip: Option<IpAddr>,
    /// The browser's User-Agent.
    pub user_agent: String,
    /// The session cookie's value, whatever it is worth.
    pub session_token: Option<String>,
}

/// What a way in leads to: a cookie, and the next step.
pub struct SignedIn {
    /// Done, or the second factor is wanted.
    pub step: SignInStep,
    /// The cookie's value.
    pub token: String,
    /// How long the browser keeps the cookie.
    pub max_age_seconds: i64,
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("step", &self.step).finish_non_exhaustive()
    }
}

/// What a session cookie is worth.
#[derive(Clone, Debug)]
pub enum Resumed {
    /// A signed-in member.
    Active(Caller),
    /// The password was right; the second factor is wanted.
    TotpWanted,
    /// Nothing: unknown, over, or ended.
    None,
}

/// What was proved on the way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The password, or a link that stands for it.
    Password,
    /// Both factors.
    Both,
}

/// The first step of a sign-in.
///
/// # Errors
/// `invalid_credentials`, `rate_limited`; both are the same for accounts that do not exist.
pub async fn with_password(app: &App, origin: &Origin, email: &str, password: &str) -> Outcome<SignedIn> {
    let email = normal_email(email);
    let attempt = limit::count(app, Subject::Account(&email), origin.ip).await?;
    let known = member::by_email(app.db.pool(), &email).await?;
    let hash = known.as_ref().map_or(password::NOBODY, |member| member.password_hash.as_str());
    let right = password::verify(password, hash).await?;
    match known {
        Some(member) if right => {
            let mut tx = app.db.begin_write().await?;
            let (signed_in, event) = open(app, &mut tx, origin, &member, Proof::Password).await?;
            audit::commit(tx, &event).await?;
            attempt.succeeded(app).await?;
            Ok(signed_in)
        }
        known => {
            let event = refusal(app, origin, known.as_ref(), "sign_in.failed");
            audit::commit(app.db.begin_write().await?, &event).await?;
            Err(Code::InvalidCredentials.into())
        }
    }
}

/// The second step: a code of the authenticator, or a recovery code.
///
/// # Errors
/// `invalid_credentials`, `rate_limited`, `unauthenticated` when there is no first step or it is too old.
pub async fn with_code(app: &App, origin: &Origin, code: &str) -> Outcome<SignedIn> {
    let token = origin.session_token.as_deref().ok_or(Failure::from(Code::Unauthenticated))?;
    let found = session::by_token(app.db.pool(), &hash_token(token)).await?;
    let pending = found.filter(|found| found.session.totp_pending && !is_over(&found.session, app.clock.now()));
    let pending = pending.ok_or(Failure::from(Code::Unauthenticated))?.session;
    let attempt = limit::count(app, Subject::SecondFactor(&pending.member), origin.ip).await?;

    let mut tx = app.db.begin_write().await?;
    let member = member::get(&mut *tx, &pending.practice, &pending.member).await?;
    let member = member.ok_or(Failure::from(Code::Unauthenticated))?;
    let Some(means) = second_factor::accept(app, &mut tx, &member, code).await? else {
        audit::commit(tx, &refusal(app, origin, Some(&member), "sign_in.totp_failed")).await?;
        return Err(Code::InvalidCredentials.into());
    };
    let (signed_in, event) = open(app, &mut tx, origin, &member, Proof::Both).await?;
    if means == Means::RecoveryCode {
        let used = by_member(app, origin, &member, "totp.recovery_code_used", &member.email);
        crate::server::store::audit::add(&mut *tx, &used).await?;
    }
    audit::commit(tx, &event).await?;
    attempt.succeeded(app).await?;
    Ok(signed_in)
}

/// Ends the caller's session.
///
/// # Errors
/// `forbidden` for whoever has no session.
pub async fn sign_out(app: &App, caller: &Caller) -> Outcome<()> {
    let (member, current) = caller.member()?;
    let mut tx = app.db.begin_write().await?;
    session::remove(&mut *tx, &caller.practice, member, current).await?;
    audit::commit(tx, &caller.event(app, "sign_out", current.as_str(), "ok")).await
}

/// What a session cookie is worth now. Notes that the browser is active, at most once a minute.
///
/// # Errors
/// When the database fails.
pub async fn resume(app: &App, token: &str, origin: &Origin) -> Outcome<Resumed> {
    let Some(found) = session::by_token(app.db.pool(), &hash_token(token)).await? else { return Ok(Resumed::None) };
    let SessionOf { session: current, email, role } = found;
    let now = app.clock.now();
    if is_over(&current, now) {
        session::remove(app.db.pool(), &current.practice, &current.member, &current.id).await?;
        return Ok(Resumed::None);
    }
    if current.totp_pending {
        return Ok(Resumed::TotpWanted);
    }
    if now >= current.last_seen_at.plus_seconds(TOUCH_SECONDS) {
        session::touch(&app.db, &current.practice, &current.id, now).await?;
    }
    let actor = Actor::Member { id: current.member, email, role, session: current.id };
    Ok(Resumed::Active(Caller { practice: current.practice, actor, request_id: origin.request_id.clone() }))
}

/// Whether a session is over, by age or by idleness.
pub(super) fn is_over(session: &Session, now: Timestamp) -> bool {
    now >= session.expires_at || now >= session.last_seen_at.plus_seconds(IDLE_SECONDS)
}

/// Gives the browser a new session in place of the one that it had; answers it with its audit line.
pub(super) async fn open(
    app: &App,
    tx: &mut Tx,
    origin: &Origin,
    member: &Member,
    proof: Proof,
) -> Outcome<(SignedIn, Event)> {
    if let Some(old) = &origin.session_token {
        session::remove_by_token(tx, &hash_token(old)).await?;
    }
    let totp_pending = member.has_second_factor() && proof == Proof::Password;
    let max_age_seconds = if totp_pending { PENDING_SECONDS } else { LIFE_SECONDS };
    let (token, now) = (app.ids.token(), app.clock.now());
    let session = Session {
        id: SessionId::new(app.ids.mint()),
        practice: member.practice.clone(),
        member: member.id.clone(),
        totp_pending,
        user_agent: origin.user_agent.chars().take(USER_AGENT_CHARS).collect(),
        created_at: now,
        last_seen_at: now,
        expires_at: now.plus_seconds(max_age_seconds),
    };
    session::add(tx, &session, &hash_token(&token)).await?;
    let (step, action) =
        if totp_pending { (SignInStep::TotpWanted, "sign_in.totp_wanted") } else { (SignInStep::Done, "sign_in.ok") };
    let event = by_member(app, origin, member, action, session.id.as_str());
    Ok((SignedIn { step, token, max_age_seconds }, event))
}

/// An audit line of what a member did who is not a [`Caller`] yet.
pub(super) fn by_member(app: &App, origin: &Origin, member: &Member, action: &str, target: &str) -> Event {
    Event {
        id: app.ids.mint(),
        practice: Some(member.practice.clone()),
        at: app.clock.now(),
        actor: member.email.clone(),
        action: action.into(),
        target: target.into(),
        outcome: "ok".into(),
        request_id: origin.request_id.clone(),
    }
}

/// The line of a refused sign-in. What was typed for an unknown account is not kept: people type
/// passwords into the wrong field.
fn refusal(app: &App, origin: &Origin, known: Option<&Member>, action: &str) -> Event {
    Event {
        id: app.ids.mint(),
        practice: known.map(|member| member.practice.clone()),
        at: app.clock.now(),
        actor: "anonymous".into(),
        action: action.into(),
        target: known.map_or_else(|| "unknown account".into(), |member| member.email.clone()),
        outcome: Code::InvalidCredentials.name().into(),
        request_id: origin.request_id.clone(),
    }
}
