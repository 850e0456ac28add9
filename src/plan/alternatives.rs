//! Other ways to the same result, each with its price and what it keeps.

use crate::address::Address;
use crate::ids::{Region, SnapshotId};
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
        (cost, weigh::time(&items, options, &plan.choices, &plan.facts))
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
        operation: None,
        remark: "lineage to the source is in floe's records only".to_owned(),
    }];
    ways.extend(deltas(plan, runs_in, prices));
    ways.extend(classes(plan, runs_in, prices));
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
        operation: None,
        remark: String::new(),
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
        operation: None,
        remark: "AWS keeps the lineage for its own later copies; no block is compared by floe".to_owned(),
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

/// The same result as a delta, where a copy of an earlier snapshot is there already.
fn deltas(plan: &Plan, runs_in: &RunsIn, prices: &Prices) -> Vec<Alternative> {
    let [item] = plan.items.as_slice() else { return Vec::new() };
    let SourceKind::Snapshot { id, encrypted, kms_key } = &item.source.kind else { return Vec::new() };
    let ways = plan.facts.deltas.iter().filter_map(|known| {
        let Some(Address::Delta(_, first, _)) = known.operation.sources.first() else { return None };
        let mut item = direct(std::slice::from_ref(item)).pop()?;
        item.source.kind = SourceKind::Delta {
            first: first.clone(),
            second: id.clone(),
            encrypted: *encrypted,
            kms_key: kms_key.clone(),
        };
        item.source.blocks = known.blocks;
        let (items, options) = ([item], &plan.operation.options);
        let cost = weigh::cost(&items, options, &plan.choices, runs_in, prices);
        let time = weigh::time(&items, options, &plan.choices, &plan.facts);
        Some(Alternative {
            name: known.name.clone(),
            once: cost.once,
            monthly: cost.monthly,
            time: span(time.low_seconds, time.high_seconds),
            keeps: "all".to_owned(),
            unavailable: None,
            chosen: false,
            strategy: Strategy::Direct,
            complete_within: None,
            operation: Some(Box::new(known.operation.clone())),
            remark: "only what changed is moved and stored".to_owned(),
        })
    });
    ways.collect()
}

/// Classes that an archive could be kept in, and how long until it can be read there.
const CLASSES: [(&str, &str); 3] =
    [("STANDARD", "read at once"), ("GLACIER_IR", "read at once"), ("DEEP_ARCHIVE", "hours before it can be read")];

/// An archive in S3: other classes, the archive tier of EBS, and leaving it where it is.
fn classes(plan: &Plan, runs_in: &RunsIn, prices: &Prices) -> Vec<Alternative> {
    let [item] = plan.items.as_slice() else { return Vec::new() };
    let [to] = item.destinations.as_slice() else { return Vec::new() };
    let DestinationKind::Archive { keep, .. } = &to.kind else { return Vec::new() };
    let own = keep.class.as_deref().unwrap_or("STANDARD");
    let mut ways = Vec::new();
    for (class, read) in CLASSES.iter().filter(|(class, _)| *class != own) {
        let mut other = item.clone();
        if let Some(DestinationKind::Archive { keep, .. }) = other.destinations.first_mut().map(|to| &mut to.kind) {
            keep.class = Some((*class).to_owned());
        }
        let mut operation = plan.operation.clone();
        operation.options.storage_class = Some((*class).to_owned());
        let cost = weigh::cost(&[other], &operation.options, &plan.choices, runs_in, prices);
        let least = to.region.as_ref().map_or(0, |region| prices.s3(class, region).min_days);
        let days = if least > 0 { format!(", paid for {least} days at least") } else { String::new() };
        ways.push(Alternative {
            name: format!("S3 {class}"),
            once: cost.once,
            monthly: cost.monthly,
            time: plan.time.text(),
            keeps: "proof".to_owned(),
            unavailable: None,
            chosen: false,
            strategy: Strategy::Direct,
            complete_within: None,
            operation: Some(Box::new(operation)),
            remark: format!("{read}{days}"),
        });
    }
    if let (SourceKind::Snapshot { id, .. }, Some(region)) = (&item.source.kind, &item.source.region) {
        ways.extend(tier(item, id, region, prices));
    }
    ways
}

/// The archive tier of EBS, and leaving the snapshot alone. The tier keeps every block of it, also those that its
/// neighbours hold; leaving it costs what only it holds, which is at most all of it.
fn tier(item: &ItemPlan, id: &SnapshotId, region: &Region, prices: &Prices) -> [Alternative; 2] {
    let gib = item.source.blocks.value.bytes().as_gib();
    let sure = item.source.blocks.sure;
    let (tier, standard) = (prices.archive_tier(region), prices.snapshot_month(region));
    let sum = |price: Quantity<Usd>, label: Sure| Quantity {
        value: Usd(price.value.0 * gib),
        sure: price.sure.and(sure).and(label),
    };
    let even = if standard.value.0 > 0.0 { gib * tier.month.value.0 / standard.value.0 } else { 0.0 };
    let blank = Alternative {
        name: String::new(),
        once: Quantity::exact(Usd(0.0)),
        monthly: Quantity::unknown(),
        time: "unknown".to_owned(),
        keeps: "id".to_owned(),
        unavailable: None,
        chosen: false,
        strategy: Strategy::Direct,
        complete_within: None,
        operation: None,
        remark: String::new(),
    };
    [
        Alternative {
            name: "EBS archive tier".to_owned(),
            monthly: sum(tier.month, Sure::Exact),
            unavailable: Some(format!("aws ec2 modify-snapshot-tier --snapshot-id {id} --storage-tier archive")),
            remark: format!(
                "dearer than leaving it where only it holds less than {even:.0} GiB; {} a GiB and 24 to 72 hours to bring \
                 back, paid for {} days at least",
                tier.retrieval.value, tier.min_days
            ),
            ..blank.clone()
        },
        Alternative {
            name: "leave it".to_owned(),
            monthly: sum(standard, Sure::AtMost),
            time: "now".to_owned(),
            keeps: "all".to_owned(),
            unavailable: Some("esc: nothing has to be done".to_owned()),
            remark: "costs what only it holds, at most this: an archive saves nothing until it is deleted".to_owned(),
            ..blank
        },
    ]
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
