//! Making a plan: facts from AWS and from the disk, checks, figures. Nothing is changed.
//!
//! Called by both fronts; what comes back is shown, accepted, and run by the engine as it is. Questions that
//! are wrong are errors here; what is right but must not run is a finding of level `Refused`.

use crate::address::{Address, Place};
use crate::aws::{Aws, Session, WorldId};
use crate::error::{Error, Result};
use crate::ids::{AccountId, Region, SnapshotId};
use crate::inventory::{self, SnapshotRow, State, Tag, Tier};
use crate::plan::choices::{Quotas, choose};
use crate::plan::encryption::Encryption;
use crate::plan::machine::{Machine, RunsIn};
use crate::plan::model::{
    Choices, CostEstimate, DestinationKind, DestinationPlan, Facts, Finding, ItemPlan, Level, MemoryEstimate,
    Operation, Plan, QuotaFact, SourceKind, SourcePlan, Strategy, TimeEstimate,
};
use crate::plan::{archives, copied, facts, files, native, objects, onto, quotas, weigh};
use crate::units::{Bytes, Quantity};

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
    if operation.sources.len() > 1 && operation.destinations.iter().any(|to| matches!(to, Address::Object(..))) {
        return Err(Error::usage("many sources cannot share one object")
            .todo("copy them to `s3://bucket/prefix/`, one at a time to objects"));
    }
    copied::check(&operation)?;
    if operation.sources.len() > 1 && operation.destinations.iter().any(|to| matches!(to, Address::Path(_))) {
        return Err(
            Error::usage("many sources cannot share one file").todo("copy them to `REGION:`, one at a time to files")
        );
    }
    let mut maker = Maker {
        aws,
        operation: &operation,
        machine,
        findings: Vec::new(),
        quotas: Quotas::default(),
        quota_facts: Vec::new(),
        image_names: Vec::new(),
    };
    let items = Box::pin(maker.items()).await?;
    let quotas = maker.quotas;
    let (findings, told) = (maker.findings, maker.quota_facts);
    let operation = Operation {
        sources: match operation.options.chain {
            // As it was asked for, in full: its items say what that is.
            true => chain_of(&items),
            false => items.iter().map(|item| item.source.address.clone()).collect(),
        },
        destinations: items.first().map_or(Vec::new(), |i| i.destinations.iter().map(|d| d.address.clone()).collect()),
        options: operation.options,
    };
    let budget = machine.budget();
    let mut choices =
        choose(crate::units::Blocks::ZERO, weigh::load(&items[0], &operation.options), budget, &operation.options);
    choices.limit(quotas);
    let mut plan = empty(aws.world(), operation, items, choices, findings, machine);
    facts::gather(aws, &mut plan, machine, told).await;
    let prices = plan.prices();
    let asked = plan.operation.options.clone();
    let findings = native::choose(aws, &mut plan.items, &asked, &plan.choices, (machine, &prices)).await?;
    plan.findings.extend(findings);
    plan.findings.extend(native::check_time(aws, &plan.items, &asked).await?);
    note_route(&mut plan, machine);
    plan.weigh(machine, &prices);
    Ok(plan)
}

/// A plan of these items, not weighed yet.
pub(super) fn empty(
    world: WorldId,
    operation: Operation,
    items: Vec<ItemPlan>,
    choices: Choices,
    findings: Vec<Finding>,
    machine: &Machine,
) -> Plan {
    Plan {
        version: 1,
        made: crate::wall::now(),
        world,
        operation,
        items,
        choices,
        memory: MemoryEstimate::unweighed(machine.budget()),
        cost: CostEstimate::unweighed(),
        time: TimeEstimate::unweighed(),
        alternatives: Vec::new(),
        findings,
        facts: Facts::default(),
    }
}

