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

/// Every test and module that docs/conformance.md names is there.
#[test]
fn the_conformance_names_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let text = fs::read_to_string(root.join("docs/conformance.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|line| line.trim_end_matches('|').rsplit('|').next());
    let named = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let mut seen = 0;
    for name in named.filter(|name| !name.contains([' ', '-'])) {
        let is_module = root.join("src").join(name.replace("::", "/")).with_extension("rs").exists();
        let function = name.rsplit("::").next().unwrap();
        assert!(is_module || sources.contains(&format!("fn {function}(")), "{name} is not there");
        seen += 1;
    }
    assert!(seen > 50, "only {seen} names were found");
    browser_tests_exist(root, &text);
}

/// A browser test that is named in quotes in the last cell of a row is in end2end/.
fn browser_tests_exist(root: &Path, text: &str) {
    let mut tests = String::new();
    for folder in ["end2end/tests", "end2end/peers"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "ts") {
                tests.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let shown = rows.filter_map(|line| line.trim_end_matches('|').rsplit('|').next());
    let named: Vec<_> = shown.flat_map(|cell| cell.split('"').skip(1).step_by(2)).collect();
    for name in &named {
        assert!(tests.contains(&format!("test('{name}'")), "the browser test {name} is not there");
    }
    assert!(named.len() >= 5, "only {named:?} were found");
}
