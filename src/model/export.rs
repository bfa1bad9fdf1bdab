//! A bulk export: what is asked for, its life, and how it is shown.
//!
//! FHIR Bulk Data Access. May import `model`. Guards: see [`life`] and [`request`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::ProviderId;
use super::problem::Code;
use super::time::Timestamp;

pub mod form;
pub mod life;
pub mod request;
pub mod wait;

pub use form::ExportForm;
pub use life::{ExportState, Life};
pub use request::{ExportLevel, ExportRequest};
pub use wait::Wait;

/// How many files there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCounts {
    /// In all, as far as is known.
    pub total: i64,
    /// Taken in.
    pub done: i64,
    /// Not to be had.
    pub failed: i64,
}

/// How many resources were taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowCounts {
    /// In all.
    pub total: i64,
    /// Per resource type.
    pub by_type: BTreeMap<String, i64>,
}

/// Something that went wrong with an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportError {
    /// What, by the catalogue.
    pub error: Code,
    /// With which file, by its number; absent when with all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<i64>,
    /// The file's resource type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// More on that: a word of ours, such as `truncated`, or the EHR's diagnosis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether the file is tried again by itself.
    pub again: bool,
}

/// An export as the API answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportStatus {
    /// Which.
    pub job_id: String,
    /// With which provider.
    pub provider_id: ProviderId,
    /// The provider's name.
    pub provider_name: String,
    /// Where it stands.
    pub state: ExportState,
    /// Whether somebody, or a refused token, holds it.
    pub paused: bool,
    /// Whether its end was asked for.
    pub cancelling: bool,
    /// What the EHR says of its progress.
    pub progress: Option<String>,
    /// When something happens next; `null` while something happens, and when it is over.
    pub next_poll_at: Option<Timestamp>,
    /// Why then.
    pub next_poll_why: Option<Wait>,
    /// Its files.
    pub files: FileCounts,
    /// What was taken in.
    pub rows: RowCounts,
    /// How many lines were not taken in.
    pub rejected: i64,
    /// How many bytes came.
    pub bytes: i64,
    /// Bytes a second, over the time that it has been downloading.
    pub bytes_per_second: Option<i64>,
    /// When all files will be here, as it looks now.
    pub eta: Option<Timestamp>,
    /// What went wrong.
    pub errors: Vec<ExportError>,
    /// Until when the EHR keeps the files.
    pub expires_at: Option<Timestamp>,
    /// The EHR's time of the export: the next one can start there.
    pub transaction_time: Option<String>,
    /// What was asked for.
    pub request: ExportRequest,
    /// By whom.
    pub requested_by: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// Counts changes: a reader that has this version has seen everything.
    pub version: i64,
}

/// One file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportFile {
    /// Its number.
    pub number: i64,
    /// `output`, `deleted` or `error`.
    pub kind: String,
    /// The resource type, where the manifest names one.
    #[serde(rename = "type")]
    pub resource_type: Option<String>,
    /// `pending`, `done` or `failed`.
    pub state: String,
    /// How many lines the EHR says it has.
    pub expected: Option<i64>,
    /// Lines read so far.
    pub lines: i64,
    /// Resources taken in.
    pub rows: i64,
    /// Lines not taken in.
    pub rejected: i64,
    /// Bytes read so far.
    pub bytes: i64,
    /// How often it failed so far.
    pub attempts: i64,
    /// Why it failed, or is tried again.
    pub problem: Option<Code>,
    /// More on that.
    pub detail: Option<String>,
}

/// A provider that an export can be started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportProvider {
    /// Which.
    pub id: ProviderId,
    /// The product's name.
    pub name: String,
}

/// The page of exports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportsPage {
    /// The last ones, newest first.
    pub exports: Vec<ExportStatus>,
    /// The providers that an export can be started with.
    pub providers: Vec<ExportProvider>,
    /// Whether the practice allows exports.
    pub enabled: bool,
    /// The server's time.
    pub now: Timestamp,
}
