//! What a file held before it was changed in its place: which of its blocks were data throughout, in the file system's own
//! map of it. A delta knows digests of what it writes, and none of the rest; yet the rest is most of the result.
//!
//! Invariant: what was data at the beginning and was not written by the job is data at the end. Somebody who cuts the file
//! off and makes it as long again, or punches a hole, takes data away; nothing that the job does makes a hole of what it
//! leaves alone. What was written over in its place is not seen; nor is anything where a file system has no map.
//!
//! The file beside the ledger: 8 bytes of magic and version, when the file was born and how long it was (8 bytes each,
//! little-endian), then a bit for each block. It is written and read piece by piece.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::course::inside;
use super::room::Room;
use crate::error::{Error, Result};
use crate::ids::BlockIndex;
use crate::store::atomic::NewFile;
use crate::units::{BLOCK_BYTES, Bytes, Digest};

const MAGIC: &[u8; 8] = b"floebas1";
/// Bytes of bits that are written at a time.
const PIECE: usize = 4096;

/// What was written down of a file, and how far it was looked through.
#[derive(Debug)]
pub(in crate::engine) struct Base {
    bits: BufReader<File>,
    /// Nanoseconds since the epoch; 0 where the file system does not tell.
    born_ns: i64,
    length: Bytes,
    /// The first block of `byte`, of which these bits are still to be looked at.
    first: u32,
    byte: u8,
    room: Room,
}

impl Base {
    /// Writes down what a file holds.
    ///
    /// # Errors
    /// It cannot be looked through; the disk refuses the record.
    pub(in crate::engine) fn keep(file: &File, path: &Path) -> Result<()> {
        let looked = |cause: io::Error| Error::io("could not look through the file", &cause);
        let meta = file.metadata().map_err(looked)?;
        let length = Bytes(meta.len());
        let mut new = NewFile::create(path)?;
        new.write_all(&[*MAGIC, born_ns(&meta).to_le_bytes(), length.0.to_le_bytes()].concat())?;
        let (mut room, mut piece) = (Room::default(), Vec::with_capacity(PIECE));
        let blocks = u32::try_from(length.blocks().0).unwrap_or(u32::MAX);
        for first in (0..blocks).step_by(8) {
            let mut byte = 0;
            for index in first..first.saturating_add(8).min(blocks) {
                let is_data = holds(&mut room, file, length, BlockIndex(index)).map_err(looked)?;
                byte |= u8::from(is_data) << (index - first);
            }
            piece.push(byte);
            if piece.len() == PIECE {
                new.write_all(&piece)?;
                piece.clear();
            }
        }
        new.write_all(&piece)?;
        new.commit().map(|_| ())
    }

