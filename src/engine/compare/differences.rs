//! The blocks that differ, as ranges.
//!
//! Invariant: the count is exact; the ranges that are kept are the lowest ones, with nothing left out between them.

use std::collections::BTreeMap;

use crate::units::Blocks;

/// Ranges of different blocks that are kept; of the rest only the count is.
pub const RANGES: usize = 1000;

/// Blocks that differ: all of them counted, the first [`RANGES`] ranges kept.
#[derive(Debug, Default)]
pub struct Differences {
    /// How many blocks differ.
    pub count: Blocks,
    ranges: BTreeMap<u32, u32>,
    /// From here on ranges were dropped.
    cut: Option<u32>,
}

impl Differences {
    pub(super) fn add(&mut self, index: u32) {
        self.count = Blocks(self.count.0 + 1);
        if self.cut.is_some_and(|cut| index >= cut) {
            return;
        }
        let last = self.ranges.remove(&(index + 1)).unwrap_or(index);
        let before = self.ranges.range(..index).next_back().filter(|(_, last)| **last + 1 == index);
        let first = before.map_or(index, |(first, _)| *first);
        self.ranges.insert(first, last);
        if self.ranges.len() > RANGES {
            self.cut = self.ranges.pop_last().map(|(first, _)| first);
        }
    }

    /// First and last index of each range, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32)> {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }

    /// Whether there are more ranges than these.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_together_in_any_order_and_end_where_they_are_cut() {
        let mut found = Differences::default();
        [5, 3, 9, 4, 10].into_iter().for_each(|index| found.add(index));
        assert_eq!(found.ranges().collect::<Vec<_>>(), [(3, 5), (9, 10)]);
        assert_eq!((found.count, found.is_cut()), (Blocks(5), false));

        let mut found = Differences::default();
        (0..1500).rev().for_each(|nth| found.add(nth * 2));
        // A gap closes: what was dropped before must not come back behind it.
        found.add(1);
        found.add(2999);
        let ranges: Vec<_> = found.ranges().collect();
        assert!(found.is_cut() && ranges.len() <= RANGES);
        assert_eq!((ranges[0], ranges.last().copied()), ((0, 2), Some((1998, 1998))));
        assert_eq!(found.count, Blocks(1502));
    }
}
