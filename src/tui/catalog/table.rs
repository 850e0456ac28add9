//! Rows of one kind, by origin. A row's [`Ref`] never moves while the deck looks with the same profiles:
//! a newer row replaces the older one in place, and what is gone leaves a tombstone.
//!
//! Remembered rows are there from the first frame; live rows light them up one page at a time, and what a
//! complete listing did not name is gone. Sums per origin are kept as rows come, so no frame adds up a list.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use jiff::Timestamp;

use super::held::Held;
use crate::error::Error;
use crate::inventory::{Kind, Origin};
use crate::units::{Bytes, Quantity, Sure, Usd};

/// Where a row is: stable for as long as the catalog is not emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ref {
    /// Which origin.
    pub shard: u16,
    /// Which row of it.
    pub row: u32,
}

/// What a table can hold.
pub trait Record: fmt::Debug + Clone + Sized + 'static {
    /// What names it.
    type Id: Clone + Eq + Hash + fmt::Display + fmt::Debug;
    /// Which list it belongs to.
    const KIND: Kind;
    /// Its name in AWS.
    fn id(&self) -> &Self::Id;
    /// Where it was found.
    fn origin(&self) -> &Arc<Origin>;
    /// Its `Name`.
    fn name(&self) -> Option<&str>;
    /// What it holds at most.
    fn bytes(&self) -> Bytes;
    /// What it costs a month.
    fn month(&self) -> Quantity<Usd>;
    /// What else is counted per origin: see the `TALLY_` constants.
    fn tally(&self) -> [u64; TALLIES] {
        [0; TALLIES]
    }
}

/// Counts kept per origin beside the sums.
pub const TALLIES: usize = 5;
/// Encrypted rows.
pub const TALLY_ENCRYPTED: usize = 0;
/// Snapshots that are being written.
pub const TALLY_PENDING: usize = 1;
/// Snapshots that failed on AWS's side.
pub const TALLY_ERROR: usize = 2;
/// Volumes attached to nothing.
pub const TALLY_LOOSE: usize = 3;
/// Their GiB.
pub const TALLY_LOOSE_GIB: usize = 4;

/// How a row got here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// From an earlier look, kept on disk.
    Remembered,
    /// Told by AWS in this run.
    Live,
    /// Told by AWS, and not there at the earlier look.
    New,
    /// Was there at an earlier look, is not any more.
    Gone,
}

/// A row and how it got here.
#[derive(Debug)]
pub struct Slot<T> {
    /// The row.
    pub row: Held<T>,
    /// How it got here.
    pub seen: Seen,
    round: u32,
}

/// Where the listing of one origin stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// Not asked yet.
    Waiting,
    /// Only what was remembered.
    Remembered(Timestamp),
    /// Pages come in: how many so far.
    Loading(u32),
    /// Complete.
    Done(Timestamp),
    /// Failed; what came before stands.
    Failed {
        /// Why.
        error: Box<Error>,
        /// Whether a policy closed it.
        denied: bool,
    },
}

/// Sums of one origin, or of many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sums {
    /// Rows.
    pub rows: u64,
    /// Bytes, at most.
    pub bytes: Bytes,
    /// Dollars a month of the rows whose price is known.
    pub usd: Usd,
    /// How sure `usd` is: the least sure of its rows.
    pub sure: Sure,
    /// Rows without a price.
    pub unpriced: u64,
}

impl Default for Sums {
    fn default() -> Self {
        Self { rows: 0, bytes: Bytes::ZERO, usd: Usd(0.0), sure: Sure::Exact, unpriced: 0 }
    }
}

impl Sums {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            bytes: self.bytes + other.bytes,
            usd: self.usd + other.usd,
            sure: self.sure.and(other.sure),
            unpriced: self.unpriced + other.unpriced,
        }
    }

    /// Adds a row.
    pub fn count<T: Record>(&mut self, row: &T) {
        self.rows += 1;
        self.bytes += row.bytes();
        match row.month() {
            Quantity { sure: Sure::Unknown, .. } => self.unpriced += 1,
            Quantity { value, sure } => {
                self.usd += value;
                self.sure = self.sure.and(sure);
            }
        }
    }

    fn take<T: Record>(&mut self, row: &T) {
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.less(row.bytes());
        match row.month().known() {
            Some(value) => self.usd.0 -= value.0,
            None => self.unpriced = self.unpriced.saturating_sub(1),
        }
    }

    /// What it costs a month: unknown when no row has a price.
    #[must_use]
    pub fn month(&self) -> Quantity<Usd> {
        match self.rows {
            0 => Quantity::exact(Usd(0.0)),
            rows if rows == self.unpriced => Quantity::unknown(),
            _ if self.unpriced > 0 => Quantity { value: self.usd, sure: self.sure.and(Sure::Estimate) },
            _ => Quantity { value: self.usd, sure: self.sure },
        }
    }
}

