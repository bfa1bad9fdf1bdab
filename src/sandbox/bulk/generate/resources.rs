//! What a line says: the members of each of the nineteen resource types.
//!
//! Imports nothing of ours outside the sandbox. Invariant: every resource that is referred to is in the same
//! data set, and members come in the order of FHIR's own definitions.

use std::fmt::Write as _;

use super::super::super::patients::{Dice, FAMILY, GIVEN};
use super::DataSet;

type Coded = (&'static str, &'static str);

const CONDITIONS: [Coded; 6] = [
    ("59621000", "Essential hypertension (disorder)"),
    ("44054006", "Diabetes mellitus type 2 (disorder)"),
    ("195662009", "Acute viral pharyngitis (disorder)"),
    ("444814009", "Viral sinusitis (disorder)"),
    ("55822004", "Hyperlipidemia (disorder)"),
    ("162864005", "Body mass index 30+ - obesity (finding)"),
];
const PROCEDURES: [Coded; 6] = [
    ("430193006", "Medication reconciliation (procedure)"),
    ("710824005", "Assessment of health and social care needs (procedure)"),
    ("171207006", "Depression screening (procedure)"),
    ("428211000124100", "Assessment of substance use (procedure)"),
    ("268425006", "Pelvis X-ray (procedure)"),
    ("76601001", "Intramuscular injection (procedure)"),
];
const MEDICATIONS: [Coded; 5] = [
    ("314076", "lisinopril 10 MG Oral Tablet"),
    ("860975", "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet"),
    ("313782", "acetaminophen 325 MG Oral Tablet"),
    ("310798", "hydrochlorothiazide 25 MG Oral Tablet"),
    ("312961", "simvastatin 20 MG Oral Tablet"),
];
const VACCINES: [Coded; 4] = [
    ("140", "Influenza, seasonal, injectable, preservative free"),
    ("113", "Td (adult), 5 Lf tetanus toxoid, preservative free, adsorbed"),
    ("121", "zoster vaccine, live"),
    ("133", "Pneumococcal conjugate PCV 13"),
];
const OBSERVATIONS: [(&str, &str, &str, usize); 8] = [
    ("8302-2", "Body Height", "cm", 190),
    ("29463-7", "Body Weight", "kg", 120),
    ("8867-4", "Heart rate", "/min", 100),
    ("8310-5", "Body temperature", "Cel", 39),
    ("2339-0", "Glucose [Mass/volume] in Blood", "mg/dL", 110),
    ("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL", 230),
    ("38483-4", "Creatinine [Mass/volume] in Blood", "mg/dL", 3),
    ("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", 11),
];
const NONE: Coded = ("", "");

/// What most resources refer to.
struct Around<'a> {
    data: &'a DataSet,
    patient: usize,
    day: String,
    number: usize,
}

impl Around<'_> {
    fn subject(&self, name: &str, out: &mut String) {
        let _ = write!(out, ",\"{name}\":{{\"reference\":\"Patient/{}\"}}", self.data.id("Patient", self.patient));
    }

    /// A reference to another resource; how many of them there are decides which.
    fn refer(&self, kind: &str) -> String {
        let count = self.data.count(kind).max(1);
        format!("{{\"reference\":\"{kind}/{}\"}}", self.data.id(kind, self.number % count))
    }

    /// A reference to an encounter of the same patient.
    fn visit(&self) -> String {
        let (patients, visits) = (self.data.count("Patient").max(1), self.data.count("Encounter"));
        let visit = self.patient + patients * (self.number % (visits / patients).max(1));
        format!("{{\"reference\":\"Encounter/{}\"}}", self.data.id("Encounter", visit))
    }

    fn time(&self) -> String {
        format!("{}T{:02}:{:02}:00+00:00", self.day, 8 + self.number % 10, self.number % 60)
    }
}

