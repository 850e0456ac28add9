//! GUID partition tables: the one at the front, its copy at the end, and whether the two agree (UEFI 5.3).

use super::model::{Partition, Scheme, Table};
use super::raw::{Raw, crc32};
use super::view::View;
use super::{MOST_PARTITIONS, types};
use crate::error::Result;
use crate::units::Bytes;

/// Sector sizes that a table may be written for.
const SECTORS: [u64; 2] = [512, 4096];
/// Bytes of entries that are read at most; 128 entries of 128 bytes, as everybody makes them, are 16 KiB.
const ENTRIES: usize = 64 * 1024;

/// A header whose sums are right, with its entries.
struct Half {
    id: Option<String>,
    other: u64,
    entries: Vec<u8>,
    each: usize,
}

/// The table, when there is one that is whole at either end of the disk.
pub(super) async fn read(disk: &View<'_>, first: &[u8]) -> Result<Option<(Table, Vec<Partition>)>> {
    for sector in SECTORS {
        let front = half(disk, sector, 1).await?;
        let last = (disk.bytes().0 / sector).saturating_sub(1);
        // Without a table at the front its copy is looked for only where the first sector says that there is one.
        if front.is_err() && !(is_protected(first) || front.as_ref().is_err_and(|broken| *broken)) {
            continue;
        }
        let back = match &front {
            Ok(front) => half(disk, sector, front.other).await?,
            Err(_) => half(disk, sector, last).await?,
        };
        let (used, notes) = match (&front, &back) {
            (Ok(front), Ok(back)) if front.entries == back.entries && front.id == back.id => (front, Vec::new()),
            (Ok(front), Ok(_)) => (front, vec!["its copy at the end of the disk says something else".to_owned()]),
            (Ok(front), Err(_)) => {
                let grown = front.other < last;
                let why = if grown { ", and the disk was made larger since" } else { "" };
                (front, vec![format!("its copy at the end of the disk is missing or damaged{why}")])
            }
            (Err(_), Ok(back)) => {
                (back, vec!["the table at the front is damaged; this is its copy at the end".to_owned()])
            }
            (Err(_), Err(_)) => continue,
        };
        let (partitions, more) = partitions(used, sector);
        let mut table = Table { scheme: Scheme::Gpt, id: used.id.clone(), notes };
        if more > 0 {
            table.notes.push(format!("{more} more partitions are not shown"));
        }
        return Ok(Some((table, partitions)));
    }
    Ok(None)
}

/// Whether the first sector says that all of the disk belongs to a GPT.
fn is_protected(first: &[u8]) -> bool {
    let first = Raw(first);
    first.is(510, &[0x55, 0xAA]) && (0..4).any(|n| first.u8(446 + 16 * n + 4) == Some(0xEE))
}

/// The header at that sector; an error says whether there is one that is damaged.
async fn half(disk: &View<'_>, sector: u64, at: u64) -> Result<std::result::Result<Half, bool>> {
    let Some(offset) = at.checked_mul(sector) else { return Ok(Err(false)) };
    let Some(bytes) = disk.exactly(offset, 512).await? else { return Ok(Err(false)) };
    let header = Raw(&bytes);
    if !header.is(0, b"EFI PART") {
        return Ok(Err(false));
    }
    let Some((other, start, length, each, sum)) = fields(header, at) else { return Ok(Err(true)) };
    let Some(start) = start.checked_mul(sector) else { return Ok(Err(true)) };
    let Some(entries) = disk.exactly(start, length).await? else { return Ok(Err(true)) };
    if crc32(&entries) != sum {
        return Ok(Err(true));
    }
    Ok(Ok(Half { id: header.guid(56), other, entries, each }))
}

/// Where the other header is, where the entries are, how many bytes they take, one of them, and their sum; none when
/// the header is not what its own sum says.
fn fields(header: Raw<'_>, at: u64) -> Option<(u64, u64, usize, usize, u32)> {
    let size = usize::try_from(header.u32(12)?).ok().filter(|size| (92..=512).contains(size))?;
    let mut clean = header.part(0, size)?.to_vec();
    clean[16..20].fill(0);
    if crc32(&clean) != header.u32(16)? || header.u64(24)? != at {
        return None;
    }
    let (count, each) = (usize::try_from(header.u32(80)?).ok()?, usize::try_from(header.u32(84)?).ok()?);
    let length = count.checked_mul(each).filter(|length| (128..=ENTRIES).contains(length))?;
    (each >= 128).then_some((header.u64(32)?, header.u64(72)?, length, each, header.u32(88)?))
}

/// The entries in use, and how many more there are.
fn partitions(half: &Half, sector: u64) -> (Vec<Partition>, usize) {
    let used = |(_, entry): &(u32, &[u8])| entry.get(..16).is_some_and(|kind| kind != [0; 16]);
    let all = (1u32..).zip(half.entries.chunks_exact(half.each)).filter(used);
    let mut out: Vec<Partition> = all.filter_map(|(number, entry)| partition(number, Raw(entry), sector)).collect();
    let more = out.len().saturating_sub(MOST_PARTITIONS);
    out.truncate(MOST_PARTITIONS);
    (out, more)
}

fn partition(number: u32, entry: Raw<'_>, sector: u64) -> Option<Partition> {
    let code = entry.guid(0)?;
    let (first, last) = (entry.u64(32)?, entry.u64(40)?);
    let sectors = last.checked_sub(first)?.checked_add(1)?;
    Some(Partition {
        number,
        start: Bytes(first.checked_mul(sector)?),
        bytes: Bytes(sectors.checked_mul(sector)?),
        purpose: types::of_guid(&code).map_or_else(|| code.clone(), str::to_owned),
        code,
        name: entry.wide(56, 36),
        id: entry.guid(16),
        // Bit 2: legacy BIOS bootable.
        active: entry.u64(48)? & 4 != 0,
        is_container: false,
        content: None,
    })
}
