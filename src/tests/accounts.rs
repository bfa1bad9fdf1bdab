//! Staff accounts: the flows on both databases, and the forms through the real router.

use std::net::IpAddr;

use ehr_integrations::model::account::SignInStep;
use ehr_integrations::model::draft::Draft;
use ehr_integrations::model::field::Rule;
use ehr_integrations::model::id::{MemberId, PracticeId};
use ehr_integrations::model::problem::{Code, Problem};
use ehr_integrations::model::role::{Permission, Role, TokenScope};
use ehr_integrations::server::clock::Clock;
use ehr_integrations::server::failure::{Failure, Outcome};
use ehr_integrations::server::flow::sign_in::{self, Origin, Resumed, SignedIn};
use ehr_integrations::server::flow::{Caller, account, audit, draft, members, tokens};
use rstest::rstest;
use totp_rs::{Builder, Secret};

use super::support::{Db, TestApp};

const PASSWORD: &str = "correct horse battery staple";
const OTHER: &str = "another horse, another battery";

fn browser() -> Origin {
    Origin { request_id: "request".into(), user_agent: "Firefox/140.0 (X11; Linux)".into(), ..Origin::default() }
}

fn browser_with(token: &str) -> Origin {
    Origin { session_token: Some(token.into()), ..browser() }
}

/// The code of what was refused.
fn code<T>(outcome: Outcome<T>) -> Code {
    outcome.err().expect("a refusal").code()
}

/// The broken rule of a field.
fn rule<T>(outcome: Outcome<T>, field: &str) -> Option<Rule> {
    match outcome.err().expect("a refusal") {
        Failure::Problem(problem) => problem.rule_of(field),
        other => panic!("{other}"),
    }
}

fn token_of(link: &str) -> &str {
    link.split_once("?token=").unwrap().1
}

async fn create(test: &TestApp, practice: &str, email: &str, role: Role) -> (PracticeId, MemberId) {
    let created = members::create_by_operator(&test.app, practice, email, PASSWORD, Some(role)).await.unwrap();
    (created.practice, created.member)
}

async fn sign_in(test: &TestApp, email: &str) -> SignedIn {
    sign_in::with_password(&test.app, &browser(), email, PASSWORD).await.unwrap()
}

async fn resume(test: &TestApp, token: &str) -> Resumed {
    sign_in::resume(&test.app, token, &browser_with(token)).await.unwrap()
}

async fn caller_of(test: &TestApp, token: &str) -> Caller {
    match resume(test, token).await {
        Resumed::Active(caller) => caller,
        other => panic!("{other:?}"),
    }
}

async fn is_signed_in(test: &TestApp, token: &str) -> bool {
    matches!(resume(test, token).await, Resumed::Active(_))
}

/// A signed-in member of a practice.
async fn member(test: &TestApp, practice: &str, email: &str, role: Role) -> Caller {
    create(test, practice, email, role).await;
    caller_of(test, &sign_in(test, email).await.token).await
}

/// What the practice's audit trail has, newest first.
async fn actions(test: &TestApp, practice: &PracticeId) -> Vec<(String, String)> {
    let operator = Caller::operator(&test.app, practice.clone());
    let page = audit::page(&test.app, &operator, "").await.unwrap();
    page.events.into_iter().map(|event| (event.action, event.outcome)).collect()
}

fn authenticator_code(test: &TestApp, secret: &str) -> String {
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap();
    totp.generate(u64::try_from(test.clock.now().as_seconds()).unwrap()).to_string()
}

