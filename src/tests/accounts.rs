//! Staff accounts: the flows on both databases, and the forms through the real router.

use ehr_integrations::model::field::Rule;
use ehr_integrations::model::id::{MemberId, PracticeId};
use ehr_integrations::model::problem::Code;
use ehr_integrations::model::role::Role;
use ehr_integrations::server::clock::Clock;
use ehr_integrations::server::failure::{Failure, Outcome};
use ehr_integrations::server::flow::sign_in::{self, Origin, Resumed, SignedIn};
use ehr_integrations::server::flow::{Caller, account, audit, members};
use totp_rs::{Builder, Secret};

use super::support::TestApp;

mod entry;
mod forms;
mod people;
mod second_factor;

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

async fn enter(test: &TestApp, email: &str) -> SignedIn {
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
    caller_of(test, &enter(test, email).await.token).await
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
