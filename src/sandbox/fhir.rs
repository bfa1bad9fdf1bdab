//! The FHIR server: routing, bearer tokens, scopes, read and search.
//!
//! Imports nothing of ours outside the sandbox. Invariants: every error is an `OperationOutcome`;
//! a resource leaves only if one of the token's scopes reaches that very resource.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::base::Base;
use super::error::{Outcome, fhir_json};
use super::grants::{Cursor, Live};
use super::params::{Params, is_form, random};
use super::patients::text;
use super::records::{BINARY, DOCUMENT, Row, TYPES};
use super::scope::{self, Level, Meaning};
use super::search::{Criterion, Query};
use super::{Sandbox, bulk, capability, discovery, write};

/// The largest request body: a document of some megabytes in base64.
pub(super) const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// One request to one base with a good token.
pub(super) struct Call<'a> {
    /// The sandbox.
    pub(super) sandbox: &'a Sandbox,
    /// The base's URL.
    pub(super) base_url: String,
    /// The request headers.
    pub(super) headers: &'a HeaderMap,
    /// Its token.
    pub(super) live: Live,
}

/// Everything below the FHIR bases.
pub(super) async fn dispatch(State(sandbox): State<Sandbox>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some((base, path)) = Base::locate(parts.uri.path()) else {
        return Outcome::not_found("no FHIR base here").into_response();
    };
    let query = Params::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method };
    let result = match (&method, segments.as_slice()) {
        (&Method::GET, [".well-known", "smart-configuration"]) => {
            return discovery::configuration(&sandbox);
        }
        (&Method::GET, ["metadata"]) => capability::statement(&sandbox, base),
        _ => match (authorized(&sandbox, base, &parts.headers), bulk::Reach::of(&segments)) {
            (_, Some(_)) if sandbox.personality().bulk.no_bulk.is_some() => Err(bulk::absent(&sandbox)),
            (Ok(call), Some(reach)) => bulk::kick_off(&call, reach, &method, parts.uri.query(), body).await,
            (Ok(call), None) => route(&call, &method, &segments, query, body).await,
            (Err(outcome), _) => Err(outcome),
        },
    };
    result.unwrap_or_else(IntoResponse::into_response)
}

/// The bearer token of a request, if it is good (RFC 6750 §2.1 and §3.1).
pub(super) fn bearer(sandbox: &Sandbox, headers: &HeaderMap) -> Result<Live, Outcome> {
    let header =
        headers.get(header::AUTHORIZATION).ok_or_else(Outcome::no_token)?.to_str().map_err(|_| Outcome::bad_token())?;
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(Outcome::bad_token()),
    };
    sandbox.grants().access(token, sandbox.now()).ok_or_else(Outcome::bad_token)
}

/// The same, if it is good at this base, too.
fn authorized<'a>(sandbox: &'a Sandbox, base: Base, headers: &'a HeaderMap) -> Result<Call<'a>, Outcome> {
    let live = bearer(sandbox, headers)?;
    if live.grant.base.is_some_and(|bound| bound != base) {
        return Err(Outcome::bad_token());
    }
    Ok(Call { sandbox, base_url: base.url(&sandbox.inner.base_url), headers, live })
}

async fn route(
    call: &Call<'_>,
    method: &Method,
    segments: &[&str],
    query: Params,
    body: Body,
) -> Result<Response, Outcome> {
    match (method, segments) {
        (&Method::GET, [kind]) => search(call, known(kind)?, query),
        (&Method::GET, [kind, id] | [kind, id, "_history", "1"]) => read(call, known(kind)?, id),
        (&Method::POST, [kind, "_search"]) => {
            let kind = known(kind)?;
            if !is_form(call.headers) {
                return Err(Outcome::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "invalid",
                    "_search takes application/x-www-form-urlencoded",
                ));
            }
            let mut params = query;
            params.0.extend(Params::parse(&whole(body).await?).0);
            search(call, kind, params)
        }
        (&Method::POST, [kind]) => write::create(call, known(kind)?, &whole(body).await?),
        (&Method::POST, []) => write::transaction(call, &whole(body).await?),
        (&Method::GET, _) => Err(Outcome::not_found("no such resource")),
        _ => Err(Outcome::new(StatusCode::METHOD_NOT_ALLOWED, "not-supported", "this interaction is not supported")),
    }
}

fn known(kind: &str) -> Result<&'static str, Outcome> {
    TYPES.into_iter().find(|known| *known == kind).ok_or_else(|| {
        Outcome::new(StatusCode::NOT_FOUND, "not-supported", "this server does not hold that resource type")
    })
}

