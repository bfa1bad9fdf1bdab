//! Validating and applying a change of settings, whoever asks for it.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};

use super::{binding, secret_place};
use crate::model::address::Address;
use crate::model::field::{self, FieldKind, MAX_LENGTH, Rule};
use crate::model::id::ProviderId;
use crate::model::key::KeyOwner;
use crate::model::problem::{Code, FieldError, Problem};
use crate::model::settings::{ConfigValue, Flags, IntegrationSettings, ProviderConfig};
use crate::server::App;
use crate::server::failure::Outcome;
use crate::server::flow::Caller;
use crate::server::flow::keys::{self, Available};
use crate::server::flow::retire::{self, Retiring};
use crate::server::provider::{self, PracticeConfig, Provider, SIGNING_KEYS, Values};
use crate::server::store::{StoreError, Tx, audit, connection, launch, launch_rules, receipt, secret, settings};

/// A change; what is `None` or absent stays.
#[derive(Default)]
pub struct Change {
    /// New configurations.
    pub providers: BTreeMap<ProviderId, ProviderChange>,
    /// The providers that are on.
    pub enabled: Option<Vec<ProviderId>>,
    /// The switches.
    pub flags: Option<Flags>,
    /// The revision that the change was made from.
    pub revision: Option<i64>,
    /// What could not even be read; all errors are told at once.
    pub unreadable: Vec<FieldError>,
}

/// A new configuration of one provider: the values replace the old ones, secrets are told one by one.
#[derive(Default)]
pub struct ProviderChange {
    /// Everything but secrets.
    pub values: ProviderConfig,
    /// What happens to secrets; one that is not named is kept.
    pub secrets: BTreeMap<String, SecretChange>,
}

/// What happens to a secret.
pub enum SecretChange {
    /// It goes.
    Clear,
    /// It is replaced.
    Set(SecretString),
}

/// A provider's change with what is needed to judge it.
struct Judged<'a> {
    id: &'a ProviderId,
    plugin: &'static dyn Provider,
    change: &'a ProviderChange,
    old: Option<PracticeConfig>,
    has_secrets: BTreeSet<String>,
    keys: &'a Available,
}

impl Change {
    /// Validates all of it, and saves it in one transaction with its audit line.
    ///
    /// # Errors
    /// `invalid_input` with `provider.key` names; `conflict` when the revision is stale.
    pub async fn apply(self, app: &App, caller: &Caller) -> Outcome<()> {
        let now = app.clock.now();
        let mut retiring = self.retiring(app, caller).await?;
        let keys = keys::available(app, &caller.practice).await?;
        let mut tx = app.db.begin_write().await?;
        let (mut saved, revision) = settings::load(&mut *tx, &caller.practice).await?;
        if self.revision.is_some_and(|from| from != revision) {
            return Err(Code::Conflict.into());
        }
        let names = secret::names(&mut *tx, &caller.practice).await?;
        let mut errors = self.unreadable;
        let mut judged = Vec::new();
        for (id, change) in &self.providers {
            let Some(plugin) = provider::by_id(id) else {
                errors.push(FieldError { field: id.to_string(), rule: Rule::UnknownProvider });
                continue;
            };
            let old = saved.provider_configs.get(id).and_then(|config| PracticeConfig::of(plugin, config));
            let has_secrets =
                names.keys().filter(|(provider, _)| provider == id).map(|(_, name)| name.clone()).collect();
            let one = Judged { id, plugin, change, old, has_secrets, keys: &keys };
            let told: BTreeSet<String> = errors.iter().map(|error| error.field.clone()).collect();
            errors.extend(one.errors(app).into_iter().filter(|error| !told.contains(&error.field)));
            judged.push(one);
        }
        if self.enabled.iter().flatten().any(|id| provider::by_id(id).is_none()) {
            errors.push(FieldError { field: "enabledProviders".into(), rule: Rule::UnknownProvider });
        }
        if !errors.is_empty() {
            return Err(Problem::invalid(errors).into());
        }
        let mut ended = Vec::new();
        for one in &judged {
            if one.save(app, caller, &mut tx, &mut saved).await? {
                ended.extend(retiring.remove(one.id).map(|retiring| (one.id.clone(), retiring)));
            }
        }
        if let Some(enabled) = self.enabled {
            saved.enabled_providers = enabled.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        }
        if let Some(flags) = self.flags {
            saved.set_flags(flags);
        }
        if !settings::save(&mut tx, &caller.practice, &saved, revision, now).await? {
            return Err(Code::Conflict.into());
        }
        let target = self.providers.keys().map(ProviderId::as_str).collect::<Vec<_>>().join(" ");
        audit::add(&mut *tx, &caller.event(app, "settings.saved", &target, "ok")).await?;
        tx.commit().await.map_err(StoreError::from)?;
        for (id, retiring) in ended {
            revoke_behind(app, caller, id, retiring);
        }
        Ok(())
    }