/// One origin's rows.
#[derive(Debug)]
pub struct Shard<T: Record> {
    /// Where they are.
    pub origin: Arc<Origin>,
    /// The rows; tombstones too.
    pub rows: Vec<Slot<T>>,
    /// Where the listing stands.
    pub load: Load,
    /// Sums of what is there.
    pub sums: Sums,
    /// What else is counted.
    pub tally: [u64; TALLIES],
    /// Whether an earlier look is known: only then is anything new.
    compared: bool,
    round: u32,
    places: HashMap<T::Id, u32>,
}

/// All rows of one kind.
#[derive(Debug)]
pub struct Table<T: Record> {
    /// By origin.
    pub shards: Vec<Shard<T>>,
    /// Grows with every change of rows.
    pub revision: u64,
    /// Rows that are new since the last look.
    pub new: u32,
    /// Rows that are gone since the last look.
    pub gone: u32,
}

impl<T: Record> Default for Table<T> {
    fn default() -> Self {
        Self { shards: Vec::new(), revision: 0, new: 0, gone: 0 }
    }
}

impl<T: Record> Table<T> {
    /// The origin's place, made when it is new.
    pub fn shard(&mut self, origin: &Arc<Origin>) -> usize {
        if let Some(at) = self.shards.iter().position(|s| s.origin == *origin) {
            return at;
        }
        self.shards.push(Shard {
            origin: origin.clone(),
            rows: Vec::new(),
            load: Load::Waiting,
            sums: Sums::default(),
            tally: [0; TALLIES],
            compared: false,
            round: 0,
            places: HashMap::new(),
        });
        self.shards.len() - 1
    }

    /// The shard of an origin.
    #[must_use]
    pub fn of(&self, origin: &Origin) -> Option<&Shard<T>> {
        self.shards.iter().find(|s| *s.origin == *origin)
    }

    /// The slot of a row.
    #[must_use]
    pub fn slot(&self, at: Ref) -> Option<&Slot<T>> {
        self.shards.get(usize::from(at.shard))?.rows.get(at.row as usize)
    }

    /// A row.
    #[must_use]
    pub fn get(&self, at: Ref) -> Option<&T> {
        self.slot(at).map(|slot| &*slot.row)
    }

    /// Where an id is, in any origin.
    #[must_use]
    pub fn find(&self, id: &T::Id) -> Option<Ref> {
        self.shards.iter().enumerate().find_map(|(shard, s)| {
            let row = *s.places.get(id)?;
            Some(Ref { shard: u16::try_from(shard).ok()?, row })
        })
    }

    /// Where an id is in one origin; none when it is gone.
    #[must_use]
    pub fn find_in(&self, origin: &Origin, id: &T::Id) -> Option<Ref> {
        let shard = self.shards.iter().position(|s| *s.origin == *origin)?;
        let row = *self.shards[shard].places.get(id)?;
        let at = Ref { shard: u16::try_from(shard).ok()?, row };
        self.slot(at).is_some_and(|slot| slot.seen != Seen::Gone).then_some(at)
    }

    /// A listing starts: what is there is from before until it is named again.
    pub fn started(&mut self, origin: &Arc<Origin>) {
        let at = self.shard(origin);
        let shard = &mut self.shards[at];
        shard.compared |= matches!(shard.load, Load::Remembered(_) | Load::Done(_));
        shard.round += 1;
        shard.load = Load::Loading(0);
    }

