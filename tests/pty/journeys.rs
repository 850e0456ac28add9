//! The journeys of a user, key by key, each key shown on the screen when it is pressed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::terminal::{CTRL_C, PATIENCE, Terminal};

/// Keys from the first screen to a copy that is watched.
const BUDGET: usize = 16;
/// Every answer of the sandbox takes this long, so that lanes are requests under way.
const LATENCY_MS: u64 = 150;

fn sandbox(home: &Path, columns: u16, rows: u16) -> Terminal {
    Terminal::floe(home, &["--sandbox", "--state-dir", "state"], columns, rows)
}

#[test]
fn a_first_run_shows_where_it_looked_and_leads_into_the_sandbox() {
    let home = tempfile::tempdir().expect("a home");
    let began = Instant::now();
    let mut floe = Terminal::floe(home.path(), &["--state-dir", "state"], 120, 36);
    floe.wait_for(&["~/.aws/config: not there", "AWS_ACCESS_KEY_ID not set", "s sandbox", "q quit"]);
    let first = began.elapsed();
    println!("first frame without credentials: {} ms", first.as_millis());
    assert!(first < Duration::from_secs(10), "{first:?}: it waits for something");
    floe.key("s");
    floe.wait_for(&["sandbox prod 1234-5678-9012", "TOTAL 6/6"]);
    assert_eq!(floe.keys(), 1);
    floe.key(CTRL_C);
    assert!(floe.wait_for_end().success());
}

#[test]
fn signed_in_elsewhere_is_one_key() {
    let home = tempfile::tempdir().expect("a home");
    let aws = home.path().join(".aws");
    std::fs::create_dir(&aws).expect("~/.aws");
    std::fs::write(aws.join("config"), "[profile elsewhere]\nregion = eu-west-1\n").expect("a config");
    let keys = "[elsewhere]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n";
    std::fs::write(aws.join("credentials"), keys).expect("credentials");
    // Nothing listens there: what matters is that the profile is opened, not what AWS says to it.
    let nowhere = [("AWS_ENDPOINT_URL", "http://127.0.0.1:9"), ("AWS_EC2_METADATA_DISABLED", "true")];
    let mut floe = Terminal::floe_with(home.path(), &["--state-dir", "state"], 120, 36, &nowhere);
    floe.wait_for(&["elsewhere", "~/.aws/config: read", "enter use profile"]);
    floe.key("\r");
    floe.wait_for(&["1 World▌", "floe  elsewhere"]);
    assert_eq!(floe.keys(), 1);
}

/// Journey 2, then the second copy to the same place.
#[test]
fn a_snapshot_is_copied_to_another_region_within_the_key_budget() {
    let home = tempfile::tempdir().expect("a home");
    let mut floe = sandbox(home.path(), 120, 36);
    floe.wait_for(&["TOTAL 6/6", "no jobs"]);
    floe.shown_key("2 Snapshots", "2");
    floe.shown_key("/ filter", "/");
    floe.word("web");
    floe.wait_for(&["/ web_", "of 360", "enter keep", "▶ snap-0feed0000000da7a3 web-data"]);
    floe.key("\r");
    // What begins with the word stands before `batch-web-4`, which is younger.
    floe.wait_for(&["▶ snap-0feed0000000da7a3 web-data", "best names first", "c copy"]);
    floe.key("c");
    floe.wait_for(&["Copy snap-0feed0000000da7a3 web-data", "enter plan"]);
    floe.word("euw1");
    floe.wait_for(&["▶  eu-west-1:", "tab complete"]);
    floe.key("\t");
    floe.wait_for(&["to eu-west-1:_"]);
    floe.key("\r");
    floe.wait_for(&["Would create 1 snapshot in 1234-5678-9012 eu-west-1", "S start", "--sandbox"]);
    floe.read();
    floe.key("S");
    // The jobs are shown at once: `J` is not needed, and takes nobody away from them.
    floe.wait_for(&["▐6 Transfers", "web-data …da7a3 → eu-west-1:"]);
    floe.key("J");
    floe.wait_for(&["✓ done", "1,500 of 1,500 blocks", "checked by the service"]);
    println!("keys of a first copy: {} of {BUDGET}", floe.keys());
    assert!(floe.keys() <= BUDGET, "{} keys", floe.keys());

    floe.key("2");
    floe.wait_for(&["▶ snap-0feed0000000da7a3", "c copy"]);
    let before = floe.keys();
    floe.key("c");
    floe.wait_for(&["eu-west-1:   enter takes it", "used before"]);
    floe.key("\r");
    floe.wait_for(&["Would create 1 snapshot", "S start"]);
    floe.read();
    floe.key("S");
    floe.wait_until("job 2 done", |text| text.lines().any(|line| line.contains("  2 ✓ done")));
    assert_eq!(floe.keys() - before, 3, "the second copy to a place is c, enter, S");
    floe.key(CTRL_C);
    assert!(floe.wait_for_end().success());
}

