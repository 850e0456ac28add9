//! Plans of deltas: lineage and order are checked first, what changed is counted, and what a delta or a whole snapshot
//! is written onto is looked at.
//!
//! Invariant: a delta that gets past here is one that AWS can list, from the older to the newer snapshot of one
//! lineage; a result on a parent is never less encrypted than its source without `--allow-decrypt`.

use crate::address::{Address, Place};
use crate::aws::{Session, Tokens};
use crate::error::{Error, Result};
use crate::ids::{Region, SnapshotId};
use crate::inventory::{self, SnapshotRow, State, Tier};
use crate::plan::compare::{self, full, is_unrelated};
use crate::plan::count;
use crate::plan::encryption::Encryption;
use crate::plan::make::{Maker, elsewhere, passed};
use crate::plan::model::{
    Basis, DestinationKind, DestinationPlan, Finding, Level, Parent, SourceKind, SourcePlan, Strategy,
};
use crate::plan::onto;
use crate::units::{Bytes, Quantity, grouped, plural};

/// Snapshots of one chain at most: one job each.
const CHAIN_MOST: usize = 1_000;

impl Maker<'_> {
    /// The facts of a delta.
    pub(super) async fn delta(&mut self, place: &Place, first: &SnapshotId, second: &SnapshotId) -> Result<SourcePlan> {
        let session = self.session(place).await?;
        self.read_quotas(&session).await;
        let a = self.of_delta(&session, place, first, second).await?;
        let b = self.of_delta(&session, place, second, first).await?;
        for row in [&a, &b] {
            self.readable(row)?;
        }
        in_order(&session, &a, &b)?;
        let (counted, whole) = match count::changes(session.ebs(), first, second).await {
            Ok(counted) => counted,
            Err(error) if is_unrelated(&error) => return Err(unrelated(&session, &a, &b, error)),
            Err(error) => return Err(error),
        };
        self.findings.push(passed(format!("{first} and {second} are of one lineage, and in order")));
        if b.size > a.size {
            let text = format!("the volume grew from {} to {} between them", a.size, b.size);
            self.findings.push(Finding { level: Level::Note, text, todo: None });
        }
        let most = (full(&a) + full(&b)).min(b.size.blocks());
        let blocks = if whole {
            let text = format!(
                "exactly {} {} added, {} changed, {} removed (written as zeros)",
                counted.added,
                plural(counted.added.0, "block"),
                counted.changed,
                counted.removed
            );
            self.findings.push(passed(text));
            Quantity::exact(counted.blocks)
        } else {
            Quantity::at_most(most)
        };
        let tags = self.kept_tags(&b.tags);
        let place = session.origin().place();
        Ok(SourcePlan {
            address: Address::Delta(place, first.clone(), second.clone()),
            profile: session.profile().cloned(),
            region: Some(session.region().clone()),
            account: Some(session.account().clone()),
            kind: SourceKind::Delta {
                first: first.clone(),
                second: second.clone(),
                encrypted: b.encrypted,
                kms_key: b.kms_key,
            },
            name: b.name,
            tags,
            volume: b.size,
            class: None,
            blocks,
        })
    }

    /// One of a delta's two; where it is missing, whether the other region has it is told.
    async fn of_delta(
        &self,
        session: &Session,
        place: &Place,
        id: &SnapshotId,
        other: &SnapshotId,
    ) -> Result<SnapshotRow> {
        let error = match session.ec2().snapshot(id).await {
            Err(error) if error.has_code("InvalidSnapshot.NotFound") => error,
            outcome => return outcome,
        };
        let found = inventory::find_snapshot(self.aws, place.profile.as_ref(), id, session.region()).await;
        let Some(region) = found else { return Err(elsewhere(self.aws, place, session, id, error).await) };
        let there = Place { profile: place.profile.clone(), region: Some(region.clone()) };
        Err(Error::usage(format!(
            "{id} is in {region}, {other} was looked for in {}: changes are listed only within one region",
            session.region()
        ))
        .todo(format!("when both are there: {}", Address::Delta(there, id.clone(), other.clone()))))
    }

    /// A new snapshot on a parent.
    pub(super) async fn on_parent(
        &mut self,
        place: &Place,
        id: &SnapshotId,
        source: &SourcePlan,
    ) -> Result<DestinationPlan> {
        let session = self.session(place).await?;
        self.write_quotas(&session).await;
        let row = match session.ec2().snapshot(id).await {
            Err(error) if error.has_code("InvalidSnapshot.NotFound") => {
                return Err(elsewhere(self.aws, place, &session, id, error).await);
            }
            outcome => outcome?,
        };
        can_be_a_parent(&session, &row)?;
        let volume_gib = super::make::volume_gib(source)?;
        if Bytes::gib(u64::from(volume_gib)) < row.size {
            return Err(Error::usage(format!(
                "a snapshot on {id} has at least its {}, and {} has {}",
                row.size, source.address, source.volume
            ))
            .todo(format!("without a parent: {}:", session.region())));
        }
        let Encryption { result: encrypted, words: encryption, .. } = self.inherited(&session, &row, source).await?;
        self.findings.push(passed(format!("{}: {encryption}", session.region())));
        let world = self.world();
        let known = onto::Known { copies: self.machine.copies.as_ref(), world: &world };
        let basis = onto::parent(&row, source, &self.operation.options, known, &mut self.findings)?;
        if basis.is_none() {
            let text = format!("what only {id} has is written as zeros, so that the result is {}", source.address);
            self.findings.push(Finding { level: Level::Note, text, todo: None });
        }
        let place = session.origin().place();
        Ok(DestinationPlan {
            address: Address::OnParent(place, id.clone()),
            profile: session.profile().cloned(),
            region: Some(session.region().clone()),
            account: Some(session.account().clone()),
            kind: DestinationKind::Snapshot {
                volume_gib,
                ask_encrypted: None,
                ask_key: None,
                encrypted,
                encryption,
                on: Some(Parent { id: Some(id.clone()), volume: row.size, blocks: full(&row), basis }),
            },
            strategy: Strategy::Direct,
        })
    }

    /// On what the job before this one makes: encrypted as that.
    pub(super) fn on_before(&self, before: &DestinationPlan, source: &SourcePlan) -> Result<DestinationPlan> {
        let DestinationKind::Snapshot { volume_gib, encrypted, encryption, .. } = &before.kind else {
            return Err(Error::failed("a chain goes to new snapshots only"));
        };
        if source.kind.is_encrypted() && *encrypted != Some(true) && !self.operation.options.allow_decrypt {
            return Err(Error::refused(format!(
                "{} is encrypted and the oldest of its chain {}: the result would be in the clear",
                source.address,
                if encrypted.is_none() { "may not be" } else { "is not" }
            ))
            .todo("--kms-key encrypts the whole chain; --allow-decrypt goes on"));
        }
        let volume = Bytes::gib(u64::from(*volume_gib));
        Ok(DestinationPlan {
            kind: DestinationKind::Snapshot {
                volume_gib: super::make::volume_gib(source)?,
                ask_encrypted: None,
                ask_key: None,
                encrypted: *encrypted,
                encryption: encryption.clone(),
                on: Some(Parent { id: None, volume, blocks: volume.blocks(), basis: Some(Basis::Before) }),
            },
            ..before.clone()
        })
    }

    /// The sources of a chain: the oldest whole, and the way from each to the next.
    pub(super) async fn chain(&mut self) -> Result<Vec<Address>> {
        let wrong = || {
            Error::usage("--chain takes the snapshots from one to a later one of its lineage to new snapshots")
                .todo("floe copy --chain [REGION:]snap-A..snap-Z REGION:")
        };
        let [Address::Delta(place, first, last)] = self.operation.sources.as_slice() else { return Err(wrong()) };
        if !self.operation.destinations.iter().all(|to| matches!(to, Address::NewSnapshot(_))) {
            return Err(wrong());
        }
        let session = self.session(place).await?;
        let a = self.of_delta(&session, place, first, last).await?;
        let z = self.of_delta(&session, place, last, first).await?;
        in_order(&session, &a, &z)?;
        let members = self.between(&session, &a, &z).await?;
        let place = session.origin().place();
        let mut chain = vec![Address::Snapshot(place.clone(), first.clone())];
        let mut before = first.clone();
        for next in members.into_iter().map(|row| row.id).chain([last.clone()]) {
            chain.push(Address::Delta(place.clone(), before, next.clone()));
            before = next;
        }
        self.findings.push(passed(format!("{} snapshots of one lineage, one job each, in order", chain.len())));
        Ok(chain)
    }

    /// What lies between two snapshots of one lineage, oldest first.
    async fn between(&mut self, session: &Session, a: &SnapshotRow, z: &SnapshotRow) -> Result<Vec<SnapshotRow>> {
        let known = z.volume.as_ref().filter(|volume| !volume.is_placeholder() && a.volume.as_ref() == Some(volume));
        let mut members = Vec::new();
        let (mut tokens, mut token) = (Tokens::default(), None::<String>);
        loop {
            let page = session.ec2().snapshots(token.as_deref()).await?;
            let inside =
                |row: &SnapshotRow| row.id != a.id && row.id != z.id && (a.started..=z.started).contains(&row.started);
            let alike = |row: &SnapshotRow| match known {
                Some(volume) => row.volume.as_ref() == Some(volume),
                None => row.volume == z.volume && row.encrypted == z.encrypted,
            };
            members.extend(page.rows.into_iter().filter(|row| inside(row) && alike(row)));
            if members.len() > CHAIN_MOST {
                return Err(Error::usage(format!(
                    "more than {CHAIN_MOST} snapshots lie between {} and {}",
                    a.id, z.id
                ))
                .todo("copy the chain in parts: --chain to one in the middle, then deltas onto its copy"));
            }
            token = tokens.next(page.next)?;
            if token.is_none() {
                break;
            }
        }
        members.sort_by(|one, other| (one.started, &one.id).cmp(&(other.started, &other.id)));
        let mut chain = Vec::with_capacity(members.len());
        for row in members {
            if row.state != State::Completed || row.tier == Tier::Archive {
                let text = format!("{} is left out of the chain: it cannot be read as it is", row.id);
                self.findings.push(Finding { level: Level::Warning, text, todo: None });
                continue;
            }
            // Where volumes say nothing (copies), only AWS knows who is of this lineage.
            if known.is_none() {
                match count::changes(session.ebs(), &a.id, &row.id).await {
                    Ok(_) => {}
                    Err(error) if is_unrelated(&error) => continue,
                    Err(error) => return Err(error),
                }
            }
            chain.push(row);
        }
        Ok(chain)
    }
}

