//! What is inside a snapshot, a file, a device, an object or an archive: [`crate::disk`] looks, this reads for it.
//!
//! Invariants: a block is read when a sector of it is asked for, and not before; what is not listed reads as zeros and
//! costs no Get; every request goes through the one retry layer; memory is [`KEPT`] blocks, whatever the disk's size.
//! Used by `floe inspect` and by the deck; dropping the future stops it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::blocks::{Pool, Room};
use super::call::{Caller, NO_SEGMENT, retried};
use super::compare::{End, Side, open};
use super::listing::Listing;
use super::source::Entry;
use crate::disk::{self, Inside, MOST_BLOCKS, Sectors};
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, Region};
use crate::plan::choices::PAGE_MIN;
use crate::plan::{Api, Prices};
use crate::units::{BLOCK_BYTES, Bytes, Quantity, Usd};

/// Blocks that are kept while a disk is looked at: 8 MiB.
const KEPT: usize = 16;
/// Tokens refused so often for one block: it leads nowhere.
const STALE: u32 = 3;

/// How far a look is, for whoever watches.
#[derive(Debug, Default)]
pub struct Watch {
    /// Blocks read.
    pub read: AtomicU64,
    /// Pages listed.
    pub listed: AtomicU64,
}

/// What reading took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reads {
    /// Blocks read; holes are none.
    pub blocks: u64,
    /// Pages listed.
    pub lists: u64,
    /// What it cost.
    pub usd: Quantity<Usd>,
}

impl Reads {
    /// Requests together.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.blocks + self.lists
    }
}

/// What was found, and what finding it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Looked {
    /// What was found.
    #[serde(flatten)]
    pub inside: Inside,
    /// What it took.
    pub reads: Reads,
}

/// What requests cost where it lies; nothing on this machine.
#[derive(Debug, Clone)]
enum Tariff {
    Here,
    Ebs(Region),
    S3(Region),
}

