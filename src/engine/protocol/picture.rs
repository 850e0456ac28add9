//! The picture of what runs, as every front draws it: plain values, taken a few times a second.
//!
//! Invariant: totals equal the sums of the rows beside them, because all of a picture is taken at one moment.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    BudgetStatus, Holds, JobDetail, Lanes, LeftOver, MachineStatus, Predicted, Requests, Said, Stall, Troubles,
};
use crate::bandwidth::Bandwidth;
use crate::error::Error;
use crate::ids::JobId;
use crate::units::{Blocks, Bytes, Digest, Quantity, Rate, Usd};

/// A job's state: `queued → starting → running ⇄ paused/waiting → completing → verifying → done`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Waits for its turn.
    Queued,
    /// Canary: one List, one Get, one Put per destination.
    Starting,
    /// Blocks move.
    Running,
    /// Stopped by the user; can go on.
    Paused,
    /// Cannot go on by itself now (credentials, full disk, a silent destination); goes on when it can.
    Waiting,
    /// Every block is written; destinations are being completed.
    Completing,
    /// Results are listed or read back.
    Verifying,
    /// Every destination completed, as its own row of DESIGN §3 rule 1 says.
    Done,
    /// Finished, but some destinations failed.
    Partial,
    /// Failed; can be resumed when the cause is mended.
    Failed,
    /// Cancelled.
    Cancelled,
    /// Its engine died; can be resumed.
    Interrupted,
}

impl JobState {
    /// Whether the engine is working on it now.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Waiting | Self::Completing | Self::Verifying)
    }
    /// Whether nothing will happen to it any more by itself or by a resume.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
    /// Whether `resume` makes sense.
    #[must_use]
    pub const fn is_resumable(self) -> bool {
        matches!(self, Self::Paused | Self::Failed | Self::Partial | Self::Interrupted | Self::Waiting)
    }
    /// The word shown beside the glyph.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Completing => "completing",
            Self::Verifying => "verifying",
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A destination's state, journaled before the call that it stands for (DESIGN §3, rule 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DestinationState {
    /// Not begun.
    Pending,
    /// StartSnapshot is being asked, or the file opened.
    Starting,
    /// Blocks are written.
    Writing,
    /// CompleteSnapshot is being asked, or the file synced and renamed.
    Completing,
    /// Listed or read back.
    Checking,
    /// Completed: its row of DESIGN §3 rule 1 holds.
    Completed,
    /// Failed.
    Failed,
}

/// Who vouches for a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Nothing yet.
    None,
    /// The service checked digests and the LINEAR checksum.
    Service,
    /// We listed or read it back ourselves.
    ReRead,
    /// Only claimed.
    Claimed,
}

/// How far a destination is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checking {
    /// Blocks found to be what they should be.
    pub done: Blocks,
    /// Blocks to be looked at.
    pub of: Blocks,
}

/// How far S3 is with what it copies itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Copied {
    /// Bytes that are where they should be, whether they were copied or there before.
    pub bytes: Bytes,
    /// Objects that were copied.
    pub copied: u64,
    /// Objects of which only properties or tags were set.
    pub set: u64,
    /// Objects that were there already.
    pub skipped: u64,
    /// Objects that failed.
    pub failed: u64,
    /// Of a prefix: everything up to this key, after the prefix, is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
}

impl Copied {
    /// Objects that are settled, one way or another.
    #[must_use]
    pub const fn objects(&self) -> u64 {
        self.copied + self.set + self.skipped + self.failed
    }
}

/// One destination of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DestinationStatus {
    /// As planned, or with the id once there is one: `prod@eu-west-1:snap-0c9e…`.
    pub address: String,
    /// `direct`, …
    pub strategy: crate::plan::Strategy,
    /// Where it stands.
    pub state: DestinationState,
    /// Blocks that it acknowledged.
    pub blocks: Blocks,
    /// Bytes written to it.
    pub bytes: Bytes,
    /// LINEAR checksum of what was written, once known.
    pub checksum: Option<Digest>,
    /// How far it is listed or read back, once that began.
    #[serde(default)]
    pub checking: Option<Checking>,
    /// Who vouches for it.
    pub evidence: Evidence,
    /// SHA-256 of the whole image, of a file that was read back in full.
    #[serde(default)]
    pub image_sha256: Option<Digest>,
    /// Why it failed.
    pub error: Option<Error>,
    /// How far S3 is, where it copies by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
}

