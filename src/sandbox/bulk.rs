//! Bulk data: what the sandbox can give away in one go.
//!
//! Imports nothing of ours outside the sandbox.

pub mod generate;
