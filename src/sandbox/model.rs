//! What the embedded AWS holds: accounts, their regions, and the resources in each.
//!
//! One [`Model`] stands behind one lock ([`super::Sandbox::model`]). A scenario fills it at start, the journal of
//! earlier runs is replayed over it, and the handlers read and change it. Maps are ordered by id, so that a page
//! token is simply the last id that was shown and a page costs its own length, also with 200,000 snapshots.

mod kept;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::s3::seed::BucketSeed;
use crate::ids::{AccountId, ImageId, InstanceId, Profile, Region, SnapshotId, VolumeId};
use crate::units::{Blocks, Bytes};

pub use kept::{FastRestore, Lock, Template, TemplateDisk, TemplateVersion};

/// Tags of a resource; EC2 answers them in no particular order. Shared until changed (`Arc::make_mut`): the
/// snapshots of a chain carry the same ones, and a copy each would be most of the memory of 200,000 snapshots.
pub type Tags = Arc<BTreeMap<String, String>>;

/// Everything there is.
#[derive(Debug, Default)]
pub struct Model {
    /// By account id.
    pub accounts: BTreeMap<AccountId, Account>,
    /// The buckets that the scenario brings; what became of them is the store of S3's affair.
    pub buckets: Vec<BucketSeed>,
}

/// One account and the one profile that a client reaches it by.
#[derive(Debug)]
pub struct Account {
    /// Twelve digits.
    pub id: AccountId,
    /// The account's alias, as the console shows it.
    pub alias: String,
    /// The profile name under which [`super::profiles`] hands its first key out; `None` for an account that only
    /// owns what others see, as Amazon's.
    pub profile: Option<Profile>,
    /// The region of that profile.
    pub home: Region,
    /// The IAM user or role behind the keys; its ARN answers GetCallerIdentity.
    pub user: String,
    /// Long-lived and session keys that sign for the account. Never empty where there is a profile.
    pub keys: Vec<AccessKey>,
    /// By region name; also the ones that are not opted in.
    pub regions: BTreeMap<Region, RegionState>,
}

/// One access key.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// `AKIA…` or, with a session, `ASIA…`.
    pub id: String,
    /// What signs.
    pub secret: String,
    /// Set for temporary credentials.
    pub session: Option<Session>,
}

/// The second half of temporary credentials.
#[derive(Debug, Clone)]
pub struct Session {
    /// The value of `x-amz-security-token`.
    pub token: String,
    /// After this, requests are refused as expired.
    pub expires: Timestamp,
}

/// Whether an account may use a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptIn {
    /// Open to everyone.
    NotRequired,
    /// Asked for and granted.
    OptedIn,
    /// Closed: every call signed for it is refused.
    NotOptedIn,
}

/// One account's share of one region.
#[derive(Debug)]
pub struct RegionState {
    /// Its name.
    pub name: Region,
    /// Whether the account may use it.
    pub opt_in: OptIn,
    /// Zone letters: `['a', 'b', 'c']`.
    pub zones: Vec<char>,
    /// Settings of the account in the region.
    pub settings: Settings,
    /// By id.
    pub snapshots: BTreeMap<SnapshotId, Snapshot>,
    /// By id.
    pub volumes: BTreeMap<VolumeId, Volume>,
    /// By id.
    pub images: BTreeMap<ImageId, Image>,
    /// By id.
    pub instances: BTreeMap<InstanceId, Instance>,
    /// Deleted snapshots that a rule of the Recycle Bin keeps: nothing else sees them.
    pub bin: BTreeMap<SnapshotId, (InBin, Snapshot)>,
    /// Launch templates by id.
    pub templates: BTreeMap<String, Template>,
    /// Locks by the snapshot that they hold.
    pub locks: BTreeMap<SnapshotId, Lock>,
    /// Fast restores by snapshot and zone.
    pub fast_restores: BTreeMap<(SnapshotId, String), FastRestore>,
    /// Parameters of Systems Manager that name an image.
    pub parameters: BTreeMap<String, ImageId>,
}

