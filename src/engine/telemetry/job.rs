//! The telemetry of one job: lanes write, the tick merges, `Status` reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::series::{Lately, Latency, Meter, Ring, Trail};
use crate::engine::call::READ_BACK;
use crate::engine::protocol::{Requests, Troubles};
use crate::engine::rate::Api;
use crate::error::Class;
use crate::ids::BlockIndex;
use crate::units::{Bytes, Rate};

/// Requests whose latency one lane keeps between two ticks; more are only counted.
const SAMPLES: usize = 256;

/// What one lane did since the last tick.
#[derive(Debug, Default)]
struct Pad {
    read: BTreeMap<u32, u64>,
    written: u64,
    requests: Requests,
    troubles: Troubles,
    retries: BTreeMap<u32, u32>,
    classes: BTreeMap<&'static str, u64>,
    took: Vec<(Api, u32, Duration)>,
    /// On their way now: one, or one for each destination.
    flights: Vec<(u64, u32, Api, Instant)>,
    next: u64,
    /// The block that this lane moves, and how often a request for it was sent again.
    moving: Option<(BlockIndex, u32)>,
    /// The destinations that it is being written to now.
    writing: Vec<(usize, Instant)>,
    /// How long writes took that ended.
    wrote: Vec<(usize, Duration)>,
}

/// A block is being written to a destination, retries included; dropped when that is over.
#[derive(Debug)]
pub struct Writing {
    log: LaneLog,
    dest: usize,
    began: Instant,
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut pad = self.log.pad();
        let at = pad.writing.iter().position(|(dest, _)| *dest == self.dest);
        at.map(|at| pad.writing.swap_remove(at));
        if pad.wrote.len() < SAMPLES {
            pad.wrote.push((self.dest, self.began.elapsed()));
        }
    }
}

/// A lane moves a block; dropped when it is done with it.
#[derive(Debug)]
pub struct Moving(LaneLog);

impl Drop for Moving {
    fn drop(&mut self) {
        self.0.pad().moving = None;
    }
}

/// A block whose requests were sent again more often than this is shown on the map until it is done.
const STRUGGLES: u32 = 3;

/// A lane's own log: only this lane writes to it and only the tick empties it. Dropped with its lane.
#[derive(Debug, Clone)]
pub struct LaneLog(Arc<Mutex<Pad>>);

/// A request on its way; dropped without [`Flight::landed`] it was given up.
#[derive(Debug)]
pub struct Flight {
    log: LaneLog,
    id: u64,
    segment: u32,
    api: Api,
    began: Instant,
}

impl LaneLog {
    fn pad(&self) -> MutexGuard<'_, Pad> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is sent: counted for the meter of dollars, whatever becomes of it, where each is `paid` for.
    #[must_use]
    pub fn take_off(&self, segment: u32, api: Api, now: Instant, paid: bool) -> Flight {
        if paid {
            self.asked(api);
        }
        let mut pad = self.pad();
        let id = pad.next;
        pad.next += 1;
        pad.flights.push((id, segment, api, now));
        drop(pad);
        Flight { log: self.clone(), id, segment, api, began: now }
    }

    /// A block is moved from now on: what is retried is retried for it.
    #[must_use]
    pub fn moves(&self, block: BlockIndex) -> Moving {
        self.pad().moving = Some((block, 0));
        Moving(self.clone())
    }

    /// A request is paid for, whatever becomes of it.
    pub fn asked(&self, api: Api) {
        let requests = &mut self.pad().requests;
        match api {
            Api::List | Api::Changed => requests.list += 1,
            Api::Get => requests.get += 1,
            Api::Put => requests.put += 1,
            Api::Fetch => {
                requests.get += 1;
                requests.fetch += 1;
            }
            Api::Store => {
                requests.put += 1;
                requests.store += 1;
            }
            Api::Complete => {}
        }
    }

