//! The scenario file: what it may say. `assets/scenarios/README.md` is its manual.
//!
//! Everything is written relative to the moment of the start ("6h" old) and everything left out is made up from the
//! seed, so a file of a page fills six regions and always with the same ids.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;

use crate::ids::{AccountId, ImageId, Region, SnapshotId, VolumeId};
use crate::sandbox::disk::Layout;
use crate::sandbox::model::{BinKind, OptIn, PublicSharing, Tier};

/// The version of the format that this build reads.
pub const VERSION: u32 = 1;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// [`VERSION`].
    pub version: u32,
    /// What everything that is not said is made up from.
    pub seed: u64,
    /// One line for people.
    #[serde(default)]
    pub about: String,
    /// The accounts; others call them by profile, or by alias where they have none.
    pub account: Vec<AccountSpec>,
    /// Which regions which accounts have.
    pub region: Vec<RegionSpec>,
    /// Volumes and the snapshots taken of them.
    #[serde(default)]
    pub volume: Vec<VolumeSpec>,
    /// Instances.
    #[serde(default)]
    pub instance: Vec<InstanceSpec>,
    /// Machine images, made of snapshots of volumes.
    #[serde(default)]
    pub image: Vec<ImageSpec>,
    /// Launch templates.
    #[serde(default)]
    pub template: Vec<TemplateSpec>,
    /// Snapshots copied elsewhere.
    #[serde(default)]
    pub copy: Vec<CopySpec>,
    /// Buckets of S3.
    #[serde(default)]
    pub bucket: Vec<BucketSpec>,
}

/// An account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSpec {
    pub id: AccountId,
    pub alias: String,
    /// Left out for accounts that only own public things.
    #[serde(default)]
    pub profile: Option<String>,
    pub home: Region,
    /// `user/NAME` or `assumed-role/ROLE/SESSION`.
    pub user: String,
    /// When given, the keys are temporary and end then.
    #[serde(default)]
    pub session_ends: Option<Age>,
}

impl AccountSpec {
    /// What the rest of the file calls it.
    pub fn name(&self) -> &str {
        self.profile.as_deref().unwrap_or(&self.alias)
    }
}

/// A region of one or more accounts, with its settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionSpec {
    pub name: Region,
    pub accounts: Vec<String>,
    #[serde(default = "not_required")]
    pub opt_in: OptIn,
    /// Zone letters.
    #[serde(default = "three_zones")]
    pub zones: String,
    #[serde(default)]
    pub encrypt_by_default: bool,
    /// The name of the key that is then used.
    #[serde(default)]
    pub default_key: Option<String>,
    #[serde(default)]
    pub public_sharing: PublicSharing,
    /// A service control policy denies everything here.
    #[serde(default)]
    pub denied: bool,
    #[serde(default)]
    pub latency_ms: u32,
    /// Service Quotas code to value.
    #[serde(default)]
    pub quotas: BTreeMap<String, f64>,
    /// Retention rules of the Recycle Bin.
    #[serde(default)]
    pub bin: Vec<BinSpec>,
}

/// A retention rule of the Recycle Bin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinSpec {
    pub keeps: BinKind,
    pub days: u32,
    #[serde(default)]
    pub description: String,
    /// Only what has one of these tags; an empty value matches any.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Never what has one of these.
    #[serde(default)]
    pub except: BTreeMap<String, String>,
}

/// A volume, or `count` alike, and the snapshots taken of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeSpec {
    pub at: Place,
    /// `{n}` becomes its number from 1, `{word}` a word made up.
    pub name: String,
    #[serde(default = "one")]
    pub count: u32,
    #[serde(default)]
    pub id: Option<VolumeId>,
    /// One size, or several to choose from.
    pub gib: OneOf,
    #[serde(default = "gp3")]
    pub kind: String,
    #[serde(default)]
    pub iops: Option<u32>,
    #[serde(default)]
    pub throughput: Option<u32>,
    #[serde(default)]
    pub state: VolumeState,
    /// The name of the volume, further up, whose snapshot it was made from.
    #[serde(default)]
    pub from: Option<String>,
    /// Which snapshot of that; 0 is the newest.
    #[serde(default)]
    pub from_n: u32,
    /// The name of the instance that it is attached to.
    #[serde(default)]
    pub instance: Option<String>,
    #[serde(default = "sdf")]
    pub device: String,
    /// The name of the key that it is encrypted with.
    #[serde(default)]
    pub key: Option<String>,
    /// How full the volume was at its newest snapshot, 0 to 1.
    #[serde(default)]
    pub fill: Option<f64>,
    /// The same in blocks, exactly.
    #[serde(default)]
    pub blocks: Option<u32>,
    /// Blocks that each snapshot lists more than the one before.
    #[serde(default)]
    pub grows: Option<u32>,
    /// What part of the volume's pieces each snapshot finds written to, 0 to 1.
    #[serde(default)]
    pub churn: Option<f64>,
    /// What part of the blocks holds zeros.
    #[serde(default)]
    pub zeros: Option<f64>,
    /// What part of the others compresses well.
    #[serde(default)]
    pub compressible: Option<f64>,
    /// What lies in its first blocks: `linux`, `windows`, `ext4`, `xfs`, or nothing.
    #[serde(default)]
    pub inside: Layout,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub snapshots: Option<SeriesSpec>,
    /// What is special about single snapshots of the series.
    #[serde(default)]
    pub snapshot: Vec<SnapshotSpec>,
}