/// From the first to the last of a chain.
fn chain_of(items: &[ItemPlan]) -> Vec<Address> {
    let ends = items.first().zip(items.last()).and_then(|(first, last)| {
        let place = last.source.address.place()?.clone();
        Some(Address::Delta(place, first.source.kind.snapshot()?.clone(), last.source.kind.snapshot()?.clone()))
    });
    ends.into_iter().collect()
}

fn no_twins(destinations: &[Address]) -> Result<()> {
    for (at, to) in destinations.iter().enumerate() {
        if matches!(to, Address::Path(_) | Address::Object(..)) && destinations[..at].contains(to) {
            return Err(Error::usage(format!("`{to}` is named twice as a destination")).todo("name it once"));
        }
    }
    Ok(())
}

/// Two names of one file: whichever ended last would have it.
fn one_file_each(destinations: &[DestinationPlan]) -> Result<()> {
    let path = |to: &DestinationPlan| match &to.kind {
        DestinationKind::File { path, .. } => {
            // However its directory is spelled; the file itself may not be there yet.
            let real = path.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
            Some(real.zip(path.file_name()).map_or_else(|| path.clone(), |(parent, name)| parent.join(name)))
        }
        _ => None,
    };
    let mut paths: Vec<_> = destinations.iter().filter_map(path).collect();
    paths.sort();
    match paths.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::usage(format!("`{}` is named twice as a destination", pair[0].display()))),
        None => Ok(()),
    }
}

