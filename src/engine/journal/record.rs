//! What a journal line can say.
//!
//! Lines are tagged by kind; a kind that this floe does not know is refused like an unknown version. Times
//! and digests are text, durations whole milliseconds: no float that JSON could not carry.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::picture::Picture;
use crate::bandwidth::Bandwidth;
use crate::engine::protocol::{Copied, DestinationState, Evidence, JobState, Lanes, Requests, Tone, Troubles};
use crate::error::Error;
use crate::ids::{BlockRange, JobId};
use crate::units::{Blocks, Bytes, Digest};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Format version of the line.
    pub v: u32,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub record: Record,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// First line of a job; its plan is in `job.json`.
    Created {
        /// The job.
        job: JobId,
        /// Hash of the plan that it executes.
        plan_hash: String,
        /// How many destinations it has.
        destinations: u16,
    },
    /// An engine takes the job on.
    Engine {
        /// Its process.
        pid: u32,
        /// Its version of floe.
        version: String,
        /// Whether it lives in a process of its own.
        background: bool,
    },
    /// The job's state changed.
    State {
        /// To what.
        to: JobState,
        /// Why, in a few words.
        why: String,
    },
    /// A setting was turned while it ran.
    Setting(Setting),
    /// A destination takes a step; journaled (and synced) before the call that the step stands for.
    Destination {
        /// Position in the job's list.
        dest: u16,
        /// The step.
        step: Step,
    },
    /// The volume was cut into segments. Replaces all earlier ones.
    Segments(Vec<Cut>),
    /// The far part of a segment was given to a new one.
    Split {
        /// The one that was cut.
        from: u32,
        /// The index where the new one begins.
        at: u32,
        /// The new one.
        segment: u32,
    },
    /// Everything of a segment below `through` is listed. Only after the ledger was flushed.
    Listed {
        /// The segment.
        segment: u32,
        /// The first index that is not known to be listed.
        through: u32,
    },
    /// How far a destination is checked: a resume goes on from there.
    Checked {
        /// Position in the job's list.
        dest: u16,
        /// How far.
        to: Checked,
    },
    /// An upload whose parts S3 copies itself took a step. The parts that it has are S3's to tell (ListParts); how they
    /// were cut is told here.
    Upload {
        /// Position in the job's list.
        dest: u16,
        /// The key that it goes to.
        key: String,
        /// The step.
        step: Uploading,
    },
    /// How far S3 is with what it copies itself.
    Copied {
        /// Position in the job's list.
        dest: u16,
        /// How far.
        to: Copied,
    },
    /// Block tokens were refused twice within a minute: one cursor from here on.
    OneCursor,
    /// The job waits for credentials, or has fresh ones.
    Credentials(Credentials),
    /// Totals over all runs of the job; the last one counts.
    Progress(Progress),
    /// A line of the log view.
    Note(Note),
    /// A failure worth keeping, of a destination or of the job.
    Error {
        /// Of which destination; of the job without one.
        dest: Option<u16>,
        /// The failure.
        error: Error,
    },
    /// How the job ended.
    Result {
        /// Done, partial, failed or cancelled.
        state: JobState,
        /// Why, when it did not go well.
        error: Option<Error>,
    },
    /// Everything before this line, folded; the first line of a compacted journal.
    Checkpoint(Box<Picture>),
}

impl Record {
    /// Whether old lines of this kind may be dropped when the journal is compacted: they are for reading only.
    #[must_use]
    pub const fn is_note(&self) -> bool {
        matches!(self, Self::Note(_) | Self::Error { .. })
    }
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// Lanes.
    Lanes(Lanes),
    /// The job's share of the budget.
    Memory(Option<Bytes>),
    /// Bytes a second.
    Bandwidth(Option<Bandwidth>),
}

/// A step of a destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// StartSnapshot is about to be sent, or a file to be opened.
    Starting {
        /// Counts from 1; a destination that died is started anew with the next.
        attempt: u32,
        /// The same token after a crash gets the same snapshot.
        client_token: String,
    },
    /// It exists: the snapshot's id, or the file's temporary path.
    Started {
        /// Id or path.
        id: String,
    },
    /// Blocks are written.
    Writing,
    /// CompleteSnapshot is about to be sent, or the file to be synced and renamed. No put after this.
    Completing {
        /// Blocks written to it.
        blocks: Blocks,
        /// LINEAR checksum over them.
        checksum: Option<Digest>,
    },
    /// Listed or read back.
    Checking,
    /// Its row of DESIGN §3 rule 1 holds.
    Completed {
        /// Who vouches for it.
        evidence: Evidence,
        /// SHA-256 of the whole image, when all of it was read in order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<Digest>,
    },
    /// It failed.
    Failed {
        /// Why.
        error: Error,
    },
}

