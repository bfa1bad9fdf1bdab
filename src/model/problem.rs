//! The error catalogue: every code that a user, an application or an operator can meet.
//!
//! One table ([`CATALOGUE`]) drives the HTTP answer, the words in the UI, the Troubleshooting page
//! and the README. Guards: a [`Problem`] is closed — codes and ids that we minted, never text from
//! users, vendors or the database — so it may travel in URLs, logs and screens.
//!
//! Reserved, so that applications know them before anything raises them: `write_not_supported`,
//! `write_disabled` and `write_not_granted` for creating records in the EHR, `tls_client_cert_required` for
//! mutual TLS.

use serde::{Deserialize, Serialize};

use super::field::Rule;

/// One row of the catalogue.
#[derive(Debug)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// Its name on the wire.
    pub name: &'static str,
    /// The HTTP status of an API answer.
    pub status: u16,
    /// What happened, in one sentence.
    pub message: &'static str,
    /// The likely cause.
    pub cause: &'static str,
    /// What to do next.
    pub action: &'static str,
}

macro_rules! catalogue {
    ($($variant:ident $name:literal $status:literal $message:literal $cause:literal $action:literal;)*) => {
        /// A code of the catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {$(
            #[doc = $message]
            $variant,
        )*}

        /// The catalogue, in the order in which the Troubleshooting page shows it.
        pub const CATALOGUE: &[Entry] = &[$(
            Entry { code: Code::$variant, name: $name, status: $status, message: $message, cause: $cause, action: $action },
        )*];

        impl Code {
            /// This code's row.
            pub const fn entry(self) -> &'static Entry {
                match self {$(
                    Self::$variant => &Entry { code: Self::$variant, name: $name, status: $status, message: $message, cause: $cause, action: $action },
                )*}
            }
        }
    };
}

