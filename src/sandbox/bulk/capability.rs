//! What the `CapabilityStatement` says about exports.
//!
//! Imports nothing of ours outside the sandbox. Invariant: it names the operations of the version that this server
//! speaks, and none where there is no export (Bulk Data Access 3.0.0, "Server Capability Documentation").

use serde_json::{Value, json};

use super::options::{Bulk, Dialect};

const GUIDE: &str = "http://hl7.org/fhir/uv/bulkdata";

/// Adds the export operations to a statement.
pub(in super::super) fn announce(options: &Bulk, statement: &mut Value) {
    if options.no_bulk.is_some() {
        return;
    }
    // Most servers of the older version name the canonicals bare.
    let version = match options.dialect {
        Dialect::V2 => "",
        Dialect::V3 => "|3.0.0",
        Dialect::V4 => "|4.0.0-ballot",
    };
    let operation = |name: &str| {
        let definition = format!("{GUIDE}/OperationDefinition/{name}{version}");
        json!({ "name": name, "definition": definition })
    };
    if let Some(statement) = statement.as_object_mut() {
        let guide = format!("{GUIDE}/CapabilityStatement/bulk-data{version}");
        statement.insert("instantiates".to_owned(), json!([guide]));
    }
    if let Some(rest) = statement.pointer_mut("/rest/0").and_then(Value::as_object_mut) {
        rest.insert("operation".to_owned(), json!([operation("export")]));
    }
    let resources = statement.pointer_mut("/rest/0/resource").and_then(Value::as_array_mut);
    for resource in resources.into_iter().flatten().filter_map(Value::as_object_mut) {
        let name = match resource.get("type").and_then(Value::as_str) {
            Some("Patient") => "patient-export",
            Some("Group") => "group-export",
            _ => continue,
        };
        resource.insert("operation".to_owned(), json!([operation(name)]));
    }
}
