//! The registration sheet: what the practice gives to the EHR's vendor.

use leptos::prelude::*;

use crate::model::provider::Registration;
use crate::ui::part::copy::copy_value;
use crate::ui::part::panel::Panel;

/// The panel.
pub fn panel(registration: Registration) -> AnyView {
    let Registration { launch_url, redirect_url, jwks_url, has_signing_key, scopes, client_kind } = registration;
    let jwks_help = if has_signing_key {
        "The EHR fetches our public keys here. It must be reachable from the internet."
    } else {
        "No signing key is configured, so this set is empty. It is needed for signed requests only."
    };
    view! {
        <Panel
            id="registration"
            title="Registration sheet"
            text="Copy these values into the application registration in the vendor's portal, exactly as they are."
        >
            <dl class="space-y-5">
                {value("EHR launch URL", "Opens this application from inside the EHR.", launch_url)}
                {value("Redirect URL", "The EHR sends the browser back here after sign-in.", redirect_url)}
                {value("JWKS URL", jwks_help, jwks_url)}
                {value("Scopes", "With the switches as they are saved now.", scopes.join(" "))}
                <div>
                    <dt class="title-3">"Kind of client"</dt>
                    <dd class="muted small mt-0.5" id="client-kind">{client_kind}</dd>
                </div>
            </dl>
        </Panel>
    }
    .into_any()
}

fn value(label: &'static str, help: &'static str, value: String) -> AnyView {
    view! {
        <div>
            <dt class="title-3">{label}</dt>
            <dd>
                <p class="muted small mb-2">{help}</p>
                {copy_value(label, value)}
            </dd>
        </div>
    }
    .into_any()
}
