//! The words of bulk exports: states, waits, amounts, and what went wrong.
//!
//! May import `model`. Guards: every state and every wait has words; what an EHR said stands in quotation marks.

use crate::model::export::request::SINCE_LAST;
use crate::model::export::{ExportError, ExportLevel, ExportRequest, ExportState, ExportStatus, Wait};
use crate::model::problem::Code;
use crate::model::time::Timestamp;

/// Numbers of files start at this many times their page's number.
const PER_PAGE: i64 = 1_000_000;

/// Whether it is held for somebody to look, not because somebody wanted to.
pub const fn wants_attention(export: &ExportStatus) -> bool {
    export.paused && matches!(export.next_poll_why, Some(Wait::TokenRefused | Wait::NoToken { .. }))
}

/// Where an export stands, in a word or two.
pub const fn state(export: &ExportStatus) -> &'static str {
    match export.state {
        ExportState::Complete => "Complete",
        ExportState::CompleteWithErrors => "Complete, with errors",
        ExportState::Cancelled => "Cancelled",
        ExportState::Failed => "Failed",
        ExportState::Expired => "Expired",
        _ if export.cancelling => "Cancelling",
        _ if wants_attention(export) => "Needs attention",
        _ if export.paused => "Paused",
        ExportState::Queued => "Queued",
        ExportState::KickingOff => "Asking the EHR",
        ExportState::Waiting => "EHR is preparing",
        ExportState::Downloading => "Downloading",
        ExportState::Finishing => "Finishing",
    }
}

/// What is going on, in a sentence.
pub const fn activity(export: &ExportStatus) -> &'static str {
    match export.state {
        _ if export.state.is_over() => "",
        _ if export.cancelling => "The EHR is told to stop and to clean up.",
        _ if wants_attention(export) => "It is held until somebody has looked.",
        _ if export.paused => "It is held until somebody resumes it.",
        ExportState::Queued => "It waits for its turn at the EHR.",
        ExportState::KickingOff => "The EHR is being asked for the export.",
        ExportState::Waiting => "The EHR prepares the files.",
        ExportState::Downloading => "The files are fetched, and their records taken in.",
        _ => "Everything is here. The EHR is told to clean up.",
    }
}

/// Why something happens only later.
pub fn wait(why: Wait) -> String {
    match why {
        Wait::ServerAsked { seconds } => format!("The EHR asked for {}.", span(seconds)),
        Wait::Clamped { asked_seconds, seconds } if asked_seconds <= 0 => {
            format!("The EHR wants to be asked at once; we leave it {}.", span(seconds))
        }
        Wait::Clamped { asked_seconds, seconds } => {
            format!("The EHR asked for {}; we ask in {}.", span(asked_seconds), span(seconds))
        }
        Wait::OwnInterval { seconds } => {
            format!("The EHR does not say when to ask. We ask in {}, then less and less often.", span(seconds))
        }
        Wait::Busy { seconds } => {
            format!("The EHR is busy, or works on another export first. We ask again in {}.", span(seconds))
        }
        Wait::Unavailable { troubles: 0 | 1, seconds } => {
            format!("The EHR did not answer as it should. We try again in {}.", span(seconds))
        }
        Wait::Unavailable { troubles, seconds } => format!(
            "The EHR did not answer as it should, {troubles} times in a row. We try again in {}.",
            span(seconds)
        ),
        Wait::FilesAgain => "Files that failed are tried again.".into(),
        Wait::TokenRefused => {
            "The EHR refuses the token that it has just given. Have its administrator check the application's access \
             to bulk data, then resume."
                .into()
        }
        Wait::NoToken { code: Code::Conflict } => {
            "The provider's settings name another server than when this export began. Set them back and resume, or \
             cancel it."
                .into()
        }
        Wait::NoToken { code } => {
            let entry = code.entry();
            format!("We get no token. {} {} Then resume.", entry.message, entry.action)
        }
        Wait::Held => "Nothing is fetched meanwhile. Some EHRs delete the files after a day.".into(),
    }
}