    /// What revoking the named providers' connections would need, taken out while their old
    /// configuration is still there.
    async fn retiring(&self, app: &App, caller: &Caller) -> Outcome<BTreeMap<ProviderId, Retiring>> {
        let mut retiring = BTreeMap::new();
        for id in self.providers.keys() {
            let Some(found) = connection::find(app.db.pool(), &caller.practice, id).await? else { continue };
            retiring.insert(id.clone(), retire::connection(app, &found).await);
        }
        Ok(retiring)
    }
}

/// Tells the EHR that a connection is over, behind the answer: the old address may well be dead, and
/// nobody should wait for it.
fn revoke_behind(app: &App, caller: &Caller, id: ProviderId, retiring: Retiring) {
    let (app, caller) = (app.clone(), caller.clone());
    tokio::spawn(async move {
        let answer = retiring.revoke(&app).await;
        if let Err(error) = receipt::put(app.db.pool(), &caller.practice, &id, &answer).await {
            tracing::error!(request.id = caller.request_id, error = %error, "a receipt is lost");
        }
        let event = caller.event(&app, "connection.revoked", id.as_str(), answer.summary().outcome());
        if let Err(error) = audit::add(app.db.pool(), &event).await {
            tracing::error!(request.id = caller.request_id, error = %error, "audit line lost");
        }
    });
}

