//! What the server says about itself to SMART clients: the SMART configuration and the style.
//!
//! Imports nothing of ours outside the sandbox. Invariant: it advertises what the other files do,
//! no more (SMART App Launch "Conformance").

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{ClientAuth, Sandbox};

/// Claims, methods and grants that both discovery documents name.
pub(super) fn server_metadata(sandbox: &Sandbox, relative: bool) -> Value {
    // SMART "Conformance": a relative URL resolves against the FHIR base; an absolute-path
    // reference does so in only one way (RFC 3986 §5.2).
    let url = |path: &str| {
        if relative { path.to_owned() } else { sandbox.url(path) }
    };
    let mut metadata = json!({
        "issuer": sandbox.inner.base_url,
        "authorization_endpoint": url("/auth/authorize"),
        "token_endpoint": url("/auth/token"),
        "jwks_uri": url("/auth/jwks"),
        "introspection_endpoint": url("/auth/introspect"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": auth_methods(sandbox),
        "token_endpoint_auth_signing_alg_values_supported": sandbox.signing_algorithms(),
        // RFC 9207 §3.
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported": [
            "openid", "fhirUser", "launch", "launch/patient", "launch/encounter",
            "offline_access", "online_access",
            "patient/*.rs", "user/*.rs", "user/Patient.c", "user/DocumentReference.c", "system/*.rs",
            "patient/*.read", "user/*.read", "system/*.read"
        ]
    });
    if !sandbox.personality().no_revocation_endpoint
        && let Some(metadata) = metadata.as_object_mut()
    {
        metadata.insert("revocation_endpoint".to_owned(), json!(url("/auth/revoke")));
    }
    metadata
}

impl Sandbox {
    /// The algorithms that assertions may be signed with (SMART "Client Authentication: Asymmetric").
    pub(super) fn signing_algorithms(&self) -> &'static [&'static str] {
        let personality = self.personality();
        match (personality.rs384_only, personality.es384_only) {
            (true, _) => &["RS384"],
            (false, true) => &["ES384"],
            (false, false) => &["RS384", "ES384"],
        }
    }
}

/// The methods that registered clients use, or all when nobody is registered.
fn auth_methods(sandbox: &Sandbox) -> Vec<&'static str> {
    let clients = sandbox.clients();
    let used = |test: fn(&ClientAuth) -> bool| clients.is_empty() || clients.iter().any(|client| test(&client.auth));
    [
        ("client_secret_basic", used(|auth| matches!(auth, ClientAuth::Secret(_) | ClientAuth::SecretBasic(_)))),
        ("client_secret_post", used(|auth| matches!(auth, ClientAuth::Secret(_) | ClientAuth::SecretPost(_)))),
        ("private_key_jwt", used(|auth| matches!(auth, ClientAuth::PrivateKeyJwt { .. }))),
    ]
    .into_iter()
    .filter_map(|(method, used)| used.then_some(method))
    .collect()
}

/// `{base}/.well-known/smart-configuration`.
pub(super) fn configuration(sandbox: &Sandbox) -> Response {
    sandbox.count(|stats| stats.discovery += 1);
    let personality = sandbox.personality();
    if personality.metadata_500 {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if personality.no_well_known {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut metadata = server_metadata(sandbox, personality.relative_endpoints);
    if let Some(metadata) = metadata.as_object_mut() {
        let offered = CAPABILITIES.into_iter().filter(|name| !(personality.v1_scopes_only && *name == "permission-v2"));
        metadata.insert("capabilities".to_owned(), offered.collect());
    }
    ([(header::CACHE_CONTROL, "no-store"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(metadata)).into_response()
}

/// SMART App Launch "Conformance", "Capabilities".
const CAPABILITIES: [&str; 19] = [
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
];

/// The document behind `smart_style_url` (SMART "Styling").
pub(super) async fn style(State(_): State<Sandbox>) -> Response {
    let style = json!({
        "color_background": "#f4f7f6",
        "color_error": "#a3262a",
        "color_highlight": "#1f6f64",
        "color_modal_backdrop": "#0b1413",
        "color_success": "#1f6f64",
        "color_text": "#172322",
        "dim_border_radius": "8px",
        "dim_font_size": "16px",
        "dim_spacing_size": "16px",
        "font_family_body": "system-ui, sans-serif",
        "font_family_heading": "system-ui, sans-serif"
    });
    ([(header::CACHE_CONTROL, "max-age=3600")], Json(style)).into_response()
}
