//! Drafts, and the forms through the real router, with and without JavaScript.

use ehr_integrations::model::draft::Draft;
use ehr_integrations::model::field::Rule;
use ehr_integrations::model::problem::{Code, Problem};
use ehr_integrations::model::role::Role;
use ehr_integrations::server::flow::{Caller, draft};
use rstest::rstest;

use super::{OTHER, PASSWORD, authenticator_code, create, is_signed_in, member, with_second_factor};
use crate::support::{Db, TestApp};

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
