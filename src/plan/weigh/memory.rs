//! Memory at the peak, by part: what the budget holds, and what the process takes beside it.

use super::{connections_weight, copies, frames_weight, held, item_weight, kept, load_of_all, whole_weight};
use crate::plan::choices::{LISTED_ENTRY, LOCAL_ITEM, Load};
use crate::plan::machine::Machine;
use crate::plan::model::{Choices, DestinationKind, Fit, ItemPlan, MemoryEstimate, MemoryPart, Options, SourceKind};
use crate::plan::peer;
use crate::units::Bytes;

/// The process without a job: binary, runtime, SDK, TLS roots. Measured on Linux x86-64.
pub const PROCESS_BASE: Bytes = Bytes::mib(45);
/// Bits and digests that the ledgers of a job's items keep in memory at most.
pub const LEDGER_CACHE: Bytes = Bytes::mib(4);

/// What each destination after the first, and one that is an archive, keeps of its own: its client, its records, what the
/// allocator holds between its blocks. Measured: three destinations and archives held up to 3 MiB more than was said.
pub const DESTINATION: Bytes = Bytes::mib(2);

/// Memory at the peak, by part.
#[must_use]
pub fn memory(items: &[ItemPlan], options: &Options, choices: &Choices, machine: &Machine) -> MemoryEstimate {
    if items.iter().all(ItemPlan::is_copied) {
        return copies::memory(choices, machine);
    }
    let fetched =
        items.iter().any(|item| !matches!(item.source.kind, SourceKind::File { .. } | SourceKind::Fsp { .. }));
    let is_read = items.iter().any(ItemPlan::is_read);
    let lanes = if is_read { choices.lanes_max } else { 0 };
    let weight =
        items.iter().map(|item| item_weight(&item.source.kind) + connections_weight(item)).max().unwrap_or(LOCAL_ITEM);
    let load = match load_of_all(items, options).in_hand() {
        Some(_) => Load::passing(weight),
        None => Load::whole(weight),
    };
    let (in_flight, connections) = (load.blocks(lanes), load.connections(lanes));
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
        parts.push(part("compression", Bytes(u64::from(lanes) * frames.0) + kept, true));
    }
    let pieces = items.iter().map(|item| held(item, choices, choices.budget) * whole_weight(item).0).max();
    if let Some(pieces) = pieces.filter(|pieces| *pieces > 0) {
        parts.push(part("parts of objects", Bytes(pieces), true));
    }
    let more = items.iter().map(more_destinations).max().unwrap_or_default();
    if more > 0 {
        parts.push(part("more destinations", Bytes(more * DESTINATION.0), false));
    }
    parts.extend([part("ledger cache", LEDGER_CACHE, false), part(MemoryEstimate::PROCESS, PROCESS_BASE, false)]);
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

/// Destinations that keep something of their own.
fn more_destinations(item: &ItemPlan) -> u64 {
    let archives = item.destinations.iter().filter(|to| matches!(to.kind, DestinationKind::Archive { .. }));
    (item.destinations.len().saturating_sub(1) + archives.count()) as u64
}
