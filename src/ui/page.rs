//! The pages, one file per route.
//!
//! May import `model`, `api` and the parts. Guards: data comes from blocking resources, so a page
//! arrives complete; each page is one erased view.

pub mod account;
pub mod audit;
pub mod calendar;
pub mod exports;
pub mod integrations;
pub mod keys;
pub mod launches;
pub mod link;
pub mod members;
pub mod not_found;
pub mod overview;
pub mod provider;
pub mod recordings;
pub mod recovery_codes;
pub mod sign_in;
pub mod troubleshooting;
pub mod two_factor;

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::model::account::{check_email, check_password};
use crate::model::draft::Draft;
use crate::ui::part::field::Check;

/// A word of the query, as the page was opened.
fn query_word(key: &str) -> String {
    use_query_map().get_untracked().get(key).unwrap_or_default()
}

/// What was typed into a field before the form was refused.
fn typed(draft: Option<&Draft>, key: &str) -> String {
    draft.and_then(|draft| draft.values.get(key).cloned()).unwrap_or_default()
}

/// An answer of this form that is shown once.
fn shown_once(draft: Option<&Draft>, form: &str) -> Option<String> {
    draft.filter(|draft| draft.form == form).and_then(|draft| draft.shown_once.clone())
}

fn email_check() -> Check {
    std::sync::Arc::new(|typed| check_email(typed).map(|_| ()))
}

fn new_password_check() -> Check {
    std::sync::Arc::new(|typed| check_password(typed, ""))
}
