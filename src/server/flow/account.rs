//! One's own account: who one is, the signed-in browsers, the password, the second factor.
//!
//! May import the store. Guards: everything here is about the caller's own member record; a current
//! password and a first code are rate-limited like a sign-in.

use crate::model::account::{Account, Me, SessionView, TotpSetup, check_password};
use crate::model::field::Rule;
use crate::model::id::SessionId;
use crate::model::problem::Code;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::store::link::Kind;
use crate::server::store::member::Member;
use crate::server::store::session::Session;
use crate::server::store::{link, member, practice, session, totp};

use super::limit::{self, Attempt, Subject};
use super::sign_in::{is_over, password, second_factor};
use super::{Caller, audit};

/// Who is signed in.
///
/// # Errors
/// `forbidden` for whoever is no member; `unauthenticated` when the member is gone.
pub async fn me(app: &App, caller: &Caller) -> Outcome<Me> {
    let member = own(app, caller).await?;
    let practice = practice::get(app.db.pool(), &caller.practice).await?;
    let practice = practice.ok_or(Failure::Corrupt("members.practice_id"))?;
    Ok(Me {
        totp_enabled: member.has_second_factor(),
        member: member.id,
        practice: practice.id,
        practice_name: practice.name,
        name: member.name,
        email: member.email,
        role: member.role,
    })
}

/// The account page.
///
/// # Errors
/// As [`me`].
pub async fn overview(app: &App, caller: &Caller) -> Outcome<Account> {
    let me = me(app, caller).await?;
    let (_, current) = caller.member()?;
    let now = app.clock.now();
    let sessions = session::list(&app.db, &caller.practice, &me.member, now).await?;
    let sessions = sessions.into_iter().filter(|session| !is_over(session, now)).map(|session| view(session, current));
    let left = if me.totp_enabled { totp::codes_left(app.db.pool(), &me.member).await? } else { 0 };
    Ok(Account { sessions: sessions.collect(), recovery_codes_left: u32::try_from(left).unwrap_or_default(), me, now })
}

/// Signs another browser of the caller out.
///
/// # Errors
/// `not_found`.
pub async fn revoke_session(app: &App, caller: &Caller, session: &SessionId) -> Outcome<()> {
    let (member, _) = caller.member()?;
    let mut tx = app.db.begin_write().await?;
    if !session::remove(&mut *tx, &caller.practice, member, session).await? {
        return Err(Code::NotFound.into());
    }
    audit::commit(tx, &caller.event(app, "session.revoked", session.as_str(), "ok")).await
}

/// Signs every other browser of the caller out.
///
/// # Errors
/// `forbidden` for whoever is no member.
pub async fn revoke_other_sessions(app: &App, caller: &Caller) -> Outcome<()> {
    let (member, current) = caller.member()?;
    let mut tx = app.db.begin_write().await?;
    let ended = session::remove_all_but(&mut tx, &caller.practice, member, Some(current)).await?;
    audit::commit(tx, &caller.event(app, "session.revoked", &format!("{ended} other sessions"), "ok")).await
}

/// Changes the caller's password. Every other browser is signed out, and reset links end.
///
/// # Errors
/// `invalid_input` with field `current` or `password`; `rate_limited`.
pub async fn change_password(app: &App, caller: &Caller, current: &str, new: &str) -> Outcome<()> {
    let (_, session) = caller.member()?;
    let member = own(app, caller).await?;
    check_password(new, &member.email).map_err(|rule| Failure::field("password", rule))?;
    let attempt = check_current(app, caller, &member, current, "current", "password.changed").await?;
    let hash = password::hash(app, new).await?;
    let mut tx = app.db.begin_write().await?;
    member::set_password(&mut tx, &member.practice, &member.id, &hash).await?;
    session::remove_all_but(&mut tx, &member.practice, &member.id, Some(session)).await?;
    link::remove_of_member(&mut tx, &member.practice, &member.id, Kind::Reset).await?;
    audit::commit(tx, &caller.event(app, "password.changed", &member.email, "ok")).await?;
    attempt.succeeded(app).await
}

