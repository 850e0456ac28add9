//! Making a plan: facts from AWS and from the disk, checks, figures. Nothing is changed.
//!
//! Called by both fronts; what comes back is shown, accepted, and run by the engine as it is. Questions that
//! are wrong are errors here; what is right but must not run is a finding of level `Refused`.

use jiff::Timestamp;

use crate::address::{Address, Place};
use crate::aws::{Aws, Session};
use crate::error::{Error, Result};
use crate::ids::SnapshotId;
use crate::inventory::{self, SnapshotRow, State, Tag, Tier};
use crate::plan::choices::{Quotas, choose};
use crate::plan::machine::{Machine, RunsIn};
use crate::plan::model::{
    CostEstimate, DestinationKind, DestinationPlan, Finding, Fit, ItemPlan, Level, MemoryEstimate, Operation, Plan,
    SourceKind, SourcePlan, Strategy, TimeEstimate,
};
use crate::plan::prices::Prices;
use crate::plan::{archives, files, native, objects, weigh};
use crate::units::{Bytes, Quantity, Sure};

/// Reads the facts of an operation and weighs it.
///
/// # Errors
/// Usage for addresses that cannot be (unknown snapshot or profile, a directory as a target); refusal for
/// what would overwrite; else AWS's own errors.
pub async fn make(aws: &Aws, operation: Operation, machine: &Machine) -> Result<Plan> {
    if operation.sources.is_empty() || operation.destinations.is_empty() {
        return Err(Error::usage("a copy has a source and at least one destination"));
    }
    no_twins(&operation.destinations)?;
    if operation.sources.len() > 1 && operation.destinations.iter().any(|to| matches!(to, Address::Path(_))) {
        return Err(
            Error::usage("many sources cannot share one file").todo("copy them to `REGION:`, one at a time to files")
        );
    }
    let mut maker = Maker { aws, operation: &operation, findings: Vec::new(), quotas: Quotas::default() };
    let mut items = Vec::new();
    for source in &operation.sources {
        items.push(maker.item(source).await?);
    }
    let quotas = maker.quotas;
    let findings = maker.findings;
    let operation = Operation {
        sources: items.iter().map(|item| item.source.address.clone()).collect(),
        destinations: items.first().map_or(Vec::new(), |i| i.destinations.iter().map(|d| d.address.clone()).collect()),
        options: operation.options,
    };
    let budget = machine.budget();
    let mut choices =
        choose(crate::units::Blocks::ZERO, weigh::item_weight(&items[0].source.kind), budget, &operation.options);
    choices.limit(quotas);
    let mut plan = Plan {
        version: 1,
        made: Timestamp::now(),
        world: aws.world(),
        operation,
        items,
        choices,
        memory: empty_memory(budget),
        cost: CostEstimate {
            once: Quantity::unknown(),
            monthly: Quantity::unknown(),
            parts: Vec::new(),
            prices_as_of: String::new(),
            runs_in: String::new(),
        },
        time: TimeEstimate { low_seconds: 0.0, high_seconds: 0.0, bound_by: String::new(), sure: Sure::Unknown },
        alternatives: Vec::new(),
        findings,
    };
    let asked = plan.operation.options.clone();
    let findings = native::choose(aws, &mut plan.items, &asked, &plan.choices, machine).await?;
    plan.findings.extend(findings);
    note_route(&mut plan, machine);
    plan.weigh(machine, Prices::bundled());
    Ok(plan)
}

fn empty_memory(budget: Bytes) -> MemoryEstimate {
    MemoryEstimate {
        total: Bytes::ZERO,
        parts: Vec::new(),
        budget,
        limit: Bytes::ZERO,
        limit_name: String::new(),
        fit: Fit::Fits,
        ebs_py: Quantity::unknown(),
    }
}

fn no_twins(destinations: &[Address]) -> Result<()> {
    for (at, to) in destinations.iter().enumerate() {
        if matches!(to, Address::Path(_)) && destinations[..at].contains(to) {
            return Err(Error::usage(format!("`{to}` is named twice as a destination")));
        }
    }
    Ok(())
}

fn note_route(plan: &mut Plan, machine: &Machine) {
    let crosses =
        plan.items.iter().any(|i| i.source.region.is_some() || i.destinations.iter().any(|d| d.region.is_some()));
    if !crosses {
        return;
    }
    plan.findings.push(match &machine.runs_in {
        RunsIn::Assumed => Finding {
            level: Level::Note,
            text: "floe is taken to run outside AWS: reading costs internet egress".to_owned(),
            todo: Some("--runs-in REGION when it runs on an instance".to_owned()),
        },
        place => passed(format!("floe runs in {}", place.text())),
    });
}

