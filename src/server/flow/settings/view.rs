//! What the settings pages show.

use crate::model::connection::{ConnectionStatus, ConnectionView};
use crate::model::id::ProviderId;
use crate::model::provider::{ProviderCard, ProviderPage, ProviderWarning, Registration, WriteFlags};
use crate::model::role::Permission;
use crate::model::scope;
use crate::model::settings::{Flags, IntegrationSettings, ProviderForm};
use crate::server::App;
use crate::server::flow::Caller;
use crate::server::flow::connect::scopes_to_ask;
use crate::server::provider::{PracticeConfig, Provider};
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

/// A provider's page.
pub(super) fn page(
    app: &App,
    caller: &Caller,
    plugin: &dyn Provider,
    settings: &IntegrationSettings,
    revision: i64,
    connection: Option<&Connection>,
) -> ProviderPage {
    let card = card(plugin, settings, connection);
    let values = settings.provider_configs.get(&card.id).cloned().unwrap_or_default();
    let no_key = app.signing_key.is_none() && plugin.needs_key_or_secret() && !values.contains_key("clientSecret");
    ProviderPage {
        form: ProviderForm { fields: plugin.ui_fields(), values, flags: settings.flags(), revision },
        registration: registration(app, caller, plugin, settings.flags()),
        activation_steps: plugin.activation_steps().iter().map(ToString::to_string).collect(),
        docs: plugin.docs(),
        warning: no_key.then_some(ProviderWarning::NoSigningKey),
        writes: plugin.writes(),
        connection: connection.map(connection_view),
        may_write: caller.may(Permission::WriteSettings),
        may_connect: caller.may(Permission::Connect),
        now: app.clock.now(),
        card,
    }
}

fn registration(app: &App, caller: &Caller, plugin: &dyn Provider, flags: Flags) -> Registration {
    let query = format!("launch?providerId={}&practiceId={}", plugin.id(), caller.practice);
    let client_kind = match (plugin.needs_key_or_secret(), app.signing_key.is_some()) {
        (_, true) => "Confidential client, signed assertions (RS384) by our JWKS URL, or a client secret",
        (true, false) => "Confidential client with a client secret",
        (false, false) => "Public client with PKCE, or confidential with a client secret",
    };
    Registration {
        launch_url: app.config.ehr_url(&query),
        redirect_url: app.config.redirect_url(),
        jwks_url: app.config.ehr_url("jwks"),
        has_signing_key: app.signing_key.is_some(),
        scopes: scopes_to_ask(app, plugin, write_flags(flags)).iter().map(ToString::to_string).collect(),
        client_kind: client_kind.into(),
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

fn connection_view(connection: &Connection) -> ConnectionView {
    ConnectionView {
        status: connection.status,
        issuer: connection.terms.issuer.clone(),
        fhir_base_url: connection.terms.fhir_base.clone(),
        auth_method: connection.terms.auth_method,
        scopes: scope::compare(&connection.terms.scopes_requested, connection.scopes_granted.as_deref()),
        patient: connection.patient.clone(),
        fhir_user: connection.fhir_user.clone(),
        connected_at: connection.connected_at,
        expires_at: connection.expires_at,
        renews: connection.refresh_token.is_some(),
        refreshed_at: connection.refreshed_at,
        last_problem: connection.last_problem,
    }
}
