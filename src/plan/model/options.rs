//! What is asked for: addresses, and how hard, how far and with what to copy.

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::bandwidth::Bandwidth;
use crate::inventory::Tag;
use crate::units::Bytes;
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

impl Options {
    /// What of a budget the job may use.
    #[must_use]
    pub fn share(&self, budget: Bytes) -> Bytes {
        self.memory.map_or(budget, |own| own.min(budget))
    }
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
