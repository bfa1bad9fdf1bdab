//! What the form of the exports page says, and what is asked for by it.
//!
//! Guards: everything that was typed can be shown again; nothing is checked here ([`ExportRequest::errors`]).

use serde::{Deserialize, Serialize};

use super::request::{ExportLevel, ExportRequest};
use crate::model::time::Timestamp;

/// What `since` says when `since_at` has the time.
pub const SINCE_TIME: &str = "time";

/// The form, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportForm {
    /// Of what.
    pub level: ExportLevel,
    /// Which group.
    pub group_id: String,
    /// Resource types, separated by spaces, commas or lines.
    pub types: String,
    /// Empty for everything; `auto`, an instant, or [`SINCE_TIME`].
    pub since: String,
    /// A day or an instant.
    pub since_at: String,
    /// Searches, one a line.
    pub type_filters: String,
    /// Elements, separated like types.
    pub elements: String,
    /// Patients' ids, separated like types.
    pub patients: String,
}

impl ExportForm {
    /// What is asked for.
    pub fn request(&self) -> ExportRequest {
        let group = self.group_id.trim();
        let since = match self.since.trim() {
            "" => None,
            SINCE_TIME => Some(instant(self.since_at.trim())),
            other => Some(other.to_owned()),
        };
        let filters = self.type_filters.lines().map(str::trim).filter(|line| !line.is_empty());
        ExportRequest {
            level: self.level,
            // A group that was typed before another level was chosen is not meant.
            group_id: (self.level == ExportLevel::Group && !group.is_empty()).then(|| group.to_owned()),
            types: words(&self.types),
            since,
            type_filters: filters.map(str::to_owned).collect(),
            elements: words(&self.elements),
            patients: words(&self.patients),
        }
    }

    /// What was typed, by the names of a draft.
    pub fn values(&self) -> [(&'static str, String); 8] {
        [
            ("level", self.level.as_str().to_owned()),
            ("group_id", self.group_id.clone()),
            ("types", self.types.clone()),
            ("since", self.since.clone()),
            ("since_at", self.since_at.clone()),
            ("type_filters", self.type_filters.clone()),
            ("elements", self.elements.clone()),
            ("patients", self.patients.clone()),
        ]
    }
}

/// The words of a list, each once.
fn words(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split([' ', ',', ';', '\n', '\r', '\t']).filter(|word| !word.is_empty()) {
        if !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// A day begins at midnight, in UTC.
fn instant(text: &str) -> String {
    if Timestamp::of_day(text).is_some() { format!("{text}T00:00:00Z") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_a_request() {
        let form = ExportForm {
            level: ExportLevel::Group,
            group_id: " north ".into(),
            types: "Patient, Observation;Patient\nEncounter".into(),
            since: SINCE_TIME.into(),
            since_at: "2026-06-30".into(),
            type_filters: "Observation?category=laboratory,vital-signs\r\n\r\n".into(),
            ..ExportForm::default()
        };
        let request = form.request();
        assert_eq!(request.group_id.as_deref(), Some("north"));
        assert_eq!(request.types, ["Patient", "Observation", "Encounter"]);
        assert_eq!(request.since.as_deref(), Some("2026-06-30T00:00:00Z"));
        assert_eq!(request.type_filters, ["Observation?category=laboratory,vital-signs"]);
        assert_eq!(request.errors(), []);
        assert_eq!(ExportForm { level: ExportLevel::Patient, ..form }.request().group_id, None);
    }

    #[test]
    fn since_when() {
        let since = |since: &str, at: &str| {
            let form = ExportForm { since: since.into(), since_at: at.into(), ..ExportForm::default() };
            form.request().since
        };
        assert_eq!(since("", "2026-06-30"), None);
        assert_eq!(since("auto", ""), Some("auto".into()));
        assert_eq!(since("2026-06-30T08:00:00Z", ""), Some("2026-06-30T08:00:00Z".into()));
        // Refused by the rules of the request, and shown again.
        assert_eq!(since(SINCE_TIME, "last week"), Some("last week".into()));
        assert_eq!(since(SINCE_TIME, ""), Some(String::new()));
    }
}
