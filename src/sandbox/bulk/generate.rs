//! Big data that nobody has to keep: synthetic resources of nineteen types, written line by line.
//!
//! Imports nothing of ours outside the sandbox. Invariants: a line depends on nothing but the seed, its type
//! and its number, so that the same seed gives the same bytes whoever writes which part; no more than one line
//! is ever in memory; nothing here can be taken for a real person (`HTEST` tag, and a narrative that says so).

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::super::patients::Dice;

mod resources;

/// The name of the file that lists the others.
pub(super) const INDEX: &str = "index.json";

/// The mean length of a line when nobody says otherwise.
pub(super) const MEAN_BYTES: usize = 1_300;

/// No line is longer, unless its content alone is.
const LONGEST: usize = 48_000;

/// One resource type: how common it is, and how long it is in percent of the mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sort {
    /// The resource type.
    pub(super) kind: &'static str,
    share: usize,
    percent: usize,
}

const fn sort(kind: &'static str, share: usize, percent: usize) -> Sort {
    Sort { kind, share, percent }
}

/// The types, in shares that synthetic records of whole lives have; the first one takes what is left over.
pub(super) const SORTS: [Sort; 19] = [
    sort("Observation", 350, 74),
    sort("Procedure", 100, 64),
    sort("Claim", 95, 109),
    sort("Encounter", 95, 84),
    sort("ExplanationOfBenefit", 95, 256),
    sort("DiagnosticReport", 80, 114),
    sort("Condition", 55, 59),
    sort("MedicationRequest", 50, 74),
    sort("DocumentReference", 30, 129),
    sort("Immunization", 25, 55),
    sort("CarePlan", 7, 74),
    sort("CareTeam", 7, 60),
    sort("AllergyIntolerance", 4, 60),
    sort("Device", 3, 60),
    sort("ImagingStudy", 3, 150),
    sort("Patient", 3, 160),
    sort("Group", 1, 60),
    sort("Organization", 1, 60),
    sort("Practitioner", 1, 60),
];

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many files, without the index.
    pub files: usize,
    /// How many lines in all of them.
    pub lines: usize,
    /// How many bytes in all of them.
    pub bytes: u64,
    /// The length of the longest line.
    pub longest: usize,
}

/// A whole data set, as a recipe.
#[derive(Clone, Debug)]
pub(super) struct DataSet {
    seed: u64,
    mean_bytes: usize,
    quotas: Vec<(Sort, usize)>,
}

impl DataSet {
    /// A data set of so many lines.
    pub(super) fn new(seed: u64, lines: usize, mean_bytes: usize) -> Self {
        let total: usize = SORTS.iter().map(|sort| sort.share).sum();
        let mut left = lines;
        let mut quotas: Vec<(Sort, usize)> = Vec::new();
        for sort in SORTS {
            let quota = (lines.saturating_mul(sort.share) / total).max(1).min(left);
            left -= quota;
            quotas.push((sort, quota));
        }
        if let Some((_, first)) = quotas.first_mut() {
            *first += left;
        }
        Self { seed, mean_bytes, quotas }
    }

    /// How many resources of a type there are.
    pub(super) fn count(&self, kind: &str) -> usize {
        self.quotas.iter().find(|(sort, _)| sort.kind == kind).map_or(0, |(_, count)| *count)
    }

    /// Appends one resource, without a line end.
    pub(super) fn line(&self, kind: &str, index: usize, out: &mut String) {
        let start = out.len();
        let percent = SORTS.iter().find(|sort| sort.kind == kind).map_or(100, |sort| sort.percent);
        let mut dice = self.dice(kind, index);
        let mut target = self.mean_bytes * percent / 100 * (70 + dice.roll(61)) / 100;
        // Now and then a resource is much longer than all others.
        if dice.roll(4_096) == 0 {
            target = (target * (10 + dice.roll(29))).min(LONGEST);
        }
        resources::write(self, kind, index, &mut dice, out);
        narrative(&mut dice, start + target, out);
        out.push('}');
    }

    /// The id of a resource, which looks like a UUID.
    pub(super) fn id(&self, kind: &str, index: usize) -> String {
        let mut dice = self.dice(kind, index);
        let (a, b) = (dice.bits(), dice.bits());
        let (c, d) = (a >> 32 & 0xffff_ffff, a & 0xfff);
        format!("{c:08x}-{:04x}-4{d:03x}-a{:03x}-{:012x}", a >> 16 & 0xffff, b & 0xfff, b >> 16)
    }

