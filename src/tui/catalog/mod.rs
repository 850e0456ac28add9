//! What exists, as the deck keeps it: rows by origin and kind, live or remembered, with what ties them.
//!
//! Fed by [`inventory::Update`]s only. Relations (who uses a snapshot, which snapshots share a volume) are
//! kept as rows come, so that a detail is looked up, never searched for.

mod held;
mod record;
mod table;

pub use table::{
    Load, Record, Ref, Seen, Shard, Slot, Sums, TALLIES, TALLY_ENCRYPTED, TALLY_ERROR, TALLY_LOOSE, TALLY_LOOSE_GIB,
    TALLY_PENDING, Table,
};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::Error;
use crate::ids::{ImageId, SnapshotId, VolumeId};
use crate::inventory::elsewhere::{parent, tagged};
use crate::inventory::{ImageRow, InstanceRow, Kind, Origin, Rows, SnapshotRow, Update, VolumeRow};

/// Everything the inventory told.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Snapshots.
    pub snapshots: Table<SnapshotRow>,
    /// Volumes.
    pub volumes: Table<VolumeRow>,
    /// Machine images.
    pub images: Table<ImageRow>,
    /// Instances.
    pub instances: Table<InstanceRow>,
    /// Regions of all profiles, in the order they were told.
    pub origins: Vec<Arc<Origin>>,
    /// Regions that are not opted in, and so not asked.
    pub closed: Vec<crate::ids::Region>,
    /// Whether everything that was asked for was told.
    pub finished: bool,
    users: HashMap<SnapshotId, Vec<Ref>>,
    siblings: HashMap<VolumeId, Vec<Ref>>,
    /// Snapshots that say by floe's tags whose copy they are.
    tagged: HashMap<SnapshotId, Vec<Ref>>,
    /// Snapshots that floe made on one, by its tags.
    children: HashMap<SnapshotId, Vec<Ref>>,
}

/// Members of a chain of copies at most, as many as a chain may be copied in one go.
const KIN_MOST: usize = 1_000;

impl Catalog {
    /// Takes in one update. Gives the trouble it tells of, for the list of errors.
    pub fn hear(&mut self, update: Update) -> Option<Error> {
        match update {
            Update::Regions(profile, account, rows) => {
                for row in rows {
                    if row.opt_in == "not-opted-in" {
                        if !self.closed.contains(&row.name) {
                            self.closed.push(row.name);
                        }
                        continue;
                    }
                    let origin = Origin { profile: profile.clone(), account: account.clone(), region: row.name };
                    self.origin(&Arc::new(origin));
                }
            }
            Update::Remembered(origin, rows, when) => {
                self.origin(&origin);
                self.rows(&origin, rows, Some(when));
            }
            Update::Started(origin, kind) => {
                self.origin(&origin);
                match kind {
                    Kind::Snapshots => self.snapshots.started(&origin),
                    Kind::Volumes => self.volumes.started(&origin),
                    Kind::Images => self.images.started(&origin),
                    Kind::Instances => self.instances.started(&origin),
                }
            }
            Update::Page(origin, rows) => {
                self.origin(&origin);
                self.rows(&origin, rows, None);
            }
            Update::Done(origin, kind, when) => match kind {
                Kind::Snapshots => self.snapshots.done(&origin, when),
                Kind::Volumes => self.volumes.done(&origin, when),
                Kind::Images => self.images.done(&origin, when),
                Kind::Instances => self.instances.done(&origin, when),
            },
            Update::Failed { origin, kind, error, denied } => {
                self.origin(&origin);
                let told = error.clone();
                match kind {
                    Kind::Snapshots => self.snapshots.failed(&origin, error, denied),
                    Kind::Volumes => self.volumes.failed(&origin, error, denied),
                    Kind::Images => self.images.failed(&origin, error, denied),
                    Kind::Instances => self.instances.failed(&origin, error, denied),
                }
                return Some(told);
            }
            Update::ProfileFailed(_, error) => return Some(error),
            Update::Finished => self.finished = true,
        }
        None
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        if self.origins.iter().any(|known| known == origin) {
            return;
        }
        self.origins.push(origin.clone());
        self.snapshots.shard(origin);
        self.volumes.shard(origin);
        self.images.shard(origin);
    }

