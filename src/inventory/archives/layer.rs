//! One archive as it is read: its index by chunks, its blocks by ranges.
//!
//! Invariants: the whole index was compared with the manifest's SHA-256 before a row of it is believed, and every later
//! read of it asks for the same ETag; it holds the directory and one chunk of rows, whatever the size of the archive.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Asked, Found, patiently};
use crate::archive::{Damaged, Directory, IndexFacts, Manifest, Row, rows_of};
use crate::aws::{S3, S3Arriving};
use crate::error::{Error, Result};
use crate::ids::BlockIndex;
use crate::units::{Bytes, Digest};

/// What is read of an index at a time while it is compared with its digest.
const STEP: u64 = 4 * 1024 * 1024;

/// An archive that is open.
#[derive(Debug)]
pub struct Layer {
    s3: S3,
    bucket: String,
    root: String,
    manifest: Manifest,
    directory: Directory,
    etag: String,
    /// The chunk that was read last: pages are often smaller.
    last: Mutex<Option<(usize, Arc<Vec<Row>>)>>,
    asked: Arc<Asked>,
}

impl Layer {
    /// Opens an archive whose manifest was found, and compares its index with it.
    ///
    /// # Errors
    /// The index is missing, damaged, or not the manifest's; or as classified.
    pub async fn open(s3: S3, bucket: &str, found: Found) -> Result<Self> {
        let Found { root, manifest, .. } = found;
        let IndexFacts { run, bytes, directory, sha256 } = manifest.index.clone();
        let key = format!("{root}{run}/index.zst");
        let named = |why: String| Error::failed(format!("s3://{bucket}/{key}: {why}")).todo(DAMAGED);
        let head = patiently(|| s3.head(bucket, &key)).await?.ok_or_else(|| named("it is missing".to_owned()))?;
        if head.bytes != bytes {
            return Err(named(format!("it has {}, the manifest says {bytes}", head.bytes)));
        }
        let mut sum = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let keep = usize::try_from(directory.0).unwrap_or_default();
        let (mut at, mut tail) = (0, Vec::new());
        while at < bytes.0 {
            let length = STEP.min(bytes.0 - at);
            let read = patiently(|| s3.read(bucket, &key, at, length, Some(&head.etag))).await?;
            sum.update(&read.data);
            at += length;
            // The directory is at the end: only what may belong to it is kept.
            if at + directory.0 > bytes.0 {
                tail.extend_from_slice(&read.data[read.data.len().saturating_sub(keep)..]);
            }
        }
        let mut found = Digest([0; 32]);
        found.0.copy_from_slice(sum.finish().as_ref());
        if found != sha256 {
            return Err(named("its SHA-256 is not the manifest's".to_owned()));
        }
        let tail = tail.split_off(tail.len().saturating_sub(keep));
        let directory = Directory::read(&tail).map_err(|why| named(why.to_string()))?;
        let (bucket, etag) = (bucket.to_owned(), head.etag);
        Ok(Self { s3, bucket, root, manifest, directory, etag, last: Mutex::default(), asked: Arc::default() })
    }

    /// Chunks and frames that are read from now on are counted there.
    #[must_use]
    pub fn counted(mut self, asked: &Arc<Asked>) -> Self {
        self.asked = Arc::clone(asked);
        self
    }

    /// What it is.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it is: ends with a slash.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Chunks of its index: as many requests as reading all of its rows takes.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.directory.chunks.len()).unwrap_or(u32::MAX)
    }

    /// Requests that comparing an index of so many bytes with its manifest takes.
    #[must_use]
    pub const fn steps(index: Bytes) -> u64 {
        index.0.div_ceil(STEP)
    }

    /// The bucket it is in.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// S3, as it is asked.
    #[must_use]
    pub const fn s3(&self) -> &S3 {
        &self.s3
    }

    /// Indexes of the volume.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        u32::try_from(self.manifest.volume.blocks().0).unwrap_or(u32::MAX)
    }

    /// Rows from `from` on, and the index below which there are no others: one chunk at a time.
    ///
    /// # Errors
    /// A chunk is damaged; or as classified.
    pub async fn rows(&self, from: u32) -> Result<(Vec<Row>, u32)> {
        let blocks = self.blocks();
        let Some(nth) = self.directory.at(BlockIndex(from)) else { return Ok((Vec::new(), blocks)) };
        let through = self.directory.chunks.get(nth + 1).map_or(blocks, |next| next.first.0.min(blocks));
        let rows = self.chunk(nth).await?;
        Ok((rows.iter().filter(|row| row.index.0 >= from).copied().collect(), through))
    }

    async fn chunk(&self, nth: usize) -> Result<Arc<Vec<Row>>> {
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, rows)) = known.filter(|(known, _)| *known == nth) {
            return Ok(rows);
        }
        let key = format!("{}{}/index.zst", self.root, self.manifest.index.run);
        let chunk = self.directory.chunks[nth];
        self.asked.one();
        let read = self.s3.read(&self.bucket, &key, chunk.offset, u64::from(chunk.length), Some(&self.etag)).await?;
        let rows = rows_of(&read.data).and_then(|rows| self.check(rows, chunk.first, chunk.rows));
        let rows =
            Arc::new(rows.map_err(|why| Error::failed(format!("s3://{}/{key}: {why}", self.bucket)).todo(DAMAGED))?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((nth, Arc::clone(&rows)));
        Ok(rows)
    }

    fn check(&self, rows: Vec<Row>, first: BlockIndex, count: u32) -> std::result::Result<Vec<Row>, Damaged> {
        let runs = self.manifest.runs.len();
        let wrong = rows.iter().find(|row| row.index.0 >= self.blocks() || usize::from(row.run) >= runs);
        if let Some(row) = wrong {
            return Err(Damaged(format!("block {} is of no run, or past the end of the volume", row.index)));
        }
        if rows.len() != count as usize || rows.first().is_none_or(|row| row.index != first) {
            return Err(Damaged(format!("the chunk of block {first} is not what the directory says")));
        }
        Ok(rows)
    }

    /// The key of the object that a row points into.
    #[must_use]
    pub fn key(&self, row: &Row) -> String {
        // Rows were checked: the run is one of the manifest's.
        let run = self.manifest.runs.get(usize::from(row.run)).map(ToString::to_string).unwrap_or_default();
        format!("{}{run}/{}", self.root, row.segment)
    }

    /// Asks for the frame of a block: answers when it begins to arrive.
    ///
    /// # Errors
    /// As classified.
    pub async fn frame(&self, row: &Row) -> Result<S3Arriving<'_>> {
        let key = self.key(row);
        self.asked.one();
        let asked = self.s3.ask((&self.bucket, &key), None, u64::from(row.offset), u64::from(row.length), None);
        asked.await.map_err(|error| error.at_block(row.index))
    }
}

const DAMAGED: &str = "this archive is damaged: use another copy of it";
