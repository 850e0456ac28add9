//! What is counted and measured while jobs run: requests and troubles, the process, the budget, who holds what of it.

use serde::{Deserialize, Serialize};

use crate::error::Level;
use crate::units::Bytes;

/// What happened beside plain success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Troubles {
    /// Requests sent again.
    pub retries: u64,
    /// Throttles of the snapshot.
    pub snapshot_throttles: u64,
    /// Throttles of the account.
    pub account_throttles: u64,
    /// Throttles of KMS behind the account's requests.
    #[serde(default)]
    pub kms_throttles: u64,
    /// Deadlines that passed.
    pub timeouts: u64,
    /// Bodies whose checksum was wrong.
    pub corrupt: u64,
    /// Pages listed again for fresh tokens.
    pub relisted: u64,
}

impl Troubles {
    /// Counts a throttle of that level.
    pub fn throttled(&mut self, level: Level) {
        match level {
            Level::Snapshot => self.snapshot_throttles += 1,
            Level::Account => self.account_throttles += 1,
            Level::Dependency => self.kms_throttles += 1,
        }
    }
    /// All throttles.
    #[must_use]
    pub const fn throttles(&self) -> u64 {
        self.snapshot_throttles + self.account_throttles + self.kms_throttles
    }
}

/// Requests made so far: what the meter of dollars counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requests {
    /// List requests.
    pub list: u64,
    /// Blocks got.
    pub get: u64,
    /// Blocks put.
    pub put: u64,
    /// Of what was got, reads of S3.
    #[serde(default)]
    pub fetch: u64,
    /// Of what was put, writes to S3.
    #[serde(default)]
    pub store: u64,
}

impl Requests {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.list + self.get + self.put
    }
}

/// The process and the machine it runs on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MachineStatus {
    /// Resident size of this process.
    pub rss: Bytes,
    /// Its highest sample.
    pub rss_peak: Bytes,
    /// The most that was said of all jobs that ran in it at once: what it grew to for them it may keep when they are over.
    #[serde(default)]
    pub said_most: Bytes,
    /// Memory in use on the machine.
    pub machine_used: Bytes,
    /// Memory of the machine.
    pub machine_total: Bytes,
    /// Use and limit of the cgroup, when there is one.
    pub cgroup: Option<(Bytes, Bytes)>,
    /// CPU of this process in percent of one core.
    pub cpu_percent: f32,
    /// Cores.
    pub cores: u32,
}

/// The engine's one memory limit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// Held now.
    pub used: Bytes,
    /// The limit.
    pub limit: Bytes,
    /// The least it can be with the jobs that run.
    pub floor: Bytes,
    /// Held by part: `listing pages`, `blocks in flight`, …
    pub parts: Vec<(String, Bytes)>,
    /// One value per 5 s, oldest first, at most 120.
    pub history: Vec<f32>,
}

/// Who holds what of one job's memory, at one moment. All of it is counted; only what a connection weighs is a
/// bound, because its buffers are not ours to look into.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holds {
    /// Of the budget, by part, in the order of the screen.
    pub parts: Vec<(String, Bytes)>,
    /// Blocks that are being read.
    pub reading: u32,
    /// Blocks on their way to each destination; one that goes to several counts for each.
    pub writing: Vec<u32>,
    /// Outside of the budget: buffers kept for the next blocks.
    pub idle: Bytes,
    /// Outside of the budget: pages of the ledger.
    pub ledger: Bytes,
}
