//! PointClickCare: the USCDI Connector, which is read-only FHIR.

use super::{PracticeConfig, Provider, Quirks, Standard, Values, found_at, link, plain};
use crate::model::address::Address;
use crate::model::field::{FieldKind, Link, Rule, UiField};
use crate::model::provider::WriteSupport;
use crate::model::scope::Version;

/// PointClickCare: one base for all, and a tenant in the path.
pub(super) struct PointClickCare;

const TENANT: &str = "pccTenantId";

impl Provider for PointClickCare {
    fn id(&self) -> &'static str {
        "pcc"
    }

    fn display_name(&self) -> &'static str {
        "PointClickCare"
    }

    fn summary(&self) -> &'static str {
        "Long-term and post-acute care; FHIR is read-only, each organization is a tenant."
    }

    fn ui_fields(&self) -> Vec<UiField> {
        let portal = link("PointClickCare FHIR developer site", "https://fhir.pointclickcare.com");
        let mut fields = Standard {
            portal: portal.clone(),
            issuer_help: "PointClickCare's address without the tenant.",
            issuer_placeholder: "https://connect2.pointclickcare.com",
            base_help: "Only if it differs from the issuer. /fhir/R4/ and the tenant are added for you.",
            client_id_help: "From the app's registration with PointClickCare.",
            secret_help: "From the app's registration with PointClickCare.",
        }
        .fields_with_bulk();
        let help = "PointClickCare hands it out after your organization has written to its USCDI Connector team.";
        fields.push(found_at(plain(TENANT, "Tenant ID", FieldKind::Text, true, help, ""), portal));
        fields
    }

    fn check(&self, values: &Values<'_>) -> Vec<(&'static str, Rule)> {
        // The tenant becomes a path segment.
        let tenant = values.get(TENANT).copied().unwrap_or_default().trim();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if tenant.chars().all(legal) { Vec::new() } else { vec![(TENANT, Rule::BadCharacters)] }
    }

    /// `{fhirBaseUrl}/fhir/R4/{pccTenantId}`, however much of it was typed already.
    fn fhir_base_url(&self, config: &PracticeConfig) -> Address {
        let base = config.fhir_base.as_ref().unwrap_or(&config.issuer);
        let tenant = config.value(TENANT).unwrap_or_default();
        let whole = format!("/fhir/R4/{tenant}");
        if base.path().ends_with(&whole) {
            base.clone()
        } else if base.path().ends_with("/fhir/R4") {
            base.join(tenant)
        } else {
            base.join(&whole)
        }
    }

    fn writes(&self) -> WriteSupport {
        WriteSupport { patient: false, note: false, bulk: true }
    }

    fn quirks(&self) -> Quirks {
        Quirks { scopes: Version::V1, ..Quirks::default() }
    }

    fn activation_steps(&self) -> &'static [&'static str] {
        &[
            "Register a provider app on PointClickCare's developer site, with the addresses below.",
            "Have your organization write to PointClickCare's USCDI Connector team: it answers with the tenant id.",
            "For production, have the TLS client certificate's Common Name registered with PointClickCare.",
        ]
    }

    fn docs(&self) -> Vec<Link> {
        vec![link("PointClickCare FHIR developer site", "https://fhir.pointclickcare.com")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_tenant_is_appended_once() {
        let base = |typed: &str| {
            let config = PracticeConfig {
                issuer: Address::parse("https://connect2.example").unwrap(),
                fhir_base: Some(Address::parse(typed).unwrap()),
                client_id: "c".into(),
                values: BTreeMap::from([(TENANT.to_owned(), "t-1".to_owned())]),
            };
            PointClickCare.fhir_base_url(&config).to_string()
        };
        for typed in ["https://c.example", "https://c.example/fhir/R4", "https://c.example/fhir/R4/t-1/"] {
            assert_eq!(base(typed), "https://c.example/fhir/R4/t-1");
        }
    }
}
