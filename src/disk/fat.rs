//! FAT with entries of 12, 16 and 32 bits: the boot sector, and the label that the root directory has.

use super::files::{self, Layout};
use super::model::{Content, Kind};
use super::raw::Raw;
use super::view::View;
use crate::error::Result;
use crate::units::Bytes;

/// What a volume without a name is called.
const NO_NAME: &str = "NO NAME";

pub(super) async fn read(view: &View<'_>, front: Raw<'_>) -> Result<Option<Content>> {
    let Some((mut out, layout)) = boot_sector(front) else { return Ok(None) };
    if let Some((label, when)) = files::label(view, &layout).await? {
        (out.label, out.made) = (Some(label), when);
    }
    Ok(Some(out))
}

/// Where files are in a volume of that kind; none for a boot sector that is none.
pub(super) fn layout(front: Raw<'_>) -> Option<Layout> {
    boot_sector(front).map(|(_, layout)| layout)
}

fn boot_sector(front: Raw<'_>) -> Option<(Content, Layout)> {
    if !front.is(510, &[0x55, 0xAA]) || !matches!(front.u8(0)?, 0xEB | 0xE9) || front.is(3, b"NTFS") {
        return None;
    }
    let sector = u64::from(front.u16(11)?);
    let per_cluster = u64::from(front.u8(13)?);
    let (reserved, tables) = (u64::from(front.u16(14)?), u64::from(front.u8(16)?));
    let sane = sector.is_power_of_two() && (512..=4096).contains(&sector) && per_cluster.is_power_of_two();
    if !sane || reserved == 0 || !(1..=2).contains(&tables) || !matches!(front.u8(21)?, 0xF0 | 0xF8..) {
        return None;
    }
    let root_entries = u64::from(front.u16(17)?);
    let total = match front.u16(19)? {
        0 => u64::from(front.u32(32)?),
        small => u64::from(small),
    };
    let table = match front.u16(22)? {
        0 => u64::from(front.u32(36)?),
        small => u64::from(small),
    };
    let root = (root_entries * 32).div_ceil(sector);
    let data = reserved + tables * table + root;
    if total == 0 || table == 0 || data >= total {
        return None;
    }
    let clusters = (total - data) / per_cluster;
    let kind = match clusters {
        0..4085 => Kind::Fat12,
        4085..65_525 => Kind::Fat16,
        _ => Kind::Fat32,
    };
    // Of 32 bits the extended part of the boot sector lies further back.
    let (more, root_at) = if root_entries == 0 {
        let first = u64::from(front.u32(44)?).checked_sub(2)?;
        (64, (data + first.checked_mul(per_cluster)?) * sector)
    } else {
        (36, (reserved + tables * table) * sector)
    };
    let mut out = Content { bytes: Some(Bytes(total * sector)), ..Content::new(kind) };
    if matches!(front.u8(more + 2)?, 0x28 | 0x29) {
        let serial = front.u32(more + 3)?;
        out.uuid = Some(format!("{:04X}-{:04X}", serial >> 16, serial & 0xFFFF));
        out.label = front.text(more + 7, 11).filter(|label| label != NO_NAME);
    }
    let root_bytes = if root_entries == 0 { per_cluster * sector } else { root_entries * 32 };
    let layout = Layout { root: root_at, root_bytes, data: data * sector, cluster: per_cluster * sector };
    Some((out, layout))
}
