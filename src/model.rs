//! Pure types and rules that both halves share: what a practice, a provider, a connection and a
//! problem are, and which values are allowed.
//!
//! May import nothing of ours. No IO, no clock, no leptos, no `cfg`: everything here is a function
//! of its arguments, compiles for the browser, and is tested beside the code.

pub mod account;
pub mod address;
pub mod body;
pub mod calendar;
pub mod connection;
pub mod draft;
pub mod export;
pub mod field;
pub mod id;
pub mod key;
pub mod launch;
pub mod problem;
pub mod provider;
pub mod recording;
pub mod role;
pub mod scope;
pub mod settings;
pub mod time;
