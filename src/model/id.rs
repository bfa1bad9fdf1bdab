//! Identifiers: one newtype per kind of thing, so that a practice can never be passed for a member.
//!
//! Guards: an id is opaque text; only the server mints them (`UUIDv7`).

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes text that is already an id: a column, a path segment, a form field.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// A medical practice: the tenant of everything.
    PracticeId;
    /// A member of a practice's staff.
    MemberId;
    /// A signed-in browser.
    SessionId;
    /// A grant that an EHR gave to a practice.
    ConnectionId;
    /// A launch from inside an EHR.
    LaunchId;
    /// A person whom an EHR vouches for.
    ClinicianId;
    /// A provider plugin, for example `ecw`.
    ProviderId;
    /// A bulk export.
    ExportId;
    /// An API token's record (never the token itself).
    TokenId;
}