impl Tariff {
    fn of(side: &Side) -> Self {
        match side {
            Side::File(_) => Self::Here,
            Side::Snapshot(session, _) => Self::Ebs(session.region().clone()),
            Side::Kept(session, ..) => Self::S3(session.region().clone()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a few hundred requests")]
    fn usd(&self, blocks: u64, lists: u64) -> Quantity<Usd> {
        let prices = Prices::bundled();
        let (get, list) = match self {
            Self::Here => return Quantity::exact(Usd(0.0)),
            Self::Ebs(region) => (prices.request(Api::Get, region), prices.request(Api::List, region)),
            // Reading is all that S3 is asked for here; what an archive lists comes from its index.
            Self::S3(region) => {
                let get = prices.s3("STANDARD", region).get;
                (get, Quantity::exact(Usd(0.0)))
            }
        };
        let value = Usd(get.value.0 * blocks as f64 + list.value.0 * lists as f64);
        Quantity { value, sure: get.sure.and(list.sure) }
    }
}

/// What a look takes at most, before it is made.
#[must_use]
pub fn most(side: &Side) -> Reads {
    let blocks = MOST_BLOCKS as u64;
    let lists = if matches!(side, Side::Snapshot(..)) { blocks } else { 0 };
    let mut usd = Tariff::of(side).usd(blocks, lists);
    usd.sure = usd.sure.and(crate::units::Sure::AtMost);
    Reads { blocks, lists, usd }
}

/// What a look at a snapshot takes at most.
#[must_use]
pub fn most_of_snapshot(region: &Region) -> Quantity<Usd> {
    let blocks = MOST_BLOCKS as u64;
    let usd = Tariff::Ebs(region.clone()).usd(blocks, blocks);
    Quantity { value: usd.value, sure: usd.sure.and(crate::units::Sure::AtMost) }
}

/// Looks what is on it.
///
/// # Errors
/// It cannot be listed or read.
pub async fn inspect(side: Side, watch: Arc<Watch>) -> Result<Looked> {
    let tariff = Tariff::of(&side);
    // A disk that is in use is looked at as it is: nothing is kept of what changes meanwhile.
    let (_hub, caller) = Caller::alone(1);
    let end = open(side, true, &caller).await?;
    let pool = Pool::default();
    pool.keep(1);
    let blocks = Blocks { end, caller, pool, watch: Arc::clone(&watch), state: Mutex::default() };
    let inside = disk::look(&blocks).await?;
    let (read, listed) = (watch.read.load(Ordering::Relaxed), watch.listed.load(Ordering::Relaxed));
    Ok(Looked { inside, reads: Reads { blocks: read, lists: listed, usd: tariff.usd(read, listed) } })
}

/// A disk, block by block.
#[derive(Debug)]
struct Blocks {
    end: End,
    caller: Caller,
    pool: Pool,
    watch: Arc<Watch>,
    state: Mutex<State>,
}

/// What is known so far.
#[derive(Debug, Default)]
struct State {
    /// Blocks that were read, the latest last; no bytes for a hole.
    kept: VecDeque<(u32, Option<BytesMut>)>,
    /// Entries of the pages that were listed.
    entries: BTreeMap<u32, Entry>,
    /// Indexes that those pages cover: from, and up to but without.
    covered: Vec<(u32, u32)>,
}

#[async_trait]
impl Sectors for Blocks {
    fn length(&self) -> Bytes {
        self.end.length
    }

    async fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut state = self.state.lock().await;
        let (mut at, mut rest) = (offset, into);
        while !rest.is_empty() {
            let within = usize::try_from(at % BLOCK_BYTES).unwrap_or_default();
            let length = rest.len().min(usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX) - within);
            let (part, more) = rest.split_at_mut(length);
            let index = u32::try_from(at / BLOCK_BYTES).map_err(|_| Error::failed("no volume is that long"))?;
            match self.block(&mut state, index).await? {
                Some(block) => match block.get(within..within + length) {
                    Some(bytes) => part.copy_from_slice(bytes),
                    None => return Err(Error::failed("a block is too short").at_block(BlockIndex(index))),
                },
                None => part.fill(0),
            }
            (at, rest) = (at + length as u64, more);
        }
        Ok(())
    }
}

impl Blocks {
    /// The bytes of a block; none where it is a hole.
    async fn block<'s>(&self, state: &'s mut State, index: u32) -> Result<Option<&'s BytesMut>> {
        if !state.kept.iter().any(|(known, _)| *known == index) {
            let block = self.fetch(state, index).await?;
            if state.kept.len() == KEPT {
                state.kept.pop_front();
            }
            state.kept.push_back((index, block));
        }
        Ok(state.kept.iter().find(|(known, _)| *known == index).and_then(|(_, block)| block.as_ref()))
    }

    async fn fetch(&self, state: &mut State, index: u32) -> Result<Option<BytesMut>> {
        for attempt in 1.. {
            self.list(state, index).await?;
            let Some(entry) = state.entries.get(&index) else { return Ok(None) };
            match self.read(entry).await {
                Ok(block) => return Ok(Some(block)),
                // Its page is listed again, for a token that is accepted.
                Err(error) if error.class == Class::StaleToken && attempt < STALE => {
                    state.covered.clear();
                    state.entries.clear();
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::failed("no block was asked for"))
    }

    /// Lists from `index` on, unless that was done.
    async fn list(&self, state: &mut State, index: u32) -> Result<()> {
        if state.covered.iter().any(|(from, to)| (*from..*to).contains(&index)) {
            return Ok(());
        }
        let asks = self.end.routes.as_ref().map(|routes| (&self.caller, routes));
        let mut listing = Listing::new(&*self.end.source, asks, index);
        while listing.through() <= index && !listing.is_over() {
            let page = listing.next(PAGE_MIN).await?;
            if self.end.routes.is_some() {
                self.watch.listed.fetch_add(1, Ordering::Relaxed);
            }
            state.entries.extend(page.entries.into_iter().map(|entry| (entry.index.0, entry)));
        }
        state.covered.push((index, listing.through().max(index.saturating_add(1))));
        Ok(())
    }

    async fn read(&self, entry: &Entry) -> Result<BytesMut> {
        let mut block = Room::default();
        match &self.end.routes {
            None => {
                self.end.source.read(entry, &self.pool, &mut block).await?;
            }
            Some(routes) => {
                let tries =
                    self.caller.tries(&routes.get, self.caller.log(), NO_SEGMENT).counted(self.end.source.asked());
                retried!(tries, self.end.source.read(entry, &self.pool, &mut block))?;
            }
        }
        self.watch.read.fetch_add(1, Ordering::Relaxed);
        Ok(block.into_buffer())
    }
}
