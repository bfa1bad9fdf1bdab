//! A provider-agnostic SMART on FHIR integration layer for medical practices.
//!
//! The rooms, and who may import whom (an arrow: may be imported by the next):
//! `model <- server <- api <- ui <- web <- main`; `sandbox` imports nothing of ours.
//! The only feature gates are the three below: secrets live in `server`, which the browser half
//! does not have.

#[cfg(all(feature = "ssr", target_arch = "wasm32"))]
compile_error!("feature `ssr` is the server half; build wasm32 with --no-default-features --features hydrate");

pub mod api;
pub mod model;
pub mod ui;

#[cfg(feature = "hydrate")]
#[path = "ui/hydrate.rs"]
mod hydrate;

#[cfg(feature = "ssr")]
pub mod sandbox;
#[cfg(feature = "ssr")]
pub mod server;
#[cfg(feature = "ssr")]
pub mod web;
