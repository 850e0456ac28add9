//! Memory, money and time of a plan: pure, and recomputed while a user turns a knob.
//!
//! First honest figures: each line is shown, each says how sure it is, and what is not known is `?`.

mod copies;

use crate::bandwidth::Bandwidth;
use crate::ids::Region;
use crate::plan::alternatives::clock;
use crate::plan::choices::{
    COMPRESSOR, FETCHED_ITEM, FRAME, FSP_OPEN, INDEX, LISTED_ENTRY, LOCAL_ITEM, compressing, lanes_for, run_blocks,
};
use crate::plan::layout::Layout;
use crate::plan::machine::{Machine, RunsIn};
use crate::plan::model::{
    Choices, CostEstimate, CostPart, DestinationKind, DestinationPlan, Fit, ItemPlan, MemoryEstimate, MemoryPart,
    Options, SourceKind, Strategy, TimeEstimate, Verify,
};
use crate::plan::peer;
use crate::plan::prices::{Api, Prices};
use crate::units::{BLOCK_BYTES, Blocks, Bytes, Quantity, Sure, Usd};

/// The process without a job: binary, runtime, SDK, TLS roots. Measured on Linux x86-64.
pub const PROCESS_BASE: Bytes = Bytes::mib(34);
/// Bits and digests that the ledger keeps in memory at most.
pub const LEDGER_CACHE: Bytes = Bytes::mib(8);
/// Seconds that start, canary, completion and listing back take beside the blocks.
const FIXED_SECONDS: f64 = 4.0;
/// A request over a distance, seconds, until this route has been measured.
const ASSUMED_LATENCY: f64 = 0.1;
/// What the service gives at worst, as a share of the quota: the slack of the high end.
const SLACK: f64 = 1.19;

/// What one item of this source weighs on its way.
#[must_use]
pub const fn item_weight(source: &SourceKind) -> Bytes {
    match source {
        SourceKind::Snapshot { .. } | SourceKind::Image { .. } | SourceKind::Delta { .. } => FETCHED_ITEM,
        SourceKind::File { .. } | SourceKind::Fsp { .. } | SourceKind::Prefix { .. } => LOCAL_ITEM,
        // A block and the frame that it comes out of, or the answer that it is taken from.
        SourceKind::Archive { .. } | SourceKind::Object { .. } => Bytes(FETCHED_ITEM.0 + FRAME.0),
    }
}

/// What one item weighs beside that: a frame for each archive that it goes to.
#[must_use]
pub fn frames_weight(item: &ItemPlan) -> Bytes {
    Bytes(archives(item) * FRAME.0)
}

/// How many archives an item makes.
#[must_use]
pub(super) fn archives(item: &ItemPlan) -> u64 {
    item.destinations.iter().filter(|to| matches!(to.kind, DestinationKind::Archive { .. })).count() as u64
}

/// Blocks that have to be held before any of them can be sent: those of the largest piece of an object; 0 where there is
/// none.
#[must_use]
pub fn gathered(item: &ItemPlan) -> u32 {
    let piece = |to: &DestinationPlan| match &to.kind {
        DestinationKind::Object { layout, .. } => Some(layout.piece),
        _ => None,
    };
    item.destinations.iter().filter_map(piece).max().unwrap_or(0)
}

/// Blocks that are held beyond those on their way: a piece for each lane that sends one, and one that is gathered.
fn held(item: &ItemPlan, choices: &Choices, share: Bytes) -> u64 {
    match u64::from(gathered(item)) {
        0 => 0,
        piece => {
            let (lanes, room) = (u64::from(choices.lanes_max), u64::from(lanes_for(share, whole_weight(item))));
            ((lanes + 1) * piece).min(room.saturating_sub(lanes))
        }
    }
}

/// What a job keeps all the time it runs: the tables of compressors, unpacked segments.
#[must_use]
pub(super) fn kept(item: &ItemPlan, share: Bytes) -> Bytes {
    compressing(archives(item), share) + unpacked(item)
}

/// Segments of flexible-snapshot-proxy that are unpacked at a time.
fn unpacked(item: &ItemPlan) -> Bytes {
    match &item.source.kind {
        SourceKind::Fsp { largest, .. } => Bytes(largest.0 * FSP_OPEN as u64),
        _ => Bytes::ZERO,
    }
}

/// The least that a job holds at a time: an item and what it keeps, or the index of an archive that is being written.
#[must_use]
pub fn least(item: &ItemPlan) -> Bytes {
    let index = if archives(item) > 0 { INDEX } else { Bytes::ZERO };
    Bytes(archives(item) * COMPRESSOR.0) + unpacked(item) + moved(item).max(index)
}

