//! Providers as the browser sees them.

use serde::{Deserialize, Serialize};

use super::calendar::Ending;
use super::connection::{ConnectionStatus, ConnectionView, Receipt};
use super::field::Link;
use super::id::ProviderId;
use super::settings::ProviderForm;
use super::time::Timestamp;

/// A provider in the list of integrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderCard {
    /// The plugin's id.
    pub id: ProviderId,
    /// The product's name.
    pub name: String,
    /// One sentence about it.
    pub summary: String,
    /// Whether the practice uses it.
    pub enabled: bool,
    /// Whether its form is filled.
    pub configured: bool,
    /// Where its connection stands.
    pub status: ConnectionStatus,
}

/// The page of all integrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderList {
    /// Every provider of this installation.
    pub providers: Vec<ProviderCard>,
    /// What ends soon, or has ended.
    pub ending: Vec<Ending>,
    /// Now, by the server's clock.
    pub now: Timestamp,
    /// Whether the reader may change settings.
    pub may_write: bool,
}

/// What the practice gives to the EHR's vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// For launches from inside the EHR.
    pub launch_url: String,
    /// Where the EHR sends the browser back.
    pub redirect_url: String,
    /// Our public keys.
    pub jwks_url: String,
    /// Whether the installation has a signing key.
    pub has_signing_key: bool,
    /// The scopes that will be asked for, with the switches as they are.
    pub scopes: Vec<String>,
    /// How the application identifies itself, in words.
    pub client_kind: String,
}

/// The page of one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderPage {
    /// The card.
    pub card: ProviderCard,
    /// Its form.
    pub form: ProviderForm,
    /// What to give to the vendor.
    pub registration: Registration,
    /// What the practice has to do in the EHR before it works.
    pub activation_steps: Vec<String>,
    /// The vendor's own documentation.
    pub docs: Vec<Link>,
    /// A warning that holds before anything is typed, for example a missing signing key.
    pub warning: Option<ProviderWarning>,
    /// Which records this provider can create.
    pub writes: WriteSupport,
    /// The connection, if there is or was one.
    pub connection: Option<ConnectionView>,
    /// What the EHR said when a connection was last ended from here.
    pub receipt: Option<Receipt>,
    /// Whether the reader may change settings.
    pub may_write: bool,
    /// Whether the reader may connect and disconnect.
    pub may_connect: bool,
    /// Now, by the server's clock.
    pub now: Timestamp,
}

/// What may be wrong before anything is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderWarning {
    /// The provider wants signed assertions, and the installation has no key.
    NoSigningKey,
    /// The operator has not approved the installation's key for this practice and provider.
    KeyNotApproved,
}

/// Which records a provider's FHIR interface can create, by its documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteSupport {
    /// Patients.
    pub patient: bool,
    /// Draft notes.
    pub note: bool,
    /// Bulk export.
    pub bulk: bool,
}

/// The switches that decide which write scopes are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteFlags {
    /// `enableWrite`: without it the others mean nothing.
    pub enable_write: bool,
    /// `enablePatientCreate`.
    pub enable_patient_create: bool,
    /// `enableNoteCreate`.
    pub enable_note_create: bool,
}
