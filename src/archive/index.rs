//! The index: one row for each block, in index order, in chunks that are each a zstd frame; a directory of the chunks
//! at its end, so that a reader begins anywhere.
//!
//! Invariants: rows ascend; what a row points at lies within its object; a writer holds one chunk, a reader one chunk
//! and the directory (20 bytes for 4,096 blocks: 640 KiB for 64 TiB).

use super::{Damaged, FRAME_MAX, Reader, SKIPPABLE, SegmentName, crc};
use crate::ids::BlockIndex;
use crate::units::{Blocks, Bytes, Digest};

/// Rows of one chunk.
pub const ROWS_A_CHUNK: usize = 4096;
/// Index, run, first, last, object, offset, length, digest.
const ROW: usize = 4 + 2 + 4 + 4 + 4 + 4 + 4 + 32;
const RAW_MAX: usize = 4 + ROWS_A_CHUNK * ROW;
/// The longest chunk as it is stored: what does not get shorter costs a little more.
pub const CHUNK_MAX: usize = RAW_MAX + 4096;
const MAGIC: &[u8; 8] = b"floeidx1";
/// Chunks of the largest volume (64 TiB).
const CHUNKS_MAX: usize = 134_217_728 / ROWS_A_CHUNK + 1;
const ENTRY: usize = 4 + 4 + 8 + 4;
const FIXED: usize = 8 + 8 + 4 + 4;

/// Where one block is, and what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which block.
    pub index: BlockIndex,
    /// The run that wrote it: a number in the manifest's list.
    pub run: u16,
    /// The object's name.
    pub segment: SegmentName,
    /// Bytes of that object.
    pub object: u32,
    /// Where the block's frame begins in it.
    pub offset: u32,
    /// Bytes of the frame.
    pub length: u32,
    /// SHA-256 of the block.
    pub digest: Digest,
}

impl Row {
    /// Refuses what cannot be.
    fn check(&self) -> Result<(), Damaged> {
        let inside = u64::from(self.offset) + u64::from(self.length) <= u64::from(self.object);
        let named = self.segment.first <= self.index && self.index <= self.segment.last;
        if inside && named && self.length > 0 && self.length as usize <= FRAME_MAX {
            return Ok(());
        }
        Err(Damaged::new(format!("the row of block {} points outside of its object", self.index)))
    }
}

fn encode(rows: &[Row]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(4 + rows.len() * ROW);
    raw.extend_from_slice(&u32::try_from(rows.len()).unwrap_or(u32::MAX).to_le_bytes());
    // By columns: all but the digests compress to almost nothing.
    let mut column =
        |value: fn(&Row) -> u32| rows.iter().for_each(|row| raw.extend_from_slice(&value(row).to_le_bytes()));
    column(|row| row.index.0);
    column(|row| row.segment.first.0);
    column(|row| row.segment.last.0);
    column(|row| row.object);
    column(|row| row.offset);
    column(|row| row.length);
    rows.iter().for_each(|row| raw.extend_from_slice(&row.run.to_le_bytes()));
    rows.iter().for_each(|row| raw.extend_from_slice(&row.digest.0));
    raw
}

