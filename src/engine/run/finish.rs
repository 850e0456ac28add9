//! How a run ends: destinations are completed and proved, each alone; what failed is buried; the result is written down.

use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::wait::but_full;
use super::{Ended, Run};
use crate::engine::blocks::lock;
use crate::engine::crash::{self, Point};
use crate::engine::journal::{Record, Step};
use crate::engine::ledger::Linear;
use crate::engine::proof::{Proof, source_again};
use crate::engine::protocol::{DestinationState, Evidence, JobState, Tone};
use crate::engine::sink::{Opened, dies_at};
use crate::engine::transfer::{Halt, beating, halt_of};
use crate::error::{Error, Kind, Result};
use crate::plan::Verify;
use crate::units::{Blocks, Digest, counted};

impl Run {
    /// Completes and proves every destination that has all blocks; each fails alone.
    pub(super) async fn finish_all(&self, opened: &[(usize, Opened)]) -> Result<(), Halt> {
        let living = self.living();
        if living.is_empty() {
            return Ok(());
        }
        self.state(JobState::Completing, "").await?;
        // A resume that has nothing to write comes here without a pass.
        self.job.budget.set_active(true);
        beating(&self.job, self.finish_each(opened, &living)).await
    }

    async fn finish_each(&self, opened: &[(usize, Opened)], living: &[usize]) -> Result<(), Halt> {
        if self.resumed > Blocks::ZERO {
            self.recheck_source().await.map_err(halt_of)?;
        }
        let mut finishing: FuturesUnordered<_> = opened
            .iter()
            .filter(|(dest, _)| living.contains(dest))
            .map(|(dest, how)| async move { (*dest, self.finish(*dest, *how).await) })
            .collect();
        let mut waits = None;
        while let Some((dest, outcome)) = finishing.next().await {
            match outcome.map_err(halt_of) {
                Ok(()) => {}
                Err(Halt::Wait(error)) => waits = Some(error),
                Err(Halt::Fail(error)) => self.job.destination_failed(dest, error),
                Err(halt) => return Err(halt),
            }
        }
        waits.map_or(Ok(()), |error| Err(Halt::Wait(error)))
    }

    async fn finish(&self, dest: usize, how: Opened) -> Result<()> {
        let (sink, desk) = (&self.job.sinks[dest], self.desk(dest));
        // What its check reads in any case, from where an earlier run was, is not read twice.
        let is_checked_whole = how == Opened::Completing && desk.verify >= Verify::Checksum;
        if self.resumed > Blocks::ZERO && !is_checked_whole {
            sink.recheck(&desk).await?;
        }
        let written = self.job.keeper.linear(dest, sink.omits_zeros()).await?;
        let picture = self.job.keeper.picture().await?;
        let known = picture.destinations.get(dest);
        let stood = known.map(|known| known.failed_in.unwrap_or(known.state));
        if how == Opened::Completing {
            must_equal(known.and_then(|known| known.completing), &written, &sink.address())?;
        }
        if how == Opened::Ready || stood != Some(DestinationState::Checking) {
            sink.complete(&desk, &written).await?;
        }
        desk.step(Step::Checking).await?;
        crash::here(Point::Checking);
        self.job.hub.set_state(JobState::Verifying, "", None);
        let Proof { mut evidence, image } = sink.check(&desk, &written).await?;
        if let Some(change) = self.job.source.changed() {
            // Allowed, and labelled: what was read is not one state of the source.
            evidence = Evidence::Claimed;
            let text = format!("the source changed while it was copied ({change}): the result is only claimed");
            desk.say(sink.address(), text, Tone::Warning);
        }
        if self.base_is_claimed(dest) {
            evidence = Evidence::Claimed;
            let text = "what was there before is only claimed to be the delta's first snapshot, and so is the result";
            desk.say(sink.address(), text, Tone::Warning);
        }
        self.remember(dest);
        desk.step(Step::Completed { evidence, image }).await?;
        self.job.alive.fetch_and(!(1 << dest), Ordering::Relaxed);
        let how = match evidence {
            Evidence::Service => "checked by the service",
            Evidence::ReRead => "read back",
            Evidence::Claimed | Evidence::None => "written and synced",
        };
        let what = if sink.takes_blocks() { counted(written.blocks.0, "block") } else { "copied by AWS".to_owned() };
        desk.say(sink.address(), format!("completed: {what}, {how}"), Tone::Good);
        Ok(())
    }

