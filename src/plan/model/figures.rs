//! The figures of a plan: memory, money, time, other ways, and what the run is set to.

use serde::{Deserialize, Serialize};

use super::{Operation, Strategy};
use crate::units::{Bytes, Quantity, Sure, Usd};
use crate::within::Within;

/// How much something weighs, by part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryPart {
    /// `listing pages`, `blocks in flight`, …
    pub name: String,
    /// At its peak.
    pub bytes: Bytes,
    /// Whether it counts against the budget (the rest is the process's own).
    pub in_budget: bool,
}

/// Whether the memory is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// With room to spare.
    Fits,
    /// Within the last tenth.
    Tight,
    /// It does not.
    WillNotFit,
}

/// Memory of an operation at its peak; flat however large the snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryEstimate {
    /// Sum of the parts.
    pub total: Bytes,
    /// The parts.
    pub parts: Vec<MemoryPart>,
    /// The budget it runs under.
    pub budget: Bytes,
    /// The tightest outer limit: cgroup, else machine.
    pub limit: Bytes,
    /// What that limit is: `cgroup`, `machine`.
    pub limit_name: String,
    /// The verdict.
    pub fit: Fit,
    /// Jobs of it that run at once: what all of them hold together is said.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub jobs: u32,
    /// The same operation in ebs.py, by its own published profile.
    pub ebs_py: Quantity<Bytes>,
}

impl MemoryEstimate {
    /// Of what was not weighed yet, in a budget.
    #[must_use]
    pub fn unweighed(budget: Bytes) -> Self {
        Self {
            total: Bytes::ZERO,
            parts: Vec::new(),
            budget,
            limit: Bytes::ZERO,
            limit_name: String::new(),
            fit: Fit::Fits,
            jobs: 1,
            ebs_py: Quantity::unknown(),
        }
    }
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_one(jobs: &u32) -> bool {
    *jobs == 1
}

impl MemoryEstimate {
    /// The part that is the process itself, whatever runs in it.
    pub const PROCESS: &str = "process";

    fn sum(&self, counts: impl Fn(&MemoryPart) -> bool) -> Bytes {
        self.parts.iter().filter(|part| counts(part)).map(|part| part.bytes).sum()
    }
    /// What the process takes whatever runs: with several jobs it is there once.
    #[must_use]
    pub fn base(&self) -> Bytes {
        self.sum(|part| part.name == Self::PROCESS)
    }
    /// What the budget gives.
    #[must_use]
    pub fn of_budget(&self) -> Bytes {
        self.sum(|part| part.in_budget)
    }
}

/// One line of the bill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostPart {
    /// `Get`, `Put`, `List`, `transfer out of us-east-1`, …
    pub name: String,
    /// How many of what: `31,318,565 requests`, `15,292 GiB`.
    pub quantity: f64,
    /// How sure that is: the price has its own.
    #[serde(default = "unsure")]
    pub counted: Sure,
    /// What one quantity is: `request`, `GiB`, `GiB-month`.
    pub unit: String,
    /// Dollars.
    pub usd: Quantity<Usd>,
    /// Whether it comes back every month.
    pub monthly: bool,
    /// Which destination it belongs to; `None` for the source.
    pub destination: Option<usize>,
    /// Which item it belongs to.
    #[serde(default)]
    pub item: usize,
    /// What the meter of a running job counts it by.
    #[serde(default)]
    pub charge: Charge,
    /// What its quantity takes for granted, in a sentence: shown with it, never only in code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumes: Option<String>,
}

impl CostPart {
    /// Takes another line of its kind in: there is one sum then, as sure as the less sure of both.
    pub fn take(&mut self, other: &Self) {
        self.quantity += other.quantity;
        self.usd.value += other.usd.value;
        self.usd.sure = self.usd.sure.and(other.usd.sure);
        self.counted = self.counted.and(other.counted);
    }
}

/// What a line of the bill follows while its job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Charge {
    /// Nothing that is counted: it is taken as planned once the job is done.
    #[default]
    Fixed,
    /// Pages of blocks listed.
    List,
    /// Blocks got by EBS direct.
    Get,
    /// Blocks put by EBS direct.
    Put,
    /// Reads of S3.
    Fetch,
    /// Writes to S3.
    Store,
    /// Bytes read from the source.
    Read,
    /// Bytes written to the destination.
    Written,
    /// Bytes read back from it.
    Back,
    /// What the service did, once its result is complete.
    Service,
}

/// What it would cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostEstimate {
    /// Once.
    pub once: Quantity<Usd>,
    /// Every month after.
    pub monthly: Quantity<Usd>,
    /// The lines.
    pub parts: Vec<CostPart>,
    /// Date of the price table.
    pub prices_as_of: String,
    /// Where floe runs, as assumed or told (`outside AWS`, a region).
    pub runs_in: String,
    /// What has to be paid for keeping it even if it is deleted at once: storage classes have a shortest time.
    #[serde(default = "nothing")]
    pub committed: Quantity<Usd>,
}

impl CostEstimate {
    /// Of what was not weighed yet.
    #[must_use]
    pub fn unweighed() -> Self {
        Self {
            once: Quantity::unknown(),
            monthly: Quantity::unknown(),
            parts: Vec::new(),
            prices_as_of: String::new(),
            runs_in: String::new(),
            committed: Quantity::exact(Usd(0.0)),
        }
    }

