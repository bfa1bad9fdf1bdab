//! Which resources an export has, and in which files they are.
//!
//! Imports nothing of ours outside the sandbox. Invariants: a resource is exported only if the token's scopes
//! reach that very resource; a deleted one is not (Bulk Data Access 3.0.0, "Response - Output Manifest").

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::dates::span;
use super::super::error::Outcome;
use super::super::fhir::{Call, Rules, file_link};
use super::super::patients::{reference, text};
use super::super::records::{BINARY, DOCUMENT, GROUP, PATIENT, Records, Row, TYPES};
use super::Reach;
use super::ask::Ask;
use super::generate::{DataSet, INDEX, SORTS};
use super::job::{Part, Role, Source};
use super::options::{Bulk, Synthetic};

/// A resource of an export, as a line, and whose it is.
struct Line {
    kind: &'static str,
    patient: Option<String>,
    text: String,
}

/// The files of an export.
pub(super) fn parts(call: &Call<'_>, options: &Bulk, reach: &Reach, ask: &Ask) -> Result<Vec<Part>, Outcome> {
    let now = call.sandbox.now();
    let mut parts = if let Some(folder) = &options.folder {
        stored(call, folder, ask, now)?
    } else if let Some(synthetic) = &options.synthetic {
        drawn(call, options, synthetic, ask, now)?
    } else {
        let lines = collect(call, options, reach, ask)?;
        if ask.by_patient { by_patient(options, &lines, now) } else { by_type(options, lines, now) }
    };
    if options.files_repeated {
        let mut seen = HashSet::new();
        let again: Vec<Part> = parts.iter().filter(|part| seen.insert(part.kind.clone())).cloned().collect();
        parts.extend(again);
    }
    let mut add = |role, kind: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let count = lines.len();
            parts.push(Part::new(role, kind, Source::Held(Arc::new(lines)), count, now));
        }
    };
    if ask.since.is_some() {
        add(Role::Deleted, "Bundle", deletions(call, options, ask)?);
    }
    add(Role::Error, "OperationOutcome", outcomes(options, ask));
    Ok(parts)
}

/// Which types a token and a request allow together.
fn allowed<'k>(
    call: &Call<'_>,
    ask: &Ask,
    held: impl Iterator<Item = &'k str>,
) -> Result<Vec<(&'k str, Rules)>, Outcome> {
    // An export reads and searches (SMART "Backend Services", "Scopes").
    let rules = |kind: &str| call.rules('s', kind).and_then(|_| call.rules('r', kind));
    for kind in &ask.types {
        rules(kind)?;
    }
    let wanted = held.filter(|kind| ask.types.is_empty() || ask.types.iter().any(|one| one == kind));
    let allowed: Vec<_> = wanted.filter_map(|kind| Some((kind, rules(kind).ok()?))).collect();
    if allowed.is_empty() && ask.types.is_empty() {
        return Err(Outcome::scope("no granted scope allows to read and search anything that is exported"));
    }
    Ok(allowed)
}

/// Whose records an export covers; none: everybody's.
fn patients(records: &Records, reach: &Reach, ask: &Ask) -> Result<Option<HashSet<String>>, Outcome> {
    let mut all: HashSet<String> = match reach {
        Reach::System => return Ok(None),
        Reach::Patient => records.ids(PATIENT).map(str::to_owned).collect(),
        Reach::Group(id) => {
            let group = records.get(GROUP, id).ok_or_else(|| Outcome::not_found("no such group"))?;
            let members = group.body.get("member").and_then(Value::as_array);
            let ids = members.into_iter().flatten().map(|member| text(member, "/entity/reference"));
            ids.filter_map(|reference| reference.strip_prefix("Patient/")).map(str::to_owned).collect()
        }
    };
    if let Some(other) = ask.patients.iter().find(|id| !all.contains(*id)) {
        return Err(Outcome::invalid(format!("Patient/{other} is not among the patients of this export")));
    }
    if !ask.patients.is_empty() {
        all.retain(|id| ask.patients.contains(id));
    }
    Ok(Some(all))
}

fn collect(call: &Call<'_>, options: &Bulk, reach: &Reach, ask: &Ask) -> Result<Vec<Line>, Outcome> {
    let records = call.sandbox.records();
    let patients = patients(&records, reach, ask)?;
    let mut lines = Vec::new();
    for (kind, rules) in allowed(call, ask, TYPES.into_iter())? {
        for row in records.all(kind) {
            let whose = match (&patients, row.patient.as_deref()) {
                // A Binary belongs to the system level; a group is only its own (Bulk Data, "Attachments").
                (Some(_), _) if kind == BINARY => false,
                (Some(_), _) if kind == GROUP => matches!(reach, Reach::Group(id) if text(&row.body, "/id") == id),
                (Some(patients), Some(id)) => patients.contains(id),
                // Who works here helps to read the records.
                _ => true,
            };
            if !whose || !rules.reach(row) || !matches(row, options, ask) {
                continue;
            }
            let mut body = call.present(row);
            shape(&mut body, call, options, ask);
            if kind == DOCUMENT && !options.token_wanted() {
                open_documents(&mut body, call)?;
            }
            lines.push(Line { kind, patient: row.patient.clone(), text: body.to_string() });
        }
    }
    Ok(lines)
}

