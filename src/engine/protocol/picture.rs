//! The picture of what runs, as every front draws it: plain values, taken a few times a second.
//!
//! Invariant: totals equal the sums of the rows beside them, because all of a picture is taken at one moment.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Lanes, Stall};
use crate::bandwidth::Bandwidth;
use crate::error::{Error, Level};
use crate::ids::{BlockRange, JobId};
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

/// What was said before and what it became.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Predicted {
    /// Peak memory of the process, when the job runs alone.
    pub memory: Bytes,
    /// Of it, what the process takes whatever runs: with several jobs it is there once.
    #[serde(default)]
    pub base: Bytes,
    /// Of it, what the budget gives: several jobs have no more than the budget together.
    #[serde(default)]
    pub of_budget: Bytes,
    /// Dollars once.
    pub cost: Usd,
    /// Seconds at best.
    pub seconds_low: f64,
    /// Seconds at worst.
    pub seconds_high: f64,
    /// Requests of the data plane: listed, got and put.
    #[serde(default)]
    pub requests: u64,
}

impl Predicted {
    /// Where a duration lies beside the range that was said: before it, in it, or behind it. What reads the same as an
    /// end of the range is in it.
    #[must_use]
    pub fn beside(&self, took: f64) -> Ordering {
        let shown = crate::plan::clock(took);
        let at_an_end = [self.seconds_low, self.seconds_high].into_iter().any(|end| crate::plan::clock(end) == shown);
        match took {
            _ if at_an_end => Ordering::Equal,
            _ if took < self.seconds_low => Ordering::Less,
            _ if took > self.seconds_high => Ordering::Greater,
            _ => Ordering::Equal,
        }
    }
}

/// What was said of the memory of a process, with all jobs that run in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Said {
    /// How many jobs.
    pub jobs: usize,
    /// What the process takes whatever runs: once.
    pub base: Bytes,
    /// What each job keeps beside the budget, all together.
    pub beside: Bytes,
    /// What they hold of the budget: no more than its limit, however many they are.
    pub of_budget: Bytes,
}

impl Said {
    /// Of these jobs together, under that budget. None where there is no job, or nothing was said of one of them.
    #[must_use]
    pub fn of<'a>(predicted: impl IntoIterator<Item = &'a Predicted>, limit: Bytes) -> Option<Self> {
        let mut all = Self::default();
        for said in predicted {
            if said.memory == Bytes::ZERO {
                return None;
            }
            all.jobs += 1;
            all.base = all.base.max(said.base);
            all.of_budget += said.of_budget;
            all.beside += said.memory.less(said.base).less(said.of_budget);
        }
        // One alone is held to what its plan said, also when the budget was cut since.
        if all.jobs > 1 {
            all.of_budget = all.of_budget.min(limit);
        }
        (all.jobs > 0).then_some(all)
    }
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.base + self.beside + self.of_budget
    }
}

impl Requests {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.list + self.get + self.put
    }
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

    /// The why-column: how far its results are checked, else why it stands where it does.
    #[must_use]
    pub fn shown_why(&self) -> Cow<'_, str> {
        match self.checking() {
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

/// Something that a job has made and not completed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOver {
    /// A pending snapshot, by its address.
    Snapshot(String),
    /// An image that is not whole, with its snapshots, by its address.
    Image(String),
    /// A snapshot or an image that was asked for there; whether it exists was not heard.
    Unanswered(String),
    /// A part of a file.
    File(PathBuf),
    /// Objects of an archive that has no manifest yet, by its address.
    Objects(String),
    /// An upload to that address that was not ended: its parts are paid for.
    Upload(String),
}

impl fmt::Display for LeftOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(address) => write!(f, "pending snapshot {address}"),
            Self::Image(address) => write!(f, "pending image {address} and its snapshots"),
            Self::Unanswered(place) => write!(f, "a snapshot asked for in {place}, its answer lost"),
            Self::File(path) => write!(f, "partial file {}", path.display()),
            Self::Objects(place) => write!(f, "objects of an unfinished archive under {place}"),
            Self::Upload(address) => write!(f, "an unfinished upload of {address}"),
        }
    }
}

/// One segment of the watched job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentStatus {
    /// Its number.
    pub id: u32,
    /// The indexes it spans.
    pub range: BlockRange,
    /// Blocks listed in it so far.
    pub listed: Blocks,
    /// Blocks of it that every destination has.
    pub done: Blocks,
    /// Whether its listing ended.
    pub listing_done: bool,
    /// Rate over the last 20 s.
    pub rate: Rate,
    /// One value per second of the last 20, oldest first.
    pub history: Vec<f32>,
    /// 99th percentile of its requests, milliseconds.
    pub p99_ms: Option<f32>,
    /// Retries.
    pub retries: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Age of the oldest request in flight, seconds.
    pub oldest_seconds: Option<f32>,
    /// `slow`, `from 9`, `listing`, …
    pub note: String,
}

/// One cell of the block map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// Not listed yet.
    Unknown,
    /// Listed, nothing there: a hole in the source.
    Hole,
    /// Listed, to do.
    ToDo,
    /// Some of it is moving.
    Moving,
    /// All of it is where it should be.
    Done,
    /// A block of it was retried more than three times.
    Trouble,
}

/// How loud an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// Plain.
    Info,
    /// To notice.
    Warning,
    /// Something failed.
    Bad,
    /// Something ended well.
    Good,
}

/// One line of "what happens and why".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Of which job.
    pub job: Option<JobId>,
    /// `segment 9`, `lanes`, `network`, `eu-west-1`.
    pub subject: String,
    /// One sentence.
    pub text: String,
    /// How loud.
    pub tone: Tone,
    /// How many alike were folded into it.
    pub count: u32,
}

/// What only the watched job carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDetail {
    /// Which job.
    pub job: JobId,
    /// All its segments.
    pub segments: Vec<SegmentStatus>,
    /// The block map: [`JobDetail::MAP_CELLS`] cells at most, each the same number of indexes.
    pub map: Vec<Cell>,
    /// Indexes per cell.
    pub blocks_per_cell: u32,
    /// The latest events, newest last, at most 200.
    pub events: Vec<Event>,
}

impl JobDetail {
    /// Cells of the map at most: four lines of a wide terminal, with room to zoom.
    pub const MAP_CELLS: usize = 1024;
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
