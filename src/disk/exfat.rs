//! exFAT: the boot sector, and the label that the root directory has (the specification that Microsoft published).

use super::model::{Content, Kind};
use super::raw::Raw;
use super::view::View;
use crate::error::Result;
use crate::units::Bytes;

/// The type of the entry that holds the label.
const LABEL: u8 = 0x83;
const MOST: u64 = 32 * 1024;

pub(super) async fn read(view: &View<'_>, front: Raw<'_>) -> Result<Option<Content>> {
    let Some((mut out, root, cluster)) = boot_sector(front) else { return Ok(None) };
    let bytes = view.at_most(root, usize::try_from(cluster.min(MOST)).unwrap_or_default()).await?;
    let mut entries = bytes.chunks_exact(32).take_while(|entry| entry[0] != 0).map(Raw);
    if let Some(entry) = entries.find(|entry| entry.u8(0) == Some(LABEL)) {
        out.label = entry.u8(1).and_then(|units| entry.wide(2, usize::from(units.min(11))));
    }
    Ok(Some(out))
}

/// What it says of itself, where the root directory starts, and the length of a cluster.
fn boot_sector(front: Raw<'_>) -> Option<(Content, u64, u64)> {
    if !front.is(3, b"EXFAT   ") || !front.is(510, &[0x55, 0xAA]) {
        return None;
    }
    let (sector, cluster) = (u32::from(front.u8(108)?), u32::from(front.u8(109)?));
    if !(9..=12).contains(&sector) || sector + cluster > 25 {
        return None;
    }
    let (cluster, sector) = (1u64 << (sector + cluster), 1u64 << sector);
    let heap = u64::from(front.u32(88)?).checked_mul(sector)?;
    let root = u64::from(front.u32(96)?).checked_sub(2)?.checked_mul(cluster)?.checked_add(heap)?;
    let serial = front.u32(100)?;
    let state = if front.u16(106)? & 2 == 0 { "clean" } else { "was not unmounted" };
    let out = Content {
        uuid: Some(format!("{:04X}-{:04X}", serial >> 16, serial & 0xFFFF)),
        bytes: front.u64(72)?.checked_mul(sector).map(Bytes),
        notes: vec![state.to_owned()],
        ..Content::new(Kind::Exfat)
    };
    Some((out, root, cluster))
}
