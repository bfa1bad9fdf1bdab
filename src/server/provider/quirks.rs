//! How a vendor's dialect differs from the plain standard, which is the default.

use crate::model::key::KeyAlgorithm;

/// A vendor's dialect. Every field is something that one can search for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Which version of scopes it takes.
    pub scope_style: ScopeStyle,
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
            scope_style: ScopeStyle::default(),
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

/// Which version of scopes a vendor takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ScopeStyle {
    /// `.rs`, `.c`.
    #[default]
    V2,
    /// `.read`, `.write`.
    V1,
}

impl ScopeStyle {
    /// The permission to read and search.
    pub const fn read(self) -> &'static str {
        match self {
            Self::V2 => "rs",
            Self::V1 => "read",
        }
    }

    /// The permission to create.
    pub const fn create(self) -> &'static str {
        match self {
            Self::V2 => "c",
            Self::V1 => "write",
        }
    }
}
