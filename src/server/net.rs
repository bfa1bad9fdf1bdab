//! The only outbound HTTP client.
//!
//! Guards: every call has a timeout and a size cap (a streamed one has a limit for each wait instead, and its
//! caller keeps nothing of its size); no redirect is followed; nothing but https, or
//! http to this machine where private networks are allowed; a name is resolved once and never to a
//! private address (unless `EHR_ALLOW_PRIVATE_NETWORK=1`), so that an EHR's address cannot be
//! pointed at our own network. Reads are retried once after a short wait; posts never are: a code or
//! refresh token may be used only once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::config::ConfigError;

/// What we call ourselves.
pub const USER_AGENT: &str = concat!("ehr-integrations/", env!("CARGO_PKG_VERSION"));
/// The largest answer that is read, in bytes.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// How long a streamed answer may give nothing.
const IDLE: Duration = Duration::from_mins(1);

/// The client; cheap to clone.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    /// For what is long: limits each wait instead of the whole, and decodes nothing.
    streaming: reqwest::Client,
    allow_private: bool,
}

/// A request.
pub struct Request<'a> {
    /// Where to.
    pub url: &'a str,
    /// What is accepted.
    pub accept: &'static str,
    /// A bearer token; the caller has made sure that the host may see it.
    pub bearer: Option<&'a SecretString>,
    /// Further headers.
    pub headers: &'a [(&'static str, String)],
}

/// What a request carries.
pub enum Payload<'a> {
    /// Nothing.
    None,
    /// A form.
    Form(&'a [(&'a str, String)]),
    /// A FHIR resource in JSON.
    Fhir(Vec<u8>),
}

/// An answer.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most as many bytes as were wanted.
    pub body: Vec<u8>,
}

/// An answer whose body is still to come.
pub struct Opened {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it comes, of any size, encoded as the headers say.
    pub body: BoxStream<'static, Result<Bytes, NetError>>,
}

/// Why there is no answer. The texts name no address: addresses can hold what must not be logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// Not an address that may be called.
    #[error("address not allowed")]
    NotAllowed,
    /// The name does not resolve, or only to addresses that may not be called.
    #[error("no allowed address for this name")]
    NoAddress,
    /// No connection, or it broke.
    #[error("connection failed")]
    Connection,
    /// No answer in time.
    #[error("timed out")]
    TimedOut,
    /// More bytes than were wanted.
    #[error("answer too large")]
    TooLarge,
}

impl Http {
    /// A client with this overall time limit a call.
    ///
    /// # Errors
    /// When the TLS back end cannot be set up.
    pub fn new(allow_private: bool, timeout: Duration) -> Result<Self, ConfigError> {
        let client = || {
            reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .redirect(Policy::none())
                .no_proxy()
                .connect_timeout(Duration::from_secs(5))
                .dns_resolver(Arc::new(PublicNames { allow_private }))
        };
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| ConfigError::invalid("TLS", error.to_string()))
        };
        Ok(Self {
            client: build(client().timeout(timeout))?,
            streaming: build(client().read_timeout(IDLE).gzip(false))?,
            allow_private,
        })
    }

    /// Reads, with one retry when there is no answer or a 502, 503 or 504.
    ///
    /// # Errors
    /// See [`NetError`].
    pub async fn get(&self, request: &Request<'_>) -> Result<Answer, NetError> {
        let policy =
            ExponentialBuilder::default().with_min_delay(Duration::from_millis(200)).with_max_times(1).with_jitter();
        let attempt = || async {
            match self.call(Method::GET, request, Payload::None, MAX_BODY).await {
                Ok(answer) if matches!(answer.status.as_u16(), 502..=504) => Err(Retry::Answer(answer)),
                Ok(answer) => Ok(answer),
                Err(error) => Err(Retry::Error(error)),
            }
        };
        let again =
            |retry: &Retry| matches!(retry, Retry::Answer(_) | Retry::Error(NetError::Connection | NetError::TimedOut));
        match attempt.retry(policy).when(again).await {
            Ok(answer) | Err(Retry::Answer(answer)) => Ok(answer),
            Err(Retry::Error(error)) => Err(error),
        }
    }

    /// Posts a form, once.
    ///
    /// # Errors
    /// See [`NetError`].
    pub async fn post_form(&self, request: &Request<'_>, form: &[(&str, String)]) -> Result<Answer, NetError> {
        self.call(Method::POST, request, Payload::Form(form), MAX_BODY).await
    }

    /// Asks for what may be large: the body is read as it comes, without a limit of size or of the whole time.
    /// Once, and as it is: no encoding is asked for or undone.
    ///
    /// # Errors
    /// See [`NetError`].
    pub async fn open(&self, request: &Request<'_>) -> Result<Opened, NetError> {
        let call = self.request(&self.streaming, Method::GET, request)?;
        let response = call.send().await.map_err(|error| classify(&error))?;
        Ok(Opened {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes_stream().map_err(|error| classify(&error)).boxed(),
        })
    }

    fn request(
        &self,
        client: &reqwest::Client,
        method: Method,
        request: &Request<'_>,
    ) -> Result<reqwest::RequestBuilder, NetError> {
        let url = self.allowed(request.url)?;
        let mut call = client.request(method, url).header(ACCEPT, request.accept);
        for (name, value) in request.headers {
            call = call.header(HeaderName::from_static(name), sensitive(value)?);
        }
        if let Some(token) = request.bearer {
            call = call.header(AUTHORIZATION, sensitive(&format!("Bearer {}", token.expose_secret()))?);
        }
        Ok(call)
    }

    /// Sends a request once, as it is: who calls decides what is tried again. At most `max_body` bytes of the
    /// answer are read.
    ///
    /// # Errors
    /// See [`NetError`].
    pub async fn call(
        &self,
        method: Method,
        request: &Request<'_>,
        payload: Payload<'_>,
        max_body: usize,
    ) -> Result<Answer, NetError> {
        let mut call = self.request(&self.client, method, request)?;
        call = match payload {
            Payload::None => call,
            Payload::Form(form) => call.form(form),
            Payload::Fhir(body) => call.header(CONTENT_TYPE, "application/fhir+json").body(body),
        };
        let response = call.send().await.map_err(|error| classify(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| classify(&error))?;
            if body.len() + chunk.len() > max_body {
                return Err(NetError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }

    /// Whether an address may be called, by its text alone. Names are checked again when they resolve.
    ///
    /// # Errors
    /// [`NetError::NotAllowed`].
    pub fn allowed(&self, text: &str) -> Result<Url, NetError> {
        let url = Url::parse(text).map_err(|_| NetError::NotAllowed)?;
        let private = match url.host().ok_or(NetError::NotAllowed)? {
            Host::Ipv4(ip) => is_private(ip.into()),
            Host::Ipv6(ip) => is_private(ip.into()),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
            }
        };
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && private);
        let user = !url.username().is_empty() || url.password().is_some();
        if scheme && !user && (self.allow_private || !private) { Ok(url) } else { Err(NetError::NotAllowed) }
    }
}

