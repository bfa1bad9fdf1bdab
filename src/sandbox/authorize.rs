//! The authorization endpoint: reads and judges a request, then hands it to a person.
//!
//! Imports nothing of ours outside the sandbox. Invariant: nothing is ever sent to a redirect URI
//! that is not registered for that client (RFC 6749 §4.1.2.1); from then on every refusal goes
//! there, with `state` and `iss`.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::base::Base;
use super::error::printable;
use super::grants::{Context, Grant, Transaction};
use super::params::{Params, Repeated, is_form, random};
use super::scope::{self, Level, Meaning, Scope};
use super::{Sandbox, pages, steps};

/// 22 base64url characters are the 122 bits that SMART App Launch asks of `state`.
const STATE_CHARS: usize = 22;
/// A base64url SHA-256 digest (RFC 7636 §4.2).
const CHALLENGE_CHARS: usize = 43;

/// `GET /auth/authorize`.
pub(super) async fn by_get(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    record(&sandbox, &params);
    if sandbox.personality().authorize_post_only {
        let mut response = pages::message(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only POST here",
            "This EHR takes authorization requests by POST only.",
        );
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    begin(&sandbox, &params)
}

/// `POST /auth/authorize` (capability `authorize-post`).
pub(super) async fn by_post(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_form(&headers) {
        return pages::message(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Not a form",
            "An authorization request by POST is application/x-www-form-urlencoded.",
        );
    }
    let params = Params::parse(&body);
    record(&sandbox, &params);
    begin(&sandbox, &params)
}

fn record(sandbox: &Sandbox, params: &Params) {
    sandbox.count(|stats| {
        stats.authorize += 1;
        stats.last_authorize_query.clone_from(&params.0);
    });
}

/// A refusal that is delivered to the redirect URI.
struct Refusal {
    code: &'static str,
    description: String,
}

impl Refusal {
    fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }

    fn request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }
}

impl From<Repeated> for Refusal {
    fn from(Repeated(name): Repeated) -> Self {
        Self::request(format!("parameter {name} is repeated"))
    }
}

fn begin(sandbox: &Sandbox, params: &Params) -> Response {
    let refuse = |why: &str| pages::message(StatusCode::BAD_REQUEST, "Cannot start", why);
    let Ok(Some(client)) = params.one("client_id") else {
        return refuse("The request has no single client_id.");
    };
    let Some(client) = sandbox.client(client) else {
        return refuse("This client_id is not registered here.");
    };
    let Ok(Some(redirect_uri)) = params.one("redirect_uri") else {
        return refuse("The request has no single redirect_uri.");
    };
    // RFC 9700 §4.1.3: registered redirect URIs are compared as strings.
    if !client.redirect_uris.iter().any(|uri| uri == redirect_uri) {
        return refuse("This redirect_uri is not registered for the application.");
    }
    match judge(sandbox, params, &client.id, redirect_uri) {
        Ok(transaction) => proceed(sandbox, transaction),
        Err(refusal) => {
            let state = params.one("state").ok().flatten();
            deny(sandbox, redirect_uri, state, refusal.code, &refusal.description)
        }
    }
}

/// Judges a request of a known client (SMART App Launch "Obtain authorization code").
fn judge(sandbox: &Sandbox, params: &Params, client: &str, redirect_uri: &str) -> Result<Transaction, Refusal> {
    match params.one("response_type")? {
        Some("code") => {}
        Some(_) => {
            return Err(Refusal::new("unsupported_response_type", "response_type has to be code"));
        }
        None => return Err(Refusal::request("response_type is missing")),
    }
    let scopes = params.one("scope")?.ok_or_else(|| Refusal::new("invalid_scope", "scope is missing"))?;
    let scopes = scope::parse(scopes)
        .map_err(|token| Refusal::new("invalid_scope", format!("unknown or malformed scope: {token}")))?;
    let is_v2 = |scope: &&Scope| scope.resource().is_some() && scope.text != scope.v1();
    if let Some(other) = scopes.iter().find(|scope| sandbox.personality().v1_scopes_only && is_v2(scope)) {
        return Err(Refusal::new("invalid_scope", format!("only v1 scopes are known here: {}", other.text)));
    }
    let of_system = |scope: &Scope| scope.resource().is_some_and(|scope| scope.level == Level::System);
    if scopes.iter().any(of_system) {
        return Err(Refusal::new("invalid_scope", "system scopes belong to backend services"));
    }
    let state = params
        .one("state")?
        .filter(|state| state.chars().count() >= STATE_CHARS)
        .ok_or_else(|| Refusal::request("state is missing or has less than 22 characters"))?;
    let challenge = challenge(params)?;
    let base = audience(sandbox, params)?;
    let launch = launch(sandbox, params, client, base, &scopes)?;
    Ok(Transaction {
        client: client.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        state: state.to_owned(),
        challenge: challenge.to_owned(),
        nonce: params.one("nonce")?.map(str::to_owned),
        base,
        scopes,
        user: launch.as_ref().map(|launch| launch.user),
        context: launch.map_or_else(Context::default, |launch| launch.context),
    })
}

/// The base that the request is for.
fn audience(sandbox: &Sandbox, params: &Params) -> Result<Base, Refusal> {
    let personality = sandbox.personality();
    match params.one("aud")? {
        None if personality.no_aud => Ok(Base::default()),
        Some(_) if personality.no_aud => Err(Refusal::request("aud is not known here")),
        None => Err(Refusal::request("aud is missing")),
        Some(aud) if personality.aud_needs_slash && !aud.ends_with('/') => {
            Err(Refusal::request("aud has to end with a slash"))
        }
        Some(aud) => Base::named(&sandbox.inner.base_url, aud, !personality.bad_aud_slash)
            .ok_or_else(|| Refusal::request("aud is not the URL of a FHIR base here")),
    }
}

