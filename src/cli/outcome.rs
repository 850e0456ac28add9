//! The one JSON object that `copy`, `jobs` and `verify` end with (DESIGN §4): one shape, whatever was done.

use std::time::Duration;

use serde::Serialize;

use crate::address::Address;
use crate::engine::compare::{Compared, Watch};
use crate::engine::protocol::{DestinationState, DestinationStatus, Evidence, JobStatus};
use crate::error::Error;
use crate::ids::JobId;
use crate::plan::Strategy;
use crate::units::{Blocks, Digest};

/// What came of a job, or of a comparison.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// None of a comparison: it is no job.
    job: Option<JobId>,
    state: &'static str,
    source: String,
    destinations: Vec<DestinationOutcome>,
    blocks: u64,
    bytes: u64,
    retries: u64,
    throttles: u64,
    elapsed_seconds: f64,
    peak_rss_bytes: u64,
    predicted: Predicted,
    /// Of a comparison: how long each side is.
    #[serde(skip_serializing_if = "Option::is_none")]
    lengths: Option<Vec<u64>>,
    /// Of a comparison: what differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    different: Option<Ranges>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// One destination of it; of a comparison the second side.
#[derive(Debug, Serialize)]
pub struct DestinationOutcome {
    /// As planned, or with the new id.
    pub address: String,
    strategy: Strategy,
    /// In a word.
    pub state: &'static str,
    /// Blocks that it has.
    pub blocks: u64,
    /// And their bytes.
    pub bytes: u64,
    checksum: Option<String>,
    /// As `sha256sum` prints it; of a file that was read back in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_sha256: Option<String>,
    evidence: Evidence,
    /// Of what S3 copied itself: objects by what became of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<Objects>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Objects by what became of them.
#[derive(Debug, Serialize)]
pub struct Objects {
    copied: u64,
    /// Of these only properties or tags.
    set: u64,
    /// There already.
    skipped: u64,
    failed: u64,
}

/// What was said before; nothing is predicted for a comparison.
#[derive(Debug, Default, Serialize)]
struct Predicted {
    memory_bytes: u64,
    cost_usd: f64,
    seconds: f64,
}

/// Blocks that differ.
#[derive(Debug, Default, Serialize)]
struct Ranges {
    count: u64,
    ranges: Vec<(u32, u32)>,
}

impl Outcome {
    /// Of a job that is over, or rests.
    #[must_use]
    pub fn of(job: &JobStatus) -> Self {
        Self {
            job: Some(job.job),
            state: job.state.word(),
            source: job.source.clone(),
            destinations: job.destinations.iter().map(DestinationOutcome::of).collect(),
            blocks: job.blocks_done.0,
            bytes: job.blocks_done.bytes().0,
            retries: job.troubles.retries,
            throttles: job.troubles.throttles(),
            elapsed_seconds: job.elapsed_seconds,
            peak_rss_bytes: job.peak_rss.0,
            predicted: Predicted {
                memory_bytes: job.predicted.memory.0,
                cost_usd: job.predicted.cost.0,
                seconds: f64::midpoint(job.predicted.seconds_low, job.predicted.seconds_high),
            },
            lengths: None,
            different: None,
            error: job.error.as_ref().map(ToString::to_string),
        }
    }

    /// Of a comparison of the two, or of what kept them from being compared; an archive alone has no destinations.
    #[must_use]
    pub fn compared(named: &[Address], compared: Result<&Compared, &Error>, watch: &Watch, took: Duration) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let state = match compared {
            Ok(compared) if compared.different.count == Blocks::ZERO => "same",
            Ok(_) => "different",
            Err(_) => "failed",
        };
        let known = compared.ok();
        let blocks = |nth: usize| known.and_then(|compared| compared.blocks.get(nth)).copied().unwrap_or_default();
        let ranges = |compared: &Compared| Ranges {
            count: compared.different.count.0,
            ranges: compared.different.ranges().collect(),
        };
        Self {
            job: None,
            state,
            source: named[0].to_string(),
            destinations: named
                .iter()
                .enumerate()
                .skip(1)
                .map(|(nth, address)| DestinationOutcome {
                    address: address.to_string(),
                    strategy: Strategy::Direct,
                    state,
                    blocks: blocks(nth).0,
                    bytes: blocks(nth).bytes().0,
                    checksum: None,
                    image_sha256: None,
                    evidence: if known.is_some() { Evidence::ReRead } else { Evidence::None },
                    objects: None,
                    error: None,
                })
                .collect(),
            blocks: blocks(0).0,
            bytes: blocks(0).bytes().0,
            retries: of(&watch.retries),
            throttles: of(&watch.throttles),
            elapsed_seconds: took.as_secs_f64(),
            peak_rss_bytes: of(&watch.peak_rss),
            predicted: Predicted::default(),
            lengths: known.map(|compared| compared.lengths.iter().map(|length| length.0).collect()),
            different: Some(known.map(ranges).unwrap_or_default()),
            error: compared.err().map(ToString::to_string),
        }
    }
}

impl DestinationOutcome {
    /// Of a job's destination.
    #[must_use]
    pub fn of(to: &DestinationStatus) -> Self {
        Self {
            address: to.address.clone(),
            strategy: to.strategy,
            state: word(to.state),
            blocks: to.blocks.0,
            bytes: to.bytes.0,
            checksum: to.checksum.map(|digest| digest.base64()),
            image_sha256: to.image_sha256.as_ref().map(Digest::hex),
            evidence: to.evidence,
            objects: to.copied.as_ref().map(|all| Objects {
                copied: all.copied,
                set: all.set,
                skipped: all.skipped,
                failed: all.failed,
            }),
            error: to.error.as_ref().map(ToString::to_string),
        }
    }
}

/// The same of a group (`--each`).
#[derive(Debug, Serialize)]
pub struct Group {
    state: &'static str,
    jobs: Vec<Outcome>,
    blocks: u64,
    bytes: u64,
}

impl Group {
    /// Of its jobs, which together came to `state`.
    #[must_use]
    pub fn of(jobs: &[JobStatus], state: crate::engine::protocol::JobState) -> Self {
        let blocks: Blocks = jobs.iter().map(|job| job.blocks_done).sum();
        let jobs = jobs.iter().map(Outcome::of).collect();
        Self { state: state.word(), jobs, blocks: blocks.0, bytes: blocks.bytes().0 }
    }
}

const fn word(state: DestinationState) -> &'static str {
    match state {
        DestinationState::Pending => "pending",
        DestinationState::Starting => "starting",
        DestinationState::Writing => "writing",
        DestinationState::Completing => "completing",
        DestinationState::Checking => "checking",
        DestinationState::Completed => "completed",
        DestinationState::Failed => "failed",
    }
}
