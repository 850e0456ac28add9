//! The clock behind every confirmation: a key that was meant for the screen before must not answer it.
//!
//! A gate ignores keys for its first 400 ms and then until 200 ms passed without any key, so that neither
//! type-ahead nor a held key can confirm (SCREENS.md, "Keys"). Time is handed in.

use std::time::Duration;

use super::clock::Now;

/// Keys are ignored this long after a confirmation opens: longer than a double press.
pub const OPENING: Duration = Duration::from_millis(400);
/// Then until this long passed without a key: longer than the repeat of a held key (33 ms as a rule).
pub const SILENCE: Duration = Duration::from_millis(200);
/// Typed tokens come slower than this; faster is a paste that the terminal did not bracket, or a held key.
pub const TYPING: Duration = Duration::from_millis(30);

/// One open confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    opened: Duration,
    last_key: Option<Duration>,
    listening: bool,
}

impl Gate {
    /// Opens now.
    #[must_use]
    pub const fn opened(now: Now) -> Self {
        Self { opened: now.mono, last_key: None, listening: false }
    }

    /// A key came: whether it counts.
    pub fn key(&mut self, now: Now) -> bool {
        if !self.listening {
            let since_opening = now.mono.saturating_sub(self.opened);
            let since_key = self.last_key.map_or(since_opening, |last| now.mono.saturating_sub(last));
            self.listening = since_opening >= OPENING && since_key >= SILENCE;
        }
        self.last_key = Some(now.mono);
        self.listening
    }

    /// A key of a typed token came: it must also not follow the last one faster than a hand can.
    pub fn typed(&mut self, now: Now) -> bool {
        let fast = self.last_key.is_some_and(|last| now.mono.saturating_sub(last) < TYPING);
        self.key(now) && !fast
    }

    /// Whether a key pressed now would count: drawn, so that nobody wonders.
    #[must_use]
    pub fn listens(&self, now: Now) -> bool {
        let mut probe = *self;
        probe.key(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now::at(jiff::Timestamp::UNIX_EPOCH).later(Duration::from_millis(ms))
    }

    #[test]
    fn a_gate_hears_nothing_for_400_ms() {
        let mut gate = Gate::opened(at(1000));
        assert!(!gate.key(at(1399)));
        let mut gate = Gate::opened(at(1000));
        assert!(gate.key(at(1400)));
        assert!(gate.key(at(1401)), "once it listens it goes on listening");
    }

    #[test]
    fn a_held_key_never_opens_it() {
        let mut gate = Gate::opened(at(0));
        assert!((1..=100).all(|n| !gate.key(at(n * 33))), "33 ms apart is a held key");
        assert!(gate.key(at(3300 + 200)));
    }

    #[test]
    fn a_burst_is_not_typing() {
        let mut gate = Gate::opened(at(0));
        assert!(gate.typed(at(500)));
        assert!(!gate.typed(at(510)));
        assert!(gate.typed(at(600)));
    }
}
