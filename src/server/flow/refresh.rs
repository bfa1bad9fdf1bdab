//! An access token that works: the one we have, or a renewed one.
//!
//! SMART App Launch 2.2, "Refresh access token". Guards: a refresh token is used once, by one
//! process (a lease in the connection's row), and its successor is saved before it is used.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Caller;
use super::client::{accepted, credential, ready, token_client};
use super::sealed::Holder;
use crate::model::connection::ConnectionStatus;
use crate::model::id::ProviderId;
use crate::model::problem::Code;
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::smart::token::{TokenAnswer, TokenError};
use crate::server::store::connection::{self, Connection};
use crate::server::store::{StoreError, audit};

/// How long before its end a token counts as ended, in seconds; a quarter of its life, if that is less.
const MARGIN: i64 = 60;
/// How long a renewal may take before another process may try, in seconds.
const LEASE: i64 = 45;
/// How often a process that waits for another's renewal looks.
const LOOK: Duration = Duration::from_millis(100);
/// How often it looks at most: longer than an outbound call may take.
const LOOKS: u32 = 300;

/// A connection with an access token that works now.
pub struct Usable {
    /// The connection.
    pub connection: Connection,
    /// The token.
    pub token: SecretString,
}

/// The practice's connection with a provider, renewed if its token ends within a minute.
///
/// # Errors
/// `not_found` without a connection; `needs_reconnect` when the EHR ended it; `ehr_unavailable` when
/// it cannot be renewed now.
pub async fn usable(app: &App, caller: &Caller, provider: &ProviderId) -> Outcome<Usable> {
    for _ in 0..LOOKS {
        let connection = load(app, caller, provider).await?;
        let now = app.clock.now();
        if is_fresh(&connection, now) || (connection.refresh_token.is_none() && is_alive(&connection, now)) {
            let token = open(app, &connection)?;
            return Ok(Usable { connection, token });
        }
        let until = now.plus_seconds(LEASE);
        match connection::take_lease(&app.db, &connection.practice, &connection.id, now, until).await? {
            Some(fence) => renew(app, caller, provider, fence).await?,
            None => tokio::time::sleep(LOOK).await,
        }
    }
    Err(Code::EhrUnavailable.into())
}

/// The connection with another token than `stale`, which the EHR does not take any more.
///
/// # Errors
/// As [`usable`]; `needs_reconnect` without a refresh token.
pub async fn renewed(app: &App, caller: &Caller, provider: &ProviderId, stale: &Usable) -> Outcome<Usable> {
    let Connection { practice, id, access_token, .. } = &stale.connection;
    connection::expire(&app.db, practice, id, access_token.as_deref().unwrap_or_default(), app.clock.now()).await?;
    usable(app, caller, provider).await
}

async fn load(app: &App, caller: &Caller, provider: &ProviderId) -> Outcome<Connection> {
    let found = connection::find(app.db.pool(), &caller.practice, provider).await?;
    match found {
        None => Err(Code::NotFound.into()),
        Some(connection) if connection.status == ConnectionStatus::NeedsReconnect => Err(Code::NeedsReconnect.into()),
        Some(connection) => Ok(connection),
    }
}

fn is_fresh(connection: &Connection, now: Timestamp) -> bool {
    connection.expires_at.is_none_or(|expires| {
        let since = connection.refreshed_at.unwrap_or(connection.connected_at);
        let life = expires.as_seconds() - since.as_seconds();
        expires > now.plus_seconds(MARGIN.min(life / 4))
    })
}

/// Without a refresh token, a token is used up to its end.
fn is_alive(connection: &Connection, now: Timestamp) -> bool {
    connection.expires_at.is_none_or(|expires| expires > now)
}

fn open(app: &App, connection: &Connection) -> Outcome<SecretString> {
    let sealed = connection.access_token.as_ref().ok_or(Code::NeedsReconnect)?;
    Holder::connection(connection).open(app, "access_token", sealed)
}

