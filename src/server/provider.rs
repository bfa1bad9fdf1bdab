//! Provider plugins: everything that is particular to a vendor.
//!
//! May import `model`. A new vendor is one file and one line in [`all`]; `docs/providers.md` walks
//! through it. Guards: a vendor's dialect is data ([`Quirks`]), and every plugin passes the
//! conformance test below.

use std::collections::BTreeMap;

use crate::model::address::Address;
use crate::model::field::{self, Choice, FieldKind, Link, Rule, UiField};
use crate::model::id::ProviderId;
use crate::model::key::KeyOwner;
use crate::model::provider::{WriteFlags, WriteSupport};
use crate::model::scope::Scope;
use crate::model::settings::{ConfigValue, ProviderConfig};

mod athena;
mod ecw;
mod epic;
mod generic;
mod meditech;
mod nextgen;
mod oracle;
mod pcc;
mod quirks;
mod veradigm;

pub use quirks::{AudMode, AuthorizeMethod, BasicEncoding, Quirks, RefreshTokenLife};

/// A vendor's EHR.
pub trait Provider: Send + Sync {
    /// The id, as in `providerConfigs` and addresses.
    fn id(&self) -> &'static str;

    /// The product's name.
    fn display_name(&self) -> &'static str;

    /// One sentence about it.
    fn summary(&self) -> &'static str;

    /// The fields of its form, in order.
    fn ui_fields(&self) -> Vec<UiField>;

    /// Validates values beyond the rules of single fields.
    fn check(&self, _values: &Values<'_>) -> Vec<(&'static str, Rule)> {
        Vec::new()
    }

    /// The FHIR base URL of a practice: the override, else the issuer.
    fn fhir_base_url(&self, config: &PracticeConfig) -> Address {
        config.fhir_base.clone().unwrap_or_else(|| config.issuer.clone())
    }

    /// What the EHR may call itself when it launches us: its issuer, or the FHIR base URL.
    fn launch_issuers(&self, config: &PracticeConfig) -> Vec<Address> {
        let base = self.fhir_base_url(config);
        let mut issuers = vec![config.issuer.clone()];
        if base != config.issuer {
            issuers.push(base);
        }
        issuers
    }

    /// The scopes to ask for, in the version that the vendor takes, without the flow's own (`launch`, `launch/patient`).
    fn default_scopes(&self, flags: WriteFlags) -> Vec<Scope> {
        let reads = ["Patient", "Practitioner", "Encounter", "DocumentReference", "Binary"];
        let mut scopes = vec!["openid".to_owned(), "fhirUser".to_owned(), "offline_access".to_owned()];
        scopes.extend(reads.iter().map(|kind| format!("user/{kind}.rs")));
        let scopes: Vec<_> = scopes.iter().filter_map(|scope| Scope::parse(scope)).collect();
        let mut scopes = Scope::all_in_version(&scopes, self.quirks().scopes);
        scopes.extend(self.write_scopes(flags));
        scopes
    }

    /// The scopes that the write flags add.
    fn write_scopes(&self, flags: WriteFlags) -> Vec<Scope> {
        let support = self.writes();
        let wanted = [
            ("Patient", flags.enable_write && flags.enable_patient_create && support.patient),
            ("DocumentReference", flags.enable_write && flags.enable_note_create && support.note),
        ];
        let wanted = wanted.iter().filter(|(_, on)| *on).map(|(kind, _)| format!("user/{kind}.c"));
        let scopes: Vec<_> = wanted.filter_map(|scope| Scope::parse(&scope)).collect();
        Scope::all_in_version(&scopes, self.quirks().scopes)
    }

    /// Which records its FHIR interface can create, by the vendor's documentation.
    fn writes(&self) -> WriteSupport;

    /// Its dialect.
    fn quirks(&self) -> Quirks {
        Quirks::default()
    }

    /// Whether it takes nothing but a signed assertion or a secret: no public clients.
    fn needs_key_or_secret(&self) -> bool {
        false
    }

    /// What the practice has to do before a connection works.
    fn activation_steps(&self) -> &'static [&'static str];

    /// The vendor's documentation.
    fn docs(&self) -> Vec<Link>;
}

/// Every plugin, in the order of the settings page.
pub fn all() -> [&'static dyn Provider; 9] {
    [
        &ecw::EClinicalWorks,
        &pcc::PointClickCare,
        &epic::Epic,
        &oracle::OracleHealth,
        &athena::AthenaHealth,
        &nextgen::NextGen,
        &veradigm::Veradigm,
        &meditech::Meditech,
        &generic::Generic,
    ]
}

