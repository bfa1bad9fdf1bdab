//! When something is done next, and why then.
//!
//! FHIR Bulk Data Access, "Bulk Data Status Request" (`Retry-After`). Guards: an EHR's wish is followed within
//! bounds, and where it is not, that is said.

use serde::{Deserialize, Serialize};

use crate::model::problem::Code;

/// Why an export waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Wait {
    /// The EHR said when to ask again.
    ServerAsked {
        /// After how many seconds.
        seconds: i64,
    },
    /// The EHR wants to be asked later, or sooner, than we do.
    Clamped {
        /// After how many seconds it wants to be asked.
        asked_seconds: i64,
        /// After how many it is.
        seconds: i64,
    },
    /// The EHR did not say; the interval grows.
    OwnInterval {
        /// After how many seconds it is asked.
        seconds: i64,
    },
    /// The EHR has too much to do, or works on another export first (429).
    Busy {
        /// After how many seconds it is asked.
        seconds: i64,
    },
    /// The EHR did not answer usefully.
    Unavailable {
        /// How often so far.
        troubles: u32,
        /// After how many seconds it is asked.
        seconds: i64,
    },
    /// Files that failed are tried again.
    FilesAgain,
    /// The EHR refuses a token that it has just given: somebody has to look.
    TokenRefused,
    /// There is no token to be had: somebody has to look.
    NoToken {
        /// Why.
        code: Code,
    },
    /// Somebody holds it.
    Held,
}

/// The bounds of an interval, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At least.
    pub min: i64,
    /// At most (`EHR_BULK_MAX_POLL_SECONDS`).
    pub max: i64,
}

impl Wait {
    /// The wait after a poll that found nothing new: what the EHR asked for, within bounds, or else an interval
    /// that grows with every poll.
    pub fn poll(asked: Option<i64>, polls: u32, bounds: Bounds) -> Self {
        match asked {
            Some(asked_seconds) => match bounds.clamp(asked_seconds) {
                seconds if seconds == asked_seconds => Self::ServerAsked { seconds },
                seconds => Self::Clamped { asked_seconds, seconds },
            },
            None => Self::OwnInterval { seconds: bounds.growing(polls) },
        }
    }

    /// The wait after a 429: what the EHR asked for, but never less than an interval that grows.
    pub fn busy(asked: Option<i64>, troubles: u32, bounds: Bounds) -> Self {
        Self::Busy { seconds: bounds.clamp(asked.unwrap_or(0).max(bounds.growing(troubles))) }
    }

    /// The wait after an answer that was of no use, or none.
    pub fn unavailable(asked: Option<i64>, troubles: u32, bounds: Bounds) -> Self {
        let seconds = bounds.clamp(asked.unwrap_or_else(|| bounds.growing(troubles)));
        Self::Unavailable { troubles, seconds }
    }

    /// After how many seconds; zero for what does not end by itself.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::ServerAsked { seconds }
            | Self::Clamped { seconds, .. }
            | Self::OwnInterval { seconds }
            | Self::Busy { seconds }
            | Self::Unavailable { seconds, .. } => seconds,
            Self::FilesAgain | Self::TokenRefused | Self::NoToken { .. } | Self::Held => 0,
        }
    }
}

impl Bounds {
    /// The nearest allowed interval.
    pub fn clamp(self, seconds: i64) -> i64 {
        seconds.max(self.min).min(self.max.max(self.min))
    }

    /// Two seconds, doubled every time.
    fn growing(self, times: u32) -> i64 {
        self.clamp(2_i64.saturating_mul(1_i64 << times.min(20)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { min: 1, max: 300 };

    #[test]
    fn what_the_ehr_asks_for() {
        assert_eq!(Wait::poll(Some(30), 9, BOUNDS), Wait::ServerAsked { seconds: 30 });
        assert_eq!(Wait::poll(Some(7_200), 0, BOUNDS), Wait::Clamped { asked_seconds: 7_200, seconds: 300 });
        assert_eq!(Wait::poll(Some(-5), 0, BOUNDS), Wait::Clamped { asked_seconds: -5, seconds: 1 });
        // Epoch milliseconds, as a well-known server sends them.
        assert_eq!(Wait::poll(Some(1_795_468_740_000), 0, BOUNDS).seconds(), 300);
        let own: Vec<_> = (0..9).map(|polls| Wait::poll(None, polls, BOUNDS).seconds()).collect();
        assert_eq!(own, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(Wait::busy(Some(1), 4, BOUNDS), Wait::Busy { seconds: 32 });
        assert_eq!(Wait::busy(Some(120), 0, BOUNDS), Wait::Busy { seconds: 120 });
        assert_eq!(Wait::unavailable(None, 1, BOUNDS), Wait::Unavailable { troubles: 1, seconds: 4 });
    }

    proptest! {
        #[test]
        fn never_out_of_bounds(asked in proptest::option::of(any::<i64>()), times in any::<u32>()) {
            for wait in [Wait::poll(asked, times, BOUNDS), Wait::busy(asked, times, BOUNDS), Wait::unavailable(asked, times, BOUNDS)] {
                prop_assert!((BOUNDS.min..=BOUNDS.max).contains(&wait.seconds()), "{:?}", wait);
            }
        }
    }
}