impl RegionState {
    /// An empty region.
    #[must_use]
    pub fn new(name: Region, opt_in: OptIn) -> Self {
        Self {
            name,
            opt_in,
            zones: vec!['a', 'b', 'c'],
            settings: Settings::default(),
            snapshots: BTreeMap::new(),
            volumes: BTreeMap::new(),
            images: BTreeMap::new(),
            instances: BTreeMap::new(),
            bin: BTreeMap::new(),
            templates: BTreeMap::new(),
            locks: BTreeMap::new(),
            fast_restores: BTreeMap::new(),
            parameters: BTreeMap::new(),
        }
    }
}

/// Settings of an account in a region.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Whether every new snapshot and volume is encrypted.
    pub encrypt_by_default: bool,
    /// The default key for EBS, where it is not `alias/aws/ebs`.
    pub default_key_arn: Option<String>,
    /// Whether a service control policy denies the account everything in EC2 and EBS here.
    pub denied: bool,
    /// What EC2 does about snapshots that are shared with everybody.
    #[serde(default)]
    pub public_sharing: PublicSharing,
    /// How much later than elsewhere every answer from here comes.
    pub latency_ms: u32,
    /// Service Quotas code to value, where it differs from the default of `quotas`.
    pub quotas: BTreeMap<String, f64>,
    /// The retention rules of the Recycle Bin.
    #[serde(default)]
    pub bin_rules: Vec<BinRule>,
}

/// Block public access for snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublicSharing {
    /// Nothing is blocked.
    #[default]
    Unblocked,
    /// What is public stays so; nothing becomes public.
    BlockNewSharing,
    /// What was made public is treated as private.
    BlockAllSharing,
}

impl PublicSharing {
    /// EC2's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unblocked => "unblocked",
            Self::BlockNewSharing => "block-new-sharing",
            Self::BlockAllSharing => "block-all-sharing",
        }
    }
}

/// What a retention rule of the Recycle Bin keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinKind {
    /// `EBS_SNAPSHOT`.
    Snapshots,
    /// `EC2_IMAGE`.
    Images,
    /// `EBS_VOLUME`.
    Volumes,
}

/// A retention rule of the Recycle Bin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinRule {
    /// Eleven letters and digits.
    pub id: String,
    /// What it keeps.
    pub keeps: BinKind,
    /// For how long, in days.
    pub days: u32,
    /// Free text.
    pub description: String,
    /// Only what has one of these tags; none: everything of the region. A tag without a value matches any.
    pub tags: Vec<(String, Option<String>)>,
    /// Of everything, never what has one of these.
    pub except: Vec<(String, Option<String>)>,
}

impl BinRule {
    /// Whether it keeps a thing with these tags.
    #[must_use]
    pub fn matches(&self, keeps: BinKind, tags: &Tags) -> bool {
        let has = |(key, value): &(String, Option<String>)| {
            tags.get(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        self.keeps == keeps && (self.tags.is_empty() || self.tags.iter().any(has)) && !self.except.iter().any(has)
    }
}

/// How long a thing is in the Recycle Bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InBin {
    /// Since when.
    pub entered: Timestamp,
    /// Until when; then it is gone.
    pub exits: Timestamp,
}

/// How far a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "message")]
pub enum SnapshotState {
    /// Being written, or being finished after CompleteSnapshot.
    Pending,
    /// Readable.
    Completed,
    /// Dead, and why (EC2's `StateMessage`).
    Error(String),
}

impl SnapshotState {
    /// As EC2 and EBS direct spell it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Error(_) => "error",
        }
    }
}

/// Where a snapshot is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Readable at once.
    #[default]
    Standard,
    /// Must be restored before it is read.
    Archive,
}

/// What a snapshot or volume is encrypted with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// The full ARN of the KMS key.
    pub key_arn: String,
    /// EC2's `DataEncryptionKeyId`: equal within one lineage.
    pub data_key_id: String,
}

/// Whom a snapshot is shared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// Everyone: `Group=all`.
    All,
    /// One account.
    Account(AccountId),
}

