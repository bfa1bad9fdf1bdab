//! What a kick-off asks for: headers and parameters, by GET or by POST.
//!
//! Imports nothing of ours outside the sandbox. Invariant: what is not understood is refused, or reported where
//! the client asked to be treated leniently; it is never silently ignored (Bulk Data Access 3.0.0, "Bulk Data
//! Kick-off Request").

use axum::http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use super::super::dates::span;
use super::super::error::Outcome;
use super::super::fhir::Call;
use super::super::params::{Params, media_type};
use super::super::patients::text;
use super::super::records::TYPES;
use super::super::resource_types::R4_TYPES;
use super::super::search::Criterion;
use super::Reach;
use super::generate::SORTS;
use super::options::{Bulk, Dialect};

/// A kick-off request, understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    /// These types; none: all.
    pub(super) types: Vec<String>,
    /// Changed after.
    pub(super) since: Option<i64>,
    /// Changed before.
    pub(super) until: Option<i64>,
    /// By type, what a resource has to match; those of one type are alternatives.
    pub(super) filters: Vec<(String, Vec<Criterion>)>,
    /// Elements to keep, of one type or of any.
    pub(super) elements: Vec<(Option<String>, String)>,
    /// Ids of these patients; none: all.
    pub(super) patients: Vec<String>,
    /// Files are by patient.
    pub(super) by_patient: bool,
    /// The client can page through manifests.
    pub(super) partial: bool,
    /// The status of the export has a header of its own.
    pub(super) separate: bool,
    /// What was not understood, and left out.
    pub(super) ignored: Vec<String>,
}

fn prefers(headers: &HeaderMap, what: &str) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split([',', ';'])).any(|token| token.trim().eq_ignore_ascii_case(what))
}

/// Checks the headers of a kick-off.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Outcome> {
    if !prefers(headers, "respond-async") {
        return Err(Outcome::invalid("Prefer: respond-async is missing"));
    }
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if !accepted.any(|value| value.contains("application/fhir+json")) {
        return Err(Outcome::invalid("Accept: application/fhir+json is missing"));
    }
    Ok(())
}

/// The parameters of a POST (FHIR R4 "Parameters"), as names and texts.
pub(super) fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Params, Outcome> {
    if !matches!(media_type(headers), "application/fhir+json" | "application/json") {
        return Err(Outcome::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid",
            "Parameters are application/fhir+json",
        ));
    }
    let body: Value =
        serde_json::from_slice(body).map_err(|_| Outcome::new(StatusCode::BAD_REQUEST, "structure", "not JSON"))?;
    if text(&body, "/resourceType") != "Parameters" {
        return Err(Outcome::invalid("a kick-off by POST takes a Parameters resource"));
    }
    let given = body.get("parameter").and_then(Value::as_array);
    let mut params = Params::default();
    for one in given.into_iter().flatten() {
        let name = text(one, "/name").to_owned();
        let members = one.as_object().into_iter().flatten();
        let value = members.filter(|(key, _)| key.starts_with("value")).map(|(_, value)| value).next();
        let value = match value {
            Some(Value::String(value)) => value.clone(),
            Some(Value::Bool(value)) => value.to_string(),
            Some(object) if object.get("reference").is_some() => text(object, "/reference").to_owned(),
            Some(object) if object.get("code").is_some() => text(object, "/code").to_owned(),
            _ => return Err(Outcome::invalid(format!("parameter {name:?} has no value of a known type"))),
        };
        params.0.push((name, value));
    }
    Ok(params)
}

struct Reading<'a> {
    call: &'a Call<'a>,
    dialect: Dialect,
    unheld_refused: bool,
    lenient: bool,
    ask: Ask,
}

