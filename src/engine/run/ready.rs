//! A job on the threshold: its directory is locked, its journal open, and it can be shown.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::watch;

use super::wait::waits_for;
use super::{Control, Ended, Given, start};
use crate::bandwidth::Bandwidth;
use crate::engine::budget::{Budget, Part, Weight};
use crate::engine::call::{Caller, Quotas};
use crate::engine::hub::{DestinationView, Hub};
use crate::engine::journal::{self, Journal, Picture, Record};
use crate::engine::protocol::{Event, JobState, Lanes};
use crate::engine::rate::{Limiters, PerSecond};
use crate::engine::spec::{JobDir, Spec};
use crate::engine::throttle::Throttle;
use crate::engine::window::Bounds;
use crate::engine::worlds::Worlds;
use crate::error::{Error, Result};
use crate::ids::JobId;
use crate::plan::choices::{FETCHED_ITEM, LISTED_ENTRY, PAGE_MIN, compressor};
use crate::plan::{
    DestinationKind, DestinationPlan, Load, Verify, connections_weight, frames_weight, item_weight, load, unpacked,
};
use crate::units::{BLOCK_BYTES, Bytes};

/// A job that is about to run: its lock is held, its journal open, its hub can be shown.
#[derive(Debug)]
pub(in crate::engine) struct Ready {
    pub spec: Arc<Spec>,
    pub hub: Arc<Hub>,
    pub caller: Arc<Caller>,
    pub resumed: Arc<AtomicU64>,
    dir: JobDir,
    journal: Journal,
    lock: File,
}

impl Ready {
    /// Locks and opens the directory.
    ///
    /// # Errors
    /// Another engine runs it, or its files are damaged.
    pub(in crate::engine) fn open(
        spec: Arc<Spec>,
        dir: JobDir,
        limiters: Arc<Limiters>,
        background: bool,
    ) -> Result<Self> {
        let lock = dir.lock()?;
        let mut journal = Journal::open(&dir.events(), journal::LIMIT)?;
        must_be_of(&spec, journal.picture())?;
        let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION").to_owned());
        journal.append_sync(crate::wall::now(), Record::Engine { pid, version, background })?;
        let picture = journal.picture();
        let choices = &spec.plan.choices;
        let bandwidth = picture.bandwidth.clone().unwrap_or_else(|| spec.plan.operation.options.bandwidth.clone());
        let planned = spec.plan.operation.options.concurrency.map_or(Lanes::Auto, Lanes::AtMost);
        let bounds = Bounds { start: choices.lanes_start, most: choices.lanes_max };
        let views = spec.item()?.destinations.iter().zip(&picture.destinations).map(|(plan, known)| DestinationView {
            address: plan.address.to_string(),
            state: known.state,
            checksum: known.completing.and_then(|(_, checksum)| checksum),
            checking: None,
            evidence: known.evidence,
            image: known.image,
            error: known.error.clone(),
            copied: known.copied.clone(),
        });
        let hub =
            Hub::new(spec.job, bounds, picture.lanes.unwrap_or(planned), picture.progress, views.collect(), bandwidth);
        hub.remember(earlier_events(&spec, &dir));
        let quotas = Quotas {
            get_per_snapshot: PerSecond(choices.get_per_second),
            put_per_snapshot: PerSecond(choices.put_per_second),
            get_per_account: PerSecond(choices.get_per_account),
            put_per_account: PerSecond(choices.put_per_account),
        };
        let caller = Arc::new(Caller::new(Arc::clone(&hub), limiters, quotas));
        Ok(Self { spec, hub, caller, resumed: Arc::default(), dir, journal, lock })
    }

    /// What of the budget it may use at most: as it was turned last, else as planned.
    pub(in crate::engine) fn share(&self) -> Option<Bytes> {
        self.journal.picture().memory.or(self.spec.plan.operation.options.memory)
    }

    /// The group whose limit of bytes a second it shares: of several jobs of one operation, until its own is turned.
    pub(in crate::engine) fn limited_with(&self) -> Option<(JobId, Bandwidth)> {
        let (first, _) = self.spec.group.filter(|_| self.journal.picture().bandwidth.is_none())?;
        Some((first, self.spec.plan.operation.options.bandwidth.clone()?))
    }

    /// Runs it to an end, keeping the lock meanwhile.
    pub(in crate::engine) async fn run(
        self,
        worlds: Worlds,
        budget: Budget,
        throttle: Arc<Throttle>,
        control: watch::Receiver<Control>,
    ) -> Ended {
        let hub = Arc::clone(&self.hub);
        let (given, journal, lock) = self.given(worlds, &budget, throttle, control);
        let outcome = start(given, journal).await;
        drop(lock);
        outcome.unwrap_or_else(|error| {
            if error.is_full_disk() {
                hub.set_state(JobState::Waiting, waits_for(&error), Some(error));
                return Ended::Full;
            }
            hub.set_state(JobState::Failed, "failed", Some(error));
            Ended::In(JobState::Failed)
        })
    }

