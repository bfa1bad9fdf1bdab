//! What the documents promise is so.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use ehr_integrations::model::problem::CATALOGUE;

const START: &str = "<!-- catalogue: made from src/model/problem.rs; a test keeps it equal -->";
const END: &str = "<!-- /catalogue -->";

/// The README's matrix is the catalogue. `UPDATE_README=1 cargo test --test integration docs` writes it anew.
#[test]
fn the_readme_has_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let mut table = String::from("\n\n| code | status | likely cause | action |\n|---|---|---|---|\n");
    for entry in CATALOGUE {
        writeln!(table, "| `{}` | {} | {} | {} |", entry.name, entry.status, entry.cause, entry.action).unwrap();
    }
    table.push('\n');
    let (before, rest) = readme.split_once(START).expect("the README has the marks");
    let (found, after) = rest.split_once(END).expect("the README has the marks");
    #[expect(clippy::disallowed_methods, reason = "the switch of this test")]
    if std::env::var("UPDATE_README").is_ok() {
        fs::write(&path, format!("{before}{START}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, table, "run UPDATE_README=1 cargo test --test integration docs");
}
