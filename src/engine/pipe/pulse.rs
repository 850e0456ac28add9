//! Whether the engine at the other end still answers: a process that was stopped, or hangs in a disk, keeps its
//! socket and says nothing, and the figures that a front got last would pass for those of now.
//!
//! Invariant: silence is counted from a question that nobody answered, never from the last news: an engine with
//! nothing to tell is not silent. A front that was stopped itself counts anew.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// How often a front looks; without any news since the last look it asks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A question without an answer for so long is silence. An engine answers within milliseconds; one that shares its
/// machine with a build, or waits for a slow disk once, within a second or two.
const SILENT_AFTER: Duration = Duration::from_secs(8);
/// A look that comes so late was not late by load: the front itself stood still.
const STOOD_STILL: Duration = Duration::from_secs(6);

/// How a front and its engine stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// It answers.
    Answers,
    /// It was asked and says nothing.
    Silent(Silence),
    /// It has ended, or closed the connection.
    Gone {
        /// Its process.
        pid: u32,
    },
}

/// An engine that was asked and has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Its process.
    pub pid: u32,
    /// When it was asked what it has not answered.
    pub since: Instant,
    /// Commands of this front that wait for it.
    pub waiting: usize,
}

impl Silence {
    /// How long it has not answered.
    #[must_use]
    pub fn lasts(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// `the engine (pid 4121) has not answered for 12 s`.
    #[must_use]
    pub fn said(&self, now: Instant) -> String {
        said(self.pid, self.lasts(now))
    }
}

/// `the engine (pid 4121) has not answered for 12 s`.
pub fn said(pid: u32, lasts: Duration) -> String {
    format!("the engine (pid {pid}) has not answered for {} s", lasts.as_secs())
}

/// What a person can do about an engine that says nothing. Its jobs are its own: another is not started beside it.
#[must_use]
pub fn what_ends_it(pid: u32) -> String {
    if pid == std::process::id() {
        // It lives in the front's process, which runs: a call to the operating system does not return.
        return "it hangs in this process, in a disk most likely: when this floe is ended, `floe jobs resume` goes on"
            .to_owned();
    }
    format!(
        "if it was stopped, `kill -CONT {pid}` lets it go on; if it hangs, `kill -9 {pid}`: its jobs go on with the next one"
    )
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers => f.write_str("the engine answers"),
            Self::Silent(silence) => f.write_str(&silence.said(Instant::now())),
            Self::Gone { pid } => write!(f, "the engine (pid {pid}) has ended"),
        }
    }
}

/// The open question to an engine, and since when.
#[derive(Debug)]
pub(super) struct Pulse {
    asked: Option<Instant>,
    heard: bool,
    looked: Instant,
}

impl Pulse {
    pub(super) const fn new(now: Instant) -> Self {
        Self { asked: None, heard: true, looked: now }
    }

    /// Something was said that has an answer.
    pub(super) fn asks(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// The engine itself said something.
    pub(super) const fn hears(&mut self) {
        (self.asked, self.heard) = (None, true);
    }

    /// A regular look: whether it has said nothing since the last one, and is to be asked.
    pub(super) fn looks(&mut self, now: Instant) -> bool {
        let still = now.saturating_duration_since(self.looked) >= STOOD_STILL;
        self.looked = now;
        if still && self.asked.is_some() {
            // What came in meanwhile is not read yet.
            self.asked = Some(now);
        }
        !std::mem::take(&mut self.heard)
    }

    /// Since when it is silent, if it is.
    pub(super) fn silent_since(&self, now: Instant) -> Option<Instant> {
        self.asked.filter(|at| now.saturating_duration_since(*at) >= SILENT_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_a_question_and_ends_with_any_answer() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(start);
        assert!(!pulse.looks(at(2)), "its first picture was just there");
        assert!(pulse.looks(at(4)), "no news since: it is asked");
        pulse.asks(at(4));
        for seconds in [6, 8, 10] {
            assert!(pulse.looks(at(seconds)), "still nothing");
            pulse.asks(at(seconds));
            assert_eq!(pulse.silent_since(at(seconds)), None);
        }
        assert_eq!(pulse.silent_since(at(12)), Some(at(4)), "from the question, not from the news before it");
        pulse.hears();
        assert_eq!(pulse.silent_since(at(60)), None);
        assert!(!pulse.looks(at(14)), "it has just spoken");
        assert!(pulse.looks(at(16)));
    }

    #[test]
    fn a_front_that_stood_still_itself_counts_anew() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(start);
        pulse.looks(at(2));
        assert!(pulse.looks(at(4)));
        pulse.asks(at(4));
        // Ctrl-Z, and an hour later `fg`: the answer lies in the socket, unread.
        pulse.looks(at(3600));
        assert_eq!(pulse.silent_since(at(3600)), None);
        for seconds in [3602, 3604, 3606, 3608] {
            pulse.looks(at(seconds));
        }
        assert_eq!(pulse.silent_since(at(3608)), Some(at(3600)));
    }

    #[test]
    fn an_engine_in_the_own_process_is_not_told_to_be_killed() {
        assert!(!what_ends_it(std::process::id()).contains("kill"));
        assert!(what_ends_it(1).contains("kill -CONT 1") && what_ends_it(1).contains("kill -9 1"));
        assert_eq!(said(4121, Duration::from_millis(12_900)), "the engine (pid 4121) has not answered for 12 s");
    }
}
