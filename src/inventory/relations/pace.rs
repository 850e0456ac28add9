//! How fast questions about single things are asked: each operation of EC2 for itself, as EC2 counts them.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// One question in this time: EC2 refills the bucket of a describe by 20 tokens a second, for each operation, account
/// and region by itself (its developer guide, "Request throttling").
const STEP: Duration = Duration::from_millis(50);
/// What may be asked at once: half of the bucket of 100, the rest is for others of the account.
const BURST: u32 = 50;
/// The slowest: who is throttled at one question in two seconds is not alone.
const SLOWEST: Duration = Duration::from_secs(2);
/// Answers in a row after which it goes a tenth faster again.
const GOOD: u32 = 20;

/// One operation in one account's region.
#[derive(Debug)]
pub(super) struct Pace {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// From when on the bucket would be full.
    full: Instant,
    /// Between two questions.
    step: Duration,
    /// Answers since the last throttle, or since it last went faster.
    good: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { full: Instant::now(), step: STEP, good: 0 }) }
    }

    /// Waits for one's turn.
    pub(super) async fn turn(&self) {
        let due = {
            let mut state = self.state.lock().await;
            let now = Instant::now();
            state.full = state.full.max(now) + state.step;
            state.full - state.step * BURST
        };
        tokio::time::sleep_until(due).await;
    }

    /// EC2 refused for the rate: others ask too. The bucket is empty, and is filled half as fast.
    pub(super) async fn throttled(&self) {
        let mut state = self.state.lock().await;
        state.step = (state.step * 2).min(SLOWEST);
        state.full = Instant::now() + state.step * BURST;
        state.good = 0;
    }

    /// EC2 answered.
    pub(super) async fn answered(&self) {
        let mut state = self.state.lock().await;
        state.good += 1;
        if state.step > STEP && state.good >= GOOD {
            // What is owed stays owed, in questions.
            let owed = state.full.saturating_duration_since(Instant::now()).div_duration_f64(state.step);
            state.step = (state.step * 10 / 11).max(STEP);
            state.full = Instant::now() + state.step.mul_f64(owed);
            state.good = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Questions that get their turn within a second, asked one after the other.
    async fn in_a_second(pace: &Pace, answered: bool) -> u32 {
        let start = Instant::now();
        let mut turns = 0;
        while start.elapsed() < Duration::from_secs(1) {
            pace.turn().await;
            if answered {
                pace.answered().await;
            }
            turns += 1;
        }
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_then_twenty_a_second() {
        let (pace, start) = (Pace::new(), Instant::now());
        for _ in 0..BURST {
            pace.turn().await;
        }
        assert!(start.elapsed() < Duration::from_millis(2));
        for _ in 0..40 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed().as_millis() / 100, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_take_eight_minutes_and_a_quarter() {
        let (pace, start) = (Pace::new(), Instant::now());
        for _ in 0..10_000 {
            pace.turn().await;
            pace.answered().await;
        }
        assert_eq!(start.elapsed().as_secs(), (10_000 - u64::from(BURST)) / 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_halves_the_rate_and_answers_bring_it_back_but_not_above() {
        let pace = Pace::new();
        pace.throttled().await;
        assert!((9..=11).contains(&in_a_second(&pace, false).await), "half, and no burst");
        for _ in 0..10 {
            pace.throttled().await;
        }
        assert!(in_a_second(&pace, false).await <= 2, "but never stands still");
        for _ in 0..2_000 {
            pace.turn().await;
            pace.answered().await;
        }
        assert!((19..=21).contains(&in_a_second(&pace, true).await));
    }
}
