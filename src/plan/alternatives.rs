//! Other ways to the same result, each with its price and what it keeps.

use crate::plan::machine::RunsIn;
use crate::plan::model::{Alternative, DestinationKind, ItemPlan, Plan, SourceKind, Strategy, Verify};
use crate::plan::prices::Prices;
use crate::plan::{native, weigh};
use crate::units::{Quantity, Sure, Usd};

/// Surcharge of a time-based copy per GiB at its fastest that a large snapshot can have (8 h to 15 h 45 min).
const TIME_BASED_PER_GIB: f64 = 0.010;
/// A time-based copy moves at most this much a second.
const TIME_BASED_MIB_PER_SECOND: f64 = 500.0;

/// The chosen way first, then what else there is.
pub(super) fn of(plan: &Plan, runs_in: &RunsIn, prices: &Prices) -> Vec<Alternative> {
    let options = &plan.operation.options;
    if plan.items.iter().all(ItemPlan::is_copied) {
        return Vec::new();
    }
    let all = || plan.items.iter().flat_map(|item| &item.destinations);
    let by_aws = all().any(|to| to.strategy == Strategy::Native && !to.kind.is_copied());
    let (cost, time) = if by_aws {
        let items = direct(&plan.items);
        let cost = weigh::cost(&items, options, &plan.choices, runs_in, prices);
        (cost, weigh::time(&items, options, &plan.choices))
    } else {
        (plan.cost.clone(), plan.time.clone())
    };
    let keeps = match options.verify {
        Verify::None => "count",
        _ => "proof",
    };
    let delta = plan.items.iter().any(|item| item.source.kind.base().is_some());
    let mut ways = vec![Alternative {
        name: if delta { "direct, changes only" } else { "direct, whole" }.to_owned(),
        once: cost.once,
        monthly: cost.monthly,
        time: span(time.low_seconds, time.high_seconds),
        keeps: keeps.to_owned(),
        unavailable: None,
        chosen: !by_aws,
    }];
    if let [item] = plan.items.as_slice()
        && let SourceKind::Snapshot { .. } = item.source.kind
        && let [to] = item.destinations.as_slice()
        && let DestinationKind::Snapshot { .. } = to.kind
        && let (Some(from), Some(region)) = (&item.source.region, &to.region)
    {
        let gib = item.source.blocks.value.bytes().as_gib();
        let sure = item.source.blocks.sure;
        let price = prices.between(from, region);
        let once = Quantity { value: Usd(price.value.0 * gib), sure: price.sure.and(sure) };
        ways.push(Alternative {
            name: "native CopySnapshot".to_owned(),
            once,
            monthly: plan.cost.monthly,
            time: "unknown".to_owned(),
            keeps: "key".to_owned(),
            unavailable: native::refusal(&item.source, to, options),
            chosen: by_aws,
        });
        let seconds = (item.source.blocks.value.bytes().as_mib() / TIME_BASED_MIB_PER_SECOND).max(900.0);
        let quarters = (seconds / 900.0).ceil();
        ways.push(Alternative {
            name: format!("native, by {}", clock(quarters * 900.0)),
            once: Quantity {
                value: Usd(once.value.0 + gib * surcharge(quarters)),
                sure: once.sure.and(Sure::Estimate),
            },
            monthly: plan.cost.monthly,
            time: clock(quarters * 900.0),
            keeps: "key".to_owned(),
            unavailable: Some(format!(
                "floe prices time-based copies, but does not ask for them: aws ec2 copy-snapshot \
                 --completion-duration-minutes {}",
                quarters * 15.0
            )),
            chosen: false,
        });
    }
    ways
}

/// The same items with every destination filled by floe.
fn direct(items: &[ItemPlan]) -> Vec<ItemPlan> {
    let mut items = items.to_vec();
    for to in items.iter_mut().flat_map(|item| &mut item.destinations) {
        to.strategy = Strategy::Direct;
    }
    items
}

/// Surcharge per GiB by duration in quarters of an hour (fixed in all regions).
fn surcharge(quarters: f64) -> f64 {
    match quarters {
        q if q <= 1.0 => 0.020,
        q if q <= 3.0 => 0.018,
        q if q <= 7.0 => 0.016,
        q if q <= 15.0 => 0.014,
        q if q <= 31.0 => 0.012,
        q if q <= 63.0 => TIME_BASED_PER_GIB,
        _ => 0.005,
    }
}

/// `8 h 42 m`, `14 m`, `40 s`.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "durations of jobs are small")]
pub fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match (s / 86_400, s / 3600, s / 60) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, m) if m < 10 && !s.is_multiple_of(60) => format!("{m} m {:02} s", s % 60),
        (0, 0, m) => format!("{m} m"),
        (0, h, m) => format!("{h} h {:02} m", m % 60),
        (d, h, _) => format!("{d} d {:02} h", h % 24),
    }
}

/// `8 h 42 m – 10 h 20 m`, or one of them when both read alike.
#[must_use]
pub fn span(low: f64, high: f64) -> String {
    let (low, high) = (clock(low), clock(high));
    if low == high { low } else { format!("{low} – {high}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_clock() {
        assert_eq!(clock(31_318.6), "8 h 41 m");
        assert_eq!(clock(64.0), "1 m 04 s");
        assert_eq!(clock(840.0), "14 m");
        assert_eq!(clock(3.4), "3 s");
        assert_eq!(clock(200_000.0), "2 d 07 h");
        assert_eq!(span(3.0, 3.2), "3 s");
    }

    #[test]
    fn faster_copies_cost_more() {
        let prices: Vec<f64> = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0].into_iter().map(surcharge).collect();
        assert!(prices.windows(2).all(|pair| pair[0] > pair[1]), "{prices:?}");
    }
}
