//! What becomes of a file with which something went wrong.
//!
//! Guards: a file is tried again later, and not for ever; who asks for patience is no failure of the file.

use super::Trouble;
use crate::model::problem::Code;
use crate::model::time::Timestamp;
use crate::server::store::export_file::{FileState, Progress};

/// How often a file is tried without getting any further.
const MAX_ATTEMPTS: i64 = 8;
/// The wait after the first failure, in milliseconds; it doubles each time: ten minutes in all.
const FIRST_WAIT: i64 = 5_000;
const LONGEST_WAIT: i64 = 600_000;
/// How long a host is left alone that has too much to do and does not say until when, in seconds.
const TOO_MUCH: i64 = 30;
/// What an EHR asks for is followed within these bounds, in seconds.
const SHORTEST: i64 = 1;
const LONGEST: i64 = 600;

/// The file's progress after trouble: `before` is what it was when the download began, `so_far` what was handed to
/// the writer since.
pub(super) fn after(trouble: &Trouble, before: &Progress, so_far: Progress, now: Timestamp, random: u64) -> Progress {
    let mut progress = so_far;
    // Whoever got further and can go on from there may fail as often again.
    let further = progress.validator.is_some() && progress.bytes > before.bytes;
    let attempts = if further { 1 } else { before.attempts + 1 };
    let (problem, detail) = match trouble {
        Trouble::TooMuch { after } => {
            progress.next_at = Timestamp(now.0 + patience(after.or(Some(TOO_MUCH))));
            progress.problem = Some(Code::RateLimited);
            progress.detail = Some("status_429".into());
            return progress;
        }
        Trouble::Hopeless { problem, detail } => {
            progress.state = FileState::Failed;
            (*problem, detail.to_string())
        }
        Trouble::Mismatch(detail) => {
            if before.detail.as_deref() == Some(detail) {
                progress.state = FileState::Failed;
            } else {
                progress = Progress { fetched: progress.fetched, ..Progress::default() };
            }
            (Code::FhirInvalid, (*detail).to_owned())
        }
        Trouble::Again { problem, detail, .. } => (*problem, detail.to_string()),
        Trouble::Gone(status) => (Code::BulkExpired, format!("status_{status}")),
        Trouble::TokenRefused | Trouble::NoToken(_) | Trouble::Closed => return progress,
    };
    progress.attempts = attempts;
    progress.problem = Some(problem);
    progress.detail = Some(detail);
    if attempts >= MAX_ATTEMPTS {
        progress.state = FileState::Failed;
    }
    if progress.state == FileState::Pending {
        let asked = if let Trouble::Again { after, .. } = trouble { patience(*after) } else { 0 };
        progress.next_at = Timestamp(now.0 + wait(attempts, random).max(asked));
    }
    progress
}

/// How long an EHR wants to be left alone, in milliseconds, within bounds.
pub(super) fn patience(after: Option<i64>) -> i64 {
    after.map_or(0, |seconds| seconds.clamp(SHORTEST, LONGEST) * 1_000)
}

/// Doubles with each attempt; half of it is left to chance, so that files do not come back all at once.
fn wait(attempts: i64, random: u64) -> i64 {
    let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(20);
    let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    let half = wait / 2;
    half + i64::try_from(random % u64::try_from(half.max(1)).unwrap_or(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn again(after: Option<i64>) -> Trouble {
        Trouble::Again { problem: Code::EhrUnavailable, detail: Cow::Borrowed("status_503"), after }
    }

    #[test]
    fn waits_longer_each_time_and_gives_up() {
        let mut progress = Progress::default();
        let mut waits = Vec::new();
        while progress.state == FileState::Pending {
            progress = after(&again(None), &progress, progress.clone(), NOW, 0);
            waits.push((progress.next_at.0 - NOW.0) / 100);
        }
        assert_eq!(waits, [25, 50, 100, 200, 400, 800, 1600, 1600]);
        assert_eq!((progress.attempts, progress.detail.as_deref()), (8, Some("status_503")));
        assert!(wait(1, u64::MAX) < FIRST_WAIT && wait(60, 7) < LONGEST_WAIT);
    }

    #[test]
    fn who_gets_further_may_fail_again() {
        let before = Progress { attempts: 7, bytes: 10, ..Progress::default() };
        let further = Progress { bytes: 20, validator: Some("\"1\"".into()), ..before.clone() };
        assert_eq!(after(&again(None), &before, further, NOW, 0).attempts, 1);
        let from_the_start = Progress { bytes: 20, ..before.clone() };
        assert_eq!(after(&again(None), &before, from_the_start, NOW, 0).state, FileState::Failed);
    }

    #[test]
    fn what_the_ehr_asks_for_is_bounded() {
        let wait = |trouble: &Trouble| {
            let progress = after(trouble, &Progress::default(), Progress::default(), NOW, 0);
            (progress.attempts, (progress.next_at.0 - NOW.0) / 1_000)
        };
        assert_eq!(wait(&again(Some(60))), (1, 60));
        assert_eq!(wait(&again(Some(i64::MAX))), (1, LONGEST));
        assert_eq!(wait(&Trouble::TooMuch { after: Some(0) }), (0, SHORTEST));
        assert_eq!(wait(&Trouble::TooMuch { after: None }), (0, TOO_MUCH));
    }

    #[test]
    fn a_mismatch_is_looked_at_twice() {
        let so_far = Progress { bytes: 9, rows: 3, fetched: 9, ..Progress::default() };
        let once = after(&Trouble::Mismatch("wrong_count"), &Progress::default(), so_far.clone(), NOW, 0);
        assert_eq!((once.state, once.rows, once.fetched), (FileState::Pending, 0, 9));
        let twice = after(&Trouble::Mismatch("wrong_count"), &once, so_far, NOW, 0);
        assert_eq!((twice.state, twice.rows, twice.attempts), (FileState::Failed, 3, 2));
    }
}
