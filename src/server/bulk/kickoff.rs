//! Asking an EHR for an export.
//!
//! FHIR Bulk Data Access, "Bulk Data Kick-off Request"; FHIR R4, "Asynchronous Request Pattern".

use reqwest::Method;
use reqwest::header::{CONTENT_LOCATION, LOCATION};
use serde_json::{Value, json};
use url::Url;

use super::retry_after;
use super::server::{CallError, Server, absolute};
use crate::model::export::{ExportLevel, ExportRequest};
use crate::model::time::Timestamp;
use crate::server::fhir::outcome;
use crate::server::net::Payload;

/// The longest address that is sent by GET, in bytes.
const MAX_URL: usize = 2_000;

/// An export to ask for.
pub struct Kickoff<'a> {
    /// What was asked for here; `since` is in [`Kickoff::since`].
    pub request: &'a ExportRequest,
    /// Only what changed since: a FHIR instant.
    pub since: Option<&'a str>,
    /// Whether the EHR takes POST only, and no comma lists (Bulk Data Access 4.0).
    pub post_only: bool,
    /// Whether the EHR may give the manifest in parts: files are fetched while it prepares others (since 3.0).
    pub partial_manifests: bool,
}

/// Why the EHR does not work on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KickoffError {
    /// It was not asked, or did not answer.
    Call(CallError),
    /// 401: the token is not accepted.
    Unauthorized,
    /// 403: the scopes do not allow it.
    Forbidden(Option<String>),
    /// 429: too much to do, or another export first.
    Busy(Option<i64>),
    /// It has no such export.
    Unsupported(Option<String>),
    /// Trouble that passes.
    Transient(Option<i64>),
    /// It will not.
    Refused(u16, Option<String>),
    /// It accepted, and did not say where its status is.
    NoLocation,
}

/// Asks; answers where the status is.
///
/// # Errors
/// See [`KickoffError`].
pub async fn ask(server: &Server<'_>, kickoff: &Kickoff<'_>, now: Timestamp) -> Result<String, KickoffError> {
    let endpoint = endpoint(server.base, kickoff.request);
    let by_get = with_query(&endpoint, kickoff).filter(|url| url.len() <= MAX_URL);
    let (method, url, payload) = match by_get {
        Some(url) if !kickoff.post_only && kickoff.request.patients.is_empty() => (Method::GET, url, Payload::None),
        _ => (Method::POST, endpoint, Payload::Fhir(parameters(kickoff).to_string().into_bytes())),
    };
    let prefer = Some("respond-async");
    let answer =
        server.call(method, &url, "application/fhir+json", prefer, payload).await.map_err(KickoffError::Call)?;
    let after = retry_after::seconds(&answer.headers, now);
    let said = || outcome::summary(&answer.body);
    match answer.status.as_u16() {
        200..=299 => {
            let location = [CONTENT_LOCATION, LOCATION].iter().find_map(|name| answer.headers.get(name));
            let location = location.and_then(|value| value.to_str().ok());
            location.and_then(|text| absolute(text, &url)).ok_or(KickoffError::NoLocation)
        }
        401 => Err(KickoffError::Unauthorized),
        403 => Err(KickoffError::Forbidden(said())),
        429 => Err(KickoffError::Busy(after)),
        404 | 405 | 501 => Err(KickoffError::Unsupported(said())),
        _ if outcome::is_not_supported(&answer.body) => Err(KickoffError::Unsupported(said())),
        408 | 500 | 502..=504 => Err(KickoffError::Transient(after)),
        _ if outcome::is_transient(&answer.body) => Err(KickoffError::Transient(after)),
        status => Err(KickoffError::Refused(status, said())),
    }
}

fn endpoint(base: &str, request: &ExportRequest) -> String {
    let base = base.trim_end_matches('/');
    match (request.level, request.group_id.as_deref()) {
        (ExportLevel::Group, Some(group)) => format!("{base}/Group/{group}/$export"),
        (ExportLevel::Patient | ExportLevel::Group, _) => format!("{base}/Patient/$export"),
        (ExportLevel::System, _) => format!("{base}/$export"),
    }
}

