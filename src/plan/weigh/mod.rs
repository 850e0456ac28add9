//! Memory, money and time of a plan: pure, and recomputed while a user turns a knob.
//!
//! Each line is shown, each says how sure it is, and what is not known is `?`. Here is what an item weighs on its whole
//! way, which the engine asks too; the figures that are made of it are next door.

mod copies;
mod cost;
mod ends;
mod limits;
mod memory;
mod s3;
mod time;
mod together;

use crate::plan::choices::{
    FETCHED_ITEM, FRAME, INDEX, LOCAL_ITEM, Load, PUT_CONNECTION, compressing, compressor, fsp_keeps, lanes_for,
    unpacking,
};
use crate::plan::model::{Choices, DestinationKind, DestinationPlan, ItemPlan, Options, SourceKind, Strategy, Verify};
use crate::units::Bytes;

pub(super) use cost::cost;
pub use memory::{DESTINATION, LEDGER_CACHE, warmed};
pub(super) use memory::{Outer, memory};
pub(super) use time::{seconds_aside, time, time_of_one};

/// What one item of this source weighs on its way.
#[must_use]
pub const fn item_weight(source: &SourceKind) -> Bytes {
    match source {
        SourceKind::Snapshot { .. }
        | SourceKind::Image { .. }
        | SourceKind::Delta { .. }
        | SourceKind::Archive { .. }
        | SourceKind::Object { .. } => FETCHED_ITEM,
        SourceKind::File { .. } | SourceKind::Fsp { .. } | SourceKind::Prefix { .. } => LOCAL_ITEM,
    }
}

/// What one item weighs beside that: a frame for each archive that it goes to.
#[must_use]
pub fn frames_weight(item: &ItemPlan) -> Bytes {
    Bytes(u64::from(item.archives()) * FRAME.0)
}

/// What one item weighs beside its own connection: one for each snapshot after the first that it is put to at once.
#[must_use]
pub fn connections_weight(item: &ItemPlan) -> Bytes {
    let puts =
        |to: &&DestinationPlan| matches!(to.kind, DestinationKind::Snapshot { .. }) && to.strategy != Strategy::Native;
    let more = item.destinations.iter().filter(puts).count().saturating_sub(1) as u64;
    Bytes(more * PUT_CONNECTION.0)
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

/// What a job of so many lanes keeps all the time it runs: the tables of compressors, unpacked segments.
#[must_use]
pub(super) fn kept(item: &ItemPlan, options: &Options, share: Bytes, lanes: u32) -> Bytes {
    compressing(item.archives(), share, lanes, options.pace) + unpacked(item, share)
}

/// What is unpacked at a time, under a budget: segments of flexible-snapshot-proxy, and the names of all; blocks of an
/// archive.
#[must_use]
pub fn unpacked(item: &ItemPlan, share: Bytes) -> Bytes {
    match &item.source.kind {
        SourceKind::Archive { .. } => unpacking(share),
        SourceKind::Fsp { largest, segments, .. } => fsp_keeps(*largest, *segments),
        _ => Bytes::ZERO,
    }
}

/// The least that a job holds at a time: an item and what it keeps, or the index of an archive that is being written.
#[must_use]
pub fn least(item: &ItemPlan, options: &Options) -> Bytes {
    let index = if item.archives() > 0 { INDEX } else { Bytes::ZERO };
    Bytes(u64::from(item.archives()) * compressor(options.pace).0)
        + unpacked(item, Bytes::ZERO)
        + moved(item).max(index)
}

/// What has to be held at once for anything to be written: an item, or a piece of an object and the item after it.
#[must_use]
pub fn moved(item: &ItemPlan) -> Bytes {
    Bytes(whole_weight(item).0 * (u64::from(gathered(item)) + 1))
}

/// What one item of this job weighs on its whole way.
#[must_use]
pub(super) fn whole_weight(item: &ItemPlan) -> Bytes {
    item_weight(&item.source.kind) + connections_weight(item) + frames_weight(item)
}

/// What the lanes of this job hold. Blocks only pass through where each is written down, or sent and read again if need
/// be, before the next one is needed; what is read back afterwards has lanes of its own.
#[must_use]
pub fn load(item: &ItemPlan, options: &Options) -> Load {
    let weight = whole_weight(item);
    let passes = match (&item.source.kind, item.destinations.as_slice()) {
        _ if options.verify == Verify::Full => false,
        (
            SourceKind::Snapshot { .. }
            | SourceKind::Image { .. }
            | SourceKind::Delta { .. }
            | SourceKind::Archive { .. }
            | SourceKind::Object { .. },
            to,
        ) => to.iter().all(|to| {
            use DestinationKind::{Device, File, Null};
            matches!(to.kind, File { .. } | Device { .. } | Null)
        }),
        (SourceKind::File { .. }, [to]) => {
            matches!(to.kind, DestinationKind::Snapshot { on: None, .. }) && to.strategy != Strategy::Native
        }
        _ => false,
    };
    if passes { Load::passing(weight) } else { Load::whole(weight) }
}

/// What the lanes of any of these jobs hold at most.
#[must_use]
pub(super) fn load_of_all(items: &[ItemPlan], options: &Options) -> Load {
    let weight = items.iter().map(whole_weight).max().unwrap_or_default();
    let passes = items.iter().all(|item| load(item, options).in_hand().is_some());
    if passes && !items.is_empty() { Load::passing(weight) } else { Load::whole(weight) }
}

/// What jobs write down about themselves in the state directory, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records {
    /// Digests, and bits of what is listed and done.
    pub ledger: Bytes,
    /// What happened; folded before it grows larger.
    pub journal: Bytes,
    /// Which parts and objects S3 has: what an object or an archive is put together from.
    pub parts: Bytes,
}

