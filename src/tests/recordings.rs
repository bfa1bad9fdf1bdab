//! Recordings of connects and launches: they explain a failure, and give nothing away.

use ehr_integrations::model::id::PracticeId;
use ehr_integrations::model::role::{Role, TokenScope};
use ehr_integrations::sandbox::Personality;
use rstest::rstest;
use serde_json::{Value, json};

use super::support::{Browser, Db, TestApp, Wishes};

pub(super) const SECRET: &str = "canary-client-secret-5d1f";

pub(super) struct Scene {
    pub app: TestApp,
    practice: PracticeId,
    pub owner: String,
    pub browser: Browser,
}

impl Scene {
    pub async fn new(db: Db, personality: Personality) -> Self {
        let app = TestApp::with(db, Wishes { personality, client_secret: Some(SECRET), ..Wishes::default() }).await;
        let practice = app.practice("north", Role::Owner).await;
        let token = app.token(&practice, &TokenScope::ALL).await;
        let config = app.generic("canary", Some(SECRET));
        let saved = app.server.post("/api/integrations/ehr/config").authorization_bearer(&token).json(&config);
        saved.await.assert_status_ok();
        let owner = app.sign_in("owner@north.example").await;
        Self { browser: Browser::new().with_cookie(&owner), owner, practice, app }
    }

    /// A connect; answers the addresses of the authorize page and the callback, and where the callback led.
    pub async fn connect(&mut self, decision: &str) -> [String; 3] {
        let login = format!("{}/api/integrations/ehr/login?providerId=generic", self.app.url);
        let authorize = self.browser.get(&login).await.location.unwrap();
        let callback = self.browser.approve(&self.app.sandbox, &self.app.ehr, &authorize, decision).await;
        let back = self.browser.get(&callback).await.location.unwrap();
        [authorize, callback, back]
    }

    pub async fn list(&self, request: &str) -> Value {
        let url = format!("/api/recordings?request={request}");
        self.app.server.get(&url).add_header("cookie", self.owner.as_str()).await.json()
    }
}

fn steps(recording: &Value) -> Vec<(&str, Option<&str>)> {
    let steps = recording["steps"].as_array().unwrap();
    steps.iter().map(|step| (step["name"].as_str().unwrap(), step["problem"].as_str())).collect()
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_connect_is_told_step_by_step(#[case] db: Db) {
    let mut scene =
        Scene::new(db, Personality { drop_scopes: vec!["user/Binary.rs".into()], ..Personality::default() }).await;
    scene.connect("allow").await;
    let list = scene.list("").await;
    let recording = &list["recordings"][0];
    assert_eq!((&recording["outcome"], &recording["is_launch"]), (&json!({"Ok": null}), &json!(false)));
    let names: Vec<_> = steps(recording).into_iter().map(|(name, _)| name).collect();
    let all = [
        "asked",
        "discovery",
        "client_authentication",
        "redirect",
        "callback",
        "token_exchange",
        "identity",
        "context",
        "kept",
    ];
    assert_eq!(names, all);
    let fact = |name: &str| {
        let facts = recording["steps"].as_array().unwrap().iter().flat_map(|step| step["facts"].as_array().unwrap());
        facts.clone().find(|fact| fact["name"] == name).map(|fact| fact["value"].as_str().unwrap().to_owned())
    };
    assert_eq!(fact("Not granted").as_deref(), Some("user/Binary.rs"));
    assert_eq!(fact("Chosen").as_deref(), Some("client_secret_basic"));
    assert_eq!(fact("Because").as_deref(), Some("a secret is entered"));
    assert_eq!(fact("Algorithm").as_deref(), Some("RS256"));
    assert_eq!(recording["request_ids"].as_array().unwrap().len(), 2, "the start and the callback");
}

#[rstest]
#[case::denied(Personality::default(), "deny", "callback", "access_denied")]
#[case::identity(Personality { wrong_nonce: true, ..Personality::default() }, "allow", "identity", "nonce_mismatch")]
#[tokio::test]
async fn a_failure_is_found_by_its_request(
    #[case] personality: Personality,
    #[case] decision: &str,
    #[case] step: &str,
    #[case] code: &str,
) {
    let mut scene = Scene::new(Db::Sqlite, personality).await;
    let [_, _, back] = scene.connect(decision).await;
    let request = back.split("request=").nth(1).unwrap();
    let found = scene.list(request).await;
    assert_eq!(found["recordings"].as_array().unwrap().len(), 1);
    assert_eq!(found["recordings"][0]["outcome"], json!({"Err": code}));
    assert_eq!(steps(&found["recordings"][0]).last(), Some(&(step, Some(code))));
    assert_eq!(scene.list("00000000-0000").await["recordings"], json!([]));
    assert_eq!(scene.list("%25").await["recordings"].as_array().unwrap().len(), 1, "no pattern, so no filter");
}

#[tokio::test]
async fn discovery_that_fails_is_recorded_too() {
    let personality = Personality { no_well_known: true, metadata_500: true, ..Personality::default() };
    let mut scene = Scene::new(Db::Sqlite, personality).await;
    let login = format!("{}/api/integrations/ehr/login?providerId=generic", scene.app.url);
    assert!(scene.browser.get(&login).await.location.unwrap().contains("problem="));
    let list = scene.list("").await;
    assert_eq!(steps(&list["recordings"][0]).last().map(|(name, _)| *name), Some("discovery"));
}

#[tokio::test]
async fn a_second_answer_changes_nothing_of_the_first() {
    let mut scene = Scene::new(Db::Sqlite, Personality::default()).await;
    let login = format!("{}/api/integrations/ehr/login?providerId=generic", scene.app.url);
    let authorize = scene.browser.get(&login).await.location.unwrap();
    let callback = scene.browser.approve(&scene.app.sandbox, &scene.app.ehr, &authorize, "allow").await;
    let flow = scene.browser.cookie_of_flow();
    scene.browser.get(&callback).await;
    scene.browser.put_cookie(&flow);
    for _ in 0..40 {
        scene.browser.get(&callback).await;
        scene.browser.put_cookie(&flow);
    }
    let list = scene.list("").await;
    assert_eq!(list["recordings"][0]["outcome"], json!({"Ok": null}));
    let steps = steps(&list["recordings"][0]);
    assert!(steps.len() <= 30 && steps.contains(&("callback", Some("state_expired"))), "{steps:?}");
    let facts =
        list["recordings"][0]["steps"].as_array().unwrap().iter().map(|step| step["facts"].as_array().unwrap().len());
    assert!(facts.max().unwrap() < 10, "a full recording takes nothing more");
}

/// Whoever opens the callback without the cookie does not end somebody else's connect, nor its recording.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_stray_answer_does_not_end_a_recording(#[case] db: Db) {
    let mut scene = Scene::new(db, Personality::default()).await;
    let login = format!("{}/api/integrations/ehr/login?providerId=generic", scene.app.url);
    let authorize = scene.browser.get(&login).await.location.unwrap();
    let callback = scene.browser.approve(&scene.app.sandbox, &scene.app.ehr, &authorize, "allow").await;
    Browser::new().get(&callback).await;
    assert_eq!(scene.list("").await["recordings"][0]["outcome"], json!({"Err": "cookie_blocked"}));
    assert!(scene.browser.get(&callback).await.location.unwrap().contains("notice=connected"));
    let list = scene.list("").await;
    assert_eq!(list["recordings"][0]["outcome"], json!({"Ok": null}));
    assert!(steps(&list["recordings"][0]).contains(&("callback", Some("cookie_blocked"))));
}

