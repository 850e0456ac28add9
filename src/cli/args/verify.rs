//! Of `verify`.

use clap::{Args, ValueHint};

use crate::units::{Bytes, parse_bytes};

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
