//! What looks of the last ten minutes left on disk of a region, for figures that need no new look.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::relations::{FRESH, remembered_bin};
use super::remember::Memory;
use super::{Kind, Origin, Rows, SnapshotRow, VolumeRow};
use crate::age;
use crate::aws::WorldId;
use crate::ids::VolumeId;
use crate::store::StateDir;

/// Lists of one account's region.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its snapshots.
    pub snapshots: Vec<SnapshotRow>,
    /// Its volumes.
    pub volumes: Vec<VolumeRow>,
    /// Of which volumes snapshots lie in the Recycle Bin; one that names none is the placeholder. None when that is
    /// not remembered.
    pub bin: Option<Vec<VolumeId>>,
    /// When the older of the lists was made.
    pub at: Timestamp,
}

/// What is remembered of a region; nothing when a list is missing or older than ten minutes.
pub async fn known(state: &StateDir, world: &WorldId, origin: &Arc<Origin>) -> Option<Known> {
    let (memory, origin) = (Memory::new(Some(state), world), Arc::clone(origin));
    spawn_blocking(move || read(&memory, &origin)).await.ok().flatten()
}

fn read(memory: &Memory, origin: &Arc<Origin>) -> Option<Known> {
    let fresh = |at: Timestamp| age::is_within(at, crate::wall::now(), FRESH);
    let (Rows::Snapshots(snapshots), first) = memory.load(origin, Kind::Snapshots)? else { return None };
    let (Rows::Volumes(volumes), second) = memory.load(origin, Kind::Volumes)? else { return None };
    let at = first.min(second);
    let path: Option<PathBuf> = memory.answers(origin);
    fresh(at).then(|| Known { snapshots, volumes, bin: remembered_bin(path.as_ref()), at })
}
