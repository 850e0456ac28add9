//! Requests in flight: how many lanes a job uses, and the true reason.
//!
//! The window doubles as long as answers take no longer than they did alone (TCP's slow start, ended by delay as in
//! HyStart), then probes; a step that brought nothing is taken back. Congestion and deadlines halve it. Invariants: a throttle never moves it (that is `rate`'s business,
//! which only holds its growth), the user's and the memory's bounds hold at once, and every change carries
//! why. Pure: the job ticks it with what happened and sets its [`Gate`] to [`Window::target`].

mod gate;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

pub use self::gate::{Gate, Slot};
use crate::engine::protocol::{LaneReason, Lanes, LanesStatus};
use crate::engine::rate::{Cause, Hold};
use crate::error::Level;

/// A rate is measured over at least this long,
const EPOCH: Duration = Duration::from_millis(500);
/// and at least two answers a lane, but no longer than this: a slow source still gets a verdict.
const EPOCH_MOST: Duration = Duration::from_secs(5);
/// Doubling ends when answers take so many times as long as the quickest did,
const QUEUES: f64 = 1.6;
/// and a little more, which is no queue: the machine's own time.
const SLACK: Duration = Duration::from_millis(4);
/// A step is worth keeping when it brought this part of what twice the lanes could bring at best.
const WORTH: f64 = 0.3;
/// Between two probes; doubles with each one that brought nothing,
const PROBE_EVERY: Duration = Duration::from_secs(8);
/// up to this.
const PROBE_MOST: Duration = Duration::from_secs(64);
/// Between two halvings: what was in flight at the first one must not count for a second.
const HALVE_EVERY: Duration = Duration::from_secs(2);

/// Where a window begins and how far it goes: set by the plan's pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// To begin with.
    pub start: u32,
    /// By itself never more than this.
    pub most: u32,
}

/// What happened since the last tick.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Items that went through.
    pub items: u64,
    /// The most requests that were in flight at once ([`Gate::take_peak`]).
    pub peak: u32,
    /// The limiter that binds, if one does.
    pub hold: Option<Hold>,
    /// Whether lanes stood still for want of memory.
    pub memory_waits: bool,
    /// The quickest that a block ever was, all its requests together; none before the first.
    pub quickest: Option<Duration>,
    /// How long those that went through took, on average.
    pub takes: Option<Duration>,
}

/// One change of the window.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When.
    pub at: Instant,
    /// From so many lanes
    pub from: u32,
    /// to so many.
    pub to: u32,
    /// Why.
    pub reason: LaneReason,
    /// The same in one sentence.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Doubling; the lanes before the last time, and whether blocks queued when last looked at.
    Start(Option<u32>, bool),
    /// At rest until then.
    Rest(Instant),
    /// A step was taken from these lanes and this rate.
    Probe(u32, f64),
}

#[derive(Debug, Clone, Default)]
struct Epoch {
    items: u64,
    congested: u64,
    peak: u32,
    ticks: u32,
    held: u32,
    memory: u32,
    hold: Option<Hold>,
    quickest: Option<Duration>,
    takes: Option<Duration>,
}

/// The window of one job.
#[derive(Debug)]
pub struct Window {
    target: u32,
    bounds: Bounds,
    lanes: Lanes,
    memory: u32,
    phase: Phase,
    wait: Duration,
    epoch: Epoch,
    since: Instant,
    /// It has just moved: what is answered now was asked by the lanes that there were before.
    settling: bool,
    halved: Option<Instant>,
    reason: LaneReason,
    why: String,
    last: Option<Change>,
    /// What it had before other jobs got their share of it.
    lent: Option<u32>,
    /// Somebody who sees what it cannot see moves it.
    driven: bool,
}

impl Window {
    /// Begins at the start of its bounds.
    #[must_use]
    pub fn new(bounds: Bounds, lanes: Lanes, now: Instant) -> Self {
        let mut window = Self {
            target: bounds.start.clamp(1, bounds.most.max(1)),
            bounds,
            lanes,
            memory: u32::MAX,
            phase: Phase::Start(None, false),
            wait: PROBE_EVERY,
            epoch: Epoch::default(),
            since: now,
            settling: true,
            halved: None,
            reason: LaneReason::Growing,
            why: "starting: the rate is being measured".to_owned(),
            last: None,
            lent: None,
            driven: false,
        };
        window.set_lanes(lanes, now);
        window
    }

