//! Signing keys: made, published, used, retired.
//!
//! SMART App Launch 2.2, "Client Authentication: Asymmetric", "Registering a client". Guards: a new key is
//! published before it signs, for longer than any EHR keeps an old set, unless somebody decides
//! otherwise; the installation's keys are changed by the operator, and by a practice only while it is the
//! only one; the private half is sealed, and deleted when the key is retired.

use super::{Actor, Caller};
use crate::model::id::PracticeId;
use crate::model::key::{KeyAlgorithm, KeyOwner, KeyState, KeyTimes};
use crate::model::problem::Code;
use crate::model::role::Permission;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::smart::keys::{KeyMaterial, PublicJwk, PublicJwks, SigningKey, generate_pem};
use crate::server::store::audit::Event;
use crate::server::store::key::{self, Key};
use crate::server::store::{StoreError, Tx, audit, signing};
use crate::server::vault::Place;

mod check;
mod view;

pub use check::{check, fetched};
pub use view::{page, set};

/// What importing the key of the environment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// There is none, or it is known already.
    Nothing,
    /// It is known now, in this state.
    Added(KeyState),
    /// Its name is that of another key.
    NameTaken,
}

/// Takes in the key of the environment, if it is not known yet: the first key signs at once, one that
/// replaces another waits until the EHRs can know it.
///
/// # Errors
/// When the database or the vault fails.
pub async fn import(app: &App) -> Outcome<Imported> {
    let Some(private) = &app.config.signing_key else { return Ok(Imported::Nothing) };
    let signing = SigningKey::from_pem(&private.pem, private.kid.as_deref());
    let signing = signing.map_err(|error| Failure::explained(Code::Internal, error.to_string()))?;
    let public = public_key(&signing)?;
    let mut tx = app.db.begin_write().await?;
    if let Some(known) = key::public_key(&mut *tx, signing.kid()).await? {
        return Ok(if known == public { Imported::Nothing } else { Imported::NameTaken });
    }
    let times = succeed(app, &mut tx, None, signing.algorithm()).await?;
    let row = sealed_row(app, None, &signing, &private.pem, times)?;
    // Another replica may have been faster.
    if !key::add(&mut tx, &row).await? {
        return Ok(Imported::Nothing);
    }
    let event = Event {
        id: app.ids.mint(),
        practice: None,
        at: app.clock.now(),
        actor: "operator".into(),
        action: "key.imported".into(),
        target: row.kid,
        outcome: "ok".into(),
        request_id: String::new(),
    };
    audit::add(&mut *tx, &event).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(Imported::Added(times.state(app.clock.now())))
}

/// Makes a new key, and publishes it. It signs at once when it is the first of its algorithm, else once
/// every EHR can know it; the key before it is retired after that. Answers its name, and since when it signs.
///
/// # Errors
/// `forbidden`; `conflict` while another new key waits.
pub async fn rotate(
    app: &App,
    caller: &Caller,
    owner: KeyOwner,
    algorithm: KeyAlgorithm,
) -> Outcome<(String, KeyTimes)> {
    let owner = managed(app, caller, owner).await?;
    // An RSA key takes a second or so of a processor.
    let made = tokio::task::spawn_blocking(move || generate_pem(algorithm)).await;
    let failed = |_| Failure::explained(Code::Internal, "no key could be made");
    let pem = made.map_err(|_| Failure::explained(Code::Internal, "no key was made"))?.map_err(failed)?;
    let signing = SigningKey::from_pem(&pem, None).map_err(|_| Failure::Corrupt("new key"))?;
    let mut tx = app.db.begin_write().await?;
    let times = succeed(app, &mut tx, owner.as_ref(), algorithm).await?;
    let row = sealed_row(app, owner, &signing, &pem, times)?;
    key::add(&mut tx, &row).await?;
    keep(app, caller, tx, "key.created", &row).await?;
    Ok((row.kid, times))
}

/// Lets a new key sign at once, without waiting for the EHRs' caches.
///
/// # Errors
/// `forbidden`, `not_found` unless the key waits.
pub async fn use_now(app: &App, caller: &Caller, owner: KeyOwner, id: &str) -> Outcome<()> {
    let owner = managed(app, caller, owner).await?;
    let now = app.clock.now();
    let mut tx = app.db.begin_write().await?;
    let keys = key::all(&mut *tx, owner.as_ref()).await?;
    let found = keys.iter().find(|key| key.id == id && key.times.state(now) == KeyState::Next);
    let next = found.ok_or(Code::NotFound)?;
    activate(app, &mut tx, &keys, next).await?;
    keep(app, caller, tx, "key.used_early", next).await
}

