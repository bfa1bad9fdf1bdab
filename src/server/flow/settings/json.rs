//! The customer's JSON: reading it, and parsing what is posted into a [`Change`].
//!
//! Posting back what was read changes nothing: a secret that is absent or `{"set": true, …}` is kept.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::{Change, ProviderChange, SecretChange};
use crate::model::field::{FieldKind, Rule};
use crate::model::id::ProviderId;
use crate::model::problem::{Code, FieldError};
use crate::model::role::Permission;
use crate::model::settings::{ConfigValue, Flags};
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::flow::Caller;
use crate::server::provider::{self, Provider};

/// The settings under the customer's keys, and the `revision`.
///
/// # Errors
/// `forbidden`.
pub async fn read_json(app: &App, caller: &Caller) -> Outcome<Value> {
    caller.require(Permission::ReadSettings)?;
    let (loaded, revision) = super::load(app, &caller.practice).await?;
    let mut value = serde_json::to_value(loaded).map_err(|_| Failure::Corrupt("settings"))?;
    if let Some(object) = value.as_object_mut() {
        object.insert("revision".into(), json!(revision));
    }
    Ok(value)
}

/// Saves posted settings, and answers what they are now.
///
/// # Errors
/// `invalid_input` with `provider.key` names, `conflict`, `forbidden`.
pub async fn save_json(app: &App, caller: &Caller, posted: &Value) -> Outcome<Value> {
    caller.require(Permission::WriteSettings)?;
    let (loaded, _) = super::load(app, &caller.practice).await?;
    let change = parse(posted, loaded.flags());
    change.apply(app, caller).await?;
    read_json_after(app, caller).await
}

/// A token that may write but not read still learns what it wrote.
async fn read_json_after(app: &App, caller: &Caller) -> Outcome<Value> {
    match read_json(app, caller).await {
        Err(failure) if failure.code() == Code::Forbidden => Ok(json!({})),
        read => read,
    }
}

/// Reads what can be read; the rest is named in `unreadable`.
fn parse(posted: &Value, mut flags: Flags) -> Change {
    let wrong = |field: &str, rule| FieldError { field: field.to_owned(), rule };
    let mut change = Change::default();
    let Some(object) = posted.as_object() else {
        change.unreadable.push(wrong("", Rule::WrongType));
        return change;
    };
    let mut errors = Vec::new();
    for (key, value) in object {
        let switch = match key.as_str() {
            "enableWrite" => Some(&mut flags.enable_write),
            "enablePatientCreate" => Some(&mut flags.enable_patient_create),
            "enableNoteCreate" => Some(&mut flags.enable_note_create),
            "enableBulkExport" => Some(&mut flags.enable_bulk_export),
            _ => None,
        };
        match (switch, key.as_str(), value) {
            (Some(switch), _, Value::Bool(on)) => *switch = *on,
            (None, "revision", Value::Number(number)) if number.is_i64() => change.revision = number.as_i64(),
            (None, "enabledProviders", Value::Array(ids)) if ids.iter().all(Value::is_string) => {
                change.enabled = Some(ids.iter().filter_map(Value::as_str).map(ProviderId::new).collect());
            }
            (None, "providerConfigs", Value::Object(configs)) => {
                let (providers, broken) = provider_changes(configs);
                change.providers = providers;
                errors.extend(broken);
            }
            (Some(_), ..) | (None, "revision" | "enabledProviders" | "providerConfigs", _) => {
                errors.push(wrong(key, Rule::WrongType));
            }
            _ => errors.push(wrong(key, Rule::UnknownKey)),
        }
    }
    change.flags = Some(flags);
    change.unreadable = errors;
    change
}

fn provider_changes(configs: &Map<String, Value>) -> (BTreeMap<ProviderId, ProviderChange>, Vec<FieldError>) {
    let (mut changes, mut errors) = (BTreeMap::new(), Vec::new());
    for (name, config) in configs {
        let id = ProviderId::new(name.clone());
        match (provider::by_id(&id), config) {
            (None, _) => errors.push(FieldError { field: name.clone(), rule: Rule::UnknownProvider }),
            (Some(plugin), Value::Object(values)) => {
                let (change, broken) = provider_change(plugin, values);
                errors
                    .extend(broken.into_iter().map(|(key, rule)| FieldError { field: format!("{name}.{key}"), rule }));
                changes.insert(id, change);
            }
            (Some(_), _) => errors.push(FieldError { field: name.clone(), rule: Rule::WrongType }),
        }
    }
    (changes, errors)
}

