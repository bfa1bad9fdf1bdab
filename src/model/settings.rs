//! A practice's integration settings: exactly the customer's JSON keys.
//!
//! Guards: a secret is never part of this; where one is set, there is only the fact and the time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::field::UiField;
use super::id::ProviderId;
use super::time::Timestamp;

/// The value of `practice_settings.ehr_integrations`.
#[expect(clippy::struct_excessive_bools, reason = "the customer's keys: four independent switches")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationSettings {
    /// The providers that the practice uses.
    pub enabled_providers: Vec<ProviderId>,
    /// Per provider, the values of its fields.
    pub provider_configs: BTreeMap<ProviderId, ProviderConfig>,
    /// Whether anything may be written to an EHR.
    pub enable_write: bool,
    /// Whether patients may be created (needs `enableWrite`).
    pub enable_patient_create: bool,
    /// Whether draft notes may be filed (needs `enableWrite`).
    pub enable_note_create: bool,
    /// Whether bulk exports may be started.
    pub enable_bulk_export: bool,
}

/// The values of a provider's fields, by key.
pub type ProviderConfig = BTreeMap<String, ConfigValue>;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ConfigValue {
    /// Text, an address, a choice.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// A secret that is in the vault.
    Secret(SecretState),
}

/// What may be said about a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretState {
    /// Whether there is one.
    pub set: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
}

impl ConfigValue {
    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Flag(_) | Self::Secret(_) => None,
        }
    }
}

/// The four switches, as a form posts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches, named as the customer names them")]
pub struct Flags {
    /// `enableWrite`.
    #[serde(default)]
    pub enable_write: bool,
    /// `enablePatientCreate`.
    #[serde(default)]
    pub enable_patient_create: bool,
    /// `enableNoteCreate`.
    #[serde(default)]
    pub enable_note_create: bool,
    /// `enableBulkExport`.
    #[serde(default)]
    pub enable_bulk_export: bool,
}

impl IntegrationSettings {
    /// The four switches.
    pub const fn flags(&self) -> Flags {
        Flags {
            enable_write: self.enable_write,
            enable_patient_create: self.enable_patient_create,
            enable_note_create: self.enable_note_create,
            enable_bulk_export: self.enable_bulk_export,
        }
    }

    /// Sets the four switches.
    pub const fn set_flags(&mut self, flags: Flags) {
        self.enable_write = flags.enable_write;
        self.enable_patient_create = flags.enable_patient_create;
        self.enable_note_create = flags.enable_note_create;
        self.enable_bulk_export = flags.enable_bulk_export;
    }

    /// Whether the practice uses the provider.
    pub fn is_enabled(&self, provider: &ProviderId) -> bool {
        self.enabled_providers.contains(provider)
    }
}

/// The form of a provider: its fields, what is in them, and what goes with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderForm {
    /// The fields.
    pub fields: Vec<UiField>,
    /// What is saved.
    pub values: ProviderConfig,
    /// The switches.
    pub flags: Flags,
    /// Counts up with every save; a stale one is answered by `conflict`.
    pub revision: i64,
}