pub(super) fn passed(text: impl Into<String>) -> Finding {
    Finding { level: Level::Passed, text: text.into(), todo: None }
}

/// The error for a snapshot that is not where its address says: it names the address that would work, when one of
/// the account's other regions has it.
pub async fn elsewhere(aws: &Aws, place: &Place, session: &Session, id: &SnapshotId, error: Error) -> Error {
    let found = inventory::find_snapshot(aws, place.profile.as_ref(), id, session.region()).await;
    let what = format!("{id} does not exist in {} ({})", session.region(), session.account().grouped());
    let mut usage = Error::usage(what);
    usage.aws = error.aws;
    match found {
        Some(region) => {
            let place = Place { profile: place.profile.clone(), region: Some(region) };
            usage.todo(format!("it is in another region: {}", Address::Snapshot(place, id.clone())))
        }
        None => usage.todo(format!("floe ls snapshots --all-regions --filter {id}")),
    }
}

struct Maker<'a> {
    aws: &'a Aws,
    operation: &'a Operation,
    findings: Vec<Finding>,
    quotas: Quotas,
}

impl Maker<'_> {
    async fn item(&mut self, source: &Address) -> Result<ItemPlan> {
        let source = self.source(source).await?;
        let mut destinations = Vec::new();
        for to in &self.operation.destinations {
            destinations.push(self.destination(to, &source).await?);
        }
        Ok(ItemPlan { source, destinations })
    }

    async fn session(&self, place: &Place) -> Result<Session> {
        self.aws.session(place.profile.as_ref(), place.region.as_ref()).await
    }

    async fn source(&mut self, address: &Address) -> Result<SourcePlan> {
        match address {
            Address::Snapshot(place, id) => {
                let session = self.session(place).await?;
                let row = match session.ec2().snapshot(id).await {
                    Ok(row) => row,
                    Err(error) if error.has_code("InvalidSnapshot.NotFound") => {
                        return Err(elsewhere(self.aws, place, &session, id, error).await);
                    }
                    Err(error) => return Err(error),
                };
                let (account, own) = tokio::join!(session.quota("L-C125AE42"), session.quota("L-028ACFB9"));
                self.quotas.get_account = lower(self.quotas.get_account, account);
                self.quotas.get_snapshot = lower(self.quotas.get_snapshot, own);
                self.snapshot(&session, row)
            }
            Address::Path(path) => files::source(path, &self.operation.options, &mut self.findings),
            Address::Delta(..) => Err(Error::usage(format!("`{address}`: deltas can be sized, but not copied yet"))
                .todo(format!("floe size {address}"))),
            Address::Image(..) => Err(Error::usage(format!("`{address}`: images cannot be copied yet"))
                .todo("copy the snapshot of its root device: floe ls images names it")),
            Address::Archive(..) => {
                archives::source(self.aws, address, &self.operation.options, &mut self.findings).await
            }
            Address::Object(..) => {
                objects::source(self.aws, address, &self.operation.options, &mut self.findings).await
            }
            Address::NewSnapshot(_) | Address::OnParent(..) | Address::Null => {
                Err(Error::usage(format!("`{address}` is a destination, not a source")))
            }
        }
    }

    fn snapshot(&mut self, session: &Session, row: SnapshotRow) -> Result<SourcePlan> {
        match row.state {
            State::Completed => {}
            state => {
                return Err(Error::refused(format!(
                    "{} is {state:?}, and only completed snapshots can be read",
                    row.id
                ))
                .todo("wait until it is completed"));
            }
        }
        if row.tier == Tier::Archive {
            return Err(Error::refused(format!("{} is in the archive tier and cannot be read there", row.id))
                .todo(format!("aws ec2 restore-snapshot-tier --snapshot-id {} --temporary-restore-days 1", row.id)));
        }
        self.findings.push(passed(format!("{} is completed and in the standard tier", row.id)));
        let kept: Vec<Tag> = row.tags.iter().filter(|(key, _)| !key.starts_with("aws:")).cloned().collect();
        let left_out = row.tags.len() - kept.len();
        if !row.tags.is_empty() {
            let text = format!("{} of {} tags are kept", kept.len(), row.tags.len());
            self.findings.push(if left_out == 0 {
                passed(text)
            } else {
                Finding { level: Level::Note, text: format!("{text}; aws:* cannot be set by hand"), todo: None }
            });
        }
        let place = Place { profile: session.profile().cloned(), region: Some(session.region().clone()) };
        let whole = row.size.blocks();
        Ok(SourcePlan {
            address: Address::Snapshot(place, row.id.clone()),
            profile: session.profile().cloned(),
            region: Some(session.region().clone()),
            account: Some(session.account().clone()),
            kind: SourceKind::Snapshot { id: row.id, encrypted: row.encrypted, kms_key: row.kms_key },
            name: row.name,
            tags: kept,
            volume: row.size,
            blocks: Quantity::at_most(row.full.map_or(whole, |full| full.blocks().min(whole))),
        })
    }

    async fn destination(&mut self, address: &Address, source: &SourcePlan) -> Result<DestinationPlan> {
        match address {
            Address::NewSnapshot(place) => self.new_snapshot(place, source).await,
            Address::Path(path) => files::destination(path, source, &self.operation.options),
            Address::Null => Ok(DestinationPlan {
                address: Address::Null,
                profile: None,
                region: None,
                account: None,
                kind: DestinationKind::Null,
                strategy: Strategy::Direct,
            }),
            Address::OnParent(..) => {
                Err(Error::usage(format!("`{address}`: snapshots on a parent cannot be made yet"))
                    .todo("a new snapshot without a parent is `REGION:`"))
            }
            Address::Archive(..) => {
                archives::destination(self.aws, address, source, &self.operation.options, &mut self.findings).await
            }
            Address::Object(..) => Err(Error::usage(format!("`{address}`: objects cannot be written yet"))
                .todo("archives can: s3://bucket/prefix/")),
            other => Err(Error::usage(format!("`{other}` is a source, not a destination"))),
        }
    }

    async fn new_snapshot(&mut self, place: &Place, source: &SourcePlan) -> Result<DestinationPlan> {
        let session = self.session(place).await?;
        let (account, own) = tokio::join!(session.quota("L-AFAE1BE8"), session.quota("L-1774F84A"));
        self.quotas.put_account = lower(self.quotas.put_account, account);
        self.quotas.put_snapshot = lower(self.quotas.put_snapshot, own);
        let gib = source.volume.0.div_ceil(Bytes::gib(1).0).max(1);
        let volume_gib = u32::try_from(gib).ok().filter(|gib| *gib <= 65_536).ok_or_else(|| {
            Error::usage(format!("a snapshot holds at most 64 TiB, and {} is {}", source.address, source.volume))
        })?;
        let (ask_encrypted, encrypted, encryption) = self.encryption(&session, source).await?;
        self.findings.push(passed(format!("{}: {encryption}", session.region())));
        let place = Place { profile: session.profile().cloned(), region: Some(session.region().clone()) };
        Ok(DestinationPlan {
            address: Address::NewSnapshot(place),
            profile: session.profile().cloned(),
            region: Some(session.region().clone()),
            account: Some(session.account().clone()),
            kind: DestinationKind::Snapshot {
                volume_gib,
                ask_encrypted,
                ask_key: self.operation.options.kms_key.clone(),
                encrypted,
                encryption,
            },
            strategy: Strategy::Direct,
        })
    }

    /// What StartSnapshot is asked, what comes of it, and why: the user guide's table, without a parent.
    async fn encryption(&self, session: &Session, source: &SourcePlan) -> Result<(Option<bool>, bool, String)> {
        if let Some(key) = &self.operation.options.kms_key {
            if !(key.starts_with("arn:") && key.contains(":key/")) {
                return Err(Error::usage(format!("`{key}` is not a key ARN"))
                    .todo("StartSnapshot takes only arn:aws:kms:REGION:ACCOUNT:key/…, no alias and no bare id"));
            }
            return Ok((Some(true), true, format!("encrypted with {key}, as asked")));
        }
        let default = session.ec2().encryption_default().await?;
        let key = default.key.as_deref().unwrap_or("alias/aws/ebs");
        let from_encrypted = matches!(
            source.kind,
            SourceKind::Snapshot { encrypted: true, .. } | SourceKind::Archive { encrypted: true, .. }
        );
        Ok(match (default.on, from_encrypted) {
            (true, _) => (None, true, format!("encrypted by default there, with {key}")),
            (false, true) if self.operation.options.allow_decrypt => {
                (None, false, "not encrypted, though the source is: allowed by --allow-decrypt".to_owned())
            }
            (false, true) => (Some(true), true, format!("encrypted with {key}, because the source is encrypted")),
            (false, false) => (None, false, "not encrypted, like the source".to_owned()),
        })
    }
}

/// The lower of what is known.
fn lower(known: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (known, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
