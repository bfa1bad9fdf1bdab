//! Settings from the environment, parsed once at start.
//!
//! Guards: a missing or malformed value stops the start with one line that names the variable and
//! how to make a good one; nothing else in the program reads the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::model::address::{Address, Allowlist};
use crate::model::scope::Scope;

/// The settings as the environment or a `.env` file has them.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Key that encrypts tokens and secrets at rest: base64 of 32 bytes. Make one with
    /// `ehr-integrations keys generate`.
    #[arg(long, env = "INTEGRATIONS_TOKEN_ENC_KEY", hide_env_values = true)]
    pub integrations_token_enc_key: Option<SecretString>,

    /// Where browsers and EHRs reach this installation, for example <https://integrations.example.org>.
    #[arg(long, env = "APP_BASE_URL")]
    pub app_base_url: Option<String>,

    /// Issuers that practices may use, separated by commas; empty allows every https issuer.
    #[arg(long, env = "SMART_ISSUER_ALLOWLIST", default_value = "")]
    pub smart_issuer_allowlist: String,

    /// Scopes that replace the providers' default scopes, separated by spaces.
    #[arg(long, env = "SMART_DEFAULT_SCOPES", default_value = "")]
    pub smart_default_scopes: String,

    /// Private key (PEM; RSA or P-384) that signs client assertions: taken in as the first key. Escaped newlines
    /// and quotes are accepted.
    #[arg(long, env = "EHR_JWT_PRIVATE_KEY", hide_env_values = true)]
    pub ehr_jwt_private_key: Option<SecretString>,

    /// The key's id (`kid`) in the JWKS and in assertions.
    #[arg(long, env = "EHR_JWT_KEY_ID")]
    pub ehr_jwt_key_id: Option<String>,

    /// The database: `sqlite://path` or `postgres://user@host/name`.
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite://data/ehr-integrations.db", hide_env_values = true)]
    pub database_url: String,

    /// Allow EHRs on private and loopback addresses (1 or true): for rehearsal only.
    #[arg(long, env = "EHR_ALLOW_PRIVATE_NETWORK", default_value = "0")]
    pub ehr_allow_private_network: String,

    /// The longest that the EHR is left alone while it prepares a bulk export, in seconds, whatever it asks for.
    #[arg(long, env = "EHR_BULK_MAX_POLL_SECONDS", default_value = "300")]
    pub ehr_bulk_max_poll_seconds: i64,

    /// Address to listen on.
    #[arg(long, env = "LEPTOS_SITE_ADDR", default_value = "127.0.0.1:3000")]
    pub leptos_site_addr: SocketAddr,

    /// Folder with the browser assets; the default is `site` beside the program, else `target/site`.
    #[arg(long, env = "LEPTOS_SITE_ROOT")]
    pub leptos_site_root: Option<PathBuf>,

    /// Proxies in front that set `X-Forwarded-For` (how many); 0 trusts none.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "0")]
    pub trusted_proxies: usize,

    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// The key of the vault; its bytes are wiped when it goes.
#[derive(Clone)]
pub struct EncryptionKey(Zeroizing<[u8; 32]>);

impl EncryptionKey {
    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as `INTEGRATIONS_TOKEN_ENC_KEY` wants it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(*self.0)
    }
}

/// A private key in PEM with its id.
#[derive(Clone)]
pub struct PrivateKey {
    /// The PEM text, with real newlines.
    pub pem: SecretString,
    /// The `kid`; absent means the key's thumbprint.
    pub kid: Option<String>,
}

/// The settings, parsed.
#[derive(Clone)]
pub struct Config {
    /// Seals what must not be readable in the database.
    pub encryption_key: EncryptionKey,
    /// Where browsers reach us: an origin without path.
    pub base_url: Address,
    /// Which issuers may be used.
    pub allowlist: Allowlist,
    /// Scopes that replace the providers' defaults, if set.
    pub default_scopes: Option<Vec<Scope>>,
    /// The signing key to take in.
    pub signing_key: Option<PrivateKey>,
    /// Whether private and loopback addresses may be called.
    pub allow_private_network: bool,
    /// The longest that the EHR is left alone while it prepares a bulk export, in seconds.
    pub bulk_max_poll_seconds: i64,
    /// How many proxies in front are trusted.
    pub trusted_proxies: usize,
    /// How long an outbound call may take in all.
    pub outbound_timeout: Duration,
}

