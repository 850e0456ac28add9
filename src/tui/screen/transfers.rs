//! Jobs: how far, how fast, and why not faster; everything that can be turned while they run.
//!
//! Shows the engine's last picture and nothing else: the sum in the header is the sum of the rows. Every key
//! acts on the marks when there are any, else on the job under the cursor, and becomes a command to the
//! engine; what the engine makes of it comes back with its next picture.

pub(super) mod act;
pub(super) mod engine;
mod list;
pub(in crate::tui) mod memory;
pub(super) mod panels;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crossterm::event::{KeyEvent, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::engine::protocol::{Command, JobState, JobStatus, Lanes, Status};
use crate::ids::JobId;
use crate::tui::action::Action;
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::msg::Msg;
use crate::tui::screen::{Page, Screen};

pub(super) use act::job_actions;
pub(super) use list::{left_text, state, what};

/// One point of the graph behind `t`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When, in seconds since the epoch.
    pub at: i64,
    /// MiB a second.
    pub rate: f32,
    /// Budget held by the job, MiB.
    pub memory: f32,
    /// Requests in flight.
    pub lanes: f32,
    /// 99th percentile of a Get, milliseconds.
    pub latency: f32,
}

/// Points kept at most: an hour, one every five seconds.
const SAMPLES: usize = 720;
/// Seconds between two points.
const SAMPLE_EVERY: i64 = 5;

/// What the screen keeps.
#[derive(Debug, Default)]
pub struct State {
    /// The job under the cursor.
    pub cursor: Option<JobId>,
    /// Marked jobs.
    pub marks: BTreeSet<JobId>,
    /// The picture that is held still.
    pub frozen: Option<Arc<Status>>,
    /// Whether the graph lies over the map and the segments.
    pub graph: bool,
    /// What was watched since the job was chosen.
    pub samples: VecDeque<Sample>,
    /// Whose samples those are, and what the engine was asked to tell of.
    watched: Option<JobId>,
    /// Lanes asked for since the last picture, so that keys add up.
    pub(super) asked: BTreeMap<JobId, u32>,
    /// Jobs that the cancel dialog is about.
    pub(super) cancelling: Vec<JobId>,
}

/// What can be done here.
pub const ACTIONS: &[Action] = &job_actions!("jobs", Screen::Transfers);

/// The door.
pub const PAGE: Page = Page {
    title: "Transfers",
    is_list: false,
    actions: ACTIONS,
    view: view::view,
    note,
    command: |model| {
        selected(model).map_or_else(|| "floe jobs".to_owned(), |job| format!("floe jobs show {}", job.job))
    },
    hear,
    key: |_: &mut Model, _: KeyEvent, _| None,
    mouse,
};

/// `frozen 9 s ago`, `engine 9 h up`.
pub(super) fn note(model: &Model, now: Now) -> String {
    use crate::tui::text::age;
    match (&model.transfers.frozen, &model.status) {
        (None, Some(status)) if model.quiet.is_some() => format!("figures of {}", status.at.strftime("%H:%M:%S")),
        (Some(frozen), _) => format!("FROZEN {} ago", age(frozen.at, now)),
        (None, Some(status)) => format!("engine {} up", age(status.engine_started, now)),
        (None, None) => "engine not started".to_owned(),
    }
}

/// The picture that is shown: the frozen one, else the last.
pub(in crate::tui) fn shown(model: &Model) -> Option<&Status> {
    model.transfers.frozen.as_deref().or(model.status.as_deref())
}

/// Where a job stands in the list: what runs, what waits for its turn, what needs you, what is over.
const fn rank(state: JobState) -> u8 {
    match state {
        JobState::Starting | JobState::Running | JobState::Completing | JobState::Verifying => 0,
        JobState::Queued => 1,
        JobState::Waiting | JobState::Paused | JobState::Partial | JobState::Failed | JobState::Interrupted => 2,
        JobState::Done | JobState::Cancelled => 3,
    }
}

/// The jobs in the order they are shown; the queue keeps the engine's order.
pub(super) fn ordered(status: &Status) -> Vec<&JobStatus> {
    let mut jobs: Vec<&JobStatus> = status.jobs.iter().collect();
    jobs.sort_by_key(|job| {
        let over = if job.state.is_over() { std::cmp::Reverse(job.job.0) } else { std::cmp::Reverse(0) };
        (rank(job.state), over)
    });
    jobs
}

