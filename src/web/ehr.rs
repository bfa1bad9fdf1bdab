//! The customer's JSON routes under `/api/integrations/ehr/`, for members and API tokens.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::problem::Refused;
use crate::model::field::Rule;
use crate::model::id::{PracticeId, ProviderId};
use crate::model::problem::{Code, Problem};
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::flow::{Caller, disconnect as flow_disconnect, keys, preflight, settings};
use crate::server::request::RequestMeta;

/// Turns a flow's outcome into an answer.
pub(super) fn answer<T: serde::Serialize>(meta: &RequestMeta, outcome: Outcome<T>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(failure) => Refused(failure.into_problem(&meta.request_id)).into_response(),
    }
}

pub(super) fn caller(meta: &RequestMeta) -> Outcome<&Caller> {
    meta.caller.as_ref().ok_or_else(|| Code::Unauthenticated.into())
}

/// `GET config`
pub(super) async fn read_config(State(app): State<App>, Extension(meta): Extension<RequestMeta>) -> Response {
    let read = async { settings::read_json(&app, caller(&meta)?).await };
    answer(&meta, read.await)
}

/// `POST config`
pub(super) async fn save_config(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let save = async {
        let posted: Value = parse(body)?;
        settings::save_json(&app, caller(&meta)?, &posted).await
    };
    answer(&meta, save.await)
}

/// The query of `status`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusQuery {
    provider_id: ProviderId,
    #[serde(default)]
    include_capabilities: Option<String>,
}

/// `GET status?providerId&includeCapabilities=1`
pub(super) async fn status(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    query: Result<Query<StatusQuery>, QueryRejection>,
) -> Response {
    let read = async {
        let Query(query) = query.map_err(|_| Failure::field("providerId", Rule::Required))?;
        let wanted = matches!(query.include_capabilities.as_deref(), Some("1" | "true"));
        preflight::status(&app, caller(&meta)?, &query.provider_id, wanted).await
    };
    answer(&meta, read.await)
}

/// The body, or the query, of `disconnect`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderQuery {
    pub(super) provider_id: ProviderId,
}

/// `POST disconnect` with `{"providerId": …}` as JSON, or `providerId` in the query.
pub(super) async fn disconnect(
    State(app): State<App>,
    Extension(meta): Extension<RequestMeta>,
    query: Result<Query<ProviderQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let end = async {
        let wanted = match query {
            Ok(Query(query)) => query,
            Err(_) => parse(body)?,
        };
        let receipt = flow_disconnect::disconnect(&app, caller(&meta)?, &wanted.provider_id).await?;
        let revocation = receipt.summary();
        Ok(
            json!({"providerId": wanted.provider_id, "disconnected": true, "revocation": revocation, "receipt": receipt}),
        )
    };
    answer(&meta, end.await)
}

/// `GET jwks`: the installation's public keys; the empty set without a key.
pub(super) async fn jwks(State(app): State<App>, meta: Extension<RequestMeta>, headers: HeaderMap) -> Response {
    key_set(&app, &meta, &headers, None).await
}

/// `GET jwks/{practice}`: a practice's own public keys; the empty set for anybody else.
pub(super) async fn practice_jwks(
    State(app): State<App>,
    meta: Extension<RequestMeta>,
    Path(practice): Path<PracticeId>,
    headers: HeaderMap,
) -> Response {
    key_set(&app, &meta, &headers, Some(&practice)).await
}

/// How long an EHR may keep a set, in seconds: far less than a new key is published before it signs.
const KEY_SET_LIFE: u32 = 3_600;

async fn key_set(app: &App, meta: &RequestMeta, headers: &HeaderMap, owner: Option<&PracticeId>) -> Response {
    let set = match keys::published(app, owner).await {
        Ok(set) => set,
        Err(failure) => return answer::<()>(meta, Err(failure)),
    };
    if !set.keys.is_empty() {
        keys::fetched(app, owner, meta.ip, &meta.user_agent).await;
    }
    let Ok(body) = serde_json::to_vec(&set) else { return answer::<()>(meta, Err(Failure::Corrupt("JWKS"))) };
    let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&body)));
    let fresh = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let unchanged = fresh.is_some_and(|list| list.split(',').any(|one| one.trim().trim_start_matches("W/") == etag));
    let described = [(CACHE_CONTROL, format!("public, max-age={KEY_SET_LIFE}")), (ETAG, etag)];
    if unchanged {
        return (StatusCode::NOT_MODIFIED, described).into_response();
    }
    (described, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Any other path.
pub(super) async fn not_found(Extension(meta): Extension<RequestMeta>) -> Response {
    answer::<()>(&meta, Err(Code::NotFound.into()))
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Outcome<T> {
    let body = body.map_err(|_| Problem::new(Code::PayloadTooLarge))?;
    serde_json::from_slice(&body).map_err(|_| Failure::field("", Rule::WrongType))
}