    /// How many requests may be in flight.
    #[must_use]
    pub const fn target(&self) -> u32 {
        self.target
    }

    /// The last change.
    #[must_use]
    pub const fn last(&self) -> Option<&Change> {
        self.last.as_ref()
    }

    /// The user turns it: pinned, capped, or given back.
    pub fn set_lanes(&mut self, lanes: Lanes, now: Instant) -> Option<Change> {
        self.lanes = lanes;
        self.restart(now);
        match lanes {
            Lanes::Pinned(n) => {
                let to = n.max(1).min(self.memory);
                let text = if to < n { format!("pinned at {n}, memory allows {to}") } else { format!("pinned at {n}") };
                self.move_to(to, if to < n { LaneReason::Memory } else { LaneReason::UserCap }, text, now)
            }
            Lanes::AtMost(n) if self.target >= n.max(1) => {
                self.move_to(n.max(1), LaneReason::UserCap, format!("capped at {n} by you"), now)
            }
            Lanes::Auto | Lanes::AtMost(_) => {
                self.phase = Phase::Start(None, false);
                (self.reason, self.why) = (LaneReason::Growing, "automatic: the rate is being measured".to_owned());
                let most = self.most();
                (self.target > most)
                    .then(|| self.move_to(most, LaneReason::Memory, format!("memory allows {most} lanes"), now))
                    .flatten()
            }
        }
    }

    /// How many lanes the budget has memory for; holds at once.
    pub fn set_memory(&mut self, lanes: u32, now: Instant) -> Option<Change> {
        self.memory = lanes.max(1);
        match self.lanes {
            Lanes::Pinned(n) if self.target < n.min(self.memory) => self.set_lanes(self.lanes, now),
            _ if self.target > self.memory => {
                self.restart(now);
                let text = format!("the memory budget has room for {} lanes", self.memory);
                self.move_to(self.memory, LaneReason::Memory, text, now)
            }
            _ => None,
        }
    }

    /// Its part among several jobs: it goes there at once, down or up, and feels its way on from there. `None` when
    /// there is nobody to share with any more: what it lent comes back at once. A pin stays what it is.
    pub fn share(&mut self, lanes: Option<u32>, now: Instant) -> Option<Change> {
        if matches!(self.lanes, Lanes::Pinned(_)) {
            return None;
        }
        let (to, reason, text) = match lanes {
            Some(part) => {
                let to = part.clamp(1, self.most());
                if to < self.target {
                    self.lent.get_or_insert(self.target);
                }
                (to, LaneReason::Shared, "its part among the jobs that run".to_owned())
            }
            None => {
                let to = self.lent.take()?.min(self.most());
                if to <= self.target {
                    return None;
                }
                (to, LaneReason::Growing, "what other jobs had of it is free again".to_owned())
            }
        };
        self.rest(now);
        self.restart(now);
        self.move_to(to, reason, text, now)
    }

    /// Whoever sees what a clock cannot see moves it, within what the user and the memory allow: copies inside S3 take
    /// as long as S3 takes, and what says that they are too many is S3 itself.
    pub fn drive(&mut self, to: u32, reason: LaneReason, text: String, now: Instant) -> Option<Change> {
        self.driven = true;
        if matches!(self.lanes, Lanes::Pinned(_)) {
            return None;
        }
        self.move_to(to.clamp(1, self.most()), reason, text, now)
    }

    /// A request timed out, or the service said that it cannot keep up. Two within an epoch (or 2 % of what went
    /// through) halve the window; a single one among many is an accident, not a congestion.
    pub fn congested(&mut self, now: Instant) -> Option<Change> {
        self.epoch.congested += 1;
        let enough = self.epoch.congested >= 2.max(self.epoch.items / 50) || self.target <= 2;
        if self.driven {
            return None;
        }
        let recent = self.halved.is_some_and(|at| now.saturating_duration_since(at) < HALVE_EVERY);
        if !enough || recent || matches!(self.lanes, Lanes::Pinned(_)) {
            return None;
        }
        self.halved = Some(now);
        let to = (self.target / 2).max(1);
        self.rest(now);
        self.restart(now);
        self.move_to(to, LaneReason::Congestion, "requests timed out: halved".to_owned(), now)
    }