/// PKCE with S256 and nothing else (SMART App Launch "Considerations for PKCE support").
fn challenge(params: &Params) -> Result<&str, Refusal> {
    let challenge = params.one("code_challenge")?.ok_or_else(|| Refusal::request("code_challenge is missing"))?;
    if params.one("code_challenge_method")? != Some("S256") {
        return Err(Refusal::request("code_challenge_method has to be S256"));
    }
    let base64url = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if challenge.len() != CHALLENGE_CHARS || !challenge.chars().all(base64url) {
        return Err(Refusal::request("code_challenge is not a base64url SHA-256 digest"));
    }
    Ok(challenge)
}

/// The EHR launch that the request belongs to, if it belongs to one.
fn launch(
    sandbox: &Sandbox,
    params: &Params,
    client: &str,
    base: Base,
    scopes: &[Scope],
) -> Result<Option<super::grants::Launch>, Refusal> {
    let asked = scope::has(scopes, &Meaning::Launch);
    let Some(handle) = params.one("launch")? else {
        if asked {
            // SMART "Scopes and Launch Context": `launch` is for apps that an EHR launched.
            return Err(Refusal::new("invalid_scope", "scope launch needs the launch parameter of an EHR launch"));
        }
        return Ok(None);
    };
    if !asked {
        return Err(Refusal::new("invalid_scope", "a launch parameter needs the scope launch"));
    }
    let launch = sandbox.grants().launch(handle, sandbox.now());
    let launch = launch
        .filter(|launch| launch.client == client && launch.base == base)
        .ok_or_else(|| Refusal::request("launch is unknown, expired, or for another client or base"))?;
    if launch.denied { Err(Refusal::new("access_denied", "the user said no")) } else { Ok(Some(launch)) }
}

/// An EHR launch needs nobody: the user is signed in and the patient is open. Else ask.
fn proceed(sandbox: &Sandbox, transaction: Transaction) -> Response {
    if transaction.user.is_some() {
        let scopes = transaction.scopes.clone();
        return finish(sandbox, transaction, scopes);
    }
    let Ok(id) = random() else {
        return server_error(sandbox, &transaction);
    };
    let now = sandbox.now();
    sandbox.grants().open_transaction(&id, transaction.clone(), now);
    steps::page(sandbox, &id, &transaction)
}

/// Grants what was allowed and sends the code home.
pub(super) fn finish(sandbox: &Sandbox, transaction: Transaction, mut scopes: Vec<Scope>) -> Response {
    let dropped = sandbox.personality().drop_scopes;
    scopes.retain(|scope| !dropped.contains(&scope.text));
    if scopes.is_empty() {
        return deny(
            sandbox,
            &transaction.redirect_uri,
            Some(&transaction.state),
            "access_denied",
            "no scope was granted",
        );
    }
    let Ok(code) = random() else {
        return server_error(sandbox, &transaction);
    };
    let mut context = transaction.context;
    // What the application was not allowed to know is not in its context.
    let launched = scope::has(&scopes, &Meaning::Launch);
    if !launched && !scope::has(&scopes, &Meaning::LaunchPatient) {
        context.patient = None;
    }
    if !launched && !scope::has(&scopes, &Meaning::LaunchEncounter) {
        context.encounter = None;
    }
    let mut grant = Grant::new(&transaction.client, scopes);
    grant.base = Some(transaction.base);
    grant.user = transaction.user;
    grant.context = context;
    grant.nonce = transaction.nonce;
    let now = sandbox.now();
    {
        let mut grants = sandbox.grants();
        let grant = grants.open_grant(grant);
        grants.issue_code(&code, grant, &transaction.redirect_uri, &transaction.challenge, now);
    }
    redirect(sandbox, &transaction.redirect_uri, &[("code", &code), ("state", &transaction.state)])
}

fn server_error(sandbox: &Sandbox, transaction: &Transaction) -> Response {
    deny(
        sandbox,
        &transaction.redirect_uri,
        Some(&transaction.state),
        "server_error",
        "the sandbox could not draw random bytes",
    )
}

/// An error answer (RFC 6749 §4.1.2.1).
pub(super) fn deny(
    sandbox: &Sandbox,
    redirect_uri: &str,
    state: Option<&str>,
    code: &str,
    description: &str,
) -> Response {
    let description = printable(description);
    let mut pairs = vec![("error", code), ("error_description", &*description)];
    pairs.extend(state.map(|state| ("state", state)));
    redirect(sandbox, redirect_uri, &pairs)
}

/// Sends the browser home with the answer and `iss` (RFC 9207 §2), by 303 (RFC 9700 §4.12).
fn redirect(sandbox: &Sandbox, redirect_uri: &str, pairs: &[(&str, &str)]) -> Response {
    let broken = || {
        pages::message(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Cannot go back",
            "The registered redirect URI cannot be used.",
        )
    };
    let Ok(mut url) = url::Url::parse(redirect_uri) else {
        return broken();
    };
    url.query_pairs_mut().extend_pairs(pairs).append_pair("iss", &sandbox.inner.base_url);
    let Ok(location) = HeaderValue::from_str(url.as_str()) else {
        return broken();
    };
    (
        StatusCode::SEE_OTHER,
        [
            (header::LOCATION, location),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ],
    )
        .into_response()
}
