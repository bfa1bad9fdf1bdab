//! Recording what a connect or launch does, and reading it.
//!
//! Guards: what is noted is a word of ours or of a standard, a number, or an address of the practice's own
//! configuration; what an EHR sends is told by its shape only ([`known`]). A recording that cannot be
//! kept costs a log line, never the connect.

use super::{Actor, Caller};
use crate::model::id::ProviderId;
use crate::model::problem::Code;
use crate::model::recording::{Fact, RecordingView, RecordingsPage, Step, StepName};
use crate::model::role::Permission;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::provider;
use crate::server::store::flow::{FlowKind, FlowRow};
use crate::server::store::recording::{self, Recording};

/// How many recordings are listed.
const LISTED: i64 = 50;
/// From so many steps on, answers that are not taken are not told any more: anybody can open a callback
/// again and again. A flow that goes its way has fewer.
const MAX_ASTRAY: usize = 15;

/// A recording under way.
pub(super) struct Recorder {
    recording: Recording,
}

impl Recorder {
    /// Begins a recording.
    pub fn start(app: &App, caller: &Caller, provider: &ProviderId, kind: FlowKind) -> Self {
        let recording = Recording {
            id: app.ids.mint(),
            practice: caller.practice.clone(),
            provider: provider.clone(),
            kind,
            started_at: app.clock.now(),
            outcome: None,
            request_ids: vec![caller.request_id.clone()],
            steps: Vec::new(),
        };
        Self { recording }
    }

    /// Keeps an attempt that ended before the EHR was asked anything.
    pub async fn refused(
        app: &App,
        caller: &Caller,
        provider: &ProviderId,
        kind: FlowKind,
        why: (Code, &[(&'static str, &str)]),
    ) {
        let mut recorder = Self::start(app, caller, provider, kind);
        recorder.step(app, StepName::Asked);
        recorder.fact("By", by(&caller.actor));
        let (code, facts) = why;
        for (name, value) in facts {
            recorder.fact(name, *value);
        }
        if let Err(error) = recording::forget_old(app.db.pool(), &caller.practice, app.clock.now()).await {
            tracing::warn!(error = %error, "old recordings were not forgotten");
        }
        recorder.end::<()>(app, &Err(code.into())).await;
    }

    /// Goes on with the recording of a flow, in a later request.
    pub async fn resume(app: &App, row: &FlowRow, request_id: &str) -> Self {
        let found = recording::find(app.db.pool(), &row.practice, &row.recording_id).await;
        let recording = found.ok().flatten().unwrap_or_else(|| Recording {
            id: app.ids.mint(),
            practice: row.practice.clone(),
            provider: row.provider.clone(),
            kind: row.kind,
            started_at: row.created_at,
            outcome: None,
            request_ids: Vec::new(),
            steps: Vec::new(),
        });
        let mut recorder = Self { recording };
        if !recorder.recording.request_ids.iter().any(|known| known == request_id) {
            recorder.recording.request_ids.push(request_id.to_owned());
        }
        recorder
    }

    /// The recording's id.
    pub fn id(&self) -> &str {
        &self.recording.id
    }

    /// Begins a step; what is noted from here on belongs to it.
    pub fn step(&mut self, app: &App, name: StepName) {
        self.recording.steps.push(Step { name, at: app.clock.now(), problem: None, facts: Vec::new() });
    }

    /// Notes something about the step.
    pub fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        if let Some(step) = self.recording.steps.last_mut() {
            step.facts.push(Fact { name: name.into(), value: value.into() });
        }
    }

    /// Keeps it, to go on in another request; or as ended, by a failure.
    pub async fn pause<T>(self, app: &App, result: &Outcome<T>) {
        match result {
            Ok(_) => self.keep(app).await,
            Err(_) => self.end(app, result).await,
        }
    }

    /// Keeps it as ended. A flow is used once, so this is how it ended, whatever came astray before.
    pub async fn end<T>(mut self, app: &App, result: &Outcome<T>) {
        let outcome = result.as_ref().map(|_| ()).map_err(Failure::code);
        self.mark(outcome);
        self.recording.outcome = Some(outcome);
        self.keep(app).await;
    }

    /// Marks the step: the attempt goes on, but something is not as it was asked for.
    pub fn warn(&mut self, code: Code) {
        self.mark(Err(code));
    }

    /// Whether another answer that is not taken is worth telling.
    pub const fn has_room(&self) -> bool {
        self.recording.steps.len() < MAX_ASTRAY
    }

    /// Keeps an answer that was not taken: it ends nothing.
    pub async fn astray(mut self, app: &App, code: Code) {
        self.mark(Err(code));
        self.recording.outcome.get_or_insert(Err(code));
        self.keep(app).await;
    }

    fn mark(&mut self, outcome: Result<(), Code>) {
        if let (Err(code), Some(step)) = (outcome, self.recording.steps.last_mut()) {
            step.problem = Some(code);
        }
    }

    async fn keep(self, app: &App) {
        if let Err(error) = recording::put(&app.db, &self.recording).await {
            tracing::warn!(recording.id = self.recording.id, error = %error, "a recording was not kept");
        }
    }
}

/// Who asked for it.
pub(super) const fn by(actor: &Actor) -> &'static str {
    match actor {
        Actor::Member { .. } => "a member",
        Actor::Token { .. } => "an application with an API token",
        Actor::Operator => "the operator",
        Actor::Engine => "the engine",
        Actor::Browser | Actor::Clinician { .. } => "the EHR",
    }
}

/// Those of some words that are on a list, in the list's order, and how many others there are: what an EHR
/// sends may be anything.
pub(super) fn known<'a>(words: impl Iterator<Item = &'a str>, list: &[&str]) -> String {
    let words: Vec<_> = words.collect();
    let mut told: Vec<String> =
        list.iter().filter(|word| words.contains(*word)).map(|word| (*word).to_owned()).collect();
    let others = words.iter().filter(|word| !list.contains(*word)).count();
    if others > 0 {
        told.push(format!("{others} other{}", if others == 1 { "" } else { "s" }));
    }
    if told.is_empty() { "none".into() } else { told.join(", ") }
}

/// The last recordings of the practice; with a request id only those that it was part of.
///
/// # Errors
/// `forbidden`.
pub async fn page(app: &App, caller: &Caller, request_id: &str) -> Outcome<RecordingsPage> {
    caller.require(Permission::ReadAudit)?;
    let is_id = !request_id.is_empty()
        && request_id.len() <= 64
        && request_id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let wanted = if is_id { request_id } else { "" };
    let recordings = recording::list(&app.db, &caller.practice, wanted, LISTED).await?;
    Ok(RecordingsPage { recordings: recordings.into_iter().map(view).collect(), now: app.clock.now() })
}

fn view(recording: Recording) -> RecordingView {
    RecordingView {
        id: recording.id,
        provider: provider::name_of(&recording.provider),
        is_launch: recording.kind == FlowKind::Launch,
        started_at: recording.started_at,
        outcome: recording.outcome,
        request_ids: recording.request_ids,
        steps: recording.steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_told() {
        let told = known(["state", "code", "Ada Patient", "x"].into_iter(), &["code", "state", "iss"]);
        assert_eq!(told, "code, state, 2 others");
        assert_eq!(known(std::iter::empty(), &["code"]), "none");
    }
}
