//! Segment objects: a header that says what is in them, then one frame for each block.
//!
//! The header is a skippable frame, so `zstd -d` of the object gives its blocks one after the other. Whoever lost the
//! index can make it again from the headers alone.

use std::fmt;
use std::str::FromStr;

use super::{Damaged, FRAME_MAX, Reader, SKIPPABLE, crc};
use crate::ids::BlockIndex;
use crate::units::Digest;

/// Blocks of one object at most: 512 MiB of volume.
pub const SEGMENT_BLOCKS: usize = 1024;
const MAGIC: &[u8; 8] = b"floeseg1";
/// Index, length of its frame, digest.
const ENTRY: usize = 4 + 4 + 32;
/// Frame magic and length in front; then magic, count, the entries, and a CRC over them.
const FIXED: usize = 8 + 8 + 4 + 4;
/// The longest header.
pub const HEADER_MAX: usize = FIXED + SEGMENT_BLOCKS * ENTRY;

/// One block of an object: its index, the length of its frame, its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it belongs.
    pub index: BlockIndex,
    /// Bytes of its frame.
    pub length: u32,
    /// SHA-256 of the block.
    pub digest: Digest,
}

/// What the front of an object says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its blocks, ascending.
    pub pieces: Vec<Piece>,
}

impl Header {
    /// Bytes of the header itself.
    #[must_use]
    pub fn length(&self) -> usize {
        header_of(self.pieces.len())
    }

    /// Bytes of the whole object.
    #[must_use]
    pub fn object(&self) -> u64 {
        self.length() as u64 + self.pieces.iter().map(|piece| u64::from(piece.length)).sum::<u64>()
    }

    /// The object's name; `None` for one without blocks.
    #[must_use]
    pub fn name(&self) -> Option<SegmentName> {
        Some(SegmentName { first: self.pieces.first()?.index, last: self.pieces.last()?.index })
    }

    /// As it is written.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.length());
        out.extend_from_slice(&SKIPPABLE);
        out.extend_from_slice(&u32::try_from(self.length() - 8).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&u32::try_from(self.pieces.len()).unwrap_or(u32::MAX).to_le_bytes());
        for piece in &self.pieces {
            out.extend_from_slice(&piece.index.0.to_le_bytes());
            out.extend_from_slice(&piece.length.to_le_bytes());
            out.extend_from_slice(&piece.digest.0);
        }
        let sum = crc(&out[8..]);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads one from the beginning of an object; more may follow it.
    ///
    /// # Errors
    /// It is none, or damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let length = header_length(bytes)?;
        let whole = bytes.get(..length).ok_or_else(|| Damaged::new("the header is cut off"))?;
        let (body, sum) = whole.split_at(length - 4);
        if crc(&body[8..]).to_le_bytes() != sum {
            return Err(Damaged::new("the checksum of the header is wrong"));
        }
        let mut read = Reader(&body[16..]);
        let count = read.u32()? as usize;
        if header_of(count) != length {
            return Err(Damaged::new("the header's length and count disagree"));
        }
        let mut pieces: Vec<Piece> = Vec::with_capacity(count);
        for _ in 0..count {
            let piece = Piece { index: BlockIndex(read.u32()?), length: read.u32()?, digest: Digest(read.array()?) };
            if pieces.last().is_some_and(|last| piece.index <= last.index) {
                return Err(Damaged::new(format!("block {} is not in ascending order", piece.index)));
            }
            if piece.length as usize > FRAME_MAX || piece.length == 0 {
                return Err(Damaged::new(format!("the frame of block {} cannot be that long", piece.index)));
            }
            pieces.push(piece);
        }
        read.end()?;
        Ok(Self { pieces })
    }
}

/// Bytes of a header for so many blocks.
#[must_use]
pub const fn header_of(blocks: usize) -> usize {
    FIXED + blocks * ENTRY
}

/// How long the header is, from the first 16 bytes of an object.
///
/// # Errors
/// It is none of ours, or says more than [`HEADER_MAX`].
pub fn header_length(start: &[u8]) -> Result<usize, Damaged> {
    let mut read = Reader(start);
    let (frame, length, magic) = (read.array::<4>()?, read.u32()? as usize, read.take(8)?);
    if frame != SKIPPABLE || magic != MAGIC {
        return Err(Damaged::new("it does not begin with a floe header"));
    }
    let length = length.saturating_add(8);
    if !(FIXED..=HEADER_MAX).contains(&length) || !(length - FIXED).is_multiple_of(ENTRY) {
        return Err(Damaged::new("the header cannot be that long"));
    }
    Ok(length)
}

