//! An engine that does not answer, as the deck shows it: on every screen who it is, since when, and what to do; and
//! beside its figures that they are old. It goes away by itself when the engine answers.

use std::time::Duration;

use super::clock::Now;
use crate::engine::Contact;
use crate::engine::protocol::Status;

/// Why the engine's picture is an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// It was asked and does not answer.
    Silent {
        /// Its process.
        pid: u32,
        /// Since when, on the deck's own clock.
        since: Duration,
        /// Commands that wait for it.
        waiting: usize,
    },
    /// It has ended.
    Gone {
        /// Its process.
        pid: u32,
    },
}

impl Quiet {
    /// What a contact means to a deck that was opened at `started`; nothing, while the engine answers.
    #[must_use]
    pub fn of(contact: Contact, started: tokio::time::Instant) -> Option<Self> {
        match contact {
            Contact::Answers => None,
            Contact::Silent(silence) => Some(Self::Silent {
                pid: silence.pid,
                since: silence.since.saturating_duration_since(started),
                waiting: silence.waiting,
            }),
            Contact::Gone { pid } => Some(Self::Gone { pid }),
        }
    }

    /// `engine (pid 4121) has not answered for 12 s`.
    #[must_use]
    pub fn said(self, now: Now) -> String {
        match self {
            Self::Silent { pid, since, .. } => {
                format!("engine (pid {pid}) has not answered for {} s", now.mono.saturating_sub(since).as_secs())
            }
            Self::Gone { pid } => format!("engine (pid {pid}) has ended"),
        }
    }

    /// `no answer 12 s`: beside a job.
    #[must_use]
    pub fn short(self, now: Now) -> String {
        match self {
            Self::Silent { since, .. } => format!("no answer {} s", now.mono.saturating_sub(since).as_secs()),
            Self::Gone { .. } => "engine ended".to_owned(),
        }
    }

    /// All of it in one line, what matters most first.
    #[must_use]
    pub fn line(self, status: Option<&Status>, now: Now) -> String {
        let mut parts = vec![self.said(now)];
        match self {
            Self::Silent { waiting, .. } => {
                parts.extend(match waiting {
                    0 => None,
                    1 => Some("1 command waits".to_owned()),
                    n => Some(format!("{n} commands wait")),
                });
                parts.push(self.remedy());
            }
            Self::Gone { .. } => parts.push("the next command starts it again, and what it ran goes on".to_owned()),
        }
        parts.extend(status.map(|status| format!("figures of {}", status.at.strftime("%H:%M:%S"))));
        parts.join(" · ")
    }

    /// What to do, in a few words; among the errors it stands in full.
    fn remedy(self) -> String {
        let (Self::Silent { pid, .. } | Self::Gone { pid }) = self;
        if pid == std::process::id() {
            return "it hangs in this process, in a disk most likely".to_owned();
        }
        format!("kill -CONT {pid} if it was stopped, kill -9 {pid} if it hangs")
    }

    /// When what is said of it changes: each second.
    #[must_use]
    pub fn wakes(self, now: Now) -> Option<Duration> {
        matches!(self, Self::Silent { .. }).then(|| now.mono + Duration::from_secs(1))
    }
}
