//! How a raw image is cut for S3: pieces that are held and sent, and the parts that the object is made of.
//!
//! The plan and the engine call this; the plan carries what came of it. A piece is what one request sends and what has
//! to be in memory whole, so it follows the budget; S3 takes 10,000 parts, so of a large volume a part is more than one
//! piece: it becomes a temporary object of its own, which S3 copies into its place (`assets/adr/0008`).

use serde::{Deserialize, Serialize};

use crate::aws::{PART_LEAST, PARTS_MAX};
use crate::ids::BlockRange;
use crate::plan::choices::lanes_for;
use crate::plan::model::Pace;
use crate::units::{BLOCK_BYTES, Blocks, Bytes};

/// S3 takes no part below 5 MiB but the last.
const PIECE_LEAST: u32 = (PART_LEAST.0 / BLOCK_BYTES) as u32;
/// A piece has no more blocks: 64 MiB. A larger one would only be sent again whole when something goes wrong with it.
const PIECE_MOST: u32 = 128;
/// Of what is in flight, one piece may be so much: a reciprocal. Others are gathered and sent meanwhile.
const PIECES_AT_ONCE: u32 = 4;
/// The most that S3 copies into one part.
const PART_MOST: Bytes = Bytes::gib(5);

/// So many pieces of zeros are worth an object of zeros that S3 copies, instead of sending each.
pub const ZEROS_WORTH: u32 = 4;
/// Parts that are filled, put together or copied at a time, once all blocks are there.
pub const SIDE_BY_SIDE: usize = 8;
/// Looks at the key: before anything is begun, before the object is made, and once it is there.
pub const OBJECT_HEADS: u64 = 3;

/// Pieces of an image that hold no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Empty {
    /// As long as the others: S3 may copy them.
    pub full: u32,
    /// The last one, where it is shorter.
    pub short: u32,
}

/// Requests that an object takes, by what they are paid as. DELETE costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Pieces that are sent or copied; uploads and temporary objects that are begun, made and put into their place.
    pub puts: u64,
    /// Listings of what is temporary, once the object is there.
    pub lists: u64,
}

/// Blocks of a piece that a pace wishes for.
#[must_use]
pub const fn piece_wanted(pace: Pace) -> u32 {
    match pace {
        Pace::Conservative => 16,
        Pace::Balanced | Pace::Aggressive => 32,
        Pace::CostEfficient => 64,
    }
}

/// What is written down of an object beside its ledger: a head, a slot for each upload's id, and one for each piece and
/// each part that S3 copied.
pub const RECORDS_HEAD: u64 = 4096;
/// Ids of uploads in S3 have about 170 characters.
pub const RECORDS_UPLOAD: u64 = 1024;
/// Blocks, checksum and ETag of one piece or part.
pub const RECORDS_PART: u64 = 96;

/// How an object is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The length of the object.
    pub length: Bytes,
    /// Blocks of one piece; the last one may have fewer.
    pub piece: u32,
    /// Pieces of one part of the object. With more than one, each part is a temporary object first.
    pub gathered: u32,
}

impl Layout {
    /// Cuts an image, when an item weighs so much and the job may use `share`.
    ///
    /// As few requests as memory allows, but never so large pieces that less than four are on their way at once.
    #[must_use]
    pub fn of(length: Bytes, item: Bytes, share: Bytes, pace: Pace) -> Self {
        let room = (lanes_for(share, item) / PIECES_AT_ONCE).clamp(PIECE_LEAST, PIECE_MOST);
        let wanted = piece_wanted(pace);
        let blocks = length.blocks().0;
        let fills = u32::try_from(blocks.div_ceil(u64::from(PARTS_MAX))).unwrap_or(u32::MAX);
        let piece = wanted.max(fills).min(room);
        let pieces = blocks.div_ceil(u64::from(piece));
        let gathered = u32::try_from(pieces.div_ceil(u64::from(PARTS_MAX))).unwrap_or(u32::MAX).max(1);
        Self { length, piece, gathered }
    }

    /// The longest object: S3 takes 10,000 parts of 5 GiB, and a part is a whole number of pieces.
    #[must_use]
    pub const fn longest() -> Bytes {
        Bytes((PART_MOST.0 - PIECE_MOST as u64 * BLOCK_BYTES) * PARTS_MAX as u64)
    }

