//! How long versions of blocks live along a stretch of a chain: counted range by range, with a word for each index of
//! the range that is being walked, and nothing for the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::Blocks;

/// Nothing is there.
const NOTHING: u32 = u32::MAX;
/// What was there before the stretch begins, if anything: kept by who is before it.
const OLDER: u32 = u32::MAX - 1;

/// How many blocks live from which snapshot of a stretch up to, and without, which: its `n` snapshots are 0 to n-1.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lifetimes(BTreeMap<u32, BTreeMap<u32, u64>>);

impl Lifetimes {
    fn add(&mut self, born: u32, gone: u32, blocks: u64) {
        *self.0.entry(born).or_default().entry(gone).or_default() += blocks;
    }

    /// Both together: of two ranges of one stretch.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (born, ends) in other.0 {
            for (gone, blocks) in ends {
                self.add(born, gone, blocks);
            }
        }
        self
    }

    /// What goes when these go together: each version all of whose snapshots are among them.
    #[must_use]
    pub fn freed(&self, goes: impl Fn(u32) -> bool) -> Blocks {
        let mut freed = 0;
        for (born, ends) in &self.0 {
            // Ends ascend: from the first snapshot that stays on, none of the rest goes.
            let mut through = *born;
            for (gone, blocks) in ends {
                while through < *gone && goes(through) {
                    through += 1;
                }
                if through < *gone {
                    break;
                }
                freed += blocks;
            }
        }
        Blocks(freed)
    }

    /// Each version: from which snapshot of the stretch on it lives, up to and without which, and its blocks.
    pub fn versions(&self) -> impl Iterator<Item = (u32, u32, u64)> + '_ {
        self.0.iter().flat_map(|(born, ends)| ends.iter().map(|(gone, blocks)| (*born, *gone, *blocks)))
    }

    /// What only that one holds.
    #[must_use]
    pub fn unique(&self, of: u32) -> Blocks {
        self.freed(|at| at == of)
    }
}

/// One range of indexes, walked from the oldest snapshot of a stretch to its end.
#[derive(Debug)]
pub struct Walk {
    first: u32,
    born: Vec<u32>,
    step: u32,
    lives: Lifetimes,
}

impl Walk {
    /// Over `length` indexes from `first` on; `older` says whether a snapshot before the stretch stays.
    #[must_use]
    pub fn new(first: u32, length: u32, older: bool) -> Self {
        let born = vec![if older { OLDER } else { NOTHING }; length as usize];
        Self { first, born, step: 0, lives: Lifetimes::default() }
    }

    /// The step into the next snapshot lists `index`; `there` says whether that one has it. What lies outside of the
    /// range is not counted.
    pub fn event(&mut self, index: u32, there: bool) {
        let place = index.checked_sub(self.first).and_then(|at| self.born.get_mut(at as usize));
        let Some(born) = place else { return };
        if *born < OLDER && *born != self.step {
            self.lives.add(*born, self.step, 1);
        }
        *born = if there { self.step } else { NOTHING };
    }

    /// That step was listed to its end.
    pub fn stepped(&mut self) {
        self.step += 1;
    }

    /// All steps were listed. With a snapshot after the stretch, the last step led to it, and what is alive stays with
    /// it; else what is alive goes with the last one.
    #[must_use]
    pub fn end(mut self, newer: bool) -> Lifetimes {
        if !newer {
            for born in std::mem::take(&mut self.born).into_iter().filter(|born| *born < OLDER) {
                self.lives.add(born, self.step, 1);
            }
        }
        self.lives
    }
}
