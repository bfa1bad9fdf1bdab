//! A practice's integration settings: reading, and changing them from the form or the JSON API.
//!
//! Guards: nothing is saved unless all of a change is valid; secrets go to the vault, bound to the
//! addresses they were given for; changing an address ends the connection and demands the secret
//! again, so that nobody can point a stored secret at another host.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{Caller, calendar, keys};
use crate::model::draft::Draft;
use crate::model::field::{FieldKind, Rule};
use crate::model::id::{PracticeId, ProviderId};
use crate::model::problem::{Code, FieldError};
use crate::model::provider::{ProviderList, ProviderPage};
use crate::model::role::Permission;
use crate::model::settings::{ConfigValue, Flags, IntegrationSettings, SecretState};
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::provider::{self, PracticeConfig};
use crate::server::store::{connection, receipt, secret, settings};
use crate::server::vault::Place;

mod change;
mod json;
pub(super) mod view;

pub use change::{Change, ProviderChange, SecretChange};
pub use json::{read_json, save_json};

/// The practice's settings with the state of its secrets, and the revision.
///
/// # Errors
/// When the database fails.
pub async fn load(app: &App, practice: &PracticeId) -> Outcome<(IntegrationSettings, i64)> {
    let (mut loaded, revision) = settings::load(app.db.pool(), practice).await?;
    for ((provider, name), updated_at) in secret::names(app.db.pool(), practice).await? {
        let state = SecretState { set: true, updated_at: Some(updated_at) };
        loaded.provider_configs.entry(provider).or_default().insert(name, ConfigValue::Secret(state));
    }
    Ok((loaded, revision))
}

/// Every provider, and where the practice stands with it.
///
/// # Errors
/// `forbidden`.
pub async fn list(app: &App, caller: &Caller) -> Outcome<ProviderList> {
    caller.require(Permission::ReadSettings)?;
    let (loaded, _) = load(app, &caller.practice).await?;
    let connections = connection::all(&app.db, &caller.practice).await?;
    let providers = provider::all()
        .into_iter()
        .map(|plugin| {
            let id = ProviderId::new(plugin.id());
            let connection = connections.iter().find(|connection| connection.provider == id);
            view::card(plugin, &loaded, connection)
        })
        .collect();
    let ending = calendar::soon(app, caller).await?;
    Ok(ProviderList { providers, ending, now: app.clock.now(), may_write: caller.may(Permission::WriteSettings) })
}

/// The page of one provider.
///
/// # Errors
/// `not_found`, `forbidden`.
pub async fn page(app: &App, caller: &Caller, id: &ProviderId) -> Outcome<ProviderPage> {
    caller.require(Permission::ReadSettings)?;
    let plugin = provider::by_id(id).ok_or(Code::NotFound)?;
    let (loaded, revision) = load(app, &caller.practice).await?;
    let connection = connection::find(app.db.pool(), &caller.practice, id).await?;
    let keys = keys::available(app, &caller.practice).await?;
    let receipt = receipt::find(app.db.pool(), &caller.practice, id).await?;
    Ok(view::page(app, caller, plugin, &view::Saved { settings: &loaded, revision, connection, keys, receipt }))
}

/// Switches a provider on or off.
///
/// # Errors
/// `not_found`, `forbidden`.
pub async fn set_enabled(app: &App, caller: &Caller, id: &ProviderId, enabled: bool) -> Outcome<()> {
    caller.require(Permission::WriteSettings)?;
    provider::by_id(id).ok_or(Code::NotFound)?;
    let (loaded, _) = settings::load(app.db.pool(), &caller.practice).await?;
    let mut ids = loaded.enabled_providers;
    ids.retain(|one| one != id);
    if enabled {
        ids.push(id.clone());
    }
    Change { enabled: Some(ids), ..Change::default() }.apply(app, caller).await
}

