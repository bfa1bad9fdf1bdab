//! How the bulk server differs from the plain standard, as real servers do.
//!
//! Imports nothing of ours outside the sandbox. Invariant: by default it speaks version 3.0.0 of the guide and
//! does whatever that lets it do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::super::faults::Fault;
use super::generate;

/// A version of the Bulk Data Access guide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Dialect {
    /// 2.0.0: no `_until`, `organizeOutputBy` or `allowPartialManifests`.
    #[serde(rename = "2.0")]
    V2,
    /// 3.0.0.
    #[default]
    #[serde(rename = "3.0")]
    V3,
    /// The ballot of 4.0.0: kick-off by POST only, no comma lists, `outcome` for `error`, no `request`,
    /// `extension` as an array, `manifestType`, `outputFormat` and `fileSize`.
    #[serde(rename = "4.0-ballot")]
    V4,
}

/// Drawn data in place of the sandbox's own records.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Synthetic {
    /// How many resources of all types together.
    pub resources: usize,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// About how long a line is in the mean.
    pub mean_bytes: usize,
    /// These types only; none named: all nineteen.
    pub types: Vec<String>,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self { resources: 1_000, seed: 1, mean_bytes: generate::MEAN_BYTES, types: Vec::new() }
    }
}

/// One issue that an export reports in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Issue {
    /// `fatal`, `error`, `warning` or `information`.
    pub severity: String,
    /// A code of the FHIR value set `issue-type`.
    pub code: String,
    /// What happened.
    pub text: String,
}

/// Named deviations of the bulk server.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent named quirks that one can grep for")]
pub struct Bulk {
    /// There is no bulk export: a kick-off is answered with this status (404 or 501), and nothing announces it.
    pub no_bulk: Option<u16>,
    /// Which version of the guide it speaks.
    pub dialect: Dialect,

    /// A client may have one export at a time: the next kick-off is answered 429 until the manifest of the
    /// first was fetched, or it was deleted.
    pub one_at_a_time: bool,
    /// An export of a group needs a scope for `Group`, too.
    pub group_scope_wanted: bool,
    /// A type of FHIR that the server does not hold is refused (400), not just left out.
    pub unheld_types_refused: bool,
    /// `Content-Location` is a path, not an absolute URL.
    pub relative_content_location: bool,

    /// How often it answers 202 before the export is complete.
    pub polls: u32,
    /// `Retry-After` of an export in progress, in seconds; none: no such header.
    pub retry_after_seconds: Option<u32>,
    /// `Retry-After` is an HTTP-date.
    pub retry_after_date: bool,
    /// `X-Progress` says this, not a percentage.
    pub progress: Option<String>,
    /// Who asks again before `Retry-After` is over is answered 429.
    pub polling_watched: bool,
    /// The export fails with this status when it should be complete.
    pub fails: Option<u16>,
    /// After so many seconds the export and its files are gone; `Expires` tells when. None: never, no header.
    pub expires_seconds: Option<i64>,

    /// What the manifest says about access tokens; by default `true`, unless the files are at another origin.
    pub requires_access_token: Option<bool>,
    /// Where partial manifests were allowed: how many files a page lists; 0: all in one manifest.
    pub page_files: usize,
    /// The manifest has no `error` (or `outcome`) array.
    pub no_error_array: bool,
    /// The manifest has a `deleted` array even where there is nothing in it.
    pub empty_deleted: bool,
    /// The manifest does not count.
    pub no_count: bool,
    /// Every count is off by so many.
    pub count_off: i64,
    /// Counts of files by patient count their headers, too.
    pub headers_counted: bool,
    /// Files have their size in the manifest, whatever the dialect.
    pub file_size: bool,
    /// Resources (`Type/id`) that were deleted: not exported, and listed in `deleted` if `_since` is given.
    pub deleted: Vec<String>,
    /// What is reported in a file of `OperationOutcome` resources.
    pub issues: Vec<Issue>,

    /// How many resources a file has at most.
    pub lines_per_file: usize,
    /// The first file of every type comes twice, at two URLs.
    pub files_repeated: bool,
    /// Files are never compressed.
    pub never_gzip: bool,
    /// No `Accept-Ranges`, and `Range` is ignored.
    pub no_ranges: bool,
    /// Files have no `ETag`.
    pub no_etag: bool,
    /// Files come in chunks, without `Content-Length`.
    pub no_content_length: bool,
    /// Another `Content-Type` of files.
    pub content_type: Option<String>,
    /// Links of files work for so many seconds; later ones are 410, and the manifest has new ones.
    pub links_seconds: Option<i64>,
    /// Files are at this origin (see [`Sandbox::file_host`](super::super::Sandbox::file_host)), which takes no
    /// bearer token.
    pub file_origin: Option<String>,
    /// The manifest names this server, which answers 307 to `file_origin`.
    pub file_redirect: bool,
    /// Lines end with CRLF.
    pub crlf: bool,
    /// Files begin with a byte order mark.
    pub bom: bool,
    /// Every second line is empty.
    pub blank_lines: bool,
    /// The last line has no end.
    pub no_last_newline: bool,
    /// Resources have no `meta`.
    pub no_meta: bool,
    /// References are absolute URLs.
    pub absolute_references: bool,
    /// The file of this number (from 0: output, then deletions, then outcomes) always goes wrong in this way.
    pub broken_files: BTreeMap<usize, Fault>,

    /// Drawn data, as much as one likes.
    pub synthetic: Option<Synthetic>,
    /// The files of this folder, which [`generate::write_folder`] wrote, in place of the sandbox's own records.
    /// Only whoever starts the sandbox may name it.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

impl Default for Bulk {
    fn default() -> Self {
        Self {
            no_bulk: None,
            dialect: Dialect::default(),
            one_at_a_time: false,
            group_scope_wanted: false,
            unheld_types_refused: false,
            relative_content_location: false,
            polls: 1,
            retry_after_seconds: Some(1),
            retry_after_date: false,
            progress: None,
            polling_watched: false,
            fails: None,
            expires_seconds: Some(3_600),
            requires_access_token: None,
            page_files: 0,
            no_error_array: false,
            empty_deleted: false,
            no_count: false,
            count_off: 0,
            headers_counted: false,
            file_size: false,
            deleted: Vec::new(),
            issues: Vec::new(),
            lines_per_file: 1_000,
            files_repeated: false,
            never_gzip: false,
            no_ranges: false,
            no_etag: false,
            no_content_length: false,
            content_type: None,
            links_seconds: None,
            file_origin: None,
            file_redirect: false,
            crlf: false,
            bom: false,
            blank_lines: false,
            no_last_newline: false,
            no_meta: false,
            absolute_references: false,
            broken_files: BTreeMap::new(),
            synthetic: None,
            folder: None,
        }
    }
}

impl Bulk {
    /// What the manifest says about access tokens.
    pub(super) fn token_wanted(&self) -> bool {
        self.requires_access_token.unwrap_or(self.file_origin.is_none() || self.file_redirect)
    }
}
