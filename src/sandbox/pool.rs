//! The bytes of synthetic blocks, and their SHA-256, at almost no cost.
//!
//! A block is one of a few pre-generated 512 KiB buffers whose last 64 bytes are replaced by a stamp that names the
//! chain, the version and the index. The buffer is served without a copy, and since its SHA-256 state before the
//! stamp is kept, a block's checksum costs two compressions. A stamp also says where a block came from, so that a
//! block which returns through PutSnapshotBlock can be kept as a reference: its checksum proves that it is the same.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use bytes::Bytes;

use super::synth::mix;
use crate::units::{BLOCK_BYTES, Digest};

/// Bytes of a stamp: one block of SHA-256, so that what stands before it is whole compressions.
const STAMP: usize = 64;
const BLOCK: usize = BLOCK_BYTES as usize;
/// What a stamp starts with.
const MAGIC: [u8; 8] = *b"floesyn1";
/// Buffers of either sort. Few, so that they stay in the cache of the CPU and the process stays small (4 MiB).
const SORT: u8 = 4;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// One pre-generated buffer without its stamp.
struct Buffer {
    bytes: &'static [u8],
    midstate: digest::Context,
}

static POOL: LazyLock<Vec<Buffer>> = LazyLock::new(|| {
    (0..SORT * 2)
        .map(|number| {
            let bytes = if number < SORT { noise(number) } else { text(number) };
            let bytes: &'static [u8] = Box::leak(bytes.into_boxed_slice());
            let mut midstate = digest::Context::new(&digest::SHA256);
            midstate.update(bytes);
            Buffer { bytes, midstate }
        })
        .collect()
});

/// Bytes that no compressor shortens.
fn noise(number: u8) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK - STAMP];
    fastrand::Rng::with_seed(u64::from(number) + 1).fill(&mut bytes);
    bytes
}

/// Log lines, which shrink to about a sixth.
fn text(number: u8) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(u64::from(number) + 1);
    let words =
        ["GET", "PUT", "ok", "retry", "eu-west-1", "latency", "checkout", "session", "timeout", "cache", "miss"];
    let mut bytes = Vec::with_capacity(BLOCK);
    while bytes.len() < BLOCK - STAMP {
        let line = format!(
            "2026-{:02}-{:02}T{:02}:{:02}:{:02}Z worker-{} {} {} {}ms id={:08x}\n",
            dice.u8(1..=12),
            dice.u8(1..=28),
            dice.u8(0..24),
            dice.u8(0..60),
            dice.u8(0..60),
            dice.u8(0..16),
            words[dice.usize(..words.len())],
            words[dice.usize(..words.len())],
            dice.u16(0..900),
            dice.u32(..)
        );
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes.truncate(BLOCK - STAMP);
    bytes
}

/// Which synthetic block this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The chain.
    pub seed: u64,
    /// The version that wrote it.
    pub version: u32,
    /// Its index.
    pub index: u32,
    /// Which buffer stands in front of the stamp.
    pub buffer: u8,
}

impl Stamp {
    /// The stamp of a block; `compressible` decides the sort of its buffer.
    #[must_use]
    pub fn new(seed: u64, version: u32, index: u32, compressible: bool) -> Self {
        let pick = (mix(mix(seed, u64::from(version)), u64::from(index)) % u64::from(SORT)) as u8;
        Self { seed, version, index, buffer: if compressible { pick + SORT } else { pick } }
    }

    fn tail(&self) -> [u8; STAMP] {
        let mut tail = [0; STAMP];
        tail[..8].copy_from_slice(&MAGIC);
        tail[8..16].copy_from_slice(&self.seed.to_le_bytes());
        tail[16..20].copy_from_slice(&self.version.to_le_bytes());
        tail[20..24].copy_from_slice(&self.index.to_le_bytes());
        tail[24] = self.buffer;
        let filler = mix(self.seed, u64::from(self.version) << 32 | u64::from(self.index));
        for (n, part) in tail[32..].chunks_exact_mut(8).enumerate() {
            part.copy_from_slice(&mix(filler, n as u64).to_le_bytes());
        }
        tail
    }

    /// The block in two pieces: 524,224 shared bytes and 64 of its own.
    #[must_use]
    pub fn pieces(&self) -> (Bytes, Bytes) {
        (Bytes::from_static(self.buffer().bytes), Bytes::copy_from_slice(&self.tail()))
    }

    /// The block's SHA-256.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut state = self.buffer().midstate.clone();
        state.update(&self.tail());
        finish(state)
    }

    /// Reads a stamp off the end of a block; that the rest of the block fits is for its checksum to say.
    #[must_use]
    pub fn read(block: &[u8]) -> Option<Self> {
        let tail = block.len().checked_sub(STAMP).and_then(|from| block.get(from..))?;
        let stamp = Self {
            seed: u64::from_le_bytes(tail[8..16].try_into().ok()?),
            version: u32::from_le_bytes(tail[16..20].try_into().ok()?),
            index: u32::from_le_bytes(tail[20..24].try_into().ok()?),
            buffer: tail[24],
        };
        (tail[..8] == MAGIC && stamp.buffer < SORT * 2 && stamp.tail() == tail).then_some(stamp)
    }

    fn buffer(&self) -> &'static Buffer {
        &POOL[usize::from(self.buffer % (SORT * 2))]
    }
}

/// A block of zeros.
#[must_use]
pub fn zeros() -> Bytes {
    Bytes::from_static(&ZEROS)
}

/// The SHA-256 of a block that arrived. A synthetic one is compared byte by byte with what it says it is, which costs
/// a sixth of hashing it and proves as much.
#[must_use]
pub fn digest_of(block: &[u8]) -> Digest {
    let synthetic = Stamp::read(block).filter(|stamp| block[..block.len() - STAMP] == *stamp.buffer().bytes);
    synthetic.map_or_else(|| sha256(block), |stamp| stamp.digest())
}

/// The SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut state = digest::Context::new(&digest::SHA256);
    state.update(bytes);
    finish(state)
}

/// What a SHA-256 in progress comes to.
#[must_use]
pub fn finish(state: digest::Context) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(state.finish().as_ref());
    Digest(out)
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn the_kept_midstate_gives_the_checksum_of_the_whole_block() {
        for (index, compressible) in [(0, false), (7, true), (134_217_727, false)] {
            let stamp = Stamp::new(42, 3, index, compressible);
            let (head, tail) = stamp.pieces();
            let block = [head, tail].concat();
            assert_eq!(block.len(), BLOCK);
            let independent: [u8; 32] = sha2::Sha256::digest(&block).into();
            assert_eq!(stamp.digest(), Digest(independent));
            assert_eq!(Stamp::read(&block), Some(stamp));
            assert_eq!(digest_of(&block), Digest(independent));
            let mut other = block;
            other[BLOCK / 2] ^= 1;
            assert_eq!(Stamp::read(&other), Some(stamp), "it still says so");
            assert_eq!(digest_of(&other), Digest(sha2::Sha256::digest(&other).into()), "and is not believed");
        }
        assert_eq!(digest_of(b"short"), sha256(b"short"));
    }

    #[test]
    fn a_stamp_is_only_read_where_one_stands() {
        assert_eq!(Stamp::read(&ZEROS), None);
        assert_eq!(Stamp::read(b"short"), None);
        let (head, tail) = Stamp::new(1, 2, 3, false).pieces();
        let mut block = [head, tail].concat();
        block[BLOCK - 1] ^= 1;
        assert_eq!(Stamp::read(&block), None);
    }
}
