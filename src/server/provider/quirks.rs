//! How a vendor's dialect differs from the plain standard, which is the default.

use crate::model::key::KeyAlgorithm;
use crate::model::scope::Version;

/// A vendor's dialect. Every field is something that one can search for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent quirks that one can search for")]
pub struct Quirks {
    /// How the FHIR base goes into the audience.
    pub aud_mode: AudMode,
    /// How the browser carries the authorization request.
    pub authorize_method: AuthorizeMethod,
    /// How Basic credentials are encoded.
    pub basic_encoding: BasicEncoding,
    /// Whether confidential clients name `client_id` in the form too.
    pub client_id_in_body: bool,
    /// Whether the vendor takes signed assertions even where discovery does not say so.
    pub takes_key: bool,
    /// With which algorithms it lets assertions be signed.
    pub signing_algorithms: &'static [KeyAlgorithm],
    /// Whether assertions name the address of our JWKS (`jku`).
    pub jku: bool,
    /// Whether backend services prove themselves with the client secret (SMART "Backend Services" knows signed
    /// assertions only).
    pub backend_secret: bool,
    /// Which version of scopes it takes.
    pub scopes: Version,
    /// Whether a renewal names the scopes again (RFC 6749 §6 lets clients leave them out).
    pub refresh_with_scope: bool,
    /// How long a refresh token is good.
    pub refresh_token_life: Option<RefreshTokenLife>,
    /// A header that carries the client id on discovery and FHIR calls.
    pub client_id_header: Option<&'static str>,
    /// What it wants in `Accept` on FHIR calls, if not `application/fhir+json`.
    pub accept: Option<&'static str>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            aud_mode: AudMode::default(),
            authorize_method: AuthorizeMethod::default(),
            basic_encoding: BasicEncoding::default(),
            client_id_in_body: false,
            takes_key: false,
            signing_algorithms: &KeyAlgorithm::ALL,
            jku: false,
            backend_secret: false,
            scopes: Version::V2,
            refresh_with_scope: false,
            refresh_token_life: None,
            client_id_header: None,
            accept: None,
        }
    }
}

/// How the FHIR base goes into the audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AudMode {
    /// `aud`, without a trailing slash.
    #[default]
    FhirBase,
    /// `aud`, with a trailing slash.
    WithSlash,
    /// No audience at all.
    Omit,
}

/// How the browser carries the authorization request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AuthorizeMethod {
    /// POST when the EHR offers it and the address would be long, else GET.
    #[default]
    Auto,
    /// Always GET.
    Get,
    /// Always POST.
    Post,
}

/// How id and secret are encoded for HTTP Basic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BasicEncoding {
    /// As they are: what most servers expect (SMART "Client Confidential Symmetric").
    #[default]
    Raw,
    /// Form-encoded first (RFC 6749 §2.3.1).
    UrlEncoded,
}

/// How long a refresh token is good, by the vendor's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshTokenLife {
    /// So many days from when it was issued.
    Days(u16),
    /// So many days after it was last used.
    IdleDays(u16),
}