    /// One page, or what was remembered. Gives the places of the rows that were not there before.
    pub fn page(&mut self, origin: &Arc<Origin>, rows: Vec<T>, remembered: Option<Timestamp>) -> Vec<Ref> {
        let at = self.shard(origin);
        let Ok(shard_number) = u16::try_from(at) else { return Vec::new() };
        let shard = &mut self.shards[at];
        match (&mut shard.load, remembered) {
            (Load::Loading(pages), None) => *pages += 1,
            (load @ Load::Waiting, Some(when)) => *load = Load::Remembered(when),
            (_, Some(_)) => {}
            (load, None) => *load = Load::Loading(1),
        }
        let mut added = Vec::new();
        let rows = Arc::new(rows);
        for (n, row) in (0u32..).zip(rows.iter()) {
            let known = shard.places.get(row.id()).copied();
            let seen = match (remembered, known) {
                (Some(_), Some(_)) => continue,
                (Some(_), None) => Seen::Remembered,
                (None, None) if shard.compared => Seen::New,
                (None, _) => Seen::Live,
            };
            self.new += u32::from(seen == Seen::New);
            shard.sums.count(row);
            for (sum, n) in shard.tally.iter_mut().zip(row.tally()) {
                *sum += n;
            }
            if let Some(place) = known {
                let slot = &mut shard.rows[place as usize];
                if slot.seen != Seen::Gone {
                    shard.sums.take(&*slot.row);
                    untally(&mut shard.tally, &*slot.row);
                }
                // A row that was new stays new until the deck is closed: the second page of news must not hide the first.
                let seen = if slot.seen == Seen::New { Seen::New } else { seen };
                *slot = Slot { row: Held::Of(Arc::clone(&rows), n), seen, round: shard.round };
            } else if let Ok(place) = u32::try_from(shard.rows.len()) {
                shard.places.insert(row.id().clone(), place);
                shard.rows.push(Slot { row: Held::Of(Arc::clone(&rows), n), seen, round: shard.round });
                added.push(Ref { shard: shard_number, row: place });
            }
        }
        self.revision += 1;
        added
    }

    /// Changes a row in its place; the sums follow.
    pub fn change(&mut self, at: Ref, how: impl FnOnce(&mut T)) {
        let Some(shard) = self.shards.get_mut(usize::from(at.shard)) else { return };
        let Some(slot) = shard.rows.get_mut(at.row as usize) else { return };
        let counts = slot.seen != Seen::Gone;
        if counts {
            shard.sums.take(&*slot.row);
            untally(&mut shard.tally, &*slot.row);
        }
        if let Some(row) = slot.row.make_own() {
            how(row);
        }
        if counts {
            shard.sums.count(&*slot.row);
            for (sum, n) in shard.tally.iter_mut().zip(slot.row.tally()) {
                *sum += n;
            }
        }
        self.revision += 1;
    }

    /// A region was judged by these rows: where they are the same they are held once.
    pub fn share(&mut self, origin: &Origin, rows: &Arc<Vec<T>>)
    where
        T: PartialEq,
    {
        let Some(shard) = self.shards.iter_mut().find(|shard| *shard.origin == *origin) else { return };
        let mut at: Vec<Option<u32>> = vec![None; shard.rows.len()];
        for (n, row) in (0u32..).zip(rows.iter()) {
            if let Some(place) = shard.places.get(row.id()) {
                at[*place as usize] = Some(n);
            }
        }
        shard.rows.iter_mut().zip(at).for_each(|(slot, at)| slot.row.share(rows, at));
    }

    /// A row is known to be gone before the next listing says so.
    pub fn drop_row(&mut self, at: Ref) {
        let Some(shard) = self.shards.get_mut(usize::from(at.shard)) else { return };
        let Some(slot) = shard.rows.get_mut(at.row as usize).filter(|slot| slot.seen != Seen::Gone) else { return };
        shard.sums.take(&*slot.row);
        untally(&mut shard.tally, &*slot.row);
        slot.seen = Seen::Gone;
        self.revision += 1;
    }

    /// A listing is complete: what it did not name is gone.
    pub fn done(&mut self, origin: &Arc<Origin>, when: Timestamp) {
        let at = self.shard(origin);
        let shard = &mut self.shards[at];
        for slot in &mut shard.rows {
            if slot.round != shard.round && slot.seen != Seen::Gone {
                shard.sums.take(&*slot.row);
                untally(&mut shard.tally, &*slot.row);
                slot.seen = Seen::Gone;
                // A tombstone keeps no page.
                slot.row.let_go();
                self.gone += 1;
            }
        }
        if shard.sums.rows == 0 {
            shard.sums = Sums::default();
        }
        shard.load = Load::Done(when);
        self.revision += 1;
    }

    /// A listing failed.
    pub fn failed(&mut self, origin: &Arc<Origin>, error: Error, denied: bool) {
        let at = self.shard(origin);
        self.shards[at].load = Load::Failed { error: Box::new(error), denied };
        self.revision += 1;
    }