/// A header value that debug output does not show.
fn sensitive(text: &str) -> Result<HeaderValue, NetError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| NetError::NotAllowed)?;
    value.set_sensitive(true);
    Ok(value)
}

enum Retry {
    Answer(Answer),
    Error(NetError),
}

fn classify(error: &reqwest::Error) -> NetError {
    if error.is_timeout() {
        return NetError::TimedOut;
    }
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<NoAllowedAddress>() {
            return NetError::NoAddress;
        }
        source = inner.source();
    }
    NetError::Connection
}

/// Whether an address is not of the public internet (RFC 6890 and what maps onto it).
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b))
                || a >= 240
        }
        IpAddr::V6(ip) => {
            let embedded = ip.to_ipv4_mapped().or_else(|| embedded_v4(ip));
            let first = ip.segments().first().copied().unwrap_or_default();
            embedded.is_some_and(|ip| is_private(ip.into()))
                || ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || first & 0xffc0 == 0xfec0
                || (first == 0x2001 && ip.segments().get(1) == Some(&0x0db8))
        }
    }
}

/// The IPv4 address inside a 6to4 (`2002::/16`), NAT64 (`64:ff9b::/96`) or IPv4-compatible address.
fn embedded_v4(ip: std::net::Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    let join = |high: u16, low: u16| std::net::Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        [0x2002, high, low, ..] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) != (0, 1) && (high, low) != (0, 0) => Some(join(high, low)),
        _ => None,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no allowed address")]
struct NoAllowedAddress;

/// Resolves names by the system, and drops the addresses that may not be called.
struct PublicNames {
    allow_private: bool,
}

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|at| allow_private || !is_private(at.ip())).collect();
            if allowed.is_empty() {
                return Err(Box::new(NoAllowedAddress) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(allow_private: bool) -> Http {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Http::new(allow_private, Duration::from_secs(1)).ok().unwrap()
    }

    #[test]
    fn only_public_https() {
        let http = http(false);
        assert!(http.allowed("https://ehr.example/fhir").is_ok());
        for bad in [
            "http://ehr.example",
            "https://127.0.0.1",
            "https://10.1.2.3",
            "https://[::1]",
            "https://[::ffff:10.0.0.1]",
            "https://169.254.169.254",
            "https://2130706433",
            "https://0x7f.1",
            "https://0177.0.0.1",
            "https://localhost",
            "https://a.localhost.",
            "https://[fd00::1]",
            "https://[64:ff9b::7f00:1]",
            "https://[2002:7f00:1::]",
            "https://user@ehr.example",
            "ftp://ehr.example",
            "https://100.64.0.1",
            "file:///etc/passwd",
        ] {
            assert_eq!(http.allowed(bad).err(), Some(NetError::NotAllowed), "{bad}");
        }
    }

    #[test]
    fn rehearsal_allows_loopback_http() {
        let http = http(true);
        assert!(http.allowed("http://127.0.0.1:4000/fhir").is_ok());
        assert!(http.allowed("http://ehr.example").is_err());
    }
}
