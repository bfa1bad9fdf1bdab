//! What the settings pages show.

use crate::model::connection::{ConnectionStatus, ConnectionView, Receipt};
use crate::model::id::ProviderId;
use crate::model::key::KeyOwner;
use crate::model::provider::{ProviderCard, ProviderPage, ProviderWarning, Registration, WriteFlags};
use crate::model::role::Permission;
use crate::model::scope::{self, Told};
use crate::model::settings::{Flags, IntegrationSettings, ProviderForm};
use crate::server::App;
use crate::server::flow::Caller;
use crate::server::flow::connect::scopes_to_ask;
use crate::server::flow::keys::{self, Available};
use crate::server::provider::{PracticeConfig, Provider, SIGNING_KEYS};
use crate::server::store::connection::Connection;

/// A provider's card.
pub(super) fn card(
    plugin: &dyn Provider,
    settings: &IntegrationSettings,
    connection: Option<&Connection>,
) -> ProviderCard {
    let id = ProviderId::new(plugin.id());
    let config = settings.provider_configs.get(&id).and_then(|saved| PracticeConfig::of(plugin, saved));
    ProviderCard {
        name: plugin.display_name().into(),
        summary: plugin.summary().into(),
        enabled: settings.is_enabled(&id),
        configured: config.is_some(),
        status: connection.map_or(ConnectionStatus::NotConnected, |connection| connection.status),
        id,
    }
}

/// What is saved that a provider's page shows.
pub(super) struct Saved<'a> {
    pub settings: &'a IntegrationSettings,
    pub revision: i64,
    pub connection: Option<Connection>,
    pub keys: Available,
    pub receipt: Option<Receipt>,
}

/// A provider's page.
pub(super) fn page(app: &App, caller: &Caller, plugin: &dyn Provider, saved: &Saved<'_>) -> ProviderPage {
    let Saved { settings, connection, keys, .. } = saved;
    let card = card(plugin, settings, connection.as_ref());
    let values = settings.provider_configs.get(&card.id).cloned().unwrap_or_default();
    let owner = PracticeConfig::of(plugin, &values).map_or(KeyOwner::Installation, |config| config.key_owner());
    let has_key = !keys.of(owner).is_empty();
    let no_key = !has_key && plugin.needs_key_or_secret() && !values.contains_key("clientSecret");
    let mut fields = plugin.ui_fields();
    if keys.of(KeyOwner::Practice).is_empty() && owner == KeyOwner::Installation {
        fields.retain(|field| field.key != SIGNING_KEYS);
    }
    ProviderPage {
        form: ProviderForm { fields, values, flags: settings.flags(), revision: saved.revision },
        registration: registration(app, caller, plugin, settings.flags(), (owner, keys)),
        activation_steps: plugin.activation_steps().iter().map(ToString::to_string).collect(),
        docs: plugin.docs(),
        warning: no_key.then_some(ProviderWarning::NoSigningKey),
        writes: plugin.writes(),
        connection: connection.as_ref().map(connection_view),
        receipt: saved.receipt,
        may_write: caller.may(Permission::WriteSettings),
        may_connect: caller.may(Permission::Connect),
        now: app.clock.now(),
        card,
    }
}

fn registration(
    app: &App,
    caller: &Caller,
    plugin: &dyn Provider,
    flags: Flags,
    (owner, keys): (KeyOwner, &Available),
) -> Registration {
    let query = format!("launch?providerId={}&practiceId={}", plugin.id(), caller.practice);
    let takes = plugin.quirks().signing_algorithms;
    let signs: Vec<_> = keys.of(owner).iter().filter(|key| takes.contains(key)).map(|key| key.as_str()).collect();
    let client_kind = match (plugin.needs_key_or_secret(), signs.is_empty()) {
        (_, false) => {
            let signs = signs.join(" or ");
            format!("Confidential client, signed assertions ({signs}) by our JWKS URL, or a client secret")
        }
        (true, true) => "Confidential client with a client secret".into(),
        (false, true) => "Public client with PKCE, or confidential with a client secret".into(),
    };
    let practice = (owner == KeyOwner::Practice).then_some(&caller.practice);
    Registration {
        launch_url: app.config.ehr_url(&query),
        redirect_url: app.config.redirect_url(),
        jwks_url: keys::jwks_url(app, practice),
        has_signing_key: !signs.is_empty(),
        scopes: scopes_to_ask(app, plugin, write_flags(flags)).iter().map(ToString::to_string).collect(),
        client_kind,
    }
}

/// The switches that decide about write scopes.
pub(in crate::server::flow) const fn write_flags(flags: Flags) -> WriteFlags {
    WriteFlags {
        enable_write: flags.enable_write,
        enable_patient_create: flags.enable_patient_create,
        enable_note_create: flags.enable_note_create,
    }
}

/// SMART "Scopes for requesting a refresh token". What was granted decides; where that is not said, what was
/// asked for.
fn is_online_only(connection: &Connection) -> bool {
    let scopes = connection.scopes_granted.as_deref().unwrap_or(&connection.terms.scopes_requested);
    let has = |wanted: &str| scopes.split_ascii_whitespace().any(|scope| scope == wanted);
    has("online_access") && !has("offline_access")
}

fn connection_view(connection: &Connection) -> ConnectionView {
    ConnectionView {
        status: connection.status,
        issuer: connection.terms.issuer.clone(),
        fhir_base_url: connection.terms.fhir_base.clone(),
        auth: connection.terms.auth,
        scopes: scope::compare(
            &connection.terms.scopes_requested,
            connection.scopes_offered.as_deref(),
            Told { scope: connection.scopes_granted.as_deref(), has_refresh_token: connection.refresh_token.is_some() },
        ),
        patient: connection.patient.clone(),
        fhir_user: connection.fhir_user.clone(),
        connected_at: connection.connected_at,
        expires_at: connection.expires_at,
        renews: connection.refresh_token.is_some(),
        online_only: is_online_only(connection),
        refreshed_at: connection.refreshed_at,
        last_problem: connection.last_problem,
    }
}