/// Why the lanes stand where they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaneReason {
    /// Throughput still grows with every lane.
    Growing,
    /// More lanes brought no more throughput.
    NoGain,
    /// A request quota binds.
    Quota,
    /// This snapshot is being throttled.
    SnapshotThrottle,
    /// The account is being throttled.
    AccountThrottle,
    /// KMS behind the account's requests throttles them.
    KmsThrottle,
    /// The user's cap or pin.
    UserCap,
    /// The limit of bytes a second binds.
    Bandwidth,
    /// The memory budget allows no more.
    Memory,
    /// Timeouts or a congested service halved it.
    Congestion,
    /// Other jobs have their share.
    Shared,
    /// Fewer items are left than lanes.
    Tail,
}

/// Lanes, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanesStatus {
    /// Requests in flight now.
    pub now: u32,
    /// The window: what it aims at.
    pub target: u32,
    /// The most it may become.
    pub cap: u32,
    /// Auto, pinned or capped.
    pub setting: Lanes,
    /// The true cause.
    pub reason: LaneReason,
    /// The same in one sentence with its figures.
    pub why: String,
    /// When the target changed last.
    pub changed: Option<Timestamp>,
}

/// One rate limiter, and why it stands where it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateStatus {
    /// `Get per snapshot`, `Put per account eu-west-1`, …
    pub name: String,
    /// Requests a second that it lets through now.
    pub limit: f64,
    /// The quota.
    pub cap: f64,
    /// Requests a second that passed in the last seconds.
    pub used: f64,
    /// What moved it last, in words.
    pub why: String,
}

/// One job, as every front shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its number.
    pub job: JobId,
    /// The group it came in (`--each`): the number of its first job, how many there are.
    pub group: Option<(JobId, u32)>,
    /// Where it stands.
    pub state: JobState,
    /// The why-column: `quota`, `after 14`, `login dr`, `listing`.
    pub why: String,
    /// The source, in full.
    pub source: String,
    /// The source's name, for people.
    pub name: Option<String>,
    /// Its destinations.
    pub destinations: Vec<DestinationStatus>,
    /// Blocks that every destination has.
    pub blocks_done: Blocks,
    /// Blocks there are: at most until the listing ended, then exact.
    pub blocks_total: Quantity<Blocks>,
    /// Blocks listed so far.
    pub blocks_listed: Blocks,
    /// Blocks found done at the last resume: shown apart.
    pub blocks_resumed: Blocks,
    /// Bytes read from the source and written to destinations in this run.
    pub bytes_read: Bytes,
    /// Bytes written, all destinations.
    pub bytes_written: Bytes,
    /// Reading, over the last seconds.
    pub rate: Rate,
    /// Reading, over the last minutes, one value per 5 s, oldest first, at most 120.
    pub rate_history: Vec<f32>,
    /// Seconds left: low and high.
    pub left_seconds: Option<(f64, f64)>,
    /// Seconds it has run, over all its runs.
    pub elapsed_seconds: f64,
    /// When it was made.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Who accepted its plan.
    pub who: String,
    /// Its lanes and why.
    pub lanes: LanesStatus,
    /// Its limit of bytes a second, as it was set; `None` for none.
    #[serde(default)]
    pub bandwidth: Option<Bandwidth>,
    /// Its rate limiters.
    pub rates: Vec<RateStatus>,
    /// Requests made.
    pub requests: Requests,
    /// Dollars of requests and transfer so far: the plan's own prices times what happened.
    pub spent: Usd,
    /// What went wrong and was mended.
    pub troubles: Troubles,
    /// Median and 99th percentile of a Get, milliseconds.
    pub get_ms: Option<(f32, f32)>,
    /// Median and 99th percentile of a Put, milliseconds.
    pub put_ms: Option<(f32, f32)>,
    /// What was said before it ran.
    pub predicted: Predicted,
    /// Highest resident size of the process sampled while it ran.
    pub peak_rss: Bytes,
    /// What was said of the process at that moment, when other jobs ran beside this one: of all of them.
    #[serde(default)]
    pub said_at_peak: Option<Bytes>,
    /// It ran against the embedded AWS, which may be in the process that was measured: nobody said anything of that.
    #[serde(default)]
    pub embedded: bool,
    /// Budget held by it now: the sum of [`Holds::parts`].
    pub held: Bytes,
    /// What holds it, and what else of the process's memory is this job's.
    #[serde(default)]
    pub holds: Holds,
    /// What it waits for, while it does not get on.
    #[serde(default)]
    pub stall: Option<Stall>,
    /// Who turned its lanes, its memory and its bandwidth last, or those of all jobs; newest first.
    #[serde(default)]
    pub turned: Vec<Turned>,
    /// Time when a paused job's pending snapshot would be given up by AWS.
    pub expires: Option<Timestamp>,
    /// Why it failed or waits.
    pub error: Option<Error>,
    /// What it has made and not completed, of a job at rest: a resume goes on with it, a cancel removes it.
    #[serde(default)]
    pub left_overs: Vec<LeftOver>,
}

