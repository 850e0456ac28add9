//! Of what removes, brings back, and tells of it: `delete`, `restore`, `audit`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// `floe delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// What: [PROFILE@][REGION:]snap-ID, vol-ID or ami-ID; - reads them from stdin, one a line
    #[arg(value_name = "ADDRESS", required_unless_present = "plan", conflicts_with = "plan")]
    pub addresses: Vec<String>,
    /// Show what would be removed, and remove nothing
    #[arg(long, conflicts_with_all = ["plan", "confirm"])]
    pub dry_run: bool,
    /// Write the plan to a file, and remove nothing
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "plan")]
    pub out: Option<PathBuf>,
    /// A plan that --out or the deck wrote
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plan: Option<PathBuf>,
    /// Show the plan of --plan and its hash, and remove nothing
    #[arg(long, requires = "plan", conflicts_with = "confirm")]
    pub review: bool,
    /// Carry the plan of --plan out, if this is its hash; within 24 hours of its making, without a question
    #[arg(long, value_name = "HASH", requires = "plan")]
    pub confirm: Option<String>,
    /// Show what differs between the plan of --plan, or of the addresses now, and this one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["confirm", "out"])]
    pub compare: Option<PathBuf>,
    /// Archive each snapshot there and read it back before it is deleted: s3://bucket/prefix/
    #[arg(long, value_name = "ADDRESS", conflicts_with = "plan")]
    pub archive_to: Option<String>,
    /// Make a snapshot of each volume before it is deleted
    #[arg(long, conflicts_with = "plan")]
    pub snapshot_first: bool,
    /// Delete the snapshots of each machine image after it
    #[arg(long, conflicts_with = "plan")]
    pub with_snapshots: bool,
    /// List the blocks of the snapshots and their neighbours: what they free together, exact where nothing branches
    /// off; the cost of the List requests is said first
    #[arg(long, conflicts_with = "plan")]
    pub frees: bool,
    /// Remove also what a rule could not be answered for; the plan names each such rule
    #[arg(long, conflicts_with = "plan")]
    pub accept_unknown: bool,
}

/// `floe restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// What: [PROFILE@][REGION:]snap-ID or ami-ID; with --list a place: [PROFILE@]REGION:
    #[arg(value_name = "ADDRESS", required_unless_present = "list")]
    pub addresses: Vec<String>,
    /// List what the Recycle Bin keeps, and until when
    #[arg(long)]
    pub list: bool,
}

/// `floe audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only lines that match, as for ls: words, key:value; state is the event (intent done failed skipped refused)
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
}
