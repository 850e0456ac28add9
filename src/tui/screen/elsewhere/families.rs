//! The rows of *elsewhere*: every volume that has snapshots, and every copy that is known of any of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use crate::ids::{Region, SnapshotId, VolumeId};
use crate::inventory::elsewhere::{Copy, Where, by_tag};
use crate::inventory::{Origin, SnapshotRow, State};
use crate::tui::elsewhere::seen;
use crate::tui::model::Model;

/// A column: a place that copies are in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spot {
    /// Snapshots of a region.
    Region(Region),
    /// Files of this machine.
    Files,
    /// Archives and images in S3.
    S3,
}

impl Spot {
    fn of(copy: &Copy) -> Self {
        match &copy.at {
            Where::Snapshot(there) => Self::Region(there.region.clone()),
            Where::File(_) => Self::Files,
            Where::Stored(_) => Self::S3,
        }
    }

    /// As a head: `euw1`, `files`.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::Region(region) => region.short(),
            Self::Files => "files".to_owned(),
            Self::S3 => "S3".to_owned(),
        }
    }
}

/// One copy, and the moment that it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The copy.
    pub copy: Copy,
    /// When its source was started.
    pub shows: Option<Timestamp>,
}

/// One volume of one region.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Where it is.
    pub origin: Arc<Origin>,
    /// Which.
    pub volume: VolumeId,
    /// The name of its newest snapshot.
    pub name: Option<String>,
    /// Its snapshots.
    pub snapshots: u64,
    /// The newest one.
    pub newest: SnapshotId,
    /// When that was started.
    pub started: Timestamp,
    /// What the newest proved copy shows; none when nothing is proved.
    pub proved: Option<Timestamp>,
    /// All its copies: proved first, then by what they show, the latest first.
    pub copies: Vec<Copied>,
}

impl Family {
    /// The best copy in a place: proved before anything else, then the latest.
    #[must_use]
    pub fn best(&self, spot: &Spot) -> Option<&Copied> {
        self.copies.iter().find(|copied| Spot::of(&copied.copy) == *spot)
    }
}

/// Every volume, those without a proved copy first, then by the age of the newest one; and all places.
pub(super) fn all(model: &Model) -> (Vec<Family>, Vec<Spot>) {
    let mut recorded: HashMap<&SnapshotId, Vec<&Copy>> = HashMap::new();
    for copy in &model.copies {
        recorded.entry(&copy.of.id).or_default().push(copy);
    }
    let mut rows: Vec<Family> = Vec::new();
    for (volume, members) in model.catalog.families() {
        let mut by_origin: HashMap<&Arc<Origin>, Vec<&SnapshotRow>> = HashMap::new();
        for row in members {
            by_origin.entry(&row.origin).or_default().push(row);
        }
        rows.extend(by_origin.into_iter().filter_map(|(origin, rows)| family(model, &recorded, origin, volume, &rows)));
    }
    rows.sort_by(|a, b| {
        let key = |row: &Family| (row.proved, std::cmp::Reverse(row.snapshots));
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name)).then_with(|| a.volume.cmp(&b.volume))
    });
    let spots: BTreeSet<Spot> = rows.iter().flat_map(|row| &row.copies).map(|copied| Spot::of(&copied.copy)).collect();
    (rows, spots.into_iter().collect())
}

fn family(
    model: &Model,
    recorded: &HashMap<&SnapshotId, Vec<&Copy>>,
    origin: &Arc<Origin>,
    volume: &VolumeId,
    members: &[&SnapshotRow],
) -> Option<Family> {
    let newest = members.iter().max_by_key(|row| row.started)?;
    let mut copies: Vec<Copied> = Vec::new();
    for row in members {
        let known = recorded.get(&row.id).into_iter().flatten().filter(|copy| copy.of.region == origin.region);
        copies.extend(known.map(|copy| Copied { copy: seen(&model.catalog, copy), shows: Some(row.started) }));
        for tagged in model.catalog.tagged_copies(&row.id).filter(|tagged| tagged.state == State::Completed) {
            let Some(copy) = by_tag(tagged).filter(|copy| copy.of.region == origin.region) else { continue };
            if !copies.iter().any(|known| known.copy.at == copy.at) {
                copies.push(Copied { copy, shows: Some(row.started) });
            }
        }
    }
    copies.sort_by_key(|copied| (!copied.copy.proof.is_proved(), std::cmp::Reverse(copied.shows)));
    let proved = copies.iter().filter(|copied| copied.copy.proof.is_proved()).filter_map(|copied| copied.shows).max();
    Some(Family {
        origin: Arc::clone(origin),
        volume: volume.clone(),
        name: newest.name.clone(),
        snapshots: members.len() as u64,
        newest: newest.id.clone(),
        started: newest.started,
        proved,
        copies,
    })
}
