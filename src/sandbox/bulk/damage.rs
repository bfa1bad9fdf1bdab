//! The bytes of a file, and what may be wrong with them.
//!
//! Imports nothing of ours outside the sandbox. Invariant: without a fault or an option a file is what the guide
//! says it is: one resource a line, UTF-8, a line feed after each.

use std::fs;

use super::super::faults::Fault;
use super::job::{Part, Source};
use super::options::Bulk;

/// The lines of a file, without their ends.
pub(super) fn lines(part: &Part) -> Vec<String> {
    match &part.source {
        Source::Held(lines) => lines.to_vec(),
        Source::Drawn { data, from, to } => (*from..*to)
            .map(|place| {
                let mut line = String::new();
                data.line(&part.kind, place, &mut line);
                line
            })
            .collect(),
        Source::Stored(path, _) => {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        }
    }
}

/// Whether an option or a fault changes what is in the file.
pub(super) fn plain(options: &Bulk, fault: Option<&Fault>) -> bool {
    let changes = fault.is_some_and(|fault| {
        matches!(
            fault,
            Fault::WrongType
                | Fault::BadLine
                | Fault::InvalidUtf8
                | Fault::HugeLine(_)
                | Fault::Bom
                | Fault::Crlf
                | Fault::NoLastNewline
        )
    });
    !changes && !options.bom && !options.crlf && !options.blank_lines && !options.no_last_newline
}

/// How long a file is.
pub(super) fn size(part: &Part, options: &Bulk) -> usize {
    match &part.source {
        Source::Stored(_, bytes) => usize::try_from(*bytes).unwrap_or(usize::MAX),
        _ => bytes(part, options, None).len(),
    }
}

/// The bytes of a file.
pub(super) fn bytes(part: &Part, options: &Bulk, fault: Option<&Fault>) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = lines(part).into_iter().map(String::into_bytes).collect();
    let middle = lines.len() / 2;
    match fault {
        Some(Fault::WrongType) => {
            if let Some(first) = lines.first_mut() {
                *first = br#"{"resourceType":"Basic","id":"of-another-type","code":{"text":"synthetic"}}"#.to_vec();
            }
        }
        Some(Fault::BadLine) => {
            if let Some(line) = lines.get_mut(middle) {
                line.truncate(line.len() / 2);
            }
        }
        Some(Fault::InvalidUtf8) => insert(lines.get_mut(middle), b"\"language\":\"en-\xc3\x28\","),
        Some(Fault::HugeLine(length)) => {
            let mut member = b"\"language\":\"".to_vec();
            member.resize(member.len() + length, b'a');
            member.extend_from_slice(b"\",");
            insert(lines.get_mut(middle), &member);
        }
        _ => {}
    }
    let bom = options.bom || fault == Some(&Fault::Bom);
    let crlf = options.crlf || fault == Some(&Fault::Crlf);
    let unended = options.no_last_newline || fault == Some(&Fault::NoLastNewline);
    let end: &[u8] = if crlf { b"\r\n" } else { b"\n" };
    let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len() + 3).sum());
    if bom {
        bytes.extend_from_slice(b"\xef\xbb\xbf");
    }
    let last = lines.len().saturating_sub(1);
    for (place, line) in lines.iter().enumerate() {
        bytes.extend_from_slice(line);
        if place < last || !unended {
            bytes.extend_from_slice(end);
        }
        if options.blank_lines && place < last {
            bytes.extend_from_slice(end);
        }
    }
    bytes
}

/// Puts a member at the beginning of a resource.
fn insert(line: Option<&mut Vec<u8>>, member: &[u8]) {
    if let Some(line) = line
        && line.first() == Some(&b'{')
    {
        line.splice(1..1, member.iter().copied());
    }
}
