//! What exists, as plain rows: one type per list of the deck and of `floe ls`.
//!
//! `aws/` makes them, `inventory/` streams, remembers and filters them, everything above reads them; none of
//! them holds a type of an SDK.

mod users;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::address::{Address, Place};
use crate::ids::{AccountId, ImageId, InstanceId, Profile, Region, SnapshotId, VolumeId};
use crate::units::Bytes;

pub use users::{FastRestoreRow, ImageReferenceRow, LockRow, TemplateRow, TemplateVersionRow, TieringRow};

/// Key and value of a tag.
pub type Tag = (String, String);

/// Where a row was found: the profile that asked, its account, the region.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The profile it was listed with, when one was named.
    pub profile: Option<Profile>,
    /// The account that answered.
    pub account: AccountId,
    /// The region that answered.
    pub region: Region,
}

impl Origin {
    /// It as an address names it: what is found there can be read with the same profile.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { profile: self.profile.clone(), region: Some(self.region.clone()) }
    }
}

/// A snapshot's life, as EC2 tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Being written.
    Pending,
    /// Readable.
    Completed,
    /// Failed; the message says why.
    Error,
    /// In the Recycle Bin.
    Recoverable,
    /// On its way back from the Recycle Bin.
    Recovering,
}

/// Where a snapshot is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Incremental, readable.
    Standard,
    /// Full, to be restored before it is read.
    Archive,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotRow {
    /// Where it was found.
    pub origin: Arc<Origin>,
    /// Its id.
    pub id: SnapshotId,
    /// Its `Name` tag.
    pub name: Option<String>,
    /// Its owner.
    pub owner: AccountId,
    /// The volume it says it was made from; a placeholder for copies.
    pub volume: Option<VolumeId>,
    /// Size of the volume.
    pub size: Bytes,
    /// Size of all its blocks (`FullSnapshotSizeInBytes`), when AWS says it: full, not incremental.
    pub full: Option<Bytes>,
    /// Its state.
    pub state: State,
    /// AWS's words when the state is `Error`.
    pub state_message: Option<String>,
    /// 0 to 100 while pending.
    pub progress: Option<u8>,
    /// When it was started.
    pub started: Timestamp,
    /// Storage tier.
    pub tier: Tier,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The key, when encrypted.
    pub kms_key: Option<String>,
    /// Equal ids mean one lineage (encrypted snapshots only).
    pub data_key_id: Option<String>,
    /// Its description.
    pub description: String,
    /// All its tags.
    pub tags: Vec<Tag>,
}

impl SnapshotRow {
    /// The snapshot as a source.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::Snapshot(self.origin.place(), self.id.clone())
    }
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeRow {
    /// Where it was found.
    pub origin: Arc<Origin>,
    /// Its id.
    pub id: VolumeId,
    /// Its `Name` tag.
    pub name: Option<String>,
    /// Its size.
    pub size: Bytes,
    /// `gp3`, `io2`, …
    pub kind: String,
    /// `available`, `in-use`, …
    pub state: String,
    /// Availability zone.
    pub zone: String,
    /// What it is attached to.
    pub attached_to: Vec<InstanceId>,
    /// The snapshot it was made from.
    pub snapshot: Option<SnapshotId>,
    /// Provisioned IOPS, where the type has them.
    pub iops: Option<u32>,
    /// Provisioned MiB/s, where the type has them.
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// When it was made.
    pub created: Timestamp,
    /// All its tags.
    pub tags: Vec<Tag>,
}

/// One machine image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageRow {
    /// Where it was found.
    pub origin: Arc<Origin>,
    /// Its id.
    pub id: ImageId,
    /// Its name.
    pub name: String,
    /// `available`, `disabled`, …
    pub state: String,
    /// Its owner.
    pub owner: AccountId,
    /// `x86_64`, `arm64`.
    pub architecture: String,
    /// `Linux/UNIX`, `Windows`, …
    pub platform: String,
    /// Whether it is public.
    pub public: bool,
    /// The snapshots of its block devices.
    pub snapshots: Vec<SnapshotId>,
    /// Sum of its volumes' sizes.
    pub size: Bytes,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When it was deprecated, or will be.
    pub deprecated: Option<Timestamp>,
    /// When it was launched last (24 h late).
    pub last_launched: Option<Timestamp>,
    /// Its description.
    pub description: String,
    /// All its tags.
    pub tags: Vec<Tag>,
}

