//! Other ways to the same result, each with its price and what it keeps.

use crate::plan::machine::RunsIn;
use crate::plan::model::{Alternative, DestinationKind, DestinationPlan, ItemPlan, Plan, SourceKind, Strategy, Verify};
use crate::plan::prices::Prices;
use crate::plan::{native, weigh};
use crate::units::{Quantity, Sure, Usd};
use crate::within::Within;

/// The chosen way first, then what else there is.
pub(super) fn of(plan: &Plan, runs_in: &RunsIn, prices: &Prices) -> Vec<Alternative> {
    let options = &plan.operation.options;
    if plan.items.iter().all(ItemPlan::is_copied) {
        return Vec::new();
    }
    let all = || plan.items.iter().flat_map(|item| &item.destinations);
    if all().any(|to| matches!(to.kind, DestinationKind::Image { .. })) {
        return of_image(plan, prices);
    }
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
        strategy: Strategy::Direct,
        complete_within: None,
    }];
    if let [item] = plan.items.as_slice()
        && let SourceKind::Snapshot { .. } = item.source.kind
        && let [to] = item.destinations.as_slice()
        && let DestinationKind::Snapshot { .. } = to.kind
    {
        let refusal = native::refusal(&item.source, to, options);
        let native = Native { name: "native CopySnapshot", refusal, chosen: by_aws };
        ways.extend(by_service(plan, item, to, prices, &native));
    }
    ways
}

/// An image is copied by AWS or not at all; what there is to choose is how fast.
fn of_image(plan: &Plan, prices: &Prices) -> Vec<Alternative> {
    if let [item] = plan.items.as_slice()
        && let [to] = item.destinations.as_slice()
    {
        let native = Native { name: "native CopyImage", refusal: None, chosen: true };
        return by_service(plan, item, to, prices, &native);
    }
    vec![Alternative {
        name: "as planned".to_owned(),
        once: plan.cost.once,
        monthly: plan.cost.monthly,
        time: plan.time.text(),
        keeps: "key".to_owned(),
        unavailable: None,
        chosen: true,
        strategy: plan.operation.options.strategy,
        complete_within: plan.operation.options.complete_within,
    }]
}

/// A copy that AWS makes.
struct Native {
    name: &'static str,
    /// Why it cannot.
    refusal: Option<String>,
    /// Whether the plan is one.
    chosen: bool,
}

/// What AWS does itself: at its own pace, and within a time that is asked for or the shortest there is.
fn by_service(
    plan: &Plan,
    item: &ItemPlan,
    to: &DestinationPlan,
    prices: &Prices,
    native: &Native,
) -> Vec<Alternative> {
    let (Some(from), Some(region)) = (&item.source.region, &to.region) else { return Vec::new() };
    let gib = item.source.blocks.value.bytes().as_gib();
    let transfer = prices.between(from, region);
    let once = Quantity { value: Usd(transfer.value.0 * gib), sure: transfer.sure.and(item.source.blocks.sure) };
    let asked = plan.operation.options.complete_within;
    let mut ways = vec![Alternative {
        name: native.name.to_owned(),
        once,
        monthly: plan.cost.monthly,
        time: "unknown".to_owned(),
        keeps: "key".to_owned(),
        unavailable: native.refusal.clone(),
        chosen: native.chosen && asked.is_none(),
        strategy: Strategy::Native,
        complete_within: None,
    }];
    if let Some(within) = asked.or_else(|| Within::least_for(native::largest(&item.source))) {
        let by = clock(within.seconds());
        ways.push(Alternative {
            name: format!("native, by {by}"),
            once: Quantity {
                value: Usd(once.value.0 + gib * within.surcharge().0),
                sure: once.sure.and(Sure::Estimate),
            },
            time: by,
            chosen: native.chosen && asked.is_some(),
            complete_within: Some(within),
            ..ways[0].clone()
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
}
