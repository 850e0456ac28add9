//! `floe jobs show JOB --receipt`: what was copied, how it was proved, who wanted it, and what it took.
//!
//! One value, printed as Markdown for people or as JSON with a version. Every figure is measured or read back from
//! the job's own files; what was predicted stands beside it and is called so.

use std::fmt::Write as _;

use serde::Serialize;

use crate::engine::journal::{Entry, Record};
use crate::engine::protocol::{DestinationState, DestinationStatus, Evidence, JobState, JobStatus, Requests, Tone};
use crate::engine::{self, Spec};
use crate::error::Result;
use crate::ids::JobId;
use crate::plan::clock;
use crate::store::StateDir;
use crate::units::{Bytes, Digest, Usd, grouped};

/// Version of the JSON.
const VERSION: u32 = 1;
/// Moments that are told.
const MOMENTS: usize = 5;

/// One receipt.
#[derive(Debug, Serialize)]
pub struct Receipt {
    version: u32,
    job: JobId,
    state: JobState,
    source: String,
    name: Option<String>,
    blocks: u64,
    bytes: u64,
    destinations: Vec<Line>,
    accepted: Accepted,
    created: String,
    ended: Option<String>,
    engine_version: Option<String>,
    predicted: Figures,
    measured: Figures,
    retries: u64,
    throttles: u64,
    deadlines_passed: u64,
    wrong_checksums: u64,
    moments: Vec<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Accepted {
    who: String,
    when: String,
    plan: String,
}

#[derive(Debug, Serialize)]
struct Line {
    address: String,
    state: DestinationState,
    blocks: u64,
    bytes: u64,
    linear_checksum: Option<String>,
    /// As `sha256sum` prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_sha256: Option<String>,
    evidence: Evidence,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Figures {
    memory_bytes: u64,
    cost_usd: f64,
    requests: f64,
    /// Twice the same, when it was measured.
    seconds: (f64, f64),
}

#[derive(Debug, Serialize)]
struct Moment {
    at: String,
    subject: String,
    text: String,
    tone: Tone,
    count: u32,
}

/// Reads a job's files and makes its receipt.
///
/// # Errors
/// Its directory cannot be read.
pub fn of(state: &StateDir, job: &JobStatus) -> Result<Receipt> {
    let spec = engine::spec(state, job.job)?;
    let told = engine::told_of(state, job.job, |record| match record {
        Record::Note(note) => matches!(note.tone, Tone::Warning | Tone::Bad),
        record => matches!(record, Record::Engine { .. }),
    })?;
    Ok(make(job, &spec, &told))
}

fn make(job: &JobStatus, spec: &Spec, told: &[Entry]) -> Receipt {
    let version = told.iter().rev().find_map(|entry| match &entry.record {
        Record::Engine { version, .. } => Some(version.clone()),
        _ => None,
    });
    let planned: f64 = spec
        .plan
        .cost
        .parts
        .iter()
        .filter(|part| part.unit == "requests")
        .map(|part| part.quantity)
        .fold(0.0, |a, b| a + b);
    let troubles = job.troubles;
    Receipt {
        version: VERSION,
        job: job.job,
        state: job.state,
        source: job.source.clone(),
        name: job.name.clone(),
        blocks: job.blocks_done.0,
        bytes: job.blocks_done.bytes().0,
        destinations: job.destinations.iter().map(Line::of).collect(),
        accepted: Accepted {
            who: spec.grant.who.clone(),
            when: spec.grant.when.to_string(),
            plan: spec.grant.plan_hash.clone(),
        },
        created: job.created.to_string(),
        ended: job.ended.map(|at| at.to_string()),
        engine_version: version,
        predicted: Figures {
            memory_bytes: job.predicted.memory.0,
            cost_usd: job.predicted.cost.0,
            requests: planned * spec.share,
            seconds: (job.predicted.seconds_low, job.predicted.seconds_high),
        },
        measured: Figures {
            memory_bytes: job.peak_rss.0,
            cost_usd: job.spent.0,
            requests: sum(job.requests),
            seconds: (job.elapsed_seconds, job.elapsed_seconds),
        },
        retries: troubles.retries,
        throttles: troubles.throttles(),
        deadlines_passed: troubles.timeouts,
        wrong_checksums: troubles.corrupt,
        moments: moments(told),
        error: job.error.as_ref().map(ToString::to_string),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure beside an estimate")]
fn sum(requests: Requests) -> f64 {
    (requests.list + requests.get + requests.put) as f64
}

/// The worst few, in the order in which they happened: failures before warnings, then what came most often.
fn moments(told: &[Entry]) -> Vec<Moment> {
    let mut notes: Vec<_> = told
        .iter()
        .filter_map(|entry| match &entry.record {
            Record::Note(note) => Some((entry.at, note)),
            _ => None,
        })
        .collect();
    notes.sort_by_key(|(at, note)| (note.tone != Tone::Bad, std::cmp::Reverse(note.count), *at));
    notes.truncate(MOMENTS);
    notes.sort_by_key(|(at, _)| *at);
    notes
        .into_iter()
        .map(|(at, note)| Moment {
            at: at.to_string(),
            subject: note.subject.clone(),
            text: note.text.clone(),
            tone: note.tone,
            count: note.count,
        })
        .collect()
}

impl Line {
    fn of(to: &DestinationStatus) -> Self {
        Self {
            address: to.address.clone(),
            state: to.state,
            blocks: to.blocks.0,
            bytes: to.bytes.0,
            linear_checksum: to.checksum.map(|digest| digest.base64()),
            image_sha256: to.image_sha256.as_ref().map(Digest::hex),
            evidence: to.evidence,
            error: to.error.as_ref().map(ToString::to_string),
        }
    }
}

impl Receipt {
    /// As Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let name = self.name.as_ref().map(|name| format!(" ({})", cell(name))).unwrap_or_default();
        let _ = writeln!(out, "# Receipt of job {}: {}\n", self.job, self.state.word());
        let _ = writeln!(out, "- Source: `{}`{name}", self.source);
        let _ = writeln!(out, "- Blocks: {} ({})", grouped(self.blocks), Bytes(self.bytes));
        let accepted = &self.accepted;
        let _ = writeln!(out, "- Accepted by {} at {}", cell(&accepted.who), accepted.when);
        let _ = writeln!(out, "- Plan: `{}`", accepted.plan);
        let ended = self.ended.as_deref().unwrap_or("not ended");
        let _ = writeln!(out, "- Made {}, ended {ended}", self.created);
        let _ = writeln!(out, "- Engine: floe {}", self.engine_version.as_deref().unwrap_or("of an unknown version"));
        if let Some(error) = &self.error {
            let _ = writeln!(out, "- Error: {}", cell(error));
        }
        out.push_str("\n## Destinations\n\n");
        out.push_str("| destination | state | blocks | bytes | LINEAR checksum (SHA-256) | evidence |\n");
        out.push_str("| --- | --- | ---: | ---: | --- | --- |\n");
        for to in &self.destinations {
            let sum = to.linear_checksum.as_ref().map_or_else(|| "none".to_owned(), |sum| format!("`{sum}`"));
            let (state, blocks) = (state(to.state), grouped(to.blocks));
            let (bytes, by) = (Bytes(to.bytes), evidence(to.evidence));
            let _ = writeln!(out, "| `{}` | {state} | {blocks} | {bytes} | {sum} | {by} |", to.address);
        }
        for to in &self.destinations {
            if let Some(sum) = &to.image_sha256 {
                let _ = writeln!(out, "\nSHA-256 of all of `{}`, as `sha256sum` prints it: `{sum}`", to.address);
            }
        }
        for to in self.destinations.iter().filter(|to| to.error.is_some()) {
            let _ = writeln!(out, "\n`{}` failed: {}", to.address, cell(to.error.as_deref().unwrap_or_default()));
        }
        self.figures(&mut out);
        self.worst(&mut out);
        out
    }

    fn figures(&self, out: &mut String) {
        let (said, was) = (&self.predicted, &self.measured);
        out.push_str("\n## Predicted and measured\n\n| | predicted | measured |\n| --- | ---: | ---: |\n");
        let _ = writeln!(out, "| memory | ≤ {} | = {} |", Bytes(said.memory_bytes), Bytes(was.memory_bytes));
        let _ = writeln!(out, "| cost, once | ≈ {} | ≈ {} |", Usd(said.cost_usd), Usd(was.cost_usd));
        let _ = writeln!(out, "| requests | ≈ {:.0} | = {:.0} |", said.requests, was.requests);
        let (low, high) = (clock(said.seconds.0), clock(said.seconds.1));
        let time = if low == high { low } else { format!("{low} to {high}") };
        let _ = writeln!(out, "| time | ≈ {time} | = {} |", clock(was.seconds.0));
        let _ = writeln!(
            out,
            "\nMended on the way: {} retries, {} throttles, {} deadlines passed, {} wrong checksums.",
            grouped(self.retries),
            grouped(self.throttles),
            grouped(self.deadlines_passed),
            grouped(self.wrong_checksums)
        );
    }

    fn worst(&self, out: &mut String) {
        out.push_str("\n## Worst moments\n\n");
        if self.moments.is_empty() {
            out.push_str("None was noted.\n");
        }
        for moment in &self.moments {
            let times = if moment.count > 1 { format!(" ({} times)", moment.count) } else { String::new() };
            let _ = writeln!(out, "- {} {}: {}{times}", moment.at, cell(&moment.subject), cell(&moment.text));
        }
    }
}

const fn state(state: DestinationState) -> &'static str {
    match state {
        DestinationState::Completed => "completed",
        DestinationState::Failed => "failed",
        DestinationState::Pending => "not begun",
        _ => "not completed",
    }
}

const fn evidence(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::None => "none",
        Evidence::Service => "checked by the service",
        Evidence::ReRead => "re-read by us",
        Evidence::Claimed => "claimed",
    }
}

/// Text that was written elsewhere, so that it stays one cell of one line.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::engine::journal::{Note, Topic};

