//! What networks and tired servers do to a connect, a renewal and a launch: every fault has a code, and costs
//! nothing that was there before.

use ehr_integrations::model::problem::Code;
use ehr_integrations::sandbox::{Endpoint, Fault, Personality};
use ehr_integrations::server::flow::refresh;
use rstest::rstest;

use super::scene::{Scene, id};
use super::support::{Db, Wishes};

fn oauth(error: &str) -> Fault {
    Fault::OAuthError(error.into())
}

/// A connect that meets a fault: where it ends.
#[rstest]
#[case::discovery_gone(Endpoint::Discovery, vec![Fault::Status(404), Fault::Status(404)], Some("discovery_failed"))]
#[case::discovery_broken(Endpoint::Discovery, vec![Fault::Malformed, Fault::Malformed], Some("discovery_failed"))]
#[case::discovery_falls_back(Endpoint::Discovery, vec![Fault::Status(500)], None)]
#[case::discovery_once_unavailable(Endpoint::Discovery, vec![Fault::Status(503)], None)]
#[case::discovery_twice_dropped(Endpoint::Discovery, vec![Fault::Dropped, Fault::Dropped], Some("ehr_unavailable"))]
#[case::discovery_slow(Endpoint::Discovery, vec![Fault::Slow(4_000), Fault::Slow(4_000)], Some("ehr_unavailable"))]
#[case::denied(Endpoint::Authorize, vec![oauth("access_denied")], Some("access_denied"))]
#[case::scope(Endpoint::Authorize, vec![oauth("invalid_scope")], Some("scope_denied"))]
#[case::not_enabled(Endpoint::Authorize, vec![oauth("unauthorized_client")], Some("app_not_activated"))]
#[case::busy(Endpoint::Authorize, vec![oauth("temporarily_unavailable")], Some("ehr_unavailable"))]
#[case::code_expired(Endpoint::Token, vec![oauth("invalid_grant")], Some("state_expired"))]
#[case::client(Endpoint::Token, vec![oauth("invalid_client")], Some("client_auth_failed"))]
#[case::token_scope(Endpoint::Token, vec![oauth("invalid_scope")], Some("scope_denied"))]
#[case::token_503(Endpoint::Token, vec![Fault::Status(503)], Some("ehr_unavailable"))]
#[case::token_429(Endpoint::Token, vec![Fault::TooManyRequests(7)], Some("rate_limited"))]
#[case::token_broken(Endpoint::Token, vec![Fault::Malformed], Some("ehr_unavailable"))]
#[case::token_dropped(Endpoint::Token, vec![Fault::Dropped], Some("ehr_unavailable"))]
#[case::token_slow(Endpoint::Token, vec![Fault::Slow(4_000)], Some("ehr_unavailable"))]
#[case::token_a_little_slow(Endpoint::Token, vec![Fault::Slow(500)], None)]
#[case::keys_down(Endpoint::Jwks, vec![Fault::Status(500)], Some("jwks_unreachable"))]
#[case::keys_broken(Endpoint::Jwks, vec![Fault::Malformed], Some("jwks_unreachable"))]
#[tokio::test]
async fn a_connect_meets(
    #[values(Db::Sqlite, Db::Postgres)] db: Db,
    #[case] at: Endpoint,
    #[case] faults: Vec<Fault>,
    #[case] expected: Option<&str>,
) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    for fault in faults {
        scene.app.sandbox.inject(at, fault);
    }
    let login = scene.login();
    let started = scene.browser.get(&login).await.location.unwrap();
    let end = if started.starts_with(&scene.app.ehr) {
        let callback = scene.browser.approve(&scene.app.sandbox, &scene.app.ehr, &started, "allow").await;
        scene.browser.get(&callback).await.location.unwrap()
    } else {
        started
    };
    match expected {
        None => assert!(end.contains("notice=connected"), "{end}"),
        Some(code) => {
            assert!(end.contains(&format!("problem={code}&")), "{end}");
            assert!(Code::parse(code).is_some());
            // The next attempt, without the fault, works: nothing of the last one stands in its way.
            assert!(scene.connect("allow").await.contains("notice=connected"));
        }
    }
}

/// A renewal that meets a fault: the connection stays unless the EHR says that the grant is over.
#[rstest]
#[case::sqlite_503(Db::Sqlite, Fault::Status(503), Code::EhrUnavailable, "connected")]
#[case::postgres_503(Db::Postgres, Fault::Status(503), Code::EhrUnavailable, "connected")]
#[case::too_many(Db::Sqlite, Fault::TooManyRequests(30), Code::RateLimited, "connected")]
#[case::broken(Db::Sqlite, Fault::Malformed, Code::EhrUnavailable, "connected")]
#[case::slow(Db::Sqlite, Fault::Slow(4_000), Code::EhrUnavailable, "connected")]
#[case::client(Db::Sqlite, oauth("invalid_client"), Code::ClientAuthFailed, "connected")]
#[case::over(Db::Sqlite, oauth("invalid_grant"), Code::NeedsReconnect, "needs_reconnect")]
#[case::postgres_over(Db::Postgres, oauth("invalid_grant"), Code::NeedsReconnect, "needs_reconnect")]
#[tokio::test]
async fn a_renewal_meets(#[case] db: Db, #[case] fault: Fault, #[case] expected: Code, #[case] status: &str) {
    let mut scene = Scene::new(db, "basic", Some("s3cret")).await;
    scene.connect("allow").await;
    scene.app.clock.advance_seconds(3_600);
    // A slow answer may still use the refresh token up: that one is lost to both sides.
    let slow = matches!(fault, Fault::Slow(_));
    scene.app.sandbox.inject(Endpoint::Token, fault);
    let renew = async || refresh::usable(&scene.app.app, &scene.caller(), &id()).await.map(|_| ());
    assert_eq!(renew().await.unwrap_err().code(), expected);
    assert_eq!(scene.status("").await["status"], status);
    if status == "connected" && !slow {
        renew().await.unwrap();
    }
}

/// Identity tokens that are not right.
#[rstest]
#[case::issuer(Personality { wrong_id_token_issuer: true, ..Personality::default() }, Some("id_token_invalid"))]
#[case::unknown_key(Personality { id_token_unknown_kid: true, ..Personality::default() }, Some("kid_unknown"))]
#[case::nonce(Personality { wrong_nonce: true, ..Personality::default() }, Some("nonce_mismatch"))]
#[case::clock_far_ahead(Personality { clock_ahead_seconds: 900, ..Personality::default() }, Some("id_token_invalid"))]
#[case::clock_a_little_ahead(Personality { clock_ahead_seconds: 45, ..Personality::default() }, None)]
#[case::clock_far_behind(Personality { clock_ahead_seconds: -900, ..Personality::default() }, Some("id_token_invalid"))]
#[tokio::test]
async fn an_identity_token_with(
    #[values(Db::Sqlite, Db::Postgres)] db: Db,
    #[case] personality: Personality,
    #[case] expected: Option<&str>,
) {
    let mut scene = Scene::with(db, "basic", Some("s3cret"), Wishes { personality, ..Wishes::default() }).await;
    let end = scene.connect("allow").await;
    let expected = expected.map_or_else(|| "notice=connected".into(), |code| format!("problem={code}&"));
    assert!(end.contains(&expected), "{end}");
}