    /// Takes in what happened since the last tick (a few a second) and moves when an epoch is over.
    pub fn tick(&mut self, now: Instant, sample: Sample) -> Option<Change> {
        if self.driven {
            return None;
        }
        let epoch = &mut self.epoch;
        epoch.items += sample.items;
        epoch.peak = epoch.peak.max(sample.peak);
        epoch.ticks += 1;
        epoch.memory += u32::from(sample.memory_waits);
        epoch.quickest = sample.quickest;
        epoch.takes = sample.takes.or(epoch.takes);
        if sample.hold.is_some() {
            epoch.held += 1;
            epoch.hold = sample.hold;
        }
        let age = now.saturating_duration_since(self.since);
        let lanes = u64::from(self.target);
        let settled = match self.phase {
            // Half of them were there before: enough of the others have answered.
            Phase::Start(..) => epoch.items >= lanes.div_ceil(2),
            Phase::Rest(_) | Phase::Probe(..) if self.settling => {
                if epoch.items >= lanes || age >= EPOCH_MOST {
                    self.settling = false;
                    self.restart(now);
                }
                return None;
            }
            Phase::Rest(_) | Phase::Probe(..) => age >= EPOCH && epoch.items >= 2 * lanes,
        };
        if !settled && age < EPOCH_MOST {
            return None;
        }
        let epoch = std::mem::take(&mut self.epoch);
        self.since = now;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = epoch.items as f64 / age.as_secs_f64();
        self.judge(now, &epoch, rate)
    }

    fn judge(&mut self, now: Instant, epoch: &Epoch, rate: f64) -> Option<Change> {
        if let Lanes::Pinned(_) = self.lanes {
            return None;
        }
        if let Some(hold) = epoch.hold.as_ref().filter(|_| epoch.held * 2 >= epoch.ticks) {
            // Its limiter decides the rate, so this epoch says nothing about the lanes.
            self.phase = Phase::Rest(now + Duration::from_secs(1));
            self.wait = PROBE_EVERY;
            return self.stay(reason_of(hold.cause), held_text(hold));
        }
        if epoch.memory * 2 >= epoch.ticks && epoch.memory > 0 {
            self.phase = Phase::Rest(now + Duration::from_secs(1));
            return self.stay(LaneReason::Memory, "lanes wait for memory: a larger budget would help".to_owned());
        }
        if f64::from(epoch.peak) < 0.9 * f64::from(self.target) {
            if self.reason == LaneReason::Congestion || self.reason == LaneReason::NoGain {
                return None;
            }
            return self.stay(LaneReason::Tail, format!("{} of {} lanes had work", epoch.peak, self.target));
        }
        if epoch.items == 0 {
            // Nothing came of these lanes yet: no reason for more, on a slow link least of all.
            return None;
        }
        match self.phase {
            Phase::Start(before, queued) => match self.needed(epoch, rate) {
                // Once may be an accident of the machine's.
                Some(_) if !queued => {
                    self.phase = Phase::Start(before, true);
                    None
                }
                Some(needed) => {
                    // From here on it is measured what a step brings, beginning with what the way there and back holds.
                    self.phase = Phase::Rest(now);
                    self.settling = true;
                    let to = needed.clamp(before.unwrap_or(self.target), self.target);
                    let text = "answers began to queue: the rate is being measured".to_owned();
                    self.move_to(to, LaneReason::Growing, text, now)
                }
                None => self.step(now, rate, self.target * 2),
            },
            Phase::Probe(lanes, before) if self.gained(lanes, before, rate) => {
                self.wait = PROBE_EVERY;
                self.step(now, rate, self.target + (self.target / 4).max(1))
            }
            Phase::Probe(lanes, before) => {
                let text = format!(
                    "{before:.0} blocks a second with {lanes} lanes, {rate:.0} with {}. More lanes would not help",
                    self.target
                );
                self.rest(now);
                self.wait = (self.wait * 2).min(PROBE_MOST);
                self.move_to(lanes, LaneReason::NoGain, text, now)
            }
            Phase::Rest(until) if now < until => None,
            Phase::Rest(_) => self.step(now, rate, self.target + (self.target / 4).max(1)),
        }
    }

    /// How many lanes keep the way there and back full, once blocks take clearly longer than the quickest did: then
    /// lanes wait for each other. What needs no requests (a file to a file) has no way: its lanes share this machine.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred lanes")]
    fn needed(&self, epoch: &Epoch, rate: f64) -> Option<u32> {
        let (Some(alone), Some(takes)) = (epoch.quickest, epoch.takes) else { return Some(self.target) };
        let queues = takes > alone.mul_f64(QUEUES) + SLACK;
        queues.then(|| (rate * alone.as_secs_f64() * QUEUES).ceil() as u32)
    }

