//! The life of an export.
//!
//! Guards: the states carry what their next step needs, and move only by the methods here, which take the
//! old state and give the new one; what is over moves only back to its files, when somebody asks for one
//! again.

use serde::{Deserialize, Serialize};

use crate::model::problem::Code;
use crate::model::time::Timestamp;

macro_rules! states {
    ($($(#[$doc:meta])* $variant:ident($data:ty) $name:literal;)*) => {
        /// Where an export stands, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ExportState {$($(#[$doc])* $variant,)*}

        /// An export's life: its state with the data of it.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "state", rename_all = "snake_case")]
        pub enum Life {$($(#[$doc])* $variant($data),)*}

        impl ExportState {
            /// Every state.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in the database and on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {$(Self::$variant => $name,)*}
            }
        }

        impl Life {
            /// The state's name.
            pub const fn state(&self) -> ExportState {
                match self {$(Self::$variant(_) => ExportState::$variant,)*}
            }
        }
    };
}

states! {
    /// Asked for here.
    Queued(Queued) "queued";
    /// The EHR is being asked.
    KickingOff(KickingOff) "kicking_off";
    /// The EHR prepares it.
    Waiting(Waiting) "waiting";
    /// Its files are fetched and taken in.
    Downloading(Downloading) "downloading";
    /// Everything is here; the EHR is told to clean up.
    Finishing(Finishing) "finishing";
    /// Everything is here.
    Complete(Over) "complete";
    /// What could be had is here.
    CompleteWithErrors(Over) "complete_with_errors";
    /// Somebody ended it.
    Cancelled(Over) "cancelled";
    /// It cannot go on.
    Failed(Over) "failed";
    /// The EHR has forgotten it before everything was here.
    Expired(Over) "expired";
}

impl ExportState {
    /// Reads what [`ExportState::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == text)
    }

    /// Whether nothing more happens to it by itself.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Complete | Self::CompleteWithErrors | Self::Cancelled | Self::Failed | Self::Expired)
    }
}

/// Asked for here, and not yet asked of the EHR.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// How often the EHR did not answer usefully.
    pub troubles: u32,
}

/// The EHR is being asked. If the process ends here, nobody knows whether the EHR has begun: it is asked again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KickingOff {
    troubles: u32,
}

/// What the EHR works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Where it tells its status (`Content-Location`), and takes the order to clean up.
    pub status_url: String,
    /// Where further pages of its manifest are, as far as they are known. The last page that is known is the one to
    /// ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_pages: Vec<String>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When the first files were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_at: Option<Timestamp>,
    /// How often it was asked since it last said something new.
    pub polls: u32,
    /// How often it did not answer usefully, since it last did.
    pub troubles: u32,
    /// How often its manifest was read again because files were gone.
    pub renewals: u32,
}

/// The EHR prepares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What it works on.
    pub job: Job,
}

/// Files are fetched and taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloading {
    /// Where they come from.
    pub job: Job,
    /// When to ask for more pages of the manifest; `None` once all are known.
    pub more_at: Option<Timestamp>,
}

/// Everything is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finishing {
    /// What the EHR may clean up.
    pub job: Job,
    /// How often it was told to, without an answer.
    pub tries: u32,
}

/// It is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// What the EHR still keeps, as far as we know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// Why, where it is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Code>,
    /// More on that, in a word of ours or by the EHR's own diagnosis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Queued {
    /// The EHR is asked now.
    pub fn kick_off(self) -> KickingOff {
        KickingOff { troubles: self.troubles }
    }
}

impl KickingOff {
    /// The EHR works on it.
    pub fn accepted(self, status_url: String, now: Timestamp) -> Waiting {
        let (further_pages, files_at) = (Vec::new(), None);
        let job = Job { status_url, further_pages, accepted_at: now, files_at, polls: 0, troubles: 0, renewals: 0 };
        Waiting { job }
    }

    /// The EHR works on another one first: nothing is lost, it is asked later.
    pub fn busy(self) -> Queued {
        Queued { troubles: self.troubles }
    }

    /// The EHR did not answer usefully.
    pub fn troubled(self) -> Queued {
        Queued { troubles: self.troubles.saturating_add(1) }
    }
}

impl Job {
    /// The number of the page to ask for.
    pub const fn page(&self) -> usize {
        self.further_pages.len()
    }

    /// Where a page is.
    pub fn page_url(&self, page: usize) -> Option<&str> {
        match page.checked_sub(1) {
            None => Some(&self.status_url),
            Some(index) => self.further_pages.get(index).map(String::as_str),
        }
    }

    /// It is not ready yet.
    #[must_use]
    pub fn polled(mut self) -> Self {
        self.polls = self.polls.saturating_add(1);
        self.troubles = 0;
        self
    }

    /// It did not answer usefully.
    #[must_use]
    pub fn troubled(mut self) -> Self {
        self.troubles = self.troubles.saturating_add(1);
        self
    }

    /// A page of the manifest names the next one.
    #[must_use]
    pub fn next_page(mut self, url: String) -> Self {
        self.further_pages.push(url);
        self.polls = 0;
        self.troubles = 0;
        self
    }
}

impl Waiting {
    /// There are files; `more_at` says when to ask for more pages.
    pub fn found(mut self, more_at: Option<Timestamp>, now: Timestamp) -> Downloading {
        self.job.files_at.get_or_insert(now);
        Downloading { job: self.job, more_at }
    }
}

impl Downloading {
    /// Everything that is known is dealt with, and all pages are known.
    pub fn done(self) -> Finishing {
        Finishing { job: self.job, tries: 0 }
    }

    /// Everything that is known is dealt with; more pages come.
    pub fn wait(self) -> Waiting {
        Waiting { job: self.job }
    }

