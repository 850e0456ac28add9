//! Of `plan` and `copy`, which take the same words, so that what was planned can be copied by another verb alone.

use clap::{Args, ValueHint};

use super::parse_seconds;
use crate::bandwidth::Bandwidth;
use crate::plan::{OmitZeros, Pace, Strategy, Verify};
use crate::units::{Bytes, parse_bytes};
use crate::within::Within;

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

fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, _)) if key.is_empty() || key.len() > 128 => Err("a tag's key has 1 to 128 characters".to_owned()),
        Some((key, _)) if key.starts_with("aws:") => Err("keys that begin with aws: belong to AWS".to_owned()),
        Some((_, value)) if value.len() > 256 => Err("a tag's value has at most 256 characters".to_owned()),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("a tag is written KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_people_write_them() {
        assert_eq!(parse_tag("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_tag("aws:x=y").is_err() && parse_tag("=y").is_err() && parse_tag("plain").is_err());
    }
}
