//! An archive of flexible-snapshot-proxy as a source: whole segments are read, checked and unpacked, and blocks taken
//! out of them.
//!
//! Invariants: a segment counts only when its blocks together have the SHA-256 of its name; at most [`OPEN`] of them are
//! unpacked at a time (the job keeps memory for so many, and for the names of all); lanes that need the same one wait for one read of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::{Content, Entry, Page, Routes, Source};
use crate::archive::Decompressor;
use crate::aws::{CORRUPT, Session};
use crate::engine::blocks::{Pool, Room, digest_of, lock};
use crate::engine::call::Caller;
use crate::engine::rate::Api;
use crate::error::{Error, Result};
use crate::ids::BlockIndex;
use crate::inventory::archives::{Asked, Fsp, FspSegment};
use crate::units::{BLOCK_BYTES, Bytes, Digest};

use crate::plan::choices::{FSP_OPEN as OPEN, fsp_keeps};

type Unpacked = Arc<OnceCell<Arc<Vec<u8>>>>;

/// One snapshot's folder.
#[derive(Debug)]
pub(in crate::engine) struct FspSource {
    session: Session,
    bucket: String,
    folder: String,
    found: Fsp,
    open: Mutex<VecDeque<(usize, Unpacked)>>,
    asked: Asked,
}

const BLOCK: usize = BLOCK_BYTES as usize;

impl FspSource {
    /// Opens what the plan pinned.
    ///
    /// # Errors
    /// It is not the same any more; or as classified.
    pub(in crate::engine) async fn open(session: Session, bucket: &str, folder: &str, pinned: Digest) -> Result<Self> {
        let found = same(&session, bucket, folder, pinned).await?;
        let (bucket, folder) = (bucket.to_owned(), folder.to_owned());
        Ok(Self { session, bucket, folder, found, open: Mutex::default(), asked: Asked::default() })
    }

    /// The segment that holds a block.
    fn segment_of(&self, index: BlockIndex) -> Option<usize> {
        let after = self.found.segments.partition_point(|segment| segment.name.range.end <= index.0);
        self.found.segments.get(after).filter(|segment| segment.name.range.contains(index)).map(|_| after)
    }

    async fn unpacked(&self, nth: usize) -> Result<Arc<Vec<u8>>> {
        let cell = {
            let mut open = lock(&self.open);
            match open.iter().find(|(known, _)| *known == nth) {
                Some((_, cell)) => Arc::clone(cell),
                None => {
                    open.truncate(OPEN - 1);
                    let cell = Unpacked::default();
                    open.push_front((nth, Arc::clone(&cell)));
                    cell
                }
            }
        };
        cell.get_or_try_init(|| self.fetch(self.found.segments[nth])).await.cloned()
    }

    async fn fetch(&self, segment: FspSegment) -> Result<Arc<Vec<u8>>> {
        let key = format!("{}{}", self.folder, segment.name.key());
        self.asked.one();
        let read = self.session.s3().read(&self.bucket, &key, 0, u64::from(segment.bytes), None).await?;
        let length = segment.name.range.len() as usize * BLOCK;
        let opened = tokio::task::spawn_blocking(move || {
            let mut data = vec![0; length];
            let mut opener = Decompressor::new().map_err(|e| e.to_string())?;
            opener.open(&read.data, &mut data).map_err(|why| why.to_string())?;
            let digest = Digest::of(&data);
            Ok::<_, String>((data, digest))
        });
        let opened = opened.await.map_err(|e| Error::failed(format!("unpacking a segment: {e}")))?;
        let named = |why: String| {
            Error::transient(format!("s3://{}/{key}: {why}", self.bucket)).at_block(segment.name.first()).todo(DAMAGED)
        };
        match opened {
            Ok((data, digest)) if digest == segment.name.digest => Ok(Arc::new(data)),
            Ok(_) => Err(named(CORRUPT.to_owned())),
            Err(why) => Err(named(format!("{CORRUPT}: {why}"))),
        }
    }
}

const DAMAGED: &str = "if it stays so, this segment is damaged: use another copy of the archive";

async fn same(session: &Session, bucket: &str, folder: &str, pinned: Digest) -> Result<Fsp> {
    match Fsp::open(session.s3(), bucket, folder).await? {
        Some(found) if found.digest() == pinned => Ok(found),
        _ => Err(changed(bucket, folder)),
    }
}

fn changed(bucket: &str, folder: &str) -> Error {
    Error::failed(format!("s3://{bucket}/{folder} changed since the plan was made"))
        .todo("make a new plan of it as it is now")
}

#[async_trait]
impl Source for FspSource {
    fn blocks(&self) -> u32 {
        u32::try_from(self.found.root.volume.blocks().0).unwrap_or(u32::MAX)
    }

    async fn page(&self, from: u32, _token: Option<&str>, max: u16) -> Result<Page> {
        let after = self.found.segments.partition_point(|segment| segment.name.range.end <= from);
        let rest = self.found.segments.get(after..).unwrap_or_default().iter();
        let indexes = rest.flat_map(|segment| segment.name.range.start.max(from)..segment.name.range.end);
        let entry = |index| Entry { index: BlockIndex(index), content: Content::File };
        let entries: Vec<Entry> = indexes.take(usize::from(max)).map(entry).collect();
        let through = match entries.last() {
            Some(last) if entries.len() == usize::from(max) => last.index.0 + 1,
            _ => self.blocks(),
        };
        Ok(Page { entries, through, next: None })
    }

    async fn read(&self, entry: &Entry, pool: &Pool, into: &mut Room) -> Result<Digest> {
        let nth = self.segment_of(entry.index);
        let nth = nth.ok_or_else(|| Error::failed("no segment holds this block").at_block(entry.index))?;
        let data = self.unpacked(nth).await?;
        let at = (entry.index.0 - self.found.segments[nth].name.range.start) as usize * BLOCK;
        pool.provide(into);
        into.clear();
        into.extend_from_slice(&data[at..at + BLOCK]);
        Ok(digest_of(into))
    }

    fn keeps(&self) -> Bytes {
        fsp_keeps(self.found.largest(), self.found.segments.len() as u64)
    }

    async fn unchanged(&self) -> Result<()> {
        // Added up while it is listed: a second list of all names would have no place in the budget.
        let now = Fsp::sum_of(self.session.s3(), &self.bucket, &self.folder).await?;
        if now == self.found.sum() { Ok(()) } else { Err(changed(&self.bucket, &self.folder)) }
    }

    fn is_listed_remotely(&self) -> bool {
        false
    }

    fn is_mutable(&self) -> bool {
        false
    }

    /// A block of a segment that is unpacked is no request.
    fn asked(&self) -> Option<&Asked> {
        Some(&self.asked)
    }

    fn routes(&self, caller: &Caller) -> Option<Routes> {
        let route = caller.route(Api::Fetch, &self.session, None);
        Some(Routes { list: Arc::clone(&route), get: route })
    }
}
