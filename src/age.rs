//! How old something is by a clock that may be set: by hand, by NTP, after a suspend.
//!
//! Invariant: an age is never negative, and what comes from the future is not fresh: a clock that was set back says nothing
//! of how long ago a thing was.

use jiff::{SignedDuration, Timestamp};

/// How long ago `at` was; nothing when it lies ahead.
#[must_use]
pub fn of(at: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(at).max(SignedDuration::ZERO)
}

/// Whether what was learned at `at` still counts at `now`: it is no older than `most`, nor so far ahead that the clock was
/// set in between. (A little ahead is what is learned while a look goes on whose `now` was taken at its start.)
#[must_use]
pub fn is_within(at: Timestamp, now: Timestamp, most: SignedDuration) -> bool {
    now.duration_since(at).abs() < most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_clock_says_that_was_set_is_neither_fresh_nor_negative() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let (ten, day) = (SignedDuration::from_mins(10), SignedDuration::from_hours(24));
        for (by, fresh, age) in [
            (SignedDuration::from_mins(-9), true, SignedDuration::from_mins(9)),
            (SignedDuration::from_mins(-11), false, SignedDuration::from_mins(11)),
            (SignedDuration::from_secs(30), true, SignedDuration::ZERO),
            (day, false, SignedDuration::ZERO),
            (-day, false, day),
        ] {
            assert_eq!((is_within(now + by, now, ten), of(now + by, now)), (fresh, age), "{by}");
        }
        assert_eq!(of(Timestamp::MAX, Timestamp::MIN), SignedDuration::ZERO);
        assert!(!is_within(Timestamp::MAX, Timestamp::MIN, ten) && !is_within(Timestamp::MIN, Timestamp::MAX, ten));
    }
}
