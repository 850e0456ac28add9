//! What happens to jobs, one JSON object a line: what `-o json` prints before its result (assets/events.schema.json).
//!
//! Invariants: an object with `event` is one of these, the one without it is the result; a job's state is told at
//! once and each once, its figures at most once a second, and a note as it stands in the job's journal, where none
//! is ever lost. What an engine that does not answer cannot write there itself is noted here, of `engine`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::table;
use crate::engine::journal::{Follow, Record};
use crate::engine::protocol::{
    Checking, DestinationState, Evidence, JobState, JobStatus, LaneReason, Requests, Status, Tone, Troubles,
};
use crate::engine::{self, Contact, what_ends_it};
use crate::error::Result;
use crate::ids::JobId;
use crate::store::StateDir;
use crate::units::Sure;

/// Version of the lines: a field may be added in it, none is taken away or changes its meaning.
const VERSION: u32 = 1;
/// Figures of a job are printed at most so often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize)]
struct Line<'a> {
    v: u32,
    at: Timestamp,
    job: JobId,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum What<'a> {
    State(State<'a>),
    Progress(Progress),
    Note(Note<'a>),
}

/// The job, or one of its destinations, came into another state.
#[derive(Debug, PartialEq, Serialize)]
struct State<'a> {
    state: JobState,
    why: &'a str,
    source: &'a str,
    destinations: Vec<Destination<'a>>,
    error: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Destination<'a> {
    address: &'a str,
    state: DestinationState,
    evidence: Evidence,
    error: Option<String>,
}

impl<'a> State<'a> {
    fn of(job: &'a JobStatus) -> Self {
        let destination = |to: &'a crate::engine::protocol::DestinationStatus| Destination {
            address: &to.address,
            state: to.state,
            evidence: to.evidence,
            error: to.error.as_ref().map(ToString::to_string),
        };
        Self {
            state: job.state,
            why: &job.why,
            source: &job.source,
            destinations: job.destinations.iter().map(destination).collect(),
            error: job.error.as_ref().map(ToString::to_string),
        }
    }
}

/// The figures of a job that moves.
#[derive(Debug, PartialEq, Serialize)]
struct Progress {
    blocks_done: u64,
    blocks_total: Option<u64>,
    blocks_total_exact: bool,
    bytes_read: u64,
    bytes_written: u64,
    bytes_per_second: f64,
    left_seconds: Option<[f64; 2]>,
    checking: Option<Checking>,
    elapsed_seconds: f64,
    lanes: Lanes,
    get_ms: Option<Latency>,
    put_ms: Option<Latency>,
    requests: Requests,
    troubles: Troubles,
    spent_usd: f64,
    held_bytes: u64,
    budget_bytes: u64,
    rss_bytes: u64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Lanes {
    now: u32,
    target: u32,
    cap: u32,
    reason: LaneReason,
}

#[derive(Debug, PartialEq, Serialize)]
struct Latency {
    p50: f32,
    p99: f32,
}

impl Progress {
    fn of(job: &JobStatus, picture: &Status) -> Self {
        let latency = |ms: Option<(f32, f32)>| ms.map(|(p50, p99)| Latency { p50, p99 });
        let total = &job.blocks_total;
        Self {
            blocks_done: job.blocks_done.0,
            blocks_total: (total.sure != Sure::Unknown).then_some(total.value.0),
            blocks_total_exact: total.sure == Sure::Exact,
            bytes_read: job.bytes_read.0,
            bytes_written: job.bytes_written.0,
            bytes_per_second: job.rate.0,
            left_seconds: job.left_seconds.map(|(low, high)| [low, high]),
            checking: job.checking(),
            elapsed_seconds: job.elapsed_seconds,
            lanes: Lanes { now: job.lanes.now, target: job.lanes.target, cap: job.lanes.cap, reason: job.lanes.reason },
            get_ms: latency(job.get_ms),
            put_ms: latency(job.put_ms),
            requests: job.requests,
            troubles: job.troubles,
            spent_usd: job.spent.0,
            held_bytes: job.held.0,
            budget_bytes: picture.budget.limit.0,
            rss_bytes: picture.machine.rss.0,
        }
    }
}

/// One line of the job's log.
#[derive(Debug, Serialize)]
struct Note<'a> {
    subject: &'a str,
    text: &'a str,
    tone: Tone,
}

/// Prints what is new in each picture.
#[derive(Debug)]
pub struct Events {
    state: StateDir,
    since: Timestamp,
    told: BTreeMap<JobId, Told>,
    silent: bool,
}

#[derive(Debug)]
struct Told {
    journal: Follow,
    state: Option<String>,
    progress: Option<(Instant, u64)>,
}

impl Events {
    /// Nothing is told yet; of jobs that ran before, only what comes from now on.
    #[must_use]
    pub fn new(state: StateDir) -> Self {
        Self { state, since: crate::wall::now(), told: BTreeMap::new(), silent: false }
    }

    /// Notes with each of these jobs that its engine does not answer, and when it does again.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn contact(&mut self, jobs: &[JobStatus], contact: Contact) -> Result<()> {
        let (text, tone) = match contact {
            Contact::Silent(silence) if !self.silent => {
                (format!("{contact}; {}", what_ends_it(silence.pid)), Tone::Bad)
            }
            Contact::Answers if self.silent => ("the engine answers again".to_owned(), Tone::Good),
            _ => return Ok(()),
        };
        self.silent = matches!(contact, Contact::Silent(_));
        let note = || Note { subject: "engine", text: &text, tone };
        jobs.iter().try_for_each(|job| print(job, crate::wall::now(), What::Note(note())))
    }

    /// Prints what is new of these jobs.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn show(&mut self, jobs: &[JobStatus], picture: &Status) -> Result<()> {
        for job in jobs {
            let journal = || engine::follow(&self.state, job.job, self.since);
            let told =
                self.told.entry(job.job).or_insert_with(|| Told { journal: journal(), state: None, progress: None });
            told.show(job, picture)?;
        }
        Ok(())
    }
}

impl Told {
    fn show(&mut self, job: &JobStatus, picture: &Status) -> Result<()> {
        // What cannot be read now is read with the next picture.
        for entry in self.journal.fresh().unwrap_or_default() {
            if let Record::Note(note) = &entry.record {
                print(job, entry.at, What::Note(Note { subject: &note.subject, text: &note.text, tone: note.tone }))?;
            }
        }
        let state = State::of(job);
        let words = serde_json::to_string(&state).unwrap_or_default();
        let turned = self.state.as_ref() != Some(&words);
        if turned {
            self.state = Some(words);
            print(job, picture.at, What::State(state))?;
        }
        let moved = self.progress.is_none_or(|(_, blocks)| blocks != job.blocks_done.0);
        let due = self.progress.is_none_or(|(at, _)| at.elapsed() >= PROGRESS_EVERY);
        if turned || (due && (moved || job.state.is_active())) {
            self.progress = Some((Instant::now(), job.blocks_done.0));
            print(job, picture.at, What::Progress(Progress::of(job, picture)))?;
        }
        Ok(())
    }
}

fn print(job: &JobStatus, at: Timestamp, what: What<'_>) -> Result<()> {
    table::json(&Line { v: VERSION, at, job: job.job, what })
}
