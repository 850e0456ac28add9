//! How long it takes: the slowest of the quotas, of what lanes, machine and network can carry, and of what earlier jobs
//! on the same route reached.
//!
//! Each limit is a rate in blocks a second with a name. Where jobs went this way before, the spread of their rates is
//! the range; else it is what a service gives at its worst.

use crate::bandwidth::Bandwidth;
use crate::plan::alternatives::clock;
use crate::plan::machine::Host;
use crate::plan::model::{
    Choices, DestinationKind, DestinationPlan, Facts, ItemPlan, Options, Strategy, TimeEstimate, Verify,
};
use crate::store::routes::Past;
use crate::units::{BLOCK_BYTES, Bytes, Sure};

/// Seconds that start, canary, completion and listing back take beside the blocks.
const FIXED_SECONDS: f64 = 4.0;
/// A request over a distance, seconds, until this route has been measured.
const ASSUMED_LATENCY: f64 = 0.1;
/// What the service gives at worst, as a share of the quota: the slack of the high end.
const SLACK: f64 = 1.19;
/// The range is never wider: a user plans a night with it.
const WIDEST: f64 = 2.0;
/// What one core does with a block beside hashing it: TLS, HTTP, copying, the ledger; MiB a second (benchmarks of
/// November 2026: 1.35 CPU seconds a GiB for a copy, 0.59 of them SHA-256).
const REST_PER_CORE: f64 = 1350.0;
/// An earlier job says something about one of at most so many times its size: below, what it took was mostly its start.
const SAYS_UP_TO: u64 = 16;

/// A limit: blocks a second, and what it is.
type Limit = (f64, String);

/// How long.
#[must_use]
pub fn time(items: &[ItemPlan], options: &Options, choices: &Choices, facts: &Facts) -> TimeEstimate {
    if !items.iter().any(ItemPlan::is_read) {
        return by_service(options);
    }
    let (mut low, mut high) = (0.0, 0.0);
    let mut bound: Limit = (f64::INFINITY, String::new());
    for item in items.iter().filter(|item| item.is_read()) {
        #[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
        let blocks = item.source.blocks.value.0 as f64;
        let limits = limits(item, options, choices, facts);
        // Of equal limits the last one named binds: the put, which is what a user can least change.
        let slowest = limits.into_iter().reduce(|a, b| if b.0 <= a.0 { b } else { a });
        let slowest = slowest.unwrap_or_else(|| (f64::INFINITY, String::new()));
        let mut took = blocks / slowest.0;
        if options.verify == Verify::Full && item.destinations.iter().any(is_snapshot) {
            took += blocks / choices.get_per_second.min(lanes(choices, facts).0);
        }
        low += took;
        high += took.max(blocks / worst(item, facts).unwrap_or(f64::INFINITY)) * SLACK;
        if slowest.0 < bound.0 {
            bound = slowest;
        }
    }
    let sure = items.iter().map(|item| item.source.blocks.sure).fold(Sure::Estimate, Sure::and);
    let fixed = fixed(items, facts);
    let low = low + fixed;
    TimeEstimate {
        low_seconds: low,
        high_seconds: (high + FIXED_SECONDS * SLACK).min(low * WIDEST).max(low),
        bound_by: bound.1,
        sure,
    }
}

/// What AWS makes alone.
fn by_service(options: &Options) -> TimeEstimate {
    if let Some(within) = options.complete_within {
        let bound_by = format!("AWS, which is asked to be done within {}", clock(within.seconds()));
        let most = within.seconds();
        return TimeEstimate { low_seconds: most, high_seconds: most, bound_by, sure: Sure::AtMost };
    }
    let bound_by = "AWS, which copies at its own pace: best effort".to_owned();
    TimeEstimate { low_seconds: 0.0, high_seconds: 0.0, bound_by, sure: Sure::Unknown }
}

