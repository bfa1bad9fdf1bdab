//! The page of bulk exports: who sees it, what it says of each state, and its forms without JavaScript.

use ehr_integrations::model::export::life::{Downloading, Job, Over, Queued, Waiting};
use ehr_integrations::model::export::{ExportLevel, ExportRequest, Life, Wait};
use ehr_integrations::model::id::{ExportId, PracticeId, ProviderId};
use ehr_integrations::model::problem::Code;
use ehr_integrations::model::role::Role;
use ehr_integrations::model::time::Timestamp;
use ehr_integrations::server::clock::Clock;
use ehr_integrations::server::flow::Caller;
use ehr_integrations::server::flow::settings;
use ehr_integrations::server::store::export::{self, Export};
use rstest::rstest;
use serde_json::{Value, json};

use super::support::{Browser, Db, Page, TestApp};

const ORDERS: [&str; 5] = ["pause_export", "resume_export", "cancel_export", "retry_export", "delete_export"];

struct Practice {
    test: TestApp,
    id: PracticeId,
}

impl Practice {
    async fn new(db: Db) -> Self {
        let test = TestApp::new(db).await;
        let id = test.practice("North", Role::Owner).await;
        Self { test, id }
    }

    /// The practice uses the sandbox, and allows exports or not.
    async fn configure(&self, allow: bool) {
        let mut wanted = self.test.generic("key", None);
        wanted["enableBulkExport"] = json!(allow);
        let caller = Caller::operator(&self.test.app, self.id.clone());
        settings::save_json(&self.test.app, &caller, &wanted).await.unwrap();
    }

    async fn browser(&self, role: Role) -> Browser {
        let email = format!("{}@North.example", role.as_str());
        Browser::new().with_cookie(&self.test.sign_in(&email).await)
    }

    async fn page(&self, browser: &mut Browser) -> String {
        let page = browser.get(&format!("{}/exports", self.test.url)).await;
        assert_eq!(page.status, 200);
        assert!(!page.text.contains(" style="), "no style attribute passes the policy");
        page.text
    }

    async fn post(&self, browser: &mut Browser, function: &str, form: &[(&str, &str)]) -> Page {
        let page = browser.post(&format!("{}/api/{function}", self.test.url), form).await;
        assert_eq!(page.status, 302, "{function}: {}", page.text);
        page
    }

    /// An export with this life, held for a reason or waiting for one.
    async fn export(&self, life: Life, why: Option<Wait>, paused: bool) -> ExportId {
        let app = &self.test.app;
        let provider = ProviderId::new("generic");
        let now = self.test.clock.now();
        let id = ExportId::new(app.ids.mint());
        let mut tx = app.db.begin_write().await.unwrap();
        let source = export::source(&mut tx, &self.id, &provider, "https://ehr.example/fhir").await.unwrap();
        let row = Export {
            id: id.clone(),
            number: 0,
            practice: self.id.clone(),
            provider,
            source,
            fhir_base: "https://ehr.example/fhir".into(),
            life,
            request: ExportRequest { types: vec!["Patient".into(), "Encounter".into()], ..ExportRequest::default() },
            requested_by: "owner@North.example".into(),
            paused,
            cancel_asked: false,
            progress: Some("45 % <done>".into()),
            transaction_time: None,
            next_at: now.plus_seconds(300),
            next_why: why,
            expires_at: None,
            created_at: now,
            finished_at: None,
            lease_until: Timestamp(0),
            lease_fence: 0,
            version: 0,
        };
        export::add(&mut tx, &row).await.unwrap();
        let finished_at = row.life.state().is_over().then_some(now);
        export::save(&mut tx, &Export { finished_at, ..row }, 0).await.unwrap();
        tx.commit().await.unwrap();
        id
    }
}

fn job(now: Timestamp) -> Job {
    Job {
        status_url: "https://ehr.example/fhir/status/1".into(),
        further_pages: Vec::new(),
        accepted_at: now,
        files_at: Some(now),
        polls: 1,
        troubles: 0,
        renewals: 0,
    }
}

/// Where a form post without JavaScript goes next.
fn location(page: &Page) -> &str {
    page.location.as_deref().unwrap()
}

