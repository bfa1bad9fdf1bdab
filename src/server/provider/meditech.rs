//! MEDITECH Expanse.

use super::{Provider, Quirks, Standard, link};
use crate::model::field::{Link, UiField};
use crate::model::provider::WriteSupport;
use crate::model::scope::Version;

/// MEDITECH: an address of its own for each customer, v1 scopes, read-only for us.
pub(super) struct Meditech;

impl Provider for Meditech {
    fn id(&self) -> &'static str {
        "meditech"
    }

    fn display_name(&self) -> &'static str {
        "MEDITECH"
    }

    fn summary(&self) -> &'static str {
        "Hospitals on Expanse; each customer has an address of its own, and FHIR is read-only."
    }

    fn ui_fields(&self) -> Vec<UiField> {
        Standard {
            portal: link("MEDITECH Greenfield Workspace", "https://home.meditech.com/en/d/restapiresources/"),
            issuer_help: "The customer's FHIR R4 address, which ends in its version of US Core.",
            issuer_placeholder: "https://mtx.example.org/v2/uscore/R4",
            base_help: "Only if it differs from the issuer.",
            client_id_help: "From the app's registration with MEDITECH.",
            secret_help: "For confidential apps. Public apps leave it empty.",
        }
        .fields()
    }

    fn writes(&self) -> WriteSupport {
        WriteSupport { patient: false, note: false, bulk: false }
    }

    fn quirks(&self) -> Quirks {
        Quirks { scopes: Version::V1, ..Quirks::default() }
    }

    fn activation_steps(&self) -> &'static [&'static str] {
        &[
            "Rehearse in MEDITECH's Greenfield Workspace, then register the app with the addresses below.",
            "Ask the customer for its FHIR address, and to enable the app.",
        ]
    }

    fn docs(&self) -> Vec<Link> {
        vec![link("MEDITECH REST API resources", "https://home.meditech.com/en/d/restapiresources/")]
    }
}