    fn dice(&self, kind: &str, index: usize) -> Dice {
        // FNV-1a tells the types apart.
        let name = kind
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        Dice::of(self.seed.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ name ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

const PHRASES: [&str; 12] = [
    "Seen in imaginary good health, without complaints.",
    "The numbers of this visit were drawn by a generator.",
    "No medication was changed; return in one imaginary year.",
    "Blood pressure as before, pulse regular, lungs clear.",
    "Discussed diet and exercise, and the weather at Exampleville.",
    "Température 36,7 °C; état général conservé.",
    "Patient klagt über nichts; Prüfung unauffällig.",
    "Sin hallazgos; volverá el próximo año imaginario.",
    "検査結果は架空のものです。",
    "Ω-3 fatty acids are of no consequence to software tests.",
    "Referred to nobody, for nothing, with thanks.",
    "Labs pending at the Placeholder Avenue laboratory.",
];

/// The narrative, as long as it takes.
fn narrative(dice: &mut Dice, until: usize, out: &mut String) {
    const HEAD: &str = ",\"text\":{\"status\":\"generated\",\"div\":\"<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\">\
                        Synthetic. Not a real person.";
    const TAIL: &str = "</div>\"}";
    // Half a phrase goes beyond the mark in the mean.
    const HALF: usize = 26;
    if out.len() + HEAD.len() + TAIL.len() + HALF > until {
        return;
    }
    out.push_str(HEAD);
    while out.len() + TAIL.len() + HALF < until {
        out.push(' ');
        out.push_str(dice.pick(&PHRASES, ""));
    }
    out.push_str(TAIL);
}

/// How many files each type gets: as many for each, at least one and no more than it has lines.
fn shares(data: &DataSet, files: usize) -> Vec<(Sort, usize, usize)> {
    let each = (files / SORTS.len()).max(1);
    let mut shares: Vec<_> = data
        .quotas
        .iter()
        .filter(|(_, lines)| *lines > 0)
        .map(|(sort, lines)| (*sort, *lines, each.min(*lines)))
        .collect();
    let mut left = files.saturating_sub(shares.iter().map(|(.., files)| files).sum());
    for (_, lines, files) in &mut shares {
        let more = left.min(*lines - *files);
        *files += more;
        left -= more;
    }
    shares
}

/// Writes a data set to a folder: NDJSON files, and an index of them. 190 files with 385,000 lines are about
/// 500 MB.
///
/// Each of the nineteen types has a file of its own at least.
///
/// # Errors
///
/// When the folder cannot be made or a file cannot be written.
pub fn write_folder(dir: &Path, seed: u64, files: usize, lines: usize) -> io::Result<Summary> {
    std::fs::create_dir_all(dir)?;
    let data = DataSet::new(seed, lines, MEAN_BYTES);
    let mut summary = Summary::default();
    let mut index = String::from("[");
    let mut line = String::new();
    for (sort, lines, files) in shares(&data, files) {
        for number in 0..files {
            let (from, to) = (lines * number / files, lines * (number + 1) / files);
            let name = format!("{}.{:05}.ndjson", sort.kind, number + 1);
            let mut file = BufWriter::with_capacity(1 << 18, File::create(dir.join(&name))?);
            let mut bytes = 0_u64;
            for place in from..to {
                line.clear();
                data.line(sort.kind, place, &mut line);
                summary.longest = summary.longest.max(line.len());
                line.push('\n');
                file.write_all(line.as_bytes())?;
                bytes += u64::try_from(line.len()).unwrap_or_default();
            }
            file.flush()?;
            let comma = if summary.files == 0 { "" } else { "," };
            let count = to - from;
            let _ = write!(
                index,
                "{comma}\n{{\"type\":\"{}\",\"name\":\"{name}\",\"count\":{count},\"bytes\":{bytes}}}",
                sort.kind
            );
            summary.files += 1;
            summary.lines += count;
            summary.bytes += bytes;
        }
    }
    index.push_str("\n]\n");
    std::fs::write(dir.join(INDEX), index)?;
    Ok(summary)
}
