//! Splits a stream of bytes into lines (NDJSON), without IO.
//!
//! Imports nothing of ours. Guards: a line is a slice of what came in, and is copied only when it spans two
//! pieces; a line over the limit is passed over without being kept; every line knows where it ends in the
//! file, which is where a later download goes on.

use bytes::{Bytes, BytesMut};

/// The longest line that is taken in, in bytes: attachments are inline in some EHRs.
pub const MAX_LINE: usize = 64 * 1024 * 1024;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A line that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1; blank lines count.
    pub number: u64,
    /// Where the next line begins: bytes from the file's start.
    pub end: u64,
    /// What it holds, without the line end; `None` when it is longer than allowed.
    pub bytes: Option<Bytes>,
    /// How long it is, without the line end.
    pub length: u64,
}

/// Splits one file, piece by piece.
#[derive(Debug)]
pub struct Splitter {
    max: usize,
    /// The beginning of a line whose end has not come.
    held: BytesMut,
    /// Bytes of the unfinished line that were passed over, because it is too long.
    skipped: u64,
    /// Where the unfinished line begins.
    start: u64,
    /// How many lines have ended.
    lines: u64,
}

impl Splitter {
    /// A splitter that goes on after so many bytes and lines of the file.
    pub fn new(max: usize, bytes: u64, lines: u64) -> Self {
        Self { max, held: BytesMut::new(), skipped: 0, start: bytes, lines }
    }

    /// Where the first line begins that has not ended.
    pub const fn offset(&self) -> u64 {
        self.start
    }

    /// How many lines have ended, blank ones included.
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Takes the next piece in, and adds the lines that end in it.
    pub fn push(&mut self, mut piece: Bytes, out: &mut Vec<Line>) {
        while let Some(at) = memchr::memchr(b'\n', &piece) {
            let mut line = piece.split_to(at + 1);
            line.truncate(at);
            self.end_line(line, 1, out);
        }
        if !piece.is_empty() {
            self.hold(&piece);
        }
    }

    /// The file is over: adds its last line, if that has no line end.
    pub fn finish(&mut self, out: &mut Vec<Line>) {
        if self.skipped > 0 || !self.held.is_empty() {
            self.end_line(Bytes::new(), 0, out);
        }
    }

    fn hold(&mut self, piece: &[u8]) {
        if self.skipped > 0 || self.held.len() + piece.len() > self.max {
            self.skipped += length(self.held.len() + piece.len());
            self.held = BytesMut::new();
        } else {
            self.held.extend_from_slice(piece);
        }
    }

    fn end_line(&mut self, rest: Bytes, line_end: u64, out: &mut Vec<Line>) {
        let whole = self.skipped + length(self.held.len() + rest.len());
        let first = self.start == 0;
        self.start += whole + line_end;
        self.lines += 1;
        let (number, end) = (self.lines, self.start);
        if whole > length(self.max) {
            self.skipped = 0;
            self.held = BytesMut::new();
            out.push(Line { number, end, bytes: None, length: whole });
            return;
        }
        let mut line = if self.held.is_empty() {
            rest
        } else {
            self.held.extend_from_slice(&rest);
            std::mem::take(&mut self.held).freeze()
        };
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if first && line.starts_with(BOM) {
            line = line.slice(BOM.len()..);
        }
        if !line.trim_ascii().is_empty() {
            let length = length(line.len());
            out.push(Line { number, end, bytes: Some(line), length });
        }
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lines of a file that comes in these pieces.
    fn split(pieces: &[&[u8]], max: usize) -> Vec<Line> {
        let mut splitter = Splitter::new(max, 0, 0);
        let mut out = Vec::new();
        for piece in pieces {
            splitter.push(Bytes::copy_from_slice(piece), &mut out);
        }
        splitter.finish(&mut out);
        assert_eq!(splitter.offset(), length(pieces.concat().len()));
        out
    }

    /// The same, by the book: number, end, and what it holds.
    fn by_the_book(file: &[u8], max: usize) -> Vec<(u64, u64, Option<Vec<u8>>)> {
        let mut out = Vec::new();
        let mut start = 0;
        let mut number = 0;
        while start < file.len() {
            let until = file[start..].iter().position(|byte| *byte == b'\n').map_or(file.len(), |at| start + at);
            let end = (until + 1).min(file.len());
            number += 1;
            let mut line = &file[start..until];
            if line.len() > max {
                out.push((number, end as u64, None));
            } else {
                line = line.strip_suffix(b"\r").unwrap_or(line);
                line = if start == 0 { line.strip_prefix(BOM).unwrap_or(line) } else { line };
                if !line.trim_ascii().is_empty() {
                    out.push((number, end as u64, Some(line.to_vec())));
                }
            }
            start = end;
        }
        out
    }

    #[test]
    fn odd_ends() {
        let text = |pieces: &[&[u8]]| -> Vec<String> {
            split(pieces, 100)
                .iter()
                .map(|line| {
                    format!(
                        "{}@{}:{}",
                        line.number,
                        line.end,
                        String::from_utf8_lossy(line.bytes.as_deref().unwrap_or(b"-"))
                    )
                })
                .collect()
        };
        assert_eq!(text(&[b"\xEF\xBB", b"\xBFa\r", b"\n\n \r\nb"]), ["1@6:a", "4@11:b"]);
        assert_eq!(text(&[b"a\n"]), ["1@2:a"]);
        assert_eq!(text(&[]), [] as [&str; 0]);
    }

    #[test]
    fn a_line_over_the_limit_is_not_kept() {
        let mut splitter = Splitter::new(4, 0, 0);
        let mut out = Vec::new();
        for _ in 0..1_000 {
            splitter.push(Bytes::from_static(b"xxx"), &mut out);
            assert!(splitter.held.len() <= 4);
        }
        splitter.push(Bytes::from_static(b"\nab\n"), &mut out);
        assert_eq!(
            out,
            [
                Line { number: 1, end: 3_001, bytes: None, length: 3_000 },
                Line { number: 2, end: 3_004, bytes: Some(Bytes::from_static(b"ab")), length: 2 },
            ]
        );
    }

    #[test]
    fn goes_on_in_the_middle() {
        let mut splitter = Splitter::new(100, 10, 2);
        let mut out = Vec::new();
        splitter.push(Bytes::from_static(b"abc\n"), &mut out);
        assert_eq!(out.first().map(|line| (line.number, line.end)), Some((3, 14)));
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_lines(
            file in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), Just(0xEF), Just(0xBB), Just(0xBF), Just(b'a'), Just(b'b')], 0..80),
            cuts in proptest::collection::vec(0_usize..80, 0..8),
            max in 1_usize..12,
            bom in any::<bool>(),
        ) {
            let file = if bom { [BOM, &file].concat() } else { file };
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(file.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([file.len()]) {
                pieces.push(&file[from..cut]);
                from = cut;
            }
            let got: Vec<_> = split(&pieces, max)
                .into_iter()
                .map(|line| (line.number, line.end, line.bytes.map(|bytes| bytes.to_vec())))
                .collect();
            prop_assert_eq!(got, by_the_book(&file, max));
        }
    }
}