    /// Rows of all origins.
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.shards.iter().fold(Sums::default(), |all, s| all.and(s.sums))
    }

    /// Whether every origin was told completely.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.shards.iter().all(|s| matches!(s.load, Load::Done(_)))
    }

    /// Rows there are, with `+` while more may come: `14,828+`.
    #[must_use]
    pub fn count_text(&self) -> String {
        let n = crate::units::grouped(self.sums().rows);
        if self.complete() { n } else { format!("{n}+") }
    }
}

fn untally<T: Record>(tally: &mut [u64; TALLIES], row: &T) {
    for (sum, n) in tally.iter_mut().zip(row.tally()) {
        *sum = sum.saturating_sub(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::SnapshotRow;
    use crate::tui::testing::{origin, snapshot, when};

    #[test]
    fn live_rows_light_up_remembered_ones_and_what_is_not_named_is_gone() {
        let mut table = Table::default();
        let here = origin("us-east-1");
        let rows = vec![snapshot(&here, 1), snapshot(&here, 2)];
        table.page(&here, rows, Some(when(0)));
        assert_eq!(table.shards[0].load, Load::Remembered(when(0)));
        table.started(&here);
        table.page(&here, vec![snapshot(&here, 2), snapshot(&here, 3)], None);
        let seen = |t: &Table<_>| t.shards[0].rows.iter().map(|s| s.seen).collect::<Vec<_>>();
        assert_eq!(seen(&table), [Seen::Remembered, Seen::Live, Seen::New]);
        assert_eq!(table.sums().rows, 3);
        assert!(!table.complete());
        table.done(&here, when(9));
        assert_eq!(seen(&table), [Seen::Gone, Seen::Live, Seen::New]);
        assert_eq!((table.sums().rows, table.new, table.gone), (2, 1, 1));
        assert!(table.complete());
    }

    #[test]
    fn rows_that_a_region_was_judged_by_are_held_once_and_change_apart() {
        let (mut table, here) = (Table::default(), origin("us-east-1"));
        table.started(&here);
        table.page(&here, (0..10).map(|n| snapshot(&here, n)).collect(), None);
        table.done(&here, when(1));
        let before = table.sums();
        let renamed = SnapshotRow { name: Some("since".to_owned()), ..snapshot(&here, 3) };
        let judged = (1..8).rev().map(|n| if n == 3 { renamed.clone() } else { snapshot(&here, n) });
        let judged = Arc::new(judged.collect::<Vec<_>>());
        table.share(&here, &judged);
        let of =
            |table: &Table<SnapshotRow>, list| table.shards[0].rows.iter().filter(|slot| slot.row.is_of(list)).count();
        assert_eq!((of(&table, &judged), table.sums()), (6, before), "seven, but for the one that differs");
        for n in 0..10 {
            let at = table.find(&snapshot(&here, n).id).unwrap();
            assert_eq!(*table.get(at).unwrap(), snapshot(&here, n), "what is shown stays");
        }
        let at = table.find(&snapshot(&here, 5).id).unwrap();
        table.change(at, |row| row.name = Some("mine".to_owned()));
        assert_eq!(of(&table, &judged), 5);
        assert!(judged.iter().all(|row| row.name.as_deref() != Some("mine")));
        table.share(&here, &Arc::new(Vec::new()));
        assert_eq!(Arc::strong_count(&judged), 1, "no row keeps an older list");
    }

    #[test]
    fn a_first_look_has_no_news() {
        let mut table = Table::default();
        let here = origin("us-east-1");
        table.started(&here);
        table.page(&here, vec![snapshot(&here, 1)], None);
        table.done(&here, when(1));
        assert_eq!((table.new, table.gone), (0, 0));
    }

    #[test]
    fn sums_follow_every_change() {
        let mut table = Table::default();
        let here = origin("us-east-1");
        table.started(&here);
        table.page(&here, (0..10).map(|n| snapshot(&here, n)).collect(), None);
        let once = table.sums();
        table.done(&here, when(1));
        table.started(&here);
        table.page(&here, (0..10).map(|n| snapshot(&here, n)).collect(), None);
        table.done(&here, when(2));
        let twice = table.sums();
        assert_eq!((once.rows, once.bytes), (twice.rows, twice.bytes));
        assert!((once.usd.0 - twice.usd.0).abs() < 1e-9);
    }
}
