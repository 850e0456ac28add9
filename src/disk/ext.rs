//! ext2, ext3 and ext4: the superblock at byte 1024 (`fs/ext4/ext4.h`, `struct ext4_super_block`).

use super::model::{Content, Kind};
use super::raw::{Raw, crc32c, unix};
use crate::units::Bytes;

const HAS_JOURNAL: u32 = 0x4;
const NEEDS_RECOVERY: u32 = 0x4;
const IS_JOURNAL: u32 = 0x8;
const HAS_64_BITS: u32 = 0x80;
/// Extents, 64 bits, flexible groups: what only ext4 has.
const ONLY_EXT4: u32 = 0x40 | HAS_64_BITS | 0x200;
/// Huge files, group sums, many links, large inodes, sums of metadata: the same among what may be read without.
const ONLY_EXT4_RO: u32 = 0x8 | 0x10 | 0x20 | 0x40 | METADATA_SUMS;
const METADATA_SUMS: u32 = 0x400;

pub(super) fn read(front: Raw<'_>) -> Option<Content> {
    let all = front.part(1024, 1024)?;
    let sb = Raw(all);
    if !sb.is(0x38, &[0x53, 0xEF]) {
        return None;
    }
    let (compat, incompat, ro) = (sb.u32(0x5C)?, sb.u32(0x60)?, sb.u32(0x64)?);
    let block = 1024u64.checked_shl(sb.u32(0x18)?).filter(|block| *block <= 65_536 && *block > 0)?;
    let wide = incompat & HAS_64_BITS != 0;
    let high = |at| if wide { sb.u32(at).map_or(0, |high| u64::from(high) << 32) } else { 0 };
    let blocks = u64::from(sb.u32(0x04)?) | high(0x150);
    let free = u64::from(sb.u32(0x0C)?) | high(0x158);
    if blocks == 0 || sb.u32(0x20)? == 0 {
        return None;
    }
    let kind = match () {
        () if incompat & IS_JOURNAL != 0 => Kind::ExtJournal,
        () if incompat & ONLY_EXT4 != 0 || ro & ONLY_EXT4_RO != 0 => Kind::Ext4,
        () if compat & HAS_JOURNAL != 0 => Kind::Ext3,
        () => Kind::Ext2,
    };
    // Seconds have 40 bits since Linux 4.18; before, their upper byte is zero.
    let time = |low, high| unix(u64::from(sb.u32(low)?) | u64::from(sb.u8(high)?) << 32);
    let mut notes = vec![state(sb.u16(0x3A)?, incompat).to_owned()];
    if ro & METADATA_SUMS != 0 && sb.u32(0x3FC) != Some(!crc32c(&all[..0x3FC])) {
        notes.push("the superblock is not what its own sum says".to_owned());
    }
    Some(Content {
        label: sb.text(0x78, 16),
        uuid: sb.uuid(0x68),
        bytes: blocks.checked_mul(block).map(Bytes),
        free: free.checked_mul(block).filter(|_| free <= blocks).map(Bytes),
        mounted_on: sb.text(0x88, 64),
        made: time(0x108, 0x276),
        mounted: time(0x2C, 0x275),
        written: time(0x30, 0x274),
        notes,
        ..Content::new(kind)
    })
}

const fn state(state: u16, incompat: u32) -> &'static str {
    if state & 2 != 0 {
        "has errors"
    } else if incompat & NEEDS_RECOVERY != 0 {
        "was mounted: its journal is to be replayed"
    } else if state & 1 != 0 {
        "clean"
    } else {
        "was not unmounted"
    }
}