/// What has to be held at once for anything to be written: an item, or a piece of an object and the item after it.
#[must_use]
pub fn moved(item: &ItemPlan) -> Bytes {
    Bytes(whole_weight(item).0 * (u64::from(gathered(item)) + 1))
}

/// What one item of this job weighs on its whole way.
#[must_use]
pub(super) fn whole_weight(item: &ItemPlan) -> Bytes {
    item_weight(&item.source.kind) + frames_weight(item)
}

/// Memory at the peak, by part.
#[must_use]
pub fn memory(items: &[ItemPlan], choices: &Choices, machine: &Machine) -> MemoryEstimate {
    if items.iter().all(ItemPlan::is_copied) {
        return copies::memory(choices, machine);
    }
    let fetched =
        items.iter().any(|item| !matches!(item.source.kind, SourceKind::File { .. } | SourceKind::Fsp { .. }));
    let is_read = items.iter().any(ItemPlan::is_read);
    let lanes = if is_read { u64::from(choices.lanes_max) } else { 0 };
    let in_flight = Bytes(lanes * crate::units::BLOCK_BYTES);
    let weight = items.iter().map(|item| item_weight(&item.source.kind)).max().unwrap_or(LOCAL_ITEM);
    let connections = Bytes(lanes * weight.0).less(in_flight);
    let pages = if fetched && is_read {
        Bytes(u64::from(choices.cursors) * u64::from(choices.page_size) * LISTED_ENTRY.0)
    } else {
        Bytes::ZERO
    };
    let part = |name: &str, bytes: Bytes, in_budget: bool| MemoryPart { name: name.to_owned(), bytes, in_budget };
    let mut parts = vec![
        part("listing pages", pages, true),
        part("blocks in flight", in_flight, true),
        part("connections", connections, true),
    ];
    let frames = items.iter().map(frames_weight).max().unwrap_or_default();
    let kept = items.iter().map(|item| kept(item, choices.budget)).max().unwrap_or_default();
    if frames + kept > Bytes::ZERO {
        parts.push(part("compression", Bytes(lanes * frames.0) + kept, true));
    }
    let pieces = items.iter().map(|item| held(item, choices, choices.budget) * whole_weight(item).0).max();
    if let Some(pieces) = pieces.filter(|pieces| *pieces > 0) {
        parts.push(part("parts of objects", Bytes(pieces), true));
    }
    parts.extend([part("ledger cache", LEDGER_CACHE, false), part("process", PROCESS_BASE, false)]);
    let total: Bytes = parts.iter().map(|part| part.bytes).sum();
    let budgeted: Bytes = parts.iter().filter(|part| part.in_budget).map(|part| part.bytes).sum();
    let (limit, limit_name) = machine.limit();
    let fit = if budgeted > choices.budget || total > limit {
        Fit::WillNotFit
    } else if total.0 > limit.0 / 10 * 9 {
        Fit::Tight
    } else {
        Fit::Fits
    };
    MemoryEstimate {
        total,
        parts,
        budget: choices.budget,
        limit,
        limit_name: limit_name.to_owned(),
        fit,
        ebs_py: peer::ebs_py(items),
    }
}

/// What jobs write down about themselves in the state directory, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records {
    /// Digests, and bits of what is listed and done.
    pub ledger: Bytes,
    /// What happened; folded before it grows larger.
    pub journal: Bytes,
}

/// A page of the ledger, the bits and the digests that it holds, and the pages of its header.
const LEDGER_PAGE: u64 = 4096;
const BITS_A_PAGE: u64 = LEDGER_PAGE * 8;
const DIGESTS_A_PAGE: u64 = LEDGER_PAGE / 32;
const HEADER_PAGES: u64 = 2;
/// A journal is folded at 4 MiB, and for a moment both versions of it lie there.
const JOURNAL_MOST: Bytes = Bytes::mib(8);

/// What the records of these jobs take on the disk. Ledgers are sparse: a block that is not listed takes no digest.
#[must_use]
pub fn records(items: &[ItemPlan]) -> Records {
    let ledger = |item: &ItemPlan| {
        let (indexes, blocks) = match item.is_copied() {
            // What S3 copies itself has its list of parts in the journal.
            true => (1, 0),
            false => (item.source.volume.blocks().0, item.source.blocks.value.0),
        };
        let bitmaps = item.destinations.len() as u64 + 1;
        let digests = if item.is_read() { indexes.div_ceil(DIGESTS_A_PAGE).min(blocks) } else { 0 };
        (HEADER_PAGES + bitmaps * indexes.div_ceil(BITS_A_PAGE) + digests) * LEDGER_PAGE
    };
    Records { ledger: Bytes(items.iter().map(ledger).sum()), journal: Bytes(items.len() as u64 * JOURNAL_MOST.0) }
}

