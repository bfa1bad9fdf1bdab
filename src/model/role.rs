//! Who may do what: the one table of roles and permissions.
//!
//! Guards: every check in the program asks [`Role::may`]; nothing compares roles by name.

use serde::{Deserialize, Serialize};

/// What a member of a practice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the practice's account; may do everything.
    Owner,
    /// Runs the integrations and the members below owner.
    Admin,
    /// Works with patients.
    Clinician,
    /// Reads settings and the audit trail, changes nothing.
    Auditor,
}

/// One thing that a role may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See provider settings and connection status.
    ReadSettings,
    /// Change provider settings and flags.
    WriteSettings,
    /// Connect, test and disconnect an EHR.
    Connect,
    /// See the list of members.
    ReadMembers,
    /// Invite, change and remove members below owner.
    ManageMembers,
    /// Give and take the owner role.
    ManageOwners,
    /// Read the audit trail.
    ReadAudit,
    /// Create and revoke API tokens.
    ManageTokens,
    /// Start and read bulk exports.
    Export,
    /// Draft and file notes.
    WriteNotes,
}

use Permission::{
    Connect, Export, ManageMembers, ManageOwners, ManageTokens, ReadAudit, ReadMembers, ReadSettings, WriteNotes,
    WriteSettings,
};

impl Role {
    /// Every role, most powerful first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Clinician, Self::Auditor];

    /// The table.
    pub const fn permissions(self) -> &'static [Permission] {
        match self {
            Self::Owner => &[
                ReadSettings,
                WriteSettings,
                Connect,
                ReadMembers,
                ManageMembers,
                ManageOwners,
                ReadAudit,
                ManageTokens,
                Export,
                WriteNotes,
            ],
            Self::Admin => &[
                ReadSettings,
                WriteSettings,
                Connect,
                ReadMembers,
                ManageMembers,
                ReadAudit,
                ManageTokens,
                Export,
                WriteNotes,
            ],
            Self::Clinician => &[ReadSettings, WriteNotes],
            Self::Auditor => &[ReadSettings, ReadMembers, ReadAudit],
        }
    }

    /// Whether this role has the permission.
    pub fn may(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }

    /// Whether a member of this role may give or take the other role.
    pub fn may_manage(self, other: Self) -> bool {
        self.may(ManageMembers) && (other != Self::Owner || self.may(ManageOwners))
    }

    /// The role's name in code, forms and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Clinician => "clinician",
            Self::Auditor => "auditor",
        }
    }

    /// Reads what [`Role::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// What an API token may do: `tokens create --scope read,config:write,…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TokenScope {
    /// Read settings, status and data.
    #[serde(rename = "read")]
    Read,
    /// Change settings.
    #[serde(rename = "config:write")]
    ConfigWrite,
    /// Start, test and end connections.
    #[serde(rename = "connect")]
    Connect,
    /// Start and read bulk exports.
    #[serde(rename = "export")]
    Export,
    /// Draft and file notes.
    #[serde(rename = "notes:write")]
    NotesWrite,
}

impl TokenScope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Read, Self::ConfigWrite, Self::Connect, Self::Export, Self::NotesWrite];

    /// The scope's name on the command line and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ConfigWrite => "config:write",
            Self::Connect => "connect",
            Self::Export => "export",
            Self::NotesWrite => "notes:write",
        }
    }

    /// Reads a comma list; `all` means every scope.
    ///
    /// # Errors
    /// The word that is not a scope.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let mut scopes = Vec::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if word == "all" {
                return Ok(Self::ALL.to_vec());
            }
            let scope = Self::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or_else(|| word.to_owned())?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        Ok(scopes)
    }

    /// The permissions that the scope carries.
    pub const fn permissions(self) -> &'static [Permission] {
        match self {
            Self::Read => &[ReadSettings],
            Self::ConfigWrite => &[WriteSettings],
            Self::Connect => &[Connect],
            Self::Export => &[Export],
            Self::NotesWrite => &[WriteNotes],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_owners_touch_owners() {
        assert!(Role::Owner.may_manage(Role::Owner));
        assert!(!Role::Admin.may_manage(Role::Owner));
        assert!(Role::Admin.may_manage(Role::Admin));
        assert!(!Role::Clinician.may_manage(Role::Auditor));
    }

    #[test]
    fn auditors_and_clinicians_change_no_settings() {
        for role in [Role::Clinician, Role::Auditor] {
            assert!(!role.may(WriteSettings) && !role.may(Connect) && !role.may(ManageTokens));
        }
    }

    #[test]
    fn names_round_trip() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(TokenScope::parse_list("read, connect"), Ok(vec![TokenScope::Read, TokenScope::Connect]));
        assert_eq!(TokenScope::parse_list("all").unwrap().len(), 5);
        assert_eq!(TokenScope::parse_list("root"), Err("root".into()));
    }
}
