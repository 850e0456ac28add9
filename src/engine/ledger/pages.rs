//! A bounded cache of 4 KiB pages over a disk, and the one order in which they may reach it.
//!
//! Invariant: a *late* page (done bits) is written only after every *early* page (digests, listed bits)
//! that was dirty before it is synced. Early pages may leave at any time, because nothing trusts them
//! without their done bit. A failed sync poisons the cache: after one the kernel forgets which pages it
//! lost, so only a reopened file can be trusted.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use crate::engine::ailing;
use crate::engine::journal::records;
use crate::error::{Error, Result};

/// Bytes of one page. Whole digests (32) and whole sectors (512) fit, so a torn page is still a mixture of
/// old and new digests, never of halves.
pub(super) const PAGE: usize = 4096;
pub(super) type Page = [u8; PAGE];

/// Where pages live: a file, or in tests a disk that loses what was not synced.
pub trait Disk: Send {
    /// Fills `into` from `offset`.
    ///
    /// # Errors
    /// As the disk says; a read past the end is an error.
    fn read_at(&self, into: &mut [u8], offset: u64) -> std::io::Result<()>;
    /// Writes all of `from` at `offset`.
    ///
    /// # Errors
    /// As the disk says.
    fn write_at(&mut self, from: &[u8], offset: u64) -> std::io::Result<()>;
    /// Returns when everything written is on stable storage.
    ///
    /// # Errors
    /// As the disk says; final for everything written since the last success.
    fn sync(&mut self) -> std::io::Result<()>;
    /// Its length in bytes.
    ///
    /// # Errors
    /// As the disk says.
    fn len(&self) -> std::io::Result<u64>;
    /// Whether it holds nothing.
    ///
    /// # Errors
    /// As the disk says.
    fn is_empty(&self) -> std::io::Result<bool> {
        self.len().map(|len| len == 0)
    }
}

impl Disk for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.read_exact_at(into, offset)
    }
    fn write_at(&mut self, from: &[u8], offset: u64) -> std::io::Result<()> {
        ailing::write("ledger").and_then(|()| self.write_all_at(from, offset))
    }
    fn sync(&mut self) -> std::io::Result<()> {
        self.sync_data()
    }
    fn len(&self) -> std::io::Result<u64> {
        self.metadata().map(|m| m.len())
    }
}

/// A file that is looked at only.
#[derive(Debug)]
pub(super) struct Shown(pub File);

impl Disk for Shown {
    fn read_at(&self, into: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_exact_at(into, offset)
    }
    fn write_at(&mut self, _from: &[u8], _offset: u64) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn len(&self) -> std::io::Result<u64> {
        self.0.metadata().map(|m| m.len())
    }
}

#[derive(Debug)]
struct Slot {
    number: u64,
    data: Box<Page>,
    dirty: bool,
    /// Touched since the clock's hand last passed.
    used: bool,
}

#[derive(Debug)]
pub(super) struct Pages<D> {
    disk: D,
    slots: Vec<Slot>,
    at: HashMap<u64, usize>,
    hand: usize,
    capacity: usize,
    late: Range<u64>,
    /// Early pages were written since the last sync, so a late page has to wait for one.
    unsynced: bool,
    poisoned: bool,
}

impl<D: Disk> Pages<D> {
    /// `late` are the numbers of the pages of done bits; `capacity` is in pages and at least 16.
    pub fn new(disk: D, late: Range<u64>, capacity: usize) -> Self {
        let capacity = capacity.max(16);
        let (slots, at) = (Vec::new(), HashMap::new());
        Self { disk, slots, at, hand: 0, capacity, late, unsynced: false, poisoned: false }
    }

    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// How many bytes of pages are held.
    pub fn held(&self) -> usize {
        self.slots.len() * PAGE
    }

    pub fn get(&mut self, number: u64) -> Result<&Page> {
        let slot = self.load(number)?;
        Ok(&self.slots[slot].data)
    }

    pub fn get_mut(&mut self, number: u64) -> Result<&mut Page> {
        let slot = self.load(number)?;
        self.slots[slot].dirty = true;
        Ok(&mut self.slots[slot].data)
    }

