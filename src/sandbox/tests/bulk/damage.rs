//! Files that go wrong: what is in them, and how they arrive over a real connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

async fn with(desk: &Desk, url: &str, fault: Fault) -> Vec<u8> {
    desk.bed.sandbox.inject(Endpoint::BulkFile, fault);
    let reply = desk.get(url).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header(header::CONTENT_LENGTH), reply.body.len().to_string());
    reply.body.to_vec()
}

#[tokio::test]
async fn content_goes_wrong_once() {
    let desk = Desk::new(|_| {}).await;
    let url = desk.one_file().await;
    let good = desk.get(&url).await.body.to_vec();
    let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    let bad = |bytes: &[u8]| {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.filter(|line| serde_json::from_slice::<Value>(line).is_err()).count()
    };
    let wrong = with(&desk, &url, Fault::WrongType).await;
    assert!(wrong.starts_with(b"{\"resourceType\":\"Basic\"") && lines(&wrong) == 40 && bad(&wrong) == 0);
    let half = with(&desk, &url, Fault::BadLine).await;
    assert_eq!((lines(&half), bad(&half)), (40, 1));
    let odd = with(&desk, &url, Fault::InvalidUtf8).await;
    assert!(std::str::from_utf8(&odd).is_err() && lines(&odd) == 40 && bad(&odd) == 1);
    let huge = with(&desk, &url, Fault::HugeLine(3_000_000)).await;
    assert!(huge.len() > good.len() + 3_000_000 && lines(&huge) == 40 && bad(&huge) == 0);
    let marked = with(&desk, &url, Fault::Bom).await;
    assert_eq!(marked.strip_prefix(b"\xef\xbb\xbf").unwrap(), good);
    let crlf = with(&desk, &url, Fault::Crlf).await;
    assert_eq!(crlf.len(), good.len() + 40);
    assert!(crlf.ends_with(b"\r\n"));
    let unended = with(&desk, &url, Fault::NoLastNewline).await;
    assert_eq!(unended, good[..good.len() - 1]);
    assert_eq!(desk.get(&url).await.body, good, "all of these once");
}

#[tokio::test]
async fn content_may_always_be_odd() {
    let desk = Desk::new(|bulk| {
        bulk.bom = true;
        bulk.crlf = true;
        bulk.blank_lines = true;
        bulk.no_last_newline = true;
        bulk.lines_per_file = 2;
    })
    .await;
    let url = desk.one_file().await;
    let body = desk.get(&url).await.body;
    assert!(body.starts_with(b"\xef\xbb\xbf{") && body.ends_with(b"}"));
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(text.split("\r\n").collect::<Vec<_>>().len(), 3, "a line, nothing, a line");
}

#[tokio::test]
async fn one_file_may_be_broken_for_good() {
    let desk = Desk::new(|bulk| {
        bulk.lines_per_file = 10;
        bulk.broken_files =
            [(0, Fault::BadLine), (1, Fault::Status(502)), (2, Fault::Expired(404)), (3, Fault::Truncated(99))].into();
    })
    .await;
    let manifest = desk.export("$export?_type=Patient").await;
    let url = |place: usize| manifest["output"][place]["url"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let bad = desk.get(&url(0)).await;
        let parsed = bad.text().lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
        assert_eq!((bad.status, parsed), (StatusCode::OK, 9));
        assert_eq!(desk.get(&url(1)).await.status, StatusCode::BAD_GATEWAY);
        assert_eq!(desk.get(&url(2)).await.status, StatusCode::NOT_FOUND);
        assert_eq!(desk.get(&url(3)).await.body.len(), 99);
    }
}

#[tokio::test]
async fn a_fault_may_wait_for_one_file() {
    let desk = Desk::new(|bulk| bulk.lines_per_file = 10).await;
    let manifest = desk.export("$export?_type=Patient").await;
    let url = |place: usize| manifest["output"][place]["url"].as_str().unwrap().to_owned();
    desk.bed.sandbox.inject_file(2, Fault::Status(502));
    let order = json!({ "endpoint": "bulk_file", "file": 2, "fault": { "transient": 503 }, "times": 2 });
    let request = Request::post("/sandbox/faults").header(header::CONTENT_TYPE, "application/json");
    let reply = desk.bed.send(request.body(Body::from(order.to_string())).unwrap()).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    for status in [502, 503, 503, 200] {
        assert_eq!(desk.get(&url(1)).await.status, StatusCode::OK);
        assert_eq!(desk.get(&url(2)).await.status.as_u16(), status);
    }
}

#[tokio::test]
async fn compression_goes_wrong_where_it_is_accepted() {
    let desk = Desk::new(|_| {}).await;
    let url = desk.one_file().await;
    let zip = [("accept-encoding", "gzip")];
    let good = desk.get_with(&url, &zip).await.body;
    desk.bed.sandbox.inject(Endpoint::BulkFile, Fault::GzipBadCrc);
    let bad = desk.get_with(&url, &zip).await.body;
    let differ = good.iter().zip(&bad).enumerate().filter(|(_, (a, b))| a != b).map(|(place, _)| place);
    assert_eq!(differ.collect::<Vec<_>>(), [good.len() - 8]);
    desk.bed.sandbox.inject(Endpoint::BulkFile, Fault::Truncated(100));
    let short = desk.get_with(&url, &zip).await;
    assert_eq!((short.header(header::CONTENT_LENGTH), short.header(header::CONTENT_ENCODING)), ("100", "gzip"));
    assert_eq!(short.body, good[..100], "it ends as if it were whole");
}

#[tokio::test]
async fn answers_may_be_slow() {
    let desk = Desk::new(|_| {}).await;
    let url = desk.one_file().await;
    let good = desk.get(&url).await.body;
    let before = std::time::Instant::now();
    let slow = with(&desk, &url, Fault::Trickle { bytes: good.len() / 5 + 1, millis: 10 }).await;
    assert!(before.elapsed().as_millis() >= 50);
    assert_eq!(slow, good);
}

/// What a server sends to a raw connection, until it ends.
async fn raw(address: &str, path: &str, token: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A connection that is reset has still brought what came before.
    let _ = stream.read_to_end(&mut bytes).await;
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8(bytes[..split].to_vec()).unwrap().to_lowercase(), bytes[split + 4..].to_vec())
}

#[tokio::test]
async fn connections_break_in_the_middle() {
    let desk = Desk::new(|_| {}).await;
    let url = desk.one_file().await;
    let length = desk.get(&url).await.body.len();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = desk.bed.sandbox.router();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let path = url.strip_prefix(ORIGIN).unwrap();
    let (head, body) = raw(&address, path, &desk.token).await;
    assert!(head.contains(&format!("content-length: {length}")), "{head}");
    assert_eq!(body.len(), length);
    desk.bed.sandbox.inject(Endpoint::BulkFile, Fault::CutAfter(1000));
    let (head, body) = raw(&address, path, &desk.token).await;
    assert!(head.contains(&format!("content-length: {length}")), "{head}");
    assert_eq!(body.len(), 1000);
    desk.bed.sandbox.inject(Endpoint::BulkFile, Fault::CutChunked(1000));
    let (head, body) = raw(&address, path, &desk.token).await;
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    assert!(body.len() > 1000 && body.len() < 1020 && !body.ends_with(b"0\r\n\r\n"), "no terminator");
    desk.set(|bulk| bulk.no_content_length = true);
    let (head, body) = raw(&address, path, &desk.token).await;
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert!(body.ends_with(b"0\r\n\r\n"));
}
