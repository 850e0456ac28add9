//! Reading a ledger from end to end in bounded memory: runs, counts, the LINEAR checksum, the block map.
//!
//! Scans look through the cache without filling it, so they never push out pages that are being written.
//! They see what is marked, durable or not.

use aws_lc_rs::digest::{Context, SHA256};

use super::pages::{Disk, PAGE};
use super::{BITS, DIGESTS, Dest, Ledger, Tally, layout, word_at, word_mask};
use crate::error::Result;
use crate::ids::{BlockIndex, BlockRange};
use crate::units::{Blocks, Digest, ZERO_BLOCK_SHA256};

const WORDS: usize = PAGE / 8;
/// Digests are read this many pages at a time: 64 KiB.
const READ: usize = 16;

/// Which blocks are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// What the source listed.
    Listed,
    /// What this destination has.
    Done(Dest),
    /// What is listed and missing from at least one of these destinations.
    Pending(Vec<Dest>),
}

/// A cursor over a range: holds one page of bits, borrows nothing, and may be kept while the ledger moves on.
/// A run that it returns may have been marked done since its page was read (at most 32,768 blocks ago).
#[derive(Debug)]
pub struct Scan {
    wanted: Wanted,
    at: u32,
    end: u32,
    /// The first index of the page in `words`.
    loaded: Option<u32>,
    words: Box<[u64; WORDS]>,
}

/// One cell of the block map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The blocks that it stands for.
    pub range: BlockRange,
    /// How many of them are listed.
    pub listed: u32,
    /// How many are done at the destination that is furthest behind.
    pub done: u32,
}

/// What CompleteSnapshot asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// How many blocks were counted.
    pub blocks: Blocks,
    /// SHA-256 over their raw digests in index order.
    pub checksum: Digest,
}

impl Scan {
    /// Looks for `wanted` in `range`, which is cut to the volume.
    #[must_use]
    pub fn new(wanted: Wanted, range: BlockRange) -> Self {
        Self { wanted, at: range.start, end: range.end, loaded: None, words: Box::new([0; WORDS]) }
    }

    /// The next run, in index order; runs are cut at multiples of 32,768.
    ///
    /// # Errors
    /// An unknown destination, or a failing disk.
    pub fn next<D: Disk>(&mut self, ledger: &Ledger<D>) -> Result<Option<BlockRange>> {
        let end = self.end.min(ledger.header.blocks);
        while self.at < end {
            let first = self.at / BITS * BITS;
            if self.loaded != Some(first) {
                ledger.combine(&self.wanted, first, &mut self.words)?;
                self.loaded = Some(first);
            }
            let stop = end.min(first.saturating_add(BITS));
            if let Some(start) = find(&self.words, self.at, stop, true) {
                let run = BlockRange::new(start, find(&self.words, start, stop, false).unwrap_or(stop));
                self.at = run.end;
                return Ok(Some(run));
            }
            self.at = stop;
        }
        Ok(None)
    }
}

/// The first bit of this value in `at..stop`, all within one page.
fn find(words: &[u64; WORDS], mut at: u32, stop: u32, value: bool) -> Option<u32> {
    while at < stop {
        let word = words[(at % BITS / 64) as usize];
        let seen = (if value { word } else { !word }) >> (at % 64);
        if seen != 0 {
            let found = at + seen.trailing_zeros();
            return (found < stop).then_some(found);
        }
        at = at / 64 * 64 + 64;
    }
    None
}

impl<D: Disk> Ledger<D> {
    /// How many of the wanted blocks lie in a range (cut to the volume).
    ///
    /// # Errors
    /// An unknown destination, or a failing disk.
    pub fn count(&self, wanted: &Wanted, range: BlockRange) -> Result<Blocks> {
        let end = range.end.min(self.header.blocks);
        let mut words = Box::new([0; WORDS]);
        let (mut at, mut total) = (range.start, 0);
        while at < end {
            let first = at / BITS * BITS;
            self.combine(wanted, first, &mut words)?;
            let stop = end.min(first.saturating_add(BITS));
            total += ones(&words, at, stop);
            at = stop;
        }
        Ok(Blocks(total))
    }

    /// How many listed blocks at least one of these destinations misses, for who looks a few times a second: from the
    /// counters, and bit by bit only where two of them are half-way at once. Takes what is done to be listed.
    ///
    /// # Errors
    /// An unknown destination, or a failing disk.
    pub fn behind(&self, dests: &[Dest]) -> Result<Blocks> {
        for dest in dests {
            self.check_dest(*dest)?;
        }
        let mut total = 0;
        for (chunk, listed) in self.listed.chunks.iter().enumerate().filter(|(_, listed)| **listed > 0) {
            let done = |dest: &Dest| self.done[usize::from(dest.0)].chunks[chunk].min(*listed);
            let least = dests.iter().map(done).min().unwrap_or(0);
            let half_way = dests.iter().filter(|dest| done(dest) < *listed).count();
            total += if half_way <= 1 || least == 0 {
                u64::from(listed - least)
            } else {
                let start = u32::try_from(chunk).unwrap_or(u32::MAX) << self.listed.shift;
                let range = BlockRange::new(start, start.saturating_add(1 << self.listed.shift));
                self.count(&Wanted::Pending(dests.to_vec()), range)?.0
            };
        }
        Ok(Blocks(total))
    }