/// Reads the parameters.
pub(super) fn read(
    call: &Call<'_>,
    options: &Bulk,
    reach: &Reach,
    method: &Method,
    params: &Params,
) -> Result<Ask, Outcome> {
    let lenient = prefers(call.headers, "handling=lenient");
    let separate = options.dialect != Dialect::V2 && prefers(call.headers, "separate-export-status");
    let ask = Ask { separate, ..Ask::default() };
    let unheld_refused = options.unheld_types_refused;
    let mut reading = Reading { call, dialect: options.dialect, unheld_refused, lenient, ask };
    for once in ["_since", "_until", "_outputFormat", "organizeOutputBy", "allowPartialManifests"] {
        if params.all(once).count() > 1 {
            return Err(Outcome::invalid(format!("{once} is repeated")));
        }
    }
    for (name, value) in &params.0 {
        let newer = options.dialect != Dialect::V2;
        match name.as_str() {
            "_outputFormat" => {
                // An unescaped plus sign of a query is a space.
                let known = ["application/fhir+ndjson", "application/fhir ndjson", "application/ndjson", "ndjson"];
                if !known.contains(&value.as_str()) {
                    return Err(Outcome::invalid("_outputFormat: only ndjson is made here"));
                }
            }
            "_since" => reading.ask.since = Some(instant(name, value)?),
            "_until" if newer => reading.ask.until = Some(instant(name, value)?),
            "_type" => reading.types(value)?,
            "_typeFilter" => reading.filters(value)?,
            "_elements" => {
                for one in reading.list(name, value)? {
                    let element = one.split_once('.').map_or((None, one), |(kind, name)| (Some(kind.to_owned()), name));
                    reading.ask.elements.push((element.0, element.1.to_owned()));
                }
            }
            "patient" if method == Method::POST && !matches!(reach, Reach::System) => {
                let id = value.strip_prefix(&format!("{}/", call.base_url)).unwrap_or(value);
                let id = id.strip_prefix("Patient/");
                let id = id.ok_or_else(|| Outcome::invalid("patient is a reference to a Patient"))?;
                reading.ask.patients.push(id.to_owned());
            }
            "organizeOutputBy" if newer && value == "Patient" => reading.ask.by_patient = true,
            "allowPartialManifests" if newer => {
                let allowed = value.parse().map_err(|_| Outcome::invalid("allowPartialManifests is true or false"))?;
                reading.ask.partial = allowed;
            }
            "includeAssociatedData" => {
                for one in reading.list(name, value)? {
                    if !matches!(one, "LatestProvenanceResources" | "RelevantProvenanceResources") {
                        reading.refuse(format!("includeAssociatedData={one} is not supported"))?;
                    }
                }
            }
            _ => reading.refuse(format!("parameter {name}={value} is not supported here"))?,
        }
    }
    Ok(reading.ask)
}

/// A FHIR instant: to the second at least, with an offset.
fn instant(name: &str, value: &str) -> Result<i64, Outcome> {
    let zoned = value.split_once('T').is_some_and(|(_, clock)| clock.len() > 8 && clock.contains(['Z', '+', '-']));
    // An unescaped plus sign of a query is a space: no instant.
    let start = span(value).filter(|_| zoned).map(|(start, _)| start);
    start.ok_or_else(|| Outcome::invalid(format!("{name} is not an instant with an offset")))
}

impl Reading<'_> {
    /// Refuses, or notes what is left out.
    fn refuse(&mut self, why: String) -> Result<(), Outcome> {
        if !self.lenient {
            return Err(Outcome::new(StatusCode::BAD_REQUEST, "not-supported", why));
        }
        self.ask.ignored.push(why);
        Ok(())
    }

    /// Comma lists were allowed up to 3.0.0.
    fn list<'v>(&self, name: &str, value: &'v str) -> Result<Vec<&'v str>, Outcome> {
        if self.dialect == Dialect::V4 && value.contains(',') {
            return Err(Outcome::invalid(format!("{name}: repeat the parameter, commas are forbidden")));
        }
        Ok(value.split(',').map(str::trim).filter(|one| !one.is_empty()).collect())
    }

    fn types(&mut self, value: &str) -> Result<(), Outcome> {
        for one in self.list("_type", value)? {
            let held = TYPES.contains(&one) || SORTS.iter().any(|sort| sort.kind == one);
            if !R4_TYPES.contains(&one) {
                self.refuse(format!("_type: {one} is no resource type"))?;
            } else if self.unheld_refused && !held {
                self.refuse(format!("_type: {one} is not held here"))?;
            } else if !self.ask.types.iter().any(|known| known == one) {
                self.ask.types.push(one.to_owned());
            }
        }
        Ok(())
    }

    fn filters(&mut self, value: &str) -> Result<(), Outcome> {
        let queries = if self.dialect == Dialect::V4 { vec![value.to_owned()] } else { queries(value) };
        for query in queries {
            let Some((kind, query)) = query.split_once('?') else {
                return Err(Outcome::invalid("_typeFilter is a query: Type?parameter=value"));
            };
            if !R4_TYPES.contains(&kind) {
                self.refuse(format!("_typeFilter: {kind} is no resource type"))?;
                continue;
            }
            let mut criteria = Vec::new();
            for (name, value) in Params::parse(query.as_bytes()).0 {
                match Criterion::parse(kind, &name, &value, &self.call.base_url)? {
                    Some(criterion) => criteria.push(criterion),
                    None => self.refuse(format!("_typeFilter: {kind} has no parameter {name}"))?,
                }
            }
            self.ask.filters.push((kind.to_owned(), criteria));
        }
        Ok(())
    }
}

/// Splits at the commas that begin another query; those within a value stay.
fn queries(text: &str) -> Vec<String> {
    let mut queries: Vec<String> = Vec::new();
    for piece in text.split(',') {
        let begins = piece.split_once('?').is_some_and(|(kind, _)| R4_TYPES.contains(&kind));
        match queries.last_mut() {
            Some(last) if !begins => {
                last.push(',');
                last.push_str(piece);
            }
            _ => queries.push(piece.to_owned()),
        }
    }
    queries
}
