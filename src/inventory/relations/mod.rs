//! What refers to snapshots, volumes and images, or guards them: the facts that verdicts are drawn from.
//!
//! In two steps. Bulk describes come first: their number grows with pages. They leave candidates, and only for those
//! is asked what AWS answers one by one. Every answer keeps its date, a refusal stays a refusal ([`Told`]) and is
//! never an empty list (trap T19). Nothing is asked twice within [`FRESH`], by this process or the one before it.

mod again;
mod cached;
mod gather;
mod index;
mod narrow;
mod pace;
mod single;
mod survey;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ids::{ImageId, JobId, SnapshotId};
use crate::rows::{
    BinnedRow, FastRestoreRow, ImageReferenceRow, ImageRow, InstanceRow, LockRow, Origin, SnapshotRow, TemplateRow,
    TemplateVersionRow, TieringRow, VolumeRow,
};
use crate::store::copies::{Copied, Held};

pub use again::{Again, again};
pub(in crate::inventory) use cached::remembered_bin;
pub use index::{Index, TemplateUse, images_named};
pub use survey::{Anew, Ask, Depth, Update, survey};

/// How long an answer counts without being asked for again.
pub const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// An answer of AWS's, or why there is none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told<T> {
    /// It answered, in full.
    Known {
        /// What.
        value: T,
        /// When.
        at: Timestamp,
    },
    /// It refused, or answered in part.
    Failed {
        /// Why: AWS's words, with the action.
        error: Box<Error>,
        /// When.
        at: Timestamp,
    },
    /// It was not asked yet.
    #[default]
    Unasked,
}

impl<T> Told<T> {
    /// As it came, now.
    pub fn of(answer: Result<T>) -> Self {
        let at = crate::wall::now();
        match answer {
            Ok(value) => Self::Known { value, at },
            Err(error) => Self::Failed { error: Box::new(error), at },
        }
    }
    /// What was answered.
    pub const fn known(&self) -> Option<&T> {
        if let Self::Known { value, .. } = self { Some(value) } else { None }
    }
    /// Why not.
    pub fn error(&self) -> Option<&Error> {
        if let Self::Failed { error, .. } = self { Some(error) } else { None }
    }
    /// When it was answered or refused.
    pub const fn when(&self) -> Option<Timestamp> {
        match self {
            Self::Known { at, .. } | Self::Failed { at, .. } => Some(*at),
            Self::Unasked => None,
        }
    }
    /// Whether it counts still.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        matches!(self, Self::Known { at, .. } if crate::age::is_within(*at, now, FRESH))
    }
}

/// A thing that a job of floe's own reads, writes or lies on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobUse {
    /// `snap-…` or `ami-…`.
    pub id: String,
    /// Which job.
    pub job: JobId,
}

/// What a record of floe's says that a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Whose content it has.
    pub of: Held,
    /// The job that made it; none where `floe verify` compared the two.
    pub job: Option<JobId>,
}

/// What one account's region told.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Which.
    pub origin: Arc<Origin>,
    /// The account's own snapshots.
    pub snapshots: Told<Arc<Vec<SnapshotRow>>>,
    /// Its volumes.
    pub volumes: Told<Arc<Vec<VolumeRow>>>,
    /// Its own images, disabled and deprecated ones too.
    pub images: Told<Arc<Vec<ImageRow>>>,
    /// Its instances.
    pub instances: Told<Arc<Vec<InstanceRow>>>,
    /// What else was answered.
    pub answers: Answers,
    /// What floe's own jobs use.
    pub jobs: Told<Vec<JobUse>>,
    /// floe's records of copies, of any region; those of another world are none of this one's.
    pub copies: Arc<Vec<Copied>>,
}

/// What questions were about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// All of a region: lists are whole.
    #[default]
    Whole,
    /// A few things of it: lists hold what concerns these.
    Asked,
}

/// Everything but the lists; kept on disk with its dates.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answers {
    /// What was asked about: decides only how answers are worded.
    #[serde(skip)]
    pub scope: Scope,
    /// Launch templates.
    pub templates: Told<Vec<TemplateRow>>,
    /// The newest and the default version of each.
    pub versions: Told<Vec<TemplateVersionRow>>,
    /// All versions, of templates that have others.
    pub numbered: HashMap<String, Told<Vec<TemplateVersionRow>>>,
    /// Snapshots that everybody may read.
    pub public: Told<Vec<SnapshotId>>,
    /// Locks.
    pub locks: Told<Vec<LockRow>>,
    /// Fast restores.
    pub fast_restores: Told<Vec<FastRestoreRow>>,
    /// Moves between tiers.
    pub tierings: Told<Vec<TieringRow>>,
    /// Snapshots in the Recycle Bin.
    pub binned_snapshots: Told<Vec<BinnedRow>>,
    /// Images in the Recycle Bin.
    pub binned_images: Told<Vec<BinnedRow>>,
    /// Whom candidates are shared with.
    pub snapshot_shares: HashMap<SnapshotId, Told<Vec<String>>>,
    /// The same of images.
    pub image_shares: HashMap<ImageId, Told<Vec<String>>>,
    /// What names candidates among the images.
    pub image_references: HashMap<ImageId, Told<Vec<ImageReferenceRow>>>,
}

/// A region's facts, ready to be judged. Cheap to share.
#[derive(Debug)]
pub struct Region {
    /// What was told.
    pub facts: Facts,
    /// The same by id.
    pub index: Index,
}

impl Region {
    /// Sorts facts by id.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        let index = Index::new(&facts);
        Self { facts, index }
    }
    /// Its snapshots.
    pub fn snapshots(&self) -> &[SnapshotRow] {
        self.facts.snapshots.known().map_or(&[], |rows| rows.as_slice())
    }
    /// Its volumes.
    pub fn volumes(&self) -> &[VolumeRow] {
        self.facts.volumes.known().map_or(&[], |rows| rows.as_slice())
    }
    /// Its images.
    pub fn images(&self) -> &[ImageRow] {
        self.facts.images.known().map_or(&[], |rows| rows.as_slice())
    }
    /// The lists themselves that could not be had: what is in them is not judged at all.
    pub fn missing(&self) -> impl Iterator<Item = &Error> {
        let lists = [self.facts.snapshots.error(), self.facts.volumes.error(), self.facts.images.error()];
        lists.into_iter().flatten()
    }
}

impl TemplateRow {
    /// Whether it may have versions beside the newest and the default.
    #[must_use]
    pub const fn has_others(&self) -> bool {
        self.latest > 2 || self.latest == 2 && self.default == 2
    }
}
