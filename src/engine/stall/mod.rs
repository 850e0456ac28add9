//! Names what a job waits for that does not get on: no byte for a while, or a target that all lanes stand at.
//!
//! Fed a few times a second with what is known, also while no pass runs (opening, the canary, a wait). Invariants: a
//! cause is named from [`NAMED`] on and gone with the next byte; nothing here decides about data. The first cause
//! that fits counts, from what was said to us (a wait's error, throttles) to what is only seen (silence, slowness).

mod facts;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::facts::Seen;
use super::protocol::{Cause, JobState, LaneReason, Stall, Tone, Troubles};
use super::rate::{Api, PerSecond};
use crate::error::{Class, Error, Kind};
use crate::plan::clock;

/// So long without a byte is no accident: the row says why.
const NAMED: Duration = Duration::from_secs(6);
/// And so long is an event.
const NOTED: Duration = Duration::from_secs(12);
/// A target or a source that takes so long for a block is slow …
const SLOW: f64 = 1.5;
/// … when so much of what moves stands there, …
const SHARE: f64 = 0.7;
/// … for about so long.
const FOR: f64 = 3.0;

/// A route that has been asked and has not answered since.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Silent {
    pub api: Api,
    /// `Put eu-west-1`.
    pub name: String,
    pub lasted: Duration,
}

/// One end of the copy, and how it does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct End {
    pub name: String,
    /// Blocks that stand there.
    pub blocks: u32,
    /// Seconds that one takes lately.
    pub takes: Option<f64>,
    /// How long the oldest of them has been there.
    pub oldest: Duration,
}

/// What is known at one moment.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub state: JobState,
    pub why: String,
    pub reason: LaneReason,
    /// Grows with every byte and every answer.
    pub progress: u64,
    /// Bytes that destinations acknowledged.
    pub written: u64,
    pub troubles: Troubles,
    pub silent: Option<Silent>,
    /// The limiter that was cut most: its name, its quota, where it stands.
    pub limiter: Option<(String, PerSecond, PerSecond)>,
    pub source: End,
    pub targets: Vec<End>,
    /// The limit of bytes a second, in words, when blocks wait for it.
    pub bandwidth: Option<String>,
    /// Whether lanes wait for memory.
    pub memory: bool,
}

/// What is remembered between two looks.
#[derive(Debug)]
pub(super) struct Watch {
    progress: u64,
    moved: Instant,
    /// Troubles when the last byte moved.
    before: Troubles,
    /// Failures since then that were neither throttles nor deadlines, and the last one's words.
    failed: (u64, String),
    /// Why it waits, or waited last, and what was written by then: tries that only read end no wait.
    waits: Option<(Error, Option<u64>)>,
    noted: bool,
    looked: Instant,
    /// How much of what moves stands at the targets, over the last seconds.
    share: f64,
    now: Option<Stall>,
}