fn concept(name: &str, system: &str, (code, display): Coded, out: &mut String) {
    let _ = write!(
        out,
        ",\"{name}\":{{\"coding\":[{{\"system\":\"{system}\",\"code\":\"{code}\",\"display\":\"{display}\"}}],\
         \"text\":\"{display}\"}}"
    );
}

/// Appends a resource without its end: the narrative may follow.
pub(super) fn write(data: &DataSet, kind: &str, index: usize, dice: &mut Dice, out: &mut String) {
    let _ = write!(
        out,
        "{{\"resourceType\":\"{kind}\",\"id\":\"{}\",\"meta\":{{\"versionId\":\"{}\",\
         \"lastUpdated\":\"2024-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z\",\
         \"profile\":[\"http://hl7.org/fhir/us/core/StructureDefinition/us-core-{}\"],\
         \"tag\":[{{\"system\":\"http://terminology.hl7.org/CodeSystem/v3-ActReason\",\"code\":\"HTEST\"}}]}}",
        data.id(kind, index),
        1 + dice.roll(5),
        1 + dice.roll(12),
        1 + dice.roll(28),
        dice.roll(24),
        dice.roll(60),
        dice.roll(60),
        dice.roll(1000),
        kind.to_ascii_lowercase()
    );
    let around = Around {
        data,
        patient: index % data.count("Patient").max(1),
        day: format!("{}-{:02}-{:02}", 2010 + dice.roll(14), 1 + dice.roll(12), 1 + dice.roll(28)),
        number: index,
    };
    match kind {
        "Observation" | "DiagnosticReport" => result(kind, &around, dice, out),
        "Claim" | "ExplanationOfBenefit" => bill(kind, &around, dice, out),
        "Condition" | "AllergyIntolerance" | "Procedure" | "Immunization" | "MedicationRequest" => {
            fact(kind, &around, dice, out);
        }
        "Encounter" | "CarePlan" | "CareTeam" | "DocumentReference" | "ImagingStudy" => event(kind, &around, dice, out),
        _ => thing(kind, &around, dice, out),
    }
}

fn result(kind: &str, around: &Around<'_>, dice: &mut Dice, out: &mut String) {
    let (code, display, unit, most) = dice.pick(&OBSERVATIONS, ("", "", "", 1));
    let (category, name) =
        if kind == "Observation" { ("vital-signs", "Vital signs") } else { ("LAB", "Laboratory studies") };
    out.push_str(",\"status\":\"final\"");
    let _ = write!(
        out,
        ",\"category\":[{{\"coding\":[{{\"system\":\"http://terminology.hl7.org/CodeSystem/observation-category\",\
         \"code\":\"{category}\",\"display\":\"{name}\"}}]}}]"
    );
    concept("code", "http://loinc.org", (code, display), out);
    around.subject("subject", out);
    let time = around.time();
    let _ = write!(out, ",\"encounter\":{},\"effectiveDateTime\":\"{time}\",\"issued\":\"{time}\"", around.visit());
    if kind == "Observation" {
        let value = format!("{}.{:03}", 1 + dice.roll(most), dice.roll(1000));
        let _ = write!(
            out,
            ",\"valueQuantity\":{{\"value\":{value},\"unit\":\"{unit}\",\"system\":\"http://unitsofmeasure.org\",\
             \"code\":\"{unit}\"}}"
        );
    } else {
        let _ = write!(out, ",\"result\":[{}]", around.refer("Observation"));
    }
}

