//! Archives that come before their snapshots are deleted: the engine's own jobs, done and read back.
//!
//! Which jobs belong to a plan is written in their grants, so a run after a crash finds them again: what is done is
//! proved, what was interrupted goes on.

use std::collections::BTreeMap;

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

impl<J: Rejudge, T: FnMut(&Told)> Run<'_, J, T> {
    /// Has every archive of the plan made; what has none afterwards is not deleted.
    pub(super) async fn archives(&mut self) {
        let Some(copy) = &self.plan.archive else { return };
        let made = match &self.remover.engine {
            Some(engine) => make(engine, &self.remover.state, copy, self.grant).await,
            None => Err(Error::failed("there is no engine to make the archives")),
        };
        for at in 0..self.plan.items.len() {
            let item = &self.plan.items[at];
            if item.would != Would::ArchiveThenDelete {
                continue;
            }
            let why = match &made {
                Ok(jobs) => match jobs.get(item.target.id()) {
                    Some(job) if job.state == JobState::Done => continue,
                    Some(job) => {
                        let why = job.error.as_ref().map_or_else(|| job.why.clone(), |error| error.what.clone());
                        Error::failed(format!("its archive is not proved, so it stays: job {} {why}", job.job))
                    }
                    None => Error::failed("no archive of it was made, so it stays"),
                },
                Err(error) => error.clone().during("the archives were not made, so it stays"),
            };
            // The log may be what is broken; then the next line that must be there ends the run.
            let _ = self.audit.append(&self.entry(Event::Failed, item, "", "").because(&why));
            self.end(at, Outcome::failed(why.what.clone(), &why));
        }
    }
}

/// Starts, goes on with or finds the jobs of the copy, and waits until all of them rest. By snapshot.
async fn make(engine: &Client, state: &StateDir, copy: &Plan, grant: &Grant) -> Result<BTreeMap<String, JobStatus>> {
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
    let rests = |state: JobState| !state.is_active() && state != JobState::Queued;
    let mut status = engine.status();
    loop {
        let picture = status.borrow_and_update().clone();
        let ours: Vec<&JobStatus> =
            picture.jobs.iter().filter(|job| jobs.iter().any(|(id, _)| *id == job.job)).collect();
        if ours.len() == jobs.len() && ours.iter().all(|job| rests(job.state)) {
            let of = |job: &JobStatus| jobs.iter().find(|(id, _)| *id == job.job).map(|(_, snapshot)| snapshot.clone());
            return Ok(ours.into_iter().filter_map(|job| Some((of(job)?, job.clone()))).collect());
        }
        status.changed().await.map_err(|_| {
            Error::stopped("the engine ended while it made the archives")
                .todo("carry the same plan out again: it goes on")
        })?;
    }
}