/// Renews under the lease, and gives the lease back when that fails before the EHR was asked.
async fn renew(app: &App, caller: &Caller, provider: &ProviderId, fence: i64) -> Outcome<()> {
    // Read again: a sibling may have renewed between our look and our lease.
    let connection = load(app, caller, provider).await?;
    let result = renew_leased(app, caller, provider, &connection, fence).await;
    if result.is_err() {
        connection::release_lease(&app.db, &connection, fence).await?;
    }
    result
}

async fn renew_leased(
    app: &App,
    caller: &Caller,
    provider: &ProviderId,
    connection: &Connection,
    fence: i64,
) -> Outcome<()> {
    let now = app.clock.now();
    if is_fresh(connection, now) {
        return Ok(connection::release_lease(&app.db, connection, fence).await?);
    }
    let Some(sealed) = &connection.refresh_token else {
        return end(app, caller, connection, fence, Code::TokenExpired).await;
    };
    let holder = Holder::connection(connection);
    let refresh_token = holder.open(app, "refresh_token", sealed)?;
    let ready = ready(app, &caller.practice, provider).await?;
    let credential = credential(app, &ready, &connection.terms).await?;
    let client = token_client(app, &ready, &connection.terms, &credential);
    let granted = connection.scopes_granted.as_deref();
    let scope = granted.filter(|_| ready.refresh_with_scope());
    match client.refresh(&refresh_token, scope).await {
        Ok(answer) => {
            accepted(app, &ready, &credential).await;
            let tokens = holder.seal(app, &answer)?;
            let mut tx = app.db.begin_write().await?;
            connection::save_refreshed(&mut tx, connection, &tokens, fence, app.clock.now()).await?;
            audit::add(&mut *tx, &caller.event(app, "connection.renewed", provider.as_str(), "ok")).await?;
            if is_about_another(connection, &answer) {
                let event = caller.event(app, "connection.patient_changed", provider.as_str(), "ok");
                audit::add(&mut *tx, &event).await?;
            }
            tx.commit().await.map_err(StoreError::from)?;
            Ok(())
        }
        Err(TokenError::InvalidGrant) => {
            refused(app, caller, connection, &refresh_token, (fence, Code::NeedsReconnect)).await
        }
        Err(TokenError::Reused) => refused(app, caller, connection, &refresh_token, (fence, Code::RefreshReused)).await,
        // What was granted once is not asked for again: this is the EHR's fault, and may pass.
        Err(error @ TokenError::InvalidScope) => Err(Failure::explained(Code::EhrUnavailable, error.to_string())),
        Err(error) => Err(Failure::of_token(&error)),
    }
}

/// Whether a renewal came with another patient than the grant had (SMART "Refresh access token": the
/// context may change). One without a patient says nothing about it.
fn is_about_another(connection: &Connection, answer: &TokenAnswer) -> bool {
    answer.patient.is_some() && answer.patient != connection.patient
}

/// `invalid_grant`: unless a sibling has put a newer token there meanwhile, the grant is over.
async fn refused(
    app: &App,
    caller: &Caller,
    connection: &Connection,
    used: &SecretString,
    (fence, why): (i64, Code),
) -> Outcome<()> {
    let current = load(app, caller, &connection.provider).await?;
    let holder = Holder::connection(&current);
    let newer = match &current.refresh_token {
        Some(sealed) => holder.open(app, "refresh_token", sealed)?.expose_secret() != used.expose_secret(),
        None => false,
    };
    if newer {
        return Ok(connection::release_lease(&app.db, connection, fence).await?);
    }
    end(app, caller, connection, fence, why).await
}

async fn end(app: &App, caller: &Caller, connection: &Connection, fence: i64, why: Code) -> Outcome<()> {
    let mut tx = app.db.begin_write().await?;
    connection::mark_ended(&mut tx, connection, fence, why).await?;
    let event = caller.event(app, "connection.ended", connection.provider.as_str(), why.name());
    audit::add(&mut *tx, &event).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}
