//! The arithmetic of one limiter: a token bucket, what happened in the last seconds, and where it moves.
//! Pure: every call is given the time.

use std::time::Duration;

use tokio::time::Instant;

use super::{Cause, PerSecond};
use crate::error::Level;

/// One slot of the recent past.
const SLOT: Duration = Duration::from_millis(200);
/// Two seconds of the past: long enough to average, short enough to follow.
const SLOTS: usize = 10;
/// Between two cuts: the answers to what was sent before a cut must not cut again.
const CUT_EVERY: Duration = Duration::from_secs(1);
/// Just under what succeeded.
const UNDER: f64 = 0.97;
/// A few throttles among hundreds of successes: the limit is met, not exceeded.
const GRAZE: f64 = 0.01;
/// Between two steps up.
const STEP: Duration = Duration::from_secs(1);
/// How long the limit climbs by 1 % a second before the step doubles (a blackout must not take minutes back).
const PATIENCE: u64 = 5;
/// No limit falls below this. A floor above what a service bears has it throttle for ever: at ten a second, one of five
/// refused every second request. The end of a blackout is found from here within seconds all the same, by doubling.
const LEAST: f64 = 1.0;
/// Below so many answers in the two seconds that are kept, one more or less is a percent or more: where it meets the
/// limit, the limit is believed rather than the count.
const FEW: f64 = 100.0;
/// The deepest cut there for a small part of throttles: just under comes on top of it.
const SHALLOW: f64 = 0.93;
/// A limit that was met is felt for again after so many requests, not every second: at ten a second, a throttle for each
/// percent would be one of forty answers.
const FEEL_AFTER: f64 = 50.0;
/// So far above where it was met, the service seems to bear more: from here on it climbs by the second again.
const BEYOND: f64 = 1.03;
/// The bucket holds this many seconds of its rate: what a busy machine's timers are late by, and is made up for.
const BURST: f64 = 0.1;
/// It begins with this many: a timer's tick, not a burst.
const FIRST: f64 = 0.02;
/// What succeeded says how fast a service is only when it was asked for this long. Until then (it may have let a
/// few through and be far faster than those) a cut goes no lower than half, and a second one may follow sooner.
const KNOWN: Duration = Duration::from_secs(1);

/// What moved a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// Throttles of this level.
    Cut(Level),
    /// Nothing was throttled for a second.
    Probing,
    /// It reached its quota again.
    Recovered,
    /// The quota itself changed.
    CapSet,
}

/// One change of a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// When.
    pub at: Instant,
    /// From here,
    pub from: PerSecond,
    /// to there.
    pub to: PerSecond,
    /// Why.
    pub why: Moved,
}