    /// Copies a page without taking a place in the cache: scans must not push out what is being written.
    pub fn peek(&self, number: u64, into: &mut Page) -> Result<()> {
        self.check()?;
        match self.at.get(&number) {
            Some(&slot) => {
                into.copy_from_slice(&*self.slots[slot].data);
                Ok(())
            }
            None => read(&self.disk, number, into),
        }
    }

    /// Whether nothing waits to be written.
    pub fn is_clean(&self) -> bool {
        !self.unsynced && self.slots.iter().all(|slot| !slot.dirty)
    }

    /// Early pages, sync, late pages, sync; nothing at all when nothing changed.
    pub fn flush(&mut self) -> Result<()> {
        self.check()?;
        self.write_early()?;
        if self.unsynced {
            self.sync()?;
            self.unsynced = false;
        }
        if self.write_dirty(true)? {
            self.sync()?;
        }
        Ok(())
    }

    /// Writes early pages without a sync, so that they can be read straight from the disk.
    pub fn write_early(&mut self) -> Result<()> {
        self.check()?;
        self.write_dirty(false).map(|_| ())
    }

    fn write_dirty(&mut self, late: bool) -> Result<bool> {
        let mut dirty: Vec<usize> = (0..self.slots.len())
            .filter(|&slot| self.slots[slot].dirty && self.late.contains(&self.slots[slot].number) == late)
            .collect();
        dirty.sort_unstable_by_key(|&slot| self.slots[slot].number);
        for &slot in &dirty {
            self.write_slot(slot)?;
        }
        Ok(!dirty.is_empty())
    }

    fn write_slot(&mut self, slot: usize) -> Result<()> {
        let Slot { number, data, dirty, .. } = &mut self.slots[slot];
        self.disk
            .write_at(&data[..], *number * PAGE as u64)
            .map_err(|cause| records("could not write the ledger", &cause))?;
        *dirty = false;
        self.unsynced |= !self.late.contains(number);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.disk.sync().map_err(|cause| {
            self.poisoned = true;
            Error::io("could not sync the ledger", &cause).todo("`floe jobs resume` goes on from the last good sync")
        })
    }

    fn check(&self) -> Result<()> {
        if self.poisoned {
            return Err(Error::failed("the ledger failed to sync and must be opened again")
                .todo("`floe jobs resume` goes on from the last good sync"));
        }
        Ok(())
    }

    fn load(&mut self, number: u64) -> Result<usize> {
        self.check()?;
        if let Some(&slot) = self.at.get(&number) {
            self.slots[slot].used = true;
            return Ok(slot);
        }
        if self.slots.len() < self.capacity {
            let mut data = Box::new([0; PAGE]);
            read(&self.disk, number, &mut data)?;
            self.slots.push(Slot { number, data, dirty: false, used: true });
            self.at.insert(number, self.slots.len() - 1);
            return Ok(self.slots.len() - 1);
        }
        let slot = self.vacate()?;
        // The slot leaves the map before it is overwritten: a failed read must not leave it under its old name.
        self.at.remove(&self.slots[slot].number);
        self.slots[slot].number = u64::MAX;
        read(&self.disk, number, &mut self.slots[slot].data)?;
        self.slots[slot].number = number;
        self.slots[slot].used = true;
        self.at.insert(number, slot);
        Ok(slot)
    }

    /// A slot that holds nothing unwritten: the clock passes twice, then everything is flushed once.
    fn vacate(&mut self) -> Result<usize> {
        for _ in 0..2 * self.slots.len() {
            let slot = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            if std::mem::take(&mut self.slots[slot].used) {
                continue;
            }
            if !self.slots[slot].dirty {
                return Ok(slot);
            }
            if !self.late.contains(&self.slots[slot].number) {
                self.write_slot(slot)?;
                return Ok(slot);
            }
        }
        self.flush()?;
        let slot = self.hand;
        self.hand = (self.hand + 1) % self.slots.len();
        Ok(slot)
    }
}

fn read<D: Disk>(disk: &D, number: u64, into: &mut Page) -> Result<()> {
    disk.read_at(into, number * PAGE as u64).map_err(|cause| Error::io("could not read the ledger", &cause))
}
