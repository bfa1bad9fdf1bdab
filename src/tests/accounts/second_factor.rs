//! The second factor and its recovery codes.

use ehr_integrations::model::account::SignInStep;
use ehr_integrations::model::field::Rule;
use ehr_integrations::model::problem::Code;
use ehr_integrations::model::role::Role;
use ehr_integrations::server::flow::sign_in::{self, Origin, Resumed};
use ehr_integrations::server::flow::{account, members};
use rstest::rstest;

use super::{
    OTHER, PASSWORD, actions, authenticator_code, browser, browser_with, caller_of, code, enter, is_signed_in, member,
    resume, rule, token_of, with_second_factor,
};
use crate::support::{Db, TestApp};

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_second_factor_is_wanted_once_it_is_confirmed(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let caller = member(&test, "North", "ada@north.example", Role::Owner).await;
    let setup = account::totp_setup(&test.app, &caller).await.unwrap();
    assert_eq!(account::totp_setup(&test.app, &caller).await.unwrap(), setup, "the same until it is confirmed");
    assert!(setup.url.starts_with("otpauth://totp/EHR%20Integrations:ada%40north.example?secret="), "{}", setup.url);
    assert_eq!(enter(&test, "ada@north.example").await.step, SignInStep::Done, "not wanted yet");

    let other = enter(&test, "ada@north.example").await.token;
    let wrong = account::totp_confirm(&test.app, &caller, "000000").await;
    assert_eq!(rule(wrong, "code"), Some(Rule::WrongCode));
    let typed = authenticator_code(&test, &setup.secret);
    let codes = account::totp_confirm(&test.app, &caller, &typed).await.unwrap();
    assert_eq!(codes.len(), 10);
    assert!(!is_signed_in(&test, &other).await, "signed in without the second factor");
    assert_eq!(account::overview(&test.app, &caller).await.unwrap().recovery_codes_left, 10);
    assert_eq!(code(account::totp_setup(&test.app, &caller).await), Code::Conflict);
    assert_eq!(code(account::totp_confirm(&test.app, &caller, &typed).await), Code::Conflict);

    let pending = enter(&test, "ada@north.example").await;
    assert_eq!(pending.step, SignInStep::TotpWanted);
    assert!(matches!(resume(&test, &pending.token).await, Resumed::TotpWanted));
    let replay = sign_in::with_code(&test.app, &browser_with(&pending.token), &typed).await;
    assert_eq!(code(replay), Code::InvalidCredentials, "a code works once");
    test.clock.advance_seconds(30);
    let typed = authenticator_code(&test, &setup.secret);
    let spaced = format!("{} {}", &typed[..3], &typed[3..]);
    let done = sign_in::with_code(&test.app, &browser_with(&pending.token), &spaced).await.unwrap();
    assert_eq!(done.step, SignInStep::Done);
    assert!(matches!(resume(&test, &pending.token).await, Resumed::None), "a new token after the second factor");
    assert!(is_signed_in(&test, &done.token).await);
    let trail = actions(&test, &caller.practice).await;
    let failed = ("sign_in.totp_failed".to_owned(), "invalid_credentials".to_owned());
    assert!(trail.contains(&failed) && trail.contains(&("totp.enabled".into(), "ok".into())));
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_first_step_is_needed_and_ends_after_ten_minutes(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let (secret, _) = with_second_factor(&test, "ada@north.example").await;
    let with_code =
        async |origin: Origin| sign_in::with_code(&test.app, &origin, &authenticator_code(&test, &secret)).await;
    assert_eq!(code(with_code(browser()).await), Code::Unauthenticated);
    let pending = enter(&test, "ada@north.example").await.token;
    test.clock.advance_seconds(600);
    assert_eq!(code(with_code(browser_with(&pending)).await), Code::Unauthenticated);
    let pending = enter(&test, "ada@north.example").await.token;
    let done = with_code(browser_with(&pending)).await.unwrap();
    let again = sign_in::with_code(&test.app, &browser_with(&done.token), "000000").await;
    assert_eq!(code(again), Code::Unauthenticated, "nothing is wanted of a full session");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn recovery_codes_work_once_and_guesses_are_limited(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let (_, codes) = with_second_factor(&test, "ada@north.example").await;
    let pending = enter(&test, "ada@north.example").await.token;
    let typed = codes[3].to_uppercase().replace('-', " ");
    let done = sign_in::with_code(&test.app, &browser_with(&pending), &typed).await.unwrap();
    let caller = caller_of(&test, &done.token).await;
    assert_eq!(account::overview(&test.app, &caller).await.unwrap().recovery_codes_left, 9);
    assert!(actions(&test, &caller.practice).await.contains(&("totp.recovery_code_used".into(), "ok".into())));

    let pending = enter(&test, "ada@north.example").await.token;
    for _ in 0..10 {
        let refused = sign_in::with_code(&test.app, &browser_with(&pending), &codes[3]).await;
        assert_eq!(code(refused), Code::InvalidCredentials);
    }
    // The right password does not give new tries at the second factor.
    let pending = enter(&test, "ada@north.example").await.token;
    let refused = sign_in::with_code(&test.app, &browser_with(&pending), &codes[4]).await;
    assert_eq!(code(refused), Code::RateLimited);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_second_factor_goes_with_the_password_only(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let (secret, _) = with_second_factor(&test, "ada@north.example").await;
    let pending = enter(&test, "ada@north.example").await.token;
    let typed = authenticator_code(&test, &secret);
    let done = sign_in::with_code(&test.app, &browser_with(&pending), &typed).await.unwrap();
    let caller = caller_of(&test, &done.token).await;
    assert!(rule(account::totp_disable(&test.app, &caller, OTHER).await, "password").is_some());
    account::totp_disable(&test.app, &caller, PASSWORD).await.unwrap();
    assert_eq!(enter(&test, "ada@north.example").await.step, SignInStep::Done);
    assert_ne!(account::totp_setup(&test.app, &caller).await.unwrap().secret, secret);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_reset_link_sets_a_password_but_is_no_second_factor(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let (secret, _) = with_second_factor(&test, "ada@north.example").await;
    let pending = enter(&test, "ada@north.example").await.token;
    let done = sign_in::with_code(&test.app, &browser_with(&pending), &authenticator_code(&test, &secret)).await;
    let signed_in = done.unwrap().token;
    for _ in 0..11 {
        let _ = sign_in::with_password(&test.app, &browser(), "ada@north.example", OTHER).await;
    }
    let older = members::reset_link(&test.app, "ada@north.example").await.unwrap();
    let link = members::reset_link(&test.app, " ADA@north.example").await.unwrap();
    let reset = async |link: &str| members::reset_password(&test.app, &browser(), token_of(link), OTHER).await;
    assert_eq!(code(reset(&older).await), Code::LinkInvalid);
    assert_eq!(reset(&link).await.unwrap().step, SignInStep::TotpWanted);
    assert_eq!(code(reset(&link).await), Code::LinkInvalid);
    assert!(!is_signed_in(&test, &signed_in).await);
    let anew = sign_in::with_password(&test.app, &browser(), "ada@north.example", OTHER).await.unwrap();
    assert_eq!(anew.step, SignInStep::TotpWanted, "and the failures are forgotten");
    let late = members::reset_link(&test.app, "ada@north.example").await.unwrap();
    test.clock.advance_seconds(3_600);
    assert_eq!(code(reset(&late).await), Code::LinkInvalid);
}
