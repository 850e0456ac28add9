//! Memory at the peak, by part: what the budget holds, and what the process takes beside it.

use std::cmp::Reverse;

use super::{connections_weight, copies, frames_weight, held, item_weight, kept, load, whole_weight};
use crate::plan::choices::{LISTED_ENTRY, Load, is_small, places, places_of_large};
use crate::plan::machine::Machine;
use crate::plan::model::{
    Choices, DestinationKind, DestinationPlan, Fit, ItemPlan, MemoryEstimate, MemoryPart, Options, SourceKind,
};
use crate::plan::peer;
use crate::units::{Bytes, Sure};

/// The process beside what its job holds: binary, runtime, SDK, TLS roots, and what the allocator keeps of the blocks that
/// pass through. Measured on Linux x86-64.
pub const PROCESS_BASE: Bytes = Bytes::mib(41);
/// The same when hardly anything has passed: jobs of two blocks took 31 MiB in all (28 November 2026, when the binary
/// kept 9 MiB more in memory: so much less is said since).
const PROCESS_COLD: Bytes = Bytes::mib(28);
/// Blocks after which it is all of [`PROCESS_BASE`]: copies and archives at 64 lanes took no more beside their blocks up
/// to 256 of them, and 9 MiB more from 512 on.
const WARM: u64 = 512;
/// Bits and digests that the ledgers of a job's items keep in memory at most.
pub const LEDGER_CACHE: Bytes = Bytes::mib(4);
/// What is written of one block keeps pages of the ledger: of its digest, and of its bits.
const LEDGER_A_BLOCK: Bytes = Bytes::kib(16);

/// The process with two lots of jobs in it, by what it is with each of them: it is there once, and each warms it.
#[must_use]
pub fn warmed(one: Bytes, other: Bytes) -> Bytes {
    let (more, less) = (one.max(other), one.min(other));
    (more + less.less(PROCESS_COLD)).min(PROCESS_BASE.max(more))
}

/// The process with jobs of so many blocks in it.
fn process(blocks: u64) -> Bytes {
    let warm = PROCESS_BASE.less(PROCESS_COLD).0;
    PROCESS_COLD + Bytes(warm * blocks.min(WARM) / WARM)
}

/// What each destination after the first, and one that is an archive, keeps of its own: its client, its records, what the
/// allocator holds between its blocks (an archive twice as much). Measured: three destinations and archives held up to 3 MiB
/// more than was said.
pub const DESTINATION: Bytes = Bytes::mib(2);

/// The tightest limit around the process, and its name.
#[derive(Debug, Clone, Copy)]
pub struct Outer<'a> {
    pub limit: Bytes,
    pub name: &'a str,
}

impl<'a> Outer<'a> {
    /// As the machine tells it.
    pub fn of(machine: &'a Machine) -> Self {
        let (limit, name) = machine.limit();
        Self { limit, name }
    }
}

/// Memory at the peak, by part: of the jobs of a plan that run at once, together.
#[must_use]
pub fn memory(items: &[ItemPlan], options: &Options, choices: &Choices, within: &Outer<'_>) -> MemoryEstimate {
    if items.iter().all(ItemPlan::is_copied) {
        return copies::memory(choices, within);
    }
    let jobs = at_once(items, options, choices);
    let alone = |item: &&ItemPlan| budgeted(&of_job(item, options, choices));
    let heaviest = items.iter().map(|item| alone(&item)).max().unwrap_or_default();
    let parts = all_of(&jobs, options, choices);
    let total: Bytes = parts.iter().map(|part| part.bytes).sum();
    let fit = if heaviest > choices.budget || total > within.limit {
        Fit::WillNotFit
    } else if total.0 > within.limit.0 / 10 * 9 {
        Fit::Tight
    } else {
        Fit::Fits
    };
    MemoryEstimate {
        total,
        parts,
        budget: choices.budget,
        limit: within.limit,
        limit_name: within.name.to_owned(),
        fit,
        jobs: u32::try_from(jobs.len()).unwrap_or(u32::MAX),
        ebs_py: peer::ebs_py(items),
    }
}

fn budgeted(parts: &[MemoryPart]) -> Bytes {
    parts.iter().filter(|part| part.in_budget).map(|part| part.bytes).sum()
}

/// The jobs that run at once and hold the most together: as many as the engine lets in. Those of a chain wait for each
/// other.
fn at_once<'a>(items: &'a [ItemPlan], options: &Options, choices: &Choices) -> Vec<&'a ItemPlan> {
    let mut all: Vec<&ItemPlan> = items.iter().collect();
    all.sort_by_cached_key(|item| Reverse(of_job(item, options, choices).iter().map(|part| part.bytes).sum::<Bytes>()));
    let places = if options.chain { 1 } else { places(choices.budget) };
    let mut large = 0;
    all.retain(|item| {
        let is_large = !is_small(item.source.blocks.value);
        large += usize::from(is_large);
        !is_large || large <= places_of_large(places)
    });
    all.truncate(places);
    all
}

