//! Accepting a plan: its hash, its refusal, and the grant that its acceptance gives.

use jiff::Timestamp;

use crate::bandwidth::Bandwidth;
use crate::error::{Error, Result};
use crate::grant::{Call, Grant};
use crate::plan::choices::{Quotas, choose, floor};
use crate::plan::layout::Layout;
use crate::plan::machine::Machine;
use crate::plan::model::{DestinationKind, DestinationPlan, ItemPlan, Level, Pace, Plan, SourceKind, Strategy, Verify};
use crate::plan::prices::Prices;
use crate::plan::weigh;
use crate::plan::{Finding, advice, alternatives};
use crate::units::{Blocks, Bytes};

/// What a user may turn while a plan is open; `None` leaves it as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Knobs {
    /// Lanes at most.
    pub concurrency: Option<u32>,
    /// The engine's budget.
    pub budget: Option<Bytes>,
    /// How hard to push.
    pub pace: Option<Pace>,
    /// How far the copy is proved.
    pub verify: Option<Verify>,
    /// Bytes a second, read plus written; `Some(None)` for no limit.
    pub bandwidth: Option<Option<Bytes>>,
    /// Storage class of what is written to S3.
    pub class: Option<&'static str>,
}

impl Plan {
    /// SHA-256 over the plan, in hex: what a grant names, so that exactly this plan runs.
    ///
    /// # Errors
    /// Never in practice: a plan is plain data.
    pub fn hash(&self) -> Result<String> {
        let json = serde_json::to_vec(self).map_err(|e| Error::failed(format!("the plan cannot be written: {e}")))?;
        Ok(crate::units::Digest::of(&json).hex())
    }

