//! One pool of the budget: accounts of jobs, a queue, and who is served next. Pure state behind a lock.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot::Sender;

use super::{Budget, Denied, Part, Weight};
use crate::ids::JobId;
use crate::units::Bytes;

/// What a waiter gets.
#[derive(Debug)]
pub(super) struct Grant {
    pub weight: Weight,
    pub units: u32,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    job: JobId,
    least: Weight,
    unit: Weight,
    more: u32,
    sender: Sender<Result<Grant, Denied>>,
}

#[derive(Debug, Default)]
struct Account {
    floor: u64,
    share: Option<u64>,
    held: u64,
    /// The same by part.
    parts: [u64; Part::ALL.len()],
    active: bool,
    /// Handles that joined and did not leave; at zero only permits are still out.
    members: u32,
    /// Whether what it holds comes back only once it has all of its floor.
    whole: bool,
    /// Its places in the queue.
    waiting: usize,
}

impl Account {
    const fn takes_part(&self) -> bool {
        self.active && self.members > 0
    }
    /// Waits for something that is, or may be, within its floor.
    const fn starves(&self) -> bool {
        self.takes_part() && self.waiting > 0 && (self.held == 0 || self.held < self.floor)
    }
}

/// What stands in the way of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing.
    Fits,
    /// It belongs to the job's floor and there is no room: nobody passes it.
    FloorWaits,
    /// It is above the floor and there is no room beside what others are owed: others may get their floor.
    RestWaits,
    /// Its own job may not: does not concern others.
    Own,
    Never(Denied),
}

#[derive(Debug)]
pub(super) struct Pool {
    limit: u64,
    used: u64,
    accounts: BTreeMap<JobId, Account>,
    queue: VecDeque<Waiter>,
    next: u64,
}

impl Pool {
    pub fn new(limit: u64) -> Self {
        let (accounts, queue) = (BTreeMap::new(), VecDeque::new());
        Self { limit, used: 0, accounts, queue, next: 0 }
    }

