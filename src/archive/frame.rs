//! One block as one zstd frame, and back.
//!
//! Invariants: a frame is never longer than [`FRAME_MAX`], because what does not get shorter is stored raw; a frame
//! opens to exactly one block into memory that the caller gave, so no frame is a bomb.

use bytes::{BufMut as _, BytesMut};

use super::Damaged;
use crate::units::BLOCK_BYTES;

const BLOCK: usize = BLOCK_BYTES as usize;
/// Raw blocks of a zstd frame hold at most 128 KiB.
const RAW: usize = 128 * 1024;
/// Magic, descriptor, content size, and a header of three bytes for each raw block.
const RAW_OVERHEAD: usize = 4 + 1 + 4 + 3 * (BLOCK / RAW);
/// The longest frame that a block becomes.
pub const FRAME_MAX: usize = BLOCK + RAW_OVERHEAD;
/// So much of a block is tried at the fastest level before all of it is compressed …
const PROBE: usize = 16 * 1024;
/// … and where that leaves more than this share of it (in percent), the block is stored.
const HOPELESS: usize = 97;

/// A block as a frame that holds it as it is.
///
/// RFC 8878: single segment, content size in four bytes, then raw blocks, the last one marked.
fn stored(block: &[u8], room: impl FnOnce(usize) -> BytesMut) -> BytesMut {
    let mut out = room(block.len() + RAW_OVERHEAD);
    out.extend_from_slice(&0xFD2F_B528_u32.to_le_bytes());
    out.put_u8(0b1010_0000);
    out.extend_from_slice(&u32::try_from(block.len()).unwrap_or(u32::MAX).to_le_bytes());
    let last = block.len().div_ceil(RAW).saturating_sub(1);
    for (nth, part) in block.chunks(RAW).enumerate() {
        let header = u32::try_from(part.len()).unwrap_or(u32::MAX) << 3 | u32::from(nth == last);
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(part);
    }
    out
}

/// Makes frames; keeps the tables and one scratch buffer between blocks ([`crate::plan::choices::compressor`]).
pub struct Compressor {
    level: i32,
    inner: zstd::bulk::Compressor<'static>,
    probe: zstd::bulk::Compressor<'static>,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Compressor {
    /// At that level.
    ///
    /// # Errors
    /// There is no memory for its tables.
    pub fn new(level: i32) -> std::io::Result<Self> {
        let inner = zstd::bulk::Compressor::new(level)?;
        let probe = zstd::bulk::Compressor::new(1)?;
        Ok(Self { level, inner, probe, scratch: Vec::with_capacity(FRAME_MAX) })
    }

    /// What its tables and its scratch buffer take.
    #[cfg(test)]
    pub fn holds(&mut self) -> usize {
        self.inner.context_mut().sizeof() + self.probe.context_mut().sizeof() + self.scratch.capacity()
    }

    /// One block as a frame: compressed where that is shorter, else as it is. It lies in what `room` gives for so many
    /// bytes, which is empty.
    pub fn frame(&mut self, block: &[u8], room: impl FnOnce(usize) -> BytesMut) -> BytesMut {
        if self.is_hopeless(block) {
            return stored(block, room);
        }
        self.scratch.clear();
        // What does not fit into the scratch buffer got longer: it is stored.
        match self.inner.compress_to_buffer(block, &mut self.scratch) {
            Ok(length) if length < block.len() => {
                let mut out = room(length);
                out.extend_from_slice(&self.scratch[..length]);
                out
            }
            _ => stored(block, room),
        }
    }

    /// Whether a sample from its middle says that the block is encrypted or compressed already.
    fn is_hopeless(&mut self, block: &[u8]) -> bool {
        let at = block.len().saturating_sub(PROBE) / 2;
        let Some(sample) = block.get(at..at + PROBE) else { return false };
        self.scratch.clear();
        let tried = self.probe.compress_to_buffer(sample, &mut self.scratch);
        tried.map_or(true, |length| length * 100 > PROBE * HOPELESS)
    }
}

/// Opens frames; about 160 KiB of tables.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

impl Decompressor {
    /// Nothing was opened yet.
    ///
    /// # Errors
    /// There is no memory for its tables.
    pub fn new() -> std::io::Result<Self> {
        zstd::bulk::Decompressor::new().map(Self)
    }

    /// Opens a frame (or frames) that hold exactly as many bytes as `into` is long.
    ///
    /// # Errors
    /// They hold more, fewer, or are no frames.
    pub fn open(&mut self, frames: &[u8], into: &mut [u8]) -> Result<(), Damaged> {
        let wanted = into.len();
        match self.0.decompress_to_buffer(frames, into) {
            Ok(length) if length == wanted => Ok(()),
            Ok(length) => Err(Damaged::new(format!("it holds {length} bytes, not {wanted}"))),
            Err(error) => Err(Damaged::new(format!("it does not decompress: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block_of(seed: u64, kind: u8) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        match kind {
            0 => vec![0; BLOCK],
            1 => (0..BLOCK).map(|_| random.u8(..)).collect(),
            2 => (0..BLOCK).map(|at| b"all work and no play "[at % 21]).collect(),
            _ => (0..BLOCK).map(|at| if at % 4096 < 3000 { random.u8(..) } else { 7 }).collect(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_block_comes_back_as_it_was(seed in any::<u64>(), kind in 0u8..4, level in prop::sample::select(vec![1, 3, 9])) {
            let block = block_of(seed, kind);
            let frame = Compressor::new(level).unwrap().frame(&block, BytesMut::with_capacity);
            prop_assert!(frame.len() <= FRAME_MAX);
            let mut back = vec![1; BLOCK];
            Decompressor::new().unwrap().open(&frame, &mut back).unwrap();
            prop_assert_eq!(back, block);
        }

        #[test]
        fn damaged_frames_are_refused_or_the_same_and_never_more(seed in any::<u64>(), kind in 0u8..4, at in any::<prop::sample::Index>(), flip in 1u8..) {
            let block = block_of(seed, kind);
            let frame = Compressor::new(1).unwrap().frame(&block, BytesMut::with_capacity);
            let mut open = Decompressor::new().unwrap();
            let mut into = vec![0; BLOCK];
            let cut = at.index(frame.len());
            prop_assert!(open.open(&frame[..cut], &mut into).is_err(), "cut at {}", cut);
            let mut flipped = frame.clone();
            flipped[cut] ^= flip;
            let _ = open.open(&flipped, &mut into);
            prop_assert!(open.open(&frame, &mut into).is_ok() && into == block, "it works on after damage");
        }
    }

    #[test]
    fn what_does_not_compress_is_stored_and_what_does_is_short() {
        let mut compressor = Compressor::new(3).unwrap();
        assert_eq!(compressor.frame(&block_of(1, 1), BytesMut::with_capacity).len(), FRAME_MAX);
        assert!(compressor.frame(&block_of(1, 0), BytesMut::with_capacity).len() < 100);
        assert!(compressor.frame(&block_of(1, 2), BytesMut::with_capacity).len() < 1000);
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let bomb = zstd::bulk::compress(&vec![0; 64 * BLOCK], 1).unwrap();
        let mut into = vec![0; BLOCK];
        assert!(Decompressor::new().unwrap().open(&bomb, &mut into).is_err());
        let short = zstd::bulk::compress(&vec![0; BLOCK / 2], 1).unwrap();
        assert!(Decompressor::new().unwrap().open(&short, &mut into).is_err());
    }
}
