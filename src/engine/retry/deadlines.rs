//! How long one attempt may take: learnt from what attempts take, so that a slow link finishes and a dead
//! one does not hang.
//!
//! Four times the 99th percentile of the recent answers, within fixed bounds. A deadline that passed counts
//! as an answer that took as long, so on a link that became slow the deadline climbs instead of cutting every
//! attempt at the same point. One per (API, route), shared by its lanes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// Answers before the percentile is trusted.
const ENOUGH: u64 = 50;
/// A generation of answers; the last two count.
const GENERATION: Duration = Duration::from_secs(30);
const MARGIN: u32 = 4;
const HOUR_MS: u64 = 3_600_000;

/// Within what the deadlines move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// To connect, TLS included.
    pub connect: Duration,
    /// Nobody is cut off earlier than this.
    pub least: Duration,
    /// Until enough is known.
    pub first: Duration,
    /// Nobody waits longer for a whole attempt, however slow: a block at 5 KiB/s.
    pub most: Duration,
    /// A body that does not move for so long is dead.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            least: Duration::from_secs(3),
            // A stall has to be seen within 15 s, and a block at 64 KiB/s takes 8.
            first: Duration::from_secs(12),
            most: Duration::from_secs(120),
            stall: Duration::from_secs(10),
        }
    }
}

#[derive(Debug)]
struct Seen {
    now: Histogram<u32>,
    before: Histogram<u32>,
    since: Instant,
}

/// The deadlines of one kind of request.
#[derive(Debug)]
pub struct Deadlines {
    limits: Limits,
    /// `None` only if a histogram could not be made: then the first deadline holds throughout.
    seen: Option<Mutex<Seen>>,
}

impl Deadlines {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(limits: Limits, now: Instant) -> Self {
        let histogram = || Histogram::<u32>::new_with_bounds(1, HOUR_MS, 2);
        let seen = histogram().and_then(|now| histogram().map(|before| (now, before))).ok();
        Self { limits, seen: seen.map(|(a, b)| Mutex::new(Seen { now: a, before: b, since: now })) }
    }

    /// To connect.
    #[must_use]
    pub const fn connect(&self) -> Duration {
        self.limits.connect
    }

    /// A body without a byte for so long is dead, however early; one that moves has until [`Deadlines::most`].
    #[must_use]
    pub const fn stall(&self) -> Duration {
        self.limits.stall
    }

    /// The end of any attempt, moving or not.
    #[must_use]
    pub const fn most(&self) -> Duration {
        self.limits.most
    }

    /// Until the first byte of the answer (for a Put, of a body whose sending cannot be watched, its whole
    /// attempt).
    #[must_use]
    pub fn attempt(&self, now: Instant) -> Duration {
        let Some(seen) = &self.seen else { return self.limits.first };
        let mut seen = lock(seen);
        seen.roll(now);
        if seen.now.len() + seen.before.len() < ENOUGH {
            // Too little to go by; what was seen can only lengthen it.
            let longest = Duration::from_millis(seen.now.max().max(seen.before.max()));
            return self.limits.first.max(longest * 2).min(self.limits.most);
        }
        let p99 = seen.now.value_at_quantile(0.99).max(seen.before.value_at_quantile(0.99));
        (Duration::from_millis(p99) * MARGIN).clamp(self.limits.least, self.limits.most)
    }

    /// An attempt was answered after so long.
    pub fn answered(&self, took: Duration, now: Instant) {
        let Some(seen) = &self.seen else { return };
        let mut seen = lock(seen);
        seen.roll(now);
        seen.now.saturating_record(u64::try_from(took.as_millis()).unwrap_or(HOUR_MS).max(1));
    }

    /// An attempt was cut off after so long.
    pub fn cut_off(&self, after: Duration, now: Instant) {
        self.answered(after, now);
    }
}

impl Seen {
    fn roll(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= GENERATION && self.now.len() >= ENOUGH {
            std::mem::swap(&mut self.now, &mut self.before);
            self.now.reset();
            self.since = now;
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
