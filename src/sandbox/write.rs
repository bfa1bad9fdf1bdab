//! Creating patients and documents, one at a time or as a transaction.
//!
//! Imports nothing of ours outside the sandbox. Invariant: nothing is stored unless the whole
//! request is valid and within the token's scopes.

use std::collections::HashMap;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::dates::span;
use super::error::{Outcome, fhir_json};
use super::fhir::Call;
use super::params::media_type;
use super::patients::text;
use super::records::{DOCUMENT, PATIENT, Row};

/// The types that may be created.
pub(super) const CREATABLE: [&str; 2] = [PATIENT, DOCUMENT];

/// `POST {base}/{type}` (FHIR R4 "create").
pub(super) fn create(call: &Call<'_>, kind: &'static str, body: &[u8]) -> Result<Response, Outcome> {
    let body = parse(call, body)?;
    if call.headers.contains_key("if-none-exist") {
        return Err(Outcome::invalid("conditional create is not supported"));
    }
    let owner = check(call, kind, &body, &HashMap::new())?;
    let location = store(call, kind, owner, body);
    let minimal = call
        .headers
        .get("prefer")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("return=minimal"));
    let mut response = if minimal || call.sandbox.personality().empty_create_body {
        StatusCode::CREATED.into_response()
    } else {
        let records = call.sandbox.records();
        let stored = records.get(kind, &location.id);
        fhir_json(StatusCode::CREATED, &stored.map_or(Value::Null, |row| call.present(row)))
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&location.url) {
        headers.insert(header::LOCATION, value);
    }
    headers.insert(header::ETAG, HeaderValue::from_static("W/\"1\""));
    Ok(response)
}

/// `POST {base}` with a transaction of creates (FHIR R4 "transaction"): all or nothing.
pub(super) fn transaction(call: &Call<'_>, body: &[u8]) -> Result<Response, Outcome> {
    let bundle = parse(call, body)?;
    if text(&bundle, "/resourceType") != "Bundle" || text(&bundle, "/type") != "transaction" {
        return Err(Outcome::invalid("only a transaction Bundle is taken here"));
    }
    let entries = match bundle.get("entry") {
        Some(Value::Array(entries)) => entries.as_slice(),
        _ => &[],
    };
    // Documents may point at patients of the same transaction by `fullUrl`.
    let mut patients: HashMap<String, String> = HashMap::new();
    for entry in entries {
        let full_url = text(entry, "/fullUrl");
        if text(entry, "/resource/resourceType") == PATIENT && !full_url.is_empty() {
            patients.insert(full_url.to_owned(), String::new());
        }
    }
    let mut checked = Vec::new();
    for entry in entries {
        let url = text(entry, "/request/url").trim_matches('/');
        let kind = CREATABLE.into_iter().find(|kind| *kind == url);
        let (Some(kind), "POST") = (kind, text(entry, "/request/method")) else {
            return Err(Outcome::new(
                StatusCode::BAD_REQUEST,
                "not-supported",
                "only POST of Patient and DocumentReference is supported in a transaction",
            ));
        };
        let resource = entry.get("resource").cloned().unwrap_or_default();
        let owner = check(call, kind, &resource, &patients)?;
        checked.push((kind, owner, resource, text(entry, "/fullUrl")));
    }
    let mut answers = vec![Value::Null; checked.len()];
    let mut ordered: Vec<_> = checked.into_iter().enumerate().collect();
    ordered.sort_by_key(|(_, (kind, ..))| *kind != PATIENT);
    for (place, (kind, owner, mut resource, full_url)) in ordered {
        let mut owner = owner;
        if let Some(id) = patients.get(text(&resource, "/subject/reference")).cloned()
            && let Some(reference) = resource.pointer_mut("/subject/reference")
        {
            *reference = json!(format!("{PATIENT}/{id}"));
            owner = Some(id);
        }
        let location = store(call, kind, owner, resource);
        if kind == PATIENT {
            patients.insert(full_url.to_owned(), location.id.clone());
        }
        if let Some(answer) = answers.get_mut(place) {
            *answer = json!({ "response": {
                "status": "201 Created",
                "location": location.url,
                "etag": "W/\"1\""
            }});
        }
    }
    let body = json!({
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": answers
    });
    Ok(fhir_json(StatusCode::OK, &body))
}

struct Location {
    id: String,
    url: String,
}

