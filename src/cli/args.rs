//! What may be typed, once: each flag is one definition, and help, manual and completions are made from it.
//!
//! These are the words as they were typed; what they mean together with the environment and the config is
//! [`super::resolve`]'s business. A verb that does not work yet is not here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::bandwidth::Bandwidth;
use crate::ids::{JobId, Profile, Region};
use crate::plan::{OmitZeros, Pace, Strategy, Verify};
use crate::units::{Bytes, parse_bytes};
use crate::within::Within;

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

/// `floe ls`.
#[derive(Debug, Args)]
pub struct Ls {
    /// What to list
    #[arg(value_enum, value_name = "WHAT")]
    pub what: What,
    /// Where: [PROFILE@]REGION:, or one id there; for archives s3://bucket/prefix/
    #[arg(value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Every region of the account, not only the one in force
    #[arg(long)]
    pub all_regions: bool,
    /// Only rows that match: words, key:value (name region size full age state tier tag:K=V …),
    /// comparisons as size:>500GiB age:>90d, ! negates, | means or
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The account's regions
    Regions,
    /// Snapshots that the account owns
    Snapshots,
    /// Volumes
    Volumes,
    /// Machine images that the account owns
    Images,
    /// Instances
    Instances,
    /// Archives in S3, under s3://bucket/prefix/
    Archives,
}

/// `floe orphans`.
#[derive(Debug, Args)]
pub struct Orphans {
    /// Where: [PROFILE@]REGION:, or one id there
    #[arg(value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Every region of the account, not only the one in force
    #[arg(long)]
    pub all_regions: bool,
    /// Only what matches; without it verdict:orphan|unknown. Keys as for ls, and verdict:
    /// (in-use managed protected stale orphan unknown) frees: usd: used-by:
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
    /// Ask everything anew; else what AWS answered in the last ten minutes counts
    #[arg(long)]
    pub fresh: bool,
}

/// `floe size`.
#[derive(Debug, Args)]
pub struct Size {
    /// A snapshot, or a delta snap-A..snap-B; with --frees any number of snapshots of one region
    #[arg(value_name = "ADDRESS", required = true, num_args = 1..)]
    pub addresses: Vec<String>,
    /// What removing them would free together, from what changed to their neighbours; nothing is removed
    #[arg(long)]
    pub frees: bool,
}

/// `floe inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A snapshot, an image file, a device, an archive or a raw image in S3
    #[arg(value_name = "ADDRESS", value_hint = ValueHint::AnyPath)]
    pub address: String,
}

/// `floe plan`.
#[derive(Debug, Args)]
#[command(after_help = crate::plan::pace::table())]
pub struct PlanArgs {
    /// What to copy where.
    #[command(flatten)]
    pub operation: OperationArgs,
}

/// `floe copy`.
#[derive(Debug, Args)]
pub struct Copy {
    /// What to copy where.
    #[command(flatten)]
    pub operation: OperationArgs,
    /// Do not ask: the plan as shown is accepted
    #[arg(short, long)]
    pub yes: bool,
    /// Hand the job to the background engine and return
    #[arg(long, conflicts_with = "foreground")]
    pub detach: bool,
    /// Keep the engine in this process, the job in this command
    #[arg(long)]
    pub foreground: bool,
}

