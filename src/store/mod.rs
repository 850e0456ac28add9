//! Config, state directory, audit log, atomic files. No AWS, no decisions.

pub(crate) mod ailing;
pub mod atomic;
pub mod audit;
pub mod config;
pub mod copies;
pub mod hook;
pub mod routes;
mod state;

pub use state::StateDir;
