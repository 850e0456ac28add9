//! From marks or addresses to a plan: facts, verdicts, a decision for each, the archives that come first.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::decide;
use super::facts::Facts;
use super::judge::{Rejudge, unjudged};
use super::model::{Back, Item, RemovalPlan, VERSION, Wishes, Would, too_many};
use super::target::Target;
use crate::address::{Address, Place};
use crate::aws::{Aws, Session};
use crate::error::{Error, Result};
use crate::ids::ImageId;
use crate::plan::{self, DestinationKind, Machine, Operation, Options, Prices, Verify};

/// Things of one origin that are asked about at once; the re-check of as many must end well within a minute.
pub(super) const AT_ONCE: usize = 200;

/// Makes a plan. Nothing is changed.
///
/// # Errors
/// Facts could not be read; usage for an address of archives that is none; refused when more would be removed than
/// `limit` allows, or when the archives cannot be made.
pub async fn make(
    aws: &Aws,
    targets: &[(Place, Target)],
    wishes: Wishes,
    limit: u32,
    by: String,
    judge: &impl Rejudge,
    machine: &Machine,
) -> Result<RemovalPlan> {
    let mut by_origin: BTreeMap<String, (Session, BTreeSet<Target>)> = BTreeMap::new();
    for (place, target) in targets {
        let session = aws.session(place.profile.as_ref(), place.region.as_ref()).await?;
        let key = format!("{} {} {:?}", session.region(), session.account(), session.profile());
        by_origin.entry(key).or_insert_with(|| (session, BTreeSet::new())).1.insert(target.clone());
    }
    let mut items = Vec::new();
    for (session, mut targets) in by_origin.into_values() {
        if wishes.with_snapshots {
            targets.extend(of_images(&session, &targets).await?);
        }
        items.extend(look(&session, &targets.into_iter().collect::<Vec<_>>(), &wishes, &BTreeSet::new(), judge).await?);
    }
    // What cannot be taken back is seen first, what is left alone last; else as it came.
    items.sort_by_key(|item: &Item| (!item.would.removes(), !item.back.is_final()));
    let mut plan = RemovalPlan {
        version: VERSION,
        made: crate::wall::now(),
        by,
        world: aws.world(),
        wishes,
        limit,
        prices_as_of: Prices::bundled().as_of.clone(),
        items,
        together: Vec::new(),
        archive: None,
    };
    let removed = plan.summary().removed;
    if removed > limit {
        return Err(too_many(removed, limit));
    }
    archives(aws, &mut plan, machine).await?;
    settled(&plan)
}

/// The plan as it comes back from a file: figures rounded, so that its hash is the same there.
pub(super) fn settled(plan: &RemovalPlan) -> Result<RemovalPlan> {
    let failed = |e: serde_json::Error| Error::failed(format!("the plan cannot be written: {e}"));
    let mut value = serde_json::to_value(plan).map_err(failed)?;
    crate::plan::accept::round(&mut value);
    serde_json::from_value(value).map_err(failed)
}

/// Decides things of one origin, by facts and verdicts of now; images in `left` are gone already. The remover calls it
/// again.
///
/// # Errors
/// Facts could not be read, or the judge could not judge.
pub(crate) async fn look(
    session: &Session,
    targets: &[Target],
    wishes: &Wishes,
    left: &BTreeSet<ImageId>,
    judge: &impl Rejudge,
) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    // Images first: what leaves frees what it is made of. The set is ordered so that they do not come first by themselves.
    let (images, others): (Vec<Target>, Vec<Target>) =
        targets.iter().cloned().partition(|target| matches!(target, Target::Image(_)));
    let mut leaving: BTreeSet<ImageId> = left.clone();
    for some in images.chunks(AT_ONCE).chain(others.chunks(AT_ONCE)) {
        let facts = Facts::read(session, some).await?;
        let mut judged: BTreeMap<String, _> = judge
            .rejudge(session, &facts, some, &leaving)
            .await?
            .into_iter()
            .map(|judged| (judged.id.clone(), judged))
            .collect();
        for target in some {
            let judged = judged.remove(target.id()).unwrap_or_else(|| unjudged(session, target));
            let item = decide(target, &judged, &facts, wishes, &leaving);
            if let (Target::Image(id), true) = (target, item.would.removes()) {
                leaving.insert(id.clone());
            }
            items.push(item);
        }
    }
    Ok(items)
}

/// The snapshots that the images among these are made of.
async fn of_images(session: &Session, targets: &BTreeSet<Target>) -> Result<Vec<Target>> {
    let images: Vec<ImageId> = targets
        .iter()
        .filter_map(|target| if let Target::Image(id) = target { Some(id.clone()) } else { None })
        .collect();
    let rows = session.ec2().own_images_among(&images).await?;
    Ok(rows.into_iter().flat_map(|row| row.snapshots).map(Target::Snapshot).collect())
}

/// The copy that the archives come from: the engine's own, every block of it read back before anything is deleted.
async fn archives(aws: &Aws, plan: &mut RemovalPlan, machine: &Machine) -> Result<()> {
    let Some(to) = &plan.wishes.archive_to else { return Ok(()) };
    let destination = Address::destination(to)?;
    if !matches!(destination, Address::Archive(..)) {
        return Err(Error::usage(format!("`{to}` is no place for archives")).todo("write s3://bucket/prefix/"));
    }
    let source = |item: &Item| match &item.target {
        Target::Snapshot(id) if item.would == Would::ArchiveThenDelete => {
            Some(Address::Snapshot(item.judged.origin.place(), id.clone()))
        }
        _ => None,
    };
    let sources: Vec<Address> = plan.items.iter().filter_map(source).collect();
    if sources.is_empty() {
        return Ok(());
    }
    let options = Options { verify: Verify::Full, ..Options::default() };
    let copy = plan::make(aws, Operation { sources, destinations: vec![destination], options }, machine).await?;
    if let Some(refusal) = copy.refusal() {
        return Err(refusal.during("the archives cannot be made"));
    }
    for made in &copy.items {
        let Some(DestinationKind::Archive { bucket, root, .. }) = made.destinations.first().map(|to| &to.kind) else {
            continue;
        };
        let of = made.source.kind.snapshot().map(ToString::to_string);
        let of = plan.items.iter_mut().find(|item| Some(item.target.id()) == of.as_deref());
        if let Some(Item { back: Back::Archive { to, .. }, .. }) = of {
            *to = format!("s3://{bucket}/{root}");
        }
    }
    plan.archive = Some(Box::new(copy));
    Ok(())
}