impl Step {
    /// The state that it leads to.
    #[must_use]
    pub const fn state(&self) -> DestinationState {
        match self {
            Self::Starting { .. } | Self::Started { .. } => DestinationState::Starting,
            Self::Writing => DestinationState::Writing,
            Self::Completing { .. } => DestinationState::Completing,
            Self::Checking => DestinationState::Checking,
            Self::Completed { .. } => DestinationState::Completed,
            Self::Failed { .. } => DestinationState::Failed,
        }
    }

    /// Whether it may come after `before`. A step may always be repeated (a resume does), a failed destination
    /// goes on where it stood or starts anew, and what is completed stays so.
    #[must_use]
    pub fn may_follow(&self, before: DestinationState) -> bool {
        use DestinationState as S;
        match self {
            Self::Starting { .. } => {
                matches!(before, S::Pending | S::Starting | S::Writing | S::Completing | S::Failed)
            }
            Self::Started { .. } => before == S::Starting,
            Self::Writing => matches!(before, S::Starting | S::Writing | S::Failed),
            Self::Completing { .. } => matches!(before, S::Writing | S::Completing | S::Failed),
            Self::Checking => matches!(before, S::Completing | S::Checking | S::Failed),
            Self::Completed { .. } => matches!(before, S::Completing | S::Checking),
            Self::Failed { .. } => before != S::Completed,
        }
    }
}

/// How far a destination was listed or read back, and found to be what the ledger says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checked {
    /// Everything below this index is.
    pub through: u32,
    /// How many blocks that were.
    pub blocks: Blocks,
    /// Of a file: which one it was. Another one, or one that was written to since, is read from its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Of a file: the state of the SHA-256 of all its bytes up to there (32 bytes; no digest of anything).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
}

/// What becomes of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uploading {
    /// It is about to be begun.
    Wanted {
        /// Seconds since the epoch: none of ours is older.
        since: i64,
    },
    /// It exists.
    Begun {
        /// Its id.
        id: String,
    },
    /// From this part on, which begins at that byte, parts are so long.
    Cut {
        /// The part.
        part: u32,
        /// Its first byte.
        at: u64,
        /// The length of each, but the last.
        size: Bytes,
    },
    /// It was put together, or given up and is gone.
    Ended,
}

/// One segment, as cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Its number.
    pub segment: u32,
    /// Its indexes.
    pub range: BlockRange,
}

/// What became of credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credentials {
    /// The job waits for fresh ones.
    Waiting {
        /// Whose.
        profile: String,
        /// What ended them.
        why: String,
    },
    /// Fresh ones of the same account came.
    Fresh {
        /// Whose.
        profile: String,
        /// When these end.
        expires: Option<Timestamp>,
    },
}

/// Totals over all runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Milliseconds that it ran.
    pub elapsed_ms: u64,
    /// Read from the source.
    pub bytes_read: Bytes,
    /// Written, all destinations.
    pub bytes_written: Bytes,
    /// Read back from destinations.
    #[serde(default)]
    pub bytes_read_back: Bytes,
    /// Requests made.
    pub requests: Requests,
    /// What was mended.
    pub troubles: Troubles,
    /// Highest resident size sampled while it ran.
    pub peak_rss: Bytes,
    /// What was said of all jobs that ran then, when there were several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_at_peak: Option<Bytes>,
}

/// What a note is about, for filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// A limiter was cut, or stands at its cap again.
    Throttle,
    /// The window moved, and why.
    Lanes,
    /// Nothing moved for a while.
    Stall,
    /// A segment was cut, stolen from, or re-listed.
    Segment,
    /// The budget, or something that waits for it.
    Memory,
    /// A destination.
    Destination,
    /// Anything else.
    Other,
}

/// A line of the log view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What it is about.
    pub topic: Topic,
    /// `segment 9`, `lanes`, `eu-west-1`.
    pub subject: String,
    /// One sentence.
    pub text: String,
    /// How loud.
    pub tone: Tone,
    /// How many alike were folded into it.
    pub count: u32,
}
