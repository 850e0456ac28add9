//! Answers on disk, beside the lists: a second look within ten minutes asks nothing again.
//!
//! Refusals are not kept: a policy that was mended counts at once. A file that cannot be read is no file.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Answers, Told};
use crate::ids::VolumeId;
use crate::store::atomic;

/// Of the file below.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File<A> {
    version: u32,
    answers: A,
}

/// What an earlier look left; blocking.
pub(super) fn load(path: Option<&PathBuf>) -> Answers {
    let read = path.and_then(|path| std::fs::read(path).ok());
    let file = read.and_then(|bytes| serde_json::from_slice::<File<Answers>>(&bytes).ok());
    file.filter(|file| file.version == VERSION).map(|file| file.answers).unwrap_or_default()
}

/// Keeps what was answered; blocking.
pub(super) fn save(path: Option<&PathBuf>, mut answers: Answers) {
    let Some(path) = path else { return };
    let now = crate::wall::now();
    prune(&mut answers, now);
    let saved = serde_json::to_vec(&File { version: VERSION, answers })
        .map_err(|error| crate::error::Error::failed(error.to_string()))
        .and_then(|bytes| atomic::write(path, &bytes));
    if let Err(error) = saved {
        tracing::warn!(%error, "the answers will not be remembered");
    }
}

fn prune(answers: &mut Answers, now: Timestamp) {
    fn forget<T>(told: &mut Told<T>, now: Timestamp) {
        if !told.is_fresh(now) {
            *told = Told::Unasked;
        }
    }
    forget(&mut answers.templates, now);
    forget(&mut answers.versions, now);
    forget(&mut answers.public, now);
    forget(&mut answers.locks, now);
    forget(&mut answers.fast_restores, now);
    forget(&mut answers.tierings, now);
    forget(&mut answers.binned_snapshots, now);
    forget(&mut answers.binned_images, now);
    answers.numbered.retain(|_, told| told.is_fresh(now));
    answers.snapshot_shares.retain(|_, told| told.is_fresh(now));
    answers.image_shares.retain(|_, told| told.is_fresh(now));
    answers.image_references.retain(|_, told| told.is_fresh(now));
}

/// Of which volumes snapshots lie in the Recycle Bin, as an answer of the last ten minutes tells; blocking.
pub(in crate::inventory) fn remembered_bin(path: Option<&PathBuf>) -> Option<Vec<VolumeId>> {
    let binned = load(path).binned_snapshots;
    if !binned.is_fresh(crate::wall::now()) {
        return None;
    }
    binned.known()?.iter().map(|row| row.volume.clone().or_else(|| "vol-ffffffff".parse().ok())).collect()
}
