//! What S3 holds: buckets, objects and uploads under way; a line of JSON per change outlives the process.
//!
//! Invariant: a change is on the disk before it is answered, its bytes before its line.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::blob::{Blob, DataFile, SavedPiece, Spool};
use super::saved::{self, Change};
use super::sums::{Algorithm, Checksum, Kind};
use super::versions::{Older, Versioning};
use crate::ids::{AccountId, Region};

/// What travels with an object and is not its bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// `content-type`, `cache-control`, …: headers that are given back as they came.
    pub headers: BTreeMap<String, String>,
    /// `x-amz-meta-…`, without that.
    pub user: BTreeMap<String, String>,
    /// The storage class.
    pub class: String,
    /// The KMS key where it is encrypted with one.
    pub kms_key: Option<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// One object.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its bytes.
    pub blob: Blob,
    /// Without quotes.
    pub etag: String,
    /// When it was written.
    pub modified: Timestamp,
    /// What travels with it.
    pub meta: Meta,
    /// Its checksum.
    pub checksum: Option<Checksum>,
    /// The lengths of its parts; empty when it was put in one piece.
    pub parts: Vec<u64>,
    /// Until when an archived object may be read.
    pub restored: Option<Timestamp>,
    /// Its version's id; none for `null`.
    pub version: Option<String>,
}

/// One part of an upload.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its bytes.
    pub blob: Blob,
    /// Without quotes.
    pub etag: String,
    /// When it was written.
    pub modified: Timestamp,
    /// Its checksum by the upload's algorithm.
    pub checksum: Vec<u8>,
}

/// An upload under way.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Where it goes.
    pub key: String,
    /// When it began.
    pub begun: Timestamp,
    /// What the object will carry.
    pub meta: Meta,
    /// The algorithm of its parts' checksums.
    pub algorithm: Algorithm,
    /// What the object's checksum will be over.
    pub kind: Kind,
    /// Whether the client asked for that algorithm.
    pub asked: bool,
    /// By number.
    pub parts: BTreeMap<u16, Part>,
    /// Its key was removed while it was put together under a condition: nothing is made of it any more.
    pub conflicted: bool,
}

/// One bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Who owns it.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// When it was made.
    pub made: Timestamp,
    /// By key.
    pub objects: BTreeMap<String, Object>,
    /// By id.
    pub uploads: BTreeMap<String, Upload>,
    /// Whether it keeps versions.
    pub versioning: Versioning,
    /// By key: what is found with a version's id only.
    pub older: BTreeMap<String, Vec<Older>>,
    /// By key: when one was removed last. Conditional writes that began before met it.
    pub removals: BTreeMap<String, Instant>,
}

impl Bucket {
    /// An empty one.
    #[must_use]
    pub fn new(owner: AccountId, region: Region, made: Timestamp) -> Self {
        Self {
            owner,
            region,
            made,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            versioning: Versioning::Off,
            older: BTreeMap::new(),
            removals: BTreeMap::new(),
        }
    }
}

/// Everything.
#[derive(Debug, Default, Clone)]
pub struct Buckets {
    /// By name: one name space for all accounts.
    pub all: BTreeMap<String, Bucket>,
}

/// The store of one sandbox.
#[derive(Debug)]
pub struct Store {
    /// Dropped first: files that go because the sandbox goes stay.
    alive: Arc<()>,
    dir: Option<PathBuf>,
    log: Mutex<Option<File>>,
    buckets: Mutex<Buckets>,
}

impl Store {
    /// One in memory, with these buckets.
    #[must_use]
    pub fn in_memory(buckets: Buckets) -> Self {
        Self { alive: Arc::new(()), dir: None, log: Mutex::new(None), buckets: Mutex::new(buckets) }
    }

    /// The one that earlier runs left in `dir`, over the buckets that the scenario brings.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(dir: &Path, base: Buckets) -> io::Result<Self> {
        let data = dir.join("data");
        std::fs::create_dir_all(&data)?;
        let (alive, path) = (Arc::new(()), dir.join("journal.ndjson"));
        let mut changes = saved::read(&path)?;
        let mut files: HashMap<String, Arc<DataFile>> = HashMap::new();
        let mut load = |pieces: &[SavedPiece]| {
            Blob::load(pieces, |name| match files.get(name) {
                Some(file) => Ok(Arc::clone(file)),
                None => {
                    let file = DataFile::open(&data, name, &alive)?;
                    files.insert(name.to_owned(), Arc::clone(&file));
                    Ok(file)
                }
            })
        };
        let mut buckets = base.clone();
        for change in changes.values() {
            saved::apply(&mut buckets, change, &mut load)?;
        }
        drop(files);
        saved::sweep(&buckets, &data)?;
        saved::forget(&mut changes, &buckets, &base);
        saved::rewrite(changes, &path)?;
        let log = OpenOptions::new().append(true).open(&path)?;
        Ok(Self { alive, dir: Some(data), log: Mutex::new(Some(log)), buckets: Mutex::new(buckets) })
    }

    /// Everything, to be looked at and changed. Never over an await.
    pub fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a body is written to while it comes.
    #[must_use]
    pub fn spool(&self) -> Spool {
        Spool::new(self.dir.as_deref(), &self.alive)
    }

    /// Keeps a body: what was small enough for memory goes to the disk now.
    ///
    /// # Errors
    /// The disk failed.
    pub fn keep(&self, body: Blob) -> io::Result<Blob> {
        body.kept(self.dir.as_deref(), &self.alive)
    }

    /// Writes a bucket's state down; called with the change made and the lock held, so that lines keep their order.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save_bucket(&self, buckets: &Buckets, name: &str) -> io::Result<()> {
        self.append(|| Some(saved::bucket_line(name, buckets.all.get(name))))
    }

    /// The same of an object, and of what is kept of its key beside it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save_object(&self, buckets: &Buckets, bucket: &str, key: &str) -> io::Result<()> {
        let versioned = buckets.all.get(bucket).filter(|bucket| bucket.versioning != Versioning::Off);
        if let Some(versioned) = versioned {
            // The older ones first: a kill in between leaves a version too many, never one too few.
            self.append(|| saved::older_line(bucket, key, versioned.older.get(key).map_or(&[], |older| older)))?;
        }
        self.append(|| saved::object_line(bucket, key, buckets.all.get(bucket)?.objects.get(key)))
    }

    /// The same of an upload, without its parts.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save_upload(&self, buckets: &Buckets, bucket: &str, id: &str) -> io::Result<()> {
        self.append(|| Some(saved::upload_line(bucket, id, buckets.all.get(bucket)?.uploads.get(id))))
    }

    /// The same of a part.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save_part(&self, buckets: &Buckets, bucket: &str, id: &str, number: u16) -> io::Result<()> {
        self.append(|| {
            saved::part_line(bucket, id, number, buckets.all.get(bucket)?.uploads.get(id)?.parts.get(&number)?)
        })
    }

    fn append(&self, change: impl FnOnce() -> Option<Change>) -> io::Result<()> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(file), Some(change)) = (log.as_mut(), change()) else { return Ok(()) };
        file.write_all(saved::encode(change)?.as_bytes())
    }
}
