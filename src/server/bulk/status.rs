//! Asking how an export stands, and telling the EHR to clean up.
//!
//! FHIR Bulk Data Access, "Bulk Data Status Request", "Bulk Data Delete Request".

use reqwest::Method;
use reqwest::header::{EXPIRES, HeaderMap};

use super::manifest::Manifest;
use super::retry_after;
use super::server::{CallError, Server};
use crate::model::time::Timestamp;
use crate::server::fhir::outcome;
use crate::server::net::Payload;

/// The longest progress text that is kept, in characters; the standard allows 100.
const MAX_PROGRESS: usize = 200;

/// How an export stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being prepared.
    InProgress {
        /// What the EHR says of it.
        progress: Option<String>,
        /// After how many seconds it wants to be asked again.
        after: Option<i64>,
        /// What is there already.
        so_far: Option<Manifest>,
    },
    /// A page of the manifest is complete.
    Ready {
        /// It.
        manifest: Manifest,
        /// Until when the files are kept.
        expires: Option<Timestamp>,
    },
    /// 429: asked too often.
    Busy(Option<i64>),
    /// 401: the token is not accepted.
    Unauthorized,
    /// Trouble that passes.
    Transient(Option<i64>),
    /// The EHR has forgotten it.
    Gone,
    /// It cannot go on.
    Failed(u16, Option<String>),
}

/// Asks.
///
/// # Errors
/// See [`CallError`].
pub async fn ask(server: &Server<'_>, url: &str, now: Timestamp) -> Result<Status, CallError> {
    let answer = server.call(Method::GET, url, "application/json", None, Payload::None).await?;
    let status = effective(answer.status.as_u16(), &answer.headers);
    let after = retry_after::seconds(&answer.headers, now);
    Ok(match status {
        202 => Status::InProgress {
            progress: header(&answer.headers, "x-progress").map(|text| text.chars().take(MAX_PROGRESS).collect()),
            after,
            so_far: Manifest::parse(&answer.body, url),
        },
        200 => match Manifest::parse(&answer.body, url) {
            Some(manifest) => {
                let expires = answer.headers.get(EXPIRES).and_then(|value| value.to_str().ok());
                Status::Ready { manifest, expires: expires.and_then(retry_after::date) }
            }
            // Cut on its way, or a page of something in between.
            None if serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body).is_err() => Status::Transient(after),
            None => {
                Status::Failed(status, Some(outcome::summary(&answer.body).unwrap_or_else(|| "no manifest".into())))
            }
        },
        401 => Status::Unauthorized,
        404 | 410 => Status::Gone,
        429 => Status::Busy(after),
        _ if outcome::is_transient(&answer.body) => Status::Transient(after),
        // A gateway's page says nothing of the export; an outcome does.
        408 | 502..=504 if outcome::summary(&answer.body).is_none() => Status::Transient(after),
        503 => Status::Transient(after),
        _ => Status::Failed(status, outcome::summary(&answer.body)),
    })
}

/// Tells the EHR that it may clean up; `false` when it has to be told again.
///
/// # Errors
/// See [`CallError`].
pub async fn delete(server: &Server<'_>, url: &str) -> Result<bool, CallError> {
    let answer = server.call(Method::DELETE, url, "application/json", None, Payload::None).await?;
    // 404 and 410: it has cleaned up by itself. 405 and 501: it never will.
    Ok(matches!(answer.status.as_u16(), 200..=299 | 404 | 405 | 410 | 501))
}

/// With a separate export status, the HTTP status says only that the question was answered.
fn effective(http: u16, headers: &HeaderMap) -> u16 {
    let own = header(headers, "x-export-status").and_then(|text| text.parse().ok());
    if http == 200 { own.unwrap_or(http) } else { http }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_export_status_decides() {
        let headers = |status: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-export-status", status.parse().unwrap());
            headers
        };
        assert_eq!(effective(200, &headers("202")), 202);
        assert_eq!(effective(200, &headers("500")), 500);
        assert_eq!(effective(200, &headers("soon")), 200);
        assert_eq!(effective(200, &HeaderMap::new()), 200);
        assert_eq!(effective(503, &headers("202")), 503, "the question was not answered");
    }
}
