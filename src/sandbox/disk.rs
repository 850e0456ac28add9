//! The first blocks of synthetic disks: real partition tables, file systems and boot loaders, so that whoever looks
//! inside a snapshot finds what a disk has there.
//!
//! Written from the formats' specifications and without floe's own reader, so that the two check each other. A block
//! is a function of the layout, the chain and the version that wrote it, as all synthetic blocks are.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::synth::mix;
use crate::units::BLOCK_BYTES;

const BLOCK: usize = BLOCK_BYTES as usize;
const SECTOR: u64 = 512;
const SECTORS_PER_GIB: u64 = 1 << 21;
/// No layout says anything behind this block, but for the last one of the disk.
const FRONT: u32 = 32;
/// 2026-01-01, when chains begin to be written; each version is six days later.
const BORN: u32 = 1_767_225_600;
const STEP: u32 = 6 * 86_400;

/// What a disk is divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Nothing that anybody would recognise.
    #[default]
    None,
    /// As Amazon Linux has it: GPT, an EFI, GRUB, the root on XFS.
    Linux,
    /// As Windows Server has it: MBR, one NTFS.
    Windows,
    /// ext4 on all of it.
    Ext4,
    /// XFS on all of it.
    Xfs,
}

impl Layout {
    /// For leaving it out of records.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// One disk at one time.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// What it is divided into.
    pub layout: Layout,
    /// Names the chain.
    pub seed: u64,
    /// The version that wrote the block.
    pub version: u32,
    /// Its size.
    pub gib: u32,
}

/// Pieces of one block while it is written.
struct Page {
    bytes: Vec<u8>,
    /// Where on the disk it starts.
    start: u64,
}

impl Page {
    /// Puts bytes where they lie on the disk; what lies outside of the block is left out.
    fn put(&mut self, at: u64, what: &[u8]) {
        for (at, byte) in (at..).zip(what) {
            let place = at.checked_sub(self.start).and_then(|at| self.bytes.get_mut(usize::try_from(at).ok()?));
            if let Some(place) = place {
                *place = *byte;
            }
        }
    }
}

impl Disk {
    /// The block at `index`, where the layout says anything of it.
    #[must_use]
    pub fn block(&self, index: u32) -> Option<Bytes> {
        let last = self.gib.saturating_mul(2048).saturating_sub(1);
        if self.layout == Layout::None || (index >= FRONT && index != last) {
            return None;
        }
        let mut page = Page { bytes: vec![0; BLOCK], start: u64::from(index) * BLOCK_BYTES };
        let sectors = u64::from(self.gib) * SECTORS_PER_GIB;
        match self.layout {
            Layout::None => {}
            Layout::Linux => self.linux(&mut page, sectors),
            Layout::Windows => self.windows(&mut page, sectors),
            Layout::Ext4 => page.put(0, &self.ext4(sectors)),
            Layout::Xfs => page.put(0, &self.xfs("data", sectors)),
        }
        page.bytes.iter().any(|byte| *byte != 0).then(|| page.bytes.into())
    }