/// A member with a second factor: the secret and the recovery codes.
async fn with_second_factor(test: &TestApp, email: &str) -> (String, Vec<String>) {
    let caller = member(test, "North", email, Role::Owner).await;
    let secret = account::totp_setup(&test.app, &caller).await.unwrap().secret;
    let codes = account::totp_confirm(&test.app, &caller, &authenticator_code(test, &secret)).await.unwrap();
    test.clock.advance_seconds(30);
    (secret, codes)
}

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
    assert_eq!(sign_in(&test, " ADA@North.example").await.step, SignInStep::Done);
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
    let idle = sign_in(&test, "ada@north.example").await.token;
    test.clock.advance_seconds(12 * 3_600);
    assert!(!is_signed_in(&test, &idle).await);

    let busy = sign_in(&test, "ada@north.example").await.token;
    for _ in 0..27 {
        test.clock.advance_seconds(12 * 3_600 - 1);
        assert!(is_signed_in(&test, &busy).await);
    }
    test.clock.advance_seconds(12 * 3_600 - 1);
    assert!(!is_signed_in(&test, &busy).await, "fourteen days in all");

    let token = sign_in(&test, "ada@north.example").await.token;
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
    let first = sign_in(&test, "ada@north.example").await.token;
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
    assert_eq!(sign_in(&test, "ada@north.example").await.step, SignInStep::Done);

    for _ in 0..12 {
        let _ = sign_in::with_password(&test.app, &browser(), "ada@north.example", OTHER).await;
        sign_in(&test, "ada@north.example").await;
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
async fn the_second_factor_is_wanted_once_it_is_confirmed(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let caller = member(&test, "North", "ada@north.example", Role::Owner).await;
    let setup = account::totp_setup(&test.app, &caller).await.unwrap();
    assert_eq!(account::totp_setup(&test.app, &caller).await.unwrap(), setup, "the same until it is confirmed");
    assert!(setup.url.starts_with("otpauth://totp/EHR%20Integrations:ada%40north.example?secret="), "{}", setup.url);
    assert_eq!(sign_in(&test, "ada@north.example").await.step, SignInStep::Done, "not wanted yet");

    let other = sign_in(&test, "ada@north.example").await.token;
    let wrong = account::totp_confirm(&test.app, &caller, "000000").await;
    assert_eq!(rule(wrong, "code"), Some(Rule::WrongCode));
    let typed = authenticator_code(&test, &setup.secret);
    let codes = account::totp_confirm(&test.app, &caller, &typed).await.unwrap();
    assert_eq!(codes.len(), 10);
    assert!(!is_signed_in(&test, &other).await, "signed in without the second factor");
    assert_eq!(account::overview(&test.app, &caller).await.unwrap().recovery_codes_left, 10);
    assert_eq!(code(account::totp_setup(&test.app, &caller).await), Code::Conflict);
    assert_eq!(code(account::totp_confirm(&test.app, &caller, &typed).await), Code::Conflict);

    let pending = sign_in(&test, "ada@north.example").await;
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
    let pending = sign_in(&test, "ada@north.example").await.token;
    test.clock.advance_seconds(600);
    assert_eq!(code(with_code(browser_with(&pending)).await), Code::Unauthenticated);
    let pending = sign_in(&test, "ada@north.example").await.token;
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
    let pending = sign_in(&test, "ada@north.example").await.token;
    let typed = codes[3].to_uppercase().replace('-', " ");
    let done = sign_in::with_code(&test.app, &browser_with(&pending), &typed).await.unwrap();
    let caller = caller_of(&test, &done.token).await;
    assert_eq!(account::overview(&test.app, &caller).await.unwrap().recovery_codes_left, 9);
    assert!(actions(&test, &caller.practice).await.contains(&("totp.recovery_code_used".into(), "ok".into())));

    let pending = sign_in(&test, "ada@north.example").await.token;
    for _ in 0..10 {
        let refused = sign_in::with_code(&test.app, &browser_with(&pending), &codes[3]).await;
        assert_eq!(code(refused), Code::InvalidCredentials);
    }
    // The right password does not give new tries at the second factor.
    let pending = sign_in(&test, "ada@north.example").await.token;
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
    let pending = sign_in(&test, "ada@north.example").await.token;
    let typed = authenticator_code(&test, &secret);
    let done = sign_in::with_code(&test.app, &browser_with(&pending), &typed).await.unwrap();
    let caller = caller_of(&test, &done.token).await;
    assert!(rule(account::totp_disable(&test.app, &caller, OTHER).await, "password").is_some());
    account::totp_disable(&test.app, &caller, PASSWORD).await.unwrap();
    assert_eq!(sign_in(&test, "ada@north.example").await.step, SignInStep::Done);
    assert_ne!(account::totp_setup(&test.app, &caller).await.unwrap().secret, secret);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn changing_the_password_ends_every_other_way_in(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let caller = member(&test, "North", "ada@north.example", Role::Owner).await;
    let other = sign_in(&test, "ada@north.example").await.token;
    let reset = members::reset_link(&test.app, "ada@north.example").await.unwrap();
    let change = async |current: &str, new: &str| account::change_password(&test.app, &caller, current, new).await;

    assert_eq!(rule(change(PASSWORD, "short").await, "password"), Some(Rule::PasswordTooShort));
    assert!(rule(change(OTHER, OTHER).await, "current").is_some());
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
    let (second, third) = (sign_in(&test, "ada@north.example").await, sign_in(&test, "ada@north.example").await);
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

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn an_invitation_is_accepted_once(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let owner = member(&test, "North", "ada@north.example", Role::Owner).await;
    let first = members::invite(&test.app, &owner, "Bob@north.example", "clinician").await.unwrap();
    let link = members::invite(&test.app, &owner, "bob@north.example", "auditor").await.unwrap();
    assert_eq!(members::list(&test.app, &owner).await.unwrap().invites.len(), 1, "the second replaced the first");
    let accept = async |link: &str, password: &str| {
        members::accept_invite(&test.app, &browser(), token_of(link), "Bob", password).await
    };
    assert_eq!(code(accept(&first, PASSWORD).await), Code::LinkInvalid);
    assert_eq!(rule(accept(&link, "short").await, "password"), Some(Rule::PasswordTooShort));
    let bob = caller_of(&test, &accept(&link, PASSWORD).await.unwrap().token).await;
    assert_eq!(bob.practice, owner.practice);
    assert!(bob.may(Permission::ReadAudit) && !bob.may(Permission::WriteSettings));
    assert_eq!(code(accept(&link, PASSWORD).await), Code::LinkInvalid);

    let everyone = members::list(&test.app, &bob).await.unwrap();
    assert_eq!((everyone.members.len(), everyone.invites.len()), (2, 0));
    let again = members::invite(&test.app, &owner, "bob@north.example", "admin").await;
    assert_eq!(rule(again, "email"), Some(Rule::Taken));
    let nonsense = members::invite(&test.app, &owner, "nobody", "king").await;
    let Some(Failure::Problem(problem)) = nonsense.err() else { panic!("a problem") };
    assert_eq!((problem.rule_of("email"), problem.rule_of("role")), (Some(Rule::NotAnEmail), Some(Rule::UnknownRole)));

    let late = members::invite(&test.app, &owner, "late@north.example", "clinician").await.unwrap();
    test.clock.advance_seconds(7 * 86_400);
    assert_eq!(code(accept(&late, PASSWORD).await), Code::LinkInvalid);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn only_owners_touch_owners(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let owner = member(&test, "North", "ada@north.example", Role::Owner).await;
    let admin = member(&test, "North", "bob@north.example", Role::Admin).await;
    let clinician = member(&test, "North", "cy@north.example", Role::Clinician).await;
    let (ada, cy) = (owner.member().unwrap().0.clone(), clinician.member().unwrap().0.clone());
    let app = &test.app;

    assert_eq!(code(members::list(app, &clinician).await), Code::Forbidden);
    assert_eq!(code(members::invite(app, &clinician, "d@north.example", "clinician").await), Code::Forbidden);
    assert_eq!(code(members::invite(app, &admin, "d@north.example", "owner").await), Code::Forbidden);
    assert_eq!(code(members::set_role(app, &admin, &ada, "clinician").await), Code::Forbidden);
    assert_eq!(code(members::set_role(app, &admin, &cy, "owner").await), Code::Forbidden);
    assert_eq!(code(members::remove(app, &admin, &ada).await), Code::Forbidden);
    members::invite(app, &owner, "d@north.example", "owner").await.unwrap();
    let invite = members::list(app, &admin).await.unwrap().invites[0].id.clone();
    assert_eq!(code(members::revoke_invite(app, &admin, &invite).await), Code::Forbidden);
    members::revoke_invite(app, &owner, &invite).await.unwrap();
    assert_eq!(code(members::revoke_invite(app, &owner, &invite).await), Code::NotFound);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_practice_keeps_an_owner(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let ada = member(&test, "North", "ada@north.example", Role::Owner).await;
    let ada_id = ada.member().unwrap().0.clone();
    assert_eq!(code(members::set_role(&test.app, &ada, &ada_id, "admin").await), Code::Conflict);
    assert_eq!(code(members::remove(&test.app, &ada, &ada_id).await), Code::Conflict);

    let bob = member(&test, "North", "bob@north.example", Role::Owner).await;
    let bob_id = bob.member().unwrap().0.clone();
    let (one, other) = tokio::join!(
        members::set_role(&test.app, &ada, &bob_id, "admin"),
        members::set_role(&test.app, &bob, &ada_id, "admin"),
    );
    let outcomes = [one.map_err(|error| error.code()), other.map_err(|error| error.code())];
    assert!(outcomes.contains(&Ok(())) && outcomes.contains(&Err(Code::Conflict)), "{outcomes:?}");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn role_changes_and_removals_sign_out_and_end_invitations(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let owner = member(&test, "North", "ada@north.example", Role::Owner).await;
    let (_, bob) = create(&test, "North", "bob@north.example", Role::Admin).await;
    let token = sign_in(&test, "bob@north.example").await.token;
    let as_bob = caller_of(&test, &token).await;
    members::invite(&test.app, &as_bob, "friend@north.example", "admin").await.unwrap();
    members::set_role(&test.app, &owner, &bob, "clinician").await.unwrap();
    assert!(!is_signed_in(&test, &token).await);
    assert!(members::list(&test.app, &owner).await.unwrap().invites.is_empty());

    members::set_role(&test.app, &owner, &bob, "admin").await.unwrap();
    let token = sign_in(&test, "bob@north.example").await.token;
    let as_bob = caller_of(&test, &token).await;
    let link = members::invite(&test.app, &as_bob, "friend@north.example", "admin").await.unwrap();
    members::remove(&test.app, &owner, &bob).await.unwrap();
    assert!(!is_signed_in(&test, &token).await);
    let accepted = members::accept_invite(&test.app, &browser(), token_of(&link), "Friend", PASSWORD).await;
    assert_eq!(code(accepted), Code::LinkInvalid);
    assert_eq!(code(members::remove(&test.app, &owner, &bob).await), Code::NotFound);
    let trail = actions(&test, &owner.practice).await;
    assert!(trail.iter().any(|(action, _)| action == "member.removed"));
    assert!(trail.iter().any(|(action, _)| action == "member.role_changed"));
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn practices_do_not_see_each_other(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let north = member(&test, "North", "ada@north.example", Role::Owner).await;
    let south = member(&test, "South", "eve@south.example", Role::Owner).await;
    let ada = north.member().unwrap().0.clone();
    members::invite(&test.app, &north, "bob@north.example", "admin").await.unwrap();
    let invite = members::list(&test.app, &north).await.unwrap().invites[0].id.clone();
    tokens::create(&test.app, &north, "reader", &[TokenScope::Read], None).await.unwrap();
    let token = tokens::list(&test.app, &north).await.unwrap()[0].id.clone();

    let seen = members::list(&test.app, &south).await.unwrap();
    assert_eq!((seen.members.len(), seen.invites.len()), (1, 0));
    assert_eq!(code(members::set_role(&test.app, &south, &ada, "auditor").await), Code::NotFound);
    assert_eq!(code(members::remove(&test.app, &south, &ada).await), Code::NotFound);
    assert_eq!(code(members::revoke_invite(&test.app, &south, &invite).await), Code::NotFound);
    assert_eq!(code(tokens::revoke(&test.app, &south, &token).await), Code::NotFound);
    assert!(tokens::list(&test.app, &south).await.unwrap().is_empty());
    let theirs = audit::page(&test.app, &south, "").await.unwrap().events;
    assert!(theirs.iter().all(|event| !event.actor.contains("north")), "{theirs:?}");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_command_line_makes_accounts(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let make = async |practice: &str, email: &str| {
        members::create_by_operator(&test.app, practice, email, PASSWORD, None).await
    };
    let first = make("North", "ada@north.example").await.unwrap();
    let second = make(" North ", "bob@north.example").await.unwrap();
    assert_eq!((first.role, first.new_practice), (Role::Owner, true));
    assert_eq!((second.role, second.new_practice), (Role::Admin, false));
    assert_eq!(first.practice, second.practice);
    assert_eq!(rule(make("South", "Ada@north.example").await, "email"), Some(Rule::Taken));
    assert_eq!(code(members::reset_link(&test.app, "nobody@north.example").await), Code::NotFound);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_reset_link_sets_a_password_but_is_no_second_factor(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let (secret, _) = with_second_factor(&test, "ada@north.example").await;
    let pending = sign_in(&test, "ada@north.example").await.token;
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

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn tokens_carry_their_scopes_until_they_end(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let owner = member(&test, "North", "ada@north.example", Role::Owner).await;
    let clinician = member(&test, "North", "cy@north.example", Role::Clinician).await;
    let scopes = [TokenScope::Read, TokenScope::Connect];
    assert_eq!(code(tokens::create(&test.app, &clinician, "x", &scopes, None).await), Code::Forbidden);
    assert_eq!(rule(tokens::create(&test.app, &owner, " ", &scopes, None).await, "name"), Some(Rule::Required));
    assert_eq!(rule(tokens::create(&test.app, &owner, "x", &[], None).await, "scopes"), Some(Rule::Required));
    assert!(rule(tokens::create(&test.app, &owner, "x", &scopes, Some(0)).await, "expires_days").is_some());

    let token = tokens::create(&test.app, &owner, "reader", &scopes, Some(1)).await.unwrap();
    assert!(token.starts_with("ehri_") && token.len() == 48);
    let caller = tokens::authenticate(&test.app, &token, "r").await.unwrap().unwrap();
    assert_eq!((caller.actor_name().as_str(), &caller.practice), ("token reader", &owner.practice));
    assert!(caller.may(Permission::Connect) && !caller.may(Permission::WriteSettings));
    assert!(!caller.may(Permission::ManageTokens) && !caller.may(Permission::ReadMembers));
    assert_eq!(code(account::me(&test.app, &caller).await), Code::Forbidden);
    assert!(tokens::list(&test.app, &owner).await.unwrap()[0].last_used_at.is_some());
    for wrong in ["", "ehri_", &token[5..], &format!("{token}x"), &format!("ehri_{}", "A".repeat(43))] {
        assert!(tokens::authenticate(&test.app, wrong, "r").await.unwrap().is_none(), "{wrong}");
    }
    test.clock.advance_seconds(86_400);
    assert!(tokens::authenticate(&test.app, &token, "r").await.unwrap().is_none(), "over");

    let token = tokens::create(&test.app, &owner, "forever", &scopes, None).await.unwrap();
    let id = tokens::list(&test.app, &owner).await.unwrap()[0].id.clone();
    tokens::revoke(&test.app, &owner, &id).await.unwrap();
    assert!(tokens::authenticate(&test.app, &token, "r").await.unwrap().is_none(), "revoked");
    assert_eq!(code(tokens::revoke(&test.app, &owner, &id).await), Code::NotFound);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn drafts_stay_with_their_browser_for_ten_minutes(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let ada = member(&test, "North", "ada@north.example", Role::Owner).await;
    let bob = member(&test, "North", "bob@north.example", Role::Owner).await;
    let refused = Draft {
        problem: Some(Problem::field("email", Rule::NotAnEmail)),
        ..Draft::of("invite_member", [("email", "nobody".to_owned())])
    };
    let id = draft::save(&test.app, Some(&ada), &refused).await.unwrap();
    let take = async |caller: Option<&Caller>, id: &str| draft::take(&test.app, caller, id).await.unwrap();
    assert_eq!(take(Some(&bob), &id).await, None);
    assert_eq!(take(None, &id).await, None);
    assert_eq!(take(Some(&ada), &id).await.as_ref(), Some(&refused));
    assert_eq!(take(Some(&ada), &id).await.as_ref(), Some(&refused), "a reload keeps it");
    test.clock.advance_seconds(600);
    assert_eq!(take(Some(&ada), &id).await, None);

    let answer = Draft { shown_once: Some("link".into()), ..Draft::of("invite_member", []) };
    let id = draft::save(&test.app, Some(&ada), &answer).await.unwrap();
    assert_eq!(take(Some(&ada), &id).await, Some(answer));
    assert_eq!(take(Some(&ada), &id).await, None, "shown once");

    let id = draft::save(&test.app, None, &refused).await.unwrap();
    assert!(take(None, &id).await.is_some() && take(Some(&bob), &id).await.is_some());
    assert_eq!(take(None, "").await, None);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn the_audit_trail_is_paged_and_not_for_everyone(#[case] db: Db) {
    let test = TestApp::new(db).await;
    let auditor = member(&test, "North", "olga@north.example", Role::Auditor).await;
    let clinician = member(&test, "North", "cy@north.example", Role::Clinician).await;
    assert_eq!(code(audit::page(&test.app, &clinician, "").await), Code::Forbidden);
    for _ in 0..55 {
        sign_in::sign_out(&test.app, &auditor).await.unwrap();
    }
    let first = audit::page(&test.app, &auditor, "").await.unwrap();
    assert_eq!(first.events.len(), 50);
    let second = audit::page(&test.app, &auditor, first.next.as_deref().unwrap()).await.unwrap();
    assert_eq!(second.next, None);
    assert!(second.events.iter().all(|older| older.id < first.events[49].id));
}

/// A form post as a browser without JavaScript sends it; answers where it goes next, and the cookie.
async fn post(test: &TestApp, path: &str, cookie: &str, form: &[(&str, &str)]) -> (String, Option<String>) {
    let request = test.server.post(path).add_header("accept", "text/html,*/*;q=0.8").add_header("cookie", cookie);
    let response = request.add_header("referer", &format!("{}/somewhere", test.url)).form(form).await;
    assert!(response.status_code().is_redirection(), "{path}: {}", response.status_code());
    let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    (header("location").unwrap(), header("set-cookie"))
}

/// The draft of a page's address.
async fn draft_of(test: &TestApp, location: &str, cookie: &str) -> Option<Draft> {
    let id = location.split_once("draft=").unwrap().1;
    let response = test.server.get(&format!("/api/draft?id={id}")).add_header("cookie", cookie).await;
    response.assert_status_ok();
    response.json()
}

#[tokio::test]
async fn a_refused_form_without_javascript_comes_back_as_it_was_typed() {
    let test = TestApp::new(Db::Sqlite).await;
    create(&test, "North", "ada@north.example", Role::Owner).await;
    let form = [("email", "ada@north.example"), ("password", OTHER), ("next", "/members")];
    let (location, cookie) = post(&test, "/api/sign_in", "", &form).await;
    assert!(location.starts_with("/sign-in?draft=") && !location.contains("ada"), "{location}");
    assert_eq!(cookie, None);
    let draft = draft_of(&test, &location, "").await.unwrap();
    assert_eq!(draft.problem.unwrap().code, Code::InvalidCredentials);
    assert_eq!(draft.values["email"], "ada@north.example");
    assert_eq!(draft.values["next"], "/members");
    assert!(!format!("{:?}", draft.values).contains(OTHER), "no password in a draft");

    // What a user sent goes into our address: nothing of it may break the header.
    let form = [("token", "ä\r\nx: y"), ("practice", ""), ("name", ""), ("email", ""), ("password", "")];
    let (location, _) = post(&test, "/api/setup", "", &form).await;
    assert!(location.starts_with("/setup?token=%C3%A4%0D%0Ax:%20y&draft="), "{location}");
    assert_eq!(draft_of(&test, &location, "").await.unwrap().problem.unwrap().code, Code::LinkInvalid);
}

#[tokio::test]
async fn a_sign_in_without_javascript_goes_where_it_was_meant_to() {
    let test = TestApp::new(Db::Sqlite).await;
    create(&test, "North", "ada@north.example", Role::Owner).await;
    for (next, expected) in [("/members?a=b", "/members?a=b"), ("", "/"), ("//evil.example", "/"), ("/\\evil", "/")] {
        let form = [("email", "ada@north.example"), ("password", PASSWORD), ("next", next)];
        let (location, cookie) = post(&test, "/api/sign_in", "", &form).await;
        assert_eq!(location, expected);
        let cookie = cookie.unwrap();
        assert!(cookie.starts_with("__Host-session="), "{cookie}");
        assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=1209600"), "{cookie}");
    }
    let session = test.sign_in("ada@north.example").await;
    let (location, cookie) = post(&test, "/api/sign_out", &session, &[]).await;
    assert_eq!(location, "/sign-in?notice=signed_out");
    assert!(cookie.unwrap().contains("__Host-session=; ") && !is_signed_in(&test, token_in(&session)).await);
}

fn token_in(cookie: &str) -> &str {
    cookie.split_once('=').unwrap().1
}

#[tokio::test]
async fn the_second_step_without_javascript_keeps_where_it_goes() {
    let test = TestApp::new(Db::Sqlite).await;
    let (secret, _) = with_second_factor(&test, "ada@north.example").await;
    let form = [("email", "ada@north.example"), ("password", PASSWORD), ("next", "/members?a=b&c")];
    let (location, cookie) = post(&test, "/api/sign_in", "", &form).await;
    assert_eq!(location, "/sign-in/code?next=%2Fmembers%3Fa%3Db%26c");
    let pending = cookie.unwrap().split(';').next().unwrap().to_owned();
    let (location, _) = post(&test, "/api/sign_in_totp", &pending, &[("code", "1"), ("next", "/members")]).await;
    assert!(location.starts_with("/sign-in/code?draft="), "{location}");
    let code = authenticator_code(&test, &secret);
    let (location, cookie) = post(&test, "/api/sign_in_totp", &pending, &[("code", &code), ("next", "/members")]).await;
    assert_eq!(location, "/members");
    assert!(is_signed_in(&test, token_in(cookie.unwrap().split(';').next().unwrap())).await);
}

#[tokio::test]
async fn programs_get_a_status_and_codes() {
    let test = TestApp::new(Db::Sqlite).await;
    create(&test, "North", "ada@north.example", Role::Owner).await;
    let wrong = [("email", "ada@north.example"), ("password", OTHER)];
    let response = test.server.post("/api/sign_in").form(&wrong).await;
    assert_eq!(response.status_code().as_u16(), 401);
    let problem: Problem = response.json();
    assert_eq!(problem.code, Code::InvalidCredentials);
    assert!(problem.request_id.is_some() && response.headers().get("location").is_none());

    let session = test.sign_in("ada@north.example").await;
    let response = test.server.post("/api/invite_member").add_header("cookie", &session);
    let response = response.form(&[("email", "x"), ("role", "king")]).await;
    assert_eq!(response.status_code().as_u16(), 422);
    assert_eq!(response.json::<Problem>().fields.len(), 2);
    let response = test.server.get("/api/me").add_header("cookie", &session).await;
    response.assert_status_ok();
}

#[tokio::test]
async fn an_invitation_without_javascript_is_shown_once_to_its_maker() {
    let test = TestApp::new(Db::Sqlite).await;
    create(&test, "North", "ada@north.example", Role::Owner).await;
    create(&test, "North", "bob@north.example", Role::Owner).await;
    let (ada, bob) = (test.sign_in("ada@north.example").await, test.sign_in("bob@north.example").await);
    let form = [("email", "cy@north.example"), ("role", "clinician")];
    let (location, _) = post(&test, "/api/invite_member", &ada, &form).await;
    assert!(location.starts_with("/members?draft="), "{location}");
    assert_eq!(draft_of(&test, &location, &bob).await, None);
    let link = draft_of(&test, &location, &ada).await.unwrap().shown_once.unwrap();
    assert!(link.starts_with(&format!("{}/invite?token=", test.app.config.base_url)), "{link}");
    assert_eq!(draft_of(&test, &location, &ada).await, None);
    let (location, _) = post(&test, "/api/revoke_other_sessions", &ada, &[]).await;
    assert_eq!(location, "/account?notice=session_revoked");
}
