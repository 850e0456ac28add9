//! Numbers over time: a rate that is smoothed, a ring that forgets, latencies that age.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::units::{Bytes, Rate};

/// Bytes a second: over about one second, about twenty, and the whole time.
#[derive(Debug, Clone)]
pub struct Meter {
    total: u64,
    pending: u64,
    last: Instant,
    /// Running time, pauses left out.
    ran: Duration,
    fast: f64,
    slow: f64,
    /// How much of the past `slow` has seen, 0 to 1: a young average must not start at zero.
    weight_fast: f64,
    weight_slow: f64,
}

impl Meter {
    /// At rest.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            total: 0,
            pending: 0,
            last: now,
            ran: Duration::ZERO,
            fast: 0.0,
            slow: 0.0,
            weight_fast: 0.0,
            weight_slow: 0.0,
        }
    }

    /// More bytes went through.
    pub const fn add(&mut self, bytes: Bytes) {
        self.total = self.total.saturating_add(bytes.0);
        self.pending = self.pending.saturating_add(bytes.0);
    }

    /// Brings the averages up to now; a few times a second.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    pub fn tick(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.last);
        let seconds = passed.as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let rate = self.pending as f64 / seconds;
        (self.pending, self.last) = (0, now);
        self.ran += passed;
        for (average, weight, span) in
            [(&mut self.fast, &mut self.weight_fast, 1.0), (&mut self.slow, &mut self.weight_slow, 20.0)]
        {
            let share = 1.0 - (-seconds / span).exp();
            *average += (rate - *average) * share;
            *weight += (1.0 - *weight) * share;
        }
    }

    /// A pause is over: the time since the last tick does not count.
    pub const fn skip_to(&mut self, now: Instant) {
        self.last = now;
        (self.fast, self.weight_fast) = (0.0, 0.0);
    }

    /// Over about the last second.
    #[must_use]
    pub fn fast(&self) -> Rate {
        Rate(if self.weight_fast > 0.0 { self.fast / self.weight_fast } else { 0.0 })
    }

    /// Over about the last twenty seconds.
    #[must_use]
    pub fn slow(&self) -> Rate {
        Rate(if self.weight_slow > 0.0 { self.slow / self.weight_slow } else { 0.0 })
    }

    /// Over the whole time that it ran.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    pub fn whole(&self) -> Rate {
        let seconds = self.ran.as_secs_f64();
        Rate(if seconds > 0.0 { (self.total - self.pending) as f64 / seconds } else { 0.0 })
    }

    /// Everything that went through.
    #[must_use]
    pub const fn total(&self) -> Bytes {
        Bytes(self.total)
    }
}

/// How fast it went lately: over about ten seconds, and over about thirty. Where the two differ, it has just changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lately {
    /// What it is like now.
    pub recent: Rate,
    /// Less shaken by a single slow answer.
    pub longer: Rate,
}

/// What went through until each of the last thirty seconds. Unlike an average that fades, it forgets what was before.
#[derive(Debug, Clone, Default)]
pub struct Trail(VecDeque<(Instant, u64)>);

impl Trail {
    const RECENT: Duration = Duration::from_secs(10);
    const LONGER: Duration = Duration::from_secs(30);
    /// Below this nothing is said: the first answers come together.
    const LEAST: Duration = Duration::from_secs(5);
    const EVERY: Duration = Duration::from_secs(1);
    const MOST: usize = 32;

    /// So much went through until now; it begins with the first that did.
    pub fn push(&mut self, total: Bytes, now: Instant) {
        match self.0.back() {
            None if total.0 == 0 => return,
            Some((last, _)) if now.saturating_duration_since(*last) < Self::EVERY => return,
            _ => {}
        }
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back((now, total.0));
    }

