//! Signing keys: their life, and what is shown of them.
//!
//! Guards: a key's state is a pure function of its times and the clock, so that every replica agrees
//! without a job that moves keys about.

use serde::{Deserialize, Serialize};

use super::connection::AuthMethod;
use super::problem::Code;
use super::time::Timestamp;

/// How long a new key is published before it signs, in seconds: no key set that an EHR still has in its
/// cache lacks it by then. The longest cache that a vendor documents is Epic's, of about 29 hours.
pub const PUBLISHED_BEFORE_USE: i64 = 30 * 3_600;
/// How long a key stays published after its last signature, in seconds: far longer than an assertion lives.
pub const PUBLISHED_AFTER_USE: i64 = 24 * 3_600;

/// The algorithms that SMART wants of a client ("Client Authentication: Asymmetric").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// RSA (3,072 bits), PKCS #1 v1.5, SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// ECDSA on P-384, SHA-384.
    #[serde(rename = "ES384")]
    Es384,
}

impl KeyAlgorithm {
    /// Both, the one that more EHRs take first.
    pub const ALL: [Self; 2] = [Self::Rs384, Self::Es384];

    /// The name in JOSE headers and the database (RFC 7518 §3.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs384 => "RS384",
            Self::Es384 => "ES384",
        }
    }

    /// Reads what [`KeyAlgorithm::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Published, does not sign yet.
    Next,
    /// Signs.
    Active,
    /// Signs no more, still published.
    Retiring,
    /// Not published any more.
    Retired,
}

impl KeyState {
    /// Whether the JWKS has it.
    pub const fn is_published(self) -> bool {
        !matches!(self, Self::Retired)
    }
}

/// The times that decide about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTimes {
    /// Since when it is published.
    pub created_at: Timestamp,
    /// From when on it signs.
    pub activates_at: Timestamp,
    /// From when on its successor signs.
    pub superseded_at: Option<Timestamp>,
    /// From when on it is not published any more.
    pub retires_at: Option<Timestamp>,
}

impl KeyTimes {
    /// The times of a key that is made now. The first of its algorithm signs at once: there is nothing that
    /// it could take the place of.
    pub const fn new(now: Timestamp, is_first: bool) -> Self {
        let activates_at = if is_first { now } else { now.plus_seconds(PUBLISHED_BEFORE_USE) };
        Self { created_at: now, activates_at, superseded_at: None, retires_at: None }
    }

    /// Where the key stands.
    pub fn state(&self, now: Timestamp) -> KeyState {
        let reached = |time: Option<Timestamp>| time.is_some_and(|time| time <= now);
        if reached(self.retires_at) {
            KeyState::Retired
        } else if reached(self.superseded_at) {
            KeyState::Retiring
        } else if self.activates_at <= now {
            KeyState::Active
        } else {
            KeyState::Next
        }
    }

    /// The times once a successor signs from `at` on.
    #[must_use]
    pub const fn superseded(self, at: Timestamp) -> Self {
        Self { superseded_at: Some(at), retires_at: Some(at.plus_seconds(PUBLISHED_AFTER_USE)), ..self }
    }
}

/// Whose keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOwner {
    /// The installation's: every practice may be signed for with them, where the operator approved it.
    Installation,
    /// The practice's own.
    Practice,
}

impl KeyOwner {
    /// The name in forms.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Installation => "installation",
            Self::Practice => "practice",
        }
    }

    /// Reads what [`KeyOwner::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Installation, Self::Practice].into_iter().find(|owner| owner.as_str() == text)
    }
}

/// A key on the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// The row's id.
    pub id: String,
    /// The `kid` in the JWKS and in assertions.
    pub kid: String,
    /// What it signs with.
    pub algorithm: KeyAlgorithm,
    /// Where it stands.
    pub state: KeyState,
    /// The times that decide.
    pub times: KeyTimes,
    /// The EHRs that took an assertion signed with it, by name, and when they last did.
    pub accepted_by: Vec<(String, Timestamp)>,
}

/// Somebody who fetched a JWKS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwksFetch {
    /// From where.
    pub ip: String,
    /// What it calls itself.
    pub user_agent: String,
    /// When it first did.
    pub first_at: Timestamp,
    /// When it last did.
    pub last_at: Timestamp,
    /// How often; fetches within a minute count once.
    pub times: i64,
}

/// The keys of one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySetView {
    /// Whose.
    pub owner: KeyOwner,
    /// Where they are published.
    pub jwks_url: String,
    /// The keys, newest first.
    pub keys: Vec<KeyView>,
    /// Who fetched them, the last one first.
    pub fetches: Vec<JwksFetch>,
    /// Whether the reader may change them.
    pub may_manage: bool,
}

