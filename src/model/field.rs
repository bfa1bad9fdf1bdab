//! The fields that a provider plugin describes, and the rules their values must keep.
//!
//! Guards: the same rule runs in the browser while one types and on the server before anything is
//! saved.

use serde::{Deserialize, Serialize};

use super::address::{Address, AddressError};
use super::time::Timestamp;

/// What kind of control a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// One line of text.
    Text,
    /// A web address.
    Url,
    /// A secret: kept in the vault, never read back.
    Password,
    /// One of some choices.
    Select,
    /// Yes or no.
    Boolean,
    /// A day, `YYYY-MM-DD`.
    Date,
}

/// One choice of a [`FieldKind::Select`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The stored value.
    pub value: String,
    /// What the user reads.
    pub label: String,
}

/// A field of a provider's configuration form: the customer's `uiFields`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UiField {
    /// The key in `providerConfigs`.
    pub key: String,
    /// The label.
    pub label: String,
    /// The kind of control.
    #[serde(rename = "type")]
    pub kind: FieldKind,
    /// Whether a value must be given.
    pub required: bool,
    /// One or two sentences below the control.
    pub help: String,
    /// An example value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub placeholder: String,
    /// Where the practice finds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find_it: Option<Link>,
    /// The choices of a select.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Choice>,
}

/// A link with words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What the link says.
    pub label: String,
    /// Where it goes.
    pub url: String,
}

/// A rule that a value can break. The UI has words for each (`ui/text.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A value is needed.
    Required,
    /// The value is longer than 2,048 characters (or the field's own limit).
    TooLong,
    /// The value is shorter than the field allows.
    TooShort,
    /// Control characters or line breaks.
    BadCharacters,
    /// Not a web address.
    NotAUrl,
    /// Neither https nor http on this machine.
    NeedsHttps,
    /// A web address with `user@`.
    UrlUserInfo,
    /// A web address with `?` or `#`.
    UrlQuery,
    /// An address with a path where only an origin is wanted.
    UrlPath,
    /// A private or loopback address, which this installation does not allow.
    PrivateAddress,
    /// An issuer that the installation's allowlist does not have.
    NotAllowlisted,
    /// Not one of the choices.
    UnknownChoice,
    /// Not a field of this provider.
    UnknownKey,
    /// Not a provider of this installation.
    UnknownProvider,
    /// A number where text belongs, or the like.
    WrongType,
    /// The address or tenant changed: the secret must be given again.
    SecretAgain,
    /// Neither a signing key is configured nor a secret given.
    KeyOrSecret,
    /// The practice has no signing key of its own.
    NoOwnKeys,
    /// Not a day.
    NotADay,
    /// Not a time to the second with a time zone, nor `auto`.
    NotAnInstant,
    /// Not an e-mail address.
    NotAnEmail,
    /// Somebody has this e-mail address already.
    Taken,
    /// A password shorter than 12 characters.
    PasswordTooShort,
    /// A password that stands on every list of common ones, or is the e-mail address.
    PasswordGuessable,
    /// Not the right one-time code.
    WrongCode,
    /// Not the account's password.
    WrongPassword,
    /// Not a role.
    UnknownRole,
}

/// The longest value of a field, in characters.
pub const MAX_LENGTH: usize = 2_048;

/// Checks a text value of a field; empty text counts as absent.
///
/// # Errors
/// The first rule that the value breaks.
pub fn check(field: &UiField, value: &str) -> Result<(), Rule> {
    let value = value.trim();
    if value.is_empty() {
        return if field.required { Err(Rule::Required) } else { Ok(()) };
    }
    if value.chars().count() > MAX_LENGTH {
        return Err(Rule::TooLong);
    }
    if value.chars().any(char::is_control) {
        return Err(Rule::BadCharacters);
    }
    match field.kind {
        FieldKind::Text | FieldKind::Password => Ok(()),
        FieldKind::Url => check_url(value).map(|_| ()),
        FieldKind::Select if field.options.iter().any(|choice| choice.value == value) => Ok(()),
        FieldKind::Select => Err(Rule::UnknownChoice),
        FieldKind::Date if Timestamp::of_day(value).is_some() => Ok(()),
        FieldKind::Date => Err(Rule::NotADay),
        FieldKind::Boolean if matches!(value, "true" | "false") => Ok(()),
        FieldKind::Boolean => Err(Rule::WrongType),
    }
}

/// Checks an EHR's address: https, or http on this machine (which the server then allows or not).
///
/// # Errors
/// The rule that the text breaks.
pub fn check_url(text: &str) -> Result<Address, Rule> {
    let address = Address::parse(text).map_err(|error| match error {
        AddressError::Malformed => Rule::NotAUrl,
        AddressError::Scheme => Rule::NeedsHttps,
        AddressError::UserInfo => Rule::UrlUserInfo,
        AddressError::QueryOrFragment => Rule::UrlQuery,
    })?;
    if address.is_https() || address.is_loopback() { Ok(address) } else { Err(Rule::NeedsHttps) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn field(kind: FieldKind, required: bool) -> UiField {
        UiField {
            key: "k".into(),
            label: "K".into(),
            kind,
            required,
            help: String::new(),
            placeholder: String::new(),
            find_it: None,
            options: vec![Choice { value: "a".into(), label: "A".into() }],
        }
    }

    #[rstest]
    #[case(FieldKind::Text, true, "  ", Err(Rule::Required))]
    #[case(FieldKind::Text, false, "", Ok(()))]
    #[case(FieldKind::Text, true, "a\nb", Err(Rule::BadCharacters))]
    #[case(FieldKind::Url, true, "https://ehr.example/r4", Ok(()))]
    #[case(FieldKind::Url, true, "http://ehr.example/r4", Err(Rule::NeedsHttps))]
    #[case(FieldKind::Url, true, "http://127.0.0.1:4000/fhir", Ok(()))]
    #[case(FieldKind::Url, true, "ehr.example", Err(Rule::NotAUrl))]
    #[case(FieldKind::Url, true, "https://u:p@ehr.example", Err(Rule::UrlUserInfo))]
    #[case(FieldKind::Url, true, "https://ehr.example?x=1", Err(Rule::UrlQuery))]
    #[case(FieldKind::Select, true, "a", Ok(()))]
    #[case(FieldKind::Select, true, "b", Err(Rule::UnknownChoice))]
    #[case(FieldKind::Date, false, "2027-02-28", Ok(()))]
    #[case(FieldKind::Date, false, "2027-02-29", Err(Rule::NotADay))]
    #[case(FieldKind::Boolean, true, "maybe", Err(Rule::WrongType))]
    fn rules(#[case] kind: FieldKind, #[case] required: bool, #[case] value: &str, #[case] expected: Result<(), Rule>) {
        assert_eq!(check(&field(kind, required), value), expected);
    }

    #[test]
    fn too_long() {
        assert_eq!(check(&field(FieldKind::Text, true), &"x".repeat(2_049)), Err(Rule::TooLong));
    }
}