    /// What is written down of it on the disk, at most. What is not used of it is a hole in the file.
    #[must_use]
    pub fn records(&self) -> Bytes {
        const PAGE: u64 = 4096;
        let of_parts = if self.is_gathered() { u64::from(self.parts()) } else { 0 };
        let uploads = (RECORDS_UPLOAD * (of_parts + 1)).next_multiple_of(PAGE);
        let pieces = (RECORDS_PART * (of_parts + u64::from(self.pieces()))).next_multiple_of(PAGE);
        // Neither begins at a page.
        Bytes(RECORDS_HEAD + uploads + pieces + PAGE)
    }

    /// How many pieces there are.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        u32::try_from(self.length.blocks().0.div_ceil(u64::from(self.piece.max(1)))).unwrap_or(u32::MAX)
    }

    /// How many parts the object has. What fits into one is an upload of one part as well: a single request would make
    /// the object before its source was seen to be unchanged, and what it sent would be lost with the process.
    #[must_use]
    pub fn parts(&self) -> u32 {
        self.pieces().div_ceil(self.gathered.max(1))
    }

    /// Whether a part is more than one piece, so that it is an object of its own first.
    #[must_use]
    pub const fn is_gathered(&self) -> bool {
        self.gathered > 1
    }

    /// The piece that a block is in.
    #[must_use]
    pub fn piece_of(&self, block: u32) -> u32 {
        block / self.piece.max(1)
    }

    /// The blocks of a piece.
    #[must_use]
    pub fn blocks_in(&self, piece: u32) -> BlockRange {
        let all = u32::try_from(self.length.blocks().0).unwrap_or(u32::MAX);
        let at = |piece: u32| piece.saturating_mul(self.piece.max(1)).min(all);
        BlockRange::new(at(piece), at(piece.saturating_add(1)))
    }

    /// The bytes of a piece.
    #[must_use]
    pub fn bytes_in(&self, piece: u32) -> Bytes {
        let range = self.blocks_in(piece);
        let end = (u64::from(range.end) * BLOCK_BYTES).min(self.length.0);
        Bytes(end.saturating_sub(u64::from(range.start) * BLOCK_BYTES))
    }

    /// The pieces of a part, numbered from 0.
    #[must_use]
    pub fn pieces_in(&self, part: u32) -> std::ops::Range<u32> {
        let at = |part: u32| part.saturating_mul(self.gathered.max(1)).min(self.pieces());
        at(part)..at(part.saturating_add(1))
    }

    /// The pieces that hold no block, when these ranges of the volume hold none.
    #[must_use]
    pub fn empty(&self, bare: &[BlockRange]) -> Empty {
        let piece = self.piece.max(1);
        let mut empty = Empty::default();
        for range in bare {
            let (first, end) = (range.start.div_ceil(piece), range.end / piece);
            empty.full += end.saturating_sub(first);
            // The last piece may end before a whole one would, in its blocks or in its bytes.
            let last = self.pieces().saturating_sub(1);
            let in_last = self.blocks_in(last);
            if self.bytes_in(last) < Blocks(piece.into()).bytes()
                && range.start <= in_last.start
                && range.end >= in_last.end
            {
                empty.short = 1;
                empty.full -= u32::from(end > last && first <= last);
            }
        }
        empty
    }

    /// Requests that the object takes when so many of its pieces are empty: each piece once, sent or copied; the upload
    /// begun and ended; temporary objects begun, made, and copied into their place.
    #[must_use]
    pub fn asks(&self, empty: Empty) -> Asked {
        let gathered = if self.is_gathered() { 3 * u64::from(self.parts()) } else { 0 };
        let copied = empty.full >= ZEROS_WORTH;
        // Uploads are listed, objects, and where there was one to remove, that there are none any more.
        let looks = if copied { 3 } else { 2 };
        Asked {
            puts: u64::from(self.pieces()) + 2 + gathered + u64::from(copied),
            lists: if empty == Empty::default() && !self.is_gathered() { 0 } else { looks },
        }
    }

    /// The most that it takes whatever is empty.
    #[must_use]
    pub fn asks_at_most(&self) -> Asked {
        self.asks(Empty { full: self.pieces(), short: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::choices::FETCHED_ITEM;
    use proptest::prelude::*;

    const SHARE: Bytes = Bytes::mib(256);

    fn of(length: Bytes) -> Layout {
        Layout::of(length, FETCHED_ITEM, SHARE, Pace::Balanced)
    }

    #[test]
    fn the_parts_follow_size_and_memory() {
        let cut = |length| {
            let layout = of(length);
            (layout.piece, layout.gathered, layout.parts())
        };
        assert_eq!(cut(Bytes::mib(7)), (32, 1, 1));
        assert_eq!(cut(Bytes::gib(1)), (32, 1, 64));
        // Larger pieces first, as long as memory has them …
        assert_eq!(cut(Bytes::gib(200)), (41, 1, 9991));
        // … then more than one of them a part.
        assert_eq!(cut(Bytes::gib(500)), (94, 2, 5447));
        let large = of(Bytes::gib(16 * 1024));
        assert!(large.is_gathered() && large.parts() <= PARTS_MAX);
        let tight = Layout::of(Bytes::gib(500), FETCHED_ITEM, Bytes::mib(16), Pace::Balanced);
        assert_eq!(tight.piece, PIECE_LEAST, "no smaller part is taken");
    }

    #[test]
    fn requests_are_counted_as_they_are_sent() {
        let asked = |puts, lists| Asked { puts, lists };
        let dense = Empty::default();
        assert_eq!(of(Bytes::mib(7)).asks(dense), asked(3, 0));
        assert_eq!(of(Bytes::gib(1)).asks(dense), asked(66, 0));
        let holes = |full, short| of(Bytes::gib(1)).asks(Empty { full, short });
        assert_eq!((holes(3, 0), holes(0, 1)), (asked(66, 2), asked(66, 2)), "zeros are sent");
        assert_eq!(holes(4, 0), asked(67, 3), "an object of zeros is copied");
        assert_eq!(of(Bytes::gib(1)).asks_at_most(), asked(67, 3));
        let gathered = Layout { length: Bytes::mib(100), piece: 10, gathered: 4 };
        assert_eq!((gathered.pieces(), gathered.parts()), (20, 5));
        assert_eq!(gathered.asks(dense), asked(20 + 2 + 15, 2));
    }

    #[test]
    fn pieces_without_a_block_are_found() {
        let layout = Layout { length: Bytes::mib(52), piece: 10, gathered: 1 };
        assert_eq!((layout.pieces(), layout.bytes_in(10)), (11, Bytes::mib(2)));
        let empty = |ranges: &[(u32, u32)]| {
            let ranges: Vec<BlockRange> = ranges.iter().map(|(a, b)| BlockRange::new(*a, *b)).collect();
            layout.empty(&ranges)
        };
        assert_eq!(empty(&[(1, 19), (21, 30)]), Empty { full: 0, short: 0 }, "none has a piece whole");
        assert_eq!(empty(&[(0, 10), (25, 50)]), Empty { full: 3, short: 0 });
        assert_eq!(empty(&[(0, 104)]), Empty { full: 10, short: 1 });
        assert_eq!(empty(&[(100, 104)]), Empty { full: 0, short: 1 });
        // A tail inside of a block makes the last piece short as well.
        let tail = Layout { length: Bytes(Bytes::mib(50).0 - 512), ..layout };
        assert_eq!(tail.empty(&[BlockRange::new(85, 100)]), Empty { full: 0, short: 1 });
    }

    proptest! {
        #[test]
        fn pieces_cover_the_image_once_and_s3_takes_them(
            length in 1u64..70_000_000_000_000, mib in 1u64..4096, pace in 0usize..4,
        ) {
            let pace = [Pace::Balanced, Pace::Aggressive, Pace::Conservative, Pace::CostEfficient][pace];
            let layout = Layout::of(Bytes(length.min(Layout::longest().0)), FETCHED_ITEM, Bytes::mib(mib), pace);
            prop_assert!(layout.piece >= PIECE_LEAST && layout.parts() <= PARTS_MAX);
            let (pieces, parts) = (layout.pieces(), layout.parts());
            prop_assert!(u64::from(layout.piece) * u64::from(layout.gathered) * BLOCK_BYTES <= PART_MOST.0);
            prop_assert_eq!(layout.blocks_in(pieces - 1).end, u32::try_from(layout.length.blocks().0).unwrap());
            let before = u64::from(layout.piece) * BLOCK_BYTES * u64::from(pieces - 1);
            prop_assert_eq!(before + layout.bytes_in(pieces - 1).0, layout.length.0);
            prop_assert_eq!(layout.pieces_in(parts - 1).end, pieces);
            prop_assert!(!layout.pieces_in(parts - 1).is_empty());
        }
    }
}
