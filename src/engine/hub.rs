//! What one running job is, seen from outside: state, lanes and why, counts, troubles, events.
//!
//! Lanes write here without meeting each other; the job's tick merges a few times a second, and `Status` reads
//! what the last tick left. Invariant: everything kept is bounded, and nothing here decides about data.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::blocks::lock;
use super::call::Caller;
use super::journal::{Note, Progress, Record, Step, Topic};
use super::keeper::{Board, Counts, Distant, Keeper};
use super::protocol::{
    Checking, Copied, DestinationState, Event, Evidence, JobState, LaneReason, Lanes, LanesStatus, Requests, Stall,
    Tone, Troubles,
};
use super::rate::{Cause, Hold};
use super::retry::{Outage, Policy};
use super::stall::{News, Seen, Watch};
use super::telemetry::{JobTelemetry, LaneLog, Lately, SegmentView};
use super::throttle::Allowance;
use super::window::{Bounds, Change, Gate, Sample, Window};
use crate::bandwidth::Bandwidth;
use crate::error::Error;
use crate::ids::{BlockIndex, JobId};
use crate::store::routes::Past;
use crate::units::{Bytes, Digest, Rate};

/// Events kept for the log view.
const EVENTS: usize = 200;
/// Events alike within this are folded into one.
const FOLD: Duration = Duration::from_secs(10);

/// One destination, as it is shown.
#[derive(Debug, Clone)]
pub(super) struct DestinationView {
    pub address: String,
    pub state: DestinationState,
    pub checksum: Option<Digest>,
    pub checking: Option<Checking>,
    pub evidence: Evidence,
    pub image: Option<Digest>,
    pub error: Option<Error>,
    /// How far S3 is, where it copies by itself.
    pub copied: Option<Copied>,
}

/// Where the job stands, as it is shown.
#[derive(Debug, Clone)]
pub(super) struct StateView {
    pub state: JobState,
    pub why: String,
    pub error: Option<Error>,
    pub expires: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

#[derive(Debug)]
struct Pacing {
    window: Window,
    /// Items that went through until the last tick, and how long they took together.
    items: u64,
    took: Duration,
}

/// One running job, seen from outside.
#[derive(Debug)]
pub(super) struct Hub {
    pub job: JobId,
    pub gate: Gate,
    /// This job's own bytes a second.
    pub throttle: Allowance,
    pacing: Mutex<Pacing>,
    telemetry: Mutex<JobTelemetry>,
    outage: Mutex<Outage>,
    events: Mutex<VecDeque<Event>>,
    state: Mutex<StateView>,
    destinations: Mutex<Vec<DestinationView>>,
    keeper: Mutex<Option<Distant>>,
    board: OnceLock<Arc<Board>>,
    seen_items: AtomicU64,
    items: AtomicU64,
    /// How long all of them took together, in microseconds.
    took: AtomicU64,
    memory_waits: AtomicBool,
    begun: Instant,
    moving: Mutex<Moving>,
    before: Progress,
    /// The highest sample of the process, and what was said of all jobs then, when there were several.
    peak: Mutex<(Bytes, Option<Bytes>)>,
    stall: Mutex<Watch>,
    /// The limit of bytes a second that blocks waited for at the last tick.
    held_by: Mutex<Option<String>>,
    /// Bytes of buffers that are kept for the next blocks.
    idle: AtomicU64,
}

/// How long blocks moved: what is left of a job's time is its start and its end.
#[derive(Debug, Default)]
struct Moving {
    since: Option<Instant>,
    before: Duration,
}

impl Moving {
    fn turn(&mut self, moves: bool, now: Instant) {
        match (self.since, moves) {
            (None, true) => self.since = Some(now),
            (Some(since), false) => {
                self.before += now.saturating_duration_since(since);
                self.since = None;
            }
            _ => {}
        }
    }
}

/// What a tick saw, for `Status`.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    /// From the source.
    pub read: Bytes,
    /// From destinations, to compare; after a resume from a source that can change, too.
    pub read_back: Bytes,
    pub written: Bytes,
    pub rate: Rate,
    pub lately: Option<Lately>,
    /// What destinations acknowledge a second.
    pub writes: Rate,
    pub history: Vec<f32>,
    pub requests: Requests,
    pub troubles: Troubles,
    pub get_ms: Option<(f32, f32)>,
    pub put_ms: Option<(f32, f32)>,
    /// Blocks that are being read, and on their way to each destination.
    pub reading: u32,
    pub writing: Vec<u32>,
    pub idle: Bytes,
}