fn matches(row: &Row, options: &Bulk, ask: &Ask) -> bool {
    let name = reference(&row.body);
    if options.deleted.contains(&name) {
        return false;
    }
    // Without a time of its own a resource may be in any export.
    if let Some((updated, _)) = span(text(&row.body, "/meta/lastUpdated"))
        && (ask.since.is_some_and(|since| updated <= since) || ask.until.is_some_and(|until| updated >= until))
    {
        return false;
    }
    let kind = text(&row.body, "/resourceType");
    let mut filters = ask.filters.iter().filter(|(of, _)| of == kind).peekable();
    filters.peek().is_none() || filters.any(|(_, criteria)| criteria.iter().all(|one| one.matches(&row.body)))
}

/// Leaves out what was not asked for, and what this server does not give.
fn shape(body: &mut Value, call: &Call<'_>, options: &Bulk, ask: &Ask) {
    let kind = text(body, "/resourceType").to_owned();
    let named = |name: &str| {
        ask.elements.iter().any(|(of, element)| element == name && of.as_ref().is_none_or(|of| *of == kind))
    };
    if let Some(members) = body.as_object_mut() {
        if !ask.elements.is_empty() {
            members.retain(|name, _| MANDATORY.contains(&name.as_str()) || named(name));
            let meta = members.entry("meta").or_insert_with(|| json!({}));
            if let Some(meta) = meta.as_object_mut()
                && let Some(tags) = meta.entry("tag").or_insert_with(|| json!([])).as_array_mut()
            {
                tags.push(json!({
                    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
                    "code": "SUBSETTED"
                }));
            }
        }
        if options.no_meta {
            members.remove("meta");
        }
    }
    if options.absolute_references {
        absolute(body, &call.base_url);
    }
}

/// Where files take no token, documents do not either (Bulk Data Access 3.0.0, "Attachments").
fn open_documents(body: &mut Value, call: &Call<'_>) -> Result<(), Outcome> {
    let binaries = format!("{}/{BINARY}/", call.base_url);
    let contents = body.get_mut("content").and_then(Value::as_array_mut);
    for content in contents.into_iter().flatten() {
        if let Some(Value::String(url)) = content.pointer_mut("/attachment/url")
            && let Some(id) = url.strip_prefix(&binaries)
        {
            *url = file_link(call, id)?;
        }
    }
    Ok(())
}

/// What is never left out: the root elements that FHIR R4 demands in the types that this server holds.
const MANDATORY: [&str; 8] = ["resourceType", "id", "meta", "status", "class", "content", "type", "actual"];

fn absolute(value: &mut Value, base_url: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| absolute(item, base_url)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(target) if name == "reference" && !target.contains("://") => {
                        *target = format!("{base_url}/{target}");
                    }
                    other => absolute(other, base_url),
                }
            }
        }
        _ => {}
    }
}

fn by_type(options: &Bulk, lines: Vec<Line>, now: i64) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = lines.into_iter().peekable();
    while let Some(first) = rest.next() {
        let kind = first.kind;
        let mut held = vec![first.text];
        while held.len() < options.lines_per_file.max(1)
            && let Some(line) = rest.next_if(|line| line.kind == kind)
        {
            held.push(line.text);
        }
        let count = held.len();
        parts.push(Part::new(Role::Output, kind, Source::Held(Arc::new(held)), count, now));
    }
    parts
}

