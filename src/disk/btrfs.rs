//! Btrfs: the first superblock, at 64 KiB (`fs/btrfs/ctree.h`, `struct btrfs_super_block`).

use super::model::{Content, Kind};
use super::raw::{Raw, crc32c};
use crate::units::Bytes;

const AT: usize = 64 * 1024;
const LENGTH: usize = 4096;

pub(super) fn read(front: Raw<'_>) -> Option<Content> {
    let all = front.part(AT, LENGTH)?;
    let sb = Raw(all);
    if !sb.is(0x40, b"_BHRfS_M") || sb.u64(0x30)? != AT as u64 {
        return None;
    }
    let (total, used, devices) = (sb.u64(0x70)?, sb.u64(0x78)?, sb.u64(0x88)?);
    let mut notes = Vec::new();
    if devices > 1 {
        notes.push(format!("one of {devices} devices: its figures are of all of them"));
    }
    if sb.u16(0xC4)? == 0 && sb.u32(0)? != crc32c(&all[0x20..]) {
        notes.push("the superblock is not what its own sum says".to_owned());
    }
    Some(Content {
        label: sb.text(0x12B, 256),
        uuid: sb.uuid(0x20),
        bytes: Some(Bytes(total)),
        free: total.checked_sub(used).map(Bytes),
        notes,
        ..Content::new(Kind::Btrfs)
    })
}
