//! What a CapabilityStatement says, in the few facts that we use.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The facts; kept as JSON beside the connection, and shown by `status?includeCapabilities=1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// The EHR's software.
    pub software: String,
    /// The FHIR version.
    pub fhir_version: String,
    /// Per resource type, its interactions.
    pub resources: Vec<ResourceCapability>,
}

/// One resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceCapability {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `read`, `search-type`, `create`, …
    pub interactions: Vec<String>,
}

impl Capabilities {
    /// Reads a CapabilityStatement; what is missing or of the wrong type is left empty.
    pub fn of(statement: &Value) -> Self {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let rest = statement.get("rest").and_then(Value::as_array).into_iter().flatten();
        let server = rest.filter(|rest| rest.get("mode").and_then(Value::as_str) != Some("client"));
        let resources = server.filter_map(|rest| rest.get("resource")?.as_array()).flatten();
        let software = text(statement.pointer("/software/name"));
        let version = text(statement.pointer("/software/version"));
        Self {
            software: format!("{software} {version}").trim().to_owned(),
            fhir_version: text(statement.get("fhirVersion")),
            resources: resources
                .map(|resource| ResourceCapability {
                    kind: text(resource.get("type")),
                    interactions: resource
                        .get("interaction")
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                        .map(|interaction| text(interaction.get("code")))
                        .collect(),
                })
                .filter(|resource| !resource.kind.is_empty())
                .collect(),
        }
    }

    /// Whether the type offers the interaction.
    pub fn offers(&self, kind: &str, interaction: &str) -> bool {
        let of_kind = self.resources.iter().filter(|resource| resource.kind == kind);
        of_kind.flat_map(|resource| &resource.interactions).any(|offered| offered == interaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_is_there() {
        let statement = json!({"fhirVersion": "4.0.1", "software": {"name": "X"}, "rest": [{"mode": "server", "resource": [
            {"type": "Patient", "interaction": [{"code": "read"}, {"code": "create"}]}, {"type": 7}, {}
        ]}]});
        let found = Capabilities::of(&statement);
        assert!(found.offers("Patient", "create") && !found.offers("Patient", "update") && found.resources.len() == 1);
        assert_eq!(Capabilities::of(&json!({"rest": {"mode": 1}})), Capabilities::default());
    }
}
