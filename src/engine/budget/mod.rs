//! The engine's one memory limit, shared by all jobs.
//!
//! Whole items are acquired before the source is asked and released when the last destination is through
//! with them. Invariants: nothing is granted above the limit; a job below its floor comes before any job
//! above its own, so a hog or a hanging destination leaves the others at least an item in turn; among equals
//! first come, first served; what a dropped permit or a cancelled wait held comes back at once. Listing pages
//! have a pool of their own (an eighth), so nobody holds one permit while waiting for another of its kind.

mod pool;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use self::pool::{Grant, Pool};
use crate::error::{Error, Kind};
use crate::ids::JobId;
use crate::units::Bytes;

/// What memory is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Pages of listings, until their last block is taken.
    Listing,
    /// Bodies of blocks on their way.
    Blocks,
    /// What the connections in use keep.
    Connections,
    /// Buffers of compression.
    Compression,
    /// Written and not yet synced.
    Unsynced,
    /// The page caches of ledgers.
    Ledger,
}

impl Part {
    /// All of them, in the order of the screen.
    pub const ALL: [Self; 6] =
        [Self::Listing, Self::Blocks, Self::Connections, Self::Compression, Self::Unsynced, Self::Ledger];

    /// As the screen names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listing => "listing pages",
            Self::Blocks => "blocks in flight",
            Self::Connections => "connections",
            Self::Compression => "compression",
            Self::Unsynced => "written, not synced",
            Self::Ledger => "ledger cache",
        }
    }
}

/// Bytes by part: what one item weighs on its whole way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weight([u64; Part::ALL.len()]);

impl Weight {
    /// Only this part.
    #[must_use]
    pub fn of(part: Part, bytes: Bytes) -> Self {
        Self::default().and(part, bytes)
    }
    /// And so much of that part.
    #[must_use]
    pub fn and(mut self, part: Part, bytes: Bytes) -> Self {
        self.0[part as usize] += bytes.0;
        self
    }
    /// Everything but that part.
    #[must_use]
    pub fn without(mut self, part: Part) -> Self {
        self.0[part as usize] = 0;
        self
    }
    /// So much of one part.
    #[must_use]
    pub fn get(&self, part: Part) -> Bytes {
        Bytes(self.0[part as usize])
    }
    /// Everything.
    #[must_use]
    pub fn total(&self) -> Bytes {
        Bytes(self.0.iter().sum())
    }
    /// This many of it.
    #[must_use]
    pub fn times(&self, count: u32) -> Self {
        Self(self.0.map(|bytes| bytes * u64::from(count)))
    }
    fn plus(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] + other.0[at]))
    }
}

/// Why nothing was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The item does not fit under the limit even alone: the job pauses with these figures.
    TooLarge {
        /// The smallest limit (of the engine, or of the job's share) under which it fits.
        needs: Bytes,
        /// The limit that is in force.
        limit: Bytes,
    },
    /// The job has left the budget.
    Left,
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::TooLarge { needs, limit } => {
                Self::stopped(format!("the memory budget is {limit}, one item needs {needs}"))
                    .todo(format!("raise it: `--memory {}M`, then `floe jobs resume`", needs.0.div_ceil(1024 * 1024)))
            }
            Denied::Left => Self { kind: Kind::Stopped, ..Self::stopped("the job has stopped") },
        }
    }
}

#[derive(Debug)]
struct State {
    limit: u64,
    items: Pool,
    pages: Pool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Items,
    Pages,
}

impl State {
    fn pool(&mut self, which: Which) -> &mut Pool {
        match which {
            Which::Items => &mut self.items,
            Which::Pages => &mut self.pages,
        }
    }
}

/// The engine's budget; clones are the same budget.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Mutex<State>>);

impl Budget {
    /// A budget of `limit`, an eighth of it for listing pages.
    #[must_use]
    pub fn new(limit: Bytes) -> Self {
        let (items, pages) = split(limit);
        Self(Arc::new(Mutex::new(State { limit: limit.0, items: Pool::new(items), pages: Pool::new(pages) })))
    }

    /// The smallest limit under which an item of this weight fits beside the carve-out for pages.
    #[must_use]
    pub const fn floor_for(item: Bytes) -> Bytes {
        let mut limit = item.0 + item.0.saturating_sub(1) / 7;
        while limit - limit / 8 < item.0 {
            limit += 1;
        }
        Bytes(limit)
    }

    /// Adds a running job. `floor` is its heaviest item together with what it keeps all the time, `page` its
    /// smallest page. It leaves when the handle and all its clones are dropped; permits may outlive it.
    #[must_use]
    pub fn join(&self, job: JobId, floor: Bytes, page: Bytes) -> JobBudget {
        let mut state = self.lock();
        state.items.join(job, floor.0);
        state.pages.join(job, page.0);
        JobBudget(Arc::new(Member { budget: self.clone(), job }))
    }