/// Something to tell of in the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News(pub String, pub Tone);

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            progress: 0,
            moved: now,
            before: Troubles::default(),
            failed: (0, String::new()),
            waits: None,
            noted: false,
            looked: now,
            share: 0.5,
            now: None,
        }
    }

    /// A request failed.
    pub(super) fn met(&mut self, error: &Error) {
        if !matches!(error.class, Class::Throttled(_) | Class::Congestion) {
            self.failed = (self.failed.0 + 1, error.what.clone());
        }
    }

    /// The job waits now.
    pub(super) fn waits(&mut self, error: &Error) {
        let written = self.waits.as_ref().and_then(|(_, written)| *written);
        self.waits = Some((error.clone(), written));
    }

    /// Where most of what moves stands: what bounds a job whose lanes would not help any more.
    pub(super) fn stands(&self) -> &'static str {
        if self.share >= SHARE {
            "target"
        } else if self.share <= 1.0 - SHARE {
            "source"
        } else {
            ""
        }
    }

    /// What it waits for, as of the last look.
    pub(super) fn stall(&self) -> Option<Stall> {
        self.now.clone()
    }

    /// Looks at it; what is to be logged.
    pub(super) fn look(&mut self, facts: &Facts, now: Instant) -> Option<News> {
        self.weigh(facts, now);
        if let Some((_, written)) = &mut self.waits
            && *written.get_or_insert(facts.written) == facts.written
        {
            self.progress = facts.progress;
            self.now = self.judge(facts, now.saturating_duration_since(self.moved));
            return None;
        }
        if facts.progress != self.progress {
            let lasted = now.saturating_duration_since(self.moved);
            let news = self.noted.then(|| News(format!("bytes move again after {} s", lasted.as_secs()), Tone::Good));
            (self.progress, self.moved, self.before) = (facts.progress, now, facts.troubles);
            (self.failed, self.waits, self.noted) = ((0, String::new()), None, false);
            self.now = self.slow(facts);
            return news;
        }
        let still = now.saturating_duration_since(self.moved);
        self.now = self.judge(facts, still);
        let text = &self.now.as_ref()?.text;
        if self.noted || still < NOTED {
            return None;
        }
        self.noted = true;
        Some(News(text.clone(), Tone::Warning))
    }

    /// Where the blocks stand, smoothed over the last seconds.
    fn weigh(&mut self, facts: &Facts, now: Instant) {
        let passed = now.saturating_duration_since(self.looked).as_secs_f64();
        self.looked = now;
        let there: u32 = facts.targets.iter().map(|end| end.blocks).max().unwrap_or(0);
        let all = f64::from(facts.source.blocks + there);
        let share = if all > 0.0 { f64::from(there) / all } else { 0.5 };
        self.share += (share - self.share) * (1.0 - (-passed / FOR).exp());
    }

    fn judge(&self, facts: &Facts, still: Duration) -> Option<Stall> {
        if !facts.state.is_active() {
            return None;
        }
        let seconds = still.as_secs_f64();
        let stall = |cause, word: String, rest: String| {
            let text = format!("no bytes for {}, {rest}", clock(seconds));
            Some(Stall { cause, word, seconds, text })
        };
        // It has an event of its own.
        if let Some((error, _)) = &self.waits {
            let (cause, word) = cause_of(error);
            return stall(cause, word, what_of(error));
        }
        if still < NAMED {
            return self.slow(facts).map(|slow| Stall { seconds: 0.0, ..slow });
        }
        if let Some((cause, word, rest)) = throttled(facts, &self.before) {
            return stall(cause, word, rest);
        }
        let timeouts = facts.troubles.timeouts.saturating_sub(self.before.timeouts);
        let (failures, last) = &self.failed;
        if *failures > timeouts {
            let times = if *failures == 1 { "a request failed".to_owned() } else { format!("{failures} failures") };
            return stall(Cause::Errors, "requests fail".to_owned(), format!("{times}, the last: {last}"));
        }
        if let Some(silent) = facts.silent.as_ref().filter(|silent| silent.lasted * 3 / 2 >= NAMED) {
            if let Some((end, takes)) = self.still_at_work(facts, silent) {
                return stall(Cause::SlowTarget, "slow target".to_owned(), slow_text("the target", end, takes));
            }
            let rest = format!(
                "{} has not answered for {}{}",
                silent.name,
                clock(silent.lasted.as_secs_f64()),
                if timeouts > 0 { format!(", {timeouts} deadlines passed") } else { String::new() }
            );
            return stall(Cause::NoAnswer, format!("no answer: {}", silent.api.name()), rest);
        }
        if let Some(end) = facts.targets.iter().filter(|end| end.blocks > 0).max_by_key(|end| end.oldest) {
            let takes = end.oldest.as_secs_f64().max(end.takes.unwrap_or(0.0));
            return stall(Cause::SlowTarget, "slow target".to_owned(), slow_text("the target", end, takes));
        }
        if let Some(limit) = &facts.bandwidth {
            return stall(Cause::Bandwidth, "bandwidth".to_owned(), format!("the bandwidth limit is {limit}"));
        }
        if facts.memory {
            return stall(Cause::Memory, "memory".to_owned(), "lanes wait for memory of the budget".to_owned());
        }
        match facts.state {
            // What AWS does by itself then takes as long as it takes.
            JobState::Completing | JobState::Verifying => None,
            JobState::Starting => {
                stall(Cause::NoAnswer, "no answer".to_owned(), format!("nothing was answered yet ({})", facts.why))
            }
            _ => stall(Cause::Unknown, "nothing moves".to_owned(), "no request is on its way".to_owned()),
        }
    }

    /// A target that does answer, but takes longer for it than the silence has lasted.
    fn still_at_work<'a>(&self, facts: &'a Facts, silent: &Silent) -> Option<(&'a End, f64)> {
        let ends = facts.targets.iter().filter(|end| end.blocks > 0 && matches!(silent.api, Api::Put | Api::Store));
        let slow = ends.filter_map(|end| end.takes.map(|takes| (end, takes))).max_by(|a, b| a.1.total_cmp(&b.1));
        slow.filter(|(_, takes)| *takes >= SLOW && silent.lasted.as_secs_f64() < 2.0 * takes)
    }

    /// Bytes move, but one end holds all the others up.
    fn slow(&self, facts: &Facts) -> Option<Stall> {
        let paced = matches!(
            facts.reason,
            LaneReason::Quota
                | LaneReason::SnapshotThrottle
                | LaneReason::AccountThrottle
                | LaneReason::KmsThrottle
                | LaneReason::Bandwidth
        );
        if facts.state != JobState::Running || paced {
            return None;
        }
        let is_slow = |end: &&End| end.blocks > 0 && end.takes.is_some_and(|takes| takes >= SLOW);
        let takes = |end: &End| end.takes.unwrap_or(0.0);
        let by_takes = |a: &&End, b: &&End| takes(a).total_cmp(&takes(b));
        let (cause, who, end) = if self.share >= SHARE {
            (Cause::SlowTarget, "the target", facts.targets.iter().filter(is_slow).max_by(by_takes)?)
        } else if self.share <= 1.0 - SHARE {
            (Cause::SlowSource, "the source", Some(&facts.source).filter(is_slow)?)
        } else {
            return None;
        };
        let word = if cause == Cause::SlowTarget { "slow target" } else { "slow source" };
        let text = slow_text(who, end, takes(end));
        Some(Stall { cause, word: word.to_owned(), seconds: 0.0, text })
    }
}

