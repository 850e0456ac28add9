//! What is made of it, on what, and the items that both make up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{SourcePlan, Strategy};
use crate::address::Address;
use crate::archive::ArchiveId;
use crate::aws::Keep;
use crate::ids::{AccountId, Profile, Region, SnapshotId};
use crate::plan::copied::Action;
use crate::plan::layout::Layout;
use crate::plan::parts::Parts;
use crate::store::copies::FileId;
use crate::units::{Blocks, Bytes};

/// Why a destination is believed to hold what a delta begins with (DESIGN §3, rule 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// floe copied it there itself, and nothing touched it since.
    Copied,
    /// `floe verify` read both, every block.
    Verified,
    /// AWS copied it there itself for floe: completed, and of equal size; no block was read.
    Native,
    /// The job before this one makes it (`--chain`).
    Before,
    /// Nobody knows: `--force` says so, and the result is only claimed.
    Forced,
}

/// What lies under what is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The parent; `None` for the result of the job before this one.
    pub id: Option<SnapshotId>,
    /// The size of its volume.
    pub volume: Bytes,
    /// Blocks that it holds at most.
    pub blocks: Blocks,
    /// Of a delta: why the parent is believed to hold its first snapshot.
    pub basis: Option<Basis>,
}

/// A file that is changed in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InPlace {
    /// Which file, in which state.
    pub file: FileId,
    /// Why it is believed to hold the delta's first snapshot.
    pub basis: Basis,
}

/// What a destination will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum DestinationKind {
    /// A new snapshot, perhaps on a parent.
    Snapshot {
        /// Volume size in GiB.
        volume_gib: u32,
        /// `Some(true)` when StartSnapshot is asked to encrypt; `None` leaves it to the account's default.
        ask_encrypted: Option<bool>,
        /// The key ARN it is asked for.
        ask_key: Option<String>,
        /// Whether the result will be encrypted; `None` where only its start tells.
        encrypted: Option<bool>,
        /// With what and why, in words.
        encryption: String,
        /// What it lies on.
        #[serde(default)]
        on: Option<Parent>,
    },
    /// A copy of an image, made by AWS with its snapshots.
    Image {
        /// Its name.
        name: String,
        /// `Some(true)` when every disk is asked to be encrypted.
        ask_encrypted: Option<bool>,
        /// The key ARN it is asked for.
        ask_key: Option<String>,
        /// Whether disks will be encrypted that are not yet (`None`: not known); what is encrypted stays so.
        encrypted: Option<bool>,
        /// With what and why, in words.
        encryption: String,
    },
    /// A file, exact length, renamed when complete; a delta changes one in its place.
    File {
        /// Where, absolute.
        path: PathBuf,
        /// Its exact length.
        length: Bytes,
        /// Whether something is replaced.
        replaces: bool,
        /// What is changed in its place, instead of made anew.
        #[serde(default)]
        onto: Option<InPlace>,
    },
    /// A block device, written in place.
    Device {
        /// Where, absolute.
        path: PathBuf,
        /// What is written of it, from its start; the rest is left as it is.
        length: Bytes,
        /// Its own size.
        size: Bytes,
        /// Which device that is, as [`SourceKind::File`] names it.
        device: u64,
        /// See `device`.
        inode: u64,
    },
    /// An archive in S3.
    Archive {
        /// The bucket.
        bucket: String,
        /// Everything of it begins with this; ends with a slash.
        root: String,
        /// Its name.
        archive: ArchiveId,
        /// For a delta, the snapshot that it goes onto.
        base: Option<SnapshotId>,
        /// How its objects are kept.
        keep: Keep,
        /// With what they are encrypted and why, in words.
        encryption: String,
    },
    /// A raw image in S3: the whole of it, zeros where nothing is listed.
    Object {
        /// The bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// How it is cut.
        layout: Layout,
        /// The ETag of what is there and will be replaced; none where there is nothing.
        replaces: Option<String>,
        /// How it is kept.
        keep: Keep,
        /// With what it is encrypted and why, in words.
        encryption: String,
    },
    /// An object in S3 that S3 copies itself: no block of it passes us.
    Copied {
        /// The bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// The version of the source that is pinned, where there are versions.
        version: Option<String>,
        /// In how many requests.
        parts: Parts,
        /// What is done.
        action: Action,
        /// With what it is encrypted and why, in words.
        encryption: String,
    },
    /// All objects below a prefix, copied likewise.
    CopiedTree {
        /// The bucket.
        bucket: String,
        /// What every key begins with instead.
        prefix: String,
        /// Whether sources are pinned by their ETags alone, because their versions may not be read.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_etag: bool,
    },
    /// Nowhere.
    Null,
}

impl DestinationKind {
    /// Whether S3 copies it itself, from another object or from many.
    #[must_use]
    pub const fn is_copied(&self) -> bool {
        matches!(self, Self::Copied { .. } | Self::CopiedTree { .. })
    }
}

/// A destination with what will happen there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DestinationPlan {
    /// As it is written in full.
    pub address: Address,
    /// Profile that writes it.
    pub profile: Option<Profile>,
    /// Region it is in.
    pub region: Option<Region>,
    /// Account that will own it.
    pub account: Option<AccountId>,
    /// What it will be.
    pub kind: DestinationKind,
    /// How it is filled.
    pub strategy: Strategy,
}

/// One source and its destinations: what becomes one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemPlan {
    /// What is read.
    pub source: SourcePlan,
    /// What is made of it.
    pub destinations: Vec<DestinationPlan>,
}

impl ItemPlan {
    /// Whether S3 does all of it, and no block passes us.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        !self.destinations.is_empty() && self.destinations.iter().all(|to| to.kind.is_copied())
    }

    /// How many archives are made of it.
    #[must_use]
    pub fn archives(&self) -> u32 {
        let archives = self.destinations.iter().filter(|to| matches!(to.kind, DestinationKind::Archive { .. }));
        u32::try_from(archives.count()).unwrap_or(u32::MAX)
    }

    /// Whether its blocks pass floe at all; what AWS makes alone is not read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.destinations.iter().any(|to| to.strategy != Strategy::Native)
    }
}