/// The whole body of a request.
pub(super) async fn whole(body: Body) -> Result<Bytes, Outcome> {
    to_bytes(body, BODY_LIMIT).await.map_err(|_| {
        Outcome::new(StatusCode::PAYLOAD_TOO_LARGE, "too-long", "the request body is larger than 16 MiB, or broke off")
    })
}

/// One way in which a token reaches resources of a type.
struct Rule {
    patient: Option<String>,
    only: Option<&'static str>,
    criteria: Vec<Criterion>,
}

/// All the ways in which a token reaches resources of a type; together they are a union.
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    /// Whether one of them reaches this resource.
    pub(super) fn reach(&self, row: &Row) -> bool {
        self.0.iter().any(|rule| {
            // Who works here is in nobody's compartment, and goes with any record.
            let confined = rule.patient.as_deref().zip(row.patient.as_deref());
            confined.is_none_or(|(own, other)| own == other)
                && rule.only.is_none_or(|id| text(&row.body, "/id") == id)
                && rule.criteria.iter().all(|one| one.matches(&row.body))
        })
    }
}

impl Call<'_> {
    /// What the token may do to a type, by one letter of `cruds` (SMART "Scopes and Launch
    /// Context", "Scopes for requesting FHIR Resources").
    pub(super) fn rules(&self, letter: char, kind: &str) -> Result<Rules, Outcome> {
        let mut rules = Vec::new();
        for scope in self.live.scopes.iter().filter_map(scope::Scope::resource) {
            let patient = match scope.level {
                Level::Patient => match &self.live.grant.context.patient {
                    Some(patient) => Some(patient.clone()),
                    None => continue,
                },
                Level::User | Level::System => None,
            };
            if !scope.reaches(letter, kind) {
                continue;
            }
            let mut criteria = Vec::new();
            for (name, value) in &scope.query {
                criteria.extend(Criterion::parse(kind, name, value, &self.base_url)?);
            }
            rules.push(Rule { patient, only: None, criteria });
        }
        // `fhirUser` lets the application read that one resource (SMART "Scopes for requesting
        // identity data").
        if let Some(user) = self.live.grant.user
            && kind == "Practitioner"
            && letter == 'r'
            && scope::has(&self.live.scopes, &Meaning::FhirUser)
        {
            rules.push(Rule { patient: None, only: Some(user.practitioner), criteria: Vec::new() });
        }
        if rules.is_empty() {
            return Err(Outcome::scope(format!("no granted scope allows {letter:?} on {kind}")));
        }
        Ok(Rules(rules))
    }

    /// A resource as this base shows it: attachment URLs are absolute.
    pub(super) fn present(&self, row: &Row) -> Value {
        let mut body = row.body.clone();
        if text(&body, "/resourceType") == DOCUMENT {
            let contents = body.get_mut("content").and_then(Value::as_array_mut);
            for content in contents.into_iter().flatten() {
                if let Some(Value::String(url)) = content.pointer_mut("/attachment/url")
                    && url.starts_with("Binary/")
                {
                    *url = format!("{}/{url}", self.base_url);
                }
            }
        }
        body
    }
}

fn read(call: &Call<'_>, kind: &str, id: &str) -> Result<Response, Outcome> {
    let rules = call.rules('r', kind)?;
    let records = call.sandbox.records();
    let row = records.get(kind, id).ok_or_else(|| Outcome::not_found("no such resource"))?;
    if !rules.reach(row) {
        return Err(Outcome::scope("the granted scopes do not reach this resource"));
    }
    call.sandbox.count(|stats| stats.fhir_reads += 1);
    if kind == BINARY && call.sandbox.personality().documents_elsewhere {
        let url = file_link(call, id)?;
        return Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response());
    }
    let mut response = if kind == BINARY && !wants_json(call.headers) {
        raw(&row.body)
    } else {
        fhir_json(StatusCode::OK, &call.present(row))
    };
    response.headers_mut().insert(header::ETAG, HeaderValue::from_static("W/\"1\""));
    Ok(response)
}

/// A link to a document in the file store: whoever has it may read the document for some minutes.
pub(super) fn file_link(call: &Call<'_>, id: &str) -> Result<String, Outcome> {
    let token = random().map_err(|_| {
        Outcome::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the sandbox could not draw random bytes")
    })?;
    let params = Params(vec![("id".to_owned(), id.to_owned())]);
    let cursor = Cursor { grant: call.live.grant_id, kind: BINARY, params, offset: 0 };
    call.sandbox.grants().open_cursor(&token, cursor, call.sandbox.now());
    Ok(call.sandbox.url(&format!("/files/{token}")))
}

