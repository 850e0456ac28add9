//! A removal plan as plain, hashable, serialisable data.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::sums::{Summary, Together};
use super::target::Target;
use crate::aws::WorldId;
use crate::error::{Error, Result};
use crate::grant::{Call, Grant, short_hash};
use crate::ids::{ImageId, SnapshotId};
use crate::inventory::frees::{Billed, billed_until};
use crate::inventory::verdict::Judged;
use crate::plan::Plan;
use crate::rows::Tier;
use crate::units::{Bytes, Digest};

/// The version of the file's format; another one is refused.
pub const VERSION: u32 = 2;

/// What whoever plans asks for beside the things themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wishes {
    /// Snapshots are archived there first: `s3://bucket/prefix/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_to: Option<String>,
    /// Only these of them; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archive_only: Vec<SnapshotId>,
    /// A snapshot of each volume is made first.
    #[serde(default)]
    pub snapshot_first: bool,
    /// Snapshots of the images go with them.
    #[serde(default)]
    pub with_snapshots: bool,
    /// What is unknown is accepted: said by whoever knows more than floe can see.
    #[serde(default)]
    pub accept_unknown: bool,
}

/// Why an item is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why", content = "text")]
pub enum Skip {
    /// Something refers to it.
    InUse(String),
    /// Another service looks after it, and removes it where it should be removed.
    Managed(String),
    /// Locked, shared, in fast restore, or kept by the policy.
    Protected(String),
    /// A rule could not be answered.
    Unknown(String),
    /// It is not there, or not this account's.
    Gone(String),
    /// Its state forbids it.
    State(String),
}

impl Skip {
    /// In one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::InUse(_) => "in use",
            Self::Managed(_) => "managed",
            Self::Protected(_) => "protected",
            Self::Unknown(_) => "unknown",
            Self::Gone(_) => "not there",
            Self::State(_) => "state",
        }
    }

    /// In a sentence.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::InUse(text)
            | Self::Managed(text)
            | Self::Protected(text)
            | Self::Unknown(text)
            | Self::Gone(text)
            | Self::State(text) => text,
        }
    }
}

/// What would happen to an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Would {
    /// A snapshot or a volume is deleted.
    Delete,
    /// A snapshot is archived, that is proved, then it is deleted.
    ArchiveThenDelete,
    /// A snapshot of a volume is made and complete, then the volume is deleted.
    SnapshotThenDelete,
    /// An image is deregistered.
    Deregister,
    /// Nothing.
    Skip(Skip),
}

impl Would {
    /// In a word, as the deck and the tables show it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::ArchiveThenDelete => "archive→delete",
            Self::SnapshotThenDelete => "snapshot→delete",
            Self::Deregister => "deregister",
            Self::Skip(_) => "skip",
        }
    }

    /// Whether something would be gone.
    #[must_use]
    pub const fn removes(&self) -> bool {
        !matches!(self, Self::Skip(_))
    }
}

/// Whether and until when it can be had back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "back")]
pub enum Back {
    /// The Recycle Bin keeps it so long after its deletion.
    Bin {
        /// Days.
        days: u32,
        /// The rule that keeps it.
        rule: String,
    },
    /// From the archive that is made of it first, and from the bin meanwhile, where a rule keeps it.
    Archive {
        /// Where.
        to: String,
        /// Days in the bin, if any.
        days: Option<u32>,
    },
    /// From the snapshot that is made of it first.
    Snapshot,
    /// It cannot be had back, and why.
    Final {
        /// `no rule of the Recycle Bin keeps it`, …
        why: String,
    },
    /// Nothing happens to it.
    Untouched,
}