/// The rows of one chunk.
///
/// # Errors
/// It is none, is damaged, or its rows cannot be.
pub fn rows_of(chunk: &[u8]) -> Result<Vec<Row>, Damaged> {
    let raw =
        zstd::bulk::decompress(chunk, RAW_MAX).map_err(|e| Damaged::new(format!("it does not decompress: {e}")))?;
    let mut read = Reader(&raw);
    let count = read.u32()? as usize;
    if count > ROWS_A_CHUNK || raw.len() != 4 + count * ROW {
        return Err(Damaged::new("its length and its count disagree"));
    }
    let (index, first, last) = (read.take(4 * count)?, read.take(4 * count)?, read.take(4 * count)?);
    let (object, offset, length) = (read.take(4 * count)?, read.take(4 * count)?, read.take(4 * count)?);
    let (run, digest) = (read.take(2 * count)?, read.take(32 * count)?);
    let at = |column: &[u8], nth: usize| Reader(&column[nth * 4..]).u32();
    let mut rows: Vec<Row> = Vec::with_capacity(count);
    for nth in 0..count {
        let row = Row {
            index: BlockIndex(at(index, nth)?),
            run: Reader(&run[nth * 2..]).u16()?,
            segment: SegmentName { first: BlockIndex(at(first, nth)?), last: BlockIndex(at(last, nth)?) },
            object: at(object, nth)?,
            offset: at(offset, nth)?,
            length: at(length, nth)?,
            digest: Digest(Reader(&digest[nth * 32..]).array()?),
        };
        row.check()?;
        if rows.last().is_some_and(|last| row.index <= last.index) {
            return Err(Damaged::new(format!("block {} is not in ascending order", row.index)));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// One chunk in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its first block.
    pub first: BlockIndex,
    /// Its rows.
    pub rows: u32,
    /// Where it begins in the index.
    pub offset: u64,
    /// Its bytes.
    pub length: u32,
}

/// Where the chunks are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// By their first block.
    pub chunks: Vec<DirectoryEntry>,
}

impl Directory {
    /// The chunk in which a block would be, or the first one after it.
    #[must_use]
    pub fn at(&self, index: BlockIndex) -> Option<usize> {
        let after = self.chunks.partition_point(|chunk| chunk.first <= index);
        let nth = after.saturating_sub(1);
        (nth < self.chunks.len()).then_some(nth)
    }

    /// Bytes of a directory of so many chunks.
    const fn length(chunks: usize) -> usize {
        FIXED + chunks * ENTRY
    }

    fn bytes(&self) -> Vec<u8> {
        let length = Self::length(self.chunks.len());
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&SKIPPABLE);
        out.extend_from_slice(&u32::try_from(length - 8).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&u32::try_from(self.chunks.len()).unwrap_or(u32::MAX).to_le_bytes());
        for chunk in &self.chunks {
            out.extend_from_slice(&chunk.first.0.to_le_bytes());
            out.extend_from_slice(&chunk.rows.to_le_bytes());
            out.extend_from_slice(&chunk.offset.to_le_bytes());
            out.extend_from_slice(&chunk.length.to_le_bytes());
        }
        let sum = crc(&out[8..]);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// The most that a directory takes: whoever reads one asks for no more.
    pub const MOST: usize = Self::length(CHUNKS_MAX);

    /// Reads the last bytes of an index.
    ///
    /// # Errors
    /// They are none, are damaged, or their chunks cannot be.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let count = bytes.len().saturating_sub(FIXED) / ENTRY;
        if bytes.len() < FIXED || bytes.len() != Self::length(count) || count > CHUNKS_MAX {
            return Err(Damaged::new("the directory cannot be that long"));
        }
        let (body, sum) = bytes.split_at(bytes.len() - 4);
        let mut read = Reader(body);
        let (frame, length, magic) = (read.array::<4>()?, read.u32()? as usize, read.take(8)?);
        if frame != SKIPPABLE || magic != MAGIC || length + 8 != bytes.len() || crc(&body[8..]).to_le_bytes() != sum {
            return Err(Damaged::new("it does not end with a directory, or that is damaged"));
        }
        if read.u32()? as usize != count {
            return Err(Damaged::new("the directory's length and count disagree"));
        }
        let (mut chunks, mut end): (Vec<DirectoryEntry>, u64) = (Vec::with_capacity(count), 0);
        for _ in 0..count {
            let chunk = DirectoryEntry {
                first: BlockIndex(read.u32()?),
                rows: read.u32()?,
                offset: read.u64()?,
                length: read.u32()?,
            };
            let ascends = chunks.last().is_none_or(|last| last.first < chunk.first);
            if !ascends || chunk.offset != end || chunk.length as usize > CHUNK_MAX || chunk.length == 0 {
                return Err(Damaged::new(format!("the chunk of block {} cannot be there", chunk.first)));
            }
            end += u64::from(chunk.length);
            chunks.push(chunk);
        }
        Ok(Self { chunks })
    }
}

