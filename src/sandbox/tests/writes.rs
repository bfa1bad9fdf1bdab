//! Creating patients and documents.

use serde_json::json;

use super::*;

fn document(patient: &str) -> Value {
    json!({
        "resourceType": "DocumentReference",
        "id": "the-clients-own-id",
        "status": "current",
        "type": { "coding": [{ "system": "http://loinc.org", "code": "11506-3" }] },
        "subject": { "reference": format!("Patient/{patient}") },
        "date": "2025-06-15T12:00:00Z",
        "content": [{ "attachment": { "contentType": "text/plain", "data": "aGVsbG8=" } }]
    })
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient",
        "name": [{ "family": "Testcase", "given": ["Tess"] }],
        "gender": "female",
        "birthDate": "1990-02-03"
    })
}

#[tokio::test]
async fn a_note_is_created_in_the_launch_patients_chart() {
    let bed = Bed::new();
    let access = bed.access("launch/patient patient/DocumentReference.crs").await;
    let reply = bed.post_json(&access, "/fhir/DocumentReference", &document("pat-0001")).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    assert_eq!(reply.header(header::ETAG), "W/\"1\"");
    let location = reply.header(header::LOCATION).to_owned();
    assert!(location.starts_with("http://sandbox.test/fhir/DocumentReference/new-"), "{location}");
    assert!(location.ends_with("/_history/1"));
    let stored = reply.json();
    assert_ne!(stored["id"], "the-clients-own-id");
    assert_eq!(stored["meta"]["lastUpdated"], "2025-06-15T15:06:40Z");
    let found = bed.fhir(&access, &format!("DocumentReference?_id={}", stored["id"].as_str().unwrap())).await;
    assert_eq!(found.json()["total"], 1);
    assert_eq!(bed.fhir(&access, &location).await.status, StatusCode::OK);
    let foreign = bed.post_json(&access, "/fhir/DocumentReference", &document("pat-0002")).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_patient_is_created_by_user_scopes_only() {
    let bed = Bed::new();
    let access = bed.access("user/Patient.crs").await;
    let reply = bed.post_json(&access, "/fhir/Patient", &patient()).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    assert_eq!(bed.fhir(&access, "Patient?family=testcase").await.json()["total"], 1);
    let confined = bed.access("launch/patient patient/Patient.crs").await;
    let refused = bed.post_json(&confined, "/fhir/Patient", &patient()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(bed.fhir(&access, "Patient").await.json()["total"], 41);
}

#[tokio::test]
async fn prefer_minimal_leaves_the_body_out() {
    let bed = Bed::new();
    let access = bed.access("user/Patient.c").await;
    let request = Request::post("/fhir/Patient")
        .header(header::AUTHORIZATION, format!("Bearer {access}"))
        .header(header::CONTENT_TYPE, "application/fhir+json; charset=utf-8")
        .header("prefer", "return=minimal");
    let reply = bed.send(request.body(Body::from(patient().to_string())).unwrap()).await;
    assert_eq!(reply.status, StatusCode::CREATED);
    assert!(reply.body.is_empty());
    assert!(reply.header(header::LOCATION).contains("/Patient/new-"));
}

#[tokio::test]
async fn invalid_resources_are_explained() {
    let bed = Bed::new();
    let access = bed.access("user/*.cruds").await;
    let with = |mut body: Value, pointer: &str, value: Value| {
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let note = || document("pat-0001");
    for (path, body, status) in [
        ("Patient", json!({ "resourceType": "Group" }), StatusCode::BAD_REQUEST),
        ("Patient", json!([]), StatusCode::BAD_REQUEST),
        ("Patient", with(patient(), "/name", json!([])), StatusCode::UNPROCESSABLE_ENTITY),
        ("Patient", with(patient(), "/gender", json!("f")), StatusCode::UNPROCESSABLE_ENTITY),
        ("Patient", with(patient(), "/birthDate", json!("3.2.1990")), StatusCode::UNPROCESSABLE_ENTITY),
        ("DocumentReference", with(note(), "/status", json!("final")), StatusCode::UNPROCESSABLE_ENTITY),
        ("DocumentReference", with(note(), "/content", json!([])), StatusCode::UNPROCESSABLE_ENTITY),
        ("DocumentReference", with(note(), "/date", json!("2025-06-15")), StatusCode::UNPROCESSABLE_ENTITY),
        ("DocumentReference", document("nobody"), StatusCode::UNPROCESSABLE_ENTITY),
        (
            "DocumentReference",
            with(note(), "/content/0/attachment/data", json!("!!!")),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        ("Encounter", json!({ "resourceType": "Encounter" }), StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let reply = bed.post_json(&access, &format!("/fhir/{path}"), &body).await;
        assert_eq!(reply.status, status, "{path} {body}");
        assert_eq!(reply.json()["resourceType"], "OperationOutcome");
    }
    let bearer = format!("Bearer {access}");
    let form = bed.form_with("/fhir/Patient", &[("a", "b")], Some(&bearer)).await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_transaction_creates_all_or_nothing() {
    let bed = Bed::new();
    let access = bed.access("user/Patient.crs user/DocumentReference.crs").await;
    let mut note = document("x");
    note["subject"]["reference"] = json!("urn:uuid:1");
    let entry = |resource: &Value| {
        let kind = resource["resourceType"].as_str().unwrap();
        json!({ "resource": resource, "request": { "method": "POST", "url": kind } })
    };
    let mut newcomer = entry(&patient());
    newcomer["fullUrl"] = json!("urn:uuid:1");
    let bundle = |entries: Value| json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
    let bad = bundle(json!([newcomer, entry(&document("nobody"))]));
    assert_eq!(bed.post_json(&access, "/fhir", &bad).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(bed.fhir(&access, "Patient").await.json()["total"], 40);
    let reply = bed.post_json(&access, "/fhir/", &bundle(json!([entry(&note), newcomer]))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let answers = reply.json();
    assert_eq!(answers["type"], "transaction-response");
    assert_eq!(answers["entry"][0]["response"]["status"], "201 Created");
    let location = answers["entry"][1]["response"]["location"].as_str().unwrap().to_owned();
    let id = location.split('/').nth(5).unwrap();
    assert_eq!(bed.fhir(&access, &format!("DocumentReference?patient={id}")).await.json()["total"], 1);
    let put = json!({ "resource": patient(), "request": { "method": "PUT", "url": "Patient/1" } });
    assert_eq!(bed.post_json(&access, "/fhir", &bundle(json!([put]))).await.status, StatusCode::BAD_REQUEST);
}