impl JobStatus {
    /// What was said of the memory that [`JobStatus::peak_rss`] was measured of: that of the process, other jobs included.
    #[must_use]
    pub fn said_of_peak(&self) -> Bytes {
        self.said_at_peak.unwrap_or(self.predicted.memory)
    }

    /// How far the results that are being checked are, all together.
    #[must_use]
    pub fn checking(&self) -> Option<Checking> {
        let all = self.destinations.iter().filter(|to| to.state == DestinationState::Checking);
        let sum = |a: Checking, b: Checking| Checking { done: a.done + b.done, of: a.of + b.of };
        all.filter_map(|to| to.checking).reduce(sum).filter(|_| self.state == JobState::Verifying)
    }

    /// The why-column: how far its results are checked, else why it stands where it does; nothing where that would
    /// only say its state again.
    #[must_use]
    pub fn shown_why(&self) -> Cow<'_, str> {
        match self.checking() {
            None if self.why == self.state.word() => Cow::Borrowed(""),
            Some(Checking { done, of }) => Cow::Owned(format!("{done} of {of} blocks checked")),
            None => Cow::Borrowed(&self.why),
        }
    }

    /// Whether somebody has to decide about its left-overs: it will not go on with them by itself, and no person
    /// put it aside for later.
    #[must_use]
    pub const fn is_littered(&self) -> bool {
        !self.left_overs.is_empty()
            && matches!(self.state, JobState::Cancelled | JobState::Failed | JobState::Partial | JobState::Interrupted)
    }
}

/// What can be turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dial {
    /// A job's lanes.
    Lanes,
    /// Memory: of a job, or of all.
    Memory,
    /// Bytes a second: of a job, or of all.
    Bandwidth,
    /// Whether it runs, and where in the queue.
    Course,
}

/// A setting that a front turned: the last writer counts, and is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turned {
    /// Which.
    pub setting: Dial,
    /// Of which job; `None` for all of them.
    pub job: Option<JobId>,
    /// When.
    pub at: Timestamp,
    /// Which front.
    pub who: String,
    /// What, and to what: `lanes of job 14 to 64`.
    pub what: String,
}

impl fmt::Display for Turned {
    /// `lanes of job 14 to 64, by ops at pts/3 at 09:14`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, by {} at {}", self.what, self.who, self.at.strftime("%H:%M"))
    }
}

/// Everything a front needs to draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Grows with every change.
    pub revision: u64,
    /// When it was taken.
    pub at: Timestamp,
    /// When the engine started.
    pub engine_started: Timestamp,
    /// Whether the engine lives in this front's process (jobs stop with it).
    pub in_process: bool,
    /// Reading of all jobs together: equals the sum of the rows.
    pub rate: Rate,
    /// One value per 5 s, oldest first, at most 120.
    pub rate_history: Vec<f32>,
    /// The budget.
    pub budget: BudgetStatus,
    /// The machine.
    pub machine: MachineStatus,
    /// The limit of bytes a second of all jobs together.
    #[serde(default)]
    pub bandwidth: Option<Bandwidth>,
    /// What was turned last of all, and by whom.
    pub turned: Option<Turned>,
    /// Jobs that are not over, and the latest that are, oldest first.
    pub jobs: Vec<JobStatus>,
    /// The watched job.
    pub detail: Option<JobDetail>,
}

impl Status {
    /// What was said of the process with all jobs that run in it now.
    #[must_use]
    pub fn said(&self) -> Option<Said> {
        let active = self.jobs.iter().filter(|job| job.state.is_active());
        Said::of(active.map(|job| &job.predicted), self.budget.limit)
    }
}
