//! What AWS says of the things of one account in one region: rows, who uses what, and the rules of the Recycle Bin.
//!
//! Read when a plan is made and again just before its calls, by the same few requests for up to 200 things.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::target::Target;
use crate::aws::{Keeps, Session};
use crate::error::Result;
use crate::ids::{ImageId, SnapshotId, VolumeId};
use crate::rows::{BinRule, ImageRow, SnapshotRow, Tag, Tier, VolumeRow};

/// The facts of one origin.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Own snapshots that are there.
    pub snapshots: BTreeMap<SnapshotId, SnapshotRow>,
    /// Volumes that are there.
    pub volumes: BTreeMap<VolumeId, VolumeRow>,
    /// Own images that are there.
    pub images: BTreeMap<ImageId, ImageRow>,
    /// Own images that are made of a snapshot.
    pub users: BTreeMap<SnapshotId, BTreeSet<ImageId>>,
    /// Since when those of them that are archived are; none where AWS does not say, or could not be asked.
    pub archived: BTreeMap<SnapshotId, Timestamp>,
    /// What keeps deleted snapshots, or why nobody knows.
    pub snapshot_rules: Rules,
    /// What keeps deregistered images, or why nobody knows.
    pub image_rules: Rules,
}

/// Rules of the Recycle Bin, or why they could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// These.
    Known(Vec<BinRule>),
    /// The sentence.
    Unknown(String),
}

impl Default for Rules {
    fn default() -> Self {
        Self::Known(Vec::new())
    }
}

impl Rules {
    async fn read(session: &Session, keeps: Keeps) -> Self {
        match session.bin_rules(keeps).await {
            Ok(rules) => Self::Known(rules),
            Err(error) => Self::Unknown(error.what),
        }
    }

    /// The rule that keeps what has these tags longest.
    ///
    /// # Errors
    /// Why nothing keeps it, in a sentence.
    pub fn keeping(&self, tags: &[Tag]) -> std::result::Result<&BinRule, String> {
        match self {
            Self::Known(rules) => rules
                .iter()
                .filter(|rule| rule.matches(tags))
                .max_by_key(|rule| rule.days)
                .ok_or_else(|| "no rule of the Recycle Bin keeps it".to_owned()),
            Self::Unknown(why) => Err(format!("whether the Recycle Bin keeps it is not known: {why}")),
        }
    }
}

impl Facts {
    /// Asks for all of them.
    ///
    /// # Errors
    /// As classified: without facts nothing is decided. Rules that are denied are no error: what they would keep counts
    /// as final.
    pub async fn read(session: &Session, of: &[Target]) -> Result<Self> {
        let mut snapshots: Vec<SnapshotId> = Vec::new();
        let mut volumes: Vec<VolumeId> = Vec::new();
        let mut images: Vec<ImageId> = Vec::new();
        for target in of {
            match target {
                Target::Snapshot(id) => snapshots.push(id.clone()),
                Target::Volume(id) => volumes.push(id.clone()),
                Target::Image(id) => images.push(id.clone()),
            }
        }
        let ec2 = session.ec2();
        let mut facts = Self::default();
        for row in ec2.own_snapshots_among(&snapshots).await? {
            facts.snapshots.insert(row.id.clone(), row);
        }
        for row in ec2.volumes_among(&volumes).await? {
            facts.volumes.insert(row.id.clone(), row);
        }
        for row in ec2.own_images_among(&images).await? {
            facts.images.insert(row.id.clone(), row);
        }
        for row in ec2.own_images_of(&snapshots).await? {
            for snapshot in &row.snapshots {
                facts.users.entry(snapshot.clone()).or_default().insert(row.id.clone());
            }
        }
        let archived = facts.snapshots.values().filter(|row| row.tier == Tier::Archive).map(|row| row.id.clone());
        let archived: Vec<SnapshotId> = archived.collect();
        // It decides only from which day the removal is felt: then that day is not known.
        facts.archived.extend(ec2.archived_among(&archived).await.unwrap_or_default());
        if !snapshots.is_empty() {
            facts.snapshot_rules = Rules::read(session, Keeps::Snapshots).await;
        }
        if !images.is_empty() {
            facts.image_rules = Rules::read(session, Keeps::Images).await;
        }
        Ok(facts)
    }
}
