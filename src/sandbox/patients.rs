//! Synthetic patients and their encounters, the same every time for the same number.
//!
//! Imports nothing of ours outside the sandbox. Invariant: nothing here can be taken for a real
//! person: fictional address, 555-01xx telephone, `HTEST` tag, and a narrative that says so.

use serde_json::{Value, json};

use super::people::{ORGANIZATION, USERS};

/// Given names, each with a gender.
pub(super) const GIVEN: [(&str, &str); 36] = [
    ("Amina", "female"),
    ("Noah", "male"),
    ("Zoë", "female"),
    ("Mateo", "male"),
    ("Mei", "female"),
    ("Kwame", "male"),
    ("Priya", "female"),
    ("Liam", "male"),
    ("Sofía", "female"),
    ("Hiroshi", "male"),
    ("Ingrid", "female"),
    ("Tariq", "male"),
    ("Aroha", "female"),
    ("Dmitri", "male"),
    ("Chiamaka", "female"),
    ("José", "male"),
    ("Freya", "female"),
    ("Arjun", "male"),
    ("Leilani", "female"),
    ("Tomasz", "male"),
    ("Yara", "female"),
    ("Elias", "male"),
    ("Nizhoni", "female"),
    ("Oluwaseun", "male"),
    ("Charlotte", "female"),
    ("Minh", "male"),
    ("Esther", "female"),
    ("Rafael", "male"),
    ("Saoirse", "female"),
    ("Bashir", "male"),
    ("Linh", "female"),
    ("George", "male"),
    ("Fatima", "female"),
    ("Anders", "male"),
    ("Riley", "other"),
    ("Sam", "unknown"),
];

/// Family names.
pub(super) const FAMILY: [&str; 32] = [
    "Abara",
    "Nguyen",
    "Müller",
    "Okafor",
    "Garcia",
    "Silva",
    "Haddad",
    "Kowalski",
    "Tanaka",
    "O'Brien",
    "Begay",
    "Johansson",
    "Patel",
    "Kim",
    "Rossi",
    "Adeyemi",
    "Cohen",
    "Fernández",
    "Singh",
    "Walker",
    "Dubois",
    "Kealoha",
    "Petrov",
    "Ali",
    "Smith-Jones",
    "Morales",
    "Chen",
    "Novák",
    "Whitefeather",
    "Baptiste",
    "Yılmaz",
    "Larsen",
];

const STREETS: [&str; 8] = [
    "Example Lane",
    "Sample Street",
    "Placeholder Avenue",
    "Specimen Road",
    "Mockingbird Test Way",
    "Fictional Boulevard",
    "Demo Court",
    "Rehearsal Drive",
];

const VISITS: [(&str, &str); 5] = [
    ("185349003", "Encounter for check up"),
    ("185345009", "Encounter for symptom"),
    ("390906007", "Follow-up encounter"),
    ("270427003", "Patient-initiated encounter"),
    ("185317003", "Telephone encounter"),
];

/// A small deterministic generator (splitmix64): the same patients on every machine.
pub(super) struct Dice(u64);