#[tokio::test]
async fn only_who_may_export_sees_and_does_anything() {
    let north = Practice::new(Db::Sqlite).await;
    north.configure(true).await;
    let id = north.export(Life::default(), None, false).await;
    for role in [Role::Clinician, Role::Auditor] {
        north.test.practice("North", role).await;
        let cookie = north.test.sign_in(&format!("{}@North.example", role.as_str())).await;
        let read = north.test.server.get("/api/exports").add_header("cookie", &cookie).await;
        assert_eq!(read.status_code().as_u16(), 403, "{role:?}");
        let start = [("provider", "generic"), ("wanted[level]", "patient")];
        let started = north.test.server.post("/api/start_export").add_header("cookie", &cookie).form(&start).await;
        assert_eq!(started.json::<Value>()["code"], "forbidden", "{role:?}");
        for order in ORDERS {
            let form = [("export", id.as_str())];
            let path = format!("/api/{order}");
            let given = north.test.server.post(&path).add_header("cookie", &cookie).form(&form).await;
            assert_eq!(given.status_code().as_u16(), 403, "{role:?} {order}");
        }
        let mut browser = north.browser(role).await;
        let page = north.page(&mut browser).await;
        assert!(page.contains("data-problem=\"forbidden\"") && !page.contains("data-export"), "{page}");
        assert!(!page.contains("href=\"/exports\""), "no way there in the navigation");
    }
    let mut owner = north.browser(Role::Owner).await;
    assert!(north.page(&mut owner).await.contains(&format!("data-export=\"{id}\"")));

    let south = north.test.practice("South", Role::Owner).await;
    assert_ne!(south, north.id);
    let stranger = north.test.sign_in("owner@South.example").await;
    for order in ORDERS {
        let form = [("export", id.as_str())];
        let path = format!("/api/{order}");
        let given = north.test.server.post(&path).add_header("cookie", &stranger).form(&form).await;
        assert_eq!(given.status_code().as_u16(), 404, "{order}");
    }
}

#[tokio::test]
async fn where_nothing_can_be_started_the_page_says_why() {
    let north = Practice::new(Db::Sqlite).await;
    let mut owner = north.browser(Role::Owner).await;
    let page = north.page(&mut owner).await;
    assert!(page.contains("No provider offers bulk exports") && page.contains("No exports yet"), "{page}");
    north.configure(false).await;
    let page = north.page(&mut owner).await;
    assert!(page.contains("/settings/ehr-integrations/generic#field-enable_bulk_export"), "{page}");
    assert!(!page.contains("id=\"start-export\""));
    north.configure(true).await;
    let page = north.page(&mut owner).await;
    assert!(page.contains("id=\"start-export\"") && !page.contains("id=\"closed\""), "{page}");
}

#[rstest]
#[case::sqlite(Db::Sqlite)]
#[case::postgres(Db::Postgres)]
#[tokio::test]
async fn a_refused_form_keeps_what_was_typed(#[case] db: Db) {
    let north = Practice::new(db).await;
    north.configure(true).await;
    let mut owner = north.browser(Role::Owner).await;
    let form = [
        ("provider", "generic"),
        ("wanted[level]", ExportLevel::Group.as_str()),
        ("wanted[group_id]", ""),
        ("wanted[types]", "Patient, observation"),
        ("wanted[since]", "time"),
        ("wanted[since_at]", "last week"),
        ("wanted[type_filters]", "Observation?category=laboratory"),
        ("wanted[elements]", ""),
        ("wanted[patients]", ""),
    ];
    let page = north.post(&mut owner, "start_export", &form).await;
    let address = location(&page).to_owned();
    assert!(address.starts_with("/exports?draft="), "{address}");
    let page = owner.get(&format!("{}{address}", north.test.url)).await.text;
    for typed in ["value=\"Patient, observation\"", "value=\"last week\"", ">Observation?category=laboratory<"] {
        assert!(page.contains(typed), "{typed}: {page}");
    }
    for field in ["groupId", "types", "since"] {
        assert!(page.contains(&format!("id=\"error-{field}\"")), "{field}: {page}");
    }
}

