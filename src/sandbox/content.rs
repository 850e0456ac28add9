//! What the blocks of a snapshot are: synthesised, or written through EBS direct on top of a parent.
//!
//! Listings and deltas are computed from *origins*: a number per block that says who wrote it last, 0 where nobody
//! did. Two snapshots of one lineage hold the same block exactly where the origins are equal.

use std::sync::Arc;

use super::disk::Disk;
use super::pool::Stamp;
use super::store::Written;
use super::synth::{CHUNK, Synthetic, mix, scaled};
use crate::units::{Blocks, Digest, ZERO_BLOCK_SHA256};

/// Origins of one chunk of 512 blocks.
pub type Origins = [u64; CHUNK as usize];

/// The blocks of one snapshot. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Content {
    /// A version of a synthetic chain.
    Synthetic(Synthetic),
    /// Written through EBS direct, perhaps on a parent.
    Written(Arc<Written>),
}

/// Where the bytes of a block are.
#[derive(Debug, Clone)]
pub enum Found {
    /// Nowhere: all of them are zero.
    Zeros,
    /// Written out in full: the first blocks of a disk that has a layout.
    Laid(bytes::Bytes),
    /// In the pool.
    Stamped(Stamp),
    /// In the store, with this checksum.
    Stored(Arc<Written>, Digest),
}

impl Found {
    /// The block's checksum.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Zeros => ZERO_BLOCK_SHA256,
            Self::Laid(block) => super::pool::sha256(block),
            Self::Stamped(stamp) => stamp.digest(),
            Self::Stored(_, digest) => *digest,
        }
    }
}

impl Default for Content {
    /// A volume that nothing was ever written to.
    fn default() -> Self {
        Self::Synthetic(Synthetic::default())
    }
}

impl Content {
    /// How many blocks it lists.
    #[must_use]
    pub fn listed(&self) -> Blocks {
        match self {
            Self::Synthetic(synthetic) => synthetic.listed(),
            Self::Written(written) => written.listed(),
        }
    }

    /// Names the lineage: ListChangedBlocks compares only within one.
    #[must_use]
    pub fn lineage(&self) -> u64 {
        match self {
            Self::Synthetic(synthetic) => synthetic.seed,
            Self::Written(written) => written.lineage(),
        }
    }

    /// Writes the origins of chunk number `chunk` into `out`.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn fill(&self, chunk: u32, out: &mut Origins) -> std::io::Result<()> {
        match self {
            Self::Synthetic(synthetic) => {
                synthetic.fill(chunk, out);
                Ok(())
            }
            Self::Written(written) => written.fill(chunk, out),
        }
    }

    /// The block at `index`, or `None` where nothing was ever written.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn find(&self, index: u32) -> std::io::Result<Option<Found>> {
        match self {
            Self::Synthetic(synthetic) => Ok(synthetic.find(index)),
            Self::Written(written) => match written.find(index)? {
                Some(found) => Ok(Some(found)),
                None => written.base().map_or(Ok(None), |base| base.find(index)),
            },
        }
    }
}

impl Synthetic {
    fn find(&self, index: u32) -> Option<Found> {
        let version = self.written_by(index)?;
        let disk = Disk { layout: self.shape.layout, seed: self.seed, version, gib: self.shape.gib };
        if let Some(block) = disk.block(index) {
            return Some(Found::Laid(block));
        }
        // Zeros and text come in runs of four blocks (2 MiB), as they do in files.
        let dice = mix(mix(self.seed, 0x5EED + u64::from(version)), u64::from(index / 4));
        if scaled(dice, 1000) < u64::from(self.shape.zero_permille) {
            return Some(Found::Zeros);
        }
        let compressible = scaled(mix(dice, 1), 1000) < u64::from(self.shape.compressible_permille);
        Some(Found::Stamped(Stamp::new(self.seed, version, index, compressible)))
    }
}

/// The first chunk at or after `chunk`, below `end`, where `content` may list something.
#[must_use]
pub fn next_chunk(content: &Content, chunk: u32, end: u32) -> u32 {
    match content {
        Content::Synthetic(_) => chunk.min(end),
        Content::Written(written) => match written.base() {
            Some(_) => chunk.min(end),
            None => written.next_chunk(chunk).unwrap_or(end).min(end),
        },
    }
}
