//! SMART scopes: the grammar of versions 1 and 2, and what a scope means in plain words.
//!
//! SMART App Launch 2.2, "Scopes and Launch Context". Guards: a scope that we send has parsed here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose data a resource scope is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// One patient's.
    Patient,
    /// What the user may see.
    User,
    /// What the application itself may see.
    System,
}

/// One scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `openid`, `fhirUser`, `launch`, `launch/patient`, `offline_access`, …
    Flow(String),
    /// `patient/Patient.rs`, `user/*.read`, …
    Resource {
        /// Whose data.
        context: Context,
        /// The resource type, or `*`.
        kind: String,
        /// The permission letters as version 2 orders them: a subset of `cruds`.
        letters: String,
        /// As it was written; servers may compare text.
        text: String,
    },
    /// A vendor's own, kept as it is.
    Vendor(String),
}

/// The scopes without resource that the standard names.
const FLOW: [&str; 7] =
    ["openid", "fhirUser", "profile", "launch", "offline_access", "online_access", "smart/orchestrate_launch"];

impl Scope {
    /// Parses one scope; what is neither version 1 nor 2 is kept as a vendor's.
    /// `None` for text that no OAuth scope may be (RFC 6749 §3.3).
    pub fn parse(text: &str) -> Option<Self> {
        let legal = |c: char| matches!(c, '!' | '#'..='[' | ']'..='~');
        if text.is_empty() || !text.chars().all(legal) {
            return None;
        }
        if FLOW.contains(&text) || text.starts_with("launch/") {
            return Some(Self::Flow(text.to_owned()));
        }
        Some(resource(text).unwrap_or_else(|| Self::Vendor(text.to_owned())))
    }

    /// Parses a space-separated list; illegal words are left out, repeats dropped.
    pub fn parse_list(text: &str) -> Vec<Self> {
        let mut scopes = Vec::new();
        for scope in text.split_ascii_whitespace().filter_map(Self::parse) {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        scopes
    }

    /// Whether a grant of `self` covers all that `wanted` asks for.
    pub fn covers(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (
                Self::Resource { context, kind, letters, text },
                Self::Resource { context: other, kind: wanted_kind, letters: wanted_letters, text: wanted_text },
            ) => {
                context == other
                    && (kind == "*" || kind == wanted_kind)
                    && wanted_letters.chars().all(|letter| letters.contains(letter))
                    && (!text.contains('?') || text == wanted_text)
            }
            _ => self == wanted,
        }
    }

    /// What the scope allows, in plain words.
    pub fn describe(&self) -> String {
        match self {
            Self::Flow(name) => match name.as_str() {
                "openid" => "Know who signs in".into(),
                "fhirUser" | "profile" => "Know the user's record in the EHR".into(),
                "launch" => "Open from inside the EHR".into(),
                "launch/patient" => "Know which patient is chosen".into(),
                "launch/encounter" => "Know which encounter is chosen".into(),
                "offline_access" => "Stay connected while nobody is signed in".into(),
                "online_access" => "Stay connected while the user is signed in".into(),
                other => format!("Know the {} from the EHR", other.trim_start_matches("launch/")),
            },
            Self::Resource { context, kind, letters, .. } => {
                let verbs = [("c", "create"), ("r", "read"), ("u", "change"), ("d", "delete"), ("s", "search")];
                let verbs: Vec<_> =
                    verbs.iter().filter(|(letter, _)| letters.contains(letter)).map(|(_, verb)| *verb).collect();
                let whose = match context {
                    Context::Patient => "the chosen patient's",
                    Context::User => "the user's",
                    Context::System => "the practice's",
                };
                let what = if kind == "*" { "records" } else { kind };
                let verbs = verbs.join(", ");
                let mut sentence = format!("{verbs} {whose} {what}");
                if let Some(first) = sentence.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                sentence
            }
            Self::Vendor(text) => format!("{text} (specific to this EHR)"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(text) | Self::Vendor(text) | Self::Resource { text, .. } => f.write_str(text),
        }
    }
}

fn resource(text: &str) -> Option<Scope> {
    let (context, rest) = text.split_once('/')?;
    let context = match context {
        "patient" => Context::Patient,
        "user" => Context::User,
        "system" => Context::System,
        _ => return None,
    };
    let (kind, permission) = rest.split_once('.')?;
    let named =
        kind.chars().next().is_some_and(|c| c.is_ascii_uppercase()) && kind.chars().all(|c| c.is_ascii_alphabetic());
    if kind != "*" && !named {
        return None;
    }
    let letters = match permission.split('?').next()? {
        "read" => "rs",
        "write" => "cud",
        "*" => "cruds",
        letters if in_order(letters) => letters,
        _ => return None,
    };
    Some(Scope::Resource { context, kind: kind.to_owned(), letters: letters.to_owned(), text: text.to_owned() })
}

/// A non-empty subset of `cruds` in that order ("Scopes for requesting FHIR Resources").
fn in_order(letters: &str) -> bool {
    let mut rest = "cruds".chars();
    !letters.is_empty() && letters.chars().all(|letter| rest.any(|allowed| allowed == letter))
}

/// A requested scope and whether the EHR granted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeState {
    /// The scope.
    pub scope: String,
    /// What it allows.
    pub meaning: String,
    /// Whether it was granted; absent when the EHR did not say.
    pub granted: Option<bool>,
}

