//! Drafts: what a form post leaves behind for the page that it redirects to.
//!
//! May import the store and the vault. Guards: a draft is sealed for its row and its browser, its id
//! is kept as a hash only, and an answer that is shown once is gone after the first reader.

use secrecy::{ExposeSecret, SecretString};

use crate::model::draft::Draft;
use crate::model::id::SessionId;
use crate::server::App;
use crate::server::clock::hash_token;
use crate::server::failure::{Failure, Outcome};
use crate::server::store::draft::{self, DraftRow};
use crate::server::vault::Place;

use super::{Actor, Caller};

const LIFE_SECONDS: i64 = 10 * 60;

/// Keeps a draft for ten minutes, for one browser or, when nobody is signed in, for whoever has the
/// id. Answers the id.
///
/// # Errors
/// When the database or the vault fails.
pub async fn save(app: &App, caller: Option<&Caller>, draft: &Draft) -> Outcome<String> {
    let (id, now) = (app.ids.token(), app.clock.now());
    let (id_hash, session) = (hash_token(&id), caller.and_then(session_of).cloned());
    let plain = serde_json::to_string(draft).map_err(|_| Failure::Corrupt("draft"))?;
    let sealed = app.vault.seal(place(&id_hash, session.as_ref()), &SecretString::from(plain))?;
    draft::add(&app.db, &DraftRow { id_hash, session, sealed, expires_at: now.plus_seconds(LIFE_SECONDS) }, now)
        .await?;
    Ok(id)
}

/// The draft of an id, if this browser may see it and it is not over. One that carries an answer to
/// be shown once is removed; a refused form stays until it is over, so that a reload keeps it.
///
/// # Errors
/// When the database or the vault fails.
pub async fn take(app: &App, caller: Option<&Caller>, id: &str) -> Outcome<Option<Draft>> {
    if id.is_empty() {
        return Ok(None);
    }
    let session = caller.and_then(session_of);
    let Some(row) = draft::find(&app.db, &hash_token(id), session, app.clock.now()).await? else { return Ok(None) };
    let plain = app.vault.open(place(&row.id_hash, row.session.as_ref()), &row.sealed)?;
    let draft: Draft = serde_json::from_str(plain.expose_secret()).map_err(|_| Failure::Corrupt("form_drafts"))?;
    if draft.shown_once.is_some() && !draft::remove(&app.db, &row.id_hash).await? {
        return Ok(None);
    }
    Ok(Some(draft))
}

const fn session_of(caller: &Caller) -> Option<&SessionId> {
    match &caller.actor {
        Actor::Member { session, .. } => Some(session),
        _ => None,
    }
}

fn place<'a>(id_hash: &'a str, session: Option<&'a SessionId>) -> Place<'a> {
    let bound_to = session.map(SessionId::as_str).unwrap_or_default();
    Place { practice: "", table: "form_drafts", row: id_hash, column: "sealed", bound_to }
}
