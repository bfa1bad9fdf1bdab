//! What the versions of the guide do differently, and the shapes that a manifest may have.

use super::*;

fn issue(severity: &str) -> Issue {
    Issue { severity: severity.to_owned(), code: "exception".to_owned(), text: "one resource was lost".to_owned() }
}

#[tokio::test]
async fn version_2_knows_fewer_parameters() {
    let desk = Desk::new(|bulk| bulk.dialect = Dialect::V2).await;
    for query in ["_until=2025-01-01T00:00:00Z", "organizeOutputBy=Patient", "allowPartialManifests=true"] {
        assert_eq!(desk.kick(&format!("$export?{query}")).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let reply = desk.kick_with("$export", "respond-async, separate-export-status").await;
    assert!(reply.headers.get("preference-applied").is_none());
    let manifest = desk.export("$export?_type=Patient").await;
    assert!(manifest["extension"].is_object() && manifest["error"].is_array() && manifest["request"].is_string());
}

#[tokio::test]
async fn version_4_is_posted_and_has_another_manifest() {
    let desk = Desk::new(|bulk| {
        bulk.dialect = Dialect::V4;
        bulk.issues = vec![issue("warning"), issue("error"), issue("error")];
    })
    .await;
    assert_eq!(desk.kick("$export").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let list = json!([{ "name": "_type", "valueString": "Patient,Encounter" }]);
    assert_eq!(desk.post("$export", "respond-async", list).await.status, StatusCode::BAD_REQUEST);
    let types = json!([
        { "name": "_type", "valueCode": "Patient" },
        { "name": "_type", "valueCode": "Encounter" },
        { "name": "includeAssociatedData", "valueCoding": { "code": "LatestProvenanceResources" } }
    ]);
    let reply = desk.post("$export", "respond-async", types).await;
    let manifest = desk.finished(&location(&reply)).await;
    for absent in ["request", "error"] {
        assert!(manifest.get(absent).is_none(), "{absent}");
    }
    assert!(manifest["extension"].is_array());
    assert_eq!(manifest["outputFormat"], "application/fhir+ndjson");
    assert!(manifest["manifestType"].as_str().unwrap().ends_with("|4.0.0-ballot"));
    let patients = &manifest["output"][0];
    let file = desk.get(patients["url"].as_str().unwrap()).await;
    assert_eq!(patients["fileSize"], file.body.len());
    let outcome = &manifest["outcome"][0];
    assert_eq!(outcome["countSeverity"], json!([{ "code": "error", "count": 2 }, { "code": "warning", "count": 1 }]));
    let outcomes = desk.lines(outcome["url"].as_str().unwrap()).await;
    assert_eq!(outcomes[0]["issue"][0]["severity"], "warning");
}

#[tokio::test]
async fn a_manifest_may_say_less_or_more() {
    let desk = Desk::new(|bulk| {
        bulk.no_error_array = true;
        bulk.no_count = true;
        bulk.empty_deleted = true;
        bulk.file_size = true;
        bulk.expires_seconds = None;
        bulk.polls = 0;
    })
    .await;
    let url = desk.started("$export?_type=Patient").await;
    let reply = desk.get(&url).await;
    assert!(reply.headers.get(header::EXPIRES).is_none());
    let manifest = reply.json();
    assert!(manifest.get("error").is_none() && manifest["output"][0].get("count").is_none());
    assert_eq!(manifest["deleted"], json!([]));
    assert!(manifest["output"][0]["fileSize"].as_u64().unwrap() > 1000);
    desk.set(|bulk| {
        bulk.no_count = false;
        bulk.count_off = 2;
    });
    assert_eq!(desk.get(&url).await.json()["output"][0]["count"], 42);
}

#[tokio::test]
async fn an_export_expires() {
    let desk = Desk::new(|bulk| bulk.expires_seconds = Some(60)).await;
    let url = desk.started("$export?_type=Patient").await;
    let manifest = desk.finished(&url).await;
    desk.bed.forward(59);
    assert_eq!(desk.get(&first_url(&manifest)).await.status, StatusCode::OK);
    desk.bed.forward(1);
    assert_eq!(desk.get(&first_url(&manifest)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.get(&url).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_was_deleted_is_listed_and_not_exported() {
    let gone = ["Patient/pat-0001", "Encounter/enc-0001-1", "Patient/pat-0002"];
    let desk = Desk::new(|bulk| bulk.deleted = gone.map(str::to_owned).to_vec()).await;
    let manifest = desk.export("$export?_type=Patient&_since=2024-01-01T00:00:00Z").await;
    assert_eq!(desk.resources(&manifest).await.len(), 38);
    assert_eq!(manifest["deleted"][0]["type"], "Bundle");
    let bundles = desk.lines(manifest["deleted"][0]["url"].as_str().unwrap()).await;
    assert_eq!(bundles.len(), 1, "the encounter was not asked for");
    assert_eq!((&bundles[0]["resourceType"], &bundles[0]["type"]), (&json!("Bundle"), &json!("transaction")));
    assert_eq!(bundles[0]["entry"][1]["request"], json!({ "method": "DELETE", "url": "Patient/pat-0002" }));
    let whole = desk.export("$export?_type=Patient").await;
    assert!(whole.get("deleted").is_none(), "only since a time");
}

#[tokio::test]
async fn pages_appear_while_the_export_goes_on() {
    let desk = Desk::new(|bulk| {
        bulk.lines_per_file = 10;
        bulk.page_files = 2;
        bulk.polls = 2;
    })
    .await;
    let whole = desk.export("$export?_type=Patient").await;
    assert_eq!(whole["output"].as_array().unwrap().len(), 4, "who did not ask for pages gets none");
    assert!(whole.get("link").is_none());
    let url = desk.started("$export?_type=Patient&allowPartialManifests=true").await;
    let first = desk.get(&url).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    let first = first.json();
    assert_eq!(first["output"].as_array().unwrap().len(), 2);
    assert!(first.get("link").is_none(), "nothing more yet");
    assert_eq!(desk.lines(first["output"][1]["url"].as_str().unwrap()).await.len(), 10, "it is there already");
    let again = desk.get(&url).await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    let mut again = again.json();
    let next = again["link"][0]["url"].as_str().unwrap().to_owned();
    assert_eq!(again["link"][0]["relation"], "next");
    again.as_object_mut().unwrap().remove("link");
    assert_eq!(again, first, "a page stays as it is");
    let last = desk.get(&next).await;
    assert_eq!(last.status, StatusCode::OK);
    let last = last.json();
    assert!(last.get("link").is_none());
    assert_eq!(last["transactionTime"], first["transactionTime"]);
    assert_ne!(last["output"][0]["url"], first["output"][0]["url"]);
    assert_eq!(desk.get(&url).await.json()["link"][0]["url"], json!(next));
    assert_eq!(desk.get(&format!("{url}?page=3")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn files_by_patient_have_headers() {
    let desk = Desk::new(|bulk| bulk.lines_per_file = 4).await;
    let manifest =
        desk.export("Patient/$export?organizeOutputBy=Patient&_type=Patient,Encounter,DocumentReference").await;
    assert_eq!(manifest["outputOrganizedBy"], "Patient");
    let output = manifest["output"].as_array().unwrap();
    let (mut resources, mut headers, mut counted) = (0, 0, 0);
    let mut owner = String::new();
    for (place, file) in output.iter().enumerate() {
        assert!(file.get("type").is_none());
        counted += file["count"].as_u64().unwrap();
        for (line, resource) in desk.lines(file["url"].as_str().unwrap()).await.iter().enumerate() {
            let header = resource["resourceType"] == "Parameters";
            assert!(header || line > 0, "a file begins with a header");
            if header {
                let parameter = &resource["parameter"][0];
                assert_eq!(parameter["name"], "header");
                let reference = parameter["valueReference"]["reference"].as_str().unwrap();
                let continued = place > 0 && line == 0 && output[place - 1].get("continuesInFile").is_some();
                assert_eq!(continued, reference == owner);
                if continued {
                    assert_eq!(output[place - 1]["continuesInFile"], file["url"]);
                }
                reference.clone_into(&mut owner);
                headers += 1;
            } else {
                let subject = resource["subject"]["reference"].as_str().map(str::to_owned);
                assert_eq!(subject.unwrap_or_else(|| format!("Patient/{}", resource["id"].as_str().unwrap())), owner);
                resources += 1;
            }
        }
    }
    assert!(headers > 40, "some blocks go on: {headers}");
    assert_eq!(counted, resources);
    desk.set(|bulk| bulk.headers_counted = true);
    let manifest = desk.export("Patient/$export?organizeOutputBy=Patient&_type=Patient").await;
    let counts: u64 = manifest["output"].as_array().unwrap().iter().map(|file| file["count"].as_u64().unwrap()).sum();
    assert_eq!(counts, 80);
}

#[tokio::test]
async fn the_status_of_the_export_may_stand_apart() {
    let desk = Desk::new(|_| {}).await;
    let reply = desk.kick_with("$export?_type=Patient", "respond-async,separate-export-status").await;
    assert_eq!(reply.header("preference-applied"), "respond-async, separate-export-status");
    let url = location(&reply);
    let going = desk.get(&url).await;
    assert_eq!((going.status, going.header("x-export-status")), (StatusCode::OK, "202"));
    assert_eq!(going.header("x-progress"), "50%");
    desk.set(|bulk| bulk.fails = Some(500));
    let failed = desk.get(&url).await;
    assert_eq!((failed.status, failed.header("x-export-status")), (StatusCode::OK, "500"));
    desk.set(|bulk| bulk.fails = None);
    let done = desk.get(&url).await;
    assert_eq!((done.status, done.header("x-export-status")), (StatusCode::OK, "200"));
    assert!(done.json()["output"].is_array());
}