/// Whether a volume is still there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeState {
    /// At an instance.
    InUse,
    /// At none.
    #[default]
    Available,
    /// Deleted; only its snapshots tell of it.
    Gone,
}

/// Snapshots taken at regular times.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesSpec {
    pub count: u32,
    #[serde(default = "a_day")]
    pub every: Age,
    /// The age of the newest.
    #[serde(default = "a_day")]
    pub newest: Age,
    /// The ids of the newest, newest first; the others are made up.
    #[serde(default)]
    pub ids: Vec<SnapshotId>,
    #[serde(default)]
    pub by: Maker,
    /// Instead of the maker's own.
    #[serde(default)]
    pub description: Option<String>,
}

/// Who takes the snapshots: decides descriptions and tags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maker {
    /// A person or a script.
    #[default]
    Manual,
    /// Data Lifecycle Manager.
    Dlm,
    /// AWS Backup.
    Backup,
    /// Velero.
    Velero,
    /// The EBS CSI driver of Kubernetes.
    Csi,
}

/// One snapshot of a series that differs from the others.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotSpec {
    /// 0 is the newest.
    pub n: u32,
    #[serde(default)]
    pub age: Option<Age>,
    #[serde(default)]
    pub state: Option<StateSpec>,
    /// For a pending one, 0 to 99.
    #[serde(default)]
    pub progress: Option<u8>,
    /// For a failed one: EC2's sentence.
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub tier: Option<Tier>,
    /// EC2's word for how its last move between tiers went or goes: `archival-in-progress`, ….
    #[serde(default)]
    pub tiering: Option<String>,
    /// How it is locked: `governance`, `compliance`, `compliance-cooloff`, `expired`.
    #[serde(default)]
    pub lock: Option<String>,
    /// Letters of the zones in which it is restored fast.
    #[serde(default)]
    pub fast_restore: String,
    /// How long it has been in the Recycle Bin.
    #[serde(default)]
    pub binned: Option<Age>,
    /// Names of accounts, or `all`.
    #[serde(default)]
    pub shared: Vec<String>,
    #[serde(default)]
    pub description: Option<String>,
    /// Added to those of the series; an empty value takes one away.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateSpec {
    Pending,
    Completed,
    Error,
}