    /// The next blocks that `dest` has, with their digests, at or after `from`: at most `max` of them, fewer
    /// only at the end. For comparing what was written with what is there.
    ///
    /// # Errors
    /// An unknown destination, or a failing disk.
    pub fn done_digests(&mut self, dest: Dest, from: BlockIndex, max: usize) -> Result<Vec<(BlockIndex, Digest)>> {
        let mut scan = Scan::new(Wanted::Done(dest), BlockRange::new(from.0, self.header.blocks));
        let mut found = Vec::with_capacity(max.min(1024));
        while found.len() < max {
            let Some(run) = scan.next(self)? else { break };
            for index in run.start..run.end.min(run.start.saturating_add((max - found.len()) as u32)) {
                let (page, at) = self.digest_place(BlockIndex(index));
                let mut digest = [0; 32];
                digest.copy_from_slice(&self.pages.get(page)?[at..at + 32]);
                found.push((BlockIndex(index), Digest(digest)));
            }
        }
        Ok(found)
    }

    /// The LINEAR checksum of what `dest` was sent. With `omit_zeros`, blocks of zeros were left out of it and
    /// do not count. Reads 32 bytes a block: seconds for a full 16 TiB volume.
    ///
    /// # Errors
    /// An unknown destination, or a failing disk.
    pub fn linear(&mut self, dest: Dest, omit_zeros: bool) -> Result<Linear> {
        self.check_dest(dest)?;
        self.pages.write_early()?;
        let mut hash = Context::new(&SHA256);
        let mut blocks = 0;
        let mut buffer = vec![0; READ * PAGE];
        let span = READ as u32 * DIGESTS;
        let mut scan = Scan::new(Wanted::Done(dest), self.range());
        let mut window = BlockRange::new(0, 0);
        while let Some(mut run) = scan.next(self)? {
            while !run.is_empty() {
                if !window.contains(BlockIndex(run.start)) {
                    window = self.read_digests(run.start / span, &mut buffer)?;
                }
                let stop = run.end.min(window.end);
                let at = |index: u32| (index - window.start) as usize * 32;
                let raw = &buffer[at(run.start)..at(stop)];
                if omit_zeros {
                    for digest in raw.chunks_exact(32).filter(|digest| *digest != ZERO_BLOCK_SHA256.0) {
                        hash.update(digest);
                        blocks += 1;
                    }
                } else {
                    hash.update(raw);
                    blocks += u64::from(stop - run.start);
                }
                run.start = stop;
            }
        }
        let mut checksum = [0; 32];
        checksum.copy_from_slice(hash.finish().as_ref());
        Ok(Linear { blocks: Blocks(blocks), checksum: Digest(checksum) })
    }

    /// Reads window number `number` of digests; returns the indexes that `buffer` then holds.
    fn read_digests(&self, number: u32, buffer: &mut [u8]) -> Result<BlockRange> {
        let start = number * READ as u32 * DIGESTS;
        let (_, first, end) = layout(self.base, &self.header);
        let page = first + u64::from(start / DIGESTS);
        let pages = (end - page).min(READ as u64) as usize;
        self.pages
            .disk()
            .read_at(&mut buffer[..pages * PAGE], page * PAGE as u64)
            .map_err(|cause| crate::error::Error::io("could not read the ledger", &cause))?;
        Ok(BlockRange::new(start, start + pages as u32 * DIGESTS))
    }

    /// The block map of a range in at most `cells` cells of equal span (the last may be shorter). Cheap: a
    /// whole volume is summed from counters, a zoomed part from the few pages of bits it covers.
    ///
    /// # Errors
    /// An unknown destination, or a failing disk.
    pub fn map(&self, range: BlockRange, cells: usize, dests: &[Dest]) -> Result<Vec<Cell>> {
        for dest in dests {
            self.check_dest(*dest)?;
        }
        let range = BlockRange::new(range.start, range.end.min(self.header.blocks));
        if range.is_empty() || cells == 0 {
            return Ok(Vec::new());
        }
        let mut span = range.len().div_ceil(u32::try_from(cells).unwrap_or(u32::MAX)).max(1);
        let chunk = 1 << self.listed.shift;
        let whole = span >= chunk && range.start.is_multiple_of(chunk);
        if whole {
            span = span.div_ceil(chunk) * chunk;
        }
        let mut map = Vec::with_capacity(cells);
        let mut start = range.start;
        while start < range.end {
            let cell = BlockRange::new(start, start.saturating_add(span).min(range.end));
            let listed = if whole { sum(&self.listed, cell) } else { 0 };
            let behind =
                dests.iter().map(|dest| if whole { sum(&self.done[usize::from(dest.0)], cell) } else { 0 }).min();
            map.push(Cell { range: cell, listed, done: behind.unwrap_or(0) });
            start = cell.end;
        }
        if !whole {
            self.map_bits(&mut map, dests)?;
        }
        Ok(map)
    }