    /// The manifest is read again, because files are gone.
    #[must_use]
    pub fn renewed(mut self) -> Self {
        self.job.renewals = self.job.renewals.saturating_add(1);
        self
    }
}

impl Finishing {
    /// The EHR did not answer the order to clean up.
    #[must_use]
    pub fn troubled(mut self) -> Self {
        self.tries = self.tries.saturating_add(1);
        self
    }

    /// Everything is here, and the EHR has cleaned up, or was asked to often enough.
    pub fn complete(self) -> Life {
        Life::Complete(Over::default())
    }

    /// What could be had is here. `kept` when the EHR was not told to clean up, so that the rest can be had later.
    pub fn complete_with_errors(self, kept: bool) -> Life {
        Life::CompleteWithErrors(Over { job: kept.then_some(self.job), ..Over::default() })
    }
}

impl Default for Life {
    fn default() -> Self {
        Self::Queued(Queued::default())
    }
}

impl Life {
    /// What the EHR works on, or still keeps.
    pub const fn job(&self) -> Option<&Job> {
        match self {
            Self::Queued(_) | Self::KickingOff(_) => None,
            Self::Waiting(Waiting { job })
            | Self::Downloading(Downloading { job, .. })
            | Self::Finishing(Finishing { job, .. }) => Some(job),
            Self::Complete(over)
            | Self::CompleteWithErrors(over)
            | Self::Cancelled(over)
            | Self::Failed(over)
            | Self::Expired(over) => over.job.as_ref(),
        }
    }

    fn into_job(self) -> Option<Job> {
        self.job().cloned()
    }

    /// Somebody ends it; `told` when the EHR knows, or has nothing to know. What is over stays as it is.
    #[must_use]
    pub fn cancelled(self, told: bool) -> Self {
        if self.state().is_over() {
            return self;
        }
        Self::Cancelled(Over { job: self.into_job().filter(|_| !told), ..Over::default() })
    }

    /// It cannot go on; what the EHR has stays there. What is over stays as it is.
    #[must_use]
    pub fn failed(self, problem: Code, detail: Option<String>) -> Self {
        if self.state().is_over() {
            return self;
        }
        Self::Failed(Over { job: self.into_job(), problem: Some(problem), detail })
    }

    /// The EHR has forgotten it. What is over stays as it is.
    #[must_use]
    pub fn expired(self) -> Self {
        if self.state().is_over() {
            return self;
        }
        Self::Expired(Over { problem: Some(Code::BulkExpired), ..Over::default() })
    }

    /// Back to its files: somebody wants one of them again, and the EHR still has it.
    ///
    /// # Errors
    /// The life as it was, when the EHR has nothing any more or it is under way.
    pub fn reopened(self) -> Result<Downloading, Box<Self>> {
        match self {
            Self::CompleteWithErrors(Over { job: Some(job), .. }) => {
                Ok(Downloading { job: Job { renewals: 0, ..job }, more_at: None })
            }
            other => Err(Box::new(other)),
        }
    }

    /// Why it is over, where it is not complete.
    pub fn problem(&self) -> Option<(Code, Option<&str>)> {
        match self {
            Self::Failed(over) | Self::Expired(over) => over.problem.map(|code| (code, over.detail.as_deref())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_795_468_740_000);

    /// One life of every state.
    fn lives() -> Vec<Life> {
        let kicking = Queued::default().kick_off();
        let waiting = kicking.clone().accepted("https://ehr.example/status/1".into(), NOW);
        let downloading = waiting.clone().found(Some(NOW), NOW);
        let finishing = downloading.clone().done();
        vec![
            Life::default(),
            Life::KickingOff(kicking),
            Life::Waiting(waiting.clone()),
            Life::Downloading(downloading),
            Life::Finishing(finishing.clone()),
            finishing.clone().complete(),
            finishing.complete_with_errors(true),
            Life::default().cancelled(true),
            Life::Waiting(waiting.clone()).failed(Code::EhrUnavailable, Some("status_500".into())),
            Life::Waiting(waiting).expired(),
        ]
    }

    #[test]
    fn every_state_is_kept_and_read_back() {
        let all: Vec<_> = lives().iter().map(Life::state).collect();
        assert_eq!(all, ExportState::ALL);
        for life in lives() {
            let text = serde_json::to_string(&life).unwrap();
            assert!(text.contains(&format!("\"state\":\"{}\"", life.state().as_str())), "{text}");
            assert_eq!(serde_json::from_str::<Life>(&text).unwrap(), life);
            assert_eq!(ExportState::parse(life.state().as_str()), Some(life.state()));
        }
    }

    #[test]
    fn what_the_ehr_keeps_after_a_failure() {
        let kept: Vec<_> = lives().into_iter().filter(|life| life.state().is_over() && life.job().is_some()).collect();
        let states: Vec<_> = kept.iter().map(Life::state).collect();
        assert_eq!(states, [ExportState::CompleteWithErrors, ExportState::Failed]);
    }

    proptest! {
        /// What is over stays over, but for a new look at its files.
        #[test]
        fn what_is_over_stays(index in 0_usize..10, how in 0_usize..3) {
            let life = lives().swap_remove(index);
            let ended = match how {
                0 => life.clone().cancelled(false),
                1 => life.clone().failed(Code::Internal, None),
                _ => life.clone().expired(),
            };
            prop_assert!(ended.state().is_over());
            if life.state().is_over() {
                prop_assert_eq!(&ended, &life);
            }
            let reopened = life.clone().reopened();
            prop_assert_eq!(reopened.is_ok(), life.state() == ExportState::CompleteWithErrors);
        }
    }
}
