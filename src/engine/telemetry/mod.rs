//! What is measured while jobs run: rates, latencies, troubles, memory; per segment, job and process.
//!
//! Cheap where it is hot: a lane adds to a [`LaneLog`] of its own and the job's tick merges all of them, so
//! no two lanes ever meet at a lock. Everything kept is bounded: rings of fixed length, histograms of fixed
//! size. Clocks are handed in. Read by the job when it makes its part of `Status`.

mod job;
mod process;
mod series;
#[cfg(test)]
mod tests;

pub use self::job::{Flight, JobTelemetry, LaneLog, SegmentView, Target, Writing};
pub use self::process::{Process, memory_ceiling};
pub use self::series::{Lately, Latency, Meter, Ring, Trail};
