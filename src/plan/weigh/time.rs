//! How long it takes: the slowest of the quotas, of what lanes, machine and network can carry, and of what earlier jobs
//! on the same route reached ([`super::limits`]).
//!
//! Where jobs went this way before, the spread of their rates is the range, and what they took beside their blocks is
//! what this one takes; else that is counted ([`super::ends`]). Jobs of a chain follow each other; those of a group run
//! beside each other as the engine lets them in ([`super::together`]).

use super::limits::{Known, Limit, is_snapshot, of_moving, of_reading_back, slowest_before, usable};
use super::{ends, together};
use crate::plan::alternatives::clock;
use crate::plan::model::{Choices, Facts, ItemPlan, Options, TimeEstimate, TimePart, Verify, When};
use crate::units::Sure;

/// A limiter begins with the tokens of so many seconds: they are spent at once.
pub(super) const HEAD_START: f64 = 0.1;
/// The range is never wider: a user plans a night with it.
const WIDEST: f64 = 2.0;
/// Up to so many seconds it may be: what AWS takes to complete a snapshot alone is as much, and nobody plans with that.
const FEW: f64 = 5.0;

/// Seconds: at best, and at worst.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    low: f64,
    high: f64,
}

impl Span {
    fn add(&mut self, low: f64, high: f64) {
        (self.low, self.high) = (self.low + low, self.high + high.max(low));
    }
}

/// How long.
#[must_use]
pub fn time(items: &[ItemPlan], options: &Options, choices: &Choices, facts: &Facts) -> TimeEstimate {
    let read: Vec<&ItemPlan> = items.iter().filter(|item| item.is_read()).collect();
    if read.is_empty() {
        return by_service(options);
    }
    if read.len() > 1 && !options.chain {
        return of_group(items, options, choices, facts);
    }
    let mut span = Span::default();
    let mut bound: Option<Limit> = None;
    for item in read {
        let slowest = slowest(of_moving(item, options, choices, facts));
        moving(&mut span, item, options, choices, facts, slowest.as_ref());
        bound = slowest.into_iter().chain(bound).reduce(|a, b| if b.rate() <= a.rate() { b } else { a });
    }
    let beside = aside(items, options, choices, facts);
    beside.iter().for_each(|part| span.add(part.low_seconds, part.high_seconds));
    TimeEstimate {
        low_seconds: span.low,
        high_seconds: no_wider(span.low, span.high),
        bound_by: bound.map_or_else(String::new, |limit| limit.text),
        sure: sure(items),
        beside,
        jobs: 1,
        each: Vec::new(),
    }
}

/// What one job of several takes by itself, from when it begins.
#[must_use]
pub fn time_of_one(
    whole: &TimeEstimate,
    nth: usize,
    item: &[ItemPlan],
    options: &Options,
    choices: &Choices,
    facts: &Facts,
) -> TimeEstimate {
    let alone = time(item, options, choices, facts);
    match whole.each.get(nth) {
        Some(span) => TimeEstimate {
            low_seconds: span.low_seconds,
            high_seconds: span.high_seconds,
            bound_by: whole.bound_by.clone(),
            ..alone
        },
        None => alone,
    }
}

fn of_group(items: &[ItemPlan], options: &Options, choices: &Choices, facts: &Facts) -> TimeEstimate {
    let beside: Vec<Vec<TimePart>> = items.iter().map(|item| aside_of(item, options, choices, facts)).collect();
    let most = |parts: &[TimePart]| parts.iter().map(|part| part.high_seconds).sum::<f64>();
    let found = together::run(items, &beside, options, choices, facts);
    TimeEstimate {
        low_seconds: found.low,
        high_seconds: no_wider(found.low, found.high),
        bound_by: found.bound_by,
        sure: sure(items),
        beside: beside.into_iter().reduce(|a, b| if most(&b) > most(&a) { b } else { a }).unwrap_or_default(),
        jobs: found.at_once,
        // What its neighbours leave a small job is not known as well as what all of them take.
        each: found.each,
    }
}

fn no_wider(low: f64, high: f64) -> f64 {
    high.min((low * WIDEST).max(FEW)).max(low)
}

fn sure(items: &[ItemPlan]) -> Sure {
    items.iter().map(|item| item.source.blocks.sure).fold(Sure::Estimate, Sure::and)
}

