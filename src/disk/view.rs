//! A disk and parts of it, read within bounds: whatever is asked for, no more than [`MOST_BLOCKS`] blocks are touched.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::Sectors;
use crate::error::Result;
use crate::units::{BLOCK_BYTES, Bytes};

/// Blocks that one look reads at most: more than any sane disk of a hundred partitions needs, and a twentieth of a cent.
pub const MOST_BLOCKS: usize = 256;
/// Bytes that are read in one piece at most: the tables of LVM and GPT are smaller.
pub const MOST_BYTES: usize = 256 * 1024;

/// The disk, and which of its blocks were touched.
#[derive(Debug)]
pub(super) struct Whole<'a> {
    disk: &'a dyn Sectors,
    touched: Mutex<(BTreeSet<u64>, bool)>,
}

impl<'a> Whole<'a> {
    pub(super) fn new(disk: &'a dyn Sectors) -> Self {
        Self { disk, touched: Mutex::default() }
    }

    /// Whether something was not read because enough was.
    pub(super) fn is_spent(&self) -> bool {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Whether these bytes may be read.
    fn may(&self, offset: u64, length: u64) -> bool {
        let blocks = offset / BLOCK_BYTES..=(offset + length.max(1) - 1) / BLOCK_BYTES;
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let more = blocks.clone().filter(|block| !touched.0.contains(block)).count();
        if touched.0.len() + more > MOST_BLOCKS {
            touched.1 = true;
            return false;
        }
        touched.0.extend(blocks);
        true
    }
}

/// A part of a disk: a partition, a logical volume, or all of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    whole: &'a Whole<'a>,
    start: u64,
    length: u64,
}

impl<'a> View<'a> {
    pub(super) fn of(whole: &'a Whole<'a>) -> Self {
        Self { whole, start: 0, length: whole.disk.length().0 }
    }

    /// A part of this one; cut where this one ends.
    pub(super) fn part(&self, start: Bytes, bytes: Bytes) -> Self {
        let start = start.0.min(self.length);
        let length = bytes.0.min(self.length - start);
        Self { whole: self.whole, start: self.start + start, length }
    }

    pub(super) const fn bytes(&self) -> Bytes {
        Bytes(self.length)
    }

    /// Exactly so many bytes; none where they do not all lie within, or where enough was read.
    pub(super) async fn exactly(&self, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        let end = offset.checked_add(length as u64);
        if length == 0 || length > MOST_BYTES || end.is_none_or(|end| end > self.length) {
            return Ok(None);
        }
        if !self.whole.may(self.start + offset, length as u64) {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        self.whole.disk.read_at(self.start + offset, &mut bytes).await?;
        Ok(Some(bytes))
    }

    /// As many of these as there are.
    pub(super) async fn at_most(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        Ok(self.exactly(offset, length.min(left)).await?.unwrap_or_default())
    }
}
