//! What crosses the line between fronts and the engine: a [`Request`] in, [`Reply`]s out, a few times a second.
//!
//! The same types serve in one process (over an in-process pipe of the same frames), over a Unix socket,
//! and from a fleet. Plain, serialisable values: no front ever holds a lock on engine state.

mod detail;
mod measured;
mod picture;
mod said;
mod stall;

use serde::{Deserialize, Serialize};

pub use self::detail::*;
pub use self::measured::*;
pub use self::picture::*;
pub use self::said::{Predicted, Said};
pub use self::stall::{Cause, Stall};

use crate::aws::Introduction;
use crate::bandwidth::Bandwidth;
use crate::error::Error;
use crate::grant::Grant;
use crate::ids::JobId;
use crate::plan::Plan;
use crate::units::Bytes;

/// Version of the frames; peers of another version are refused, not guessed at.
pub const PROTOCOL: u32 = 1;

/// A numbered command: the answer carries the number back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the front, unique per connection.
    pub id: u64,
    /// What to do.
    pub command: Command,
    /// The world of the front, with commands that need AWS.
    pub world: Option<Box<Introduction>>,
}

/// How many lanes a job may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lanes {
    /// The window decides, up to the plan's cap.
    Auto,
    /// Exactly this many (as far as memory allows).
    Pinned(u32),
    /// The window decides, up to this.
    AtMost(u32),
}

/// What happens to what a cancelled job has made so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOvers {
    /// Kept, so that the job can be resumed.
    Keep,
    /// Pending snapshots are deleted, partial files removed.
    CleanUp,
}

/// What a front can ask for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// First on a connection: who speaks, for the others to see.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The front's version of floe.
        version: String,
        /// `ops at pts/3`, …
        who: String,
    },
    /// Run exactly this plan, under this grant: one job per item. Answers [`Answer::Jobs`].
    Run {
        /// The plan that was shown.
        plan: Box<Plan>,
        /// What its acceptance allows.
        grant: Grant,
    },
    /// Go on with a paused, failed or interrupted job.
    Resume(JobId),
    /// Stop cleanly; it can be resumed.
    Pause(JobId),
    /// Stop for good.
    Cancel(JobId, LeftOvers),
    /// Drop a finished job's directory.
    Forget(JobId),
    /// Turn a job's lanes.
    Lanes(JobId, Lanes),
    /// Turn a job's share of the budget; `None` for no limit of its own.
    Share(JobId, Option<Bytes>),
    /// Turn the bytes a second of a job, or (`None`) of all jobs together.
    Bandwidth(Option<JobId>, Option<Bandwidth>),
    /// Turn the engine's budget. Answers [`Answer::Effective`] with what it became and why.
    Memory(Bytes),
    /// Move a queued job up (negative) or down.
    Reorder(JobId, i32),
    /// Ask for the segments, map and events of one job with every status (`None`: of none).
    Watch(Option<JobId>),
    /// Keys of the front's shell, for the jobs that wait for them.
    Keys,
    /// Nothing: whoever owns the jobs answers, which shows that it lives. Only for an engine that says it knows it.
    Ping,
    /// Put everything down cleanly and end. A background engine does this only when it is told to by a signal.
    Shutdown,
}

impl Command {
    /// Whether the front's world goes with it.
    #[must_use]
    pub const fn needs_world(&self) -> bool {
        matches!(self, Self::Run { .. } | Self::Resume(_) | Self::Cancel(..) | Self::Keys)
    }

    /// What it asks for, as it is said of a command that waits: `to pause job 14`.
    #[must_use]
    pub fn wish(&self) -> String {
        match self {
            Self::Hello { .. } => "to be greeted".to_owned(),
            Self::Run { .. } => "to run a plan".to_owned(),
            Self::Resume(job) => format!("to go on with job {job}"),
            Self::Pause(job) => format!("to pause job {job}"),
            Self::Cancel(job, _) => format!("to cancel job {job}"),
            Self::Forget(job) => format!("to forget job {job}"),
            Self::Lanes(job, _) => format!("to turn the lanes of job {job}"),
            Self::Share(job, _) => format!("to turn the memory of job {job}"),
            Self::Bandwidth(Some(job), _) => format!("to turn the bandwidth of job {job}"),
            Self::Bandwidth(None, _) => "to turn the bandwidth of all jobs".to_owned(),
            Self::Memory(_) => "to turn the budget".to_owned(),
            Self::Reorder(job, _) => format!("to move job {job} in the queue"),
            Self::Watch(_) => "to tell of a job".to_owned(),
            Self::Keys => "to take fresh keys".to_owned(),
            Self::Ping => "to show that it lives".to_owned(),
            Self::Shutdown => "to end".to_owned(),
        }
    }
}

/// What the engine sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// First frame on a connection.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// floe's version.
        version: String,
        /// Process id of the engine.
        pid: u32,
        /// Whether it knows [`Command::Ping`]; engines of before it know everything else.
        #[serde(default)]
        pings: bool,
    },
    /// The picture of what runs.
    Status(Box<Status>),
    /// The answer to the request of that id.
    Answer {
        /// The request's number.
        id: u64,
        /// What came of it.
        outcome: Result<Answer, Error>,
    },
}

/// What a command came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done.
    Done,
    /// These jobs were made, one per item of the plan.
    Jobs(Vec<JobId>),
    /// The value that is in force now, and why, when it is not the one that was asked for.
    Effective {
        /// What is in force.
        value: u64,
        /// Why it differs.
        why: Option<String>,
    },
}
