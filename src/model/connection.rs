//! A connection between a practice and an EHR, as the browser and the API see it.

use serde::{Deserialize, Serialize};

use super::key::ChosenAuth;
use super::problem::Code;
use super::scope::ScopeState;
use super::time::Timestamp;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionStatus {
    /// Never made, or ended.
    NotConnected,
    /// The grant works.
    Connected,
    /// The EHR does not accept the grant any more.
    NeedsReconnect,
}

impl ConnectionStatus {
    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::Connected => "connected",
            Self::NeedsReconnect => "needs_reconnect",
        }
    }

    /// Reads what [`ConnectionStatus::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::NotConnected, Self::Connected, Self::NeedsReconnect].into_iter().find(|status| status.as_str() == text)
    }
}

/// How the application proved itself at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A public client: PKCE only.
    None,
    /// HTTP Basic.
    ClientSecretBasic,
    /// The secret in the form.
    ClientSecretPost,
    /// A signed assertion.
    PrivateKeyJwt,
}

impl AuthMethod {
    /// The name in discovery documents and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// Reads what [`AuthMethod::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt]
            .into_iter()
            .find(|method| method.as_str() == text)
    }
}

/// A connection on the provider's page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// Where it stands.
    pub status: ConnectionStatus,
    /// The EHR's issuer.
    pub issuer: String,
    /// The FHIR base URL.
    pub fhir_base_url: String,
    /// How we prove ourselves, and why so.
    pub auth: ChosenAuth,
    /// Asked and granted.
    pub scopes: Vec<ScopeState>,
    /// The patient of the grant, if it has one.
    pub patient: Option<String>,
    /// The user who granted it, as the EHR names them.
    pub fhir_user: Option<String>,
    /// When it was made.
    pub connected_at: Timestamp,
    /// When the access token ends (it is renewed before that, where the EHR allows).
    pub expires_at: Option<Timestamp>,
    /// Whether it renews itself.
    pub renews: bool,
    /// Whether it renews itself only while the user is signed in at the EHR (`online_access`).
    pub online_only: bool,
    /// When the access token was last renewed.
    pub refreshed_at: Option<Timestamp>,
    /// Why it ended, when it did.
    pub last_problem: Option<Code>,
}

/// What "Test connection" read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// The EHR's software by its CapabilityStatement.
    pub software: String,
    /// The FHIR version.
    pub fhir_version: String,
    /// How many resource types it serves.
    pub resource_types: u32,
    /// Whether it offers `create` of a patient.
    pub creates_patient: bool,
    /// Whether it offers `create` of a document.
    pub creates_document: bool,
    /// Whether the EHR says that the token is good; absent where it cannot be asked.
    pub token_active: Option<bool>,
    /// The patient that was read, when one is known.
    pub patient: Option<PatientSummary>,
    /// Why the patient could not be read, when one is known.
    pub patient_problem: Option<Code>,
    /// How long the EHR took in all, in milliseconds.
    pub duration_ms: u64,
}

/// A patient in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PatientSummary {
    /// The name as the EHR displays it.
    pub name: String,
    /// `YYYY-MM-DD`, or less.
    pub birth_date: Option<String>,
    /// Administrative gender.
    pub gender: Option<String>,
    /// The medical record number, if one is marked as such.
    pub mrn: Option<String>,
}

/// What a disconnect did at the EHR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// The EHR confirmed that the tokens are revoked.
    Confirmed,
    /// The EHR has no revocation endpoint: the tokens are deleted here and die there by age.
    NotOffered,
    /// The EHR did not answer properly: the tokens are deleted here; it may still hold them.
    Failed,
}

impl Revocation {
    const ALL: [Self; 3] = [Self::Confirmed, Self::NotOffered, Self::Failed];

    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::NotOffered => "not_offered",
            Self::Failed => "failed",
        }
    }

    /// Reads what [`Revocation::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revocation| revocation.as_str() == text)
    }

    /// The outcome in the audit trail.
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Confirmed => "ok",
            Self::NotOffered => "not_offered",
            Self::Failed => "revocation_failed",
        }
    }
}

/// What the EHR said to the end of a grant, token by token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// When it was asked.
    pub at: Timestamp,
    /// About the refresh token; absent where the grant had none.
    pub refresh_token: Option<Revocation>,
    /// About the access token; absent where the grant had none.
    pub access_token: Option<Revocation>,
}

impl Receipt {
    /// In one word. With the refresh token the grant goes (RFC 7009 §2.1), so that one answer is enough; but
    /// what failed is not hidden by what did not.
    pub fn summary(&self) -> Revocation {
        let answers = [self.refresh_token, self.access_token];
        let has = |wanted| answers.contains(&Some(wanted));
        if has(Revocation::Failed) {
            Revocation::Failed
        } else if has(Revocation::Confirmed) {
            Revocation::Confirmed
        } else {
            Revocation::NotOffered
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Some(Revocation::Confirmed), Some(Revocation::NotOffered), Revocation::Confirmed)]
    #[case(Some(Revocation::Confirmed), Some(Revocation::Failed), Revocation::Failed)]
    #[case(None, Some(Revocation::Confirmed), Revocation::Confirmed)]
    #[case(None, None, Revocation::NotOffered)]
    fn receipts_in_a_word(
        #[case] refresh_token: Option<Revocation>,
        #[case] access_token: Option<Revocation>,
        #[case] expected: Revocation,
    ) {
        let receipt = Receipt { at: Timestamp(0), refresh_token, access_token };
        assert_eq!(receipt.summary(), expected);
        assert_eq!(Revocation::parse(expected.as_str()), Some(expected));
    }
}
