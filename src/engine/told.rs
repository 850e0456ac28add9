//! What `on_event` is told of a job: one place for every front, so that a script sees the same words from all.

use std::collections::BTreeMap;

use super::protocol::{JobState, JobStatus};
use crate::ids::JobId;
use crate::store::hook::{Event, VERSION};

/// Tells each state that a job comes into once.
#[derive(Debug, Default)]
pub struct Told {
    seen: BTreeMap<JobId, JobState>,
}

impl Told {
    /// The events of jobs that are in another state than when they were seen last.
    pub fn fresh(&mut self, jobs: &[JobStatus], at: jiff::Timestamp) -> Vec<Event> {
        jobs.iter()
            .filter(|job| self.seen.insert(job.job, job.state) != Some(job.state))
            .filter_map(|job| event(job, at))
            .collect()
    }
}

/// The event of a job that came into its state just now; none for states that nobody waits for.
#[must_use]
pub fn event(job: &JobStatus, at: jiff::Timestamp) -> Option<Event> {
    let event = match job.state {
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Partial => "partial",
        JobState::Waiting => "waiting",
        _ => return None,
    };
    Some(Event {
        version: VERSION,
        event,
        job: job.job,
        source: job.source.clone(),
        destinations: job.destinations.iter().map(|to| to.address.clone()).collect(),
        blocks_done: job.blocks_done.0,
        blocks_total: job.blocks_total.value.0,
        spent_usd: job.spent.0,
        error: job.error.as_ref().map(|error| error.what.clone()),
        at,
    })
}
