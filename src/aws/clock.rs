//! The clock that signatures are made with: ours, corrected by what an endpoint said of its own.
//!
//! AWS refuses signatures that are minutes off. A refusal carries the server's `Date`; the difference is
//! kept here and applied to every later signature with the same keys, by our own signer and by the SDK's, to STS, to whoever
//! gives the keys, and to every service in every region: they all have the right time, and it is ours that is off.
//! Learned from a refusal: the `Date` of a good answer is a second or two late under load, and counts only where it is minutes
//! off, when keys are first used.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_types::sdk_config::TimeSource;

/// Corrections below this are noise: SigV4 tolerates five minutes.
const WORTH_MILLIS: u64 = 1_000;
/// Every signature is refused for as much: S3 lets a quarter of an hour pass, less a minute in which an answer may come.
const REFUSED_MILLIS: u64 = 14 * 60_000;
/// No signature is refused for less.
const FELT_MILLIS: u64 = 60_000;
/// A look takes no longer, and is tried for longer than this: what is denied for good is told as that by its last try.
const JUST: Duration = Duration::from_secs(1);
/// Refusals of what was signed before a correction come in for so long: requests have deadlines of about that.
const LATE: Duration = Duration::from_secs(60);

/// The clock of one profile's keys. Cheap to clone; clones share the correction.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    offset_millis: Arc<AtomicI64>,
    /// When it was corrected last.
    corrected: Arc<Mutex<Option<Instant>>>,
}

impl Clock {
    /// Now, as the endpoint would say it.
    pub(super) fn now(&self) -> SystemTime {
        let offset = self.offset_millis.load(Ordering::Relaxed);
        let by = Duration::from_millis(offset.unsigned_abs());
        let now = crate::wall::system();
        let corrected = if offset < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        corrected.unwrap_or(now)
    }

    /// Takes over the endpoint's time from the `Date` header of a refusal. Answers whether it changed
    /// anything: an unchanged clock means that the refusal had another cause.
    pub(super) fn learn(&self, date: &str) -> bool {
        let Ok(theirs) = jiff::fmt::rfc2822::parse(date) else { return false };
        self.take(theirs.timestamp().as_millisecond() - crate::wall::now().as_millisecond())
    }

    /// The same by how far whoever refused was ahead of us, in milliseconds: where the answer itself is out of reach. What
    /// no signature feels is not taken for the cause.
    pub(super) fn is_ahead_by(&self, millis: i64) -> bool {
        self.offset_millis.load(Ordering::Relaxed).abs_diff(millis) >= FELT_MILLIS && self.take(millis)
    }

    fn take(&self, offset: i64) -> bool {
        let before = self.offset_millis.swap(offset, Ordering::Relaxed);
        let changed = before.abs_diff(offset) >= WORTH_MILLIS;
        if changed {
            *self.corrected.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            tracing::warn!(offset_seconds = offset / 1000, "corrected our clock by the service's");
        }
        changed
    }

    /// Whether it is so far from the time of an answer that what was signed by it is refused for that: for refusals
    /// that have no body to say so.
    pub(super) fn is_off(&self, date: &str) -> bool {
        let Ok(theirs) = jiff::fmt::rfc2822::parse(date) else { return false };
        let ours = jiff::Timestamp::try_from(self.now()).unwrap_or_else(|_| crate::wall::now());
        theirs.timestamp().as_millisecond().abs_diff(ours.as_millisecond()) >= REFUSED_MILLIS
    }

    /// Whether it was corrected while what is refused now was on its way: that was signed before.
    pub(super) fn was_just_corrected(&self) -> bool {
        let corrected = *self.corrected.lock().unwrap_or_else(PoisonError::into_inner);
        corrected.is_some_and(|at| at.elapsed() < JUST)
    }

    /// Whether it needs no correction that a signature would feel: who is refused as expired then has a session
    /// that ended (EC2 says `RequestExpired` of both). One that was corrected a moment ago was not right for what is
    /// refused now: our clock was set back to what it should be, say.
    pub(super) fn is_right(&self) -> bool {
        self.is_right_at(Instant::now())
    }

    fn is_right_at(&self, now: Instant) -> bool {
        let corrected = *self.corrected.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = corrected.is_some_and(|at| now.saturating_duration_since(at) < LATE);
        !lately && self.offset_millis.load(Ordering::Relaxed).unsigned_abs() < FELT_MILLIS
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
        let ahead = crate::wall::now() + jiff::SignedDuration::from_mins(20);
        let date = ahead.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        assert!(clock.learn(&date));
        let moved = clock.now().duration_since(crate::wall::system()).expect("it went ahead");
        assert!((1195..=1205).contains(&moved.as_secs()), "{moved:?}");
        assert!(!clock.learn(&date));
        assert!(!clock.learn("yesterday"));
    }

    #[test]
    fn what_is_minutes_off_is_no_reason_for_a_refusal_and_what_is_corrected_is_right() {
        let date = |minutes: i64| {
            let then = crate::wall::now() + jiff::SignedDuration::from_mins(minutes);
            then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
        };
        let clock = Clock::default();
        for (minutes, off) in [(0, false), (5, false), (-5, false), (20, true), (-20, true)] {
            assert_eq!(clock.is_off(&date(minutes)), off, "{minutes}");
        }
        assert!(!clock.is_off("yesterday"));
        clock.learn(&date(20));
        assert!(!clock.is_off(&date(20)) && clock.is_off(&date(0)));
    }

    /// Ahead by a day and put right again in the middle of a job: lanes whose requests were signed in between have no
    /// session that ended.
    #[test]
    fn a_clock_that_was_put_right_a_moment_ago_was_wrong_for_what_is_refused_now() {
        let date = |by: i64| {
            let then = crate::wall::now() + jiff::SignedDuration::from_hours(by);
            then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
        };
        let clock = Clock::default();
        assert!(clock.is_right());
        for by in [24, 0, -24, 0] {
            assert!(clock.learn(&date(by)), "{by}");
            assert!(!clock.is_right(), "{by}");
            let later = Instant::now() + LATE;
            assert_eq!(clock.is_right_at(later), by == 0, "{by}: and later only a clock that is right is");
        }
    }
}
