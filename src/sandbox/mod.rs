//! The sandbox: an embedded AWS on loopback that real clients speak real HTTP to.
//!
//! It is strict where AWS is strict: it refuses what AWS refuses, pages as AWS pages, and fails on request. Region
//! and account come from the credential scope of each request's signature, so one address serves them all. It
//! imports nothing of the rest but plain values, and the rest knows it only as an endpoint and a list of profiles.
//!
//! `serve` → one connection → `dispatch` (signature, faults, statistics) → `ebs`, `ec2`, `s3`, `sts`, `iam`, `kms`, `quotas`, `bin`.

mod bin;
pub mod body;
pub mod content;
mod costs;
pub mod disk;
mod dispatch;
pub mod ebs;
pub mod ec2;
pub mod faults;
mod iam;
mod imds;
mod join;
mod journal;
mod kms;
pub mod model;
mod pool;
mod pricing;
pub mod quotas;
mod row;
pub mod s3;
pub mod scenario;
mod serve;
mod sigv4;
pub mod stats;
pub mod store;
pub mod sts;
pub mod synth;
pub mod wire;
mod xml;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};
use crate::ids::{AccountId, ImageId, Profile, Region, SnapshotId};
use content::Content;
use faults::{Faults, Misfortune};
use journal::{Change, Journal, Saved};
use model::{InBin, Model, Snapshot, SnapshotState};
use stats::Counters;
use store::Keep;

pub use join::{Endpoint, join_or_serve};
pub use serve::{Running, serve, serve_sandbox, serve_tls};

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes any.
    pub listen: SocketAddr,
    /// The scenario's file; the default scenario when absent.
    pub scenario: Option<PathBuf>,
    /// Where what is written to it is kept.
    pub keep: Keep,
    /// What goes wrong, and the rules that AWS leaves open.
    pub faults: Faults,
}

impl Default for Options {
    /// The default scenario on any free port of the loopback, in memory, without faults.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            scenario: None,
            keep: Keep::Memory,
            faults: Faults::default(),
        }
    }
}

/// What a client needs in place of a profile of `~/.aws`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileKeys {
    /// The profile.
    pub name: Profile,
    /// Its key.
    pub access_key_id: String,
    /// Its secret. The sandbox's own, worth nothing elsewhere.
    pub secret: String,
    /// The session token of temporary credentials.
    pub session_token: Option<String>,
    /// The account that the key signs for.
    pub account: AccountId,
    /// The profile's region.
    pub region: Region,
}

/// The profiles of the scenario, by account; the first is the one that counts where none is named.
///
/// # Errors
/// The scenario cannot be read.
pub fn profiles(options: &Options) -> Result<Vec<ProfileKeys>> {
    Ok(keys_of(&scenario::load(options.scenario.as_deref())?))
}

fn keys_of(model: &Model) -> Vec<ProfileKeys> {
    model
        .accounts
        .values()
        .filter_map(|account| {
            let key = account.keys.first()?;
            Some(ProfileKeys {
                name: account.profile.clone()?,
                access_key_id: key.id.clone(),
                secret: key.secret.clone(),
                session_token: key.session.as_ref().map(|session| session.token.clone()),
                account: account.id.clone(),
                region: account.home.clone(),
            })
        })
        .collect()
}

/// Who asks, as the signature says.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account of the key.
    pub account: AccountId,
    /// The region of the credential scope.
    pub region: Region,
    /// The key that signed.
    pub access_key: String,
    /// What every answer carries.
    pub request_id: String,
}

#[cfg(test)]
impl Caller {
    /// Somebody of this account who asks there; its request is `id-1`.
    fn of(account: &str, region: &str) -> Self {
        Self {
            account: account.parse().unwrap(),
            region: region.parse().unwrap(),
            access_key: String::new(),
            request_id: "id-1".to_owned(),
        }
    }
}

/// When a snapshot is to be looked at again, and which.
type Due = (i64, AccountId, Region, SnapshotId);

