//! The words for codes: rules, notices, roles, states.
//!
//! May import `model`. Guards: what comes from a query or the server as a code becomes words only
//! here; an unknown code has none and shows nothing.

pub mod export;

use crate::model::connection::{AuthMethod, ConnectionStatus, Revocation};
use crate::model::field::Rule;
use crate::model::role::Role;
use crate::model::time::Timestamp;

/// The product's name.
pub const PRODUCT: &str = "EHR Integrations";

/// What to do about a broken rule.
pub const fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::Required => "Enter a value.",
        Rule::TooLong => "This is too long. Shorten it.",
        Rule::TooShort => "This is too short.",
        Rule::BadCharacters => "Some characters do not fit here. Check it for typing mistakes and line breaks.",
        Rule::NotAUrl => "Enter a full web address, for example https://ehr.example.com/fhir.",
        Rule::NeedsHttps => "The address must start with https://.",
        Rule::UrlUserInfo => "Remove the user name and password from the address.",
        Rule::UrlQuery => "Remove everything from ? or # on.",
        Rule::UrlPath => "Only https://host is wanted here, without a path.",
        Rule::PrivateAddress => "This is a private address, and this installation does not allow those.",
        Rule::NotAllowlisted => "This issuer is not on the installation's allowlist. Ask the operator to add it.",
        Rule::UnknownChoice => "Choose one of the listed values.",
        Rule::UnknownKey => "This provider has no such setting.",
        Rule::UnknownProvider => "This installation has no such provider.",
        Rule::WrongType => "This kind of value does not fit here.",
        Rule::SecretAgain => "The address or tenant changed. Enter the secret again.",
        Rule::KeyOrSecret => "Enter a client secret, or have the operator configure a signing key.",
        Rule::NoOwnKeys => "Your practice has no key of its own yet. Make one on the page of signing keys.",
        Rule::NotAnInstant => "Enter a day, or a time with its zone, for example 2026-06-30T08:00:00Z.",
        Rule::NotADay => "Enter a day of the calendar, for example 2027-06-30.",
        Rule::NotAnEmail => "Enter an e-mail address, for example name@practice.com.",
        Rule::Taken => "Somebody already uses this e-mail address.",
        Rule::PasswordTooShort => "Use at least 12 characters. A short sentence works well.",
        Rule::PasswordGuessable => "This password is too easy to guess. Choose another.",
        Rule::WrongPassword => "This is not your current password.",
        Rule::WrongCode => "This is not right. Check it and try again.",
        Rule::UnknownRole => "Choose one of the listed roles.",
    }
}

/// The label of a form field, for the error summary.
pub fn field_label(key: &str) -> &'static str {
    match key {
        "email" => "E-mail address",
        "password" => "Password",
        "totp-password" | "current" => "Current password",
        "name" => "Your name",
        "practice" => "Practice name",
        "code" => "Code",
        "role" => "Role",
        _ => "",
    }
}

/// A message that a page may show after something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Settings are saved.
    Saved,
    /// A connection was made.
    Connected,
    /// Other browsers are signed out.
    SessionRevoked,
    /// The password is changed.
    PasswordChanged,
    /// The second factor is off.
    TotpDisabled,
    /// An invitation was taken back.
    InviteRevoked,
    /// A member has another role.
    RoleChanged,
    /// A member was removed.
    MemberRemoved,
    /// A person whom an EHR sent is approved or refused.
    Decided,
    /// A launch was ended.
    LaunchEnded,
    /// A signing key was made.
    KeyCreated,
    /// A signing key signs now.
    KeyUsed,
    /// A signing key is retired.
    KeyRetired,
    /// An export is started.
    ExportStarted,
    /// An export is held.
    ExportPaused,
    /// An export goes on.
    ExportResumed,
    /// An export's end was asked for.
    ExportCancelled,
    /// Files of an export are fetched again.
    ExportRetried,
    /// An export is forgotten.
    ExportDeleted,
    /// This browser is signed out.
    SignedOut,
    /// Disconnected, and the EHR confirmed it.
    DisconnectedConfirmed,
    /// Disconnected here; the EHR has no way to be told.
    DisconnectedNotOffered,
    /// Disconnected here; telling the EHR failed.
    DisconnectedFailed,
}

