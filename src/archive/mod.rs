//! The archive format, version 1: plain values and bytes, no I/O.
//!
//! ```text
//! PREFIX/<archive-id>/manifest.json            committed last; what is not named in it does not exist
//! PREFIX/<archive-id>/<run>/index.zst          one row per block, in index order: where it is and its SHA-256
//! PREFIX/<archive-id>/<run>/<first>-<last>.zst a skippable frame (indexes, lengths, digests), then one zstd frame a block
//! ```
//!
//! Invariants: every object is a standard zstd stream (`zstd -d` of a segment gives its blocks one after the other);
//! each block is a frame of its own, so one block costs one ranged read; whatever is read is checked before it is
//! believed, and no input makes a reader panic or allocate more than the bound that its constant names.

mod frame;
mod fsp;
mod index;
mod manifest;
mod segment;

pub use frame::{Compressor, Decompressor, FRAME_MAX};
pub use fsp::{FspName, FspRoot};
pub use index::{CHUNK_MAX, Directory, DirectoryEntry, IndexEnd, IndexWriter, ROWS_A_CHUNK, Row, rows_of};
pub use manifest::{ArchiveId, Encryption, IndexFacts, MANIFEST_MAX, Manifest, Origin, RunId};
pub use segment::{HEADER_MAX, Header, Piece, SEGMENT_BLOCKS, SegmentName, header_length, header_of};

use std::fmt;

/// Why bytes are no archive: damaged, cut off, or made to look like one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged(pub String);

impl Damaged {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Reads little-endian values; every read is checked.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(|| Damaged::new("it ends too early"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u16(&mut self) -> Result<u16, Damaged> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_le_bytes)
    }

    fn end(&self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged::new("more follows than belongs to it")) }
    }
}

/// The magic number of our skippable frames: any zstd decoder passes over them.
const SKIPPABLE: [u8; 4] = 0x184D_2A5F_u32.to_le_bytes();

/// CRC-32 (ISO-HDLC), as zip and Ethernet have it.
fn crc(bytes: &[u8]) -> u32 {
    u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes)).unwrap_or_default()
}