    /// What can change under us was read in an earlier run: it has to be what it was.
    async fn recheck_source(&self) -> Result<()> {
        if !self.job.source.is_mutable() || self.spec.plan.operation.options.allow_changed {
            return Ok(());
        }
        match self.living().first() {
            Some(dest) => source_again(&self.desk(*dest), &self.job.source).await,
            None => Ok(()),
        }
    }

    /// Journals what failed; the keeper stops counting it.
    pub(super) async fn bury_the_failed(&self) -> Result<()> {
        let failed = std::mem::take(&mut *lock(&self.job.failed));
        for (dest, error) in failed {
            self.job.hub.say(self.job.sinks[dest].address(), error.to_string(), Tone::Bad);
            but_full(self.desk(dest).step(Step::Failed { error }).await)?;
        }
        Ok(())
    }

    pub(super) async fn clean_up(&self) -> Result<Ended> {
        let picture = self.job.keeper.picture().await?;
        let mut left = None;
        for dest in 0..self.job.sinks.len() {
            let known = picture.destinations.get(dest).cloned().unwrap_or_default();
            if known.state == DestinationState::Completed {
                continue;
            }
            if let Err(error) = self.job.sinks[dest].discard(&self.desk(dest), &known).await {
                self.job.hub.say(self.job.sinks[dest].address(), format!("could not be removed: {error}"), Tone::Bad);
                left = Some(error);
            }
        }
        self.result(JobState::Cancelled, left).await
    }

    /// Every destination completed or failed, or the source did.
    pub(super) async fn conclude(&self, error: Option<Error>) -> Result<Ended> {
        let picture = self.job.keeper.picture().await?;
        let completed = picture.destinations.iter().filter(|d| d.state == DestinationState::Completed).count();
        let first = picture.destinations.iter().find_map(|d| d.error.clone());
        let state = match completed {
            all if all == picture.destinations.len() => JobState::Done,
            0 if first.as_ref().is_some_and(|error| error.kind == Kind::Partial) => JobState::Partial,
            0 => JobState::Failed,
            _ => JobState::Partial,
        };
        let error = if state == JobState::Done { None } else { error.or(first) };
        self.result(state, error).await
    }

    async fn result(&self, state: JobState, error: Option<Error>) -> Result<Ended> {
        if let Err(error) = self.save().await {
            tracing::warn!(%error, "the last figures could not be saved");
        }
        but_full(self.job.keeper.journal(Record::State { to: state, why: state.word().to_owned() }).await)?;
        but_full(self.job.keeper.journal(Record::Result { state, error: error.clone() }).await)?;
        self.job.hub.finish(state, error);
        if state == JobState::Done {
            self.remember_route();
        }
        if state != JobState::Done && state != JobState::Cancelled && self.has_pending_snapshot() {
            self.job.hub.set_expires(dies_at(crate::wall::now()));
        }
        Ok(Ended::In(state))
    }
}

/// What a destination was told when its completion began is what the ledger has to say now: a ledger that was lost or
/// put in another's place proves nothing.
fn must_equal(told: Option<(Blocks, Option<Digest>)>, written: &Linear, address: &str) -> Result<()> {
    let Some((blocks, checksum)) = told else { return Ok(()) };
    if blocks == written.blocks && checksum.is_none_or(|checksum| checksum == written.checksum) {
        return Ok(());
    }
    let what = format!(
        "{address} was being completed with {blocks} blocks, and the ledger knows {} that may be others",
        written.blocks
    );
    Err(Error::failed(what).todo("do not trust this result: cancel the job and copy again"))
}