/// One disk of an image that is made from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageDisk {
    /// `/dev/xvda`.
    pub device: String,
    /// What it is made from.
    pub snapshot: SnapshotId,
    /// The size of the volume that it becomes.
    pub size: Bytes,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// All blocks of the snapshot, when AWS says it.
    #[serde(default)]
    pub full: Option<Bytes>,
}

/// One image in full: what a copy of it has to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageFacts {
    /// As it is listed.
    pub row: ImageRow,
    /// Its disks that are made from snapshots, as it maps them.
    pub disks: Vec<ImageDisk>,
    /// What launching it is billed as: `RunInstances:0002` is Windows.
    pub usage: String,
    /// Codes of what is sold with it, as the Marketplace's.
    pub product_codes: Vec<String>,
    /// AWS's words when it failed.
    pub reason: Option<String>,
    /// What else makes it what it is, by name: a copy has the same.
    pub properties: Vec<(&'static str, String)>,
}

/// What launching costs where nothing is billed beside the instance.
const PLAIN_USAGE: &str = "RunInstances";

impl ImageFacts {
    /// What is billed by codes that only CopyImage keeps; `None` for plain Linux.
    #[must_use]
    pub fn billing(&self) -> Option<String> {
        let usage = (!self.usage.is_empty() && self.usage != PLAIN_USAGE).then(|| self.usage.clone());
        let codes: Vec<String> = usage.into_iter().chain(self.product_codes.iter().cloned()).collect();
        let plain = matches!(self.row.platform.as_str(), "" | "Linux/UNIX");
        match (plain, codes.is_empty()) {
            (true, true) => None,
            (false, true) => Some(self.row.platform.clone()),
            _ => Some(format!("{}, {}", self.row.platform, codes.join(", "))),
        }
    }
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceRow {
    /// Where it was found.
    pub origin: Arc<Origin>,
    /// Its id.
    pub id: InstanceId,
    /// Its `Name` tag.
    pub name: Option<String>,
    /// `running`, `stopped`, …
    pub state: String,
    /// `m7i.large`, …
    pub kind: String,
    /// The image it was launched from.
    pub image: Option<ImageId>,
    /// Its volumes.
    pub volumes: Vec<VolumeId>,
    /// When it was launched.
    pub launched: Option<Timestamp>,
    /// All its tags.
    pub tags: Vec<Tag>,
}

/// A retention rule of the Recycle Bin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinRule {
    /// Its id.
    pub id: String,
    /// For how many days it keeps what is deleted.
    pub days: u32,
    /// Only what has one of these tags (without a value: whatever its value); none: everything of the region.
    pub tags: Vec<(String, Option<String>)>,
    /// Never what has one of these.
    pub except: Vec<(String, Option<String>)>,
}

impl BinRule {
    /// Whether it keeps what has these tags.
    #[must_use]
    pub fn matches(&self, tags: &[Tag]) -> bool {
        let has = |(key, value): &(String, Option<String>)| {
            tags.iter().any(|(k, v)| k == key && value.as_ref().is_none_or(|value| value == v))
        };
        (self.tags.is_empty() || self.tags.iter().any(has)) && !self.except.iter().any(has)
    }
}

/// A snapshot or an image in the Recycle Bin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinnedRow {
    /// Where it was found.
    pub origin: Arc<Origin>,
    /// Its id.
    pub id: String,
    /// An image's name; snapshots tell none here.
    pub name: Option<String>,
    /// Its description.
    pub description: String,
    /// The volume that a snapshot was made from.
    pub volume: Option<VolumeId>,
    /// Since when it is there.
    pub entered: Option<Timestamp>,
    /// When it is gone for good.
    pub exits: Option<Timestamp>,
}

/// One region of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionRow {
    /// Its name.
    pub name: Region,
    /// `opt-in-not-required`, `opted-in`, `not-opted-in`.
    pub opt_in: String,
}

impl RegionRow {
    /// Whether the account can be asked there.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.opt_in != "not-opted-in"
    }
}