fn provider_change(plugin: &dyn Provider, values: &Map<String, Value>) -> (ProviderChange, Vec<(String, Rule)>) {
    let (mut change, mut broken) = (ProviderChange::default(), Vec::new());
    let fields = plugin.ui_fields();
    for (key, value) in values {
        let kind = fields.iter().find(|field| field.key == *key).map(|field| field.kind);
        match (kind, value) {
            (None, _) => broken.push((key.clone(), Rule::UnknownKey)),
            (Some(FieldKind::Password), Value::Null) => {
                change.secrets.insert(key.clone(), SecretChange::Clear);
            }
            (Some(FieldKind::Password), Value::String(text)) => {
                let secret = if text.is_empty() {
                    SecretChange::Clear
                } else {
                    SecretChange::Set(SecretString::from(text.clone()))
                };
                change.secrets.insert(key.clone(), secret);
            }
            (Some(FieldKind::Password), Value::Object(state)) if state.get("set").is_some_and(Value::is_boolean) => {}
            (Some(FieldKind::Boolean), Value::Bool(on)) => {
                change.values.insert(key.clone(), ConfigValue::Flag(*on));
            }
            (Some(kind), Value::String(text)) if kind != FieldKind::Boolean => {
                change.values.insert(key.clone(), ConfigValue::Text(text.clone()));
            }
            (Some(kind), Value::Null) if kind != FieldKind::Password => {}
            (Some(_), _) => broken.push((key.clone(), Rule::WrongType)),
        }
    }
    (change, broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn errors(posted: &Value) -> Vec<String> {
        let broken = parse(posted, Flags::default()).unreadable;
        broken.into_iter().map(|error| format!("{} {:?}", error.field, error.rule)).collect()
    }

    #[test]
    fn wrong_shapes_are_named() {
        assert_eq!(errors(&json!([])), [" WrongType"]);
        assert_eq!(errors(&json!({"enableWrite": "yes"})), ["enableWrite WrongType"]);
        assert_eq!(errors(&json!({"other": 1})), ["other UnknownKey"]);
        assert_eq!(errors(&json!({"providerConfigs": {"nope": {}}})), ["nope UnknownProvider"]);
        assert_eq!(
            errors(&json!({"providerConfigs": {"ecw": {"issuer": 1, "x": "y"}}})),
            ["ecw.issuer WrongType", "ecw.x UnknownKey"]
        );
    }

    #[test]
    fn secrets_are_kept_replaced_or_cleared() {
        let change = |value: Value| {
            let posted = json!({"providerConfigs": {"ecw": {"clientSecret": value}}});
            let parsed = parse(&posted, Flags::default());
            match parsed.providers[&ProviderId::new("ecw")].secrets.get("clientSecret") {
                None => "kept",
                Some(SecretChange::Clear) => "cleared",
                Some(SecretChange::Set(_)) => "set",
            }
        };
        assert_eq!(change(json!({"set": true, "updatedAt": "2026-01-01T00:00:00.000Z"})), "kept");
        assert_eq!(change(Value::Null), "cleared");
        assert_eq!(change(json!("")), "cleared");
        assert_eq!(change(json!("s3cret")), "set");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::from),
            "[a-zA-Z]{0,12}".prop_map(Value::from)
        ];
        let key = prop_oneof![
            Just("providerConfigs".to_owned()),
            Just("ecw".to_owned()),
            Just("issuer".to_owned()),
            Just("clientSecret".to_owned()),
            Just("set".to_owned()),
            "[a-z]{1,6}"
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_parsed_or_named(posted in any_json()) {
            let change = parse(&posted, Flags::default());
            let known = |key: &String| key == "providerConfigs" && posted[key].is_object();
            if posted.as_object().is_none_or(|object| !object.keys().all(known)) {
                prop_assert!(!change.unreadable.is_empty());
            }
        }
    }
}
