//! The clock that signatures are made with: ours, corrected by what an endpoint said of its own.
//!
//! AWS refuses signatures that are minutes off. A refusal carries the server's `Date`; the difference is
//! kept here and applied to every later signature of that session, by our own signer and by the SDK's.
//! Learned only from a refusal: the `Date` of a good answer is a second or two late under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_types::sdk_config::TimeSource;

/// Corrections below this are noise: SigV4 tolerates five minutes.
const WORTH_MILLIS: u64 = 1_000;
/// No signature is refused for less.
const FELT_MILLIS: u64 = 60_000;

/// One endpoint's clock. Cheap to clone; clones share the correction.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    offset_millis: Arc<AtomicI64>,
}

impl Clock {
    /// Now, as the endpoint would say it.
    pub(super) fn now(&self) -> SystemTime {
        let offset = self.offset_millis.load(Ordering::Relaxed);
        let by = Duration::from_millis(offset.unsigned_abs());
        let now = SystemTime::now();
        let corrected = if offset < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        corrected.unwrap_or(now)
    }

    /// Takes over the endpoint's time from the `Date` header of a refusal. Answers whether it changed
    /// anything: an unchanged clock means that the refusal had another cause.
    pub(super) fn learn(&self, date: &str) -> bool {
        let Ok(theirs) = jiff::fmt::rfc2822::parse(date) else { return false };
        let ours = jiff::Timestamp::now().as_millisecond();
        let offset = theirs.timestamp().as_millisecond() - ours;
        let before = self.offset_millis.swap(offset, Ordering::Relaxed);
        let changed = before.abs_diff(offset) >= WORTH_MILLIS;
        if changed {
            tracing::warn!(offset_seconds = offset / 1000, "corrected our clock by the service's");
        }
        changed
    }

    /// Whether it needs no correction that a signature would feel: who is refused as expired then has a session
    /// that ended (EC2 says `RequestExpired` of both).
    pub(super) fn is_right(&self) -> bool {
        self.offset_millis.load(Ordering::Relaxed).unsigned_abs() < FELT_MILLIS
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_moves_the_clock_and_a_second_one_says_it_was_not_the_clock() {
        let clock = Clock::default();
        let ahead = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(20);
        let date = ahead.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        assert!(clock.learn(&date));
        let moved = clock.now().duration_since(SystemTime::now()).expect("it went ahead");
        assert!((1195..=1205).contains(&moved.as_secs()), "{moved:?}");
        assert!(!clock.learn(&date));
        assert!(!clock.learn("yesterday"));
    }
}
