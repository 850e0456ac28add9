//! What removing snapshots frees: chains, the stretches of them that have to be listed, and how long each version of a
//! block lives in one.
//!
//! Pure: [`Chain`] comes from rows, [`Walk`] takes what listings say, [`Lifetimes`] answers for any set of the snapshots
//! that were walked over; `plan/frees.rs` asks AWS. The rule is DESIGN §7's: a version of a block belongs to the
//! snapshots between the one that wrote it and the one that wrote or dropped it next, and is freed when all of these
//! go. Invariant: a figure is exact only where nothing is known, or could be, that shares blocks and was not walked
//! over; else the truth is not above it.

mod billed;
mod chain;
mod lives;
#[cfg(test)]
mod tests;
mod why;

pub use self::billed::{Billed, billed_until};
pub use self::chain::{Chain, Member, Stretch, Suspect};
pub use self::lives::{Lifetimes, Walk};
pub use self::why::{Why, Whys};
