//! What was found, as plain values; `floe inspect -o json` prints them as they are here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// Everything that was found on a disk.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Inside {
    /// How long the disk is.
    pub bytes: Bytes,
    /// Its partition table; none on a disk that is one volume.
    pub table: Option<Table>,
    /// Its partitions, in the order of the table.
    pub partitions: Vec<Partition>,
    /// What a disk without a table holds.
    pub content: Option<Content>,
    /// What could start it.
    pub boot: Vec<Boot>,
    /// What else is to be said of it.
    pub notes: Vec<String>,
}

impl Inside {
    /// Whether nothing was recognised.
    #[must_use]
    pub const fn is_blank(&self) -> bool {
        self.table.is_none() && self.content.is_none()
    }
}

/// Which kind of table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// GUID partition table.
    Gpt,
    /// The table of the PC's first sector.
    Mbr,
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its kind.
    pub scheme: Scheme,
    /// The disk's GUID or signature.
    pub id: Option<String>,
    /// What is wrong with it; empty when its sums and its second copy are right.
    pub notes: Vec<String>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number, as Linux counts.
    pub number: u32,
    /// Where it starts.
    pub start: Bytes,
    /// How long it is.
    pub bytes: Bytes,
    /// What the table says that it is for, in words; the code where nobody knows it.
    pub purpose: String,
    /// The same as the table has it: a GUID, or two hex digits.
    pub code: String,
    /// Its name, where the table has names.
    pub name: Option<String>,
    /// Its own GUID.
    pub id: Option<String>,
    /// Whether the table marks it as the one to start from.
    pub active: bool,
    /// Whether it only holds other partitions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_container: bool,
    /// What it holds.
    pub content: Option<Content>,
}

impl Partition {
    /// Whether a boot loader may lie in it without a file system.
    pub(super) fn is_bios_boot(&self) -> bool {
        self.code == super::types::BIOS_BOOT
    }
}

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Linux's second extended file system.
    Ext2,
    /// The same with a journal.
    Ext3,
    /// The same with extents.
    Ext4,
    /// The journal of an ext file system elsewhere.
    ExtJournal,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// Windows' file system.
    Ntfs,
    /// FAT with entries of 12 bits.
    Fat12,
    /// Of 16 bits.
    Fat16,
    /// Of 32 bits.
    Fat32,
    /// exFAT.
    Exfat,
    /// A physical volume of LVM.
    Lvm,
    /// Encrypted by Linux, first format.
    Luks1,
    /// Second format.
    Luks2,
    /// Linux's swap space.
    Swap,
}

impl Kind {
    /// As people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::ExtJournal => "ext journal",
            Self::Xfs => "XFS",
            Self::Btrfs => "Btrfs",
            Self::Ntfs => "NTFS",
            Self::Fat12 => "FAT12",
            Self::Fat16 => "FAT16",
            Self::Fat32 => "FAT32",
            Self::Exfat => "exFAT",
            Self::Lvm => "LVM",
            Self::Luks1 => "LUKS1",
            Self::Luks2 => "LUKS2",
            Self::Swap => "swap",
        }
    }
}

/// What a volume holds, as far as its superblock tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Its kind.
    pub kind: Kind,
    /// Its label; the name of the group for LVM.
    pub label: Option<String>,
    /// Its UUID or serial number.
    pub uuid: Option<String>,
    /// How long it says it is.
    pub bytes: Option<Bytes>,
    /// How much of it is free, where it says so.
    pub free: Option<Bytes>,
    /// Where it was mounted last.
    pub mounted_on: Option<String>,
    /// When it was made.
    pub made: Option<Timestamp>,
    /// When it was mounted last.
    pub mounted: Option<Timestamp>,
    /// When it was written to last.
    pub written: Option<Timestamp>,
    /// What else it says of itself: `clean`, the version, the cipher.
    pub notes: Vec<String>,
    /// Volumes within it (LVM).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

impl Content {
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            label: None,
            uuid: None,
            bytes: None,
            free: None,
            mounted_on: None,
            made: None,
            mounted: None,
            written: None,
            notes: Vec::new(),
            volumes: Vec::new(),
        }
    }
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// How long it is.
    pub bytes: Bytes,
    /// What it holds, where it lies in one piece on this disk.
    pub content: Option<Box<Content>>,
}

/// Something that could start the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// In which partition; none: in the first sector.
    pub partition: Option<u32>,
    /// What it is.
    pub what: String,
}
