//! One row of the store: 64 bytes that say what is kept of one block.
//!
//! All zeros means nothing, so the holes of a sparse file are rows without a block. The layout is fixed: sort, buffer,
//! version and index at 0, 1, 4 and 8, seed at 16, digest at 32.

use super::pool::Stamp;
use crate::units::Digest;

/// Bytes of a row.
pub(super) const ROW: u64 = 64;

/// What is kept of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// Nothing, or an overwrite that never finished.
    None,
    /// Bytes at the block's place in the data file.
    Stored(Digest),
    Zeros,
    Stamped(Stamp),
}

impl Row {
    pub(super) fn encode(self) -> [u8; ROW as usize] {
        let mut row = [0; ROW as usize];
        match self {
            Self::None => {}
            Self::Stored(digest) => {
                row[0] = 1;
                row[32..].copy_from_slice(&digest.0);
            }
            Self::Zeros => row[0] = 2,
            Self::Stamped(stamp) => {
                row[0] = 3;
                row[1] = stamp.buffer;
                row[4..8].copy_from_slice(&stamp.version.to_le_bytes());
                row[8..12].copy_from_slice(&stamp.index.to_le_bytes());
                row[16..24].copy_from_slice(&stamp.seed.to_le_bytes());
            }
        }
        row
    }

    pub(super) fn decode(row: &[u8]) -> Self {
        let four = |at: usize| u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
        match row[0] {
            1 => {
                let mut digest = [0; 32];
                digest.copy_from_slice(&row[32..64]);
                Self::Stored(Digest(digest))
            }
            2 => Self::Zeros,
            3 => Self::Stamped(Stamp {
                seed: u64::from(four(16)) | u64::from(four(20)) << 32,
                version: four(4),
                index: four(8),
                buffer: row[1],
            }),
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let stamp = Stamp::new(u64::MAX - 5, 9, 134_217_727, true);
        for row in [Row::None, Row::Zeros, Row::Stored(Digest([7; 32])), Row::Stamped(stamp)] {
            assert_eq!(Row::decode(&row.encode()), row);
        }
        assert_eq!(Row::None.encode(), [0; ROW as usize], "a hole is a row without a block");
    }
}
