//! Why a flow could not do what was asked.
//!
//! Guards: what leaves the program is a [`Problem`] — a code and ids of ours. The text of inner
//! errors goes to the one log line, under the same request id.

use crate::model::field::Rule;
use crate::model::problem::{Code, Problem};

use super::smart::token::TokenError;
use super::store::StoreError;
use super::vault::VaultError;

/// Why a flow could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something that the caller can do something about.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// Something that the caller can do something about, with detail for the log only.
    #[error("{problem}: {detail}")]
    Explained {
        /// What the caller sees.
        problem: Problem,
        /// What the log gets. Never a token, code, state, query string, patient id or body.
        detail: String,
    },
    /// The database failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// A sealed value could not be opened.
    #[error("vault: {0}")]
    Vault(#[from] VaultError),
    /// A value in the database is not of the form in which we write it.
    #[error("corrupt {0}")]
    Corrupt(&'static str),
}

/// What flows answer.
pub type Outcome<T> = Result<T, Failure>;

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::Problem(code.into())
    }
}

impl Failure {
    /// `invalid_input` about one field.
    pub fn field(field: &str, rule: Rule) -> Self {
        Self::Problem(Problem::field(field, rule))
    }

    /// A code, with detail for the log.
    pub fn explained(code: Code, detail: impl Into<String>) -> Self {
        Self::Explained { problem: code.into(), detail: detail.into() }
    }

    /// What a token endpoint answered, as somebody who waits for it meets it.
    pub fn of_token(error: &TokenError) -> Self {
        let problem = Problem { retry_after: error.retry_after(), ..error.code().into() };
        Self::Explained { problem, detail: error.to_string() }
    }

    /// The code that the caller will see.
    pub const fn code(&self) -> Code {
        match self {
            Self::Problem(problem) | Self::Explained { problem, .. } => problem.code,
            Self::Store(_) | Self::Vault(_) | Self::Corrupt(_) => Code::Internal,
        }
    }

    /// What may be said to the caller. Writes the one log line of this failure.
    pub fn into_problem(self, request_id: &str) -> Problem {
        let code = self.code();
        if code.entry().status >= 500 {
            tracing::error!(request.id = request_id, code = code.name(), error = %self, "request failed");
        } else {
            tracing::info!(request.id = request_id, code = code.name(), error = %self, "request refused");
        }
        let mut problem = match self {
            Self::Problem(problem) | Self::Explained { problem, .. } => problem,
            Self::Store(_) | Self::Vault(_) | Self::Corrupt(_) => Code::Internal.into(),
        };
        problem.request_id = Some(request_id.to_owned());
        problem
    }
}
