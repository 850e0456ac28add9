//! Archives that come before their snapshots are deleted: the engine's own jobs, done and read back.
//!
//! Which jobs belong to a plan is written in their grants, so a run after a crash or a stop finds them again: what is
//! done is proved, what was interrupted or paused goes on. Whoever stops the run has its jobs paused, and nothing is
//! deleted any more, not even what is archived already.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{Outcome, Run, Told};
use crate::engine::protocol::{Answer, Command, JobState, JobStatus};
use crate::engine::{self, Client};
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::ids::JobId;
use crate::plan::Plan;
use crate::plan::removal::{Rejudge, Would};
use crate::store::StateDir;
use crate::store::audit::Event;
use crate::units::{Blocks, Quantity, Rate};

/// The jobs that make the archives of a plan, as the engine tells of them.
#[derive(Debug, Clone, Default)]
pub struct Archiving(pub Vec<JobStatus>);

impl Archiving {
    /// How many are made and proved.
    #[must_use]
    pub fn proved(&self) -> usize {
        self.0.iter().filter(|job| job.state == JobState::Done).count()
    }

    /// Blocks that are in their archives, of all of them: at most until the last list ended.
    #[must_use]
    pub fn blocks(&self) -> (Blocks, Quantity<Blocks>) {
        let none = Quantity::exact(Blocks::default());
        self.0.iter().fold((Blocks::default(), none), |(done, all), job| {
            let part = job.blocks_total;
            (
                Blocks(done.0 + job.blocks_done.0),
                Quantity { value: Blocks(all.value.0 + part.value.0), sure: all.sure.and(part.sure) },
            )
        })
    }

    /// Hundredths that are done; never all of them while one is not proved.
    #[must_use]
    pub fn percent(&self) -> u64 {
        let (done, all) = self.blocks();
        let percent = done.0.saturating_mul(100).checked_div(all.value.0).unwrap_or(0);
        if self.proved() < self.0.len() { percent.min(99) } else { 100 }
    }

    /// What is read a second, all of them.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.0.iter().map(|job| job.rate).sum()
    }

    /// Seconds left, at least and at most; none while one that is still to come cannot say. They run side by side.
    #[must_use]
    pub fn left(&self) -> Option<(f64, f64)> {
        let open = self.0.iter().filter(|job| !job.state.is_over());
        open.map(|job| job.left_seconds)
            .try_fold((0.0_f64, 0.0_f64), |(low, high), one| one.map(|(a, b)| (low.max(a), high.max(b))))
    }
}

/// What became of the archive of one snapshot.
enum Archived {
    /// It is proved: the snapshot may go.
    Proved,
    /// The run was stopped; what there is of it, in words.
    Stopped(String),
    /// There is none.
    Failed(Error),
}

impl Archived {
    fn of(job: Option<&JobStatus>, stopped: bool) -> Self {
        match job {
            Some(job) if job.state == JobState::Done && stopped => Self::Stopped(format!(
                "its archive is made and proved (job {}); the same plan goes on from there",
                job.job
            )),
            Some(job) if job.state == JobState::Done => Self::Proved,
            Some(job) if job.state == JobState::Paused && stopped => Self::Stopped(format!(
                "its archive is kept at {} of {} blocks (job {}, paused); the same plan goes on with it",
                job.blocks_done, job.blocks_total.value, job.job
            )),
            Some(job) => {
                let why = job.error.as_ref().map_or_else(|| job.why.clone(), |error| error.what.clone());
                Self::Failed(Error::failed(format!("its archive is not proved, so it stays: job {} {why}", job.job)))
            }
            None if stopped => Self::Stopped("its archive was not begun".to_owned()),
            None => Self::Failed(Error::failed("no archive of it was made, so it stays")),
        }
    }
}