impl Change {
    /// In words.
    #[must_use]
    pub fn text(&self, now: Instant) -> String {
        let ago = now.saturating_duration_since(self.at).as_secs();
        let level = |level| match level {
            Level::Snapshot => "this snapshot was throttled",
            Level::Account => "the account was throttled",
            Level::Dependency => "KMS behind it was throttled",
        };
        match self.why {
            Moved::Cut(at) => format!("{} → {} {ago} s ago: {}", self.from, self.to, level(at)),
            Moved::Probing => format!("probing up, now {}: nothing was throttled for a second", self.to),
            Moved::Recovered => format!("back at its quota of {} since {ago} s", self.to),
            Moved::CapSet => format!("its quota is {}, known for {ago} s", self.to),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    granted: u32,
    waited: u32,
    succeeded: u32,
    pub(super) throttled: u32,
}

#[derive(Debug)]
pub(super) struct Core {
    cap: f64,
    limit: f64,
    tokens: f64,
    filled: Instant,
    began: Instant,
    pub(super) slots: [Slot; SLOTS],
    /// The slot that is being filled, counted since `began`.
    slot: u64,
    cut: Option<Instant>,
    /// It was cut while nothing at all got through: where it stands then says nothing of what the service bears.
    blind: bool,
    throttle: Option<(Instant, Level)>,
    /// Where it stood when a few throttles showed that this is about what the service bears.
    met: Option<f64>,
    /// When it climbed past that.
    left: Option<Instant>,
    grown: Instant,
    last: Option<Change>,
}

impl Core {
    pub fn new(cap: PerSecond, now: Instant) -> Self {
        let cap = cap.0.max(0.1);
        Self {
            cap,
            limit: cap,
            tokens: (cap * FIRST).max(1.0),
            filled: now,
            began: now,
            slots: [Slot::default(); SLOTS],
            slot: 0,
            cut: None,
            blind: false,
            throttle: None,
            met: None,
            left: None,
            grown: now,
            last: None,
        }
    }

    pub const fn limit(&self) -> PerSecond {
        PerSecond(self.limit)
    }
    pub const fn cap(&self) -> PerSecond {
        PerSecond(self.cap)
    }
    pub const fn last(&self) -> Option<Change> {
        self.last
    }

    /// Takes `amount` tokens, or says how long until that is worth asking again.
    pub fn take(&mut self, now: Instant, amount: f64, waited: bool) -> Result<(), Duration> {
        self.roll(now);
        self.grow(now);
        let burst = (self.limit * BURST).max(1.0);
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.limit).min(burst);
        self.filled = now;
        // More than a burst (bytes) goes as a whole and leaves a debt; requests take exactly one.
        let enough = amount.min(burst);
        // A hair of rounding must not cost another turn of the timer.
        if self.tokens + 1e-6 >= enough {
            self.tokens -= amount;
            let slot = self.slot_mut();
            slot.granted += 1;
            slot.waited += u32::from(waited);
            return Ok(());
        }
        Err(Duration::from_secs_f64(((enough - self.tokens) / self.limit).clamp(0.000_1, 3600.0)))
    }

    pub fn succeeded(&mut self, now: Instant) {
        self.roll(now);
        self.slot_mut().succeeded += 1;
    }

    pub fn throttled(&mut self, now: Instant, level: Level) -> Option<Change> {
        self.roll(now);
        self.slot_mut().throttled += 1;
        self.throttle = Some((now, level));
        let every = if self.busy_for(now) < KNOWN { CUT_EVERY / 2 } else { CUT_EVERY };
        if self.cut.is_some_and(|cut| now.saturating_duration_since(cut) < every) {
            return None;
        }
        self.cut = Some(now);
        self.grown = now;
        let rate = self.rate(now, |slot| slot.succeeded);
        self.blind = rate <= 0.0 && self.busy_for(now) >= KNOWN;
        let all = self.total(|slot| slot.succeeded + slot.throttled).max(1.0);
        let throttles = self.total(|slot| slot.throttled);
        let grazed = throttles / all < GRAZE && rate > 0.8 * self.limit;
        let known = if self.busy_for(now) < KNOWN { rate.max(self.limit * 0.5) } else { rate };
        // Few because the limit is low: a moment after the start there are few of a high one, too, and it is cut to size.
        let sparse = all < FEW && self.limit * SLOT.as_secs_f64() * (SLOTS as f64) < FEW;
        // Of few answers, one lies on the edge of what is kept.
        let edge = 2.0 / self.busy_for(now).as_secs_f64().max(0.25);
        let few = sparse && throttles <= (all * 0.1).max(1.0) && rate + edge > 0.85 * self.limit;
        self.met = (grazed || few).then_some(self.limit);
        // Two that came close together are throttled by a small bucket whatever the rate: no deep cut for a part of few.
        let some = sparse && rate > 0.0 && throttles < 0.34 * all.max(3.0);
        let known = if some { known.max(self.limit * SHALLOW) } else { known };
        let to = match (grazed, few) {
            (true, _) => self.limit * 0.99,
            (false, true) => self.limit * UNDER,
            (false, false) => (known * UNDER).min(self.limit * UNDER),
        };
        self.move_to(to, now, Moved::Cut(level))
    }

    pub fn set_cap(&mut self, cap: PerSecond, now: Instant) {
        let cap = cap.0.max(0.1);
        let uncut = self.limit >= self.cap;
        self.cap = cap;
        if uncut || self.limit > cap {
            self.move_to(cap, now, Moved::CapSet);
        }
    }

    /// What passed and was not throttled, a second.
    pub fn used(&mut self, now: Instant) -> PerSecond {
        self.roll(now);
        PerSecond(self.rate(now, |slot| slot.succeeded))
    }

    /// Why it binds, when it does.
    pub fn hold(&mut self, now: Instant) -> Option<Cause> {
        self.roll(now);
        let granted = self.total(|slot| slot.granted);
        if granted < 1.0 || self.total(|slot| slot.waited) * 2.0 < granted {
            return None;
        }
        match self.throttle {
            Some((_, level)) if self.limit < 0.98 * self.cap => Some(Cause::Throttle(level)),
            _ => Some(Cause::Quota),
        }
    }

    /// Up by 1 % for each second in which nothing was throttled and the limit was in use; faster after a
    /// while without any throttle. Near where it was met, as many requests are sent between two steps as make a throttle
    /// a small part of them.
    fn grow(&mut self, now: Instant) {
        loop {
            let near = self.met.is_some_and(|met| self.limit < met * BEYOND);
            let every = if near { Duration::from_secs_f64((FEEL_AFTER / self.limit).clamp(1.0, 20.0)) } else { STEP };
            if self.limit >= self.cap || now.saturating_duration_since(self.grown) < every {
                return;
            }
            self.grown += every;
            if now.saturating_duration_since(self.grown) > Duration::from_secs(5) {
                self.grown = now; // nobody asked for a while: what was not tried is not probed
                return;
            }
            let blind =
                self.blind && self.total(|slot| slot.throttled) < 1.0 && self.total(|slot| slot.succeeded) > 0.0;
            if self.rate(now, |slot| slot.granted) < if blind { 0.25 } else { 0.5 } * self.limit {
                continue;
            }
            // Patience begins anew where it leaves what it knows.
            let since =
                if near { None } else { self.throttle.map(|(at, _)| self.left.map_or(at, |left| left.max(at))) };
            let quiet = since.map_or(0, |since| self.grown.saturating_duration_since(since).as_secs());
            let step = if blind { 1.0 } else { 0.01 * f64::from(1u32 << (quiet / PATIENCE).min(4)) };
            let to = self.limit * (1.0 + step);
            if near && self.met.is_some_and(|met| to >= met * BEYOND) {
                self.left = Some(self.grown);
            }
            let why = if to >= self.cap { Moved::Recovered } else { Moved::Probing };
            self.move_to(to, now, why);
        }
    }

    fn move_to(&mut self, to: f64, now: Instant, why: Moved) -> Option<Change> {
        let to = to.clamp(LEAST.min(self.cap), self.cap);
        #[expect(clippy::float_cmp, reason = "clamped to the very same bound, or moved")]
        if to == self.limit && why != Moved::CapSet {
            return None;
        }
        let change = Change { at: now, from: PerSecond(self.limit), to: PerSecond(to), why };
        self.limit = to;
        self.tokens = self.tokens.min((to * BURST).max(1.0));
        self.last = Some(change);
        Some(change)
    }

    fn slot_mut(&mut self) -> &mut Slot {
        let at = usize::try_from(self.slot % SLOTS as u64).unwrap_or(0);
        &mut self.slots[at]
    }

    /// Empties the slots that time has passed over.
    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.began).as_millis() / SLOT.as_millis();
        let slot = u64::try_from(passed).unwrap_or(u64::MAX);
        for _ in 0..slot.saturating_sub(self.slot).min(SLOTS as u64) {
            self.slot += 1;
            *self.slot_mut() = Slot::default();
        }
        self.slot = slot.max(self.slot);
    }

    fn total(&self, of: impl Fn(&Slot) -> u32) -> f64 {
        self.slots.iter().map(|slot| f64::from(of(slot))).sum()
    }

    /// A second, over the two seconds that are kept, or since it was asked again when that is shorter.
    fn rate(&self, now: Instant, of: impl Fn(&Slot) -> u32) -> f64 {
        self.total(of) / self.busy_for(now).max(Duration::from_millis(250)).as_secs_f64()
    }

    /// How much of the time that is kept lies behind the first request in it.
    fn busy_for(&self, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.began);
        let into = Duration::from_nanos((age.as_nanos() % SLOT.as_nanos()) as u64);
        let idle = (1..=SLOTS as u64)
            .take_while(|after| {
                let slot = &self.slots[usize::try_from((self.slot + after) % SLOTS as u64).unwrap_or(0)];
                slot.granted + slot.succeeded + slot.throttled == 0
            })
            .count() as u32;
        age.min(SLOT * (SLOTS as u32 - 1).saturating_sub(idle) + into)
    }
}
