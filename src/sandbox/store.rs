//! Blocks that clients wrote: one sparse data file and one file of 64-byte rows per snapshot, or memory.
//!
//! A block's row is written after its bytes, so after `kill -9` every block that was acknowledged is found again and
//! no other is believed. An overwrite with other bytes first voids the row. Blocks of zeros and blocks that this
//! sandbox synthesised itself are kept as a row alone, so copying a huge synthetic snapshot does not fill the disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use bytes::Bytes;

use super::content::{Content, Found, Origins};
use super::pool::{self, Stamp};
use super::row::{ROW, Row};
use super::synth::{CHUNK, mix};
use crate::ids::SnapshotId;
use crate::units::{BLOCK_BYTES, Blocks, Digest, ZERO_BLOCK_SHA256};

/// Marks origins that a written snapshot gave; the rest of the number is the snapshot's serial.
const WRITTEN: u64 = 1 << 63;

/// Where written blocks are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// In memory; they end with the process.
    Memory,
    /// Under this directory.
    Disk(PathBuf),
}

#[derive(Debug)]
enum Files {
    Memory(RwLock<HashMap<u32, (Row, Bytes)>>),
    Disk { data: File, rows: File },
}

/// Who may write now.
#[derive(Debug, Default)]
struct Gate {
    sealed: bool,
    writing: HashSet<u32>,
}

/// Why a put was not taken.
#[derive(Debug)]
pub enum Refused {
    /// CompleteSnapshot came first.
    Sealed,
    /// The same block is being written by another request.
    Conflict,
    /// The store failed.
    Io(io::Error),
}

/// The blocks written to one snapshot.
#[derive(Debug)]
pub struct Written {
    id: SnapshotId,
    serial: u64,
    base: Option<(SnapshotId, Content)>,
    keep: Keep,
    files: OnceLock<Files>,
    /// Which indexes have a row, by chunk; loaded with the files.
    map: RwLock<BTreeMap<u32, [u64; CHUNK as usize / 64]>>,
    count: AtomicU64,
    gate: Mutex<Gate>,
    loading: Mutex<()>,
    listed: OnceLock<Blocks>,
    last_write: AtomicI64,
    doomed: OnceLock<Weak<()>>,
}

static SERIAL: AtomicU64 = AtomicU64::new(1);

impl Written {
    /// The blocks of `id`, new or found again, on top of `base`.
    #[must_use]
    pub fn new(id: SnapshotId, base: Option<(SnapshotId, Content)>, keep: Keep) -> Self {
        Self {
            id,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            base,
            keep,
            files: OnceLock::new(),
            map: RwLock::default(),
            count: AtomicU64::new(0),
            gate: Mutex::default(),
            loading: Mutex::default(),
            listed: OnceLock::new(),
            last_write: AtomicI64::new(0),
            doomed: OnceLock::new(),
        }
    }

    /// What lies under it.
    #[must_use]
    pub fn base(&self) -> Option<&Content> {
        self.base.as_ref().map(|(_, content)| content)
    }
    /// The id of what lies under it.
    #[must_use]
    pub fn base_id(&self) -> Option<&SnapshotId> {
        self.base.as_ref().map(|(id, _)| id)
    }
    /// The lineage of its base, or one of its own.
    #[must_use]
    pub fn lineage(&self) -> u64 {
        match self.base() {
            Some(base) => base.lineage(),
            None => self.id.as_str().bytes().fold(0xF10E, |hash, byte| mix(hash, u64::from(byte))),
        }
    }
    /// When the last block was written, in milliseconds; 0 for never.
    #[must_use]
    pub fn last_write(&self) -> i64 {
        let known = self.last_write.load(Ordering::Relaxed);
        let Keep::Disk(dir) = &self.keep else { return known };
        if known != 0 {
            return known;
        }
        // By an earlier process: its file knows.
        let touched = std::fs::metadata(self.path(dir, "rows")).and_then(|found| found.modified());
        let since = touched.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
    }
    /// Its files go when nothing refers to it any more, unless that is because the sandbox itself ends.
    pub fn doom(&self, alive: &Arc<()>) {
        self.doomed.get_or_init(|| Arc::downgrade(alive));
    }

    /// How many distinct blocks were written to it.
    ///
    /// # Errors
    /// The files could not be read.
    pub fn count(&self) -> io::Result<u64> {
        self.files()?;
        Ok(self.count.load(Ordering::Acquire))
    }

