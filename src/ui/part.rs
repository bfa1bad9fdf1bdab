//! Presentational parts that pages are made of.
//!
//! May import `model` and `api`. Guards: each returns one erased view, so that the browser's code
//! does not grow with every place a part is used in.

pub mod badge;
pub mod checkbox;
pub mod confirm;
pub mod copy;
pub mod empty;
pub mod field;
pub mod frame;
pub mod icon;
pub mod loading;
pub mod message;
pub mod nav;
pub mod options;
pub mod panel;
pub mod post_form;
pub mod provider_switch;
pub mod public;
pub mod recovery;
pub mod time;
