//! Of verbs about floe itself and what it knows: `prices`, `iam`, `completions`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::iam::Need;

/// `floe prices`.
#[derive(Debug, Args)]
pub struct Prices {
    /// Ask the Pricing API (pricing:GetProducts); what it said is kept for seven days
    #[arg(long)]
    pub live: bool,
    /// Ask Cost Explorer (ce:GetCostAndUsage) what snapshots were billed in the last 30 days, by region; AWS charges
    /// $0.01 for the question, so it is asked first
    #[arg(long, conflicts_with = "live")]
    pub billed: bool,
    /// Do not ask before --billed
    #[arg(long, requires = "billed")]
    pub yes: bool,
    /// Ask again, whatever is kept
    #[arg(long, requires = "live")]
    pub refresh: bool,
    /// Write the table anew as a file like assets/prices.toml, with what AWS told in its place
    #[arg(long, value_name = "FILE", requires = "live", value_hint = ValueHint::FilePath)]
    pub update_table: Option<PathBuf>,
}

/// `floe iam`.
#[derive(Debug, Args)]
pub struct Iam {
    /// The verb
    #[arg(value_enum, value_name = "VERB")]
    pub verb: Need,
}

/// `floe completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}
