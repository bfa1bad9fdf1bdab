//! A thin view of an Encounter: one line for people.

use serde_json::Value;

/// An encounter in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncounterSummary {
    /// What kind: its type, else its class.
    pub kind: Option<String>,
    /// The FHIR status.
    pub status: Option<String>,
    /// When it started, as the EHR writes it.
    pub start: Option<String>,
}

/// The summary of an Encounter; fields of the wrong type count as absent.
pub fn summary(encounter: &Value) -> EncounterSummary {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let kind = ["/type/0/text", "/type/0/coding/0/display", "/class/display", "/class/code"];
    EncounterSummary {
        kind: kind.into_iter().find_map(|at| text(encounter.pointer(at))),
        status: text(encounter.get("status")),
        start: text(encounter.pointer("/period/start")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_line() {
        let encounter = json!({"status": "in-progress", "class": {"code": "AMB", "display": "ambulatory"},
            "type": [{"coding": [{"display": "Check-up"}]}], "period": {"start": "2026-01-02T10:00:00Z"}});
        let seen = summary(&encounter);
        assert_eq!(seen.kind.as_deref(), Some("Check-up"));
        assert_eq!(seen.start.as_deref(), Some("2026-01-02T10:00:00Z"));
        assert_eq!(summary(&json!({"status": 3, "type": "x"})), EncounterSummary::default());
    }
}
