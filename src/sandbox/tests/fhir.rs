//! FHIR: bearer tokens, search, paging, documents and their bytes.

use super::super::dates::span;
use super::*;

#[tokio::test]
async fn no_token_and_a_bad_token_are_told_apart() {
    let bed = Bed::new();
    let none = bed.get("/fhir/Patient").await;
    assert_eq!(none.status, StatusCode::UNAUTHORIZED);
    assert_eq!(none.header(header::WWW_AUTHENTICATE), "Bearer realm=\"sandbox\"");
    assert_eq!(none.json()["resourceType"], "OperationOutcome");
    let bad = bed.fhir("nonsense", "Patient").await;
    assert_eq!(bad.status, StatusCode::UNAUTHORIZED);
    assert!(bad.header(header::WWW_AUTHENTICATE).contains("error=\"invalid_token\""));
}

#[tokio::test]
async fn pages_of_twenty_lead_through_all_patients_once() {
    let bed = Bed::new();
    let access = bed.access("user/Patient.rs").await;
    let mut ids = Vec::new();
    let mut next = Some("Patient".to_owned());
    let mut pages = 0;
    while let Some(url) = next {
        let bundle = bed.fhir(&access, &url).await.json();
        assert_eq!(bundle["total"], 40);
        let entries = bundle["entry"].as_array().unwrap();
        assert_eq!(entries.len(), 20);
        for entry in entries {
            let id = entry["resource"]["id"].as_str().unwrap();
            assert_eq!(entry["fullUrl"], format!("http://sandbox.test/fhir/Patient/{id}"));
            ids.push(id.to_owned());
        }
        let links = bundle["link"].as_array().unwrap();
        assert_eq!(links[0]["relation"], "self");
        let link = links.iter().find(|link| link["relation"] == "next");
        next = link.map(|link| link["url"].as_str().unwrap().to_owned());
        pages += 1;
    }
    assert_eq!(pages, 2);
    ids.dedup();
    assert_eq!(ids.len(), 40);
}