impl Notice {
    /// Every notice with the word that a query carries.
    const WORDS: [(&'static str, Self); 23] = [
        ("saved", Self::Saved),
        ("connected", Self::Connected),
        ("session_revoked", Self::SessionRevoked),
        ("password_changed", Self::PasswordChanged),
        ("totp_disabled", Self::TotpDisabled),
        ("invite_revoked", Self::InviteRevoked),
        ("role_changed", Self::RoleChanged),
        ("member_removed", Self::MemberRemoved),
        ("decided", Self::Decided),
        ("launch_ended", Self::LaunchEnded),
        ("key_created", Self::KeyCreated),
        ("key_used", Self::KeyUsed),
        ("key_retired", Self::KeyRetired),
        ("export_started", Self::ExportStarted),
        ("export_paused", Self::ExportPaused),
        ("export_resumed", Self::ExportResumed),
        ("export_cancelled", Self::ExportCancelled),
        ("export_retried", Self::ExportRetried),
        ("export_deleted", Self::ExportDeleted),
        ("signed_out", Self::SignedOut),
        ("disconnected_confirmed", Self::DisconnectedConfirmed),
        ("disconnected_not_offered", Self::DisconnectedNotOffered),
        ("disconnected_failed", Self::DisconnectedFailed),
    ];

    /// Reads the word of a query; an unknown one is nothing.
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, notice)| *notice)
    }

    /// What it says.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Saved => "Settings saved.",
            Self::Connected => "Connected. The EHR granted access; test the connection to see it read a record.",
            Self::SessionRevoked => "Signed out. That browser has to sign in again.",
            Self::PasswordChanged => "Password changed. Every other browser is signed out.",
            Self::TotpDisabled => "Two-factor sign-in is off.",
            Self::InviteRevoked => "Invitation withdrawn. Its link no longer works.",
            Self::RoleChanged => "Role changed.",
            Self::MemberRemoved => "Member removed, and signed out everywhere.",
            Self::Decided => "Decided. It holds from their next page on.",
            Self::LaunchEnded => "Launch ended. Its view closes with the next click.",
            Self::KeyCreated => "The new key is published.",
            Self::KeyUsed => "The new key signs from now on.",
            Self::KeyRetired => "The key is retired.",
            Self::ExportStarted => "Export started. You can leave this page: it goes on by itself.",
            Self::ExportPaused => "Export paused. Nothing more is fetched until somebody resumes it.",
            Self::ExportResumed => "Export resumed.",
            Self::ExportCancelled => "Export cancelled. The EHR is told to clean up; what was taken in stays.",
            Self::ExportRetried => "The failed files are fetched again.",
            Self::ExportDeleted => "Export removed from the list. The records that it brought stay.",
            Self::SignedOut => "You are signed out.",
            Self::DisconnectedConfirmed => "Disconnected. The EHR confirmed that access is revoked.",
            Self::DisconnectedNotOffered => {
                "Disconnected here, and our tokens are deleted. This EHR cannot be told to revoke access, so its side ends when the grant expires."
            }
            Self::DisconnectedFailed => {
                "Disconnected here, and our tokens are deleted. The EHR did not confirm the revocation: ask its administrator to remove the grant."
            }
        }
    }

    /// Whether it needs the reader's attention, not only their approval.
    pub const fn is_warning(self) -> bool {
        matches!(self, Self::DisconnectedNotOffered | Self::DisconnectedFailed)
    }

    /// What a disconnect says.
    pub const fn of_revocation(revocation: Revocation) -> Self {
        match revocation {
            Revocation::Confirmed => Self::DisconnectedConfirmed,
            Revocation::NotOffered => Self::DisconnectedNotOffered,
            Revocation::Failed => Self::DisconnectedFailed,
        }
    }
}

/// A role's name for readers.
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Owner => "Owner",
        Role::Admin => "Administrator",
        Role::Clinician => "Clinician",
        Role::Auditor => "Auditor",
    }
}

/// What a role may do, in one sentence.
pub const fn role_summary(role: Role) -> &'static str {
    match role {
        Role::Owner => "Runs the practice's account and may do everything.",
        Role::Admin => "Runs integrations and members, except owners.",
        Role::Clinician => "Works with patients and drafts notes; sees settings.",
        Role::Auditor => "Reads settings, members and the audit trail; changes nothing.",
    }
}

/// A connection's state for readers.
pub const fn status(status: ConnectionStatus) -> &'static str {
    match status {
        ConnectionStatus::NotConnected => "Not connected",
        ConnectionStatus::Connected => "Connected",
        ConnectionStatus::NeedsReconnect => "Needs reconnect",
    }
}

/// How the application proves itself, for readers.
pub const fn auth_method(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::None => "Public client (PKCE only)",
        AuthMethod::ClientSecretBasic => "Client secret (HTTP Basic)",
        AuthMethod::ClientSecretPost => "Client secret (in the request)",
        AuthMethod::PrivateKeyJwt => "Signed assertion (private key)",
    }
}

/// What the EHR said to the end of a token.
pub const fn revocation(revocation: Revocation) -> &'static str {
    match revocation {
        Revocation::Confirmed => "Deleted here; the EHR confirmed that it is revoked",
        Revocation::NotOffered => "Deleted here; this EHR lets it end by itself",
        Revocation::Failed => "Deleted here; the EHR did not confirm it",
    }
}

/// A name of code as a sentence: `connection.started` becomes "Connection started".
pub fn humanise(name: &str) -> String {
    let mut words = name.replace(['.', '_'], " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// A point in time to the minute, in UTC.
pub fn date_time(at: Timestamp) -> String {
    let text = at.to_string();
    let (date, clock) = text.split_once('T').unwrap_or((text.as_str(), ""));
    format!("{date} {} UTC", clock.get(..5).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notice_has_a_word() {
        for (word, notice) in Notice::WORDS {
            assert_eq!(Notice::parse(word), Some(notice));
            assert!(notice.words().ends_with('.'), "{word}");
        }
        assert_eq!(Notice::parse("<script>"), None);
    }

    #[test]
    fn names_become_sentences() {
        assert_eq!(humanise("connection.test_failed"), "Connection test failed");
        assert_eq!(humanise(""), "");
        assert_eq!(date_time(Timestamp(1_795_468_740_000)), "2026-11-23 21:19 UTC");
    }
}