/// What `plan` and `copy` share.
#[derive(Debug, Args)]
pub struct OperationArgs {
    /// SOURCE DEST...; with --each SOURCE... DEST
    #[arg(value_name = "ADDRESS", required = true, num_args = 1.., value_hint = ValueHint::AnyPath)]
    pub addresses: Vec<String>,
    /// Many sources, one destination: addresses, a file of them, or - for stdin; one plan, one group of jobs
    #[arg(long)]
    pub each: bool,
    /// At most this many requests in flight
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
    /// Memory for this job, as 256MiB: its share of the engine's budget
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory: Option<Bytes>,
    /// Bytes a second, read plus written, of all its jobs together:
    /// 200MiB/s, or by the hours of a week: Mon-Fri 08:00-18:00 50MiB/s; else unlimited
    #[arg(long, value_name = "RATE")]
    pub bandwidth: Option<Bandwidth>,
    /// How hard to push
    #[arg(long, value_enum, default_value_t)]
    pub pace: Pace,
    /// Through this engine block by block (the default), by the service, or whichever is better
    #[arg(long, value_enum)]
    pub strategy: Option<Strategy>,
    /// Have AWS copy it within this time, as 45m or 8h45m, for a surcharge; implies --strategy native
    #[arg(long, value_name = "TIME")]
    pub complete_within: Option<Within>,
    /// How far the copy is proved beyond what the service checks itself
    #[arg(long, value_enum, default_value_t)]
    pub verify: Verify,
    /// Which zero blocks are left out, where that is safe
    #[arg(long, value_enum, default_value_t)]
    pub omit_zeros: OmitZeros,
    /// Overwrite a file that is not empty, or an object; take a delta onto a base that nobody has proved
    #[arg(long)]
    pub force: bool,
    /// Copy every snapshot from the first to the last of a delta, each one on its copied parent: snap-A..snap-Z REGION:
    #[arg(long, conflicts_with = "each")]
    pub chain: bool,
    /// Tag the results; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_tag)]
    pub tags: Vec<(String, String)>,
    /// Name of a copied machine image; else its source's
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Encrypt the results with this key
    #[arg(long, value_name = "ARN")]
    pub kms_key: Option<String>,
    /// Description of the results
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// How long to wait for AWS to complete a result, as 90m or 12h
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    pub wait_timeout: Option<u64>,
    /// Go on with a source that changed, and label the result so
    #[arg(long)]
    pub allow_changed: bool,
    /// Allow an unencrypted copy of an encrypted source
    #[arg(long)]
    pub allow_decrypt: bool,
    /// Restore an archive though objects of it are missing: what they held is left out
    #[arg(long)]
    pub allow_gaps: bool,
    /// Storage class of what is written to S3, as GLACIER_IR
    #[arg(long, value_name = "CLASS")]
    pub storage_class: Option<String>,
    /// S3 to S3: the length of a part, 5MiB to 5GiB, instead of what the pace chooses
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub part_size: Option<Bytes>,
    /// S3 to S3: every object below a prefix: s3://bucket/prefix/ s3://bucket/prefix/
    #[arg(long, conflicts_with = "each")]
    pub recursive: bool,
    /// With --recursive: only objects that this matches after the prefix (* ? [a-z]); may be repeated
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// With --recursive: never objects that this matches; counts more than --include
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// S3 to S3: copy objects that are there already, too, the same or not
    #[arg(long)]
    pub force_copy: bool,
    /// Where this machine stands, for the price of transfer; else as instance metadata say, else outside
    #[arg(long, value_name = "REGION|outside")]
    pub runs_in: Option<String>,
    /// Calculate with the prices that AWS lists now (pricing:GetProducts), kept for seven days
    #[arg(long)]
    pub live_prices: bool,
}

/// `floe verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A snapshot, an image file, an archive or a raw image in S3
    #[arg(value_name = "ADDRESS", value_hint = ValueHint::AnyPath)]
    pub first: String,
    /// What it is compared with; an archive alone is compared with the digests in its own index
    #[arg(value_name = "ADDRESS", value_hint = ValueHint::AnyPath)]
    pub second: Option<String>,
    /// At most this many requests in flight
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    pub concurrency: Option<u32>,
    /// The most memory for blocks and listings, as 256MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory: Option<Bytes>,
}

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

/// `floe engine`.
#[derive(Debug, Args)]
pub struct Engine {
    /// The memory limit of all jobs together, as 256MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory: Option<Bytes>,
    /// Bytes a second of all jobs together, read plus written; a rate or a week's schedule as for copy
    #[arg(long, value_name = "RATE")]
    pub bandwidth: Option<Bandwidth>,
    /// End after so long without jobs and fronts, as 10m; without it only when told to
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    pub idle: Option<u64>,
    /// Serve its figures as Prometheus text there, at /metrics; off without it
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<std::net::SocketAddr>,
    /// Leaves the terminal's session, ends when idle.
    #[arg(long, hide = true)]
    pub started_by_a_front: bool,
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

/// `floe sandbox`.
#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub struct Sandbox {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// Answer over TLS as well, at a port of its own, with this certificate (PEM); clients trust it by AWS_CA_BUNDLE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Answer so much later, as 20 or 20+30 (at random up to 30 more), in milliseconds
    #[arg(long, value_name = "MS[+JITTER]", value_parser = parse_latency, help_heading = "Faults")]
    pub latency: Option<(u64, u64)>,
    /// Let this share of all requests fail in every way there is, as 1% or 0.01
    #[arg(long, value_name = "SHARE", value_parser = parse_share, help_heading = "Faults")]
    pub errors: Option<f64>,
    /// Throttle above this many Gets and Puts a second for each snapshot
    #[arg(long, value_name = "N", help_heading = "Faults")]
    pub snapshot_rate: Option<f64>,
    /// Throttle above this many Gets and Puts a second for each account
    #[arg(long, value_name = "N", help_heading = "Faults")]
    pub account_rate: Option<f64>,
    /// When the block tokens of earlier listings stop working
    #[arg(long, value_name = "WHEN", value_parser = ["never", "listing", "page"], help_heading = "Faults")]
    pub rotate_tokens: Option<String>,
    /// How long a Put answers 404 after StartSnapshot, in milliseconds
    #[arg(long, value_name = "MS", help_heading = "Faults")]
    pub unseen: Option<u64>,
    /// How far its clock is ahead (or behind, negative), in milliseconds
    #[arg(long, value_name = "MS", allow_negative_numbers = true, help_heading = "Faults")]
    pub clock: Option<i64>,
    /// Deny this operation, as PutSnapshotBlock; may be repeated
    #[arg(long, value_name = "OPERATION", help_heading = "Faults")]
    pub deny: Vec<String>,
    /// Which requests are hit: the same seed hits the same ones
    #[arg(long, value_name = "N", help_heading = "Faults")]
    pub seed: Option<u64>,
    /// All of this and more from a JSON file, as POST /_sandbox/faults takes it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Faults")]
    pub faults: Option<PathBuf>,
}