    /// Why it cannot run, when it cannot.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        self.findings.iter().find(|finding| finding.level == Level::Refused).map(|finding| {
            let error = Error::refused(finding.text.clone());
            match &finding.todo {
                Some(todo) => error.todo(todo.clone()),
                None => error,
            }
        })
    }

    /// Seconds that it takes beside its blocks, most likely: a running job adds them to what is left of those.
    #[must_use]
    pub fn seconds_aside(&self) -> f64 {
        weigh::seconds_aside(&self.time.beside)
    }

    /// What accepting it allows.
    ///
    /// # Errors
    /// The refusal, when it is refused.
    pub fn grant(&self, who: impl Into<String>, when: Timestamp) -> Result<Grant> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let destinations = || self.items.iter().flat_map(|item| &item.destinations);
        let makes_snapshot = |to: &DestinationPlan| matches!(to.kind, DestinationKind::Snapshot { .. });
        let mut accounts: Vec<_> = destinations().filter_map(|to| to.account.clone()).collect();
        accounts.sort();
        accounts.dedup();
        let roots = destinations().filter_map(|to| match &to.kind {
            DestinationKind::Archive { bucket, root, .. } => Some(format!("s3://{bucket}/{root}")),
            DestinationKind::Object { bucket, key, .. } => Some(format!("s3://{bucket}/{key}")),
            DestinationKind::Copied { bucket, key: root, .. }
            | DestinationKind::CopiedTree { bucket, prefix: root, .. } => Some(format!("s3://{bucket}/{root}")),
            _ => None,
        });
        let mut ids: Vec<String> = roots.collect();
        ids.dedup();
        let is_native = |to: &DestinationPlan| to.strategy == Strategy::Native && makes_snapshot(to);
        let makes_image = |to: &DestinationPlan| matches!(to.kind, DestinationKind::Image { .. });
        let mut calls = Vec::new();
        if destinations().any(|to| makes_snapshot(to) && !is_native(to)) {
            calls.extend([Call::StartSnapshot, Call::PutSnapshotBlock, Call::CompleteSnapshot]);
        }
        if destinations().any(is_native) {
            calls.push(Call::CopySnapshot);
        }
        if destinations().any(makes_image) {
            calls.extend([Call::CopyImage, Call::DeregisterImage]);
        }
        if destinations().any(|to| makes_snapshot(to) || makes_image(to)) {
            calls.extend([Call::CreateTags, Call::DeleteSnapshot]);
        }
        if !ids.is_empty() {
            calls.extend([Call::PutObject, Call::AbortMultipartUpload]);
        }
        let leaves_pieces =
            |to: &DestinationPlan| matches!(to.kind, DestinationKind::Archive { .. } | DestinationKind::Object { .. });
        if destinations().any(leaves_pieces) {
            calls.push(Call::DeleteObject);
        }
        if destinations().any(|to| to.kind.is_copied()) {
            calls.push(Call::PutObjectTagging);
        }
        Ok(Grant {
            plan_hash: self.hash()?,
            accounts,
            endpoint: self.world.endpoint.clone(),
            calls,
            ids,
            who: who.into(),
            when,
        })
    }

    /// The same plan with some knobs turned: the facts stay, the figures follow.
    #[must_use]
    pub fn reweighed(&self, knobs: Knobs, machine: &Machine) -> Self {
        let mut plan = self.clone();
        let options = &mut plan.operation.options;
        if let Some(lanes) = knobs.concurrency {
            options.concurrency = Some(lanes);
        }
        if let Some(pace) = knobs.pace {
            options.pace = pace;
        }
        if let Some(verify) = knobs.verify {
            options.verify = verify;
        }
        if let Some(rate) = knobs.bandwidth {
            options.bandwidth = rate.map(Bandwidth::always);
        }
        if let Some(class) = knobs.class {
            options.storage_class = Some(class.to_owned());
            for to in plan.items.iter_mut().flat_map(|item| &mut item.destinations) {
                if let DestinationKind::Archive { keep, .. } | DestinationKind::Object { keep, .. } = &mut to.kind {
                    keep.class = Some(class.to_owned());
                }
            }
        }
        let machine = Machine { budget: knobs.budget.or(Some(plan.choices.budget)), ..machine.clone() };
        plan.findings.retain(|finding| !is_weight(finding));
        plan.facts.runs_in.clone_from(&machine.runs_in);
        let prices = plan.prices();
        plan.weigh(&machine, &prices);
        plan
    }

    /// Computes every figure from the facts.
    pub(super) fn weigh(&mut self, machine: &Machine, prices: &Prices) {
        let budget = machine.budget();
        let known = &self.choices;
        let quotas = Quotas {
            get_account: Some(known.get_per_account),
            get_snapshot: Some(known.get_per_second),
            put_account: Some(known.put_per_account),
            put_snapshot: Some(known.put_per_second),
        };
        let volume: Blocks = self.items.iter().map(|item| item.source.volume.blocks()).max().unwrap_or_default();
        let load = weigh::load_of_all(&self.items, &self.operation.options);
        self.cut_objects(budget);
        self.choices = choose(volume, load, budget, &self.operation.options);
        let share = self.operation.options.share(budget);
        let lanes = self.choices.lanes_max;
        let options = &self.operation.options;
        let kept = self.items.iter().map(|item| weigh::kept(item, options, share, lanes)).max().unwrap_or_default();
        self.choices.keep(kept, load, share);
        if self.items.iter().any(|item| item.archives() > 0) {
            self.choices.for_archives(self.operation.options.pace);
        }
        let in_order =
            |item: &ItemPlan| weigh::gathered(item) > 0 || matches!(item.source.kind, SourceKind::Archive { .. });
        if self.items.iter().any(in_order) {
            self.choices.in_order();
        }
        if self.items.iter().all(ItemPlan::is_copied) {
            self.choices.for_copies(&self.operation.options);
        }
        self.choices.limit(quotas);
        self.memory = weigh::memory(&self.items, &self.operation.options, &self.choices, &weigh::Outer::of(machine));
        self.cost = weigh::cost(&self.items, &self.operation.options, &self.choices, &machine.runs_in, prices);
        self.time = weigh::time(&self.items, &self.operation.options, &self.choices, &self.facts);
        self.alternatives = alternatives::of(self, &machine.runs_in, prices);
        let least =
            self.items.iter().map(|item| floor(weigh::least(item, &self.operation.options))).max().unwrap_or_default();
        if share < least {
            self.findings.push(Finding {
                level: Level::Refused,
                text: format!("{WEIGHT}a budget of {share} is below the least that moves a block, {least}"),
                todo: Some(format!("--memory {}MiB or more", least.0.div_ceil(1024 * 1024))),
            });
        }
        let advice = advice::of(self, prices);
        self.findings.extend(advice);
        self.settle();
    }

    /// The plan of one of its items: what its job is given. What is said of its memory is what it takes alone, of its time
    /// what it takes beside the others.
    #[must_use]
    pub fn of_item(&self, nth: usize) -> Self {
        let mut own = Self { items: self.items.get(nth).cloned().into_iter().collect(), ..self.clone() };
        own.cost.parts.retain(|part| part.item == nth);
        if self.items.len() > 1 {
            let within = weigh::Outer { limit: self.memory.limit, name: &self.memory.limit_name };
            own.memory = weigh::memory(&own.items, &own.operation.options, &own.choices, &within);
            own.time =
                weigh::time_of_one(&self.time, nth, &own.items, &self.operation.options, &self.choices, &self.facts);
        }
        own
    }

    /// Cuts the objects that are written: their parts follow memory and pace.
    fn cut_objects(&mut self, budget: Bytes) {
        let options = &self.operation.options;
        let share = options.share(budget);
        for item in &mut self.items {
            let weight = weigh::whole_weight(item);
            for to in &mut item.destinations {
                if let DestinationKind::Object { layout, .. } = &mut to.kind {
                    *layout = Layout::of(layout.length, weight, share, options.pace);
                }
            }
        }
    }

    /// Rounds every figure to twelve significant digits: a plan goes through JSON to the engine and to disk, and
    /// its hash must be the same there. A reader of JSON gets up to fifteen digits exactly, not seventeen.
    fn settle(&mut self) {
        let settled = serde_json::to_value(&*self).and_then(|mut value| {
            round(&mut value);
            serde_json::from_value(value)
        });
        if let Ok(settled) = settled {
            *self = settled;
        }
    }
}

/// Rounds every figure of a document to twelve significant digits.
pub(in crate::plan) fn round(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Number(number) if number.is_f64() => {
            let rounded = number.as_f64().and_then(|figure| format!("{figure:.11e}").parse().ok());
            if let Some(rounded) = rounded.and_then(serde_json::Number::from_f64) {
                *number = rounded;
            }
        }
        serde_json::Value::Array(all) => all.iter_mut().for_each(round),
        serde_json::Value::Object(all) => all.values_mut().for_each(round),
        _ => {}
    }
}

/// What findings about the budget begin with.
const WEIGHT: &str = advice::TOPICS[0];

/// Whether it was made of figures, so that turning a knob makes it anew.
fn is_weight(finding: &Finding) -> bool {
    advice::TOPICS.iter().any(|topic| finding.text.starts_with(topic))
}
