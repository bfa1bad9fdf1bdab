//! API tokens: `ehri_` and 43 characters, shown once, kept as a hash.
//!
//! May import the store. Guards: a token belongs to one practice and carries only its scopes; one
//! that is revoked or over is nobody.

use crate::model::account::check_name;
use crate::model::field::Rule;
use crate::model::id::TokenId;
use crate::model::problem::Code;
use crate::model::role::{Permission, TokenScope};
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::failure::{Failure, Outcome};
use crate::server::store::token;
use crate::server::store::token::ApiToken;

use super::{Actor, Caller, audit};

const PREFIX: &str = "ehri_";
const LENGTH: usize = PREFIX.len() + 43;
const DAYS_MAX: u32 = 3_650;
const TOUCH_SECONDS: i64 = 60;

/// Makes a token of the caller's practice; answers it, which nobody can read again.
///
/// # Errors
/// `forbidden`; `invalid_input` with field `name`, `scopes` or `expires_days`.
pub async fn create(
    app: &App,
    caller: &Caller,
    name: &str,
    scopes: &[TokenScope],
    expires_days: Option<u32>,
) -> Outcome<String> {
    caller.require(Permission::ManageTokens)?;
    let name = check_name(name).map_err(|rule| Failure::field("name", rule))?;
    if scopes.is_empty() {
        return Err(Failure::field("scopes", Rule::Required));
    }
    let now = app.clock.now();
    let expires_at = match expires_days {
        Some(0) => return Err(Failure::field("expires_days", Rule::TooShort)),
        Some(days) if days > DAYS_MAX => return Err(Failure::field("expires_days", Rule::TooLong)),
        days => days.map(|days| now.plus_seconds(i64::from(days) * 86_400)),
    };
    let text = format!("{PREFIX}{}", app.ids.token());
    let record = ApiToken {
        id: TokenId::new(app.ids.mint()),
        practice: caller.practice.clone(),
        name,
        scopes: scopes.to_vec(),
        created_at: now,
        expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    let mut tx = app.db.begin_write().await?;
    token::add(&mut tx, &record, &hash_token(&text)).await?;
    audit::commit(tx, &caller.event(app, "token.created", &record.name, "ok")).await?;
    Ok(text)
}

/// Who a token is, or `None` when it is unknown, revoked or over. Notes its use at most once a minute.
///
/// # Errors
/// When the database fails.
pub async fn authenticate(app: &App, token: &str, request_id: &str) -> Outcome<Option<Caller>> {
    if token.len() != LENGTH || !token.starts_with(PREFIX) {
        return Ok(None);
    }
    let now = app.clock.now();
    let found = token::by_token(app.db.pool(), &hash_token(token)).await?;
    let works = |found: &ApiToken| found.revoked_at.is_none() && found.expires_at.is_none_or(|end| now < end);
    let Some(found) = found.filter(works) else { return Ok(None) };
    if found.last_used_at.is_none_or(|last| now >= last.plus_seconds(TOUCH_SECONDS)) {
        token::touch(&app.db, &found.practice, &found.id, now).await?;
    }
    let actor = Actor::Token { id: found.id, name: found.name, scopes: found.scopes };
    Ok(Some(Caller { practice: found.practice, actor, request_id: request_id.to_owned() }))
}

/// The tokens of the caller's practice, newest first, with those that are over.
///
/// # Errors
/// `forbidden`.
pub async fn list(app: &App, caller: &Caller) -> Outcome<Vec<ApiToken>> {
    caller.require(Permission::ManageTokens)?;
    Ok(token::list(&app.db, &caller.practice).await?)
}

/// Revokes a token at once.
///
/// # Errors
/// `forbidden`; `not_found` also when it is revoked already.
pub async fn revoke(app: &App, caller: &Caller, id: &TokenId) -> Outcome<()> {
    caller.require(Permission::ManageTokens)?;
    let mut tx = app.db.begin_write().await?;
    let name = token::revoke(&mut tx, &caller.practice, id, app.clock.now()).await?;
    let name = name.ok_or(Failure::from(Code::NotFound))?;
    audit::commit(tx, &caller.event(app, "token.revoked", &name, "ok")).await
}