/// A setting that stops the start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is not set.
    #[error("{variable} is not set: {hint}")]
    Missing {
        /// The variable.
        variable: &'static str,
        /// How to make a good value.
        hint: &'static str,
    },
    /// A variable has a value that cannot be used.
    #[error("{variable} is not valid: {reason}")]
    Invalid {
        /// The variable.
        variable: &'static str,
        /// What is wrong, and how to make a good value.
        reason: String,
    },
}

impl ConfigError {
    /// A value that cannot be used.
    pub fn invalid(variable: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { variable, reason: reason.into() }
    }
}

const KEY_HINT: &str = "make one with `ehr-integrations keys generate`";
const KEY: &str = "INTEGRATIONS_TOKEN_ENC_KEY";
const BASE: &str = "APP_BASE_URL";

impl Config {
    /// Parses the settings.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn parse(settings: &Settings) -> Result<Self, ConfigError> {
        let key = settings
            .integrations_token_enc_key
            .as_ref()
            .filter(|key| !key.expose_secret().trim().is_empty())
            .ok_or(ConfigError::Missing { variable: KEY, hint: KEY_HINT })?;
        let base = settings
            .app_base_url
            .as_deref()
            .filter(|url| !url.trim().is_empty())
            .ok_or(ConfigError::Missing { variable: BASE, hint: "for example https://integrations.example.org" })?;
        Ok(Self {
            encryption_key: parse_key(key)?,
            base_url: parse_base(base)?,
            allowlist: Allowlist::parse(&settings.smart_issuer_allowlist).map_err(|entry| {
                ConfigError::invalid("SMART_ISSUER_ALLOWLIST", format!("`{entry}` is no https address"))
            })?,
            default_scopes: parse_scopes(&settings.smart_default_scopes)?,
            signing_key: parse_signing_key(settings),
            allow_private_network: parse_switch("EHR_ALLOW_PRIVATE_NETWORK", &settings.ehr_allow_private_network)?,
            bulk_max_poll_seconds: parse_max_poll(settings.ehr_bulk_max_poll_seconds)?,
            trusted_proxies: settings.trusted_proxies,
            outbound_timeout: Duration::from_secs(20),
        })
    }

    /// `{APP_BASE_URL}/api/integrations/ehr/{path}`.
    pub fn ehr_url(&self, path: &str) -> String {
        format!("{}/api/integrations/ehr/{path}", self.base_url)
    }

    /// The redirect URL that the EHR's app registration must have, to the letter.
    pub fn redirect_url(&self) -> String {
        self.ehr_url("callback")
    }
}

fn parse_key(key: &SecretString) -> Result<EncryptionKey, ConfigError> {
    let text = Zeroizing::new(unquote(key.expose_secret()).to_owned());
    let bytes = STANDARD
        .decode(text.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| ConfigError::invalid(KEY, format!("it is not base64; {KEY_HINT}")))?;
    <[u8; 32]>::try_from(bytes.as_slice())
        .map(EncryptionKey::from_bytes)
        .map_err(|_| ConfigError::invalid(KEY, format!("it holds {} bytes instead of 32; {KEY_HINT}", bytes.len())))
}

fn parse_base(text: &str) -> Result<Address, ConfigError> {
    let wrong =
        |reason: &str| ConfigError::invalid(BASE, format!("{reason}, for example https://integrations.example.org"));
    let base = Address::parse(unquote(text)).map_err(|_| wrong("it must be an address without query or user"))?;
    if !base.path().is_empty() {
        return Err(wrong("it must have no path"));
    }
    if !base.is_https() && !base.is_loopback() {
        return Err(wrong("it must be https, or http on a loopback host"));
    }
    Ok(base)
}

fn parse_scopes(text: &str) -> Result<Option<Vec<Scope>>, ConfigError> {
    let words: Vec<_> = unquote(text).split_ascii_whitespace().collect();
    if words.is_empty() {
        return Ok(None);
    }
    let parse = |word: &&str| Scope::parse(word).ok_or_else(|| (*word).to_owned());
    words.iter().map(parse).collect::<Result<Vec<_>, _>>().map(Some).map_err(|word| {
        ConfigError::invalid("SMART_DEFAULT_SCOPES", format!("`{word}` is no scope; separate scopes by spaces"))
    })
}

