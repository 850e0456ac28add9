//! What if: the things that can be turned while a plan is open, and what each turn changes.
//!
//! The figures come from the plan's own arithmetic; this file only steps the values and puts the difference
//! into one sentence, which also says what did *not* change and why.

use super::command::{pace_word, verify_word};
use crate::plan::{DestinationKind, Knobs, Machine, Pace, Plan, Verify, clock};
use crate::units::{Bytes, Usd};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Knob {
    /// Lanes at most.
    #[default]
    Lanes,
    /// The engine's budget.
    Budget,
    /// How hard to push.
    Pace,
    /// How far the copy is proved.
    Verify,
    /// Bytes a second.
    Bandwidth,
    /// Storage class of what goes to S3.
    Class,
}

/// Classes that can be read back at once; what has to be restored for hours first is asked for by its flag.
const CLASSES: [&str; 4] = ["STANDARD", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR"];
/// The least limit that the knob offers, a second, and the most: above it a snapshot's quota binds.
const RATES: (Bytes, Bytes) = (Bytes::mib(16), Bytes::mib(1024));

const PACES: [Pace; 4] = [Pace::Conservative, Pace::CostEfficient, Pace::Balanced, Pace::Aggressive];
const PROOFS: [Verify; 4] = [Verify::None, Verify::Listing, Verify::Checksum, Verify::Full];
/// The least budget that the knob offers; below it only a typed `--memory` goes.
const LEAST_BUDGET: Bytes = Bytes::mib(16);

impl Knob {
    /// Those that there are to turn on this plan, in the order they are shown.
    #[must_use]
    pub fn of(plan: &Plan) -> Vec<Self> {
        let mut all = vec![Self::Lanes, Self::Budget, Self::Pace, Self::Verify, Self::Bandwidth];
        let to_s3 =
            |kind: &DestinationKind| matches!(kind, DestinationKind::Archive { .. } | DestinationKind::Object { .. });
        if plan.items.iter().flat_map(|item| &item.destinations).any(|to| to_s3(&to.kind)) {
            all.push(Self::Class);
        }
        all
    }

    /// The one to the right (or to the left), round and round.
    #[must_use]
    pub fn step(self, plan: &Plan, forward: bool) -> Self {
        let all = Self::of(plan);
        let at = all.iter().position(|knob| *knob == self).unwrap_or(0);
        let by = if forward { 1 } else { all.len() - 1 };
        all[(at + by) % all.len()]
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lanes => "lanes",
            Self::Budget => "budget",
            Self::Pace => "pace",
            Self::Verify => "verify",
            Self::Bandwidth => "bandwidth",
            Self::Class => "class",
        }
    }

    /// Its value on a plan, as it is shown.
    #[must_use]
    pub fn value(self, plan: &Plan) -> String {
        match self {
            Self::Lanes => {
                let auto = if plan.operation.options.concurrency.is_none() { " auto" } else { "" };
                format!("{}{auto}", plan.choices.lanes_max)
            }
            Self::Budget => plan.choices.budget.to_string(),
            Self::Pace => pace_word(plan.operation.options.pace).to_owned(),
            Self::Verify => verify_word(plan.operation.options.verify).to_owned(),
            Self::Bandwidth => match &plan.operation.options.bandwidth {
                Some(limit) if !limit.is_unlimited() => limit.to_string(),
                _ => "unlimited".to_owned(),
            },
            Self::Class => plan.operation.options.storage_class.clone().unwrap_or_else(|| CLASSES[0].to_owned()),
        }
    }

    /// The knobs after one turn; at the end of the scale they stay.
    #[must_use]
    pub fn turned(self, made: &Plan, knobs: Knobs, up: bool) -> Knobs {
        let now = weighed(made, knobs);
        let options = &now.operation.options;
        let mut out = knobs;
        match self {
            Self::Lanes => {
                let lanes = now.choices.lanes_max;
                let next = if up { lanes.saturating_mul(2).min(1024) } else { (lanes / 2).max(1) };
                out.concurrency = Some(next);
            }
            Self::Budget => {
                let budget = now.choices.budget;
                let most = Bytes(made.memory.limit.0 / 2).max(budget);
                let next = if up { Bytes(budget.0.saturating_mul(2)).min(most) } else { Bytes(budget.0 / 2) };
                out.budget = Some(next.max(LEAST_BUDGET.min(budget)));
            }
            Self::Pace => out.pace = Some(step(&PACES, options.pace, up)),
            Self::Verify => out.verify = Some(step(&PROOFS, options.verify, up)),
            // Down from no limit is the most that limits anything, and up from there is no limit again.
            Self::Bandwidth => {
                let now = options.bandwidth.as_ref().and_then(crate::bandwidth::Bandwidth::least);
                out.bandwidth = Some(match (now, up) {
                    (None, true) => None,
                    (None, false) => Some(RATES.1),
                    (Some(rate), true) => Some(Bytes(rate.0.saturating_mul(2))).filter(|rate| *rate <= RATES.1),
                    (Some(rate), false) => Some(Bytes(rate.0 / 2).max(RATES.0.min(rate))),
                });
            }
            Self::Class => {
                let now = options.storage_class.as_deref().unwrap_or(CLASSES[0]);
                let at = CLASSES.iter().position(|class| *class == now).unwrap_or(0);
                out.class = Some(step(&CLASSES, CLASSES[at], up));
            }
        }
        out
    }
}

