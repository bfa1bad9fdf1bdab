//! Tokens of backend services: what the practice's installation may do by itself, without a person.
//!
//! SMART App Launch 2.2, "Backend Services". They are apart from connections and launches. Guards: a token is
//! kept sealed, for one set of scopes; it is renewed before its end, and when the EHR refuses it; however many
//! downloads in however many processes want one, one asks for it.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::client::{self, Ready};
use super::{Caller, keys};
use crate::model::export::{ExportLevel, ExportRequest};
use crate::model::field::Rule;
use crate::model::id::{PracticeId, ProviderId};
use crate::model::key::ChosenAuth;
use crate::model::problem::Code;
use crate::model::scope::{Scope, Version};
use crate::model::time::Timestamp;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::provider::BACKEND_CLIENT_ID;
use crate::server::smart::client_auth::{self, Offer, Preference};
use crate::server::smart::discovery::SmartConfiguration;
use crate::server::smart::token::TokenError;
use crate::server::store::connection::Terms;
use crate::server::store::service_token::{self, NewToken, ServiceKey, ServiceToken};
use crate::server::store::{StoreError, audit};
use crate::server::vault::Place;

/// How long before its end a token counts as ended, in seconds; a quarter of its life, if that is less.
const MARGIN: i64 = 60;
/// How long a token lives when the answer does not say, in seconds: what the standard recommends at most.
const LIFE: i64 = 300;
/// How long asking for a token may take before another process may try, in seconds.
const LEASE: i64 = 45;
/// How often a process that waits for another's token looks.
const LOOK: Duration = Duration::from_millis(100);
/// How often it looks at most: longer than an outbound call may take.
const LOOKS: u32 = 300;

/// A practice's backend service at its EHR.
pub(super) struct Service {
    /// The registration; its client id is the backend service's.
    pub ready: Ready,
    /// The EHR's endpoints.
    pub found: Arc<SmartConfiguration>,
    /// How it proves itself.
    auth: ChosenAuth,
}

/// The backend service of a provider that is filled and switched on.
///
/// # Errors
/// `not_found`, `invalid_input`, `invalid_issuer`, `discovery_failed`, `ehr_unavailable`, `key_not_approved`.
pub(super) async fn service(app: &App, practice: &PracticeId, provider: &ProviderId) -> Outcome<Service> {
    let mut ready = client::ready(app, practice, provider).await?;
    if let Some(own) = ready.config.value(BACKEND_CLIENT_ID) {
        ready.config.client_id = own.to_owned();
    }
    let found = client::discover(app, &ready).await?;
    let auth = choose_auth(app, &ready, &found).await?;
    if auth.algorithm.is_some() {
        client::check_approval(app, &ready, &found.token_endpoint).await?;
    }
    Ok(Service { ready, found, auth })
}

/// By a signed assertion (SMART "Backend Services" knows nothing else), but for vendors that want a secret.
async fn choose_auth(app: &App, ready: &Ready, found: &SmartConfiguration) -> Outcome<ChosenAuth> {
    let quirks = ready.plugin.quirks();
    let by_secret = match ready.config.value("backendAuth") {
        Some("secret") => true,
        Some("key") => false,
        _ => quirks.backend_secret,
    };
    let ours = keys::algorithms(app, ready.key_practice()).await?;
    let listed = found.token_endpoint_auth_signing_alg_values_supported.as_deref();
    let offer = Offer {
        preference: if by_secret { Preference::Secret } else { Preference::Key },
        has_secret: ready.secret.is_some(),
        key: client_auth::algorithm(&ours, quirks.signing_algorithms, listed),
        offered: found.token_endpoint_auth_methods_supported.as_deref(),
        vendor_takes_key: true,
    };
    let rule = || Failure::field(&format!("{}.clientSecret", ready.plugin.id()), Rule::KeyOrSecret);
    client_auth::choose(offer).ok_or_else(rule)
}

/// The scopes that an export needs, in the version that the EHR takes.
pub(super) fn scopes(app: &App, service: &Service, request: &ExportRequest) -> String {
    let mut kinds: Vec<&str> = request.types.iter().map(String::as_str).collect();
    if kinds.is_empty() {
        kinds.push("*");
    }
    // Reading the group is what a group's export is (Bulk Data Access, "Scopes").
    if request.level == ExportLevel::Group && !kinds.contains(&"*") && !kinds.contains(&"Group") {
        kinds.push("Group");
    }
    let scopes: Vec<_> = kinds.iter().filter_map(|kind| Scope::parse(&format!("system/{kind}.rs"))).collect();
    let scopes = match service.ready.plugin.quirks().scopes {
        Version::V2 => client::in_dialect(app, &service.ready, &service.found, &scopes),
        Version::V1 => Scope::all_in_version(&scopes, Version::V1),
    };
    let words: Vec<_> = scopes.iter().map(ToString::to_string).collect();
    words.join(" ")
}

