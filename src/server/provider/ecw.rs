//! eClinicalWorks (healow).

use super::{Provider, Quirks, RefreshTokenLife, Standard, link};
use crate::model::field::{Link, UiField};
use crate::model::key::KeyAlgorithm;
use crate::model::provider::WriteSupport;
use crate::model::scope::Version;

/// eClinicalWorks: RS384 assertions, v1 scopes, an audience without trailing slash.
pub(super) struct EClinicalWorks;

impl Provider for EClinicalWorks {
    fn id(&self) -> &'static str {
        "ecw"
    }

    fn display_name(&self) -> &'static str {
        "eClinicalWorks"
    }

    fn summary(&self) -> &'static str {
        "Ambulatory EHR and healow patient portal; each practice has a FHIR address of its own."
    }

    fn ui_fields(&self) -> Vec<UiField> {
        Standard {
            portal: link("eClinicalWorks developer portal", "https://fhir.eclinicalworks.com/ecwopendev"),
            issuer_help: "The practice's FHIR address, which ends in its practice code. \
                          The portal's practice list has it.",
            issuer_placeholder: "https://fhir4.eclinicalworks.com/fhir/r4/PRACTICECODE",
            base_help: "Only if eClinicalWorks gave you a FHIR address that differs from the issuer.",
            client_id_help: "From the app's page in the developer portal.",
            secret_help: "Only for apps registered with a secret. Apps registered with a JWKS URL leave this empty.",
        }
        .fields_with_bulk()
    }

    fn writes(&self) -> WriteSupport {
        WriteSupport { patient: true, note: true, bulk: true }
    }

    fn quirks(&self) -> Quirks {
        Quirks {
            takes_key: true,
            signing_algorithms: &[KeyAlgorithm::Rs384],
            scopes: Version::V1,
            refresh_token_life: Some(RefreshTokenLife::Days(90)),
            accept: Some("application/json+fhir, application/fhir+json"),
            ..Quirks::default()
        }
    }

    fn needs_key_or_secret(&self) -> bool {
        true
    }

    fn activation_steps(&self) -> &'static [&'static str] {
        &[
            "Register the app in the eClinicalWorks developer portal as a provider app, with the addresses below.",
            "Ask eClinicalWorks to allow our JWKS URL for the app: assertions signed with an unlisted key are refused.",
            "In eClinicalWorks, open Admin → Production Activation → FHIR APIs Settings → Provider Apps, choose Set up \
             and add the activation code from the portal.",
            "Approve the practice in the developer portal, then press Activate in eClinicalWorks and grant users access.",
        ]
    }

    fn docs(&self) -> Vec<Link> {
        vec![link("eClinicalWorks FHIR documentation", "https://fhir.eclinicalworks.com/ecwopendev")]
    }
}
