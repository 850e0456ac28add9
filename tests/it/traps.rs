//! Every trap that lost other tools' users data or money has its guard, and every guard its test: the map in
//! `tests/traps.md` names tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(below: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "py" || end == "sh") {
            into.push(path);
        }
    }
}

/// Names of all functions in the sources and tests.
pub fn functions() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("tests"), &mut files);
    let mut names = BTreeSet::new();
    for file in files {
        for line in fs::read_to_string(&file).expect("a source").lines() {
            for mark in ["fn ", "def "] {
                if let Some((_, rest)) = line.split_once(mark) {
                    let name = rest.split(['(', '<', ':']).next().unwrap_or_default();
                    names.insert(name.trim().to_owned());
                }
            }
        }
    }
    names
}

/// The rows of the map: the key in the first column, the tests in the last, each in backticks.
fn rows(map: &str) -> Vec<(String, Vec<String>)> {
    map.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let key = cells.first()?;
            let mark = ["C6-", "C7-", "T", "F"].iter().find_map(|kind| key.strip_prefix(kind))?;
            mark.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
            let tests = cells.last()?.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            Some(((*key).to_owned(), tests))
        })
        .collect()
}

#[test]
fn every_trap_has_a_guard_and_every_guard_a_test() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traps.md")).expect("the map");
    let rows = rows(&map);
    let functions = functions();
    let mut wrong = Vec::new();
    let keys = (1..=42).map(|n| format!("T{n}")).chain((1..=29).map(|n| format!("F{n}")));
    let keys = keys.chain((1..=12).map(|n| format!("C6-{n}"))).chain((1..=13).map(|n| format!("C7-{n}")));
    for trap in keys {
        match rows.iter().find(|(key, _)| *key == trap) {
            None => wrong.push(format!("{trap} is not in the map")),
            Some((_, tests)) if tests.is_empty() => wrong.push(format!("{trap} has no test")),
            Some((_, tests)) => {
                for test in tests.iter().filter(|test| !functions.contains(test.rsplit("::").next().unwrap_or(test))) {
                    wrong.push(format!("{trap}: there is no test `{test}`"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
