//! What an export is asked for.
//!
//! FHIR Bulk Data Access, "Query Parameters". Guards: what passes [`ExportRequest::errors`] may stand in
//! an address.

use serde::{Deserialize, Serialize};

use crate::model::field::Rule;
use crate::model::time::Timestamp;

/// The most resource types, filters or patients that one export names.
const MAX_LIST: usize = 1_000;

/// Of what an export is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportLevel {
    /// Everything (`[base]/$export`).
    System,
    /// All patients (`[base]/Patient/$export`).
    #[default]
    Patient,
    /// The patients of a group (`[base]/Group/[id]/$export`).
    Group,
}

impl ExportLevel {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::System, Self::Patient, Self::Group];

    /// The name in forms and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Patient => "patient",
            Self::Group => "group",
        }
    }

    /// Reads what [`ExportLevel::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

/// What an export is asked for, as the API takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExportRequest {
    /// Of what.
    pub level: ExportLevel,
    /// Which group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// The resource types; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Only what changed since: a FHIR instant, or `auto` for the last export's `transactionTime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Searches that narrow types, such as `Observation?category=laboratory`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub type_filters: Vec<String>,
    /// Only these elements of each resource.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<String>,
    /// Only these patients, by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patients: Vec<String>,
}

/// What `since` says when the last export's `transactionTime` is meant.
pub const SINCE_LAST: &str = "auto";

impl ExportRequest {
    /// Checks what was asked for: field and rule of everything that does not fit.
    pub fn errors(&self) -> Vec<(&'static str, Rule)> {
        let mut errors = Vec::new();
        let mut check = |name, ok: bool, rule| {
            if !ok {
                errors.push((name, rule));
            }
        };
        let group = self.group_id.as_deref().unwrap_or_default();
        check("groupId", self.level != ExportLevel::Group || !group.is_empty(), Rule::Required);
        check("groupId", group.is_empty() || is_id(group), Rule::BadCharacters);
        check("types", self.types.iter().all(|kind| is_type(kind)), Rule::BadCharacters);
        let filter = |text: &String| {
            text.split_once('?').is_some_and(|(kind, query)| is_type(kind) && !query.is_empty() && is_printable(query))
        };
        check("typeFilters", self.type_filters.iter().all(filter), Rule::BadCharacters);
        check("elements", self.elements.iter().all(|element| is_element(element)), Rule::BadCharacters);
        check("patients", self.patients.iter().all(|id| is_id(id)), Rule::BadCharacters);
        check("patients", self.patients.is_empty() || self.level != ExportLevel::System, Rule::UnknownChoice);
        let lists = [&self.types, &self.type_filters, &self.elements, &self.patients];
        check("types", lists.iter().all(|list| list.len() <= MAX_LIST), Rule::TooLong);
        let since = self.since.as_deref();
        check("since", since.is_none_or(|since| since == SINCE_LAST || is_instant(since)), Rule::NotAnInstant);
        errors
    }

    /// Whether another request asks for the same things, whatever the time since when: the next export after
    /// one like it may start at its `transactionTime`.
    pub fn is_like(&self, other: &Self) -> bool {
        let without_time = |request: &Self| Self { since: None, ..request.clone() };
        without_time(self) == without_time(other)
    }
}

fn is_type(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// FHIR R4 `id`.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        && !matches!(text, "." | "..")
}

fn is_element(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
}

fn is_printable(text: &str) -> bool {
    text.len() <= 2_048 && text.chars().all(|c| !c.is_control())
}

/// A FHIR `instant`: to the second at least, with a time zone.
fn is_instant(text: &str) -> bool {
    let Some((date, clock)) = text.split_once('T') else { return false };
    let zoned = clock.strip_suffix('Z').or_else(|| {
        let at = clock.rfind(['+', '-'])?;
        let (clock, zone) = clock.split_at(at);
        let digits = |range| zone.get(range).is_some_and(|part: &str| part.bytes().all(|byte| byte.is_ascii_digit()));
        (zone.len() == 6 && digits(1..3) && digits(4..6) && zone.get(3..4) == Some(":")).then_some(clock)
    });
    zoned.is_some_and(|clock| Timestamp::parse(&format!("{date}T{clock}Z")).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_for() {
        let broken = |change: fn(&mut ExportRequest)| {
            let mut request = ExportRequest::default();
            change(&mut request);
            request.errors()
        };
        assert_eq!(broken(|_| ()), []);
        assert_eq!(broken(|r| r.level = ExportLevel::Group), [("groupId", Rule::Required)]);
        assert_eq!(broken(|r| r.group_id = Some("../x".into())), [("groupId", Rule::BadCharacters)]);
        assert_eq!(broken(|r| r.types = vec!["Patient".into(), "patient".into()]), [("types", Rule::BadCharacters)]);
        assert_eq!(broken(|r| r.type_filters = vec!["Observation".into()]), [("typeFilters", Rule::BadCharacters)]);
        assert_eq!(broken(|r| r.patients = vec!["a".into(), "a b".into()]), [("patients", Rule::BadCharacters)]);
        for good in ["auto", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+01:00"] {
            assert_eq!(ExportRequest { since: Some(good.into()), ..ExportRequest::default() }.errors(), [], "{good}");
        }
        for bad in ["yesterday", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04Z", "2026-01-02T03:04:05+é:00"]
        {
            assert_eq!(
                ExportRequest { since: Some(bad.into()), ..ExportRequest::default() }.errors().len(),
                1,
                "{bad}"
            );
        }
    }
}