impl Hub {
    /// `before` is what earlier runs of the job counted.
    pub(super) fn new(
        job: JobId,
        bounds: Bounds,
        lanes: Lanes,
        before: Progress,
        destinations: Vec<DestinationView>,
        bandwidth: Option<Bandwidth>,
    ) -> Arc<Self> {
        let now = Instant::now();
        let window = Window::new(bounds, lanes, now);
        Arc::new(Self {
            job,
            gate: Gate::new(window.target()),
            throttle: Allowance::new(bandwidth),
            pacing: Mutex::new(Pacing { window, items: 0, took: Duration::ZERO }),
            telemetry: Mutex::new(JobTelemetry::new(before.requests, before.troubles, now)),
            outage: Mutex::default(),
            events: Mutex::default(),
            state: Mutex::new(StateView {
                state: JobState::Queued,
                why: String::new(),
                error: None,
                expires: None,
                ended: None,
            }),
            destinations: Mutex::new(destinations),
            keeper: Mutex::default(),
            board: OnceLock::new(),
            seen_items: AtomicU64::new(0),
            items: AtomicU64::new(0),
            took: AtomicU64::new(0),
            memory_waits: AtomicBool::new(false),
            begun: now,
            moving: Mutex::default(),
            before,
            peak: Mutex::new((before.peak_rss, before.said_at_peak)),
            stall: Mutex::new(Watch::new(now)),
            held_by: Mutex::default(),
            idle: AtomicU64::new(0),
        })
    }

    /// From here on what is said is journaled as well, for as long as somebody else has the keeper: its thread has the
    /// destinations, and these have this hub.
    pub(super) fn journal_to(&self, keeper: &Keeper) {
        let _ = self.board.set(Arc::clone(keeper.board()));
        *lock(&self.keeper) = Some(keeper.distant());
    }

    /// Journals what need not be on the disk at once.
    pub(super) fn record(&self, record: Record) {
        if let Some(keeper) = &*lock(&self.keeper) {
            keeper.note(record);
        }
    }

    /// What the ledger said last.
    pub(super) fn counts(&self) -> Counts {
        self.board.get().map(|board| lock(&board.counts).clone()).unwrap_or_default()
    }

    /// Somebody looks at the segments and the map.
    pub(super) fn watched(&self) {
        if let Some(board) = self.board.get() {
            board.watch();
        }
    }

    /// Whether items went through since this was asked last.
    pub(super) fn take_progress(&self) -> bool {
        let items = self.items.load(Ordering::Relaxed);
        self.seen_items.swap(items, Ordering::Relaxed) != items
    }

    /// A page is listed again for fresh tokens.
    pub(super) fn relisted(&self) {
        lock(&self.telemetry).troubles.relisted += 1;
    }

    /// A log for a new lane.
    pub(super) fn lane_log(&self) -> LaneLog {
        lock(&self.telemetry).lane()
    }

