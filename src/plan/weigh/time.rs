//! How long it takes: the slowest of the quotas, of what lanes, machine and network can carry, and of what earlier jobs
//! on the same route reached.
//!
//! Each limit is a rate in blocks a second with a name. Where jobs went this way before, the spread of their rates is
//! the range, and what they took beside their blocks is what this one takes; else that is counted ([`super::ends`]).

use super::ends;
use crate::bandwidth::Bandwidth;
use crate::plan::alternatives::clock;
use crate::plan::machine::Host;
use crate::plan::model::{
    Choices, DestinationKind, DestinationPlan, Facts, ItemPlan, Options, Strategy, TimeEstimate, TimePart, Verify, When,
};
use crate::store::routes::Past;
use crate::units::{BLOCK_BYTES, Bytes, Sure};

/// A request over a distance, seconds, until this route has been measured.
const ASSUMED_LATENCY: f64 = 0.1;
/// How much of that it may be at best: a neighbouring region is nearer than the far side of the world.
const ASSUMED_BEST: f64 = 0.6;
/// What the service gives at worst, as a share of the quota: the slack of the high end.
const SLACK: f64 = 1.19;
/// What it takes at best of what the past says: the best of a few jobs is not the best there is.
const PAST_BEST: f64 = 0.93;
/// A limiter begins with the tokens of so many seconds: they are spent at once.
const HEAD_START: f64 = 0.1;
/// The range is never wider: a user plans a night with it.
const WIDEST: f64 = 2.0;
/// What one core does with a block beside hashing it: TLS, HTTP, copying, the ledger; MiB a second (benchmarks of
/// November 2026: 1.35 CPU seconds a GiB for a copy, 0.59 of them SHA-256).
const REST_PER_CORE: f64 = 1350.0;
/// An earlier job says something about one of at most so many times its size: below, what it took was mostly its start.
const SAYS_UP_TO: u64 = 16;

/// How sure a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// A quota, or what was asked for: it is never exceeded.
    Fixed,
    /// As measured in earlier jobs.
    Measured,
    /// Assumed.
    Guessed,
}

impl Known {
    /// What it takes at best and at worst, of what it takes by the figures.
    const fn spread(self) -> (f64, f64) {
        match self {
            Self::Fixed => (1.0, SLACK),
            Self::Measured => (PAST_BEST, SLACK),
            Self::Guessed => (ASSUMED_BEST, SLACK),
        }
    }
}

/// A limit: blocks a second, how sure that is, and what it is.
type Limit = (f64, Known, String);

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
    if !items.iter().any(ItemPlan::is_read) {
        return by_service(options);
    }
    let mut span = Span::default();
    let mut bound: Limit = (f64::INFINITY, Known::Fixed, String::new());
    for item in items.iter().filter(|item| item.is_read()) {
        let slowest = slowest(item, options, choices, facts);
        moving(&mut span, item, options, choices, facts, &slowest);
        if slowest.0 < bound.0 {
            bound = slowest;
        }
    }
    let beside = aside(items, options, choices, facts);
    beside.iter().for_each(|part| span.add(part.low_seconds, part.high_seconds));
    let sure = items.iter().map(|item| item.source.blocks.sure).fold(Sure::Estimate, Sure::and);
    TimeEstimate {
        low_seconds: span.low,
        high_seconds: span.high.min(span.low * WIDEST).max(span.low),
        bound_by: bound.2,
        sure,
        beside,
    }
}

fn slowest(item: &ItemPlan, options: &Options, choices: &Choices, facts: &Facts) -> Limit {
    let limits = limits(item, options, choices, facts);
    // Of equal limits the last one named binds: the put, which is what a user can least change.
    let slowest = limits.into_iter().reduce(|a, b| if b.0 <= a.0 { b } else { a });
    slowest.unwrap_or_else(|| (f64::INFINITY, Known::Guessed, String::new()))
}