    pub const fn limit(&self) -> u64 {
        self.limit
    }
    pub const fn used(&self) -> u64 {
        self.used
    }
    pub const fn debt(&self) -> u64 {
        self.used.saturating_sub(self.limit)
    }
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
    pub fn held(&self, job: JobId) -> u64 {
        self.accounts.get(&job).map_or(0, |account| account.held)
    }
    /// The heaviest floor of the jobs that run.
    pub fn floor(&self) -> u64 {
        self.accounts.values().filter(|a| a.takes_part()).map(|a| a.floor).max().unwrap_or(0)
    }
    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.accounts.keys().copied()
    }
    /// What one job holds, by part.
    pub fn parts(&self, job: JobId) -> [u64; Part::ALL.len()] {
        self.accounts.get(&job).map_or([0; Part::ALL.len()], |account| account.parts)
    }
    pub fn others_wait(&self, job: JobId) -> bool {
        self.accounts.iter().any(|(id, account)| *id != job && account.starves())
    }

    pub fn join(&mut self, job: JobId, floor: u64) {
        let account = self.accounts.entry(job).or_default();
        (account.floor, account.active) = (floor, true);
        account.members += 1;
        self.serve();
    }

    pub fn leave(&mut self, job: JobId) {
        if let Some(account) = self.accounts.get_mut(&job) {
            account.members -= 1;
            if account.members == 0 {
                account.waiting = 0;
                self.queue.retain(|waiter| waiter.job != job);
            }
        }
        self.forget_empty(job);
        self.serve();
    }

    pub fn resize(&mut self, limit: u64) {
        self.limit = limit;
        self.deny_impossible();
        self.serve();
    }

    pub fn set_share(&mut self, job: JobId, share: Option<u64>) {
        if let Some(account) = self.accounts.get_mut(&job) {
            account.share = share;
        }
        self.deny_impossible();
        self.serve();
    }

    /// From now on its floor has to fit whole.
    pub fn set_whole(&mut self, job: JobId) {
        if let Some(account) = self.accounts.get_mut(&job) {
            account.whole = true;
        }
    }

    pub fn set_active(&mut self, job: JobId, active: bool) {
        if let Some(account) = self.accounts.get_mut(&job) {
            account.active = active;
        }
        self.serve();
    }

    pub fn enqueue(
        &mut self,
        job: JobId,
        least: Weight,
        unit: Weight,
        more: u32,
        sender: Sender<Result<Grant, Denied>>,
    ) -> u64 {
        let id = self.next;
        self.next += 1;
        if let Verdict::Never(denied) = self.judge(job, least.total().0) {
            let _ = sender.send(Err(denied));
            return id;
        }
        if let Some(account) = self.accounts.get_mut(&job) {
            account.waiting += 1;
        }
        self.queue.push_back(Waiter { id, job, least, unit, more, sender });
        self.serve();
        id
    }

    pub fn cancel(&mut self, id: u64) {
        // Ids grow along the queue.
        if let Ok(at) = self.queue.binary_search_by_key(&id, |waiter| waiter.id) {
            self.remove(at);
            self.serve();
        }
    }

    fn remove(&mut self, at: usize) -> Option<Waiter> {
        let waiter = self.queue.remove(at)?;
        if let Some(account) = self.accounts.get_mut(&waiter.job) {
            account.waiting -= 1;
        }
        Some(waiter)
    }

    pub fn try_grant(&mut self, job: JobId, weight: &Weight) -> Option<Grant> {
        let passes_nobody = self.accounts.get(&job).is_some_and(|a| a.waiting == 0) && !self.others_wait(job);
        if !passes_nobody || self.judge(job, weight.total().0) != Verdict::Fits {
            return None;
        }
        self.take(job, weight);
        Some(Grant { weight: *weight, units: 1 })
    }

    pub fn release(&mut self, job: JobId, weight: &Weight) {
        self.give_back(job, weight);
        self.forget_empty(job);
        self.serve();
    }

    fn give_back(&mut self, job: JobId, weight: &Weight) {
        let total = weight.total().0;
        self.used -= total;
        if let Some(account) = self.accounts.get_mut(&job) {
            account.held -= total;
            for (held, back) in account.parts.iter_mut().zip(weight.0) {
                *held -= back;
            }
        }
    }

    pub fn relabel(&mut self, job: JobId, from: usize, to: usize, bytes: u64) {
        if let Some(account) = self.accounts.get_mut(&job) {
            account.parts[from] -= bytes;
            account.parts[to] += bytes;
        }
    }

    fn take(&mut self, job: JobId, weight: &Weight) {
        let total = weight.total().0;
        self.used += total;
        let account = self.accounts.entry(job).or_default();
        account.held += total;
        for (held, more) in account.parts.iter_mut().zip(weight.0) {
            *held += more;
        }
    }

    fn forget_empty(&mut self, job: JobId) {
        if self.accounts.get(&job).is_some_and(|account| account.members == 0 && account.held == 0) {
            self.accounts.remove(&job);
        }
    }

    /// What other running jobs still miss of their floors: kept free of anything above a floor.
    fn owed_to_others(&self, job: JobId) -> u64 {
        let others = self.accounts.iter().filter(|(id, account)| **id != job && account.takes_part());
        others.map(|(_, account)| account.floor.saturating_sub(account.held)).sum()
    }

    fn judge(&self, job: JobId, need: u64) -> Verdict {
        let Some(account) = self.accounts.get(&job).filter(|account| account.members > 0) else {
            return Verdict::Never(Denied::Left);
        };
        if !account.active {
            return Verdict::Own;
        }
        // What is held until more of it came cannot do with less than all of it.
        let least = if account.whole { need.max(account.floor) } else { need };
        if least > self.limit {
            let (needs, limit) = (Budget::floor_for(Bytes(least)), Bytes(self.limit + self.limit / 7));
            return Verdict::Never(Denied::TooLarge { needs, limit });
        }
        if let Some(share) = account.share {
            if least > share {
                return Verdict::Never(Denied::TooLarge { needs: Bytes(least), limit: Bytes(share) });
            }
            if account.held + need > share {
                return Verdict::Own;
            }
        }
        let free = self.limit.saturating_sub(self.used);
        if account.held == 0 || account.held + need <= account.floor {
            return if need <= free { Verdict::Fits } else { Verdict::FloorWaits };
        }
        if need + self.owed_to_others(job) <= free { Verdict::Fits } else { Verdict::RestWaits }
    }

    /// Grants what can be granted, in the order of the queue. Cheap when there is nothing to grant: it ends at
    /// the first waiter that nobody may pass.
    fn serve(&mut self) {
        let mut rest_waits = false;
        let mut at = 0;
        while at < self.queue.len() {
            if rest_waits && !self.accounts.values().any(Account::starves) {
                return;
            }
            let waiter = &self.queue[at];
            match self.judge(waiter.job, waiter.least.total().0) {
                Verdict::FloorWaits => return,
                Verdict::Fits if !(rest_waits && self.is_above_floor(at)) => {
                    self.grant(at);
                    continue;
                }
                Verdict::RestWaits => rest_waits = true,
                Verdict::Fits | Verdict::Own | Verdict::Never(_) => {}
            }
            at += 1;
        }
    }

    /// Tells those whom no release can ever serve.
    fn deny_impossible(&mut self) {
        let mut at = 0;
        while at < self.queue.len() {
            let waiter = &self.queue[at];
            match self.judge(waiter.job, waiter.least.total().0) {
                Verdict::Never(denied) => {
                    if let Some(waiter) = self.remove(at) {
                        let _ = waiter.sender.send(Err(denied));
                    }
                }
                _ => at += 1,
            }
        }
    }

    fn is_above_floor(&self, at: usize) -> bool {
        let waiter = &self.queue[at];
        let need = waiter.least.total().0;
        self.accounts.get(&waiter.job).is_some_and(|a| a.held > 0 && a.held + need > a.floor)
    }

    fn grant(&mut self, at: usize) {
        let Some(waiter) = self.remove(at) else { return };
        let unit = waiter.unit.total().0;
        let mut more = 0;
        if waiter.more > 0 && unit > 0 {
            let account = self.accounts.get(&waiter.job);
            let room = self.limit.saturating_sub(self.used + self.owed_to_others(waiter.job)) / 2;
            let own = account.and_then(|a| a.share.map(|s| s.saturating_sub(a.held))).unwrap_or(u64::MAX);
            let extra = room.min(own).saturating_sub(waiter.least.total().0) / unit;
            more = waiter.more.min(u32::try_from(extra).unwrap_or(u32::MAX));
        }
        let weight = waiter.least.plus(&waiter.unit.times(more));
        self.take(waiter.job, &weight);
        if waiter.sender.send(Ok(Grant { weight, units: 1 + more })).is_err() {
            // Cancelled between being queued and being served: as if it had never asked.
            self.give_back(waiter.job, &weight);
        }
    }
}
