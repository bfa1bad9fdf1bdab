//! Scopes: the grammar of SMART App Launch "Scopes and Launch Context", v2 and v1, nothing else.
//!
//! Imports nothing of ours outside the sandbox. Invariant: a scope that this file does not
//! understand in full is refused, never half understood.

use super::resource_types::R4_TYPES;
use super::search;

/// Whose data a resource scope reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// The patient of the launch context.
    Patient,
    /// Whatever the signed-in user may see.
    User,
    /// Backend services: what the system may see.
    System,
}

/// A set of the letters `cruds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Letters(u8);

const CRUDS: [char; 5] = ['c', 'r', 'u', 'd', 's'];

impl Letters {
    /// A non-empty subset of `cruds`, in that order (SMART "Scopes for requesting FHIR Resources").
    fn parse(text: &str) -> Option<Self> {
        let mut order = CRUDS.iter().enumerate();
        let mut set = 0_u8;
        for letter in text.chars() {
            let (bit, _) = order.find(|(_, known)| **known == letter)?;
            set |= 1 << bit;
        }
        (set != 0).then_some(Self(set))
    }

    fn has(self, letter: char) -> bool {
        CRUDS.iter().position(|known| *known == letter).is_some_and(|bit| self.0 & (1 << bit) != 0)
    }

    fn each(self) -> impl Iterator<Item = char> {
        CRUDS.into_iter().filter(move |letter| self.has(*letter))
    }
}

/// A scope for FHIR resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResourceScope {
    /// Whose data.
    pub(super) level: Level,
    /// A resource type, or `*`.
    pub(super) resource: String,
    /// Which interactions.
    pub(super) letters: Letters,
    /// Finer-grained constraints: FHIR search parameters that a resource must match.
    pub(super) query: Vec<(String, String)>,
}

/// What a scope means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// `openid`.
    OpenId,
    /// `fhirUser`, or the older `profile`.
    FhirUser,
    /// `launch`: context of an EHR launch.
    Launch,
    /// `launch/patient`.
    LaunchPatient,
    /// `launch/encounter`.
    LaunchEncounter,
    /// `offline_access`.
    Offline,
    /// `online_access`.
    Online,
    /// Access to resources.
    Resource(ResourceScope),
}

/// A scope as written, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// As the client wrote it; granted scopes are echoed so.
    pub(super) text: String,
    /// What it means.
    pub(super) meaning: Meaning,
}

impl Scope {
    /// Reads one scope.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let meaning = match text {
            "openid" => Meaning::OpenId,
            "fhirUser" | "profile" => Meaning::FhirUser,
            "launch" => Meaning::Launch,
            "launch/patient" => Meaning::LaunchPatient,
            "launch/encounter" => Meaning::LaunchEncounter,
            "offline_access" => Meaning::Offline,
            "online_access" => Meaning::Online,
            _ => Meaning::Resource(ResourceScope::parse(text)?),
        };
        Some(Self { text: text.to_owned(), meaning })
    }

    /// The resource part, if this is a resource scope.
    pub(super) fn resource(&self) -> Option<&ResourceScope> {
        match &self.meaning {
            Meaning::Resource(scope) => Some(scope),
            _ => None,
        }
    }

    /// The scope in its v1 form, as some servers echo it.
    pub(super) fn v1(&self) -> String {
        let Some(scope) = self.resource() else {
            return self.text.clone();
        };
        let level = match scope.level {
            Level::Patient => "patient",
            Level::User => "user",
            Level::System => "system",
        };
        let reads = ['r', 's'].iter().any(|letter| scope.letters.has(*letter));
        let writes = ['c', 'u', 'd'].iter().any(|letter| scope.letters.has(*letter));
        let access = match (reads, writes) {
            (true, true) => "*",
            (true, false) => "read",
            _ => "write",
        };
        format!("{level}/{}.{access}", scope.resource)
    }

    /// The scope as Epic echoes it: without a context, a word for each interaction, and `offline_access` not at
    /// all.
    pub(super) fn bare(&self) -> Vec<String> {
        let words = [('c', "create"), ('r', "read"), ('u', "update"), ('d', "delete"), ('s', "search")];
        match &self.meaning {
            Meaning::Offline => Vec::new(),
            Meaning::Resource(scope) => {
                let held = words.iter().filter(|(letter, _)| scope.letters.has(*letter));
                held.map(|(_, word)| format!("{}.{word}", scope.resource)).collect()
            }
            _ => vec![self.text.clone()],
        }
    }

    /// The scope in plain words, for the consent page.
    pub(super) fn describe(&self) -> String {
        match &self.meaning {
            Meaning::OpenId => "Know that you are signed in".to_owned(),
            Meaning::FhirUser => "Read your own professional profile".to_owned(),
            Meaning::Launch => "Know what you are looking at in the EHR".to_owned(),
            Meaning::LaunchPatient => "Know which patient you choose".to_owned(),
            Meaning::LaunchEncounter => "Know which visit is open".to_owned(),
            Meaning::Offline => "Keep access when you are no longer signed in".to_owned(),
            Meaning::Online => "Keep access while you are signed in".to_owned(),
            Meaning::Resource(scope) => scope.describe(),
        }
    }
}

