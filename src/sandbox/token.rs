//! The token endpoint: codes, refresh tokens and client credentials become access tokens.
//!
//! Imports nothing of ours outside the sandbox. Invariants: nothing is cached; a refresh token is
//! replaced on every use and never widens (RFC 6749 §5 and §6).

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::client_auth::authenticate;
use super::error::{OAuthError, no_store};
use super::grants::{Context, Grant};
use super::params::{Params, is_form, random, s256};
use super::records::PATIENT;
use super::scope::{self, Level, Meaning, Scope};
use super::{Client, ClientAuth, Sandbox, oidc};

/// SMART "Backend Services": access tokens should not live longer than five minutes.
const BACKEND_SECONDS: i64 = 300;

/// `POST /auth/token`.
pub(super) async fn token(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let form = Params::parse(&body);
    record(&sandbox, &headers, &form);
    let delay = sandbox.personality().token_delay_ms;
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    match answer(&sandbox, &headers, &form).await {
        Ok(body) => no_store(Json(body).into_response()),
        Err(error) => error.into_response(),
    }
}

fn record(sandbox: &Sandbox, headers: &HeaderMap, form: &Params) {
    sandbox.count(|stats| {
        match form.first("grant_type") {
            Some("authorization_code") => stats.token_code += 1,
            Some("refresh_token") => stats.token_refresh += 1,
            Some("client_credentials") => stats.token_client_credentials += 1,
            _ => {}
        }
        stats.last_token_form.clone_from(&form.0);
        stats.last_token_authorization =
            headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    });
}

async fn answer(sandbox: &Sandbox, headers: &HeaderMap, form: &Params) -> Result<Map<String, Value>, OAuthError> {
    if !is_form(headers) {
        return Err(OAuthError::request("the body has to be application/x-www-form-urlencoded"));
    }
    let kind = form.one("grant_type")?.ok_or_else(|| OAuthError::request("grant_type is missing"))?;
    let endpoint = sandbox.url("/auth/token");
    let client = authenticate(sandbox, headers, form, &endpoint).await?;
    match kind {
        "authorization_code" => by_code(sandbox, &client, form),
        "refresh_token" => by_refresh(sandbox, &client, form),
        "client_credentials" => by_credentials(sandbox, &client, form),
        _ => Err(OAuthError::new("unsupported_grant_type", "grant_type is not supported")),
    }
}

/// SMART App Launch "Obtain access token".
fn by_code(sandbox: &Sandbox, client: &Client, form: &Params) -> Result<Map<String, Value>, OAuthError> {
    let need = |name: &'static str| form.one(name)?.ok_or_else(|| OAuthError::request(format!("{name} is missing")));
    let (code, redirect_uri) = (need("code")?, need("redirect_uri")?);
    let verifier = need("code_verifier")?;
    // RFC 7636 §4.1: 43 to 128 unreserved characters.
    let unreserved = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    if !(43..=128).contains(&verifier.len()) || !verifier.chars().all(unreserved) {
        return Err(OAuthError::grant("code_verifier is malformed"));
    }
    let now = sandbox.now();
    let (id, grant) = {
        let mut grants = sandbox.grants();
        let id = grants.redeem_code(code, &client.id, redirect_uri, &s256(verifier), now).map_err(OAuthError::grant)?;
        let grant = grants.grant(id).cloned().ok_or_else(|| OAuthError::grant("the grant is revoked"))?;
        (id, grant)
    };
    let scopes = grant.scopes.clone();
    let mut body = issue(sandbox, id, &grant, scopes, sandbox.inner.access_token_seconds)?;
    add_refresh(sandbox, &mut body, id, &grant)?;
    if let Some(token) = oidc::id_token(sandbox, &grant) {
        sandbox.count(|stats| stats.last_id_token = Some(token.clone()));
        body.insert("id_token".to_owned(), json!(token));
    }
    Ok(body)
}

