//! 200,000 snapshots: the list loads, is filtered and is jumped through. Figures are printed; a list that stands
//! still is noticed by the wait that ends without its text.

use std::time::{Duration, Instant};

use crate::terminal::{CTRL_C, Terminal};

/// What 200 pages may take: mostly the embedded AWS, which makes and writes them.
const LOADING: Duration = Duration::from_secs(240);

#[test]
fn two_hundred_thousand_snapshots_load_filter_and_scroll() {
    let home = tempfile::tempdir().expect("a home");
    let began = Instant::now();
    let args = ["--sandbox", "--scenario", "huge", "--state-dir", "state"];
    let mut floe = Terminal::floe(home.path(), &args, 120, 36);
    // Said only as long as there is no world: the frame was there first.
    floe.wait_for(&["opening the sandbox …", "q quit"]);
    println!("first frame: {} ms", began.elapsed().as_millis());
    floe.wait_as_long("the world", LOADING, |text| text.contains("▐1 World"));
    println!("the sandbox is open: {} ms", began.elapsed().as_millis());
    floe.key("2");
    let here = |text: &str| text.contains("2 Snapshots 200,000▌") && text.contains("3/3");
    floe.wait_as_long("200,000 snapshots", LOADING, here);
    println!("200,000 snapshots are here: {} ms", began.elapsed().as_millis());
    floe.key("/");
    floe.wait_for(&["/ _"]);
    floe.word("stag");
    let found = |text: &str| text.contains("/ stage_") && text.contains("10,000 of 200,000 · key");
    timed(&mut floe, "/ filters", "e", found);
    floe.key("\r");
    floe.key("g");
    floe.wait_for(&["c copy", "2 Snapshots 10,000/200,000"]);
    // The key after an escape waits for its effect: together they would be alt-g.
    timed(&mut floe, "esc gives all back", "\u{1b}", |text| text.contains("2 Snapshots 200,000▌"));
    // Only now is the first row the first: a filter that has seen every row has them all in order, while the
    // tab counts rows before the last of them are sorted in.
    let first = selected(&floe.text());
    timed(&mut floe, "G jumps", "G", |text| selected(text).is_some_and(|row| Some(row) != first));
    timed(&mut floe, "g jumps", "g", |text| selected(text) == first);
    floe.key(CTRL_C);
    assert!(floe.wait_for_end().success());
}

/// The row under the cursor.
fn selected(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.split("▶ snap-").nth(1)).map(|rest| rest.chars().take(17).collect())
}

fn timed(floe: &mut Terminal, what: &str, key: &str, right: impl Fn(&str) -> bool) {
    let began = Instant::now();
    floe.key(key);
    floe.wait_until(what, right);
    println!("{what}: {} ms", began.elapsed().as_millis());
}