    fn rows(&mut self, origin: &Arc<Origin>, rows: Rows, remembered: Option<jiff::Timestamp>) {
        match rows {
            Rows::Snapshots(rows) => {
                for at in self.snapshots.page(origin, rows, remembered) {
                    if let Some(of) = self.snapshots.get(at).and_then(tagged) {
                        self.tagged.entry(of.id).or_default().push(at);
                    }
                    if let Some(parent) = self.snapshots.get(at).and_then(parent) {
                        self.children.entry(parent).or_default().push(at);
                    }
                    let volume = self.snapshots.get(at).and_then(|row| row.volume.clone());
                    // Copies all carry one placeholder: a family of strangers (trap T20).
                    if let Some(volume) = volume.filter(|v| !v.is_placeholder()) {
                        self.siblings.entry(volume).or_default().push(at);
                    }
                }
            }
            Rows::Volumes(rows) => {
                self.volumes.page(origin, rows, remembered);
            }
            Rows::Images(rows) => {
                for at in self.images.page(origin, rows, remembered) {
                    let used = self.images.get(at).map(|row| row.snapshots.clone()).unwrap_or_default();
                    for id in used {
                        self.users.entry(id).or_default().push(at);
                    }
                }
            }
            Rows::Instances(rows) => {
                self.instances.page(origin, rows, remembered);
            }
        }
    }