/// From the first block to the last, and their way back where each is read again.
#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
fn moving(
    span: &mut Span,
    item: &ItemPlan,
    options: &Options,
    choices: &Choices,
    facts: &Facts,
    (rate, known, _): &Limit,
) {
    let blocks = item.source.blocks.value.0 as f64;
    let (best, worst) = known.spread();
    let took = blocks / rate;
    let slowest = blocks / slowest_before(item, facts).unwrap_or(f64::INFINITY);
    span.add((took - HEAD_START).max(0.0) * best, took.max(slowest) * worst);
    if options.verify == Verify::Full && item.destinations.iter().any(is_snapshot) {
        let back = lanes(choices, facts);
        let (rate, known) =
            if back.0 < choices.get_per_second { (back.0, back.1) } else { (choices.get_per_second, Known::Fixed) };
        let (best, worst) = known.spread();
        span.add(blocks / rate * best, blocks / rate * worst);
    }
}

/// Start and end, beside the blocks: as earlier jobs on the route had them, else counted. Jobs of a group do that beside
/// each other, those of a chain one after the other.
fn aside(items: &[ItemPlan], options: &Options, choices: &Choices, facts: &Facts) -> Vec<TimePart> {
    let read = || items.iter().filter(|item| item.is_read());
    if let [item] = items
        && let Some(known) = aside_before(item, facts)
    {
        let more = ends::ends(item, options, choices, facts).into_iter().filter(|part| part.name == ends::LISTED_BACK);
        let (low, high, jobs, listed) = known;
        // What those jobs had to list is in what they took.
        let more = more.filter(|_| item.source.blocks.value.0 > listed);
        return [ends::as_before(low, high, jobs)].into_iter().chain(more).collect();
    }
    let of = |item| ends::ends(item, options, choices, facts);
    if options.chain {
        return read().flat_map(of).collect();
    }
    let most = |parts: &[TimePart]| parts.iter().map(|part| part.high_seconds).sum::<f64>();
    read().map(of).reduce(|a, b| if most(&b) > most(&a) { b } else { a }).unwrap_or_default()
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
    if let Some(within) = options.complete_within {
        let bound_by = format!("AWS, which is asked to be done within {}", clock(within.seconds()));
        let most = within.seconds();
        return TimeEstimate {
            low_seconds: most,
            high_seconds: most,
            bound_by,
            sure: Sure::AtMost,
            beside: Vec::new(),
        };
    }
    let bound_by = "AWS, which copies at its own pace: best effort".to_owned();
    TimeEstimate { low_seconds: 0.0, high_seconds: 0.0, bound_by, sure: Sure::Unknown, beside: Vec::new() }
}

/// Earlier jobs on this route that say something about one of this size.
fn usable<'a>(item: &ItemPlan, facts: &'a Facts) -> impl Iterator<Item = &'a Past> {
    let blocks = item.source.blocks.value.0;
    facts.past.iter().filter(move |past| past.seconds > 0.0 && blocks <= past.blocks.0.saturating_mul(SAYS_UP_TO))
}

/// Blocks a second while they moved.
#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
fn rate(past: &Past) -> f64 {
    past.blocks.0 as f64 / if past.moving > 0.0 { past.moving } else { past.seconds }
}

/// Rates of earlier jobs that were free to go as fast as they could.
fn rates(item: &ItemPlan, facts: &Facts) -> impl Iterator<Item = f64> {
    usable(item, facts).filter(|past| !past.capped).map(rate)
}

/// The slowest that this route was.
fn slowest_before(item: &ItemPlan, facts: &Facts) -> Option<f64> {
    rates(item, facts).reduce(f64::min)
}

/// What the lanes carry, by the latency that was measured on this route, else by an assumed one.
fn lanes(choices: &Choices, facts: &Facts) -> Limit {
    let measured = facts.past.iter().map(|past| f64::from(past.get_ms + past.put_ms)).filter(|ms| *ms > 0.0);
    let lanes = choices.lanes_max;
    match measured.reduce(f64::min) {
        Some(ms) => {
            // A lane that waits for nothing still takes its turn at the cores.
            let seconds = (ms / 1000.0).max(0.001);
            let text = format!("{lanes} lanes at {ms:.0} ms, as measured on this route");
            (f64::from(lanes) / seconds, Known::Measured, text)
        }
        None => (f64::from(lanes) / ASSUMED_LATENCY, Known::Guessed, format!("{lanes} lanes at an assumed 100 ms")),
    }
}