    /// What was written down; none of jobs that began before anything was.
    ///
    /// # Errors
    /// It is there and cannot be read, or is something else.
    pub(in crate::engine) fn open(path: &Path) -> Result<Option<Self>> {
        let failed = |cause: &io::Error| Error::io(format!("could not read {}", path.display()), cause);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(&cause)),
        };
        let mut bits = BufReader::with_capacity(PIECE, file);
        let (mut magic, mut born, mut length) = ([0; 8], [0; 8], [0; 8]);
        for part in [&mut magic, &mut born, &mut length] {
            bits.read_exact(part).map_err(|cause| failed(&cause))?;
        }
        if magic != *MAGIC {
            return Err(Error::failed(format!("{} is no record of this version", path.display())));
        }
        let (born_ns, length) = (i64::from_le_bytes(born), Bytes(u64::from_le_bytes(length)));
        // The next byte is that of block 0.
        let first = 0u32.wrapping_sub(8);
        Ok(Some(Self { bits, born_ns, length, first, byte: 0, room: Room::default() }))
    }

    /// Whether it is another file, of the same number: a number is given again when a file is gone.
    pub(in crate::engine) fn is_of_another(&self, file: &File) -> io::Result<bool> {
        let born = born_ns(&file.metadata()?);
        Ok(self.born_ns != 0 && born != 0 && self.born_ns != born)
    }

    /// The first block before `end` that was data, is not among those `written` (in order), and is data no more. Looked at
    /// once each: asked again it goes on from there.
    ///
    /// # Errors
    /// The file or the record cannot be read.
    pub(in crate::engine) fn first_lost(
        &mut self,
        file: &File,
        end: u32,
        written: &[(BlockIndex, Digest)],
    ) -> io::Result<Option<BlockIndex>> {
        let mut written = written.iter().map(|(index, _)| *index).peekable();
        while let Some(index) = self.next_before(end)? {
            while written.next_if(|known| *known < index).is_some() {}
            if written.peek() != Some(&index) && !holds(&mut self.room, file, self.length, index)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// The next block that was data.
    fn next_before(&mut self, end: u32) -> io::Result<Option<BlockIndex>> {
        while self.byte == 0 {
            let next = self.first.wrapping_add(8);
            if next >= end {
                return Ok(None);
            }
            let mut byte = [0];
            if self.bits.read(&mut byte)? == 0 {
                return Ok(None);
            }
            (self.first, self.byte) = (next, byte[0]);
        }
        let index = self.first + self.byte.trailing_zeros();
        if index >= end {
            return Ok(None);
        }
        self.byte &= self.byte - 1;
        Ok(Some(BlockIndex(index)))
    }
}

/// Whether all of a block that is inside of the file is data.
fn holds(room: &mut Room, file: &File, length: Bytes, index: BlockIndex) -> io::Result<bool> {
    let long = u64::try_from(inside(length, index)).unwrap_or(BLOCK_BYTES);
    room.holds(file, index.offset(), index.offset().saturating_add(long))
}

fn born_ns(meta: &Metadata) -> i64 {
    let since = meta.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use rustix::fs::{FallocateFlags, fallocate};

    use super::*;

    const LENGTH: u64 = 40 * BLOCK_BYTES + 1000;
    const HELD: [u32; 6] = [0, 1, 9, 16, 39, 40];

    /// A file with these blocks, and the record of it.
    fn kept() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        let file = File::options().read(true).write(true).create_new(true).open(dir.path().join("a.img")).unwrap();
        file.set_len(LENGTH).unwrap();
        for index in HELD {
            let long = inside(Bytes(LENGTH), BlockIndex(index));
            file.write_all_at(&vec![7; long], BlockIndex(index).offset()).unwrap();
        }
        file.sync_all().unwrap();
        Base::keep(&file, &dir.path().join("base-0")).unwrap();
        (dir, file)
    }

    /// As the ledger tells them: some at a time.
    fn lost(dir: &tempfile::TempDir, file: &File, written: &[u32]) -> Option<u32> {
        let mut base = Base::open(&dir.path().join("base-0")).unwrap().unwrap();
        let known: Vec<_> = written.iter().map(|index| (BlockIndex(*index), Digest([1; 32]))).collect();
        let ends = known.chunks(2).map(|some| (some, some.last().unwrap().0.0 + 1));
        let all: Vec<_> = ends.chain([(&[][..], u32::MAX)]).collect();
        all.iter().find_map(|(some, end)| base.first_lost(file, *end, some).unwrap()).map(|index| index.0)
    }

    #[test]
    fn a_file_that_only_the_job_wrote_to_has_lost_nothing() {
        let (dir, file) = kept();
        assert_eq!(lost(&dir, &file, &[]), None);
        file.write_all_at(&vec![8; 4096], 3 * BLOCK_BYTES).unwrap();
        file.set_len(2 * LENGTH).unwrap();
        assert_eq!(lost(&dir, &file, &[3, 9, 77]), None, "it grew, and others of its blocks were written");
        assert!(Base::open(&dir.path().join("base-1")).unwrap().is_none());
        assert!(!Base::open(&dir.path().join("base-0")).unwrap().unwrap().is_of_another(&file).unwrap());
    }

    #[test]
    fn what_was_cut_off_or_punched_out_is_lost_unless_the_job_wrote_it() {
        let (dir, file) = kept();
        fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 9 * BLOCK_BYTES, 4096).unwrap();
        assert_eq!(lost(&dir, &file, &[]), Some(9));
        assert_eq!(lost(&dir, &file, &[1, 9]), None, "that one is the job's");
        file.set_len(39 * BLOCK_BYTES).unwrap();
        file.set_len(LENGTH).unwrap();
        assert_eq!(lost(&dir, &file, &[3, 5, 9]), Some(39));
        assert_eq!(lost(&dir, &file, &[3, 9, 20, 39]), Some(40), "the last one, which is shorter");
        assert_eq!(lost(&dir, &file, &[9, 39, 40]), None);
    }

    #[test]
    fn a_record_of_another_birth_or_another_version_is_noticed() {
        let (dir, file) = kept();
        let path = dir.path().join("base-0");
        let mut record = std::fs::read(&path).unwrap();
        record[9] ^= 1;
        std::fs::write(&path, &record).unwrap();
        let base = Base::open(&path).unwrap().unwrap();
        let told = born_ns(&file.metadata().unwrap()) != 0;
        assert_eq!(base.is_of_another(&file).unwrap(), told);
        record[7] = b'9';
        std::fs::write(&path, &record).unwrap();
        assert!(Base::open(&path).is_err());
        std::fs::write(&path, &record[..5]).unwrap();
        assert!(Base::open(&path).is_err());
    }
}
