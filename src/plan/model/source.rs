//! What is read, and what pins it (DESIGN §3, rule 8).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::ids::{AccountId, BlockRange, ImageId, Profile, Region, SnapshotId};
use crate::inventory::{ImageDisk, Tag};
use crate::units::{Blocks, Bytes, Digest, Quantity};

/// What pins a source (DESIGN §3, rule 8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum SourceKind {
    /// A snapshot: immutable, pinned by its id.
    Snapshot {
        /// Its id.
        id: SnapshotId,
        /// Whether it is encrypted.
        encrypted: bool,
        /// Its key.
        kms_key: Option<String>,
    },
    /// A machine image that AWS copies as one; what else is made of it is made of its one snapshot. Pinned by its id.
    Image {
        /// Its id.
        id: ImageId,
        /// The snapshots that it is made of.
        disks: Vec<ImageDisk>,
        /// Whether one of them is encrypted.
        encrypted: bool,
        /// What is billed by its codes.
        billing: Option<String>,
    },
    /// What changed from one snapshot to a later one of its lineage: pinned by both ids.
    Delta {
        /// The snapshot that whoever takes it must hold.
        first: SnapshotId,
        /// What it holds afterwards.
        second: SnapshotId,
        /// Whether the second is encrypted.
        encrypted: bool,
        /// Its key.
        kms_key: Option<String>,
    },
    /// A file, pinned by what `stat` says, or a block device, pinned by which one it is.
    File {
        /// Where it is, absolute.
        path: PathBuf,
        /// Device number; of a block device with a serial number 0.
        device: u64,
        /// Inode; of a block device a digest of its serial number, or the number of its attachment.
        inode: u64,
        /// Its length in bytes.
        length: Bytes,
        /// Modification time, nanoseconds since the epoch.
        mtime_ns: i64,
        /// Change time, nanoseconds since the epoch.
        ctime_ns: i64,
    },
    /// A raw image in S3, pinned by its ETag, and by its version where there is one that may be read.
    Object {
        /// The bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// Its ETag, sent with every read.
        etag: String,
        /// Its version, where the bucket keeps versions: what is read, whatever is written to the key meanwhile.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        /// Its length.
        length: Bytes,
    },
    /// All objects below a prefix, each pinned by its ETag when its turn comes.
    Prefix {
        /// The bucket.
        bucket: String,
        /// Every key begins with it; what follows is kept.
        prefix: String,
        /// How many are meant, as far as they were counted.
        objects: u64,
        /// In how many requests they would be copied, uploads begun and ended.
        requests: u64,
        /// Whether all were counted.
        counted: bool,
    },
    /// A folder that flexible-snapshot-proxy wrote, pinned by the names in it.
    Fsp {
        /// The bucket.
        bucket: String,
        /// The folder: ends with a slash.
        folder: String,
        /// The snapshot that it is of.
        snapshot: SnapshotId,
        /// SHA-256 over its names and lengths.
        listing: Digest,
        /// Its longest segment, packed and unpacked together.
        largest: Bytes,
        /// How many there are: the name of each is kept while they are read. Plans of before do not say.
        #[serde(default, skip_serializing_if = "is_default")]
        segments: u64,
        /// Whether some of the volume is covered by no segment.
        gaps: bool,
    },
    /// Archives in S3, pinned by their manifests: a whole one, and the deltas that go onto it.
    Archive {
        /// The bucket.
        bucket: String,
        /// The oldest first.
        layers: Vec<ArchiveLayer>,
        /// Whether what was archived was encrypted.
        encrypted: bool,
        /// The snapshot whose content it is.
        snapshot: Option<SnapshotId>,
        /// Where nothing of the volume is stored, when all of that is known: what is written whole of it needs zeros.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bare: Option<Vec<BlockRange>>,
    },
}

/// One archive of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveLayer {
    /// Where it is: ends with a slash.
    pub root: String,
    /// SHA-256 of its manifest.
    pub manifest: Digest,
    /// Ranges that hold the blocks whose objects are missing, left out because the user said so.
    pub gaps: Vec<BlockRange>,
    /// Bytes of its index; 0 in plans of older versions.
    #[serde(default, skip_serializing_if = "is_default")]
    pub index: Bytes,
    /// Chunks of its index, each read by a request; likewise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub chunks: u32,
}

/// What plans of before do not have is not written for them either: their jobs know their source by its text.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl SourceKind {
    /// Whether its blocks come from a snapshot, over the network.
    #[must_use]
    pub const fn is_snapshot(&self) -> bool {
        matches!(self, Self::Snapshot { .. } | Self::Delta { .. } | Self::Image { .. })
    }

    /// Whether what it reads is encrypted at rest.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        matches!(
            self,
            Self::Snapshot { encrypted: true, .. }
                | Self::Image { encrypted: true, .. }
                | Self::Delta { encrypted: true, .. }
                | Self::Archive { encrypted: true, .. }
        )
    }

    /// The snapshot that a destination holds once it has taken all of this.
    #[must_use]
    pub fn snapshot(&self) -> Option<&SnapshotId> {
        match self {
            Self::Image { disks, .. } => match disks.as_slice() {
                [disk] => Some(&disk.snapshot),
                _ => None,
            },
            Self::Snapshot { id, .. } | Self::Delta { second: id, .. } => Some(id),
            // Of an archive, the region that its snapshot was in is not known any more.
            _ => None,
        }
    }

    /// The snapshot that a destination must hold before it takes this.
    #[must_use]
    pub const fn base(&self) -> Option<&SnapshotId> {
        match self {
            Self::Delta { first, .. } => Some(first),
            _ => None,
        }
    }
}

/// A source with its facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourcePlan {
    /// As it is written in full: profile, region, id.
    pub address: Address,
    /// Profile that reads it.
    pub profile: Option<Profile>,
    /// Region it is in.
    pub region: Option<Region>,
    /// Account that reads it.
    pub account: Option<AccountId>,
    /// What pins it.
    pub kind: SourceKind,
    /// Its `Name`, for people.
    pub name: Option<String>,
    /// Tags that are carried over (`aws:*` left out).
    pub tags: Vec<Tag>,
    /// Size of the volume.
    pub volume: Bytes,
    /// Blocks that will be read: exact when counted, at most before.
    pub blocks: Quantity<Blocks>,
    /// Of an object or an archive: its storage class, where it is not STANDARD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}
