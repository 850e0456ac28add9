//! How S3's store outlives the process: a line of JSON per change, and the buckets that such lines describe.
//!
//! Invariant: the last line of a resource counts; a line cut off by `kill -9` was never answered.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::blob::{Blob, SavedPiece};
use super::store::{Bucket, Buckets, Meta, Object, Part, Upload};
use super::sums::{Algorithm, Checksum, Kind};
use super::versions::{Older, Versioning};
use crate::ids::{AccountId, Region};

/// The version of a line's format; another one is refused.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    v: u32,
    #[serde(flatten)]
    change: Change,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    Bucket { name: String, bucket: Option<SavedBucket> },
    Object { bucket: String, key: String, object: Option<Box<SavedObject>> },
    Upload { bucket: String, id: String, upload: Option<Box<SavedUpload>> },
    Part { bucket: String, id: String, number: u16, part: SavedPart },
    Older { bucket: String, key: String, older: Vec<SavedOlder> },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SavedOlder {
    Object(Box<SavedObject>),
    Marker { version: Option<String>, at: Timestamp },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SavedBucket {
    owner: AccountId,
    region: Region,
    made: Timestamp,
    #[serde(default)]
    versioning: Versioning,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SavedObject {
    pieces: Vec<SavedPiece>,
    etag: String,
    modified: Timestamp,
    meta: Meta,
    checksum: Option<Checksum>,
    parts: Vec<u64>,
    restored: Option<Timestamp>,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SavedUpload {
    key: String,
    begun: Timestamp,
    meta: Meta,
    algorithm: Algorithm,
    kind: Kind,
    asked: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SavedPart {
    pieces: Vec<SavedPiece>,
    etag: String,
    modified: Timestamp,
    checksum: Vec<u8>,
}

impl SavedObject {
    /// None for one that is made up: the scenario brings it again.
    fn of(object: &Object) -> Option<Self> {
        Some(Self {
            pieces: object.blob.saved()?,
            etag: object.etag.clone(),
            modified: object.modified,
            meta: object.meta.clone(),
            checksum: object.checksum.clone(),
            parts: object.parts.clone(),
            restored: object.restored,
            version: object.version.clone(),
        })
    }

    fn load(&self, load: &mut impl FnMut(&[SavedPiece]) -> io::Result<Blob>) -> io::Result<Object> {
        Ok(Object {
            blob: load(&self.pieces)?,
            etag: self.etag.clone(),
            modified: self.modified,
            meta: self.meta.clone(),
            checksum: self.checksum.clone(),
            parts: self.parts.clone(),
            restored: self.restored,
            version: self.version.clone(),
        })
    }
}

/// What is kept of a key beside what is found under it.
pub fn older_line(bucket: &str, key: &str, older: &[Older]) -> Option<Change> {
    let saved = |one: &Older| match one {
        Older::Object(object) => Some(SavedOlder::Object(Box::new(SavedObject::of(object)?))),
        Older::Marker { version, at } => Some(SavedOlder::Marker { version: version.clone(), at: *at }),
    };
    let older = older.iter().map(saved).collect::<Option<_>>()?;
    Some(Change::Older { bucket: bucket.to_owned(), key: key.to_owned(), older })
}

pub fn encode(change: Change) -> io::Result<String> {
    Ok(format!("{}\n", serde_json::to_string(&Line { v: VERSION, change })?))
}

pub fn bucket_line(name: &str, bucket: Option<&Bucket>) -> Change {
    let saved = |bucket: &Bucket| SavedBucket {
        owner: bucket.owner.clone(),
        region: bucket.region.clone(),
        made: bucket.made,
        versioning: bucket.versioning,
    };
    Change::Bucket { name: name.to_owned(), bucket: bucket.map(saved) }
}

pub fn object_line(bucket: &str, key: &str, object: Option<&Object>) -> Option<Change> {
    let saved = match object {
        None => None,
        Some(object) => Some(Box::new(SavedObject::of(object)?)),
    };
    Some(Change::Object { bucket: bucket.to_owned(), key: key.to_owned(), object: saved })
}

pub fn upload_line(bucket: &str, id: &str, upload: Option<&Upload>) -> Change {
    let saved = |upload: &Upload| {
        Box::new(SavedUpload {
            key: upload.key.clone(),
            begun: upload.begun,
            meta: upload.meta.clone(),
            algorithm: upload.algorithm,
            kind: upload.kind,
            asked: upload.asked,
        })
    };
    Change::Upload { bucket: bucket.to_owned(), id: id.to_owned(), upload: upload.map(saved) }
}

pub fn part_line(bucket: &str, id: &str, number: u16, part: &Part) -> Option<Change> {
    let part = SavedPart {
        pieces: part.blob.saved()?,
        etag: part.etag.clone(),
        modified: part.modified,
        checksum: part.checksum.clone(),
    };
    Some(Change::Part { bucket: bucket.to_owned(), id: id.to_owned(), number, part })
}

/// The last change of each resource, by bucket, kind, name and number; and what it is, in the order in which it is
/// applied: a bucket before what it holds, an upload before its parts.
pub type Changes = BTreeMap<(String, u8, String, u16), Change>;

pub fn read(path: &Path) -> io::Result<Changes> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Changes::new()),
        Err(cause) => return Err(cause),
    };
    let mut changes = Changes::new();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let line: Line = serde_json::from_str(line)?;
        if line.v != VERSION {
            let text = format!("a line of version {}, this floe reads version {VERSION}", line.v);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let key = match &line.change {
            Change::Bucket { name, .. } => (name.clone(), 0, String::new(), 0),
            Change::Object { bucket, key, .. } => (bucket.clone(), 1, key.clone(), 0),
            Change::Upload { bucket, id, .. } => (bucket.clone(), 2, id.clone(), 0),
            Change::Part { bucket, id, number, .. } => (bucket.clone(), 3, id.clone(), *number),
            Change::Older { bucket, key, .. } => (bucket.clone(), 4, key.clone(), 0),
        };
        changes.insert(key, line.change);
    }
    Ok(changes)
}

/// What counts no more, after `buckets` was brought up to date: parts of uploads that are over, and removals of what
/// no scenario brings back.
pub fn forget(changes: &mut Changes, buckets: &Buckets, base: &Buckets) {
    changes.retain(|_, change| match change {
        Change::Bucket { name, bucket } => bucket.is_some() || base.all.contains_key(name),
        Change::Object { bucket, key, object } => {
            object.is_some() && buckets.all.contains_key(bucket)
                || base.all.get(bucket).is_some_and(|bucket| bucket.objects.contains_key(key))
        }
        Change::Older { bucket, older, .. } => !older.is_empty() && buckets.all.contains_key(bucket),
        Change::Upload { bucket, id, .. } | Change::Part { bucket, id, .. } => {
            buckets.all.get(bucket).is_some_and(|bucket| bucket.uploads.contains_key(id))
        }
    });
}

pub fn apply(
    buckets: &mut Buckets,
    change: &Change,
    load: &mut impl FnMut(&[SavedPiece]) -> io::Result<Blob>,
) -> io::Result<()> {
    match change {
        Change::Bucket { name, bucket: Some(SavedBucket { owner, region, made, versioning }) } => {
            let objects = buckets.all.remove(name).map(|bucket| bucket.objects).unwrap_or_default();
            let fresh = Bucket::new(owner.clone(), region.clone(), *made);
            let bucket = Bucket { objects, versioning: *versioning, ..fresh };
            buckets.all.insert(name.clone(), bucket);
        }
        Change::Bucket { name, bucket: None } => {
            buckets.all.remove(name);
        }
        Change::Object { bucket, key, object } => {
            let Some(bucket) = buckets.all.get_mut(bucket) else { return Ok(()) };
            let Some(saved) = object.as_deref() else {
                bucket.objects.remove(key);
                return Ok(());
            };
            bucket.objects.insert(key.clone(), saved.load(load)?);
        }
        Change::Upload { bucket, id, upload: Some(saved) } => {
            let Some(bucket) = buckets.all.get_mut(bucket) else { return Ok(()) };
            let upload = Upload {
                key: saved.key.clone(),
                begun: saved.begun,
                meta: saved.meta.clone(),
                algorithm: saved.algorithm,
                kind: saved.kind,
                asked: saved.asked,
                parts: BTreeMap::new(),
                conflicted: false,
            };
            bucket.uploads.insert(id.clone(), upload);
        }
        Change::Part { bucket, id, number, part } => {
            let upload = buckets.all.get_mut(bucket).and_then(|bucket| bucket.uploads.get_mut(id));
            let Some(upload) = upload else { return Ok(()) };
            let SavedPart { pieces, etag, modified, checksum } = part;
            let part =
                Part { blob: load(pieces)?, etag: etag.clone(), modified: *modified, checksum: checksum.clone() };
            upload.parts.insert(*number, part);
        }
        Change::Older { bucket, key, older } => {
            let Some(bucket) = buckets.all.get_mut(bucket) else { return Ok(()) };
            let mut loaded = |one: &SavedOlder| match one {
                SavedOlder::Object(object) => object.load(load).map(Older::Object),
                SavedOlder::Marker { version, at } => Ok(Older::Marker { version: version.clone(), at: *at }),
            };
            bucket.older.insert(key.clone(), older.iter().map(&mut loaded).collect::<io::Result<_>>()?);
            bucket.older.retain(|_, older| !older.is_empty());
        }
        Change::Upload { .. } => {}
    }
    Ok(())
}

/// Removes files that nothing names: what was written when the process was killed, and what was replaced since.
pub fn sweep(buckets: &Buckets, data: &Path) -> io::Result<()> {
    let mut named = HashSet::new();
    for bucket in buckets.all.values() {
        let parts = bucket.uploads.values().flat_map(|upload| upload.parts.values().map(|part| &part.blob));
        let older = bucket.older.values().flatten().filter_map(|one| match one {
            Older::Object(object) => Some(&object.blob),
            Older::Marker { .. } => None,
        });
        for blob in bucket.objects.values().map(|object| &object.blob).chain(parts).chain(older) {
            named.extend(blob.files().map(Path::to_owned));
        }
    }
    for entry in std::fs::read_dir(data)? {
        let path = entry?.path();
        if !named.contains(&path) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

pub fn rewrite(changes: Changes, path: &Path) -> io::Result<()> {
    let text: String = changes.into_values().map(encode).collect::<io::Result<_>>()?;
    let next = path.with_extension("next");
    std::fs::write(&next, text)?;
    std::fs::rename(next, path)
}
