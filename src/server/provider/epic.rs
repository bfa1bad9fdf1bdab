//! Epic.

use super::{BasicEncoding, Provider, Quirks, Standard, link};
use crate::model::field::{Link, UiField};
use crate::model::provider::WriteSupport;

/// Epic: an address and client ids per customer, URL-encoded Basic credentials.
pub(super) struct Epic;

impl Provider for Epic {
    fn id(&self) -> &'static str {
        "epic"
    }

    fn display_name(&self) -> &'static str {
        "Epic"
    }

    fn summary(&self) -> &'static str {
        "Hospitals and large groups; every organization has its own address and approves each app."
    }

    fn ui_fields(&self) -> Vec<UiField> {
        let mut fields = Standard {
            portal: link("Epic on FHIR", "https://fhir.epic.com/Developer/Apps"),
            issuer_help: "The organization's FHIR R4 address, from Epic's endpoint list or the organization's Epic team.",
            issuer_placeholder: "https://epic.example.org/interconnect/api/FHIR/R4",
            base_help: "Only if the organization gave you a FHIR address that differs from the issuer.",
            client_id_help: "Epic gives separate ids for production and non-production: use the one for this address.",
            secret_help: "Only for apps with a client secret. Apps registered with a JWKS URL leave this empty.",
        }
        .fields_with_bulk();
        fields.push(super::generic::client_auth_field());
        fields
    }

    fn writes(&self) -> WriteSupport {
        WriteSupport { patient: true, note: true, bulk: true }
    }

    fn quirks(&self) -> Quirks {
        Quirks {
            basic_encoding: BasicEncoding::UrlEncoded,
            client_id_header: Some("epic-client-id"),
            ..Quirks::default()
        }
    }

    fn activation_steps(&self) -> &'static [&'static str] {
        &[
            "Create the app on Epic on FHIR, choose the APIs it uses, and enter the addresses below.",
            "For signed requests, enter our JWKS URL: uploaded static keys are no longer accepted. Epic may cache it \
             for about 29 hours.",
            "Ask the organization's Epic team to request the app's client id and to enable it for its users.",
        ]
    }

    fn docs(&self) -> Vec<Link> {
        vec![
            link("Epic on FHIR documentation", "https://fhir.epic.com/Documentation"),
            link("Epic endpoint list", "https://open.epic.com/MyApps/Endpoints"),
        ]
    }
}