    /// The block is on its way to that destination from now on.
    #[must_use]
    pub fn writes(&self, dest: usize) -> Writing {
        let began = Instant::now();
        self.pad().writing.push((dest, began));
        Writing { log: self.clone(), dest, began }
    }

    /// Bytes of a segment were read and checked.
    pub fn read(&self, segment: u32, bytes: Bytes) {
        *self.pad().read.entry(segment).or_default() += bytes.0;
    }

    /// Bytes were acknowledged by a destination.
    pub fn written(&self, bytes: Bytes) {
        self.pad().written += bytes.0;
    }

    /// A request failed and is sent again.
    pub fn retried(&self, segment: u32, class: Class) {
        let mut pad = self.pad();
        pad.troubles.retries += 1;
        if let Some((_, tried)) = &mut pad.moving {
            *tried += 1;
        }
        *pad.retries.entry(segment).or_default() += 1;
        *pad.classes.entry(class_name(class)).or_default() += 1;
        match class {
            Class::Throttled(level) => pad.troubles.throttled(level),
            Class::Congestion => pad.troubles.timeouts += 1,
            _ => {}
        }
    }

    /// A body did not match its checksum (besides being retried).
    pub fn corrupt(&self) {
        self.pad().troubles.corrupt += 1;
    }

    /// A page was listed again for fresh tokens.
    pub fn relisted(&self) {
        self.pad().troubles.relisted += 1;
    }
}

impl Flight {
    /// The answer is here and whole.
    pub fn landed(self, now: Instant) {
        let took = now.saturating_duration_since(self.began);
        let mut pad = self.log.pad();
        if pad.took.len() < SAMPLES {
            pad.took.push((self.api, self.segment, took));
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.log.pad().flights.retain(|(id, ..)| *id != self.id);
    }
}

#[derive(Debug)]
struct Segment {
    meter: Meter,
    history: Ring<20>,
    latency: Latency,
    retries: u32,
}

/// What goes on at one destination.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Target {
    /// Blocks on their way to it.
    pub blocks: u32,
    /// Since when the oldest of them is.
    pub oldest: Option<Instant>,
    /// Seconds that a block took lately, retries included; none before the first.
    pub takes: Option<f64>,
}

/// Telemetry that nobody has ticked for so long is ticked by whoever looks.
const STALE: Duration = Duration::from_millis(400);

/// What a segment's row shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SegmentView {
    /// Over the last 20 s.
    pub rate: Rate,
    /// One value per second, oldest first.
    pub history: Vec<f32>,
    /// 99th percentile of its requests, milliseconds.
    pub p99_ms: Option<f32>,
    /// Requests sent again.
    pub retries: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Age of the oldest of them.
    pub oldest: Option<Duration>,
}

/// The telemetry of one job.
#[derive(Debug)]
pub struct JobTelemetry {
    lanes: Vec<LaneLog>,
    segments: BTreeMap<u32, Segment>,
    flights: Vec<(u32, Api, Instant)>,
    struggling: Vec<BlockIndex>,
    reading: u32,
    targets: Vec<Target>,
    ticked: Instant,
    /// Requests that were answered whole.
    pub answers: u64,
    /// Read from the source, and read back.
    pub read: Meter,
    /// What of it was read back from destinations.
    pub read_back: Bytes,
    /// Written, all destinations.
    pub written: Meter,
    /// Ten minutes of reading, in steps of five seconds.
    pub history: Ring<120>,
    trail: Trail,
    /// Of GetSnapshotBlock.
    pub get: Latency,
    /// Of PutSnapshotBlock.
    pub put: Latency,
    /// Of listings.
    pub list: Latency,
    /// Requests made.
    pub requests: Requests,
    /// What went wrong and was mended.
    pub troubles: Troubles,
    classes: BTreeMap<&'static str, u64>,
}

