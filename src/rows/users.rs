//! What refers to snapshots and images, or guards them, as AWS tells it: one plain row per answer's entry.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{ImageId, SnapshotId};

/// A launch template; its versions are asked for apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRow {
    /// `lt-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The number of the version that counts where none is named.
    pub default: u64,
    /// The number of the newest version.
    pub latest: u64,
}

/// One version of a launch template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateVersionRow {
    /// `lt-…`.
    pub template: String,
    /// The template's name.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// Whether it is the one that counts where none is named.
    pub is_default: bool,
    /// The image as it is written: an id, or `resolve:ssm:…`.
    pub image: Option<String>,
    /// The snapshots of its block devices.
    pub snapshots: Vec<SnapshotId>,
}

/// A lock on a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRow {
    /// Of which snapshot.
    pub snapshot: SnapshotId,
    /// `governance`, `compliance`, `compliance-cooloff`, `expired`.
    pub state: String,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

/// Fast restore of a snapshot in a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FastRestoreRow {
    /// Of which snapshot.
    pub snapshot: SnapshotId,
    /// Where.
    pub zone: String,
    /// `enabling`, `optimizing`, `enabled`, `disabling`, `disabled`.
    pub state: String,
}

/// A move between tiers that is not simply over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TieringRow {
    /// Of which snapshot.
    pub snapshot: SnapshotId,
    /// `archival-in-progress`, `temporary-restore-completed`, ….
    pub status: String,
}

/// A resource of the account that names an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReferenceRow {
    /// Which image.
    pub image: ImageId,
    /// `ec2:Instance`, `ec2:LaunchTemplate`, `ssm:Parameter`, ….
    pub kind: String,
    /// The resource.
    pub arn: String,
}