/// Of equal limits the last one named binds: the put, which is what a user can least change.
fn slowest(limits: Vec<Limit>) -> Option<Limit> {
    limits.into_iter().reduce(|a, b| if b.rate() <= a.rate() { b } else { a })
}

/// From the first block to the last, and their way back where each is read again.
#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
fn moving(
    span: &mut Span,
    item: &ItemPlan,
    options: &Options,
    choices: &Choices,
    facts: &Facts,
    binds: Option<&Limit>,
) {
    let blocks = item.source.blocks.value.0 as f64;
    let (rate, (best, worst)) = binds.map_or((f64::INFINITY, (1.0, 1.0)), |limit| (limit.rate(), limit.known.spread()));
    let took = blocks / rate;
    let slowest = blocks / slowest_before(item, facts).unwrap_or(f64::INFINITY);
    span.add((took - HEAD_START).max(0.0) * best, took.max(slowest) * worst);
    if let Some(back) = reads_back(item, options).then(|| of_reading_back(item, options, choices, facts)) {
        let back = self::slowest(back);
        let (rate, known) = back.map_or((f64::INFINITY, Known::Fixed), |limit| (limit.rate(), limit.known));
        let (best, worst) = known.spread();
        span.add(blocks / rate * best, blocks / rate * worst);
    }
}

/// Whether the results of a job are read again, block by block.
pub(super) fn reads_back(item: &ItemPlan, options: &Options) -> bool {
    options.verify == Verify::Full && item.destinations.iter().any(is_snapshot)
}

/// Start and end, beside the blocks, of one job or of a chain: one after the other.
fn aside(items: &[ItemPlan], options: &Options, choices: &Choices, facts: &Facts) -> Vec<TimePart> {
    match items {
        [item] => aside_of(item, options, choices, facts),
        _ => {
            let read = items.iter().filter(|item| item.is_read());
            read.flat_map(|item| ends::ends(item, options, choices, facts)).collect()
        }
    }
}

/// Those of one job: as earlier jobs on the route had them, else counted.
fn aside_of(item: &ItemPlan, options: &Options, choices: &Choices, facts: &Facts) -> Vec<TimePart> {
    let counted = ends::ends(item, options, choices, facts);
    let Some((low, high, jobs, listed)) = aside_before(item, facts) else { return counted };
    // What those jobs had to list is in what they took.
    let more = counted.into_iter().filter(|part| part.name == ends::LISTED_BACK && item.source.blocks.value.0 > listed);
    [ends::as_before(low, high, jobs)].into_iter().chain(more).collect()
}

/// What a running job still takes when its last block is there: the middle of what is said of it, by its magnitude.
#[must_use]
pub fn seconds_aside(beside: &[TimePart]) -> f64 {
    let after = || beside.iter().filter(|part| part.when == When::After);
    let (low, high): (f64, f64) =
        (after().map(|part| part.low_seconds).sum(), after().map(|part| part.high_seconds).sum());
    (low.max(0.01) * high).sqrt()
}

/// What earlier jobs on this route took beside their blocks, at best and at worst, how many they were, and how many blocks
/// the smallest of them had.
fn aside_before(item: &ItemPlan, facts: &Facts) -> Option<(f64, f64, usize, u64)> {
    let known: Vec<(f64, u64)> =
        usable(item, facts).filter_map(|past| Some((ends::beside(past)?, past.blocks.0))).collect();
    let low = known.iter().map(|(seconds, _)| *seconds).reduce(f64::min)?;
    let high = known.iter().map(|(seconds, _)| *seconds).reduce(f64::max)?;
    let blocks = known.iter().map(|(_, blocks)| *blocks).min()?;
    Some((low, high, known.len(), blocks))
}

/// What AWS makes alone.
fn by_service(options: &Options) -> TimeEstimate {
    let unknown = TimeEstimate {
        low_seconds: 0.0,
        high_seconds: 0.0,
        bound_by: "AWS, which copies at its own pace: best effort".to_owned(),
        sure: Sure::Unknown,
        beside: Vec::new(),
        jobs: 1,
        each: Vec::new(),
    };
    match options.complete_within {
        None => unknown,
        Some(within) => TimeEstimate {
            low_seconds: within.seconds(),
            high_seconds: within.seconds(),
            bound_by: format!("AWS, which is asked to be done within {}", clock(within.seconds())),
            sure: Sure::AtMost,
            ..unknown
        },
    }
}