catalogue! {
    InvalidIssuer "invalid_issuer" 400
        "The issuer URL is not allowed."
        "The EHR's issuer is not the one that this practice configured, or it is not on the installation's allowlist."
        "Check the issuer in the provider's settings, or have the operator update SMART_ISSUER_ALLOWLIST.";
    InvalidRedirect "invalid_redirect" 400
        "The EHR did not accept our redirect URL."
        "The redirect URL that is registered with the EHR differs from ours."
        "Verify APP_BASE_URL, and copy the redirect URL from the settings page into the EHR's app registration.";
    ScopeDenied "scope_denied" 403
        "The EHR did not approve the requested access."
        "A scope is not enabled for this application in the EHR."
        "Enable the missing scope in the provider's app registration, then connect again.";
    WriteNotSupported "write_not_supported" 409
        "This EHR does not allow creating this."
        "The EHR offers no create for this kind of record."
        "Keep working read-only, or ask the EHR's vendor for write access and request write scopes.";
    StateMismatch "state_mismatch" 400
        "This answer does not belong to a connection that you started."
        "The page was opened from an old tab, from another browser, or was tampered with."
        "Start again from the provider's settings page.";
    StateExpired "state_expired" 400
        "The sign-in at the EHR took too long, or its answer was used before."
        "More than ten minutes passed, or the page was reloaded."
        "Start again from the provider's settings page.";
    CookieBlocked "cookie_blocked" 400
        "The browser did not send back our cookie."
        "Cookies are blocked for this site, or the EHR's frame does not allow them."
        "Open the application in a window of its own, or allow cookies for it.";
    AudRejected "aud_rejected" 400
        "The EHR refused the audience of the request."
        "The FHIR base URL differs from what the EHR expects, often by a trailing slash or a tenant."
        "Compare the FHIR base URL with the one that the EHR's vendor documents.";
    ClientAuthFailed "client_auth_failed" 502
        "The EHR did not accept our client credentials."
        "The client id, the secret or the signing key does not match the registration."
        "Check the client id, enter the secret again, or check that the EHR has our JWKS URL.";
    JwksUnreachable "jwks_unreachable" 502
        "Signing keys could not be fetched."
        "The EHR's key set did not answer, or the EHR cannot reach ours."
        "Check that our JWKS URL answers from the internet, then try again.";
    KidUnknown "kid_unknown" 502
        "A signature names a key that is not published."
        "The EHR rotated its keys, or has an old copy of ours."
        "Try again in a few minutes; if it stays, compare the key ids with the EHR's vendor.";
    AppNotActivated "app_not_activated" 403
        "The application is not activated for this practice in the EHR."
        "Most EHRs need an administrator of the practice to activate each application."
        "Follow the activation steps on the provider's settings page.";
    PkceRequired "pkce_required" 502
        "The EHR does not offer PKCE with S256."
        "Its discovery document lacks code_challenge_methods_supported with S256."
        "Ask the EHR's vendor to enable PKCE S256.";
    IdTokenInvalid "id_token_invalid" 502
        "The EHR's identity token is not valid."
        "Its signature, issuer, audience or times do not check out."
        "Compare the clocks of both sides; if they agree, report it to the EHR's vendor.";
    NonceMismatch "nonce_mismatch" 502
        "The EHR's identity token belongs to another request."
        "An answer was replayed, or mixed up on the way."
        "Start again from the provider's settings page.";
    PatientContextMissing "patient_context_missing" 502
        "The EHR did not say which patient this is about."
        "The launch/patient scope is not granted, or the user picked no patient."
        "Connect again and pick a patient, or enable launch/patient in the app registration.";
    TokenExpired "token_expired" 401
        "The EHR's access token has expired."
        "The token's life is over and it could not be renewed."
        "Connect again.";
    RefreshReused "refresh_reused" 409
        "A refresh token was used twice."
        "Another program used the same refresh token, so the EHR ended the grant."
        "Connect again, and make sure that no other system shares this registration.";
    RateLimited "rate_limited" 429
        "Too many requests."
        "A limit of the EHR or of this installation is reached."
        "Wait a minute, then try again.";
    WriteDisabled "write_disabled" 409
        "Writing is switched off for this practice."
        "The practice's write flags do not allow it."
        "Switch it on under Settings → EHR Integrations.";
    WriteNotGranted "write_not_granted" 409
        "The EHR did not grant write access."
        "The granted scopes do not include creating this."
        "Enable the write scope in the provider's app registration, then connect again.";
    FhirInvalid "fhir_invalid" 502
        "The EHR sent something that is not valid FHIR."
        "The FHIR base URL points at something else, or the EHR has a fault."
        "Check the FHIR base URL, then try again.";
    DiscoveryFailed "discovery_failed" 502
        "The EHR's SMART configuration could not be read."
        "The address is wrong, or the EHR publishes neither smart-configuration nor OAuth endpoints in its CapabilityStatement."
        "Check the issuer and FHIR base URL in the provider's settings.";
    BulkDisabled "bulk_disabled" 409
        "Bulk export is switched off for this practice."
        "The practice's bulk flag does not allow it."
        "Switch it on under Settings → EHR Integrations.";
    BulkUnsupported "bulk_unsupported" 409
        "This EHR does not offer this bulk export."
        "Its CapabilityStatement has no such export operation."
        "Choose another level, or ask the EHR's vendor.";
    BulkBusy "bulk_busy" 409
        "Another export is running."
        "The EHR allows one export at a time."
        "Wait for it to end, or cancel it.";
    BulkFailed "bulk_failed" 502
        "The EHR could not complete the export."
        "It ended the export with an error of its own."
        "Read what the EHR says about it, then start a new export, perhaps with fewer resource types.";
    BulkExpired "bulk_expired" 410
        "The export's files are gone."
        "The EHR deletes them after some time."
        "Start a new export.";
    TlsClientCertRequired "tls_client_cert_required" 502
        "The EHR asks for a TLS client certificate."
        "Production systems of some vendors demand mutual TLS."
        "Ask the vendor for the certificate's registration, and have the operator install it.";
    EhrUnavailable "ehr_unavailable" 502
        "The EHR does not answer."
        "It is down, slow, or not reachable from here."
        "Try again in a few minutes.";
    NotFound "not_found" 404
        "There is nothing here."
        "The address is wrong, or the thing was removed."
        "Go back and choose again.";
    Forbidden "forbidden" 403
        "You may not do this."
        "Your role or token does not allow it."
        "Ask an administrator of your practice.";
    Unauthenticated "unauthenticated" 401
        "Please sign in."
        "There is no session, or it ended."
        "Sign in and try again.";
    AccessDenied "access_denied" 403
        "Access was denied at the EHR."
        "The person pressed Deny, or is not allowed to give access."
        "Connect again with a user who may approve the application.";
    NeedsReconnect "needs_reconnect" 409
        "The connection has ended and must be made again."
        "The EHR no longer accepts our refresh token: it expired, was revoked, or was used elsewhere."
        "Press Standalone connect on the provider's settings page.";
    Conflict "conflict" 409
        "Somebody else changed this in the meantime."
        "It was changed from another window, or went on by itself, after you opened the page."
        "Look at how it stands now, and make your change again if it is still wanted.";
    PayloadTooLarge "payload_too_large" 413
        "This is too large."
        "The request is over the limit."
        "Send less at a time.";
    InvalidInput "invalid_input" 422
        "Some of these values are not valid."
        "See the marked fields."
        "Correct the marked fields and try again.";
    InvalidCredentials "invalid_credentials" 401
        "The e-mail address, password or code is not right."
        "A typing mistake, or an account that does not exist."
        "Try again, or ask an administrator to reset your password.";
    LinkInvalid "link_invalid" 410
        "This link is not valid any more."
        "It was used before, has expired, or is incomplete."
        "Ask for a new one.";
    KeyNotApproved "key_not_approved" 409
        "The signing key may not be used for this EHR yet."
        "On an installation with several practices the operator approves each use of its key."
        "Ask the operator to run: ehr-integrations approve.";
    IdentityMissing "identity_missing" 403
        "The EHR did not say who you are."
        "It sent no identity token with this launch, and the practice shows no records to people without a name."
        "Enable openid and fhirUser in the EHR's app registration, or allow launches without an identity under EHR launches.";
    ApprovalPending "approval_pending" 403
        "The practice has not approved you yet."
        "Whoever comes from the EHR for the first time is approved by an administrator of the practice."
        "Ask an administrator to approve you under EHR launches, then open the application again.";
    Internal "internal" 500
        "Something went wrong on our side."
        "A fault in this installation."
        "Try again; if it stays, give the request id to the operator.";
}

