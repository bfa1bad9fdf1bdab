//! The authorization request, and the answer that comes back to the redirect URL.
//!
//! SMART App Launch 2.2, "Obtain authorization code". PKCE with S256 always (a server that does not
//! know it ignores it); `plain` never.

use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope as OAuthScope};
use serde::Deserialize;
use url::Url;

use crate::model::problem::Code;
use crate::model::scope::Scope;

/// What goes into an authorization request.
pub struct AuthorizationRequest<'a> {
    /// The EHR's authorization endpoint.
    pub endpoint: &'a str,
    /// As whom.
    pub client_id: &'a str,
    /// Where the answer goes, to the letter as it is registered.
    pub redirect_uri: &'a str,
    /// What is asked for.
    pub scopes: &'a [Scope],
    /// Ties the answer to this request: 256 random bits.
    pub state: &'a str,
    /// Ties the identity token to this request; only with `openid`.
    pub nonce: Option<&'a str>,
    /// The FHIR base, under the name that the EHR wants; `None` where the EHR refuses it.
    pub audience: Option<(&'static str, &'a str)>,
    /// The launch that the EHR started; `None` in a standalone connect.
    pub launch: Option<&'a str>,
    /// The PKCE verifier, of which only the hash is sent.
    pub verifier: &'a str,
}

impl AuthorizationRequest<'_> {
    /// The address that the browser goes to.
    ///
    /// # Errors
    /// When the endpoint or the redirect URL is no address.
    pub fn url(&self) -> Result<Url, url::ParseError> {
        let client = BasicClient::new(ClientId::new(self.client_id.to_owned()))
            .set_auth_uri(AuthUrl::new(self.endpoint.to_owned())?)
            .set_redirect_uri(RedirectUrl::new(self.redirect_uri.to_owned())?);
        let verifier = PkceCodeVerifier::new(self.verifier.to_owned());
        let mut request = client
            .authorize_url(|| CsrfToken::new(self.state.to_owned()))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(self.scopes.iter().map(|scope| OAuthScope::new(scope.to_string())));
        let optional = [self.nonce.map(|nonce| ("nonce", nonce)), self.audience, self.launch.map(|id| ("launch", id))];
        for (name, value) in optional.into_iter().flatten() {
            request = request.add_extra_param(name, value);
        }
        Ok(request.url().0)
    }
}

/// The query of a request to the redirect URL.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct AuthorizationAnswer {
    /// The code, on success.
    pub code: Option<String>,
    /// Our state, back.
    pub state: Option<String>,
    /// The error, on failure (RFC 6749 §4.1.2.1).
    pub error: Option<String>,
    /// For developers; used to tell errors apart, never shown.
    pub error_description: Option<String>,
    /// The EHR's page about the error.
    pub error_uri: Option<String>,
    /// The issuer of the answer (RFC 9207).
    pub iss: Option<String>,
}

/// What an error of the authorization endpoint means in our catalogue. Vendors agree on few codes,
/// so the description is looked at for the words that matter.
pub fn meaning(error: &str, description: &str) -> Code {
    let said = description.to_ascii_lowercase();
    match error {
        "access_denied" | "consent_required" | "login_required" => Code::AccessDenied,
        "invalid_scope" => Code::ScopeDenied,
        "invalid_target" => Code::AudRejected,
        _ if said.contains("not enabled") || said.contains("not activated") || said.contains("not authorized for") => {
            Code::AppNotActivated
        }
        "unauthorized_client" => Code::AppNotActivated,
        "invalid_client" => Code::ClientAuthFailed,
        "invalid_request" if said.contains("redirect") => Code::InvalidRedirect,
        "invalid_request" if said.contains("aud") => Code::AudRejected,
        "invalid_request" if said.contains("scope") => Code::ScopeDenied,
        "invalid_request" if said.contains("code_challenge") || said.contains("pkce") => Code::PkceRequired,
        _ => Code::EhrUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn query(launch: Option<&str>, audience: Option<(&'static str, &str)>) -> BTreeMap<String, String> {
        let scopes = Scope::parse_list("launch/patient openid");
        let request = AuthorizationRequest {
            endpoint: "https://ehr.example/authorize?tenant=7",
            client_id: "app",
            redirect_uri: "https://app.example/api/integrations/ehr/callback",
            scopes: &scopes,
            state: "s",
            nonce: Some("n"),
            audience,
            launch,
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        };
        request.url().unwrap().query_pairs().into_owned().collect()
    }

    #[test]
    fn a_standalone_request() {
        insta::assert_json_snapshot!(query(None, Some(("aud", "https://ehr.example/fhir"))), @r#"
        {
          "aud": "https://ehr.example/fhir",
          "client_id": "app",
          "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
          "code_challenge_method": "S256",
          "nonce": "n",
          "redirect_uri": "https://app.example/api/integrations/ehr/callback",
          "response_type": "code",
          "scope": "launch/patient openid",
          "state": "s",
          "tenant": "7"
        }
        "#);
    }

    #[test]
    fn launch_goes_back_untouched_and_aud_may_be_absent() {
        let query = query(Some("a b&c"), None);
        assert_eq!(query.get("launch").map(String::as_str), Some("a b&c"));
        assert_eq!(query.get("aud"), None);
    }

    #[test]
    fn meanings() {
        assert_eq!(meaning("access_denied", ""), Code::AccessDenied);
        assert_eq!(meaning("invalid_request", "aud must match"), Code::AudRejected);
        assert_eq!(meaning("invalid_request", "FHIR app authentication is not enabled"), Code::AppNotActivated);
        assert_eq!(meaning("server_error", ""), Code::EhrUnavailable);
    }
}
