//! FHIR R4 over HTTP, without a database.
//!
//! May import `model`, `server::net`. Guards: the access token goes to the connection's own origin
//! only; what we do not understand of a resource is left alone.

pub mod bulk_capability;
pub mod capability;
pub mod client;
pub mod document_reference;
pub mod encounter;
pub mod outcome;
pub mod patient;
pub mod user;
