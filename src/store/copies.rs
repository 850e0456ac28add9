//! What floe knows of copies: which snapshot a file or another snapshot holds, since when, and who says so.
//!
//! One small file for each place in `copies/` of the state directory. Invariants: a file's record counts only for the
//! very file that it was made of, untouched since; what is being changed is marked as torn before its first byte is
//! written, and only its whole result is a record again; what cannot be read, or has another version, is no record.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StateDir, atomic};
use crate::error::{Error, Result};
use crate::ids::{JobId, Region, SnapshotId};
use crate::units::{Bytes, Digest};

/// Version of a record.
const VERSION: u32 = 1;

/// Which file it is, and that nobody wrote to it: what `stat` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    /// Device number.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// Its length.
    pub length: Bytes,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
}

impl FileId {
    /// As the file is now.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        fs::metadata(path).map(|meta| Self::from(&meta))
    }

    /// Whether it is the same file, whatever was written to it.
    #[must_use]
    pub const fn is_same_file(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

impl From<&fs::Metadata> for FileId {
    fn from(meta: &fs::Metadata) -> Self {
        let nanos = |seconds: i64, part: i64| seconds.saturating_mul(1_000_000_000).saturating_add(part);
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            length: Bytes(meta.len()),
            mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// A snapshot and where it is: ids mean something within one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its region.
    pub region: Region,
    /// Its id.
    pub id: SnapshotId,
}

/// What holds something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spot {
    /// A file, as it was when it was last known.
    File {
        /// Where, absolute.
        path: PathBuf,
        /// Which one.
        id: FileId,
    },
    /// A snapshot: it never changes.
    Snapshot(Held),
    /// An archive or an image in S3, by its address without a profile: others may write there too.
    Stored(String),
}

/// Who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// floe copied it there itself: the digests are in that job's ledger.
    Copied {
        /// The job.
        job: JobId,
        /// Unique for it in any state directory; in the tags of a snapshot.
        unique: String,
    },
    /// `floe verify` read both, every block.
    Verified,
    /// AWS copied it there itself: it says completed, the sizes are equal, and no block passed floe.
    Service {
        /// The job that asked for it.
        job: JobId,
        /// Unique for it in any state directory; in the tags of the copy.
        unique: String,
    },
}

/// What it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// This, and that is proved.
    Proved(Held),
    /// This, if what was there before was what somebody claimed (`--force`).
    Claimed(Held),
    /// Half of each: a job is on its way from the one to the other.
    Torn {
        /// What it held.
        from: SnapshotId,
        /// What it is to hold.
        to: SnapshotId,
    },
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Format version.
    version: u32,
    /// Endpoint and partition: ids of one world mean nothing in another.
    pub world: String,
    /// What holds it.
    pub spot: Spot,
    /// What it holds.
    pub holds: Holds,
    /// Who says so.
    pub witness: Witness,
    /// Since when that is known.
    pub at: Timestamp,
}

impl Copied {
    /// A record of now.
    #[must_use]
    pub fn new(world: String, spot: Spot, holds: Holds, witness: Witness) -> Self {
        Self { version: VERSION, world, spot, holds, witness, at: crate::wall::now() }
    }
}

/// All records of one state directory. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    root: PathBuf,
}

impl Copies {
    /// Those of a state directory.
    #[must_use]
    pub fn of(state: &StateDir) -> Self {
        Self::at(state.root())
    }

    /// The same, by where it is.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// What is known of a file, whether or not it is the same file still.
    #[must_use]
    pub fn file(&self, path: &Path) -> Option<Copied> {
        self.read(&file_key(path)).filter(|known| matches!(&known.spot, Spot::File { path: of, .. } if of == path))
    }

    /// What is known of a snapshot.
    #[must_use]
    pub fn snapshot(&self, held: &Held) -> Option<Copied> {
        self.read(&snapshot_key(held)).filter(|known| known.spot == Spot::Snapshot(held.clone()))
    }

