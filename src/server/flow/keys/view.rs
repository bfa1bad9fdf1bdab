//! What the page of keys shows.

use super::{jwks_url, may_manage, of, of_owner};
use crate::model::id::ProviderId;
use crate::model::key::{KeyOwner, KeySetView, KeyView, KeysPage};
use crate::model::role::Permission;
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::flow::Caller;
use crate::server::provider;
use crate::server::store::key::{self, Key};

/// How many retired keys are shown.
const RETIRED: usize = 5;

/// The installation's keys and the practice's own.
///
/// # Errors
/// `forbidden`.
pub async fn page(app: &App, caller: &Caller) -> Outcome<KeysPage> {
    caller.require(Permission::ReadSettings)?;
    let mut sets = Vec::new();
    for owner in [KeyOwner::Installation, KeyOwner::Practice] {
        sets.push(set(app, caller, owner).await?);
    }
    Ok(KeysPage { sets, now: app.clock.now() })
}

type Use = (String, ProviderId, Timestamp);

/// The keys of one owner.
///
/// # Errors
/// `forbidden`.
pub async fn set(app: &App, caller: &Caller, owner: KeyOwner) -> Outcome<KeySetView> {
    caller.require(Permission::ReadSettings)?;
    let uses = key::uses(&app.db, &caller.practice).await?;
    let practice = of(caller, owner);
    let now = app.clock.now();
    let keys = of_owner(app, practice.as_ref()).await?;
    let (published, retired): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.times.state(now).is_published());
    let may_manage = may_manage(app, caller, owner).await?;
    Ok(KeySetView {
        owner,
        jwks_url: jwks_url(app, practice.as_ref()),
        keys: published.into_iter().chain(retired.into_iter().take(RETIRED)).map(|key| view(key, &uses, now)).collect(),
        // Who else fetches the installation's keys is for those who manage them.
        fetches: if may_manage { key::fetches(&app.db, practice.as_ref()).await? } else { Vec::new() },
        may_manage,
    })
}

fn view(key: &Key, uses: &[Use], now: Timestamp) -> KeyView {
    let accepted = uses.iter().filter(|(kid, ..)| *kid == key.kid);
    KeyView {
        id: key.id.clone(),
        kid: key.kid.clone(),
        algorithm: key.algorithm,
        state: key.times.state(now),
        times: key.times,
        accepted_by: accepted.map(|(_, id, at)| (provider::name_of(id), *at)).collect(),
    }
}
