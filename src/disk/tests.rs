//! Real disks (made by mkfs and its like, the pages that matter, compressed) and hostile ones.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::error::Error;

/// A disk in memory: pages of 4 KiB, zeros in between; counts what is read of it.
#[derive(Debug, Clone, Default)]
struct Image {
    length: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

#[derive(Debug)]
struct Counted<'a> {
    image: &'a Image,
    reads: Mutex<(u64, u64)>,
}

const PAGE: u64 = 4096;

#[async_trait]
impl Sectors for Counted<'_> {
    fn length(&self) -> Bytes {
        Bytes(self.image.length)
    }

    async fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.image.length);
        end.ok_or_else(|| Error::failed("read past the end"))?;
        let mut reads = self.reads.lock().unwrap();
        *reads = (reads.0 + 1, reads.1 + into.len() as u64);
        into.fill(0);
        for (page, bytes) in self.image.pages.range(offset / PAGE..(offset + into.len() as u64).div_ceil(PAGE)) {
            let (from, to) = ((page * PAGE).max(offset), ((page + 1) * PAGE).min(offset + into.len() as u64));
            let part = &bytes[(from - page * PAGE) as usize..(to - page * PAGE) as usize];
            into[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
        }
        Ok(())
    }
}

impl Image {
    fn new(length: u64) -> Self {
        Self { length, ..Self::default() }
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        if at.is_multiple_of(PAGE) && bytes.len() as u64 == PAGE && at + PAGE <= self.length {
            self.pages.insert(at / PAGE, bytes.to_vec());
            return;
        }
        for (at, byte) in (at..self.length).zip(bytes) {
            self.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize])[(at % PAGE) as usize] = *byte;
        }
    }

    /// Another disk as a part of this one.
    fn lay(&mut self, at: u64, other: &Self) {
        for (page, bytes) in &other.pages {
            self.write(at + page * PAGE, bytes);
        }
    }

    fn look(&self) -> Inside {
        let counted = Counted { image: self, reads: Mutex::default() };
        let inside = futures_util::FutureExt::now_or_never(look(&counted)).expect("nothing waits").expect("it reads");
        let (reads, bytes) = *counted.reads.lock().unwrap();
        assert!(reads <= 4096 && bytes <= 64 << 20, "{reads} reads of {bytes} bytes");
        inside
    }
}

fn real(name: &str) -> Image {
    let path = format!("{}/tests/data/disks/{name}.zst", env!("CARGO_MANIFEST_DIR"));
    let packed = std::fs::read(&path).expect("the file");
    let bytes = zstd::decode_all(packed.as_slice()).expect("zstd");
    let (length, pages) = bytes.split_at(8);
    let mut image = Image::new(u64::from_le_bytes(length.try_into().unwrap()));
    for page in pages.chunks_exact(8 + PAGE as usize) {
        image.write(u64::from_le_bytes(page[..8].try_into().unwrap()), &page[8..]);
    }
    image
}

const NAMES: [&str; 16] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "ntfs", "fat12", "fat16", "fat32", "exfat", "swap", "luks1", "luks2",
    "lvm", "gpt", "mbr",
];