/// Journey 5: two marks, what differs, and only that onto the proved copy of the older.
#[test]
fn two_snapshots_are_compared_and_the_difference_goes_onto_the_copy_of_the_older() {
    let home = tempfile::tempdir().expect("a home");
    let mut floe = sandbox(home.path(), 120, 36);
    floe.wait_for(&["TOTAL 6/6", "no jobs"]);
    floe.key("2");
    floe.shown_key("/ filter", "/");
    floe.word("web-data");
    floe.key("\r");
    floe.wait_for(&["▶ snap-0feed0000000da7a3", "c copy"]);
    floe.key("j");
    floe.wait_for(&["▶ snap-0feed0000000da7a2"]);
    floe.key("c");
    floe.word("euw1");
    floe.key("\t");
    floe.key("\r");
    floe.wait_for(&["Would create 1 snapshot", "S start"]);
    floe.read();
    floe.key("S");
    floe.wait_for(&["✓ done", "1,460 of 1,460 blocks"]);

    let before = floe.keys();
    floe.key("2");
    floe.wait_for(&["▶ snap-0feed0000000da7a2"]);
    floe.key("g");
    floe.wait_for(&["▶ snap-0feed0000000da7a3"]);
    floe.key(" ");
    floe.key(" ");
    floe.wait_for(&["2 marked", "= compare"]);
    floe.key("=");
    floe.wait_for(&["older snap-0feed0000000da7a2", "= 53", "counted, kept", "✓ euw1", "proved, job 1"]);
    floe.shown_key("c copy the difference", "c");
    floe.wait_for(&["+   enter takes it", "on the copy of its first: proved, job 1"]);
    floe.key("\r");
    floe.wait_for(&["Would create 1 snapshot", "S start"]);
    floe.read();
    floe.key("S");
    floe.wait_until("job 2 done", |text| text.lines().any(|line| line.contains("  2 ✓ done")));
    println!("keys of a comparison and its copy: {} of {BUDGET}", floe.keys() - before);
    assert!(floe.keys() - before <= BUDGET, "{} keys", floe.keys() - before);
    floe.key(CTRL_C);
    assert!(floe.wait_for_end().success());
}

/// A copy that would cost much is confirmed by its dollars, and its lanes are turned while it runs.
#[test]
fn lanes_turned_in_the_deck_are_requests_under_way() {
    let home = tempfile::tempdir().expect("a home");
    let mut floe = sandbox(home.path(), 120, 36);
    floe.wait_for(&["TOTAL 6/6", "no jobs"]);
    let sandbox = Served::of(home.path());
    sandbox.delay(LATENCY_MS);
    huge_to_nowhere(&mut floe);
    floe.wait_for(&["● running", "+ more lanes", "- fewer lanes"]);
    sandbox.under_way("at the start", |lanes| lanes > 8);
    let many = pinned(&mut floe, "-", |lanes| lanes <= 6);
    println!("pressed - down to {many} lanes: {} under way", sandbox.under_way("after -", |n| (1..=6).contains(&n)));
    let more = pinned(&mut floe, "+", |lanes| lanes >= 20);
    println!("pressed + up to {more} lanes: {} under way", sandbox.under_way("after +", |n| n > 10));
    assert!(sandbox.under_way("bound", |_| true) <= u64::from(more), "never more than its lanes");
}

