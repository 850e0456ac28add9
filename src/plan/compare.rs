//! What comparing two snapshots takes and shows: where over the volume they differ, what looking costs, and what
//! reading both would cost where AWS lists no changes.
//!
//! Pure figures; the counting itself is [`super::count`]. Called by the deck's compare screen and by plans of deltas.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;
use crate::ids::{BlockIndex, Region};
use crate::inventory::SnapshotRow;
use crate::plan::count;
use crate::plan::prices::{Api, Prices};
use crate::units::{Blocks, Bytes, Quantity, Sure, Usd};

/// Cells of a map: more than a terminal of 200 columns draws in five lines.
pub const CELLS: usize = 1024;

/// What a block listed as changed is in the second snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only the second has it.
    Added,
    /// Both have it, with different contents.
    Changed,
    /// Only the first has it.
    Removed,
}

/// Changes within one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Blocks that only the second has.
    pub added: u32,
    /// Blocks that both have, with different contents.
    pub changed: u32,
    /// Blocks that only the first has.
    pub removed: u32,
}

impl Tally {
    /// All of them.
    #[must_use]
    pub const fn all(self) -> u32 {
        self.added.saturating_add(self.changed).saturating_add(self.removed)
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            added: self.added.saturating_add(other.added),
            changed: self.changed.saturating_add(other.changed),
            removed: self.removed.saturating_add(other.removed),
        }
    }

    /// The kind that most of them are; none where nothing changed.
    #[must_use]
    pub fn most(self) -> Option<Change> {
        let kinds = [(self.changed, Change::Changed), (self.added, Change::Added), (self.removed, Change::Removed)];
        let most = kinds.iter().fold(kinds[0], |most, kind| if kind.0 > most.0 { *kind } else { most });
        (most.0 > 0).then_some(most.1)
    }
}

/// Where over a volume two snapshots differ: [`CELLS`] cells of equal length, filled while pages come in. Its size does
/// not depend on the volume's.
#[derive(Debug)]
pub struct ChangeMap(Vec<[AtomicU32; 3]>);

impl Default for ChangeMap {
    fn default() -> Self {
        Self((0..CELLS).map(|_| [const { AtomicU32::new(0) }; 3]).collect())
    }
}

impl ChangeMap {
    /// One more block of a volume of that size.
    pub fn add(&self, index: BlockIndex, volume: Bytes, change: Change) {
        let blocks = volume.blocks().0.max(1);
        let cell = usize::try_from(u64::from(index.0) * CELLS as u64 / blocks).unwrap_or(CELLS);
        let kind = match change {
            Change::Added => 0,
            Change::Changed => 1,
            Change::Removed => 2,
        };
        if let Some(cell) = self.0.get(cell) {
            cell[kind].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As it is now.
    #[must_use]
    pub fn tallies(&self) -> Vec<Tally> {
        let read = |cell: &[AtomicU32; 3]| Tally {
            added: cell[0].load(Ordering::Relaxed),
            changed: cell[1].load(Ordering::Relaxed),
            removed: cell[2].load(Ordering::Relaxed),
        };
        self.0.iter().map(read).collect()
    }
}

/// What listing that many volumes of that size once costs, at most.
#[must_use]
pub fn look_cost(volume: Bytes, region: &Region) -> Quantity<Usd> {
    let price = Prices::bundled().request(Api::List, region);
    #[expect(clippy::cast_precision_loss, reason = "counts of pages are far below 2^52")]
    let usd = price.value.0 * count::lists_at_most(volume) as f64;
    Quantity { value: Usd(usd), sure: Sure::AtMost.and(price.sure) }
}

/// What reading both of two snapshots takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ByContent {
    /// Blocks read, at most.
    pub gets: Blocks,
    /// Listings, at most.
    pub lists: u64,
    /// What all of it costs, at most.
    pub usd: Quantity<Usd>,
}

/// What comparing two snapshots by content costs: each is listed and read once, in its own region.
#[must_use]
pub fn by_content(a: &SnapshotRow, b: &SnapshotRow) -> ByContent {
    let prices = Prices::bundled();
    let mut out = ByContent { gets: Blocks::ZERO, lists: 0, usd: Quantity::at_most(Usd(0.0)) };
    for row in [a, b] {
        let (gets, lists) = (full(row), row.size.blocks().0.div_ceil(10_000));
        let (get, list) = (prices.request(Api::Get, &row.origin.region), prices.request(Api::List, &row.origin.region));
        out.gets += gets;
        out.lists += lists;
        #[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
        let usd = get.value.0 * gets.0 as f64 + list.value.0 * lists as f64;
        out.usd.value.0 += usd;
        out.usd.sure = out.usd.sure.and(get.sure).and(list.sure);
    }
    out
}

/// All blocks of a snapshot, at most.
pub(super) fn full(row: &SnapshotRow) -> Blocks {
    row.full.map_or(row.size.blocks(), |full| full.blocks().min(row.size.blocks()))
}

/// Whether AWS says that two snapshots are not of one lineage.
#[must_use]
pub fn is_unrelated(error: &Error) -> bool {
    error.aws.as_ref().is_some_and(|aws| aws.reason.as_deref() == Some("UNRELATED_SNAPSHOTS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_of_a_volume_falls_into_some_cell() {
        for blocks in [1u64, 7, 1_023, 1_024, 1_025, 2_048, 33_554_432] {
            let (map, volume) = (ChangeMap::default(), Blocks(blocks).bytes());
            let last = u32::try_from(blocks - 1).expect("an index");
            for index in [0, last / 2, last] {
                map.add(BlockIndex(index), volume, Change::Changed);
            }
            let sum: u32 = map.tallies().iter().map(|cell| cell.all()).sum();
            assert_eq!(sum, 3, "{blocks}");
        }
    }

    #[test]
    fn a_cell_is_of_the_kind_that_most_of_it_is() {
        assert_eq!(Tally::default().most(), None);
        assert_eq!(Tally { added: 2, changed: 1, removed: 0 }.most(), Some(Change::Added));
        assert_eq!(Tally { added: 1, changed: 1, removed: 3 }.most(), Some(Change::Removed));
        assert_eq!(Tally { added: 1, changed: 1, removed: 1 }.most(), Some(Change::Changed));
    }

    #[test]
    fn the_largest_volume_is_looked_at_for_a_few_cents() {
        let cost = look_cost(Bytes::gib(64 << 10), &"us-east-1".parse().expect("a region"));
        assert!(cost.value.0 > 0.008 && cost.value.0 < 0.05, "{cost:?}");
    }
}
