//! A practice whose generic provider is configured for the sandbox EHR, and the browser of its owner.

use ehr_integrations::model::id::{PracticeId, ProviderId};
use ehr_integrations::model::role::{Role, TokenScope};
use ehr_integrations::server::flow::Caller;
use ehr_integrations::server::store::connection;
use serde_json::Value;

use super::support::{Browser, Db, TestApp, Wishes};

/// A practice with the generic provider configured, and its member's browser.
pub struct Scene {
    pub app: TestApp,
    pub practice: PracticeId,
    pub token: String,
    pub browser: Browser,
}

impl Scene {
    pub async fn new(db: Db, client: &str, secret: Option<&str>) -> Self {
        Self::with(db, client, secret, Wishes::default()).await
    }

    pub async fn with(db: Db, client: &str, secret: Option<&str>, wishes: Wishes) -> Self {
        let app = TestApp::with(db, wishes).await;
        let practice = app.practice("north", Role::Owner).await;
        let token = app.token(&practice, &TokenScope::ALL).await;
        let config = app.generic(client, secret);
        let saved = app.server.post("/api/integrations/ehr/config").authorization_bearer(&token).json(&config).await;
        saved.assert_status_ok();
        let browser = Browser::new().with_cookie(&app.sign_in("owner@north.example").await);
        Self { app, practice, token, browser }
    }

    /// Sets further fields of the generic provider's form; the others stay as they are.
    pub async fn set(&self, settings: &Value) {
        let url = "/api/integrations/ehr/config";
        let saved: Value = self.app.server.get(url).authorization_bearer(&self.token).await.json();
        let mut values = saved["providerConfigs"]["generic"].clone();
        for (key, value) in settings.as_object().unwrap() {
            values[key] = value.clone();
        }
        let body = serde_json::json!({"providerConfigs": {"generic": values}});
        self.app.server.post(url).authorization_bearer(&self.token).json(&body).await.assert_status_ok();
    }

    pub fn login(&self) -> String {
        format!("{}/api/integrations/ehr/login?providerId=generic", self.app.url)
    }

    /// Presses connect; answers where the EHR's authorize page is.
    pub async fn start(&mut self) -> String {
        let login = self.login();
        let page = self.browser.get(&login).await;
        assert_eq!(page.status, 303, "{}", page.text);
        page.location.unwrap()
    }

    /// The whole way; answers where the callback sends the browser.
    pub async fn connect(&mut self, decision: &str) -> String {
        let authorize = self.start().await;
        let callback = self.browser.approve(&self.app.sandbox, &self.app.ehr, &authorize, decision).await;
        let page = self.browser.get(&callback).await;
        page.location.unwrap_or(page.text)
    }

    pub async fn status(&self, query: &str) -> Value {
        let url = format!("/api/integrations/ehr/status?providerId=generic{query}");
        self.app.server.get(&url).authorization_bearer(&self.token).await.json()
    }

    pub fn caller(&self) -> Caller {
        Caller::operator(&self.app.app, self.practice.clone())
    }

    pub async fn row(&self) -> connection::Connection {
        connection::find(self.app.app.db.pool(), &self.practice, &id()).await.unwrap().unwrap()
    }
}

pub fn id() -> ProviderId {
    ProviderId::new("generic")
}