    /// Turns the limit. Below what is held, nothing is granted until the debt is paid; an item that no longer
    /// fits at all is denied to those who wait for it.
    pub fn resize(&self, limit: Bytes) {
        let (items, pages) = split(limit);
        let mut state = self.lock();
        state.limit = limit.0;
        state.items.resize(items);
        state.pages.resize(pages);
    }

    /// The most that a running job's items may hold; `None` for no limit of its own.
    pub fn set_share(&self, job: JobId, share: Option<Bytes>) {
        self.lock().items.set_share(job, share.map(|bytes| bytes.0));
    }

    /// Who holds what.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut state = self.lock();
        let State { limit, items, pages } = &mut *state;
        let used = items.used() + pages.used();
        let held = |of: [u64; Part::ALL.len()], and: [u64; Part::ALL.len()]| -> Holding {
            Holding(std::array::from_fn(|at| Bytes(of[at] + and[at])))
        };
        // A permit may outlive its job's account in one of the two.
        let known: BTreeSet<JobId> = items.jobs().chain(pages.jobs()).collect();
        let jobs: Vec<(JobId, Holding)> =
            known.into_iter().map(|job| (job, held(items.parts(job), pages.parts(job)))).collect();
        Usage {
            limit: Bytes(*limit),
            used: Bytes(used),
            debt: Bytes(items.debt() + pages.debt()),
            floor: Self::floor_for(Bytes(items.floor())),
            pages_used: Bytes(pages.used()),
            pages_limit: Bytes(pages.limit()),
            waiting: items.waiting() + pages.waiting(),
            parts: Part::ALL.map(|part| (part, jobs.iter().map(|(_, held)| held.part(part)).sum())),
            jobs,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it; if something did, the counts are still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits of the two pools.
const fn split(limit: Bytes) -> (u64, u64) {
    (limit.0 - limit.0 / 8, limit.0 / 8)
}

/// Who holds what, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The limit.
    pub limit: Bytes,
    /// Held in all.
    pub used: Bytes,
    /// Held above the limit since it was cut.
    pub debt: Bytes,
    /// The least the limit can be for the jobs that run.
    pub floor: Bytes,
    /// Held by listing pages.
    pub pages_used: Bytes,
    /// Their carve-out.
    pub pages_limit: Bytes,
    /// How many wait.
    pub waiting: usize,
    /// Held by part.
    pub parts: [(Part, Bytes); Part::ALL.len()],
    /// Held by job: they add up to the parts, and the parts to what is used.
    pub jobs: Vec<(JobId, Holding)>,
}

impl Usage {
    /// What one job holds.
    #[must_use]
    pub fn of(&self, job: JobId) -> Holding {
        self.jobs.iter().find(|(id, _)| *id == job).map_or_else(Holding::default, |(_, held)| *held)
    }
}

/// What one job holds, by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding([Bytes; Part::ALL.len()]);

impl Holding {
    /// Of that part.
    #[must_use]
    pub const fn part(&self, part: Part) -> Bytes {
        self.0[part as usize]
    }
    /// Of all parts.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.0.iter().copied().sum()
    }
    /// Named as the screen does, without what is not held.
    #[must_use]
    pub fn named(&self) -> Vec<(String, Bytes)> {
        let held = Part::ALL.into_iter().map(|part| (part, self.part(part)));
        held.filter(|(_, bytes)| bytes.0 > 0).map(|(part, bytes)| (part.name().to_owned(), bytes)).collect()
    }
}

#[derive(Debug)]
struct Member {
    budget: Budget,
    job: JobId,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.items.leave(self.job);
        state.pages.leave(self.job);
    }
}

/// A running job's door to the budget; clones are the same job.
#[derive(Debug, Clone)]
pub struct JobBudget(Arc<Member>);

impl JobBudget {
    /// Waits for a whole item. Cancelling the wait costs nothing.
    ///
    /// # Errors
    /// The item does not fit at all.
    pub async fn acquire(&self, weight: Weight) -> Result<Permit, Denied> {
        self.wait(Which::Items, weight, Weight::default(), 0).await
    }

    /// Waits for a run of at least one unit (and its fixed weight) and takes more, up to `most` units and up to
    /// half of what is free at that moment: [`Permit::units`] says how many.
    ///
    /// # Errors
    /// One unit does not fit at all.
    pub async fn acquire_run(&self, fixed: Weight, unit: Weight, most: u32) -> Result<Permit, Denied> {
        self.wait(Which::Items, fixed.plus(&unit), unit, most.saturating_sub(1)).await
    }

    /// Waits for a listing page, from its carve-out.
    ///
    /// # Errors
    /// The page is larger than the carve-out.
    pub async fn acquire_page(&self, bytes: Bytes) -> Result<Permit, Denied> {
        self.wait(Which::Pages, Weight::of(Part::Listing, bytes), Weight::default(), 0).await
    }