/// What EBS direct remembers of a snapshot that was started through it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The snapshot that it lies on.
    pub parent: Option<SnapshotId>,
    /// Minutes without a write after which it fails.
    pub timeout_minutes: u32,
    /// The client token of its StartSnapshot and a fingerprint of the parameters that came with it.
    pub client_token: Option<(String, u64)>,
    /// Set by CompleteSnapshot: when it settles, and into what. Until then the snapshot takes blocks.
    pub settles: Option<(Timestamp, SnapshotState)>,
    /// The count that CompleteSnapshot was given.
    pub completed_with: Option<u64>,
}

/// A copy under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copying {
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub settles: Timestamp,
    /// What becomes of it then.
    pub into: SnapshotState,
    /// The minutes that were asked for.
    pub minutes: Option<u32>,
}

/// One snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Who owns it.
    pub owner: AccountId,
    /// The volume that it was taken of; `vol-ffffffff` for copies and for what EBS direct started.
    pub volume_id: VolumeId,
    /// When it was started.
    pub started: Timestamp,
    /// When it was completed.
    pub completed: Option<Timestamp>,
    /// How far it is.
    pub state: SnapshotState,
    /// 0 to 100.
    pub progress: u8,
    /// The size of the volume in GiB.
    pub size_gib: u32,
    /// Free text.
    pub description: String,
    /// Its tags.
    pub tags: Tags,
    /// Set when encrypted.
    pub encryption: Option<Encryption>,
    /// Where it is stored.
    pub tier: Tier,
    /// EC2's `TransferType` of copies: `standard` or `time-based`.
    pub transfer_type: Option<String>,
    /// Whom it is shared with.
    pub shared: Vec<Share>,
    /// Set when EBS direct started it.
    pub upload: Option<Upload>,
    /// EC2's `LastTieringOperationStatus`, where somebody moved it between tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiering: Option<String>,
    /// When its last move to the archive tier was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<Timestamp>,
    /// Set for as long as AWS copies it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copying: Option<Copying>,
    /// Its blocks.
    #[serde(skip)]
    pub content: Content,
}

impl Snapshot {
    /// EC2's `FullSnapshotSizeInBytes`: all blocks that it lists.
    #[must_use]
    pub fn full_size(&self) -> Bytes {
        self.content.listed().bytes()
    }
    /// How much of it is there at `now`, 0 to 100.
    #[must_use]
    pub fn progress_at(&self, now: Timestamp) -> u8 {
        let Some(copying) = self.copying.as_ref().filter(|_| self.state == SnapshotState::Pending) else {
            return self.progress;
        };
        let ms = |at: Timestamp| at.as_millisecond() - copying.since.as_millisecond();
        u8::try_from(ms(now) * 100 / ms(copying.settles).max(1)).unwrap_or(0).min(99)
    }
    /// The blocks of the volume.
    #[must_use]
    pub const fn volume_blocks(&self) -> Blocks {
        Blocks(self.size_gib as u64 * 2048)
    }
    /// Whether another account may read it (EBS direct refuses public ones to others).
    #[must_use]
    pub fn is_shared_with(&self, account: &AccountId) -> bool {
        self.shared.iter().any(|share| matches!(share, Share::Account(id) if id == account))
    }
}

/// One volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// GiB.
    pub size_gib: u32,
    /// `gp3`, `io2`, …
    pub kind: String,
    /// Provisioned or baseline IOPS.
    pub iops: Option<u32>,
    /// MiB/s, for gp3.
    pub throughput: Option<u32>,
    /// `creating`, `available`, `in-use`, `deleting`, `error`.
    pub state: String,
    /// The zone: `eu-west-1a`.
    pub zone: String,
    /// The snapshot that it was made from.
    pub snapshot: Option<SnapshotId>,
    /// When it was made.
    pub created: Timestamp,
    /// Set when encrypted.
    pub encryption: Option<Encryption>,
    /// To which instances it is attached.
    pub attachments: Vec<Attachment>,
    /// Its tags.
    pub tags: Tags,
}

/// A volume at an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attachment {
    /// The instance.
    pub instance: InstanceId,
    /// `/dev/xvda`.
    pub device: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether it goes with the instance.
    pub delete_on_termination: bool,
}