impl ResourceScope {
    fn parse(text: &str) -> Option<Self> {
        let (level, rest) = text.split_once('/')?;
        let level = match level {
            "patient" => Level::Patient,
            "user" => Level::User,
            "system" => Level::System,
            _ => return None,
        };
        let (resource, rest) = rest.split_once('.')?;
        if resource != "*" && !R4_TYPES.contains(&resource) {
            return None;
        }
        let (letters, query) = match rest.split_once('?') {
            Some((letters, query)) => (letters, Some(query)),
            None => (rest, None),
        };
        let (letters, v1) = match letters {
            // SMART "Scopes for requesting FHIR Resources (STU1)": how v1 maps to v2.
            "read" => (Letters::parse("rs")?, true),
            "write" => (Letters::parse("cud")?, true),
            "*" => (Letters::parse("cruds")?, true),
            _ => (Letters::parse(letters)?, false),
        };
        let query = match query {
            None => Vec::new(),
            Some(_) if v1 => return None,
            Some(query) => constraints(resource, query)?,
        };
        Some(Self { level, resource: resource.to_owned(), letters, query })
    }

    /// Whether this scope lets `letter` be done to some resources of a type.
    pub(super) fn reaches(&self, letter: char, resource: &str) -> bool {
        self.letters.has(letter) && (self.resource == "*" || self.resource == resource)
    }

    fn describe(&self) -> String {
        let verbs: Vec<&str> = self
            .letters
            .each()
            .map(|letter| match letter {
                'c' => "create",
                'r' => "read",
                'u' => "change",
                'd' => "delete",
                _ => "search",
            })
            .collect();
        let verbs = verbs.join(", ");
        let what = match self.resource.as_str() {
            "*" => "all kinds of records",
            "Patient" => "name, birth date and address",
            "DocumentReference" => "documents",
            "Binary" => "contents of documents",
            "Encounter" => "visits",
            "Practitioner" | "PractitionerRole" => "who works here, in the chart",
            "Observation" => "measurements and results",
            "Condition" => "problems",
            "MedicationRequest" => "prescriptions",
            "AllergyIntolerance" => "allergies",
            other => other,
        };
        let whose = match self.level {
            Level::Patient => "of the chosen patient",
            Level::User => "of every patient you may see",
            Level::System => "of every patient of this practice",
        };
        let only = if self.query.is_empty() {
            String::new()
        } else {
            let only: Vec<String> = self.query.iter().map(|(name, value)| format!("{name} {value}")).collect();
            format!(" (only {})", only.join(" and "))
        };
        let mut chars = verbs.chars();
        let verbs: String = chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect();
        format!("{verbs}: {what} {whose}{only}")
    }
}

/// The part after `?` of a finer-grained scope, if this server can enforce all of it.
fn constraints(resource: &str, query: &str) -> Option<Vec<(String, String)>> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if pairs.is_empty() || resource == "*" {
        return None;
    }
    let enforceable = pairs.iter().all(|(name, value)| search::enforceable(resource, name, value));
    enforceable.then_some(pairs)
}

/// Reads a `scope` parameter: scope tokens with one space between them (RFC 6749 §3.3).
///
/// # Errors
///
/// The first scope that is malformed or unknown.
pub(super) fn parse(text: &str) -> Result<Vec<Scope>, String> {
    let mut scopes: Vec<Scope> = Vec::new();
    for token in text.split(' ') {
        let scope = Scope::parse(token).ok_or_else(|| token.to_owned())?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

/// Whether the scopes hold one with this meaning.
pub(super) fn has(scopes: &[Scope], meaning: &Meaning) -> bool {
    scopes.iter().any(|scope| scope.meaning == *meaning)
}

/// The `scope` parameter for a list of scopes.
pub(super) fn join(scopes: &[Scope]) -> String {
    let texts: Vec<&str> = scopes.iter().map(|scope| scope.text.as_str()).collect();
    texts.join(" ")
}

/// Whether `asked` stays within `granted` (RFC 6749 §6: a refresh may only narrow).
pub(super) fn covered(granted: &[Scope], asked: &Scope) -> bool {
    match &asked.meaning {
        Meaning::Resource(asked) => asked.letters.each().all(|letter| {
            granted.iter().filter_map(Scope::resource).any(|have| {
                have.level == asked.level
                    && have.letters.has(letter)
                    && (have.resource == "*" || have.resource == asked.resource)
                    && (have.query.is_empty() || have.query == asked.query)
            })
        }),
        meaning => has(granted, meaning),
    }
}
