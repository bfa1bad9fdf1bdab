//! Which bulk exports a CapabilityStatement offers.
//!
//! FHIR Bulk Data Access, "CapabilityStatement"; FHIR R4, `CapabilityStatement.rest.operation`. Guards: a statement
//! that says nothing of operations is no refusal by itself where it claims the guide.

use serde_json::Value;

use crate::model::export::ExportLevel;

/// What is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a statement")]
pub struct BulkCapability {
    /// `[base]/$export`.
    pub system: bool,
    /// `[base]/Patient/$export`.
    pub patient: bool,
    /// `[base]/Group/[id]/$export`.
    pub group: bool,
    /// Whether it takes POST only (4.0 and no version before it).
    pub post_only: bool,
    /// Whether it may give the manifest in parts (since 3.0).
    pub partial_manifests: bool,
}

impl BulkCapability {
    /// Reads a CapabilityStatement.
    pub fn of(statement: &Value) -> Self {
        let list = |value: &Value, name: &str| -> Vec<Value> {
            value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let mut found = Self::default();
        let mut versions = Vec::new();
        for rest in list(statement, "rest") {
            for operation in list(&rest, "operation") {
                found.add(&operation, None, &mut versions);
            }
            for resource in list(&rest, "resource") {
                let kind = resource.get("type").and_then(Value::as_str).unwrap_or_default();
                for operation in list(&resource, "operation") {
                    found.add(&operation, Some(kind), &mut versions);
                }
            }
        }
        let claims = |value: &Value| value.as_str().is_some_and(|url| url.contains("/uv/bulkdata/"));
        if versions.is_empty() && list(statement, "instantiates").iter().any(claims) {
            return Self { system: true, patient: true, group: true, ..Self::default() };
        }
        found.partial_manifests = versions.iter().flatten().any(|version| *version >= 3);
        found.post_only = !versions.is_empty() && versions.iter().all(|version| *version == Some(4));
        found
    }

    fn add(&mut self, operation: &Value, kind: Option<&str>, versions: &mut Vec<Option<u32>>) {
        let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
        let (canonical, version) = match text("definition").split_once('|') {
            Some((canonical, version)) => (canonical, version.split('.').next().and_then(|major| major.parse().ok())),
            None => (text("definition"), None),
        };
        // Names differ (`export`, `$export`, `patient-export`); the definition, where there is one, does not.
        let id = canonical.rsplit('/').next().filter(|id| !id.is_empty());
        let name = id.unwrap_or(text("name")).trim_start_matches('$');
        let name = name.strip_suffix("-v4").unwrap_or(name);
        match (name, kind) {
            ("export", None) => self.system = true,
            ("patient-export", _) | ("export", Some("Patient")) => self.patient = true,
            ("group-export", _) | ("export", Some("Group")) => self.group = true,
            _ => return,
        }
        versions.push(version);
    }

    /// Whether a level is offered.
    pub const fn offers(&self, level: ExportLevel) -> bool {
        match level {
            ExportLevel::System => self.system,
            ExportLevel::Patient => self.patient,
            ExportLevel::Group => self.group,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_statements_say() {
        let definition = |id: &str| format!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{id}");
        let usual = BulkCapability::of(&json!({"rest": [{
            "operation": [{"name": "export", "definition": definition("export")}],
            "resource": [
                {"type": "Patient", "operation": [{"name": "export", "definition": definition("patient-export")}]},
                {"type": "Group", "operation": [{"name": "$export"}]}, {"type": 7}
            ]
        }]}));
        assert_eq!(usual, BulkCapability { system: true, patient: true, group: true, ..BulkCapability::default() });
        let flat =
            BulkCapability::of(&json!({"rest": [{"operation": [{"name": "group-export"}, {"name": "everything"}]}]}));
        assert_eq!(flat, BulkCapability { group: true, ..BulkCapability::default() });
        let newest = definition("export") + "|4.0.0-ballot";
        let newest = BulkCapability::of(&json!({"rest": [{"operation": [{"name": "export", "definition": newest}]}]}));
        assert_eq!(
            newest,
            BulkCapability { system: true, post_only: true, partial_manifests: true, ..BulkCapability::default() }
        );
        let claims = json!({"instantiates": ["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"]});
        assert!(BulkCapability::of(&claims).offers(ExportLevel::Group));
        assert_eq!(BulkCapability::of(&json!({"rest": {}})), BulkCapability::default());
    }
}
