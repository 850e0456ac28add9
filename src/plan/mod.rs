//! What would happen: facts read from AWS, memory, cost, time, checks. Nothing is changed.
//!
//! [`make`] reads facts and builds a [`Plan`]; [`Plan::reweighed`] is pure and recomputes the figures while a
//! user turns lanes or budget, with the very functions ([`choices`]) that the engine's run is set by.

mod accept;
mod advice;
mod alternatives;
mod archives;
pub mod choices;
pub mod compare;
pub mod copied;
pub mod count;
mod delta;
pub mod devices;
mod encryption;
mod facts;
mod files;
pub mod frees;
pub mod globs;
mod images;
mod layout;
mod machine;
mod make;
mod model;
mod monthly;
mod native;
mod objects;
mod onto;
pub mod pace;
pub mod parts;
mod peer;
mod pins;
mod preview;
pub mod prices;
mod quotas;
pub mod removal;
mod weigh;

pub use accept::Knobs;
pub use alternatives::{clock, span};
pub use archives::{bucket_session, kept};
pub use choices::Load;
pub use facts::route;
pub use images::NEVER_REBUILT;
pub use layout::{Layout, RECORDS_HEAD, RECORDS_PART, RECORDS_UPLOAD, SIDE_BY_SIDE, ZEROS_WORTH};
pub use machine::{DEFAULT_BUDGET, Host, Machine, RunsIn};
pub use make::{elsewhere, make};
pub use model::{
    Alternative, ArchiveLayer, Basis, Charge, Choices, CostEstimate, CostPart, DestinationKind, DestinationPlan, Facts,
    Finding, Fit, InPlace, ItemPlan, JobTime, KnownDelta, Level, MemoryEstimate, MemoryPart, OmitZeros, Operation,
    Options, Pace, Parent, Plan, QuotaFact, SourceKind, SourcePlan, Strategy, TimeEstimate, TimePart, Verify, When,
};
pub use monthly::monthly;
pub use preview::preview;
pub use prices::{Api, Prices};
pub use quotas::{codes as quota_codes, of_region as region_quotas};
pub use weigh::{
    DESTINATION, LEDGER_CACHE, PLACE_BYTES, Records, connections_weight, frames_weight, gathered, item_weight, least,
    load, moved, records, unpacked, warmed,
};
