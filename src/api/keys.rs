//! Signing keys: the installation's and the practice's own.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::json::Json;
use crate::model::body::Body;
use crate::model::key::{KeyAlgorithm, KeyCheck, KeyOwner, KeysPage};
use crate::model::problem::Problem;

/// The keys, who fetched them, and who took what they signed.
///
/// # Errors
/// `forbidden`.
#[server(name = ReadKeys, endpoint = "keys", input = GetUrl, output = Json)]
pub async fn keys() -> Result<Body<KeysPage>, Problem> {
    use crate::server::{flow::keys, request};
    request::read(keys::page(&request::app(), &request::caller()?).await)
}

/// Makes a new key, and publishes it.
///
/// # Errors
/// `forbidden`; `conflict` while another new key waits.
#[server(endpoint = "rotate_key")]
pub async fn rotate_key(owner: KeyOwner, algorithm: KeyAlgorithm) -> Result<(), Problem> {
    use crate::server::{flow::keys, request};
    let result = keys::rotate(&request::app(), &request::caller()?, owner, algorithm).await;
    request::done(result.map(|_| ()), "/settings/keys?notice=key_created")
}

/// Lets a new key sign at once.
///
/// # Errors
/// `forbidden`, `not_found`.
#[server(endpoint = "use_key")]
pub async fn use_key(owner: KeyOwner, key: String) -> Result<(), Problem> {
    use crate::server::{flow::keys, request};
    let result = keys::use_now(&request::app(), &request::caller()?, owner, &key).await;
    request::done(result, "/settings/keys?notice=key_used")
}

/// Takes a key out at once.
///
/// # Errors
/// `forbidden`, `not_found`.
#[server(endpoint = "retire_key")]
pub async fn retire_key(owner: KeyOwner, key: String) -> Result<(), Problem> {
    use crate::server::{flow::keys, request};
    let result = keys::retire(&request::app(), &request::caller()?, owner, &key).await;
    request::done(result, "/settings/keys?notice=key_retired")
}

/// Reads the JWKS from its public address, and tells what EHRs did with it.
///
/// # Errors
/// `forbidden`.
#[server(endpoint = "check_keys")]
pub async fn check_keys(owner: KeyOwner) -> Result<KeyCheck, Problem> {
    use crate::model::draft::Draft;
    use crate::server::{flow::keys, request};
    let result = keys::check(&request::app(), &request::caller()?, owner).await;
    let draft = Draft::of("check_keys", [("owner", owner.as_str().to_owned())]);
    request::form_shown_once(result, draft, "/settings/keys", "/settings/keys").await
}