/// `000000000-000000063.zst`: the first and the last block of an object; in between may be gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// The first.
    pub first: BlockIndex,
    /// The last.
    pub last: BlockIndex,
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:09}-{:09}.zst", self.first.0, self.last.0)
    }
}

impl FromStr for SegmentName {
    type Err = Damaged;

    fn from_str(text: &str) -> Result<Self, Damaged> {
        let wrong = || Damaged::new(format!("`{text}` is not the name of a segment"));
        let (first, last) = text.strip_suffix(".zst").and_then(|stem| stem.split_once('-')).ok_or_else(wrong)?;
        let index = |digits: &str| -> Option<BlockIndex> {
            let plain = digits.len() >= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok().map(BlockIndex))?
        };
        let name = Self { first: index(first).ok_or_else(wrong)?, last: index(last).ok_or_else(wrong)? };
        if name.first <= name.last && name.to_string() == text { Ok(name) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces() -> impl Strategy<Value = Vec<Piece>> {
        prop::collection::btree_map(0u32..134_217_728, (1u32..=FRAME_MAX as u32, any::<[u8; 32]>()), 1..80).prop_map(
            |all| {
                let piece =
                    |(index, (length, digest))| Piece { index: BlockIndex(index), length, digest: Digest(digest) };
                all.into_iter().map(piece).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn a_header_comes_back_as_it_was(pieces in pieces(), tail in prop::collection::vec(any::<u8>(), 0..50)) {
            let header = Header { pieces };
            let mut bytes = header.bytes();
            prop_assert_eq!(bytes.len(), header.length());
            bytes.extend(tail);
            prop_assert_eq!(header_length(&bytes[..16]), Ok(header.length()));
            let name = header.name().unwrap();
            prop_assert_eq!(name.to_string().parse(), Ok(name));
            prop_assert_eq!(Header::read(&bytes).unwrap(), header);
        }

        #[test]
        fn damage_is_seen(pieces in pieces(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let bytes = Header { pieces }.bytes();
            let at = at.index(bytes.len());
            prop_assert!(Header::read(&bytes[..at]).is_err());
            let mut flipped = bytes;
            flipped[at] ^= flip;
            prop_assert!(Header::read(&flipped).is_err(), "byte {}", at);
        }

        #[test]
        fn anything_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,40}") {
            let mut ours = SKIPPABLE.to_vec();
            ours.extend(&bytes);
            let _ = (Header::read(&bytes), Header::read(&ours), header_length(&bytes), text.parse::<SegmentName>());
        }
    }

    #[test]
    fn any_decoder_gives_the_blocks_one_after_the_other() {
        let blocks: Vec<Vec<u8>> = [0u8, 7, 9].iter().map(|byte| vec![*byte; 524_288]).collect();
        let mut compressor = super::super::Compressor::new(3).unwrap();
        let frame = |block: &Vec<u8>| compressor.frame(block, bytes::BytesMut::with_capacity).to_vec();
        let frames: Vec<Vec<u8>> = blocks.iter().map(frame).collect();
        let piece = |(nth, frame): (usize, &Vec<u8>)| Piece {
            index: BlockIndex(nth as u32 * 5),
            length: frame.len() as u32,
            digest: Digest::of(&blocks[nth]),
        };
        let header = Header { pieces: frames.iter().enumerate().map(piece).collect() };
        let object = [header.bytes(), frames.concat()].concat();
        assert_eq!(object.len() as u64, header.object());
        assert_eq!(zstd::stream::decode_all(&object[..]).unwrap(), blocks.concat());
    }

    #[test]
    fn only_names_as_they_are_written_are_names() {
        for wrong in [
            "1-2.zst",
            "000000002-000000001.zst",
            "0000000001-000000002.zst",
            "000000001-000000002",
            "+00000001-000000002.zst",
        ] {
            assert!(wrong.parse::<SegmentName>().is_err(), "{wrong}");
        }
    }
}
