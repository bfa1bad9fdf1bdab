//! Reads the lines that are no output: Bundles of deletions, and `OperationOutcome`s about the export.
//!
//! Imports the head's rules only. Guards: what the EHR says in words is cut to what a column is for.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::head::{Refusal, is_id, is_type, text};

/// How much of an EHR's words is kept, in characters.
const MAX_TEXT: usize = 500;
const MAX_CODE: usize = 64;

/// What an EHR says about an export, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Remark {
    /// `fatal`, `error`, `warning`, `information` or `success`.
    pub severity: String,
    /// The issue's type.
    pub code: String,
    /// `diagnostics`, else `details.text`, else the code.
    pub text: String,
}

#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(rename = "resourceType", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Option<Request>,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    method: String,
    #[serde(default)]
    url: String,
}

/// What a line of a `deleted` file deletes: types and ids (Bulk Data Access 3.0 §2.4.5: a Bundle of type
/// transaction, whose entries are `DELETE Type/id`).
///
/// # Errors
/// `wrong_type` for what is no such Bundle, `no_id` when not one of its entries names a resource.
pub fn deletions(line: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    let bundle: Bundle<'_> = serde_json::from_str(text(line)?).map_err(|error| refusal(&error))?;
    if bundle.kind != "Bundle" {
        return Err(Refusal::WrongType);
    }
    let all = bundle.entry.len();
    let requests = bundle.entry.into_iter().filter_map(|entry| entry.request);
    let deletes = requests.filter(|request| request.method.eq_ignore_ascii_case("DELETE"));
    let found: Vec<_> = deletes.filter_map(|request| reference(&request.url)).collect();
    if found.is_empty() && all > 0 { Err(Refusal::NoId) } else { Ok(found) }
}

/// `Type/id`, at the end of an absolute or relative address.
fn reference(url: &str) -> Option<(String, String)> {
    let path = url.split("/_history").next()?;
    let (rest, id) = path.rsplit_once('/')?;
    let kind = rest.rsplit('/').next()?;
    (is_type(kind) && is_id(id) && !id.contains(['?', '#'])).then(|| (kind.to_owned(), id.to_owned()))
}

#[derive(Deserialize)]
struct OperationOutcome {
    #[serde(rename = "resourceType")]
    kind: String,
    #[serde(default)]
    issue: Vec<Issue>,
}

#[derive(Deserialize)]
struct Issue {
    severity: Option<String>,
    code: Option<String>,
    diagnostics: Option<String>,
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    text: Option<String>,
}

/// What a line of an `error` file says.
///
/// # Errors
/// `wrong_type` for what is no `OperationOutcome`.
pub fn remarks(line: &[u8]) -> Result<Vec<Remark>, Refusal> {
    let outcome: OperationOutcome = owned(line)?;
    if outcome.kind != "OperationOutcome" {
        return Err(Refusal::WrongType);
    }
    let remark = |issue: Issue| {
        let code = cut(issue.code.as_deref().unwrap_or("unknown"), MAX_CODE);
        let words = issue.diagnostics.or(issue.details.and_then(|details| details.text));
        let words = words.as_deref().map(str::trim).filter(|words| !words.is_empty());
        Remark {
            severity: cut(issue.severity.as_deref().unwrap_or("unknown"), MAX_CODE),
            text: words.map_or_else(|| code.clone(), |words| cut(words, MAX_TEXT)),
            code,
        }
    };
    Ok(outcome.issue.into_iter().map(remark).collect())
}

fn owned<T: DeserializeOwned>(line: &[u8]) -> Result<T, Refusal> {
    serde_json::from_str(text(line)?).map_err(|error| refusal(&error))
}

fn refusal(error: &serde_json::Error) -> Refusal {
    if error.is_data() { Refusal::WrongType } else { Refusal::NotJson }
}

/// PostgreSQL's texts have no NUL.
fn cut(text: &str, characters: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_of_deletions() {
        let line = br#"{"resourceType":"Bundle","type":"transaction","entry":[
            {"request":{"method":"DELETE","url":"Patient/1"}},
            {"request":{"method":"delete","url":"https://ehr.example/fhir/Group/a-2/_history/3"}},
            {"request":{"method":"PUT","url":"Patient/3"}},
            {"request":{"method":"DELETE","url":"Patient?name=x"}}, {}]}"#;
        let pairs = [("Patient", "1"), ("Group", "a-2")].map(|(kind, id)| (kind.to_owned(), id.to_owned()));
        assert_eq!(deletions(line), Ok(pairs.to_vec()));
        assert_eq!(deletions(br#"{"resourceType":"Patient","id":"1"}"#), Err(Refusal::WrongType));
        assert_eq!(deletions(br#"{"resourceType":"Bundle","entry":[{}]}"#), Err(Refusal::NoId));
        assert_eq!(deletions(br#"{"resourceType":"Bundle"}"#), Ok(Vec::new()));
        assert_eq!(deletions(b"{"), Err(Refusal::NotJson));
        assert_eq!(deletions(b"[]"), Err(Refusal::WrongType));
    }

    #[test]
    fn words_of_outcomes() {
        let line = format!(
            r#"{{"resourceType":"OperationOutcome","issue":[
                {{"severity":"error","code":"processing","diagnostics":"{}","details":{{"text":"no"}}}},
                {{"severity":"warning","code":"not-found","details":{{"text":" gone "}}}},
                {{"code":"informational","diagnostics":" "}}]}}"#,
            "ä".repeat(501)
        );
        let remarks = remarks(line.as_bytes()).unwrap();
        let got: Vec<_> = remarks.iter().map(|r| (r.severity.as_str(), r.code.as_str(), r.text.as_str())).collect();
        assert_eq!(
            got,
            [
                ("error", "processing", "ä".repeat(500).as_str()),
                ("warning", "not-found", "gone"),
                ("unknown", "informational", "informational"),
            ]
        );
    }
}