    /// What lines of the bill take for granted, in words: those that differ in their figures only, as the jobs of a group
    /// do, once.
    #[must_use]
    pub fn assumed(&self) -> Vec<String> {
        let words = |line: &str| line.replace(|c: char| c.is_ascii_digit() || c == ',', "");
        let mut lines: Vec<(String, bool)> = Vec::new();
        for part in &self.parts {
            let Some(assumes) = &part.assumes else { continue };
            let name = part.name.split(' ').next().unwrap_or_default();
            let line = format!("{name} is an assumption: {assumes}");
            match lines.iter_mut().find(|(known, _)| words(known) == words(&line)) {
                Some((known, others)) => *others |= *known != line,
                None => lines.push((line, false)),
            }
        }
        let likewise = |others| if others { "; of other jobs likewise" } else { "" };
        lines.into_iter().map(|(line, others)| format!("{line}{}", likewise(others))).collect()
    }
}

/// Plans of older versions said it of the dollars only.
const fn unsure() -> Sure {
    Sure::Estimate
}

const fn nothing() -> Quantity<Usd> {
    Quantity::exact(Usd(0.0))
}

/// When in a job something is done that is not its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before they move.
    Before,
    /// After the last of them.
    After,
}

/// What a job does beside moving its blocks: answers that come one after the other, what a service takes, or a disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimePart {
    /// `destinations opened`, `until it is completed`, …
    pub name: String,
    /// When.
    pub when: When,
    /// Answers that are waited for, one after the other.
    pub answers: u64,
    /// At best.
    pub low_seconds: f64,
    /// At worst.
    pub high_seconds: f64,
    /// How that comes, and what of it is assumed.
    pub formula: String,
}

/// How long one job of a group takes, from when it begins: others run beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct JobTime {
    /// At best.
    pub low_seconds: f64,
    /// At worst.
    pub high_seconds: f64,
}

/// How long it would take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeEstimate {
    /// At best, seconds.
    pub low_seconds: f64,
    /// At worst, seconds.
    pub high_seconds: f64,
    /// What binds: `Put/s per snapshot, 1,000 (L-1774F84A)`.
    pub bound_by: String,
    /// How sure.
    pub sure: Sure,
    /// What it does beside its blocks, in its order.
    #[serde(default)]
    pub beside: Vec<TimePart>,
    /// Jobs of it that run at once, at most.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub jobs: u32,
    /// Of a group each job by itself, in the order of its items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<JobTime>,
}

impl TimeEstimate {
    /// Of what was not weighed yet.
    #[must_use]
    pub fn unweighed() -> Self {
        Self {
            low_seconds: 0.0,
            high_seconds: 0.0,
            bound_by: String::new(),
            sure: Sure::Unknown,
            beside: Vec::new(),
            jobs: 1,
            each: Vec::new(),
        }
    }

    /// `8 h 42 m – 10 h 20 m`; `unknown` where AWS sets the pace.
    #[must_use]
    pub fn text(&self) -> String {
        match self.sure {
            Sure::Unknown => "unknown".to_owned(),
            _ => crate::plan::span(self.low_seconds, self.high_seconds),
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Checked, fine.
    Passed,
    /// To know.
    Note,
    /// To think about.
    Warning,
    /// The plan cannot run.
    Refused,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// One sentence.
    pub text: String,
    /// What to do, when there is something.
    pub todo: Option<String>,
}

/// Another way to the same result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// `direct, whole`, `native CopySnapshot`, …
    pub name: String,
    /// Dollars once.
    pub once: Quantity<Usd>,
    /// Dollars a month.
    pub monthly: Quantity<Usd>,
    /// How long, in words.
    pub time: String,
    /// What it keeps: `proof`, `key`, `lineage`.
    pub keeps: String,
    /// Whether this build can run it; else why not.
    pub unavailable: Option<String>,
    /// Whether it is the one chosen.
    pub chosen: bool,
    /// How it is asked for.
    #[serde(default)]
    pub strategy: Strategy,
    /// With this time for AWS.
    #[serde(default)]
    pub complete_within: Option<Within>,
    /// Where it is another operation: what would be planned instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Box<Operation>>,
    /// What is lost, or gained beside money, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
}

/// What the run is set to: computed once, here; the engine obeys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// Lanes at the start.
    pub lanes_start: u32,
    /// Lanes at most.
    pub lanes_max: u32,
    /// Listing cursors at once (1 to 16).
    pub cursors: u32,
    /// Blocks per listing page (100 to 10,000).
    pub page_size: u16,
    /// The engine budget that the plan was made for.
    pub budget: Bytes,
    /// Get requests a second at most, per snapshot: a fixed quota, or the account's where that is lower.
    pub get_per_second: f64,
    /// Put requests a second at most, per destination snapshot: likewise.
    pub put_per_second: f64,
    /// Get requests a second at most, per account and region: the quota in force.
    pub get_per_account: f64,
    /// Put requests a second at most, per account and region: the quota in force.
    pub put_per_account: f64,
}
