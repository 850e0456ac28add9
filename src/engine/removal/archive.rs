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
        let made = match &self.remover.engine {
            Some(engine) => make(engine, &self.remover.state, copy, self.grant, &self.remover.stop).await,
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
    let mut ended = rested(engine, &jobs, stop).await?;
    Ok(jobs.into_iter().filter_map(|(job, snapshot)| Some((snapshot, ended.remove(&job)?))).collect())
}

/// Waits until all of these rest. A stop pauses them, so that they rest soon and can go on.
async fn rested(
    engine: &Client,
    jobs: &[(JobId, String)],
    stop: &CancellationToken,
) -> Result<BTreeMap<JobId, JobStatus>> {
    let rests = |state: JobState| !state.is_active() && state != JobState::Queued;
    let mut status = engine.status();
    let mut told = false;
    loop {
        let picture = status.borrow_and_update().clone();
        let ours: Vec<&JobStatus> =
            picture.jobs.iter().filter(|job| jobs.iter().any(|(id, _)| *id == job.job)).collect();
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
