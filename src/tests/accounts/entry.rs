//! Setting up, signing in and out, sessions, passwords.

use std::net::IpAddr;

use ehr_integrations::model::account::SignInStep;
use ehr_integrations::model::field::Rule;
use ehr_integrations::model::problem::Code;
use ehr_integrations::model::role::Role;
use ehr_integrations::server::flow::sign_in::{self, Origin};
use ehr_integrations::server::flow::{account, members};
use rstest::rstest;

use super::{
    OTHER, PASSWORD, actions, browser, browser_with, caller_of, code, create, enter, is_signed_in, member, rule,
    token_of,
};
use crate::support::{Db, TestApp};

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_first_practice_is_set_up_once(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let older = members::set_up_link(&test.app).await.unwrap().unwrap();
    let link = members::set_up_link(&test.app).await.unwrap().unwrap();
    assert!(link.starts_with(&format!("{}/setup?token=", test.app.config.base_url)));
    let set_up = async |token: &str, password: &str, email: &str| {
        members::set_up(&test.app, &browser(), token, "North", "Ada", email, password).await
    };

    assert_eq!(code(set_up(token_of(&older), PASSWORD, "ada@north.example").await), Code::LinkInvalid);
    assert_eq!(rule(set_up(token_of(&link), "short", "x").await, "email"), Some(Rule::NotAnEmail));
    assert_eq!(rule(set_up(token_of(&link), "short", "x").await, "password"), Some(Rule::PasswordTooShort));

    let signed_in = set_up(token_of(&link), PASSWORD, " Ada@North.example ").await.unwrap();
    assert_eq!(signed_in.step, SignInStep::Done);
    let caller = caller_of(&test, &signed_in.token).await;
    let me = account::me(&test.app, &caller).await.unwrap();
    assert_eq!((me.practice_name.as_str(), me.email.as_str(), me.role), ("North", "ada@north.example", Role::Owner));

    assert_eq!(code(set_up(token_of(&link), PASSWORD, "eve@north.example").await), Code::LinkInvalid);
    assert_eq!(members::set_up_link(&test.app).await.unwrap(), None);
    let trail = actions(&test, &caller.practice).await;
    let trail: Vec<_> = trail.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(trail, ["sign_in.ok", "member.joined", "practice.created"]);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_set_up_link_ends_after_a_day_and_with_the_first_practice(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let old = members::set_up_link(&test.app).await.unwrap().unwrap();
    test.clock.advance_seconds(24 * 3_600);
    let set_up = async |link: &str| {
        members::set_up(&test.app, &browser(), token_of(link), "N", "A", "a@north.example", PASSWORD).await
    };
    assert_eq!(code(set_up(&old).await), Code::LinkInvalid);
    let link = members::set_up_link(&test.app).await.unwrap().unwrap();
    create(&test, "North", "ada@north.example", Role::Owner).await;
    assert_eq!(code(set_up(&link).await), Code::LinkInvalid);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn wrong_passwords_and_unknown_accounts_are_refused_alike(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let (practice, _) = create(&test, "North", "ada@north.example", Role::Owner).await;
    for email in ["ada@north.example", "nobody@north.example", "no address"] {
        let refused = sign_in::with_password(&test.app, &browser(), email, OTHER).await;
        assert_eq!(code(refused), Code::InvalidCredentials, "{email}");
    }
    assert_eq!(enter(&test, " ADA@North.example").await.step, SignInStep::Done);
    let trail = actions(&test, &practice).await;
    assert_eq!(trail[0], ("sign_in.ok".into(), "ok".into()));
    assert_eq!(trail[1], ("sign_in.failed".into(), "invalid_credentials".into()));
    assert_eq!(trail.iter().filter(|(action, _)| action == "sign_in.failed").count(), 1);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn sessions_end_by_idleness_by_age_and_by_signing_out(#[case] db: Db) {
    let test = TestApp::new(db).await;
    create(&test, "North", "ada@north.example", Role::Owner).await;
    let idle = enter(&test, "ada@north.example").await.token;
    test.clock.advance_seconds(12 * 3_600);
    assert!(!is_signed_in(&test, &idle).await);

    let busy = enter(&test, "ada@north.example").await.token;
    for _ in 0..28 {
        test.clock.advance_seconds(12 * 3_600 - 1);
        assert!(is_signed_in(&test, &busy).await);
    }
    test.clock.advance_seconds(28);
    assert!(!is_signed_in(&test, &busy).await, "fourteen days in all");

    let token = enter(&test, "ada@north.example").await.token;
    let caller = caller_of(&test, &token).await;
    sign_in::sign_out(&test.app, &caller).await.unwrap();
    assert!(!is_signed_in(&test, &token).await);
    assert_eq!(actions(&test, &caller.practice).await[0].0, "sign_out");
    assert!(!is_signed_in(&test, "no token").await);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn signing_in_again_ends_the_session_that_the_browser_had(#[case] db: Db) {
    let test = TestApp::new(db).await;
    create(&test, "North", "ada@north.example", Role::Owner).await;
    let first = enter(&test, "ada@north.example").await.token;
    let again = sign_in::with_password(&test.app, &browser_with(&first), "ada@north.example", PASSWORD).await.unwrap();
    assert_ne!(first, again.token);
    assert!(!is_signed_in(&test, &first).await);
    assert!(is_signed_in(&test, &again.token).await);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn an_account_has_ten_tries_in_a_quarter_of_an_hour(#[case] db: Db) {
    let test = TestApp::new(db).await;
    create(&test, "North", "ada@north.example", Role::Owner).await;
    for email in ["ada@north.example", "nobody@north.example"] {
        for _ in 0..10 {
            let refused = sign_in::with_password(&test.app, &browser(), email, OTHER).await;
            assert_eq!(code(refused), Code::InvalidCredentials);
        }
        let refused = sign_in::with_password(&test.app, &browser(), email, PASSWORD).await;
        assert_eq!(code(refused), Code::RateLimited, "{email}");
    }
    test.clock.advance_seconds(15 * 60);
    assert_eq!(enter(&test, "ada@north.example").await.step, SignInStep::Done);

    for _ in 0..12 {
        let _ = sign_in::with_password(&test.app, &browser(), "ada@north.example", OTHER).await;
        enter(&test, "ada@north.example").await;
    }
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn parallel_guesses_share_one_count(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let guesses = (0..16).map(|_| {
        let app = test.app.clone();
        tokio::spawn(async move { code(sign_in::with_password(&app, &browser(), "ada@north.example", OTHER).await) })
    });
    let mut judged = 0;
    for guess in guesses.collect::<Vec<_>>() {
        judged += usize::from(guess.await.unwrap() == Code::InvalidCredentials);
    }
    assert_eq!(judged, 10);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn an_address_has_fifty_tries(#[case] db: Db) {
    let test = TestApp::new(db).await;
    create(&test, "North", "ada@north.example", Role::Owner).await;
    let from = |ip: &str| Origin { ip: Some(ip.parse::<IpAddr>().unwrap()), ..browser() };
    for n in 0..50 {
        let origin = from(&format!("2001:db8::{n}"));
        let refused = sign_in::with_password(&test.app, &origin, &format!("{n}@x.example"), OTHER).await;
        assert_eq!(code(refused), Code::InvalidCredentials);
    }
    let blocked = sign_in::with_password(&test.app, &from("2001:db8::ffff"), "ada@north.example", PASSWORD).await;
    assert_eq!(code(blocked), Code::RateLimited);
    sign_in::with_password(&test.app, &from("192.0.2.1"), "ada@north.example", PASSWORD).await.unwrap();
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn changing_the_password_ends_every_other_way_in(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let caller = member(&test, "North", "ada@north.example", Role::Owner).await;
    let other = enter(&test, "ada@north.example").await.token;
    let reset = members::reset_link(&test.app, "ada@north.example").await.unwrap();
    let change = async |current: &str, new: &str| account::change_password(&test.app, &caller, current, new).await;

    assert_eq!(rule(change(PASSWORD, "short").await, "password"), Some(Rule::PasswordTooShort));
    assert_eq!(rule(change(OTHER, OTHER).await, "current"), Some(Rule::WrongPassword));
    change(PASSWORD, OTHER).await.unwrap();

    assert!(!is_signed_in(&test, &other).await);
    assert!(account::me(&test.app, &caller).await.is_ok());
    let by_link = members::reset_password(&test.app, &browser(), token_of(&reset), PASSWORD).await;
    assert_eq!(code(by_link), Code::LinkInvalid);
    let old = sign_in::with_password(&test.app, &browser(), "ada@north.example", PASSWORD).await;
    assert_eq!(code(old), Code::InvalidCredentials);
    for _ in 0..10 {
        let _ = change(PASSWORD, OTHER).await;
    }
    assert_eq!(code(change(OTHER, PASSWORD).await), Code::RateLimited);
    let trail = actions(&test, &caller.practice).await;
    assert!(trail.contains(&("password.changed".into(), "ok".into())));
    assert!(trail.contains(&("password.changed".into(), "invalid_credentials".into())));
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn sessions_are_listed_and_revoked(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let caller = member(&test, "North", "ada@north.example", Role::Owner).await;
    let stranger = member(&test, "North", "bob@north.example", Role::Owner).await;
    test.clock.advance_seconds(60);
    let (second, third) = (enter(&test, "ada@north.example").await, enter(&test, "ada@north.example").await);
    let sessions = account::overview(&test.app, &caller).await.unwrap().sessions;
    assert_eq!(sessions.len(), 3);
    assert_eq!(sessions.iter().filter(|session| session.current).count(), 1);
    assert_eq!(sessions[0].device, "Firefox on Linux");

    let (_, id) = caller_of(&test, &second.token).await.member().map(|(a, b)| (a.clone(), b.clone())).unwrap();
    assert_eq!(code(account::revoke_session(&test.app, &stranger, &id).await), Code::NotFound);
    account::revoke_session(&test.app, &caller, &id).await.unwrap();
    assert_eq!(code(account::revoke_session(&test.app, &caller, &id).await), Code::NotFound);
    assert!(!is_signed_in(&test, &second.token).await);
    account::revoke_other_sessions(&test.app, &caller).await.unwrap();
    assert!(!is_signed_in(&test, &third.token).await);
    assert_eq!(account::overview(&test.app, &caller).await.unwrap().sessions.len(), 1);
}
