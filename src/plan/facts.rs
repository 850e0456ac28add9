//! Learning what a plan may know beside its items: prices, past runs, the machine's network. All of it is an aid: what
//! cannot be had is left out, and the plan says why.

use std::collections::BTreeSet;

use crate::address::{self, Address};
use crate::aws::{Aws, Session};
use crate::error::Error;
use crate::ids::{Profile, Region, SnapshotId};
use crate::inventory::State;
use crate::plan::count;
use crate::plan::machine::{Host, Machine};
use crate::plan::model::{
    DestinationKind, Finding, ItemPlan, KnownDelta, Level, Plan, QuotaFact, SourceKind, Strategy,
};
use crate::plan::prices::{Live, Prices, Spot, update};
use crate::store::copies::{Copied, Holds, Spot as Place};
use crate::units::Quantity;

/// Reads them into the plan; what could not be had becomes a finding.
pub(super) async fn gather(aws: &Aws, plan: &mut Plan, machine: &Machine, quotas: Vec<QuotaFact>) {
    plan.facts.runs_in = machine.runs_in.clone();
    plan.facts.quotas = quotas;
    if let (Some(routes), Some(item)) = (&machine.routes, plan.items.first()) {
        let way = |item: &ItemPlan| route(item, &machine.runs_in.text());
        let first = way(item);
        plan.facts.past = routes.past(&first);
        let others: BTreeSet<String> = plan.items.iter().map(way).filter(|other| *other != first).collect();
        plan.facts.elsewhere = others.into_iter().map(|other| (other.clone(), routes.past(&other))).collect();
    }
    let session = any_session(aws, &plan.items).await;
    plan.facts.fips = session.as_ref().is_some_and(Session::uses_fips);
    let (live, host, delta) = tokio::join!(
        prices(aws, plan, machine, session.as_ref()),
        host(machine, session.as_ref()),
        delta(aws, plan, machine)
    );
    plan.facts.deltas.extend(delta);
    plan.facts.host = host;
    match live {
        None => {}
        Some(Ok(live)) => plan.facts.live = Some(live),
        Some(Err(why)) => plan.findings.push(Finding {
            // Who asked for them looks at figures that are not what was asked for.
            level: Level::Warning,
            text: format!(
                "prices are those of the table of {}, because AWS could not be asked: {}",
                Prices::bundled().as_of,
                why.what
            ),
            todo: why.todo,
        }),
    }
}

/// Copies that are asked after: each takes a look at what changed, five pages of it at most.
const CANDIDATES: usize = 3;

/// A copy of an earlier snapshot of the same lineage that is where the new one is to be: only what changed would have to
/// be moved. Of several the one with the fewest changes. What cannot be looked at is no way, and no error.
async fn delta(aws: &Aws, plan: &Plan, machine: &Machine) -> Option<KnownDelta> {
    let ([item], Some(copies)) = (plan.items.as_slice(), &machine.copies) else { return None };
    let [to] = item.destinations.as_slice() else { return None };
    let (SourceKind::Snapshot { id, .. }, DestinationKind::Snapshot { on: None, .. }) = (&item.source.kind, &to.kind)
    else {
        return None;
    };
    let (from, region) = (item.source.region.as_ref()?, to.region.as_ref()?);
    let world = plan.world.text();
    let mut known: Vec<(Copied, SnapshotId, SnapshotId)> = copies
        .all()
        .into_iter()
        .filter_map(|copied| match (&copied.spot, &copied.holds) {
            (Place::Snapshot(copy), Holds::Proved(held)) => {
                let fits = copied.world == world && copy.region == *region && held.region == *from && held.id != *id;
                let (copy, held) = (copy.id.clone(), held.id.clone());
                fits.then_some((copied, copy, held))
            }
            _ => None,
        })
        .collect();
    known.sort_by_key(|(copied, ..)| std::cmp::Reverse(copied.at));
    let here = aws.session(item.source.profile.as_ref(), Some(from)).await.ok()?;
    let there = aws.session(to.profile.as_ref(), Some(region)).await.ok()?;
    let mut best: Option<KnownDelta> = None;
    for (_, copy, held) in known.into_iter().take(CANDIDATES) {
        let usable = there.ec2().snapshot(&copy).await.is_ok_and(|row| row.state == State::Completed);
        if !usable {
            continue;
        }
        let Ok((counted, all)) = count::changes(here.ebs(), &held, id).await else { continue };
        let blocks = if all { Quantity::exact(counted.blocks) } else { Quantity::at_most(item.source.blocks.value) };
        if best.as_ref().is_some_and(|best| best.blocks.value <= blocks.value) {
            continue;
        }
        let at = |profile: &Option<Profile>, region: &Region| address::Place {
            profile: profile.clone(),
            region: Some(region.clone()),
        };
        let mut operation = plan.operation.clone();
        operation.sources = vec![Address::Delta(at(&item.source.profile, from), held, id.clone())];
        operation.destinations = vec![Address::OnParent(at(&to.profile, region), copy.clone())];
        (operation.options.strategy, operation.options.complete_within) = (Strategy::Direct, None);
        best = Some(KnownDelta { operation, name: format!("delta on {copy}"), blocks });
    }
    best
}