/// Takes a key out at once: it signs no more, is published no more, and its private half is deleted. One
/// that waits to take its place signs from now on.
///
/// # Errors
/// `forbidden`, `not_found`.
pub async fn retire(app: &App, caller: &Caller, owner: KeyOwner, id: &str) -> Outcome<()> {
    let owner = managed(app, caller, owner).await?;
    let now = app.clock.now();
    let mut tx = app.db.begin_write().await?;
    let keys = key::all(&mut *tx, owner.as_ref()).await?;
    let found = keys.iter().find(|key| key.id == id && key.times.state(now).is_published());
    let gone = found.ok_or(Code::NotFound)?;
    let same = |key: &&Key| key.algorithm == gone.algorithm && key.id != gone.id;
    match gone.times.state(now) {
        KeyState::Next => {
            // The key that it was to take the place of goes on.
            let stays = keys.iter().filter(same).find(|key| key.times.superseded_at == Some(gone.times.activates_at));
            if let Some(stays) = stays {
                let times = KeyTimes { superseded_at: None, retires_at: None, ..stays.times };
                key::set_times(&mut tx, &stays.id, &times).await?;
            }
        }
        KeyState::Active => {
            if let Some(next) = keys.iter().filter(same).find(|key| key.times.state(now) == KeyState::Next) {
                activate(app, &mut tx, &keys, next).await?;
            }
        }
        KeyState::Retiring | KeyState::Retired => {}
    }
    let superseded_at = gone.times.superseded_at.map_or(now, |time| time.min(now));
    let times = KeyTimes { superseded_at: Some(superseded_at), retires_at: Some(now), ..gone.times };
    key::set_times(&mut tx, &gone.id, &times).await?;
    keep(app, caller, tx, "key.retired", gone).await
}

