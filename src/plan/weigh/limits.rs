//! What holds a job's blocks back: each limit is a rate with a name, how sure it is, and whose it is. A job has some of them
//! alone; others it shares with whatever runs beside it, as the engine's limiters and lanes are shared.

use std::collections::BTreeMap;

use crate::bandwidth::Bandwidth;
use crate::ids::{AccountId, Region, SnapshotId};
use crate::plan::facts::route;
use crate::plan::machine::Host;
use crate::plan::model::{Choices, DestinationKind, DestinationPlan, Facts, ItemPlan, Options, Strategy};
use crate::store::routes::Past;
use crate::units::{BLOCK_BYTES, Bytes, counted};

use super::load;

/// A request over a distance, seconds, until this route has been measured.
const ASSUMED_LATENCY: f64 = 0.1;
/// How much of that it may be at best: a neighbouring region is nearer than the far side of the world.
const ASSUMED_BEST: f64 = 0.6;
/// What the service gives at worst, as a share of the quota: the slack of the high end.
const SLACK: f64 = 1.19;
/// What it takes at best of what the past says: the best of a few jobs is not the best there is.
const PAST_BEST: f64 = 0.93;
/// What one core does with a block beside hashing it: TLS, HTTP, copying, the ledger; MiB a second (benchmarks of
/// November 2026: 1.35 CPU seconds a GiB for a copy, 0.59 of them SHA-256).
const REST_PER_CORE: f64 = 1350.0;
/// An earlier job says something about one of at most so many times its size: below, what it took was mostly its start.
const SAYS_UP_TO: u64 = 16;

/// How sure a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// A quota, or what was asked for: it is never exceeded.
    Fixed,
    /// As measured in earlier jobs.
    Measured,
    /// Assumed.
    Guessed,
}

impl Known {
    /// What it takes at best and at worst, of what it takes by the figures.
    pub(super) const fn spread(self) -> (f64, f64) {
        match self {
            Self::Fixed => (1.0, SLACK),
            Self::Measured => (PAST_BEST, SLACK),
            Self::Guessed => (ASSUMED_BEST, SLACK),
        }
    }
}

/// Whom a limit holds back together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    /// One job.
    Own,
    /// Whoever reads that snapshot.
    Snapshot(SnapshotId),
    /// Whoever gets blocks there.
    Get(AccountId, Region),
    /// Whoever puts blocks there.
    Put(AccountId, Region),
    /// Whoever has lanes of the engine's budget.
    Lanes,
    /// Whatever runs on this machine.
    Cores,
    /// Whatever goes through its network.
    Network,
    /// All jobs of one operation.
    Bandwidth,
}

/// A limit.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    pub whose: Whose,
    /// What it gives a second to all that share it.
    pub all: f64,
    /// What of it one block takes.
    pub uses: f64,
    /// What it gave at the least, where that is known.
    pub least: f64,
    pub known: Known,
    /// What it is: `Put/s per snapshot, 1,000 (L-1774F84A, fixed)`.
    pub text: String,
}

impl Limit {
    fn of(whose: Whose, all: f64, uses: f64, known: Known, text: String) -> Self {
        Self { whose, all, uses, least: all, known, text }
    }

    fn own(rate: f64, known: Known, text: String) -> Self {
        Self::of(Whose::Own, rate, 1.0, known, text)
    }

    /// Blocks a second of a job that has it alone.
    pub(super) fn rate(&self) -> f64 {
        self.all / self.uses
    }

    /// What it gives a second at best and at worst.
    pub(super) fn span(&self) -> (f64, f64) {
        let (best, worst) = self.known.spread();
        (self.all / best, self.least / worst)
    }
}

/// What jobs took that went the way of this one.
pub(super) fn past<'a>(item: &ItemPlan, facts: &'a Facts) -> &'a [Past] {
    let other = || facts.elsewhere.get(&route(item, &facts.runs_in.text()));
    if facts.elsewhere.is_empty() { &facts.past } else { other().unwrap_or(&facts.past) }
}

/// Earlier jobs on this route that say something about one of this size.
pub(super) fn usable<'a>(item: &ItemPlan, facts: &'a Facts) -> impl Iterator<Item = &'a Past> + use<'a> {
    let blocks = item.source.blocks.value.0;
    past(item, facts)
        .iter()
        .filter(move |past| past.seconds > 0.0 && blocks <= past.blocks.0.saturating_mul(SAYS_UP_TO))
}