/// The job under the cursor.
pub(super) fn selected(model: &Model) -> Option<&JobStatus> {
    let status = shown(model)?;
    let cursor = model.transfers.cursor?;
    status.jobs.iter().find(|job| job.job == cursor)
}

/// What a key acts on: the marks, else the cursor.
pub(super) fn targets(model: &Model) -> Vec<JobId> {
    if model.transfers.marks.is_empty() {
        selected(model).map(|job| job.job).into_iter().collect()
    } else {
        model.transfers.marks.iter().copied().collect()
    }
}

/// Moves the cursor by rows; stops at both ends.
pub(super) fn step(model: &mut Model, by: isize) -> Vec<Effect> {
    let Some(status) = shown(model) else { return Vec::new() };
    let jobs = ordered(status);
    let at = jobs.iter().position(|job| Some(job.job) == model.transfers.cursor).unwrap_or(0);
    let next = at.saturating_add_signed(by).min(jobs.len().saturating_sub(1));
    let next = jobs.get(next).map(|job| job.job);
    choose(model, next)
}

/// Puts the cursor on a job and asks the engine to tell of it.
pub(super) fn choose(model: &mut Model, job: Option<JobId>) -> Vec<Effect> {
    model.transfers.cursor = job;
    if model.transfers.watched == job {
        return Vec::new();
    }
    model.transfers.watched = job;
    model.transfers.samples.clear();
    vec![Effect::Engine(Box::new(Command::Watch(job)))]
}

fn hear(model: &mut Model, msg: &Msg, now: Now) -> Vec<Effect> {
    match msg {
        Msg::Status(status) => heard(model, status),
        Msg::Answered(command, result) => {
            act::answered(model, command, result, now);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// A new picture: marks and cursor of jobs that are gone go, the graph grows, the watched job is asked for.
fn heard(model: &mut Model, status: &Arc<Status>) -> Vec<Effect> {
    let state = &mut model.transfers;
    let known = |id: &JobId| status.jobs.iter().any(|job| job.job == *id);
    state.marks.retain(known);
    // A picture may be older than the last key: what was asked for counts until it is seen, or the job is over.
    state.asked.retain(|id, lanes| {
        let job = status.jobs.iter().find(|job| job.job == *id && job.state.is_active());
        job.is_some_and(|job| job.lanes.setting != Lanes::Pinned(*lanes))
    });
    if !state.cursor.as_ref().is_some_and(known) {
        state.cursor = ordered(status).first().map(|job| job.job);
    }
    if let Some(job) = status.jobs.iter().find(|job| Some(job.job) == state.cursor && job.state.is_active()) {
        let at = status.at.as_second();
        if state.samples.back().is_none_or(|last| at - last.at >= SAMPLE_EVERY) {
            if state.samples.len() == SAMPLES {
                state.samples.pop_front();
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "points of a graph")]
            state.samples.push_back(Sample {
                at,
                rate: (job.rate.as_tenths() / 10.0) as f32,
                memory: job.held.as_mib() as f32,
                lanes: job.lanes.now as f32,
                latency: job.get_ms.map_or(f32::NAN, |(_, p99)| p99),
            });
        }
    }
    let cursor = state.cursor;
    let told = status.detail.as_ref().map(|detail| detail.job);
    if told == cursor {
        state.watched = cursor;
    }
    if matches!(model.screen, Screen::Transfers | Screen::Job) && state.watched != cursor {
        return choose(model, cursor);
    }
    Vec::new()
}

fn mouse(model: &mut Model, event: MouseEvent, area: Rect, _: Now) -> Vec<Effect> {
    match event.kind {
        MouseEventKind::ScrollDown => step(model, 1),
        MouseEventKind::ScrollUp => step(model, -1),
        MouseEventKind::Down(_) => {
            let Some(status) = shown(model) else { return Vec::new() };
            let first = list::first_row(model, status, area);
            // One line of border, one of headings.
            let Some(row) = event.row.checked_sub(area.y + 2) else { return Vec::new() };
            let clicked = ordered(status).get(first + usize::from(row)).map(|job| job.job);
            match clicked.filter(|_| row < list::height(status, area).saturating_sub(3)) {
                Some(job) => choose(model, Some(job)),
                None => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}