/// By GET: lists with commas, which every version before 4.0 takes; filters repeated, because they have commas of
/// their own.
fn with_query(endpoint: &str, kickoff: &Kickoff<'_>) -> Option<String> {
    let mut url = Url::parse(endpoint).ok()?;
    let request = kickoff.request;
    {
        let mut query = url.query_pairs_mut();
        if !request.types.is_empty() {
            query.append_pair("_type", &request.types.join(","));
        }
        if let Some(since) = kickoff.since {
            query.append_pair("_since", since);
        }
        if !request.elements.is_empty() {
            query.append_pair("_elements", &request.elements.join(","));
        }
        for filter in &request.type_filters {
            query.append_pair("_typeFilter", filter);
        }
        if kickoff.partial_manifests {
            query.append_pair("allowPartialManifests", "true");
        }
    }
    if url.query() == Some("") {
        url.set_query(None);
    }
    Some(url.into())
}

/// By POST: a Parameters resource, in which everything is repeated.
fn parameters(kickoff: &Kickoff<'_>) -> Value {
    let request = kickoff.request;
    let text = |name: &'static str, values: &[String]| -> Vec<Value> {
        values.iter().map(|value| json!({"name": name, "valueString": value})).collect()
    };
    let mut parameters = text("_type", &request.types);
    parameters.extend(kickoff.since.map(|since| json!({"name": "_since", "valueInstant": since})));
    parameters.extend(text("_elements", &request.elements));
    parameters.extend(text("_typeFilter", &request.type_filters));
    let patient = |id: &String| json!({"name": "patient", "valueReference": {"reference": format!("Patient/{id}")}});
    parameters.extend(request.patients.iter().map(patient));
    if kickoff.partial_manifests {
        parameters.push(json!({"name": "allowPartialManifests", "valueBoolean": true}));
    }
    json!({"resourceType": "Parameters", "parameter": parameters})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_is_asked() {
        let request = ExportRequest {
            level: ExportLevel::Group,
            group_id: Some("g-1".into()),
            types: vec!["Patient".into(), "Observation".into()],
            type_filters: vec!["Observation?code=a,b&status=final".into(), "Patient?active=true".into()],
            elements: vec!["id".into()],
            patients: vec!["p1".into()],
            since: Some("auto".into()),
        };
        let kickoff = Kickoff {
            request: &request,
            since: Some("2026-01-01T00:00:00Z"),
            post_only: false,
            partial_manifests: true,
        };
        let at = endpoint("https://ehr.example/fhir/", &request);
        insta::assert_snapshot!(with_query(&at, &kickoff).unwrap(), @"https://ehr.example/fhir/Group/g-1/$export?_type=Patient%2CObservation&_since=2026-01-01T00%3A00%3A00Z&_elements=id&_typeFilter=Observation%3Fcode%3Da%2Cb%26status%3Dfinal&_typeFilter=Patient%3Factive%3Dtrue&allowPartialManifests=true");
        insta::assert_snapshot!(parameters(&kickoff), @r#"{"parameter":[{"name":"_type","valueString":"Patient"},{"name":"_type","valueString":"Observation"},{"name":"_since","valueInstant":"2026-01-01T00:00:00Z"},{"name":"_elements","valueString":"id"},{"name":"_typeFilter","valueString":"Observation?code=a,b&status=final"},{"name":"_typeFilter","valueString":"Patient?active=true"},{"name":"patient","valueReference":{"reference":"Patient/p1"}},{"name":"allowPartialManifests","valueBoolean":true}],"resourceType":"Parameters"}"#);
        let plain = ExportRequest { level: ExportLevel::System, ..ExportRequest::default() };
        let kickoff = Kickoff { request: &plain, since: None, post_only: false, partial_manifests: false };
        let at = endpoint("https://ehr.example/fhir", &plain);
        assert_eq!(with_query(&at, &kickoff).unwrap(), "https://ehr.example/fhir/$export");
    }
}
