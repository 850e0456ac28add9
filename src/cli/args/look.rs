//! Of verbs that only look: `ls`, `size`, `inspect`, `orphans`.

use clap::{Args, ValueEnum, ValueHint};

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