/// What ends before the EHR is asked is recorded too, where it is known whose it is.
#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn what_ends_before_it_begins_is_recorded(#[case] db: Db) {
    let mut scene = Scene::new(db, Personality::default()).await;
    let last = async |scene: &Scene| scene.list("").await["recordings"][0].clone();
    let login = |provider: &str| format!("{}/api/integrations/ehr/login?providerId={provider}", scene.app.url);
    // Not filled; and one that nobody knows, which is nobody's.
    let (not_filled, unknown) = (login("epic"), login("nothing"));
    scene.browser.get(&not_filled).await;
    scene.browser.get(&unknown).await;
    let recording = last(&scene).await;
    assert_eq!((&recording["provider"], &recording["outcome"]), (&json!("Epic"), &json!({"Err": "invalid_input"})));
    assert_eq!(scene.list("").await["recordings"].as_array().unwrap().len(), 1);

    let launch = async |query: &str| {
        let page = Browser::new().get(&format!("{}/api/integrations/ehr/launch?{query}", scene.app.url)).await;
        page.text
    };
    let practice = scene.practice.as_str();
    let own = format!("launch=x&providerId=generic&practiceId={practice}");
    let elsewhere = format!("iss=https%3A%2F%2Felsewhere.example%2Fsecret-path&{own}");
    assert!(launch(&elsewhere).await.contains("invalid_issuer"));
    let recording = last(&scene).await;
    assert_eq!((&recording["is_launch"], &recording["outcome"]), (&json!(true), &json!({"Err": "invalid_issuer"})));
    let text = recording.to_string();
    assert!(text.contains("of another host than configured") && !text.contains("secret-path"), "{text}");

    let iss = format!("iss={}%2Ffhir", scene.app.ehr.replace(':', "%3A").replace('/', "%2F"));
    assert!(launch(&format!("{iss}&{own}&check=1")).await.contains("cookie_blocked"));
    assert_eq!(last(&scene).await["outcome"], json!({"Err": "cookie_blocked"}));
    let before = scene.list("").await["recordings"].as_array().unwrap().len();
    // Nobody's: no practice is named, or none that there is.
    for nobody in ["iss=https%3A%2F%2Felsewhere.example&launch=x", "iss=x&launch=x&providerId=generic&practiceId=no"] {
        launch(nobody).await;
    }
    assert_eq!(scene.list("").await["recordings"].as_array().unwrap().len(), before);
}

#[tokio::test]
async fn recordings_are_the_practices_own() {
    let mut scene = Scene::new(Db::Sqlite, Personality::default()).await;
    scene.connect("allow").await;
    for (practice, role, expected) in
        [("north", Role::Clinician, 403), ("north", Role::Auditor, 200), ("south", Role::Owner, 200)]
    {
        scene.app.practice(practice, role).await;
        let cookie = scene.app.sign_in(&format!("{}@{practice}.example", role.as_str())).await;
        let page = scene.app.server.get("/api/recordings").add_header("cookie", cookie.as_str()).await;
        assert_eq!(page.status_code().as_u16(), expected, "{practice} {role:?}");
        if practice == "south" {
            assert_eq!(page.json::<Value>()["recordings"], json!([]));
        }
    }
}