/// Files of blocks, one for each patient (Bulk Data Access 3.0.0, "Bulk Data Output File Organization").
fn by_patient(options: &Bulk, lines: &[Line], now: i64) -> Vec<Part> {
    let most = options.lines_per_file.max(1);
    let mut owners: Vec<&str> = Vec::new();
    for owner in lines.iter().filter_map(|line| line.patient.as_deref()).filter(|owner| !owner.is_empty()) {
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut held: Vec<String> = Vec::new();
    let mut counts = (0, 0);
    let mut close = |held: &mut Vec<String>, counts: &mut (usize, usize), continues: bool| {
        if !held.is_empty() {
            let source = Source::Held(Arc::new(std::mem::take(held)));
            let mut part = Part::new(Role::Output, "", source, counts.0, now);
            (part.headers, part.continues) = (counts.1, continues);
            parts.push(part);
            *counts = (0, 0);
        }
    };
    for owner in owners {
        let block: Vec<&Line> = lines.iter().filter(|line| line.patient.as_deref() == Some(owner)).collect();
        // A block stays in one file where that can be.
        if counts.0 + block.len() > most {
            close(&mut held, &mut counts, false);
        }
        let whole = json!({
            "resourceType": "Parameters",
            "parameter": [{ "name": "header", "valueReference": { "reference": format!("Patient/{owner}") } }]
        });
        for (place, pieces) in block.chunks(most).enumerate() {
            if place > 0 {
                close(&mut held, &mut counts, true);
            }
            held.push(whole.to_string());
            held.extend(pieces.iter().map(|line| line.text.clone()));
            counts = (counts.0 + pieces.len(), counts.1 + 1);
        }
    }
    close(&mut held, &mut counts, false);
    parts
}

fn drawn(call: &Call<'_>, options: &Bulk, synthetic: &Synthetic, ask: &Ask, now: i64) -> Result<Vec<Part>, Outcome> {
    let data = Arc::new(DataSet::new(synthetic.seed, synthetic.resources, synthetic.mean_bytes));
    let held = SORTS.iter().map(|sort| sort.kind);
    let held = held.filter(|kind| synthetic.types.is_empty() || synthetic.types.iter().any(|one| one == kind));
    let mut parts = Vec::new();
    for (kind, _) in allowed(call, ask, held)? {
        let total = data.count(kind);
        let step = options.lines_per_file.max(1);
        for from in (0..total).step_by(step) {
            let to = (from + step).min(total);
            let source = Source::Drawn { data: Arc::clone(&data), from, to };
            parts.push(Part::new(Role::Output, kind, source, to - from, now));
        }
    }
    Ok(parts)
}

/// One file of a folder, as its index lists it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Listed {
    /// The type of its resources.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Its name in the folder.
    pub(super) name: String,
    /// How many resources it has.
    pub(super) count: usize,
    /// How long it is.
    pub(super) bytes: u64,
}

/// The index of a folder.
pub(super) fn index(folder: &std::path::Path) -> io::Result<Vec<Listed>> {
    let listed: Vec<Listed> = serde_json::from_slice(&std::fs::read(folder.join(INDEX))?)?;
    // A name is a name: it leads nowhere else.
    let odd = |one: &Listed| one.name.contains(['/', '\\']) || one.name.starts_with('.');
    if listed.iter().any(odd) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the index names a file outside its folder"));
    }
    Ok(listed)
}

fn stored(call: &Call<'_>, folder: &std::path::Path, ask: &Ask, now: i64) -> Result<Vec<Part>, Outcome> {
    let listed = index(folder).map_err(|error| {
        Outcome::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", format!("the folder has no good index: {error}"))
    })?;
    let held = SORTS.iter().map(|sort| sort.kind);
    let kinds: Vec<&str> = allowed(call, ask, held)?.into_iter().map(|(kind, _)| kind).collect();
    let wanted = listed.into_iter().filter(|one| kinds.contains(&one.kind.as_str()));
    Ok(wanted
        .map(|one| {
            let source = Source::Stored(folder.join(&one.name), one.bytes);
            Part::new(Role::Output, &one.kind, source, one.count, now)
        })
        .collect())
}

/// Bundles of what was deleted, two in each.
fn deletions(call: &Call<'_>, options: &Bulk, ask: &Ask) -> Result<Vec<String>, Outcome> {
    let held = TYPES.into_iter().chain(SORTS.iter().map(|sort| sort.kind));
    let kinds: Vec<&str> = allowed(call, ask, held)?.into_iter().map(|(kind, _)| kind).collect();
    let gone =
        options.deleted.iter().filter(|name| name.split_once('/').is_some_and(|(kind, _)| kinds.contains(&kind)));
    let entries: Vec<Value> = gone.map(|name| json!({ "request": { "method": "DELETE", "url": name } })).collect();
    let bundle =
        |entry: &[Value]| json!({ "resourceType": "Bundle", "type": "transaction", "entry": entry }).to_string();
    Ok(entries.chunks(2).map(bundle).collect())
}

fn outcomes(options: &Bulk, ask: &Ask) -> Vec<String> {
    let outcome = |severity: &str, code: &str, text: &str| {
        json!({
            "resourceType": "OperationOutcome",
            "issue": [{ "severity": severity, "code": code, "details": { "text": text } }]
        })
        .to_string()
    };
    let ignored = ask.ignored.iter().map(|text| outcome("warning", "not-supported", text));
    options.issues.iter().map(|issue| outcome(&issue.severity, &issue.code, &issue.text)).chain(ignored).collect()
}
