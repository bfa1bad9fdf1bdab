//! A thin view of a Patient: one line for people.

use serde_json::Value;

use crate::model::connection::PatientSummary;

/// The summary of a Patient; fields of the wrong type count as absent.
pub fn summary(patient: &Value) -> PatientSummary {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    PatientSummary {
        name: name(patient).unwrap_or_else(|| "Name not given".into()),
        birth_date: text(patient.get("birthDate")),
        gender: text(patient.get("gender")),
        mrn: mrn(patient),
    }
}

/// The name of a person's record: the official one where there is one, else the first.
pub fn name(patient: &Value) -> Option<String> {
    let names = patient.get("name")?.as_array()?;
    let official = |name: &&Value| name.get("use").and_then(Value::as_str) == Some("official");
    let chosen = names.iter().find(official).or_else(|| names.first())?;
    if let Some(text) = chosen.get("text").and_then(Value::as_str).filter(|text| !text.trim().is_empty()) {
        return Some(text.to_owned());
    }
    let given = chosen.get("given").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<_> = given.chain(chosen.get("family").and_then(Value::as_str)).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The identifier of type MR (HL7 v2 table 0203).
fn mrn(patient: &Value) -> Option<String> {
    let identifiers = patient.get("identifier")?.as_array()?;
    let is_mr = |identifier: &&Value| {
        let codings = identifier.pointer("/type/coding").and_then(Value::as_array);
        codings.into_iter().flatten().any(|coding| coding.get("code").and_then(Value::as_str) == Some("MR"))
    };
    identifiers.iter().find(is_mr)?.get("value")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_line() {
        let patient = json!({"name": [{"given": ["Old"]}, {"use": "official", "given": ["Ada", "M"], "family": "Test"}],
            "birthDate": "1990-01-02", "gender": 5,
            "identifier": [{"value": "x"}, {"type": {"coding": [{"code": "MR"}]}, "value": "77"}]});
        let summary = summary(&patient);
        assert_eq!(summary.name, "Ada M Test");
        assert_eq!((summary.mrn.as_deref(), summary.gender), (Some("77"), None));
    }
}
