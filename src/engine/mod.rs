//! Makes it happen: jobs, segments, lanes, budget, pacing, ledger, telemetry.
//!
//! Fronts reach it by messages only ([`protocol`]), over frames that any transport can carry ([`Client`]); it
//! never sees a screen. One engine owns a state directory: [`Engine::start`] takes its lock. From the top
//! down: `supervisor` (queue, commands, picture) → `run` (one job's life) → `transfer` (one pass: `lister`,
//! `lane`) → `call` (the one retry layer) → `source`, `sink`; beside them the `keeper` of ledger and journal.

pub mod budget;
pub mod journal;
pub mod ledger;
pub mod protocol;
pub mod rate;
pub mod retry;
pub mod telemetry;
pub mod told;
pub mod window;

mod blocks;
mod call;
mod hub;
mod keeper;
mod lane;
mod lister;
mod pipe;
mod run;
mod segments;
mod setup;
mod sink;
mod source;
mod spec;
mod status;
mod supervisor;
mod transfer;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

pub use self::pipe::{Client, MAX_FRAME};
use self::protocol::JobStatus;
pub use self::source::pin_file;
pub use self::spec::Spec;
use self::supervisor::Supervisor;
use crate::aws::Aws;
use crate::error::{Error, Result};
use crate::ids::JobId;
use crate::plan::{Machine, RunsIn};
use crate::store::StateDir;
use crate::units::Bytes;

/// Bytes that the in-process pipe holds before the slower side waits.
const PIPE: usize = 256 * 1024;

/// What an engine is started with.
#[derive(Debug)]
pub struct Config {
    /// Where its jobs are.
    pub state: StateDir,
    /// The world that its jobs belong to.
    pub aws: Aws,
    /// The budget of all its jobs; the machine's default without one.
    pub budget: Option<Bytes>,
    /// Whether it ends with this process.
    pub in_process: bool,
}

/// The engine of one state directory.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Takes the state directory's lock, reads its jobs and serves one front over an in-process pipe. The
    /// engine pauses its jobs and ends when the last front is gone.
    ///
    /// # Errors
    /// Another engine holds the directory (its process is named), or it cannot be read.
    pub async fn start(config: Config) -> Result<Client> {
        let lock = lock(&config.state)?;
        let budget = config.budget.unwrap_or_else(|| Machine::read(RunsIn::Assumed, None).budget());
        let handle = Supervisor::start(config.state, config.aws, budget, config.in_process, lock)?;
        let (front, back) = tokio::io::duplex(PIPE);
        tokio::spawn(async move {
            if let Err(error) = pipe::serve(back, handle).await {
                tracing::warn!(%error, "a front was lost");
            }
        });
        Client::connect(front).await
    }
}

/// Every job of a state directory, oldest first, without an engine; a directory that cannot be read is left out
/// with a warning. Jobs that nobody runs and that did not end are `Interrupted`.
///
/// # Errors
/// The directory itself cannot be read.
pub fn jobs(state: &StateDir) -> Result<Vec<JobStatus>> {
    let mut rows = Vec::new();
    for (job, dir) in spec::all(state)? {
        match dir.spec().and_then(|spec| status::resting(&spec, &dir)) {
            Ok(row) => rows.push(row),
            Err(error) => tracing::warn!(%error, %job, "a job's directory could not be read"),
        }
    }
    Ok(rows)
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

fn lock(state: &StateDir) -> Result<File> {
    let path = state.root().join("engine.lock");
    let failed = |e: &std::io::Error| Error::io(format!("could not lock {}", path.display()), e);
    let mut options = OpenOptions::new();
    let mut file =
        options.create(true).truncate(false).read(true).write(true).mode(0o600).open(&path).map_err(|e| failed(&e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(e)) => return Err(failed(&e)),
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            return Err(Error::refused(format!(
                "another engine (process {}) runs in {}",
                pid.trim(),
                state.root().display()
            ))
            .todo("wait for it, end it, or name another directory with --state-dir DIR"));
        }
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(|e| failed(&e))?;
    Ok(file)
}
