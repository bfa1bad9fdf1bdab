//! FHIR search: which parameters exist, how a value is read, and whether a resource matches.
//!
//! Imports nothing of ours outside the sandbox. Invariant: a modifier, chain or value that is not
//! understood is an error, never a wider result (FHIR R4 "Search", "Modifiers").

use serde_json::Value;

use super::dates::{Comparison, Span, date_test, span_of};
use super::error::Outcome;
use super::params::Params;

/// How a parameter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The logical id.
    Id,
    /// The beginning of a string, folded.
    Text,
    /// A date or period.
    Date,
    /// A code or identifier.
    Token,
    /// A reference.
    Reference,
}

impl Kind {
    /// The search parameter type that a `CapabilityStatement` names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Id | Self::Token => "token",
            Self::Text => "string",
            Self::Date => "date",
            Self::Reference => "reference",
        }
    }
}

/// A search parameter: its name, how it compares, and the elements that it looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    /// As written in the query.
    pub(super) name: &'static str,
    /// How it compares.
    pub(super) kind: Kind,
    paths: &'static [&'static str],
}

const fn parameter(name: &'static str, kind: Kind, paths: &'static [&'static str]) -> Parameter {
    Parameter { name, kind, paths }
}

const ID: Parameter = parameter("_id", Kind::Id, &["id"]);
const NAME: Parameter = parameter("name", Kind::Text, &["name.family", "name.given", "name.text"]);
const FAMILY: Parameter = parameter("family", Kind::Text, &["name.family"]);
const GIVEN: Parameter = parameter("given", Kind::Text, &["name.given"]);
const IDENTIFIER: Parameter = parameter("identifier", Kind::Token, &["identifier"]);
const OF_PATIENT: Parameter = parameter("patient", Kind::Reference, &["subject"]);
const SUBJECT: Parameter = parameter("subject", Kind::Reference, &["subject"]);
const STATUS: Parameter = parameter("status", Kind::Token, &["status"]);
const TYPE: Parameter = parameter("type", Kind::Token, &["type"]);

/// The search parameters of a resource type.
pub(super) fn parameters(resource: &str) -> &'static [Parameter] {
    match resource {
        "Patient" => {
            const {
                &[
                    ID,
                    NAME,
                    FAMILY,
                    GIVEN,
                    IDENTIFIER,
                    parameter("birthdate", Kind::Date, &["birthDate"]),
                    parameter("gender", Kind::Token, &["gender"]),
                ]
            }
        }
        "Practitioner" => const { &[ID, NAME, FAMILY, GIVEN, IDENTIFIER] },
        "PractitionerRole" => {
            const {
                &[
                    ID,
                    parameter("practitioner", Kind::Reference, &["practitioner"]),
                    parameter("organization", Kind::Reference, &["organization"]),
                    parameter("specialty", Kind::Token, &["specialty"]),
                ]
            }
        }
        "Group" => const { &[ID, TYPE, IDENTIFIER] },
        "Organization" => const { &[ID, parameter("name", Kind::Text, &["name"])] },
        "Encounter" => {
            const {
                &[
                    ID,
                    OF_PATIENT,
                    SUBJECT,
                    STATUS,
                    TYPE,
                    parameter("date", Kind::Date, &["period"]),
                    parameter("class", Kind::Token, &["class"]),
                ]
            }
        }
        "DocumentReference" => {
            const {
                &[
                    ID,
                    OF_PATIENT,
                    SUBJECT,
                    STATUS,
                    TYPE,
                    IDENTIFIER,
                    parameter("date", Kind::Date, &["date"]),
                    parameter("category", Kind::Token, &["category"]),
                    parameter("encounter", Kind::Reference, &["context.encounter"]),
                ]
            }
        }
        _ => &[],
    }
}

/// What one parameter asks of a resource: any of these.
#[derive(Clone, Debug)]
enum Test {
    Starts(Vec<String>),
    Contains(Vec<String>),
    Exact(Vec<String>),
    Dates(Vec<(Comparison, Span)>),
    Tokens(Vec<(Option<String>, Option<String>)>),
    References(Vec<String>),
}