    fn gained(&self, lanes: u32, before: f64, rate: f64) -> bool {
        let wished = f64::from(self.target) / f64::from(lanes.max(1)) - 1.0;
        rate >= before * (1.0 + WORTH * wished)
    }

    /// One step up, as far as the bounds let it.
    fn step(&mut self, now: Instant, rate: f64, to: u32) -> Option<Change> {
        let most = self.most();
        let to = to.min(most);
        if to <= self.target {
            self.phase = Phase::Rest(now + Duration::from_secs(1));
            let (reason, text) = self.bound();
            return self.stay(reason, text);
        }
        self.phase = match self.phase {
            Phase::Start(..) => Phase::Start(Some(self.target), false),
            Phase::Rest(_) | Phase::Probe(..) => Phase::Probe(self.target, rate),
        };
        self.move_to(to, LaneReason::Growing, "the rate still grows".to_owned(), now)
    }

    /// What keeps it from growing past `most`.
    fn bound(&self) -> (LaneReason, String) {
        let most = self.most();
        match self.lanes {
            Lanes::AtMost(n) | Lanes::Pinned(n) if n <= most => {
                (LaneReason::UserCap, format!("capped at {n} by you; more lanes may help"))
            }
            _ if self.memory <= most => (LaneReason::Memory, format!("the memory budget has room for {most} lanes")),
            _ => (LaneReason::UserCap, format!("{most} lanes are the most of this pace")),
        }
    }

    fn most(&self) -> u32 {
        let user = match self.lanes {
            Lanes::AtMost(n) => n,
            Lanes::Auto | Lanes::Pinned(_) => u32::MAX,
        };
        self.bounds.most.min(user).min(self.memory).max(1)
    }

    fn rest(&mut self, now: Instant) {
        self.phase = Phase::Rest(now + self.wait);
    }

    fn restart(&mut self, now: Instant) {
        self.epoch = Epoch::default();
        self.since = now;
    }

    fn stay(&mut self, reason: LaneReason, text: String) -> Option<Change> {
        (self.reason, self.why) = (reason, text);
        None
    }

    fn move_to(&mut self, to: u32, reason: LaneReason, text: String, now: Instant) -> Option<Change> {
        (self.reason, self.why) = (reason, text.clone());
        if to == self.target {
            return None;
        }
        let change = Change { at: now, from: self.target, to, reason, text };
        self.target = to;
        self.settling = true;
        self.last = Some(change.clone());
        Some(change)
    }

    /// For `Status`: `wall` is the time of day at `now`, `in_flight` the gate's.
    #[must_use]
    pub fn status(&self, now: Instant, wall: Timestamp, in_flight: u32) -> LanesStatus {
        let changed = self.last.as_ref().and_then(|change| {
            let ago = now.saturating_duration_since(change.at);
            wall.checked_sub(jiff::SignedDuration::try_from(ago).ok()?).ok()
        });
        LanesStatus {
            now: in_flight,
            target: self.target,
            cap: match self.lanes {
                // A pin can be moved up again: it is no cap of itself.
                Lanes::Pinned(n) => n.max(self.most()),
                Lanes::Auto | Lanes::AtMost(_) => self.most(),
            },
            setting: self.lanes,
            reason: self.reason,
            why: self.why.clone(),
            changed,
        }
    }
}

const fn reason_of(cause: Cause) -> LaneReason {
    match cause {
        Cause::Quota => LaneReason::Quota,
        Cause::Bandwidth => LaneReason::Bandwidth,
        Cause::Throttle(Level::Snapshot) => LaneReason::SnapshotThrottle,
        Cause::Throttle(Level::Account) => LaneReason::AccountThrottle,
        Cause::Throttle(Level::Dependency) => LaneReason::KmsThrottle,
    }
}

fn held_text(hold: &Hold) -> String {
    let Hold { cause, name, used, limit, cap } = hold;
    match cause {
        Cause::Quota => format!("held: {name} {used} of its quota of {cap}. More lanes would not help"),
        Cause::Bandwidth => format!("held by the limit of {name}. More lanes would not help"),
        Cause::Throttle(level) => {
            let who = match level {
                Level::Snapshot => "this snapshot is throttled",
                Level::Account => "the account is throttled",
                Level::Dependency => "KMS behind the account's requests is throttled",
            };
            format!("held: {who}, {name} {used} of {limit} now (quota {cap}). More lanes would not help")
        }
    }
}
