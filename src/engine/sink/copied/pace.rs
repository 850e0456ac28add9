//! How many copies are asked of S3 at once: counted, not timed.
//!
//! A copy inside S3 is one request that lasts as long as S3 takes, so a limit of requests a second says little; what says
//! that there are too many is S3 itself (503 SlowDown). Then their number is halved, once for all that were on their way;
//! it comes back a step at a time, with each full round that went through, and gently where it was too much before.
//! Invariants: never below one, never above its top; an answer to what was asked before a halving moves nothing.

use std::time::Duration;

use crate::engine::protocol::LaneReason;
use crate::plan::Pace;
use crate::plan::parts::copy_lanes;

/// Copies that take so many times as long as the quickest round did are waiting for each other,
const QUEUES: f64 = 2.0;
/// unless they are quick anyway.
const QUICK: Duration = Duration::from_secs(2);

/// Where the number goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub to: u32,
    pub reason: LaneReason,
    pub text: String,
}

/// The pace of one destination.
#[derive(Debug)]
pub(super) struct CopyPace {
    target: u32,
    top: u32,
    step: u32,
    /// Halvings so far: what was asked before the last one counts no more.
    generation: u64,
    /// Copies of this round that went through, and how long a MiB of them took together.
    good: u32,
    took: Duration,
    /// The quickest round, by copy.
    best: Option<Duration>,
    /// Where S3 had too much.
    ceiling: Option<u32>,
}

impl CopyPace {
    /// At the start of its pace, from `target` up.
    pub(super) const fn new(pace: Pace, target: u32) -> Self {
        let (_, top, step) = copy_lanes(pace);
        Self {
            target: if target == 0 { 1 } else { target },
            top,
            step,
            generation: 0,
            good: 0,
            took: Duration::ZERO,
            best: None,
            ceiling: None,
        }
    }

    /// What is asked now is asked in this generation.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// A copy went through; `room` is what the user and the memory allow now.
    pub(super) fn succeeded(&mut self, generation: u64, took: Duration, room: u32) -> Option<Turn> {
        self.target = self.target.min(room.max(1));
        if generation != self.generation {
            return None;
        }
        self.good += 1;
        self.took += took;
        if self.good < self.target {
            return None;
        }
        let round = self.took / self.good;
        (self.good, self.took) = (0, Duration::ZERO);
        let best = *self.best.get_or_insert(round);
        self.best = Some(best.min(round));
        if self.target >= self.top || round > QUICK && round > best.mul_f64(QUEUES) {
            return None;
        }
        let near = self.ceiling.is_some_and(|ceiling| self.target + self.step >= ceiling);
        let to = (self.target + if near { 1 } else { self.step }).min(self.top);
        let text = match self.ceiling {
            Some(_) => format!("S3 takes more again: {} copies at once went through", self.target),
            None => format!("{} copies at once went through", self.target),
        };
        if self.ceiling.is_some_and(|ceiling| to > ceiling) {
            self.ceiling = None;
        }
        self.target = to;
        Some(Turn { to, reason: LaneReason::Growing, text })
    }

    /// S3 said that it is too much.
    pub(super) fn throttled(&mut self, generation: u64, room: u32) -> Option<Turn> {
        self.target = self.target.min(room.max(1));
        if generation != self.generation {
            return None;
        }
        self.generation += 1;
        (self.good, self.took) = (0, Duration::ZERO);
        self.ceiling = Some(self.target);
        self.target = (self.target / 2).max(1);
        let text = "S3 asks to slow down: halved".to_owned();
        Some(Turn { to: self.target, reason: LaneReason::AccountThrottle, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(80);

    fn rounds(pace: &mut CopyPace, rounds: usize) {
        for _ in 0..rounds {
            for _ in 0..pace.target {
                pace.succeeded(pace.generation(), TOOK, u32::MAX);
            }
        }
    }

    #[test]
    fn a_throttle_halves_once_for_all_that_were_on_their_way_and_it_comes_back() {
        let mut pace = CopyPace::new(Pace::Balanced, 24);
        rounds(&mut pace, 4);
        assert_eq!(pace.target, 40);
        let before = pace.generation();
        assert_eq!(pace.throttled(before, u32::MAX).map(|turn| turn.to), Some(20));
        // Everything that was asked before that says nothing new.
        for _ in 0..39 {
            assert_eq!(pace.throttled(before, u32::MAX), None);
            assert_eq!(pace.succeeded(before, TOOK, u32::MAX), None);
        }
        assert_eq!(pace.target, 20);
        rounds(&mut pace, 4);
        assert_eq!(pace.target, 36);
        // Where it was too much it feels its way by one, and goes on as before once that is behind.
        rounds(&mut pace, 1);
        assert_eq!(pace.target, 37);
        rounds(&mut pace, 4);
        assert_eq!(pace.target, 41);
        rounds(&mut pace, 20);
        assert_eq!(pace.target, 64, "the top of its pace");
    }

    #[test]
    fn it_never_stops_and_never_passes_what_is_allowed() {
        let mut pace = CopyPace::new(Pace::CostEfficient, 6);
        for _ in 0..10 {
            pace.throttled(pace.generation(), u32::MAX);
        }
        assert_eq!(pace.target, 1);
        let mut capped = CopyPace::new(Pace::Aggressive, 48);
        assert_eq!(capped.throttled(0, 10).map(|turn| turn.to), Some(5), "half of what there were");
    }

    #[test]
    fn copies_that_wait_for_each_other_get_no_company() {
        let mut pace = CopyPace::new(Pace::Balanced, 4);
        let slow = |pace: &mut CopyPace, seconds| {
            (0..pace.target).filter_map(|_| pace.succeeded(0, Duration::from_secs(seconds), u32::MAX)).last()
        };
        assert!(slow(&mut pace, 3).is_some());
        assert!(slow(&mut pace, 30).is_none(), "ten times as long");
        assert!(slow(&mut pace, 4).is_some());
    }
}
