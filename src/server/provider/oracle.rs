//! Oracle Health (Cerner Millennium).

use super::{Provider, Quirks, RefreshTokenLife, Standard, link};
use crate::model::field::{Link, UiField};
use crate::model::provider::WriteSupport;
use crate::model::scope::Version;

/// Oracle Health: a tenant in every address, v1 scopes without wildcards, tokens of ten minutes.
pub(super) struct OracleHealth;

impl Provider for OracleHealth {
    fn id(&self) -> &'static str {
        "oracle"
    }

    fn display_name(&self) -> &'static str {
        "Oracle Health (Cerner)"
    }

    fn summary(&self) -> &'static str {
        "Hospitals and clinics on Millennium; each organization is a tenant with addresses of its own."
    }

    fn ui_fields(&self) -> Vec<UiField> {
        let mut fields = Standard {
            portal: link("Oracle Health code console", "https://code-console.cerner.com"),
            issuer_help: "The organization's FHIR R4 address for provider apps, which ends in its tenant id.",
            issuer_placeholder: "https://fhir-ehr.cerner.com/r4/TENANT-ID",
            base_help: "Only if Oracle Health gave you a FHIR address that differs from the issuer.",
            client_id_help: "From the app's page in the code console.",
            secret_help: "For confidential apps: from the system account of the app. Public apps leave it empty.",
        }
        .fields_with_bulk();
        fields.push(super::generic::client_auth_field());
        fields
    }

    fn writes(&self) -> WriteSupport {
        WriteSupport { patient: true, note: true, bulk: true }
    }

    fn quirks(&self) -> Quirks {
        Quirks { scopes: Version::V1, refresh_token_life: Some(RefreshTokenLife::IdleDays(90)), ..Quirks::default() }
    }

    fn activation_steps(&self) -> &'static [&'static str] {
        &[
            "Register a provider app in the code console, with the addresses below, and have Oracle Health validate it.",
            "Have each organization approve the app for its domain.",
            "Have the organization allow the app for the roles of its users. It opens in the EHR's own browser: no pop-ups.",
        ]
    }

    fn docs(&self) -> Vec<Link> {
        vec![link("Oracle Health Millennium FHIR R4", "https://fhir.cerner.com/millennium/r4/")]
    }
}
