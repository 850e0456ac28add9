//! Journey 3: SSH is lost in the middle of a copy, and the next deck shows it at the same block or higher.

use std::path::Path;
use std::process::{Command, Stdio};

use floe::sandbox::faults::{Faults, Limit, LimitOf};
use floe::sandbox::{Options, Running, serve};
use rustix::process::{Pid, Signal, kill_process};

use crate::terminal::{CTRL_C, Terminal};

const WEB_DATA: &str = "us-east-1:snap-0feed0000000da7a3";

/// A sandbox as another process would see it, on which a copy takes a while.
pub fn slow(runtime: &tokio::runtime::Runtime) -> Running {
    let limit = |api: &str| Limit { api: api.to_owned(), of: LimitOf::Snapshot, per_second: 12.0, burst: Some(40.0) };
    let limits = vec![limit("GetSnapshotBlock"), limit("PutSnapshotBlock")];
    let options = Options { faults: Faults { limits, ..Faults::default() }, ..Options::default() };
    runtime.block_on(serve(options)).expect("the sandbox serves")
}

pub fn signed_in(home: &Path, running: &Running) {
    let aws = home.join(".aws");
    std::fs::create_dir_all(&aws).expect("~/.aws");
    let keys = running.sandbox.profiles().into_iter().find(|p| p.name.as_str() == "prod").expect("prod");
    std::fs::write(aws.join("config"), "[profile prod]\nregion = us-east-1\n").expect("a config");
    let text = format!("[prod]\naws_access_key_id = {}\naws_secret_access_key = {}\n", keys.access_key_id, keys.secret);
    std::fs::write(aws.join("credentials"), text).expect("credentials");
}

/// How every command here names its state, its service and its account.
pub fn everywhere(url: &str) -> [&str; 6] {
    ["--state-dir", "state", "--endpoint-url", url, "--profile", "prod"]
}

/// Starts a copy in the background.
pub fn detach(home: &Path, everywhere: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
    command.args(["copy", WEB_DATA, "null:", "--yes", "--detach"]).args(everywhere);
    command.env_clear().env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true").current_dir(home);
    let made = command.stdin(Stdio::null()).output().expect("floe runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// `38 %` of the first job in the list, as the deck shows it.
fn percent(text: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.contains("● running"))?;
    let (before, _) = line.split_once(" %")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_lost_deck_is_taken_up_by_the_next_one() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let running = slow(&runtime);
    let home = tempfile::tempdir().expect("a home");
    signed_in(home.path(), &running);
    let url = running.url();
    let everywhere = everywhere(&url);
    detach(home.path(), &everywhere);

    let no_metadata = [("AWS_EC2_METADATA_DISABLED", "true")];
    let mut first = Terminal::floe_with(home.path(), &everywhere, 120, 36, &no_metadata);
    first.wait_for(&["1 job ·"]);
    first.shown_key("6 Transfers", "J");
    first.wait_until("a moving job", |text| percent(text).is_some_and(|percent| percent > 2));
    first.wait_for(&["Safe to close"]);
    let before = percent(&first.text()).expect("a percentage");
    // The terminal is gone: nobody asks, and nothing stops.
    first.signal(Signal::HUP);
    first.wait_for_end();

    let mut second = Terminal::floe_with(home.path(), &everywhere, 120, 36, &no_metadata);
    second.wait_for(&["1 job ·"]);
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
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let running = slow(&runtime);
    let home = tempfile::tempdir().expect("a home");
    signed_in(home.path(), &running);
    let url = running.url();
    let everywhere = everywhere(&url);
    detach(home.path(), &everywhere);
    let mut deck = Terminal::floe_with(home.path(), &everywhere, 120, 36, &[("AWS_EC2_METADATA_DISABLED", "true")]);
    deck.wait_for(&["1 job ·"]);
    deck.shown_key("6 Transfers", "J");
    deck.wait_until("a moving job", |text| percent(text).is_some_and(|percent| percent > 2));

    let engine = engine_of(home.path());
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
