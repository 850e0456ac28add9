//! Job directories: `jobs/<id>/{job.json, lock, ledger, events.ndjson}`, made whole or not at all.
//!
//! Invariants: a number is never used twice in one state directory, not even after its job was forgotten; a
//! directory is run by the one engine that holds its lock; `job.json` never changes once it is written.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::journal::{self, Journal, Record};
use super::ledger;
use crate::aws::{Settings, WorldId};
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::ids::JobId;
use crate::plan::choices::RUNNING_MOST;
use crate::plan::{Charge, ItemPlan, Plan};
use crate::store::copies::Copies;
use crate::store::routes::Routes;
use crate::store::{StateDir, atomic};
use crate::units::{Blocks, Usd};

/// Version of `job.json`.
const VERSION: u32 = 1;

/// What `job.json` holds: all that a resume needs, and no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Format version: 1.
    pub version: u32,
    /// Its number.
    pub job: JobId,
    /// Unique in any state directory: what ClientTokens begin with.
    pub unique: String,
    /// The number of the group's first job, and how many there are.
    pub group: Option<(JobId, u32)>,
    /// When it was made.
    pub created: Timestamp,
    /// The plan, with this job's item only.
    pub plan: Plan,
    /// What its acceptance allows.
    pub grant: Grant,
    /// This item's share of the whole plan's cost.
    pub share: f64,
    /// The world it was made in, for an engine of its own process; `None` in a sandbox.
    #[serde(default)]
    pub settings: Option<Settings>,
    /// Of a chain: the job that makes the parents of this one's results.
    #[serde(default)]
    pub after: Option<JobId>,
    /// Whether an engine of its own process took it on: then the next one goes on with it unasked.
    #[serde(default)]
    pub background: bool,
}

impl Spec {
    /// The one item.
    ///
    /// # Errors
    /// The plan has none.
    pub fn item(&self) -> Result<&ItemPlan> {
        self.plan.items.first().ok_or_else(|| Error::failed(format!("job {} has an empty plan", self.job)))
    }

    /// Blocks that will be read, as planned.
    #[must_use]
    pub fn blocks(&self) -> Blocks {
        self.plan.items.first().map_or(Blocks::ZERO, |item| item.source.blocks.value)
    }

    /// What the plan says that it costs once.
    #[must_use]
    pub fn cost(&self) -> Usd {
        Usd(self.plan.cost.once.value.0 * self.share)
    }

    /// Requests of the data plane that the plan counts on: listed, got and put.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are small and positive")]
    pub fn requests(&self) -> u64 {
        let counted = [Charge::List, Charge::Get, Charge::Put, Charge::Fetch, Charge::Store];
        let parts = self.plan.cost.parts.iter().filter(|part| counted.contains(&part.charge));
        parts.map(|part| part.quantity).sum::<f64>().ceil() as u64
    }

    /// Refuses another world than the one that the plan was made in.
    ///
    /// # Errors
    /// Names both.
    pub fn must_be_in(&self, world: &WorldId) -> Result<()> {
        let name = WorldId::text;
        if self.plan.world == *world {
            return Ok(());
        }
        Err(Error::refused(format!("job {} belongs to {}, this is {}", self.job, name(&self.plan.world), name(world)))
            .todo("resume it with the same --endpoint-url, --sandbox and profile that it was made with"))
    }
}

/// Where the files of a job are.
#[derive(Debug, Clone)]
pub(super) struct JobDir(pub PathBuf);

impl JobDir {
    pub(super) fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }
    pub(super) fn events(&self) -> PathBuf {
        self.0.join("events.ndjson")
    }
    /// Where the blocks of an archive are, for one destination.
    pub(super) fn places(&self, dest: usize) -> PathBuf {
        self.0.join(format!("places-{dest}"))
    }
    /// What S3 has of an object, for one destination.
    pub(super) fn parts(&self, dest: usize) -> PathBuf {
        self.0.join(format!("parts-{dest}"))
    }
    /// What failed of the objects below a prefix, for one destination: a line each.
    pub(super) fn failures(&self, dest: usize) -> PathBuf {
        self.0.join(format!("failed-{dest}.ndjson"))
    }
    pub(super) fn job(&self) -> PathBuf {
        self.0.join("job.json")
    }

    /// The directory of another job beside it.
    pub(super) fn beside(&self, job: JobId) -> Self {
        Self(self.0.with_file_name(job.to_string()))
    }
    /// What floe knows of copies, in the state directory that this is in.
    pub(super) fn copies(&self) -> Copies {
        Copies::at(self.state())
    }

    /// What jobs took before, in the same state directory.
    pub(super) fn routes(&self) -> Routes {
        Routes::at(self.state())
    }

    fn state(&self) -> &Path {
        self.0.parent().and_then(Path::parent).unwrap_or(Path::new("."))
    }

    /// Takes the job's lock; it is held as long as the file lives.
    pub(super) fn lock(&self) -> Result<File> {
        let path = self.0.join("lock");
        let failed = |e: &std::io::Error| Error::io(format!("could not lock {}", path.display()), e);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| failed(&e))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(Error::refused(format!("{} is being run by another engine", self.0.display())))
            }
            Err(TryLockError::Error(e)) => Err(failed(&e)),
        }
    }

    /// Whether an engine runs it now.
    pub(super) fn is_running(&self) -> bool {
        let Ok(file) = File::open(self.0.join("lock")) else { return false };
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    }

    pub(super) fn spec(&self) -> Result<Spec> {
        let path = self.job();
        let text = fs::read(&path).map_err(|e| Error::io(format!("could not read {}", path.display()), &e))?;
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let cause = match serde_json::from_slice::<Spec>(&text) {
            Ok(spec) if spec.version == VERSION => return Ok(spec),
            Ok(_) => None,
            Err(cause) => Some(cause),
        };
        let broken = |e: serde_json::Error| Error::failed(format!("{} is damaged: {e}", path.display()));
        match (serde_json::from_slice::<Versioned>(&text), cause) {
            (Ok(Versioned { version: VERSION }) | Err(_), Some(cause)) => Err(broken(cause)),
            (Ok(Versioned { version }), _) => {
                Err(Error::failed(format!("{} has version {version}, this floe reads {VERSION}", path.display()))
                    .todo("use the version of floe that wrote it"))
            }
            (Err(cause), None) => Err(broken(cause)),
        }
    }
}