    /// Fills cells from the bits themselves; a cell shared by two pages gets the sum of both.
    fn map_bits(&self, map: &mut [Cell], dests: &[Dest]) -> Result<()> {
        let mut words = Box::new([0; WORDS]);
        let mut sums = vec![0u32; map.len()];
        for (nth, wanted) in
            std::iter::once(Wanted::Listed).chain(dests.iter().map(|dest| Wanted::Done(*dest))).enumerate()
        {
            let mut loaded = None;
            for (cell, total) in map.iter().zip(&mut sums) {
                *total = 0;
                let mut at = cell.range.start;
                while at < cell.range.end {
                    let first = at / BITS * BITS;
                    if loaded != Some(first) {
                        self.combine(&wanted, first, &mut words)?;
                        loaded = Some(first);
                    }
                    let stop = cell.range.end.min(first.saturating_add(BITS));
                    *total += ones(&words, at, stop) as u32;
                    at = stop;
                }
            }
            for (cell, total) in map.iter_mut().zip(&sums) {
                match nth {
                    0 => cell.listed = *total,
                    1 => cell.done = *total,
                    _ => cell.done = cell.done.min(*total),
                }
            }
        }
        Ok(())
    }

    /// The wanted bits of the page that begins at index `first`.
    fn combine(&self, wanted: &Wanted, first: u32, words: &mut [u64; WORDS]) -> Result<()> {
        let mut page = [0; PAGE];
        match wanted {
            Wanted::Listed => self.pages.peek(self.bitmap_page(None, first), &mut page)?,
            Wanted::Done(dest) => {
                self.check_dest(*dest)?;
                self.pages.peek(self.bitmap_page(Some(*dest), first), &mut page)?;
            }
            Wanted::Pending(dests) => {
                let mut everywhere = [u64::MAX; WORDS];
                for dest in dests {
                    self.check_dest(*dest)?;
                    self.pages.peek(self.bitmap_page(Some(*dest), first), &mut page)?;
                    for (at, word) in everywhere.iter_mut().enumerate() {
                        *word &= word_at(&page, at as u32);
                    }
                }
                self.pages.peek(self.bitmap_page(None, first), &mut page)?;
                for (at, word) in words.iter_mut().enumerate() {
                    *word = word_at(&page, at as u32) & !everywhere[at];
                }
                return Ok(());
            }
        }
        for (at, word) in words.iter_mut().enumerate() {
            *word = word_at(&page, at as u32);
        }
        Ok(())
    }

    /// Counts all bits again: what the counters say must never outlive the bits they were counted from.
    pub(super) fn recount(&mut self) -> Result<()> {
        self.listed = self.tally(&Wanted::Listed)?;
        for dest in 0..self.done.len() {
            self.done[dest] = self.tally(&Wanted::Done(Dest(u16::try_from(dest).unwrap_or(u16::MAX))))?;
        }
        Ok(())
    }

    fn tally(&self, wanted: &Wanted) -> Result<Tally> {
        let mut tally = Tally::new(self.header.blocks);
        let mut words = Box::new([0; WORDS]);
        for first in (0..self.header.blocks).step_by(BITS as usize) {
            self.combine(wanted, first, &mut words)?;
            let stop = self.header.blocks.min(first.saturating_add(BITS));
            for at in (first..stop).step_by(64) {
                let (_, mask) = word_mask(at, stop);
                tally.add(at, (words[(at % BITS / 64) as usize] & mask).count_ones());
            }
        }
        Ok(tally)
    }
}

fn sum(tally: &Tally, cell: BlockRange) -> u32 {
    let (first, last) = (cell.start >> tally.shift, (cell.end - 1) >> tally.shift);
    tally.chunks[first as usize..=last as usize].iter().sum()
}

fn ones(words: &[u64; WORDS], mut at: u32, stop: u32) -> u64 {
    let mut total = 0;
    while at < stop {
        let (end, mask) = word_mask(at, stop);
        total += u64::from((words[(at % BITS / 64) as usize] & mask).count_ones());
        at = end;
    }
    total
}
