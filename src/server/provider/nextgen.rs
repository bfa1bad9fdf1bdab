//! `NextGen` Healthcare.

use super::{AudMode, Provider, Quirks, Standard, link};
use crate::model::field::{Link, UiField};
use crate::model::provider::WriteSupport;
use crate::model::scope::Version;

/// `NextGen`: refuses an audience, and is read-only.
pub(super) struct NextGen;

impl Provider for NextGen {
    fn id(&self) -> &'static str {
        "nextgen"
    }

    fn display_name(&self) -> &'static str {
        "NextGen"
    }

    fn summary(&self) -> &'static str {
        "Ambulatory practices on NextGen Enterprise; FHIR is read-only."
    }

    fn ui_fields(&self) -> Vec<UiField> {
        Standard {
            portal: link("NextGen developer program", "https://www.nextgen.com/api"),
            issuer_help: "The practice's FHIR R4 address.",
            issuer_placeholder: "https://fhir.nextgen.com/nge/prod/fhir-api-r4/fhir/r4",
            base_help: "Only if it differs from the issuer.",
            client_id_help: "From the app's registration with NextGen.",
            secret_help: "For confidential apps. Public apps leave it empty.",
        }
        .fields_with_bulk()
    }

    fn writes(&self) -> WriteSupport {
        WriteSupport { patient: false, note: false, bulk: true }
    }

    fn quirks(&self) -> Quirks {
        Quirks { aud_mode: AudMode::Omit, scopes: Version::V1, ..Quirks::default() }
    }

    fn activation_steps(&self) -> &'static [&'static str] {
        &[
            "Join NextGen's developer program, and register the app with the addresses below.",
            "Ask NextGen to enable the app for the practice.",
        ]
    }

    fn docs(&self) -> Vec<Link> {
        vec![link("NextGen FHIR documentation", "https://www.nextgen.com/api")]
    }
}
