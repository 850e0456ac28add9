//! What a plan says of itself once its figures are known: a better place to run it, what the route may add, what has to
//! be paid at least, whether the machine is what binds. Pure; turned knobs make it anew.

use crate::ids::Region;
use crate::plan::alternatives::clock;
use crate::plan::machine::RunsIn;
use crate::plan::model::{DestinationKind, DestinationPlan, Finding, Fit, ItemPlan, Level, Plan};
use crate::plan::prices::Prices;
use crate::plan::weigh;
use crate::units::{Bytes, Sure, Usd};

/// Below this nobody moves a job to another machine.
const WORTH: Usd = Usd(1.0);

/// What these findings begin with, so that a turned knob replaces them.
pub(super) const TOPICS: [&str; 4] = ["memory: ", "money: ", "machine: ", "quota: "];

fn note(text: String, todo: Option<String>) -> Finding {
    Finding { level: Level::Note, text, todo }
}

/// All of it.
pub(super) fn of(plan: &Plan, prices: &Prices) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(place(plan, prices));
    findings.extend(route(plan, prices));
    findings.extend(fips(plan));
    findings.extend(memory(plan));
    findings.extend(committed(plan));
    findings.extend(quotas(plan));
    findings.extend(machine(plan));
    findings
}

/// The best place of those that the data is at anyway, where it saves more than a dollar.
fn place(plan: &Plan, prices: &Prices) -> Option<Finding> {
    if !plan.items.iter().any(ItemPlan::is_read) {
        return None;
    }
    let now = plan.cost.once;
    let ends = plan.items.iter().flat_map(|item| {
        item.destinations.iter().map(|to| &to.region).chain(std::iter::once(&item.source.region)).flatten()
    });
    let mut regions: Vec<&Region> = ends.collect();
    regions.sort();
    regions.dedup();
    let cost = |region: &Region| {
        let there = RunsIn::Region(region.clone());
        weigh::cost(&plan.items, &plan.operation.options, &plan.choices, &there, prices).once
    };
    let best = regions.iter().map(|region| (*region, cost(region))).filter(|(_, usd)| usd.sure != Sure::Unknown);
    let (region, usd) = best.min_by(|a, b| a.1.value.0.total_cmp(&b.1.value.0))?;
    if now.value.0 - usd.value.0 < WORTH.0 || plan.facts.runs_in.region() == Some(region) {
        return None;
    }
    let less = Usd(now.value.0 - usd.value.0);
    Some(note(
        format!("money: on a machine in {region} it would cost {usd}, {less} less: the data crosses fewer borders"),
        Some(format!("run floe there; --runs-in {region} shows that plan")),
    ))
}

/// What stands between a machine and AWS, as far as the route suggests it.
fn route(plan: &Plan, prices: &Prices) -> Option<Finding> {
    let passes: f64 = plan
        .items
        .iter()
        .filter(|item| item.is_read())
        .map(|item| {
            let ends = item.destinations.iter().filter(|to| to.region.is_some()).count();
            let reads = usize::from(item.source.region.is_some());
            item.source.blocks.value.bytes().as_gib() * f64::from(u32::try_from(ends + reads).unwrap_or(u32::MAX))
        })
        .sum();
    if !plan.facts.host.private || passes <= 0.0 {
        return None;
    }
    let (nat, endpoint) = prices.through();
    let of = |price: Usd| Usd(price.0 * passes);
    Some(Finding {
        level: Level::Warning,
        text: format!(
            "money: this instance has no public address: through a NAT gateway the {passes:.0} GiB cost about {} more, \
             through interface endpoints about {}",
            of(nat.value),
            of(endpoint.value)
        ),
        todo: Some("a public address, or a gateway endpoint for S3, has no such charge".to_owned()),
    })
}

/// What does not fit says which figure would.
fn memory(plan: &Plan) -> Option<Finding> {
    let memory = &plan.memory;
    let over = memory.total.less(memory.limit);
    let fits = memory.budget.less(over);
    (memory.fit == Fit::WillNotFit).then(|| Finding {
        level: Level::Warning,
        text: format!(
            "memory: {} at the peak is {over} more than the {} limit of {}",
            memory.total, memory.limit_name, memory.limit
        ),
        todo: Some(match fits {
            Bytes::ZERO => "more memory: no budget makes it fit".to_owned(),
            fits => format!("--memory {}MiB or less, or a larger limit", fits.0 / (1024 * 1024)),
        }),
    })
}

