//! What would happen: facts read from AWS, memory, cost, time, checks. Nothing is changed.
//!
//! [`make`] reads facts and builds a [`Plan`]; [`Plan::reweighed`] is pure and recomputes the figures while a
//! user turns lanes or budget, with the very functions ([`choices`]) that the engine's run is set by.

mod accept;
mod alternatives;
mod archives;
pub mod choices;
pub mod compare;
pub mod count;
mod delta;
pub mod devices;
mod files;
mod machine;
mod make;
mod model;
mod native;
mod objects;
mod onto;
mod prices;
mod weigh;

pub use accept::Knobs;
pub use alternatives::{clock, span};
pub use archives::{archive_whole, bucket_session};
pub use machine::{DEFAULT_BUDGET, Machine, RunsIn};
pub use make::{elsewhere, make};
pub use model::{
    Alternative, ArchiveLayer, Basis, Choices, CostEstimate, CostPart, DestinationKind, DestinationPlan, Finding, Fit,
    InPlace, ItemPlan, Level, MemoryEstimate, MemoryPart, OmitZeros, Operation, Options, Pace, Parent, Plan,
    SourceKind, SourcePlan, Strategy, TimeEstimate, Verify,
};
pub use prices::{Api, Prices};
pub use weigh::{Records, frames_weight, item_weight, records};
