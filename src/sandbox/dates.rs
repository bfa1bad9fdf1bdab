//! FHIR dates: spans of any precision, and the prefixes that compare them.
//!
//! Imports nothing of ours outside the sandbox. Invariant: a date is the whole span that it covers
//! (FHIR R4 "Search", "date"), never just its first instant.

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime};

/// Milliseconds from, and up to but not including.
pub(super) type Span = (i64, i64);

/// A prefix of a date parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    /// The span lies within.
    Eq,
    /// It does not.
    Ne,
    /// It begins before.
    Lt,
    /// It ends after.
    Gt,
    /// Before or within.
    Le,
    /// After or within.
    Ge,
    /// Wholly after.
    Sa,
    /// Wholly before.
    Eb,
    /// Overlaps.
    Ap,
}

impl Comparison {
    /// FHIR R4 "Search", "Prefixes": a resource span against a wanted span.
    pub(super) fn holds(self, (start, end): Span, (from, to): Span) -> bool {
        let within = from <= start && end <= to;
        match self {
            Self::Eq => within,
            Self::Ne => !within,
            Self::Lt => start < from,
            Self::Gt => end > to,
            Self::Le => start < from || within,
            Self::Ge => end > to || within,
            Self::Sa => start >= to,
            Self::Eb => end <= from,
            Self::Ap => start < to && from < end,
        }
    }
}

/// Reads a date parameter with its prefix.
pub(super) fn date_test(text: &str) -> Option<(Comparison, Span)> {
    let (how, rest) = match text.get(..2) {
        Some("eq") => (Comparison::Eq, text.get(2..)?),
        Some("ne") => (Comparison::Ne, text.get(2..)?),
        Some("lt") => (Comparison::Lt, text.get(2..)?),
        Some("gt") => (Comparison::Gt, text.get(2..)?),
        Some("le") => (Comparison::Le, text.get(2..)?),
        Some("ge") => (Comparison::Ge, text.get(2..)?),
        Some("sa") => (Comparison::Sa, text.get(2..)?),
        Some("eb") => (Comparison::Eb, text.get(2..)?),
        Some("ap") => (Comparison::Ap, text.get(2..)?),
        _ => (Comparison::Eq, text),
    };
    Some((how, span(rest)?))
}

/// The span of an element: a date, an instant, or a Period (open ends reach for ever).
pub(super) fn span_of(value: &Value) -> Option<Span> {
    if let Some(text) = value.as_str() {
        return span(text);
    }
    let end_of = |name: &str| value.get(name).and_then(Value::as_str).and_then(span);
    let start = end_of("start").map_or(i64::MIN, |(start, _)| start);
    let end = end_of("end").map_or(i64::MAX, |(_, end)| end);
    Some((start, end))
}

/// The span that a FHIR date of any precision covers; without an offset it is UTC.
pub(super) fn span(text: &str) -> Option<Span> {
    const SECOND: i64 = 1000;
    const DAY: i64 = 24 * 3600 * SECOND;
    if !text.is_ascii() {
        return None;
    }
    if let Some((day, clock)) = text.split_once('T') {
        let (clock, offset) = match clock.find(['Z', '+', '-']) {
            Some(at) => clock.split_at(at),
            None => (clock, "Z"),
        };
        let (clock, width) = if clock.len() == 5 {
            (format!("{clock}:00"), 60 * SECOND)
        } else if clock.contains('.') {
            (clock.to_owned(), 1)
        } else {
            (clock.to_owned(), SECOND)
        };
        let time = OffsetDateTime::parse(&format!("{day}T{clock}{offset}"), &Rfc3339).ok()?;
        let start = time.unix_timestamp() * SECOND + i64::from(time.millisecond());
        return Some((start, start + width));
    }
    let mut parts = text.split('-');
    let digits = |part: &str, width: usize| -> Option<u16> {
        (part.len() == width && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let year = i32::from(digits(parts.next()?, 4)?);
    let month = parts.next().map(|part| digits(part, 2));
    let day = parts.next().map(|part| digits(part, 2));
    if parts.next().is_some() {
        return None;
    }
    let at = |year: i32, month: u16, day: u16| -> Option<i64> {
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date = Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()?;
        Some(date.midnight().assume_utc().unix_timestamp() * SECOND)
    };
    match (month, day) {
        (None, _) => Some((at(year, 1, 1)?, at(year + 1, 1, 1)?)),
        (Some(month), None) => {
            let month = month?;
            let start = at(year, month, 1)?;
            let end = if month == 12 { at(year + 1, 1, 1)? } else { at(year, month + 1, 1)? };
            Some((start, end))
        }
        (Some(month), Some(day)) => {
            let start = at(year, month?, day?)?;
            Some((start, start + DAY))
        }
    }
}