#[tokio::test]
async fn a_page_link_keeps_the_search_and_belongs_to_its_grant() {
    let bed = Bed::new();
    let (mine, other) = (bed.access("user/Patient.rs").await, bed.access("user/Patient.rs").await);
    let first = bed.fhir(&mine, "Patient?gender=female&_count=3").await.json();
    assert_eq!(first["link"][0]["url"], "http://sandbox.test/fhir/Patient?gender=female&_count=3");
    let next = first["link"][1]["url"].as_str().unwrap();
    let second = bed.fhir(&mine, next).await.json();
    assert_eq!(second["total"], first["total"]);
    assert_eq!(second["entry"].as_array().unwrap().len(), 3);
    assert!(second["entry"].as_array().unwrap().iter().all(|entry| entry["resource"]["gender"] == "female"));
    assert_eq!(bed.fhir(&other, next).await.status, StatusCode::GONE);
    bed.forward(600);
    assert_eq!(bed.fhir(&mine, next).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn patients_are_found_by_every_parameter() {
    let bed = Bed::new();
    let access = bed.access("user/Patient.rs").await;
    let patient = bed.fhir(&access, "Patient/pat-0007").await.json();
    let family = patient["name"][0]["family"].as_str().unwrap();
    let given = patient["name"][0]["given"][0].as_str().unwrap();
    let born = patient["birthDate"].as_str().unwrap();
    let mrn = patient["identifier"][0]["value"].as_str().unwrap();
    let system = patient["identifier"][0]["system"].as_str().unwrap();
    let start: String = family.to_uppercase().chars().take(3).collect();
    let tag = format!("{system}|{mrn}");
    for (name, value) in [
        ("_id", "pat-0007"),
        ("_id", "nobody,pat-0007"),
        ("name", start.as_str()),
        ("name", given),
        ("family", family),
        ("family:exact", family),
        ("family:contains", &start[1..]),
        ("given", given),
        ("birthdate", born),
        ("birthdate", &born[..4]),
        ("birthdate", &format!("ge{born}")),
        ("birthdate", &format!("le{}", &born[..7])),
        ("identifier", mrn),
        ("identifier", &tag),
        ("identifier", &format!("{system}|")),
        ("gender", patient["gender"].as_str().unwrap()),
    ] {
        let path = format!("Patient?_count=100&{}", encode(&[(name, value)]));
        let bundle = bed.fhir(&access, &path).await.json();
        let found = bundle["entry"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(found.iter().any(|entry| entry["resource"]["id"] == "pat-0007"), "{name}={value}");
    }
    for (name, value) in [
        ("birthdate", format!("gt{born}")),
        ("birthdate", format!("ne{born}")),
        ("identifier", format!("http://other|{mrn}")),
        ("name", "zzz".to_owned()),
        ("family:exact", family.to_uppercase()),
    ] {
        let path = format!("Patient?_count=100&{}", encode(&[(name, &value)]));
        let bundle = bed.fhir(&access, &path).await.json();
        let found = bundle["entry"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(found.iter().all(|entry| entry["resource"]["id"] != "pat-0007"), "{name}={value}");
    }
}

#[tokio::test]
async fn a_search_that_is_not_understood_is_refused_or_ignored_as_asked() {
    let bed = Bed::new();
    let access = bed.access("user/*.rs").await;
    for bad in [
        "Patient?_count=many",
        "Patient?birthdate=yesterday",
        "Patient?name:sounds-like=x",
        "Patient?gender:not=male",
        "Patient?name=",
        "Encounter?patient.name=x",
    ] {
        assert_eq!(bed.fhir(&access, bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let lenient = bed.fhir(&access, "Patient?shoe-size=44").await.json();
    assert_eq!(lenient["total"], 40);
    assert_eq!(lenient["link"][0]["url"], "http://sandbox.test/fhir/Patient");
    let strict = Request::get("/fhir/Patient?shoe-size=44")
        .header(header::AUTHORIZATION, format!("Bearer {access}"))
        .header("prefer", "handling=strict");
    assert_eq!(bed.send(strict.body(Body::empty()).unwrap()).await.status, StatusCode::BAD_REQUEST);
    let count = bed.fhir(&access, "Patient?_count=0").await.json();
    assert_eq!(count["total"], 40);
    assert!(count.get("entry").is_none());
    assert_eq!(bed.fhir(&access, "Observation").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bed.fhir(&access, "Binary").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_search_may_be_posted() {
    let bed = Bed::new();
    let access = bed.access("user/Patient.rs").await;
    let header = format!("Bearer {access}");
    let reply = bed.form_with("/fhir/Patient/_search", &[("_id", "pat-0003")], Some(&header)).await;
    assert_eq!(reply.json()["total"], 1);
}

#[tokio::test]
async fn encounters_and_documents_are_found_by_patient_date_type_and_status() {
    let bed = Bed::new();
    let access = bed.access("user/*.rs").await;
    let total = async |path: &str| bed.fhir(&access, path).await.json()["total"].as_u64().unwrap();
    assert_eq!(total("Encounter?patient=pat-0003").await, 3);
    assert_eq!(total("Encounter?patient=Patient/pat-0003").await, 3);
    assert_eq!(total("Encounter?patient=http://sandbox.test/fhir/Patient/pat-0003").await, 3);
    assert_eq!(total("Encounter?patient=pat-0003&date=ge2022&date=lt2023").await, 1);
    assert_eq!(total("Encounter?patient=pat-0001&status=in-progress").await, 1);
    assert_eq!(total("DocumentReference?patient=pat-0001").await, 5);
    assert_eq!(total("DocumentReference?patient=pat-0001&type=http://loinc.org|18842-5").await, 1);
    assert_eq!(total("DocumentReference?patient=pat-0001&status=current&category=clinical-note").await, 5);
    assert_eq!(total("DocumentReference?patient=pat-0001&date=lt2000").await, 0);
    assert_eq!(total("Practitioner?family=stone").await, 1);
    assert_eq!(total("PractitionerRole?practitioner=Practitioner/prac-lake").await, 1);
}

#[tokio::test]
async fn documents_lead_to_their_bytes() {
    let bed = Bed::new();
    let access = bed.access("launch/patient patient/*.rs").await;
    let bundle = bed.fhir(&access, "DocumentReference").await.json();
    let mut kinds = Vec::new();
    for entry in bundle["entry"].as_array().unwrap() {
        let attachment = &entry["resource"]["content"][0]["attachment"];
        let kind = attachment["contentType"].as_str().unwrap();
        let url = attachment["url"].as_str().unwrap();
        let path = url.strip_prefix(ORIGIN).unwrap();
        let raw = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {access}"));
        let raw = bed.send(raw.header(header::ACCEPT, kind).body(Body::empty()).unwrap()).await;
        assert_eq!(raw.header(header::CONTENT_TYPE), kind);
        assert_eq!(attachment["size"], raw.body.len());
        let json = bed.fhir(&access, url).await.json();
        assert_eq!(json["contentType"], kind);
        assert_eq!(STANDARD.decode(json["data"].as_str().unwrap()).unwrap(), raw.body);
        assert!(String::from_utf8_lossy(&raw.body).to_lowercase().contains("synthetic"), "{kind}");
        if kind == "application/pdf" {
            check_pdf(&raw.body);
        }
        kinds.push(kind.to_owned());
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["application/pdf", "application/xml", "text/html", "text/plain"]);
}

/// Every offset of the cross-reference table points at its object.
fn check_pdf(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap();
    let start: usize = text.rsplit_once("startxref\n").unwrap().1.lines().next().unwrap().parse().unwrap();
    assert!(text[start..].starts_with("xref\n0 6\n"));
    for (number, line) in text[start..].lines().skip(3).take(5).enumerate() {
        let offset: usize = line[..10].parse().unwrap();
        assert!(text[offset..].starts_with(&format!("{} 0 obj", number + 1)));
    }
}

#[tokio::test]
async fn synthetic_patients_are_marked_and_always_the_same() {
    let (one, two) = (Bed::new(), Bed::new());
    let path = "Patient?_count=100";
    let first = one.fhir(&one.access("user/Patient.rs").await, path).await.json();
    let second = two.fhir(&two.access("user/Patient.rs").await, path).await.json();
    assert_eq!(first, second);
    let mut names = std::collections::BTreeSet::new();
    for entry in first["entry"].as_array().unwrap() {
        let patient = &entry["resource"];
        assert_eq!(patient["meta"]["tag"][0]["code"], "HTEST");
        assert!(patient["text"]["div"].as_str().unwrap().contains("Synthetic"));
        assert_eq!(patient["identifier"][0]["type"]["coding"][0]["code"], "MR");
        names.insert(patient["name"][0]["text"].as_str().unwrap().to_owned());
    }
    assert!(names.len() > 35, "{names:?}");
    assert_eq!(one.sandbox.first_patient_id(), "pat-0001");
}

#[tokio::test]
async fn what_is_not_supported_says_so_as_an_outcome() {
    let bed = Bed::new();
    let access = bed.access("user/*.cruds").await;
    for (method, path, status) in [
        (Method::PUT, "/fhir/Patient/pat-0001", StatusCode::METHOD_NOT_ALLOWED),
        (Method::DELETE, "/fhir/Patient/pat-0001", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/fhir/Patient/pat-0001/_history/2", StatusCode::NOT_FOUND),
        (Method::GET, "/fhir/Patient/pat-0001/_history/1", StatusCode::OK),
        (Method::GET, "/fhir", StatusCode::NOT_FOUND),
        (Method::GET, "/interconnect-fhir-oauth/elsewhere", StatusCode::NOT_FOUND),
    ] {
        let request = Request::builder().method(&method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {access}"));
        let reply = bed.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.header(header::CONTENT_TYPE), "application/fhir+json");
    }
}

#[test]
fn a_date_is_the_span_that_it_covers() {
    const DAY: i64 = 86_400_000;
    assert_eq!(span("1970"), Some((0, 365 * DAY)));
    assert_eq!(span("1970-02"), Some((31 * DAY, 59 * DAY)));
    assert_eq!(span("1970-12-31"), Some((364 * DAY, 365 * DAY)));
    assert_eq!(span("1970-01-01T00:01"), Some((60_000, 120_000)));
    assert_eq!(span("1970-01-01T01:00:00+01:00"), Some((0, 1000)));
    assert_eq!(span("1970-01-01T00:00:00.5Z"), Some((500, 501)));
    for bad in ["", "70", "1970-13", "1970-02-30", "1970-1-1", "1970-01-01T", "1970-01-01-01", "+1970", "１９７０"]
    {
        assert_eq!(span(bad), None, "{bad}");
    }
}