    fn id(&self, n: u64) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&mix(self.seed, 0xD15C + n).to_le_bytes());
        out[8..].copy_from_slice(&mix(self.seed, 0xD15D + n).to_le_bytes());
        // Version 4, as random ids are, in both ways of writing them.
        (out[6], out[7], out[8]) = ((out[6] & 0x0F) | 0x40, (out[7] & 0x0F) | 0x40, (out[8] & 0x3F) | 0x80);
        out
    }

    const fn now(&self) -> u32 {
        BORN + self.version.saturating_mul(STEP)
    }

    fn linux(&self, page: &mut Page, sectors: u64) {
        const ROOT: [u8; 16] =
            [0xE3, 0xBC, 0x68, 0x4F, 0xCD, 0xE8, 0xB1, 0x4D, 0x96, 0xE7, 0xFB, 0xCA, 0xF9, 0x84, 0xB7, 0x09];
        const GRUB: &[u8; 16] = b"Hah!IdontNeedEFI";
        const EFI: [u8; 16] =
            [0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B];
        page.put(0, &sector_of_grub());
        page.put(446, &mbr_entry(0, 0xEE, 1, u32::try_from(sectors - 1).unwrap_or(u32::MAX)));
        let mut entries = vec![0; 128 * 128];
        let last = sectors - 34;
        for (n, kind, first, end, name) in [
            (1, &ROOT, 24_576, last, "Linux"),
            (127, GRUB, 22_528, 24_575, "BIOS Boot Partition"),
            (128, &EFI, 2048, 22_527, "EFI System Partition"),
        ] {
            let entry = gpt_entry(kind, self.id(n), first, end, name);
            let at = (n as usize - 1) * 128;
            entries[at..at + 128].copy_from_slice(&entry);
        }
        let sum = crc32(&entries);
        page.put(512, &gpt_header(1, sectors - 1, 2, last, self.id(0), sum));
        page.put(1024, &entries);
        page.put((sectors - 33) * SECTOR, &entries);
        page.put((sectors - 1) * SECTOR, &gpt_header(sectors - 1, 1, sectors - 33, last, self.id(0), sum));
        page.put(2048 * SECTOR, &efi(self.id(3)));
        page.put(22_528 * SECTOR, b"RV\xbe\x1b\x81\xe8\x3a\x01loading\0.\0\r\nGeom\0Read\0 Error\0");
        page.put(24_576 * SECTOR, &self.xfs("/", last + 1 - 24_576));
    }

    fn windows(&self, page: &mut Page, sectors: u64) {
        let mut code = vec![0; 440];
        put(&mut code, 0, &[0x33, 0xC0, 0x8E, 0xD0]);
        put(&mut code, 0x163, b"Invalid partition table\0Error loading operating system\0Missing operating system");
        page.put(0, &code);
        page.put(440, &self.id(1)[..4]);
        page.put(446, &mbr_entry(0x80, 0x07, 2048, u32::try_from(sectors - 4096).unwrap_or(u32::MAX)));
        page.put(510, &[0x55, 0xAA]);
        let at = 2048 * SECTOR;
        let mut boot = vec![0; 512];
        put(&mut boot, 0, b"\xEB\x52\x90NTFS    ");
        put(&mut boot, 11, &[0x00, 0x02, 8]);
        boot[21] = 0xF8;
        put(&mut boot, 40, &(sectors - 4097).to_le_bytes());
        // The table of files is at cluster 4, a record has 2^10 bytes.
        put(&mut boot, 48, &4u64.to_le_bytes());
        boot[64] = 0xF6;
        put(&mut boot, 72, &self.id(2)[..8]);
        put(&mut boot, 0x188, b"\r\nBOOTMGR is missing\0\r\nPress Ctrl+Alt+Del to restart\r\n");
        put(&mut boot, 510, &[0x55, 0xAA]);
        page.put(at, &boot);
        let ticks = (u64::from(BORN) + 11_644_473_600) * 10_000_000;
        let times: Vec<u8> = [ticks; 4].iter().flat_map(|time| time.to_le_bytes()).chain([0; 16]).collect();
        let label: Vec<u8> = "Windows".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut about = vec![0; 12];
        (about[8], about[9]) = (3, 1);
        page.put(at + 4 * 4096, &file_record(&[(0x10, &times)]));
        page.put(at + 4 * 4096 + 3 * 1024, &file_record(&[(0x10, &times), (0x60, &label), (0x70, &about)]));
    }

    /// The front of ext4: its superblock is at byte 1024.
    fn ext4(&self, sectors: u64) -> Vec<u8> {
        let (blocks, mut sb) = (sectors / 8, vec![0; 2048]);
        let low = |n: u64| u32::try_from(n & 0xFFFF_FFFF).unwrap_or_default().to_le_bytes();
        for (at, value) in [
            (0x00, low(blocks / 4)),
            (0x04, low(blocks)),
            (0x0C, low(blocks / 3)),
            (0x18, 2u32.to_le_bytes()),
            (0x20, 32_768u32.to_le_bytes()),
            (0x2C, self.now().saturating_sub(86_400).to_le_bytes()),
            (0x30, self.now().to_le_bytes()),
            (0x4C, 1u32.to_le_bytes()),
            (0x5C, 0x3Cu32.to_le_bytes()),
            // Filetype, extents, 64 bits, flexible groups; it was mounted when it was frozen.
            (0x60, 0x02C6u32.to_le_bytes()),
            (0x64, 0x006Bu32.to_le_bytes()),
            (0x108, BORN.to_le_bytes()),
            (0x150, low(blocks >> 32)),
        ] {
            put(&mut sb, 1024 + at, &value);
        }
        put(&mut sb, 1024 + 0x38, &[0x53, 0xEF, 1, 0]);
        put(&mut sb, 1024 + 0x68, &self.id(4));
        put(&mut sb, 1024 + 0x78, b"data");
        put(&mut sb, 1024 + 0x88, b"/srv/data");
        sb
    }

    fn xfs(&self, label: &str, sectors: u64) -> Vec<u8> {
        let (blocks, mut sb) = (sectors / 8, vec![0; 512]);
        put(&mut sb, 0, b"XFSB");
        put(&mut sb, 4, &4096u32.to_be_bytes());
        put(&mut sb, 8, &blocks.to_be_bytes());
        put(&mut sb, 32, &self.id(5));
        put(&mut sb, 84, &u32::try_from(blocks / 4).unwrap_or(u32::MAX).to_be_bytes());
        put(&mut sb, 88, &4u32.to_be_bytes());
        put(&mut sb, 100, &0xB4B5u16.to_be_bytes());
        put(&mut sb, 102, &512u16.to_be_bytes());
        put(&mut sb, 104, &512u16.to_be_bytes());
        put(&mut sb, 108, label.as_bytes());
        put(&mut sb, 144, &(blocks / 3 + u64::from(self.version)).to_be_bytes());
        let sum = crc32c(&sb);
        put(&mut sb, 224, &sum.to_le_bytes());
        sb
    }
}

fn put(into: &mut [u8], at: usize, what: &[u8]) {
    if let Some(place) = into.get_mut(at..at + what.len()) {
        place.copy_from_slice(what);
    }
}

