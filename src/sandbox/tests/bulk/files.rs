//! Files: tokens, origins, links, compression and parts.

use axum::Router;

use super::*;

/// A request without a token, to some router.
async fn bare(router: Router, url: &str, headers: &[(&str, &str)]) -> Reply {
    let path = url::Url::parse(url).unwrap().path().to_owned();
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    Reply { status: parts.status, headers: parts.headers, body: to_bytes(body, usize::MAX).await.unwrap() }
}

async fn unzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut decoder = async_compression::tokio::bufread::GzipDecoder::new(bytes);
    let mut out = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut decoder, &mut out).await?;
    Ok(out)
}

#[tokio::test]
async fn a_file_comes_whole_or_in_part_compressed_or_not() {
    let desk = Desk::new(|_| {}).await;
    let url = desk.one_file().await;
    let whole = desk.get(&url).await;
    assert_eq!(whole.header(header::CONTENT_LENGTH), whole.body.len().to_string());
    assert_eq!(whole.header(header::ACCEPT_RANGES), "bytes");
    let etag = whole.header(header::ETAG);
    let part = desk.get_with(&url, &[("range", "bytes=100-199"), ("if-range", etag)]).await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.body, whole.body[100..200]);
    assert_eq!(part.header(header::CONTENT_RANGE), format!("bytes 100-199/{}", whole.body.len()));
    let rest = desk.get_with(&url, &[("range", "bytes=500-")]).await;
    assert_eq!(rest.body, whole.body[500..]);
    let end = desk.get_with(&url, &[("range", "bytes=-10")]).await;
    assert_eq!(end.body, whole.body[whole.body.len() - 10..]);
    let other = desk.get_with(&url, &[("range", "bytes=500-"), ("if-range", "\"other\"")]).await;
    assert_eq!((other.status, other.body.len()), (StatusCode::OK, whole.body.len()));
    let beyond = desk.get_with(&url, &[("range", "bytes=99999999-")]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let zipped = desk.get_with(&url, &[("accept-encoding", "br, gzip;q=0.5")]).await;
    assert_eq!(zipped.header(header::CONTENT_ENCODING), "gzip");
    assert!(zipped.body.len() < whole.body.len() / 5);
    assert_eq!(unzip(&zipped.body).await.unwrap(), whole.body);
    assert_ne!(zipped.header(header::ETAG), etag, "another representation");
    let rest = [("accept-encoding", "gzip"), ("range", "bytes=50-"), ("if-range", zipped.header(header::ETAG))];
    assert_eq!(desk.get_with(&url, &rest).await.body, zipped.body[50..]);
    assert!(desk.get_with(&url, &[("accept-encoding", "gzip;q=0")]).await.headers.get("content-encoding").is_none());
    assert_eq!(desk.bed.sandbox.stats().bulk.range_requests, 6);
    desk.set(|bulk| {
        bulk.never_gzip = true;
        bulk.no_ranges = true;
        bulk.no_etag = true;
        bulk.no_content_length = true;
        bulk.content_type = Some("application/octet-stream".to_owned());
    });
    let plain = desk.get_with(&url, &[("accept-encoding", "gzip"), ("range", "bytes=0-9")]).await;
    assert_eq!((plain.status, &plain.body), (StatusCode::OK, &whole.body));
    for absent in ["content-encoding", "accept-ranges", "etag", "content-length"] {
        assert!(plain.headers.get(absent).is_none(), "{absent}");
    }
    assert_eq!(plain.header(header::CONTENT_TYPE), "application/octet-stream");
}

