//! An archive as a source: one, or a whole one with the deltas that go onto it, read as what they are together.
//!
//! Invariants: the newest archive that has a block gives it; a block is believed when it has the SHA-256 of its row in
//! an index that has the SHA-256 of the manifest that the plan pinned; what is missing is left out only where the user
//! said so, and then by the ranges that the plan showed; a block takes one buffer on its way, that of its frame or its
//! own, and both only while it is unpacked, which few are at a time: the job keeps memory for those.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::unpack::Unpackers;
use super::{Content, Entry, Page, Routes, Source};
use crate::archive::Row;
use crate::aws::{CORRUPT, Session};
use crate::engine::blocks::{Pool, Room, lock};
use crate::engine::call::Caller;
use crate::engine::rate::Api;
use crate::engine::turns::Turns;
use crate::error::{Class, Error, Result};
use crate::ids::BlockRange;
use crate::inventory::archives::{self, Asked, Layer};
use crate::plan::ArchiveLayer;
use crate::units::{Bytes, Digest};

/// Where a block of an archive is: which layer, and the row of its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Stored {
    pub layer: u16,
    pub row: Row,
}

/// Archives in one bucket that make up one volume, the oldest first.
#[derive(Debug)]
pub(in crate::engine) struct ArchiveSource {
    session: Session,
    layers: Vec<Layer>,
    pinned: Vec<ArchiveLayer>,
    unpackers: Unpackers,
    turns: Turns,
    /// Blocks that came damaged, and how often.
    suspects: Mutex<BTreeMap<(u16, u32), u32>>,
    asked: Arc<Asked>,
}

/// What comes damaged so often was not damaged on its way.
const DAMAGED: u32 = 3;

impl ArchiveSource {
    /// Opens what the plan pinned; so many blocks are unpacked at a time.
    ///
    /// # Errors
    /// A manifest is not the one that the plan saw; an index is damaged; or as classified.
    pub(in crate::engine) async fn open(
        session: Session,
        bucket: &str,
        pinned: &[ArchiveLayer],
        unpackers: u32,
    ) -> Result<Self> {
        let mut layers = Vec::with_capacity(pinned.len());
        let asked = Arc::<Asked>::default();
        for layer in pinned {
            let found = same(&session, bucket, layer).await?;
            layers.push(Layer::open(session.s3().clone(), bucket, found).await?.counted(&asked));
        }
        if layers.is_empty() {
            return Err(Error::failed("the plan's source is no archive"));
        }
        let (pinned, suspects, turns) = (pinned.to_vec(), Mutex::default(), Turns::default());
        Ok(Self { session, layers, pinned, unpackers: Unpackers::new(unpackers), turns, suspects, asked })
    }

    /// Whether the object of a row is not there. What an older archive has instead is not what was archived.
    fn is_missing(&self, stored: &Stored) -> bool {
        let index = stored.row.index;
        let Some(layer) = self.pinned.get(usize::from(stored.layer)) else { return true };
        let after = layer.gaps.partition_point(|gap| gap.end <= index.0);
        layer.gaps.get(after).is_some_and(|gap: &BlockRange| gap.contains(index))
    }

    /// A block that is not what it should be: read again, and after a few times given up, because it lies there so.
    fn damaged(&self, layer: &Layer, stored: &Stored, why: String) -> Error {
        let index = stored.row.index;
        let mut suspects = lock(&self.suspects);
        let times = suspects.entry((stored.layer, index.0)).or_default();
        *times += 1;
        let what = format!("s3://{}/{}: {why}", layer.bucket(), layer.key(&stored.row));
        let error = if *times < DAMAGED { Error::transient(what) } else { Error::failed(what) };
        error.at_block(index).todo("this object is damaged: use another copy of the archive")
    }
}