/// Sets what was asked beside what was granted. `granted` is `None` when the token answer had no `scope`.
/// Granted scopes that nobody asked for come last.
pub fn compare(requested: &str, granted: Option<&str>) -> Vec<ScopeState> {
    let requested = Scope::parse_list(requested);
    let granted = granted.map(Scope::parse_list);
    let covers = |scope: &Scope| granted.as_ref().map(|all| all.iter().any(|one| one.covers(scope)));
    let state = |scope: &Scope, granted| ScopeState { scope: scope.to_string(), meaning: scope.describe(), granted };
    let mut states: Vec<_> = requested.iter().map(|scope| state(scope, covers(scope))).collect();
    for extra in granted.iter().flatten().filter(|scope| !requested.iter().any(|asked| scope.covers(asked))) {
        states.push(state(extra, Some(true)));
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn letters(text: &str) -> Option<String> {
        match Scope::parse(text) {
            Some(Scope::Resource { letters, .. }) => Some(letters),
            _ => None,
        }
    }

    #[test]
    fn grammar() {
        assert_eq!(letters("patient/Patient.read").as_deref(), Some("rs"));
        assert_eq!(letters("user/*.cruds").as_deref(), Some("cruds"));
        assert_eq!(letters("system/Observation.rs?category=laboratory").as_deref(), Some("rs"));
        for vendor in ["patient/Patient.sr", "patient/Patient.", "patient/patient.read", "patient/Patient.search"] {
            assert!(matches!(Scope::parse(vendor), Some(Scope::Vendor(_))), "{vendor}");
        }
        assert_eq!(Scope::parse("a\"b"), None);
        assert_eq!(Scope::parse(""), None);
    }

    #[test]
    fn coverage() {
        let states = compare("openid patient/Patient.rs user/Encounter.c", Some("openid patient/*.read extra"));
        let granted: Vec<_> = states.iter().map(|state| (state.scope.as_str(), state.granted)).collect();
        assert_eq!(
            granted,
            [
                ("openid", Some(true)),
                ("patient/Patient.rs", Some(true)),
                ("user/Encounter.c", Some(false)),
                ("extra", Some(true))
            ]
        );
        assert_eq!(compare("openid", None)[0].granted, None);
    }

    #[test]
    fn plain_words() {
        let words = |text: &str| Scope::parse(text).unwrap().describe();
        assert_eq!(
            words("patient/DocumentReference.crs"),
            "Create, read, search the chosen patient's DocumentReference"
        );
        assert_eq!(words("offline_access"), "Stay connected while nobody is signed in");
    }

    proptest! {
        #[test]
        fn text_survives(text in "[!-~]{1,40}") {
            if let Some(scope) = Scope::parse(&text) {
                prop_assert_eq!(scope.to_string(), text);
                prop_assert!(scope.covers(&scope));
            }
        }
    }
}
