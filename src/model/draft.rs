//! What a form post leaves behind for the page that it redirects to, when no JavaScript runs.
//!
//! Guards: nothing typed is lost when a form is refused, and nothing typed travels in a URL. Drafts
//! are kept sealed for ten minutes; passwords and secrets are never part of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::problem::Problem;

/// A refused or answered form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Which form, for example `provider`.
    pub form: String,
    /// What was typed, by field name, without secrets.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Why it was refused.
    #[serde(default)]
    pub problem: Option<Problem>,
    /// An answer that is shown once: an invitation link, or the JSON of a connection test.
    #[serde(default)]
    pub shown_once: Option<String>,
}

impl Draft {
    /// A draft of this form with what was typed.
    pub fn of(form: &str, values: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self {
            form: form.to_owned(),
            values: values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            ..Self::default()
        }
    }
}
