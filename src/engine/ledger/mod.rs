//! The ledger: which blocks of a job are listed, which are done at which destination, and their digests.
//!
//! One sparse file per job with one writer, read and written by position. Invariant: a `done` bit on the
//! disk has its digest on the disk. The contract that makes it true is in two halves:
//!
//! 1. the caller calls [`Ledger::mark_done`] only after the destination has the block durably (a put was
//!    acknowledged, a file was synced), and journals `listed_through` only after [`Ledger::flush`] returned;
//! 2. `flush` writes digests and listed bits, syncs, writes done bits, syncs. So a crash or a power cut at
//!    any point loses bits (the block is sent again), and never makes one up.
//!
//! Memory is flat: a bounded page cache and at most 8,192 counters a bitmap, whatever the volume's size.
//! All calls block on the disk for microseconds, `flush` for a sync: the engine calls them off its lanes.

mod header;
mod pages;
mod scan;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::header::Header;
pub use self::pages::Disk;
use self::pages::{PAGE, Pages, Shown};
pub use self::scan::{Cell, Linear, Scan, Wanted};
use crate::error::{Error, Result};
use crate::ids::{BlockIndex, BlockRange};
use crate::store::atomic;
use crate::units::{Blocks, Bytes, Digest};

/// Bits of one page of a bitmap: 16 GiB of a volume.
pub(super) const BITS: u32 = PAGE as u32 * 8;
/// Digests of one page.
pub(super) const DIGESTS: u32 = PAGE as u32 / 32;
/// What the page cache holds at rest: enough for 8 segments of 8 destinations between two flushes.
pub const CACHE: Bytes = Bytes::kib(512);
/// What all ledgers together may hold, as plans say it.
const ALL: Bytes = crate::plan::LEDGER_CACHE;
/// Counters a bitmap has at most.
const CHUNKS: u32 = 8192;

/// A destination of the job: its position in [`Header::destinations`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dest(pub u16);

/// How many bits a bitmap has set, in all and by stretches of equal length.
#[derive(Debug, Clone)]
struct Tally {
    total: u64,
    chunks: Vec<u32>,
    /// A chunk spans `1 << shift` blocks, at least the 64 of a word.
    shift: u32,
}

impl Tally {
    fn new(blocks: u32) -> Self {
        let shift = blocks.div_ceil(CHUNKS).max(64).next_power_of_two().trailing_zeros();
        Self { total: 0, chunks: vec![0; (blocks >> shift) as usize + 1], shift }
    }
    fn add(&mut self, at: u32, bits: u32) {
        self.total += u64::from(bits);
        self.chunks[(at >> self.shift) as usize] += bits;
    }
    fn sub(&mut self, at: u32, bits: u32) {
        self.total -= u64::from(bits);
        self.chunks[(at >> self.shift) as usize] -= bits;
    }
}

/// The open ledger of one job.
#[derive(Debug)]
pub struct Ledger<D = File> {
    pages: Pages<D>,
    header: Header,
    /// First page of the bitmaps; listed first, then one for each destination, then the digests.
    base: u64,
    listed: Tally,
    done: Vec<Tally>,
}

/// What the page cache of one of so many ledgers may grow to while blocks far apart are done: what plans say, less its
/// counters.
pub fn most(destinations: usize, ledgers: usize) -> Bytes {
    let counters = (destinations + 1) * (CHUNKS as usize + 1) * size_of::<u32>();
    Bytes(ALL.0 / ledgers.max(1) as u64).less(Bytes(counters as u64)).max(CACHE)
}

impl Ledger<File> {
    /// Makes the ledger of a new job (0600, sparse, locked) and syncs it and its name.
    ///
    /// # Errors
    /// It exists already, another process holds it, or the disk refuses.
    pub fn create(path: &Path, header: Header, cache: Bytes) -> Result<Self> {
        let doing =
            |cause: &std::io::Error| Error::io(format!("could not create the ledger {}", path.display()), cause);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(path).map_err(|c| doing(&c))?;
        let begun = || {
            lock(&file, path)?;
            file.set_len(Self::file_len(&header)?.0).map_err(|c| doing(&c))?;
            let mut ledger = Self::format(file, header, cache)?;
            ledger.pages.name(path);
            ledger.pages.disk().sync_all().map_err(|c| doing(&c))?;
            atomic::sync_dir(path.parent().unwrap_or(Path::new(".")))?;
            Ok(ledger)
        };
        // Half a ledger would be taken for a damaged one by the next run.
        begun().inspect_err(|_| drop(std::fs::remove_file(path)))
    }