/// `floe iam`.
#[derive(Debug, Args)]
pub struct Iam {
    /// The verb
    #[arg(value_enum, value_name = "VERB")]
    pub verb: super::iam::Need,
}

/// `floe completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

fn parse_job(text: &str) -> Result<JobId, String> {
    text.parse()
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, _)) if key.is_empty() || key.len() > 128 => Err("a tag's key has 1 to 128 characters".to_owned()),
        Some((key, _)) if key.starts_with("aws:") => Err("keys that begin with aws: belong to AWS".to_owned()),
        Some((_, value)) if value.len() > 256 => Err("a tag's value has at most 256 characters".to_owned()),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("a tag is written KEY=VALUE".to_owned()),
    }
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

#[cfg(feature = "sandbox")]
fn parse_latency(text: &str) -> Result<(u64, u64), String> {
    let (base, jitter) = text.split_once('+').unwrap_or((text, "0"));
    match (base.parse(), jitter.parse()) {
        (Ok(base), Ok(jitter)) => Ok((base, jitter)),
        _ => Err(format!("`{text}` is not a latency; write it like 20 or 20+30")),
    }
}

#[cfg(feature = "sandbox")]
fn parse_share(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 0.01));
    number
        .parse::<f64>()
        .ok()
        .map(|n| n * scale)
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("`{text}` is not a share; write it like 1% or 0.01"))
}

/// Names of the plan's choices as they are typed; their meaning is the plan's.
macro_rules! choices {
    ($($type:ty { $($name:literal => $value:expr, $help:literal;)* })*) => {$(
        impl ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                &[$($value),*]
            }
            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                $(if *self == $value {
                    return Some(clap::builder::PossibleValue::new($name).help($help));
                })*
                None
            }
        }
    )*};
}

choices! {
    Pace {
        "balanced" => Pace::Balanced, "The default trade-off";
        "aggressive" => Pace::Aggressive, "Starts higher, ramps faster";
        "conservative" => Pace::Conservative, "Fewer lanes, gentler steps";
        "cost-efficient" => Pace::CostEfficient, "Fewest requests first";
    }
    Strategy {
        "direct" => Strategy::Direct, "Through this engine, block by block";
        "native" => Strategy::Native, "By the service (CopySnapshot; an image always, by CopyImage)";
        "auto" => Strategy::Auto, "Whichever the plan finds better";
    }
    Verify {
        "none" => Verify::None, "Nothing is listed or read back";
        "listing" => Verify::Listing, "The result's list equals what was written";
        "checksum" => Verify::Checksum, "Checksums that the service keeps are compared as well";
        "full" => Verify::Full, "Every block is read back; of a file all of it, with its SHA-256";
    }
    OmitZeros {
        "off" => OmitZeros::Off, "None";
        "holes" => OmitZeros::Holes, "A file's holes";
        "all" => OmitZeros::All, "Also blocks of zeros in files";
    }
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
    fn values_are_read_as_people_write_them() {
        assert_eq!(parse_seconds("90"), Ok(90));
        assert_eq!(parse_seconds("12h"), Ok(43_200));
        assert!(parse_seconds("0").is_err() && parse_seconds("h").is_err() && parse_seconds("5w").is_err());
        assert_eq!(parse_tag("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_tag("aws:x=y").is_err() && parse_tag("=y").is_err() && parse_tag("plain").is_err());
        #[cfg(feature = "sandbox")]
        {
            assert_eq!(parse_latency("20+30"), Ok((20, 30)));
            assert!(parse_share("1%").is_ok_and(|s| (s - 0.01).abs() < 1e-12));
            assert!(parse_share("2").is_err() && parse_latency("fast").is_err());
        }
    }
}
