//! floe: see, weigh, move and clear Amazon EBS snapshots.
//!
//! Data flows down, one way; a room imports only rooms below it, and nothing imports a front:
//!
//! ```text
//!   cli/      tui/                 fronts: they parse, show and ask; they decide nothing about data
//!      \      /
//!      engine/                     makes it happen: jobs, segments, budget, pacing, ledger, telemetry
//!         |
//!       plan/                      what would happen: memory, cost, time, checks
//!         |
//!     inventory/                   what exists: rows, filters, the streamed and remembered lists
//!         |
//!       aws/     store/            aws: the only room that names an SDK crate; store: config, state, atomic files
//!         |        |
//!      address, archive, disk, ids, …    plain values, no I/O
//!
//!    sandbox/                      stands apart: an embedded AWS that speaks only HTTP to the rest
//! ```
//!
//! Fronts and the engine exchange messages only ([`engine::protocol`]); everything from `engine/` down
//! builds without a terminal library (`cargo check --lib --no-default-features`).

// What tests of this library share with those beside it names it as those do.
#[cfg(test)]
extern crate self as floe;

pub mod address;
pub mod age;
pub mod archive;
pub mod bandwidth;
pub mod disk;
pub mod error;
pub mod grant;
pub mod ids;
pub mod rows;
pub mod units;
pub mod wall;
pub mod within;

pub mod aws;
pub mod store;

pub mod inventory;

pub mod plan;

pub mod engine;

pub mod cli;
#[cfg(feature = "sandbox")]
pub mod sandbox;
#[cfg(feature = "tui")]
pub mod tui;