/// The class of a plan, where the knob has it.
pub(super) fn class_of(options: &crate::plan::Options) -> Option<&'static str> {
    CLASSES.into_iter().find(|class| options.storage_class.as_deref() == Some(*class))
}

fn step<T: Copy + PartialEq>(all: &[T], now: T, up: bool) -> T {
    let at = all.iter().position(|v| *v == now).unwrap_or(0);
    let next = if up { (at + 1).min(all.len() - 1) } else { at.saturating_sub(1) };
    all[next]
}

/// The plan with these knobs, weighed for the machine it was made on.
#[must_use]
pub fn weighed(made: &Plan, knobs: Knobs) -> Plan {
    if knobs == Knobs::default() { made.clone() } else { made.reweighed(knobs, &machine_of(made)) }
}

/// The machine as far as the plan's figures depend on it: read back from the plan itself, so that this stays pure.
fn machine_of(plan: &Plan) -> Machine {
    let limit = plan.memory.limit;
    let cgroup = (plan.memory.limit_name == "cgroup").then_some(limit);
    Machine {
        memory: limit,
        available: limit,
        cgroup,
        cores: 1,
        runs_in: plan.facts.runs_in.clone(),
        budget: Some(plan.choices.budget),
        copies: None,
        host: plan.facts.host.clone(),
        prices: None,
        routes: None,
    }
}

/// `109 MiB, same money, + 12 m (128 lanes at an assumed 100 ms)`.
#[must_use]
pub fn difference(before: &Plan, after: &Plan) -> String {
    let memory = if before.memory.total == after.memory.total {
        "same memory".to_owned()
    } else {
        format!("{} at the peak", mib(after.memory.total))
    };
    let dollars = after.cost.once.value.0 - before.cost.once.value.0;
    let money = if dollars.abs() < 0.005 {
        "same money".to_owned()
    } else {
        format!("{} {}", sign(dollars), Usd(dollars.abs()))
    };
    let seconds = after.time.low_seconds - before.time.low_seconds;
    let time = if seconds.abs() < 1.0 {
        format!("same time: {} binds", binding(&after.time.bound_by))
    } else {
        format!("{} {} ({})", sign(seconds), clock(seconds.abs()), after.time.bound_by)
    };
    let refused =
        if after.refusal().is_some() && before.refusal().is_none() { " · then it would be refused" } else { "" };
    format!("{memory}, {money}, {time}{refused}")
}

const fn sign(value: f64) -> char {
    if value < 0.0 { '−' } else { '+' }
}

/// What binds, without its figures: `Put/s per snapshot`.
pub fn binding(bound_by: &str) -> &str {
    bound_by.split(',').next().unwrap_or(bound_by)
}

/// Whole MiB: what the memory table counts in.
#[must_use]
pub fn mib(bytes: Bytes) -> String {
    format!("{:.0} MiB", bytes.as_mib())
}
