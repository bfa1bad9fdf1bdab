//! The rooms of the house: who may import whom. Fails on a forbidden import.

use std::fs;
use std::path::{Path, PathBuf};

const ROOMS: [&str; 6] = ["model", "server", "api", "ui", "web", "sandbox"];

/// What each room may name. `api` names `server` inside bodies, which the browser half does not have.
fn allowed(room: &str) -> &'static [&'static str] {
    match room {
        "model" => &["model"],
        "server" => &["model", "server"],
        "api" => &["model", "api", "server"],
        "ui" => &["model", "api", "ui"],
        "web" => &["model", "server", "api", "ui", "web"],
        "sandbox" => &["sandbox"],
        _ => &[],
    }
}

fn files_of(room: &str) -> Vec<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.join(format!("{room}.rs"))];
    let mut folders = vec![source.join(room)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn imports_follow_the_arrows() {
    let mut wrong = Vec::new();
    for room in ROOMS {
        for file in files_of(room) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for other in ROOMS.iter().filter(|other| !allowed(room).contains(other)) {
                    if line.contains(&format!("crate::{other}")) {
                        wrong.push(format!("{}:{}: {room} names {other}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn feature_gates_stand_in_lib_rs_only() {
    let mut wrong = Vec::new();
    for file in ROOMS.iter().flat_map(|room| files_of(room)) {
        let text = fs::read_to_string(&file).unwrap();
        let gates = text.lines().filter(|line| line.contains("cfg(") && line.contains("feature"));
        wrong.extend(gates.map(|line| format!("{}: {line}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