    fn note(second: i64, tone: Tone, count: u32, text: &str) -> Entry {
        let note = Note { topic: Topic::Throttle, subject: "us-west-2".into(), text: text.into(), tone, count };
        let at = Timestamp::from_second(1_760_000_000 + second).expect("a time");
        Entry { v: 1, at, record: Record::Note(note) }
    }

    fn line(address: &str, state: DestinationState, evidence: Evidence, error: Option<&str>) -> Line {
        Line {
            address: address.into(),
            state,
            blocks: 1_500,
            bytes: 786_432_000,
            linear_checksum: (evidence == Evidence::Service)
                .then(|| "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=".into()),
            image_sha256: (evidence == Evidence::ReRead).then(|| Digest([0xab; 32]).hex()),
            evidence,
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn a_receipt_is_markdown_that_stands_alone() {
        let told = [
            note(5, Tone::Warning, 40, "1,000 → 610/s: throttled"),
            note(9, Tone::Bad, 1, "snap-0abc | could not be completed"),
        ];
        let receipt = Receipt {
            version: VERSION,
            job: JobId(14),
            state: JobState::Partial,
            source: "prod@us-east-1:snap-0feed0000000da7a3".into(),
            name: Some("web|data".into()),
            blocks: 1_500,
            bytes: 786_432_000,
            destinations: vec![
                line("prod@us-west-2:snap-0abc", DestinationState::Completed, Evidence::Service, None),
                line("./whole.img", DestinationState::Completed, Evidence::ReRead, None),
                line("./disk.img", DestinationState::Failed, Evidence::None, Some("no space left\non the disk")),
            ],
            accepted: Accepted { who: "ops (--yes)".into(), when: "2026-10-09T08:53:20Z".into(), plan: "7f3a".into() },
            created: "2026-10-09T08:53:20Z".into(),
            ended: Some("2026-10-09T09:03:20Z".into()),
            engine_version: Some("0.1.0".into()),
            predicted: Figures { memory_bytes: 268_435_456, cost_usd: 0.0271, requests: 3_001.0, seconds: (4.0, 9.0) },
            measured: Figures { memory_bytes: 134_217_728, cost_usd: 0.0272, requests: 3_041.0, seconds: (6.2, 6.2) },
            retries: 40,
            throttles: 40,
            deadlines_passed: 0,
            wrong_checksums: 1,
            moments: moments(&told),
            error: None,
        };
        insta::assert_snapshot!("receipt", receipt.markdown());
    }

    #[test]
    fn the_worst_moments_are_few_failures_first_and_told_in_their_order() {
        let mut told: Vec<Entry> = (0..20).map(|at| note(at, Tone::Warning, 1, "a warning")).collect();
        told.push(note(30, Tone::Bad, 1, "a failure"));
        told.insert(0, note(-5, Tone::Warning, 9, "often"));
        let worst = moments(&told);
        assert_eq!(worst.len(), MOMENTS);
        assert_eq!(worst[0].text, "often");
        assert_eq!(worst[MOMENTS - 1].text, "a failure");
    }
}