/// A GiB to a FIPS endpoint within its own region: EBS direct's price page says that it is charged and not how much, so
/// this is an assumption, the price between zones.
const FIPS_GIB: Usd = Usd(0.01);

/// Within a region EBS direct costs no transfer, but over its FIPS endpoint it does.
fn fips(plan: &Plan) -> Option<Finding> {
    let here = plan.facts.runs_in.region()?;
    let inside: f64 = plan
        .items
        .iter()
        .filter(|item| item.is_read())
        .map(|item| {
            let snapshots = |to: &&DestinationPlan| {
                matches!(to.kind, DestinationKind::Snapshot { .. }) && to.region.as_ref() == Some(here)
            };
            let reads = item.source.kind.is_snapshot() && item.source.region.as_ref() == Some(here);
            let ends = item.destinations.iter().filter(snapshots).count() + usize::from(reads);
            item.source.blocks.value.bytes().as_gib() * f64::from(u32::try_from(ends).unwrap_or(u32::MAX))
        })
        .sum();
    (plan.facts.fips && inside > 0.0).then(|| Finding {
        level: Level::Warning,
        text: format!(
            "money: FIPS endpoints are used: transfer to EBS direct is charged also within {here}, about {} more for \
             {inside:.0} GiB",
            Usd(FIPS_GIB.0 * inside)
        ),
        todo: Some("leave use_fips_endpoint (AWS_USE_FIPS_ENDPOINT) out where nothing demands it".to_owned()),
    })
}

/// What a storage class wants paid even if it is deleted at once.
fn committed(plan: &Plan) -> Option<Finding> {
    let least = plan.cost.committed;
    (least.value.0 > 0.005).then(|| {
        let class = plan.operation.options.storage_class.as_deref().unwrap_or("its class");
        note(
            format!("money: {class} is paid for a shortest time: {least} for storage, even if it is deleted at once"),
            None,
        )
    })
}

/// Quotas that were not told count as AWS's defaults; the one that binds is named beside the time.
fn quotas(plan: &Plan) -> Option<Finding> {
    let guessed: Vec<String> = plan
        .facts
        .quotas
        .iter()
        .filter(|quota| !quota.told)
        .map(|quota| format!("{} in {}", quota.code, quota.region))
        .collect();
    (!guessed.is_empty()).then(|| {
        note(
            format!("quota: Service Quotas did not tell {}: AWS's defaults are taken", guessed.join(", ")),
            Some("servicequotas:GetServiceQuota, see floe iam plan".to_owned()),
        )
    })
}

/// Says when the machine is what binds, and what would do.
fn machine(plan: &Plan) -> Option<Finding> {
    let host = &plan.facts.host;
    let by = &plan.time.bound_by;
    let network = host.network_unknown.as_ref().map(|why| {
        note(format!("machine: {why}; its network is not counted"), Some("ec2:DescribeInstanceTypes".to_owned()))
    });
    if !by.starts_with("CPU") && !by.starts_with("network") {
        return network;
    }
    let lanes_need = plan.choices.get_per_second.min(plan.choices.put_per_second);
    let mib = lanes_need / 2.0;
    let writes_snapshots = plan
        .items
        .iter()
        .flat_map(|item| &item.destinations)
        .any(|to| matches!(to.kind, DestinationKind::Snapshot { .. }));
    let ends = if writes_snapshots { "the quota of a snapshot" } else { "what a snapshot gives" };
    let per_core = (host.sha256 / 2.0).max(1.0);
    let cores = (mib / per_core).ceil().max(1.0);
    let gbit = mib * 1024.0 * 1024.0 * 8.0 / 1e9;
    Some(note(
        format!(
            "machine: {by} binds, {}; {ends} ({mib:.0} MiB/s) wants {cores:.0} such cores, {gbit:.1} Gbit/s all the time, \
             and {} of memory",
            clock(plan.time.low_seconds),
            plan.memory.total
        ),
        None,
    ))
}
