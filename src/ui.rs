//! The user interface for practice staff: shell, router, one file per page, presentational parts.
//!
//! May import `model` and `api` only; compiles for both halves, so there are no server types and no
//! feature gates here (the one entry point of the browser, `ui/hydrate.rs`, is gated in `lib.rs`).
//! Guards: every form works before hydration and without JavaScript; no `style=` attribute and no
//! inline handler in the markup (the Content-Security-Policy forbids both).

pub mod app;
pub mod browser;
pub mod page;
pub mod part;
pub mod text;