/// The page of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysPage {
    /// The installation's keys, then the practice's own.
    pub sets: Vec<KeySetView>,
    /// The server's time.
    pub now: Timestamp,
}

/// What "can the EHR see my key?" found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyCheck {
    /// Where the keys are published.
    pub jwks_url: String,
    /// Whether the address answers from outside with the keys that sign; else why not.
    pub published: Result<(), Code>,
    /// The last fetch by somebody else since the newest key is published.
    pub fetched: Option<JwksFetch>,
    /// The last EHR that took an assertion signed with a key that signs now.
    pub accepted: Option<(String, Timestamp)>,
}

/// Why a way of client authentication was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthReason {
    /// The practice chose the client type.
    Configured,
    /// There is no secret, and the EHR takes signed assertions.
    KeyOffered,
    /// There is no secret, and this vendor takes signed assertions without saying so.
    KeyByVendor,
    /// A secret is entered, but the EHR takes signed assertions and no secret.
    KeyOnly,
    /// A secret is entered.
    SecretEntered,
    /// A secret is entered, and the EHR takes it in the form only.
    SecretFormOnly,
    /// There is no secret, and no key that the EHR says to take.
    NothingToProve,
}

impl AuthReason {
    const ALL: [Self; 7] = [
        Self::Configured,
        Self::KeyOffered,
        Self::KeyByVendor,
        Self::KeyOnly,
        Self::SecretEntered,
        Self::SecretFormOnly,
        Self::NothingToProve,
    ];

    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::KeyOffered => "key_offered",
            Self::KeyByVendor => "key_by_vendor",
            Self::KeyOnly => "key_only",
            Self::SecretEntered => "secret_entered",
            Self::SecretFormOnly => "secret_form_only",
            Self::NothingToProve => "nothing_to_prove",
        }
    }

    /// Reads what [`AuthReason::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// In words.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Configured => "the practice chose the client type",
            Self::KeyOffered => "no secret is entered, and the EHR takes signed assertions",
            Self::KeyByVendor => "no secret is entered, and this vendor takes signed assertions",
            Self::KeyOnly => "a secret is entered, but the EHR takes signed assertions only",
            Self::SecretEntered => "a secret is entered",
            Self::SecretFormOnly => "a secret is entered, and the EHR takes it in the form only",
            Self::NothingToProve => "no secret is entered, and no key that the EHR says to take",
        }
    }
}

/// How we prove ourselves to an EHR, and why so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenAuth {
    /// How.
    pub method: AuthMethod,
    /// With which algorithm, where a key signs.
    pub algorithm: Option<KeyAlgorithm>,
    /// Why; absent for grants that were made before it was kept.
    pub reason: Option<AuthReason>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours(count: i64) -> Timestamp {
        Timestamp(1_700_000_000_000).plus_seconds(count * 3_600)
    }

    #[test]
    fn a_life() {
        let first = KeyTimes::new(hours(0), true);
        assert_eq!(first.state(hours(0)), KeyState::Active);
        let second = KeyTimes::new(hours(100), false);
        let first = first.superseded(second.activates_at);
        let states = |hour| (first.state(hours(hour)), second.state(hours(hour)));
        assert_eq!(states(100), (KeyState::Active, KeyState::Next));
        assert_eq!(states(129), (KeyState::Active, KeyState::Next), "Epic may still have the old set");
        assert_eq!(states(130), (KeyState::Retiring, KeyState::Active));
        assert_eq!(states(154), (KeyState::Retired, KeyState::Active));
    }

    proptest! {
        /// Through any number of rotations, exactly one key signs at any time, and whatever signs or signed
        /// within five minutes is published.
        #[test]
        fn one_key_signs_at_any_time(gaps in proptest::collection::vec(31_i64..2_000, 0..6), at in 0_i64..12_000) {
            let mut keys = vec![KeyTimes::new(hours(0), true)];
            let mut hour = 0;
            for gap in gaps {
                hour += gap;
                let new = KeyTimes::new(hours(hour), false);
                if let Some(last) = keys.last_mut() {
                    *last = last.superseded(new.activates_at);
                }
                keys.push(new);
            }
            let now = hours(at);
            let known: Vec<_> = keys.into_iter().filter(|key| key.created_at <= now).collect();
            let active = known.iter().filter(|key| key.state(now) == KeyState::Active).count();
            prop_assert_eq!(active, 1);
            let before = now.plus_seconds(-300);
            for key in known.iter().filter(|key| key.created_at <= before && key.state(before) == KeyState::Active) {
                prop_assert!(key.state(now).is_published());
            }
        }
    }
}
