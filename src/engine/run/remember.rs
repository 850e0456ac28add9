//! What a completed destination holds now, written down for the deltas that come later.

use super::Run;
use crate::engine::protocol::{Lanes, Tone};
use crate::error::Result;
use crate::plan::{Basis, DestinationKind, Strategy, Verify, route};
use crate::store::copies::{Copied, Held, Holds, Spot, Witness};
use crate::units::Blocks;

impl Run {
    /// Whether a delta was written onto what nobody has proved to be its first snapshot.
    pub(super) fn base_is_claimed(&self, dest: usize) -> bool {
        let plan = self.spec.plan.items.first().and_then(|item| item.destinations.get(dest));
        let basis = plan.and_then(|plan| match &plan.kind {
            DestinationKind::File { onto, .. } => onto.as_ref().map(|onto| onto.basis),
            DestinationKind::Snapshot { on, .. } => on.as_ref().and_then(|parent| parent.basis),
            _ => None,
        });
        basis == Some(Basis::Forced)
    }

    /// Keeps the record. Without it a later delta has to be proved another way, so it costs no copy its success.
    pub(super) fn remember(&self, dest: usize) {
        if let Err(error) = self.keep_record(dest) {
            let text = format!("floe could not write down what it holds: {error}");
            self.job.hub.say(self.job.sinks[dest].address(), text, Tone::Warning);
        }
    }

    /// Writes down what the whole job took, for the estimates of those that go the same way later. A job that was
    /// interrupted says nothing about one that is not.
    pub(super) fn remember_route(&self) {
        let Ok(item) = self.spec.item() else { return };
        if self.resumed > Blocks::ZERO || !item.is_read() || self.spec.plan.operation.options.bandwidth.is_some() {
            return;
        }
        let options = &self.spec.plan.operation.options;
        let held_back = options.concurrency.is_some() || self.job.hub.lanes().setting != Lanes::Auto;
        // What runs beside others of its group has its part of what the route bears.
        let alone = self.spec.group.is_none() || options.chain;
        let whole = !held_back && alone && options.verify != Verify::Full;
        let route = route(item, &self.spec.plan.facts.runs_in.text());
        if let Err(error) = self.routes.keep(&route, self.job.hub.past(whole)) {
            tracing::warn!(%error, "what the job took could not be written down");
        }
    }

    fn keep_record(&self, dest: usize) -> Result<()> {
        let source = &self.spec.item()?.source;
        let Some(region) = source.region.clone() else { return Ok(()) };
        let by_aws = self.spec.item()?.destinations.get(dest).is_some_and(|to| to.strategy == Strategy::Native);
        let (job, unique) = (self.spec.job, self.spec.unique.clone());
        let witness = if by_aws { Witness::Service { job, unique } } else { Witness::Copied { job, unique } };
        let world = self.spec.plan.world.text();
        let sink = &self.job.sinks[dest];
        if let (Some(id), Some(spot)) = (source.kind.snapshot().cloned(), sink.spot()?) {
            let held = Held { region: region.clone(), id };
            let holds = if self.base_is_claimed(dest) { Holds::Claimed(held) } else { Holds::Proved(held) };
            self.copies.keep(&Copied::new(world.clone(), spot, holds, witness.clone()))?;
        }
        for (id, copy) in sink.copied() {
            let holds = Holds::Proved(Held { region: region.clone(), id });
            self.copies.keep(&Copied::new(world.clone(), Spot::Snapshot(copy), holds, witness.clone()))?;
        }
        Ok(())
    }
}
