//! A plan: what an operation would do, as plain, hashable, serialisable data.
//!
//! The plan that is shown is the plan that runs: the engine takes a [`Plan`] by value and decides nothing
//! again. Every figure says how sure it is.

mod destination;
mod facts;
mod figures;
mod options;
mod source;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use destination::{Basis, DestinationKind, DestinationPlan, InPlace, ItemPlan, Parent};
pub use facts::{Facts, KnownDelta, QuotaFact};
pub use figures::{
    Alternative, Charge, Choices, CostEstimate, CostPart, Finding, Fit, JobTime, Level, MemoryEstimate, MemoryPart,
    TimeEstimate, TimePart, When,
};
pub use options::{OmitZeros, Operation, Options, Pace, Strategy, Verify};
pub use source::{ArchiveLayer, SourceKind, SourcePlan};

use crate::aws::WorldId;
use crate::plan::prices::Prices;
use crate::units::Bytes;

/// What an operation would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Format version: 1.
    pub version: u32,
    /// When it was made.
    pub made: Timestamp,
    /// The world it was made in.
    pub world: WorldId,
    /// What was asked for, with every address in full.
    pub operation: Operation,
    /// One item per source.
    pub items: Vec<ItemPlan>,
    /// How it will run.
    pub choices: Choices,
    /// Memory at the peak.
    pub memory: MemoryEstimate,
    /// Money.
    pub cost: CostEstimate,
    /// Time.
    pub time: TimeEstimate,
    /// Other ways.
    pub alternatives: Vec<Alternative>,
    /// What was checked.
    pub findings: Vec<Finding>,
    /// What was learnt beside the items.
    #[serde(default)]
    pub facts: Facts,
}

impl Plan {
    /// The prices that it calculates with, now and while its jobs run.
    #[must_use]
    pub fn prices(&self) -> Cow<'static, Prices> {
        Prices::with(self.facts.live.as_ref())
    }

    /// What of the budget each of its jobs may use.
    #[must_use]
    pub fn share(&self) -> Bytes {
        self.operation.options.share(self.choices.budget)
    }
}
