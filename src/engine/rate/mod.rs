//! Requests a second: one token bucket per (account, region, API) and one per (snapshot, API).
//!
//! A limiter stands at its quota until AWS throttles; then it goes just under what succeeded in the last
//! seconds, at most once a second, and feels its way up again by about 1 % a second. Invariant: a throttle
//! moves the limiter of its own level and nothing else. Lanes call [`Pace::acquire`] before each request and
//! report how it went; the window asks [`Limiter::hold`] whether a limiter is what binds.

mod core;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::core::Core;
pub use self::core::{Change, Moved};
use crate::engine::protocol::RateStatus;
use crate::error::Level;
use crate::ids::{AccountId, Region, SnapshotId};

/// Requests (or bytes) a second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerSecond(pub f64);

impl fmt::Display for PerSecond {
    /// `1,000/s`, one decimal below ten.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are small and not negative")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.0 < 9.95 {
            format!("{:.1}/s", self.0)
        } else {
            format!("{}/s", crate::units::grouped(self.0.round() as u64))
        };
        f.pad(&text)
    }
}

/// What is limited: each API has a quota of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Api {
    /// ListSnapshotBlocks.
    List,
    /// ListChangedBlocks.
    Changed,
    /// GetSnapshotBlock.
    Get,
    /// PutSnapshotBlock.
    Put,
    /// CompleteSnapshot: 10 a second.
    Complete,
    /// GetObject of S3.
    Fetch,
    /// PutObject and parts of uploads.
    Store,
}

impl Api {
    /// A short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "List",
            Self::Changed => "ListChanged",
            Self::Get => "Get",
            Self::Put => "Put",
            Self::Complete => "Complete",
            Self::Fetch => "S3 GET",
            Self::Store => "S3 PUT",
        }
    }
}

/// Whose limit it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Of one account in one region.
    Account(AccountId, Region),
    /// Of one snapshot.
    Snapshot(SnapshotId),
}

/// Names a limiter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose limit.
    pub scope: Scope,
    /// On what.
    pub api: Api,
}

impl fmt::Display for Key {
    /// `Get per snapshot`, `Put per account eu-west-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Account(_, region) => write!(f, "{} per account {region}", self.api.name()),
            Scope::Snapshot(_) => write!(f, "{} per snapshot", self.api.name()),
        }
    }
}

/// Why a limiter holds the lanes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It stands at its quota.
    Quota,
    /// It was moved down by throttles of this level.
    Throttle(Level),
    /// The user's limit of bytes a second.
    Bandwidth,
}

/// A limiter that binds.
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    /// Why.
    pub cause: Cause,
    /// Which: `Get per snapshot`.
    pub name: String,
    /// What passed in the last seconds.
    pub used: PerSecond,
    /// Where it stands.
    pub limit: PerSecond,
    /// Its quota.
    pub cap: PerSecond,
}

impl Hold {
    /// By the user's limit of bytes a second, in words.
    #[must_use]
    pub const fn bandwidth(name: String) -> Self {
        let none = PerSecond(0.0);
        Self { cause: Cause::Bandwidth, name, used: none, limit: none, cap: none }
    }
}

/// One token bucket.
#[derive(Debug)]
pub struct Limiter {
    key: Key,
    core: Mutex<Core>,
    /// Lanes pass one by one, in the order in which they came.
    line: tokio::sync::Mutex<()>,
    changed: Notify,
    waiting: AtomicU32,
    /// Counts the beginnings and ends of waits for a token: odd while somebody sleeps for one. Tells a lane that
    /// stood in line because of the limit from one that merely met another at the door.
    naps: AtomicU64,
}

impl Limiter {
    /// A limiter at its quota.
    #[must_use]
    pub fn new(key: Key, cap: PerSecond) -> Self {
        Self {
            key,
            core: Mutex::new(Core::new(cap, Instant::now())),
            line: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            waiting: AtomicU32::new(0),
            naps: AtomicU64::new(0),
        }
    }

