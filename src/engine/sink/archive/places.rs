//! Where each block of an archive is: one small sparse file beside the ledger, written and read by position.
//!
//! Invariants: a block's place is durable before the ledger says that it is done (the keeper syncs this file first); a
//! place has a checksum of its own, so what was never written, or half, is no place; each time it is opened for writing
//! the number of the run goes up, on disk, before an object of that run is sent.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::archive::{RunId, SegmentName};
use crate::error::{Error, Result};
use crate::ids::BlockIndex;
use crate::plan::PLACE_BYTES;

const MAGIC: &[u8; 8] = b"floeplc1";
const HEADER: u64 = 4096;
const RECORD: usize = PLACE_BYTES as usize;
/// Magic, unique, destination, blocks, runs, CRC.
const HEAD: usize = 8 + 32 + 4 + 4 + 4 + 4;

/// Where one block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub run: u16,
    pub segment: SegmentName,
    pub object: u32,
    pub offset: u32,
    pub length: u32,
}

/// What the file belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub unique: String,
    pub dest: u32,
    pub blocks: u32,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Places {
    file: File,
}

/// What was found when it was opened.
#[derive(Debug)]
pub(super) struct Begun {
    pub places: Places,
    /// The run that begins now.
    pub run: u16,
    /// Whether nothing was known: what the ledger says of this destination is not to be believed then.
    pub fresh: bool,
}

impl Places {
    /// Opens it, or makes it, and begins a new run.
    ///
    /// # Errors
    /// The disk failed, or there were more runs than an archive can be of.
    pub(super) fn begin(path: &Path, owner: &Owner) -> Result<Begun> {
        let failed = |e: &std::io::Error| Error::io(format!("could not keep {}", path.display()), e);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|e| failed(&e))?;
        let known = read_head(&file, owner);
        if known.is_none() {
            file.set_len(0).map_err(|e| failed(&e))?;
        }
        let run = known.unwrap_or(0);
        let next = run.checked_add(1).filter(|next| *next < 16_000).ok_or_else(|| {
            Error::failed("this archive was begun 16,000 times").todo("cancel the job and copy again")
        })?;
        file.write_all_at(&head(owner, next), 0).map_err(|e| failed(&e))?;
        file.sync_all().map_err(|e| failed(&e))?;
        Ok(Begun { places: Self { file }, run, fresh: known.is_none() })
    }

    /// Writes where blocks are.
    pub(super) fn put(&self, index: BlockIndex, place: &Place) -> Result<()> {
        let at = HEADER + u64::from(index.0) * RECORD as u64;
        self.file
            .write_all_at(&record(index, place), at)
            .map_err(|e| Error::io("could not write down where a block of the archive is", &e).at_block(index))
    }

    /// Where a block is; none when that was never written.
    pub(super) fn get(&self, index: BlockIndex) -> Result<Option<Place>> {
        let mut bytes = [0; RECORD];
        match self.file.read_exact_at(&mut bytes, HEADER + u64::from(index.0) * RECORD as u64) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(Error::io("could not read where a block of the archive is", &e).at_block(index)),
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let place = Place {
            run: u16::from_le_bytes([bytes[0], bytes[1]]),
            segment: SegmentName { first: BlockIndex(word(4)), last: BlockIndex(word(8)) },
            object: word(12),
            offset: word(16),
            length: word(20),
        };
        Ok((record(index, &place) == bytes).then_some(place))
    }

    /// Makes all that was written durable.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io("could not sync where the blocks of the archive are", &e))
    }
}

/// The name of a run.
pub(super) fn run_id(unique: &str, run: u16) -> Result<RunId> {
    format!("{unique}-{run}").parse().map_err(Error::failed)
}

fn crc(parts: &[&[u8]]) -> [u8; 4] {
    let mut sum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc);
    parts.iter().for_each(|part| sum.update(part));
    u32::try_from(sum.finalize()).unwrap_or_default().to_le_bytes()
}

fn record(index: BlockIndex, place: &Place) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[0..2].copy_from_slice(&place.run.to_le_bytes());
    let words = [place.segment.first.0, place.segment.last.0, place.object, place.offset, place.length];
    for (nth, word) in words.into_iter().enumerate() {
        bytes[4 + nth * 4..8 + nth * 4].copy_from_slice(&word.to_le_bytes());
    }
    let sum = crc(&[&index.0.to_le_bytes(), &bytes[..28]]);
    bytes[28..].copy_from_slice(&sum);
    bytes
}

fn head(owner: &Owner, runs: u16) -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    bytes[..8].copy_from_slice(MAGIC);
    let unique = owner.unique.as_bytes();
    let length = unique.len().min(32);
    bytes[8..8 + length].copy_from_slice(&unique[..length]);
    bytes[40..44].copy_from_slice(&owner.dest.to_le_bytes());
    bytes[44..48].copy_from_slice(&owner.blocks.to_le_bytes());
    bytes[48..52].copy_from_slice(&u32::from(runs).to_le_bytes());
    let sum = crc(&[&bytes[..52]]);
    bytes[52..].copy_from_slice(&sum);
    bytes
}

/// How many runs there were; none when it is another's, damaged, or new.
fn read_head(file: &File, owner: &Owner) -> Option<u16> {
    let mut bytes = [0; HEAD];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let runs = u16::try_from(u32::from_le_bytes([bytes[48], bytes[49], bytes[50], bytes[51]])).ok()?;
    (head(owner, runs) == bytes).then_some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner { unique: "0123456789abcdef".to_owned(), dest: 1, blocks: 1000 }
    }

    fn place(run: u16) -> Place {
        let segment = SegmentName { first: BlockIndex(3), last: BlockIndex(9) };
        Place { run, segment, object: 5000, offset: 400, length: 77 }
    }

    #[test]
    fn places_come_back_and_what_was_never_written_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("places-1");
        let begun = Places::begin(&path, &owner()).unwrap();
        assert_eq!((begun.run, begun.fresh), (0, true));
        begun.places.put(BlockIndex(7), &place(0)).unwrap();
        begun.places.sync().unwrap();
        assert_eq!(begun.places.get(BlockIndex(7)).unwrap(), Some(place(0)));
        assert_eq!(begun.places.get(BlockIndex(6)).unwrap(), None);
        assert_eq!(begun.places.get(BlockIndex(999)).unwrap(), None);
        drop(begun);
        let again = Places::begin(&path, &owner()).unwrap();
        assert_eq!((again.run, again.fresh, again.places.get(BlockIndex(7)).unwrap()), (1, false, Some(place(0))));
    }

    #[test]
    fn a_file_of_another_job_and_a_damaged_place_are_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("places-1");
        Places::begin(&path, &owner()).unwrap().places.put(BlockIndex(7), &place(0)).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[1], HEADER + 7 * RECORD as u64 + 16).unwrap();
        let begun = Places::begin(&path, &owner()).unwrap();
        assert_eq!((begun.run, begun.places.get(BlockIndex(7)).unwrap()), (1, None));
        let other = Owner { dest: 2, ..owner() };
        let begun = Places::begin(&path, &other).unwrap();
        assert_eq!((begun.run, begun.fresh), (0, true));
    }
}