fn bill(kind: &str, around: &Around<'_>, dice: &mut Dice, out: &mut String) {
    out.push_str(",\"status\":\"active\"");
    concept("type", "http://terminology.hl7.org/CodeSystem/claim-type", ("professional", "Professional"), out);
    out.push_str(",\"use\":\"claim\"");
    around.subject("patient", out);
    let _ = write!(
        out,
        ",\"created\":\"{}\",\"provider\":{}",
        around.time(),
        around.refer(if kind == "Claim" { "Organization" } else { "Practitioner" })
    );
    if kind == "ExplanationOfBenefit" {
        let _ = write!(out, ",\"claim\":{},\"outcome\":\"complete\"", around.refer("Claim"));
    }
    out.push_str(",\"item\":[");
    for item in 1..=1 + dice.roll(if kind == "Claim" { 2 } else { 4 }) {
        let (code, display) = dice.pick(&PROCEDURES, NONE);
        let comma = if item == 1 { "" } else { "," };
        let _ = write!(
            out,
            "{comma}{{\"sequence\":{item},\"productOrService\":{{\"coding\":[{{\"system\":\"http://snomed.info/sct\",\
             \"code\":\"{code}\",\"display\":\"{display}\"}}]}},\"net\":{{\"value\":{}.{:02},\"currency\":\"USD\"}}}}",
            10 + dice.roll(900),
            dice.roll(100)
        );
    }
    let _ = write!(out, "],\"total\":{{\"value\":{}.{:02},\"currency\":\"USD\"}}", dice.roll(5000), dice.roll(100));
}

fn fact(kind: &str, around: &Around<'_>, dice: &mut Dice, out: &mut String) {
    let snomed = "http://snomed.info/sct";
    match kind {
        "Procedure" => {
            out.push_str(",\"status\":\"completed\"");
            concept("code", snomed, dice.pick(&PROCEDURES, NONE), out);
            around.subject("subject", out);
            let _ = write!(out, ",\"performedPeriod\":{{\"start\":\"{0}\",\"end\":\"{0}\"}}", around.time());
        }
        "Immunization" => {
            out.push_str(",\"status\":\"completed\"");
            concept("vaccineCode", "http://hl7.org/fhir/sid/cvx", dice.pick(&VACCINES, NONE), out);
            around.subject("patient", out);
            let _ = write!(out, ",\"occurrenceDateTime\":\"{}\",\"primarySource\":true", around.time());
        }
        "MedicationRequest" => {
            out.push_str(",\"status\":\"active\",\"intent\":\"order\"");
            let system = "http://www.nlm.nih.gov/research/umls/rxnorm";
            concept("medicationCodeableConcept", system, dice.pick(&MEDICATIONS, NONE), out);
            around.subject("subject", out);
            let _ = write!(out, ",\"authoredOn\":\"{}\",\"requester\":{}", around.time(), around.refer("Practitioner"));
        }
        _ => {
            concept(
                "clinicalStatus",
                "http://terminology.hl7.org/CodeSystem/condition-clinical",
                ("active", "Active"),
                out,
            );
            concept("code", snomed, dice.pick(&CONDITIONS, NONE), out);
            around.subject(if kind == "Condition" { "subject" } else { "patient" }, out);
            let _ = write!(out, ",\"recordedDate\":\"{}\"", around.time());
        }
    }
    if kind != "AllergyIntolerance" {
        let _ = write!(out, ",\"encounter\":{}", around.visit());
    }
}

