//! What exists: rows of every chosen region at once, streamed page by page, remembered on disk with their date.
//!
//! A region that fails is one [`Update::RegionFailed`] with its reason; the rest goes on. Called by the
//! fronts (lists) and by `plan/` (facts of one snapshot).

pub mod archives;
mod denied;
pub mod elsewhere;
pub mod filter;
mod find;
pub mod frees;
mod known;
mod look;
pub mod relations;
mod remember;
mod stored;
pub mod verdict;

pub use crate::rows::{
    ImageDisk, ImageFacts, ImageRow, InstanceRow, Origin, RegionRow, SnapshotRow, State, Tag, Tier, VolumeRow,
};
pub use filter::{Fields, Filter};
pub use find::{find_image, find_snapshot};
pub use known::{Known, known};
pub use look::look;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ids::{Profile, Region};

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Snapshots owned by the account.
    Snapshots,
    /// Volumes.
    Volumes,
    /// Machine images owned by the account, disabled and deprecated ones too.
    Images,
    /// Instances.
    Instances,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Snapshots, Self::Volumes, Self::Images, Self::Instances];

    /// In words, plural.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshots => "snapshots",
            Self::Volumes => "volumes",
            Self::Images => "images",
            Self::Instances => "instances",
        }
    }
}

/// What to look at.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose: `None` is what counts where no profile is named.
    pub profiles: Vec<Option<Profile>>,
    /// Where.
    pub regions: Regions,
    /// What.
    pub kinds: Vec<Kind>,
    /// Tell first what an earlier look left on disk.
    pub remembered: bool,
}

/// In which regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// In all that the account has enabled; those that a policy closed lately are not asked again for a day.
    All,
    /// In these, whatever is remembered of them.
    Only(Vec<Region>),
}

/// One page of rows.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Of snapshots.
    Snapshots(Vec<SnapshotRow>),
    /// Of volumes.
    Volumes(Vec<VolumeRow>),
    /// Of images.
    Images(Vec<ImageRow>),
    /// Of instances.
    Instances(Vec<InstanceRow>),
}

impl Rows {
    /// What they are.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Snapshots(_) => Kind::Snapshots,
            Self::Volumes(_) => Kind::Volumes,
            Self::Images(_) => Kind::Images,
            Self::Instances(_) => Kind::Instances,
        }
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Snapshots(rows) => rows.len(),
            Self::Volumes(rows) => rows.len(),
            Self::Images(rows) => rows.len(),
            Self::Instances(rows) => rows.len(),
        }
    }

    /// Adds another page of the same kind; one of another kind is left out.
    pub fn append(&mut self, more: Self) {
        match (self, more) {
            (Self::Snapshots(rows), Self::Snapshots(more)) => rows.extend(more),
            (Self::Volumes(rows), Self::Volumes(more)) => rows.extend(more),
            (Self::Images(rows), Self::Images(more)) => rows.extend(more),
            (Self::Instances(rows), Self::Instances(more)) => rows.extend(more),
            _ => {}
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a running inventory tells; sent over a bounded channel, in order per (region, kind).
#[derive(Debug, Clone)]
pub enum Update {
    /// The regions of a profile's account; those that are `not-opted-in` are not asked.
    Regions(Option<Profile>, crate::ids::AccountId, Vec<RegionRow>),
    /// Remembered rows of an earlier look, with their date: shown dimmed until live rows replace them.
    Remembered(Arc<Origin>, Rows, Timestamp),
    /// A (region, kind) starts: live rows replace what is shown of it.
    Started(Arc<Origin>, Kind),
    /// One page.
    Page(Arc<Origin>, Rows),
    /// A (region, kind) is complete.
    Done(Arc<Origin>, Kind, Timestamp),
    /// A (region, kind) failed; what arrived before stands. `denied` folds regions closed by policy.
    Failed {
        /// Where.
        origin: Arc<Origin>,
        /// Of what.
        kind: Kind,
        /// Why.
        error: Error,
        /// Whether a policy closed it (remembered, folded into one line).
        denied: bool,
    },
    /// A profile could not be used at all.
    ProfileFailed(Option<Profile>, Error),
    /// Everything that was asked for was told.
    Finished,
}
