//! What was counted once, on disk under what it is of: snapshots never change, so it never ends.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::aws::Session;
use crate::ids::{Region, SnapshotId};
use crate::inventory::frees::Stretch;
use crate::store::StateDir;
use crate::store::atomic;
use crate::units::Digest;

/// Version of what is kept on disk.
const VERSION: u32 = 1;

/// What a figure is of: a run of snapshots between its neighbours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    version: u32,
    world: String,
    account: String,
    region: Region,
    before: Option<SnapshotId>,
    ids: Vec<SnapshotId>,
    after: Option<SnapshotId>,
}

impl Key {
    pub(super) fn of(session: &Session, stretch: &Stretch) -> Self {
        Self {
            version: VERSION,
            world: session.ebs().endpoint().to_owned(),
            account: session.account().to_string(),
            region: session.region().clone(),
            before: stretch.before.clone(),
            ids: stretch.ids.clone(),
            after: stretch.after.clone(),
        }
    }
}

/// Whether anything of these is related to one: what is related stays so, and what is not, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kin {
    version: u32,
    world: String,
    account: String,
    region: Region,
    own: SnapshotId,
    suspects: Vec<SnapshotId>,
}

impl Kin {
    pub(super) fn of(session: &Session, own: &SnapshotId, suspects: &[SnapshotId]) -> Self {
        Self {
            version: VERSION,
            world: session.ebs().endpoint().to_owned(),
            account: session.account().to_string(),
            region: session.region().clone(),
            own: own.clone(),
            suspects: suspects.to_vec(),
        }
    }
}

/// Where figures are kept; without a place none is.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    dir: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct File<K, V> {
    of: K,
    lives: V,
}

impl Kept {
    /// In a state directory.
    #[must_use]
    pub fn of(state: &StateDir) -> Self {
        Self { dir: state.cache().ok().map(|cache| cache.join("frees")) }
    }

    fn path<K: Serialize>(&self, key: &K) -> Option<PathBuf> {
        let name = Digest::of(&serde_json::to_vec(key).ok()?).hex();
        Some(self.dir.as_ref()?.join(format!("{name}.json")))
    }

    pub(super) async fn load<K, V>(&self, key: &K) -> Option<V>
    where
        K: Serialize + DeserializeOwned + PartialEq,
        V: DeserializeOwned,
    {
        let path = self.path(key)?;
        let read = tokio::task::spawn_blocking(move || std::fs::read(path).ok()).await.ok()??;
        // A file that cannot be read, or is of something else, is asked for again.
        serde_json::from_slice::<File<K, V>>(&read).ok().filter(|file| file.of == *key).map(|file| file.lives)
    }

    pub(super) async fn save<K: Serialize + Clone, V: Serialize + Clone>(&self, key: &K, lives: &V) {
        let (Some(path), Some(dir)) = (self.path(key), self.dir.clone()) else { return };
        let Ok(bytes) = serde_json::to_vec(&File { of: key.clone(), lives: lives.clone() }) else { return };
        // A cache: what cannot be written is listed again.
        let written = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(dir).and_then(|()| atomic::write(&path, &bytes).map_err(std::io::Error::other))
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, "what was counted will not be remembered");
        }
    }
}
