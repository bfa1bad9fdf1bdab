//! What ends when, and what has to be done before.

use serde::{Deserialize, Serialize};

use super::id::ProviderId;
use super::time::Timestamp;

/// How long before its end a thing is warned of, in seconds.
pub const WARNED_BEFORE: i64 = 14 * 86_400;
/// After how long a signing key should be replaced, in seconds (NIST SP 800-57 part 1, §5.3.6, gives private
/// signature keys one to three years).
pub const KEY_AGE: i64 = 365 * 86_400;

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndingKind {
    /// A connection that cannot renew itself.
    Access,
    /// A refresh token, by the vendor's limit.
    RefreshToken,
    /// A client secret, by the day that the practice entered.
    ClientSecret,
    /// A signing key should be replaced.
    SigningKey,
    /// An API token of an application.
    ApiToken,
}

impl EndingKind {
    /// In words, within a sentence.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Access => "access that does not renew itself",
            Self::RefreshToken => "refresh token, by the vendor's limit",
            Self::ClientSecret => "client secret",
            Self::SigningKey => "signing key, a year old then",
            Self::ApiToken => "API token",
        }
    }
}

/// Something that ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// What.
    pub kind: EndingKind,
    /// What it is called: a provider, a key, a token.
    pub name: String,
    /// Of which provider, if of one.
    pub provider: Option<ProviderId>,
    /// When.
    pub at: Timestamp,
}

/// How near an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// It is over.
    Over,
    /// It is warned of.
    Soon,
    /// There is time.
    Later,
}

impl Ending {
    /// How near the end is.
    pub fn nearness(&self, now: Timestamp) -> Nearness {
        if self.at <= now {
            Nearness::Over
        } else if self.at <= now.plus_seconds(WARNED_BEFORE) {
            Nearness::Soon
        } else {
            Nearness::Later
        }
    }
}

/// The page of what ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarPage {
    /// What ends, the next one first.
    pub endings: Vec<Ending>,
    /// The server's time.
    pub now: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearness() {
        let now = Timestamp(1_000_000_000);
        let in_days = |days: i64| {
            let at = now.plus_seconds(days * 86_400);
            Ending { kind: EndingKind::ApiToken, name: String::new(), provider: None, at }.nearness(now)
        };
        assert_eq!([in_days(0), in_days(14), in_days(15)], [Nearness::Over, Nearness::Soon, Nearness::Later]);
    }
}
