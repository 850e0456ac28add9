//! The table of the PC's first sector, and the chain of extended ones behind it.

use std::collections::BTreeSet;

use super::model::{Partition, Scheme, Table};
use super::raw::Raw;
use super::types;
use super::view::View;
use crate::error::Result;
use crate::units::Bytes;

const SECTOR: u64 = 512;
/// Logical partitions that are followed; Linux stops at 60.
const LOGICAL: u32 = 60;
/// Types of partitions that only hold others.
const EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];

/// One entry: its flag, its type, its first sector and how many it has.
#[derive(Debug, Clone, Copy)]
struct Entry {
    flag: u8,
    code: u8,
    first: u32,
    count: u32,
}

/// The four entries of a sector that ends as a table ends.
fn entries(sector: Raw<'_>) -> Option<Vec<Entry>> {
    if !sector.is(510, &[0x55, 0xAA]) {
        return None;
    }
    let entry = |n: usize| {
        let at = 446 + 16 * n;
        let (flag, code) = (sector.u8(at)?, sector.u8(at + 4)?);
        Some(Entry { flag, code, first: sector.u32(at + 8)?, count: sector.u32(at + 12)? })
    };
    (0..4).map(entry).collect()
}

/// The table, when the first sector has one: code of a boot sector also ends with its mark, but has no sane entries.
pub(super) async fn read(disk: &View<'_>, first: &[u8]) -> Result<Option<(Table, Vec<Partition>)>> {
    let sector = Raw(first);
    let Some(all) = entries(sector) else { return Ok(None) };
    let sectors = disk.bytes().0 / SECTOR;
    let is_sane = |entry: &Entry| {
        let empty = entry.code == 0 && entry.count == 0;
        let inside = entry.first > 0 && entry.count > 0 && u64::from(entry.first) < sectors;
        matches!(entry.flag, 0 | 0x80) && (empty || (entry.code != 0 && inside))
    };
    if !all.iter().all(is_sane) || all.iter().all(|entry| entry.code == 0) {
        return Ok(None);
    }
    let mut table = Table { scheme: Scheme::Mbr, id: signature(sector), notes: Vec::new() };
    if all.iter().any(|entry| entry.code == 0xEE) {
        table.notes.push("it protects a GUID partition table that is missing or damaged at both ends".to_owned());
    }
    let mut out = Vec::new();
    for (number, entry) in (1u32..).zip(&all).filter(|(_, entry)| entry.code != 0) {
        out.push(partition(number, entry, 0));
        if EXTENDED.contains(&entry.code) && !logical(disk, entry.first, &mut out).await? {
            table.notes.push("the chain of its logical partitions is broken".to_owned());
        }
    }
    if out.iter().any(|part| part.start.0.saturating_add(part.bytes.0) > disk.bytes().0) {
        table.notes.push("a partition reaches past the end of the disk".to_owned());
    }
    Ok(Some((table, out)))
}

/// Follows the chain of extended tables; false when it goes nowhere or in a circle.
async fn logical(disk: &View<'_>, base: u32, out: &mut Vec<Partition>) -> Result<bool> {
    let (mut at, mut seen) = (u64::from(base), BTreeSet::new());
    let already = out.iter().filter(|part| part.number >= 5).count();
    for number in (5u32..).skip(already).take(LOGICAL as usize) {
        if !seen.insert(at) {
            return Ok(false);
        }
        let Some(bytes) = disk.exactly(at * SECTOR, 512).await? else { return Ok(false) };
        let Some(all) = entries(Raw(&bytes)) else { return Ok(false) };
        if let Some(entry) = all.iter().find(|entry| entry.code != 0 && !EXTENDED.contains(&entry.code)) {
            out.push(partition(number, entry, at));
        }
        let Some(next) = all.iter().find(|entry| EXTENDED.contains(&entry.code) && entry.count > 0) else {
            return Ok(true);
        };
        at = u64::from(base) + u64::from(next.first);
    }
    Ok(false)
}

fn partition(number: u32, entry: &Entry, base: u64) -> Partition {
    let code = format!("{:02x}", entry.code);
    Partition {
        number,
        start: Bytes((base + u64::from(entry.first)) * SECTOR),
        bytes: Bytes(u64::from(entry.count) * SECTOR),
        purpose: types::of_byte(entry.code).map_or_else(|| format!("type {code}"), str::to_owned),
        code,
        name: None,
        id: None,
        active: entry.flag == 0x80,
        is_container: EXTENDED.contains(&entry.code),
        content: None,
    }
}

fn signature(sector: Raw<'_>) -> Option<String> {
    sector.u32(440).filter(|id| *id != 0).map(|id| format!("{id:08x}"))
}