/// As `blkid -p` reads the same images.
#[test]
fn real_file_systems_are_what_their_makers_say() {
    let wanted = [
        ("ext2", Kind::Ext2, None, "2dea5563-d6f9-4142-8ab8-048eae3617f1"),
        ("ext3", Kind::Ext3, Some("old-disk"), "a581f1ec-d9e1-4076-802a-50f9776ed842"),
        ("ext4", Kind::Ext4, Some("root-disk"), "11111111-2222-3333-4444-555555555555"),
        ("xfs", Kind::Xfs, Some("data"), "dc3c161a-d966-4bb4-96af-179de74ff8d6"),
        ("btrfs", Kind::Btrfs, Some("pool"), "f0bb8e41-8f92-43c6-86c8-9960878be4d5"),
        ("ntfs", Kind::Ntfs, Some("Windows"), "574BC3034B0CF941"),
        ("fat12", Kind::Fat12, Some("FLOPPY"), "136B-3DD5"),
        ("fat16", Kind::Fat16, Some("SIXTEEN"), "136B-475B"),
        ("fat32", Kind::Fat32, Some("EFISYS"), "136B-25B4"),
        ("exfat", Kind::Exfat, Some("camera"), "EBCF-E136"),
        ("swap", Kind::Swap, Some("swap1"), "2dc92b02-30c7-4571-9087-89f7f0c7bc54"),
        ("luks1", Kind::Luks1, None, "12fbbbf0-d88f-4c7f-a902-566de2c4236c"),
        ("luks2", Kind::Luks2, Some("vault"), "4018c809-7e1c-4667-abf1-2927be188715"),
        ("lvm", Kind::Lvm, Some("vg_data"), "BMUtXK-M2t2-IahH-5bPi-6Kgu-cSKe-fuu6ju"),
    ];
    for (name, kind, label, uuid) in wanted {
        let inside = real(name).look();
        assert_eq!(inside.table, None, "{name}");
        let content = inside.content.unwrap_or_else(|| panic!("{name} is known"));
        assert_eq!(
            (content.kind, content.label.as_deref(), content.uuid.as_deref()),
            (kind, label, Some(uuid)),
            "{name}"
        );
        assert!(content.notes.iter().all(|note| !note.contains("sum")), "{name}: {:?}", content.notes);
    }
}

#[test]
fn superblocks_tell_sizes_dates_and_places() {
    let ext4 = real("ext4").look().content.expect("ext4");
    assert_eq!((ext4.bytes, ext4.free), (Some(Bytes::mib(64)), Some(Bytes(56_023 * 1024))));
    assert_eq!(ext4.mounted_on.as_deref(), Some("/srv/data"));
    assert_eq!(ext4.mounted.map(|at| at.to_string()).as_deref(), Some("2026-11-01T12:00:00Z"));
    assert_eq!(ext4.notes, ["clean"]);
    let ntfs = real("ntfs").look().content.expect("NTFS");
    assert_eq!(ntfs.notes, ["version 3.1", "clean"]);
    assert_eq!(ntfs.made.map(|at| at.to_string()[..10].to_owned()).as_deref(), Some("2026-11-28"));
    let luks = real("luks2").look().content.expect("LUKS");
    assert_eq!(luks.notes, ["aes-xts-plain64", "1 key"]);
    let luks = real("luks1").look().content.expect("LUKS");
    assert_eq!(luks.notes, ["aes-xts-plain64, 512 bits", "1 key"]);
    assert_eq!(real("swap").look().content.and_then(|swap| swap.bytes), Some(Bytes::mib(64)));
    assert_eq!(real("xfs").look().content.and_then(|xfs| xfs.bytes), Some(Bytes::mib(400)));
}

#[test]
fn a_physical_volume_names_its_logical_ones_and_what_they_hold() {
    let lvm = real("lvm").look().content.expect("LVM");
    let names: Vec<_> = lvm.volumes.iter().map(|volume| (volume.name.as_str(), volume.bytes)).collect();
    assert_eq!(names, [("root", Bytes::mib(20)), ("var", Bytes::mib(20))]);
    let root = lvm.volumes[0].content.as_deref().expect("it lies in one piece");
    assert_eq!((root.kind, root.label.as_deref()), (Kind::Ext4, Some("lvroot")));
    assert_eq!(lvm.volumes[1].content, None, "it lies in two");
}

#[test]
fn an_efi_names_who_starts_from_it() {
    let boot: Vec<String> = real("fat32").look().boot.into_iter().map(|boot| boot.what).collect();
    assert_eq!(boot, ["EFI fallback (BOOT)", "EFI loader of ubuntu", "Windows Boot Manager (EFI)"]);
}

