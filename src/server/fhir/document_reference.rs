//! A thin view of a DocumentReference: one line for people.

use serde_json::Value;

/// A document in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentSummary {
    /// What it is: its attachment's title, else its description, else its type.
    pub title: Option<String>,
    /// The type in words.
    pub kind: Option<String>,
    /// When it was made, as the EHR writes it.
    pub date: Option<String>,
    /// `final`, `preliminary`, …
    pub status: Option<String>,
    /// The attachment's MIME type.
    pub content_type: Option<String>,
    /// The references of the encounters that it belongs to.
    pub encounters: Vec<String>,
}

/// The summary of a DocumentReference; fields of the wrong type count as absent.
pub fn summary(document: &Value) -> DocumentSummary {
    let text = |at: &str| {
        let text = document.pointer(at).and_then(Value::as_str).map(str::trim);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let first = |places: &[&str]| places.iter().find_map(|at| text(at));
    let kind = first(&["/type/text", "/type/coding/0/display"]);
    let encounters = document.pointer("/context/encounter").and_then(Value::as_array);
    DocumentSummary {
        title: first(&["/content/0/attachment/title", "/description"]).or_else(|| kind.clone()),
        date: first(&["/date", "/content/0/attachment/creation"]),
        status: first(&["/docStatus", "/status"]),
        content_type: text("/content/0/attachment/contentType"),
        encounters: encounters
            .into_iter()
            .flatten()
            .filter_map(|encounter| encounter.get("reference")?.as_str().map(str::to_owned))
            .collect(),
        kind,
    }
}

impl DocumentSummary {
    /// Whether it belongs to this encounter.
    pub fn is_of_encounter(&self, id: &str) -> bool {
        self.encounters.iter().any(|reference| {
            reference.rsplit_once('/').is_some_and(|(kind, found)| found == id && kind.ends_with("Encounter"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_line() {
        let document = json!({"type": {"coding": [{"display": "Progress note"}]}, "status": "current",
            "docStatus": "final", "date": "2026-01-02T10:00:00Z",
            "content": [{"attachment": {"title": " ", "contentType": "text/plain"}}],
            "context": {"encounter": [{"reference": "https://ehr.example/fhir/Encounter/e-1"}, 5]}});
        let seen = summary(&document);
        assert_eq!(seen.title.as_deref(), Some("Progress note"));
        assert_eq!(seen.status.as_deref(), Some("final"));
        assert!(seen.is_of_encounter("e-1") && !seen.is_of_encounter("1"));
        assert_eq!(summary(&json!({"content": "x"})), DocumentSummary::default());
    }
}
