//! The record store: every resource of the sandbox, in memory, in a stable order.
//!
//! Imports nothing of ours outside the sandbox. Invariant: rows are only ever appended, so a page
//! of a search stays where it was while others write.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::documents::documents;
use super::patients::{encounters, patient, test_tag, text};
use super::people::{USERS, organization, practitioner, role};

/// The resource type of patients.
pub(super) const PATIENT: &str = "Patient";
/// The resource type of documents.
pub(super) const DOCUMENT: &str = "DocumentReference";
/// The resource type of visits.
pub(super) const ENCOUNTER: &str = "Encounter";
/// The resource type of raw content.
pub(super) const BINARY: &str = "Binary";

/// The resource type of groups of patients.
pub(super) const GROUP: &str = "Group";

/// Every resource type that the server holds.
pub(super) const TYPES: [&str; 8] =
    [PATIENT, "Practitioner", "PractitionerRole", "Organization", ENCOUNTER, DOCUMENT, BINARY, GROUP];

/// The group of all patients; whoever is created joins it.
const ALL: &str = "all-patients";
/// The group of the first few patients.
const FIRST: &str = "first-patients";
/// How many are in that one.
const FEW: usize = 3;

/// One resource and the patient in whose compartment it is.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The resource, with relative references and attachment URLs.
    pub(super) body: Value,
    /// The patient it belongs to, if it belongs to one.
    pub(super) patient: Option<String>,
}

#[derive(Debug, Default)]
struct Table {
    rows: Vec<Row>,
    places: HashMap<String, usize>,
}

/// All resources.
#[derive(Debug, Default)]
pub(super) struct Records {
    tables: HashMap<&'static str, Table>,
    created: u64,
}

impl Records {
    /// The practice with `count` synthetic patients.
    pub(super) fn generate(count: usize) -> Self {
        let mut records = Self::default();
        records.add("Organization", None, organization());
        for (index, user) in USERS.iter().enumerate() {
            records.add("Practitioner", None, practitioner(index, user));
            records.add("PractitionerRole", None, role(user));
        }
        for index in 0..count {
            let body = patient(index);
            let owner = Some(text(&body, "/id").to_owned());
            let visits = encounters(index, &body);
            for (document, blob) in documents(index, &body, &visits) {
                records.add(
                    BINARY,
                    owner.clone(),
                    json!({
                        "resourceType": BINARY,
                        "id": blob.id,
                        "meta": test_tag(),
                        "contentType": blob.content_type,
                        "data": STANDARD.encode(&blob.bytes)
                    }),
                );
                records.add(DOCUMENT, owner.clone(), document);
            }
            for visit in visits {
                records.add(ENCOUNTER, owner.clone(), visit);
            }
            records.add(PATIENT, owner, body);
        }
        let ids: Vec<String> = records.ids(PATIENT).map(str::to_owned).collect();
        // A group tells who is a patient here: it is in nobody's compartment.
        records.add(GROUP, Some(String::new()), group(ALL, "All patients", &ids));
        records.add(GROUP, Some(String::new()), group(FIRST, "The first patients", ids.get(..FEW).unwrap_or(&ids)));
        records
    }

    /// Appends a resource that has an id.
    fn add(&mut self, kind: &'static str, patient: Option<String>, body: Value) {
        let table = self.tables.entry(kind).or_default();
        table.places.insert(text(&body, "/id").to_owned(), table.rows.len());
        table.rows.push(Row { body, patient });
    }

    /// Appends a resource under a new id of the server's (FHIR R4 "create": the client's is
    /// ignored) and returns the id.
    pub(super) fn create(
        &mut self,
        kind: &'static str,
        patient: Option<String>,
        mut body: Value,
        updated: &str,
    ) -> String {
        self.created += 1;
        let id = format!("new-{:06}", self.created);
        let mut meta = test_tag();
        if let Some(meta) = meta.as_object_mut() {
            meta.insert("lastUpdated".to_owned(), json!(updated));
        }
        if let Some(object) = body.as_object_mut() {
            object.insert("id".to_owned(), json!(id));
            object.insert("meta".to_owned(), meta);
        }
        let owner = if kind == PATIENT { Some(id.clone()) } else { patient };
        self.add(kind, owner, body);
        if kind == PATIENT {
            self.join(&id, updated);
        }
        id
    }

    /// Lets a patient join the group of all.
    fn join(&mut self, patient: &str, updated: &str) {
        let groups = self.tables.get_mut(GROUP).into_iter().flat_map(|table| &mut table.rows);
        for row in groups.filter(|row| text(&row.body, "/id") == ALL) {
            if let Some(updating) = row.body.pointer_mut("/meta/lastUpdated") {
                *updating = json!(updated);
            }
            if let Some(group) = row.body.as_object_mut()
                && let Some(members) = group.entry("member").or_insert_with(|| json!([])).as_array_mut()
            {
                members.push(member(patient));
            }
        }
    }

    /// One resource.
    pub(super) fn get(&self, kind: &str, id: &str) -> Option<&Row> {
        let table = self.tables.get(kind)?;
        table.rows.get(*table.places.get(id)?)
    }

    /// All resources of a type, in order.
    pub(super) fn all(&self, kind: &str) -> impl Iterator<Item = &Row> {
        self.tables.get(kind).into_iter().flat_map(|table| &table.rows)
    }

    /// The ids of a type, in order.
    pub(super) fn ids(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.all(kind).map(|row| text(&row.body, "/id"))
    }

    /// The latest encounter of a patient: what is open when the EHR launches an application.
    pub(super) fn latest_encounter(&self, patient: &str) -> Option<String> {
        self.all(ENCOUNTER)
            .filter(|row| row.patient.as_deref() == Some(patient))
            .max_by_key(|row| text(&row.body, "/period/start"))
            .map(|row| text(&row.body, "/id").to_owned())
    }
}

/// A group of persons by enumeration (FHIR R4 "Group").
fn group(id: &str, name: &str, patients: &[String]) -> Value {
    let mut group = json!({
        "resourceType": GROUP,
        "id": id,
        "meta": test_tag(),
        "active": true,
        "type": "person",
        "actual": true,
        "name": format!("{name} (synthetic)")
    });
    let members: Vec<Value> = patients.iter().map(|patient| member(patient)).collect();
    // FHIR JSON has no empty arrays.
    if !members.is_empty()
        && let Some(group) = group.as_object_mut()
    {
        group.insert("member".to_owned(), json!(members));
    }
    group
}

fn member(patient: &str) -> Value {
    json!({ "entity": { "reference": format!("Patient/{patient}") } })
}
