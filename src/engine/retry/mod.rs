//! The one retry layer: from an error's class and what was tried so far to the one thing to do next.
//!
//! Invariants: a permanent error stops at the first sight of it; everything else has a bound of its own (by
//! count, by time, or both), so nothing is tried for ever; waits carry full jitter, so lanes that failed
//! together do not come back together. Lanes ask [`Attempts::decide`] for each failed request of an item;
//! [`Outage`] is the bound of the whole job; [`Deadlines`] says how long one attempt may take.

mod deadlines;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

pub use self::deadlines::{Deadlines, Limits};
use crate::error::Class;

/// What to do about a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Send it again after this long; on a new connection when that is said.
    Again {
        /// How long.
        after: Duration,
        /// The old connection is not to be trusted.
        fresh: bool,
    },
    /// The clock was corrected: send it again at once.
    Now,
    /// List the page of this block again and take the fresh token.
    Relist,
    /// List again from the last index that was seen.
    ListFromLast,
    /// The job waits for credentials.
    WaitForCredentials,
    /// The job goes back to the queue until a quota has room.
    Queue,
    /// It will not get better, or was tried enough.
    Stop(Stop),
}

/// Why it is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The error is permanent: fail with its own words.
    Permanent,
    /// So many attempts.
    Attempts(u32),
    /// So long.
    Time(Duration),
}

impl Stop {
    /// What to add to the error's own words; empty when those say it all.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Permanent => String::new(),
            Self::Attempts(n) => format!("given up after {n} attempts"),
            Self::Time(time) => format!("given up after {} s", time.as_secs()),
        }
    }
}

/// The bound and the pace of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// So many failures of this class stop the item.
    pub attempts: u32,
    /// Or so long since the first of them.
    pub total: Duration,
    /// The first wait is up to this,
    pub base: Duration,
    /// doubled with each failure, up to this.
    pub cap: Duration,
}

/// The bounds of all classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// 5xx, resets, cut bodies, wrong checksums.
    pub transient: Rule,
    /// Throttles: the limiter does the slowing, the wait only spreads; long enough to sit out a blackout.
    pub throttled: Rule,
    /// Deadlines and write timeouts: the window is halved meanwhile.
    pub congestion: Rule,
    /// Not visible yet: bounded by [`Policy::not_yet_window`] since the start, not by count.
    pub not_yet: Rule,
    /// How long after StartSnapshot a snapshot may be unknown. AWS told coldsnap two minutes (coldsnap#43); 56 s were seen.
    pub not_yet_window: Duration,
    /// Tokens of one block refused in a row.
    pub stale: u32,
    /// How long a job may fail without a single success.
    pub outage: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        let rule = |attempts, total, base, cap| Rule {
            attempts,
            total: Duration::from_secs(total),
            base: Duration::from_millis(base),
            cap: Duration::from_millis(cap),
        };
        Self {
            // 12 attempts with full jitter from 100 ms to 10 s: 30 s on the average, a minute at most.
            transient: rule(12, 600, 100, 10_000),
            throttled: rule(u32::MAX, 3600, 50, 5_000),
            congestion: rule(12, 1800, 250, 20_000),
            not_yet: rule(u32::MAX, 3600, 500, 5_000),
            not_yet_window: Duration::from_secs(150),
            stale: 5,
            outage: Duration::from_secs(900),
        }
    }
}

/// What surrounds a failure.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context {
    /// When the snapshot that is "not there yet" was started; without it, not there is permanent.
    pub started: Option<Instant>,
    /// The service's own wish (`x-amz-retry-after`): the wait is at least this.
    pub asked: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    first: Instant,
}

/// What was tried for one item at one end; a success ends it. Small: lanes keep one while an item is with them.
#[derive(Debug, Clone, Default)]
pub struct Attempts {
    transient: Option<Count>,
    throttled: Option<Count>,
    congestion: Option<Count>,
    not_yet: Option<Count>,
    skewed: bool,
    stale: u32,
    all: u32,
}