/// One criterion of a search.
#[derive(Clone, Debug)]
pub(super) struct Criterion {
    parameter: Parameter,
    test: Test,
}

impl Criterion {
    /// Reads `name[:modifier]=value`; `None` when the type has no such parameter.
    pub(super) fn parse(resource: &str, name: &str, value: &str, base_url: &str) -> Result<Option<Self>, Outcome> {
        let (name, modifier) = name.split_once(':').unwrap_or((name, ""));
        if name.contains('.') {
            return Err(Outcome::invalid(format!("chained parameter {name:?} is not supported")));
        }
        let Some(parameter) = parameters(resource).iter().find(|known| known.name == name) else {
            return Ok(None);
        };
        let values = split_values(value);
        if values.iter().any(String::is_empty) {
            return Err(Outcome::invalid(format!("empty value for {name:?}")));
        }
        let test = match (parameter.kind, modifier) {
            (Kind::Id, "") | (Kind::Text, "exact") => Test::Exact(values),
            (Kind::Text, "") => Test::Starts(values.iter().map(|v| fold_case(v)).collect()),
            (Kind::Text, "contains") => Test::Contains(values.iter().map(|v| fold_case(v)).collect()),
            (Kind::Date, "") => Test::Dates(
                values
                    .iter()
                    .map(|value| date_test(value))
                    .collect::<Option<_>>()
                    .ok_or_else(|| Outcome::invalid(format!("{name:?} is not a FHIR date")))?,
            ),
            (Kind::Token, "") => Test::Tokens(values.iter().map(|v| token_test(v)).collect()),
            (Kind::Reference, "") => Test::References(
                values
                    .iter()
                    .map(|value| {
                        value.strip_prefix(base_url).and_then(|rest| rest.strip_prefix('/')).unwrap_or(value).to_owned()
                    })
                    .collect(),
            ),
            _ => {
                return Err(Outcome::invalid(format!("modifier {modifier:?} of {name:?} is not supported")));
            }
        };
        Ok(Some(Self { parameter: *parameter, test }))
    }

    /// Whether a resource matches.
    pub(super) fn matches(&self, resource: &Value) -> bool {
        let mut found = Vec::new();
        for path in self.parameter.paths {
            walk(resource, path, &mut found);
        }
        found.into_iter().any(|value| match &self.test {
            Test::Exact(wanted) => is_any(value, |text| wanted.iter().any(|w| w == text)),
            Test::Starts(wanted) => is_any(value, |text| {
                let text = fold_case(text);
                wanted.iter().any(|w| text.starts_with(w.as_str()))
            }),
            Test::Contains(wanted) => is_any(value, |text| {
                let text = fold_case(text);
                wanted.iter().any(|w| text.contains(w.as_str()))
            }),
            Test::Dates(wanted) => {
                span_of(value).is_some_and(|span| wanted.iter().any(|(how, want)| how.holds(span, *want)))
            }
            Test::Tokens(wanted) => {
                let mut tokens = Vec::new();
                collect_tokens(value, &mut tokens);
                tokens.iter().any(|token| wanted.iter().any(|want| token_matches(want, *token)))
            }
            Test::References(wanted) => {
                let target = value.get("reference").and_then(Value::as_str).unwrap_or_default();
                let id = target.rsplit('/').next().unwrap_or_default();
                wanted.iter().any(|want| want == target || want == id)
            }
        })
    }
}

/// Whether a constraint of a finer-grained scope can be enforced here.
pub(super) fn enforceable(resource: &str, name: &str, value: &str) -> bool {
    // Modifiers and chains in scopes are experimental (SMART "Scopes and Launch Context").
    !name.contains(':') && matches!(Criterion::parse(resource, name, value, ""), Ok(Some(_)))
}

/// A search as understood: criteria, page size, and the parameters that were used.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// All of these have to match.
    pub(super) criteria: Vec<Criterion>,
    /// Page size; 0 asks for the total only.
    pub(super) count: usize,
    /// What goes into the self link: only what was used (FHIR R4 "Search", "Server conformance").
    pub(super) used: Vec<(String, String)>,
}

