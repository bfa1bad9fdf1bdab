//! The documents of synthetic patients: `DocumentReference` resources and the bytes behind them.
//!
//! Imports nothing of ours outside the sandbox. Invariant: `attachment.size` and `attachment.hash`
//! tell the truth about the `Binary` that the attachment's URL names.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::pages::escape;
use super::patients::{name, reference, test_tag, text};
use super::people::{ORGANIZATION, USERS};

/// The bytes of a document.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// The id of the `Binary`.
    pub(super) id: String,
    /// Its media type.
    pub(super) content_type: &'static str,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
}

/// What sort of document: LOINC code and display, title, media type, maker.
struct Sort {
    code: &'static str,
    display: &'static str,
    content_type: &'static str,
    make: fn(&str, &str, &str) -> Vec<u8>,
}

const SORTS: [Sort; 5] = [
    Sort { code: "11506-3", display: "Progress note", content_type: "text/plain", make: plain },
    Sort { code: "18842-5", display: "Discharge summary", content_type: "text/html", make: html },
    Sort { code: "11488-4", display: "Consult note", content_type: "application/pdf", make: pdf },
    Sort { code: "34133-9", display: "Summary of episode note", content_type: "application/xml", make: ccda },
    Sort { code: "34117-2", display: "History and physical note", content_type: "text/plain", make: plain },
];

/// The two to five documents of a patient, with their bytes.
///
/// The first patient has all five, so that a rehearsal sees every kind of content at once.
pub(super) fn documents(index: usize, patient: &Value, encounters: &[Value]) -> Vec<(Value, Blob)> {
    let count = 2 + (index + 3) % 4;
    let (who, subject) = (name(patient), reference(patient));
    SORTS
        .iter()
        .cycle()
        .skip(index % SORTS.len())
        .take(count)
        .enumerate()
        .map(|(place, sort)| {
            let encounter = encounters.get(place % encounters.len().max(1));
            let date = encounter.map_or("2024-01-01T09:00:00Z", |encounter| text(encounter, "/period/start"));
            let author = USERS
                .get((index + place) % USERS.len())
                .map_or_else(String::new, |user| format!("Practitioner/{}", user.practitioner));
            let id = format!("doc-{:04}-{}", index + 1, place + 1);
            let blob = Blob {
                id: format!("bin-{:04}-{}", index + 1, place + 1),
                content_type: sort.content_type,
                bytes: (sort.make)(&who, sort.display, date),
            };
            let document = json!({
                "resourceType": "DocumentReference",
                "id": id,
                "meta": test_tag(),
                "identifier": [{ "system": "http://sandbox.example.org/identifiers/document", "value": id }],
                "status": "current",
                "docStatus": "final",
                "type": {
                    "coding": [{ "system": "http://loinc.org", "code": sort.code, "display": sort.display }],
                    "text": sort.display
                },
                "category": [{
                    "coding": [{
                        "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                        "code": "clinical-note",
                        "display": "Clinical Note"
                    }]
                }],
                "subject": { "reference": subject, "display": who },
                "date": date,
                "author": [{ "reference": author }],
                "custodian": { "reference": format!("Organization/{ORGANIZATION}") },
                "content": [{
                    "attachment": {
                        "contentType": sort.content_type,
                        "url": format!("Binary/{}", blob.id),
                        "size": blob.bytes.len(),
                        // FHIR R4 Attachment.hash: base64 of a SHA-1 digest.
                        "hash": STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &blob.bytes)),
                        "title": format!("{} (synthetic)", sort.display),
                        "creation": date
                    },
                    "format": {
                        "system": "http://ihe.net/fhir/ValueSet/IHE.FormatCode.codesystem",
                        "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                        "display": "mimeType Sufficient"
                    }
                }],
                "context": {
                    "encounter": encounter.map(reference).into_iter()
                        .map(|reference| json!({ "reference": reference }))
                        .collect::<Vec<_>>()
                }
            });
            (document, blob)
        })
        .collect()
}

fn plain(who: &str, title: &str, date: &str) -> Vec<u8> {
    format!(
        "SYNTHETIC TEST DOCUMENT - NOT A REAL PERSON\n\n{title}\nPatient: {who}\nDate: {date}\n\n\
         Subjective: Feels well. Sleeps well. No new complaints.\n\
         Objective: Blood pressure 120/78, pulse 66, temperature 36.7 C.\n\
         Assessment: Healthy imaginary adult.\n\
         Plan: Return in one imaginary year.\n"
    )
    .into_bytes()
}

