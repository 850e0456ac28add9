//! Whether a file still has room for what was written to it. Somebody may have cut it off and made it as long again, or
//! punched a hole: its length says nothing then, and what was there reads as zeros.
//!
//! Invariant: a block that was written and is not all zeros has data everywhere in the file system's own map of the file;
//! one in which that map shows a hole is read and compared, so that a map which is coarser or finer than blocks (compressing
//! file systems leave zeros out by themselves) costs reads and is no error. A file that is as it was is not read at all: two
//! calls for each run of data. What this cannot see is what was written over in its place, the rest of a page in which
//! the file was cut, and anything where a file system has no map: that is what reading back is for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::course::inside;
use crate::engine::blocks::digest_of;
use crate::ids::BlockIndex;
use crate::units::{BLOCK_BYTES, Bytes, Digest, ZERO_BLOCK_SHA256};

/// The run of data that was found last; asked for in order.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine) struct Room {
    start: u64,
    end: u64,
}

impl Room {
    /// The first of these blocks, which are in order and after all that were asked for before, that the file does not hold
    /// any more.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(in crate::engine) fn first_lost(
        &mut self,
        file: &File,
        length: Bytes,
        known: &[(BlockIndex, Digest)],
    ) -> io::Result<Option<BlockIndex>> {
        for (index, digest) in known.iter().filter(|(_, digest)| *digest != ZERO_BLOCK_SHA256) {
            let (from, long) = (index.offset(), inside(length, *index));
            let to = from.saturating_add(u64::try_from(long).unwrap_or(BLOCK_BYTES));
            if !self.holds(file, from, to)? && digest_at(file, from, long)? != *digest {
                return Ok(Some(*index));
            }
        }
        Ok(None)
    }

    /// Whether all of that, which is after all that was asked for before, is data.
    pub(super) fn holds(&mut self, file: &File, from: u64, to: u64) -> io::Result<bool> {
        if from >= self.end {
            (self.start, self.end) = match seek(file, SeekFrom::Data(from)) {
                Ok(start) => (start, seek(file, SeekFrom::Hole(start))?),
                // Nothing but a hole up to its end.
                Err(Errno::NXIO) => (u64::MAX, u64::MAX),
                // No map: nothing is known of holes.
                Err(Errno::INVAL | Errno::NOTSUP) => (0, u64::MAX),
                Err(cause) => return Err(cause.into()),
            };
        }
        Ok(self.start <= from && to <= self.end)
    }
}

/// As blocks are hashed everywhere: padded with zeros at the end of the image.
fn digest_at(file: &File, offset: u64, long: usize) -> io::Result<Digest> {
    let mut block = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or(long)];
    match file.read_exact_at(&mut block[..long], offset) {
        Ok(()) => Ok(digest_of(&block)),
        // Cut off right now: what is missing is no data.
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(ZERO_BLOCK_SHA256),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = BLOCK_BYTES as usize;

    /// A file of eight blocks and a bit, of which these were written, and what the ledger would know of it.
    fn written(which: &[u32]) -> (File, Bytes, Vec<(BlockIndex, Digest)>) {
        let file = tempfile::tempfile().unwrap();
        let length = 8 * BLOCK_BYTES + 1000;
        file.set_len(length).unwrap();
        let known = which.iter().map(|index| {
            let mut block = vec![u8::try_from(*index).unwrap() + 1; BLOCK];
            let long = inside(Bytes(length), BlockIndex(*index));
            block[long..].fill(0);
            file.write_all_at(&block[..long], BlockIndex(*index).offset()).unwrap();
            (BlockIndex(*index), digest_of(&block))
        });
        let known = known.collect();
        file.sync_all().unwrap();
        (file, Bytes(length), known)
    }

    fn lost(file: &File, length: Bytes, known: &[(BlockIndex, Digest)]) -> Option<u32> {
        let (mut room, mut all) = (Room::default(), Vec::new());
        // As the ledger tells them: some at a time.
        for some in known.chunks(2) {
            all.extend(room.first_lost(file, length, some).unwrap());
        }
        all.first().map(|index| index.0)
    }

    #[test]
    fn what_is_as_it_was_written_is_whole_holes_and_all() {
        for which in [&[][..], &[0], &[0, 1, 2, 3, 4, 5, 6, 7, 8], &[2, 3, 7], &[8]] {
            let (file, length, mut known) = written(which);
            assert_eq!(lost(&file, length, &known), None, "{which:?}");
            // Blocks of zeros that were never written are no loss.
            known.extend((0..8).filter(|n| !which.contains(n)).map(|n| (BlockIndex(n), ZERO_BLOCK_SHA256)));
            known.sort_unstable_by_key(|(index, _)| index.0);
            assert_eq!(lost(&file, length, &known), None, "{which:?}");
        }
    }

    #[test]
    fn a_file_that_was_cut_off_and_made_as_long_again_has_lost_what_was_there() {
        for (cut, first) in [(0, 1), (3 * BLOCK_BYTES, 3), (2 * BLOCK_BYTES + 5000, 2), (8 * BLOCK_BYTES, 8)] {
            let (file, length, known) = written(&[1, 2, 3, 5, 8]);
            file.set_len(cut).unwrap();
            file.set_len(length.0).unwrap();
            assert_eq!(lost(&file, length, &known), Some(first), "cut at {cut}");
            // What is written after that is no excuse for what is missing before it.
            file.write_all_at(&vec![9; 1000], 8 * BLOCK_BYTES).unwrap();
            assert!(lost(&file, length, &known).is_some() || cut == 8 * BLOCK_BYTES, "cut at {cut}");
        }
    }

    #[test]
    fn a_block_with_a_hole_that_holds_what_it_should_is_no_loss() {
        let (file, length, mut known) = written(&[0, 1]);
        // Half of it was never written, and is zeros: as a file system leaves it out that looks for them.
        let mut block = vec![0; BLOCK];
        block[..4096].fill(7);
        file.write_all_at(&block[..4096], 4 * BLOCK_BYTES).unwrap();
        known.push((BlockIndex(4), digest_of(&block)));
        assert_eq!(lost(&file, length, &known), None);
    }
}
