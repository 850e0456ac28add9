//! What is inside a disk: partition tables, file systems, boot loaders, read from a handful of sectors.
//!
//! Plain values and no I/O: everything is read through one trait, [`Sectors`], which a snapshot, a file, an object or
//! an archive can stand behind (`engine/inside.rs`), and which later work can mount. Invariant: whatever the bytes say,
//! a look ends. It reads at most [`MOST_BLOCKS`] blocks, follows no chain twice, and believes no length that it read;
//! what it does not understand is left out or noted, never an error. Errors are those of reading.

mod boot;
mod btrfs;
mod exfat;
mod ext;
mod fat;
mod files;
mod gpt;
mod luks;
mod lvm;
mod lvm_text;
mod mbr;
mod model;
mod ntfs;
mod raw;
mod swap;
#[cfg(test)]
mod tests;
mod types;
mod view;
mod xfs;

use async_trait::async_trait;

pub use self::model::{Boot, Content, Inside, Kind, Partition, Scheme, Table, Volume};
use self::raw::Raw;
pub use self::view::{MOST_BLOCKS, MOST_BYTES};
use self::view::{View, Whole};
use crate::error::Result;
use crate::units::Bytes;

/// Bytes of a disk, by position.
#[async_trait]
pub trait Sectors: std::fmt::Debug + Send + Sync {
    /// How long it is.
    fn length(&self) -> Bytes;

    /// Fills `into` with what lies at `offset`; both lie within [`Sectors::length`]. Holes read as zeros.
    ///
    /// # Errors
    /// As whoever stands behind it fails.
    async fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()>;
}

/// Partitions that are shown at most; a table that has more says so in its notes.
pub const MOST_PARTITIONS: usize = 128;

/// Looks what is on it.
///
/// # Errors
/// It cannot be read.
pub async fn look(disk: &dyn Sectors) -> Result<Inside> {
    let whole = Whole::new(disk);
    let all = View::of(&whole);
    let mut inside = Inside { bytes: disk.length(), ..Inside::default() };
    let first = all.at_most(0, 4096).await?;
    let found = match gpt::read(&all, &first).await? {
        Some(found) => Some(found),
        None => mbr::read(&all, &first).await?,
    };
    match found {
        None => {
            inside.content = content(&all, 0).await?;
            if let Some(content) = &inside.content {
                inside.boot.extend(boot::of_volume(&all, content, None).await?);
            }
        }
        Some((table, partitions)) => {
            inside.boot.extend(boot::of_first_sector(&first));
            inside.table = Some(table);
            inside.partitions = partitions;
            for at in 0..inside.partitions.len() {
                let part = &inside.partitions[at];
                let (view, number) = (all.part(part.start, part.bytes), part.number);
                let content = if part.is_container { None } else { content(&view, 0).await? };
                let part = &mut inside.partitions[at];
                if let Some(content) = &content {
                    inside.boot.extend(boot::of_volume(&view, content, Some(number)).await?);
                } else if part.is_bios_boot() {
                    inside.boot.extend(boot::of_bios_boot(&view, number).await?);
                }
                part.content = content;
            }
        }
    }
    if whole.is_spent() {
        inside.notes.push(format!("looking ended after {MOST_BLOCKS} blocks: there may be more"));
    }
    Ok(inside)
}

/// Bytes at the front of a volume that most kinds are known by.
const FRONT: usize = 68 * 1024;
/// Volumes in volumes that are looked into: a file system in a logical volume in a partition.
const DEEPEST: u8 = 1;

/// What one volume holds; `depth` is how many volumes it is in.
async fn content(view: &View<'_>, depth: u8) -> Result<Option<Content>> {
    let front = view.at_most(0, FRONT).await?;
    let front = Raw(&front);
    // What other kinds are put into comes first: a volume may keep the remains of the file system that it had.
    if let Some(found) = luks::read(view, front).await? {
        return Ok(Some(found));
    }
    if let Some((mut found, places)) = lvm::read(view, front).await? {
        if depth < DEEPEST {
            for (at, (start, bytes)) in places {
                let inner = Box::pin(content(&view.part(start, bytes), depth + 1)).await?;
                if let Some(volume) = found.volumes.get_mut(at) {
                    volume.content = inner.map(Box::new);
                }
            }
        }
        return Ok(Some(found));
    }
    if let Some(found) = swap::read(front) {
        return Ok(Some(found));
    }
    let plain = [xfs::read(front), ext::read(front), btrfs::read(front)];
    if let Some(found) = plain.into_iter().flatten().next() {
        return Ok(Some(found));
    }
    if let Some(found) = ntfs::read(view, front).await? {
        return Ok(Some(found));
    }
    if let Some(found) = exfat::read(view, front).await? {
        return Ok(Some(found));
    }
    fat::read(view, front).await
}