    /// Opens and locks a ledger, and counts its bits again.
    ///
    /// # Errors
    /// It is missing, held by another process, of an unknown version, damaged or cut off.
    pub fn open(path: &Path, cache: Bytes) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|cause| Error::io(format!("could not open the ledger {}", path.display()), &cause))?;
        lock(&file, path)?;
        let mut ledger = Self::load(file, cache).map_err(|e| e.during(path.display()))?;
        ledger.pages.name(path);
        ledger.write_bits_again()?;
        Ok(ledger)
    }

    /// What a ledger that nobody writes counts: how many blocks are listed, and done at each destination. Takes no
    /// lock and syncs nothing, because nothing is decided by it.
    ///
    /// # Errors
    /// It is missing, of an unknown version, damaged or cut off.
    pub fn counts(path: &Path) -> Result<(Blocks, Vec<Blocks>)> {
        let file = File::open(path)
            .map_err(|cause| Error::io(format!("could not open the ledger {}", path.display()), &cause))?;
        let ledger = Ledger::load(Shown(file), Bytes::ZERO).map_err(|e| e.during(path.display()))?;
        Ok((ledger.listed(), ledger.done.iter().map(|tally| Blocks(tally.total)).collect()))
    }

    /// How large the file is for this job; what it takes on a sparse disk is far less until blocks are done.
    ///
    /// # Errors
    /// The header is too long to be written.
    pub fn file_len(header: &Header) -> Result<Bytes> {
        let base = header::encode(header)?.len() / PAGE;
        Ok(Bytes(layout(base as u64, header).2 * PAGE as u64))
    }
}

impl<D: Disk> Ledger<D> {
    /// Writes the header onto a disk of zeros of the right length.
    fn format(mut disk: D, header: Header, cache: Bytes) -> Result<Self> {
        let bytes = header::encode(&header)?;
        let mut save = || {
            disk.write_at(&bytes, 0).map_err(|c| Error::io("could not write the ledger", &c))?;
            disk.sync().map_err(|c| Error::io("could not sync the ledger", &c))
        };
        // A disk may fail once; room is waited for by whoever asked.
        save().or_else(|error| if error.is_full_disk() { Err(error) } else { save() })?;
        Ok(Self::over(disk, header, (bytes.len() / PAGE) as u64, cache))
    }

    fn load(mut disk: D, cache: Bytes) -> Result<Self> {
        let unreadable = |c: std::io::Error| Error::io("could not read the ledger", &c);
        // A killed process may have left writes in the kernel only: what is read here must outlive a power cut.
        // One that fails is tried once more: no done bit leaves before its digest is safe, and bits are written again.
        disk.sync().or_else(|_| disk.sync()).map_err(|c| Error::io("could not sync the ledger", &c))?;
        let len = disk.len().map_err(unreadable)?;
        let cut = || Error::failed("the ledger is cut off").todo("start the copy again, and check this disk");
        if len < PAGE as u64 {
            return Err(cut());
        }
        let mut first = vec![0; PAGE];
        disk.read_at(&mut first, 0).map_err(unreadable)?;
        let wanted = header::total_len(&first)?;
        if len < wanted as u64 {
            return Err(cut());
        }
        first.resize(wanted, 0);
        disk.read_at(&mut first, 0).map_err(unreadable)?;
        let header = header::decode(&first)?;
        let base = (wanted / PAGE) as u64;
        if len < layout(base, &header).2 * PAGE as u64 {
            return Err(cut());
        }
        let mut ledger = Self::over(disk, header, base, cache);
        ledger.recount()?;
        Ok(ledger)
    }

    /// Writes all bits once more. An earlier process may have ended after a sync that failed: then the kernel shows what
    /// the disk has not, and what was called listed here would be missing after a power cut. Digests need it not: a
    /// done bit is written only when they are safe, and where there is none they are written again.
    fn write_bits_again(&mut self) -> Result<()> {
        let (_, digests, _) = layout(self.base, &self.header);
        for page in self.base..digests {
            if self.pages.get(page)?.iter().any(|byte| *byte != 0) {
                self.pages.get_mut(page)?;
            }
        }
        self.flush()
    }

    fn over(disk: D, header: Header, base: u64, cache: Bytes) -> Self {
        let (late, early, _) = layout(base, &header);
        let capacity = usize::try_from(cache.0).unwrap_or(usize::MAX) / PAGE;
        let pages = Pages::new(disk, late..early, capacity);
        let listed = Tally::new(header.blocks);
        let done = vec![listed.clone(); header.destinations.len()];
        Self { pages, header, base, listed, done }
    }