/// The parts of several jobs: the process once, what each keeps beside the budget as often as there are jobs, and of the
/// budget no more than there is.
fn all_of(jobs: &[&ItemPlan], options: &Options, choices: &Choices) -> Vec<MemoryPart> {
    let mut parts: Vec<MemoryPart> = Vec::new();
    for job in jobs {
        for part in of_job(job, options, choices) {
            match parts.iter_mut().find(|known| known.name == part.name) {
                Some(known) => known.bytes += part.bytes,
                None => parts.push(part),
            }
        }
    }
    if jobs.len() > 1 {
        // What is on its way waits for its memory; what is kept all the time was there before.
        let mut above = budgeted(&parts).less(choices.budget);
        for part in parts.iter_mut().filter(|part| part.in_budget && part.name != COMPRESSION) {
            let less = part.bytes.min(above);
            (part.bytes, above) = (part.bytes.less(less), above.less(less));
        }
    }
    let blocks = jobs.iter().fold(0, |all: u64, job| all.saturating_add(blocks_at_most(job)));
    parts.push(MemoryPart { name: MemoryEstimate::PROCESS.to_owned(), bytes: process(blocks), in_budget: false });
    parts
}

const COMPRESSION: &str = "compression";

/// What one job holds at its peak, by part. However many lanes it has, it never holds more blocks than there are.
fn of_job(item: &ItemPlan, options: &Options, choices: &Choices) -> Vec<MemoryPart> {
    let remote = !matches!(item.source.kind, SourceKind::File { .. } | SourceKind::Fsp { .. });
    let blocks = blocks_at_most(item);
    let lanes = if item.is_read() { choices.lanes_max.min(u32::try_from(blocks).unwrap_or(u32::MAX)) } else { 0 };
    let weight = item_weight(&item.source.kind) + connections_weight(item);
    let load = match load(item, options).in_hand() {
        Some(_) => Load::passing(weight),
        None => Load::whole(weight),
    };
    let pages = if remote && item.is_read() {
        Bytes(u64::from(choices.cursors) * u64::from(choices.page_size) * LISTED_ENTRY.0)
    } else {
        Bytes::ZERO
    };
    let part = |name: &str, bytes: Bytes, in_budget: bool| MemoryPart { name: name.to_owned(), bytes, in_budget };
    let mut parts = vec![
        part("listing pages", pages, true),
        part("blocks in flight", load.blocks(lanes), true),
        part("connections", load.connections(lanes), true),
    ];
    let share = options.share(choices.budget);
    let packed = Bytes(u64::from(lanes) * frames_weight(item).0) + kept(item, options, share, choices.lanes_max);
    if packed > Bytes::ZERO {
        parts.push(part(COMPRESSION, packed, true));
    }
    let pieces = held(item, choices, share).min(blocks.saturating_sub(lanes.into()));
    if pieces > 0 {
        parts.push(part("parts of objects", Bytes(pieces * whole_weight(item).0), true));
    }
    let more = more_destinations(item);
    if more > 0 {
        parts.push(part("more destinations", Bytes(more * DESTINATION.0), false));
    }
    let ledger = Bytes(blocks.saturating_mul(LEDGER_A_BLOCK.0)).min(LEDGER_CACHE);
    parts.push(part("ledger cache", ledger, false));
    parts
}

/// The most blocks that there can be: as known, else all of the volume; on a parent, where that has blocks and the source has
/// none, zeros are blocks as well.
fn blocks_at_most(item: &ItemPlan) -> u64 {
    let known = item.source.blocks;
    let on_parent = |to: &DestinationPlan| matches!(to.kind, DestinationKind::Snapshot { on: Some(_), .. });
    match known.sure {
        _ if item.destinations.iter().any(on_parent) => item.source.volume.blocks().0.max(known.value.0),
        Sure::Exact | Sure::Measured | Sure::AtMost => known.value.0,
        Sure::Estimate | Sure::Unknown => known.value.0.max(item.source.volume.blocks().0),
    }
    .max(1)
}

/// Destinations, and a source in S3, that keep something of their own.
fn more_destinations(item: &ItemPlan) -> u64 {
    // What comes out of S3 has a client of its own as well, and the allocator keeps more between frames of all sizes.
    let from_s3 = matches!(item.source.kind, SourceKind::Archive { .. } | SourceKind::Object { .. });
    // One of 16 GiB that was written by 8 lanes held 1 MiB more than with one for each archive.
    (item.destinations.len().saturating_sub(1) + 2 * item.archives() as usize + 2 * usize::from(from_s3)) as u64
}
