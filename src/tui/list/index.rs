//! Which rows a list shows, and in what order: built in slices, so that 200,000 rows never hold up a key.
//!
//! Rows are collected and sorted in runs, runs are merged two by two, and the sorted whole is filtered.
//! Each [`Index::step`] handles at most [`SLICE`] rows. A new filter starts over at the last stage only and
//! shows its matches as they are found; a new order is shown when it is complete. Among the matches those of a
//! better [`Rank`] come first; within one rank the order holds.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::tui::catalog::{Record, Ref, Seen, Table};

/// Rows handled by one step: under two milliseconds of work, with a filter that looks at every tag.
pub const SLICE: usize = 2_048;

/// How one column orders rows. The key decides; `ties` decides between equal keys.
#[derive(Debug)]
pub struct Order<T: 'static> {
    /// A number that sorts as the column does.
    pub key: fn(&T) -> u64,
    /// For columns whose key cannot hold everything (names).
    pub ties: Option<fn(&T, &T) -> Ordering>,
}

/// What a step looks at.
#[derive(Debug)]
pub struct Over<'a, T: Record> {
    /// The rows.
    pub table: &'a Table<T>,
    /// How they are ordered.
    pub order: &'a Order<T>,
    /// The greatest first.
    pub descending: bool,
}

type Item = (u64, Ref);

/// How well a row answers the filter; the best come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Its name or id begins with what was typed.
    Begins,
    /// A later word of its name does.
    Word,
    /// It is found elsewhere, or nothing is ranked.
    Found,
}

/// Where the rows of each rank but the last end among those found so far.
#[derive(Debug, Default, Clone, Copy)]
struct Ends {
    begins: usize,
    word: usize,
}

impl Ends {
    /// Adds rows in order, each behind those of its own rank.
    fn add(&mut self, to: &mut Vec<Ref>, found: impl Iterator<Item = (Rank, Ref)>) {
        let (mut begins, mut word) = (Vec::new(), Vec::new());
        for (rank, at) in found {
            match rank {
                Rank::Begins => begins.push(at),
                Rank::Word => word.push(at),
                Rank::Found => to.push(at),
            }
        }
        self.word += word.len();
        to.splice(self.word - word.len()..self.word - word.len(), word);
        self.word += begins.len();
        to.splice(self.begins..self.begins, begins.iter().copied());
        self.begins += begins.len();
    }
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// Taking rows of this shard from that row on into runs.
    Collect { shard: usize, row: usize, runs: VecDeque<Vec<Item>> },
    /// Merging the first two runs.
    Merge { runs: VecDeque<Vec<Item>>, a: Vec<Item>, b: Vec<Item>, at: (usize, usize), out: Vec<Item> },
    /// Filtering the sorted rows from that place on.
    Filter { at: usize, next: Vec<Ref>, ends: Ends, live: bool },
}

/// Rows in order.
#[derive(Debug, Default)]
pub struct Index {
    /// What the list shows.
    pub shown: Vec<Ref>,
    sorted: Vec<Ref>,
    stage: Stage,
    /// Rows handled so far, ever: what tests count instead of time.
    pub handled: u64,
}

