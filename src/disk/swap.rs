//! Linux's swap space: a mark at the end of the first page, whatever a page is (`include/linux/swap.h`).

use super::model::{Content, Kind};
use super::raw::Raw;
use crate::units::Bytes;

const PAGES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];

pub(super) fn read(front: Raw<'_>) -> Option<Content> {
    PAGES.iter().find_map(|page| {
        let mark = front.part(page - 10, 10)?;
        let asleep = mark.starts_with(b"S1SUSPEND") || mark.starts_with(b"S2SUSPEND") || mark.starts_with(b"ULSUSPEND");
        if mark != b"SWAPSPACE2" && !asleep {
            return None;
        }
        let last = u64::from(front.u32(1028)?);
        let mut notes = Vec::new();
        if asleep {
            notes.push("holds the memory of a machine that was put to sleep".to_owned());
        }
        Some(Content {
            label: front.text(1052, 16),
            uuid: front.uuid(1036),
            bytes: (last.checked_add(1)?).checked_mul(*page as u64).map(Bytes),
            notes,
            ..Content::new(Kind::Swap)
        })
    })
}
