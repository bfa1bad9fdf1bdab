//! SMART scopes: the grammar of versions 1 and 2, and what a scope means in plain words.
//!
//! SMART App Launch 2.2, "Scopes and Launch Context". Guards: a scope that we send has parsed here.

use std::fmt;

mod granted;

pub use granted::{ScopeState, Told, compare};

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
        /// The search parameters that narrow it, as they were written (version 2, "Finer-grained resource
        /// constraints using search parameters").
        query: Vec<(String, String)>,
        /// As it was written; servers may compare text.
        text: String,
    },
    /// A vendor's own, kept as it is.
    Vendor(String),
}

/// The scopes without resource that the standard names.
const FLOW: [&str; 7] =
    ["openid", "fhirUser", "profile", "launch", "offline_access", "online_access", "smart/orchestrate_launch"];

/// What stands before a scope that is written as an address ("Scopes for requesting clinical data",
/// "URI representation of scopes").
const URI_FORMS: [&str; 2] =
    ["http://smarthealthit.org/fhir/scopes/", "http://openid.net/specs/openid-connect-core-1_0#"];

impl Scope {
    /// Parses one scope; what is neither version 1 nor 2 is kept as a vendor's.
    /// `None` for text that no OAuth scope may be (RFC 6749 §3.3).
    pub fn parse(text: &str) -> Option<Self> {
        let legal = |c: char| matches!(c, '!' | '#'..='[' | ']'..='~');
        if text.is_empty() || !text.chars().all(legal) {
            return None;
        }
        let short = URI_FORMS.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        if FLOW.contains(&short) || short.starts_with("launch/") {
            return Some(Self::Flow(short.to_owned()));
        }
        Some(resource(short).unwrap_or_else(|| Self::Vendor(text.to_owned())))
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
                Self::Resource { context, kind, letters, query, .. },
                Self::Resource {
                    context: other, kind: wanted_kind, letters: wanted_letters, query: wanted_query, ..
                },
            ) => {
                context == other
                    && (kind == "*" || kind == wanted_kind)
                    && wanted_letters.chars().all(|letter| letters.contains(letter))
                    // What is narrowed further is still within.
                    && query.iter().all(|constraint| wanted_query.contains(constraint))
            }
            _ => self == wanted,
        }
    }

    /// Whether grants of all of these together cover all that `self` asks for: each letter may come from
    /// another one.
    pub fn is_covered_by(&self, all: &[Self]) -> bool {
        match self {
            Self::Resource { context, kind, letters, query, .. } => letters.chars().all(|letter| {
                let one = Self::Resource {
                    context: *context,
                    kind: kind.clone(),
                    letters: letter.into(),
                    query: query.clone(),
                    text: String::new(),
                };
                all.iter().any(|grant| grant.covers(&one))
            }),
            _ => all.iter().any(|grant| grant.covers(self)),
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
            Self::Resource { context, kind, letters, query, .. } => {
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
                let narrowed: Vec<_> = query.iter().map(|(name, value)| format!("{name} {value}")).collect();
                let only = if narrowed.is_empty() { String::new() } else { format!(", only {}", narrowed.join(", ")) };
                let mut sentence = format!("{verbs} {whose} {what}{only}");
                if let Some(first) = sentence.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                sentence
            }
            Self::Vendor(text) => format!("{text} (specific to this EHR)"),
        }
    }

    /// What does not work without it, in plain words.
    pub fn without(&self) -> &'static str {
        match self {
            Self::Flow(name) => match name.as_str() {
                "openid" | "fhirUser" | "profile" => "It is not known who granted or opened it.",
                "launch" => "It cannot be opened from inside the EHR.",
                "offline_access" => "The connection ends with its token. Somebody has to connect again then.",
                "online_access" => "The access ends with its token.",
                "launch/patient" => "No patient is chosen at the EHR.",
                "launch/encounter" => "No visit is chosen at the EHR.",
                _ => "It is not known what is open in the EHR.",
            },
            Self::Resource { kind, letters, .. } => {
                let writes = letters.contains(['c', 'u', 'd']) && !letters.contains(['r', 's']);
                match (kind.as_str(), writes) {
                    ("Patient", false) => "Patients are not shown by name.",
                    ("Patient", true) => "Patients cannot be created.",
                    ("DocumentReference", false) => "Documents are not listed.",
                    ("DocumentReference", true) => "Notes cannot be filed in the EHR.",
                    ("Binary", false) => "Documents cannot be opened.",
                    ("Encounter", false) => "The visit is not shown.",
                    ("Practitioner", false) => "People who come from the EHR have no name here.",
                    (_, false) => "These records are not read.",
                    (_, true) => "These records are not written.",
                }
            }
            Self::Vendor(_) => "What it stands for is specific to this EHR.",
        }
    }
}

/// A version of the grammar of resource scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `.read`, `.write`, `.*` (SMART App Launch 1.0).
    V1,
    /// A subset of `cruds` (SMART App Launch 2.0 on).
    V2,
}