    /// What it belongs to.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The indexes of the volume.
    pub const fn range(&self) -> BlockRange {
        BlockRange::new(0, self.header.blocks)
    }

    /// What it holds in memory: cached pages and counters.
    pub fn memory(&self) -> Bytes {
        let counters = (self.done.len() + 1) * self.listed.chunks.len() * size_of::<u32>();
        Bytes((self.pages.held() + counters) as u64)
    }

    /// How many blocks the source listed so far.
    pub const fn listed(&self) -> Blocks {
        Blocks(self.listed.total)
    }

    /// How many blocks are done for a destination; zero for one that it does not have.
    pub fn done(&self, dest: Dest) -> Blocks {
        Blocks(self.done.get(usize::from(dest.0)).map_or(0, |tally| tally.total))
    }

    /// Notes that the source has this block. True when that is news.
    ///
    /// # Errors
    /// The index is past the volume, or the disk fails.
    pub fn mark_listed(&mut self, index: BlockIndex) -> Result<bool> {
        self.mark_listed_range(BlockRange::new(index.0, index.0.saturating_add(1))).map(|new| new.0 == 1)
    }

    /// Notes that the source has all of these blocks; returns how many of them are news.
    ///
    /// # Errors
    /// The range goes past the volume, or the disk fails.
    pub fn mark_listed_range(&mut self, range: BlockRange) -> Result<Blocks> {
        self.check_range(range)?;
        let before = self.listed.total;
        let mut at = range.start;
        while at < range.end {
            let (word_end, mask) = word_mask(at, range.end);
            let old = self.word(None, at)?;
            let new = mask & !old;
            if new != 0 {
                self.set_word(None, at, old | mask)?;
                self.listed.add(at, new.count_ones());
            }
            at = word_end;
        }
        Ok(Blocks(self.listed.total - before))
    }

    /// Whether the source listed this block.
    ///
    /// # Errors
    /// The index is past the volume, or the disk fails.
    pub fn is_listed(&mut self, index: BlockIndex) -> Result<bool> {
        self.check_index(index)?;
        Ok(self.word(None, index.0)? >> (index.0 % 64) & 1 == 1)
    }

    /// Notes that `dest` holds this block durably and what its content hashes to. True when that is news.
    ///
    /// # Errors
    /// Another digest is on record for a block that some destination has: the source changed between two
    /// reads. Also an unknown destination, an index past the volume, or a failing disk.
    pub fn mark_done(&mut self, dest: Dest, index: BlockIndex, digest: &Digest) -> Result<bool> {
        self.check_index(index)?;
        self.check_dest(dest)?;
        let bit = 1u64 << (index.0 % 64);
        let old = self.word(Some(dest), index.0)?;
        if let Some(known) = self.digest(index)?
            && known != *digest
        {
            return Err(Error::failed("the source changed: this block was read before with another SHA-256")
                .at_block(index)
                .todo("start the copy again, or pass --allow-changed"));
        }
        if old & bit != 0 {
            return Ok(false);
        }
        let (page, at) = self.digest_place(index);
        self.pages.get_mut(page)?[at..at + 32].copy_from_slice(&digest.0);
        self.set_word(Some(dest), index.0, old | bit)?;
        self.done[usize::from(dest.0)].add(index.0, 1);
        Ok(true)
    }

    /// Whether `dest` has this block.
    ///
    /// # Errors
    /// An unknown destination, an index past the volume, or a failing disk.
    pub fn is_done(&mut self, dest: Dest, index: BlockIndex) -> Result<bool> {
        self.check_index(index)?;
        self.check_dest(dest)?;
        Ok(self.word(Some(dest), index.0)? >> (index.0 % 64) & 1 == 1)
    }

    /// Takes back done bits and makes that durable before it returns: for a destination that starts anew, or
    /// blocks that must be written again. Returns how many were taken back.
    ///
    /// # Errors
    /// An unknown destination, a range past the volume, or a failing disk.
    pub fn clear_done(&mut self, dest: Dest, range: BlockRange) -> Result<Blocks> {
        self.check_range(range)?;
        self.check_dest(dest)?;
        let before = self.done(dest);
        let mut at = range.start;
        while at < range.end {
            let (word_end, mask) = word_mask(at, range.end);
            let old = self.word(Some(dest), at)?;
            if old & mask != 0 {
                self.set_word(Some(dest), at, old & !mask)?;
                self.done[usize::from(dest.0)].sub(at, (old & mask).count_ones());
            }
            at = word_end;
        }
        self.flush()?;
        Ok(before.less(self.done(dest)))
    }