impl Judged<'_> {
    fn errors(&self, app: &App) -> Vec<FieldError> {
        let fields = self.plugin.ui_fields();
        let of_kind = |key: &str| fields.iter().find(|field| field.key == key).map(|field| field.kind);
        let mut broken: Vec<(String, Rule)> = Vec::new();
        for (key, value) in &self.change.values {
            let fits = match (of_kind(key), value) {
                (None | Some(FieldKind::Password), _) => Err(Rule::UnknownKey),
                (Some(FieldKind::Boolean), ConfigValue::Flag(_))
                | (
                    Some(FieldKind::Text | FieldKind::Url | FieldKind::Select | FieldKind::Date),
                    ConfigValue::Text(_),
                ) => Ok(()),
                (Some(_), _) => Err(Rule::WrongType),
            };
            broken.extend(fits.err().map(|rule| (key.clone(), rule)));
        }
        for (key, change) in &self.change.secrets {
            let rule = match (of_kind(key), change) {
                (Some(FieldKind::Password), SecretChange::Set(text)) => secret_rule(text.expose_secret()),
                (Some(FieldKind::Password), SecretChange::Clear) => None,
                _ => Some(Rule::UnknownKey),
            };
            broken.extend(rule.map(|rule| (key.clone(), rule)));
        }
        let values: Values<'_> =
            self.change.values.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_text()?))).collect();
        for (key, rule) in provider::check(self.plugin, &values) {
            if !broken.iter().any(|(name, _)| *name == key) {
                broken.push((key, rule));
            }
        }
        if broken.is_empty() {
            broken.extend(self.address_errors(app));
            broken.extend(self.secret_errors());
        }
        let named = |(key, rule)| FieldError { field: format!("{}.{key}", self.id), rule };
        broken.into_iter().map(named).collect()
    }

    /// What only the server knows of addresses: the allowlist, and whether private ones are allowed.
    fn address_errors(&self, app: &App) -> Vec<(String, Rule)> {
        let Some(config) = self.new_config() else { return Vec::new() };
        let rule = |address: &Address| {
            if app.http.allowed(&address.to_string()).is_err() {
                Some(Rule::PrivateAddress)
            } else if app.config.allowlist.allows(address) {
                None
            } else {
                Some(Rule::NotAllowlisted)
            }
        };
        let issuer = rule(&config.issuer).map(|rule| ("issuer".to_owned(), rule));
        let base = config.fhir_base.as_ref().and_then(rule).map(|rule| ("fhirBaseUrl".to_owned(), rule));
        issuer.into_iter().chain(base).collect()
    }

    fn secret_errors(&self) -> Vec<(String, Rule)> {
        let mut broken = Vec::new();
        let kept = self.has_secrets.iter().filter(|name| !self.change.secrets.contains_key(*name));
        if self.moves() {
            broken.extend(kept.map(|name| (name.clone(), Rule::SecretAgain)));
        }
        let has_secret = match self.change.secrets.get("clientSecret") {
            Some(SecretChange::Set(_)) => true,
            Some(SecretChange::Clear) => false,
            None => self.has_secrets.contains("clientSecret"),
        };
        let owner = self.new_config().map_or(KeyOwner::Installation, |config| config.key_owner());
        let has_key = !self.keys.of(owner).is_empty();
        if owner == KeyOwner::Practice && !has_key {
            broken.push((SIGNING_KEYS.into(), Rule::NoOwnKeys));
        } else if self.plugin.needs_key_or_secret() && !has_secret && !has_key {
            broken.push(("clientSecret".into(), Rule::KeyOrSecret));
        }
        broken
    }

    fn new_config(&self) -> Option<PracticeConfig> {
        PracticeConfig::of(self.plugin, &self.change.values)
    }

    /// Whether the addresses differ from the ones that the secrets were given for.
    fn moves(&self) -> bool {
        match (&self.old, self.new_config()) {
            (Some(old), Some(new)) => binding(self.plugin, old) != binding(self.plugin, &new),
            _ => false,
        }
    }

    /// Saves one provider; whether its connection ended by it.
    async fn save(&self, app: &App, caller: &Caller, tx: &mut Tx, saved: &mut IntegrationSettings) -> Outcome<bool> {
        let Some(config) = self.new_config() else { return Ok(false) };
        let other_client = self.old.as_ref().is_some_and(|old| old.client_id != config.client_id);
        let another = self.moves() || other_client;
        let ends = another && connection::remove(tx, &caller.practice, self.id).await?;
        if another {
            launch::end_all(tx, &caller.practice, self.id, app.clock.now()).await?;
        }
        if ends {
            audit::add(&mut **tx, &caller.event(app, "connection.ended", self.id.as_str(), "ok")).await?;
        }
        let bound_to = binding(self.plugin, &config);
        for (name, change) in &self.change.secrets {
            match change {
                SecretChange::Clear => secret::remove(tx, &caller.practice, self.id, name).await?,
                SecretChange::Set(text) => {
                    let place = secret_place(&caller.practice, self.id.as_str(), name, &bound_to);
                    let sealed = app.vault.seal(place, text)?;
                    secret::put(tx, &caller.practice, self.id, name, sealed, app.clock.now()).await?;
                }
            }
        }
        let issuers: Vec<_> = self.plugin.launch_issuers(&config).iter().map(ToString::to_string).collect();
        launch_rules::register(tx, &caller.practice, self.id, &issuers).await?;
        saved.provider_configs.insert(self.id.clone(), self.tidy());
        Ok(ends)
    }

    /// The values as they are kept: trimmed, addresses normalised, empty ones left out.
    fn tidy(&self) -> ProviderConfig {
        let fields = self.plugin.ui_fields();
        let is_url = |key: &str| fields.iter().any(|field| field.key == key && field.kind == FieldKind::Url);
        let tidy = |(key, value): (&String, &ConfigValue)| match value {
            ConfigValue::Text(text) if text.trim().is_empty() => None,
            ConfigValue::Text(text) if is_url(key) => {
                let address = field::check_url(text).map_or_else(|_| text.clone(), |address| address.to_string());
                Some((key.clone(), ConfigValue::Text(address)))
            }
            ConfigValue::Text(text) => Some((key.clone(), ConfigValue::Text(text.trim().to_owned()))),
            ConfigValue::Flag(_) => Some((key.clone(), value.clone())),
            ConfigValue::Secret(_) => None,
        };
        self.change.values.iter().filter_map(tidy).collect()
    }
}

fn secret_rule(text: &str) -> Option<Rule> {
    if text.chars().count() > MAX_LENGTH {
        Some(Rule::TooLong)
    } else if text.chars().any(char::is_control) {
        Some(Rule::BadCharacters)
    } else {
        None
    }
}