fn in_order(session: &Session, a: &SnapshotRow, b: &SnapshotRow) -> Result<()> {
    let place = || session.origin().place();
    // Of two volumes there is no order that would help.
    let volume = |row: &SnapshotRow| row.volume.clone().filter(|volume| !volume.is_placeholder());
    if let (Some(one), Some(other)) = (volume(a), volume(b))
        && one != other
        && a.started > b.started
    {
        return Err(Error::usage(format!(
            "{} is of {one} and {} of {other}: a delta goes from an older to a newer snapshot of one volume",
            a.id, b.id
        ))
        .todo(format!("copy {} whole: {}", b.id, Address::Snapshot(place(), b.id.clone()))));
    }
    if a.started > b.started {
        let other = Address::Delta(place(), b.id.clone(), a.id.clone());
        return Err(Error::usage(format!(
            "{} is of {:.0}, after {} of {:.0}: a delta goes from the older to the newer",
            a.id, a.started, b.id, b.started
        ))
        .todo(format!("the other way round: {other}; to go back, copy {} whole", b.id)));
    }
    if a.size > b.size {
        return Err(Error::usage(format!(
            "{} has {}, {} only {}: a volume never shrinks, so these are not in order",
            a.id, a.size, b.id, b.size
        ))
        .todo(format!("copy {} whole: {}", b.id, Address::Snapshot(place(), b.id.clone()))));
    }
    Ok(())
}

