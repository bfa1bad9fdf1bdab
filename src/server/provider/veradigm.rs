//! Veradigm and Altera (Allscripts).

use super::{Provider, Quirks, Standard, link};
use crate::model::field::{Link, UiField};
use crate::model::provider::WriteSupport;
use crate::model::scope::Version;

/// Veradigm: read-only FHIR, several products with an endpoint directory each.
pub(super) struct Veradigm;

impl Provider for Veradigm {
    fn id(&self) -> &'static str {
        "veradigm"
    }

    fn display_name(&self) -> &'static str {
        "Veradigm (Allscripts)"
    }

    fn summary(&self) -> &'static str {
        "Veradigm EHR, TouchWorks and Sunrise; FHIR is read-only, launches need version 24.5 or later."
    }

    fn ui_fields(&self) -> Vec<UiField> {
        Standard {
            portal: link("Veradigm developer portal", "https://developer.veradigm.com"),
            issuer_help: "The practice's FHIR R4 address, from the endpoint directory of its product.",
            issuer_placeholder: "https://fhir.example.com/R4/fhir",
            base_help: "Only if it differs from the issuer.",
            client_id_help: "From the app's page in the developer portal.",
            secret_help: "For confidential apps. Public apps leave it empty.",
        }
        .fields_with_bulk()
    }

    fn writes(&self) -> WriteSupport {
        WriteSupport { patient: false, note: false, bulk: true }
    }

    fn quirks(&self) -> Quirks {
        Quirks { scopes: Version::V1, ..Quirks::default() }
    }

    fn activation_steps(&self) -> &'static [&'static str] {
        &[
            "Register a user app in the developer portal, with the addresses below.",
            "Find the practice's address in the endpoint directory of its product.",
            "Ask the practice's Veradigm administrator to enable the app.",
        ]
    }

    fn docs(&self) -> Vec<Link> {
        vec![link("Veradigm FHIR documentation", "https://developer.veradigm.com/Fhir")]
    }
}