fn slow_text(who: &str, end: &End, takes: f64) -> String {
    let blocks = if end.blocks == 1 { "1 block waits".to_owned() } else { format!("{} blocks wait", end.blocks) };
    format!("{who} is slow: {} takes {takes:.1} s for a block, {blocks} for it", end.name)
}

/// Who throttles, since the last byte.
fn throttled(facts: &Facts, before: &Troubles) -> Option<(Cause, String, String)> {
    let now = &facts.troubles;
    let levels = [
        (now.kms_throttles - before.kms_throttles.min(now.kms_throttles), Cause::Kms, "KMS throttled", "KMS"),
        (
            now.account_throttles - before.account_throttles.min(now.account_throttles),
            Cause::Throttled,
            "throttled",
            "account",
        ),
        (
            now.snapshot_throttles - before.snapshot_throttles.min(now.snapshot_throttles),
            Cause::Throttled,
            "throttled",
            "snapshot",
        ),
    ];
    let (count, cause, word, level) = levels.into_iter().max_by_key(|(count, ..)| *count)?;
    if count == 0 {
        return None;
    }
    let plural = if count == 1 { "throttle" } else { "throttles" };
    let mut rest = format!("{count} {plural} at {level} level");
    if let Some((name, from, to)) = &facts.limiter {
        let from = from.to_string();
        rest.push_str(&format!(", rate of {name} {} → {to}", from.trim_end_matches("/s")));
    }
    Some((cause, word.to_owned(), rest))
}

/// What a job waits for whose run met this: the cause, and the word of the why-column.
pub(super) fn cause_of(error: &Error) -> (Cause, String) {
    let key = error.aws.as_ref().and_then(|aws| aws.reason.as_deref()).is_some_and(|reason| {
        matches!(reason, "DEPENDENCY_ACCESS_DENIED" | "INVALID_CUSTOMER_KEY" | "GRANT_NOT_FOUND")
    });
    match (error.class, &error.profile) {
        _ if key => (Cause::Kms, "KMS key denied".to_owned()),
        (Class::Credentials, Some(profile)) => (Cause::Login, format!("login {profile}")),
        (Class::Credentials, None) => (Cause::Login, "login".to_owned()),
        (Class::Quota, _) if error.kind == Kind::Stopped => (Cause::Memory, "memory".to_owned()),
        (Class::Quota, _) if error.aws.is_some() => (Cause::Throttled, "quota".to_owned()),
        (Class::Quota, _) => (Cause::DiskFull, "disk full".to_owned()),
        (Class::Throttled(crate::error::Level::Dependency), _) => (Cause::Kms, "KMS throttled".to_owned()),
        (Class::Throttled(_), _) => (Cause::Throttled, "throttled".to_owned()),
        (Class::Congestion, _) => (Cause::NoAnswer, "no answer".to_owned()),
        _ => (Cause::Errors, "a new try".to_owned()),
    }
}

/// The same in words: what is waited for, and what ends the wait.
fn what_of(error: &Error) -> String {
    match &error.todo {
        Some(todo) => format!("{} → {todo}", error.what),
        None => error.what.clone(),
    }
}
