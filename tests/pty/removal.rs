//! Deletions in a real terminal: what fingers, keyboards and clipboards do by mistake deletes nothing; what is typed does.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::terminal::{CTRL_C, Terminal};

const FIRST: &str = "snap-0feed0000000da7a3";
const SECOND: &str = "snap-0feed0000000da7a2";
/// A keyboard that repeats, and a finger that hammers.
const HELD: Duration = Duration::from_millis(30);

/// The deck on the deletion plan of two marks that the filter hides, armed.
fn armed(home: &Path) -> Terminal {
    let mut floe = Terminal::floe(home, &["--sandbox", "--state-dir", "state"], 120, 36);
    floe.wait_for(&["TOTAL 6/6", "no jobs", "SAFE"]);
    floe.key("2");
    floe.shown_key("/ filter", "/");
    floe.word("web-data");
    floe.key("\r");
    floe.wait_for(&["▶ snap-0feed0000000da7a3"]);
    floe.key(" ");
    floe.key(" ");
    floe.wait_for(&["2 marked"]);
    floe.key("/");
    floe.key("\u{15}");
    floe.word("empty-disk");
    floe.key("\r");
    floe.wait_for(&["2 marked hidden", "snap-0feed000000e00000"]);
    floe.key("D");
    floe.wait_for(&["plan, not run", "2 of them are marked but hidden by the filter", "nothing has been deleted"]);
    floe.wait_for(&[" bin", "= removed    2"]);
    floe.key("!");
    floe.wait_for(&["Arm deletions in 1234-5678-9012?"]);
    floe.read();
    floe.by_hand("9012");
    floe.key("\r");
    floe.wait_for(&["ARMED delete 30 min"]);
    floe
}

