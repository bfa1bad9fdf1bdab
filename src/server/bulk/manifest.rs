//! The manifest of an export: which files there are.
//!
//! FHIR Bulk Data Access, "Bulk Data Output Manifest", versions 2.0, 3.0 and the ballot of 4.0. Guards: what one of
//! them leaves out, or writes otherwise, costs nothing; an address is absolute afterwards.

use serde_json::Value;

use super::server::absolute;

/// A page of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The EHR's time of the export.
    pub transaction_time: Option<String>,
    /// Whether files want the access token.
    pub requires_access_token: bool,
    /// Its files, in order.
    pub files: Vec<ManifestFile>,
    /// Where the next page is.
    pub next: Option<String>,
}

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Resources.
    Output,
    /// Bundles that name what was deleted.
    Deleted,
    /// OperationOutcomes about the export.
    Error,
}

impl FileKind {
    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Deleted => "deleted",
            Self::Error => "error",
        }
    }
}

/// A file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// What is in it.
    pub kind: FileKind,
    /// The resource type, where it has one only.
    pub resource_type: Option<String>,
    /// Where it is.
    pub url: String,
    /// How many lines it has.
    pub count: Option<i64>,
    /// How many bytes it has.
    pub size: Option<i64>,
}

impl Manifest {
    /// Reads a page that came from `page_url`. `None` for what is no manifest.
    pub fn parse(body: &[u8], page_url: &str) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let organized = value.get("outputOrganizedBy").is_some_and(|by| !by.is_null());
        // Every version has `output`; an OperationOutcome, or a page of something else, has not.
        let output = value.get("output")?.as_array()?;
        let list = |name: &str| value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let lists = [
            (FileKind::Output, output.as_slice()),
            (FileKind::Deleted, list("deleted")),
            (FileKind::Error, list("error")),
            // The name since 4.0.
            (FileKind::Error, list("outcome")),
        ];
        let files =
            lists.iter().flat_map(|(kind, list)| list.iter().filter_map(|file| read(*kind, file, page_url, organized)));
        let next = list("link").iter().find(|link| link.get("relation").and_then(Value::as_str) == Some("next"));
        Some(Self {
            transaction_time: value.get("transactionTime").and_then(Value::as_str).map(str::to_owned),
            // It has to be there; the token goes to the FHIR server's own origin only, whatever it says.
            requires_access_token: value.get("requiresAccessToken").and_then(Value::as_bool).unwrap_or(true),
            files: files.collect(),
            next: next.and_then(|link| link.get("url")).and_then(Value::as_str).and_then(|url| absolute(url, page_url)),
        })
    }
}

fn read(kind: FileKind, file: &Value, page_url: &str, organized: bool) -> Option<ManifestFile> {
    let url = absolute(file.get("url")?.as_str()?, page_url)?;
    let resource_type = file.get("type").and_then(Value::as_str).filter(|_| !organized && kind == FileKind::Output);
    let number = |name: &str| {
        let value = file.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|count| *count >= 0)
    };
    Some(ManifestFile {
        kind,
        resource_type: resource_type.map(str::to_owned),
        url,
        count: number("count"),
        size: number("fileSize"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn every_version() {
        let page = "https://ehr.example/fhir/status/1";
        let read = |value: Value| Manifest::parse(value.to_string().as_bytes(), page);
        let two = read(json!({
            "transactionTime": "2026-01-01T00:00:00.123456789Z", "request": "x", "requiresAccessToken": false,
            "output": [{"type": "Patient", "url": "../f/1", "count": "7"}, {"type": "Patient"}],
            "deleted": [{"type": "Bundle", "url": "https://files.example/d"}], "extension": {}
        }))
        .unwrap();
        let names: Vec<_> = two
            .files
            .iter()
            .map(|file| (file.kind.as_str(), file.resource_type.as_deref(), file.url.as_str(), file.count))
            .collect();
        assert_eq!(
            names,
            [
                ("output", Some("Patient"), "https://ehr.example/fhir/f/1", Some(7)),
                ("deleted", None, "https://files.example/d", None)
            ]
        );
        assert!(!two.requires_access_token && two.next.is_none());
        let four = read(json!({
            "output": [{"url": "/a", "fileSize": 12, "count": -1}], "outputOrganizedBy": "Patient", "extension": [],
            "outcome": [{"url": "/o", "countSeverity": []}], "link": [{"relation": "next", "url": "?page=2"}]
        }))
        .unwrap();
        assert_eq!(
            four.files.iter().map(|file| (file.size, file.count)).collect::<Vec<_>>(),
            [(Some(12), None), (None, None)]
        );
        assert_eq!(four.next.as_deref(), Some("https://ehr.example/fhir/status/1?page=2"));
        assert!(four.requires_access_token);
        assert_eq!(read(json!({"resourceType": "OperationOutcome"})), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(body in "\\PC*", more in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Manifest::parse(body.as_bytes(), "https://ehr.example/");
            let _ = Manifest::parse(&more, "https://ehr.example/");
            let text = format!(r#"{{"output":[{{"url":{body:?}}}],"link":[{{"relation":"next","url":{body:?}}}]}}"#);
            let _ = Manifest::parse(text.as_bytes(), "https://ehr.example/");
        }
    }
}