/// The embedded AWS.
#[derive(Debug)]
pub struct Sandbox {
    /// Dropped first: blocks that go because the sandbox goes keep their files.
    alive: Arc<()>,
    s3: s3::store::Store,
    model: RwLock<Model>,
    keep: Keep,
    journal: Mutex<Journal>,
    misfortune: Mutex<Misfortune>,
    counters: Counters,
    verifier: sigv4::Verifier,
    /// How often the tokens of a snapshot were renewed.
    generations: Mutex<HashMap<String, u32>>,
    due: Mutex<BTreeSet<Due>>,
    next_due: AtomicI64,
    clock_ms: AtomicI64,
    advance_ms: AtomicI64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sandbox {
    /// The sandbox of a scenario, with what earlier runs wrote.
    ///
    /// # Errors
    /// The scenario or the journal of earlier runs cannot be read.
    pub fn new(options: &Options) -> Result<Self> {
        Self::with_model(options, scenario::load(options.scenario.as_deref())?)
    }

    /// The same with a model of the caller's own.
    ///
    /// # Errors
    /// The journal of earlier runs cannot be read.
    pub fn with_model(options: &Options, mut model: Model) -> Result<Self> {
        let alive = Arc::new(());
        let seeded = s3::seed::buckets(&model.buckets);
        let (keep, journal, s3) = match &options.keep {
            Keep::Memory => (Keep::Memory, Journal::none(), s3::store::Store::in_memory(seeded)),
            Keep::Disk(dir) => {
                let broken =
                    |cause| Error::io(format!("could not read the sandbox's state in {}", dir.display()), &cause);
                let keep = Keep::Disk(dir.join("blocks"));
                let journal = Journal::open(dir, &mut model, &keep, &alive).map_err(broken)?;
                (keep, journal, s3::store::Store::open(&dir.join("s3"), seeded).map_err(broken)?)
            }
        };
        let sandbox = Self {
            alive,
            s3,
            model: RwLock::new(model),
            keep,
            journal: Mutex::new(journal),
            misfortune: Mutex::default(),
            counters: Counters::default(),
            verifier: sigv4::Verifier::default(),
            generations: Mutex::default(),
            due: Mutex::default(),
            next_due: AtomicI64::new(i64::MAX),
            clock_ms: AtomicI64::new(0),
            advance_ms: AtomicI64::new(0),
        };
        sandbox.set_faults(options.faults.clone());
        sandbox.watch_all();
        Ok(sandbox)
    }

    /// The model, to be read. Hold it for the making of one answer, never over an await.
    pub fn model(&self) -> RwLockReadGuard<'_, Model> {
        self.model.read().unwrap_or_else(PoisonError::into_inner)
    }
    /// The model, to be changed; what must outlive the process is then saved with one of the `save_` calls.
    pub fn model_mut(&self) -> RwLockWriteGuard<'_, Model> {
        self.model.write().unwrap_or_else(PoisonError::into_inner)
    }
    /// The profiles of the scenario, by account; the first is the one that counts where none is named.
    #[must_use]
    pub fn profiles(&self) -> Vec<ProfileKeys> {
        keys_of(&self.model())
    }
    /// The counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The sandbox's own time: states, expiries and ids are made with it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        shifted(self.clock(), self.advance_ms.load(Ordering::Relaxed))
    }
    /// The time that signatures are held against.
    fn clock(&self) -> Timestamp {
        shifted(Timestamp::now(), self.clock_ms.load(Ordering::Relaxed))
    }

    /// Puts other faults in force.
    pub fn set_faults(&self, faults: Faults) {
        self.clock_ms.store(faults.clock_ms, Ordering::Relaxed);
        self.advance_ms.store(faults.advance_ms, Ordering::Relaxed);
        lock(&self.misfortune).replace(faults);
    }
    /// Looks at the faults in force.
    pub fn with_faults<T>(&self, look: impl FnOnce(&Faults) -> T) -> T {
        look(&lock(&self.misfortune).faults)
    }

    /// The generation of a snapshot's block tokens; `renew` voids those before.
    fn generation(&self, snapshot: &str, renew: bool) -> u32 {
        let mut generations = lock(&self.generations);
        if renew {
            let generation = generations.entry(snapshot.to_owned()).or_default();
            *generation = generation.wrapping_add(1);
            return *generation;
        }
        generations.get(snapshot).copied().unwrap_or(0)
    }

    /// What S3 holds.
    fn s3(&self) -> &s3::store::Store {
        &self.s3
    }

    fn keep(&self) -> Keep {
        self.keep.clone()
    }

    fn new_snapshot_id(&self, model: &Model) -> SnapshotId {
        loop {
            let taken = |id: &SnapshotId| {
                model.accounts.values().flat_map(|a| a.regions.values()).any(|r| r.snapshots.contains_key(id))
            };
            if let Ok(id) = format!("snap-0{:016x}", fastrand::u64(..)).parse()
                && !taken(&id)
            {
                return id;
            }
        }
    }

    /// Writes the present state of a snapshot to the journal (call without the model's lock).
    ///
    /// # Errors
    /// The journal could not be written; the request must then fail as an internal error.
    pub fn save_snapshot(&self, account: &AccountId, region: &Region, id: &SnapshotId) -> io::Result<()> {
        // The journal is locked first, so that two saves cannot be written in the other order than they were made.
        let mut journal = lock(&self.journal);
        let found = self.model().region(account, region).and_then(|r| r.snapshots.get(id).cloned());
        match found {
            Some(snapshot) => journal.append(account, region, snapshot_line(snapshot, false, None)),
            None => Ok(()),
        }
    }

    /// Removes a snapshot, for good and with its blocks as soon as no other snapshot lies on it.
    ///
    /// # Errors
    /// As [`Sandbox::save_snapshot`].
    pub fn remove_snapshot(&self, account: &AccountId, region: &Region, id: &SnapshotId) -> io::Result<()> {
        let mut journal = lock(&self.journal);
        let found = self
            .model()
            .region(account, region)
            .and_then(|r| r.snapshots.get(id).or_else(|| r.bin.get(id).map(|(_, snapshot)| snapshot)).cloned());
        let Some(snapshot) = found else { return Ok(()) };
        if let Content::Written(written) = &snapshot.content {
            written.seal();
            written.doom(&self.alive);
        }
        journal.append(account, region, snapshot_line(snapshot, true, None))?;
        if let Some(region) = self.model_mut().region_mut(account, region) {
            region.snapshots.remove(id);
            region.bin.remove(id);
        }
        Ok(())
    }

    /// Writes the present tags of a volume, image or instance to the journal.
    ///
    /// # Errors
    /// As [`Sandbox::save_snapshot`].
    pub fn save_tags(&self, account: &AccountId, region: &Region, resource: &str) -> io::Result<()> {
        let mut journal = lock(&self.journal);
        let tags = self.model().region(account, region).and_then(|region| {
            let volume = resource.parse().ok().and_then(|id| region.volumes.get(&id)).map(|v| &v.tags);
            let image = resource.parse().ok().and_then(|id| region.images.get(&id)).map(|i| &i.tags);
            let instance = resource.parse().ok().and_then(|id| region.instances.get(&id)).map(|i| &i.tags);
            volume.or(image).or(instance).cloned()
        });
        match tags {
            Some(tags) => journal.append(account, region, Change::Tags { resource: resource.to_owned(), tags }),
            None => Ok(()),
        }
    }

    /// Writes a new image to the journal.
    ///
    /// # Errors
    /// As [`Sandbox::save_snapshot`].
    pub fn save_image(&self, account: &AccountId, region: &Region, id: &ImageId) -> io::Result<()> {
        let mut journal = lock(&self.journal);
        let image = self.model().region(account, region).and_then(|r| r.images.get(id).cloned());
        image.map_or(Ok(()), |image| journal.append(account, region, Change::Image(Box::new(image))))
    }

    /// How long a copy takes, in milliseconds.
    fn copying_ms(&self) -> u64 {
        self.with_faults(|faults| faults.copying_ms)
    }

    /// Writes the present settings of an account in a region to the journal.
    ///
    /// # Errors
    /// As [`Sandbox::save_snapshot`].
    pub fn save_settings(&self, account: &AccountId, region: &Region) -> io::Result<()> {
        let mut journal = lock(&self.journal);
        let settings = self.model().region(account, region).map(|r| r.settings.clone());
        settings.map_or(Ok(()), |settings| journal.append(account, region, Change::Settings(settings)))
    }

    /// Sees to it that a pending snapshot is looked at when it settles or times out.
    fn watch(&self, account: &AccountId, region: &Region, id: &SnapshotId) {
        let at = self.model().region(account, region).and_then(|r| r.snapshots.get(id)).and_then(due);
        if let Some(at) = at {
            let mut all = lock(&self.due);
            all.insert((at, account.clone(), region.clone(), id.clone()));
            self.next_due.store(all.first().map_or(i64::MAX, |first| first.0), Ordering::Release);
        }
    }

    fn watch_all(&self) {
        let pending: Vec<_> = {
            let model = self.model();
            let regions = model.accounts.values().flat_map(|a| a.regions.values().map(move |r| (&a.id, r)));
            let of = |(account, region): (&AccountId, &model::RegionState)| {
                let pending = region.snapshots.values().filter(|s| s.state == SnapshotState::Pending);
                pending.map(|s| (account.clone(), region.name.clone(), s.id.clone())).collect::<Vec<_>>()
            };
            regions.flat_map(of).collect()
        };
        for (account, region, id) in pending {
            self.watch(&account, &region, &id);
        }
    }

    /// Brings pending snapshots to where the clock says they are. Called before every answer; costs one load.
    fn settle(&self) {
        let now = self.now().as_millisecond();
        while self.next_due.load(Ordering::Acquire) <= now {
            let next = {
                let mut all = lock(&self.due);
                let next = if all.first().is_some_and(|first| first.0 <= now) { all.pop_first() } else { None };
                self.next_due.store(all.first().map_or(i64::MAX, |first| first.0), Ordering::Release);
                next
            };
            let Some((_, account, region, id)) = next else { return };
            let changed = {
                let mut model = self.model_mut();
                let found = model.region_mut(&account, &region).and_then(|r| r.snapshots.get_mut(&id));
                found.is_some_and(|snapshot| advance(snapshot, now))
            };
            if !changed {
                self.watch(&account, &region, &id);
            } else if let Err(cause) = self.save_snapshot(&account, &region, &id) {
                tracing::error!(%id, %cause, "sandbox: the journal could not be written");
            }
        }
    }
}