#[tokio::test]
async fn every_state_and_every_wait_has_words() {
    let north = Practice::new(Db::Sqlite).await;
    north.configure(true).await;
    let now = north.test.clock.now();
    let waiting = Life::Waiting(Waiting { job: job(now) });
    let over = |problem, detail: &str| Over { job: None, problem, detail: Some(detail.into()) };
    let cases = [
        (Life::Queued(Queued::default()), Some(Wait::Busy { seconds: 60 }), false, "The EHR is busy"),
        (
            Life::Queued(Queued { troubles: 3 }),
            Some(Wait::Unavailable { troubles: 3, seconds: 8 }),
            false,
            "3 times in a row",
        ),
        (
            waiting.clone(),
            Some(Wait::Clamped { asked_seconds: 7_200, seconds: 300 }),
            false,
            "The EHR asked for 2 hours; we ask in 5 minutes.",
        ),
        (waiting.clone(), Some(Wait::Held), true, "It is held until somebody resumes it."),
        (waiting.clone(), Some(Wait::TokenRefused), true, "Needs attention"),
        (waiting, Some(Wait::NoToken { code: Code::ClientAuthFailed }), true, "/troubleshooting#client_auth_failed"),
        (
            Life::Downloading(Downloading { job: job(now), more_at: None }),
            Some(Wait::FilesAgain),
            false,
            "The files are fetched",
        ),
        (Life::Complete(Over::default()), None, false, "Complete"),
        (Life::CompleteWithErrors(Over::default()), None, false, "Complete, with errors"),
        (Life::Cancelled(Over::default()), None, false, "Cancelled"),
        (Life::Failed(over(Some(Code::BulkFailed), "out of space")), None, false, "It says: “out of space”"),
        (
            Life::Failed(over(Some(Code::Forbidden), "files.example.org")),
            None,
            false,
            "another host: files.example.org",
        ),
        (Life::Expired(over(Some(Code::BulkExpired), "gone")), None, false, "Expired"),
    ];
    let mut owner = north.browser(Role::Owner).await;
    for (life, why, paused, words) in cases {
        let state = life.state();
        let id = north.export(life, why, paused).await;
        let page = north.page(&mut owner).await;
        let card = page.split(&format!("id=\"export-{id}\"")).nth(1).unwrap();
        let card = card.split("data-export=").nth(1).unwrap();
        assert!(card.contains(&format!("data-state=\"{}\"", state.as_str())), "{card}");
        assert!(card.contains(words), "{words}: {card}");
        assert!(state.is_over() || card.contains("45 % &lt;done&gt;"), "what the EHR says is text: {card}");
    }
}

#[tokio::test]
async fn orders_are_forms() {
    let north = Practice::new(Db::Sqlite).await;
    north.configure(true).await;
    let id = north.export(Life::default(), None, false).await;
    let mut owner = north.browser(Role::Owner).await;
    let form = [("export", id.as_str())];
    let steps = [
        ("pause_export", "/exports?notice=export_paused", "Resume"),
        ("resume_export", "/exports?notice=export_resumed", "Pause"),
        ("cancel_export", "/exports?notice=export_cancelled", "Cancelling"),
    ];
    for (function, goes_to, then) in steps {
        let page = north.post(&mut owner, function, &form).await;
        assert_eq!(location(&page), goes_to);
        assert!(north.page(&mut owner).await.contains(then), "{function}");
    }
    let refused = north.post(&mut owner, "delete_export", &form).await;
    assert!(location(&refused).starts_with("/exports?problem=conflict"), "{}", location(&refused));

    let over = north.export(Life::Complete(Over::default()), None, false).await;
    let page = north.post(&mut owner, "delete_export", &[("export", over.as_str())]).await;
    assert_eq!(location(&page), "/exports?notice=export_deleted");
    assert!(!north.page(&mut owner).await.contains(over.as_str()));
    let again = north.post(&mut owner, "retry_export", &[("export", over.as_str())]).await;
    assert!(location(&again).starts_with("/exports?problem=not_found"), "{}", location(&again));
}