fn parse_signing_key(settings: &Settings) -> Option<PrivateKey> {
    let text = settings.ehr_jwt_private_key.as_ref()?.expose_secret();
    let pem = unquote(text).replace("\\n", "\n").replace("\\r", "");
    (!pem.trim().is_empty()).then(|| PrivateKey {
        pem: pem.into(),
        kid: settings.ehr_jwt_key_id.as_deref().map(str::trim).filter(|kid| !kid.is_empty()).map(str::to_owned),
    })
}

fn parse_max_poll(seconds: i64) -> Result<i64, ConfigError> {
    let range = 1..=86_400;
    let wrong = || ConfigError::invalid("EHR_BULK_MAX_POLL_SECONDS", "use a number of seconds from 1 to 86400");
    range.contains(&seconds).then_some(seconds).ok_or_else(wrong)
}

fn parse_switch(variable: &'static str, text: &str) -> Result<bool, ConfigError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(ConfigError::invalid(variable, "use 1 or 0")),
    }
}

/// Values often arrive with the quotes of a shell or a compose file.
fn unquote(text: &str) -> &str {
    let text = text.trim();
    let inner = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            integrations_token_enc_key: Some(STANDARD.encode([7; 32]).into()),
            app_base_url: Some("https://app.example/".into()),
            smart_issuer_allowlist: String::new(),
            smart_default_scopes: String::new(),
            ehr_jwt_private_key: None,
            ehr_jwt_key_id: None,
            database_url: "sqlite::memory:".into(),
            ehr_allow_private_network: "0".into(),
            leptos_site_addr: SocketAddr::from(([127, 0, 0, 1], 3000)),
            leptos_site_root: None,
            trusted_proxies: 0,
            ehr_bulk_max_poll_seconds: 300,
            log_format: LogFormat::Text,
        }
    }

    fn refusal(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = settings();
        change(&mut settings);
        Config::parse(&settings).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn good() {
        let config = Config::parse(&settings()).ok().unwrap();
        assert_eq!(config.redirect_url(), "https://app.example/api/integrations/ehr/callback");
    }

    #[test]
    fn each_refusal_names_its_variable() {
        insta::assert_snapshot!([
            refusal(|s| s.integrations_token_enc_key = None),
            refusal(|s| s.integrations_token_enc_key = Some("!".into())),
            refusal(|s| s.integrations_token_enc_key = Some("YWJj".into())),
            refusal(|s| s.app_base_url = None),
            refusal(|s| s.app_base_url = Some("http://app.example".into())),
            refusal(|s| s.app_base_url = Some("https://app.example/path".into())),
            refusal(|s| s.app_base_url = Some("https://user@app.example".into())),
            refusal(|s| s.smart_issuer_allowlist = "https://a.example, b".into()),
            refusal(|s| s.smart_default_scopes = "openid a\"b".into()),
            refusal(|s| s.ehr_allow_private_network = "maybe".into()),
            refusal(|s| s.ehr_bulk_max_poll_seconds = 0),
        ]
        .join("\n"), @r#"
        INTEGRATIONS_TOKEN_ENC_KEY is not set: make one with `ehr-integrations keys generate`
        INTEGRATIONS_TOKEN_ENC_KEY is not valid: it is not base64; make one with `ehr-integrations keys generate`
        INTEGRATIONS_TOKEN_ENC_KEY is not valid: it holds 3 bytes instead of 32; make one with `ehr-integrations keys generate`
        APP_BASE_URL is not set: for example https://integrations.example.org
        APP_BASE_URL is not valid: it must be https, or http on a loopback host, for example https://integrations.example.org
        APP_BASE_URL is not valid: it must have no path, for example https://integrations.example.org
        APP_BASE_URL is not valid: it must be an address without query or user, for example https://integrations.example.org
        SMART_ISSUER_ALLOWLIST is not valid: `b` is no https address
        SMART_DEFAULT_SCOPES is not valid: `a"b` is no scope; separate scopes by spaces
        EHR_ALLOW_PRIVATE_NETWORK is not valid: use 1 or 0
        EHR_BULK_MAX_POLL_SECONDS is not valid: use a number of seconds from 1 to 86400
        "#);
    }

    #[test]
    fn pem_with_escaped_newlines_and_quotes() {
        let mut settings = settings();
        settings.ehr_jwt_private_key = Some("\"-----BEGIN X-----\\nabc\\n-----END X-----\\n\"".into());
        let key = Config::parse(&settings).ok().unwrap().signing_key.unwrap();
        assert_eq!(key.pem.expose_secret(), "-----BEGIN X-----\nabc\n-----END X-----\n");
    }
}
