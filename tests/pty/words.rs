//! What the command line says on a narrow terminal, and what programs read of it.

use std::path::Path;
use std::process::{Command, Output};

use crate::terminal::Terminal;

const COLUMNS: u16 = 50;

fn piped(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
    command.args(args).current_dir(home).env_clear().env("HOME", home).output().expect("floe runs")
}

#[test]
fn an_error_is_folded_for_a_terminal_and_one_line_each_for_a_pipe() {
    let home = tempfile::tempdir().expect("a home");
    let args = ["copy", "us-east-1:snap-0feed0000000da7a3", "eu-west-1", "--state-dir", "state"];
    let mut floe = Terminal::floe(home.path(), &args, COLUMNS, 24);
    assert_eq!(floe.wait_for_end().exit_code(), 2);
    let told = String::from_utf8_lossy(floe.raw()).into_owned();
    let lines: Vec<&str> = told.lines().map(str::trim_end).collect();
    assert!(lines.iter().all(|line| line.chars().count() <= usize::from(COLUMNS)), "{told}");
    let below = lines.iter().filter(|line| line.starts_with("      ") || line.starts_with("    ")).count();
    assert!(below > 0, "what goes on stands below its words: {told}");

    let output = piped(home.path(), &args);
    let plain = String::from_utf8(output.stderr).expect("text");
    assert!(plain.lines().any(|line| line.chars().count() > usize::from(COLUMNS)), "{plain}");
    assert!(plain.lines().all(|line| line.starts_with("floe: ") || line.starts_with("  → ")), "{plain}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&told), words(&plain), "no word is cut");
}

#[test]
fn json_is_one_line_on_a_terminal_too() {
    let home = tempfile::tempdir().expect("a home");
    let args = ["--sandbox", "--state-dir", "state", "plan", "us-east-1:snap-0feed0000000da7a3", "null:", "-o", "json"];
    let mut floe = Terminal::floe(home.path(), &args, COLUMNS, 24);
    assert!(floe.wait_for_end().success(), "{}", floe.text());
    let told = String::from_utf8_lossy(floe.raw()).into_owned();
    let line = told.lines().find(|line| line.starts_with('{')).expect("a document");
    let plan: serde_json::Value = serde_json::from_str(line.trim_end()).expect("one line of JSON");
    assert!(plan["memory"]["total_bytes"].as_u64() > Some(0), "{plan}");
}