/// One machine image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Who owns it.
    pub owner: AccountId,
    /// `available`, `pending`, `disabled`, `deregistered`, `failed`.
    pub state: String,
    /// When it was made.
    pub created: Timestamp,
    /// From when it counts as deprecated.
    pub deprecated: Option<Timestamp>,
    /// `x86_64`, `arm64`.
    pub architecture: String,
    /// `Linux/UNIX`, `Windows`.
    pub platform: String,
    /// `/dev/xvda`.
    pub root_device: String,
    /// Whether everyone may launch it.
    pub public: bool,
    /// The instance that it was made of.
    pub source_instance: Option<InstanceId>,
    /// When an instance was last launched from it.
    #[serde(default)]
    pub last_launched: Option<Timestamp>,
    /// The client token of the CopyImage that made it.
    #[serde(default)]
    pub client_token: Option<String>,
    /// A fingerprint of what that CopyImage asked for.
    #[serde(default)]
    pub token_print: u64,
    /// Other accounts that may launch it.
    #[serde(default)]
    pub launchers: Vec<AccountId>,
    /// What launching it is billed as, where the platform does not tell.
    #[serde(default)]
    pub usage: Option<String>,
    /// Codes of what is sold with it.
    #[serde(default)]
    pub product_codes: Vec<String>,
    /// Set while it is deregistered and the Recycle Bin keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binned: Option<InBin>,
    /// What it would attach.
    pub mappings: Vec<Mapping>,
    /// Its tags.
    pub tags: Tags,
}

impl Image {
    /// `RunInstances` and the code of what is billed beside the instance.
    #[must_use]
    pub fn usage(&self) -> &str {
        let windows = self.platform.starts_with("Windows");
        self.usage.as_deref().unwrap_or(if windows { "RunInstances:0002" } else { "RunInstances" })
    }
    /// Whether an account may launch it.
    #[must_use]
    pub fn is_for(&self, account: &AccountId) -> bool {
        self.public || self.owner == *account || self.launchers.contains(account)
    }
}

/// One block device of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mapping {
    /// `/dev/xvda`.
    pub device: String,
    /// The snapshot that the volume is made from.
    pub snapshot: Option<SnapshotId>,
    /// GiB.
    pub size_gib: u32,
    /// `gp3`, …
    pub kind: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Whether it goes with the instance.
    pub delete_on_termination: bool,
}

/// One instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The image that it was launched from.
    pub image: ImageId,
    /// `m6i.xlarge`.
    pub kind: String,
    /// `pending`, `running`, `stopping`, `stopped`, `shutting-down`, `terminated`.
    pub state: String,
    /// The zone.
    pub zone: String,
    /// When it was launched.
    pub launched: Timestamp,
    /// Its private address.
    pub private_ip: String,
    /// `/dev/xvda`.
    pub root_device: String,
    /// Its volumes by device.
    pub volumes: Vec<(String, VolumeId)>,
    /// Its tags.
    pub tags: Tags,
}

impl Model {
    /// One account's share of one region.
    #[must_use]
    pub fn region(&self, account: &AccountId, region: &Region) -> Option<&RegionState> {
        self.accounts.get(account)?.regions.get(region)
    }
    /// The same, to be changed.
    pub fn region_mut(&mut self, account: &AccountId, region: &Region) -> Option<&mut RegionState> {
        self.accounts.get_mut(account)?.regions.get_mut(region)
    }
    /// A snapshot that `account` may read there: its own, or one shared with it.
    #[must_use]
    pub fn readable(&self, account: &AccountId, region: &Region, id: &SnapshotId) -> Option<&Snapshot> {
        if let Some(own) = self.region(account, region).and_then(|r| r.snapshots.get(id)) {
            return Some(own);
        }
        self.accounts
            .values()
            .filter_map(|other| other.regions.get(region)?.snapshots.get(id))
            .find(|found| found.is_shared_with(account))
    }
    /// The account and key that sign as `access_key_id`.
    #[must_use]
    pub fn key(&self, access_key_id: &str) -> Option<(&Account, &AccessKey)> {
        self.accounts.values().find_map(|account| {
            let key = account.keys.iter().find(|key| key.id == access_key_id)?;
            Some((account, key))
        })
    }
}
