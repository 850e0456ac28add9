//! A bounded cache of 4 KiB pages over a disk, and the one order in which they may reach it.
//!
//! Invariant: a *late* page (done bits) is written only after every *early* page (digests, listed bits)
//! that was dirty before it is synced. Early pages may leave at any time, because nothing trusts them
//! without their done bit. After a failed sync the kernel forgets which pages it lost, and shows what the disk
//! has not: so every page is held here until it is synced, and after a failure all that were written are written
//! again. A full disk may be tried again and again; any other failure is final when it comes twice in a row.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::engine::journal::{records, room};
use crate::error::{Class, Error, Result};
use crate::store::ailing;
use crate::units::Bytes;

/// Bytes of one page. Whole digests (32) and whole sectors (512) fit, so a torn page is still a mixture of
/// old and new digests, never of halves.
pub(super) const PAGE: usize = 4096;
pub(super) type Page = [u8; PAGE];
/// Pages held before any is held because it is not saved: with blocks side by side no more are ever needed.
const AT_REST: usize = 128;

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
    /// What it may still have to be given until all of it is written.
    fn wants(&self) -> Bytes;
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
        ailing::sync("ledger").and_then(|()| self.sync_data())
    }
    fn len(&self) -> std::io::Result<u64> {
        self.metadata().map(|m| m.len())
    }
    fn wants(&self) -> Bytes {
        use std::os::unix::fs::MetadataExt as _;
        self.metadata().map_or(Bytes::ZERO, |m| Bytes(m.len().saturating_sub(m.blocks() * 512)))
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
    fn wants(&self) -> Bytes {
        Bytes::ZERO
    }
}

/// How far a page is on its way to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The disk has it.
    Saved,
    /// Written, and not yet synced.
    Written,
    /// To be written.
    Changed,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    data: Box<Page>,
    held: Held,
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
    /// What it is called where something fails.
    name: String,
    poisoned: bool,
}

impl<D: Disk> Pages<D> {
    /// `late` are the numbers of the pages of done bits; `capacity` is in pages and at least 16. Above [`AT_REST`] a page is
    /// held only until it is saved: blocks far apart change a page each, and would want a sync for every hundred.
    pub fn new(disk: D, late: Range<u64>, capacity: usize) -> Self {
        let capacity = capacity.max(16);
        let (slots, at) = (Vec::new(), HashMap::new());
        Self { disk, slots, at, hand: 0, capacity, late, name: "the ledger".to_owned(), poisoned: false }
    }

    /// Tells where it is.
    pub fn name(&mut self, path: &Path) {
        self.name = format!("the ledger {}", path.display());
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
        self.slots[slot].held = Held::Changed;
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
        self.slots.iter().all(|slot| slot.held == Held::Saved)
    }

    /// Early pages, sync, late pages, sync; nothing at all when nothing changed.
    pub fn flush(&mut self) -> Result<()> {
        self.twice(|pages| {
            pages.save_early()?;
            pages.write_changed(true)?;
            pages.sync()
        })
    }

    /// Does it again when it failed for anything but room: a disk may fail once.
    fn twice(&mut self, save: impl Fn(&mut Self) -> Result<()>) -> Result<()> {
        self.check()?;
        let Err(error) = save(self) else { return Ok(()) };
        if error.class == Class::Quota {
            return Err(error);
        }
        tracing::warn!(%error, "written again");
        save(self).inspect_err(|error| self.poisoned = error.class != Class::Quota)
    }

    fn save_early(&mut self) -> Result<()> {
        self.write_changed(false)?;
        self.sync()
    }

    /// Writes early pages without a sync, so that they can be read straight from the disk.
    pub fn write_early(&mut self) -> Result<()> {
        self.check()?;
        self.write_changed(false)
    }

    fn write_changed(&mut self, late: bool) -> Result<()> {
        let (slots, lates) = (&self.slots, &self.late);
        let is_due = |slot: &usize| slots[*slot].held == Held::Changed && lates.contains(&slots[*slot].number) == late;
        let mut due: Vec<usize> = (0..slots.len()).filter(is_due).collect();
        due.sort_unstable_by_key(|&slot| self.slots[slot].number);
        for slot in due {
            let Slot { number, data, held, .. } = &mut self.slots[slot];
            let written = self.disk.write_at(&data[..], *number * PAGE as u64);
            written.map_err(|cause| refused(&self.disk, &self.name, "write", &cause))?;
            *held = Held::Written;
        }
        Ok(())
    }

    /// Makes durable what was written, if anything was.
    fn sync(&mut self) -> Result<()> {
        if self.slots.iter().all(|slot| slot.held != Held::Written) {
            return Ok(());
        }
        let outcome = self.disk.sync();
        let then = if outcome.is_ok() { Held::Saved } else { Held::Changed };
        for slot in self.slots.iter_mut().filter(|slot| slot.held == Held::Written) {
            slot.held = then;
        }
        outcome.map_err(|cause| refused(&self.disk, &self.name, "sync", &cause))
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
        let vacant = if self.slots.len() < self.capacity.min(AT_REST) { None } else { self.pass() };
        if vacant.is_none() && self.slots.len() < self.capacity {
            let mut data = Box::new([0; PAGE]);
            read(&self.disk, number, &mut data)?;
            self.slots.push(Slot { number, data, held: Held::Saved, used: true });
            self.at.insert(number, self.slots.len() - 1);
            return Ok(self.slots.len() - 1);
        }
        let slot = match vacant {
            Some(slot) => slot,
            None => self.vacate()?,
        };
        // The slot leaves the map before it is overwritten: a failed read must not leave it under its old name.
        self.at.remove(&self.slots[slot].number);
        self.slots[slot].number = u64::MAX;
        read(&self.disk, number, &mut self.slots[slot].data)?;
        self.slots[slot].number = number;
        self.slots[slot].used = true;
        self.at.insert(number, slot);
        Ok(slot)
    }

    /// A slot that the disk has when there was none: early pages are saved, and if that gives none, all.
    fn vacate(&mut self) -> Result<usize> {
        self.twice(Self::save_early)?;
        if let Some(slot) = self.pass() {
            return Ok(slot);
        }
        self.flush()?;
        let slot = self.hand;
        self.hand = (self.hand + 1) % self.slots.len();
        Ok(slot)
    }

    /// A slot that the disk has already: the clock passes twice.
    fn pass(&mut self) -> Option<usize> {
        for _ in 0..2 * self.slots.len() {
            let slot = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            if !std::mem::take(&mut self.slots[slot].used) && self.slots[slot].held == Held::Saved {
                return Some(slot);
            }
        }
        None
    }
}

fn refused<D: Disk>(disk: &D, name: &str, doing: &str, cause: &std::io::Error) -> Error {
    records(format!("could not {doing} {name}"), cause, room(disk.wants().max(Bytes::mib(1))))
}

fn read<D: Disk>(disk: &D, number: u64, into: &mut Page) -> Result<()> {
    disk.read_at(into, number * PAGE as u64).map_err(|cause| Error::io("could not read the ledger", &cause))
}