impl JobTelemetry {
    /// Nothing happened yet. A resumed job hands in what its journal counted before.
    #[must_use]
    pub fn new(requests: Requests, troubles: Troubles, now: Instant) -> Self {
        Self {
            lanes: Vec::new(),
            segments: BTreeMap::new(),
            flights: Vec::new(),
            struggling: Vec::new(),
            reading: 0,
            targets: Vec::new(),
            ticked: now,
            answers: 0,
            read: Meter::new(now),
            read_back: Bytes::ZERO,
            written: Meter::new(now),
            history: Ring::new(Duration::from_secs(5), now),
            trail: Trail::default(),
            get: Latency::new(now),
            put: Latency::new(now),
            list: Latency::new(now),
            requests,
            troubles,
            classes: BTreeMap::new(),
        }
    }

    /// The quickest that a block can have been: the quickest read and the quickest write.
    #[must_use]
    pub fn quickest(&self) -> Option<Duration> {
        [&self.get, &self.put].into_iter().filter_map(Latency::quickest).reduce(|get, put| get + put)
    }

    /// How fast it reads, for whoever asks how long it still takes.
    #[must_use]
    pub fn lately(&self, now: Instant) -> Option<Lately> {
        self.trail.lately(self.read.total(), now)
    }

    /// A log for a new lane.
    pub fn lane(&mut self) -> LaneLog {
        let log = LaneLog(Arc::default());
        self.lanes.push(log.clone());
        log
    }

    /// Merges what lanes did since the last tick; a few times a second.
    pub fn tick(&mut self, now: Instant) {
        self.ticked = now;
        self.flights.clear();
        self.struggling.clear();
        self.reading = 0;
        self.targets.iter_mut().for_each(|target| (target.blocks, target.oldest) = (0, None));
        let mut lanes = std::mem::take(&mut self.lanes);
        // A lane that ended has dropped its log: what it left is merged a last time, then it is forgotten.
        lanes.retain(|lane| {
            let alive = Arc::strong_count(&lane.0) > 1;
            let pad = {
                let mut pad = lane.pad();
                let (flights, writing) = (pad.flights.clone(), pad.writing.clone());
                let kept = Pad { flights, writing, next: pad.next, moving: pad.moving, ..Pad::default() };
                std::mem::replace(&mut *pad, kept)
            };
            self.merge(pad, now);
            alive
        });
        self.lanes = lanes;
        self.read.tick(now);
        self.written.tick(now);
        self.trail.push(self.read.total(), now);
        self.history.push(self.read.fast().0, now);
        for segment in self.segments.values_mut() {
            segment.meter.tick(now);
            segment.history.push(segment.meter.fast().0, now);
        }
    }

    fn merge(&mut self, pad: Pad, now: Instant) {
        self.places(&pad);
        for (id, bytes) in pad.read {
            self.read.add(Bytes(bytes));
            if id == READ_BACK {
                self.read_back += Bytes(bytes);
            }
            self.segment(id, now).meter.add(Bytes(bytes));
        }
        self.written.add(Bytes(pad.written));
        for (id, retries) in pad.retries {
            self.segment(id, now).retries += retries;
        }
        for (class, count) in pad.classes {
            *self.classes.entry(class).or_default() += count;
        }
        for (api, id, took) in pad.took {
            self.answers += 1;
            match api {
                Api::Get | Api::Fetch => self.get.record(took, now),
                Api::Put | Api::Store => self.put.record(took, now),
                Api::List | Api::Changed | Api::Complete => self.list.record(took, now),
            }
            self.segment(id, now).latency.record(took, now);
        }
        self.flights.extend(pad.flights.into_iter().map(|(_, segment, api, began)| (segment, api, began)));
        self.struggling.extend(pad.moving.filter(|(_, tried)| *tried > STRUGGLES).map(|(block, _)| block));
        let (sum, more) = (&mut self.requests, pad.requests);
        (sum.list, sum.get, sum.put) = (sum.list + more.list, sum.get + more.get, sum.put + more.put);
        (sum.fetch, sum.store) = (sum.fetch + more.fetch, sum.store + more.store);
        let (sum, more) = (&mut self.troubles, pad.troubles);
        sum.retries += more.retries;
        sum.snapshot_throttles += more.snapshot_throttles;
        sum.account_throttles += more.account_throttles;
        sum.kms_throttles += more.kms_throttles;
        sum.timeouts += more.timeouts;
        sum.corrupt += more.corrupt;
        sum.relisted += more.relisted;
    }