    /// How fast it went, when that can be said.
    #[must_use]
    pub fn lately(&self, total: Bytes, now: Instant) -> Option<Lately> {
        let first = self.0.front()?;
        (now.saturating_duration_since(first.0) >= Self::LEAST).then(|| Lately {
            recent: self.over(Self::RECENT, total, now),
            longer: self.over(Self::LONGER, total, now),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn over(&self, span: Duration, total: Bytes, now: Instant) -> Rate {
        let old = |(at, _): &&(Instant, u64)| now.saturating_duration_since(*at) >= span;
        let from = self.0.iter().rev().find(old).or_else(|| self.0.front());
        from.map_or(Rate(0.0), |(at, before)| {
            let seconds = now.saturating_duration_since(*at).as_secs_f64().max(0.001);
            Rate(total.0.saturating_sub(*before) as f64 / seconds)
        })
    }
}

/// One value for each stretch of time, the latest `N`: what a sparkline draws. A stretch that saw several
/// values keeps their mean, one that saw none repeats the last.
#[derive(Debug, Clone)]
pub struct Ring<const N: usize> {
    values: VecDeque<f32>,
    every: Duration,
    since: Instant,
    sum: f64,
    count: u32,
}

impl<const N: usize> Ring<N> {
    /// Empty, one value per `every`.
    #[must_use]
    pub fn new(every: Duration, now: Instant) -> Self {
        Self { values: VecDeque::with_capacity(N), every, since: now, sum: 0.0, count: 0 }
    }

    /// Adds what is true now; call it at least a few times per stretch.
    #[expect(clippy::cast_possible_truncation, reason = "a picture needs no more")]
    pub fn push(&mut self, value: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_nanos() / self.every.as_nanos().max(1);
        if passed > 0 {
            let mean = if self.count > 0 {
                (self.sum / f64::from(self.count)) as f32
            } else {
                self.values.back().copied().unwrap_or(0.0)
            };
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            for _ in 0..(passed as usize).min(N) {
                if self.values.len() == N {
                    self.values.pop_front();
                }
                self.values.push_back(mean);
            }
            self.since += self.every.saturating_mul(passed);
            (self.sum, self.count) = (0.0, 0);
        }
        self.sum += value;
        self.count += 1;
    }

    /// Oldest first.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        self.values.iter().copied().collect()
    }
}

/// Latencies of the last half to whole minute, and of the whole run; microseconds to an hour, two digits.
#[derive(Debug, Clone)]
pub struct Latency {
    /// This half-minute, the one before, and everything.
    parts: Option<[Histogram<u32>; 3]>,
    since: Instant,
}

const GENERATION: Duration = Duration::from_secs(30);
const HOUR_US: u64 = 3_600_000_000;

impl Latency {
    /// Empty.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let one = || Histogram::<u32>::new_with_bounds(1, HOUR_US, 2).ok();
        let parts = one().and_then(|a| Some([a, one()?, one()?]));
        Self { parts, since: now }
    }

    /// Something took so long.
    pub fn record(&mut self, took: Duration, now: Instant) {
        let Some([recent, before, whole]) = &mut self.parts else { return };
        if now.saturating_duration_since(self.since) >= GENERATION {
            std::mem::swap(recent, before);
            recent.reset();
            self.since = now;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(HOUR_US).max(1);
        recent.saturating_record(micros);
        whole.saturating_record(micros);
    }

    /// Median and 99th percentile of the recent ones, milliseconds; none before the first.
    #[must_use]
    pub fn recent_ms(&self) -> Option<(f32, f32)> {
        let [recent, before, _] = self.parts.as_ref()?;
        let mut both = recent.clone();
        both.add(before).ok()?;
        percentiles(&both)
    }

    /// The quickest of all; none before the first.
    #[must_use]
    pub fn quickest(&self) -> Option<Duration> {
        let [.., whole] = self.parts.as_ref()?;
        (!whole.is_empty()).then(|| Duration::from_micros(whole.min()))
    }

    /// Median and 99th percentile of all, milliseconds.
    #[must_use]
    pub fn whole_ms(&self) -> Option<(f32, f32)> {
        self.parts.as_ref().and_then(|[.., whole]| percentiles(whole))
    }
}

#[expect(clippy::cast_precision_loss, reason = "two digits are kept")]
fn percentiles(of: &Histogram<u32>) -> Option<(f32, f32)> {
    let at = |quantile| of.value_at_quantile(quantile) as f32 / 1000.0;
    (!of.is_empty()).then(|| (at(0.5), at(0.99)))
}
