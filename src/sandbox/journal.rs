//! What outlives the sandbox's process: one line of JSON per change, appended before the change is answered.
//!
//! The last line of a resource counts. A line cut off by `kill -9` was never answered and is dropped. At start the
//! file is rewritten without what later lines replaced. Blocks are in the store; here is only whom they belong to.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::content::Content;
use super::model::{Image, InBin, Model, Settings, Snapshot, SnapshotState, Tags};
use super::store::{Keep, Written};
use super::synth::Synthetic;
use crate::ids::{AccountId, Region, SnapshotId, VolumeId};

/// The version of a line's format; another one is refused.
const VERSION: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    v: u32,
    account: AccountId,
    region: Region,
    #[serde(flatten)]
    change: Change,
}

/// What changed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    /// A snapshot is as it stands here.
    Snapshot {
        snapshot: Box<Snapshot>,
        content: Saved,
        /// Gone; kept only while another snapshot lies on it.
        #[serde(default)]
        removed: bool,
        /// Deleted, and kept by the Recycle Bin.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        binned: Option<InBin>,
    },
    /// A volume that was deleted.
    VolumeGone(VolumeId),
    /// The tags of a volume, image or instance.
    Tags { resource: String, tags: Tags },
    /// An image that was copied here.
    Image(Box<Image>),
    /// The settings of the account in the region.
    Settings(Settings),
}

/// A content by name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Saved {
    Synthetic(Synthetic),
    Written { base: Option<SnapshotId> },
}

impl Saved {
    pub(super) fn of(content: &Content) -> Self {
        match content {
            Content::Synthetic(synthetic) => Self::Synthetic(*synthetic),
            Content::Written(written) => Self::Written { base: written.base_id().cloned() },
        }
    }
}

impl Line {
    /// What a later line of the same key replaces.
    fn key(&self) -> String {
        let what = match &self.change {
            Change::Snapshot { snapshot, .. } => snapshot.id.as_str(),
            Change::Tags { resource, .. } => resource,
            Change::Image(image) => return format!("{}/{}/image/{}", self.account, self.region, image.id),
            Change::VolumeGone(volume) => return format!("{}/{}/volume/{volume}", self.account, self.region),
            Change::Settings(_) => "settings",
        };
        format!("{}/{}/{what}", self.account, self.region)
    }
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: Option<File>,
}

impl Journal {
    /// One that keeps nothing.
    pub(super) const fn none() -> Self {
        Self { file: None }
    }

    /// Opens the journal in `dir` and brings `model` to where it was.
    pub(super) fn open(dir: &Path, model: &mut Model, keep: &Keep, alive: &Arc<()>) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("journal.ndjson");
        let lines = read(&path)?;
        let lines = replay(lines, model, keep, alive);
        rewrite(&path, &lines)?;
        Ok(Self { file: Some(OpenOptions::new().append(true).open(path)?) })
    }

    /// Appends a change.
    pub(super) fn append(&mut self, account: &AccountId, region: &Region, change: Change) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let line = Line { v: VERSION, account: account.clone(), region: region.clone(), change };
        file.write_all(format!("{}\n", serde_json::to_string(&line)?).as_bytes())
    }
}

/// The last line of every key, in the order in which the keys came (a parent before what lies on it).
fn read(path: &PathBuf) -> io::Result<Vec<Line>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(cause),
    };
    let mut lines: Vec<Line> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for (number, text) in whole.lines().enumerate() {
        let wrong = |cause: String| io::Error::other(format!("{}, line {}: {cause}", path.display(), number + 1));
        let line: Line = serde_json::from_str(text).map_err(|cause| wrong(cause.to_string()))?;
        if line.v != VERSION {
            return Err(wrong(format!("format version {} is not known here", line.v)));
        }
        match places.get(&line.key()) {
            Some(place) => lines[*place] = line,
            None => {
                places.insert(line.key(), lines.len());
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

/// Applies the lines and returns those that are still needed.
fn replay(lines: Vec<Line>, model: &mut Model, keep: &Keep, alive: &Arc<()>) -> Vec<Line> {
    let mut written: HashMap<SnapshotId, Arc<Written>> = HashMap::new();
    let mut seen: HashMap<SnapshotId, Content> = HashMap::new();
    let mut kept = Vec::new();
    for line in lines {
        let Some(region) = model.region_mut(&line.account, &line.region) else {
            // Another scenario's line: it may be back at the next start.
            kept.push(line);
            continue;
        };
        match &line.change {
            Change::Settings(settings) => region.settings = settings.clone(),
            Change::Image(image) => {
                region.images.insert(image.id.clone(), (**image).clone());
            }
            Change::VolumeGone(volume) => {
                region.volumes.remove(volume);
            }
            Change::Tags { resource, tags } => {
                retag(region, resource, tags);
            }
            Change::Snapshot { snapshot, content, removed, binned } => {
                let content = match content {
                    Saved::Synthetic(synthetic) => Content::Synthetic(*synthetic),
                    Saved::Written { base } => {
                        let base = base.as_ref().map(|id| {
                            let below = seen.get(id).or_else(|| region.snapshots.get(id).map(|s| &s.content)).cloned();
                            (id.clone(), below.unwrap_or_default())
                        });
                        let blocks = Arc::new(Written::new(snapshot.id.clone(), base, keep.clone()));
                        let open = snapshot.upload.as_ref().is_some_and(|upload| upload.completed_with.is_none());
                        if snapshot.state != SnapshotState::Pending || !open {
                            blocks.seal();
                        }
                        written.insert(snapshot.id.clone(), Arc::clone(&blocks));
                        Content::Written(blocks)
                    }
                };
                seen.insert(snapshot.id.clone(), content.clone());
                region.snapshots.remove(&snapshot.id);
                region.bin.remove(&snapshot.id);
                let whole = Snapshot { content, ..(**snapshot).clone() };
                match binned {
                    _ if *removed => {}
                    Some(binned) => drop(region.bin.insert(snapshot.id.clone(), (*binned, whole))),
                    None => drop(region.snapshots.insert(snapshot.id.clone(), whole)),
                }
            }
        }
        kept.push(line);
    }
    drop(seen);
    // What was removed and has nothing on it any more goes now, its files with it; what lies below such a one may
    // follow only then, so from the last to the first.
    let mut needed: Vec<Line> = Vec::new();
    for line in kept.into_iter().rev() {
        if let Change::Snapshot { snapshot, content: Saved::Written { .. }, removed: true, .. } = &line.change
            && let Some(blocks) = written.remove(&snapshot.id)
        {
            blocks.doom(alive);
            if Arc::strong_count(&blocks) == 1 {
                continue;
            }
        } else if let Change::Snapshot { snapshot, .. } = &line.change {
            written.remove(&snapshot.id);
        }
        needed.push(line);
    }
    needed.reverse();
    needed
}

fn retag(region: &mut super::model::RegionState, resource: &str, tags: &Tags) {
    let found = if let Ok(id) = resource.parse() {
        region.volumes.get_mut(&id).map(|v| &mut v.tags)
    } else if let Ok(id) = resource.parse() {
        region.images.get_mut(&id).map(|i| &mut i.tags)
    } else if let Ok(id) = resource.parse() {
        region.instances.get_mut(&id).map(|i| &mut i.tags)
    } else {
        None
    };
    if let Some(found) = found {
        found.clone_from(tags);
    }
}

fn rewrite(path: &Path, lines: &[Line]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}