impl Dice {
    /// One generator for each patient, so that patient n does not depend on how many there are.
    pub(super) fn new(seed: usize) -> Self {
        let seed = u64::try_from(seed).unwrap_or(u64::MAX);
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5ab0_7a6e_d5e4_11e5)
    }

    /// A generator with this very state.
    pub(super) fn of(state: u64) -> Self {
        Self(state)
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, but not including, `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        let sides = u64::try_from(sides.max(1)).unwrap_or(1);
        usize::try_from(self.bits() % sides).unwrap_or_default()
    }

    /// One of a list.
    pub(super) fn pick<T: Copy>(&mut self, list: &[T], otherwise: T) -> T {
        list.get(self.roll(list.len())).copied().unwrap_or(otherwise)
    }
}

/// `meta` of every generated resource: the standard label for test data (v3 `ActReason`, HTEST).
pub(super) fn test_tag() -> Value {
    json!({
        "versionId": "1",
        "lastUpdated": "2025-01-01T00:00:00Z",
        "tag": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
            "code": "HTEST",
            "display": "test health data"
        }]
    })
}

/// Patient number `index`, counted from 0.
pub(super) fn patient(index: usize) -> Value {
    let mut dice = Dice::new(index);
    let (given, gender) = dice.pick(&GIVEN, ("Sam", "unknown"));
    let (middle, _) = dice.pick(&GIVEN, ("Sam", "unknown"));
    let family = dice.pick(&FAMILY, "Example");
    let number = index + 1;
    let born = format!("{}-{:02}-{:02}", 1932 + dice.roll(90), 1 + dice.roll(12), 1 + dice.roll(28));
    let street = dice.pick(&STREETS, "Example Lane");
    let language = dice.pick(&[("en", "English"), ("es", "Spanish"), ("vi", "Vietnamese")], ("en", "English"));
    let mut meta = test_tag();
    if let Some(meta) = meta.as_object_mut() {
        meta.insert("profile".to_owned(), json!(["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]));
    }
    json!({
        "resourceType": "Patient",
        "id": format!("pat-{number:04}"),
        "meta": meta,
        "text": {
            "status": "generated",
            "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Synthetic patient. Not a real person.</div>"
        },
        "identifier": [{
            "use": "usual",
            "type": {
                "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                    "code": "MR",
                    "display": "Medical record number"
                }],
                "text": "Medical record number"
            },
            "system": MRN_SYSTEM,
            "value": format!("SBX-{:06}", 100_000 + number * 37)
        }],
        "active": true,
        "name": [{
            "use": "official",
            "family": family,
            "given": [given, middle],
            "text": format!("{given} {middle} {family}")
        }],
        "telecom": [
            { "system": "phone", "use": "home", "value": format!("555-555-01{:02}", index % 100) },
            { "system": "email", "value": format!("patient{number:04}@example.org") }
        ],
        "gender": gender,
        "birthDate": born,
        "address": [{
            "use": "home",
            "line": [format!("{} {street}", 1 + dice.roll(999))],
            "city": "Exampleville",
            "state": "ZZ",
            "postalCode": "00000",
            "country": "US"
        }],
        "communication": [{
            "language": {
                "coding": [{ "system": "urn:ietf:bcp:47", "code": language.0, "display": language.1 }]
            },
            "preferred": true
        }]
    })
}

/// The identifier system of medical record numbers.
pub(super) const MRN_SYSTEM: &str = "http://sandbox.example.org/identifiers/mrn";

/// The one to three encounters of a patient, oldest first.
pub(super) fn encounters(index: usize, patient: &Value) -> Vec<Value> {
    let mut dice = Dice::new(index.wrapping_add(1_000_003));
    let count = 1 + index % 3;
    let (subject, display) = (reference(patient), name(patient));
    (0..count)
        .map(|visit| {
            let (code, text) = dice.pick(&VISITS, ("185349003", "Encounter for check up"));
            let user = USERS.get(dice.roll(USERS.len()));
            let day = format!("{}-{:02}-{:02}", 2022 + visit, 1 + dice.roll(12), 1 + dice.roll(28));
            let hour = 8 + dice.roll(9);
            json!({
                "resourceType": "Encounter",
                "id": format!("enc-{:04}-{}", index + 1, visit + 1),
                "meta": test_tag(),
                "status": if visit + 1 == count && index.is_multiple_of(4) { "in-progress" } else { "finished" },
                "class": {
                    "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                    "code": "AMB",
                    "display": "ambulatory"
                },
                "type": [{
                    "coding": [{ "system": "http://snomed.info/sct", "code": code, "display": text }],
                    "text": text
                }],
                "subject": { "reference": subject, "display": display },
                "participant": [{
                    "individual": {
                        "reference": format!("Practitioner/{}", user.map_or("prac-river", |user| user.practitioner))
                    }
                }],
                "period": {
                    "start": format!("{day}T{hour:02}:00:00Z"),
                    "end": format!("{day}T{hour:02}:30:00Z")
                },
                "serviceProvider": { "reference": format!("Organization/{ORGANIZATION}") }
            })
        })
        .collect()
}

/// A string somewhere in a resource, or nothing.
pub(super) fn text<'a>(resource: &'a Value, pointer: &str) -> &'a str {
    resource.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The relative reference of a resource.
pub(super) fn reference(resource: &Value) -> String {
    format!("{}/{}", text(resource, "/resourceType"), text(resource, "/id"))
}

/// The name of a patient as one line, whatever parts of it there are.
pub(super) fn name(patient: &Value) -> String {
    let whole = text(patient, "/name/0/text");
    if !whole.is_empty() {
        return whole.to_owned();
    }
    format!("{} {}", text(patient, "/name/0/given/0"), text(patient, "/name/0/family")).trim().to_owned()
}
