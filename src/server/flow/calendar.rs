//! What of a practice's integrations ends when.
//!
//! Guards: a date that nobody gave us is not guessed: a vendor's limit comes from its plugin, a secret's
//! day from the practice.

use super::{Caller, keys};
use crate::model::calendar::{CalendarPage, Ending, EndingKind, KEY_AGE, Nearness};
use crate::model::connection::ConnectionStatus;
use crate::model::id::ProviderId;
use crate::model::key::{KeyOwner, KeyState};
use crate::model::role::Permission;
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::provider::{self, PracticeConfig, RefreshTokenLife, SECRET_EXPIRES};
use crate::server::store::connection::{self, Connection};
use crate::server::store::{secret, settings, token};

const DAY: i64 = 86_400;

/// What ends, the next one first.
///
/// # Errors
/// `forbidden`.
pub async fn page(app: &App, caller: &Caller) -> Outcome<CalendarPage> {
    caller.require(Permission::ReadSettings)?;
    let now = app.clock.now();
    let mut endings = Vec::new();
    let connections = connection::all(&app.db, &caller.practice).await?;
    endings.extend(connections.iter().filter_map(of_connection));
    endings.extend(secrets(app, caller).await?);
    for owner in [KeyOwner::Installation, KeyOwner::Practice] {
        endings.extend(signing_keys(app, caller, owner).await?);
    }
    let tokens = token::list(&app.db, &caller.practice).await?;
    let tokens = tokens.into_iter().filter(|token| token.revoked_at.is_none());
    endings.extend(tokens.filter_map(|token| {
        // One that has ended is nobody's any more.
        let at = token.expires_at.filter(|at| *at > now)?;
        Some(Ending { kind: EndingKind::ApiToken, name: token.name, provider: None, at })
    }));
    endings.sort_by_key(|ending| ending.at);
    Ok(CalendarPage { endings, now })
}

/// What ends within two weeks, or has ended: what somebody should do something about.
///
/// # Errors
/// When the database fails.
pub async fn soon(app: &App, caller: &Caller) -> Outcome<Vec<Ending>> {
    let CalendarPage { mut endings, now } = page(app, caller).await?;
    endings.retain(|ending| ending.nearness(now) < Nearness::Later);
    Ok(endings)
}

/// A connection's own end: its refresh token's, by the vendor's limit; or, without one, its access token's.
fn of_connection(connection: &Connection) -> Option<Ending> {
    if connection.status != ConnectionStatus::Connected {
        return None;
    }
    let (kind, at) = match &connection.refresh_token {
        Some(_) => {
            let issued = connection.refresh_token_at.unwrap_or(connection.connected_at);
            let used = connection.refreshed_at.unwrap_or(connection.connected_at);
            let life = provider::by_id(&connection.provider)?.quirks().refresh_token_life?;
            let at = match life {
                RefreshTokenLife::Days(days) => issued.plus_seconds(i64::from(days) * DAY),
                RefreshTokenLife::IdleDays(days) => used.plus_seconds(i64::from(days) * DAY),
            };
            (EndingKind::RefreshToken, at)
        }
        None => (EndingKind::Access, connection.expires_at?),
    };
    let (name, provider) = (provider::name_of(&connection.provider), Some(connection.provider.clone()));
    Some(Ending { kind, name, provider, at })
}

async fn secrets(app: &App, caller: &Caller) -> Outcome<Vec<Ending>> {
    let (saved, _) = settings::load(app.db.pool(), &caller.practice).await?;
    let names = secret::names(app.db.pool(), &caller.practice).await?;
    let has_secret = |id: &ProviderId| names.keys().any(|(provider, _)| provider == id);
    let ending = |(id, values): (&ProviderId, _)| {
        let config = PracticeConfig::of(provider::by_id(id)?, values)?;
        let at: Timestamp = config.value(SECRET_EXPIRES).and_then(Timestamp::of_day)?;
        let provider = Some(id.clone());
        has_secret(id).then(|| Ending { kind: EndingKind::ClientSecret, name: provider::name_of(id), provider, at })
    };
    Ok(saved.provider_configs.iter().filter_map(ending).collect())
}

async fn signing_keys(app: &App, caller: &Caller, owner: KeyOwner) -> Outcome<Vec<Ending>> {
    let set = keys::set(app, caller, owner).await?;
    let replaced = |algorithm| set.keys.iter().any(|key| key.algorithm == algorithm && key.state == KeyState::Next);
    let due = set.keys.iter().filter(|key| key.state == KeyState::Active && !replaced(key.algorithm));
    // Those who cannot change a key have nothing to do about it.
    let due = due.filter(|_| set.may_manage).map(|key| Ending {
        kind: EndingKind::SigningKey,
        name: key.kid.clone(),
        provider: None,
        at: key.times.activates_at.plus_seconds(KEY_AGE),
    });
    Ok(due.collect())
}
