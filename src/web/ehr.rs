//! The customer's JSON routes under `/api/integrations/ehr/`, for members and API tokens.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Refused;
use crate::model::field::Rule;
use crate::model::id::ProviderId;
use crate::model::problem::{Code, Problem};
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::flow::{Caller, disconnect as flow_disconnect, preflight, settings};
use crate::server::request::RequestMeta;
use crate::server::smart::keys::{PublicJwks, SigningKey};

/// Turns a flow's outcome into an answer.
fn answer<T: serde::Serialize>(meta: &RequestMeta, outcome: Outcome<T>) -> Response {
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
        let revocation = flow_disconnect::disconnect(&app, caller(&meta)?, &wanted.provider_id).await?;
        Ok(json!({"providerId": wanted.provider_id, "disconnected": true, "revocation": revocation}))
    };
    answer(&meta, end.await)
}

/// `GET jwks`: public keys only; the empty set without a key.
pub(super) async fn jwks(State(app): State<App>) -> Response {
    let keys = app.signing_key.iter().map(SigningKey::public_jwk).collect();
    ([(CACHE_CONTROL, "public, max-age=3600")], Json(PublicJwks { keys })).into_response()
}

/// Any other path.
pub(super) async fn not_found(Extension(meta): Extension<RequestMeta>) -> Response {
    answer::<()>(&meta, Err(Code::NotFound.into()))
}

fn parse<T: serde::de::DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Outcome<T> {
    let body = body.map_err(|_| Problem::new(Code::PayloadTooLarge))?;
    serde_json::from_slice(&body).map_err(|_| Failure::field("", Rule::WrongType))
}