/// Collects the lines of a bill.
struct Bill<'a> {
    prices: &'a Prices,
    parts: Vec<CostPart>,
}

impl Bill<'_> {
    fn line(&mut self, name: String, quantity: Quantity<f64>, unit: &str, price: Quantity<Usd>, to: Option<usize>) {
        self.push(name, quantity, unit, price, false, to);
    }

    fn push(
        &mut self,
        name: String,
        quantity: Quantity<f64>,
        unit: &str,
        price: Quantity<Usd>,
        monthly: bool,
        destination: Option<usize>,
    ) {
        let usd = Quantity { value: Usd(price.value.0 * quantity.value), sure: price.sure.and(quantity.sure) };
        self.parts.push(CostPart { name, quantity: quantity.value, unit: unit.to_owned(), usd, monthly, destination });
    }

    /// Bytes on one leg of the route.
    fn transfer(&mut self, from: Option<&Region>, to: Option<&Region>, gib: Quantity<f64>, destination: Option<usize>) {
        match (from, to) {
            (Some(from), Some(to)) if from != to => {
                let price = self.prices.between(from, to);
                self.line(format!("transfer {from} → {to}"), gib, "GiB", price, destination);
            }
            (Some(from), None) => {
                let price = self.prices.to_internet();
                self.line(format!("transfer {from} → internet"), gib, "GiB", price, destination);
            }
            // Within a region to its own endpoint, and into AWS, nothing is charged.
            _ => {}
        }
    }
}

