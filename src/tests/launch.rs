//! EHR launches against the sandbox EHR: the whole way into the embedded view, and every way it can go
//! wrong.

use ehr_integrations::model::id::PracticeId;
use ehr_integrations::model::role::{Role, TokenScope};
use ehr_integrations::sandbox::Personality;
use rstest::rstest;
use serde_json::{Value, json};
use url::Url;

use super::support::{Browser, Db, Page, TestApp, Wishes};

/// A practice that has the sandbox as its EHR, and its owner.
pub(super) struct Scene {
    pub app: TestApp,
    pub practice: PracticeId,
    token: String,
    pub owner: String,
}

impl Scene {
    pub async fn new(db: Db) -> Self {
        Self::with(db, Personality::default()).await
    }

    pub async fn with(db: Db, personality: Personality) -> Self {
        let app = TestApp::with(db, Wishes { personality, ..Wishes::default() }).await;
        let (practice, token) = configured(&app, "north").await;
        let owner = app.sign_in("owner@north.example").await;
        Self { app, practice, token, owner }
    }

    /// A launch that the EHR starts, as the address that its frame opens.
    pub async fn launch_url(&self, patient: &str, more: &Value) -> String {
        let mut order = json!({"client_id": "basic", "patient": patient, "need_patient_banner": true});
        for (key, value) in more.as_object().into_iter().flatten() {
            order[key] = value.clone();
        }
        let answer = reqwest::Client::builder()
            .build()
            .unwrap()
            .post(format!("{}/ehr/launch", self.app.ehr))
            .json(&order)
            .send()
            .await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        answer["url"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// The whole way of a launch, to the page at its end.
    pub async fn launch(&self, browser: &mut Browser, patient: &str) -> (String, Page) {
        let url = self.launch_url(patient, &json!({})).await;
        follow(browser, &format!("{url}&providerId=generic&practiceId={}", self.practice)).await
    }

    /// A form of the owner's.
    async fn post(&self, path: &str, form: &[(&str, &str)]) -> u16 {
        let post = self.app.server.post(path).add_header("cookie", self.owner.as_str()).form(&form);
        post.await.status_code().as_u16()
    }

    pub async fn rules(&self, auto_approve: bool, allow_anonymous: bool) {
        let form = [
            ("auto_approve", if auto_approve { "true" } else { "false" }),
            ("allow_anonymous", if allow_anonymous { "true" } else { "false" }),
            ("frame_origins", "https://portal.ehr.example"),
        ];
        assert_eq!(self.post("/api/save_launch_settings", &form).await, 200);
    }

    pub async fn page(&self) -> Value {
        self.app.server.get("/api/launches").add_header("cookie", self.owner.as_str()).await.json()
    }
}

async fn configured(app: &TestApp, name: &str) -> (PracticeId, String) {
    let practice = app.practice(name, Role::Owner).await;
    let token = app.token(&practice, &TokenScope::ALL).await;
    let config = app.generic("basic", Some("s3cret"));
    app.server.post("/api/integrations/ehr/config").authorization_bearer(&token).json(&config).await.assert_status_ok();
    (practice, token)
}

/// Follows redirects to the page at their end; answers its address too.
pub(super) async fn follow(browser: &mut Browser, url: &str) -> (String, Page) {
    let mut at = Url::parse(url).unwrap();
    for _ in 0..10 {
        let page = browser.get(at.as_str()).await;
        match &page.location {
            Some(location) => at = at.join(location).unwrap(),
            None => return (at.into(), page),
        }
    }
    panic!("redirects without end at {at}");
}

/// Follows redirects up to the callback, without opening it.
async fn up_to_callback(browser: &mut Browser, url: &str) -> String {
    let mut at = Url::parse(url).unwrap();
    while !at.path().ends_with("/callback") {
        at = at.join(&browser.get(at.as_str()).await.location.expect("a redirect")).unwrap();
    }
    at.into()
}

pub(super) fn problem(page: &Page) -> &str {
    page.text.split("data-problem=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("none")
}

pub(super) fn name(page: &Page) -> &str {
    page.text.split("data-patient").nth(1).and_then(|rest| rest.split('>').nth(1)?.split('<').next()).unwrap_or("none")
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_newcomer_waits_and_then_sees_the_patient(#[case] db: Db) {
    let scene = Scene::new(db).await;
    let mut browser = Browser::new();
    let (view, page) = scene.launch(&mut browser, "pat-0002").await;
    assert_eq!((page.status, problem(&page)), (200, "approval_pending"), "{}", page.text);
    assert!(page.text.contains("Jordan River") && name(&page) == "none");
    assert_eq!(scene.app.sandbox.stats().fhir_reads, 1, "only the user's own record is read before the approval");

    let list = scene.page().await;
    assert_eq!(list["clinicians"][0]["status"], "pending");
    assert_eq!(list["clinicians"][0]["name"], "Jordan River");
    let id = list["clinicians"][0]["id"].as_str().unwrap();
    assert_eq!(scene.post("/api/decide_clinician", &[("clinician", id), ("decision", "approved")]).await, 200);

    let page = browser.get(&view).await;
    assert_eq!(page.status, 200);
    assert_ne!(name(&page), "none");
    assert!(page.text.contains("data-banner=\"full\"") && page.text.contains("SBX-"), "{}", page.text);
    assert!(page.text.contains("class=\"list\""), "documents are listed");
    assert!(page.text.contains("data-ehr") && page.text.contains("--accent:#1f6f64"), "the EHR's colours");
    assert!(!page.text.contains("<script"), "no script");
    let policy = page.header("content-security-policy");
    assert!(policy.ends_with(&format!("frame-ancestors {}", scene.app.ehr)), "{policy}");
    let notes = browser.get(&format!("{view}/notes")).await;
    assert!(notes.text.contains("Filed for this visit") || notes.text.contains("No notes yet"), "{}", notes.text);
    let about = browser.get(&format!("{view}/about")).await;
    assert!(about.text.contains("Jordan River") && about.text.contains("in 60 minutes"), "{}", about.text);
    assert!(about.text.contains("<code>launch</code>") && !about.text.contains("offline_access"), "{}", about.text);

    // A second launch of the same person needs no second approval.
    let (_, page) = scene.launch(&mut Browser::new(), "pat-0003").await;
    assert_ne!(name(&page), "none");
    assert_eq!(scene.page().await["clinicians"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_request_to_the_ehr() {
    let scene = Scene::new(Db::Sqlite).await;
    let url = scene.launch_url("pat-0001", &json!({})).await;
    let handle = Url::parse(&url).unwrap().query_pairs().find(|(name, _)| name == "launch").unwrap().1.into_owned();
    up_to_callback(&mut Browser::new(), &url).await;
    let sent = scene.app.sandbox.stats().last_authorize_query;
    let value = |name: &str| sent.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    assert_eq!(value("launch"), Some(handle));
    assert_eq!(value("aud"), Some(format!("{}/fhir", scene.app.ehr)));
    assert!(value("scope").unwrap().starts_with("launch openid fhirUser user/Patient.rs"), "{sent:?}");
    assert!(value("nonce").is_some() && value("code_challenge").is_some());
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_practice_may_approve_everyone_and_name_more_frames(#[case] db: Db) {
    let scene = Scene::new(db).await;
    scene.rules(true, false).await;
    let url = scene.launch_url("pat-0001", &json!({"need_patient_banner": false})).await;
    let (_, page) = follow(&mut Browser::new(), &url).await;
    assert_ne!(name(&page), "none", "{}", page.text);
    assert!(page.text.contains("data-banner=\"slim\""), "whose data it is stays visible");
    assert!(page.header("content-security-policy").ends_with(" https://portal.ehr.example"));
    let bad = [("frame_origins", "javascript:alert(1)")];
    assert_eq!(scene.post("/api/save_launch_settings", &bad).await, 422);
}

#[tokio::test]
async fn without_an_identity() {
    let personality = Personality { no_id_token: true, ..Personality::default() };
    let scene = Scene::with(Db::Sqlite, personality).await;
    let (_, page) = scene.launch(&mut Browser::new(), "pat-0001").await;
    assert_eq!((page.status, problem(&page)), (403, "identity_missing"));
    assert!(page.header("content-security-policy").contains("frame-ancestors https:"));
    scene.rules(false, true).await;
    let (view, page) = scene.launch(&mut Browser::new(), "pat-0001").await;
    assert_ne!(name(&page), "none", "{view}: {}", page.text);
    assert_eq!(scene.page().await["launches"][0]["clinician"], Value::Null);
}

#[rstest]
#[case::alg_none(Personality { id_token_alg_none: true, ..Personality::default() }, "id_token_invalid")]
#[case::expired(Personality { id_token_expired: true, ..Personality::default() }, "id_token_invalid")]
#[case::issuer(Personality { wrong_id_token_issuer: true, ..Personality::default() }, "id_token_invalid")]
#[case::nonce(Personality { wrong_nonce: true, ..Personality::default() }, "nonce_mismatch")]
#[tokio::test]
async fn a_bad_identity_opens_nothing(
    #[values(Db::Sqlite, Db::Postgres)] db: Db,
    #[case] personality: Personality,
    #[case] code: &str,
) {
    let scene = Scene::with(db, personality).await;
    scene.rules(true, true).await;
    let (_, page) = scene.launch(&mut Browser::new(), "pat-0001").await;
    assert_eq!(problem(&page), code, "{}", page.text);
    assert_eq!(scene.page().await["launches"], json!([]));
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn whose_launch_it_is(#[case] db: Db) {
    let scene = Scene::new(db).await;
    scene.rules(true, false).await;
    let url = scene.launch_url("pat-0001", &json!({})).await;
    let named = |practice: &str| format!("{url}&providerId=generic&practiceId={practice}");
    let (_, page) = follow(&mut Browser::new(), &named(scene.practice.as_str())).await;
    assert_ne!(name(&page), "none", "{}", page.text);
    // Another practice shares the issuer: only a launch URL that names one is clear.
    let (south, south_token) = configured(&scene.app, "south").await;
    let refused = |page: &Page| {
        assert_eq!((page.status, problem(page)), (400, "invalid_issuer"), "{}", page.text);
        assert!(page.header("content-security-policy").contains("frame-ancestors https:"));
    };
    refused(&follow(&mut Browser::new(), &url).await.1);
    let (_, page) = follow(&mut Browser::new(), &named(south.as_str())).await;
    assert_eq!(problem(&page), "approval_pending", "the other practice has rules of its own");
    refused(&follow(&mut Browser::new(), &named("nobody")).await.1);
    let other = url.replace("%2Ffhir&", "%2Fother&");
    refused(&follow(&mut Browser::new(), &format!("{other}&providerId=generic&practiceId={south}")).await.1);
    // A provider that is switched off launches nothing.
    let off = json!({"enabledProviders": []});
    let save = scene.app.server.post("/api/integrations/ehr/config").authorization_bearer(&south_token).json(&off);
    save.await.assert_status_ok();
    refused(&follow(&mut Browser::new(), &named(south.as_str())).await.1);
    let before = scene.app.sandbox.stats().authorize;
    for odd in [
        "",
        "iss=",
        "iss=x&launch=y",
        "iss=http://127.0.0.1/a&iss=http://127.0.0.1/b&launch=1",
        "iss=%00&launch=%ff&practiceId=%27--",
        "iss=https://ehr.example/%3Cscript%3Ealert(1)%3C/script%3E&launch=1&check=1",
    ] {
        let (_, page) =
            follow(&mut Browser::new(), &format!("{}/api/integrations/ehr/launch?{odd}", scene.app.url)).await;
        assert!(["invalid_issuer", "cookie_blocked"].contains(&problem(&page)), "{odd}: {}", page.text);
        assert!(!page.text.contains("<script"), "{odd}");
    }
    assert_eq!(scene.app.sandbox.stats().authorize, before, "nothing went to the EHR");
}

#[tokio::test]
async fn launches_without_end_are_limited() {
    let scene = Scene::new(Db::Sqlite).await;
    scene.rules(true, false).await;
    // A launch that comes to its end counts for nothing.
    for _ in 0..3 {
        scene.launch(&mut Browser::new(), "pat-0001").await;
    }
    let url = format!("{}&check=1", scene.launch_url("pat-0001", &json!({})).await);
    let mut browser = Browser::new();
    browser.put_cookie("__Host-launch=1");
    for number in 0..200 {
        assert_eq!(browser.get(&url).await.status, 303, "start {number}");
    }
    let page = browser.get(&url).await;
    assert_eq!((page.status, problem(&page)), (429, "rate_limited"));
    scene.app.clock.advance_seconds(16 * 60);
    assert_eq!(browser.get(&url).await.status, 303);
}

#[tokio::test]
async fn a_blocked_cookie_costs_no_launch_handle() {
    let scene = Scene::new(Db::Sqlite).await;
    scene.rules(true, false).await;
    let url = scene.launch_url("pat-0001", &json!({})).await;
    let checked = Browser::new().get(&url).await.location.unwrap();
    let checked = Url::parse(&url).unwrap().join(&checked).unwrap();
    let page = Browser::new().get(checked.as_str()).await;
    assert_eq!(problem(&page), "cookie_blocked");
    assert_eq!(scene.app.sandbox.stats().authorize, 0);
    let link = page.text.split("id=\"own-window\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(!link.contains("check="), "{link}");
    let link = Url::parse(&url).unwrap().join(&link.replace("&amp;", "&")).unwrap();
    let (_, page) = follow(&mut Browser::new(), link.as_str()).await;
    assert_ne!(name(&page), "none", "{}", page.text);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn states_are_neither_forged_nor_replayed(#[case] db: Db) {
    let scene = Scene::new(db).await;
    scene.rules(true, false).await;
    let url = scene.launch_url("pat-0001", &json!({})).await;
    let mut browser = Browser::new();
    let callback = up_to_callback(&mut browser, &url).await;
    // Another browser, then a forged state: neither uses the launch up.
    assert_eq!(problem(&Browser::new().get(&callback).await), "cookie_blocked");
    let forged = callback.replace("state=", "state=x");
    assert_eq!(problem(&browser.get(&forged).await), "state_mismatch");
    let flow = browser.cookie_of_flow();
    let page = browser.get(&callback).await;
    assert!(page.location.as_deref().is_some_and(|to| to.starts_with("/embed/")), "{}", page.text);
    browser.put_cookie(&flow);
    assert_eq!(problem(&browser.get(&callback).await), "state_expired");
    // Too late.
    let url = scene.launch_url("pat-0001", &json!({})).await;
    let callback = up_to_callback(&mut browser, &url).await;
    scene.app.clock.advance_seconds(601);
    assert_eq!(problem(&browser.get(&callback).await), "state_expired");
}

#[rstest]
#[case("access_denied", "access_denied")]
#[case("invalid_scope", "scope_denied")]
#[case("server_error", "ehr_unavailable")]
#[tokio::test]
async fn what_the_ehr_refuses_is_said_in_the_frame(#[case] error: &str, #[case] code: &str) {
    let scene = Scene::new(Db::Sqlite).await;
    let url = scene.launch_url("pat-0001", &json!({})).await;
    let mut browser = Browser::new();
    let callback = Url::parse(&up_to_callback(&mut browser, &url).await).unwrap();
    let state = callback.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let issuer = callback.query_pairs().find(|(name, _)| name == "iss").map(|(_, iss)| iss.into_owned());
    let mut answer = callback.clone();
    answer.query_pairs_mut().clear().append_pair("error", error).append_pair("state", &state);
    answer
        .query_pairs_mut()
        .append_pair("error_description", "<b>no</b>")
        .append_pair("error_uri", "https://ehr.example/help?a=\"1");
    if let Some(issuer) = issuer {
        answer.query_pairs_mut().append_pair("iss", &issuer);
    }
    let page = browser.get(answer.as_str()).await;
    assert_eq!(problem(&page), code, "{}", page.text);
    assert!(page.text.contains("href=\"https://ehr.example/help?a=%221\""), "{}", page.text);
    assert!(!page.text.contains("<b>no"), "{}", page.text);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_launch_ends_with_its_token(#[case] db: Db) {
    let scene = Scene::new(db).await;
    scene.rules(true, false).await;
    let mut browser = Browser::new();
    let (view, page) = scene.launch(&mut browser, "pat-0001").await;
    assert_eq!(page.header("refresh"), "3601", "it closes by itself");
    scene.app.clock.advance_seconds(3_600);
    let page = browser.get(&view).await;
    assert_eq!((page.status, problem(&page), name(&page)), (401, "token_expired", "none"));
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_launch_is_ended_by_its_user_or_by_the_practice(#[case] db: Db) {
    let scene = Scene::new(db).await;
    scene.rules(true, false).await;
    let mut browser = Browser::new();
    let (view, _) = scene.launch(&mut browser, "pat-0001").await;
    let closed = browser.post(&format!("{view}/sign-out"), &[]).await;
    assert_eq!(closed.status, 303);
    assert_eq!(scene.app.sandbox.stats().revoked_tokens.len(), 1);
    let (_, page) = follow(&mut browser, &format!("{}{}", scene.app.url, closed.location.unwrap())).await;
    assert!(page.text.contains("The EHR confirmed"), "{}", page.text);
    assert_eq!(problem(&browser.get(&view).await), "token_expired");

    let (view, _) = scene.launch(&mut browser, "pat-0002").await;
    let id = view.rsplit('/').next().unwrap().to_owned();
    let (_, south) = configured(&scene.app, "south").await;
    let others = scene.app.sign_in("owner@south.example").await;
    let post = scene.app.server.post("/api/revoke_launch").add_header("cookie", others.as_str());
    assert_eq!(post.form(&[("launch", &id)]).await.status_code().as_u16(), 404);
    assert!(
        !south.is_empty()
            && !scene.app.server.get("/api/launches").add_header("cookie", others.as_str()).await.text().contains(&id)
    );
    assert_eq!(scene.post("/api/revoke_launch", &[("launch", &id)]).await, 200);
    assert_eq!(problem(&browser.get(&view).await), "token_expired");
    assert_eq!(scene.app.sandbox.stats().revoked_tokens.len(), 2);

    // A person who is refused sees nothing from the next page on, and opens nothing more.
    let (view, _) = scene.launch(&mut browser, "pat-0001").await;
    let person = scene.page().await["clinicians"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(scene.post("/api/decide_clinician", &[("clinician", &person), ("decision", "refused")]).await, 200);
    assert_eq!(problem(&browser.get(&view).await), "forbidden");
    assert_eq!(problem(&scene.launch(&mut browser, "pat-0001").await.1), "forbidden");
    assert_eq!(scene.post("/api/decide_clinician", &[("clinician", &person), ("decision", "owner")]).await, 422);
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn another_registration_ends_launches(#[case] db: Db) {
    let scene = Scene::new(db).await;
    scene.rules(true, false).await;
    let mut browser = Browser::new();
    let (view, page) = scene.launch(&mut browser, "pat-0001").await;
    assert_ne!(name(&page), "none");
    let config = scene.app.generic("other", None);
    let save = scene.app.server.post("/api/integrations/ehr/config").authorization_bearer(&scene.token).json(&config);
    save.await.assert_status_ok();
    assert_eq!(problem(&browser.get(&view).await), "token_expired");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn two_patients_stay_apart(#[case] db: Db) {
    let scene = Scene::new(db).await;
    scene.rules(true, false).await;
    let mut browser = Browser::new();
    // Both under way at once.
    let (one, two) = (scene.launch_url("pat-0001", &json!({})).await, scene.launch_url("pat-0002", &json!({})).await);
    let one = up_to_callback(&mut browser, &one).await;
    let two = up_to_callback(&mut browser, &two).await;
    let (two, second) = follow(&mut browser, &two).await;
    assert!(!second.text.contains("other-patient"));
    let (one, first) = follow(&mut browser, &one).await;
    assert_ne!(name(&first), name(&second));
    assert!(first.text.contains("id=\"other-patient\""), "{}", first.text);
    let again = browser.get(&two).await;
    assert_eq!(name(&again), name(&second));
    assert!(again.text.contains("id=\"other-patient\""));
    // One launch's cookie opens the other's view for nobody.
    let id = one.rsplit('/').next().unwrap();
    let stolen = browser.cookie(&format!("__Host-embed-{}", two.rsplit('/').next().unwrap()));
    let page = Browser::new().with_cookie(&format!("__Host-embed-{id}={stolen}")).get(&one).await;
    assert_eq!(problem(&page), "not_found");
    assert_eq!(problem(&Browser::new().get(&one).await), "cookie_blocked");
}

#[tokio::test]
async fn a_launch_is_no_staff_session_and_no_service_connection() {
    let scene = Scene::new(Db::Sqlite).await;
    scene.rules(true, false).await;
    let mut browser = Browser::new();
    scene.launch(&mut browser, "pat-0001").await;
    let page = browser.get(&format!("{}/members", scene.app.url)).await;
    assert!(page.location.is_some_and(|to| to.starts_with("/sign-in")));
    let status =
        scene.app.server.get("/api/integrations/ehr/status?providerId=generic").authorization_bearer(&scene.token);
    assert_eq!(status.await.json::<Value>()["status"], "not_connected");
}

#[tokio::test]
async fn records_that_cannot_be_read_are_said_to_be_so() {
    let scene = Scene::new(Db::Sqlite).await;
    scene.rules(true, false).await;
    scene.app.sandbox.set_personality(|personality| {
        personality.drop_scopes = vec!["user/DocumentReference.rs".into(), "user/Encounter.rs".into()];
    });
    let (_, page) = scene.launch(&mut Browser::new(), "pat-0001").await;
    assert_ne!(name(&page), "none");
    assert_eq!(problem(&page), "scope_denied", "{}", page.text);
}

#[tokio::test]
async fn members_see_what_their_role_may() {
    let scene = Scene::new(Db::Sqlite).await;
    for (role, expected) in [(Role::Admin, 200), (Role::Auditor, 200), (Role::Clinician, 403)] {
        scene.app.practice("north", role).await;
        let cookie = scene.app.sign_in(&format!("{}@north.example", role.as_str())).await;
        let page = scene.app.server.get("/api/launches").add_header("cookie", cookie.as_str()).await;
        assert_eq!(page.status_code().as_u16(), expected, "{role:?}");
        let save = scene.app.server.post("/api/save_launch_settings").add_header("cookie", cookie.as_str());
        let save = save.form(&[("auto_approve", "true")]).await.status_code().as_u16();
        assert_eq!(save, if role == Role::Admin { 200 } else { 403 }, "{role:?}");
    }
}
