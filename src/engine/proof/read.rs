//! Blocks read back side by side, and handed over in index order.
//!
//! Invariants: each read has, in this order and before it begins, a slot of the job's window, its turn under the
//! limits of bytes a second, and memory; all three are taken in index order, so that a block whose bytes wait for
//! the ones before it can never keep those from being read. Whoever stops listening ends the reads.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::course::{Course, inside};
use crate::engine::blocks::{Room, zeros};
use crate::engine::budget::{Part, Permit, Weight};
use crate::engine::call::{READ_BACK, retried};
use crate::engine::sink::Desk;
use crate::engine::source::{Content, Entry, Routes, Source};
use crate::engine::transfer::Job;
use crate::engine::window::Slot;
use crate::error::{Class, Error, Result};
use crate::ids::BlockIndex;
use crate::plan::choices::FETCHED_ITEM;
use crate::units::{BLOCK_BYTES, Bytes, Digest, ZERO_BLOCK_SHA256};

/// Blocks that may be read before the one that is waited for …
const AHEAD: usize = 1024;
/// … and where their bytes are kept until then.
const AHEAD_HELD: usize = 64;

/// What is read back: the destination as a source.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub desk: &'a Desk,
    pub source: Arc<dyn Source>,
    pub routes: Option<Routes>,
    /// How long the whole is: the bytes past it are padding.
    pub length: Bytes,
}

/// A block and what it should hash to.
pub(super) type Wanted = (Entry, Digest);

/// What a read needs before it begins.
type Pass = (Slot, Permit);

/// A block that was read: its digest, and its bytes where they are wanted.
struct Got {
    digest: Digest,
    bytes: Option<(Room, Permit)>,
}

/// A block that may be read now; a hole needs nothing.
type Opened = (Wanted, Option<Pass>);

/// The next block in order, and what it should hash to.
type Read = (BlockIndex, Digest, Got);

impl Reader<'_> {
    /// Compares these blocks, which ascend, with what they should be. The first that differs ends it.
    ///
    /// # Errors
    /// The one that `wrong` makes of a block that differs; or as the reads failed.
    pub(super) async fn compare(
        &self,
        wanted: Vec<Wanted>,
        course: &mut Course<'_>,
        wrong: impl Fn(BlockIndex) -> Error,
    ) -> Result<()> {
        let keeps = course.wants_bytes();
        let ahead = if keeps { AHEAD_HELD } else { AHEAD };
        let mut wanted = wanted.into_iter();
        let mut reading = FuturesOrdered::new();
        let mut opening: Option<BoxFuture<'_, Result<Opened>>> = None;
        loop {
            if opening.is_none() && reading.len() < ahead {
                opening = wanted.next().map(|wanted| self.open(wanted).boxed());
            }
            tokio::select! {
                biased;
                Some(read) = reading.next(), if !reading.is_empty() => {
                    let (index, digest, got): Read = read?;
                    if got.digest != digest {
                        return Err(wrong(index));
                    }
                    self.take(index, got, course);
                    course.block(index).await?;
                }
                Some(opened) = ready(&mut opening), if opening.is_some() => {
                    opening = None;
                    let ((entry, digest), pass) = opened?;
                    let index = entry.index;
                    let begun = pass.map(|pass| self.begin(entry, pass, keeps));
                    reading.push_back(landed(index, digest, begun));
                }
                else => return Ok(()),
            }
        }
    }

    /// Its bytes, where they are wanted; then its memory goes back.
    fn take(&self, index: BlockIndex, got: Got, course: &mut Course<'_>) {
        if course.wants_bytes() {
            let inside = inside(self.length, index);
            course.hash(&got.bytes.as_ref().map_or(zeros(), |(bytes, _)| &bytes[..])[..inside]);
        }
        if let Some((bytes, permit)) = got.bytes {
            self.desk.work.pool.give_back(bytes);
            drop(permit);
        }
    }

    /// What a block needs to be read; nothing for a hole.
    async fn open(&self, wanted: Wanted) -> Result<Opened> {
        let pass = if wanted.0.content == Content::Hole { None } else { Some(self.pass().await?) };
        Ok((wanted, pass))
    }

    async fn pass(&self) -> Result<Pass> {
        let work = &self.desk.work;
        let slot = work.hub.gate.acquire().await;
        work.bytes_may_go().await;
        let block = Weight::of(Part::Blocks, Bytes(BLOCK_BYTES));
        let weight = match self.routes {
            Some(_) => block.and(Part::Connections, FETCHED_ITEM.less(Bytes(BLOCK_BYTES))),
            None => block,
        };
        let denied = |denied| Error { class: Class::Quota, ..Error::from(denied) };
        let permit = match work.budget.try_acquire(weight) {
            Some(permit) => permit,
            None => {
                work.hub.waited_for_memory();
                work.budget.acquire(weight).await.map_err(denied)?
            }
        };
        Ok((slot, permit))
    }

    fn begin(&self, entry: Entry, pass: Pass, keeps: bool) -> AbortOnDropHandle<Result<Got>> {
        let (work, source, routes) = (Arc::clone(&self.desk.work), Arc::clone(&self.source), self.routes.clone());
        AbortOnDropHandle::new(tokio::spawn(async move { read(&work, &*source, routes, &entry, pass, keeps).await }))
    }
}

/// What the pending one comes to; it stays where it is as long as it is pending.
async fn ready<T>(pending: &mut Option<BoxFuture<'_, T>>) -> Option<T> {
    match pending {
        Some(future) => Some(future.await),
        None => None,
    }
}

/// A read at its end; a hole is there at once.
async fn landed(index: BlockIndex, digest: Digest, reading: Option<AbortOnDropHandle<Result<Got>>>) -> Result<Read> {
    let got = match reading {
        Some(reading) => reading.await.map_err(|e| Error::failed(format!("reading back: {e}")))??,
        None => Got { digest: ZERO_BLOCK_SHA256, bytes: None },
    };
    Ok((index, digest, got))
}

async fn read(
    work: &Job,
    source: &dyn Source,
    routes: Option<Routes>,
    entry: &Entry,
    (slot, permit): Pass,
    keeps: bool,
) -> Result<Got> {
    let (log, began) = (work.caller.log(), Instant::now());
    let mut buffer = Room::default();
    let outcome = match &routes {
        Some(routes) => {
            let tries = work.caller.tries(&routes.get, log, READ_BACK).counted(source.asked());
            retried!(tries, source.read(entry, &work.pool, &mut buffer))
        }
        None => source.read(entry, &work.pool, &mut buffer).await,
    };
    drop(slot);
    if outcome.is_ok() {
        log.read(READ_BACK, Bytes(BLOCK_BYTES));
        work.hub.item_done(began.elapsed());
    }
    if outcome.is_ok() && keeps {
        return outcome.map(|digest| Got { digest, bytes: Some((buffer, permit)) });
    }
    work.pool.give_back(buffer);
    outcome.map(|digest| Got { digest, bytes: None })
}
