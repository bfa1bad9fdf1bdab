//! Bulk exports on the wire and into the database: asking, waiting, fetching, taking in.
//!
//! FHIR Bulk Data Access. May import `model` and the rest of `server` but flows. Guards: the access token goes
//! to the FHIR server's own origin only; nothing an EHR sends is trusted in size, form or address; a file's rows
//! and how far the file is stored are one transaction, under the fence of the export's lease, so that whatever
//! crashes, every line is taken in exactly once; no line is built into a JSON tree, and no file is held in memory.

pub mod fetch;
pub mod gate;
pub mod head;
pub mod kickoff;
pub mod lines;
pub mod manifest;
pub mod notes;
pub mod retry_after;
pub mod run;
pub mod server;
pub mod status;
pub mod write;