    /// Where the blocks of a lane are.
    fn places(&mut self, pad: &Pad) {
        self.reading += u32::from(pad.moving.is_some() && pad.writing.is_empty());
        for (dest, began) in &pad.writing {
            let target = self.target(*dest);
            target.blocks += 1;
            target.oldest = Some(target.oldest.map_or(*began, |oldest| oldest.min(*began)));
        }
        for (dest, took) in &pad.wrote {
            let (target, took) = (self.target(*dest), took.as_secs_f64());
            // The last few count: what a target is like now.
            target.takes = Some(target.takes.map_or(took, |takes| takes + (took - takes) / 8.0));
        }
    }

    fn target(&mut self, dest: usize) -> &mut Target {
        while self.targets.len() <= dest {
            self.targets.push(Target::default());
        }
        &mut self.targets[dest]
    }

    /// Whether nobody ticks it now.
    #[must_use]
    pub fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.ticked) >= STALE
    }

    /// Blocks that are being read, as of the last tick.
    #[must_use]
    pub const fn reading(&self) -> u32 {
        self.reading
    }

    /// What goes on at each destination, as of the last tick; those that were never written to may be missing.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    fn segment(&mut self, id: u32, now: Instant) -> &mut Segment {
        self.segments.entry(id).or_insert_with(|| Segment {
            meter: Meter::new(now),
            history: Ring::new(Duration::from_secs(1), now),
            latency: Latency::new(now),
            retries: 0,
        })
    }

    /// Forgets a segment that is done: its bytes stay in the job's totals.
    pub fn forget(&mut self, segment: u32) {
        self.segments.remove(&segment);
    }

    /// One segment, as of the last tick.
    #[must_use]
    pub fn view(&self, segment: u32, now: Instant) -> SegmentView {
        let flights = || self.flights.iter().filter(|(id, ..)| *id == segment);
        let mut view = SegmentView {
            in_flight: u32::try_from(flights().count()).unwrap_or(u32::MAX),
            oldest: flights().map(|(.., began)| now.saturating_duration_since(*began)).max(),
            ..SegmentView::default()
        };
        if let Some(known) = self.segments.get(&segment) {
            view.rate = known.meter.slow();
            view.history = known.history.values();
            view.p99_ms = known.latency.recent_ms().map(|(_, p99)| p99);
            view.retries = known.retries;
        }
        view
    }

    /// The oldest request in flight of the whole job: segment, API, age. What a stall names.
    #[must_use]
    pub fn oldest(&self, now: Instant) -> Option<(u32, Api, Duration)> {
        let oldest = self.flights.iter().min_by_key(|(.., began)| *began)?;
        Some((oldest.0, oldest.1, now.saturating_duration_since(oldest.2)))
    }

    /// Blocks on their way that were retried more than three times, as of the last tick.
    #[must_use]
    pub fn struggling(&self) -> &[BlockIndex] {
        &self.struggling
    }

    /// Retries by class, in a fixed order.
    #[must_use]
    pub fn retries_by_class(&self) -> Vec<(&'static str, u64)> {
        self.classes.iter().map(|(class, count)| (*class, *count)).collect()
    }
}

const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Transient => "transient",
        Class::Throttled(_) => "throttled",
        Class::Congestion => "congestion",
        Class::ClockSkew => "clock skew",
        Class::Credentials => "credentials",
        Class::StaleToken => "stale token",
        Class::StalePage => "stale page",
        Class::NotYet => "not yet there",
        Class::Quota => "quota",
        Class::Permanent => "permanent",
    }
}