impl Scope {
    /// This scope in a version of the grammar: itself, or what covers it there with the least more. A
    /// scope that narrows by search parameters has no version 1, and stays as it is.
    pub fn in_version(&self, version: Version) -> Vec<Self> {
        let Self::Resource { context, kind, letters, query, text } = self else { return vec![self.clone()] };
        let is_v1 = matches!(text.rsplit('.').next(), Some("read" | "write" | "*"));
        if !query.is_empty() || is_v1 == (version == Version::V1) {
            return vec![self.clone()];
        }
        let permissions = match version {
            Version::V2 => vec![letters.as_str()],
            Version::V1 => {
                let has = |of: &str| letters.chars().any(|letter| of.contains(letter));
                match (has("rs"), has("cud")) {
                    (true, true) if letters == "cruds" => vec!["*"],
                    (reads, writes) => {
                        [reads.then_some("read"), writes.then_some("write")].into_iter().flatten().collect()
                    }
                }
            }
        };
        let words = permissions.iter().map(|permission| format!("{}/{kind}.{permission}", context.as_str()));
        words.filter_map(|text| Self::parse(&text)).collect()
    }

    /// Scopes in a version of the grammar, without repeats.
    pub fn all_in_version(scopes: &[Self], version: Version) -> Vec<Self> {
        let mut all = Vec::new();
        for scope in scopes.iter().flat_map(|scope| scope.in_version(version)) {
            if !all.contains(&scope) {
                all.push(scope);
            }
        }
        all
    }
}

impl Context {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::User => "user",
            Self::System => "system",
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
    let (permission, query) = match permission.split_once('?') {
        Some((permission, query)) => (permission, constraints(query)?),
        None => (permission, Vec::new()),
    };
    let letters = match permission {
        "read" => "rs",
        "write" => "cud",
        "*" => "cruds",
        letters if in_order(letters) => letters,
        _ => return None,
    };
    Some(Scope::Resource { context, kind: kind.to_owned(), letters: letters.to_owned(), query, text: text.to_owned() })
}

/// `category=laboratory&status=final`: at least one, each with a name and a value.
fn constraints(query: &str) -> Option<Vec<(String, String)>> {
    let constraint = |text: &str| {
        let (name, value) = text.split_once('=')?;
        (!name.is_empty() && !value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    query.split('&').map(constraint).collect()
}

/// A non-empty subset of `cruds` in that order ("Scopes for requesting FHIR Resources").
fn in_order(letters: &str) -> bool {
    let mut rest = "cruds".chars();
    !letters.is_empty() && letters.chars().all(|letter| rest.any(|allowed| allowed == letter))
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
    fn narrowed_scopes() {
        let parse = |text: &str| Scope::parse(text).unwrap();
        let labs = parse("patient/Observation.rs?category=laboratory");
        let final_labs = parse("patient/Observation.rs?status=final&category=laboratory");
        let all = parse("patient/Observation.rs");
        assert!(all.covers(&labs) && labs.covers(&final_labs));
        assert!(!labs.covers(&all) && !final_labs.covers(&labs));
        assert_eq!(labs.describe(), "Read, search the chosen patient's Observation, only category laboratory");
        for odd in ["patient/Observation.rs?", "patient/Observation.rs?category", "patient/Observation.rs?=x"] {
            assert!(matches!(parse(odd), Scope::Vendor(_)), "{odd}");
        }
    }

    #[test]
    fn scopes_as_addresses() {
        let parse = |text: &str| Scope::parse(text).unwrap();
        let written = parse("http://smarthealthit.org/fhir/scopes/patient/Patient.rs");
        assert!(written.covers(&parse("patient/Patient.rs")));
        assert_eq!(parse("http://openid.net/specs/openid-connect-core-1_0#openid"), parse("openid"));
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

    fn translated(text: &str, version: Version) -> String {
        let scopes = Scope::all_in_version(&Scope::parse_list(text), version);
        scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn versions() {
        let v1 = |text| translated(text, Version::V1);
        assert_eq!(v1("launch user/Patient.rs user/Patient.c"), "launch user/Patient.read user/Patient.write");
        assert_eq!(v1("user/*.cruds user/Binary.r user/Binary.s"), "user/*.* user/Binary.read");
        assert_eq!(v1("user/Patient.crs"), "user/Patient.read user/Patient.write");
        assert_eq!(v1("patient/Observation.rs?category=laboratory"), "patient/Observation.rs?category=laboratory");
        let v2 = |text| translated(text, Version::V2);
        assert_eq!(
            v2("openid user/Patient.read user/Patient.write user/*.*"),
            "openid user/Patient.rs user/Patient.cud user/*.cruds"
        );
        assert_eq!(v2("user/Patient.rs vendor-scope"), "user/Patient.rs vendor-scope");
    }

    proptest! {
        /// A translation gives at least what was asked for, and translating twice changes nothing more.
        #[test]
        fn a_translation_covers_what_it_translates(
            context in "(patient|user|system)",
            kind in "(Patient|Binary|\\*)",
            letters in "c?r?u?d?s?",
            to_v1 in any::<bool>(),
        ) {
            prop_assume!(!letters.is_empty());
            let scope = Scope::parse(&format!("{context}/{kind}.{letters}")).unwrap();
            let version = if to_v1 { Version::V1 } else { Version::V2 };
            let translated = scope.in_version(version);
            for letter in letters.chars() {
                let one = Scope::parse(&format!("{context}/{kind}.{letter}")).unwrap();
                prop_assert!(translated.iter().any(|wide| wide.covers(&one)), "{letter} of {scope}");
            }
            prop_assert_eq!(Scope::all_in_version(&translated, version), translated);
        }

        #[test]
        fn text_survives(text in "[!-~]{1,40}") {
            if let Some(scope) = Scope::parse(&text) {
                prop_assert_eq!(scope.to_string(), text);
                prop_assert!(scope.covers(&scope));
            }
        }
    }
}
