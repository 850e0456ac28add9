//! The facts by id, so that a rule asks a map instead of a list: 100,000 snapshots are judged in one pass.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::{Facts, Made, Told};
use crate::ids::{ImageId, InstanceId, JobId, SnapshotId, VolumeId};
use crate::inventory::elsewhere;
use crate::rows::{LockRow, SnapshotRow, TemplateVersionRow};
use crate::store::copies::{Holds, Spot, Witness};

/// A version of a launch template that names something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateUse {
    /// `lt-…`.
    pub template: String,
    /// Its name.
    pub name: String,
    /// The version.
    pub number: u64,
    /// Whether that is the default.
    pub is_default: bool,
}

impl std::fmt::Display for TemplateUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let default = if self.is_default { " (default)" } else { "" };
        write!(f, "{} {} v{}{default}", self.template, self.name, self.number)
    }
}

/// Who uses what.
#[derive(Debug, Default)]
pub struct Index {
    /// Images that map a snapshot, as positions in the list.
    pub images_of: HashMap<SnapshotId, Vec<usize>>,
    /// Images by id.
    pub images: HashMap<ImageId, usize>,
    /// Template versions that map a snapshot.
    pub templates_of_snapshot: HashMap<SnapshotId, Vec<TemplateUse>>,
    /// Template versions that name an image.
    pub templates_of_image: HashMap<ImageId, Vec<TemplateUse>>,
    /// Template versions that take their image from a parameter, which only AWS can resolve.
    pub resolved_elsewhere: usize,
    /// Volumes by id, as positions in the list.
    pub volumes: HashMap<VolumeId, usize>,
    /// How many volumes were made from a snapshot.
    pub made_from: HashMap<SnapshotId, usize>,
    /// Instances that map a volume.
    pub instances_of_volume: HashMap<VolumeId, InstanceId>,
    /// Instances that run on an image.
    pub instances_of_image: HashMap<ImageId, Vec<InstanceId>>,
    /// Snapshots that everybody may read.
    pub public: HashSet<SnapshotId>,
    /// Locks that hold.
    pub locks: HashMap<SnapshotId, LockRow>,
    /// Zones of fast restores that are on or on their way.
    pub fast_restores: HashMap<SnapshotId, Vec<String>>,
    /// Moves between tiers.
    pub tierings: HashMap<SnapshotId, String>,
    /// Images in the Recycle Bin, and until when.
    pub binned_images: HashMap<ImageId, Option<Timestamp>>,
    /// Those of them that no snapshot names: any snapshot might be a disk of theirs.
    pub unplaced: Vec<ImageId>,
    /// The newest snapshot of a volume.
    pub newest: HashMap<VolumeId, (SnapshotId, Timestamp)>,
    /// What floe's records say that a snapshot is.
    pub made: HashMap<SnapshotId, Made>,
    /// What floe made on a snapshot, by the tags that it gave.
    pub children: HashMap<SnapshotId, Vec<SnapshotId>>,
    /// Jobs that use something.
    pub jobs: HashMap<String, JobId>,
    /// Template versions that are told of.
    pub versions: usize,
}

