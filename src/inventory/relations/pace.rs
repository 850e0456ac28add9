//! How fast questions about single things are asked.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// What EC2 refills its bucket of describes by, each second (request limits of the EC2 API: 100 tokens, 20 a second).
const PER_SECOND: u32 = 20;
/// What may be asked at once: half of the bucket, the rest is for others of the account.
const BURST: u32 = 50;

/// One account's region.
#[derive(Debug)]
pub(super) struct Pace {
    /// From when on the bucket would be full.
    full: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { full: Mutex::new(Instant::now()) }
    }

    /// Waits for one's turn.
    pub(super) async fn turn(&self) {
        let step = Duration::from_secs(1) / PER_SECOND;
        let due = {
            let mut full = self.full.lock().await;
            let now = Instant::now();
            *full = (*full).max(now) + step;
            *full - step * BURST
        };
        tokio::time::sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
