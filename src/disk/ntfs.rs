//! NTFS: the boot sector, and of the master file table the records that hold label, version and dates.

use super::model::{Content, Kind};
use super::raw::{Raw, windows};
use super::view::View;
use crate::error::Result;
use crate::units::Bytes;

/// The record of the table itself, and the one of the volume.
const MFT: u64 = 0;
const VOLUME: u64 = 3;
/// Attributes: standard information, volume name, volume information.
const TIMES: u32 = 0x10;
const NAME: u32 = 0x60;
const INFORMATION: u32 = 0x70;
/// Attributes of one record that are looked at.
const ATTRIBUTES: usize = 64;

pub(super) async fn read(view: &View<'_>, front: Raw<'_>) -> Result<Option<Content>> {
    let Some((mut out, place)) = boot_sector(front) else { return Ok(None) };
    if let Some(record) = record(view, place, MFT).await?
        && let Some(times) = attribute(Raw(&record), TIMES)
    {
        out.made = times.u64(0).and_then(windows);
    }
    if let Some(record) = record(view, place, VOLUME).await? {
        let record = Raw(&record);
        out.label = attribute(record, NAME).and_then(|name| name.wide(0, name.0.len() / 2));
        if let Some(about) = attribute(record, INFORMATION)
            && let (Some(major), Some(minor), Some(flags)) = (about.u8(8), about.u8(9), about.u16(10))
        {
            out.notes.push(format!("version {major}.{minor}"));
            out.notes.push(if flags & 1 == 0 { "clean" } else { "was not unmounted" }.to_owned());
        }
    }
    Ok(Some(out))
}

/// Where the table starts, and the length of a record.
type Place = (u64, usize);

fn boot_sector(front: Raw<'_>) -> Option<(Content, Place)> {
    if !front.is(3, b"NTFS    ") || !front.is(510, &[0x55, 0xAA]) {
        return None;
    }
    let sector = u64::from(front.u16(11)?);
    // More than 128 means a power of two.
    let per_cluster = match front.u8(13)? {
        small @ 0..=0x80 => u64::from(small),
        large => 1u64.checked_shl(u32::from(large.wrapping_neg()))?,
    };
    let cluster = sector.checked_mul(per_cluster)?;
    if !sector.is_power_of_two() || !(256..=4096).contains(&sector) || !(512..=2 << 20).contains(&cluster) {
        return None;
    }
    let size = front.u8(64)?.cast_signed();
    let record = if size > 0 {
        u64::from(size.unsigned_abs()).checked_mul(cluster)?
    } else {
        1u64.checked_shl(u32::from(size.unsigned_abs()))?
    };
    let record = usize::try_from(record).ok().filter(|record| (512..=65_536).contains(record))?;
    let serial = front.u64(72)?;
    let out = Content {
        uuid: (serial != 0).then(|| format!("{serial:016X}")),
        bytes: front.u64(40)?.checked_mul(sector).map(Bytes),
        ..Content::new(Kind::Ntfs)
    };
    Some((out, (front.u64(48)?.checked_mul(cluster)?, record)))
}

/// One record of the table, put together; none when it is no record.
async fn record(view: &View<'_>, (start, length): Place, number: u64) -> Result<Option<Vec<u8>>> {
    let offset = number.checked_mul(length as u64).and_then(|at| at.checked_add(start));
    let Some(offset) = offset else { return Ok(None) };
    let Some(mut bytes) = view.exactly(offset, length).await? else { return Ok(None) };
    Ok(restored(&mut bytes).map(|()| bytes))
}

/// Puts the last two bytes of each sector back where a count of writes stands.
fn restored(bytes: &mut [u8]) -> Option<()> {
    let record = Raw(bytes);
    if !record.is(0, b"FILE") {
        return None;
    }
    let (at, count) = (usize::from(record.u16(4)?), usize::from(record.u16(6)?));
    let fixes = record.part(at, count.checked_mul(2)?)?.to_vec();
    let check = fixes.get(..2)?.to_vec();
    for (nth, fix) in fixes.chunks_exact(2).skip(1).enumerate() {
        let end = (nth + 1).checked_mul(512)?;
        let place = bytes.get_mut(end - 2..end)?;
        if *place != check {
            return None;
        }
        place.copy_from_slice(fix);
    }
    Some(())
}

/// The value of an attribute that lies within its record.
fn attribute(record: Raw<'_>, wanted: u32) -> Option<Raw<'_>> {
    let mut at = usize::from(record.u16(20)?);
    for _ in 0..ATTRIBUTES {
        let attribute = record.from(at);
        let (kind, length) = (attribute.u32(0)?, usize::try_from(attribute.u32(4)?).ok()?);
        if kind == u32::MAX || length < 16 {
            return None;
        }
        if kind == wanted && attribute.u8(8)? == 0 {
            let (size, offset) = (usize::try_from(attribute.u32(16)?).ok()?, usize::from(attribute.u16(20)?));
            return attribute.part(offset, size).map(Raw);
        }
        at = at.checked_add(length)?;
    }
    None
}