const PAGE: usize = 20;
const PAGE_MAX: usize = 100;

impl Query {
    /// Reads search parameters; unknown ones are ignored unless `strict`.
    pub(super) fn parse(resource: &str, params: &Params, base_url: &str, strict: bool) -> Result<Self, Outcome> {
        let mut query = Self { criteria: Vec::new(), count: PAGE, used: Vec::new() };
        for (name, value) in &params.0 {
            match name.as_str() {
                "_count" => {
                    let count: usize = value.parse().map_err(|_| Outcome::invalid("_count is not a whole number"))?;
                    query.count = count.min(PAGE_MAX);
                }
                "_format" | "_pretty" => continue,
                _ => match Criterion::parse(resource, name, value, base_url)? {
                    Some(criterion) => query.criteria.push(criterion),
                    None if strict => {
                        return Err(Outcome::invalid(format!("unknown parameter {name:?}")));
                    }
                    None => continue,
                },
            }
            query.used.push((name.clone(), value.clone()));
        }
        Ok(query)
    }
}

/// Splits at commas that are not escaped (FHIR R4 "Search", "Escaping search parameters").
fn split_values(text: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            ',' if !escaped => values.push(String::new()),
            _ => {
                if let Some(last) = values.last_mut() {
                    last.push(c);
                }
            }
        }
        escaped = false;
    }
    values
}

/// Lower case without the accents that our names have (string search ignores both).
pub(super) fn fold_case(text: &str) -> String {
    text.chars()
        .flat_map(char::to_lowercase)
        .map(|c| match c {
            'à'..='å' | 'ā' | 'ă' => 'a',
            'ç' | 'ć' | 'č' => 'c',
            'è'..='ë' | 'ē' | 'ě' => 'e',
            'ì'..='ï' | 'ī' | 'ı' => 'i',
            'ñ' | 'ń' => 'n',
            'ò'..='ö' | 'ø' | 'ō' => 'o',
            'ù'..='ü' | 'ū' => 'u',
            'ý' | 'ÿ' => 'y',
            'š' => 's',
            'ž' => 'z',
            other => other,
        })
        .collect()
}

fn walk<'a>(value: &'a Value, path: &str, found: &mut Vec<&'a Value>) {
    if let Value::Array(items) = value {
        for item in items {
            walk(item, path, found);
        }
        return;
    }
    if path.is_empty() {
        found.push(value);
        return;
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    if let Some(next) = value.get(first) {
        walk(next, rest, found);
    }
}

fn is_any(value: &Value, test: impl Fn(&str) -> bool) -> bool {
    value.as_str().is_some_and(test)
}

type Token<'a> = (Option<&'a str>, &'a str);

/// The tokens of a code, a Coding, a `CodeableConcept` or an Identifier.
fn collect_tokens<'a>(value: &'a Value, tokens: &mut Vec<Token<'a>>) {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if let Some(code) = value.as_str() {
        tokens.push((None, code));
    } else if let Some(code) = text("code").or_else(|| text("value")) {
        tokens.push((text("system"), code));
    } else if let Some(Value::Array(codings)) = value.get("coding") {
        for coding in codings {
            collect_tokens(coding, tokens);
        }
    }
}

/// `code`, `system|code`, `|code` (no system), `system|` (any code of it).
fn token_test(text: &str) -> (Option<String>, Option<String>) {
    match text.split_once('|') {
        None => (None, Some(text.to_owned())),
        Some((system, "")) => (Some(system.to_owned()), None),
        Some((system, code)) => (Some(system.to_owned()), Some(code.to_owned())),
    }
}

fn token_matches((system, code): &(Option<String>, Option<String>), token: Token<'_>) -> bool {
    let system_fits = system.as_deref().is_none_or(|system| token.0.unwrap_or_default() == system);
    let code_fits = code.as_deref().is_none_or(|code| token.1 == code);
    system_fits && code_fits
}