fn lines(home: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(home.join("state/sandbox/audit.ndjson")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

/// Ids that a listing of another process finds.
fn there(home: &Path) -> Vec<String> {
    let mut list = Command::new(env!("CARGO_BIN_EXE_floe"));
    list.args(["--sandbox", "--state-dir", "state", "ls", "snapshots", "us-east-1:", "-o", "ids"]);
    list.env_clear().env("HOME", home).current_dir(home);
    let output = list.output().expect("floe runs");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn hammering_held_keys_pastes_and_refreshes_delete_nothing() {
    let home = tempfile::tempdir().expect("a home");
    let mut floe = armed(home.path());
    for key in ["D", "2", "\r", "y", "S"] {
        floe.key("D");
        floe.wait_for(&["Delete 2 in 1234-5678-9012?"]);
        for _ in 0..200 {
            floe.key(key);
            std::thread::sleep(HELD);
        }
        floe.key("\u{1b}");
        floe.wait_until("the question gone", |text| !text.contains("Delete 2 in"));
        floe.wait_for(&["plan, not run"]);
    }
    // A paste with its brackets, and one that comes as keys.
    floe.key("D");
    floe.wait_for(&["Delete 2 in 1234-5678-9012?"]);
    floe.read();
    floe.key("\u{1b}[200~2\r\u{1b}[201~");
    floe.wait_for(&["typed by hand only: paste is ignored here"]);
    floe.key("2\r");
    floe.quiet_for(Duration::from_millis(500));
    floe.wait_for(&["Delete 2 in 1234-5678-9012?"]);
    floe.key("\u{1b}");
    floe.wait_until("the question gone", |text| !text.contains("Delete 2 in"));
    // Asking again in the middle of it makes a plan and nothing else.
    floe.key("r");
    floe.wait_for(&["plan, not run"]);
    floe.key("\r");
    floe.key("\r");
    floe.wait_for(&["plan, not run"]);
    floe.key(CTRL_C);
    assert!(floe.wait_for_end().success());
    assert_eq!(lines(home.path()), Vec::<String>::new(), "nothing was even tried");
    let there = there(home.path());
    for id in [FIRST, SECOND, "snap-0feed000000e00000"] {
        assert!(there.iter().any(|known| known == id), "{id}");
    }
}

#[test]
fn what_is_typed_is_deleted_written_down_and_comes_back() {
    let home = tempfile::tempdir().expect("a home");
    let mut floe = armed(home.path());
    floe.key("D");
    floe.wait_for(&["Delete 2 in 1234-5678-9012?", "type 2, then enter"]);
    floe.read();
    floe.by_hand("2");
    floe.key("\r");
    floe.wait_for(&["carried out", "2 removed, 0 skipped, 0 failed"]);
    floe.wait_until("both deleted", |text| {
        text.lines().filter(|line| line.contains("deleted") && line.contains("✓")).count() == 2
    });
    floe.key("u");
    floe.wait_for(&["is back"]);
    floe.key("7");
    floe.shown_key("a audit log", "a");
    floe.wait_for(&["Audit log", "done", "DeleteSnapshot"]);
    floe.key(CTRL_C);
    assert!(floe.wait_for_end().success());
    let log = lines(home.path());
    let of = |event: &str| log.iter().filter(|line| line.contains(&format!("\"event\":\"{event}\""))).count();
    assert_eq!((of("accepted"), of("intent"), of("done"), of("failed")), (1, 3, 3, 0), "{log:#?}");
    assert!(log[0].contains("typed 2 in the deck"), "{}", log[0]);
    let there = there(home.path());
    let back = [FIRST, SECOND].iter().filter(|id| there.iter().any(|known| known == *id)).count();
    assert_eq!(back, 1, "one of the two came back");
    assert!(there.iter().any(|id| id == "snap-0feed000000e00000"), "what was not typed for is there");
}

/// Journey 4 on the scenario of clearing: World says how many there may be, one is archived first, goes, and comes back.
#[test]
fn an_orphan_is_archived_first_deleted_written_down_and_comes_back() {
    let home = tempfile::tempdir().expect("a home");
    let world = ["--scenario", "clear", "--state-dir", "state"];
    let mut floe = Terminal::floe(home.path(), &world, 120, 36);
    floe.wait_for(&["TOTAL 2/2", "no jobs", "SAFE", "5 Orphans ≤ "]);
    floe.key("5");
    floe.wait_until("all was asked", |text| text.contains("▐5 Orphans ") && !text.contains("▐5 Orphans ≤"));
    floe.key("/");
    floe.key("\u{15}");
    floe.word("name:left-volume verdict:orphan");
    floe.key("\r");
    floe.wait_for(&["verdict:orphan · 1 of", "▶ snap-", "at most: its full size", "A archive first"]);
    floe.key("A");
    floe.wait_for(&["s3://"]);
    floe.word("floe-vault-us-east-1/gone/");
    floe.key("\r");
    floe.wait_for(&["plan, not run", "nothing has been deleted", "archive      1  proved, then gone"]);
    floe.key("!");
    floe.wait_for(&["Arm deletions in 1234-5678-9012?"]);
    floe.read();
    floe.by_hand("acme-prod");
    floe.key("\r");
    floe.wait_for(&["ARMED delete 30 min"]);
    floe.key("D");
    floe.wait_for(&["Delete 1 in 1234-5678-9012?", ", then enter"]);
    let text = floe.text();
    let wanted = text.split("type ").nth(1).and_then(|rest| rest.split(", then enter").next()).expect("what to type");
    let wanted = wanted.to_owned();
    floe.read();
    floe.by_hand(&wanted);
    floe.key("\r");
    let minutes = Duration::from_secs(120);
    floe.wait_as_long("its end", minutes, |text| text.contains("1 removed, 0 skipped, 0 failed"));
    floe.wait_for(&["carried out", "✓ deleted"]);
    floe.key("7");
    floe.shown_key("a audit log", "a");
    floe.wait_for(&["Audit log", "done", "DeleteSnapshot"]);
    floe.key("\u{1b}");
    floe.wait_for(&["carried out"]);
    floe.key("u");
    floe.wait_for(&["is back"]);
    println!("journey 4 with its archive: {} keys, text and all", floe.keys());
    floe.key(CTRL_C);
    floe.wait_for_end();
    let log = lines(home.path());
    let of = |event: &str| log.iter().filter(|line| line.contains(&format!("\"event\":\"{event}\""))).count();
    assert_eq!((of("accepted"), of("failed")), (1, 0), "{log:#?}");
    let mut list = Command::new(env!("CARGO_BIN_EXE_floe"));
    list.args(world).args(["ls", "archives", "s3://floe-vault-us-east-1/gone/", "-o", "ids"]);
    list.env_clear().env("HOME", home.path()).current_dir(home.path());
    let output = list.output().expect("floe runs");
    let archives = String::from_utf8_lossy(&output.stdout).into_owned();
    let tail = log.iter().any(|line| line.contains(&format!("{wanted}\"")));
    assert!(tail && archives.lines().any(|line| line.contains(&wanted)), "{wanted}: {archives} {output:?}");
}
