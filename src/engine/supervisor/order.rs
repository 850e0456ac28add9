//! Jobs that need what another one makes: each waits for the one before it, and does not begin when that one stopped.

use super::Supervisor;
use crate::engine::blocks::lock;
use crate::engine::journal::Record;
use crate::engine::protocol::JobState;
use crate::engine::spec::JobDir;
use crate::engine::status;
use crate::ids::JobId;

/// How far the job before is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Before {
    /// What it makes is there.
    Done,
    /// It runs, or is queued.
    Coming,
    /// It rests, and nobody knows whether it goes on.
    Stopped(&'static str),
}

impl Supervisor {
    pub(super) fn before(&self, job: JobId) -> Before {
        let known = {
            let jobs = lock(&self.shelf.jobs);
            jobs.get(&job).map(|shelved| (shelved.live.is_some(), shelved.row.state))
        };
        let state = match known {
            Some((true, _)) => return Before::Coming,
            Some((false, state)) => state,
            // One that was over long ago is not kept in memory.
            None => {
                let dir = JobDir(self.state.job(job));
                match dir.spec().and_then(|spec| status::resting(&spec, &dir)) {
                    Ok(row) => row.state,
                    Err(_) => return Before::Stopped("forgotten"),
                }
            }
        };
        match state {
            JobState::Done => Before::Done,
            JobState::Queued | JobState::Waiting if self.is_queued(job) => Before::Coming,
            other => Before::Stopped(other.word()),
        }
    }

    /// Puts a job down that cannot begin: it can be resumed once the one before it is done.
    pub(super) fn hold_back(&mut self, job: JobId, before: JobId, word: &str) {
        let why = format!("job {before} before it is {word}");
        if let Some(shelved) = lock(&self.shelf.jobs).get_mut(&job) {
            if let Err(error) = shelved.note(Record::State { to: JobState::Paused, why: why.clone() }) {
                tracing::warn!(%error, %job, "it could not be written down that it rests");
            }
            (shelved.row.state, shelved.row.why) = (JobState::Paused, why);
        }
        self.dirty = true;
    }
}
