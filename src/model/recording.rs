//! Recordings: what a connect or launch did, step by step.
//!
//! Guards: a fact is a word of ours or of a standard, a number, or an address that the practice itself
//! configured; never a token, code, secret, identifier or text that an EHR sent.

use serde::{Deserialize, Serialize};

use super::problem::Code;
use super::time::Timestamp;

/// A step, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// Somebody, or an EHR, asked for it.
    Asked,
    /// The EHR's endpoints were read.
    Discovery,
    /// How we prove ourselves was chosen.
    ClientAuthentication,
    /// The browser was sent to the EHR.
    Redirect,
    /// The browser came back.
    Callback,
    /// The code was exchanged.
    TokenExchange,
    /// The identity token was validated.
    Identity,
    /// What is open in the EHR, and who the user is there.
    Context,
    /// The grant was kept.
    Kept,
}

/// One thing that is known of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What.
    pub name: String,
    /// How it was.
    pub value: String,
}

/// A step with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// When it began.
    pub at: Timestamp,
    /// Why it was the last one; where it was not, what was not as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Code>,
    /// What is known of it.
    pub facts: Vec<Fact>,
}

/// A recording in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingView {
    /// Its id.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// Whether an EHR started it.
    pub is_launch: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// Whether it is through, and how it ended: `None` while the EHR is asked.
    pub outcome: Option<Result<(), Code>>,
    /// The requests that it took.
    pub request_ids: Vec<String>,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// The page of recordings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingsPage {
    /// The last ones, newest first; or the one of a request.
    pub recordings: Vec<RecordingView>,
    /// Now, by the server's clock.
    pub now: Timestamp,
}
