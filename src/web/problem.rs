//! Problems as HTTP answers.

use std::any::Any;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::model::problem::{Code, Problem};

/// A problem on its way out, in the form of the JSON API:
/// `{"error", "message", "action", "requestId", "fields"?}`.
pub struct Refused(pub Problem);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let entry = self.0.code.entry();
        let mut body = json!({
            "error": entry.name,
            "message": entry.message,
            "action": entry.action,
            "requestId": self.0.request_id,
        });
        if !self.0.fields.is_empty() {
            let rules = self
                .0
                .fields
                .iter()
                .map(|error| (error.field.clone(), serde_json::to_value(error.rule).unwrap_or(Value::Null)));
            if let Some(object) = body.as_object_mut() {
                object.insert("fields".into(), Value::Object(rules.collect::<Map<_, _>>()));
            }
        }
        let mut response = (status(self.0.code), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("application/problem+json"));
        if self.0.code == Code::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer"));
        }
        if self.0.code == Code::RateLimited {
            // An hour is as far as anybody plans; a day would be a mistake of the EHR's.
            headers.insert(RETRY_AFTER, self.0.retry_after.unwrap_or(60).clamp(1, 3_600).into());
        }
        response
    }
}

/// The status of a code.
pub fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.entry().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A panic in a handler: a fault of ours, logged without what it was about.
pub fn panicked(_what: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Refused(Code::Internal.into()).into_response()
}