/// Blocks a second while they moved.
#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
fn rate(past: &Past) -> f64 {
    past.blocks.0 as f64 / if past.moving > 0.0 { past.moving } else { past.seconds }
}

/// Rates of earlier jobs that were free to go as fast as they could.
fn rates<'a>(item: &ItemPlan, facts: &'a Facts) -> impl Iterator<Item = f64> + use<'a> {
    usable(item, facts).filter(|past| !past.capped).map(rate)
}

/// The slowest that this route was.
pub(super) fn slowest_before(item: &ItemPlan, facts: &Facts) -> Option<f64> {
    rates(item, facts).reduce(f64::min)
}

/// What lanes carry, by the latency that was measured on this route, else by an assumed one: those of the job, and those
/// that the budget has room for, which all jobs share.
fn lanes(item: &ItemPlan, options: &Options, choices: &Choices, facts: &Facts) -> [Limit; 2] {
    let measured = past(item, facts).iter().map(|past| f64::from(past.get_ms + past.put_ms)).filter(|ms| *ms > 0.0);
    let (seconds, known, how) = match measured.reduce(f64::min) {
        // A lane that waits for nothing still takes its turn at the cores.
        Some(ms) => ((ms / 1000.0).max(0.001), Known::Measured, format!("{ms:.0} ms, as measured on this route")),
        None => (ASSUMED_LATENCY, Known::Guessed, "an assumed 100 ms".to_owned()),
    };
    let (own, all) = (choices.lanes_max, load(item, options).lanes_in(choices.budget).max(choices.lanes_max));
    // Jobs of unlike latency share lanes, not blocks.
    let room = Limit::of(Whose::Lanes, f64::from(all), seconds, known, format!("{all} lanes of the budget at {how}"));
    [room, Limit::own(f64::from(own) / seconds, known, format!("{own} lanes at {how}"))]
}

/// All that hold the blocks of a job back. Of equal ones the last one counts: it is what a user can least change.
pub(super) fn of_moving(item: &ItemPlan, options: &Options, choices: &Choices, facts: &Facts) -> Vec<Limit> {
    let mut all: Vec<Limit> = lanes(item, options, choices, facts).into();
    all.extend(machine(item, &facts.host));
    if let (Some(best), Some(least)) = (rates(item, facts).reduce(f64::max), slowest_before(item, facts)) {
        let jobs = counted(rates(item, facts).count() as u64, "earlier job");
        let text = format!("what {jobs} on this route reached, {} MiB/s", per_second(best / 2.0));
        all.push(Limit { least, ..Limit::own(best, Known::Measured, text) });
    }
    all.extend(gets(item, choices, facts));
    all.extend(puts(item, choices, facts));
    if let Some(limit) = options.bandwidth.as_ref().and_then(Bandwidth::least) {
        let text = format!("--bandwidth {}", options.bandwidth.as_ref().map_or_else(String::new, ToString::to_string));
        all.push(Limit::of(Whose::Bandwidth, as_blocks(limit), ways(item), Known::Fixed, text));
    }
    all
}

/// All that hold it back while its results are read again.
pub(super) fn of_reading_back(item: &ItemPlan, options: &Options, choices: &Choices, facts: &Facts) -> Vec<Limit> {
    let mut all: Vec<Limit> = lanes(item, options, choices, facts).into();
    let per_account = choices.get_per_account;
    all.extend(makers(&item.destinations).into_iter().map(|((account, region), many)| {
        let text = quota(facts, "L-C125AE42", &format!("Get/s per account, {}", per_second(per_account)), "");
        Limit::of(Whose::Get(account, region), per_account, f64::from(many), Known::Fixed, text)
    }));
    let get = choices.get_per_second;
    let text = quota(facts, "L-028ACFB9", &format!("Get/s per snapshot, {}", per_second(get)), ", fixed");
    all.push(Limit::own(get, Known::Fixed, text));
    all
}