    /// An item is through; from its lane's turn on it took so long.
    pub(super) fn item_done(&self, took: Duration) {
        self.items.fetch_add(1, Ordering::Relaxed);
        self.took.fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Ordering::Relaxed);
    }

    /// A lane stood still for want of memory.
    pub(super) fn waited_for_memory(&self) {
        self.memory_waits.store(true, Ordering::Relaxed);
    }

    pub(super) fn succeeded(&self) {
        lock(&self.outage).succeeded();
    }

    /// The process did not run for a while: how long nothing has succeeded is counted from here.
    pub(super) fn thawed(&self) {
        lock(&self.outage).succeeded();
    }

    /// A request failed; for how long nothing has succeeded, when that is too long.
    pub(super) fn failed(&self, policy: &Policy, now: Instant) -> Option<Duration> {
        lock(&self.outage).failed(policy, now)
    }

    /// A deadline passed, or the service could not keep up.
    pub(super) fn congested(&self, now: Instant) {
        let change = lock(&self.pacing).window.congested(now);
        self.turned(change);
    }

    /// Whoever sees more than the window does moves it.
    pub(super) fn drive_lanes(&self, to: u32, reason: LaneReason, text: String) {
        let change = lock(&self.pacing).window.drive(to, reason, text, Instant::now());
        self.turned(change);
    }

    /// The user turns the lanes.
    pub(super) fn set_lanes(&self, lanes: Lanes) {
        let change = lock(&self.pacing).window.set_lanes(lanes, Instant::now());
        self.turned(change);
    }

    /// The budget has room for so many.
    pub(super) fn set_memory_lanes(&self, lanes: u32) {
        let change = lock(&self.pacing).window.set_memory(lanes, Instant::now());
        self.turned(change);
    }

    /// Among several jobs its part is so many lanes; `None` when there is nobody to share with.
    pub(super) fn share_lanes(&self, lanes: Option<u32>) {
        let change = lock(&self.pacing).window.share(lanes, Instant::now());
        self.turned(change);
    }

    pub(super) fn lanes_target(&self) -> u32 {
        lock(&self.pacing).window.target()
    }

    fn turned(&self, change: Option<Change>) {
        self.gate.set_limit(self.lanes_target());
        if let Some(change) = change {
            let slowed = matches!(change.reason, LaneReason::Congestion | LaneReason::AccountThrottle);
            let tone = if slowed { Tone::Warning } else { Tone::Info };
            self.note(Topic::Lanes, "lanes", format!("{} → {}: {}", change.from, change.to, change.text), tone);
        }
    }

    /// Merges what happened since the last tick; a few times a second while blocks move.
    pub(super) fn tick(&self, holds: impl FnOnce() -> Option<Hold>) {
        let now = Instant::now();
        let quickest = {
            let mut telemetry = lock(&self.telemetry);
            telemetry.tick(now);
            telemetry.quickest()
        };
        let items = self.items.load(Ordering::Relaxed);
        let took = Duration::from_micros(self.took.load(Ordering::Relaxed));
        let hold = holds();
        *lock(&self.held_by) =
            hold.as_ref().filter(|hold| hold.cause == Cause::Bandwidth).map(|hold| hold.name.clone());
        let sample = Sample {
            items: 0,
            peak: self.gate.take_peak(),
            hold,
            memory_waits: self.memory_waits.swap(false, Ordering::Relaxed),
            quickest,
            takes: None,
        };
        let change = {
            let mut pacing = lock(&self.pacing);
            let (items_now, took_now) = (items.saturating_sub(pacing.items), took.saturating_sub(pacing.took));
            let takes = u32::try_from(items_now).ok().and_then(|items| took_now.checked_div(items));
            let sample = Sample { items: items_now, takes, ..sample };
            (pacing.items, pacing.took) = (items, took);
            pacing.window.tick(now, sample)
        };
        self.turned(change);
    }

    /// Looks whether the job gets on, and names what it waits for when it does not. Called for every picture, because
    /// opening, the canary and a wait can hang as well as a pass.
    pub(super) fn look(&self, caller: &Caller) {
        let now = Instant::now();
        let facts = {
            let mut telemetry = lock(&self.telemetry);
            if telemetry.is_stale(now) {
                telemetry.tick(now);
            }
            let bandwidth = lock(&self.held_by).clone();
            let seen = Seen {
                state: self.state(),
                reason: self.lanes().reason,
                targets: self.destinations().into_iter().map(|view| view.address).collect(),
                telemetry: &telemetry,
                bandwidth,
            };
            seen.beside(&caller.routes(), now)
        };
        let news = lock(&self.stall).look(&facts, now);
        if let Some(News(text, tone)) = news {
            self.note(Topic::Stall, "stall", text, tone);
        }
    }

    /// A request failed, for whatever reason.
    pub(super) fn met(&self, error: &Error) {
        lock(&self.stall).met(error);
    }

    /// What it waits for, as of the last look.
    pub(super) fn stall(&self) -> Option<Stall> {
        lock(&self.stall).stall()
    }

    /// Where most of its blocks stand.
    pub(super) fn stands(&self) -> &'static str {
        lock(&self.stall).stands()
    }

    /// Buffers are kept for the next blocks.
    pub(super) fn keeps(&self, idle: Bytes) {
        self.idle.store(idle.0, Ordering::Relaxed);
    }

    /// What the last tick saw.
    pub(super) fn figures(&self) -> Figures {
        let telemetry = lock(&self.telemetry);
        Figures {
            read: telemetry.read.total().less(telemetry.read_back),
            read_back: telemetry.read_back,
            written: telemetry.written.total(),
            rate: telemetry.read.fast(),
            lately: telemetry.lately(Instant::now()),
            writes: telemetry.written.fast(),
            history: telemetry.history.values(),
            requests: telemetry.requests,
            troubles: telemetry.troubles,
            get_ms: telemetry.get.recent_ms(),
            put_ms: telemetry.put.recent_ms(),
            reading: telemetry.reading(),
            writing: telemetry.targets().iter().map(|target| target.blocks).collect(),
            idle: Bytes(self.idle.load(Ordering::Relaxed)),
        }
    }

    pub(super) fn segment(&self, id: u32) -> SegmentView {
        lock(&self.telemetry).view(id, Instant::now())
    }

    /// Blocks that were retried more than three times and are not done.
    pub(super) fn struggling(&self) -> Vec<BlockIndex> {
        lock(&self.telemetry).struggling().to_vec()
    }

    pub(super) fn lanes(&self) -> LanesStatus {
        let pacing = lock(&self.pacing);
        pacing.window.status(Instant::now(), crate::wall::now(), self.gate.in_flight())
    }

    /// Says something to whoever watches, and to the journal.
    pub(super) fn say(&self, subject: impl Into<String>, text: impl Into<String>, tone: Tone) {
        self.note(Topic::Other, subject, text, tone);
    }

    pub(super) fn note(&self, topic: Topic, subject: impl Into<String>, text: impl Into<String>, tone: Tone) {
        let (subject, text, at) = (subject.into(), text.into(), crate::wall::now());
        tracing::info!(job = %self.job, subject, text);
        let mut events = lock(&self.events);
        let alike = events.iter_mut().rev().take(8).find(|event| {
            event.subject == subject
                && event.tone == tone
                && same_words(&event.text, &text)
                && crate::age::is_within(event.at, at, jiff::SignedDuration::try_from(FOLD).unwrap_or_default())
        });
        if let Some(event) = alike {
            (event.count, event.text) = (event.count + 1, text);
            return;
        }
        if events.len() == EVENTS {
            events.pop_front();
        }
        let event = Event { at, job: Some(self.job), subject: subject.clone(), text: text.clone(), tone, count: 1 };
        events.push_back(event);
        drop(events);
        self.record(Record::Note(Note { topic, subject, text, tone, count: 1 }));
    }

    pub(super) fn events(&self) -> Vec<Event> {
        lock(&self.events).iter().cloned().collect()
    }

    /// Events of an earlier run, so that the log view goes on.
    pub(super) fn remember(&self, events: impl IntoIterator<Item = Event>) {
        let mut known = lock(&self.events);
        known.extend(events);
        while known.len() > EVENTS {
            known.pop_front();
        }
    }

    pub(super) fn state(&self) -> StateView {
        lock(&self.state).clone()
    }

    pub(super) fn set_state(&self, state: JobState, why: impl Into<String>, error: Option<Error>) {
        if let Some(error) = error.as_ref().filter(|_| state == JobState::Waiting) {
            lock(&self.stall).waits(error);
        }
        lock(&self.moving).turn(state == JobState::Running, Instant::now());
        let mut view = lock(&self.state);
        view.state = state;
        view.why = why.into();
        view.error = error;
        view.ended = (!state.is_active() && state != JobState::Queued).then(crate::wall::now);
    }

    /// The job ended in this state.
    pub(super) fn finish(&self, state: JobState, error: Option<Error>) {
        let why = if state == JobState::Done { "" } else { state.word() };
        self.set_state(state, why, error);
    }

    pub(super) fn set_expires(&self, expires: Option<Timestamp>) {
        lock(&self.state).expires = expires;
    }

    pub(super) fn destinations(&self) -> Vec<DestinationView> {
        lock(&self.destinations).clone()
    }

    pub(super) fn destination(&self, dest: usize, change: impl FnOnce(&mut DestinationView)) {
        if let Some(view) = lock(&self.destinations).get_mut(dest) {
            change(view);
        }
    }

    /// A destination took a step.
    pub(super) fn destination_step(&self, dest: usize, step: &Step) {
        self.destination(dest, |view| {
            view.state = step.state();
            match step {
                Step::Completing { checksum, .. } => view.checksum = *checksum,
                Step::Completed { evidence, image } => (view.evidence, view.image) = (*evidence, *image),
                Step::Failed { error } => view.error = Some(error.clone()),
                Step::Starting { .. } | Step::Started { .. } | Step::Writing => view.error = None,
                Step::Checking => {}
            }
        });
    }

    /// How far S3 is with what it copies itself.
    pub(super) fn copied(&self, dest: usize, copied: &Copied) {
        self.destination(dest, |view| view.copied = Some(copied.clone()));
    }

    /// How far a destination is checked.
    pub(super) fn checked(&self, dest: usize, checking: Checking) {
        self.destination(dest, |view| view.checking = Some(checking));
    }

    /// Takes in what was counted since the last tick: nobody ticks while destinations are completed and checked.
    pub(super) fn settle(&self) {
        lock(&self.telemetry).tick(Instant::now());
    }

    /// The process was sampled; `said` is what was said of all jobs that run in it, when this one is not alone.
    pub(super) fn sampled_rss(&self, rss: Bytes, said: Option<Bytes>) {
        let mut peak = lock(&self.peak);
        if rss > peak.0 {
            *peak = (rss, said);
        }
    }

    /// What this run was, for estimates of the next one that goes the same way; `whole` when its time is made of start,
    /// blocks and end alone, with lanes that nobody held back.
    pub(super) fn past(&self, whole: bool) -> Past {
        let (figures, progress) = (self.figures(), self.progress());
        #[expect(clippy::cast_precision_loss, reason = "a duration")]
        let seconds = progress.elapsed_ms as f64 / 1000.0;
        Past {
            blocks: figures.read.blocks(),
            seconds,
            moving: if whole { lock(&self.moving).before.as_secs_f64() } else { 0.0 },
            capped: !whole,
            get_ms: figures.get_ms.map_or(0.0, |(median, _)| median),
            put_ms: figures.put_ms.map_or(0.0, |(median, _)| median),
            lanes: self.lanes().target,
            at: crate::wall::now(),
        }
    }

    /// Totals over all runs, for the journal and for `Status`.
    pub(super) fn progress(&self) -> Progress {
        let figures = self.figures();
        let (peak_rss, said_at_peak) = *lock(&self.peak);
        Progress {
            elapsed_ms: self.before.elapsed_ms + u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes_read: self.before.bytes_read + figures.read,
            bytes_written: self.before.bytes_written + figures.written,
            bytes_read_back: self.before.bytes_read_back + figures.read_back,
            requests: figures.requests,
            troubles: figures.troubles,
            peak_rss,
            said_at_peak,
        }
    }
}

/// Whether two texts differ in figures only.
fn same_words(a: &str, b: &str) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    words(a) == words(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::window::Bounds;

    #[test]
    fn what_was_said_at_the_highest_sample_goes_with_it() {
        let bounds = Bounds { start: 1, most: 1 };
        let mib = Bytes::mib;
        let hub = Hub::new(JobId(1), bounds, Lanes::Auto, Progress::default(), Vec::new(), None);
        hub.sampled_rss(mib(60), None);
        hub.sampled_rss(mib(90), Some(mib(120)));
        hub.sampled_rss(mib(70), None);
        let progress = hub.progress();
        assert_eq!((progress.peak_rss, progress.said_at_peak), (mib(90), Some(mib(120))));
        let again = Hub::new(JobId(1), bounds, Lanes::Auto, progress, Vec::new(), None);
        again.sampled_rss(mib(95), None);
        assert_eq!((again.progress().peak_rss, again.progress().said_at_peak), (mib(95), None), "alone this time");
    }
}
