//! athenahealth.

use super::{Provider, Quirks, Standard, Values, found_at, link, plain};
use crate::model::field::{FieldKind, Link, Rule, UiField};
use crate::model::provider::WriteSupport;
use crate::model::scope::Version;

/// athenahealth: one address for all practices, told apart by a practice id.
pub(super) struct AthenaHealth;

const PRACTICE: &str = "athenaPracticeId";

impl Provider for AthenaHealth {
    fn id(&self) -> &'static str {
        "athena"
    }

    fn display_name(&self) -> &'static str {
        "athenahealth"
    }

    fn summary(&self) -> &'static str {
        "Ambulatory practices on athenaOne; all share one address, so a launch names the practice."
    }

    fn ui_fields(&self) -> Vec<UiField> {
        let portal = link("athenahealth developer portal", "https://docs.athenahealth.com/api/");
        let mut fields = Standard {
            portal: portal.clone(),
            issuer_help: "athenahealth's FHIR R4 address; the preview environment has one of its own.",
            issuer_placeholder: "https://api.platform.athenahealth.com/fhir/r4",
            base_help: "Only if it differs from the issuer.",
            client_id_help: "From the app's page in the developer portal; three-legged apps have an id of their own.",
            secret_help: "For confidential apps. Apps registered with a JWKS URL leave it empty.",
        }
        .fields_with_bulk();
        let help = "The number of the practice at athenahealth, as in Organization/a-1.Practice-NUMBER. For your \
                    records and athenahealth's support: connecting does not need it.";
        fields.push(found_at(plain(PRACTICE, "Practice ID", FieldKind::Text, false, help, "195900"), portal));
        fields.push(super::generic::client_auth_field());
        fields.push(super::generic::audience_field());
        fields
    }

    fn check(&self, values: &Values<'_>) -> Vec<(&'static str, Rule)> {
        // It is part of an identifier of athenahealth's.
        let practice = values.get(PRACTICE).copied().unwrap_or_default().trim();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if practice.chars().all(legal) { Vec::new() } else { vec![(PRACTICE, Rule::BadCharacters)] }
    }

    fn writes(&self) -> WriteSupport {
        WriteSupport { patient: false, note: false, bulk: true }
    }

    fn quirks(&self) -> Quirks {
        Quirks { scopes: Version::V1, ..Quirks::default() }
    }

    fn activation_steps(&self) -> &'static [&'static str] {
        &[
            "Create a three-legged app in the developer portal, with the addresses below.",
            "Ask athenahealth to enable the app for the practice.",
            "Give athenahealth the launch URL below as it is: it names the practice, which the shared address does not.",
        ]
    }

    fn docs(&self) -> Vec<Link> {
        vec![link("athenahealth API documentation", "https://docs.athenahealth.com/api/guides/overview")]
    }
}