fn gets(item: &ItemPlan, choices: &Choices, facts: &Facts) -> Vec<Limit> {
    if !item.source.kind.is_snapshot() {
        return Vec::new();
    }
    let (own, of_account) = (choices.get_per_second, choices.get_per_account);
    let mut all = Vec::new();
    if let (Some(account), Some(region)) = (&item.source.account, &item.source.region) {
        let text = quota(facts, "L-C125AE42", &format!("Get/s per account, {}", per_second(of_account)), "");
        all.push(Limit::of(Whose::Get(account.clone(), region.clone()), of_account, 1.0, Known::Fixed, text));
    }
    let whose = item.source.kind.snapshot().map_or(Whose::Own, |id| Whose::Snapshot(id.clone()));
    let text = quota(facts, "L-028ACFB9", &format!("Get/s per snapshot, {}", per_second(own)), ", fixed");
    all.push(Limit::of(whose, own, 1.0, Known::Fixed, text));
    all
}

fn puts(item: &ItemPlan, choices: &Choices, facts: &Facts) -> Vec<Limit> {
    let (own, of_account) = (choices.put_per_second, choices.put_per_account);
    let mut all: Vec<Limit> = makers(&item.destinations)
        .into_iter()
        .map(|((account, region), many)| {
            let among = if many > 1 { format!(" for {many} destinations") } else { String::new() };
            let text = format!("Put/s per account, {}{among}", per_second(of_account));
            let text = quota(facts, "L-AFAE1BE8", &text, "");
            Limit::of(Whose::Put(account, region), of_account, f64::from(many), Known::Fixed, text)
        })
        .collect();
    if item.destinations.iter().any(is_snapshot) {
        let text = quota(facts, "L-1774F84A", &format!("Put/s per snapshot, {}", per_second(own)), ", fixed");
        all.push(Limit::own(own, Known::Fixed, text));
    }
    all
}

/// `Put/s per snapshot, 1,000 (L-1774F84A, fixed)`; says so where nobody could be asked.
fn quota(facts: &Facts, code: &str, text: &str, fixed: &str) -> String {
    let guessed = facts.quotas.iter().any(|known| known.code == code && !known.told);
    let guessed = if guessed { ", AWS's default: Service Quotas was not told" } else { "" };
    format!("{text} ({code}{fixed}{guessed})")
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn as_blocks(limit: Bytes) -> f64 {
    limit.0 as f64 / BLOCK_BYTES as f64
}

/// How often a limit of bytes counts each block: once for reading, and once for each destination that keeps it.
#[expect(clippy::cast_precision_loss, reason = "a few destinations")]
fn ways(item: &ItemPlan) -> f64 {
    1.0 + item.destinations.iter().filter(|to| to.kind != DestinationKind::Null).count() as f64
}

/// What cores and network carry.
fn machine(item: &ItemPlan, host: &Host) -> Vec<Limit> {
    let mut all = Vec::new();
    if host.cores > 0 && host.sha256 > 0.0 {
        let per_core = 1.0 / (1.0 / host.sha256 + 1.0 / REST_PER_CORE);
        let text = format!("CPU: {} cores, SHA-256 at {} MiB/s each", host.cores, per_second(host.sha256));
        all.push(Limit::of(Whose::Cores, per_core * f64::from(host.cores) * 2.0, 1.0, Known::Measured, text));
    }
    if let (Some(gbit), Some(kind)) = (host.network, &host.kind) {
        let remote = item.destinations.iter().filter(|to| to.region.is_some()).count();
        let reads = u32::from(item.source.region.is_some());
        let ways = f64::from(u32::try_from(remote).unwrap_or(u32::MAX).max(reads).max(1));
        // In and out have the baseline each.
        let mib = gbit * 1e9 / 8.0 / (1024.0 * 1024.0);
        let text = format!("network of {kind}, {gbit} Gbit/s all the time");
        all.push(Limit::of(Whose::Network, mib * 2.0, ways, Known::Fixed, text));
    }
    all
}

/// How many new snapshots one account makes in one region: they share its quotas there.
fn makers(destinations: &[DestinationPlan]) -> BTreeMap<(AccountId, Region), u32> {
    let mut counts = BTreeMap::new();
    let places = destinations.iter().filter(|to| is_snapshot(to));
    for place in places.filter_map(|to| to.account.clone().zip(to.region.clone())) {
        *counts.entry(place).or_insert(0u32) += 1;
    }
    counts
}

fn per_second(rate: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quota is a small positive number")]
    crate::units::grouped(rate.max(0.0) as u64)
}

/// Whether blocks are put to it.
pub(super) fn is_snapshot(to: &DestinationPlan) -> bool {
    matches!(to.kind, DestinationKind::Snapshot { .. }) && to.strategy != Strategy::Native
}
