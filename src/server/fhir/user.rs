//! `fhirUser`: which record the user of a launch has (SMART App Launch 2.2, "Scopes for requesting
//! identity data").

use super::client::is_id;

/// The types that a user can have a record of.
const KINDS: [&str; 5] = ["Practitioner", "PractitionerRole", "Person", "Patient", "RelatedPerson"];

/// A record of the EHR that we talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its type.
    pub kind: &'static str,
    id: String,
}

/// Reads a reference, absolute below the FHIR base or relative to it. One to another server is none:
/// the token must not go there.
pub fn reference(text: &str, fhir_base: &str) -> Option<Reference> {
    let relative = match text.strip_prefix(fhir_base.trim_end_matches('/')) {
        Some(rest) => rest.strip_prefix('/')?,
        None => text,
    };
    let (kind, id) = relative.split_once('/')?;
    let kind = KINDS.into_iter().find(|known| *known == kind)?;
    is_id(id).then(|| Reference { kind, id: id.to_owned() })
}

impl Reference {
    /// The path below the FHIR base.
    pub fn path(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }

    /// Whether it is a patient, or somebody who acts for one.
    pub fn is_patient_side(&self) -> bool {
        matches!(self.kind, "Patient" | "RelatedPerson")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_of_this_server() {
        let base = "https://ehr.example/fhir";
        let path = |text| reference(text, base).map(|found| found.path());
        assert_eq!(path("Practitioner/7").as_deref(), Some("Practitioner/7"));
        assert_eq!(path("https://ehr.example/fhir/Person/a.b-1").as_deref(), Some("Person/a.b-1"));
        for bad in [
            "https://evil.example/fhir/Practitioner/7",
            "https://ehr.example/fhirPractitioner/7",
            "Device/1",
            "Practitioner/../Patient",
            "Practitioner/1/_history/2",
            "Practitioner",
            "",
            "https://ehr.example/fhir",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
        assert!(reference("Patient/1", base).is_some_and(|found| found.is_patient_side()));
    }
}
