//! Integration tests: flows through the real router against the sandbox EHR, on both databases.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod accounts;
mod api;
mod bulk_ingest;
mod bulk_writers;
mod canary;
mod connect;
mod dialects;
mod docs;
mod export_commands;
mod export_engine;
mod export_faults;
mod export_kills;
mod exports;
mod exports_page;
mod faults;
mod inferno;
mod keys;
mod launch;
mod launch_faults;
mod layers;
mod log;
mod recordings;
mod scene;
mod settings;
mod support;
mod tokens;
mod vendors;