impl Index {
    /// Rows there are, filtered or not.
    #[must_use]
    pub fn total(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// Whether matches are still being found, and how far: 0 to 100.
    #[must_use]
    pub fn filtering(&self) -> Option<usize> {
        match &self.stage {
            Stage::Filter { at, live: true, .. } => Some(at * 100 / self.sorted.len().max(1)),
            _ => None,
        }
    }

    /// Orders everything anew.
    pub fn sort(&mut self) {
        self.stage = Stage::Collect { shard: 0, row: 0, runs: VecDeque::new() };
    }

    /// Filters anew; an order being built is finished first.
    pub fn filter(&mut self) {
        if matches!(self.stage, Stage::Idle | Stage::Filter { .. }) {
            self.shown.clear();
            self.stage = Stage::Filter { at: 0, next: Vec::new(), ends: Ends::default(), live: true };
        }
    }

    /// Goes on with what is to do; `rank` gives none for a row that is not to be shown.
    pub fn step<T: Record>(&mut self, over: &Over<T>, rank: &dyn Fn(&T) -> Option<Rank>) {
        match std::mem::take(&mut self.stage) {
            Stage::Idle => {}
            Stage::Collect { shard, row, runs } => self.collect(over, shard, row, runs),
            Stage::Merge { runs, a, b, at, out } => self.merge(over, runs, (a, b), at, out),
            Stage::Filter { at, next, ends, live } => self.sift(over, rank, (at, next, ends), live),
        }
    }

    fn collect<T: Record>(&mut self, over: &Over<T>, mut shard: usize, mut row: usize, mut runs: VecDeque<Vec<Item>>) {
        let mut run = Vec::with_capacity(SLICE);
        while run.len() < SLICE {
            let Some(s) = over.table.shards.get(shard) else { break };
            let end = s.rows.len().min(row + (SLICE - run.len()));
            for (n, slot) in s.rows[row..end].iter().enumerate() {
                if slot.seen == Seen::Gone {
                    continue;
                }
                if let (Ok(shard), Ok(row)) = (u16::try_from(shard), u32::try_from(row + n)) {
                    run.push(((over.order.key)(&*slot.row), Ref { shard, row }));
                }
            }
            (shard, row) = if end == s.rows.len() { (shard + 1, 0) } else { (shard, end) };
        }
        self.handled += run.len() as u64;
        run.sort_unstable_by(|a, b| compare(over, a, b));
        let ended = shard >= over.table.shards.len();
        if !run.is_empty() {
            runs.push_back(run);
        }
        self.stage = if ended { next_merge(runs) } else { Stage::Collect { shard, row, runs } };
        self.settle();
    }

    fn merge<T: Record>(
        &mut self,
        over: &Over<T>,
        mut runs: VecDeque<Vec<Item>>,
        (a, b): (Vec<Item>, Vec<Item>),
        (mut ia, mut ib): (usize, usize),
        mut out: Vec<Item>,
    ) {
        for _ in 0..SLICE {
            match (a.get(ia), b.get(ib)) {
                (Some(x), Some(y)) if compare(over, x, y) == Ordering::Greater => {
                    out.push(*y);
                    ib += 1;
                }
                (Some(x), _) => {
                    out.push(*x);
                    ia += 1;
                }
                (None, Some(y)) => {
                    out.push(*y);
                    ib += 1;
                }
                (None, None) => break,
            }
            self.handled += 1;
        }
        self.stage = if ia == a.len() && ib == b.len() {
            runs.push_back(out);
            next_merge(runs)
        } else {
            Stage::Merge { runs, a, b, at: (ia, ib), out }
        };
        self.settle();
    }

    /// A finished order becomes the one that is filtered.
    fn settle(&mut self) {
        if let Stage::Merge { a, b, out, runs, .. } = &mut self.stage
            && b.is_empty()
            && runs.is_empty()
            && out.is_empty()
        {
            self.sorted = std::mem::take(a).into_iter().map(|(_, at)| at).collect();
            let live = self.shown.is_empty();
            self.stage = Stage::Filter { at: 0, next: Vec::new(), ends: Ends::default(), live };
        }
    }

    fn sift<T: Record>(
        &mut self,
        over: &Over<T>,
        rank: &dyn Fn(&T) -> Option<Rank>,
        (at, mut next, mut ends): (usize, Vec<Ref>, Ends),
        live: bool,
    ) {
        let end = self.sorted.len().min(at + SLICE);
        let found = self.sorted[at..end].iter().filter_map(|r| Some((over.table.get(*r).and_then(rank)?, *r)));
        ends.add(if live { &mut self.shown } else { &mut next }, found);
        self.handled += (end - at) as u64;
        if end < self.sorted.len() {
            self.stage = Stage::Filter { at: end, next, ends, live };
        } else if !live {
            self.shown = next;
        }
    }
}

/// Two runs to merge, or one that is the whole (then `b` is empty and [`Index::settle`] takes it).
fn next_merge(mut runs: VecDeque<Vec<Item>>) -> Stage {
    let a = runs.pop_front().unwrap_or_default();
    let b = runs.pop_front().unwrap_or_default();
    let out = if b.is_empty() { Vec::new() } else { Vec::with_capacity(a.len() + b.len()) };
    Stage::Merge { runs, a, b, at: (0, 0), out }
}

fn compare<T: Record>(over: &Over<T>, a: &Item, b: &Item) -> Ordering {
    let tie = || Some((over.order.ties?)(over.table.get(a.1)?, over.table.get(b.1)?));
    let by_key = a.0.cmp(&b.0).then_with(|| tie().unwrap_or(Ordering::Equal));
    // Equal rows keep the order in which they were told, whatever the direction.
    if over.descending { by_key.reverse() } else { by_key }.then_with(|| a.1.cmp(&b.1))
}

/// The first eight bytes of a word, lower case: sorts as the word does, as far as it goes.
#[must_use]
pub fn word_key(text: &str) -> u64 {
    let mut out = [0u8; 8];
    for (to, from) in out.iter_mut().zip(text.bytes()) {
        *to = from.to_ascii_lowercase();
    }
    u64::from_be_bytes(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::SnapshotRow;
    use crate::tui::testing::{origin, snapshot};

    const BY_SIZE: Order<SnapshotRow> = Order { key: |row| row.size.0, ties: Some(|a, b| a.id.cmp(&b.id)) };

    fn table(n: u64) -> Table<SnapshotRow> {
        let mut table = Table::default();
        for (part, region) in ["us-east-1", "eu-west-1", "sa-east-1"].into_iter().enumerate() {
            let here = origin(region);
            table.page(&here, (0..n).filter(|i| i % 3 == part as u64).map(|i| snapshot(&here, i)).collect(), None);
        }
        table
    }

    fn finish(index: &mut Index, over: &Over<SnapshotRow>, matches: &dyn Fn(&SnapshotRow) -> bool) -> u64 {
        let rank = |row: &SnapshotRow| matches(row).then_some(Rank::Found);
        let mut steps = 0;
        while !index.is_idle() {
            let before = index.handled;
            index.step(over, &rank);
            assert!(index.handled - before <= SLICE as u64, "one step handles one slice");
            steps += 1;
            assert!(steps < 10_000, "it never ends");
        }
        steps
    }

    #[test]
    fn any_number_of_rows_is_sorted_and_filtered_in_slices() {
        for n in [0, 1, 2, 2_047, 2_048, 2_049, 30_000] {
            let table = table(n);
            for descending in [false, true] {
                let over = Over { table: &table, order: &BY_SIZE, descending };
                let mut index = Index::default();
                index.sort();
                finish(&mut index, &over, &|row| row.encrypted);
                let mut wanted: Vec<&SnapshotRow> =
                    table.shards.iter().flat_map(|s| s.rows.iter().map(|r| &*r.row)).filter(|r| r.encrypted).collect();
                wanted.sort_by(|a, b| (a.size, &a.id).cmp(&(b.size, &b.id)));
                if descending {
                    wanted.reverse();
                }
                let shown: Vec<_> = index.shown.iter().filter_map(|r| table.get(*r)).collect();
                assert_eq!(index.total() as u64, n);
                assert_eq!(
                    shown.iter().map(|r| &r.id).collect::<Vec<_>>(),
                    wanted.iter().map(|r| &r.id).collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn a_new_filter_does_not_sort_again_and_shows_what_it_finds() {
        let table = table(20_000);
        let over = Over { table: &table, order: &BY_SIZE, descending: false };
        let mut index = Index::default();
        index.sort();
        finish(&mut index, &over, &|_| true);
        let before = index.handled;
        index.filter();
        index.step(&over, &|row| row.encrypted.then_some(Rank::Found));
        assert!(!index.shown.is_empty() && index.filtering().is_some());
        finish(&mut index, &over, &|row| row.encrypted);
        assert_eq!(index.handled - before, 20_000);
    }

    #[test]
    fn better_ranks_come_first_and_the_order_holds_within_each() {
        let table = table(10_000);
        let over = Over { table: &table, order: &BY_SIZE, descending: true };
        let rank = |row: &SnapshotRow| match row.id.as_str().bytes().last() {
            Some(b'1') => Some(Rank::Begins),
            Some(b'2') => Some(Rank::Word),
            Some(b'3' | b'4') => Some(Rank::Found),
            _ => None,
        };
        let mut index = Index::default();
        index.sort();
        while !index.is_idle() {
            index.step(&over, &rank);
        }
        let shown: Vec<&SnapshotRow> = index.shown.iter().filter_map(|r| table.get(*r)).collect();
        let mut wanted: Vec<&SnapshotRow> =
            table.shards.iter().flat_map(|s| s.rows.iter().map(|r| &*r.row)).filter(|r| rank(r).is_some()).collect();
        wanted.sort_by(|a, b| rank(a).cmp(&rank(b)).then((b.size, &b.id).cmp(&(a.size, &a.id))));
        assert_eq!(shown, wanted);
    }

    #[test]
    fn rows_that_are_gone_are_not_shown() {
        let here = origin("us-east-1");
        let mut table = Table::default();
        table.page(&here, vec![snapshot(&here, 1), snapshot(&here, 2)], None);
        table.started(&here);
        table.page(&here, vec![snapshot(&here, 2)], None);
        table.done(&here, crate::tui::testing::when(0));
        let mut index = Index::default();
        index.sort();
        finish(&mut index, &Over { table: &table, order: &BY_SIZE, descending: false }, &|_| true);
        assert_eq!(index.shown.len(), 1);
    }
}