/// Saves the form of a provider, which also switches the provider on. An empty secret is kept.
///
/// # Errors
/// `invalid_input` with plain field keys, `conflict`, `not_found`, `forbidden`.
pub async fn save_form(
    app: &App,
    caller: &Caller,
    id: &ProviderId,
    revision: i64,
    fields: BTreeMap<String, String>,
    clear: BTreeMap<String, bool>,
    flags: Flags,
) -> Outcome<()> {
    caller.require(Permission::WriteSettings)?;
    let plugin = provider::by_id(id).ok_or(Code::NotFound)?;
    let kinds: BTreeMap<_, _> = plugin.ui_fields().into_iter().map(|field| (field.key, field.kind)).collect();
    let mut change = ProviderChange::default();
    let mut unknown = Vec::new();
    for (key, typed) in fields {
        match kinds.get(&key) {
            None => unknown.push(FieldError { field: format!("{id}.{key}"), rule: Rule::UnknownKey }),
            Some(FieldKind::Password) if typed.is_empty() => {}
            Some(FieldKind::Password) => {
                change.secrets.insert(key, SecretChange::Set(SecretString::from(typed)));
            }
            Some(FieldKind::Boolean) => {
                change.values.insert(key, ConfigValue::Flag(typed == "true"));
            }
            Some(FieldKind::Text | FieldKind::Url | FieldKind::Select | FieldKind::Date) => {
                change.values.insert(key, ConfigValue::Text(typed));
            }
        }
    }
    for key in clear.into_iter().filter_map(|(key, on)| on.then_some(key)) {
        change.secrets.entry(key).or_insert(SecretChange::Clear);
    }
    let (loaded, _) = settings::load(app.db.pool(), &caller.practice).await?;
    let mut enabled = loaded.enabled_providers;
    if !enabled.contains(id) {
        enabled.push(id.clone());
    }
    let change = Change {
        providers: BTreeMap::from([(id.clone(), change)]),
        enabled: Some(enabled),
        flags: Some(flags),
        revision: Some(revision),
        unreadable: unknown,
    };
    change.apply(app, caller).await.map_err(|failure| plain_keys(failure, id))
}

/// The form names fields by their keys alone.
fn plain_keys(failure: Failure, id: &ProviderId) -> Failure {
    let prefix = format!("{id}.");
    match failure {
        Failure::Problem(mut problem) => {
            for error in &mut problem.fields {
                if let Some(key) = error.field.strip_prefix(&prefix) {
                    error.field = key.to_owned();
                }
            }
            Failure::Problem(problem)
        }
        other => other,
    }
}

/// What a refused form leaves behind: everything typed but secrets.
pub fn draft(_app: &App, id: &ProviderId, fields: &BTreeMap<String, String>, flags: Flags) -> Draft {
    let mut draft = Draft { form: "provider".into(), ..Draft::default() };
    let Some(plugin) = provider::by_id(id) else { return draft };
    for field in plugin.ui_fields().into_iter().filter(|field| field.kind != FieldKind::Password) {
        if let Some(typed) = fields.get(&field.key) {
            draft.values.insert(field.key, typed.chars().take(4_096).collect());
        }
    }
    let switches = [
        ("enable_write", flags.enable_write),
        ("enable_patient_create", flags.enable_patient_create),
        ("enable_note_create", flags.enable_note_create),
        ("enable_bulk_export", flags.enable_bulk_export),
    ];
    for (name, on) in switches {
        draft.values.insert(name.to_owned(), on.to_string());
    }
    draft
}

/// The place of a provider's secret: bound to the issuer and the FHIR base that it was given for.
pub(super) fn secret_place<'a>(practice: &'a PracticeId, row: &'a str, name: &'a str, bound_to: &'a str) -> Place<'a> {
    Place { practice: practice.as_str(), table: "vault_secrets", row, column: name, bound_to }
}

/// What a provider's secrets are bound to.
pub(super) fn binding(plugin: &dyn provider::Provider, config: &PracticeConfig) -> String {
    format!("{} {}", config.issuer, plugin.fhir_base_url(config))
}
