//! Staff accounts as a browser may see them, and the rules for e-mail addresses and passwords.

use serde::{Deserialize, Serialize};

use super::field::Rule;
use super::id::{MemberId, PracticeId, SessionId};
use super::role::Role;
use super::time::Timestamp;

/// The signed-in member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// Who.
    pub member: MemberId,
    /// Of which practice.
    pub practice: PracticeId,
    /// The practice's name.
    pub practice_name: String,
    /// The member's name; may be empty.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// The role.
    pub role: Role,
    /// Whether a second factor is set up.
    pub totp_enabled: bool,
}

/// A row of the members page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Who.
    pub id: MemberId,
    /// The name; may be empty.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// The role.
    pub role: Role,
    /// Whether a second factor is set up.
    pub totp_enabled: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// Whether this is the reader.
    pub is_me: bool,
}

/// An invitation that was not accepted yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteView {
    /// The record's id (never the link's token).
    pub id: String,
    /// For whom.
    pub email: String,
    /// With which role.
    pub role: Role,
    /// Until when the link works.
    pub expires_at: Timestamp,
}

/// The members page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Everyone in the practice.
    pub members: Vec<MemberView>,
    /// Open invitations.
    pub invites: Vec<InviteView>,
    /// Now, by the server's clock.
    pub now: Timestamp,
}

/// A row of the list of signed-in browsers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Which.
    pub id: SessionId,
    /// The browser in a few words, from its User-Agent.
    pub device: String,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it last did something.
    pub last_seen_at: Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// The account page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The member.
    pub me: Me,
    /// The member's signed-in browsers.
    pub sessions: Vec<SessionView>,
    /// Recovery codes that are left, when a second factor is set up.
    pub recovery_codes_left: u32,
    /// Now, by the server's clock.
    pub now: Timestamp,
}

/// A second factor that waits for its first code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotpSetup {
    /// The secret in base32, to type into an authenticator.
    pub secret: String,
    /// `otpauth://` address for the same.
    pub url: String,
    /// A picture of that address to scan: a `data:` address of an SVG.
    pub qr: String,
}

/// What a sign-in leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInStep {
    /// Signed in.
    Done,
    /// A code of the second factor is wanted.
    TotpWanted,
}

/// A line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// Which.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who: a member's e-mail address, a token's name, or `operator`.
    pub actor: String,
    /// What, for example `connection.started`.
    pub action: String,
    /// On what.
    pub target: String,
    /// `ok`, or a code of the catalogue.
    pub outcome: String,
    /// Under which request.
    pub request_id: String,
}

/// A page of the audit trail, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The lines.
    pub events: Vec<AuditView>,
    /// Pass it on to get older lines; absent at the end.
    pub next: Option<String>,
    /// Now, by the server's clock.
    pub now: Timestamp,
}

/// The shortest password, in characters (NIST SP 800-63B §5.1.1.2 asks at least 8, and no composition rules).
pub const PASSWORD_MIN: usize = 12;
/// The longest password, in characters: argon2 hashes any length, a request does not carry any length.
pub const PASSWORD_MAX: usize = 256;

/// Checks a new password. No composition rules: length, and not the obvious.
///
/// # Errors
/// The rule that it breaks.
pub fn check_password(password: &str, email: &str) -> Result<(), Rule> {
    let length = password.chars().count();
    if length < PASSWORD_MIN {
        return Err(Rule::PasswordTooShort);
    }
    if length > PASSWORD_MAX {
        return Err(Rule::TooLong);
    }
    let lower = password.to_ascii_lowercase();
    let mut letters = lower.chars();
    let one_letter = letters.next().is_some_and(|first| letters.all(|letter| letter == first));
    let obvious = ["passwordpassword", "password1234", "123456789012", "1234567890123", "qwertyuiopas", "qwerty123456"];
    if one_letter || obvious.contains(&lower.as_str()) || lower == normal_email(email) {
        return Err(Rule::PasswordGuessable);
    }
    Ok(())
}

/// An e-mail address as accounts are found by: trimmed, ASCII letters in lower case. Other letters
/// change case by language, which would let two addresses meet.
pub fn normal_email(text: &str) -> String {
    text.trim().to_ascii_lowercase()
}

/// Normalises an e-mail address. Only its shape is checked; a sent link proves the rest.
///
/// # Errors
/// [`Rule::Required`], [`Rule::TooLong`] or [`Rule::NotAnEmail`].
pub fn check_email(text: &str) -> Result<String, Rule> {
    let email = normal_email(text);
    if email.is_empty() {
        return Err(Rule::Required);
    }
    if email.len() > 254 {
        return Err(Rule::TooLong);
    }
    let shaped = email.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !host.contains('@') && !host.starts_with('.') && !host.ends_with('.') && !host.is_empty()
    });
    let plain = !email.chars().any(|c| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"".contains(c));
    if shaped && plain { Ok(email) } else { Err(Rule::NotAnEmail) }
}

/// Checks a name of a person or practice: trimmed, not empty, at most 120 characters, no control characters.
///
/// # Errors
/// The rule that it breaks.
pub fn check_name(text: &str) -> Result<String, Rule> {
    let name = text.trim();
    if name.is_empty() {
        return Err(Rule::Required);
    }
    if name.chars().count() > 120 {
        return Err(Rule::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(Rule::BadCharacters);
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords() {
        assert_eq!(check_password("short", ""), Err(Rule::PasswordTooShort));
        assert_eq!(check_password(&"x".repeat(257), ""), Err(Rule::TooLong));
        assert_eq!(check_password(&"x".repeat(20), ""), Err(Rule::PasswordGuessable));
        assert_eq!(check_password("someone@clinic.example", "Someone@clinic.example"), Err(Rule::PasswordGuessable));
        assert_eq!(check_password("correct horse battery", "a@b.example"), Ok(()));
        assert_eq!(check_password("Ünïcödé pässwörd", "a@b.example"), Ok(()));
    }

    #[test]
    fn emails() {
        assert_eq!(check_email(" Ada@Clinic.Example "), Ok("ada@clinic.example".into()));
        // The Kelvin sign is no k: Unicode's lower case would make it one.
        assert_eq!(check_email("\u{212a}im@clinic.example"), Ok("\u{212a}im@clinic.example".into()));
        for bad in ["x", "a@", "@b", "a@b@c", "a b@c.d", "a@.c", "<a@b.c>"] {
            assert_eq!(check_email(bad), Err(Rule::NotAnEmail), "{bad}");
        }
        assert_eq!(check_email(" "), Err(Rule::Required));
    }
}
