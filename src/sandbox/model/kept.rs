//! What keeps or guards snapshots and images beside their owners: launch templates, locks, fast restore, the bin.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Tags;
use crate::ids::SnapshotId;

/// A launch template.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Template {
    /// `lt-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Which version counts where none is named.
    pub default: u64,
    /// All versions that are still there, ascending; the last is `$Latest`.
    pub versions: Vec<TemplateVersion>,
    /// Its tags.
    pub tags: Tags,
}

/// One version of a launch template.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TemplateVersion {
    /// From 1.
    pub number: u64,
    /// The image, as it was written: an id, or `resolve:ssm:…`.
    pub image: Option<String>,
    /// Its block devices.
    pub disks: Vec<TemplateDisk>,
}

/// A block device of a launch template.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TemplateDisk {
    /// `/dev/sdf`.
    pub device: String,
    /// The snapshot that it is made from.
    pub snapshot: Option<SnapshotId>,
}

/// A lock on a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lock {
    /// `governance`, `compliance`, `compliance-cooloff`, `expired`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// For how many days.
    pub days: u32,
    /// When it ends.
    pub expires: Timestamp,
}

/// Fast restore of a snapshot in one zone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FastRestore {
    /// `enabling`, `optimizing`, `enabled`, `disabling`, `disabled`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
}