/// What comparing by content would cost instead.
fn unrelated(session: &Session, a: &SnapshotRow, b: &SnapshotRow, error: Error) -> Error {
    let region: &Region = session.region();
    let address = |row: &SnapshotRow| {
        let place = Place { profile: session.profile().cloned(), region: Some(region.clone()) };
        Address::Snapshot(place, row.id.clone())
    };
    let both = compare::by_content(a, b);
    let mut usage =
        Error::usage(format!("{} and {} are not of one lineage: AWS lists no changes between them", a.id, b.id));
    usage.aws = error.aws;
    usage.in_region(region).todo(format!(
        "copy {} whole; or compare them by content, at most {} Get and {} List requests, {}: floe verify {} {}",
        b.id,
        grouped(both.gets.0),
        grouped(both.lists),
        both.usd.value,
        address(a),
        address(b)
    ))
}

fn can_be_a_parent(session: &Session, row: &SnapshotRow) -> Result<()> {
    if row.state != State::Completed || row.tier == Tier::Archive {
        return Err(Error::refused(format!("{} is not completed in the standard tier: it cannot be a parent", row.id))
            .todo("wait until it is completed, or restore it; or name another parent"));
    }
    if row.owner != *session.account() {
        return Err(Error::usage(format!(
            "{} belongs to account {}: a parent is a snapshot of the account's own ({})",
            row.id,
            row.owner.grouped(),
            session.account().grouped()
        ))
        .todo(format!("without a parent: {}:", session.region())));
    }
    Ok(())
}