/// Start and end: what the quickest earlier job on the route took in all is more than its own, so no job is said to take
/// longer than that for nothing.
fn fixed(items: &[ItemPlan], facts: &Facts) -> f64 {
    match items {
        [item] if usable(item, facts).next().is_some() => FIXED_SECONDS / 2.0,
        _ => FIXED_SECONDS,
    }
}

/// Earlier jobs on this route that say something about one of this size.
fn usable<'a>(item: &ItemPlan, facts: &'a Facts) -> impl Iterator<Item = &'a Past> {
    let blocks = item.source.blocks.value.0;
    facts.past.iter().filter(move |past| past.seconds > 0.0 && blocks <= past.blocks.0.saturating_mul(SAYS_UP_TO))
}

#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
fn rate(past: &Past) -> f64 {
    past.blocks.0 as f64 / past.seconds
}

/// The slowest that this route was.
fn worst(item: &ItemPlan, facts: &Facts) -> Option<f64> {
    usable(item, facts).map(rate).reduce(f64::min)
}

/// What the lanes carry, by the latency that was measured on this route, else by an assumed one.
fn lanes(choices: &Choices, facts: &Facts) -> Limit {
    let measured = facts.past.iter().map(|past| f64::from(past.get_ms + past.put_ms)).filter(|ms| *ms > 0.0);
    let lanes = choices.lanes_max;
    match measured.reduce(f64::min) {
        Some(ms) => {
            // A lane that waits for nothing still takes its turn at the cores.
            let seconds = (ms / 1000.0).max(0.001);
            (f64::from(lanes) / seconds, format!("{lanes} lanes at {ms:.0} ms, as measured on this route"))
        }
        None => (f64::from(lanes) / ASSUMED_LATENCY, format!("{lanes} lanes at an assumed 100 ms")),
    }
}

fn limits(item: &ItemPlan, options: &Options, choices: &Choices, facts: &Facts) -> Vec<Limit> {
    let mut all = vec![lanes(choices, facts)];
    all.extend(machine(item, &facts.host));
    let reached = usable(item, facts).map(rate).reduce(f64::max);
    if let Some(best) = reached {
        let (jobs, s) = (usable(item, facts).count(), if usable(item, facts).count() == 1 { "" } else { "s" });
        all.push((best, format!("what {jobs} earlier job{s} on this route reached, {} MiB/s", per_second(best / 2.0))));
    }
    if item.source.kind.is_snapshot() {
        let get = choices.get_per_second;
        all.push((get, quota(facts, "L-028ACFB9", &format!("Get/s per snapshot, {}", per_second(get)), ", fixed")));
    }
    if item.destinations.iter().any(is_snapshot) {
        let put = choices.put_per_second;
        let sharing = most_sharing(&item.destinations);
        let share = choices.put_per_account / f64::from(sharing.max(1));
        all.push(if share < put {
            let account = per_second(choices.put_per_account);
            let text = format!("Put/s per account, {account} for {sharing} destinations");
            (share, quota(facts, "L-AFAE1BE8", &text, ""))
        } else {
            (put, quota(facts, "L-1774F84A", &format!("Put/s per snapshot, {}", per_second(put)), ", fixed"))
        });
    }
    if let Some(limit) = options.bandwidth.as_ref().and_then(Bandwidth::least) {
        all.push((blocks_of(limit, item), format!("--bandwidth {}", said(options))));
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
        all.push((per_core * f64::from(host.cores) * 2.0, text));
    }
    if let (Some(gbit), Some(kind)) = (host.network, &host.kind) {
        let remote = item.destinations.iter().filter(|to| to.region.is_some()).count();
        let reads = u32::from(item.source.region.is_some());
        let ways = f64::from(u32::try_from(remote).unwrap_or(u32::MAX).max(reads).max(1));
        // In and out have the baseline each.
        let mib = gbit * 1e9 / 8.0 / (1024.0 * 1024.0);
        all.push((mib * 2.0 / ways, format!("network of {kind}, {gbit} Gbit/s all the time")));
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
