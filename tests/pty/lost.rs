//! Journey 3: SSH is lost in the middle of a copy, and the next deck shows it at the same block or higher.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::copying::Copying;
use crate::terminal::CTRL_C;

/// `38 %` of the first job in the list, as the deck shows it.
fn percent(text: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.contains("● running"))?;
    let (before, _) = line.split_once(" %")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_lost_deck_is_taken_up_by_the_next_one() {
    let copying = Copying::begin();
    let mut first = copying.deck();
    first.shown_key("6 Transfers", "J");
    first.wait_until("a moving job", |text| percent(text).is_some_and(|percent| percent > 2));
    first.wait_for(&["Safe to close"]);
    let before = percent(&first.text()).expect("a percentage");
    // The terminal is gone: nobody asks, and nothing stops.
    first.signal(Signal::HUP);
    first.wait_for_end();

    let mut second = copying.deck();
    second.key("J");
    second.wait_until("the same job", |text| percent(text).is_some());
    assert!(percent(&second.text()).is_some_and(|now| now >= before), "at the same block or higher");
    second.key("q");
    second.key("q");
    assert!(second.wait_for_end().success());
    assert!(second.text().contains("1 job goes on · floe jobs watch"), "{}", second.text());
}

/// The engine of this home, as its lock says.
fn engine_of(home: &Path) -> Pid {
    let lock = std::fs::read_to_string(home.join("state/engine.lock")).expect("a lock");
    let (_, rest) = lock.split_once("\"pid\":").expect("a pid");
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    Pid::from_raw(digits.parse().expect("a number")).expect("a pid")
}

/// Stands still, and goes on when this is dropped, also by a test that failed.
struct Stopped(Pid);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[test]
fn a_deck_says_that_its_engine_does_not_answer_and_keeps_what_it_was_asked() {
    let copying = Copying::begin();
    let mut deck = copying.deck();
    deck.shown_key("6 Transfers", "J");
    deck.wait_until("a moving job", |text| percent(text).is_some_and(|percent| percent > 2));

    let engine = engine_of(copying.home.path());
    kill_process(engine, Signal::STOP).expect("stopped");
    let stopped = Stopped(engine);
    let named = format!("engine (pid {}) has not answered for ", engine.as_raw_nonzero());
    deck.wait_until("a word of the silence", |text| text.lines().next().is_some_and(|first| first.contains(&named)));
    deck.wait_for(&["no answer ", "figures of ", "kill -CONT"]);
    // The deck is as quick as ever, and what is asked now is not lost: it waits, and that is said.
    deck.key("p");
    deck.wait_for(&["to pause job 1 waits"]);
    deck.wait_for(&["1 command waits"]);
    deck.key("2");
    deck.wait_for(&[&named]);
    deck.key("J");
    drop(stopped);
    deck.wait_until("its answer", |text| !text.contains("has not answered") && text.contains("paused"));
    deck.key(CTRL_C);
    assert!(deck.wait_for_end().success());
}

/// A key and the one that closes the deck in one breath: the engine gets both, also when it stands still meanwhile.
#[test]
fn what_is_asked_in_the_last_moment_is_done() {
    for still in [false, true] {
        let copying = Copying::begin();
        let mut deck = copying.deck();
        deck.shown_key("6 Transfers", "J");
        deck.wait_until("a moving job", |text| percent(text).is_some_and(|percent| percent > 2));
        let engine = engine_of(copying.home.path());
        let stopped = still.then(|| {
            kill_process(engine, Signal::STOP).expect("stopped");
            Stopped(engine)
        });
        deck.key(&format!("p{CTRL_C}"));
        if still {
            // Who asked is told what is waited for, and has the last word.
            deck.wait_for(&["waiting for the engine's answer", "ctrl-c"]);
            deck.key(CTRL_C);
        }
        let ended = deck.wait_for_end();
        assert!(ended.success(), "{ended:?}");
        let said = deck.text();
        assert_eq!(said.contains("was asked to pause job 1 and has not answered yet"), still, "{said}");
        drop(stopped);
        let mut again = copying.deck();
        again.shown_key("6 Transfers", "J");
        again.wait_for(&["paused"]);
        again.key(CTRL_C);
        assert!(again.wait_for_end().success());
    }
}