fn shifted(at: Timestamp, ms: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(ms)).unwrap_or(at)
}

fn snapshot_line(snapshot: Snapshot, removed: bool, binned: Option<InBin>) -> Change {
    Change::Snapshot { content: Saved::of(&snapshot.content), snapshot: Box::new(snapshot), removed, binned }
}

/// When a pending snapshot changes by itself, in milliseconds.
fn due(snapshot: &Snapshot) -> Option<i64> {
    if let Some(copying) = snapshot.copying.as_ref().filter(|_| snapshot.state == SnapshotState::Pending) {
        return Some(copying.settles.as_millisecond());
    }
    let upload = snapshot.upload.as_ref().filter(|_| snapshot.state == SnapshotState::Pending)?;
    if let Some((at, _)) = &upload.settles {
        return Some(at.as_millisecond());
    }
    let written = match &snapshot.content {
        Content::Written(written) => written.last_write(),
        Content::Synthetic(_) => 0,
    };
    let since = snapshot.started.as_millisecond().max(written);
    Some(since.saturating_add(i64::from(upload.timeout_minutes) * 60_000))
}

/// Settles a snapshot, or lets it time out. Whether anything changed.
fn advance(snapshot: &mut Snapshot, now: i64) -> bool {
    if due(snapshot).is_none_or(|at| at > now) {
        return false;
    }
    let copied = snapshot.copying.take().map(|copying| (copying.settles, copying.into));
    match copied.or_else(|| snapshot.upload.as_mut().and_then(|upload| upload.settles.take())) {
        Some((at, state)) => {
            if state == SnapshotState::Completed {
                snapshot.completed = Some(at);
                snapshot.progress = 100;
            }
            snapshot.state = state;
        }
        None => {
            let why = "The snapshot timed out: no block was written, and it was not completed, within its timeout.";
            snapshot.state = SnapshotState::Error(why.to_owned());
        }
    }
    true
}