/// What a written index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEnd {
    /// All of it.
    pub bytes: Bytes,
    /// The directory at its end.
    pub directory: Bytes,
    /// SHA-256 of all of it.
    pub digest: Digest,
    /// Its rows.
    pub rows: Blocks,
}

/// Writes an index as rows come; what is ready is taken with [`IndexWriter::ready`].
pub struct IndexWriter {
    rows: Vec<Row>,
    out: Vec<u8>,
    directory: Directory,
    digest: aws_lc_rs::digest::Context,
    written: u64,
    count: u64,
}

impl std::fmt::Debug for IndexWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexWriter")
            .field("written", &self.written)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Default for IndexWriter {
    fn default() -> Self {
        Self {
            rows: Vec::with_capacity(ROWS_A_CHUNK),
            out: Vec::new(),
            directory: Directory::default(),
            digest: aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256),
            written: 0,
            count: 0,
        }
    }
}

impl IndexWriter {
    /// The next row.
    ///
    /// # Errors
    /// It is not behind the last one, points outside of its object, or cannot be compressed for want of memory.
    pub fn push(&mut self, row: Row) -> Result<(), Damaged> {
        row.check()?;
        let before = self.rows.last().map(|row| row.index).or_else(|| self.directory.chunks.last().map(|c| c.first));
        if before.is_some_and(|before| row.index <= before) {
            return Err(Damaged::new(format!("block {} is not in ascending order", row.index)));
        }
        self.rows.push(row);
        if self.rows.len() == ROWS_A_CHUNK { self.chunk() } else { Ok(()) }
    }

    fn chunk(&mut self) -> Result<(), Damaged> {
        let Some(first) = self.rows.first() else { return Ok(()) };
        let chunk = zstd::bulk::compress(&encode(&self.rows), 3)
            .map_err(|e| Damaged::new(format!("the index does not compress: {e}")))?;
        self.directory.chunks.push(DirectoryEntry {
            first: first.index,
            rows: u32::try_from(self.rows.len()).unwrap_or(u32::MAX),
            offset: self.written,
            length: u32::try_from(chunk.len()).unwrap_or(u32::MAX),
        });
        self.count += self.rows.len() as u64;
        self.rows.clear();
        self.write(&chunk);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.written += bytes.len() as u64;
        self.out.extend_from_slice(bytes);
    }

