//! What of an authorization is recorded.
//!
//! Guards: of what an EHR sends only the shape, by words of the standards.

use url::Url;

use super::Ask;
use crate::model::key::{AuthReason, ChosenAuth, KeyOwner};
use crate::model::problem::Code;
use crate::model::recording::StepName;
use crate::model::scope::{self, Told};
use crate::server::App;
use crate::server::flow::Caller;
use crate::server::flow::client::Ready;
use crate::server::flow::recorder::{Recorder, by, known};
use crate::server::smart::authorize::AuthorizationAnswer;
use crate::server::smart::discovery::{SmartConfiguration, Source};
use crate::server::smart::id_token;
use crate::server::smart::token::TokenAnswer;
use crate::server::store::connection::Terms;

const AUTH_METHODS: [&str; 5] =
    ["private_key_jwt", "client_secret_basic", "client_secret_post", "client_secret_jwt", "none"];
const SIGNING: [&str; 6] = ["RS384", "ES384", "RS256", "RS512", "ES256", "ES512"];
const CAPABILITIES: [&str; 12] = [
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "permission-offline",
    "permission-online",
    "permission-user",
    "permission-v1",
    "permission-v2",
];
/// RFC 6749 §4.1.2.1 and OpenID Connect Core 1.0 §3.1.2.6.
const ERRORS: [&str; 12] = [
    "invalid_request",
    "unauthorized_client",
    "access_denied",
    "unsupported_response_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "invalid_client",
    "invalid_target",
    "login_required",
    "consent_required",
    "interaction_required",
];
const CLAIMS: [&str; 12] =
    ["iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "auth_time", "fhirUser", "profile", "jti"];

pub(super) fn asked(app: &App, recorder: &mut Recorder, caller: &Caller, ask: &Ask<'_>) {
    recorder.step(app, StepName::Asked);
    recorder.fact("By", by(&caller.actor));
    recorder.fact("Issuer", ask.ready.config.issuer.to_string());
    recorder.fact("FHIR base", ask.ready.fhir_base.clone());
}

pub(super) fn discovered(recorder: &mut Recorder, found: &SmartConfiguration) {
    recorder.fact(
        "Read from",
        match found.source {
            Source::WellKnown => "smart-configuration",
            Source::CapabilityStatement => "the CapabilityStatement's oauth-uris (deprecated)",
        },
    );
    recorder.fact("Authorization endpoint", origin(&found.authorization_endpoint));
    recorder.fact("Token endpoint", origin(&found.token_endpoint));
    recorder.fact("Revocation endpoint", offered(found.revocation_endpoint.is_some()));
    let words = |list: &Option<Vec<String>>, known_words: &[&str]| match list {
        Some(list) => known(list.iter().map(String::as_str), known_words),
        None => "not said".into(),
    };
    recorder.fact("PKCE methods", words(&found.code_challenge_methods_supported, &["S256", "plain"]));
    recorder.fact("Client authentication", words(&found.token_endpoint_auth_methods_supported, &AUTH_METHODS));
    let algorithms = words(&found.token_endpoint_auth_signing_alg_values_supported, &SIGNING);
    recorder.fact("Signing algorithms", algorithms);
    recorder.fact("Capabilities", known(found.capabilities.iter().map(String::as_str), &CAPABILITIES));
}

pub(super) fn authentication(recorder: &mut Recorder, chosen: ChosenAuth, ready: &Ready) {
    recorder.fact("Chosen", chosen.method.as_str());
    recorder.fact("Because", chosen.reason.map_or("", AuthReason::describe));
    if let Some(algorithm) = chosen.algorithm {
        recorder.fact("Signed with", algorithm.as_str());
        let whose = match ready.config.key_owner() {
            KeyOwner::Installation => "the installation's",
            KeyOwner::Practice => "the practice's own",
        };
        recorder.fact("Keys", whose);
    }
}

pub(super) fn redirected(app: &App, recorder: &mut Recorder, url: &Url, post: bool, scopes: &str) {
    recorder.step(app, StepName::Redirect);
    recorder.fact("By", if post { "POST" } else { "GET" });
    let names: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    recorder.fact("Parameters", names.join(", "));
    recorder.fact("Scopes", scopes);
    let audience = url.query_pairs().find(|(name, _)| name == "aud").map(|(_, value)| value.into_owned());
    recorder.fact("Audience", audience.unwrap_or_else(|| "none".into()));
}

pub(super) fn came_back(app: &App, recorder: &mut Recorder, answer: &AuthorizationAnswer) {
    recorder.step(app, StepName::Callback);
    let given = [
        ("code", answer.code.is_some()),
        ("state", answer.state.is_some()),
        ("iss", answer.iss.is_some()),
        ("error", answer.error.is_some()),
        ("error_description", answer.error_description.is_some()),
        ("error_uri", answer.error_uri.is_some()),
    ];
    recorder.fact("Parameters", names_of(&given));
    if let Some(error) = &answer.error {
        recorder.fact("Error", known(std::iter::once(error.as_str()), &ERRORS));
    }
}

pub(super) fn exchanged(recorder: &mut Recorder, tokens: &TokenAnswer, terms: &Terms) {
    let given = [
        ("refresh_token", tokens.refresh_token.is_some()),
        ("id_token", tokens.id_token.is_some()),
        ("scope", tokens.scope.is_some()),
        ("expires_in", tokens.expires_in.is_some()),
    ];
    recorder.fact("Besides the access token", names_of(&given));
    if let Some(seconds) = tokens.expires_in {
        recorder.fact("Lives", format!("{seconds} s"));
    }
    let told = Told { scope: tokens.scope.as_deref(), has_refresh_token: tokens.refresh_token.is_some() };
    let missing: Vec<_> = scope::compare(&terms.scopes_requested, None, told)
        .into_iter()
        .filter(|state| state.granted == Some(false))
        .map(|state| state.scope)
        .collect();
    recorder.fact(
        "Not granted",
        match (&tokens.scope, missing.is_empty()) {
            (None, _) => "not said".into(),
            (Some(_), true) => "everything is granted".into(),
            (Some(_), false) => missing.join(" "),
        },
    );
}

pub(super) fn identity(app: &App, recorder: &mut Recorder, tokens: &TokenAnswer) {
    recorder.step(app, StepName::Identity);
    let Some(token) = &tokens.id_token else {
        recorder.fact("Identity token", "none");
        return;
    };
    let outline = id_token::outline(token);
    recorder.fact("Algorithm", outline.algorithm.unwrap_or_else(|| "none that is accepted".into()));
    recorder.fact("Key id", if outline.names_key { "given" } else { "not given" });
    recorder.fact("Claims", known(outline.claims.iter().map(String::as_str), &CLAIMS));
    if let Some(issued_at) = outline.issued_at {
        let skew = app.clock.now().as_seconds().saturating_sub(issued_at);
        recorder.fact("Our clock is ahead by", format!("{skew} s"));
    }
}

pub(super) fn context(app: &App, recorder: &mut Recorder, tokens: &TokenAnswer, terms: &Terms) {
    recorder.step(app, StepName::Context);
    let given = [
        ("patient", tokens.patient.is_some()),
        ("encounter", tokens.encounter.is_some()),
        ("intent", tokens.intent.is_some()),
        ("need_patient_banner", tokens.need_patient_banner.is_some()),
        ("smart_style_url", tokens.smart_style_url.is_some()),
        ("tenant", tokens.tenant.is_some()),
        ("fhirContext", tokens.fhir_context.is_some()),
    ];
    recorder.fact("Given", names_of(&given));
    // Some EHRs give none to users who are no patients: the connection works, only without one.
    if tokens.patient.is_none() && terms.asked_for("launch/patient") {
        recorder.warn(Code::PatientContextMissing);
    }
}

/// The names of what is given.
fn names_of(given: &[(&str, bool)]) -> String {
    let names: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

fn origin(address: &str) -> String {
    Url::parse(address).map_or_else(|_| "no address".into(), |url| url.origin().ascii_serialization())
}

const fn offered(is: bool) -> &'static str {
    if is { "offered" } else { "not offered" }
}
