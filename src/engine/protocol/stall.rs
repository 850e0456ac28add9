//! What a job waits for that does not get on, as every front names it: one word for its row, one sentence with figures.

use serde::{Deserialize, Serialize};

/// Why nothing moves, or hardly anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Requests are sent and nothing comes back.
    NoAnswer,
    /// Requests are throttled, by the snapshot's limit or the account's.
    Throttled,
    /// KMS behind the requests throttles them, or refuses the key.
    Kms,
    /// Credentials ended.
    Login,
    /// There is no room on a disk.
    DiskFull,
    /// A destination takes blocks slowly.
    SlowTarget,
    /// The source gives blocks slowly.
    SlowSource,
    /// Requests are answered with errors.
    Errors,
    /// The memory budget has no room.
    Memory,
    /// The limit of bytes a second is that low.
    Bandwidth,
    /// Nothing of these.
    Unknown,
}

/// A job that does not get on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// Why.
    pub cause: Cause,
    /// For the why-column: `no answer: Put`, `login prod`, `disk full`.
    pub word: String,
    /// Seconds since the last byte moved; zero while some do.
    pub seconds: f64,
    /// One sentence with its figures.
    pub text: String,
}

impl Stall {
    /// For a row that has little room: `no bytes for 12 s`; nothing while some move.
    #[must_use]
    pub fn still(&self) -> Option<String> {
        (self.seconds >= 1.0).then(|| format!("no bytes for {}", crate::plan::clock(self.seconds)))
    }
}
