//! What the deck does to the terminal: sizes, colours, leaving it as it was, and drawing nothing when idle.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::journeys::huge_to_nowhere;
use crate::terminal::{CTRL_C, Terminal};

const ARGS: [&str; 3] = ["--sandbox", "--state-dir", "state"];
/// A second without a change of anything must be one without a byte.
const IDLE: Duration = Duration::from_secs(1);

#[test]
fn it_follows_the_terminal_down_to_nothing_and_back() {
    let home = tempfile::tempdir().expect("a home");
    let mut floe = Terminal::floe(home.path(), &ARGS, 120, 36);
    floe.wait_for(&["TOTAL 6/6"]);
    floe.resize(80, 24);
    floe.wait_until("the hints of 80 columns", |text| {
        text.contains("TOTAL 6/6") && text.contains("q quit") && text.lines().all(|line| line.chars().count() <= 80)
    });
    floe.resize(20, 5);
    floe.wait_until("a sentence", |text| text.contains("make it 60×18"));
    floe.resize(1, 1);
    floe.resize(120, 36);
    floe.wait_for(&["TOTAL 6/6", "q quit", "floe ls regions --sandbox"]);
    floe.key(CTRL_C);
    assert!(floe.wait_for_end().success());
}

#[test]
fn without_colours_the_selected_row_is_inverse_and_nothing_has_a_colour() {
    let home = tempfile::tempdir().expect("a home");
    let mut floe = Terminal::floe_with(home.path(), &ARGS, 100, 30, &[("NO_COLOR", "1")]);
    floe.wait_for(&["TOTAL 6/6"]);
    floe.key("2");
    floe.wait_for(&["▶ snap-", "c copy"]);
    let screen = floe.screen();
    let cells = |row: u16| (0..100).filter_map(move |column| screen.cell(row, column));
    for (row, cell) in (0..30).flat_map(|row| cells(row).map(move |cell| (row, cell))) {
        let colours = (cell.fgcolor(), cell.bgcolor());
        assert_eq!(colours, (vt100::Color::Default, vt100::Color::Default), "{:?} in row {row}", cell.contents());
    }
    let selected = floe.text().lines().position(|line| line.contains("▶ snap-")).expect("a selected row");
    let inverse = cells(u16::try_from(selected).expect("a row")).filter(|cell| cell.inverse()).count();
    assert!(inverse > 40, "{inverse} inverse cells in\n{}", floe.text());
    let coloured = floe.raw().windows(5).any(|bytes| bytes == b"\x1b[38;" || bytes == b"\x1b[48;");
    assert!(!coloured, "a colour was sent");
}

#[test]
fn an_idle_deck_writes_nothing() {
    let home = tempfile::tempdir().expect("a home");
    let mut floe = Terminal::floe(home.path(), &ARGS, 120, 36);
    floe.wait_for(&["TOTAL 6/6"]);
    floe.key("2");
    floe.wait_for(&["▶ snap-", "6/6"]);
    // An age in the header may tick once more while the last region settles.
    floe.wait_for_rest(IDLE);
    assert_eq!(floe.quiet_for(IDLE), 0);
}

#[test]
fn every_way_out_gives_the_terminal_back_and_pauses_the_jobs() {
    for way in [Way::Key, Way::Signal(Signal::TERM), Way::Signal(Signal::HUP)] {
        leaves(way);
    }
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Key,
    Signal(Signal),
}

fn leaves(way: Way) {
    let home = tempfile::tempdir().expect("a home");
    let mut floe = Terminal::floe(home.path(), &ARGS, 120, 36);
    floe.wait_for(&["TOTAL 6/6", "no jobs"]);
    let taken = floe.screen();
    assert!(taken.alternate_screen() && taken.hide_cursor() && taken.bracketed_paste(), "{way:?}");
    assert_ne!(taken.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "{way:?}");
    huge_to_nowhere(&mut floe);
    match way {
        Way::Signal(signal) => floe.signal(signal),
        Way::Key => quit(&mut floe),
    }
    let ended = floe.wait_for_end();
    assert_eq!(ended.exit_code(), 0, "{way:?}: {ended:?}\n{}", floe.text());
    let left = floe.screen();
    assert!(!left.alternate_screen() && !left.hide_cursor() && !left.bracketed_paste(), "{way:?}");
    assert_eq!(left.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "{way:?}");
    assert!(floe.text().contains("1 job is paused · floe jobs resume goes on"), "{way:?}: {}", floe.text());

    let jobs = verb(home.path(), &["jobs", "ls", "-o", "json"]);
    let jobs: serde_json::Value = serde_json::from_str(&jobs).expect("jobs");
    assert_eq!(jobs[0]["state"], "paused", "{way:?}: {jobs}");
    assert!(jobs[0]["blocks_done"].as_u64() < jobs[0]["blocks_total"].as_u64(), "{way:?}: {jobs}");
    let mut again = Terminal::floe(home.path(), &[&ARGS[..], &["jobs", "resume", "1"]].concat(), 120, 36);
    again.wait_for(&["%"]);
    again.key(CTRL_C);
    assert_eq!(again.wait_for_end().exit_code(), 4, "{way:?}: resumed, then stopped and resumable\n{}", again.text());
}

/// `q` goes back the way that was come, and asks before it stops a job.
fn quit(floe: &mut Terminal) {
    for back in ["Copy plan", "▐2 Snapshots", "▐1 World▌", "Quit with 1 job running?"] {
        floe.key("q");
        floe.wait_for(&[back]);
    }
    floe.read();
    floe.key("p");
}

fn verb(home: &std::path::Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
    command.args(ARGS).args(args).current_dir(home).env_clear().env("HOME", home);
    let output = command.output().expect("floe runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