fn note_route(plan: &mut Plan, machine: &Machine) {
    let crosses =
        plan.items.iter().any(|i| i.source.region.is_some() || i.destinations.iter().any(|d| d.region.is_some()));
    if !crosses || !plan.items.iter().any(ItemPlan::is_read) {
        return;
    }
    plan.findings.push(match &machine.runs_in {
        RunsIn::Assumed => Finding {
            level: Level::Note,
            text: "floe is taken to run outside AWS: reading costs internet egress".to_owned(),
            todo: Some("--runs-in REGION when it runs on an instance".to_owned()),
        },
        place => passed(format!("floe runs {}", place.sentence())),
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

pub(super) struct Maker<'a> {
    pub aws: &'a Aws,
    pub operation: &'a Operation,
    pub machine: &'a Machine,
    pub findings: Vec<Finding>,
    pub quotas: Quotas,
    pub quota_facts: Vec<QuotaFact>,
    /// Names of the images that the plan makes, and where.
    pub image_names: Vec<(AccountId, Region, String)>,
}

impl Maker<'_> {
    async fn items(&mut self) -> Result<Vec<ItemPlan>> {
        let chained = self.operation.options.chain;
        let sources = if chained { self.chain().await? } else { self.operation.sources.clone() };
        let mut items: Vec<ItemPlan> = Vec::with_capacity(sources.len());
        for source in &sources {
            let source = if self.copies(source) { self.copied(source).await? } else { self.source(source).await? };
            let mut destinations = Vec::new();
            for (nth, to) in self.operation.destinations.iter().enumerate() {
                destinations.push(match items.last().and_then(|before| before.destinations.get(nth)) {
                    Some(before) if chained => self.on_before(before, &source)?,
                    _ => self.destination(to, &source).await?,
                });
            }
            one_file_each(&destinations)?;
            items.push(ItemPlan { source, destinations });
        }
        Ok(items)
    }

    /// Whether S3 copies this source itself, to every destination: then nothing of it has to be a raw image.
    fn copies(&self, source: &Address) -> bool {
        let options = &self.operation.options;
        let mut to = self.operation.destinations.iter();
        match source {
            Address::Archive(..) => options.recursive,
            Address::Object(..) => !options.recursive && to.all(|to| matches!(to, Address::Object(..))),
            _ => false,
        }
    }

    async fn copied(&mut self, source: &Address) -> Result<SourcePlan> {
        match source {
            Address::Archive(profile, bucket, prefix) => {
                copied::prefix(self.aws, (profile, bucket, prefix), &self.operation.options).await
            }
            _ => copied::object(self.aws, source, &self.operation.options).await,
        }
    }

    /// Names the world in records.
    pub(super) fn world(&self) -> String {
        self.aws.world().text()
    }

    /// Notes a quota once for each region.
    fn told(&mut self, (value, fact): quotas::Answer) -> Option<f64> {
        if !self.quota_facts.iter().any(|known| known.code == fact.code && known.region == fact.region) {
            self.quota_facts.push(fact);
        }
        value
    }

    /// Asks for the quotas of reading there.
    pub(super) async fn read_quotas(&mut self, session: &Session) {
        self.reads(quotas::of_reading(session).await);
    }

    fn reads(&mut self, answers: [quotas::Answer; 2]) {
        let [account, own] = answers.map(|answer| self.told(answer));
        self.quotas.get_account = lower(self.quotas.get_account, account);
        self.quotas.get_snapshot = lower(self.quotas.get_snapshot, own);
    }

    /// Asks for the quotas of writing there.
    pub(super) async fn write_quotas(&mut self, session: &Session) {
        self.writes(Box::pin(quotas::of_writing(session)).await);
    }

    fn writes(&mut self, answers: [quotas::Answer; 3]) {
        let [account, own, _] = answers.map(|answer| self.told(answer));
        self.quotas.put_account = lower(self.quotas.put_account, account);
        self.quotas.put_snapshot = lower(self.quotas.put_snapshot, own);
    }

    pub(super) async fn session(&self, place: &Place) -> Result<Session> {
        self.aws.session(place.profile.as_ref(), place.region.as_ref()).await
    }

    async fn source(&mut self, address: &Address) -> Result<SourcePlan> {
        match address {
            Address::Snapshot(place, id) => {
                let session = self.session(place).await?;
                // What does not hang on each other is asked at once: far away, every question is a wait that is seen.
                let ec2 = session.ec2();
                let (row, quotas) = tokio::join!(ec2.snapshot(id), Box::pin(quotas::of_reading(&session)));
                self.reads(quotas);
                let row = match row {
                    Ok(row) => row,
                    Err(error) if error.has_code("InvalidSnapshot.NotFound") => {
                        return Err(elsewhere(self.aws, place, &session, id, error).await);
                    }
                    Err(error) => return Err(error),
                };
                self.snapshot(&session, row)
            }
            Address::Path(path) => files::source(path, &self.operation.options, &mut self.findings),
            Address::Delta(place, first, second) => self.delta(place, first, second).await,
            Address::Image(place, id) => self.image(place, id).await,
            Address::Archive(..) => {
                archives::source(self.aws, address, &self.operation.options, &mut self.findings).await
            }
            Address::Object(..) => {
                objects::source(self.aws, address, &self.operation.options, &mut self.findings).await
            }
            Address::NewSnapshot(_) | Address::OnParent(..) | Address::Null => {
                Err(Error::usage(format!("`{address}` is a destination, not a source"))
                    .todo("the source comes first: floe copy SOURCE DEST..."))
            }
        }
    }

    /// Refuses what cannot be read as it is.
    pub(super) fn readable(&mut self, row: &SnapshotRow) -> Result<()> {
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
        Ok(())
    }

    /// The tags that are carried over; says how many are not.
    pub(super) fn kept_tags(&mut self, tags: &[Tag]) -> Vec<Tag> {
        let kept: Vec<Tag> = tags.iter().filter(|(key, _)| !key.starts_with("aws:")).cloned().collect();
        let left_out = tags.len() - kept.len();
        if !tags.is_empty() {
            let text = format!("{} of {} tags are kept", kept.len(), tags.len());
            self.findings.push(if left_out == 0 {
                passed(text)
            } else {
                Finding { level: Level::Note, text: format!("{text}; aws:* cannot be set by hand"), todo: None }
            });
        }
        kept
    }

    pub(super) fn snapshot(&mut self, session: &Session, row: SnapshotRow) -> Result<SourcePlan> {
        self.readable(&row)?;
        let kept = self.kept_tags(&row.tags);
        let place = session.origin().place();
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
            class: None,
            blocks: Quantity::at_most(row.full.map_or(whole, |full| full.blocks().min(whole))),
        })
    }

    async fn destination(&mut self, address: &Address, source: &SourcePlan) -> Result<DestinationPlan> {
        match address {
            Address::NewSnapshot(place) if source.kind.base().is_some() => Err(onto::no_base(place, source)),
            Address::NewSnapshot(place) if matches!(source.kind, SourceKind::Image { .. }) => {
                self.new_image(place, source).await
            }
            Address::NewSnapshot(place) => self.new_snapshot(place, source).await,
            Address::OnParent(place, id) => self.on_parent(place, id, source).await,
            Address::Path(path) if source.kind.base().is_some() => {
                let world = self.world();
                let known = onto::Known { copies: self.machine.copies.as_ref(), world: &world };
                onto::file(path, source, &self.operation.options, known, &mut self.findings)
            }
            Address::Path(path) => files::destination(path, source, &self.operation.options),
            Address::Null => Ok(DestinationPlan {
                address: Address::Null,
                profile: None,
                region: None,
                account: None,
                kind: DestinationKind::Null,
                strategy: Strategy::Direct,
            }),
            Address::Archive(..) | Address::Object(..) if matches!(source.kind, SourceKind::Prefix { .. }) => {
                copied::destination(self.aws, address, source, &self.operation.options, &mut self.findings).await
            }
            Address::Object(..) if matches!(source.kind, SourceKind::Object { .. }) => {
                copied::destination(self.aws, address, source, &self.operation.options, &mut self.findings).await
            }
            Address::Archive(profile, bucket, prefix) => {
                if let (SourceKind::Object { key, .. }, true) = (&source.kind, self.operation.destinations.len() == 1) {
                    let key = format!("{prefix}{}", inventory::archives::last_folder(key));
                    let itself = Address::Object(profile.clone(), bucket.clone(), key);
                    let text =
                        format!("{address} will hold an archive of its blocks; the object itself goes to {itself}");
                    self.findings.push(Finding { level: Level::Note, text, todo: None });
                }
                archives::destination(self.aws, address, source, &self.operation.options, &mut self.findings).await
            }
            Address::Object(..) => {
                objects::destination(self.aws, address, source, &self.operation.options, &mut self.findings).await
            }
            other => Err(Error::usage(format!("`{other}` is a source, not a destination"))
                .todo("one source at a time: floe copy SOURCE DEST..., or --each SOURCE... DEST")),
        }
    }

    async fn new_snapshot(&mut self, place: &Place, source: &SourcePlan) -> Result<DestinationPlan> {
        let session = self.session(place).await?;
        let volume_gib = volume_gib(source)?;
        let (quotas, encryption) =
            tokio::join!(Box::pin(quotas::of_writing(&session)), self.encryption(&session, source));
        self.writes(quotas);
        let (encryption, warning) = encryption?;
        let Encryption { ask: ask_encrypted, result: encrypted, words: encryption } = encryption;
        self.findings.push(warning.unwrap_or_else(|| passed(format!("{}: {encryption}", session.region()))));
        let place = session.origin().place();
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
                on: None,
            },
            strategy: Strategy::Direct,
        })
    }
}

/// The size that a snapshot of it has.
pub(super) fn volume_gib(source: &SourcePlan) -> Result<u32> {
    let gib = source.volume.0.div_ceil(Bytes::gib(1).0).max(1);
    u32::try_from(gib).ok().filter(|gib| *gib <= 65_536).ok_or_else(|| {
        Error::usage(format!("a snapshot holds at most 64 TiB, and {} is {}", source.address, source.volume))
    })
}

/// The lower of what is known.
fn lower(known: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (known, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
