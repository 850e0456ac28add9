//! What may be typed, once: each flag is one definition, and help, manual and completions are made from it.
//!
//! These are the words as they were typed; what they mean together with the environment and the config is
//! [`super::resolve`]'s business. A verb that does not work yet is not here. What belongs to one verb stands in its room.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::ids::{Profile, Region};

mod about;
mod choices;
mod copy;
mod engine;
mod jobs;
mod look;
mod removal;
#[cfg(feature = "sandbox")]
mod sandbox;
mod verify;

pub use about::{Completions, Iam, Prices};
pub use copy::{Copy, OperationArgs, PlanArgs};
pub use engine::Engine;
pub use jobs::{Cancel, JobArg, Jobs, JobsVerb, Resume, Show, Turn, Watch};
pub use look::{Inspect, Ls, Orphans, Size, What};
pub use removal::{AuditArgs, Delete, Restore};
#[cfg(feature = "sandbox")]
pub use sandbox::Sandbox;
pub use verify::VerifyArgs;

const AFTER_HELP: &str = "\
Addresses:
  [REGION:]snap-ID             a snapshot
  [REGION:]snap-A..snap-B      the changes from A to B
  [REGION:]ami-ID              a machine image
  REGION:                      a new snapshot there
  REGION:snap-C+               a new one on the parent C
  s3://BUCKET/PREFIX/          an archive
  s3://BUCKET/KEY.img          a raw image (.raw too)
  ./disk.img  /dev/nvme1n1     a file, a device (file:NAME)
  null:                        nowhere: read and check only
  arn:…                        the same as the short form
  PROFILE@ before any of them  the account of that profile

An address counts before a flag, a flag before the environment (AWS_PROFILE, AWS_REGION, FLOE_READ_ONLY, …), the environment before the config and the profile.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but some items failed, 4 stopped and resumable, 5 refused for safety or a question that nobody can answer.";

/// A terminal deck and transfer engine for Amazon EBS snapshots.
///
/// Without a verb the deck opens. Results go to stdout; progress, warnings and questions to stderr.
#[derive(Debug, Parser)]
#[command(name = "floe", version, after_help = AFTER_HELP, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// What to do; without one the deck opens.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// What is said everywhere.
    #[command(flatten)]
    pub everywhere: Everywhere,
}

/// Flags of every verb.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Everywhere {
    /// Profile where an address names none [environment: AWS_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<Profile>,
    /// Region where an address names none [environment: AWS_REGION]
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<Region>,
    /// One endpoint for all services [environment: AWS_ENDPOINT_URL, …]
    #[arg(long, global = true, value_name = "URL", value_hint = ValueHint::Url, conflicts_with = "sandbox")]
    pub endpoint_url: Option<String>,
    /// Use the embedded AWS: no account, no network, nothing to pay
    #[cfg(feature = "sandbox")]
    #[arg(long, global = true)]
    pub sandbox: bool,
    /// What the embedded AWS holds: a scenario's name or file
    #[cfg(feature = "sandbox")]
    #[arg(long, global = true, value_name = "NAME|FILE", value_hint = ValueHint::FilePath)]
    pub scenario: Option<String>,
    /// Refuse every call that would change something [environment: FLOE_READ_ONLY]
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Where jobs, caches and the sandbox's world are kept [default: ~/.local/state/floe]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,
    /// The configuration [default: ~/.config/floe/config.toml]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// How results are printed [default: table]
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum)]
    pub output: Option<Format>,
    /// No progress and no notes; errors stay
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say on stderr what is done; twice: every request
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// Comma-separated, one header line.
    Csv,
    /// Ids only, one a line (`ls`, `orphans`).
    Ids,
    /// A page to read in a browser, with nothing to load (`orphans`).
    Html,
}

/// Everything that floe does from a command line.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List regions, snapshots, volumes, images, instances or archives
    Ls(Ls),
    /// Count the allocated blocks of a snapshot or a delta exactly, or what removing snapshots frees (no data is read)
    Size(Size),
    /// Look what is inside a disk: partitions, file systems, labels, boot loader (reads a handful of blocks)
    Inspect(Inspect),
    /// Show memory, cost and time of a copy; nothing is changed
    Plan(PlanArgs),
    /// Plan, confirm, run: one source to any number of destinations in one read
    Copy(Copy),
    /// Compare any two snapshots, images or archives block by block: 0 the same, 3 different
    Verify(VerifyArgs),
    /// Plan a removal, review it, carry it out: snapshots, volumes, machine images
    Delete(Delete),
    /// Bring back what the Recycle Bin keeps
    Restore(Restore),
    /// Show who removed what, when and why, and what came of it
    Audit(AuditArgs),
    /// List jobs, look at one, go on with it or end it
    Jobs(Jobs),
    /// Say of snapshots, volumes and images whether anything refers to them, with the evidence
    Orphans(Orphans),
    /// Show the price table that plans calculate with, and how sure each price is
    Prices(Prices),
    /// Hold what plans said against what jobs took: memory, cost and time
    Accuracy,
    /// Run the background engine here, for a service file; copies start one by themselves
    Engine(Engine),
    /// Serve the embedded AWS on loopback for other clients
    #[cfg(feature = "sandbox")]
    Sandbox(Sandbox),
    /// Say what is wrong with this set-up, line by line, and what to do about it
    Doctor,
    /// Print the least IAM policy that a verb needs, as JSON
    Iam(Iam),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual page (roff): floe man | man -l -
    Man,
}

/// `90`, `90s`, `90m`, `12h`, `3d` in seconds.
fn parse_seconds(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => 0,
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| format!("`{text}` is not a time; write it like 90s, 30m or 12h"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_table_of_addresses_names_every_form_and_fits_a_narrow_terminal() {
        let (table, prose) = AFTER_HELP.split_once("\n\n").expect("a table, then sentences");
        assert!(table.lines().all(|line| line.chars().count() <= 60), "{table}");
        for form in
            ["snap-ID", "snap-A..snap-B", "ami-ID", "snap-C+", "s3://BUCKET/PREFIX/", "null:", "arn:", "PROFILE@"]
        {
            assert!(table.contains(form), "{form}");
        }
        // Sentences are broken where the terminal ends, by whoever prints them.
        assert!(prose.lines().filter(|line| !line.is_empty()).count() == 2, "{prose}");
    }

    #[test]
    fn flags_may_stand_anywhere() {
        let cli =
            Cli::try_parse_from(["floe", "size", "snap-0abc1234", "--profile", "prod", "-o", "json"]).expect("parses");
        assert_eq!(cli.everywhere.output, Some(Format::Json));
        assert!(cli.everywhere.profile.is_some_and(|p| p.as_str() == "prod"));
        assert!(Cli::try_parse_from(["floe"]).is_ok_and(|cli| cli.verb.is_none()));
    }

    #[test]
    fn verbs_of_later_versions_are_not_offered() {
        for verb in ["fleet", "mount", "archive"] {
            assert!(Cli::try_parse_from(["floe", verb]).is_err(), "{verb}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(parse_seconds("90"), Ok(90));
        assert_eq!(parse_seconds("12h"), Ok(43_200));
        assert!(parse_seconds("0").is_err() && parse_seconds("h").is_err() && parse_seconds("5w").is_err());
    }
}