/// The second factor that waits for its first code; makes one if there is none.
///
/// # Errors
/// `conflict` when a second factor is in use.
pub async fn totp_setup(app: &App, caller: &Caller) -> Outcome<TotpSetup> {
    let member = own(app, caller).await?;
    if member.has_second_factor() {
        return Err(Code::Conflict.into());
    }
    if member.totp_sealed.is_some() {
        return second_factor::setup(app, &member);
    }
    let sealed = second_factor::new_sealed(app, &member)?;
    totp::set_pending(app.db.pool(), &member.practice, &member.id, sealed).await?;
    // Of two that ask at once both get what the first one kept.
    second_factor::setup(app, &own(app, caller).await?)
}

/// Switches the second factor on; answers the recovery codes. Every other browser is signed out.
///
/// # Errors
/// `invalid_input` with field `code`; `rate_limited`; `conflict` when none is waiting.
pub async fn totp_confirm(app: &App, caller: &Caller, code: &str) -> Outcome<Vec<String>> {
    let (id, session) = caller.member()?;
    let attempt = limit::count(app, Subject::SecondFactor(id), None).await?;
    let mut tx = app.db.begin_write().await?;
    let member = member::get(&mut *tx, &caller.practice, id).await?.ok_or(Failure::from(Code::Unauthenticated))?;
    if member.has_second_factor() || member.totp_sealed.is_none() {
        return Err(Code::Conflict.into());
    }
    if !second_factor::accept_authenticator(app, &mut tx, &member, code).await? {
        return Err(Failure::field("code", Rule::WrongCode));
    }
    if !totp::enable(&mut tx, &member.practice, &member.id, app.clock.now()).await? {
        return Err(Code::Conflict.into());
    }
    let codes = second_factor::new_recovery_codes(app, &mut tx, &member).await?;
    session::remove_all_but(&mut tx, &member.practice, &member.id, Some(session)).await?;
    audit::commit(tx, &caller.event(app, "totp.enabled", &member.email, "ok")).await?;
    attempt.succeeded(app).await?;
    Ok(codes)
}

/// Switches the second factor off, or forgets one that waits for its first code.
///
/// # Errors
/// `invalid_input` with field `password`; `rate_limited`.
pub async fn totp_disable(app: &App, caller: &Caller, password: &str) -> Outcome<()> {
    let member = own(app, caller).await?;
    let attempt = check_current(app, caller, &member, password, "password", "totp.disabled").await?;
    let mut tx = app.db.begin_write().await?;
    totp::disable(&mut tx, &member.practice, &member.id).await?;
    audit::commit(tx, &caller.event(app, "totp.disabled", &member.email, "ok")).await?;
    attempt.succeeded(app).await
}

async fn own(app: &App, caller: &Caller) -> Outcome<Member> {
    let (id, _) = caller.member()?;
    let member = member::get(app.db.pool(), &caller.practice, id).await?;
    member.ok_or(Failure::from(Code::Unauthenticated))
}

/// Proves once more that it is the member; a wrong password leaves a line for what it was tried.
async fn check_current(
    app: &App,
    caller: &Caller,
    member: &Member,
    typed: &str,
    field: &str,
    action: &str,
) -> Outcome<Attempt> {
    let attempt = limit::count(app, Subject::CurrentPassword(&member.id), None).await?;
    if password::verify(typed, &member.password_hash).await? {
        return Ok(attempt);
    }
    let event = caller.event(app, action, &member.email, Code::InvalidCredentials.name());
    audit::commit(app.db.begin_write().await?, &event).await?;
    Err(Failure::field(field, Rule::WrongPassword))
}

fn view(session: Session, current: &SessionId) -> SessionView {
    SessionView {
        current: session.id == *current,
        device: device(&session.user_agent),
        id: session.id,
        created_at: session.created_at,
        last_seen_at: session.last_seen_at,
    }
}

/// "Firefox on Linux". The order matters: browsers name those that they descend from.
fn device(user_agent: &str) -> String {
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    let browser = named(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = named(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "Unknown browser".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::device;

    #[test]
    fn devices() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36";
        assert_eq!(device(chrome), "Chrome on Linux");
        assert_eq!(
            device(&format!("{chrome} Edg/140.0").replace("X11; Linux x86_64", "Windows NT 10.0")),
            "Edge on Windows"
        );
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Safari/604.1";
        assert_eq!(device(iphone), "Safari on iPhone");
        assert_eq!(device("curl/8.0"), "curl");
        assert_eq!(device("?"), "Unknown browser");
    }
}
