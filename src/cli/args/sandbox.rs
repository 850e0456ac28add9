//! Of `sandbox`: where it listens, and what it is to do wrong.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// `floe sandbox`.
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

fn parse_latency(text: &str) -> Result<(u64, u64), String> {
    let (base, jitter) = text.split_once('+').unwrap_or((text, "0"));
    match (base.parse(), jitter.parse()) {
        (Ok(base), Ok(jitter)) => Ok((base, jitter)),
        _ => Err(format!("`{text}` is not a latency; write it like 20 or 20+30")),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 0.01));
    number
        .parse::<f64>()
        .ok()
        .map(|n| n * scale)
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("`{text}` is not a share; write it like 1% or 0.01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_people_write_them() {
        assert_eq!(parse_latency("20+30"), Ok((20, 30)));
        assert!(parse_share("1%").is_ok_and(|s| (s - 0.01).abs() < 1e-12));
        assert!(parse_share("2").is_err() && parse_latency("fast").is_err());
    }
}
