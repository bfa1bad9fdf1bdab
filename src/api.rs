//! The server functions: authorise, call a flow, map to [`Problem`]. No logic.
//!
//! May import `model`; `server` inside bodies only, which the browser half does not have. Every
//! function has a stable endpoint under `/api/`; [`PUBLIC`] names the ones that an anonymous browser
//! may call, and a layer in `web` refuses every other before its arguments are even decoded.

#![expect(missing_docs, reason = "the structs that the server macro generates have a field per argument")]

use leptos::prelude::{FromServerFnError, ServerFnErrorErr};

use crate::model::problem::{Code, Problem};

pub mod account;
pub mod audit;
pub mod calendar;
pub mod draft;
pub mod exports;
pub mod integrations;
mod json;
pub mod keys;
pub mod launches;
pub mod members;
pub mod recordings;

/// The endpoints that need no session.
pub const PUBLIC: [&str; 6] =
    ["/api/sign_in", "/api/sign_in_totp", "/api/setup", "/api/accept_invite", "/api/reset_password", "/api/draft"];

impl FromServerFnError for Problem {
    type Encoder = json::JsonText;

    /// Errors of the transport itself. The text inside is dropped: a problem carries codes only.
    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        Self::new(match error {
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) | ServerFnErrorErr::Deserialization(_) => {
                Code::InvalidInput
            }
            ServerFnErrorErr::Request(_) => Code::EhrUnavailable,
            _ => Code::Internal,
        })
    }
}
