//! Asks for a file: with or without the token, from its middle or its beginning, over redirects.
//!
//! RFC 9110 §13.1.5 (If-Range), §14 (Range), §15.4 (redirects). Guards: the token goes to the FHIR server's own
//! origin, if the manifest asks for it, and never again once a redirect left it; every address of the way is one
//! that the practice allows, and that `net` allows.

use std::borrow::Cow;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, LAST_MODIFIED, LOCATION};
use secrecy::SecretString;
use url::Url;

use super::body::Body;
use super::{Fetcher, Trouble};
use crate::model::problem::Code;
use crate::server::bulk::retry_after;
use crate::server::net::{NetError, Opened as Answer, Request};
use crate::server::store::export_file::DueFile;

const MAX_REDIRECTS: usize = 3;
/// Bulk Data Access, "Output File Request".
const NDJSON: &str = "application/fhir+ndjson";

/// A file that comes.
pub(super) struct Opened {
    /// At which byte of it.
    pub(super) from: u64,
    /// With what a later request can go on.
    pub(super) validator: Option<String>,
    /// What comes.
    pub(super) body: Body,
}

/// Where a file is to go on.
struct Resume<'a> {
    from: u64,
    validator: &'a str,
}

impl Fetcher<'_> {
    /// Asks for a file, until it comes or there is a reason why not.
    pub(super) async fn open(&self, file: &DueFile) -> Result<Opened, Trouble> {
        let known = &file.progress;
        let mut resume = known.validator.as_deref().zip(u64::try_from(known.bytes).ok().filter(|bytes| *bytes > 0));
        let mut url = parse(&file.url)?;
        let mut with_token = file.needs_token;
        let mut refused: Option<SecretString> = None;
        let mut redirects = 0;
        loop {
            if !self.hosts.allows(&url) {
                // Whoever may allow the host has to know which it is.
                let host = url.host_str().unwrap_or_default();
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                let detail = Cow::Owned(format!("host_not_allowed {host}{port}"));
                return Err(Trouble::Hopeless { problem: Code::Forbidden, detail });
            }
            let own = self.hosts.is_own(&url);
            with_token &= own;
            let token = if with_token { Some(self.token(refused.as_ref()).await?) } else { None };
            let going_on = resume.map(|(validator, from)| Resume { from, validator });
            let answer = self.ask(&url, own, token.as_ref(), going_on.as_ref()).await?;
            let status = answer.status.as_u16();
            match status {
                200 => return opened(0, answer),
                206 => match going_on {
                    Some(Resume { from, validator }) if goes_on(&answer.headers, from, validator) => {
                        let validator = Some(validator.to_owned());
                        return Ok(Opened { validator, ..opened(from, answer)? });
                    }
                    Some(_) => resume = None,
                    None => return Err(again("status_206")),
                },
                416 if resume.is_some() => resume = None,
                301 | 302 | 303 | 307 | 308 => {
                    redirects += 1;
                    if redirects > MAX_REDIRECTS {
                        return Err(hopeless(Code::EhrUnavailable, "redirects"));
                    }
                    let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
                    url = location.and_then(|text| url.join(text).ok()).ok_or(again("redirect"))?;
                }
                401 if token.is_some() && refused.is_some() => return Err(Trouble::TokenRefused),
                401 if token.is_some() => refused = token,
                _ => return Err(self.refusal(&answer, token.is_some(), own)),
            }
        }
    }

    async fn token(&self, refused: Option<&SecretString>) -> Result<SecretString, Trouble> {
        self.tokens.get(refused, self.app.clock.now()).await.map_err(Trouble::NoToken)
    }

    async fn ask(
        &self,
        url: &Url,
        own: bool,
        bearer: Option<&SecretString>,
        resume: Option<&Resume<'_>>,
    ) -> Result<Answer, Trouble> {
        let mut headers = if own { self.headers.to_vec() } else { Vec::new() };
        match resume {
            // A range counts the bytes of what is sent: as the file is, or not at all.
            Some(Resume { from, validator }) => headers.extend([
                ("range", format!("bytes={from}-")),
                ("if-range", (*validator).to_owned()),
                ("accept-encoding", "identity".to_owned()),
            ]),
            None => headers.push(("accept-encoding", "gzip".to_owned())),
        }
        let request = Request { url: url.as_str(), accept: NDJSON, bearer, headers: &headers };
        self.app.http.open(&request).await.map_err(|error| match error {
            NetError::NotAllowed => hopeless(Code::Forbidden, "address_not_allowed"),
            NetError::NoAddress => again("no_address"),
            NetError::TimedOut => again("timeout"),
            NetError::Connection | NetError::TooLarge => again("connection"),
        })
    }

    /// What an answer means that is no file.
    fn refusal(&self, answer: &Answer, with_token: bool, own: bool) -> Trouble {
        let status = answer.status.as_u16();
        let after = retry_after::seconds(&answer.headers, self.app.clock.now());
        let detail = Cow::Owned(format!("status_{status}"));
        match status {
            404 | 410 => Trouble::Gone(status),
            // An address that lets in whoever knows it lets nobody in any more.
            401 | 403 if !with_token || !own => Trouble::Gone(status),
            403 => Trouble::Hopeless { problem: Code::ScopeDenied, detail },
            429 => Trouble::TooMuch { after },
            408 | 425 | 500..=599 => Trouble::Again { problem: Code::EhrUnavailable, detail, after },
            _ => Trouble::Hopeless { problem: Code::EhrUnavailable, detail },
        }
    }
}

fn parse(url: &str) -> Result<Url, Trouble> {
    Url::parse(url).map_err(|_| hopeless(Code::FhirInvalid, "address"))
}

const fn again(detail: &'static str) -> Trouble {
    Trouble::unavailable(detail)
}

const fn hopeless(problem: Code, detail: &'static str) -> Trouble {
    Trouble::Hopeless { problem, detail: Cow::Borrowed(detail) }
}

fn opened(from: u64, answer: Answer) -> Result<Opened, Trouble> {
    let validator = validator(&answer.headers).filter(|_| answer.status == StatusCode::OK);
    Ok(Opened { from, validator, body: Body::new(answer)? })
}

/// With what a later request can go on, if the server sends ranges and this is the file as it is: a strong
/// `ETag`, else `Last-Modified`.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let plain = text(CONTENT_ENCODING).is_none_or(|encoding| encoding.eq_ignore_ascii_case("identity"));
    let ranges = text(ACCEPT_RANGES).is_some_and(|unit| unit.eq_ignore_ascii_case("bytes"));
    let strong = text(ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(LAST_MODIFIED)).filter(|_| plain && ranges).map(str::to_owned)
}

/// Whether an answer is the rest of the same file.
fn goes_on(headers: &HeaderMap, from: u64, validator: &str) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let range = text(CONTENT_RANGE).and_then(|text| text.trim().strip_prefix("bytes "));
    let start = range.and_then(|range| range.split('-').next()?.trim().parse::<u64>().ok());
    let end_is_end = range.is_some_and(|range| {
        let Some((span, whole)) = range.split_once('/') else { return false };
        let last = span.split_once('-').and_then(|(_, last)| last.trim().parse::<u64>().ok());
        whole.trim() == "*" || last.map(|last| last + 1) == whole.trim().parse().ok()
    });
    let same = text(ETAG).is_none_or(|tag| !validator.starts_with('"') || tag == validator);
    start == Some(from) && end_is_end && same
}
