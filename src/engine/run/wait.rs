//! When a run cannot go on now: what it waits for, how long, and what wakes it.
//!
//! Invariants: a job that waits holds no memory; the user's word ends every wait; fresh credentials end it at once.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Control, Ended, Run};
use crate::engine::blocks::lock;
use crate::engine::hub::Hub;
use crate::engine::journal::{Journal, Record};
use crate::engine::protocol::{JobState, LeftOvers, Tone};
use crate::engine::setup;
use crate::engine::spec::{JobDir, Spec};
use crate::engine::stall::cause_of;
use crate::engine::transfer::Halt;
use crate::engine::worlds::Worlds;
use crate::error::{Class, Error, Result};

/// The two ends of a job; without credentials, or without an answer, it waits for them. `Err` is how it ended
/// instead.
pub(super) async fn ends(
    spec: &Arc<Spec>,
    worlds: &Worlds,
    dir: &JobDir,
    hub: &Hub,
    journal: &mut Journal,
    mut control: watch::Receiver<Control>,
) -> Result<Result<setup::Ends, Ended>> {
    let mut fresh = worlds.fresh();
    let mut pause = WAIT_FIRST;
    let most = spec.plan.operation.options.wait_timeout_seconds.map(Duration::from_secs);
    let since = Instant::now();
    loop {
        fresh.mark_unchanged();
        let opened = async { setup::ends(spec, &worlds.of(spec)?, dir).await };
        let error = match opened.await {
            Ok(ends) => return Ok(Ok(ends)),
            // Nothing of this run has begun: it begins again when there is room.
            Err(error) if error.is_full_disk() && told(&control).is_none() => return Err(error),
            Err(error) => error,
        };
        let waits =
            matches!(error.class, Class::Credentials | Class::Transient | Class::Congestion | Class::Throttled(_));
        let (state, why) = match told(&control) {
            Some(Halt::Cancel(LeftOvers::CleanUp)) => (JobState::Failed, "could not be cleaned up".to_owned()),
            Some(halt) => (resting(&halt).0, resting(&halt).1.to_owned()),
            None if waits && most.is_some_and(|most| since.elapsed() >= most) => (JobState::Paused, WAITED.to_owned()),
            None if waits => (JobState::Waiting, waits_for(&error)),
            None => (JobState::Failed, "failed".to_owned()),
        };
        hub.set_state(state, why.clone(), Some(error.clone()));
        let record = match state {
            // Without its two ends a run stops resumable, and says why.
            JobState::Failed => Record::Result { state, error: Some(error.clone()) },
            to => Record::State { to, why },
        };
        journal.append_sync(crate::wall::now(), record)?;
        if state != JobState::Waiting {
            return Ok(Err(Ended::In(state)));
        }
        hub.say("credentials", format!("waiting: {error}"), Tone::Warning);
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(WAIT_MOST),
            _ = fresh.changed() => {}
            _ = control.changed() => {}
        }
    }
}

/// The state and the words in which a run rests when it was told to stop.
pub(super) const fn resting(halt: &Halt) -> (JobState, &'static str) {
    match halt {
        Halt::Stop => (JobState::Interrupted, "the engine was stopped"),
        Halt::Cancel(_) => (JobState::Paused, "cancelled, kept"),
        _ => (JobState::Paused, "paused"),
    }
}

/// The why-column of a job that waits.
pub(super) fn waits_for(error: &Error) -> String {
    cause_of(error).1
}

impl Run {
    /// Gives the memory back and waits; the user's word ends the wait (the next attempt obeys it), and so do
    /// credentials that came since `fresh` was marked.
    pub(super) async fn wait_a_while(
        &self,
        error: Error,
        pause: Duration,
        fresh: &mut watch::Receiver<u64>,
    ) -> Result<()> {
        let why = waits_for(&error);
        self.job.hub.say(why.clone(), format!("waiting: {error}; tried again in {} s", pause.as_secs()), Tone::Warning);
        self.job.budget.set_active(false);
        self.job.keep_buffers(0);
        self.job.hub.set_state(JobState::Waiting, why.clone(), Some(error));
        self.save().await?;
        but_full(self.job.keeper.journal(Record::State { to: JobState::Waiting, why }).await)?;
        let slept: Result<(), Halt> = self
            .until_told(async {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = fresh.changed() => {}
                }
                Ok(())
            })
            .await;
        drop(slept);
        // What the keeper said while it waited is asked again, not waited for a second time.
        let mut halt = lock(&self.job.halt);
        if matches!(*halt, Some(Halt::Wait(_))) {
            *halt = None;
        }
        drop(halt);
        self.job.budget.set_active(true);
        Ok(())
    }
}

/// Why a job rests whose `--wait-timeout` has passed: nothing of it is deleted.
pub(in crate::engine) const WAITED: &str = "waited as long as it may";
/// A first wait, doubled with each one that brought nothing …
pub(super) const WAIT_FIRST: Duration = Duration::from_secs(2);
/// … up to this.
pub(super) const WAIT_MOST: Duration = Duration::from_secs(60);

pub(super) fn told(control: &watch::Receiver<Control>) -> Option<Halt> {
    match *control.borrow() {
        Control::Go => None,
        Control::Pause => Some(Halt::Pause),
        Control::Stop => Some(Halt::Stop),
        Control::Cancel(left_overs) => Some(Halt::Cancel(left_overs)),
    }
}

/// A quota of things in AWS, not a full disk here: others must end first.
pub(super) fn is_pending_quota(error: &Error) -> bool {
    error.class == Class::Quota && error.aws.is_some()
}

/// A full disk ends no run: what could not be saved is found again by the next one.
pub(in crate::engine) fn but_full(saved: Result<()>) -> Result<()> {
    match saved {
        Err(error) if error.is_full_disk() => {
            tracing::warn!(%error, "not saved");
            Ok(())
        }
        saved => saved,
    }
}