/// The plugin of this id.
pub fn by_id(id: &ProviderId) -> Option<&'static dyn Provider> {
    all().into_iter().find(|provider| provider.id() == id.as_str())
}

/// What a provider is called.
pub fn name_of(id: &ProviderId) -> String {
    by_id(id).map_or_else(|| id.to_string(), |plugin| plugin.display_name().to_owned())
}

/// A form's text values, by key; secrets are not among them.
pub type Values<'a> = BTreeMap<&'a str, &'a str>;

/// A practice's configuration of a provider, after validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PracticeConfig {
    /// The EHR's issuer: the `iss` of a launch.
    pub issuer: Address,
    /// The FHIR base URL, where it is not the issuer.
    pub fhir_base: Option<Address>,
    /// As whom.
    pub client_id: String,
    /// The vendor's own fields, and everything else that is text.
    pub values: BTreeMap<String, String>,
}

impl PracticeConfig {
    /// Reads saved values. `None` when the form is not filled.
    pub fn of(provider: &dyn Provider, saved: &ProviderConfig) -> Option<Self> {
        let text =
            |key: &str| saved.get(key).and_then(ConfigValue::as_text).map(str::trim).filter(|text| !text.is_empty());
        let complete = provider
            .ui_fields()
            .iter()
            .all(|field| !field.required || field.kind == FieldKind::Password || text(&field.key).is_some());
        if !complete {
            return None;
        }
        Some(Self {
            issuer: Address::parse(text("issuer")?).ok()?,
            fhir_base: text("fhirBaseUrl").map(Address::parse).transpose().ok()?,
            client_id: text("clientId")?.to_owned(),
            values: saved
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), value.as_text()?.trim().to_owned())))
                .collect(),
        })
    }

    /// Whose keys sign for it.
    pub fn key_owner(&self) -> KeyOwner {
        self.value(SIGNING_KEYS).and_then(KeyOwner::parse).unwrap_or(KeyOwner::Installation)
    }

    /// A field of the vendor's own.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }
}

/// Checks every field of a form, and then what the plugin knows beyond single fields.
pub fn check(provider: &dyn Provider, values: &Values<'_>) -> Vec<(String, Rule)> {
    let mut broken = Vec::new();
    for field in provider.ui_fields().iter().filter(|field| field.kind != FieldKind::Password) {
        if let Err(rule) = field::check(field, values.get(field.key.as_str()).copied().unwrap_or_default()) {
            broken.push((field.key.clone(), rule));
        }
    }
    for (key, rule) in provider.check(values) {
        if !broken.iter().any(|(name, _)| name == key) {
            broken.push((key.to_owned(), rule));
        }
    }
    broken
}

/// A field without choices.
fn plain(key: &str, label: &str, kind: FieldKind, required: bool, help: &str, placeholder: &str) -> UiField {
    UiField {
        key: key.into(),
        label: label.into(),
        kind,
        required,
        help: help.into(),
        placeholder: placeholder.into(),
        find_it: None,
        options: Vec::new(),
    }
}

/// The same field, with a link to where the practice finds the value.
fn found_at(mut field: UiField, link: Link) -> UiField {
    field.find_it = Some(link);
    field
}

fn link(label: &str, url: &str) -> Link {
    Link { label: label.into(), url: url.into() }
}

/// A field of choices; the first one is what an absent value means.
fn choice(key: &str, label: &str, help: &str, options: &[(&str, &str)]) -> UiField {
    let options = options.iter().map(|(value, label)| Choice { value: (*value).into(), label: (*label).into() });
    UiField { options: options.collect(), ..plain(key, label, FieldKind::Select, false, help, "") }
}

/// The field that says when the client secret ends.
pub const SECRET_EXPIRES: &str = "clientSecretExpires";
/// The field that says whose keys sign. Pages show it to practices that have keys of their own.
pub const SIGNING_KEYS: &str = "signingKeys";

/// The field with the client id of the backend service, where it is registered apart.
pub const BACKEND_CLIENT_ID: &str = "backendClientId";
/// The field with the hosts that files of bulk exports may come from.
pub const BULK_FILE_HOSTS: &str = "bulkFileHosts";

/// The fields that every provider has.
struct Standard {
    portal: Link,
    issuer_help: &'static str,
    issuer_placeholder: &'static str,
    base_help: &'static str,
    client_id_help: &'static str,
    secret_help: &'static str,
}

