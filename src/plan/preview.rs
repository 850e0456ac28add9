//! A plan before anybody was asked: weighed from rows that are known here, by the functions that weigh the real one.
//!
//! It is shown while facts are read and never runs: quotas are AWS's defaults, keys and targets were not looked at, and
//! it says so. Pure but for the past of its route, which lies on this disk.

use crate::address::{Address, Place};
use crate::aws::WorldId;
use crate::inventory::SnapshotRow;
use crate::plan::choices::{Quotas, choose};
use crate::plan::facts::route;
use crate::plan::machine::Machine;
use crate::plan::make::{empty, volume_gib};
use crate::plan::model::{
    DestinationKind, DestinationPlan, Finding, ItemPlan, Level, Operation, Plan, SourceKind, SourcePlan, Strategy,
};
use crate::plan::weigh;
use crate::units::{Blocks, Quantity};

/// What is known of an operation on these snapshots; nothing where a source is none of them, or where the disk or S3 would
/// have to be asked what a destination is.
#[must_use]
pub fn preview(operation: &Operation, known: &[SnapshotRow], world: WorldId, machine: &Machine) -> Option<Plan> {
    if operation.sources.is_empty() || operation.options.strategy != Strategy::Direct {
        return None;
    }
    let items: Vec<ItemPlan> =
        operation.sources.iter().map(|from| item(from, operation, known)).collect::<Option<_>>()?;
    let mut choices =
        choose(Blocks::ZERO, weigh::load(items.first()?, &operation.options), machine.budget(), &operation.options);
    choices.limit(Quotas::default());
    let findings = vec![Finding {
        level: Level::Note,
        text: "from what is known here: AWS is being asked for sizes, keys and quotas, and these are its defaults"
            .to_owned(),
        todo: None,
    }];
    let mut plan = empty(world, operation.clone(), items, choices, findings, machine);
    plan.facts.runs_in = machine.runs_in.clone();
    plan.facts.host = machine.host.clone();
    if let (Some(routes), Some(item)) = (&machine.routes, plan.items.first()) {
        plan.facts.past = routes.past(&route(item, &machine.runs_in.text()));
    }
    let prices = plan.prices();
    plan.weigh(machine, &prices);
    Some(plan)
}

fn item(from: &Address, operation: &Operation, known: &[SnapshotRow]) -> Option<ItemPlan> {
    let Address::Snapshot(place, id) = from else { return None };
    let here = |row: &&SnapshotRow| row.id == *id && place.region.as_ref().is_none_or(|at| *at == row.origin.region);
    let row = known.iter().find(here)?;
    let whole = row.size.blocks();
    let source = SourcePlan {
        address: from.clone(),
        profile: place.profile.clone(),
        region: Some(row.origin.region.clone()),
        account: None,
        kind: SourceKind::Snapshot { id: row.id.clone(), encrypted: row.encrypted, kms_key: row.kms_key.clone() },
        name: row.name.clone(),
        tags: Vec::new(),
        volume: row.size,
        class: None,
        blocks: Quantity::at_most(row.full.map_or(whole, |full| full.blocks().min(whole))),
    };
    let to = |to: &Address| destination(to, &source, operation);
    let destinations = operation.destinations.iter().map(to).collect::<Option<_>>()?;
    Some(ItemPlan { source, destinations })
}

fn destination(to: &Address, source: &SourcePlan, operation: &Operation) -> Option<DestinationPlan> {
    let (profile, region, kind) = match to {
        Address::NewSnapshot(Place { profile, region: Some(region) }) => {
            let encrypted = Some(source.kind.is_encrypted() || operation.options.kms_key.is_some());
            let kind = DestinationKind::Snapshot {
                volume_gib: volume_gib(source).ok()?,
                ask_encrypted: None,
                ask_key: None,
                encrypted,
                encryption: "encryption is being asked for".to_owned(),
                on: None,
            };
            (profile.clone(), Some(region.clone()), kind)
        }
        Address::Path(path) if !path.starts_with("/dev") => {
            let kind = DestinationKind::File { path: path.clone(), length: source.volume, replaces: false, onto: None };
            (None, None, kind)
        }
        Address::Null => (None, None, DestinationKind::Null),
        _ => return None,
    };
    Some(DestinationPlan { address: to.clone(), profile, region, account: None, kind, strategy: Strategy::Direct })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::inventory::{Origin, State, Tier};
    use crate::plan::RunsIn;
    use crate::units::{Bytes, Sure};

    fn row() -> SnapshotRow {
        SnapshotRow {
            origin: Arc::new(Origin {
                profile: None,
                account: "123456789012".parse().unwrap(),
                region: "us-east-1".parse().unwrap(),
            }),
            id: "snap-01c55a9e07b3d2f48".parse().unwrap(),
            name: Some("db-data".to_owned()),
            owner: "123456789012".parse().unwrap(),
            volume: None,
            size: Bytes::gib(16 * 1024),
            full: Some(Blocks(31_318_565).bytes()),
            state: State::Completed,
            state_message: None,
            progress: None,
            started: Timestamp::UNIX_EPOCH,
            tier: Tier::Standard,
            encrypted: true,
            kms_key: None,
            data_key_id: None,
            description: String::new(),
            tags: Vec::new(),
        }
    }

    fn of(from: &str, to: &str) -> Option<Plan> {
        let source = Address::source(from).unwrap();
        let destinations = vec![Address::destination_of(&source, to).unwrap()];
        let operation = Operation { sources: vec![source], destinations, options: crate::plan::Options::default() };
        let world = WorldId { endpoint: Some("sandbox".to_owned()), partition: "aws".to_owned() };
        let machine = Machine::read(RunsIn::Region("eu-west-1".parse().unwrap()), Some(Bytes::mib(256)));
        preview(&operation, &[row()], world, &machine)
    }

    #[test]
    fn sixteen_tebibytes_are_weighed_without_asking_anybody() {
        let plan = of("us-east-1:snap-01c55a9e07b3d2f48", "eu-west-1:").expect("a preview");
        let near = |name: &str, usd: f64| {
            let found: f64 = plan.cost.parts.iter().filter(|p| p.name.contains(name)).map(|p| p.usd.value.0).sum();
            assert!((found - usd).abs() < 0.01, "{name}: {found}");
        };
        near("Get in", 93.96);
        near("Put in", 187.91);
        near("transfer", 305.85);
        assert_eq!(plan.items[0].source.blocks, Quantity { value: Blocks(31_318_565), sure: Sure::AtMost });
        assert!(plan.time.low_seconds > 31_318.0 && plan.memory.total > Bytes::mib(100));
        assert!(plan.time.bound_by.contains("L-1774F84A"), "{}", plan.time.bound_by);
        assert!(plan.findings.iter().any(|found| found.text.starts_with("from what is known here")));
    }

    #[test]
    fn what_nobody_here_knows_has_no_preview() {
        assert!(of("us-east-1:snap-0feed0000000da7a3", "eu-west-1:").is_none(), "another snapshot");
        assert!(of("eu-west-1:snap-01c55a9e07b3d2f48", "eu-west-1:").is_none(), "in another region");
        assert!(of("us-east-1:snap-01c55a9e07b3d2f48", "s3://vault/ebs/").is_none(), "S3 has to be asked");
        assert!(of("us-east-1:snap-01c55a9e07b3d2f48", "/dev/nvme1n1").is_none(), "and so has a device");
        assert!(of("us-east-1:snap-01c55a9e07b3d2f48", "disk.img").is_some());
    }
}
