//! What a kick-off has to say, and what comes of its parameters.

use super::*;

#[tokio::test]
async fn a_whole_export_from_kick_off_to_deletion() {
    let desk = Desk::new(|_| {}).await;
    let url = desk.started("$export").await;
    assert!(url.starts_with("http://sandbox.test/bulk/status/"), "{url}");
    let going = desk.get(&url).await;
    assert_eq!(going.status, StatusCode::ACCEPTED);
    assert_eq!((going.header(header::RETRY_AFTER), going.header("x-progress")), ("1", "50%"));
    let done = desk.get(&url).await;
    assert_eq!(done.status, StatusCode::OK);
    assert_eq!(done.header(header::CONTENT_TYPE), "application/json");
    assert_eq!(done.header(header::EXPIRES), "Sun, 15 Jun 2025 16:06:40 GMT");
    let manifest = done.json();
    assert_eq!(manifest["transactionTime"], "2025-06-15T15:06:40Z");
    assert_eq!(manifest["request"], "http://sandbox.test/fhir/$export");
    assert_eq!(manifest["requiresAccessToken"], true);
    assert_eq!(manifest["error"], json!([]));
    assert!(manifest.get("deleted").is_none());
    let resources = desk.resources(&manifest).await;
    assert_eq!(types(&resources).len(), 8);
    assert_eq!(resources.iter().filter(|one| one["resourceType"] == "Patient").count(), 40);
    let document = resources.iter().find(|one| one["resourceType"] == "DocumentReference").unwrap();
    let attachment = document["content"][0]["attachment"]["url"].as_str().unwrap();
    assert!(attachment.starts_with("http://sandbox.test/fhir/Binary/"), "absolute: {attachment}");
    assert_eq!(desk.get(attachment).await.status, StatusCode::OK);
    assert_eq!(desk.delete(&url).await.status, StatusCode::ACCEPTED);
    let gone = desk.get(&url).await;
    assert_eq!((gone.status, gone.json()["resourceType"].as_str()), (StatusCode::NOT_FOUND, Some("OperationOutcome")));
    assert_eq!(desk.get(&first_url(&manifest)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.delete(&url).await.status, StatusCode::NOT_FOUND);
    let stats = desk.bed.sandbox.stats().bulk;
    assert_eq!((stats.kickoffs, stats.polls, stats.deletes), (1, 3, 2));
    assert_eq!(stats.last_prefer, "respond-async");
    assert!(stats.bytes_sent > 10_000);
    assert_eq!(stats.max_parallel_files, 1);
    assert_eq!(stats.file_requests.len(), manifest["output"].as_array().unwrap().len());
    assert_eq!(stats.leaked_tokens, 0);
}

#[tokio::test]
async fn headers_and_tokens_are_checked() {
    let desk = Desk::new(|_| {}).await;
    let with = |name: &'static str, value: &str| {
        let mut request = Request::get("/fhir/$export")
            .header(header::AUTHORIZATION, format!("Bearer {}", desk.token))
            .header(header::ACCEPT, "application/fhir+json")
            .header("prefer", "respond-async")
            .body(Body::empty())
            .unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    for (name, value, status) in [
        ("prefer", "return=minimal", StatusCode::BAD_REQUEST),
        ("accept", "text/html", StatusCode::BAD_REQUEST),
        ("authorization", "Bearer nonsense", StatusCode::UNAUTHORIZED),
    ] {
        let reply = desk.bed.send(with(name, value)).await;
        assert_eq!((reply.status, reply.json()["resourceType"].as_str()), (status, Some("OperationOutcome")), "{name}");
    }
    let user = desk.bed.access("user/*.rs").await;
    let as_user = with("authorization", &format!("Bearer {user}"));
    assert_eq!(desk.bed.send(as_user).await.status, StatusCode::FORBIDDEN);
    assert_eq!(desk.kick("%24export?_type=Patient").await.status, StatusCode::ACCEPTED, "escaped");
    let put = Request::put("/fhir/$export").header(header::AUTHORIZATION, format!("Bearer {}", desk.token));
    assert_eq!(desk.bed.send(put.body(Body::empty()).unwrap()).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn scopes_of_both_versions_say_what_is_exported() {
    for scope in ["system/Patient.rs system/Encounter.rs", "system/Patient.read system/Encounter.read"] {
        let desk = Desk::with_scope(scope, |_| {}).await;
        let manifest = desk.export("Patient/$export").await;
        let resources = desk.resources(&manifest).await;
        assert_eq!(types(&resources), ["Encounter", "Patient"].into());
        assert_eq!(desk.kick("$export?_type=Patient,Binary").await.status, StatusCode::FORBIDDEN);
    }
    let desk = Desk::with_scope("system/Observation.rs", |_| {}).await;
    assert_eq!(desk.kick("$export").await.status, StatusCode::FORBIDDEN, "nothing is left");
    let some = Desk::with_scope("system/Encounter.rs?status=in-progress", |_| {}).await;
    let manifest = some.export("$export").await;
    assert_eq!(some.resources(&manifest).await.len(), 10);
}

#[tokio::test]
async fn the_level_says_whose_records() {
    let desk = Desk::new(|_| {}).await;
    let manifest = desk.export("Group/first-patients/$export").await;
    let group = desk.resources(&manifest).await;
    let count = |resources: &[Value], kind: &str| resources.iter().filter(|one| one["resourceType"] == kind).count();
    assert_eq!((count(&group, "Patient"), count(&group, "Group"), count(&group, "Binary")), (3, 1, 0));
    assert!(count(&group, "Practitioner") > 0, "who works here goes along");
    let manifest = desk.export("Patient/$export?_type=Patient,Group").await;
    let all = desk.resources(&manifest).await;
    assert_eq!((count(&all, "Patient"), count(&all, "Group")), (40, 0));
    assert_eq!(desk.kick("Group/nobody/$export").await.status, StatusCode::NOT_FOUND);
    desk.set(|bulk| bulk.group_scope_wanted = true);
    let narrow = token(&desk.bed, "system/Patient.rs").await;
    let narrow = Desk { token: narrow, ..desk };
    assert_eq!(narrow.kick("Group/all-patients/$export").await.status, StatusCode::FORBIDDEN);
    narrow.set(|bulk| bulk.group_scope_wanted = false);
    assert_eq!(narrow.kick("Group/all-patients/$export").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn groups_can_be_read_but_not_by_a_patient() {
    let desk = Desk::new(|_| {}).await;
    let group = desk.get("/fhir/Group/all-patients").await.json();
    assert_eq!(group["member"].as_array().unwrap().len(), 40);
    assert_eq!(desk.get("/fhir/Group").await.json()["total"], 2);
    let patient = desk.bed.access("launch/patient patient/*.rs").await;
    assert_eq!(desk.bed.fhir(&patient, "Group/all-patients").await.status, StatusCode::FORBIDDEN);
    let writer = desk.bed.access("user/Patient.crs").await;
    let body = json!({ "resourceType": "Patient", "name": [{ "family": "New" }], "gender": "other" });
    desk.bed.post_json(&writer, "/fhir/Patient", &body).await;
    let group = desk.get("/fhir/Group/all-patients").await.json();
    assert_eq!(group["member"].as_array().unwrap().len(), 41);
    assert_eq!(group["meta"]["lastUpdated"], "2025-06-15T15:06:40Z");
}

#[tokio::test]
async fn times_filters_and_elements_narrow_an_export() {
    let desk = Desk::new(|_| {}).await;
    let count = async |query: &str| {
        let manifest = desk.export(&format!("$export?{query}")).await;
        desk.resources(&manifest).await.len()
    };
    assert_eq!(count("_type=Patient&_type=Organization").await, 41);
    assert_eq!(count("_type=Patient&_since=2025-01-01T00:00:00Z").await, 0);
    assert_eq!(count("_type=Patient&_since=2024-12-31T23:59:59Z").await, 40);
    assert_eq!(count("_type=Patient&_until=2025-01-01T00:00:00Z").await, 0);
    assert_eq!(count("_type=Observation").await, 0, "a type that nobody has here");
    let female = count("_type=Patient&_typeFilter=Patient%3Fgender%3Dfemale").await;
    let male = count("_type=Patient&_typeFilter=Patient%3Fgender%3Dmale").await;
    assert!(female > 5 && male > 5);
    for both in [
        "_type=Patient&_typeFilter=Patient%3Fgender%3Dfemale,male",
        "_type=Patient&_typeFilter=Patient%3Fgender%3Dfemale,Patient%3Fgender%3Dmale",
        "_type=Patient&_typeFilter=Patient%3Fgender%3Dfemale&_typeFilter=Patient%3Fgender%3Dmale",
        "_type=Patient&_typeFilter=Patient%3Fgender%3Dfemale%252Cmale,Organization%3F_id%3Dx",
    ] {
        assert_eq!(count(both).await, female + male, "{both}");
    }
    let manifest = desk.export("$export?_type=Patient,Organization&_elements=Patient.birthDate,name").await;
    let resources = desk.resources(&manifest).await;
    let patient = resources.iter().find(|one| one["resourceType"] == "Patient").unwrap();
    assert!(patient["birthDate"].is_string() && patient["name"].is_array() && patient.get("gender").is_none());
    let tags = patient["meta"]["tag"].as_array().unwrap();
    assert!(tags.iter().any(|tag| tag["code"] == "SUBSETTED"));
    let organization = resources.iter().find(|one| one["resourceType"] == "Organization").unwrap();
    assert!(organization["name"].is_string() && organization.get("active").is_none());
}

#[tokio::test]
async fn what_is_not_understood_is_refused_or_reported() {
    let desk = Desk::new(|_| {}).await;
    for query in [
        "_nonsense=1",
        "_type=Nothing",
        "_since=2025-01-01",
        "_since=2025-01-01T00:00:00",
        "_since=2025-01-01T00:00:00Z&_since=2025-01-01T00:00:00Z",
        "_outputFormat=text/csv",
        "_typeFilter=Patient",
        "_typeFilter=Patient%3F_sort%3Dname",
        "organizeOutputBy=Encounter",
        "allowPartialManifests=maybe",
        "patient=Patient/pat-0001",
        "includeAssociatedData=_custom",
    ] {
        let refused = desk.kick(&format!("$export?{query}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(refused.json()["resourceType"], "OperationOutcome");
    }
    for query in [
        "_outputFormat=application/fhir+ndjson",
        "_outputFormat=ndjson",
        "includeAssociatedData=LatestProvenanceResources",
    ] {
        assert_eq!(desk.kick(&format!("$export?{query}")).await.status, StatusCode::ACCEPTED, "{query}");
    }
    let lenient = desk.kick_with("$export?_nonsense=1&_type=Patient,Nothing", "respond-async, handling=lenient").await;
    let manifest = desk.finished(&location(&lenient)).await;
    assert_eq!(desk.resources(&manifest).await.len(), 40);
    let outcomes = desk.lines(manifest["error"][0]["url"].as_str().unwrap()).await;
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|one| one["issue"][0]["severity"] == "warning"), "{outcomes:?}");
    desk.set(|bulk| bulk.unheld_types_refused = true);
    assert_eq!(desk.kick("$export?_type=Substance").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn parameters_may_be_posted() {
    let desk = Desk::new(|_| {}).await;
    let parameter = json!([
        { "name": "_type", "valueString": "Patient,Encounter" },
        { "name": "_since", "valueInstant": "2020-01-01T00:00:00Z" },
        { "name": "patient", "valueReference": { "reference": "Patient/pat-0002" } },
        { "name": "patient", "valueReference": { "reference": "http://sandbox.test/fhir/Patient/pat-0003" } }
    ]);
    let reply = desk.post("Group/all-patients/$export", "respond-async", parameter).await;
    let manifest = desk.finished(&location(&reply)).await;
    assert_eq!(manifest["request"], "http://sandbox.test/fhir/Group/all-patients/$export");
    let resources = desk.resources(&manifest).await;
    assert_eq!(resources.iter().filter(|one| one["resourceType"] == "Patient").count(), 2);
    assert!(resources.len() > 2);
    assert_eq!(desk.bed.sandbox.stats().bulk.last_kickoff[2], ("patient".into(), "Patient/pat-0002".into()));
    let stranger = json!([{ "name": "patient", "valueReference": { "reference": "Patient/pat-0009" } }]);
    let reply = desk.post("Group/first-patients/$export", "respond-async", stranger.clone()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "not of that group");
    assert_eq!(desk.post("$export", "respond-async", stranger).await.status, StatusCode::BAD_REQUEST, "system level");
    let reply = desk.bed.post_json(&desk.token, "/fhir/$export", &json!({})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "no headers");
}

#[tokio::test]
async fn one_export_at_a_time() {
    let desk = Desk::new(|bulk| bulk.one_at_a_time = true).await;
    let first = desk.started("$export?_type=Patient").await;
    let busy = desk.kick("$export?_type=Patient").await;
    assert_eq!((busy.status, busy.header(header::RETRY_AFTER)), (StatusCode::TOO_MANY_REQUESTS, "1"));
    desk.delete(&first).await;
    let second = desk.started("$export?_type=Patient").await;
    desk.finished(&second).await;
    desk.started("$export?_type=Patient").await;
}

#[tokio::test]
async fn there_may_be_no_bulk_export() {
    let desk = Desk::new(|_| {}).await;
    let statement = desk.bed.get("/fhir/metadata").await.json();
    assert_eq!(statement["instantiates"][0], "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data|3.0.0");
    let operation = &statement["rest"][0]["operation"][0];
    assert_eq!(operation["name"], "export");
    assert_eq!(operation["definition"], "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export|3.0.0");
    let of = |kind: &str| {
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        let resource = resources.iter().find(|one| one["type"] == kind).unwrap();
        resource["operation"][0]["definition"].as_str().unwrap_or_default().to_owned()
    };
    assert!(of("Patient").ends_with("/patient-export|3.0.0") && of("Group").ends_with("/group-export|3.0.0"));
    assert_eq!(of("Encounter"), "");
    desk.set(|bulk| bulk.dialect = Dialect::V2);
    let older = desk.bed.get("/fhir/metadata").await.json();
    let canonical = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export";
    assert_eq!(older["rest"][0]["operation"][0]["definition"], canonical, "older servers name no version");
    for status in [404, 501] {
        desk.set(|bulk| bulk.no_bulk = Some(status));
        assert_eq!(desk.kick("$export").await.status.as_u16(), status);
        let statement = desk.bed.get("/fhir/metadata").await.json();
        assert!(statement.get("instantiates").is_none() && statement["rest"][0].get("operation").is_none());
    }
}

#[tokio::test]
async fn the_location_may_be_relative() {
    let desk = Desk::new(|bulk| bulk.relative_content_location = true).await;
    let path = desk.started("$export?_type=Patient").await;
    assert!(path.starts_with("/bulk/status/"), "{path}");
    desk.finished(&path).await;
}

#[tokio::test]
async fn exports_and_files_are_their_clients_own() {
    let desk = Desk::new(|_| {}).await;
    let url = desk.started("$export?_type=Patient").await;
    let manifest = desk.finished(&url).await;
    let form = [("grant_type", "client_credentials"), ("scope", "system/*.rs")];
    let other = desk.bed.form_with("/auth/token", &form, Some(&basic("post", "post-secret"))).await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED, "that one posts its secret");
    let mut form = form.to_vec();
    form.extend([("client_id", "post"), ("client_secret", "post-secret")]);
    let other = desk.bed.form("/auth/token", &form).await.json()["access_token"].as_str().unwrap().to_owned();
    let other = Desk { token: other, ..desk };
    assert_eq!(other.get(&url).await.status, StatusCode::NOT_FOUND);
    assert_eq!(other.get(&first_url(&manifest)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(other.delete(&url).await.status, StatusCode::NOT_FOUND);
    let narrow = Desk { token: token(&other.bed, "system/Encounter.rs").await, ..other };
    assert_eq!(narrow.get(&url).await.status, StatusCode::OK);
    assert_eq!(narrow.get(&first_url(&manifest)).await.status, StatusCode::FORBIDDEN, "not covered");
}

#[tokio::test]
async fn secrets_are_for_backend_services_only_where_allowed() {
    let bed = Bed::new();
    let form = [("grant_type", "client_credentials"), ("scope", "system/*.rs")];
    let reply = bed.form_with("/auth/token", &form, Some(&basic("basic", SECRET))).await;
    assert_eq!(reply.error(), "unauthorized_client");
    bed.sandbox.set_personality(|personality| {
        personality.backend_secret_allowed = true;
        personality.access_token_seconds = Some(30);
    });
    let reply = bed.form_with("/auth/token", &form, Some(&basic("basic", SECRET))).await;
    assert_eq!(reply.json()["expires_in"], 30);
    let public = [("client_id", "public"), form[0], form[1]];
    assert_eq!(bed.form("/auth/token", &public).await.error(), "unauthorized_client");
}