/// An instance, or `count` alike.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    pub at: Place,
    pub name: String,
    #[serde(default = "one")]
    pub count: u32,
    pub kind: String,
    /// The name of an image in the same region.
    #[serde(default)]
    pub image: Option<String>,
    #[serde(default = "running")]
    pub state: String,
    #[serde(default = "three_months")]
    pub age: Age,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// Images made of consecutive snapshots.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    pub at: Place,
    /// `{n}` becomes its number from 1, the oldest first.
    pub name: String,
    /// Names of the volumes, the root's first.
    pub of: Vec<String>,
    /// Which snapshot the newest is made of; 0 is the newest.
    #[serde(default)]
    pub n: u32,
    #[serde(default = "one")]
    pub count: u32,
    /// The ids of the newest, newest first.
    #[serde(default)]
    pub ids: Vec<ImageId>,
    /// `deregistered` leaves nothing but the snapshots' descriptions.
    #[serde(default = "available")]
    pub state: String,
    /// How long they have been deprecated.
    #[serde(default)]
    pub deprecated: Option<Age>,
    #[serde(default)]
    pub public: bool,
    /// Names of accounts that may launch them.
    #[serde(default)]
    pub shared: Vec<String>,
    /// When an instance was last launched from them.
    #[serde(default)]
    pub last_launched: Option<Age>,
    /// How long they have been in the Recycle Bin.
    #[serde(default)]
    pub binned: Option<Age>,
    /// Parameters of Systems Manager that name the newest.
    #[serde(default)]
    pub parameters: Vec<String>,
    #[serde(default = "x86_64")]
    pub architecture: String,
    #[serde(default = "linux")]
    pub platform: String,
    /// The instance that they were made of.
    #[serde(default)]
    pub instance: Option<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A launch template and its versions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSpec {
    pub at: Place,
    pub name: String,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default = "three_months")]
    pub age: Age,
    /// The number of the version that counts where none is named.
    #[serde(default = "one")]
    pub default: u32,
    /// From number 1.
    pub versions: Vec<TemplateVersionSpec>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// One version of a launch template.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateVersionSpec {
    /// The name of an image in the same region, or `resolve:ssm:NAME`.
    #[serde(default)]
    pub image: Option<String>,
    /// Names of volumes, of whose snapshots its block devices are made.
    #[serde(default)]
    pub of: Vec<String>,
    /// Which snapshot of those; 0 is the newest.
    #[serde(default)]
    pub n: u32,
    /// It was deleted: the number stays free.
    #[serde(default)]
    pub gone: bool,
}

/// Consecutive snapshots copied to another place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopySpec {
    pub from: Place,
    /// The name of the volume.
    pub of: String,
    #[serde(default)]
    pub n: u32,
    #[serde(default = "one")]
    pub count: u32,
    pub to: Place,
    #[serde(default)]
    pub ids: Vec<SnapshotId>,
    /// The name of the key there.
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default)]
    pub time_based: bool,
    #[serde(default)]
    pub shared: Vec<String>,
    /// Tags are not copied by EC2 unless asked for; these are what the copies carry beside the name.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A bucket of S3 and what is in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSpec {
    pub at: Place,
    pub name: String,
    #[serde(default = "three_months")]
    pub age: Age,
    #[serde(default)]
    pub object: Vec<ObjectSpec>,
}

/// An object: noise and zeros.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectSpec {
    pub key: String,
    pub mib: u32,
    /// What part of it is not zeros, 0 to 1.
    #[serde(default = "whole")]
    pub fill: f64,
    #[serde(default = "standard")]
    pub class: String,
    #[serde(default = "three_months")]
    pub age: Age,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// `profile@region`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Place {
    pub account: String,
    pub region: Region,
}

impl TryFrom<String> for Place {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (account, region) =
            text.rsplit_once('@').ok_or_else(|| format!("`{text}` is not a place (like prod@us-east-1)"))?;
        Ok(Self { account: account.to_owned(), region: region.parse()? })
    }
}

/// One number or several to choose from.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOf {
    One(u32),
    Several(Vec<u32>),
}

/// How long ago: a number and `m`, `h`, `d`, `w` or `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Age(pub SignedDuration);

impl TryFrom<String> for Age {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an age (like 6h, 14d or 2.1y)");
        let (number, unit) = text.char_indices().last().map(|(at, _)| text.split_at(at)).ok_or_else(wrong)?;
        let seconds = match unit {
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 7.0 * 86_400.0,
            "y" => 365.25 * 86_400.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        // A century bounds it: later arithmetic with times cannot overflow.
        let span = SignedDuration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        if span.is_negative() || span.as_hours() > 876_600 { Err(wrong()) } else { Ok(Self(span)) }
    }
}

fn one() -> u32 {
    1
}
fn not_required() -> OptIn {
    OptIn::NotRequired
}
fn three_zones() -> String {
    "abc".to_owned()
}
fn gp3() -> String {
    "gp3".to_owned()
}
fn sdf() -> String {
    "/dev/sdf".to_owned()
}
fn running() -> String {
    "running".to_owned()
}
fn available() -> String {
    "available".to_owned()
}
fn x86_64() -> String {
    "x86_64".to_owned()
}
fn linux() -> String {
    "Linux/UNIX".to_owned()
}
fn whole() -> f64 {
    1.0
}
fn standard() -> String {
    "STANDARD".to_owned()
}
fn a_day() -> Age {
    Age(SignedDuration::from_hours(24))
}
fn three_months() -> Age {
    Age(SignedDuration::from_hours(24 * 91))
}
