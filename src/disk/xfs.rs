//! XFS: the superblock in the first sector, big-endian (`fs/xfs/libxfs/xfs_format.h`, `struct xfs_dsb`).

use super::model::{Content, Kind};
use super::raw::{Raw, crc32c};
use crate::units::Bytes;

pub(super) fn read(front: Raw<'_>) -> Option<Content> {
    if !front.is(0, b"XFSB") {
        return None;
    }
    let block = u64::from(front.u32_be(4)?);
    let is_sane = |size: u64| size.is_power_of_two() && (512..=65_536).contains(&size);
    let sector = u64::from(front.u16_be(102)?);
    let blocks = front.u64_be(8)?;
    let sized = is_sane(block) && is_sane(sector) && sector <= 32_768;
    if !sized || blocks == 0 || front.u32_be(88)? == 0 {
        return None;
    }
    let version = front.u16_be(100)? & 0xF;
    let mut notes = vec![format!("version {version}")];
    if version == 5 {
        let mut all = front.part(0, usize::try_from(sector).ok()?)?.to_vec();
        let sum = front.u32(224)?;
        all[224..228].fill(0);
        if crc32c(&all) != sum {
            notes.push("the superblock is not what its own sum says".to_owned());
        }
    }
    if front.u8(126)? != 0 {
        notes.push("mkfs did not finish".to_owned());
    }
    let free = front.u64_be(144)?;
    Some(Content {
        label: front.text(108, 12),
        uuid: front.uuid(32),
        bytes: blocks.checked_mul(block).map(Bytes),
        free: free.checked_mul(block).filter(|_| free <= blocks).map(Bytes),
        notes,
        ..Content::new(Kind::Xfs)
    })
}
