//! How long it takes: the slowest of the quotas and of what lanes, machine and network can carry.

use crate::bandwidth::Bandwidth;
use crate::plan::alternatives::clock;
use crate::plan::model::{
    Choices, DestinationKind, DestinationPlan, ItemPlan, Options, Strategy, TimeEstimate, Verify,
};
use crate::units::Sure;

/// Seconds that start, canary, completion and listing back take beside the blocks.
const FIXED_SECONDS: f64 = 4.0;
/// A request over a distance, seconds, until this route has been measured.
const ASSUMED_LATENCY: f64 = 0.1;
/// What the service gives at worst, as a share of the quota: the slack of the high end.
const SLACK: f64 = 1.19;

/// How long: the slowest of the quotas and what the lanes can carry.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
pub fn time(items: &[ItemPlan], options: &Options, choices: &Choices) -> TimeEstimate {
    let lanes = f64::from(choices.lanes_max) / ASSUMED_LATENCY;
    let mut low = 0.0;
    let mut bound = (f64::INFINITY, String::new());
    if !items.iter().any(ItemPlan::is_read) {
        if let Some(within) = options.complete_within {
            let bound_by = format!("AWS, which is asked to be done within {}", clock(within.seconds()));
            let most = within.seconds();
            return TimeEstimate { low_seconds: most, high_seconds: most, bound_by, sure: Sure::AtMost };
        }
        let bound_by = "AWS, which copies at its own pace: best effort".to_owned();
        return TimeEstimate { low_seconds: 0.0, high_seconds: 0.0, bound_by, sure: Sure::Unknown };
    }
    for item in items.iter().filter(|item| item.is_read()) {
        let blocks = item.source.blocks.value.0 as f64;
        let mut candidates = vec![(lanes, format!("{} lanes at an assumed 100 ms", choices.lanes_max))];
        if item.source.kind.is_snapshot() {
            let get = choices.get_per_second;
            candidates.push((get, format!("Get/s per snapshot, {} (L-028ACFB9, fixed)", per_second(get))));
        }
        if item.destinations.iter().any(is_snapshot) {
            let put = choices.put_per_second;
            let sharing = most_sharing(&item.destinations);
            let share = choices.put_per_account / f64::from(sharing.max(1));
            candidates.push(if share < put {
                let account = per_second(choices.put_per_account);
                (share, format!("Put/s per account, {account} for {sharing} destinations (L-AFAE1BE8)"))
            } else {
                (put, format!("Put/s per snapshot, {} (L-1774F84A, fixed)", per_second(put)))
            });
        }
        if let Some(limit) = options.bandwidth.as_ref().and_then(Bandwidth::least) {
            // Each block counts once for reading and once for each destination that keeps it.
            let kept = item.destinations.iter().filter(|to| to.kind != DestinationKind::Null).count();
            let rate = limit.0 as f64 / (crate::units::BLOCK_BYTES as f64 * (1.0 + kept as f64));
            let said = options.bandwidth.as_ref().map_or_else(String::new, ToString::to_string);
            candidates.push((rate, format!("--bandwidth {said}")));
        }
        // Of equal limits the last one named binds: the put, which is what a user can least change.
        let slowest = candidates
            .into_iter()
            .reduce(|a, b| if b.0 <= a.0 { b } else { a })
            .unwrap_or_else(|| (f64::INFINITY, String::new()));
        low += blocks / slowest.0;
        if options.verify == Verify::Full && item.destinations.iter().any(is_snapshot) {
            low += blocks / choices.get_per_second.min(lanes);
        }
        if slowest.0 < bound.0 {
            bound = slowest;
        }
    }
    let sure = items.iter().map(|item| item.source.blocks.sure).fold(Sure::Estimate, Sure::and);
    TimeEstimate {
        low_seconds: low + FIXED_SECONDS,
        high_seconds: (low + FIXED_SECONDS) * SLACK,
        bound_by: bound.1,
        sure,
    }
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
