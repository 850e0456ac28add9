//! A plan: what an operation would do, as plain, hashable, serialisable data.
//!
//! The plan that is shown is the plan that runs: the engine takes a [`Plan`] by value and decides nothing
//! again. Every figure says how sure it is.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::archive::ArchiveId;
use crate::aws::{Keep, WorldId};
use crate::bandwidth::Bandwidth;
use crate::ids::{AccountId, BlockRange, ImageId, Profile, Region, SnapshotId};
use crate::inventory::{ImageDisk, Tag};
use crate::plan::copied::Action;
use crate::plan::layout::Layout;
use crate::plan::parts::Parts;
use crate::store::copies::FileId;
use crate::units::{Blocks, Bytes, Digest, Quantity, Usd};
use crate::within::Within;

/// How far a copy is proved beyond what the service checks itself (DESIGN §4, `--verify`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// Nothing is listed or read back.
    None,
    /// The destination's list equals what was written.
    #[default]
    Listing,
    /// Checksums that the service stores are compared as well.
    Checksum,
    /// Every block is read back.
    Full,
}

/// How a destination is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Through this engine, block by block.
    #[default]
    Direct,
    /// By the service.
    Native,
    /// Whichever the plan finds better.
    Auto,
}

/// Which zero blocks are left out, where that is allowed at all (DESIGN §3, rule 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OmitZeros {
    /// None.
    Off,
    /// A file's holes.
    #[default]
    Holes,
    /// Also zero blocks of files, devices and objects.
    All,
}

/// A profile of how hard to push (`--pace`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// The default trade-off.
    #[default]
    Balanced,
    /// Starts higher, ramps faster.
    Aggressive,
    /// Fewer lanes, gentler steps.
    Conservative,
    /// Fewest requests first.
    CostEfficient,
}

/// What the user asked for beside the addresses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Options {
    /// At most this many lanes (`--concurrency`).
    pub concurrency: Option<u32>,
    /// This job's share of the engine's budget (`--memory`).
    pub memory: Option<Bytes>,
    /// Bytes a second, read plus written (`--bandwidth`).
    #[serde(default)]
    pub bandwidth: Option<Bandwidth>,
    /// How hard to push.
    pub pace: Pace,
    /// Direct, native or whichever is better.
    pub strategy: Strategy,
    /// How far the copy is proved.
    pub verify: Verify,
    /// Which zeros are left out.
    pub omit_zeros: OmitZeros,
    /// Overwrite a non-empty file.
    pub force: bool,
    /// A delta is every snapshot of its lineage from the first to the last, each on its copied parent.
    #[serde(default)]
    pub chain: bool,
    /// Go on with a source that changed, labelled.
    pub allow_changed: bool,
    /// Allow an unencrypted copy of an encrypted source.
    pub allow_decrypt: bool,
    /// Tags for the results.
    pub tags: Vec<Tag>,
    /// Key for the results.
    pub kms_key: Option<String>,
    /// Description for the results.
    pub description: Option<String>,
    /// How long to wait for AWS at most, in seconds; unlimited while it reports health.
    pub wait_timeout_seconds: Option<u64>,
    /// Restore an archive though objects of it are missing.
    #[serde(default)]
    pub allow_gaps: bool,
    /// Storage class of what is written to S3.
    #[serde(default)]
    pub storage_class: Option<String>,
    /// How long AWS may take for what it copies (`--complete-within`); else it sets its own pace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_within: Option<Within>,
    /// What a copied image is called; else as its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// S3 → S3: the length of a part, when the pace is not to choose it.
    #[serde(default)]
    pub part_size: Option<Bytes>,
    /// S3 → S3: all objects below a prefix.
    #[serde(default)]
    pub recursive: bool,
    /// Of these only the ones that one of these globs matches, where there are any.
    #[serde(default)]
    pub include: Vec<String>,
    /// And never what one of these matches.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// S3 → S3: copy whatever is there already.
    #[serde(default)]
    pub force_copy: bool,
}

/// One or many sources, one or many destinations (many sources are a group: `--each`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// What to read; each is read once.
    pub sources: Vec<Address>,
    /// What to make of each source.
    pub destinations: Vec<Address>,
    /// The rest.
    pub options: Options,
}

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
    /// A raw image in S3, pinned by its ETag.
    Object {
        /// The bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// Its ETag, sent with every read.
        etag: String,
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
}

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
        /// Whether the result will be encrypted.
        encrypted: bool,
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
        /// Whether disks will be encrypted that are not yet; what is encrypted stays so.
        encrypted: bool,
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

    /// Whether its blocks pass floe at all; what AWS makes alone is not read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.destinations.iter().any(|to| to.strategy != Strategy::Native)
    }
}

/// How much something weighs, by part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryPart {
    /// `listing pages`, `blocks in flight`, …
    pub name: String,
    /// At its peak.
    pub bytes: Bytes,
    /// Whether it counts against the budget (the rest is the process's own).
    pub in_budget: bool,
}

