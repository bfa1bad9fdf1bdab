//! EHR launch: the chart, the door for tests, and the flow without pages.

use serde_json::json;

use super::*;

const SCOPE: &str = "launch openid fhirUser patient/*.rs online_access";

async fn order(bed: &Bed, body: Value) -> Reply {
    let request = Request::post("/ehr/launch").header(header::CONTENT_TYPE, "application/json");
    bed.send(request.body(Body::from(body.to_string())).unwrap()).await
}

async fn handle(bed: &Bed, base: &str) -> String {
    let reply = order(bed, json!({ "client_id": "public", "patient": "pat-0002", "base": base })).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()["launch"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_launch_names_iss_and_an_opaque_handle() {
    let bed = Bed::new();
    let json = order(&bed, json!({ "client_id": "public", "patient": "pat-0002" })).await.json();
    let url = url::Url::parse(json["url"].as_str().unwrap()).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    assert_eq!(pairs[0], ("practice".to_owned(), "1".to_owned()));
    assert_eq!(pairs[1], ("iss".to_owned(), "http://sandbox.test/fhir".to_owned()));
    assert_eq!(pairs[2], ("launch".to_owned(), json["launch"].as_str().unwrap().to_owned()));
    for bad in [
        json!({ "client_id": "nobody", "patient": "pat-0002" }),
        json!({ "client_id": "public", "patient": "nobody" }),
        json!({ "client_id": "public", "patient": "pat-0002", "base": "/elsewhere" }),
        json!({ "client_id": "public", "patient": "pat-0002", "encounter": "enc-0001-1" }),
        json!({ "patient": "pat-0002" }),
    ] {
        assert_eq!(order(&bed, bad).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_launched_application_gets_its_code_without_pages() {
    let bed = Bed::new();
    let launch = handle(&bed, "/fhir/R4/demo-tenant").await;
    let pairs = changed(request("public", SCOPE), "launch", &launch);
    let pairs = changed(pairs, "aud", "http://sandbox.test/fhir/R4/demo-tenant");
    let reply = bed.authorize(&pairs).await;
    let json = bed.redeem(&reply.param("code"), &[("client_id", "public")], None).await.json();
    assert_eq!(json["patient"], "pat-0002");
    assert_eq!(json["encounter"], "enc-0002-2");
    assert_eq!(json["need_patient_banner"], false);
    assert_eq!(json["tenant"], "demo-tenant");
    assert!(json["id_token"].is_string());
    assert!(json["refresh_token"].is_string());
    let token = json["access_token"].as_str().unwrap();
    assert_eq!(bed.fhir_at("/fhir/R4/demo-tenant", token, "Patient").await.json()["total"], 1);
}

#[tokio::test]
async fn a_launch_is_bound_to_client_base_and_time() {
    let bed = Bed::new();
    let launch = handle(&bed, "/fhir").await;
    let good = changed(request("public", SCOPE), "launch", &launch);
    for (name, value) in [("client_id", "basic"), ("aud", "http://sandbox.test/fhir/r4/DEMO"), ("launch", "other")] {
        assert_eq!(bed.authorize(&changed(good.clone(), name, value)).await.param("error"), "invalid_request");
    }
    let unscoped = changed(good.clone(), "scope", "openid patient/*.rs");
    assert_eq!(bed.authorize(&unscoped).await.param("error"), "invalid_scope");
    assert!(!bed.authorize(&good).await.param("code").is_empty());
    bed.forward(600);
    assert_eq!(bed.authorize(&good).await.param("error"), "invalid_request");
}

#[tokio::test]
async fn further_context_is_passed_on() {
    let bed = Bed::new();
    let body = json!({
        "client_id": "public", "patient": "pat-0003", "encounter": "enc-0003-1", "user": "nurse.lake",
        "intent": "summary-review", "need_patient_banner": true,
        "fhirContext": [{ "reference": "DocumentReference/doc-0003-1" }]
    });
    let launch = order(&bed, body).await.json()["launch"].as_str().unwrap().to_owned();
    let code = bed.authorize(&changed(request("public", SCOPE), "launch", &launch)).await.param("code");
    let json = bed.redeem(&code, &[("client_id", "public")], None).await.json();
    assert_eq!(json["encounter"], "enc-0003-1");
    assert_eq!(json["intent"], "summary-review");
    assert_eq!(json["need_patient_banner"], true);
    assert_eq!(json["fhirContext"][0]["reference"], "DocumentReference/doc-0003-1");
    let token = json["access_token"].as_str().unwrap();
    assert_eq!(bed.fhir(token, "Practitioner/prac-lake").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_chart_opens_an_application_in_a_frame() {
    let bed = Bed::new();
    let chart = bed.get("/ehr").await.text();
    assert!(chart.contains("<option value=\"pat-0001\">"));
    assert!(chart.contains("<option value=\"public\">"));
    let form = [("client_id", "public"), ("patient", "pat-0001"), ("base", "http://sandbox.test/fhir")];
    let page = bed.form("/ehr/open", &form).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains(
        "<iframe id=\"app\" title=\"public\" src=\"http://app.test/launch?practice=1&amp;iss=http%3A%2F%2Fsandbox.test%2Ffhir&amp;launch="
    ));
    let bad = bed.form("/ehr/open", &[("client_id", "nobody"), ("patient", "pat-0001")]).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
}