impl Records {
    /// Everything.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.ledger + self.journal + self.parts
    }
}

/// A page of the ledger, the bits and the digests that it holds, and the pages of its header.
const LEDGER_PAGE: u64 = 4096;
const BITS_A_PAGE: u64 = LEDGER_PAGE * 8;
const DIGESTS_A_PAGE: u64 = LEDGER_PAGE / 32;
const HEADER_PAGES: u64 = 2;
/// What is written down of where one block of an archive is; as sparse as digests.
pub const PLACE_BYTES: u64 = 32;
/// A journal is folded at 4 MiB, and for a moment both versions of it lie there.
const JOURNAL_MOST: Bytes = Bytes::mib(8);

/// What the records of these jobs take on the disk. Ledgers are sparse: a block that is not listed takes no digest.
#[must_use]
pub fn records(items: &[ItemPlan]) -> Records {
    // As many pages as hold something: of each block's so many bytes, where they lie apart a page for each.
    let sparse = |item: &ItemPlan, bytes: u64| {
        let (indexes, blocks) = (item.source.volume.blocks().0, item.source.blocks.value.0);
        indexes.div_ceil(LEDGER_PAGE / bytes).min(blocks) * LEDGER_PAGE
    };
    let parts = |item: &ItemPlan| -> u64 {
        let parts = item.destinations.iter().map(|to| match &to.kind {
            DestinationKind::Object { layout, .. } => layout.records().0,
            DestinationKind::Archive { .. } => LEDGER_PAGE + sparse(item, PLACE_BYTES),
            _ => 0,
        });
        parts.sum()
    };
    let ledger = |item: &ItemPlan| {
        let (indexes, blocks) = match item.is_copied() {
            // What S3 copies itself has its list of parts in the journal.
            true => (1, 0),
            false => (item.source.volume.blocks().0, item.source.blocks.value.0),
        };
        // What a file held before a delta changes it in its place has a bitmap of its own, beside the ledger.
        let in_place = |to: &&DestinationPlan| matches!(to.kind, DestinationKind::File { onto: Some(_), .. });
        let in_place = item.destinations.iter().filter(in_place).count() as u64;
        let bitmaps = item.destinations.len() as u64 + 1 + in_place;
        let digests = if item.is_read() { indexes.div_ceil(DIGESTS_A_PAGE).min(blocks) } else { 0 };
        (HEADER_PAGES + in_place + bitmaps * indexes.div_ceil(BITS_A_PAGE) + digests) * LEDGER_PAGE
    };
    Records {
        ledger: Bytes(items.iter().map(ledger).sum()),
        journal: Bytes(items.len() as u64 * JOURNAL_MOST.0),
        parts: Bytes(items.iter().map(parts).sum()),
    }
}