/// A token for these scopes that works now. `stale` is one that the EHR does not take any more.
///
/// # Errors
/// As [`service`]; `client_auth_failed`, `scope_denied`, `rate_limited`, `ehr_unavailable`.
pub async fn token(
    app: &App,
    caller: &Caller,
    provider: &ProviderId,
    scopes: &str,
    stale: Option<&SecretString>,
) -> Outcome<SecretString> {
    let service = service(app, &caller.practice, provider).await?;
    let terms = service.terms(scopes);
    let key = ServiceKey { practice: caller.practice.clone(), provider: provider.clone(), scopes: scopes.into() };
    let agreed = ServiceToken {
        issuer: terms.issuer.clone(),
        token_endpoint: terms.token_endpoint.clone(),
        client_id: terms.client_id.clone(),
        access_token: None,
        obtained_at: Timestamp(0),
        expires_at: Timestamp(0),
    };
    let place = Holder::new(&key, &terms);
    for _ in 0..LOOKS {
        let kept = service_token::find(&app.db, &key).await?;
        if let Some(token) = kept.as_ref().and_then(|kept| usable(app, &place, kept, &agreed)).transpose()?
            && stale.is_none_or(|stale| stale.expose_secret() != token.expose_secret())
        {
            return Ok(token);
        }
        let now = app.clock.now();
        let Some(fence) = service_token::take_lease(&app.db, &key, &agreed, now, now.plus_seconds(LEASE)).await? else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        // Read again: a sibling may have got one between our look and our lease.
        let again = service_token::find(&app.db, &key).await?;
        let newer = again.as_ref().map(|row| row.access_token.clone()) != kept.map(|row| row.access_token);
        let got = if newer { Ok(()) } else { obtain(app, caller, &service, &terms, &key, &agreed, fence).await };
        if newer || got.is_err() {
            service_token::release_lease(&app.db, &key, fence).await?;
        }
        got?;
    }
    Err(Code::EhrUnavailable.into())
}

/// The kept token, if it is of the present registration and does not end soon.
fn usable(app: &App, holder: &Holder<'_>, kept: &ServiceToken, agreed: &ServiceToken) -> Option<Outcome<SecretString>> {
    let sealed = kept.access_token.as_ref()?;
    let same = kept.issuer == agreed.issuer
        && kept.token_endpoint == agreed.token_endpoint
        && kept.client_id == agreed.client_id;
    let life = kept.expires_at.as_seconds() - kept.obtained_at.as_seconds();
    let fresh = kept.expires_at > app.clock.now().plus_seconds(MARGIN.min(life / 4));
    (same && fresh).then(|| Ok(app.vault.open(holder.place(), sealed)?))
}

async fn obtain(
    app: &App,
    caller: &Caller,
    service: &Service,
    terms: &Terms,
    key: &ServiceKey,
    agreed: &ServiceToken,
    fence: i64,
) -> Outcome<()> {
    let credential = client::credential(app, &service.ready, terms).await?;
    let client = client::token_client(app, &service.ready, terms, &credential);
    let answer = client.client_credentials(&key.scopes).await.map_err(|error| refused(&error))?;
    client::accepted(app, &service.ready, &credential).await;
    let now = app.clock.now();
    let token = NewToken {
        access_token: app.vault.seal(Holder::new(key, terms).place(), &answer.access_token)?,
        scopes_granted: answer.scope,
        obtained_at: now,
        expires_at: now.plus_seconds(answer.expires_in.unwrap_or(LIFE)),
    };
    let mut tx = app.db.begin_write().await?;
    service_token::save(&mut tx, key, agreed, &token, fence).await?;
    audit::add(&mut *tx, &caller.event(app, "backend.token", key.provider.as_str(), "ok")).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

fn refused(error: &TokenError) -> Failure {
    let code = match error {
        TokenError::Client(_) | TokenError::InvalidGrant | TokenError::Reused => Code::ClientAuthFailed,
        TokenError::InvalidScope => Code::ScopeDenied,
        TokenError::RateLimited { .. } => Code::RateLimited,
        TokenError::Net(_) | TokenError::Status(_) | TokenError::Malformed => Code::EhrUnavailable,
    };
    Failure::explained(code, error.to_string())
}

impl Service {
    fn terms(&self, scopes: &str) -> Terms {
        Terms {
            issuer: self.ready.config.issuer.to_string(),
            fhir_base: self.ready.fhir_base.clone(),
            token_endpoint: self.found.token_endpoint.clone(),
            revocation_endpoint: None,
            client_id: self.ready.config.client_id.clone(),
            auth: self.auth,
            scopes_requested: scopes.to_owned(),
        }
    }
}

/// Where a token is sealed: its row, the issuer, and the origin that it came from.
struct Holder<'a> {
    practice: &'a PracticeId,
    row: String,
    bound_to: String,
}

impl<'a> Holder<'a> {
    fn new(key: &'a ServiceKey, terms: &Terms) -> Self {
        let origin = Url::parse(&terms.token_endpoint).map(|url| url.origin().ascii_serialization());
        Self {
            practice: &key.practice,
            row: format!("{} {}", key.provider, key.scopes),
            bound_to: format!("{} {}", terms.issuer, origin.unwrap_or_default()),
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            practice: self.practice.as_str(),
            table: "service_tokens",
            row: &self.row,
            column: "access_token",
            bound_to: &self.bound_to,
        }
    }
}
