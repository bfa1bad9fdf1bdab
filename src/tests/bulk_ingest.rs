//! The download of an export's files, against a server that does what servers do.

use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use bytes::Bytes;
use ehr_integrations::model::export::Wait;
use ehr_integrations::server::bulk::run::{Ran, RunError, run};
use ehr_integrations::server::bulk::write::WriteError;
use sqlx::Row as _;
use tokio_util::sync::CancellationToken;

use super::support::Db;

pub mod scene;

use scene::{
    Files, Scene, TRANSACTION_TIME, add_file, broken, gzip, gzipped, known, patient, patients, redirect, status,
};

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_file(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let mut scene = Scene::new(db).await;
    scene.ehr.text("/1", patients(0..3000));
    scene.ehr.at("/2", |_, _| gzipped(gzip(&patients(2990..3010))));
    scene.ehr.text("/3", concat!(
        r#"{"resourceType":"Parameters","parameter":[{"name":"header","valueReference":{"reference":"Patient/p1"}}]}"#, "\n",
        r#"{"resourceType":"Group","id":"g","meta":{"versionId":"7"}}"#, "\n",
        r#"{"resourceType":"Device","id":"d"}"#,
    ));
    scene.ehr.text("/4", r#"{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/p5"}},{"request":{"method":"DELETE","url":"Patient/never-seen"}}]}"#);
    let outcome = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"processing","diagnostics":"slow"}]}"#;
    scene.ehr.text("/5", [outcome, outcome, ""].join("\n"));
    let deleted = scene.file("deleted", None, "/4").await;
    let first = scene.patients("/1").await;
    let second = scene.patients("/2").await;
    let mixed = scene.file("output", None, "/3").await;
    let error = scene.file("error", None, "/5").await;
    for (file, lines) in [(first, 3000), (second, 20), (mixed, 2), (deleted, 1), (error, 2)] {
        scene.expect_lines(file, lines).await;
    }
    let ran = scene.run().await;
    assert_eq!(ran, Ran { all_done: true, ..Ran::default() });
    assert_eq!(scene.known(first).await, known("done", 0, (3000, 3000, 0), None));
    assert_eq!(scene.known(second).await, known("done", 0, (20, 20, 0), None));
    assert_eq!(scene.known(mixed).await, known("done", 0, (3, 2, 0), None));
    assert_eq!(scene.known(deleted).await, known("done", 0, (1, 2, 0), None));
    assert_eq!(scene.known(error).await, known("done", 0, (2, 0, 0), None));
    let stored = scene.stored().await;
    assert_eq!(stored.len(), 3010 + 2 + 1);
    let body = |id: &str| stored.iter().find(|(_, found, _)| found == id).unwrap().2.clone();
    assert_eq!(body("p3005"), Some(patient(3005)));
    assert_eq!((body("p5"), body("never-seen")), (None, None));
    let row = sqlx::query("SELECT counts FROM export_files WHERE number = $1").bind(mixed);
    let counts: String = row.fetch_one(scene.test.app.db.pool()).await.unwrap().get(0);
    assert_eq!(counts, r#"{"Device":1,"Group":1}"#);
    let row = sqlx::query("SELECT severity, code, text, times FROM export_outcomes");
    let row = row.fetch_one(scene.test.app.db.pool()).await.unwrap();
    assert_eq!((row.get::<String, _>("text"), row.get::<i64, _>("times")), ("slow".into(), 2));
    let row = sqlx::query("SELECT updated_at, deleted_at, version FROM resources WHERE id = 'p5'");
    let row = row.fetch_one(scene.test.app.db.pool()).await.unwrap();
    assert_eq!(row.get::<i64, _>("updated_at"), TRANSACTION_TIME.0);
    assert_eq!(row.get::<i64, _>("deleted_at"), scene.test.app.clock.now().0);
    let asked = &scene.ehr.seen("/1")[0];
    assert_eq!(asked[header::ACCEPT], "application/fhir+ndjson");
    assert_eq!(
        (&asked[header::ACCEPT_ENCODING], &asked["x-vendor"]),
        (&"gzip".parse().unwrap(), &"1".parse().unwrap())
    );
    assert_eq!(scene.stale.lock().unwrap().len(), 1, "one token for all files");
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn odd_lines(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let mut scene = Scene::new(db).await;
    scene.max_line = Some(1_000);
    let mut text = b"\xEF\xBB\xBF".to_vec();
    writeln!(text, "{}\r\n\r\n{}", patient(1), patient(2)).unwrap();
    text.extend_from_slice(b"{\"resourceType\":\"Patient\",\"id\":\"\xFF\"}\n{\n");
    writeln!(text, r#"{{"resourceType":"Group","id":"g"}}"#).unwrap();
    writeln!(text, r#"{{"resourceType":"Patient","id":"{}"}}"#, "x".repeat(1_000_000)).unwrap();
    write!(text, "{}", patients(3..20).trim_end()).unwrap();
    scene.ehr.text("/1", text);
    let file = scene.patients("/1").await;
    scene.settle().await;
    assert_eq!(scene.known(file).await, known("done", 0, (24, 19, 4), None));
    let rejects: Vec<_> = [(4, "not_utf8"), (5, "not_json"), (6, "wrong_type"), (7, "too_long")].into();
    assert_eq!(
        scene.rejects().await,
        rejects.into_iter().map(|(line, why)| (line, why.to_owned())).collect::<Vec<_>>()
    );
    let stored = scene.stored().await;
    assert!(stored.iter().any(|(_, _, body)| body.as_deref() == Some(patient(1).as_str())));
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn goes_on_where_it_stopped(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let mut scene = Scene::new(db).await;
    let all = patients(0..100);
    let whole = all.clone();
    scene.ehr.at("/1", move |nth, headers| {
        let mut answer = match headers.get(header::RANGE) {
            Some(range) => {
                let from: usize = range.to_str().unwrap()[6..].trim_end_matches('-').parse().unwrap();
                Response::builder()
                    .status(StatusCode::PARTIAL_CONTENT)
                    .header(header::CONTENT_RANGE, format!("bytes {from}-{}/{}", whole.len() - 1, whole.len()))
                    .body(Body::from(whole[from..].to_owned()))
                    .unwrap()
            }
            None if nth == 0 => broken(&whole, 5_000),
            None => Response::new(Body::from(whole.clone())),
        };
        answer.headers_mut().insert(header::ETAG, "\"v1\"".parse().unwrap());
        answer.headers_mut().insert(header::ACCEPT_RANGES, "bytes".parse().unwrap());
        answer
    });
    let file = scene.patients("/1").await;
    scene.expect_lines(file, 100).await;
    let ran = scene.run().await;
    assert!(!ran.all_done && ran.next.is_some());
    let so_far = scene.known(file).await;
    assert_eq!((so_far.state.as_str(), so_far.attempts), ("pending", 1));
    assert_eq!(so_far.why.as_deref(), Some("ehr_unavailable: truncated"));
    let line = patient(0).len() + 1;
    let lines = i64::try_from(5_000 / line).unwrap();
    assert!((lines - 1..=lines + 1).contains(&so_far.rows) && so_far.rows == so_far.lines);
    scene.settle().await;
    assert_eq!(scene.known(file).await, known("done", 1, (100, 100, 0), None));
    assert_eq!(scene.ids().await.len(), 100);
    let range = scene.ehr.header("/1", "range");
    let from: usize = range[1].as_ref().unwrap()[6..].trim_end_matches('-').parse().unwrap();
    assert_eq!(&all[from - 1..from], "\n");
    assert_eq!(scene.ehr.header("/1", "if-range")[1].as_deref(), Some("\"v1\""));
    assert_eq!(scene.ehr.header("/1", "accept-encoding")[1].as_deref(), Some("identity"));
}

#[rstest::rstest]
#[case::another_version(200)]
#[case::not_satisfiable(416)]
#[case::another_range(206)]
#[tokio::test(flavor = "multi_thread")]
async fn starts_again_where_it_cannot_go_on(#[case] to_range: u16) {
    let mut scene = Scene::new(Db::Sqlite).await;
    scene.ehr.at("/1", move |nth, headers| {
        let all = format!("{}{{\n", patients(0..100));
        let mut answer = match (nth, headers.get(header::RANGE), to_range) {
            (0, ..) => broken(&all, 5_000),
            (_, Some(_), 416) => status(416),
            (_, Some(_), 206) => Response::builder()
                .status(206)
                .header(header::CONTENT_RANGE, "bytes 7-8/9")
                .body(Body::from("xy"))
                .unwrap(),
            _ => Response::new(Body::from(patients(200..250) + "{\n")),
        };
        answer.headers_mut().insert(header::LAST_MODIFIED, "Wed, 25 Nov 2026 08:00:00 GMT".parse().unwrap());
        answer.headers_mut().insert(header::ACCEPT_RANGES, "bytes".parse().unwrap());
        answer
    });
    let file = scene.patients("/1").await;
    scene.settle().await;
    assert!(scene.ehr.header("/1", "range")[1].is_some());
    assert_eq!(scene.known(file).await.rows, 50);
    assert_eq!(scene.rejects().await, [(51, "not_json".to_owned())]);
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_early_is_fetched_again(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let mut scene = Scene::new(db).await;
    let good = gzip(&patients(0..50));
    let bad = {
        let mut bytes = good.clone();
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        bytes
    };
    let short = good[..good.len() - 20].to_vec();
    scene.ehr.at("/truncated", |nth, _| {
        let all = patients(0..50);
        if nth == 0 { broken(&all, 1_000) } else { Response::new(Body::from(all)) }
    });
    let again = good.clone();
    scene.ehr.at("/crc", move |nth, _| gzipped(if nth == 0 { bad.clone() } else { good.clone() }));
    scene.ehr.at("/gzip", move |nth, _| gzipped(if nth == 0 { short.clone() } else { again.clone() }));
    scene.ehr.at("/500", |nth, _| if nth == 0 { status(500) } else { Response::new(Body::from(patients(50..60))) });
    let mut files = Vec::new();
    for path in ["/truncated", "/crc", "/gzip", "/500"] {
        files.push(scene.patients(path).await);
    }
    scene.run().await;
    for (file, why) in files.iter().zip(["truncated", "bad_gzip", "truncated", "status_500"]) {
        let known = scene.known(*file).await;
        assert_eq!((known.state.as_str(), known.why.unwrap()), ("pending", format!("ehr_unavailable: {why}")));
    }
    scene.settle().await;
    for (file, rows) in files.iter().zip([50, 50, 50, 10]) {
        assert_eq!(scene.known(*file).await, known("done", 1, (rows, rows, 0), None));
    }
    assert_eq!(scene.ids().await.len(), 60);
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_comes_is_given_up(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let mut scene = Scene::new(db).await;
    scene.ehr.at("/1", |_, _| status(503));
    let file = scene.patients("/1").await;
    scene.settle().await;
    assert_eq!(scene.known(file).await, known("failed", 8, (0, 0, 0), Some("ehr_unavailable: status_503")));
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn not_what_the_manifest_says(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let mut scene = Scene::new(db).await;
    scene.ehr.text("/count", patients(0..5) + "{\n");
    scene.ehr.text("/type", r#"{"resourceType":"Group","id":"g"}"#);
    scene.ehr.text("/html", "<html>\n".repeat(20));
    scene.ehr.text("/size", patients(10..12));
    let count = scene.patients("/count").await;
    scene.expect_lines(count, 7).await;
    let wrong = scene.patients("/type").await;
    let html = scene.patients("/html").await;
    let size = scene.patients("/size").await;
    scene.set(size, "UPDATE export_files SET expected_bytes = $2 WHERE number = $1", 7).await;
    scene.settle().await;
    assert_eq!(scene.known(count).await, known("failed", 2, (6, 5, 1), Some("fhir_invalid: wrong_count")));
    assert_eq!(scene.known(wrong).await, known("failed", 2, (1, 0, 1), Some("fhir_invalid: wrong_type")));
    assert_eq!(scene.known(html).await, known("failed", 2, (20, 0, 20), Some("fhir_invalid: not_ndjson")));
    assert_eq!(scene.known(size).await, known("failed", 2, (2, 2, 0), Some("fhir_invalid: wrong_size")));
    assert_eq!(scene.ids().await.len(), 7, "rows are kept");
    assert_eq!(scene.rejects().await.len(), 1 + 1 + 20, "and nothing is counted twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_stays_at_home() {
    let mut scene = Scene::new(Db::Sqlite).await;
    let signed = format!("{}/signed", scene.cdn_url);
    scene.cdn.text("/signed", patients(0..1));
    scene.cdn.text("/direct", patients(1..2));
    scene.ehr.at("/1", move |_, _| redirect(307, &signed));
    scene.ehr.at("/2", |_, _| redirect(302, "/3"));
    scene.ehr.text("/3", patients(2..3));
    let back = format!("{}/3", scene.url);
    scene.cdn.at("/back", move |_, _| redirect(302, &back));
    let away = format!("{}/back", scene.cdn_url);
    scene.ehr.at("/4", move |_, _| redirect(308, &away));
    scene.ehr.text("/public", patients(3..4));
    for path in ["/1", "/2", "/4"] {
        scene.patients(path).await;
    }
    let public = scene.patients("/public").await;
    scene.set(public, "UPDATE export_files SET needs_token = $2 WHERE number = $1", 0).await;
    add_file(&scene.test, &scene.target, 77, "output", Some("Patient"), &format!("{}/direct", scene.cdn_url)).await;
    scene.settle().await;
    assert_eq!(scene.ids().await, ["p0", "p1", "p2", "p3"]);
    let sent = |files: &Files, path: &str| {
        files.header(path, "authorization").into_iter().map(|value| value.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(
        (sent(&scene.ehr, "/1"), sent(&scene.ehr, "/2"), sent(&scene.ehr, "/4")),
        (vec![true], vec![true], vec![true])
    );
    assert_eq!(
        (sent(&scene.cdn, "/signed"), sent(&scene.cdn, "/direct"), sent(&scene.cdn, "/back")),
        (vec![false], vec![false], vec![false])
    );
    assert_eq!(sent(&scene.ehr, "/public"), [false]);
    let mut home = sent(&scene.ehr, "/3");
    home.sort_unstable();
    assert_eq!(home, [false, true], "not after a redirect that left, even back home");
    assert_eq!(scene.cdn.header("/signed", "x-vendor"), [None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_are_not_called() {
    let mut scene = Scene::new(Db::Sqlite).await;
    let elsewhere = format!("{}/x", scene.cdn_url);
    scene.ehr.at("/1", move |_, _| redirect(307, &elsewhere));
    let file = scene.patients("/1").await;
    let round = scene.patients("/2").await;
    scene.ehr.at("/2", |_, _| redirect(302, "/2"));
    let ran = run(&scene.test.app, &scene.job(""), &CancellationToken::new()).await.unwrap();
    assert!(ran.all_done);
    let host = scene.cdn_url.trim_start_matches("http://");
    let why = format!("forbidden: host_not_allowed {host}");
    assert_eq!(scene.known(file).await.why, Some(why));
    assert_eq!(scene.known(round).await.why.as_deref(), Some("ehr_unavailable: redirects"));
    assert!(scene.cdn.seen("/x").is_empty());
    assert_eq!(scene.ehr.seen("/2").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_once() {
    let mut scene = Scene::new(Db::Sqlite).await;
    for path in ["/1", "/2", "/3"] {
        scene.ehr.at(path, |_, headers| match headers[header::AUTHORIZATION].to_str().unwrap() {
            "Bearer token-1" => status(401),
            _ => Response::new(Body::from(patients(0..3))),
        });
        scene.patients(path).await;
    }
    scene.settle().await;
    assert_eq!(*scene.stale.lock().unwrap(), [None, Some("token-1".to_owned())]);

    scene.ehr.at("/4", |_, _| status(401));
    let file = scene.patients("/4").await;
    let ran = scene.run().await;
    assert_eq!((ran.paused, ran.all_done), (Some(Wait::TokenRefused), false));
    assert_eq!(scene.known(file).await, known("pending", 0, (0, 0, 0), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_or_forbidden() {
    let mut scene = Scene::new(Db::Sqlite).await;
    scene.ehr.at("/forbidden", |_, _| status(403));
    let forbidden = scene.patients("/forbidden").await;
    let gone = scene.patients("/gone").await;
    add_file(&scene.test, &scene.target, 77, "output", Some("Patient"), &format!("{}/expired", scene.cdn_url)).await;
    scene.cdn.at("/expired", |_, _| status(403));
    let mut ran = scene.run().await;
    ran.gone.sort_unstable();
    assert_eq!(ran.gone, [gone, 77]);
    assert_eq!(scene.known(forbidden).await.why.as_deref(), Some("scope_denied: status_403"));
    assert_eq!(scene.known(gone).await, known("pending", 1, (0, 0, 0), Some("bulk_expired: status_404")));
    assert_eq!(scene.known(77).await.why.as_deref(), Some("bulk_expired: status_403"));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_for_the_host() {
    let mut scene = Scene::new(Db::Sqlite).await;
    for path in ["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8"] {
        scene.ehr.at(path, |nth, _| match nth {
            0 => Response::builder().status(429).header(header::RETRY_AFTER, "40").body(Body::empty()).unwrap(),
            _ => Response::new(Body::from(patients(0..3))),
        });
        scene.patients(path).await;
    }
    let ran = scene.run().await;
    let now = scene.test.app.clock.now();
    assert_eq!(ran, Ran { next: Some(now.plus_seconds(40)), ..Ran::default() });
    let asked: usize = (1..=8).map(|n| scene.ehr.seen(&format!("/{n}")).len()).sum();
    assert!(asked <= 4, "the others are not even asked for");
    assert!((scene.test.app.gates.limit("127.0.0.1") - 2.0).abs() < 0.1);
    assert_eq!(scene.known(1).await, known("pending", 0, (0, 0, 0), Some("rate_limited: status_429")));
    scene.settle().await;
    assert_eq!(scene.known(8).await.state, "done");
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn some_elements_replace_nothing(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let mut scene = Scene::new(db).await;
    scene
        .ehr
        .text("/1", r#"{"resourceType":"Patient","id":"p","meta":{"lastUpdated":"2026-01-01T00:00:00Z"},"name":[]}"#);
    scene.ehr.text("/2", r#"{"resourceType":"Patient","id":"p","meta":{"lastUpdated":"2026-02-01T00:00:00Z","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]}}"#);
    scene.patients("/1").await;
    scene.settle().await;
    scene.patients("/2").await;
    scene.settle().await;
    assert!(scene.stored().await[0].2.as_ref().unwrap().contains("name"));
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn deletions_wait_for_the_output(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let mut scene = Scene::new(db).await;
    scene.ehr.at("/1", |nth, _| if nth == 0 { status(502) } else { Response::new(Body::from(patients(0..2))) });
    scene.ehr.text("/2", r#"{"resourceType":"Bundle","entry":[{"request":{"method":"DELETE","url":"Patient/p1"}}]}"#);
    scene.file("deleted", None, "/2").await;
    scene.patients("/1").await;
    let ran = scene.run().await;
    assert!(ran.next.unwrap() > scene.test.app.clock.now());
    assert!(scene.ehr.seen("/2").is_empty());
    scene.settle().await;
    assert!(scene.stored().await[1].2.is_none());
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_writes_nothing(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let mut scene = Scene::new(db).await;
    scene.ehr.text("/1", patients(0..10));
    let file = scene.patients("/1").await;
    scene.target.fence -= 1;
    let refused = run(&scene.test.app, &scene.job(""), &CancellationToken::new()).await;
    assert!(matches!(refused, Err(RunError::Write(WriteError::Fenced))));
    assert_eq!(scene.known(file).await, known("pending", 0, (0, 0, 0), None));
    assert!(scene.ids().await.is_empty());
}

/// A file of patients that comes slowly, and in odd pieces.
fn slowly(text: String, from: usize) -> Response<Body> {
    let whole = text.len();
    let pieces: Vec<_> = text.as_bytes()[from..].chunks(701).map(Bytes::copy_from_slice).collect();
    let slow = futures::stream::unfold(pieces.into_iter(), |mut pieces| async move {
        tokio::time::sleep(Duration::from_millis(4)).await;
        pieces.next().map(|piece| (Ok::<_, std::io::Error>(piece), pieces))
    });
    let mut answer = Response::builder().header(header::ETAG, "\"1\"").header(header::ACCEPT_RANGES, "bytes");
    if from > 0 {
        answer = answer.status(206).header(header::CONTENT_RANGE, format!("bytes {from}-{}/{whole}", whole - 1));
    }
    answer.body(Body::from_stream(slow)).unwrap()
}

#[rstest::rstest]
#[tokio::test(flavor = "multi_thread")]
async fn stopped_at_any_time_it_goes_on(#[values(Db::Sqlite, Db::Postgres)] db: Db) {
    let mut scene = Scene::new(db).await;
    for file in 0..3 {
        let path = format!("/{file}");
        scene.ehr.at(&path, move |_, headers| {
            let range =
                headers.get(header::RANGE).map(|range| range.to_str().unwrap()[6..].trim_end_matches('-').to_owned());
            // One of them cannot go on in the middle.
            let from = range.filter(|_| file != 1).map_or(0, |from| from.parse().unwrap());
            slowly(patients(file * 1_000..file * 1_000 + 1_000) + "{\n", from)
        });
        let number = scene.patients(&path).await;
        scene.expect_lines(number, 1_001).await;
    }
    let mut stops = 0;
    for wait in [30, 200, 650, 900, 0, 700, 700] {
        let stop = CancellationToken::new();
        let timer = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            timer.cancel();
        });
        let ran = run(&scene.test.app, &scene.job(""), &stop).await.unwrap();
        if ran.all_done {
            break;
        }
        assert!(ran.next.unwrap() <= scene.test.app.clock.now());
        stops += 1;
    }
    assert!(stops >= 3);
    scene.settle().await;
    assert_eq!(scene.ids().await.len(), 3_000);
    for file in 1..=3 {
        assert_eq!(scene.known(file).await, known("done", 0, (1_001, 1_000, 1), None));
    }
    assert_eq!(scene.rejects().await.len(), 3);
    assert!(scene.ehr.header("/0", "range").iter().any(Option::is_some));
}
