//! Time as the deck sees it: handed in, never read, so that every frame and every gate can be repeated.

use std::time::Duration;

use jiff::Timestamp;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The calendar: ages and dates.
    pub wall: Timestamp,
    /// Since the deck started, never going back: gates, frames, blinking.
    pub mono: Duration,
}

impl Now {
    /// The calendar's moment, on a clock that has just started: what most tests want.
    #[must_use]
    pub const fn at(wall: Timestamp) -> Self {
        Self { wall, mono: Duration::ZERO }
    }

    /// The same moment, `by` later.
    #[must_use]
    pub fn later(self, by: Duration) -> Self {
        let wall = jiff::SignedDuration::try_from(by).ok().and_then(|d| self.wall.checked_add(d).ok());
        Self { wall: wall.unwrap_or(self.wall), mono: self.mono + by }
    }
}