fn store(call: &Call<'_>, kind: &'static str, owner: Option<String>, body: Value) -> Location {
    let now = OffsetDateTime::from_unix_timestamp(call.sandbox.now() / 1000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default();
    let id = call.sandbox.records().create(kind, owner, body, &now);
    let url = format!("{}/{kind}/{id}/_history/1", call.base_url);
    Location { id, url }
}

fn parse(call: &Call<'_>, body: &[u8]) -> Result<Value, Outcome> {
    if !matches!(media_type(call.headers), "application/fhir+json" | "application/json" | "application/json+fhir") {
        return Err(Outcome::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", "a resource is application/fhir+json"));
    }
    serde_json::from_slice(body).map_err(|_| Outcome::new(StatusCode::BAD_REQUEST, "structure", "the body is not JSON"))
}

/// Checks a resource and the token, and says in whose compartment the resource will be.
fn check(
    call: &Call<'_>,
    kind: &str,
    body: &Value,
    siblings: &HashMap<String, String>,
) -> Result<Option<String>, Outcome> {
    if !CREATABLE.contains(&kind) {
        return Err(Outcome::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "not-supported",
            format!("{kind} cannot be created here"),
        ));
    }
    let rules = call.rules('c', kind)?;
    if text(body, "/resourceType") != kind {
        return Err(Outcome::invalid(format!("resourceType has to be {kind}")));
    }
    let owner = if kind == PATIENT {
        check_patient(body)?;
        None
    } else {
        Some(check_document(call, body, siblings)?)
    };
    // A new patient is in no launch context: the empty owner is nobody's.
    let row = Row { body: body.clone(), patient: Some(owner.clone().unwrap_or_default()) };
    if !rules.reach(&row) {
        return Err(Outcome::scope("the granted scopes do not reach this new resource"));
    }
    Ok(owner)
}

/// US Core Patient asks for a name and a gender; a birth date has to be a date.
fn check_patient(body: &Value) -> Result<(), Outcome> {
    let named = body.get("name").and_then(Value::as_array).is_some_and(|names| {
        names.iter().any(|name| !text(name, "/family").is_empty() || !text(name, "/text").is_empty())
    });
    if !named {
        return Err(Outcome::unprocessable("Patient.name needs a family or a text"));
    }
    if !matches!(text(body, "/gender"), "male" | "female" | "other" | "unknown") {
        return Err(Outcome::unprocessable("Patient.gender is male, female, other or unknown"));
    }
    let born = text(body, "/birthDate");
    if body.get("birthDate").is_some() && (born.contains('T') || span(born).is_none()) {
        return Err(Outcome::unprocessable("Patient.birthDate is not a date"));
    }
    Ok(())
}

/// FHIR R4 `DocumentReference`: `status` and `content` are required; US Core adds `type` and
/// `subject`.
fn check_document(call: &Call<'_>, body: &Value, siblings: &HashMap<String, String>) -> Result<String, Outcome> {
    let refuse = |why: &str| Err(Outcome::unprocessable(why));
    if !matches!(text(body, "/status"), "current" | "superseded" | "entered-in-error") {
        return refuse("DocumentReference.status is current, superseded or entered-in-error");
    }
    if body.get("type").is_none() {
        return refuse("DocumentReference.type is missing");
    }
    let contents = body.get("content").and_then(Value::as_array);
    let Some(contents) = contents.filter(|contents| !contents.is_empty()) else {
        return refuse("DocumentReference.content is missing");
    };
    for content in contents {
        let data = content.pointer("/attachment/data").and_then(Value::as_str);
        if data.is_none() && text(content, "/attachment/url").is_empty() {
            return refuse("an attachment needs data or url");
        }
        if data.is_some_and(|data| STANDARD.decode(data).is_err()) {
            return refuse("attachment.data is not base64");
        }
        if data.is_some() && text(content, "/attachment/contentType").is_empty() {
            return refuse("attachment.contentType is missing beside data");
        }
    }
    let date = text(body, "/date");
    if body.get("date").is_some() && (!date.contains('T') || span(date).is_none()) {
        return refuse("DocumentReference.date is not an instant");
    }
    let subject = text(body, "/subject/reference");
    if siblings.contains_key(subject) {
        return Ok(String::new());
    }
    let relative = subject.strip_prefix(call.base_url.as_str()).map_or(subject, |rest| rest.trim_start_matches('/'));
    match relative.strip_prefix("Patient/") {
        Some(id) if call.sandbox.records().get(PATIENT, id).is_some() => Ok(id.to_owned()),
        _ => refuse("DocumentReference.subject is not a patient of this server"),
    }
}
