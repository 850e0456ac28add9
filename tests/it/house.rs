//! The house stands as it is drawn: no room imports a room above it, and only `aws/` names an SDK crate.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may import beside itself and the plain values.
const ROOMS: [(&str, &[&str]); 9] = [
    ("disk", &[]),
    ("aws", &[]),
    ("store", &[]),
    ("inventory", &["aws", "store"]),
    ("plan", &["inventory", "aws", "store"]),
    ("engine", &["plan", "inventory", "aws", "store", "disk"]),
    ("cli", &["engine", "plan", "inventory", "aws", "store", "disk", "sandbox", "tui"]),
    ("tui", &["engine", "plan", "inventory", "aws", "store", "disk"]),
    ("sandbox", &[]),
];

fn sources(below: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("a folder of the house").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(path);
        }
    }
}

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn rooms_import_only_rooms_below_them() {
    let mut wrong = Vec::new();
    for (room, below) in ROOMS {
        let mut files = Vec::new();
        sources(&house().join(room), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file");
            for (other, _) in ROOMS {
                if other == room || below.contains(&other) {
                    continue;
                }
                let mark = format!("crate::{other}");
                for (at, line) in code(&text) {
                    let named = line.match_indices(&mark).any(|(start, _)| {
                        line[start + mark.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_')
                    });
                    if named {
                        wrong.push(format!("{}:{}: {room} imports {other}: {}", file.display(), at + 1, line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_aws_names_an_sdk_crate() {
    let mut files = Vec::new();
    sources(&house(), &mut files);
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !file.starts_with(house().join("aws"))) {
        let text = fs::read_to_string(file).expect("a source file");
        for (at, line) in code(&text) {
            if line.contains("aws_sdk_") || line.contains("aws_config::") {
                wrong.push(format!("{}:{}: {}", file.display(), at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One place says what time it is, so that one place can be wrong about it in a test. The sandbox is another machine.
#[test]
fn only_the_wall_reads_the_machines_clock() {
    let mut files = Vec::new();
    sources(&house(), &mut files);
    let mut wrong = Vec::new();
    let exempt = [house().join("sandbox"), house().join("wall.rs")];
    for file in files.iter().filter(|file| !exempt.iter().any(|exempt| file.starts_with(exempt))) {
        let text = fs::read_to_string(file).expect("a source file");
        for (at, line) in code(&text) {
            if ["Timestamp::now", "SystemTime::now", "Zoned::now"].iter().any(|clock| line.contains(clock)) {
                wrong.push(format!("{}:{}: crate::wall says it: {}", file.display(), at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
