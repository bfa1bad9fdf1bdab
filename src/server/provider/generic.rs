//! Any SMART on FHIR R4 server that keeps to the standard.

use super::{Provider, Standard, choice, link};
use crate::model::field::{Link, UiField};
use crate::model::provider::WriteSupport;

/// The plain standard.
pub(super) struct Generic;

/// How the application is registered, where a vendor allows several ways.
pub(super) fn client_auth_field() -> UiField {
    choice(
        "clientAuth",
        "Client type",
        "How the app is registered. Automatic uses the secret if there is one, else our signing key where the EHR \
         takes it, else a public client.",
        &[
            ("auto", "Automatic"),
            ("secret", "Client secret"),
            ("key", "Signing key (JWKS)"),
            ("public", "Public client"),
        ],
    )
}

/// How the FHIR address is named to the EHR, where that changes from one version of it to the next.
pub(super) fn audience_field() -> UiField {
    choice(
        "audience",
        "Audience",
        "How the EHR wants its FHIR address named when we ask for access. Automatic is right for almost every EHR.",
        &[
            ("auto", "Automatic"),
            ("plain", "Without a slash at the end"),
            ("slash", "With a slash at the end"),
            ("none", "Not at all"),
        ],
    )
}

/// What some EHRs want in token requests beside what the standard says.
fn token_request_fields() -> [UiField; 3] {
    [
        choice(
            "clientIdInBody",
            "Client ID in token requests",
            "Some EHRs want the client ID in the form, too, although the secret or the signature names it already.",
            &[("no", "As the standard says"), ("yes", "Always")],
        ),
        choice(
            "refreshWithScope",
            "Scopes in renewals",
            "Some EHRs want the scopes named again when a token is renewed.",
            &[("no", "Left out"), ("yes", "Named again")],
        ),
        choice(
            "jku",
            "JWKS URL in assertions",
            "Some EHRs find our keys by the address in the assertion (jku) rather than by the registered one.",
            &[("no", "Left out"), ("yes", "Named")],
        ),
    ]
}

impl Provider for Generic {
    fn id(&self) -> &'static str {
        "generic"
    }

    fn display_name(&self) -> &'static str {
        "Generic SMART on FHIR"
    }

    fn summary(&self) -> &'static str {
        "Any EHR that speaks SMART App Launch on FHIR R4 to the letter."
    }

    fn ui_fields(&self) -> Vec<UiField> {
        let mut fields = Standard {
            portal: link("About SMART App Launch", "https://hl7.org/fhir/smart-app-launch/app-launch.html"),
            issuer_help: "The EHR's FHIR address, to which /.well-known/smart-configuration is added.",
            issuer_placeholder: "https://ehr.example.org/fhir",
            base_help: "Only if the FHIR address differs from the issuer.",
            client_id_help: "From the app's registration with the EHR.",
            secret_help: "Only for apps registered with a secret.",
        }
        .fields_with_bulk();
        fields.push(client_auth_field());
        fields.push(choice(
            "authorizeMethod",
            "Authorization request",
            "How the browser carries the request to the EHR. Automatic is right for almost every EHR.",
            &[("auto", "Automatic"), ("get", "GET"), ("post", "POST")],
        ));
        fields.push(audience_field());
        fields.push(choice(
            "backendAuth",
            "Backend service",
            "How bulk exports prove themselves. Automatic is the signing key, which is what the standard wants.",
            &[("auto", "Automatic"), ("key", "Signing key (JWKS)"), ("secret", "Client secret")],
        ));
        fields.push(choice(
            "basicEncoding",
            "Client secret encoding",
            "How the client ID and secret go into HTTP Basic. Only matters if they have other characters than letters and digits.",
            &[("auto", "Automatic"), ("raw", "As they are"), ("form", "Form-encoded")],
        ));
        fields.extend(token_request_fields());
        fields.push(choice(
            "scopeVersion",
            "Scopes",
            "Which version of SMART scopes is asked for. Automatic asks for version 2, unless the EHR offers version 1 only.",
            &[("auto", "Automatic"), ("v2", "Version 2 (.rs, .c)"), ("v1", "Version 1 (.read, .write)")],
        ));
        fields
    }

    fn writes(&self) -> WriteSupport {
        WriteSupport { patient: true, note: true, bulk: true }
    }

    fn activation_steps(&self) -> &'static [&'static str] {
        &[
            "Register the app with the EHR, with the addresses and scopes below.",
            "Enter the client id here, and the secret if the app has one.",
            "Press Standalone connect and approve the access at the EHR.",
        ]
    }

    fn docs(&self) -> Vec<Link> {
        vec![link("SMART App Launch 2.2", "https://hl7.org/fhir/smart-app-launch/")]
    }
}