/// What it costs, by part and by the route through the machine that floe runs on.
#[must_use]
pub fn cost(
    items: &[ItemPlan],
    options: &Options,
    choices: &Choices,
    runs_in: &RunsIn,
    prices: &Prices,
) -> CostEstimate {
    let mut bill = Bill { prices, parts: Vec::new() };
    for item in items {
        copies::cost(&mut bill, item, options, runs_in.region());
        item_cost(&mut bill, item, options, choices, runs_in);
    }
    let sum = |monthly: bool| {
        bill.parts.iter().filter(|part| part.monthly == monthly).fold(
            Quantity::exact(Usd(0.0)),
            |sum: Quantity<Usd>, part| Quantity {
                value: sum.value + part.usd.value,
                sure: sum.sure.and(part.usd.sure),
            },
        )
    };
    CostEstimate {
        once: sum(false),
        monthly: sum(true),
        prices_as_of: prices.as_of.clone(),
        runs_in: runs_in.text(),
        parts: bill.parts,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
fn item_cost(bill: &mut Bill<'_>, item: &ItemPlan, options: &Options, choices: &Choices, runs_in: &RunsIn) {
    let blocks = item.source.blocks;
    let count = Quantity { value: blocks.value.0 as f64, sure: blocks.sure };
    let gib = Quantity { value: blocks.value.bytes().as_gib(), sure: blocks.sure };
    let pages = Quantity {
        value: blocks.value.0.div_ceil(u64::from(choices.page_size)).max(u64::from(choices.cursors)) as f64,
        sure: blocks.sure.and(Sure::Estimate),
    };
    let here = runs_in.region();
    if !item.is_read() && item.is_copied() {
        return;
    }
    if let (true, Some(region), true) = (item.source.kind.is_snapshot(), &item.source.region, item.is_read()) {
        let (get, list) = (bill.prices.request(Api::Get, region), bill.prices.request(Api::List, region));
        bill.line(format!("Get in {region}"), count, "requests", get, None);
        bill.line(format!("List in {region}"), pages, "requests", list, None);
        bill.transfer(Some(region), here, gib, None);
    }
    if let (SourceKind::Archive { .. } | SourceKind::Fsp { .. } | SourceKind::Object { .. }, Some(region)) =
        (&item.source.kind, &item.source.region)
    {
        let get = bill.prices.s3("STANDARD", region).get;
        bill.line(format!("S3 GET in {region}"), count, "requests", get, None);
        bill.transfer(Some(region), here, gib, None);
    }
    for (at, to) in item.destinations.iter().enumerate() {
        if let (DestinationKind::Archive { keep, .. }, Some(region)) = (&to.kind, &to.region) {
            archive_cost(bill, at, keep.class.as_deref(), region, choices, options, (count, gib), here);
            continue;
        }
        if let (DestinationKind::Object { layout, keep, .. }, Some(region)) = (&to.kind, &to.region) {
            object_cost(bill, at, (layout, keep.class.as_deref()), region, options, blocks, here);
            continue;
        }
        let on = match &to.kind {
            DestinationKind::Snapshot { on, .. } => on.as_ref(),
            DestinationKind::Image { .. } => None,
            _ => continue,
        };
        let Some(region) = &to.region else { continue };
        if to.strategy == Strategy::Native {
            bill.transfer(item.source.region.as_ref(), Some(region), gib, Some(at));
            if let Some(within) = options.complete_within {
                let price = Quantity { value: within.surcharge(), sure: Sure::Estimate };
                bill.line(format!("time-based copy to {region}, {within}"), gib, "GiB", price, Some(at));
            }
        } else {
            // A whole source writes zeros where only the parent has a block.
            let covered = on.filter(|_| item.source.kind.base().is_none());
            let puts = covered.map_or(count, |parent| {
                let most = (blocks.value + parent.blocks).min(item.source.volume.max(parent.volume).blocks());
                Quantity { value: most.0 as f64, sure: blocks.sure.and(Sure::AtMost) }
            });
            direct(bill, (at, region), options, (puts, pages, gib), here, on.is_some());
        }
        // Incremental storage cannot be known before: at most the whole.
        let month = bill.prices.snapshot_month(region);
        let stored = Quantity { value: gib.value, sure: gib.sure.and(Sure::AtMost) };
        bill.push(format!("snapshot storage in {region}"), stored, "GiB-month", month, true, Some(at));
    }
}

/// What an archive costs: at most, because nothing says before how far its blocks compress.
#[expect(clippy::too_many_arguments, reason = "one line of a bill each")]
fn archive_cost(
    bill: &mut Bill<'_>,
    at: usize,
    class: Option<&str>,
    region: &Region,
    choices: &Choices,
    options: &Options,
    (count, gib): (Quantity<f64>, Quantity<f64>),
    here: Option<&Region>,
) {
    let price = bill.prices.s3(class.unwrap_or("STANDARD"), region);
    let most = |quantity: Quantity<f64>| Quantity { value: quantity.value, sure: quantity.sure.and(Sure::AtMost) };
    let objects = Quantity {
        value: (count.value / f64::from(run_blocks(choices.lanes_start))).ceil() + 2.0,
        sure: count.sure.and(Sure::Estimate),
    };
    bill.line(format!("S3 PUT in {region}"), objects, "requests", price.put, Some(at));
    bill.transfer(here, Some(region), most(gib), Some(at));
    if options.verify == Verify::Full {
        bill.line(format!("S3 GET back in {region}"), count, "requests", price.get, Some(at));
        bill.transfer(Some(region), here, most(gib), Some(at));
    }
    bill.push(format!("S3 storage in {region}"), most(gib), "GiB-month", price.month, true, Some(at));
}

/// What an object costs: its storage is its whole length, zeros as well; its requests are counted before.
#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn object_cost(
    bill: &mut Bill<'_>,
    at: usize,
    (layout, class): (&Layout, Option<&str>),
    region: &Region,
    options: &Options,
    blocks: Quantity<Blocks>,
    here: Option<&Region>,
) {
    let count = Quantity { value: blocks.value.0 as f64, sure: blocks.sure };
    let price = bill.prices.s3(class.unwrap_or("STANDARD"), region);
    let gib = Quantity::exact(layout.length.as_gib());
    let dense = blocks.sure == Sure::Exact && blocks.value == layout.length.blocks();
    let requests = layout.requests(dense) as f64;
    let requests = if dense { Quantity::exact(requests) } else { Quantity::at_most(requests) };
    bill.line(format!("S3 PUT in {region}"), requests, "requests", price.put, Some(at));
    let sent = if dense { gib } else { Quantity { value: gib.value, sure: gib.sure.and(Sure::AtMost) } };
    bill.transfer(here, Some(region), sent, Some(at));
    if options.verify == Verify::Full {
        let read = Quantity { value: count.value * BLOCK_BYTES as f64 / Bytes::gib(1).0 as f64, sure: count.sure };
        bill.line(format!("S3 GET back in {region}"), count, "requests", price.get, Some(at));
        bill.transfer(Some(region), here, read, Some(at));
    }
    bill.push(format!("S3 storage in {region}"), gib, "GiB-month", price.month, true, Some(at));
}

/// What it costs to put the blocks of one destination, and to look at them again.
fn direct(
    bill: &mut Bill<'_>,
    (at, region): (usize, &Region),
    options: &Options,
    (count, pages, gib): (Quantity<f64>, Quantity<f64>, Quantity<f64>),
    here: Option<&Region>,
    on_parent: bool,
) {
    let put = bill.prices.request(Api::Put, region);
    bill.line(format!("Put in {region}"), count, "requests", put, Some(at));
    bill.transfer(here, Some(region), gib, Some(at));
    if options.verify != Verify::None {
        let list = bill.prices.request(Api::List, region);
        // On a parent: the result's list, its parent's, and what differs between them.
        let lists = Quantity { value: if on_parent { 3.0 * pages.value } else { pages.value }, sure: pages.sure };
        bill.line(format!("List back in {region}"), lists, "requests", list, Some(at));
    }
    if options.verify == Verify::Full {
        let get = bill.prices.request(Api::Get, region);
        bill.line(format!("Get back in {region}"), count, "requests", get, Some(at));
        bill.transfer(Some(region), here, gib, Some(at));
    }
}

/// How long: the slowest of the quotas and what the lanes can carry.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
pub fn time(items: &[ItemPlan], options: &Options, choices: &Choices) -> TimeEstimate {
    let lanes = f64::from(choices.lanes_max) / ASSUMED_LATENCY;
    let mut low = 0.0;
    let mut bound = (f64::INFINITY, String::new());
    if !items.iter().any(ItemPlan::is_read) {
        if let Some(within) = options.complete_within {
            let bound_by = format!("AWS, which is asked to be done within {}", clock(within.seconds()));
            let most = within.seconds();
            return TimeEstimate { low_seconds: most, high_seconds: most, bound_by, sure: Sure::AtMost };
        }
        let bound_by = "AWS, which copies at its own pace: best effort".to_owned();
        return TimeEstimate { low_seconds: 0.0, high_seconds: 0.0, bound_by, sure: Sure::Unknown };
    }
    for item in items.iter().filter(|item| item.is_read()) {
        let blocks = item.source.blocks.value.0 as f64;
        let mut candidates = vec![(lanes, format!("{} lanes at an assumed 100 ms", choices.lanes_max))];
        if item.source.kind.is_snapshot() {
            let get = choices.get_per_second;
            candidates.push((get, format!("Get/s per snapshot, {} (L-028ACFB9, fixed)", per_second(get))));
        }
        if item.destinations.iter().any(is_snapshot) {
            let put = choices.put_per_second;
            let sharing = most_sharing(&item.destinations);
            let share = choices.put_per_account / f64::from(sharing.max(1));
            candidates.push(if share < put {
                let account = per_second(choices.put_per_account);
                (share, format!("Put/s per account, {account} for {sharing} destinations (L-AFAE1BE8)"))
            } else {
                (put, format!("Put/s per snapshot, {} (L-1774F84A, fixed)", per_second(put)))
            });
        }
        if let Some(limit) = options.bandwidth.as_ref().and_then(Bandwidth::least) {
            // Each block counts once for reading and once for each destination that keeps it.
            let kept = item.destinations.iter().filter(|to| to.kind != DestinationKind::Null).count();
            let rate = limit.0 as f64 / (crate::units::BLOCK_BYTES as f64 * (1.0 + kept as f64));
            let said = options.bandwidth.as_ref().map_or_else(String::new, ToString::to_string);
            candidates.push((rate, format!("--bandwidth {said}")));
        }
        // Of equal limits the last one named binds: the put, which is what a user can least change.
        let slowest = candidates
            .into_iter()
            .reduce(|a, b| if b.0 <= a.0 { b } else { a })
            .unwrap_or_else(|| (f64::INFINITY, String::new()));
        low += blocks / slowest.0;
        if options.verify == Verify::Full && item.destinations.iter().any(is_snapshot) {
            low += blocks / choices.get_per_second.min(lanes);
        }
        if slowest.0 < bound.0 {
            bound = slowest;
        }
    }
    let sure = items.iter().map(|item| item.source.blocks.sure).fold(Sure::Estimate, Sure::and);
    TimeEstimate {
        low_seconds: low + FIXED_SECONDS,
        high_seconds: (low + FIXED_SECONDS) * SLACK,
        bound_by: bound.1,
        sure,
    }
}

/// The most new snapshots that one account makes in one region: they share its Put quota.
fn most_sharing(destinations: &[DestinationPlan]) -> u32 {
    let mut counts = std::collections::BTreeMap::new();
    for to in destinations.iter().filter(|to| is_snapshot(to)) {
        *counts.entry((&to.account, &to.region)).or_insert(0u32) += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

fn per_second(rate: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quota is a small positive number")]
    crate::units::grouped(rate.max(0.0) as u64)
}

/// Whether blocks are put to it.
fn is_snapshot(to: &DestinationPlan) -> bool {
    matches!(to.kind, DestinationKind::Snapshot { .. }) && to.strategy != Strategy::Native
}
