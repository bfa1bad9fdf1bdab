//! Bulk exports (FHIR Bulk Data Access): from the files of a manifest to rows of the database.
//!
//! May import `model`, the store and `net`. Guards: a file's rows and how far the file is stored are one
//! transaction, under the fence of the export's lease, so that whatever crashes, every line is taken in
//! exactly once; no line is ever built into a JSON tree, and no file is ever held in memory.

pub mod fetch;
pub mod gate;
pub mod head;
pub mod lines;
pub mod notes;
pub mod run;
pub mod write;