/// Starts a copy of a 16 TiB snapshot that is read, checked and thrown away.
pub fn huge_to_nowhere(floe: &mut Terminal) {
    floe.key("2");
    floe.shown_key("/ filter", "/");
    floe.word("db-data");
    floe.key("\r");
    floe.wait_for(&["▶ snap-01c55a9e07b3d2f48", "c copy"]);
    floe.key("c");
    floe.wait_for(&["enter plan"]);
    floe.word("null:");
    floe.key("\r");
    floe.wait_for(&["read and checked, kept nowhere", "S start", "Would make nothing"]);
    floe.read();
    floe.key("S");
    floe.wait_for(&["then enter", "esc leaves"]);
    floe.read();
    let text = floe.text();
    let dollars = text.split("type ").nth(1).and_then(|rest| rest.split(',').next()).expect("the dollars");
    floe.by_hand(dollars);
    floe.key("\r");
    floe.wait_for(&["● running"]);
}

/// Presses a key until the deck says that the lanes are as wanted; gives how many.
fn pinned(floe: &mut Terminal, key: &str, right: impl Fn(u32) -> bool) -> u32 {
    let end = Instant::now() + PATIENCE;
    loop {
        let before = said(&floe.text());
        floe.key(key);
        floe.wait_until("the lanes to be said", |text| said(text).is_some_and(|now| Some(now) != before));
        let now = said(&floe.text()).expect("lanes");
        if right(now) {
            return now;
        }
        assert!(Instant::now() < end, "lanes stay at {now}:\n{}", floe.text());
    }
}

/// The number in `lanes 8 → 7, pinned`.
fn said(text: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.contains("pinned (a gives them back)"))?;
    line.split("→ ").nth(1)?.split(',').next()?.trim().parse().ok()
}

/// The sandbox that the deck serves, asked from outside.
struct Served(String);

impl Served {
    fn of(home: &Path) -> Self {
        let note = std::fs::read_to_string(home.join("state/sandbox/endpoint.json")).expect("its address");
        let note: serde_json::Value = serde_json::from_str(&note).expect("a note");
        Self(note["address"].as_str().expect("an address").to_owned())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.0).expect("it serves");
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\nContent-Length: {length}");
        write!(stream, "{head}\r\n\r\n{body}").expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
    }

    /// Every block takes this long from now on.
    fn delay(&self, ms: u64) {
        let rule = floe::sandbox::faults::Rule::of(floe::sandbox::faults::Fault::Delay { ms, jitter: 0 });
        let faults = floe::sandbox::faults::Faults {
            rules: vec![rule.on("GetSnapshotBlock")],
            ..floe::sandbox::faults::Faults::default()
        };
        self.ask("POST", "/_sandbox/faults", &serde_json::to_string(&faults).expect("faults"));
    }

    /// Waits until so many blocks are under way; gives how many.
    #[track_caller]
    fn under_way(&self, when: &str, right: impl Fn(u64) -> bool) -> u64 {
        let end = Instant::now() + PATIENCE;
        loop {
            let stats = self.ask("GET", "/_sandbox/stats", "");
            let stats: floe::sandbox::stats::Stats = serde_json::from_str(&stats).expect("stats");
            let now = stats.api("GetSnapshotBlock").in_flight;
            if right(now) {
                return now;
            }
            assert!(Instant::now() < end, "{when}: {now} under way");
        }
    }
}