fn limits(item: &ItemPlan, options: &Options, choices: &Choices, facts: &Facts) -> Vec<Limit> {
    let mut all = vec![lanes(choices, facts)];
    all.extend(machine(item, &facts.host));
    if let Some(best) = rates(item, facts).reduce(f64::max) {
        let jobs = rates(item, facts).count();
        let s = if jobs == 1 { "" } else { "s" };
        let text = format!("what {jobs} earlier job{s} on this route reached, {} MiB/s", per_second(best / 2.0));
        all.push((best, Known::Measured, text));
    }
    if item.source.kind.is_snapshot() {
        let get = choices.get_per_second;
        let text = quota(facts, "L-028ACFB9", &format!("Get/s per snapshot, {}", per_second(get)), ", fixed");
        all.push((get, Known::Fixed, text));
    }
    if item.destinations.iter().any(is_snapshot) {
        let put = choices.put_per_second;
        let sharing = most_sharing(&item.destinations);
        let share = choices.put_per_account / f64::from(sharing.max(1));
        all.push(if share < put {
            let account = per_second(choices.put_per_account);
            let text = format!("Put/s per account, {account} for {sharing} destinations");
            (share, Known::Fixed, quota(facts, "L-AFAE1BE8", &text, ""))
        } else {
            let text = format!("Put/s per snapshot, {}", per_second(put));
            (put, Known::Fixed, quota(facts, "L-1774F84A", &text, ", fixed"))
        });
    }
    if let Some(limit) = options.bandwidth.as_ref().and_then(Bandwidth::least) {
        all.push((blocks_of(limit, item), Known::Fixed, format!("--bandwidth {}", said(options))));
    }
    all
}

/// `Put/s per snapshot, 1,000 (L-1774F84A, fixed)`; says so where nobody could be asked.
fn quota(facts: &Facts, code: &str, text: &str, fixed: &str) -> String {
    let guessed = facts.quotas.iter().any(|known| known.code == code && !known.told);
    let guessed = if guessed { ", AWS's default: Service Quotas was not told" } else { "" };
    format!("{text} ({code}{fixed}{guessed})")
}

fn said(options: &Options) -> String {
    options.bandwidth.as_ref().map_or_else(String::new, ToString::to_string)
}

/// Blocks a second under a limit of bytes: each counts once for reading and once for each destination that keeps it.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn blocks_of(limit: Bytes, item: &ItemPlan) -> f64 {
    let kept = item.destinations.iter().filter(|to| to.kind != DestinationKind::Null).count();
    limit.0 as f64 / (BLOCK_BYTES as f64 * (1.0 + kept as f64))
}

/// What cores and network carry.
fn machine(item: &ItemPlan, host: &Host) -> Vec<Limit> {
    let mut all = Vec::new();
    if host.cores > 0 && host.sha256 > 0.0 {
        let per_core = 1.0 / (1.0 / host.sha256 + 1.0 / REST_PER_CORE);
        let text = format!("CPU: {} cores, SHA-256 at {} MiB/s each", host.cores, per_second(host.sha256));
        all.push((per_core * f64::from(host.cores) * 2.0, Known::Measured, text));
    }
    if let (Some(gbit), Some(kind)) = (host.network, &host.kind) {
        let remote = item.destinations.iter().filter(|to| to.region.is_some()).count();
        let reads = u32::from(item.source.region.is_some());
        let ways = f64::from(u32::try_from(remote).unwrap_or(u32::MAX).max(reads).max(1));
        // In and out have the baseline each.
        let mib = gbit * 1e9 / 8.0 / (1024.0 * 1024.0);
        all.push((mib * 2.0 / ways, Known::Fixed, format!("network of {kind}, {gbit} Gbit/s all the time")));
    }
    all
}

/// The most new snapshots that one account makes in one region: they share its Put quota.
fn most_sharing(destinations: &[DestinationPlan]) -> u32 {
    let mut counts = std::collections::BTreeMap::new();
    for to in destinations.iter().filter(|to| is_snapshot(to)) {
        *counts.entry((&to.account, &to.region)).or_insert(0u32) += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

fn per_second(rate: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quota is a small positive number")]
    crate::units::grouped(rate.max(0.0) as u64)
}

/// Whether blocks are put to it.
fn is_snapshot(to: &DestinationPlan) -> bool {
    matches!(to.kind, DestinationKind::Snapshot { .. }) && to.strategy != Strategy::Native
}
