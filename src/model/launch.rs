//! EHR launches: who comes by one, and what a practice allows.
//!
//! Guards: somebody whom an EHR vouches for is a clinician at most, and sees nothing before the
//! practice approved them (or said that it approves everyone whom the EHR sends).

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::field::Rule;
use super::id::{ClinicianId, LaunchId};
use super::time::Timestamp;

/// Where a person whom an EHR vouches for stands with the practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClinicianStatus {
    /// Came by a launch; nobody has decided yet.
    Pending,
    /// May see what the EHR gives them.
    Approved,
    /// May not.
    Refused,
}

impl ClinicianStatus {
    /// The name in the database and in forms.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Refused => "refused",
        }
    }

    /// Reads what [`ClinicianStatus::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Refused].into_iter().find(|status| status.as_str() == text)
    }
}

/// Why a launch ended before its token did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchEnd {
    /// The clinician pressed Sign out.
    SignedOut,
    /// The practice ended it.
    Revoked,
}

impl LaunchEnd {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Revoked => "revoked",
        }
    }

    /// Reads what [`LaunchEnd::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::SignedOut, Self::Revoked].into_iter().find(|end| end.as_str() == text)
    }
}

/// What a practice allows launches to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSettings {
    /// Whether everyone whom the EHR sends is approved at once.
    pub auto_approve: bool,
    /// Whether a launch without an identity still shows its patient.
    pub allow_anonymous: bool,
    /// Origins that may frame the embedded view, besides the EHR's own.
    pub frame_origins: Vec<String>,
}

/// The most origins that a practice may name.
const MAX_ORIGINS: usize = 20;

/// Reads origins that are separated by spaces, commas or lines.
///
/// # Errors
/// The rule that the first wrong one breaks.
pub fn parse_origins(text: &str) -> Result<Vec<String>, Rule> {
    let mut origins = Vec::new();
    for word in text.split([' ', ',', '\n', '\r', '\t']).filter(|word| !word.is_empty()) {
        let address = Address::parse(word).map_err(|_| Rule::NotAUrl)?;
        if !address.is_https() && !address.is_loopback() {
            return Err(Rule::NeedsHttps);
        }
        if !address.path().is_empty() {
            return Err(Rule::UrlPath);
        }
        if !origins.contains(&address.origin()) {
            origins.push(address.origin());
        }
    }
    if origins.len() > MAX_ORIGINS { Err(Rule::TooLong) } else { Ok(origins) }
}

/// A person who came by a launch, in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClinicianView {
    /// Who.
    pub id: ClinicianId,
    /// The name in the EHR, where it could be read.
    pub name: Option<String>,
    /// The user's record in the EHR.
    pub fhir_user: Option<String>,
    /// Who vouches for them.
    pub issuer: String,
    /// Where they stand.
    pub status: ClinicianStatus,
    /// When they last came.
    pub last_seen_at: Timestamp,
}

/// A launch in the list. It does not say whose chart it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchView {
    /// Which.
    pub id: LaunchId,
    /// The provider's name.
    pub provider: String,
    /// Who, where that is known.
    pub clinician: Option<String>,
    /// Since when.
    pub started_at: Timestamp,
    /// Until when at most.
    pub expires_at: Timestamp,
    /// When it ended, if it ended before.
    pub ended_at: Option<Timestamp>,
}

/// The page of launches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchesPage {
    /// Who came.
    pub clinicians: Vec<ClinicianView>,
    /// The last launches, newest first.
    pub launches: Vec<LaunchView>,
    /// What the practice allows.
    pub settings: LaunchSettings,
    /// Whether the reader may change any of it.
    pub may_manage: bool,
    /// Now, by the server's clock.
    pub now: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_origins() {
        assert_eq!(
            parse_origins("https://EHR.example/, https://ehr.example\nhttp://127.0.0.1:4000"),
            Ok(vec!["https://ehr.example".into(), "http://127.0.0.1:4000".into()])
        );
        assert_eq!(parse_origins(""), Ok(Vec::new()));
        assert_eq!(parse_origins("ehr.example"), Err(Rule::NotAUrl));
        assert_eq!(parse_origins("http://ehr.example"), Err(Rule::NeedsHttps));
        assert_eq!(parse_origins("https://ehr.example/app"), Err(Rule::UrlPath));
        assert_eq!(parse_origins("https://a.example;script-src *"), Err(Rule::NotAUrl));
    }

    #[test]
    fn names_round_trip() {
        for status in [ClinicianStatus::Pending, ClinicianStatus::Approved, ClinicianStatus::Refused] {
            assert_eq!(ClinicianStatus::parse(status.as_str()), Some(status));
        }
        for end in [LaunchEnd::SignedOut, LaunchEnd::Revoked] {
            assert_eq!(LaunchEnd::parse(end.as_str()), Some(end));
        }
    }
}