    /// Joins the budget, and takes apart what a run needs, its journal, and the lock to be kept meanwhile.
    pub(super) fn given(
        self,
        worlds: Worlds,
        budget: &Budget,
        throttle: Arc<Throttle>,
        control: watch::Receiver<Control>,
    ) -> (Given, Journal, File) {
        let share = self.share();
        let Self { spec, hub, caller, resumed, dir, journal, lock } = self;
        let weight = weight_of(&spec);
        let member = budget.join(spec.job, heaviest(&spec, weight), Bytes(LISTED_ENTRY.0 * u64::from(PAGE_MIN)));
        member.set_share(share);
        (Given { spec, hub, caller, resumed, dir, worlds, member, throttle, weight, control }, journal, lock)
    }
}

/// What an item of this job weighs on its way.
pub(in crate::engine) fn weight_of(spec: &Spec) -> Weight {
    let whole = spec.plan.items.first().map_or(Bytes(BLOCK_BYTES), |item| item_weight(&item.source.kind));
    let frames = spec.plan.items.first().map_or(Bytes::ZERO, frames_weight);
    let more = spec.plan.items.first().map_or(Bytes::ZERO, connections_weight);
    Weight::of(Part::Blocks, Bytes(BLOCK_BYTES))
        .and(Part::Connections, whole.less(Bytes(BLOCK_BYTES)) + more)
        .and(Part::Compression, frames)
}

/// What the lanes of this job hold.
pub(in crate::engine) fn load_of(spec: &Spec) -> Load {
    let options = &spec.plan.operation.options;
    spec.plan.items.first().map_or(Load::whole(Bytes(BLOCK_BYTES)), |item| load(item, options))
}

/// The heaviest item of a job: what it moves, or a block that is read back from a snapshot it made.
fn heaviest(spec: &Spec, moved: Weight) -> Bytes {
    let to_snapshot = |to: &DestinationPlan| matches!(to.kind, DestinationKind::Snapshot { .. });
    let on_parent = |to: &DestinationPlan| matches!(to.kind, DestinationKind::Snapshot { on: Some(_), .. });
    let mut destinations = spec.plan.items.iter().flat_map(|item| &item.destinations);
    let full = spec.plan.operation.options.verify == Verify::Full;
    // What a result on a parent does not show as changed is read back in any case.
    let reads_back = destinations.any(|to| full && to_snapshot(to) || on_parent(to));
    let item = if reads_back { moved.total().max(FETCHED_ITEM) } else { moved.total() };
    // A piece of an object is held whole, and one block more.
    let item = spec.plan.items.iter().map(crate::plan::moved).fold(item, Bytes::max);
    // An archive keeps one compressor at least, whatever becomes of the budget.
    let archives: u32 = spec.plan.items.iter().map(crate::plan::ItemPlan::archives).sum();
    // What unpacks is kept all the time.
    let unpacked = spec.plan.items.iter().map(|item| unpacked(item, spec.plan.share())).max().unwrap_or_default();
    let each = compressor(spec.plan.operation.options.pace);
    item + Bytes(each.0 * u64::from(archives)) + unpacked
}

/// Refuses a journal of another job: its ids and steps are not ours.
fn must_be_of(spec: &Spec, picture: &Picture) -> Result<()> {
    match &picture.created {
        Some((job, hash, _)) if *job == spec.job && *hash == spec.grant.plan_hash => Ok(()),
        Some((job, ..)) => Err(Error::failed(format!(
            "the journal in the directory of job {} belongs to job {job} or to another plan",
            spec.job
        ))
        .todo("put its own events.ndjson back, or start the copy again")),
        None => Err(Error::failed(format!("the journal of job {} is empty", spec.job)).todo("start the copy again")),
    }
}

fn earlier_events(spec: &Spec, dir: &JobDir) -> Vec<Event> {
    let notes = journal::tail(&dir.events(), 200, |record| matches!(record, Record::Note(_))).unwrap_or_default();
    let event = |entry: journal::Entry| match entry.record {
        Record::Note(note) => Some(Event {
            at: entry.at,
            job: Some(spec.job),
            subject: note.subject,
            text: note.text,
            tone: note.tone,
            count: note.count,
        }),
        _ => None,
    };
    notes.into_iter().filter_map(event).collect()
}