/// SMART App Launch "Refresh access token".
fn by_refresh(sandbox: &Sandbox, client: &Client, form: &Params) -> Result<Map<String, Value>, OAuthError> {
    let token = form.one("refresh_token")?.ok_or_else(|| OAuthError::request("refresh_token is missing"))?;
    let asked = form.one("scope")?.map(scope::parse).transpose();
    let asked = asked.map_err(|token| invalid_scope(&token))?;
    if sandbox.personality().refresh_always_invalid_grant {
        return Err(OAuthError::grant("refresh tokens do not work today"));
    }
    let personality = sandbox.personality();
    if personality.refresh_wants_scope && asked.is_none() {
        return Err(OAuthError::request("scope is missing"));
    }
    let now = sandbox.now();
    let live = {
        let mut grants = sandbox.grants();
        let live = grants.check_refresh(token, &client.id, now).map_err(OAuthError::grant)?;
        if let Some(wide) = asked.iter().flatten().find(|scope| !scope::covered(&live.grant.scopes, scope)) {
            return Err(invalid_scope(&wide.text));
        }
        grants.spend_refresh(token);
        live
    };
    let scopes = asked.unwrap_or_else(|| live.scopes.clone());
    let seconds = sandbox.inner.access_token_seconds;
    let mut grant = live.grant.clone();
    if personality.refresh_other_patient {
        let records = sandbox.records();
        let others = records.ids(PATIENT).find(|id| Some(*id) != grant.context.patient.as_deref()).map(str::to_owned);
        grant.context.patient = others;
    }
    if personality.refresh_without_context {
        grant.context = Context::default();
    }
    let mut body = issue(sandbox, live.grant_id, &grant, scopes, seconds)?;
    add_refresh(sandbox, &mut body, live.grant_id, &live.grant)?;
    Ok(body)
}

/// SMART "Backend Services", "Obtain access token".
fn by_credentials(sandbox: &Sandbox, client: &Client, form: &Params) -> Result<Map<String, Value>, OAuthError> {
    let allowed = match client.auth {
        ClientAuth::PrivateKeyJwt { .. } => true,
        ClientAuth::Public => false,
        _ => sandbox.personality().backend_secret_allowed,
    };
    if !allowed {
        return Err(OAuthError::new("unauthorized_client", "backend services authenticate with private_key_jwt"));
    }
    let asked = form.one("scope")?.ok_or_else(|| OAuthError::new("invalid_scope", "scope is missing"))?;
    let mut scopes = scope::parse(asked).map_err(|token| invalid_scope(&token))?;
    let of_system = |scope: &Scope| scope.resource().is_some_and(|scope| scope.level == Level::System);
    if let Some(other) = scopes.iter().find(|scope| !of_system(scope)) {
        return Err(invalid_scope(&other.text));
    }
    let dropped = sandbox.personality().drop_scopes;
    scopes.retain(|scope| !dropped.contains(&scope.text));
    if scopes.is_empty() {
        return Err(OAuthError::new("invalid_scope", "no scope was granted"));
    }
    let grant = Grant::new(&client.id, scopes.clone());
    let id = sandbox.grants().open_grant(grant.clone());
    issue(sandbox, id, &grant, scopes, BACKEND_SECONDS)
}

fn invalid_scope(text: &str) -> OAuthError {
    OAuthError::new("invalid_scope", format!("scope cannot be granted here: {text}"))
}

/// A new access token with its launch context.
fn issue(
    sandbox: &Sandbox,
    id: u64,
    grant: &Grant,
    scopes: Vec<Scope>,
    seconds: i64,
) -> Result<Map<String, Value>, OAuthError> {
    let token = random()?;
    let personality = sandbox.personality();
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("access_token", json!(token));
    put("token_type", json!("Bearer"));
    let seconds = personality.access_token_seconds.unwrap_or(seconds);
    put("expires_in", json!(seconds));
    if !personality.omit_scope_in_token {
        let text = if personality.bare_scope_echo {
            let words: Vec<String> = scopes.iter().flat_map(Scope::bare).collect();
            words.join(" ")
        } else if personality.v1_scope_echo {
            let texts: Vec<String> = scopes.iter().map(Scope::v1).collect();
            texts.join(" ")
        } else {
            scope::join(&scopes)
        };
        put("scope", json!(text));
    }
    let context = &grant.context;
    if let Some(patient) = &context.patient {
        put("patient", json!(patient));
        put("need_patient_banner", json!(context.need_patient_banner));
    }
    if let Some(encounter) = &context.encounter {
        put("encounter", json!(encounter));
    }
    if let Some(intent) = &context.intent {
        put("intent", json!(intent));
    }
    if let Some(references) = &context.references {
        put("fhirContext", references.clone());
    }
    if let Some(base) = grant.base {
        put("smart_style_url", json!(sandbox.url("/style.json")));
        put("tenant", json!(base.tenant()));
    }
    let expires = sandbox.now() + seconds * 1000;
    sandbox.grants().issue_access(&token, id, scopes, expires);
    Ok(body)
}

/// A refresh token, when access was granted for longer than one token.
fn add_refresh(sandbox: &Sandbox, body: &mut Map<String, Value>, id: u64, grant: &Grant) -> Result<(), OAuthError> {
    let offline = scope::has(&grant.scopes, &Meaning::Offline);
    let online = scope::has(&grant.scopes, &Meaning::Online);
    if (offline || online) && !sandbox.personality().no_refresh_token {
        let token = random()?;
        let now = sandbox.now();
        sandbox.grants().issue_refresh(&token, id, offline, now);
        body.insert("refresh_token".to_owned(), json!(token));
    }
    Ok(())
}