/// As `sgdisk -p` prints it, with file systems laid into its partitions.
fn gpt() -> Image {
    let mut disk = real("gpt");
    disk.lay(4096 * 512, &real("fat12"));
    disk.lay(36_864 * 512, &real("ext4"));
    disk.write(1 << 20, b"\xebRloading\0.\0\r\nGeom\0Read\0 Error\0");
    disk.write(384, b"GRUB \0Geom\0Hard Disk\0Read\0 Error");
    disk
}

#[test]
fn a_gpt_is_read_with_what_is_in_its_partitions() {
    let inside = gpt().look();
    let table = inside.table.expect("a table");
    assert_eq!((table.scheme, table.notes.as_slice()), (Scheme::Gpt, &[][..]));
    assert_eq!(table.id.as_deref(), Some("5c531a0d-d542-4295-92e4-4a3e1007de68"));
    let rows: Vec<_> = inside.partitions.iter().map(|p| (p.number, p.start.0 / 512, p.bytes.0 / 512)).collect();
    assert_eq!(rows, [(1, 2048, 2048), (2, 4096, 32_768), (3, 36_864, 94_175)]);
    let kinds: Vec<_> = inside.partitions.iter().map(|p| p.content.as_ref().map(|c| c.kind)).collect();
    assert_eq!(kinds, [None, Some(Kind::Fat12), Some(Kind::Ext4)]);
    assert_eq!(inside.partitions[2].purpose, "Linux data");
    assert_eq!(inside.partitions[2].name.as_deref(), Some("root"));
    let boot: Vec<_> = inside.boot.iter().map(|boot| (boot.partition, boot.what.as_str())).collect();
    assert_eq!(boot, [(None, "GRUB"), (Some(1), "GRUB (core image)")]);
}

#[test]
fn a_damaged_gpt_is_read_from_its_copy_and_says_so() {
    let mut front = gpt();
    front.write(512 + 60, &[1, 2, 3]);
    let inside = front.look();
    assert_eq!(inside.partitions.len(), 3);
    assert!(inside.table.expect("a table").notes[0].contains("at the front is damaged"));
    let mut back = gpt();
    back.write(back.length - 512, &[0; 512]);
    let inside = back.look();
    assert_eq!(inside.partitions.len(), 3);
    assert!(inside.table.expect("a table").notes[0].contains("missing or damaged"));
    let mut grown = gpt();
    grown.write(grown.length - 512, &[0; 512]);
    grown.length *= 2;
    assert!(grown.look().table.expect("a table").notes[0].contains("made larger"));
    let mut both = front.clone();
    both.write(both.length - 512, &[0; 512]);
    let table = both.look().table.expect("the protective one");
    assert_eq!(table.scheme, Scheme::Mbr);
    assert!(table.notes[0].contains("missing or damaged at both ends"));
}

/// As `sfdisk -d` prints it.
#[test]
fn an_mbr_is_read_with_its_logical_partitions() {
    let mut disk = real("mbr");
    disk.lay(2048 * 512, &real("ntfs"));
    disk.write(2048 * 512 + 392, b"\r\nBOOTMGR is missing\0\r\nPress Ctrl+Alt+Del to restart");
    disk.lay(28_672 * 512, &real("swap"));
    let inside = disk.look();
    let table = inside.table.expect("a table");
    assert_eq!((table.scheme, table.id.as_deref()), (Scheme::Mbr, Some("004e97f4")));
    assert_eq!(table.notes, Vec::<String>::new());
    let rows: Vec<_> = inside.partitions.iter().map(|p| (p.number, p.start.0 / 512, p.bytes.0 / 512)).collect();
    let wanted = [(1, 2048, 8192), (2, 10_240, 16_384), (3, 26_624, 104_448), (5, 28_672, 8192), (6, 38_912, 8192)];
    assert_eq!(rows, wanted);
    assert!(inside.partitions[0].active && inside.partitions[2].is_container);
    let kind = |n: usize| inside.partitions[n].content.as_ref().map(|content| content.kind);
    assert_eq!((kind(0), kind(1), kind(3)), (Some(Kind::Ntfs), None, Some(Kind::Swap)));
    assert_eq!(inside.boot, [Boot { partition: Some(1), what: "Windows Boot Manager (BOOTMGR)".to_owned() }]);
}