    /// Snapshots whose tags say that they are copies of one of that id.
    pub fn tagged_copies<'a>(&'a self, of: &SnapshotId) -> impl Iterator<Item = &'a SnapshotRow> + use<'a> {
        let refs = self.tagged.get(of).map(Vec::as_slice).unwrap_or_default();
        refs.iter().filter_map(|at| self.snapshots.slot(*at)).filter(|s| s.seen != Seen::Gone).map(|s| &*s.row)
    }

    /// The images that are made of a snapshot.
    pub fn images_of<'a>(&'a self, snapshot: &SnapshotId) -> impl Iterator<Item = &'a ImageRow> + use<'a> {
        let refs = self.users.get(snapshot).map(Vec::as_slice).unwrap_or_default();
        refs.iter().filter_map(|at| self.images.slot(*at)).filter(|s| s.seen != Seen::Gone).map(|s| &*s.row)
    }

    /// Whether an image is made of it.
    #[must_use]
    pub fn is_used(&self, snapshot: &SnapshotId) -> bool {
        self.images_of(snapshot).next().is_some()
    }

    /// Every known snapshot of the same volume, oldest first, itself among them.
    #[must_use]
    pub fn lineage(&self, row: &SnapshotRow) -> Vec<&SnapshotRow> {
        let mut out = row.volume.as_ref().map(|v| self.snapshots_of(&row.origin, v)).unwrap_or_default();
        if out.is_empty() {
            out = self.kin(row);
        }
        out.sort_by(|a, b| a.started.cmp(&b.started).then_with(|| a.id.cmp(&b.id)));
        out
    }

    /// Every volume that snapshots name, and those of it that are known.
    pub fn families(&self) -> impl Iterator<Item = (&VolumeId, impl Iterator<Item = &SnapshotRow>)> {
        let live = |at: &Ref| self.snapshots.slot(*at).filter(|s| s.seen != Seen::Gone).map(|s| &*s.row);
        self.siblings.iter().map(move |(volume, refs)| (volume, refs.iter().filter_map(live)))
    }

    /// What floe made on what, from the oldest parent that is known on: copies name no volume that would tie them.
    fn kin<'a>(&'a self, row: &SnapshotRow) -> Vec<&'a SnapshotRow> {
        let live = |at: Ref| self.snapshots.slot(at).filter(|s| s.seen != Seen::Gone).map(|s| &*s.row);
        let Some(mut root) = self.snapshots.find_in(&row.origin, &row.id).and_then(live) else { return Vec::new() };
        let up = |row: &SnapshotRow| parent(row).and_then(|id| self.snapshots.find_in(&row.origin, &id)).and_then(live);
        // Tags are what somebody wrote: a circle of them must end.
        for _ in 0..KIN_MOST {
            match up(root) {
                Some(parent) if parent.id != row.id => root = parent,
                _ => break,
            }
        }
        let mut out: Vec<&SnapshotRow> = vec![root];
        let mut seen: HashSet<&SnapshotId> = HashSet::from([&root.id]);
        let mut at = 0;
        while let Some(one) = out.get(at).copied().filter(|_| out.len() < KIN_MOST) {
            at += 1;
            for child in self.children.get(&one.id).into_iter().flatten().filter_map(|at| live(*at)) {
                if child.origin == one.origin && seen.insert(&child.id) {
                    out.push(child);
                }
            }
        }
        out
    }

    /// Every known snapshot of a volume, in no order.
    #[must_use]
    pub fn snapshots_of(&self, origin: &Origin, volume: &VolumeId) -> Vec<&SnapshotRow> {
        let refs = self.siblings.get(volume).map(Vec::as_slice).unwrap_or_default();
        let live = |at: &Ref| self.snapshots.slot(*at).filter(|s| s.seen != Seen::Gone).map(|s| &*s.row);
        refs.iter().filter_map(live).filter(|s| *s.origin == *origin).collect()
    }

    /// How many known instances were launched from an image.
    #[must_use]
    pub fn instances_of(&self, image: &ImageId) -> usize {
        let rows = self.instances.shards.iter().flat_map(|s| &s.rows);
        rows.filter(|s| s.seen != Seen::Gone && s.row.image.as_ref() == Some(image)).count()
    }

    /// Whether the volume still exists; `None` while volumes of that origin are not told.
    #[must_use]
    pub fn volume_exists(&self, origin: &Origin, id: &VolumeId) -> Option<bool> {
        if self.volumes.find(id).and_then(|at| self.volumes.slot(at)).is_some_and(|s| s.seen != Seen::Gone) {
            return Some(true);
        }
        matches!(self.volumes.of(origin)?.load, Load::Done(_)).then_some(false)
    }

    /// An image by its id.
    #[must_use]
    pub fn image(&self, id: &ImageId) -> Option<&ImageRow> {
        self.images.find(id).and_then(|at| self.images.get(at))
    }

    /// Origins whose lists are all complete, of all origins.
    #[must_use]
    pub fn complete_origins(&self) -> (usize, usize) {
        let done = self.origins.iter().filter(|o| self.load(o).is_done()).count();
        (done, self.origins.len())
    }

    /// Where the lists of an origin stand together: the one that needs most attention speaks.
    #[must_use]
    pub fn load(&self, origin: &Origin) -> OriginLoad<'_> {
        let loads = [
            self.snapshots.of(origin).map(|s| &s.load),
            self.volumes.of(origin).map(|s| &s.load),
            self.images.of(origin).map(|s| &s.load),
        ];
        let mut loads = loads.into_iter().flatten();
        let first = loads.next().unwrap_or(&Load::Waiting);
        let rank = |load: &Load| match load {
            Load::Failed { .. } => 4,
            Load::Loading(_) => 3,
            Load::Waiting => 2,
            Load::Remembered(_) => 1,
            Load::Done(_) => 0,
        };
        OriginLoad(loads.fold(first, |worst, load| if rank(load) > rank(worst) { load } else { worst }))
    }
}

/// Where the lists of one origin stand together.
#[derive(Debug, Clone, Copy)]
pub struct OriginLoad<'a>(pub &'a Load);

impl OriginLoad<'_> {
    /// Whether all of them are complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.0, Load::Done(_))
    }
}