#[tokio::test]
async fn a_token_goes_where_it_is_wanted_and_nowhere_else() {
    let desk = Desk::new(|_| {}).await;
    let url = desk.one_file().await;
    assert_eq!(bare(desk.bed.sandbox.router(), &url, &[]).await.status, StatusCode::UNAUTHORIZED);
    let path = url.strip_prefix(ORIGIN).unwrap();
    assert!(!desk.bed.sandbox.stats().bulk.authorized_paths.iter().any(|one| one == path));
    assert_eq!(desk.get(&url).await.status, StatusCode::OK);
    assert!(desk.bed.sandbox.stats().bulk.authorized_paths.iter().any(|one| one == path));
    desk.set(|bulk| bulk.requires_access_token = Some(false));
    assert_eq!(desk.export("$export?_type=Patient").await["requiresAccessToken"], false);
    assert_eq!(desk.get(&url).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(desk.bed.sandbox.stats().bulk.leaked_tokens, 1);
    assert_eq!(bare(desk.bed.sandbox.router(), &url, &[]).await.status, StatusCode::OK);
    let documents = first_url(&desk.export("$export?_type=DocumentReference").await);
    let documents = bare(desk.bed.sandbox.router(), &documents, &[]).await;
    let document: Value = serde_json::from_str(documents.text().lines().next().unwrap()).unwrap();
    let attachment = document["content"][0]["attachment"]["url"].as_str().unwrap();
    assert_eq!(bare(desk.bed.sandbox.router(), attachment, &[]).await.status, StatusCode::OK);
    let refused = bare(desk.bed.sandbox.router(), attachment, &[("authorization", "Bearer x")]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn files_may_be_at_another_origin() {
    let desk = Desk::new(|bulk| bulk.file_origin = Some("http://files.test".to_owned())).await;
    let manifest = desk.export("$export?_type=Patient").await;
    assert_eq!(manifest["requiresAccessToken"], false);
    let url = first_url(&manifest);
    assert!(url.starts_with("http://files.test/bulk/files/"), "{url}");
    let host = desk.bed.sandbox.file_host();
    assert_eq!(bare(host.clone(), &url, &[]).await.status, StatusCode::OK);
    assert_eq!(bare(host.clone(), &url, &[("authorization", "Bearer x")]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(desk.bed.sandbox.stats().bulk.leaked_tokens, 1);
    assert_eq!(bare(host, "http://files.test/fhir/Patient", &[]).await.status, StatusCode::NOT_FOUND, "files only");
    desk.set(|bulk| bulk.file_redirect = true);
    let manifest = desk.export("$export?_type=Patient").await;
    assert_eq!(manifest["requiresAccessToken"], true);
    let moved = desk.get(&first_url(&manifest)).await;
    assert_eq!(moved.status, StatusCode::TEMPORARY_REDIRECT);
    let there = moved.header(header::LOCATION);
    assert!(there.starts_with("http://files.test/bulk/files/"), "{there}");
    assert_eq!(bare(desk.bed.sandbox.file_host(), there, &[]).await.status, StatusCode::OK);
    desk.bed.sandbox.inject(Endpoint::BulkFile, Fault::Redirect("http://evil.test".to_owned()));
    let moved = desk.get(&first_url(&manifest)).await;
    assert!(moved.header(header::LOCATION).starts_with("http://evil.test/bulk/files/"));
}

#[tokio::test]
async fn links_expire_and_the_manifest_has_new_ones() {
    let desk = Desk::new(|bulk| bulk.links_seconds = Some(60)).await;
    let status = desk.started("$export?_type=Patient").await;
    let old = first_url(&desk.finished(&status).await);
    desk.bed.forward(60);
    assert_eq!(desk.get(&old).await.status, StatusCode::GONE);
    let new = first_url(&desk.finished(&status).await);
    assert_ne!(old, new);
    assert_eq!(desk.get(&new).await.status, StatusCode::OK);
    assert_eq!(desk.get(&old).await.status, StatusCode::GONE);
    for gone in [404, 410] {
        let old = first_url(&desk.finished(&status).await);
        desk.bed.sandbox.inject(Endpoint::BulkFile, Fault::Expired(gone));
        for _ in 0..2 {
            assert_eq!(desk.get(&old).await.status.as_u16(), gone, "until the manifest is fetched again");
        }
        let new = first_url(&desk.finished(&status).await);
        assert_ne!(old, new);
        assert_eq!(desk.get(&new).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_token_may_end_between_files() {
    let desk = Desk::new(|_| {}).await;
    let url = desk.one_file().await;
    assert_eq!(desk.get(&url).await.status, StatusCode::OK);
    desk.bed.sandbox.inject(Endpoint::BulkFile, Fault::TokenEnded);
    assert_eq!(desk.get(&url).await.status, StatusCode::UNAUTHORIZED);
    let desk = Desk { token: token(&desk.bed, "system/*.rs").await, ..desk };
    assert_eq!(desk.get(&url).await.status, StatusCode::OK);
    desk.bed.forward(300);
    assert_eq!(desk.get(&url).await.status, StatusCode::UNAUTHORIZED, "its time was over");
    let desk = Desk { token: token(&desk.bed, "system/*.rs").await, ..desk };
    desk.bed.sandbox.inject(Endpoint::BulkFile, Fault::JobGone);
    assert_eq!(desk.get(&url).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn files_are_split_repeated_and_drawn() {
    let desk = Desk::new(|bulk| {
        bulk.lines_per_file = 15;
        bulk.files_repeated = true;
    })
    .await;
    let manifest = desk.export("$export?_type=Patient").await;
    let counts: Vec<u64> =
        manifest["output"].as_array().unwrap().iter().map(|one| one["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [15, 15, 10, 15]);
    assert_eq!(desk.resources(&manifest).await.len(), 55);
    desk.set(|bulk| {
        bulk.files_repeated = false;
        bulk.lines_per_file = 1;
        bulk.synthetic = Some(Synthetic { resources: 20_000, ..Synthetic::default() });
    });
    let manifest = desk.export("$export").await;
    assert_eq!(manifest["output"].as_array().unwrap().len(), 20_000, "a file for each line");
    let of_type = |kind: &str| {
        let output = manifest["output"].as_array().unwrap();
        output.iter().find(|one| one["type"] == kind).unwrap()["url"].as_str().unwrap().to_owned()
    };
    let patient = desk.lines(&of_type("Patient")).await;
    let observation = desk.lines(&of_type("Observation")).await;
    assert_eq!((patient.len(), observation.len()), (1, 1));
    assert_eq!(observation[0]["subject"]["reference"], format!("Patient/{}", patient[0]["id"].as_str().unwrap()));
    desk.set(|bulk| {
        bulk.lines_per_file = 5_000;
        let types = vec!["Patient".to_owned(), "Group".to_owned()];
        bulk.synthetic = Some(Synthetic { resources: 10_000, seed: 2, mean_bytes: 400, types });
    });
    let other = desk.export("$export").await;
    let resources = desk.resources(&other).await;
    assert_eq!(types(&resources), ["Group", "Patient"].into());
    assert_ne!(resources[0]["id"], patient[0]["id"], "another seed");
}

#[tokio::test]
async fn resources_may_lack_meta_and_have_absolute_references() {
    let desk = Desk::new(|bulk| {
        bulk.no_meta = true;
        bulk.absolute_references = true;
    })
    .await;
    let manifest = desk.export("$export?_type=Encounter").await;
    let resources = desk.resources(&manifest).await;
    assert!(resources.iter().all(|one| one.get("meta").is_none()));
    let subject = resources[0]["subject"]["reference"].as_str().unwrap();
    assert!(subject.starts_with("http://sandbox.test/fhir/Patient/"), "{subject}");
}

#[tokio::test]
async fn transfers_at_once_are_counted() {
    let desk = Desk::new(|bulk| bulk.requires_access_token = Some(false)).await;
    let url = desk.one_file().await;
    let open = async || {
        let request = Request::get(url.strip_prefix(ORIGIN).unwrap()).body(Body::empty()).unwrap();
        desk.bed.sandbox.router().oneshot(request).await.unwrap()
    };
    let (first, second, third) = (open().await, open().await, open().await);
    drop(second);
    drop(third);
    let fourth = open().await;
    drop((first, fourth));
    let stats = desk.bed.sandbox.stats().bulk;
    assert_eq!(stats.max_parallel_files, 3);
    assert_eq!(stats.bytes_sent, 0, "nobody read them");
    assert_eq!(stats.file_requests.values().sum::<u64>(), 4);
}