/// Makes the directories of all jobs of a plan: whole, with their journals begun.
pub(super) fn create(
    state: &StateDir,
    plan: &Plan,
    grant: &Grant,
    settings: Option<&Settings>,
    background: bool,
) -> Result<Vec<Spec>> {
    let count = u32::try_from(plan.items.len()).unwrap_or(u32::MAX);
    let first = reserve(state, count).map_err(begun_nothing)?;
    let whole: u64 = plan.items.iter().map(|item| item.source.blocks.value.0).sum();
    let mut specs: Vec<Spec> = Vec::with_capacity(plan.items.len());
    for (nth, item) in (0..count).zip(&plan.items) {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = if whole == 0 { 1.0 / f64::from(count) } else { item.source.blocks.value.0 as f64 / whole as f64 };
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let spec = Spec {
            version: VERSION,
            job: JobId(first + nth),
            unique: unique[..16].to_owned(),
            group: (count > 1).then_some((JobId(first), count)),
            created: crate::wall::now(),
            plan: plan.of_item(usize::try_from(nth).unwrap_or(usize::MAX)),
            grant: grant.clone(),
            share,
            settings: settings.map(Settings::without_secrets),
            after: (plan.operation.options.chain && nth > 0).then(|| JobId(first + nth - 1)),
            background,
        };
        if let Err(error) = write(state, &spec) {
            // All of a plan or nothing: the first half of one would be taken for jobs that were interrupted.
            for made in &specs {
                let _ = forget(&JobDir(state.job(made.job)));
            }
            return Err(begun_nothing(error));
        }
        specs.push(spec);
    }
    Ok(specs)
}

fn begun_nothing(error: Error) -> Error {
    match error.is_full_disk() {
        true => error.todo("free some space, then start it again: nothing was begun"),
        false => error,
    }
}

fn write(state: &StateDir, spec: &Spec) -> Result<()> {
    let dir = JobDir(state.job(spec.job));
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&dir.0)
        .map_err(|e| Error::io(format!("could not make {}", dir.0.display()), &e))?;
    fill(&dir, spec).inspect_err(|_| drop(fs::remove_dir_all(&dir.0)))
}

/// The journal of a new job, and its `job.json`.
fn fill(dir: &JobDir, spec: &Spec) -> Result<()> {
    let mut journal = Journal::create(&dir.events(), journal::LIMIT)?;
    let destinations = u16::try_from(spec.item()?.destinations.len()).unwrap_or(u16::MAX);
    let created = Record::Created { job: spec.job, plan_hash: spec.grant.plan_hash.clone(), destinations };
    journal.append_sync(spec.created, created)?;
    // Last, because a directory without it is no job.
    let text = serde_json::to_vec_pretty(spec).map_err(|e| Error::failed(format!("could not write a job: {e}")))?;
    atomic::write(&dir.job(), &text)?;
    atomic::sync_dir(dir.0.parent().unwrap_or(Path::new(".")))
}

/// Takes `count` numbers that were never used.
fn reserve(state: &StateDir, count: u32) -> Result<u32> {
    let root = state.jobs()?;
    let path = root.join("last");
    let remembered = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0u32);
    let highest = fs::read_dir(&root)
        .map_err(|e| Error::io(format!("could not list {}", root.display()), &e))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .max()
        .unwrap_or(0u32);
    let last = remembered.max(highest);
    atomic::write(&path, (last + count).to_string().as_bytes())?;
    Ok(last + 1)
}

/// Removes a job's directory: `job.json` first, so that half of it is no job.
pub(super) fn forget(dir: &JobDir) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(format!("could not remove {}", dir.0.display()), &e);
    fs::remove_file(dir.job()).map_err(failed)?;
    fs::remove_dir_all(&dir.0).map_err(failed)
}

/// Opens what an earlier run left of the ledger, or makes it.
pub(super) fn open_ledger(dir: &JobDir, spec: &Spec, header: ledger::Header) -> Result<ledger::Ledger> {
    let path = dir.ledger();
    let together = spec.group.map_or(1, |(_, count)| usize::try_from(count).unwrap_or(RUNNING_MOST).min(RUNNING_MOST));
    let cache = ledger::most(header.destinations.len(), together);
    if !path.exists() {
        return ledger::Ledger::create(&path, header, cache);
    }
    let ledger = ledger::Ledger::open(&path, cache)?;
    ledger.header().must_equal(&header)?;
    Ok(ledger)
}
