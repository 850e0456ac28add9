//! Jobs whose own records find no room: a resume on a full disk, or an engine that was started on one.
//!
//! Nothing of such a job has begun. It waits as a running one does, says so on its row, and begins again when there is
//! room, when it is resumed by hand, or never when its `--wait-timeout` has passed.

use std::time::Duration;

use tokio::time::Instant;

use super::{Queued, Shelved, Supervisor};
use crate::engine::blocks::lock;
use crate::engine::journal::{self, Journal, Record};
use crate::engine::protocol::{Cause, JobState, Stall};
use crate::engine::run::{Control, WAITED};
use crate::error::{Error, Result};
use crate::ids::JobId;

/// It is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);
const WORD: &str = "disk full";

impl Supervisor {
    /// Lets a job wait for room, as long as it may.
    pub(super) fn wait_for_room(&mut self, job: JobId, control: Control, error: Error) {
        let now = Instant::now();
        if let Some(shelved) = lock(&self.shelf.jobs).get_mut(&job) {
            let since = *shelved.full_since.get_or_insert(now);
            let most = shelved.spec().ok().and_then(|spec| spec.plan.operation.options.wait_timeout_seconds);
            let over = most.is_some_and(|most| now - since >= Duration::from_secs(most));
            let (state, why) = match control {
                Control::Pause => (JobState::Paused, "paused"),
                Control::Stop => (JobState::Interrupted, "the engine was stopped"),
                Control::Go | Control::Cancel(_) if over => (JobState::Paused, WAITED),
                Control::Go | Control::Cancel(_) => (JobState::Waiting, WORD),
            };
            shelved.stand(state, why);
            if state == JobState::Waiting {
                let text = format!("waiting for room: {error}");
                let seconds = (now - since).as_secs_f64();
                shelved.row.stall = Some(Stall { cause: Cause::DiskFull, word: WORD.to_owned(), seconds, text });
                self.queue.push_back(Queued { job, not_before: Some(now + AGAIN), control });
            }
            shelved.row.error = Some(error);
        }
        self.dirty = true;
    }

    /// What waits for room when the engine ends rests where it stood; its files say already that it can be resumed.
    pub(super) fn no_longer_for_room(&mut self, state: JobState, why: &str) {
        for shelved in lock(&self.shelf.jobs).values_mut() {
            if shelved.live.is_none() && shelved.row.state == JobState::Waiting {
                shelved.stand(state, why);
            }
        }
    }
}

impl Shelved {
    /// Puts its row into a state.
    pub(super) fn stand(&mut self, state: JobState, why: &str) {
        (self.row.state, self.row.why) = (state, why.to_owned());
        self.row.stall = None;
    }

    /// Adds a line to the journal of a job that nobody runs.
    pub(super) fn note(&self, record: Record) -> Result<()> {
        Journal::open(&self.dir.events(), journal::LIMIT)?.append_sync(crate::wall::now(), record)
    }
}