impl Index {
    /// Sorts facts by id.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let mut index = Self::default();
        index.lists(facts);
        index.templates(facts);
        index.guards(facts);
        index.bin(facts);
        index.lineage(facts);
        for used in facts.jobs.known().into_iter().flatten() {
            index.jobs.insert(used.id.clone(), used.job);
        }
        index
    }

    fn lists(&mut self, facts: &Facts) {
        for (at, image) in facts.images.known().into_iter().flat_map(|rows| rows.iter()).enumerate() {
            self.images.insert(image.id.clone(), at);
            for snapshot in &image.snapshots {
                self.images_of.entry(snapshot.clone()).or_default().push(at);
            }
        }
        for (at, volume) in facts.volumes.known().into_iter().flat_map(|rows| rows.iter()).enumerate() {
            self.volumes.insert(volume.id.clone(), at);
            if let Some(snapshot) = &volume.snapshot {
                *self.made_from.entry(snapshot.clone()).or_default() += 1;
            }
        }
        for instance in facts.instances.known().into_iter().flat_map(|rows| rows.iter()) {
            if instance.state == "terminated" {
                continue;
            }
            for volume in &instance.volumes {
                self.instances_of_volume.insert(volume.clone(), instance.id.clone());
            }
            if let Some(image) = &instance.image {
                self.instances_of_image.entry(image.clone()).or_default().push(instance.id.clone());
            }
        }
        for snapshot in facts.snapshots.known().into_iter().flat_map(|rows| rows.iter()) {
            let Some(volume) = snapshot.volume.as_ref().filter(|volume| !volume.is_placeholder()) else { continue };
            let newest = self.newest.entry(volume.clone()).or_insert((snapshot.id.clone(), snapshot.started));
            if newest.1 < snapshot.started {
                *newest = (snapshot.id.clone(), snapshot.started);
            }
        }
    }

    fn templates(&mut self, facts: &Facts) {
        let bulk = facts.answers.versions.known().into_iter().flatten();
        let numbered = facts.answers.numbered.values().filter_map(Told::known).flatten();
        let mut seen: HashSet<(&str, u64)> = HashSet::new();
        for version in bulk.chain(numbered) {
            if seen.insert((&version.template, version.number)) {
                self.template(version);
            }
        }
        self.versions = seen.len();
    }

    fn template(&mut self, version: &TemplateVersionRow) {
        let used = || TemplateUse {
            template: version.template.clone(),
            name: version.name.clone(),
            number: version.number,
            is_default: version.is_default,
        };
        match version.image.as_deref().map(str::parse::<ImageId>) {
            Some(Ok(image)) => self.templates_of_image.entry(image).or_default().push(used()),
            Some(Err(_)) => self.resolved_elsewhere += 1,
            None => {}
        }
        for snapshot in &version.snapshots {
            self.templates_of_snapshot.entry(snapshot.clone()).or_default().push(used());
        }
    }

    fn guards(&mut self, facts: &Facts) {
        let answers = &facts.answers;
        self.public.extend(answers.public.known().into_iter().flatten().cloned());
        for lock in answers.locks.known().into_iter().flatten().filter(|lock| lock.state != "expired") {
            self.locks.insert(lock.snapshot.clone(), lock.clone());
        }
        let off = |state: &str| matches!(state, "disabled" | "disabling");
        for fast in answers.fast_restores.known().into_iter().flatten().filter(|fast| !off(&fast.state)) {
            self.fast_restores.entry(fast.snapshot.clone()).or_default().push(fast.zone.clone());
        }
        for tiering in answers.tierings.known().into_iter().flatten() {
            self.tierings.insert(tiering.snapshot.clone(), tiering.status.clone());
        }
    }

    /// A record counts only for the snapshot that carries the tag of its job, as everywhere; what a file or an archive
    /// holds ties no snapshots.
    fn lineage(&mut self, facts: &Facts) {
        let rows = || facts.snapshots.known().into_iter().flat_map(|rows| rows.iter());
        for row in rows() {
            if let Some(parent) = elsewhere::parent(row).filter(|parent| *parent != row.id) {
                self.children.entry(parent).or_default().push(row.id.clone());
            }
        }
        if facts.copies.is_empty() {
            return;
        }
        let here: HashMap<&SnapshotId, &SnapshotRow> = rows().map(|row| (&row.id, row)).collect();
        for record in facts.copies.iter() {
            let (Spot::Snapshot(held), Holds::Proved(of)) = (&record.spot, &record.holds) else { continue };
            let Some(row) = here.get(&held.id).filter(|_| held.region == facts.origin.region) else { continue };
            let (job, unique) = match &record.witness {
                Witness::Copied { job, unique } | Witness::Service { job, unique } => (Some(*job), Some(unique)),
                Witness::Verified => (None, None),
            };
            if unique.is_none_or(|unique| elsewhere::is_of_job(row, unique)) {
                self.made.insert(row.id.clone(), Made { of: of.clone(), job });
            }
        }
    }

    /// AWS does not tell the disks of an image in the bin. The text of CreateImage and CopyImage is on its snapshots,
    /// wherever they are; an image that none of them names may be made of any.
    fn bin(&mut self, facts: &Facts) {
        let binned = facts.answers.binned_images.known().into_iter().flatten();
        self.binned_images = binned.filter_map(|row| Some((row.id.parse().ok()?, row.exits))).collect();
        if self.binned_images.is_empty() {
            return;
        }
        let here = facts.snapshots.known().into_iter().flat_map(|rows| rows.iter()).map(|row| row.description.as_str());
        let there = facts.answers.binned_snapshots.known().into_iter().flatten().map(|row| row.description.as_str());
        let named: HashSet<ImageId> = here.chain(there).flat_map(images_named).collect();
        let unplaced = self.binned_images.keys().filter(|image| !named.contains(*image));
        self.unplaced = unplaced.cloned().collect();
        self.unplaced.sort();
    }
}

/// The images that a text names, as descriptions of CreateImage and CopyImage do. A hint, never evidence (trap T21).
pub fn images_named(text: &str) -> impl Iterator<Item = ImageId> + '_ {
    text.match_indices("ami-").filter_map(|(at, mark)| {
        let rest = &text[at + mark.len()..];
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        text[at..at + mark.len() + end].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_images_in_every_form_that_aws_has_used() {
        let named = |text: &str| images_named(text).map(|id| id.to_string()).collect::<Vec<_>>();
        assert_eq!(named("Created by CreateImage(i-0123) for ami-0123456789abcdef0"), ["ami-0123456789abcdef0"]);
        assert_eq!(named("…for ami-01234567 from vol-1"), ["ami-01234567"]);
        let copied =
            "Copied for DestinationAmi ami-0aaaaaaaaaaaaaaaa from SourceAmi ami-0bbbbbbbbbbbbbbbb for SourceSnapshot";
        assert_eq!(named(copied), ["ami-0aaaaaaaaaaaaaaaa", "ami-0bbbbbbbbbbbbbbbb"]);
        assert!(named("ami- ami-xyz ami-123 é").is_empty());
    }
}