impl Back {
    /// Whether it cannot be brought back.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Final { .. })
    }

    /// Days in the bin, if any: it is billed until they are over.
    #[must_use]
    pub const fn days(&self) -> Option<u32> {
        match self {
            Self::Bin { days, .. } => Some(*days),
            Self::Archive { days, .. } => *days,
            Self::Snapshot | Self::Final { .. } | Self::Untouched => None,
        }
    }

    /// Until when the bin keeps what is deleted at `at`.
    #[must_use]
    pub fn until(&self, at: Timestamp) -> Option<Timestamp> {
        let days = self.days()?;
        at.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok()
    }

    /// `18 Dec bin`, `S3 archive`, `its snapshot`, `FINAL`.
    #[must_use]
    pub fn text(&self, at: Timestamp) -> String {
        match self {
            Self::Bin { .. } => {
                self.until(at).map_or_else(|| "bin".to_owned(), |until| format!("{} bin", until.strftime("%-d %b %Y")))
            }
            Self::Archive { .. } => "S3 archive".to_owned(),
            Self::Snapshot => "its snapshot".to_owned(),
            Self::Final { .. } => "FINAL".to_owned(),
            Self::Untouched => "–".to_owned(),
        }
    }
}

/// One thing of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// What.
    pub target: Target,
    /// The verdict, with its evidence, as it was when the plan was made.
    pub judged: Judged,
    /// The size of the volume, or of the image's volumes.
    pub size: Bytes,
    /// What would happen.
    pub would: Would,
    /// Whether it can be had back.
    pub back: Back,
    /// Images of the same plan that must be gone first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ImageId>,
    /// Where a snapshot is stored: the archive tier goes on billing for a while.
    #[serde(default, skip_serializing_if = "Stored::is_standard")]
    pub stored: Stored,
}

/// Where a snapshot is stored, and since when where that is billed for a time at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "tier")]
pub enum Stored {
    /// In the standard tier, or it is no snapshot.
    #[default]
    Standard,
    /// In the archive tier.
    Archive {
        /// Since when; none where AWS does not say.
        since: Option<Timestamp>,
    },
}

impl Stored {
    const fn is_standard(&self) -> bool {
        matches!(self, Self::Standard)
    }
}

impl Item {
    /// Where it is written: `eu-west-1:snap-…`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.judged.origin.region, self.target)
    }

    /// Until when it is billed, were it removed at `at`.
    #[must_use]
    pub fn billed(&self, at: Timestamp) -> Billed {
        match self.stored {
            Stored::Standard => billed_until(Tier::Standard, self.back.days(), None, at),
            Stored::Archive { since } => billed_until(Tier::Archive, self.back.days(), since, at),
        }
    }
}

/// A whole plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemovalPlan {
    /// [`VERSION`].
    pub version: u32,
    /// When it was made.
    pub made: Timestamp,
    /// By whom.
    pub by: String,
    /// The world that it is of.
    pub world: WorldId,
    /// What was asked for.
    pub wishes: Wishes,
    /// Items that one plan may remove at most.
    pub limit: u32,
    /// Date of the prices.
    pub prices_as_of: String,
    /// What is final first, what is skipped last.
    pub items: Vec<Item>,
    /// What the snapshots that go free together, where their blocks were counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<Together>,
    /// The copy that archives come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Box<Plan>>,
}

impl RemovalPlan {
    /// SHA-256 over the plan in its canonical form, in hex.
    ///
    /// # Errors
    /// Never in practice: a plan is plain data.
    pub fn hash(&self) -> Result<String> {
        Ok(Digest::of(super::file::canonical(self)?.as_bytes()).hex())
    }

    /// `7f3a-91c0-5e2d-0b17`.
    ///
    /// # Errors
    /// As [`RemovalPlan::hash`].
    pub fn short_hash(&self) -> Result<String> {
        Ok(short_hash(&self.hash()?))
    }

