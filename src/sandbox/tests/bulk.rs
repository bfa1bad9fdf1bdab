//! Exports: kick-off, status, manifest and files, as the guide has them.

use serde_json::json;

use super::super::{Bulk, Dialect, Issue, Synthetic};
use super::*;

mod damage;
mod dialects;
mod files;
mod folder;
mod kickoff;
mod status;

const SECRET: &str = "basic-secret";

/// One client that may export, and its token.
struct Desk {
    bed: Bed,
    token: String,
}

impl Desk {
    async fn new(change: impl FnOnce(&mut Bulk)) -> Self {
        Self::with_scope("system/*.rs", change).await
    }

    async fn with_scope(scope: &str, change: impl FnOnce(&mut Bulk)) -> Self {
        let bed = Bed::new();
        bed.sandbox.set_personality(|personality| {
            personality.backend_secret_allowed = true;
            change(&mut personality.bulk);
        });
        let token = token(&bed, scope).await;
        Self { bed, token }
    }

    fn set(&self, change: impl FnOnce(&mut Bulk)) {
        self.bed.sandbox.set_personality(|personality| change(&mut personality.bulk));
    }

    /// A kick-off by GET.
    async fn kick(&self, path: &str) -> Reply {
        self.kick_with(path, "respond-async").await
    }

    async fn kick_with(&self, path: &str, prefer: &str) -> Reply {
        let request = Request::get(format!("/fhir/{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::ACCEPT, "application/fhir+json")
            .header("prefer", prefer);
        self.bed.send(request.body(Body::empty()).unwrap()).await
    }

    /// A kick-off by POST.
    async fn post(&self, path: &str, prefer: &str, parameter: Value) -> Reply {
        let body = json!({ "resourceType": "Parameters", "parameter": parameter });
        let request = Request::post(format!("/fhir/{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::ACCEPT, "application/fhir+json")
            .header(header::CONTENT_TYPE, "application/fhir+json")
            .header("prefer", prefer);
        self.bed.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// A request with the token, to a URL of this server.
    async fn get(&self, url: &str) -> Reply {
        self.get_with(url, &[]).await
    }

    async fn get_with(&self, url: &str, headers: &[(&str, &str)]) -> Reply {
        let path = url.strip_prefix(ORIGIN).unwrap_or(url);
        let mut request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.bed.send(request.body(Body::empty()).unwrap()).await
    }

    async fn delete(&self, url: &str) -> Reply {
        let path = url.strip_prefix(ORIGIN).unwrap();
        let request = Request::delete(path).header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        self.bed.send(request.body(Body::empty()).unwrap()).await
    }

    /// The status URL of an accepted kick-off.
    async fn started(&self, path: &str) -> String {
        location(&self.kick(path).await)
    }

    /// Polls to the end.
    async fn finished(&self, url: &str) -> Value {
        for _ in 0..20 {
            let reply = self.get(url).await;
            if reply.status == StatusCode::OK {
                return reply.json();
            }
            assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text());
        }
        panic!("never finished");
    }

    /// The manifest of an export.
    async fn export(&self, path: &str) -> Value {
        let url = self.started(path).await;
        self.finished(&url).await
    }

    /// All resources of the manifest's output.
    async fn resources(&self, manifest: &Value) -> Vec<Value> {
        let mut all = Vec::new();
        for one in manifest["output"].as_array().unwrap() {
            let lines = self.lines(one["url"].as_str().unwrap()).await;
            assert_eq!(one["count"], lines.len());
            assert!(lines.iter().all(|line| line["resourceType"] == one["type"]));
            all.extend(lines);
        }
        all
    }

    async fn lines(&self, url: &str) -> Vec<Value> {
        let reply = self.get(url).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header(header::CONTENT_TYPE), "application/fhir+ndjson");
        assert!(reply.text().ends_with('\n'));
        reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The URL of the first file of a small export.
    async fn one_file(&self) -> String {
        first_url(&self.export("$export?_type=Patient").await)
    }
}

async fn token(bed: &Bed, scope: &str) -> String {
    let form = [("grant_type", "client_credentials"), ("scope", scope)];
    let reply = bed.form_with("/auth/token", &form, Some(&basic("basic", SECRET))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

fn location(reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text());
    reply.header(header::CONTENT_LOCATION).to_owned()
}

fn first_url(manifest: &Value) -> String {
    manifest["output"][0]["url"].as_str().unwrap().to_owned()
}

fn types(resources: &[Value]) -> std::collections::BTreeSet<&str> {
    resources.iter().map(|resource| resource["resourceType"].as_str().unwrap()).collect()
}