    /// Waits until one more request may be sent. First come, first served; follows every change of the limit
    /// at once; cancelling the wait costs nothing.
    pub async fn acquire(&self) {
        let _count = Counted::new(&self.waiting);
        let naps = self.naps.load(Ordering::Relaxed);
        let _turn = self.line.lock().await;
        let mut waited = naps % 2 == 1 || self.naps.load(Ordering::Relaxed) != naps;
        loop {
            let changed = self.changed.notified();
            let taken = self.core().take(Instant::now(), 1.0, waited);
            let Err(wait) = taken else { return };
            waited = true;
            let _nap = Nap::new(&self.naps);
            tokio::select! {
                () = sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    /// A request that passed here was answered, whatever the answer, other than by a throttle.
    pub fn succeeded(&self) {
        self.core().succeeded(Instant::now());
    }

    /// A request that passed here was throttled at this limiter's level. The change, when it moved.
    pub fn throttled(&self, level: Level) -> Option<Change> {
        let change = self.core().throttled(Instant::now(), level);
        if change.is_some() {
            self.changed.notify_one();
        }
        change
    }

    /// Sets the quota (Service Quotas answered, or it was raised).
    pub fn set_cap(&self, cap: PerSecond) {
        self.core().set_cap(cap, Instant::now());
        self.changed.notify_one();
    }

    /// What binds the lanes, when it is this limiter: at least half of the last second's requests had to wait.
    pub fn hold(&self) -> Option<Hold> {
        let now = Instant::now();
        let mut core = self.core();
        let cause = core.hold(now)?;
        Some(Hold { cause, name: self.key.to_string(), used: core.used(now), limit: core.limit(), cap: core.cap() })
    }

    /// How many requests wait here now.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Its name.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// For `Status`.
    pub fn status(&self) -> RateStatus {
        let now = Instant::now();
        let mut core = self.core();
        RateStatus {
            name: self.key.to_string(),
            limit: core.limit().0,
            cap: core.cap().0,
            used: core.used(now).0,
            why: core.last().map_or_else(|| "at its quota, never throttled".to_owned(), |change| change.text(now)),
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}
impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One wait in a line, also when it is given up: counts its beginning and its end, so that the count is odd meanwhile.
#[derive(Debug)]
pub(super) struct Nap<'a>(&'a AtomicU64);

impl<'a> Nap<'a> {
    pub(super) fn new(naps: &'a AtomicU64) -> Self {
        naps.fetch_add(1, Ordering::Relaxed);
        Self(naps)
    }
}
impl Drop for Nap<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// All limiters of an engine: jobs that read one snapshot, or share an account, share its limiter.
#[derive(Debug, Default)]
pub struct Limiters(Mutex<HashMap<Key, Arc<Limiter>>>);

impl Limiters {
    /// The limiter of that name, made with `cap` when it is new. Those of snapshots that nobody uses any more
    /// are forgotten; those of accounts stay, because what was learnt about a quota holds for the next job.
    pub fn get(&self, key: Key, cap: PerSecond) -> Arc<Limiter> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|key, limiter| matches!(key.scope, Scope::Account(..)) || Arc::strong_count(limiter) > 1);
        Arc::clone(all.entry(key.clone()).or_insert_with(|| Arc::new(Limiter::new(key, cap))))
    }
}

/// The limiters that one kind of request of one job passes: its snapshot's, if it has one, and its account's.
#[derive(Debug, Clone)]
pub struct Pace {
    snapshot: Option<Arc<Limiter>>,
    account: Arc<Limiter>,
}

impl Pace {
    /// Of these limiters.
    #[must_use]
    pub const fn new(snapshot: Option<Arc<Limiter>>, account: Arc<Limiter>) -> Self {
        Self { snapshot, account }
    }

    /// Waits until one more request may be sent under both.
    pub async fn acquire(&self) {
        if let Some(snapshot) = &self.snapshot {
            snapshot.acquire().await;
        }
        self.account.acquire().await;
    }

    /// The request was answered, other than by a throttle.
    pub fn succeeded(&self) {
        for limiter in self.limiters() {
            limiter.succeeded();
        }
    }

    /// The request was throttled: moves the limiter of that level (the account's for KMS behind it, and where
    /// there is no snapshot).
    pub fn throttled(&self, level: Level) -> Option<Change> {
        match (&self.snapshot, level) {
            (Some(snapshot), Level::Snapshot) => snapshot.throttled(level),
            _ => self.account.throttled(level),
        }
    }

    /// The one that binds, if one does.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        self.limiters().find_map(|limiter| limiter.hold())
    }

    /// Both, for `Status`.
    pub fn limiters(&self) -> impl Iterator<Item = &Arc<Limiter>> {
        self.snapshot.iter().chain(std::iter::once(&self.account))
    }
}