/// Of whom an export is.
pub fn whom(request: &ExportRequest) -> String {
    let patients = request.patients.len();
    match (request.level, request.group_id.as_deref()) {
        (ExportLevel::Group, Some(group)) if patients > 0 => format!("{} of group {group}", of_patients(patients)),
        (ExportLevel::Group, group) => format!("Group {}", group.unwrap_or_default()),
        (ExportLevel::Patient, _) if patients > 0 => of_patients(patients),
        (ExportLevel::Patient, _) => "All patients".into(),
        (ExportLevel::System, _) => "Everything".into(),
    }
}

fn of_patients(count: usize) -> String {
    if count == 1 { "One patient".into() } else { format!("{count} patients") }
}

/// What of them.
pub fn what(request: &ExportRequest) -> String {
    let mut parts = vec![if request.types.is_empty() { "all record types".into() } else { request.types.join(", ") }];
    match request.since.as_deref() {
        None => {}
        Some(SINCE_LAST) => parts.push("changed since the last export".into()),
        Some(since) => parts.push(format!("changed since {}", instant(since))),
    }
    if !request.type_filters.is_empty() {
        parts.push(format!("only {}", request.type_filters.join(", ")));
    }
    if !request.elements.is_empty() {
        parts.push(format!("only the elements {}", request.elements.join(", ")));
    }
    let mut text = parts.join(" · ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// A FHIR instant for readers.
pub fn instant(text: &str) -> String {
    Timestamp::parse_instant(text).map_or_else(|| text.to_owned(), super::date_time)
}

/// What went wrong, and what to do about it.
pub fn error(error: &ExportError) -> (String, String) {
    let (what, action) = said_of(error);
    (what, if error.again { "It is tried again by itself.".into() } else { action })
}

fn said_of(error: &ExportError) -> (String, String) {
    let entry = error.error.entry();
    let detail = error.detail.as_deref();
    match (error.error, detail) {
        (Code::Forbidden, Some("address_not_allowed")) => (
            "The EHR keeps this on a private address, and this installation does not allow those.".into(),
            "Ask the EHR's vendor for an address that can be reached.".into(),
        ),
        (Code::Forbidden, Some(host)) => (
            format!("The EHR sends us to another host: {}.", host.trim_start_matches("host_not_allowed ")),
            "If it is the EHR's own file store, add it to “File hosts” in the provider's settings, and start again."
                .into(),
        ),
        (Code::BulkExpired, Some("gone")) => (said("gone"), entry.action.into()),
        (Code::FhirInvalid, Some(word)) => {
            (said(word), "Try again; if it stays, report it to the EHR's vendor.".into())
        }
        (_, Some(word)) => (format!("{} {}", entry.message, said(word)), entry.action.into()),
        (_, None) => (entry.message.into(), entry.action.into()),
    }
}

/// A word of ours as a sentence, or what the EHR said.
fn said(word: &str) -> String {
    let known = match word {
        "truncated" => "The file ended early.",
        "gone" => "The file is gone.",
        "encoding" => "The file came in a compression that we do not know.",
        "bad_gzip" => "The file's compression is broken.",
        "timeout" => "It took too long.",
        "connection" => "The connection broke.",
        "no_address" => "The host has no address.",
        "redirects" => "We were sent on too often.",
        "redirect" => "We were sent on to nowhere.",
        "address" => "The file's address makes no sense.",
        "wrong_type" => "The file holds other records than announced.",
        "not_ndjson" => "The file is not in the format of bulk data.",
        "wrong_size" => "The file has another size than announced.",
        "wrong_count" => "The file has another number of records than announced.",
        "no Content-Location" => "It did not say where to ask for the export.",
        _ => "",
    };
    if !known.is_empty() {
        return known.into();
    }
    match word.strip_prefix("status").map(|status| status.trim_start_matches(['_', ' '])) {
        Some(status) if status.parse::<u16>().is_ok() => format!("It answered with status {status}."),
        _ => format!("It says: “{word}”"),
    }
}

/// Which file: its place, and the manifest's page where there are several.
pub fn file(number: i64) -> String {
    match (number / PER_PAGE, number % PER_PAGE) {
        (0, number) => format!("File {number}"),
        (page, number) => format!("File {number} of page {}", page + 1),
    }
}

/// A number with its thousands apart.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    if number < 0 {
        text.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things.
pub fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// An amount of data.
pub fn bytes(number: i64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut whole, mut unit) = (number, "bytes");
    let mut tenths = 0;
    for larger in UNITS {
        if whole < 1_000 {
            break;
        }
        (tenths, whole, unit) = (whole % 1_000 / 100, whole / 1_000, larger);
    }
    match unit {
        "bytes" if whole == 1 => "1 byte".into(),
        "bytes" => format!("{whole} bytes"),
        _ if whole >= 100 => format!("{whole} {unit}"),
        _ => format!("{whole}.{tenths} {unit}"),
    }
}

/// A length of time, in its largest unit.
pub fn span(seconds: i64) -> String {
    let (number, unit) = match seconds {
        ..120 if seconds != 60 => (seconds, "second"),
        ..7_200 if seconds != 3_600 => ((seconds + 30) / 60, "minute"),
        ..172_800 if seconds != 86_400 => ((seconds + 1_800) / 3_600, "hour"),
        _ => (seconds.saturating_add(43_200) / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {unit}{plural}", count(number))
}

/// How long until then, in its two largest units; `exports.js` counts down in the same words.
pub fn until(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.0.saturating_sub(now.0).saturating_add(999) / 1_000;
    match seconds {
        ..=0 => "now".into(),
        1..60 => format!("in {seconds} s"),
        60..3_600 => format!("in {} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("in {} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("in {} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!([0, 999, 1_000, 1_234_567, -1_000].map(count), ["0", "999", "1,000", "1,234,567", "−1,000"]);
        assert_eq!(
            [0, 1, 999, 1_000, 12_345, 123_456, 1_999_999, 5_000_000_000].map(bytes),
            ["0 bytes", "1 byte", "999 bytes", "1.0 kB", "12.3 kB", "123 kB", "1.9 MB", "5.0 GB"]
        );
        assert_eq!(
            [1, 30, 60, 64, 128, 300, 3_600, 7_200, 86_400, 172_800].map(span),
            [
                "1 second",
                "30 seconds",
                "1 minute",
                "64 seconds",
                "2 minutes",
                "5 minutes",
                "1 hour",
                "2 hours",
                "1 day",
                "2 days"
            ]
        );
        let now = Timestamp(1_000);
        let left = [0, 1, 61_000, 3_700_000, 90_000_000].map(|millis| until(Timestamp(1_000 + millis), now));
        assert_eq!(left, ["now", "in 1 s", "in 1 min 1 s", "in 1 h 1 min", "in 1 d 1 h"]);
    }

    #[test]
    fn waits() {
        let clamped = Wait::Clamped { asked_seconds: 7_200, seconds: 300 };
        assert_eq!(wait(clamped), "The EHR asked for 2 hours; we ask in 5 minutes.");
        assert_eq!(
            wait(Wait::Clamped { asked_seconds: 0, seconds: 1 }),
            "The EHR wants to be asked at once; we leave it 1 second."
        );
        let waits = [
            clamped,
            Wait::ServerAsked { seconds: 1 },
            Wait::OwnInterval { seconds: 1 },
            Wait::Busy { seconds: 1 },
            Wait::Unavailable { troubles: 3, seconds: 1 },
            Wait::FilesAgain,
            Wait::TokenRefused,
            Wait::NoToken { code: Code::ClientAuthFailed },
            Wait::Held,
        ];
        assert!(waits.into_iter().all(|why| wait(why).ends_with('.')));
    }

    #[test]
    fn what_was_asked_for_and_what_went_wrong() {
        let request = ExportRequest {
            types: vec!["Patient".into(), "Observation".into()],
            since: Some("2026-06-30T08:00:00Z".into()),
            ..ExportRequest::default()
        };
        assert_eq!(whom(&request), "All patients");
        assert_eq!([3, 2_000_001].map(file), ["File 3", "File 1 of page 3"]);
        assert_eq!(what(&request), "Patient, Observation · changed since 2026-06-30 08:00 UTC");
        assert_eq!(what(&ExportRequest::default()), "All record types");
        let words = |code, detail: &str| {
            error(&ExportError { error: code, file: None, kind: None, detail: Some(detail.into()), again: false }).0
        };
        assert!(words(Code::EhrUnavailable, "status_503").ends_with("It answered with status 503."));
        assert!(words(Code::BulkFailed, "out of space").ends_with("It says: “out of space”"));
        assert_eq!(words(Code::FhirInvalid, "wrong_type"), "The file holds other records than announced.");
        assert!(words(Code::Forbidden, "files.example.org").contains("files.example.org"));
    }
}