impl Attempts {
    /// How many requests failed.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.all
    }

    /// What to do about one more failure. `jitter` is uniform in 0..1.
    pub fn decide(&mut self, policy: &Policy, class: Class, context: Context, now: Instant, jitter: f64) -> Decision {
        self.all += 1;
        let asked = context.asked.unwrap_or_default();
        match class {
            Class::Permanent => Decision::Stop(Stop::Permanent),
            Class::Transient => again(&mut self.transient, &policy.transient, asked, true, now, jitter),
            Class::Throttled(_) => again(&mut self.throttled, &policy.throttled, asked, false, now, jitter),
            Class::Congestion => again(&mut self.congestion, &policy.congestion, asked, true, now, jitter),
            // Corrected once at once; if it is still wrong, something else is, and it counts as a transient failure.
            Class::ClockSkew if !std::mem::replace(&mut self.skewed, true) => Decision::Now,
            Class::ClockSkew => again(&mut self.transient, &policy.transient, asked, false, now, jitter),
            Class::Credentials => Decision::WaitForCredentials,
            Class::Quota => Decision::Queue,
            Class::StaleToken | Class::StalePage => {
                self.stale += 1;
                if self.stale > policy.stale {
                    Decision::Stop(Stop::Attempts(self.stale))
                } else if class == Class::StaleToken {
                    Decision::Relist
                } else {
                    Decision::ListFromLast
                }
            }
            Class::NotYet => match context.started.map(|at| now.saturating_duration_since(at)) {
                None => Decision::Stop(Stop::Permanent),
                Some(age) if age >= policy.not_yet_window => Decision::Stop(Stop::Time(age)),
                Some(_) => again(&mut self.not_yet, &policy.not_yet, asked, false, now, jitter),
            },
        }
    }
}

fn again(count: &mut Option<Count>, rule: &Rule, asked: Duration, fresh: bool, now: Instant, jitter: f64) -> Decision {
    let count = count.get_or_insert(Count { failures: 0, first: now });
    count.failures = count.failures.saturating_add(1);
    let spent = now.saturating_duration_since(count.first);
    if count.failures >= rule.attempts {
        return Decision::Stop(Stop::Attempts(count.failures));
    }
    if spent >= rule.total {
        return Decision::Stop(Stop::Time(spent));
    }
    let ceiling = rule.base.saturating_mul(1 << (count.failures - 1).min(20)).min(rule.cap);
    // What is left of the total bounds the wait; a server's wish is honoured, but not beyond a minute.
    let wait = ceiling.mul_f64(jitter.clamp(0.0, 1.0)).max(asked.min(Duration::from_secs(60)));
    Decision::Again { after: wait.min(rule.total - spent), fresh }
}

/// The bound of a whole job: nothing succeeds any more, at any block, for too long.
#[derive(Debug, Clone)]
pub struct Outage {
    failing: Option<Instant>,
    failures: u64,
}

impl Default for Outage {
    fn default() -> Self {
        Self::new()
    }
}

impl Outage {
    /// All is well.
    #[must_use]
    pub const fn new() -> Self {
        Self { failing: None, failures: 0 }
    }

    /// A request succeeded.
    pub const fn succeeded(&mut self) {
        self.failing = None;
        self.failures = 0;
    }

    /// A request failed; for how long nothing has succeeded, when that is too long: the job stops, resumable.
    pub fn failed(&mut self, policy: &Policy, now: Instant) -> Option<Duration> {
        let since = *self.failing.get_or_insert(now);
        self.failures += 1;
        let lasted = now.saturating_duration_since(since);
        (lasted >= policy.outage).then_some(lasted)
    }

    /// Since when nothing succeeded, and how many failures that is: what a stall shows.
    #[must_use]
    pub fn since(&self) -> Option<(Instant, u64)> {
        self.failing.map(|at| (at, self.failures))
    }
}

/// Block tokens refused before their expiry: re-list once; refused again within a minute, the job falls back to
/// one listing cursor that drains each page before the next (DESIGN §3, rule 3).
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    last: Option<Instant>,
    one_cursor: bool,
}

impl Tokens {
    /// What the job remembers from its journal.
    #[must_use]
    pub const fn new(one_cursor: bool) -> Self {
        Self { last: None, one_cursor }
    }

    /// A token of a page that was listed at `listed` was refused. True when the job is to fall back now.
    pub fn refused(&mut self, listed: Instant, now: Instant) -> bool {
        // Tokens of pages from before the last refusal are the same trouble, not a new one.
        let news = self.last.is_none_or(|last| listed > last);
        let again = self.last.is_some_and(|last| news && now.saturating_duration_since(last) < Duration::from_secs(60));
        if news {
            self.last = Some(now);
        }
        again && !std::mem::replace(&mut self.one_cursor, true)
    }

    /// Whether the job has one cursor.
    #[must_use]
    pub const fn one_cursor(&self) -> bool {
        self.one_cursor
    }
}
