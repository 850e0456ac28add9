//! Of `jobs` and of all that can be done with one; what can be turned while it runs is the same everywhere.

use clap::{Args, Subcommand};

use crate::bandwidth::Bandwidth;
use crate::ids::JobId;
use crate::units::{Bytes, parse_bytes};

/// `floe jobs`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Jobs {
    /// What to do; without it the jobs are listed
    #[command(subcommand)]
    pub verb: Option<JobsVerb>,
}

/// What can be done with jobs.
#[derive(Debug, Subcommand)]
pub enum JobsVerb {
    /// List them
    Ls,
    /// Show one in full
    Show(Show),
    /// Follow one that runs; Ctrl-C leaves it running
    Watch(Watch),
    /// Stop one cleanly; it can be resumed
    Pause(JobArg),
    /// Go on with one, and follow it until it ends
    Resume(Resume),
    /// End one for good and delete what it has made so far (pausing keeps it)
    Cancel(Cancel),
    /// Drop what is kept of one that is over
    Forget(JobArg),
}

/// Which job.
#[derive(Debug, Clone, Copy, Args)]
pub struct JobArg {
    /// The job's number; without it the only one that fits
    #[arg(value_name = "JOB", value_parser = parse_job)]
    pub job: Option<JobId>,
}

/// What can be turned while a job runs.
#[derive(Debug, Clone, Args)]
pub struct Turn {
    /// At most this many requests in flight
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
    /// This job's share of the engine's memory, as 256MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory: Option<Bytes>,
    /// Bytes a second, read plus written: 200MiB/s, or by the hours of a week:
    /// Mon-Fri 08:00-18:00 50MiB/s; else unlimited
    #[arg(long, value_name = "RATE")]
    pub bandwidth: Option<Bandwidth>,
}

/// `floe jobs show`.
#[derive(Debug, Clone, Copy, Args)]
pub struct Show {
    /// Which.
    #[command(flatten)]
    pub job: JobArg,
    /// A receipt in Markdown, or in JSON with -o json: what was copied, how it was proved, what it took
    #[arg(long)]
    pub receipt: bool,
}

/// `floe jobs watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// Which.
    #[command(flatten)]
    pub job: JobArg,
    /// What to turn first.
    #[command(flatten)]
    pub turn: Turn,
}

/// `floe jobs resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Which.
    #[command(flatten)]
    pub job: JobArg,
    /// What to turn.
    #[command(flatten)]
    pub turn: Turn,
    /// Hand it to the background engine and return
    #[arg(long, conflicts_with = "foreground")]
    pub detach: bool,
    /// Keep the engine in this process, the job in this command
    #[arg(long)]
    pub foreground: bool,
}

/// `floe jobs cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// Which.
    #[command(flatten)]
    pub job: JobArg,
    /// Stop it, and keep what it has made for a resume
    #[arg(long)]
    pub keep: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

fn parse_job(text: &str) -> Result<JobId, String> {
    text.parse()
}
