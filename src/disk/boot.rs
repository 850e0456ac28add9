//! What could start a disk: code in the first sector, GRUB's own partition, Windows' boot sector, files of an EFI.

use super::model::{Boot, Content, Kind};
use super::raw::Raw;
use super::view::View;
use super::{fat, files};
use crate::error::Result;

/// Makers of boot loaders that are named at most.
const MAKERS: usize = 16;
/// Code ends where the disk's signature and the table begin.
const CODE: usize = 440;

/// What the code of the first sector is, by the messages in it.
pub(super) fn of_first_sector(first: &[u8]) -> Option<Boot> {
    let code = Raw(first.get(..CODE.min(first.len())).unwrap_or_default());
    let what = match () {
        () if code.0.iter().all(|byte| *byte == 0) => return None,
        () if code.has(b"GRUB ") => "GRUB",
        () if code.has(b"LILO") => "LILO",
        () if code.has(b"LINUX") && code.has(b"SYS") => "SYSLINUX",
        () if code.has(b"Invalid partition table") => "the PC's usual boot code (Windows)",
        () => "boot code of a kind not known here",
    };
    Some(Boot { partition: None, what: what.to_owned() })
}

/// GRUB's core, which starts with a sector that loads the others.
pub(super) async fn of_bios_boot(view: &View<'_>, partition: u32) -> Result<Option<Boot>> {
    let first = view.at_most(0, 512).await?;
    let is_grub = Raw(&first).has(b"loading") && Raw(&first).has(b"Geom");
    Ok(is_grub.then(|| Boot { partition: Some(partition), what: "GRUB (core image)".to_owned() }))
}

/// What a volume has to start from.
pub(super) async fn of_volume(view: &View<'_>, content: &Content, partition: Option<u32>) -> Result<Vec<Boot>> {
    let boot = |what: String| Boot { partition, what };
    match content.kind {
        Kind::Ntfs => {
            let first = view.at_most(0, 1024).await?;
            let named = Raw(&first).has(b"BOOTMGR") || Raw(&first).has(b"B\0O\0O\0T\0M\0G\0R");
            Ok(named.then(|| boot("Windows Boot Manager (BOOTMGR)".to_owned())).into_iter().collect())
        }
        Kind::Fat12 | Kind::Fat16 | Kind::Fat32 => Ok(efi(view).await?.into_iter().map(boot).collect()),
        _ => Ok(Vec::new()),
    }
}

/// Who has put a boot loader into the directory of an EFI.
async fn efi(view: &View<'_>) -> Result<Vec<String>> {
    let front = view.at_most(0, 512).await?;
    let Some(layout) = fat::layout(Raw(&front)) else { return Ok(Vec::new()) };
    let root = files::root(view, &layout).await?;
    let Some(efi) = root.iter().find(|entry| entry.is_directory && entry.name.eq_ignore_ascii_case("efi")) else {
        return Ok(Vec::new());
    };
    let makers = files::within(view, &layout, efi).await?;
    let makers = makers.iter().filter(|entry| entry.is_directory).take(MAKERS);
    Ok(makers
        .map(|entry| match entry.name.to_ascii_lowercase().as_str() {
            "microsoft" => "Windows Boot Manager (EFI)".to_owned(),
            "boot" => "EFI fallback (BOOT)".to_owned(),
            _ => format!("EFI loader of {}", entry.name),
        })
        .collect())
}
