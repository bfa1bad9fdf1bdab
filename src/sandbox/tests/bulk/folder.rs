//! Big data: the same bytes every time, in a folder and from there.

use std::path::Path;

use super::super::super::bulk::generate::{Summary, write_folder};
use super::super::super::bulk::{compress_folder, served_folder};
use super::*;

fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let [one, two, other] = [7, 7, 8].map(|seed| {
        let dir = tempfile::tempdir().unwrap();
        let summary = write_folder(dir.path(), seed, 38, 5_000).unwrap();
        (summary, contents(dir.path()))
    });
    assert_eq!(one, two);
    assert_ne!(one.1, other.1);
    let Summary { files, lines, bytes, longest } = one.0;
    assert_eq!((files, lines), (38, 5_000));
    assert!((1_200..1_400).contains(&(bytes / 5_000)), "a mean of {}", bytes / 5_000);
    assert!(longest < 50_000, "{longest}");
    let mut ids = std::collections::HashSet::new();
    let mut kinds = std::collections::BTreeSet::new();
    let (mut references, mut count) = (Vec::new(), 0);
    for (_, bytes) in one.1.iter().filter(|(name, _)| name.ends_with(".ndjson")) {
        for line in std::str::from_utf8(bytes).unwrap().lines() {
            let resource: Value = serde_json::from_str(line).unwrap();
            let kind = resource["resourceType"].as_str().unwrap().to_owned();
            assert!(resource["meta"]["lastUpdated"].is_string() && resource["meta"]["versionId"].is_string());
            ids.insert(format!("{kind}/{}", resource["id"].as_str().unwrap()));
            kinds.insert(kind);
            let of = |name: &str| resource[name]["reference"].as_str().map(str::to_owned);
            references.extend(["subject", "patient", "encounter", "claim"].into_iter().filter_map(of));
            count += 1;
        }
    }
    assert_eq!((count, ids.len(), kinds.len()), (5_000, 5_000, 19));
    assert!(references.len() > 4_000);
    assert!(references.iter().all(|reference| ids.contains(reference)), "nothing points nowhere");
}

#[test]
fn few_lines_make_few_files() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(write_folder(dir.path(), 1, 190, 5).unwrap().files, 5);
    let dir = tempfile::tempdir().unwrap();
    let summary = write_folder(dir.path(), 1, 1_000, 1_000).unwrap();
    assert_eq!((summary.files, summary.lines), (1_000, 1_000));
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(write_folder(dir.path(), 1, 0, 0).unwrap(), Summary::default());
}

#[tokio::test]
async fn a_folder_is_served_without_ado() {
    let dir = tempfile::tempdir().unwrap();
    let written = write_folder(dir.path(), 7, 19, 500).unwrap();
    let router = served_folder(dir.path()).unwrap();
    let send = async |request: axum::http::request::Builder| {
        let request = request.header(header::HOST, "127.0.0.1:5000").body(Body::empty()).unwrap();
        let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        Reply { status: parts.status, headers: parts.headers, body: to_bytes(body, usize::MAX).await.unwrap() }
    };
    for kick in ["/fhir/$export?_type=Patient", "/fhir/Patient/$export", "/fhir/Group/any/$export"] {
        for request in [Request::get(kick), Request::post(kick)] {
            let accepted = send(request).await;
            assert_eq!(location(&accepted), "http://127.0.0.1:5000/bulk/status/folder");
        }
    }
    let manifest = send(Request::get("/bulk/status/folder")).await.json();
    assert_eq!(manifest["requiresAccessToken"], false);
    let (mut bytes, mut lines) = (0, 0);
    for file in manifest["output"].as_array().unwrap() {
        let path = file["url"].as_str().unwrap().strip_prefix("http://127.0.0.1:5000").unwrap();
        let reply = send(Request::get(path)).await;
        assert_eq!(reply.header(header::CONTENT_TYPE), "application/fhir+ndjson");
        assert_eq!(reply.text().lines().count(), file["count"]);
        bytes += reply.body.len() as u64;
        lines += reply.text().lines().count();
    }
    assert_eq!((bytes, lines), (written.bytes, written.lines));
    let path = first_url(&manifest).strip_prefix("http://127.0.0.1:5000").unwrap().to_owned();
    let whole = send(Request::get(&path)).await;
    let part = send(Request::get(&path).header(header::RANGE, "bytes=10-19")).await;
    assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, &whole.body[10..20]));
    compress_folder(dir.path()).await.unwrap();
    let zipped = send(Request::get(&path).header(header::ACCEPT_ENCODING, "gzip")).await;
    assert_eq!(zipped.header(header::CONTENT_ENCODING), "gzip");
    assert!(zipped.body.len() < whole.body.len());
    assert_eq!(send(Request::delete("/bulk/status/folder")).await.status, StatusCode::ACCEPTED);
    assert_eq!(send(Request::get("/bulk/files/../Cargo.toml")).await.status, StatusCode::NOT_FOUND);
    assert!(served_folder(&dir.path().join("nothing")).is_err());
}

#[tokio::test]
async fn the_sandbox_may_give_away_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let written = write_folder(dir.path(), 7, 19, 300).unwrap();
    let folder = dir.path().to_owned();
    let desk = Desk::new(|bulk| bulk.folder = Some(folder)).await;
    let manifest = desk.export("$export").await;
    assert_eq!(desk.resources(&manifest).await.len(), written.lines);
    let patients = desk.export("$export?_type=Patient").await;
    assert_eq!(patients["output"].as_array().unwrap().len(), 1);
    let url = first_url(&patients);
    let whole = desk.get(&url).await.body;
    let part = desk.get_with(&url, &[("range", "bytes=5-9")]).await;
    assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, &whole[5..10]));
    desk.bed.sandbox.inject(Endpoint::BulkFile, Fault::Truncated(7));
    assert_eq!(desk.get(&url).await.body, whole[..7]);
    desk.bed.sandbox.inject(Endpoint::BulkFile, Fault::Bom);
    assert!(desk.get(&url).await.body.starts_with(b"\xef\xbb\xbf{"));
    desk.set(|bulk| {
        bulk.no_ranges = true;
        bulk.never_gzip = true;
    });
    assert_eq!(desk.get_with(&url, &[("range", "bytes=5-9")]).await.body, whole);
    let request = Request::post("/sandbox/personality").header(header::CONTENT_TYPE, "application/json");
    desk.bed.send(request.body(Body::from("{\"bulk\": {\"polls\": 0}}")).unwrap()).await;
    assert!(desk.bed.sandbox.personality().bulk.folder.is_some(), "it stays");
    std::fs::write(dir.path().join("index.json"), "[{\"type\":\"Patient\",\"name\":\"../x\",\"count\":1,\"bytes\":1}]")
        .unwrap();
    assert_eq!(desk.kick("$export").await.status, StatusCode::INTERNAL_SERVER_ERROR);
}
