//! What one job carries beside its row: its segments, its map, what happened, and what it would leave behind.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{BlockRange, JobId};
use crate::units::{Blocks, Rate};

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