    /// How many blocks it lists: its own and those of its base. Exact once it is sealed.
    pub fn listed(&self) -> Blocks {
        if let Some(known) = self.listed.get() {
            return *known;
        }
        let Ok(own) = self.count() else { return Blocks::ZERO };
        let Some(base) = self.base() else { return Blocks(own) };
        if !self.gate().sealed {
            return base.listed() + Blocks(own);
        }
        let mut both = 0;
        let mut origins: Origins = [0; CHUNK as usize];
        for (chunk, bits) in self.map.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if base.fill(*chunk, &mut origins).is_err() {
                return Blocks::ZERO;
            }
            both += set_bits(bits).filter(|at| origins[*at as usize] != 0).count() as u64;
        }
        *self.listed.get_or_init(|| base.listed() + Blocks(own - both))
    }

    /// Refuses further puts, unless some are under way. True when it is sealed afterwards.
    pub fn seal(&self) -> bool {
        let mut gate = self.gate();
        gate.sealed = gate.writing.is_empty();
        gate.sealed
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first chunk from `chunk` on that has a block.
    #[must_use]
    pub fn next_chunk(&self, chunk: u32) -> Option<u32> {
        self.files().ok()?;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.range(chunk..).next().map(|(chunk, _)| *chunk)
    }

    /// Origins of a chunk: those of the base, overlaid with its own blocks.
    ///
    /// # Errors
    /// The files could not be read.
    pub fn fill(&self, chunk: u32, out: &mut Origins) -> io::Result<()> {
        self.files()?;
        match self.base() {
            Some(base) => base.fill(chunk, out)?,
            None => out.fill(0),
        }
        if let Some(bits) = self.map.read().unwrap_or_else(PoisonError::into_inner).get(&chunk) {
            set_bits(bits).for_each(|at| out[at as usize] = WRITTEN | self.serial);
        }
        Ok(())
    }

    /// A block that was written to this very snapshot.
    ///
    /// # Errors
    /// The files could not be read.
    pub fn find(self: &Arc<Self>, index: u32) -> io::Result<Option<Found>> {
        Ok(match self.row(index)? {
            Row::None => None,
            Row::Zeros => Some(Found::Zeros),
            Row::Stamped(stamp) => Some(Found::Stamped(stamp)),
            Row::Stored(digest) => Some(Found::Stored(Arc::clone(self), digest)),
        })
    }

    fn row(&self, index: u32) -> io::Result<Row> {
        let files = self.files()?;
        let (chunk, at) = (index / CHUNK, index % CHUNK);
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        if map.get(&chunk).is_none_or(|bits| bits[at as usize / 64] >> (at % 64) & 1 == 0) {
            return Ok(Row::None);
        }
        drop(map);
        match files {
            Files::Memory(rows) => {
                let rows = rows.read().unwrap_or_else(PoisonError::into_inner);
                Ok(rows.get(&index).map_or(Row::None, |(row, _)| *row))
            }
            Files::Disk { rows, .. } => {
                let mut row = [0; ROW as usize];
                rows.read_exact_at(&mut row, u64::from(index) * ROW)?;
                Ok(Row::decode(&row))
            }
        }
    }

    /// The bytes of a stored block (blocking).
    ///
    /// # Errors
    /// The files could not be read.
    pub fn read(&self, index: u32) -> io::Result<Bytes> {
        match self.files()? {
            Files::Memory(rows) => {
                let rows = rows.read().unwrap_or_else(PoisonError::into_inner);
                rows.get(&index).map(|(_, bytes)| bytes.clone()).ok_or_else(|| ErrorKind::NotFound.into())
            }
            Files::Disk { data, .. } => {
                let mut bytes = vec![0; BLOCK_BYTES as usize];
                data.read_exact_at(&mut bytes, u64::from(index) * BLOCK_BYTES)?;
                Ok(bytes.into())
            }
        }
    }

    /// Writes a block (blocking); the same bytes again change nothing.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn write(&self, index: u32, digest: Digest, bytes: &Bytes, now: i64, references: bool) -> Result<(), Refused> {
        let _turn = Turn::take(self, index)?;
        let row = match Stamp::read(bytes) {
            _ if digest == ZERO_BLOCK_SHA256 => Row::Zeros,
            Some(stamp) if references && stamp.digest() == digest => Row::Stamped(stamp),
            _ => Row::Stored(digest),
        };
        self.store(index, row, bytes).map_err(Refused::Io)?;
        self.last_write.fetch_max(now, Ordering::Relaxed);
        Ok(())
    }

    fn store(&self, index: u32, row: Row, bytes: &Bytes) -> io::Result<()> {
        let before = self.row(index)?;
        if before == row {
            return Ok(());
        }
        match self.files()? {
            Files::Memory(rows) => {
                let bytes = if matches!(row, Row::Stored(_)) { bytes.clone() } else { Bytes::new() };
                rows.write().unwrap_or_else(PoisonError::into_inner).insert(index, (row, bytes));
            }
            Files::Disk { data, rows } => {
                if matches!(row, Row::Stored(_)) {
                    if before != Row::None {
                        rows.write_all_at(&Row::None.encode(), u64::from(index) * ROW)?;
                        self.unmark(index);
                    }
                    data.write_all_at(bytes, u64::from(index) * BLOCK_BYTES)?;
                }
                rows.write_all_at(&row.encode(), u64::from(index) * ROW)?;
            }
        }
        self.mark(index);
        Ok(())
    }

    fn mark(&self, index: u32) {
        let at = index % CHUNK;
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let word = &mut map.entry(index / CHUNK).or_default()[at as usize / 64];
        if *word >> (at % 64) & 1 == 0 {
            *word |= 1 << (at % 64);
            self.count.fetch_add(1, Ordering::Release);
        }
    }

    fn unmark(&self, index: u32) {
        let at = index % CHUNK;
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(bits) = map.get_mut(&(index / CHUNK)) {
            bits[at as usize / 64] &= !(1 << (at % 64));
            self.count.fetch_sub(1, Ordering::Release);
        }
    }

    /// SHA-256 over the digests of all written blocks in index order: the LINEAR aggregation (blocking).
    ///
    /// # Errors
    /// The files could not be read.
    pub fn linear(&self) -> io::Result<Digest> {
        self.files()?;
        let mut state = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let chunks: Vec<_> = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            map.iter().map(|(chunk, bits)| (*chunk, *bits)).collect()
        };
        for (chunk, bits) in chunks {
            for at in set_bits(&bits) {
                let digest = match self.row(chunk * CHUNK + at)? {
                    Row::Stored(digest) => digest,
                    Row::Zeros => ZERO_BLOCK_SHA256,
                    Row::Stamped(stamp) => stamp.digest(),
                    Row::None => continue,
                };
                state.update(&digest.0);
            }
        }
        Ok(pool::finish(state))
    }

    /// Opens the files and reads the rows, once.
    fn files(&self) -> io::Result<&Files> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let files = match &self.keep {
            Keep::Memory => Files::Memory(RwLock::default()),
            Keep::Disk(dir) => {
                std::fs::create_dir_all(dir)?;
                let open =
                    |path: PathBuf| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
                let rows = open(self.path(dir, "rows"))?;
                self.load(&rows)?;
                Files::Disk { data: open(self.path(dir, "data"))?, rows }
            }
        };
        Ok(self.files.get_or_init(|| files))
    }

    fn path(&self, dir: &Path, what: &str) -> PathBuf {
        dir.join(format!("{}.{what}", self.id))
    }

    /// Reads which rows there are, skipping the holes of the sparse file.
    fn load(&self, rows: &File) -> io::Result<()> {
        let end = rows.metadata()?.len();
        let mut page = vec![0; 64 * 1024];
        let mut at = 0;
        while at < end {
            match rustix::fs::seek(rows, rustix::fs::SeekFrom::Data(at)) {
                Ok(data) => at = data / ROW * ROW,
                Err(rustix::io::Errno::NXIO) => break,
                Err(cause) => return Err(cause.into()),
            }
            let read = rows.read_at(&mut page, at)?;
            if read < ROW as usize {
                break;
            }
            for row in page[..read].chunks_exact(ROW as usize) {
                if Row::decode(row) != Row::None {
                    self.mark((at / ROW) as u32);
                }
                at += ROW;
            }
        }
        Ok(())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let doomed = self.doomed.get().is_some_and(|sandbox| sandbox.strong_count() > 0);
        if let (true, Keep::Disk(dir)) = (doomed, &self.keep) {
            for what in ["rows", "data"] {
                if let Err(cause) = std::fs::remove_file(self.path(dir, what))
                    && cause.kind() != ErrorKind::NotFound
                {
                    tracing::warn!(id = %self.id, %cause, "sandbox: blocks of a deleted snapshot stay on disk");
                }
            }
        }
    }
}

/// The right to write one block, given back when dropped.
struct Turn<'a> {
    of: &'a Written,
    index: u32,
}

impl<'a> Turn<'a> {
    fn take(of: &'a Written, index: u32) -> Result<Self, Refused> {
        let mut gate = of.gate();
        if gate.sealed {
            return Err(Refused::Sealed);
        }
        if !gate.writing.insert(index) {
            return Err(Refused::Conflict);
        }
        Ok(Self { of, index })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.of.gate().writing.remove(&self.index);
    }
}

/// The positions of the bits that are set in a chunk.
fn set_bits(words: &[u64; CHUNK as usize / 64]) -> impl Iterator<Item = u32> + '_ {
    words.iter().enumerate().flat_map(|(n, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            (left != 0).then(|| {
                let bit = left.trailing_zeros();
                left &= left - 1;
                n as u32 * 64 + bit
            })
        })
    })
}
