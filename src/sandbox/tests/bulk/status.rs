//! How an export gets on, as real servers tell it, and what goes wrong on the way.

use super::*;

#[tokio::test]
async fn retry_after_has_many_forms() {
    let desk = Desk::new(|bulk| {
        bulk.polls = 3;
        bulk.retry_after_seconds = Some(120);
        bulk.retry_after_date = true;
        bulk.progress = Some("Waiting for the night".to_owned());
    })
    .await;
    let url = desk.started("$export?_type=Patient").await;
    let first = desk.get(&url).await;
    assert_eq!(first.header(header::RETRY_AFTER), "Sun, 15 Jun 2025 15:08:40 GMT");
    assert_eq!(first.header("x-progress"), "Waiting for the night");
    desk.set(|bulk| bulk.retry_after_date = false);
    assert_eq!(desk.get(&url).await.header(header::RETRY_AFTER), "120");
    desk.set(|bulk| bulk.retry_after_seconds = None);
    assert!(desk.get(&url).await.headers.get(header::RETRY_AFTER).is_none());
    assert_eq!(desk.get(&url).await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_asks_too_often_is_told_so() {
    let desk = Desk::new(|bulk| {
        bulk.polls = 2;
        bulk.retry_after_seconds = Some(10);
        bulk.polling_watched = true;
    })
    .await;
    let url = desk.started("$export?_type=Patient").await;
    assert_eq!(desk.get(&url).await.status, StatusCode::ACCEPTED);
    let early = desk.get(&url).await;
    assert_eq!((early.status, early.header(header::RETRY_AFTER)), (StatusCode::TOO_MANY_REQUESTS, "10"));
    desk.bed.forward(10);
    assert_eq!(desk.get(&url).await.status, StatusCode::ACCEPTED);
    desk.bed.forward(10);
    assert_eq!(desk.get(&url).await.status, StatusCode::OK);
    assert_eq!(desk.get(&url).await.status, StatusCode::OK, "the manifest may be fetched again at once");
}

#[tokio::test]
async fn an_export_may_fail() {
    let desk = Desk::new(|bulk| bulk.fails = Some(500)).await;
    let url = desk.started("$export?_type=Patient").await;
    assert_eq!(desk.get(&url).await.status, StatusCode::ACCEPTED);
    let failed = desk.get(&url).await;
    assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(failed.json()["issue"][0]["code"], "processing");
}

#[tokio::test]
async fn faults_of_the_status() {
    let desk = Desk::new(|bulk| bulk.polls = 0).await;
    let url = desk.started("$export?_type=Patient").await;
    let inject = |fault: Fault| desk.bed.sandbox.inject(Endpoint::BulkStatus, fault);
    inject(Fault::Transient(500));
    let transient = desk.get(&url).await;
    assert_eq!(transient.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(transient.json()["issue"][0]["code"], "transient");
    desk.bed.sandbox.inject_times(Endpoint::BulkStatus, &Fault::TooManyRequests(2), 3);
    for _ in 0..3 {
        assert_eq!(desk.get(&url).await.status, StatusCode::TOO_MANY_REQUESTS);
    }
    for absurd in ["1750000000000", "Wed, 21 Oct 2026 07:28:00 GMT", "18000", "soon"] {
        inject(Fault::RetryAfter(absurd.to_owned()));
        let going = desk.get(&url).await;
        assert_eq!((going.status, going.header(header::RETRY_AFTER)), (StatusCode::ACCEPTED, absurd));
        inject(Fault::Busy { status: 503, retry_after: absurd.to_owned() });
        let busy = desk.get(&url).await;
        assert_eq!((busy.status, busy.header(header::RETRY_AFTER)), (StatusCode::SERVICE_UNAVAILABLE, absurd));
    }
    inject(Fault::WrongCount(-7));
    assert_eq!(desk.get(&url).await.json()["output"][0]["count"], 33);
    assert_eq!(desk.get(&url).await.json()["output"][0]["count"], 40);
    inject(Fault::Malformed);
    assert!(serde_json::from_slice::<Value>(&desk.get(&url).await.body).is_err());
    inject(Fault::TokenEnded);
    assert_eq!(desk.get(&url).await.status, StatusCode::UNAUTHORIZED);
    let desk = Desk { token: token(&desk.bed, "system/*.rs").await, ..desk };
    assert_eq!(desk.get(&url).await.status, StatusCode::OK);
    desk.bed.sandbox.inject(Endpoint::BulkStatus, Fault::JobGone);
    for _ in 0..2 {
        assert_eq!(desk.get(&url).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn faults_of_kick_off_and_deletion() {
    let desk = Desk::new(|_| {}).await;
    desk.bed.sandbox.inject(Endpoint::BulkKickoff, Fault::RetryAfter("7200".to_owned()));
    let busy = desk.kick("$export").await;
    assert_eq!((busy.status, busy.header(header::RETRY_AFTER)), (StatusCode::TOO_MANY_REQUESTS, "7200"));
    desk.bed.sandbox.inject_times(Endpoint::BulkKickoff, &Fault::Status(503), 2);
    for _ in 0..2 {
        assert_eq!(desk.kick("$export").await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let url = desk.started("$export?_type=Patient").await;
    desk.bed.sandbox.inject(Endpoint::BulkDelete, Fault::Status(500));
    assert_eq!(desk.delete(&url).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(desk.get(&url).await.status, StatusCode::ACCEPTED, "a poll is no deletion");
    assert_eq!(desk.delete(&url).await.status, StatusCode::ACCEPTED);
    let stats = desk.bed.sandbox.stats().bulk;
    assert_eq!((stats.kickoffs, stats.deletes), (4, 2), "whatever the answer");
}

#[tokio::test]
async fn faults_and_options_come_as_json() {
    let desk = Desk::new(|_| {}).await;
    let post = async |path: &str, body: Value| {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        desk.bed.send(request.body(Body::from(body.to_string())).unwrap()).await.status
    };
    for fault in [
        json!({ "transient": 503 }),
        json!({ "busy": { "status": 429, "retry_after": "18000" } }),
        json!({ "retry_after": "1750000000000" }),
        json!({ "redirect": "http://other.test" }),
        json!("token_ended"),
        json!({ "cut_after": 10 }),
        json!({ "cut_chunked": 10 }),
        json!({ "truncated": 10 }),
        json!({ "trickle": { "bytes": 10, "millis": 1 } }),
        json!("job_gone"),
        json!({ "expired": 410 }),
        json!({ "wrong_count": -1 }),
        json!("wrong_type"),
        json!("bad_line"),
        json!("invalid_utf8"),
        json!({ "huge_line": 1000 }),
        json!("bom"),
        json!("crlf"),
        json!("no_last_newline"),
        json!("gzip_bad_crc"),
    ] {
        let order = json!({ "endpoint": "bulk_file", "fault": fault, "times": 2 });
        assert_eq!(post("/sandbox/faults", order.clone()).await, StatusCode::NO_CONTENT, "{order}");
    }
    for endpoint in ["bulk_kickoff", "bulk_status", "bulk_delete", "bulk_file"] {
        let order = json!({ "endpoint": endpoint, "fault": { "status": 503 } });
        assert_eq!(post("/sandbox/faults", order).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(desk.kick("$export").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let bulk = json!({
        "dialect": "4.0-ballot",
        "polls": 2,
        "broken_files": { "0": "bom", "3": { "cut_after": 10 } },
        "synthetic": { "resources": 100 },
        "issues": [{ "severity": "error", "code": "exception", "text": "lost" }]
    });
    let wanted = json!({ "backend_secret_allowed": true, "bulk": bulk });
    assert_eq!(post("/sandbox/personality", wanted).await, StatusCode::NO_CONTENT);
    let personality = desk.bed.sandbox.personality();
    assert_eq!(personality.bulk.dialect, Dialect::V4);
    assert_eq!(personality.bulk.broken_files[&3], Fault::CutAfter(10));
    assert_eq!(personality.bulk.expires_seconds, Some(3600), "the rest is as ever");
    let folder = json!({ "bulk": { "folder": "/" } });
    assert_eq!(post("/sandbox/personality", folder).await, StatusCode::UNPROCESSABLE_ENTITY, "not from outside");
}