/// A rule that a field breaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FieldError {
    /// The field's name as the form or the JSON body has it, for example `ecw.issuer`.
    pub field: String,
    /// The broken rule.
    pub rule: Rule,
}

/// What an API call, a server function or a flow answers when it cannot do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("{}", self.code.entry().name)]
pub struct Problem {
    /// The code.
    pub code: Code,
    /// Broken field rules, for `invalid_input`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldError>,
    /// The id under which the log has the details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// After how many seconds another try makes sense, for `rate_limited`, where the EHR says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem of this code.
    pub const fn new(code: Code) -> Self {
        Self { code, fields: Vec::new(), request_id: None, retry_after: None }
    }

    /// `invalid_input` with the broken rules.
    pub const fn invalid(fields: Vec<FieldError>) -> Self {
        Self { code: Code::InvalidInput, fields, request_id: None, retry_after: None }
    }

    /// `invalid_input` about one field.
    pub fn field(field: impl Into<String>, rule: Rule) -> Self {
        Self::invalid(vec![FieldError { field: field.into(), rule }])
    }

    /// The rule that a field breaks, if any.
    pub fn rule_of(&self, field: &str) -> Option<Rule> {
        self.fields.iter().find(|error| error.field == field).map(|error| error.rule)
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl Code {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// Reads a name of the catalogue.
    pub fn parse(name: &str) -> Option<Self> {
        CATALOGUE.iter().find(|entry| entry.name == name).map(|entry| entry.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_equal_the_serialised_form() {
        for entry in CATALOGUE {
            assert_eq!(serde_json::to_value(entry.code).unwrap(), entry.name);
            assert_eq!(Code::parse(entry.name), Some(entry.code));
            assert_eq!(entry.code.entry().name, entry.name);
            assert!((400..600).contains(&entry.status), "{}", entry.name);
            assert!(entry.message.ends_with('.') && entry.action.ends_with('.'), "{}", entry.name);
        }
    }

    #[test]
    fn the_customers_four_come_first() {
        let first: Vec<_> = CATALOGUE.iter().take(4).map(|entry| entry.name).collect();
        assert_eq!(first, ["invalid_issuer", "invalid_redirect", "scope_denied", "write_not_supported"]);
    }
}