impl<J: Rejudge, T: FnMut(&Told)> Run<'_, J, T> {
    /// Has every archive of the plan made; what has none afterwards is not deleted.
    pub(super) async fn archives(&mut self) {
        let Some(copy) = &self.plan.archive else { return };
        let told = &mut self.told;
        let made = match &self.remover.engine {
            Some(engine) => {
                let stop = &self.remover.stop;
                make(engine, &self.remover.state, copy, self.grant, stop, |jobs| told(&Told::Archiving(jobs))).await
            }
            None => Err(Error::failed("there is no engine to make the archives")),
        };
        let stopped = self.stopped();
        for at in 0..self.plan.items.len() {
            let item = &self.plan.items[at];
            if item.would != Would::ArchiveThenDelete {
                continue;
            }
            let archived = match &made {
                Ok(jobs) => Archived::of(jobs.get(item.target.id()), stopped),
                Err(error) => Archived::Failed(error.clone().during("the archives were not made, so it stays")),
            };
            // The log may be what is broken; then the next line that must be there ends the run.
            match archived {
                Archived::Proved => {}
                Archived::Stopped(text) => {
                    let _ = self.audit.append(&self.entry(Event::Skipped, item, "", format!("stopped: {text}")));
                    self.end(at, Outcome::NotTried { note: Some(text) });
                }
                Archived::Failed(why) => {
                    let _ = self.audit.append(&self.entry(Event::Failed, item, "", "").because(&why));
                    self.end(at, Outcome::failed(why.what.clone(), &why));
                }
            }
        }
    }
}

/// Starts, goes on with or finds the jobs of the copy, and waits until all of them rest. By snapshot.
async fn make(
    engine: &Client,
    state: &StateDir,
    copy: &Plan,
    grant: &Grant,
    stop: &CancellationToken,
    told: impl FnMut(Archiving),
) -> Result<BTreeMap<String, JobStatus>> {
    if stop.is_cancelled() {
        return Ok(BTreeMap::new());
    }
    let hash = copy.hash()?;
    let mut jobs: Vec<(JobId, String)> = Vec::new();
    for job in engine::jobs(state)? {
        let Ok(spec) = engine::spec(state, job.job) else { continue };
        if spec.grant.plan_hash == hash
            && job.state != JobState::Cancelled
            && let Some(id) = spec.item().ok().and_then(|item| item.source.kind.snapshot().map(ToString::to_string))
        {
            jobs.push((job.job, id));
            if job.state != JobState::Done {
                engine.send(Command::Resume(job.job)).await?;
            }
        }
    }
    if jobs.is_empty() {
        let who = format!("{} (archives of plan {})", grant.who, grant.short_hash());
        let own = copy.grant(who, grant.when)?;
        let sources = copy.items.iter().filter_map(|item| item.source.kind.snapshot().map(ToString::to_string));
        match engine.send(Command::Run { plan: Box::new(copy.clone()), grant: own }).await? {
            Answer::Jobs(made) => jobs.extend(made.into_iter().zip(sources)),
            other => return Err(Error::failed(format!("the engine answered {other:?} to a plan"))),
        }
    }
    let mut ended = rested(engine, &jobs, stop, told).await?;
    Ok(jobs.into_iter().filter_map(|(job, snapshot)| Some((snapshot, ended.remove(&job)?))).collect())
}

/// Waits until all of these rest. A stop pauses them, so that they rest soon and can go on.
async fn rested(
    engine: &Client,
    jobs: &[(JobId, String)],
    stop: &CancellationToken,
    mut tell: impl FnMut(Archiving),
) -> Result<BTreeMap<JobId, JobStatus>> {
    let rests = |state: JobState| !state.is_active() && state != JobState::Queued;
    let mut status = engine.status();
    let mut told = false;
    loop {
        let picture = status.borrow_and_update().clone();
        let ours: Vec<&JobStatus> =
            picture.jobs.iter().filter(|job| jobs.iter().any(|(id, _)| *id == job.job)).collect();
        tell(Archiving(ours.iter().map(|job| (*job).clone()).collect()));
        if ours.len() == jobs.len() && ours.iter().all(|job| rests(job.state)) {
            return Ok(ours.into_iter().map(|job| (job.job, job.clone())).collect());
        }
        tokio::select! {
            changed = status.changed() => changed.map_err(|_| {
                Error::stopped("the engine ended while it made the archives")
                    .todo("carry the same plan out again: it goes on")
            })?,
            () = stop.cancelled(), if !told => {
                told = true;
                for (job, _) in jobs {
                    // One that has just ended says that it does not run; whether it is done is seen above.
                    if let Err(error) = engine.send(Command::Pause(*job)).await {
                        tracing::debug!(%error, %job, "an archive was not paused");
                    }
                }
            }
        }
    }
}
