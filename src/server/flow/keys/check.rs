//! "Can the EHR see my key?", and the log of who looked.

use std::net::IpAddr;

use serde_json::Value;

use super::{jwks_url, material, of};
use crate::model::id::PracticeId;
use crate::model::key::{KeyCheck, KeyOwner, KeyState};
use crate::model::problem::Code;
use crate::model::role::Permission;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::flow::Caller;
use crate::server::net::{Request, USER_AGENT};
use crate::server::provider;
use crate::server::store::key::{self, Key};

/// The longest name of a program that is kept, in characters.
const MAX_AGENT: usize = 120;

/// Reads the JWKS from its public address as an EHR would, and tells what EHRs did with it.
///
/// # Errors
/// `forbidden`.
pub async fn check(app: &App, caller: &Caller, owner: KeyOwner) -> Outcome<KeyCheck> {
    caller.require(Permission::Connect)?;
    let practice = of(caller, owner);
    let now = app.clock.now();
    let mut keys = key::all(app.db.pool(), practice.as_ref()).await?;
    keys.retain(|key| key.times.state(now).is_published());
    let newest = keys.iter().map(|key| key.times.created_at).max();
    let url = jwks_url(app, practice.as_ref());
    let published = seen_from_outside(app, &url, &keys).await;
    let fetches = key::fetches(&app.db, practice.as_ref()).await?;
    let signs = |kid: &str| keys.iter().any(|key| key.kid == kid && key.times.state(now) == KeyState::Active);
    let uses = key::uses(&app.db, &caller.practice).await?;
    Ok(KeyCheck {
        jwks_url: url,
        published,
        fetched: fetches.into_iter().find(|fetch| newest.is_some_and(|newest| fetch.last_at >= newest)),
        accepted: uses.into_iter().find(|(kid, ..)| signs(kid)).map(|(_, id, at)| (provider::name_of(&id), at)),
    })
}

/// Whether every key that is published here is in the set that the address answers.
async fn seen_from_outside(app: &App, url: &str, keys: &[Key]) -> Result<(), Code> {
    let request = Request { url, accept: "application/json", bearer: None, headers: &[] };
    let answer = app.http.get(&request).await.map_err(|error| {
        tracing::info!(error = %error, "our JWKS cannot be read from outside");
        Code::JwksUnreachable
    })?;
    let set: Value = serde_json::from_slice(&answer.body).map_err(|_| Code::JwksUnreachable)?;
    let seen = set.get("keys").and_then(Value::as_array).filter(|_| answer.status.is_success());
    let seen = seen.ok_or(Code::JwksUnreachable)?;
    let is_seen = |key: &Key| {
        seen.iter().any(|one| {
            let numbers = serde_json::from_value(one.clone()).ok();
            one.get("kid").and_then(Value::as_str) == Some(&key.kid) && numbers == material(&key.public_key).ok()
        })
    };
    if keys.is_empty() || !keys.iter().all(is_seen) { Err(Code::KidUnknown) } else { Ok(()) }
}

/// Notes that somebody fetched an owner's JWKS; once a minute for each, so that nobody fills the database.
/// A failure costs a log line, never the answer.
pub async fn fetched(app: &App, owner: Option<&PracticeId>, ip: Option<IpAddr>, user_agent: &str) {
    if user_agent == USER_AGENT {
        return;
    }
    let ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
    let agent: String = user_agent.chars().filter(|c| !c.is_control()).take(MAX_AGENT).collect();
    let name = format!("{} {ip} {agent}", owner.map(PracticeId::as_str).unwrap_or_default());
    if app.jwks_fetches.contains_key(&name) {
        return;
    }
    app.jwks_fetches.insert(name, ()).await;
    if let Err(error) = key::fetched(&app.db, owner, &ip, &agent, app.clock.now()).await {
        tracing::warn!(error = %error, "a fetch of the JWKS was not noted");
    }
}
