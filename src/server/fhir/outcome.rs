//! OperationOutcome: what a FHIR server says about a request.
//!
//! FHIR R4, "OperationOutcome". Guards: its text is the EHR's and may be about a patient: it is shown to whoever
//! asked, and never logged.

use serde_json::Value;

/// The longest text that is kept, in characters.
const MAX_TEXT: usize = 500;

/// What is said first of all: the diagnostics, else the text, else the code of the first issue.
pub fn summary(body: &[u8]) -> Option<String> {
    let outcome: Value = serde_json::from_slice(body).ok()?;
    issues(&outcome).find_map(text)
}

/// Whether it says that the trouble passes (`issue.code` is `transient`, or one of what it stands for).
pub fn is_transient(body: &[u8]) -> bool {
    // `exception` is not among them: servers say it of anything.
    const PASSING: [&str; 5] = ["transient", "lock-error", "no-store", "timeout", "throttled"];
    let Ok(outcome) = serde_json::from_slice::<Value>(body) else { return false };
    let mut issues = issues(&outcome).peekable();
    issues.peek().is_some()
        && issues.all(|issue| {
            let code = issue.get("code").and_then(Value::as_str).unwrap_or_default();
            PASSING.contains(&code)
        })
}

/// Whether it is about an operation that the server does not have.
pub fn is_not_supported(body: &[u8]) -> bool {
    let Ok(outcome) = serde_json::from_slice::<Value>(body) else { return false };
    issues(&outcome).any(|issue| issue.get("code").and_then(Value::as_str) == Some("not-supported"))
}

fn issues(outcome: &Value) -> impl Iterator<Item = &Value> {
    let is_outcome = outcome.get("resourceType").and_then(Value::as_str) == Some("OperationOutcome");
    let list = outcome.get("issue").filter(|_| is_outcome).and_then(Value::as_array);
    list.into_iter().flatten()
}

fn text(issue: &Value) -> Option<String> {
    let say =
        |pointer: &str| issue.pointer(pointer).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let said = say("/diagnostics").or_else(|| say("/details/text")).or_else(|| say("/code"))?;
    Some(said.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said() {
        let outcome = |issue: &str| format!(r#"{{"resourceType":"OperationOutcome","issue":[{issue}]}}"#);
        let said = |issue: &str| summary(outcome(issue).as_bytes());
        assert_eq!(said(r#"{"code":"processing","diagnostics":" no such\n type "}"#).as_deref(), Some("no such type"));
        assert_eq!(said(r#"{"code":"processing","details":{"text":"bad"}}"#).as_deref(), Some("bad"));
        assert_eq!(said(r#"{"code":"processing"}"#).as_deref(), Some("processing"));
        assert_eq!(summary(b"<html>"), None);
        assert!(is_transient(outcome(r#"{"code":"transient"}"#).as_bytes()));
        assert!(!is_transient(outcome(r#"{"code":"transient"},{"code":"invalid"}"#).as_bytes()));
        assert!(!is_transient(outcome("").as_bytes()) && !is_transient(b"{}"));
        assert!(is_not_supported(outcome(r#"{"code":"not-supported"}"#).as_bytes()));
    }
}