/// `GET /files/{token}`: the file store. Like those of the big clouds it refuses a second way of proving
/// oneself beside the link.
pub(super) async fn file(State(sandbox): State<Sandbox>, Path(token): Path<String>, headers: HeaderMap) -> Response {
    if headers.contains_key(header::AUTHORIZATION) {
        return (StatusCode::BAD_REQUEST, "Only one way of proving oneself is allowed").into_response();
    }
    let cursor = sandbox.grants().cursor(&token, sandbox.now()).filter(|cursor| cursor.kind == BINARY);
    let id = cursor.and_then(|cursor| cursor.params.first("id").map(str::to_owned));
    let records = sandbox.records();
    let row = id.and_then(|id| records.get(BINARY, &id));
    row.map_or_else(|| StatusCode::FORBIDDEN.into_response(), |row| raw(&row.body))
}

/// FHIR R4 "Binary": raw unless the client asks for a FHIR representation.
fn wants_json(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains("json"))
}

fn raw(binary: &Value) -> Response {
    let bytes = STANDARD.decode(text(binary, "/data")).unwrap_or_default();
    let content_type = HeaderValue::from_str(text(binary, "/contentType"))
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    (
        [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            // Documents may be HTML: they never run in this origin.
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        ],
        bytes,
    )
        .into_response()
}

fn search(call: &Call<'_>, kind: &'static str, params: Params) -> Result<Response, Outcome> {
    if kind == BINARY {
        return Err(Outcome::new(StatusCode::METHOD_NOT_ALLOWED, "not-supported", "Binary cannot be searched"));
    }
    let rules = call.rules('s', kind)?;
    let (params, offset) = match params.first("_page") {
        Some(page) => {
            let cursor = call
                .sandbox
                .grants()
                .cursor(page, call.sandbox.now())
                .filter(|cursor| cursor.grant == call.live.grant_id && cursor.kind == kind)
                .ok_or_else(|| Outcome::new(StatusCode::GONE, "not-found", "this page is gone: search anew"))?;
            (cursor.params, cursor.offset)
        }
        None => (params, 0),
    };
    let strict = call
        .headers
        .get("prefer")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("handling=strict"));
    if call.sandbox.personality().count_refused && params.first("_count").is_some() {
        return Err(Outcome::invalid("_count is not supported"));
    }
    let query = Query::parse(kind, &params, &call.base_url, strict)?;
    let records = call.sandbox.records();
    let mut total = 0_usize;
    let mut entries: Vec<Value> = Vec::new();
    for row in records.all(kind) {
        if !rules.reach(row) || !query.criteria.iter().all(|one| one.matches(&row.body)) {
            continue;
        }
        if total >= offset && entries.len() < query.count {
            entries.push(json!({
                "fullUrl": format!("{}/{kind}/{}", call.base_url, text(&row.body, "/id")),
                "resource": call.present(row),
                "search": { "mode": "match" }
            }));
        }
        total += 1;
    }
    drop(records);
    call.sandbox.count(|stats| stats.fhir_reads += 1);
    let end = offset + entries.len();
    let mut links = vec![json!({ "relation": "self", "url": self_link(call, kind, &query.used) })];
    if end < total && query.count > 0 {
        let cursor = Cursor { grant: call.live.grant_id, kind, params: Params(query.used), offset: end };
        links.push(json!({ "relation": "next", "url": next_link(call, cursor)? }));
    }
    let mut bundle = json!({
        "resourceType": "Bundle",
        "type": "searchset",
        "total": total,
        "link": links
    });
    // FHIR JSON has no empty arrays.
    if !entries.is_empty()
        && let Some(bundle) = bundle.as_object_mut()
    {
        bundle.insert("entry".to_owned(), json!(entries));
    }
    Ok(fhir_json(StatusCode::OK, &bundle))
}

fn self_link(call: &Call<'_>, kind: &str, used: &[(String, String)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(used).finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}/{kind}{mark}{query}", call.base_url)
}

/// FHIR R4 "Paging": the link of a page is opaque to clients.
fn next_link(call: &Call<'_>, cursor: Cursor) -> Result<String, Outcome> {
    let token = random().map_err(|_| {
        Outcome::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the sandbox could not draw random bytes")
    })?;
    let url = format!("{}/{}?_page={token}", call.base_url, cursor.kind);
    let now = call.sandbox.now();
    call.sandbox.grants().open_cursor(&token, cursor, now);
    Ok(url)
}