    /// What would be gone.
    pub fn removals(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.would.removes())
    }

    /// In figures.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut sum = Summary { skipped: count(self.items.len()), ..Summary::default() };
        for item in self.removals() {
            sum.skipped -= 1;
            sum.removed += 1;
            match item.target {
                Target::Snapshot(_) => sum.snapshots += 1,
                Target::Volume(_) => sum.volumes += 1,
                Target::Image(_) => sum.images += 1,
            }
            sum.archived += u32::from(item.would == Would::ArchiveThenDelete);
            sum.copied += u32::from(item.would == Would::SnapshotThenDelete);
            sum.finals += u32::from(item.back.is_final());
            if !self.is_counted(item) {
                sum.frees.add(&item.judged);
            }
            match item.billed(self.made) {
                Billed::AtOnce => {}
                Billed::Until { day, why } if sum.billed_until.is_none_or(|known| known < day) => {
                    (sum.billed_until, sum.billed_why) = (Some(day), Some(why));
                }
                Billed::Until { .. } => {}
                Billed::Unknown => sum.billed_unknown += 1,
            }
            sum.accounts.push(item.judged.origin.account.clone());
            sum.regions.push(item.judged.origin.region.clone());
        }
        for together in &self.together {
            sum.frees.together(together);
        }
        sum.accounts.sort();
        sum.accounts.dedup();
        sum.regions.sort();
        sum.regions.dedup();
        sum.costs_usd = self.archive.as_ref().map_or(0.0, |plan| plan.cost.once.value.0);
        sum
    }

    /// Whether what it frees is in what its region's snapshots free together.
    fn is_counted(&self, item: &Item) -> bool {
        let origin = &item.judged.origin;
        let Target::Snapshot(id) = &item.target else { return false };
        let here = |one: &&Together| one.account == origin.account && one.region == origin.region;
        self.together.iter().filter(here).any(|one| one.snapshots.contains(id))
    }

    /// What has to be typed before it is carried out: the count, or the last four of the one id; with final items also
    /// the word.
    #[must_use]
    pub fn token(&self) -> String {
        let sum = self.summary();
        let mut token = match self.removals().collect::<Vec<_>>().as_slice() {
            [one] => last_four(one.target.id()),
            many => many.len().to_string(),
        };
        if sum.finals > 0 {
            token.push_str(" final");
        }
        token
    }

    /// Whether it is too old to be carried out at `now`, and until when it was good.
    ///
    /// # Errors
    /// Refused, with what to do.
    pub fn check_age(&self, now: Timestamp) -> Result<()> {
        let age = now.duration_since(self.made);
        if age < SignedDuration::from_mins(-5) {
            return Err(Error::refused(format!(
                "the plan is of {}, and by this machine's clock it is {} now",
                self.made.strftime("%Y-%m-%d %H:%M UTC"),
                now.strftime("%Y-%m-%d %H:%M UTC"),
            ))
            .todo("set the clock of the one or the other machine (timedatectl set-ntp true), and make the plan anew"));
        }
        if age > super::PLAN_TTL {
            return Err(Error::refused(format!(
                "the plan is of {}, and a plan is carried out within {} hours",
                self.made.strftime("%Y-%m-%d %H:%M UTC"),
                super::PLAN_TTL.as_hours()
            ))
            .todo("make it anew: floe delete ADDRESS… --out plan.json; --compare shows what changed"));
        }
        Ok(())
    }

    /// What accepting it allows: exactly its calls on exactly its ids.
    ///
    /// # Errors
    /// Refused when it would remove nothing, or more than one plan may.
    pub fn grant(&self, who: impl Into<String>, when: Timestamp) -> Result<Grant> {
        let sum = self.summary();
        if sum.removed == 0 {
            return Err(Error::refused("the plan would remove nothing: every item of it is skipped, with its reason"));
        }
        if sum.removed > self.limit {
            return Err(too_many(sum.removed, self.limit));
        }
        let mut calls = Vec::new();
        let mut ids = Vec::new();
        for item in self.removals() {
            let wanted: &[Call] = match (&item.target, &item.would) {
                (Target::Snapshot(_), _) => &[Call::DeleteSnapshot],
                (Target::Volume(_), Would::SnapshotThenDelete) => &[Call::CreateSnapshot, Call::DeleteVolume],
                (Target::Volume(_), _) => &[Call::DeleteVolume],
                (Target::Image(_), _) => &[Call::DeregisterImage],
            };
            calls.extend(wanted);
            ids.push(item.target.id().to_owned());
        }
        calls.sort();
        calls.dedup();
        Ok(Grant {
            plan_hash: self.hash()?,
            accounts: sum.accounts,
            endpoint: self.world.endpoint.clone(),
            calls,
            ids,
            who: who.into(),
            when,
        })
    }
}

/// The refusal of a plan that is too large.
pub(super) fn too_many(removed: u32, limit: u32) -> Error {
    Error::refused(format!("the plan would remove {removed} things, and one plan removes at most {limit}"))
        .todo("split it, or raise max_delete in the config")
}

pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn last_four(id: &str) -> String {
    id.chars().skip(id.chars().count().saturating_sub(4)).collect()
}