    /// Everything that is known, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Copied> {
        let Ok(entries) = fs::read_dir(self.dir()) else { return Vec::new() };
        entries.filter_map(|entry| self.read(entry.ok()?.file_name().to_str()?)).collect()
    }

    /// The same of one world: ids of another mean nothing in it.
    #[must_use]
    pub fn of_world(&self, world: &str) -> Vec<Copied> {
        self.all().into_iter().filter(|record| record.world == world).collect()
    }

    /// Keeps a record in the place of the one before, durably.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep(&self, copied: &Copied) -> Result<()> {
        let key = match &copied.spot {
            Spot::File { path, .. } => file_key(path),
            Spot::Snapshot(held) => snapshot_key(held),
            Spot::Stored(url) => format!("stored-{}.json", &Digest::of(url.as_bytes()).hex()[..32]),
        };
        let text = serde_json::to_vec_pretty(copied)
            .map_err(|cause| Error::failed(format!("could not write the record of a copy: {cause}")))?;
        let dir = self.dir();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|cause| Error::io(format!("could not make {}", dir.display()), &cause))?;
        atomic::write(&dir.join(key), &text)
    }

    /// Whether the digests of that job are still there.
    #[must_use]
    pub fn has_ledger(&self, job: JobId) -> bool {
        let dir = self.root.join("jobs").join(job.to_string());
        dir.join("job.json").is_file() && dir.join("ledger").is_file()
    }

    /// A file of that name among what a job has written down.
    #[must_use]
    pub fn beside_ledger(&self, job: JobId, name: &str) -> PathBuf {
        self.root.join("jobs").join(job.to_string()).join(name)
    }

    fn dir(&self) -> PathBuf {
        self.root.join("copies")
    }

    fn read(&self, key: &str) -> Option<Copied> {
        let text = fs::read(self.dir().join(key)).ok()?;
        serde_json::from_slice::<Copied>(&text).ok().filter(|known| known.version == VERSION)
    }
}

fn file_key(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    format!("file-{}.json", &Digest::of(path.as_os_str().as_bytes()).hex()[..32])
}

fn snapshot_key(held: &Held) -> String {
    format!("{}-{}.json", held.id, held.region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(id: &str) -> Held {
        Held { region: "eu-west-1".parse().expect("a region"), id: id.parse().expect("an id") }
    }

    #[test]
    fn a_record_replaces_the_one_before_and_what_is_damaged_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let copies = Copies::at(dir.path());
        let image = dir.path().join("disk.img");
        fs::write(&image, b"data").expect("an image");
        let id = FileId::of(&image).expect("it is there");
        let record = |holds| {
            let spot = Spot::File { path: image.clone(), id: id.clone() };
            Copied::new("AWS".to_owned(), spot, holds, Witness::Verified)
        };
        assert_eq!(copies.file(&image), None);
        for holds in [Holds::Proved(held("snap-0abc1234")), Holds::Claimed(held("snap-0abc1235"))] {
            copies.keep(&record(holds.clone())).expect("kept");
            assert_eq!(copies.file(&image).expect("a record").holds, holds);
        }
        assert_eq!(copies.all().len(), 1);
        assert_eq!(copies.file(&dir.path().join("other.img")), None);

        let spot = Spot::Snapshot(held("snap-0abc1236"));
        let proved = Holds::Proved(held("snap-0abc1234"));
        copies.keep(&Copied::new("AWS".to_owned(), spot, proved, Witness::Verified)).expect("kept");
        assert!(copies.snapshot(&held("snap-0abc1236")).is_some() && copies.all().len() == 2);

        fs::write(copies.dir().join(file_key(&image)), b"{\"version\":9}").expect("damage");
        assert_eq!(copies.file(&image), None);
    }

    #[test]
    fn a_file_that_was_written_to_is_another_state_of_the_same_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let image = dir.path().join("disk.img");
        fs::write(&image, b"data").expect("an image");
        let before = FileId::of(&image).expect("it is there");
        fs::write(&image, b"other").expect("another");
        let after = FileId::of(&image).expect("it is there");
        assert!(before != after && before.is_same_file(&after));
    }
}
