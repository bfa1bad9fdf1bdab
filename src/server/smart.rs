//! The SMART App Launch 2.2 protocol, without a database.
//!
//! May import `model`, `server::net`, `server::clock`. Guards: one error enum per operation, so that
//! "the EHR said `invalid_grant`" never looks like "the EHR did not answer".

pub mod authorize;
pub mod client_auth;
pub mod discovery;
pub mod id_token;
pub mod introspect;
pub mod keys;
pub mod revoke;
pub mod style;
pub mod token;
