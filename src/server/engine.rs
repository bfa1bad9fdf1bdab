//! Who calls the next step of an export, and when.
//!
//! May import `model` and flows. Guards: an export is worked on by one process at a time, and by another one soon
//! after that one is gone.

pub mod embedded;
