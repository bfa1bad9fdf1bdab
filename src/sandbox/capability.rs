//! The `CapabilityStatement` of a base.
//!
//! Imports nothing of ours outside the sandbox. Invariant: interactions and search parameters come
//! from the tables that the server itself works by.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::base::Base;
use super::error::{Outcome, fhir_json};
use super::records::{BINARY, TYPES};
use super::search::parameters;
use super::write::CREATABLE;
use super::{Sandbox, bulk};

/// `{base}/metadata` (FHIR R4 "capabilities").
pub(super) fn statement(sandbox: &Sandbox, base: Base) -> Result<Response, Outcome> {
    if sandbox.personality().metadata_500 {
        return Err(Outcome::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "metadata is out of order"));
    }
    let resources: Vec<Value> = TYPES.iter().map(|kind| resource(kind)).collect();
    let mut body = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "experimental": true,
        "date": "2025-01-01",
        "publisher": "Sandbox EHR (synthetic data only)",
        "kind": "instance",
        "software": { "name": "Sandbox EHR", "version": env!("CARGO_PKG_VERSION") },
        "implementation": {
            "description": "Sandbox EHR over synthetic patients",
            "url": base.url(&sandbox.inner.base_url)
        },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "security": {
                "cors": false,
                "service": [{
                    "coding": [{
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "SMART-on-FHIR",
                        "display": "SMART-on-FHIR"
                    }],
                    "text": "OAuth 2.0 by SMART App Launch"
                }],
                "extension": [oauth_uris(sandbox)]
            },
            "resource": resources,
            "interaction": [{ "code": "transaction" }]
        }]
    });
    bulk::announce(&sandbox.personality().bulk, &mut body);
    Ok(fhir_json(StatusCode::OK, &body))
}

/// The older way to name the endpoints (SMART "Conformance", the section on
/// declaring them in the `CapabilityStatement`).
fn oauth_uris(sandbox: &Sandbox) -> Value {
    let mut endpoints =
        vec![("authorize", "/auth/authorize"), ("token", "/auth/token"), ("introspect", "/auth/introspect")];
    if !sandbox.personality().no_revocation_endpoint {
        endpoints.push(("revoke", "/auth/revoke"));
    }
    let extension: Vec<Value> =
        endpoints.into_iter().map(|(url, path)| json!({ "url": url, "valueUri": sandbox.url(path) })).collect();
    json!({
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": extension
    })
}

fn resource(kind: &str) -> Value {
    let mut codes = vec!["read", "vread"];
    if kind != BINARY {
        codes.push("search-type");
    }
    if CREATABLE.contains(&kind) {
        codes.push("create");
    }
    let interactions: Vec<Value> = codes.iter().map(|code| json!({ "code": code })).collect();
    let params: Vec<Value> =
        parameters(kind).iter().map(|param| json!({ "name": param.name, "type": param.kind.name() })).collect();
    let mut resource = json!({
        "type": kind,
        "versioning": "versioned",
        "readHistory": false,
        "interaction": interactions
    });
    if !params.is_empty()
        && let Some(resource) = resource.as_object_mut()
    {
        resource.insert("searchParam".to_owned(), json!(params));
    }
    resource
}