    /// Bytes that are ready and not taken.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// Takes what is ready.
    pub fn ready(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Ends it: the rest of its bytes, and what it is.
    ///
    /// # Errors
    /// As [`IndexWriter::push`].
    pub fn finish(mut self) -> Result<(Vec<u8>, IndexEnd), Damaged> {
        self.chunk()?;
        let directory = self.directory.bytes();
        self.write(&directory);
        let mut digest = [0; 32];
        digest.copy_from_slice(self.digest.finish().as_ref());
        let end = IndexEnd {
            bytes: Bytes(self.written),
            directory: Bytes(directory.len() as u64),
            digest: Digest(digest),
            rows: Blocks(self.count),
        };
        Ok((self.out, end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows of objects of `run` blocks each, every `gap`-th block.
    fn rows(count: u32, gap: u32, run: u32, seed: u64) -> Vec<Row> {
        let mut random = fastrand::Rng::with_seed(seed);
        let row = |nth: u32| {
            let (first, last) = (nth / run * run, (nth / run * run + run - 1).min(count - 1));
            Row {
                index: BlockIndex(nth * gap),
                run: (nth % 3) as u16,
                segment: SegmentName { first: BlockIndex(first * gap), last: BlockIndex(last * gap) },
                object: 64_000_000,
                offset: nth % run * 1000,
                length: 1 + nth % 1000,
                digest: Digest(std::array::from_fn(|_| random.u8(..))),
            }
        };
        (0..count).map(row).collect()
    }

    fn written(rows: &[Row]) -> (Vec<u8>, IndexEnd) {
        let (mut writer, mut bytes) = (IndexWriter::default(), Vec::new());
        for row in rows {
            writer.push(*row).unwrap();
            bytes.extend(writer.ready());
        }
        let (rest, end) = writer.finish().unwrap();
        bytes.extend(rest);
        (bytes, end)
    }

    fn read(bytes: &[u8], end: &IndexEnd) -> Result<Vec<Row>, Damaged> {
        let at = bytes.len() - usize::try_from(end.directory.0).unwrap();
        let directory = Directory::read(&bytes[at..])?;
        let mut rows = Vec::new();
        for chunk in &directory.chunks {
            let from = usize::try_from(chunk.offset).unwrap();
            let chunk = bytes.get(from..from + chunk.length as usize).ok_or_else(|| Damaged::new("past its end"))?;
            rows.extend(rows_of(chunk)?);
        }
        Ok(rows)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn an_index_comes_back_as_it_was(count in 0u32..9000, gap in 1u32..9, run in 1u32..70, seed in any::<u64>()) {
            let rows = rows(count, gap, run, seed);
            let (bytes, end) = written(&rows);
            prop_assert_eq!((end.rows, end.bytes.0, end.digest), (Blocks(u64::from(count)), bytes.len() as u64, Digest::of(&bytes)));
            prop_assert_eq!(read(&bytes, &end).unwrap(), rows);
        }

        #[test]
        fn damage_is_seen_or_harmless(at in any::<prop::sample::Index>(), flip in 1u8.., seed in any::<u64>()) {
            let rows = rows(700, 3, 16, seed);
            let (mut bytes, end) = written(&rows);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            // The digest in the manifest sees every change; without it nothing panics and nothing grows.
            prop_assert_ne!(Digest::of(&bytes), end.digest);
            if let Ok(read) = read(&bytes, &end) {
                prop_assert_eq!(read.len(), rows.len());
            }
        }

        #[test]
        fn anything_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (rows_of(&bytes), Directory::read(&bytes));
            let _ = rows_of(&zstd::bulk::compress(&bytes, 1).unwrap());
        }
    }

    #[test]
    fn a_reader_begins_anywhere() {
        let rows = rows(10_000, 2, 64, 1);
        let (bytes, end) = written(&rows);
        let at = bytes.len() - usize::try_from(end.directory.0).unwrap();
        let directory = Directory::read(&bytes[at..]).unwrap();
        assert_eq!(directory.chunks.len(), 3);
        let chunk = |index| directory.at(BlockIndex(index)).unwrap();
        assert_eq!([chunk(0), chunk(8191), chunk(8192), chunk(19_999), chunk(u32::MAX)], [0, 0, 1, 2, 2]);
        assert_eq!(Directory::default().at(BlockIndex(0)), None);
    }

    #[test]
    fn what_cannot_be_is_not_written_and_not_read() {
        let good = rows(2, 1, 2, 1);
        let mut writer = IndexWriter::default();
        writer.push(good[1]).unwrap();
        assert!(writer.push(good[0]).is_err(), "backwards");
        assert!(writer.push(Row { offset: 64_000_000, ..good[1] }).is_err(), "past its object");
        assert!(writer.push(Row { length: FRAME_MAX as u32 + 1, ..good[1] }).is_err(), "longer than any frame");
        let lying = [Row { segment: SegmentName { first: BlockIndex(5), last: BlockIndex(9) }, ..good[0] }];
        assert!(rows_of(&zstd::bulk::compress(&encode(&lying), 1).unwrap()).is_err());
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
        assert!(rows_of(&bomb).is_err());
    }
}