/// How one way from a source to its destinations is told from others: what runs on it is about as fast as the last time.
#[must_use]
pub fn route(item: &ItemPlan, runs_in: &str) -> String {
    let place = |region: Option<&Region>| region.map_or_else(|| "here".to_owned(), ToString::to_string);
    let from = match &item.source.kind {
        SourceKind::Snapshot { .. } | SourceKind::Delta { .. } | SourceKind::Image { .. } => "ebs",
        SourceKind::File { .. } => "file",
        SourceKind::Object { .. } | SourceKind::Prefix { .. } => "object",
        SourceKind::Fsp { .. } | SourceKind::Archive { .. } => "archive",
    };
    let mut ends: Vec<String> = item
        .destinations
        .iter()
        .map(|to| {
            let kind = match (&to.kind, to.strategy) {
                (_, Strategy::Native) => "native",
                (DestinationKind::Snapshot { .. } | DestinationKind::Image { .. }, _) => "ebs",
                (DestinationKind::File { .. }, _) => "file",
                (DestinationKind::Device { .. }, _) => "device",
                (DestinationKind::Archive { .. }, _) => "archive",
                (DestinationKind::Object { .. }, _) => "object",
                (DestinationKind::Copied { .. } | DestinationKind::CopiedTree { .. }, _) => "copied",
                (DestinationKind::Null, _) => "null",
            };
            format!("{kind}@{}", place(to.region.as_ref()))
        })
        .collect();
    ends.sort();
    format!("{from}@{} > {} by {runs_in}", place(item.source.region.as_ref()), ends.join(" + "))
}

/// A session of any end of the plan.
async fn any_session(aws: &Aws, items: &[ItemPlan]) -> Option<Session> {
    let item = items.first()?;
    let ends = item.destinations.iter().map(|to| (&to.profile, &to.region));
    let (profile, region) = std::iter::once((&item.source.profile, &item.source.region))
        .chain(ends)
        .find(|(_, region)| region.is_some())?;
    aws.session(profile.as_ref(), region.as_ref()).await.ok()
}

/// Regions that some line of the bill could be of.
fn regions(plan: &Plan, machine: &Machine) -> Vec<Region> {
    let sources = plan.items.iter().filter_map(|item| item.source.region.clone());
    let destinations = plan.items.iter().flat_map(|item| &item.destinations).filter_map(|to| to.region.clone());
    let all: BTreeSet<Region> = sources.chain(destinations).chain(machine.runs_in.region().cloned()).collect();
    all.into_iter().collect()
}

async fn prices(aws: &Aws, plan: &Plan, machine: &Machine, session: Option<&Session>) -> Option<Result<Live, Error>> {
    let (spot, session): (&Spot, _) = (machine.prices.as_ref()?, session?);
    let regions = regions(plan, machine);
    Some(update::live(session, &aws.world().text(), &regions, spot, crate::wall::now()).await)
}

/// The machine, with what EC2 says of its network where it is an instance.
async fn host(machine: &Machine, session: Option<&Session>) -> Host {
    let mut host = machine.host.clone();
    if let (Some(kind), Some(session)) = (&host.kind, session) {
        match session.ec2().instance_network(kind).await {
            Ok(network) => host.network = network,
            Err(why) => host.network_unknown = Some(why.what),
        }
    }
    host
}
