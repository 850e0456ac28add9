//! Makes it happen: jobs, segments, lanes, budget, pacing, ledger, telemetry.
//!
//! Fronts reach it by messages only ([`protocol`]), over frames that any transport can carry ([`Client`]); it
//! never sees a screen. One engine owns a state directory: [`Engine::start`] takes its lock. From the top
//! down: `supervisor` (queue, commands, picture) → `run` (one job's life) → `transfer` (one pass: `lister`,
//! `lane`) → `call` (the one retry layer) → `source`, `sink` (read back by `proof`); beside them the `keeper`
//! of ledger and journal.

pub mod budget;
pub mod compare;
pub mod inside;
pub mod journal;
pub mod keep;
pub mod ledger;
pub mod logout;
pub mod protocol;
pub mod rate;
pub mod removal;
pub mod retry;
pub mod telemetry;
pub mod told;
pub mod window;

mod blocks;
mod call;
mod coming;
mod crash;
pub mod daemon;
mod direct;
mod ended;
mod hands;
mod hub;
mod keeper;
mod lane;
mod left;
mod lister;
mod listing;
mod lock;
pub mod metrics;
mod pipe;
mod proof;
mod run;
mod segments;
mod setup;
mod sink;
mod socket;
mod source;
mod spec;
mod stall;
mod status;
mod supervisor;
mod throttle;
mod transfer;
mod turns;
mod uses;
mod worlds;

pub use self::lock::{Holder, holder};
pub use self::pipe::{Client, Contact, MAX_FRAME, Silence, what_ends_it};
use self::protocol::JobStatus;
pub use self::source::pin_file;
pub use self::spec::Spec;
#[cfg(test)]
pub(crate) use self::status::blank as blank_job;
use self::supervisor::Supervisor;
use self::worlds::Worlds;
use crate::aws::Aws;
use crate::bandwidth::Bandwidth;
use crate::error::{Error, Result};
use crate::ids::JobId;
use crate::inventory::relations::JobUse;
use crate::plan::{Machine, RunsIn};
use crate::store::StateDir;
use crate::units::Bytes;

/// Bytes that the in-process pipe holds before the slower side waits.
const PIPE: usize = 256 * 1024;

/// What an engine in the front's own process is started with.
#[derive(Debug)]
pub struct Config {
    /// Where its jobs are.
    pub state: StateDir,
    /// The world that its jobs belong to.
    pub aws: Aws,
    /// The budget of all its jobs; the machine's default without one.
    pub budget: Option<Bytes>,
    /// Bytes a second of all its jobs together.
    pub bandwidth: Option<Bandwidth>,
}

/// The engine of one state directory, in the front's own process; [`daemon`] is the one in a process of its own.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Takes the state directory's lock, reads its jobs and serves one front over an in-process pipe. The
    /// engine pauses its jobs and ends when the front is gone.
    ///
    /// # Errors
    /// Another engine holds the directory (its process is named), or it cannot be read.
    pub async fn start(config: Config) -> Result<Client> {
        let held = lock::Held::take(&config.state)?;
        let budget = config.budget.unwrap_or_else(|| Machine::read(RunsIn::Assumed, None).budget());
        let handle = Supervisor::start(
            config.state,
            Worlds::new(Some(config.aws.clone())),
            budget,
            config.bandwidth,
            true,
            Some(held),
        )?;
        let (front, back) = tokio::io::duplex(PIPE);
        tokio::spawn(async move {
            if let Err(error) = pipe::serve(back, handle).await {
                tracing::warn!(%error, "a front was lost");
            }
        });
        Client::connect(front, "this front", Some(config.aws)).await
    }
}

/// What a job's journal gains from `since` on, whoever runs it.
#[must_use]
pub fn follow(state: &StateDir, job: JobId, since: jiff::Timestamp) -> journal::Follow {
    journal::Follow::since(spec::JobDir(state.job(job)).events(), since)
}

/// Every job of a state directory, oldest first, without an engine; one that cannot be read is failed and says why.
/// Jobs that nobody runs and that did not end are `Interrupted`. Those that ended come from one
/// index file.
///
/// # Errors
/// The directory itself cannot be read.
pub fn jobs(state: &StateDir) -> Result<Vec<JobStatus>> {
    ended::all(state).map(|jobs| jobs.into_values().collect())
}

/// What the jobs that are not over read, write or lie on: every snapshot and image that their own records name.
///
/// # Errors
/// A job cannot be read: then nobody knows what it uses.
pub fn uses(state: &StateDir) -> Result<Vec<JobUse>> {
    uses::all(state)
}

/// What a job was made with.
///
/// # Errors
/// There is no such job, or its file is damaged or of another version.
pub fn spec(state: &StateDir, job: JobId) -> Result<Spec> {
    let dir = spec::JobDir(state.job(job));
    if !dir.job().is_file() {
        return Err(Error::usage(format!("there is no job {job}")).todo("`floe jobs ls` lists them"));
    }
    dir.spec()
}

/// The latest lines of a job's journal that pass `keep`, oldest first.
///
/// # Errors
/// The journal cannot be read.
pub fn told_of(state: &StateDir, job: JobId, keep: impl Fn(&journal::Record) -> bool) -> Result<Vec<journal::Entry>> {
    journal::tail(&spec::JobDir(state.job(job)).events(), LINES, keep)
}

/// Lines of one journal that are looked at: no more are kept when it is folded.
const LINES: usize = 10_000;