/// Forgets what is retired, writes the audit line, and commits.
async fn keep(app: &App, caller: &Caller, mut tx: Tx, action: &str, key: &Key) -> Outcome<()> {
    key::forget_retired(&mut tx, app.clock.now()).await?;
    let event = caller.event(app, action, &key.kid, "ok");
    // The operator's changes of the installation's keys are no practice's.
    let is_operators = matches!(caller.actor, Actor::Operator) && key.owner.is_none();
    let practice = event.practice.clone().filter(|_| !is_operators);
    audit::add(&mut *tx, &Event { practice, ..event }).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

/// The times of a new key, and those of the key that it takes the place of.
async fn succeed(app: &App, tx: &mut Tx, owner: Option<&PracticeId>, algorithm: KeyAlgorithm) -> Outcome<KeyTimes> {
    let now = app.clock.now();
    let mut keys = key::all(&mut **tx, owner).await?;
    keys.retain(|key| key.algorithm == algorithm);
    if keys.iter().any(|key| key.times.state(now) == KeyState::Next) {
        return Err(Code::Conflict.into());
    }
    let active = keys.iter().find(|key| key.times.state(now) == KeyState::Active);
    let times = KeyTimes::new(now, active.is_none());
    if let Some(active) = active {
        key::set_times(tx, &active.id, &active.times.superseded(times.activates_at)).await?;
    }
    Ok(times)
}

/// Lets the key that waits sign from now on, in the place of the one before it.
async fn activate(app: &App, tx: &mut Tx, keys: &[Key], next: &Key) -> Outcome<()> {
    let now = app.clock.now();
    let before = keys
        .iter()
        .find(|key| key.algorithm == next.algorithm && key.times.superseded_at == Some(next.times.activates_at));
    if let Some(before) = before {
        key::set_times(tx, &before.id, &before.times.superseded(now)).await?;
    }
    key::set_times(tx, &next.id, &KeyTimes { activates_at: now, ..next.times }).await?;
    Ok(())
}

/// The owner's practice, if the caller may change the owner's keys.
async fn managed(app: &App, caller: &Caller, owner: KeyOwner) -> Outcome<Option<PracticeId>> {
    caller.require(Permission::WriteSettings)?;
    if may_manage(app, caller, owner).await? { Ok(of(caller, owner)) } else { Err(Code::Forbidden.into()) }
}

/// Whether the caller may change the owner's keys.
async fn may_manage(app: &App, caller: &Caller, owner: KeyOwner) -> Outcome<bool> {
    let alone = match (owner, &caller.actor) {
        (KeyOwner::Practice, _) | (KeyOwner::Installation, Actor::Operator) => true,
        (KeyOwner::Installation, _) => signing::practices(app.db.pool()).await? <= 1,
    };
    Ok(alone && caller.may(Permission::WriteSettings))
}

fn of(caller: &Caller, owner: KeyOwner) -> Option<PracticeId> {
    match owner {
        KeyOwner::Installation => None,
        KeyOwner::Practice => Some(caller.practice.clone()),
    }
}

/// The address of an owner's JWKS.
pub(super) fn jwks_url(app: &App, owner: Option<&PracticeId>) -> String {
    match owner {
        None => app.config.ehr_url("jwks"),
        Some(practice) => app.config.ehr_url(&format!("jwks/{practice}")),
    }
}

/// Deletes the private halves of the keys whose retirement has come.
///
/// # Errors
/// When the database fails.
pub async fn forget_retired(app: &App) -> Outcome<()> {
    let mut tx = app.db.begin_write().await?;
    key::forget_retired(&mut tx, app.clock.now()).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

/// An owner's keys, newest first. What has retired since somebody last looked is forgotten on the way; if that
/// fails, it costs a log line, and the next one who looks tries again.
async fn of_owner(app: &App, owner: Option<&PracticeId>) -> Outcome<Vec<Key>> {
    let now = app.clock.now();
    let mut keys = key::all(app.db.pool(), owner).await?;
    let gone = |key: &&mut Key| key.sealed.is_some() && key.times.state(now) == KeyState::Retired;
    let mut overdue = false;
    for key in keys.iter_mut().filter(gone) {
        (key.sealed, overdue) = (None, true);
    }
    if overdue && let Err(error) = forget_retired(app).await {
        tracing::error!(error = %error, "a retired signing key could not be deleted");
    }
    Ok(keys)
}

/// What of an owner's keys the world may see. An unknown practice has none.
///
/// # Errors
/// When the database fails.
pub async fn published(app: &App, owner: Option<&PracticeId>) -> Outcome<PublicJwks> {
    let now = app.clock.now();
    let keys = of_owner(app, owner).await?;
    let published = keys.into_iter().filter(|key| key.times.state(now).is_published());
    let keys: Outcome<Vec<_>> = published
        .map(|key| {
            let material = material(&key.public_key)?;
            Ok(PublicJwk::new(key.kid, key.algorithm, material))
        })
        .collect();
    Ok(PublicJwks { keys: keys? })
}

/// With which algorithms an owner's keys sign now; the one that more EHRs take comes first.
pub(super) async fn algorithms(app: &App, owner: Option<&PracticeId>) -> Outcome<Vec<KeyAlgorithm>> {
    let now = app.clock.now();
    let keys = of_owner(app, owner).await?;
    let signs = |algorithm| move |key: &&Key| key.algorithm == algorithm && key.times.state(now) == KeyState::Active;
    Ok(KeyAlgorithm::ALL.into_iter().filter(|algorithm| keys.iter().any(|key| signs(*algorithm)(&key))).collect())
}

/// What can sign for a practice now.
pub(super) struct Available {
    installation: Vec<KeyAlgorithm>,
    own: Vec<KeyAlgorithm>,
}

impl Available {
    /// With which algorithms an owner's keys sign.
    pub fn of(&self, owner: KeyOwner) -> &[KeyAlgorithm] {
        match owner {
            KeyOwner::Installation => &self.installation,
            KeyOwner::Practice => &self.own,
        }
    }
}

/// What can sign for a practice now.
pub(super) async fn available(app: &App, practice: &PracticeId) -> Outcome<Available> {
    Ok(Available { installation: algorithms(app, None).await?, own: algorithms(app, Some(practice)).await? })
}

/// The key of an owner that signs now with an algorithm.
pub(super) async fn signer(
    app: &App,
    owner: Option<&PracticeId>,
    algorithm: KeyAlgorithm,
) -> Outcome<Option<SigningKey>> {
    let now = app.clock.now();
    let keys = of_owner(app, owner).await?;
    let active = keys.iter().find(|key| key.algorithm == algorithm && key.times.state(now) == KeyState::Active);
    let Some(active) = active else { return Ok(None) };
    let sealed = active.sealed.as_ref().ok_or(Failure::Corrupt("signing_keys.sealed"))?;
    let pem = app.vault.open(place(owner, &active.id, &active.kid), sealed)?;
    let key = SigningKey::from_pem(&pem, Some(&active.kid)).map_err(|_| Failure::Corrupt("signing_keys.sealed"))?;
    Ok(Some(key))
}

fn sealed_row(
    app: &App,
    owner: Option<PracticeId>,
    signing: &SigningKey,
    pem: &secrecy::SecretString,
    times: KeyTimes,
) -> Outcome<Key> {
    let (id, kid) = (app.ids.mint(), signing.kid().to_owned());
    let sealed = app.vault.seal(place(owner.as_ref(), &id, &kid), pem)?;
    let (algorithm, public_key) = (signing.algorithm(), public_key(signing)?);
    Ok(Key { id, owner, kid, algorithm, public_key, sealed: Some(sealed), times })
}

fn public_key(signing: &SigningKey) -> Outcome<String> {
    serde_json::to_string(signing.material()).map_err(|_| Failure::Corrupt("public key"))
}

fn material(json: &str) -> Outcome<KeyMaterial> {
    serde_json::from_str(json).map_err(|_| Failure::Corrupt("signing_keys.public_key"))
}

fn place<'a>(owner: Option<&'a PracticeId>, id: &'a str, kid: &'a str) -> Place<'a> {
    let practice = owner.map(PracticeId::as_str).unwrap_or_default();
    Place { practice, table: "signing_keys", row: id, column: "sealed", bound_to: kid }
}