fn event(kind: &str, around: &Around<'_>, dice: &mut Dice, out: &mut String) {
    let time = around.time();
    match kind {
        "Encounter" => {
            out.push_str(
                ",\"status\":\"finished\",\"class\":{\"system\":\
                 \"http://terminology.hl7.org/CodeSystem/v3-ActCode\",\"code\":\"AMB\"}",
            );
            around.subject("subject", out);
            let _ = write!(
                out,
                ",\"participant\":[{{\"individual\":{}}}],\"period\":{{\"start\":\"{time}\",\"end\":\"{time}\"}},\
                 \"serviceProvider\":{}",
                around.refer("Practitioner"),
                around.refer("Organization")
            );
        }
        "DocumentReference" => {
            out.push_str(",\"status\":\"current\"");
            concept("type", "http://loinc.org", ("34117-2", "History and physical note"), out);
            around.subject("subject", out);
            let _ = write!(
                out,
                ",\"date\":\"{time}\",\"content\":[{{\"attachment\":{{\"contentType\":\"text/plain; charset=utf-8\",\
                 \"data\":\"U1lOVEhFVElDIFRFU1QgRE9DVU1FTlQgLSBOT1QgQSBSRUFMIFBFUlNPTg==\"}}}}],\
                 \"context\":{{\"encounter\":[{}]}}",
                around.visit()
            );
        }
        "ImagingStudy" => {
            out.push_str(",\"status\":\"available\"");
            around.subject("subject", out);
            let _ = write!(
                out,
                ",\"started\":\"{time}\",\"numberOfSeries\":1,\"series\":[{{\"uid\":\"1.2.840.99999999.{}\",\
                 \"number\":1,\"modality\":{{\"system\":\"http://dicom.nema.org/resources/ontology/DCM\",\
                 \"code\":\"DX\"}},\"numberOfInstances\":1}}]",
                dice.roll(99_999_999)
            );
        }
        _ => {
            out.push_str(",\"status\":\"active\"");
            if kind == "CarePlan" {
                out.push_str(",\"intent\":\"order\"");
            }
            around.subject("subject", out);
            let _ = write!(out, ",\"period\":{{\"start\":\"{time}\"}}");
            let _ = write!(out, ",\"encounter\":{}", around.visit());
            let _ = write!(out, ",\"note\":[{{\"text\":\"{}\"}}]", dice.pick(&PROCEDURES, NONE).1);
        }
    }
}

fn thing(kind: &str, around: &Around<'_>, dice: &mut Dice, out: &mut String) {
    let (given, gender) = dice.pick(&GIVEN, ("Sam", "unknown"));
    let family = dice.pick(&FAMILY, "Example");
    let number = around.number;
    match kind {
        "Patient" => {
            let _ = write!(
                out,
                ",\"identifier\":[{{\"system\":\"http://sandbox.example.org/identifiers/bulk\",\
                 \"value\":\"BLK-{number:08}\"}}],\"active\":true,\"name\":[{{\"use\":\"official\",\
                 \"family\":\"{family}\",\"given\":[\"{given}\"]}}],\"telecom\":[{{\"system\":\"phone\",\
                 \"value\":\"555-555-01{:02}\",\"use\":\"home\"}}],\"gender\":\"{gender}\",\"birthDate\":\"{}-{:02}-{:02}\",\
                 \"address\":[{{\"line\":[\"{} Example Lane\"],\"city\":\"Exampleville\",\"state\":\"ZZ\",\
                 \"postalCode\":\"00000\",\"country\":\"US\"}}]",
                number % 100,
                1932 + dice.roll(90),
                1 + dice.roll(12),
                1 + dice.roll(28),
                1 + dice.roll(999)
            );
        }
        "Practitioner" => {
            let _ = write!(
                out,
                ",\"identifier\":[{{\"system\":\"http://hl7.org/fhir/sid/us-npi\",\"value\":\"9999{number:06}\"}}],\
                 \"active\":true,\"name\":[{{\"family\":\"{family}\",\"given\":[\"{given}\"],\"prefix\":[\"Dr.\"]}}]"
            );
        }
        "Organization" => {
            let _ = write!(out, ",\"active\":true,\"name\":\"{family} Practice {number} (synthetic)\"");
        }
        "Group" => {
            let _ = write!(
                out,
                ",\"active\":true,\"type\":\"person\",\"actual\":true,\"name\":\"Group {number} (synthetic)\",\
                 \"member\":[{{\"entity\":{}}}]",
                around.refer("Patient")
            );
        }
        _ => {
            let _ = write!(
                out,
                ",\"status\":\"active\",\"serialNumber\":\"{:012}\",\"deviceName\":[{{\"name\":\"Synthetic pacemaker\",\
                 \"type\":\"user-friendly-name\"}}]",
                dice.roll(999_999_999)
            );
            around.subject("patient", out);
        }
    }
}