    /// The SHA-256 of a block that at least one destination has; `None` for any other block, because a digest
    /// without a done bit may be half of a write that never finished.
    ///
    /// # Errors
    /// The index is past the volume, or the disk fails.
    pub fn digest(&mut self, index: BlockIndex) -> Result<Option<Digest>> {
        self.check_index(index)?;
        for dest in 0..self.done.len() {
            let dest = Dest(u16::try_from(dest).unwrap_or(u16::MAX));
            if self.word(Some(dest), index.0)? >> (index.0 % 64) & 1 == 1 {
                let (page, at) = self.digest_place(index);
                let mut digest = [0; 32];
                digest.copy_from_slice(&self.pages.get(page)?[at..at + 32]);
                return Ok(Some(Digest(digest)));
            }
        }
        Ok(None)
    }

    /// Makes everything marked so far durable, in the order that the invariant needs. Batch it (about once a
    /// second, and before `listed_through` is journaled); it costs two syncs, or none when nothing changed.
    ///
    /// # Errors
    /// A full disk (free some and call again: what may be lost is written again), or a disk that failed twice in a row,
    /// after which this ledger refuses everything and has to be opened again: what was not yet synced is then not done.
    pub fn flush(&mut self) -> Result<()> {
        self.pages.flush()
    }

    /// Whether everything marked is durable.
    pub fn is_flushed(&self) -> bool {
        self.pages.is_clean()
    }

    fn bitmap_page(&self, dest: Option<Dest>, index: u32) -> u64 {
        let bitmap = dest.map_or(0, |d| u64::from(d.0) + 1);
        self.base + bitmap * u64::from(self.header.blocks.div_ceil(BITS)) + u64::from(index / BITS)
    }

    fn digest_place(&self, index: BlockIndex) -> (u64, usize) {
        let (_, first, _) = layout(self.base, &self.header);
        (first + u64::from(index.0 / DIGESTS), (index.0 % DIGESTS) as usize * 32)
    }

    fn word(&mut self, dest: Option<Dest>, index: u32) -> Result<u64> {
        let page = self.bitmap_page(dest, index);
        Ok(word_at(self.pages.get(page)?, index % BITS / 64))
    }

    fn set_word(&mut self, dest: Option<Dest>, index: u32, word: u64) -> Result<()> {
        let page = self.bitmap_page(dest, index);
        let at = (index % BITS / 64) as usize * 8;
        self.pages.get_mut(page)?[at..at + 8].copy_from_slice(&word.to_le_bytes());
        Ok(())
    }

    fn check_dest(&self, dest: Dest) -> Result<()> {
        if usize::from(dest.0) < self.done.len() {
            return Ok(());
        }
        Err(Error::failed(format!("the ledger has {} destinations, not number {}", self.done.len(), dest.0)))
    }

    fn check_index(&self, index: BlockIndex) -> Result<()> {
        if index.0 < self.header.blocks {
            return Ok(());
        }
        let volume = Blocks(u64::from(self.header.blocks));
        Err(Error::failed(format!("a block lies past the volume, which has {volume}")).at_block(index))
    }

    fn check_range(&self, range: BlockRange) -> Result<()> {
        if range.is_empty() { Ok(()) } else { self.check_index(BlockIndex(range.end - 1)) }
    }
}

/// First page of the done bitmaps, first page of the digests, and the page after the last.
fn layout(base: u64, header: &Header) -> (u64, u64, u64) {
    let bitmap = u64::from(header.blocks.div_ceil(BITS));
    let digests = base + bitmap * (header.destinations.len() as u64 + 1);
    (base + bitmap, digests, digests + u64::from(header.blocks.div_ceil(DIGESTS)))
}

/// The bits of the word that holds `at`, from `at` up to `end`, and the index after that word.
fn word_mask(at: u32, end: u32) -> (u32, u64) {
    let word_end = (at / 64 + 1).saturating_mul(64).min(end);
    let count = word_end - at;
    (word_end, if count == 64 { u64::MAX } else { ((1 << count) - 1) << (at % 64) })
}

fn word_at(page: &[u8; PAGE], word: u32) -> u64 {
    let at = word as usize * 8;
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&page[at..at + 8]);
    u64::from_le_bytes(bytes)
}

fn lock(file: &File, path: &Path) -> Result<()> {
    file.try_lock().map_err(|cause| match cause {
        TryLockError::WouldBlock => Error::refused(format!("{} is in use by another engine", path.display())),
        TryLockError::Error(cause) => Error::io(format!("could not lock {}", path.display()), &cause),
    })
}