    /// An item, if it can be had now without passing anybody.
    #[must_use]
    pub fn try_acquire(&self, weight: Weight) -> Option<Permit> {
        let grant = self.0.budget.lock().items.try_grant(self.0.job, &weight)?;
        Some(self.permit(Which::Items, grant))
    }

    /// How large this job's listing pages may be together: its part of the carve-out, or what others have left of it.
    /// Whoever asked for more would wait until a huge job beside it had moved the pages that it holds.
    #[must_use]
    pub fn page_room(&self) -> Bytes {
        let state = self.0.budget.lock();
        let part = state.pages.limit() / state.pages.jobs().count().max(1) as u64;
        Bytes(part.min(state.pages.limit().saturating_sub(state.pages.used())))
    }

    /// The limit that is in force for all jobs together.
    #[must_use]
    pub fn limit(&self) -> Bytes {
        Bytes(self.0.budget.lock().limit)
    }

    /// The most that this job's items may hold (`--memory` on a copy); `None` for no limit of its own.
    pub fn set_share(&self, share: Option<Bytes>) {
        self.0.budget.set_share(self.0.job, share);
    }

    /// This job gives nothing back before it holds all of its floor (a part of an object is sent whole): under a limit
    /// below that it is denied at once, instead of waiting for itself.
    pub fn needs_floor_whole(&self) {
        self.0.budget.lock().items.set_whole(self.0.job);
    }

    /// A job that waits (for credentials, a full disk, a silent destination) is set inactive: it is granted
    /// nothing, nothing is kept free for it, and it drops the permits that it holds itself.
    pub fn set_active(&self, active: bool) {
        let mut state = self.0.budget.lock();
        state.items.set_active(self.0.job, active);
        state.pages.set_active(self.0.job, active);
    }

    /// What it holds now.
    #[must_use]
    pub fn held(&self) -> Bytes {
        let state = self.0.budget.lock();
        Bytes(state.items.held(self.0.job) + state.pages.held(self.0.job))
    }

    /// Whether others wait that would come before this job: it should end what it can and not prefetch.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.0.budget.lock().items.others_wait(self.0.job)
    }

    async fn wait(&self, which: Which, least: Weight, unit: Weight, more: u32) -> Result<Permit, Denied> {
        let (sender, receiver) = oneshot::channel();
        let id = self.0.budget.lock().pool(which).enqueue(self.0.job, least, unit, more, sender);
        let mut waiting = Waiting { job: self, which, id, receiver };
        match (&mut waiting.receiver).await {
            Ok(Ok(grant)) => Ok(self.permit(which, grant)),
            Ok(Err(denied)) => Err(denied),
            Err(_) => Err(Denied::Left),
        }
    }

    fn permit(&self, which: Which, grant: Grant) -> Permit {
        Permit { budget: self.0.budget.clone(), which, job: self.0.job, weight: grant.weight, units: grant.units }
    }
}

/// A place in the queue; dropped before its grant was taken out, it gives the grant back.
struct Waiting<'a> {
    job: &'a JobBudget,
    which: Which,
    id: u64,
    receiver: oneshot::Receiver<Result<Grant, Denied>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.job.0.budget.lock();
        let pool = state.pool(self.which);
        // Under the lock nothing is being sent: either the grant is in the channel, or the place is in the queue.
        match self.receiver.try_recv() {
            Ok(Ok(grant)) => pool.release(self.job.0.job, &grant.weight),
            _ => pool.cancel(self.id),
        }
    }
}

/// Memory that is held; dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    which: Which,
    job: JobId,
    weight: Weight,
    units: u32,
}

impl Permit {
    /// What it holds.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.weight
    }
    /// Units of a run; 1 for anything else.
    #[must_use]
    pub const fn units(&self) -> u32 {
        self.units
    }
    /// Gives one part back before the rest, down to `keep` bytes of it.
    pub fn shrink(&mut self, part: Part, keep: Bytes) {
        let back = self.weight.get(part).less(keep);
        if back > Bytes::ZERO {
            self.weight.0[part as usize] -= back.0;
            self.budget.lock().pool(self.which).release(self.job, &Weight::of(part, back));
        }
    }
    /// Parts from what it holds of one part, as a permit of its own; `None` when that is nothing.
    #[must_use]
    pub fn split(&mut self, part: Part) -> Option<Self> {
        let bytes = std::mem::take(&mut self.weight.0[part as usize]);
        let apart = || Self {
            budget: self.budget.clone(),
            which: self.which,
            job: self.job,
            weight: Weight::of(part, Bytes(bytes)),
            units: 1,
        };
        (bytes > 0).then(apart)
    }
    /// Says that the memory is now used for something else (a block that is written and not yet synced).
    pub fn turn_into(&mut self, from: Part, to: Part) {
        let moved = self.weight.get(from);
        self.weight.0[from as usize] = 0;
        self.weight.0[to as usize] += moved.0;
        self.budget.lock().pool(self.which).relabel(self.job, from as usize, to as usize, moved.0);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.lock().pool(self.which).release(self.job, &self.weight);
    }
}