fn sector_of_grub() -> Vec<u8> {
    let mut out = vec![0; 512];
    put(&mut out, 0, &[0xEB, 0x63, 0x90]);
    put(&mut out, 0x180, b"GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n");
    put(&mut out, 510, &[0x55, 0xAA]);
    out
}

fn mbr_entry(flag: u8, kind: u8, first: u32, count: u32) -> Vec<u8> {
    let mut out = vec![flag, 0, 2, 0, kind, 0xFF, 0xFF, 0xFF];
    out.extend(first.to_le_bytes());
    out.extend(count.to_le_bytes());
    out
}

fn gpt_entry(kind: &[u8; 16], id: [u8; 16], first: u64, last: u64, name: &str) -> Vec<u8> {
    let mut out = vec![0; 128];
    put(&mut out, 0, kind);
    put(&mut out, 16, &id);
    put(&mut out, 32, &first.to_le_bytes());
    put(&mut out, 40, &last.to_le_bytes());
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    put(&mut out, 56, &name);
    out
}

fn gpt_header(here: u64, other: u64, entries: u64, last: u64, id: [u8; 16], sum: u32) -> Vec<u8> {
    let mut out = vec![0; 92];
    put(&mut out, 0, b"EFI PART");
    put(&mut out, 8, &0x0001_0000u32.to_le_bytes());
    put(&mut out, 12, &92u32.to_le_bytes());
    for (at, value) in [(24, here), (32, other), (40, 34), (48, last), (72, entries)] {
        put(&mut out, at, &value.to_le_bytes());
    }
    put(&mut out, 56, &id);
    put(&mut out, 80, &128u32.to_le_bytes());
    put(&mut out, 84, &128u32.to_le_bytes());
    put(&mut out, 88, &sum.to_le_bytes());
    let own = crc32(&out);
    put(&mut out, 16, &own.to_le_bytes());
    out
}

/// A FAT of 10 MiB with a label and `EFI/BOOT`.
fn efi(id: [u8; 16]) -> Vec<u8> {
    let mut out = vec![0; 70 * 512];
    put(&mut out, 0, b"\xEB\x3C\x90mkfs.fat");
    // Sectors of 512, 8 to a cluster, 1 reserved, 2 tables of 8, 512 entries in the root, 20,480 in all.
    put(&mut out, 11, &[0x00, 0x02, 8, 1, 0, 2, 0x00, 0x02, 0x00, 0x50, 0xF8, 8, 0]);
    put(&mut out, 36, &[0x80, 0, 0x29]);
    put(&mut out, 39, &id[..4]);
    put(&mut out, 43, b"EFI        FAT12   ");
    put(&mut out, 510, &[0x55, 0xAA]);
    for table in [1, 9] {
        put(&mut out, table * 512, &[0xF8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    }
    let entry = |name: &[u8; 11], kind: u8, cluster: u16| {
        let mut entry = vec![0; 32];
        put(&mut entry, 0, name);
        entry[11] = kind;
        put(&mut entry, 24, &0x5C21u16.to_le_bytes());
        put(&mut entry, 26, &cluster.to_le_bytes());
        entry
    };
    put(&mut out, 17 * 512, &[entry(b"EFI        ", 0x08, 0), entry(b"EFI        ", 0x10, 2)].concat());
    let dots = [entry(b".          ", 0x10, 2), entry(b"..         ", 0x10, 0)].concat();
    put(&mut out, 49 * 512, &[dots, entry(b"BOOT       ", 0x10, 3)].concat());
    out
}

/// A record of NTFS with these attributes, each sector's end kept apart as the format wants it.
fn file_record(attributes: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; 1024];
    put(&mut out, 0, b"FILE");
    put(&mut out, 4, &[48, 0, 3, 0]);
    put(&mut out, 20, &[56, 0, 1, 0]);
    let mut at = 56;
    for (kind, value) in attributes {
        let length = (24 + value.len()).next_multiple_of(8);
        put(&mut out, at, &kind.to_le_bytes());
        put(&mut out, at + 4, &u32::try_from(length).unwrap_or_default().to_le_bytes());
        put(&mut out, at + 16, &u32::try_from(value.len()).unwrap_or_default().to_le_bytes());
        put(&mut out, at + 20, &[24, 0]);
        put(&mut out, at + 24, value);
        at += length;
    }
    put(&mut out, at, &u32::MAX.to_le_bytes());
    put(&mut out, 24, &u32::try_from(at + 8).unwrap_or_default().to_le_bytes());
    put(&mut out, 28, &1024u32.to_le_bytes());
    for sector in [1, 2] {
        let end: [u8; 2] = [out[sector * 512 - 2], out[sector * 512 - 1]];
        put(&mut out, 48 + 2 * sector, &end);
        put(&mut out, sector * 512 - 2, &[1, 0]);
    }
    put(&mut out, 48, &[1, 0]);
    out
}

#[expect(clippy::cast_possible_truncation, reason = "a sum of 32 bits in a word of 64")]
fn crc32(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "a sum of 32 bits in a word of 64")]
fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
