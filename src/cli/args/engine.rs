//! Of `engine`.

use clap::Args;

use super::parse_seconds;
use crate::bandwidth::Bandwidth;
use crate::units::{Bytes, parse_bytes};

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