#[test]
fn a_chain_in_a_circle_ends() {
    let mut disk = Image::new(64 << 20);
    let entry = |kind: u8, first: u32, count: u32| {
        let mut entry = vec![0, 0, 0, 0, kind, 0, 0, 0];
        entry.extend(first.to_le_bytes());
        entry.extend(count.to_le_bytes());
        entry
    };
    disk.write(446, &entry(5, 2048, 100_000));
    disk.write(510, &[0x55, 0xAA]);
    disk.write(2048 * 512 + 446, &[entry(0x83, 63, 100), entry(5, 0, 100)].concat());
    disk.write(2048 * 512 + 510, &[0x55, 0xAA]);
    let inside = disk.look();
    assert_eq!(inside.partitions.len(), 2);
    assert!(inside.table.expect("a table").notes[0].contains("broken"));
}

#[test]
fn nothing_is_found_where_nothing_is() {
    for length in [0, 1, 511, 512, 4096, 1 << 40] {
        let inside = Image::new(length).look();
        assert!(inside.is_blank() && inside.boot.is_empty(), "{length}: {inside:?}");
    }
}

#[test]
fn what_a_disk_says_cannot_steer_a_terminal() {
    let mut disk = real("ext4");
    disk.write(1024 + 0x78, b"\x1b[2J\x07evil");
    let content = disk.look().content.expect("ext4");
    let label = content.label.expect("a label");
    assert!(label.chars().all(|c| !c.is_control()), "{label:?}");
    assert!(content.notes.iter().any(|note| note.contains("own sum")), "and the sum tells: {:?}", content.notes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Whatever is written over a real disk, and wherever it ends: no panic, no loop, reads within bounds.
    #[test]
    fn mutated_disks_are_survived(
        which in 0..NAMES.len(),
        over in 0..NAMES.len(),
        shift in 0u64..64,
        cut in prop::option::of(0u64..20_000_000),
        edits in prop::collection::vec((0u64..80_000, prop::collection::vec(any::<u8>(), 1..9)), 0..24),
    ) {
        let mut disk = if which % 3 == 0 { gpt() } else { real(NAMES[which]) };
        if which % 2 == 0 {
            disk.lay(shift * 65_536, &real(NAMES[over]));
        }
        for (at, bytes) in &edits {
            disk.write(*at, bytes);
        }
        if let Some(cut) = cut {
            disk.length = disk.length.min(cut);
        }
        disk.look();
    }

    /// The same for numbers that are set to extremes where numbers stand.
    #[test]
    fn extreme_numbers_are_survived(
        which in 0..NAMES.len(),
        word in 0u64..1100,
        value in prop::sample::select(vec![0u64, 1, 0x7F, 0xFF, 0xFFFF, 0x8000_0000, 0xFFFF_FFFF, u64::MAX, 1 << 63]),
        size in prop::sample::select(vec![1usize, 2, 4, 8]),
    ) {
        let mut disk = real(NAMES[which]);
        let page = disk.pages.keys().nth((word % 3) as usize).copied().unwrap_or(0);
        disk.write(page * PAGE + word * 2, &value.to_le_bytes()[..size]);
        disk.look();
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..8192)) {
        let mut disk = Image::new(bytes.len() as u64);
        disk.write(0, &bytes);
        disk.look();
        // And as metadata of LVM, which is a language of its own.
        lvm_text::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_metadata_of_lvm_is_survived(text in "[a-z0-9 {}=\\[\\],\"#\\\\\n]{0,200}") {
        lvm_text::parse(&text);
    }
}