fn html(who: &str, title: &str, date: &str) -> Vec<u8> {
    let (who, title, date) = (escape(who), escape(title), escape(date));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body><p><strong>Synthetic test document. Not a real person.</strong></p>\n<h1>{title}</h1>\n\
         <table><tr><th>Patient</th><td>{who}</td></tr><tr><th>Date</th><td>{date}</td></tr></table>\n\
         <ul><li>Admitted for a rehearsal.</li><li>Discharged in imaginary good health.</li></ul>\n\
         </body></html>\n"
    )
    .into_bytes()
}

/// A Continuity of Care Document, cut down to its header and one section (C-CDA R2.1).
fn ccda(who: &str, title: &str, date: &str) -> Vec<u8> {
    let (who, title) = (escape(who), escape(title));
    let time: String = date.chars().filter(char::is_ascii_digit).take(14).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!-- Synthetic test document. Not a real person. -->\n\
         <ClinicalDocument xmlns=\"urn:hl7-org:v3\">\n\
         <realmCode code=\"US\"/>\n\
         <typeId root=\"2.16.840.1.113883.1.3\" extension=\"POCD_HD000040\"/>\n\
         <templateId root=\"2.16.840.1.113883.10.20.22.1.1\" extension=\"2015-08-01\"/>\n\
         <templateId root=\"2.16.840.1.113883.10.20.22.1.2\" extension=\"2015-08-01\"/>\n\
         <id root=\"2.16.840.1.113883.19\" extension=\"synthetic\"/>\n\
         <code code=\"34133-9\" codeSystem=\"2.16.840.1.113883.6.1\" displayName=\"{title}\"/>\n\
         <title>{title} (synthetic)</title>\n\
         <effectiveTime value=\"{time}+0000\"/>\n\
         <confidentialityCode code=\"N\" codeSystem=\"2.16.840.1.113883.5.25\"/>\n\
         <languageCode code=\"en-US\"/>\n\
         <recordTarget><patientRole><id root=\"2.16.840.1.113883.19.5\" extension=\"synthetic\"/>\
         <patient><name>{who}</name></patient></patientRole></recordTarget>\n\
         <component><structuredBody><component><section>\n\
         <templateId root=\"2.16.840.1.113883.10.20.22.2.6.1\" extension=\"2015-08-01\"/>\n\
         <code code=\"48765-2\" codeSystem=\"2.16.840.1.113883.6.1\" displayName=\"Allergies\"/>\n\
         <title>Allergies</title><text>No known imaginary allergies.</text>\n\
         </section></component></structuredBody></component>\n\
         </ClinicalDocument>\n"
    )
    .into_bytes()
}

/// A one-page PDF 1.4 by hand, with a truthful cross-reference table (ISO 32000-1 §7.5).
fn pdf(who: &str, title: &str, date: &str) -> Vec<u8> {
    let lines = [
        "SYNTHETIC TEST DOCUMENT - NOT A REAL PERSON".to_owned(),
        title.to_owned(),
        format!("Patient: {who}"),
        format!("Date: {date}"),
        "Impression: an entirely imaginary examination.".to_owned(),
    ];
    let mut page = String::from("BT /F1 12 Tf 72 720 Td 18 TL");
    for line in lines {
        // Helvetica's standard encoding: keep ASCII, and escape what ends a string (§7.3.4.2).
        let line: String = super::search::fold_case(&line)
            .chars()
            .filter(char::is_ascii)
            .filter(|c| !matches!(c, '(' | ')' | '\\'))
            .collect();
        let _ = write!(page, " ({line}) Tj T*");
    }
    page.push_str(" ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{page}\nendstream", page.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut file = String::from("%PDF-1.4\n");
    let mut table = String::from("0000000000 65535 f \n");
    for (number, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", file.len());
        let _ = write!(file, "{} 0 obj\n{object}\nendobj\n", number + 1);
    }
    let start = file.len();
    let size = objects.len() + 1;
    let _ = write!(file, "xref\n0 {size}\n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    file.into_bytes()
}
