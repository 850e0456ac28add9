//! The picture that fronts draw, made a few times a second while anything runs.
//!
//! Invariant: rows and totals of one picture come from one look, so its sums add up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Supervisor;
use crate::engine::blocks::lock;
use crate::engine::protocol::{BudgetStatus, JobState, JobStatus, MachineStatus, Said, Status, Turned};
use crate::engine::status;
use crate::units::{Blocks, Bytes, Rate};

impl Supervisor {
    /// Who turned what of this job last, what holds for all jobs included; newest first.
    fn turned_for(&self, row: &JobStatus) -> Vec<Turned> {
        if row.state.is_over() {
            return Vec::new();
        }
        self.turned.iter().rev().filter(|turned| turned.job.is_none_or(|job| job == row.job)).cloned().collect()
    }

    /// What was said of the process with all jobs that run in it, when these are several; or the most that was said of
    /// those that ran before, where that was more: what they held does not all go back to the system.
    fn said(&mut self, limit: Bytes) -> Option<Bytes> {
        let said = {
            let jobs = lock(&self.shelf.jobs);
            let running = jobs.values().filter(|shelved| shelved.live.is_some());
            Said::of(running.map(|shelved| &shelved.row.predicted), limit)?
        };
        self.machine.said_most = self.machine.said_most.max(said.total());
        (said.jobs > 1 || self.machine.said_most > said.total()).then_some(self.machine.said_most)
    }

    pub(super) fn publish(&mut self) {
        let now = Instant::now();
        let busy = !self.running.is_empty();
        if self.sampled.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1))
            && (busy || self.dirty)
        {
            self.machine = MachineStatus { said_most: self.machine.said_most, ..self.process.sample() };
            self.sampled = Some(now);
        }
        if !busy && !self.dirty {
            return;
        }
        self.dirty = busy; // one more picture after the last job ended
        self.share_lanes();
        let usage = self.budget.usage();
        let mut rows = Vec::new();
        let said = self.said(usage.limit);
        for (job, shelved) in lock(&self.shelf.jobs).iter() {
            let mut row = match (&shelved.hub, &shelved.live, &shelved.spec) {
                (Some(hub), Some(live), Some(spec)) => {
                    hub.sampled_rss(self.machine.rss, said);
                    hub.look(&live.caller);
                    let resumed = Blocks(live.resumed.load(Ordering::Relaxed));
                    let mut row = status::live(spec, hub, &live.caller, resumed, usage.of(*job));
                    if live.again && row.state.is_resumable() {
                        // It has come to rest only to go on: no front is to take that for its end.
                        (row.state, row.why) = (JobState::Queued, "goes on".to_owned());
                    }
                    row
                }
                _ => shelved.row.clone(),
            };
            if shelved.live.is_none() {
                // What a job that has just ended still holds is seen where it is.
                status::holds(&mut row, &usage.of(*job));
            }
            row.turned = self.turned_for(&row);
            rows.push(row);
        }
        let rate: Rate = rows.iter().map(|row| row.rate).sum();
        self.rate_history.push(rate.0, now);
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        self.budget_history.push(usage.used.0 as f64, now);
        let last = Arc::clone(&self.pictures.borrow());
        let parts = usage.parts.iter().filter(|(_, held)| held.0 > 0);
        self.pictures.send_replace(Arc::new(Status {
            revision: last.revision + 1,
            at: crate::wall::now(),
            engine_started: last.engine_started,
            in_process: last.in_process,
            rate,
            rate_history: self.rate_history.values(),
            budget: BudgetStatus {
                used: usage.used,
                limit: usage.limit,
                floor: usage.floor,
                parts: parts.map(|(part, held)| (part.name().to_owned(), *held)).collect(),
                history: self.budget_history.values(),
            },
            machine: self.machine.clone(),
            bandwidth: self.throttle.setting(),
            turned: self.turned.last().cloned(),
            jobs: rows,
            detail: None,
        }));
    }
}