impl Standard {
    /// With those of bulk exports.
    fn fields_with_bulk(self) -> Vec<UiField> {
        let mut fields = self.fields();
        fields.push(plain(
            BACKEND_CLIENT_ID,
            "Backend client ID",
            FieldKind::Text,
            false,
            "For bulk exports, if the backend service is registered under a client ID of its own.",
            "Same as the client ID",
        ));
        fields.push(plain(
            BULK_FILE_HOSTS,
            "File hosts",
            FieldKind::Text,
            false,
            "For bulk exports: other hosts that the EHR keeps export files on, separated by spaces. An export that \
             stops at one names it.",
            "files.ehr.example.org",
        ));
        fields
    }

    fn fields(self) -> Vec<UiField> {
        use FieldKind::{Date, Password, Text, Url};
        let portal = self.portal;
        vec![
            found_at(
                plain("issuer", "Issuer URL", Url, true, self.issuer_help, self.issuer_placeholder),
                portal.clone(),
            ),
            plain("fhirBaseUrl", "FHIR base URL", Url, false, self.base_help, "Same as the issuer"),
            found_at(plain("clientId", "Client ID", Text, true, self.client_id_help, ""), portal.clone()),
            found_at(plain("clientSecret", "Client secret", Password, false, self.secret_help, ""), portal),
            plain(
                SECRET_EXPIRES,
                "Client secret expires",
                Date,
                false,
                "The day that the vendor's portal names, if it does: we remind you before.",
                "",
            ),
            choice(
                SIGNING_KEYS,
                "Signing keys",
                "Which JWKS URL is registered with the EHR: the installation's, or the practice's own.",
                &[("installation", "The installation's"), ("practice", "The practice's own")],
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What every plugin must keep.
    #[test]
    fn conformance() {
        let mut ids = BTreeSet::new();
        for provider in all() {
            let id = provider.id();
            assert!(ids.insert(id), "{id} is registered twice");
            assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{id}");
            let fields = provider.ui_fields();
            let keys: Vec<_> = fields.iter().map(|field| field.key.as_str()).collect();
            assert_eq!(keys[..4], ["issuer", "fhirBaseUrl", "clientId", "clientSecret"], "{id}");
            assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{id} names a field twice");
            for field in &fields {
                assert!(!field.label.is_empty() && field.help.ends_with('.'), "{id}.{}", field.key);
                assert_eq!(field.kind == FieldKind::Select, !field.options.is_empty(), "{id}.{}", field.key);
                assert!(!(field.required && field.kind == FieldKind::Password), "{id}.{}", field.key);
            }
            assert!(!provider.summary().is_empty() && !provider.activation_steps().is_empty(), "{id}");
            assert!(provider.docs().iter().all(|link| link.url.starts_with("https://")), "{id}");
            check_scopes(provider);
            check_base(provider);
        }
    }

    fn check_scopes(provider: &dyn Provider) {
        let all = WriteFlags { enable_write: true, enable_patient_create: true, enable_note_create: true };
        let read = provider.default_scopes(WriteFlags::default());
        let write = provider.default_scopes(all);
        let id = provider.id();
        assert!(read.contains(&Scope::Flow("openid".into())), "{id}");
        assert!(!read.iter().any(|scope| matches!(scope, Scope::Vendor(_))), "{id}");
        assert!(!write.iter().any(|scope| matches!(scope, Scope::Resource { kind, .. } if kind == "*")), "{id}");
        let creates = |scopes: &[Scope]| {
            scopes.iter().any(|scope| matches!(scope, Scope::Resource { letters, .. } if letters.contains('c')))
        };
        assert!(!creates(&read), "{id} asks to write without the flags");
        assert_eq!(creates(&write), provider.writes().patient || provider.writes().note, "{id}");
        let half = WriteFlags { enable_write: false, ..all };
        assert_eq!(provider.default_scopes(half), read, "{id} ignores enableWrite");
    }

    fn check_base(provider: &dyn Provider) {
        let mut saved = ProviderConfig::new();
        for field in provider.ui_fields().iter().filter(|field| field.required) {
            let value = if field.kind == FieldKind::Url { "https://ehr.example/base/" } else { "value-1" };
            saved.insert(field.key.clone(), ConfigValue::Text(value.into()));
        }
        let config = PracticeConfig::of(provider, &saved).expect("required fields suffice");
        let base = provider.fhir_base_url(&config);
        assert!(base.to_string().starts_with("https://ehr.example/base"), "{}", provider.id());
        let again = PracticeConfig { fhir_base: Some(base.clone()), ..config };
        assert_eq!(provider.fhir_base_url(&again), base, "{} appends twice", provider.id());
        assert_eq!(PracticeConfig::of(provider, &ProviderConfig::new()), None);
    }
}