/// The manifest of a layer, still the one that was pinned.
async fn same(session: &Session, bucket: &str, layer: &ArchiveLayer) -> Result<archives::Found> {
    let found = archives::find(session.s3(), bucket, &layer.root).await?;
    match found {
        Some(found) if found.digest == layer.manifest => Ok(found),
        Some(_) => Err(Error::failed(format!("s3://{bucket}/{} was replaced since the plan was made", layer.root))
            .todo("make a new plan of the archive as it is now")),
        None => Err(Error::failed(format!("the archive s3://{bucket}/{} is not there any more", layer.root))
            .todo("floe ls archives names what is there")),
    }
}

#[async_trait]
impl Source for ArchiveSource {
    fn blocks(&self) -> u32 {
        self.layers.last().map_or(0, Layer::blocks)
    }

    async fn page(&self, from: u32, _token: Option<&str>, max: u16) -> Result<Page> {
        let (mut through, mut all) = (self.blocks(), Vec::new());
        for (nth, layer) in self.layers.iter().enumerate() {
            let (rows, known) = layer.rows(from).await?;
            // A base may be of a smaller volume: past its end it has nothing.
            if known < layer.blocks() {
                through = through.min(known);
            }
            let nth = u16::try_from(nth).unwrap_or(u16::MAX);
            all.extend(rows.into_iter().map(|row| Stored { layer: nth, row }));
        }
        // Of two that have a block the newer one comes last, and is the one that stays.
        all.sort_by_key(|stored| (stored.row.index, stored.layer));
        let mut entries: Vec<Entry> = Vec::new();
        for stored in all.into_iter().filter(|stored| stored.row.index.0 < through) {
            let index = stored.row.index;
            let entry = Entry { index, content: Content::Stored(Box::new(stored)) };
            match entries.last_mut() {
                Some(last) if last.index == index => *last = entry,
                _ => entries.push(entry),
            }
        }
        if let Some(next) = entries.get(usize::from(max)) {
            through = next.index.0;
            entries.truncate(usize::from(max));
        }
        entries.retain(|entry| !matches!(&entry.content, Content::Stored(stored) if self.is_missing(stored)));
        Ok(Page { entries, through, next: None })
    }

    async fn read(&self, entry: &Entry, pool: &Pool, into: &mut Room) -> Result<Digest> {
        let Content::Stored(stored) = &entry.content else {
            return Err(Error::failed("a block of an archive has no row").at_block(entry.index));
        };
        let layer = self.layers.get(usize::from(stored.layer));
        let layer =
            layer.ok_or_else(|| Error::failed("a block of an archive that is not open").at_block(entry.index))?;
        // What an attempt before this one left there: asking takes neither memory nor a place.
        pool.vacate(into);
        let arriving = layer.frame(&stored.row).await?;
        into.enter().await;
        let taken = async {
            let mut frame = pool.take();
            arriving.read(&mut frame).await.map_err(|error| error.at_block(entry.index))?;
            Ok::<_, Error>(frame)
        };
        let frame = self.turns.take(taken).await?;
        match self.unpackers.unpack(frame, pool, into).await {
            Ok(found) if found == stored.row.digest => Ok(found),
            Ok(_) => Err(self.damaged(layer, stored, CORRUPT.to_owned())),
            Err(error) if error.class == Class::Transient => Err(self.damaged(layer, stored, error.what)),
            Err(error) => Err(error.at_block(entry.index)),
        }
    }

    async fn unchanged(&self) -> Result<()> {
        for (layer, pinned) in self.layers.iter().zip(&self.pinned) {
            same(&self.session, layer.bucket(), pinned).await?;
        }
        Ok(())
    }

    fn keeps(&self) -> Bytes {
        self.unpackers.keep()
    }

    fn is_mutable(&self) -> bool {
        false
    }

    /// A page that lies in the chunk that was read last is no request.
    fn asked(&self) -> Option<&Asked> {
        Some(&self.asked)
    }

    fn routes(&self, caller: &Caller) -> Option<Routes> {
        let route = caller.route(Api::Fetch, &self.session, None);
        Some(Routes { list: Arc::clone(&route), get: route })
    }
}
