//! The scope grammar, and what a scope reaches.

use super::super::scope;
use super::*;

#[test]
fn the_grammar_takes_what_the_standard_takes() {
    for good in [
        "openid",
        "fhirUser",
        "profile",
        "launch",
        "launch/patient",
        "launch/encounter",
        "offline_access",
        "online_access",
        "patient/Patient.r",
        "patient/*.cruds",
        "user/DocumentReference.cs",
        "system/Group.rs",
        "patient/*.read",
        "user/Observation.write",
        "user/Encounter.*",
        "patient/DocumentReference.rs?type=http://loinc.org|11506-3",
        "patient/Encounter.s?status=finished&type=185349003",
    ] {
        assert!(scope::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        " openid",
        "openid ",
        "OpenID",
        "launch/Patient",
        "patient/Patient.",
        "patient/Patient.sr",
        "patient/Patient.rr",
        "patient/Patient.rsx",
        "patient/Patient.reads",
        "patient/patient.rs",
        "patient/Nothing.rs",
        "patient/.rs",
        "patient/Patient",
        "practitioner/Patient.rs",
        "patient/Patient.read?gender=male",
        "patient/Patient.rs?",
        "patient/Patient.rs?eye=blue",
        "patient/Patient.rs?name:exact=x",
        "patient/*.rs?status=x",
        "patient/Patient.rs\topenid",
    ] {
        assert!(scope::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(scope::parse("openid openid").unwrap().len(), 1);
}

#[test]
fn a_v1_echo_says_read_write_or_all() {
    let echo = |text: &str| scope::parse(text).unwrap()[0].v1();
    assert_eq!(echo("patient/Patient.rs"), "patient/Patient.read");
    assert_eq!(echo("user/*.cud"), "user/*.write");
    assert_eq!(echo("system/Patient.cruds"), "system/Patient.*");
    assert_eq!(echo("openid"), "openid");
}

#[tokio::test]
async fn the_letters_are_kept_apart() {
    let bed = Bed::new();
    let access = bed.access("user/Patient.r user/Encounter.s user/DocumentReference.read").await;
    assert_eq!(bed.fhir(&access, "Patient/pat-0001").await.status, StatusCode::OK);
    let refused = bed.fhir(&access, "Patient").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["resourceType"], "OperationOutcome");
    assert!(refused.header(header::WWW_AUTHENTICATE).contains("insufficient_scope"));
    assert_eq!(bed.fhir(&access, "Encounter").await.status, StatusCode::OK);
    assert_eq!(bed.fhir(&access, "Encounter/enc-0001-1").await.status, StatusCode::FORBIDDEN);
    assert_eq!(bed.fhir(&access, "DocumentReference").await.status, StatusCode::OK);
    assert_eq!(bed.fhir(&access, "DocumentReference/doc-0001-1").await.status, StatusCode::OK);
    assert_eq!(bed.fhir(&access, "Binary/bin-0001-1").await.status, StatusCode::FORBIDDEN);
    let created = bed.post_json(&access, "/fhir/Patient", &serde_json::json!({})).await;
    assert_eq!(created.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn patient_scopes_stay_with_the_patient_in_context() {
    let bed = Bed::new();
    let access = bed.access("launch/patient patient/*.rs").await;
    assert_eq!(bed.fhir(&access, "Patient").await.json()["total"], 1);
    assert_eq!(bed.fhir(&access, "Patient?_id=pat-0002").await.json()["total"], 0);
    assert_eq!(bed.fhir(&access, "Patient/pat-0002").await.status, StatusCode::FORBIDDEN);
    assert_eq!(bed.fhir(&access, "Patient/pat-9999").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bed.fhir(&access, "DocumentReference?patient=pat-0001").await.json()["total"], 5);
    assert_eq!(bed.fhir(&access, "DocumentReference?patient=pat-0002").await.json()["total"], 0);
    assert_eq!(bed.fhir(&access, "Binary/bin-0001-1").await.status, StatusCode::OK);
    assert_eq!(bed.fhir(&access, "Binary/bin-0002-1").await.status, StatusCode::FORBIDDEN);
    // Who works here belongs to every chart.
    assert_eq!(bed.fhir(&access, "Practitioner/prac-stone").await.status, StatusCode::OK);
}

#[tokio::test]
async fn patient_scopes_without_a_patient_reach_nothing() {
    let bed = Bed::new();
    let access = bed.access("openid patient/*.rs").await;
    assert_eq!(bed.fhir(&access, "Patient").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn finer_grained_scopes_are_a_union_of_filters() {
    let bed = Bed::new();
    let notes = "patient/DocumentReference.rs?type=http://loinc.org|11506-3";
    let consults = "patient/DocumentReference.rs?type=11488-4";
    let access = bed.access(&format!("launch/patient {notes} {consults}")).await;
    let bundle = bed.fhir(&access, "DocumentReference").await.json();
    assert_eq!(bundle["total"], 2);
    assert_eq!(bed.fhir(&access, "DocumentReference/doc-0001-1").await.status, StatusCode::OK);
    assert_eq!(bed.fhir(&access, "DocumentReference/doc-0001-2").await.status, StatusCode::FORBIDDEN);
}