/// Whether the memory is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// With room to spare.
    Fits,
    /// Within the last tenth.
    Tight,
    /// It does not.
    WillNotFit,
}

/// Memory of an operation at its peak; flat however large the snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryEstimate {
    /// Sum of the parts.
    pub total: Bytes,
    /// The parts.
    pub parts: Vec<MemoryPart>,
    /// The budget it runs under.
    pub budget: Bytes,
    /// The tightest outer limit: cgroup, else machine.
    pub limit: Bytes,
    /// What that limit is: `cgroup`, `machine`.
    pub limit_name: String,
    /// The verdict.
    pub fit: Fit,
    /// The same operation in ebs.py, by its own published profile.
    pub ebs_py: Quantity<Bytes>,
}

/// One line of the bill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostPart {
    /// `Get`, `Put`, `List`, `transfer out of us-east-1`, …
    pub name: String,
    /// How many of what: `31,318,565 requests`, `15,292 GiB`.
    pub quantity: f64,
    /// What one quantity is: `request`, `GiB`, `GiB-month`.
    pub unit: String,
    /// Dollars.
    pub usd: Quantity<Usd>,
    /// Whether it comes back every month.
    pub monthly: bool,
    /// Which destination it belongs to; `None` for the source.
    pub destination: Option<usize>,
}

/// What it would cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostEstimate {
    /// Once.
    pub once: Quantity<Usd>,
    /// Every month after.
    pub monthly: Quantity<Usd>,
    /// The lines.
    pub parts: Vec<CostPart>,
    /// Date of the price table.
    pub prices_as_of: String,
    /// Where floe runs, as assumed or told (`outside AWS`, a region).
    pub runs_in: String,
}

/// How long it would take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeEstimate {
    /// At best, seconds.
    pub low_seconds: f64,
    /// At worst, seconds.
    pub high_seconds: f64,
    /// What binds: `Put/s per snapshot, 1,000 (L-1774F84A)`.
    pub bound_by: String,
    /// How sure.
    pub sure: crate::units::Sure,
}

impl TimeEstimate {
    /// `8 h 42 m – 10 h 20 m`; `unknown` where AWS sets the pace.
    #[must_use]
    pub fn text(&self) -> String {
        match self.sure {
            crate::units::Sure::Unknown => "unknown".to_owned(),
            _ => crate::plan::span(self.low_seconds, self.high_seconds),
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Checked, fine.
    Passed,
    /// To know.
    Note,
    /// To think about.
    Warning,
    /// The plan cannot run.
    Refused,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// One sentence.
    pub text: String,
    /// What to do, when there is something.
    pub todo: Option<String>,
}

/// Another way to the same result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// `direct, whole`, `native CopySnapshot`, …
    pub name: String,
    /// Dollars once.
    pub once: Quantity<Usd>,
    /// Dollars a month.
    pub monthly: Quantity<Usd>,
    /// How long, in words.
    pub time: String,
    /// What it keeps: `proof`, `key`, `lineage`.
    pub keeps: String,
    /// Whether this build can run it; else why not.
    pub unavailable: Option<String>,
    /// Whether it is the one chosen.
    pub chosen: bool,
    /// How it is asked for.
    #[serde(default)]
    pub strategy: Strategy,
    /// With this time for AWS.
    #[serde(default)]
    pub complete_within: Option<Within>,
}

/// What the run is set to: computed once, here; the engine obeys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// Lanes at the start.
    pub lanes_start: u32,
    /// Lanes at most.
    pub lanes_max: u32,
    /// Listing cursors at once (1 to 16).
    pub cursors: u32,
    /// Blocks per listing page (100 to 10,000).
    pub page_size: u16,
    /// The engine budget that the plan was made for.
    pub budget: Bytes,
    /// Get requests a second at most, per snapshot: a fixed quota, or the account's where that is lower.
    pub get_per_second: f64,
    /// Put requests a second at most, per destination snapshot: likewise.
    pub put_per_second: f64,
    /// Get requests a second at most, per account and region: the quota in force.
    pub get_per_account: f64,
    /// Put requests a second at most, per account and region: the quota in force.
    pub put_per_account: f64,
}

/// What an operation would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Format version: 1.
    pub version: u32,
    /// When it was made.
    pub made: Timestamp,
    /// The world it was made in.
    pub world: WorldId,
    /// What was asked for, with every address in full.
    pub operation: Operation,
    /// One item per source.
    pub items: Vec<ItemPlan>,
    /// How it will run.
    pub choices: Choices,
    /// Memory at the peak.
    pub memory: MemoryEstimate,
    /// Money.
    pub cost: CostEstimate,
    /// Time.
    pub time: TimeEstimate,
    /// Other ways.
    pub alternatives: Vec<Alternative>,
    /// What was checked.
    pub findings: Vec<Finding>,
}
