//! Bulk exports on the wire and into the database: asking, waiting, fetching, taking in.
//!
//! FHIR Bulk Data Access. May import `model` and the rest of `server` but flows. Guards: the access token goes
//! to the FHIR server's own origin only; nothing an EHR sends is trusted in size, form or address.

pub mod kickoff;
pub mod manifest;
pub mod retry_after;
pub mod server;
pub mod status;
