//! Two things compared block by block: both are listed, both are read, nothing is believed of either.
//!
//! Invariants: what is not listed reads as zeros; a block is the same only when the bytes of both sides were here
//! together (or one side's bytes are zeros and the other side lists nothing); memory is two blocks for each worker
//! and pages of at most an eighth of the budget; every request goes through the one retry layer. Used by `floe verify`.

mod differences;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::MutexGuard;
use tokio::task::JoinSet;

pub use self::differences::Differences;
use super::blocks::{Pool, lock};
use super::call::{Caller, NO_SEGMENT, Quotas, retried};
use super::hub::Hub;
use super::listing::Listing;
use super::protocol::Lanes;
use super::rate::{Limiters, PerSecond};
use super::source::{ArchiveSource, Entry, FileSource, FspSource, Holes, Routes, SnapshotSource, Source, pin_file};
use super::telemetry::{LaneLog, Process};
use super::window::Bounds;
use crate::aws::Session;
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, JobId, SnapshotId};
use crate::plan::choices::{
    FETCHED_ITEM, LISTED_ENTRY, LISTING_SHARE, LOCAL_ITEM, PAGE_MIN, REQUESTS_PER_SECOND, floor, lanes_for,
    listing_share,
};
use crate::plan::{SourceKind, item_weight};
use crate::units::{BLOCK_BYTES, Blocks, Bytes, ZERO_BLOCK_SHA256};

/// Requests in flight where nobody asks for a number.
const REQUESTS: u32 = 64;
/// Block tokens refused this often in a row: one worker at a time lists and reads.
const REFUSED_TOGETHER: u32 = 2;
/// And this often: it leads nowhere.
const REFUSED: u32 = 8;

/// One of the two.
#[derive(Debug)]
pub enum Side {
    /// A snapshot, in the session of its account and region.
    Snapshot(Session, SnapshotId),
    /// An image file or a device.
    File(PathBuf),
    /// An archive, and what it goes onto, in the session of its bucket; and how long its volume is.
    Archive(Session, SourceKind, Bytes),
}

/// How it is done.
#[derive(Debug, Clone, Copy)]
pub struct Knobs {
    /// At most this many requests in flight.
    pub concurrency: Option<u32>,
    /// The most memory for blocks and listings.
    pub memory: Bytes,
}

/// How far it is, for whoever watches.
#[derive(Debug, Default)]
pub struct Watch {
    /// Indexes there are; 0 until both sides were opened.
    pub indexes: AtomicU64,
    /// Indexes that were handed out.
    pub reached: AtomicU64,
    /// Blocks read, of both sides together.
    pub read: AtomicU64,
    /// Blocks that differ.
    pub different: AtomicU64,
    /// Requests sent again.
    pub retries: AtomicU64,
    /// Requests that were throttled.
    pub throttles: AtomicU64,
    /// The largest resident size seen.
    pub peak_rss: AtomicU64,
}

/// What came out.
#[derive(Debug)]
pub struct Compared {
    /// How long each side is.
    pub lengths: [Bytes; 2],
    /// Blocks that each side has (listed, or not a hole).
    pub blocks: [Blocks; 2],
    /// What differs.
    pub different: Differences,
}

/// One side, opened.
#[derive(Debug)]
struct End {
    source: Arc<dyn Source>,
    routes: Option<Routes>,
    length: Bytes,
    listed: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    ends: [End; 2],
    caller: Caller,
    hub: Arc<Hub>,
    pool: Pool,
    next: AtomicU32,
    indexes: u32,
    stride: u32,
    page: u16,
    both_at_once: bool,
    /// Listings void each other's tokens: from here on one worker at a time.
    one_at_a_time: AtomicBool,
    turn: tokio::sync::Mutex<()>,
    different: Mutex<Differences>,
    watch: Arc<Watch>,
}

/// Where one side's listing stands in one range.
#[derive(Debug)]
struct Cursor<'a> {
    entries: VecDeque<Entry>,
    listing: Listing<'a>,
    /// The first listed block that was dropped because it is past the range.
    beyond: Option<u32>,
}

/// Compares them.
///
/// # Errors
/// A side cannot be listed or read, changes meanwhile, or the memory is too little for one block of each.
pub async fn compare(sides: [Side; 2], knobs: Knobs, watch: Arc<Watch>) -> Result<Compared> {
    let remote = sides.iter().filter(|side| !matches!(side, Side::File(_))).count();
    let item = |side: &Side| match side {
        Side::Snapshot(..) => FETCHED_ITEM,
        Side::File(_) => LOCAL_ITEM,
        Side::Archive(_, kind, _) => item_weight(kind),
    };
    let pair: Bytes = sides.iter().map(item).sum();
    let least = Bytes(floor(pair).0 + LISTING_SHARE * 2 * u64::from(PAGE_MIN) * LISTED_ENTRY.0);
    if knobs.memory < least {
        return Err(Error::usage(format!("{} of memory is too little to compare two blocks", knobs.memory))
            .todo(format!("give it at least --memory {}", Bytes::mib(least.0.div_ceil(Bytes::mib(1).0)))));
    }
    let requests = knobs.concurrency.unwrap_or(REQUESTS).max(1);
    let both_at_once = remote < 2 || requests > 1;
    let wanted = if remote == 2 { (requests / 2).max(1) } else { requests };
    let pages = listing_share(knobs.memory).0 / LISTED_ENTRY.0 / 2;
    let affordable = u32::try_from(pages / u64::from(PAGE_MIN)).unwrap_or(u32::MAX).max(1);
    let workers = wanted.min(lanes_for(knobs.memory, pair)).min(affordable);
    let page = u16::try_from((pages / u64::from(workers)).clamp(u64::from(PAGE_MIN), 1000)).unwrap_or(PAGE_MIN);

    let bounds = Bounds { start: workers, most: workers };
    let hub = Hub::new(JobId(0), bounds, Lanes::Auto, crate::engine::journal::Progress::default(), Vec::new(), None);
    let per_second = PerSecond(REQUESTS_PER_SECOND);
    let quotas = Quotas {
        get_per_snapshot: per_second,
        put_per_snapshot: per_second,
        get_per_account: per_second,
        put_per_account: per_second,
    };
    let caller = Caller::new(Arc::clone(&hub), Arc::new(Limiters::default()), quotas);
    let [first, second] = sides;
    let ends = [open(first, &caller).await?, open(second, &caller).await?];
    let indexes = ends[0].source.blocks().max(ends[1].source.blocks());
    watch.indexes.store(u64::from(indexes), Ordering::Relaxed);
    let pool = Pool::default();
    pool.keep(workers as usize * 2);
    let stride = (indexes / (workers * 4)).clamp(u32::from(PAGE_MIN), u32::from(page));
    let shared = Arc::new(Shared {
        ends,
        caller,
        hub,
        pool,
        next: AtomicU32::new(0),
        indexes,
        stride,
        page,
        both_at_once,
        one_at_a_time: AtomicBool::new(false),
        turn: tokio::sync::Mutex::default(),
        different: Mutex::default(),
        watch,
    });
    work(&shared, workers).await?;
    for end in &shared.ends {
        end.source.unchanged().await?;
    }
    let blocks = [0, 1].map(|nth: usize| Blocks(shared.ends[nth].listed.load(Ordering::Relaxed)));
    let lengths = [shared.ends[0].length, shared.ends[1].length];
    let different = std::mem::take(&mut *lock(&shared.different));
    Ok(Compared { lengths, blocks, different })
}

async fn open(side: Side, caller: &Caller) -> Result<End> {
    let (source, length): (Arc<dyn Source>, Bytes) = match side {
        Side::File(path) => {
            let kind = pin_file(&path)?;
            let length = match &kind {
                SourceKind::File { length, .. } => *length,
                _ => Bytes::ZERO,
            };
            (Arc::new(FileSource::open(&kind, Holes::LeftOut, false)?), length)
        }
        Side::Archive(session, kind, length) => {
            let source: Arc<dyn Source> = match &kind {
                SourceKind::Archive { bucket, layers, .. } => {
                    Arc::new(ArchiveSource::open(session, bucket, layers).await?)
                }
                SourceKind::Fsp { bucket, folder, listing, .. } => {
                    Arc::new(FspSource::open(session, bucket, folder, *listing).await?)
                }
                _ => return Err(Error::failed("one of the two is no archive")),
            };
            (source, length)
        }
        Side::Snapshot(session, id) => {
            let route = caller.route(super::rate::Api::List, &session, Some(&id));
            let ebs = session.ebs();
            let page = retried!(caller.own_tries(&route), ebs.list_blocks(&id, Some(BlockIndex(0)), None, PAGE_MIN))?;
            (Arc::new(SnapshotSource::new(session, id, page.volume)), page.volume)
        }
    };
    let routes = source.routes(caller);
    Ok(End { source, routes, length, listed: AtomicU64::new(0) })
}

/// Runs the workers; the first that fails ends all.
async fn work(shared: &Arc<Shared>, workers: u32) -> Result<()> {
    let mut running = JoinSet::new();
    for _ in 0..workers {
        let shared = Arc::clone(shared);
        running.spawn(async move { worker(&shared).await });
    }
    let mut process = Process::new();
    let mut beat = tokio::time::interval(Duration::from_millis(250));
    let outcome = loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                None => break Ok(()),
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => break Err(error),
                Some(Err(error)) => break Err(Error::failed(format!("a worker of the comparison ended: {error}"))),
            },
            _ = beat.tick() => picture(shared, &mut process),
        }
    };
    picture(shared, &mut process);
    running.shutdown().await;
    outcome
}

fn picture(shared: &Shared, process: &mut Process) {
    shared.hub.tick(|| None);
    let troubles = shared.hub.figures().troubles;
    let watch = &shared.watch;
    watch.retries.store(troubles.retries, Ordering::Relaxed);
    watch.throttles.store(troubles.throttles(), Ordering::Relaxed);
    watch.peak_rss.store(process.sample().rss_peak.0, Ordering::Relaxed);
    let reached = shared.next.load(Ordering::Relaxed).min(shared.indexes);
    watch.reached.store(u64::from(reached), Ordering::Relaxed);
}

async fn worker(shared: &Shared) -> Result<()> {
    let log = shared.hub.lane_log();
    loop {
        let step = |next: u32| (next < shared.indexes).then(|| next.saturating_add(shared.stride));
        let Ok(from) = shared.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) else { return Ok(()) };
        range(shared, &log, from, from.saturating_add(shared.stride).min(shared.indexes)).await?;
    }
}

/// Compares the blocks of `from..end`.
async fn range(shared: &Shared, log: &LaneLog, from: u32, end: u32) -> Result<()> {
    let mut turn = None;
    let mut refused = 0;
    let mut at = from;
    let mut cursors = [Cursor::at(shared, 0, from), Cursor::at(shared, 1, from)];
    let mut heads = [None, None];
    loop {
        for (nth, head) in heads.iter_mut().enumerate() {
            *head = head_of(shared, &mut cursors[nth], end, &mut turn).await?;
        }
        let Some(index) = heads.iter().flatten().min().copied() else { break };
        let mut of = |nth: usize| {
            if heads[nth] == Some(index) { cursors[nth].entries.pop_front() } else { None }
        };
        let entries = [of(0), of(1)];
        match same(shared, log, &entries).await {
            Ok(same) => {
                (at, refused) = (index + 1, 0);
                for (end, _) in shared.ends.iter().zip(&entries).filter(|(_, entry)| entry.is_some()) {
                    end.listed.fetch_add(1, Ordering::Relaxed);
                }
                if !same {
                    lock(&shared.different).add(index);
                    shared.watch.different.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) if error.class == Class::StaleToken => {
                refused += 1;
                if refused >= REFUSED_TOGETHER {
                    shared.one_at_a_time.store(true, Ordering::Relaxed);
                }
                if refused > REFUSED {
                    return Err(error.during("the service refuses the block tokens that it has just given"));
                }
                shared.hub.relisted();
                cursors = [Cursor::at(shared, 0, at), Cursor::at(shared, 1, at)];
            }
            Err(error) => return Err(error),
        }
    }
    // Nothing at all up to the first block that either side has: nobody needs to look there.
    if at == from {
        let empty = cursors.iter().map(Cursor::empty_to).min().unwrap_or(end);
        shared.next.fetch_max(empty.min(shared.indexes), Ordering::Relaxed);
    }
    Ok(())
}

impl<'a> Cursor<'a> {
    fn at(shared: &'a Shared, nth: usize, from: u32) -> Self {
        let end = &shared.ends[nth];
        let asks = end.routes.as_ref().map(|routes| (&shared.caller, routes));
        Self { entries: VecDeque::new(), listing: Listing::new(&*end.source, asks, from), beyond: None }
    }

    /// Where the next block may be, when none was found before it. Past its end a side has nothing.
    fn empty_to(&self) -> u32 {
        self.beyond.unwrap_or(if self.listing.is_over() { u32::MAX } else { self.listing.through() })
    }
}

/// The next listed block of a side, below `end`; lists as far as that takes.
async fn head_of<'a>(
    shared: &'a Shared,
    cursor: &mut Cursor<'_>,
    end: u32,
    turn: &mut Option<MutexGuard<'a, ()>>,
) -> Result<Option<u32>> {
    loop {
        if let Some(entry) = cursor.entries.front() {
            return Ok(Some(entry.index.0));
        }
        if cursor.beyond.is_some() || cursor.listing.is_over() || cursor.listing.through() >= end {
            return Ok(None);
        }
        if turn.is_none() && shared.one_at_a_time.load(Ordering::Relaxed) {
            *turn = Some(shared.turn.lock().await);
        }
        let page = cursor.listing.next(shared.page).await?;
        cursor.beyond = page.entries.iter().map(|entry| entry.index.0).find(|index| *index >= end);
        cursor.entries.extend(page.entries.into_iter().filter(|entry| entry.index.0 < end));
    }
}

/// Whether both sides hold the same bytes here.
async fn same(shared: &Shared, log: &LaneLog, entries: &[Option<Entry>; 2]) -> Result<bool> {
    let (mut first, mut second) = (BytesMut::new(), BytesMut::new());
    let one = |nth: usize, entry| (&shared.ends[nth], entry);
    let outcome = match (&entries[0], &entries[1]) {
        (Some(a), Some(b)) => {
            let (a, b) = (one(0, a), one(1, b));
            let read = if shared.both_at_once {
                tokio::try_join!(read(shared, log, a, &mut first), read(shared, log, b, &mut second)).map(|_| ())
            } else {
                match read(shared, log, a, &mut first).await {
                    Ok(_) => read(shared, log, b, &mut second).await.map(|_| ()),
                    Err(error) => Err(error),
                }
            };
            read.map(|()| first == second)
        }
        (Some(a), None) => read(shared, log, one(0, a), &mut first).await.map(|digest| digest == ZERO_BLOCK_SHA256),
        (None, Some(b)) => read(shared, log, one(1, b), &mut second).await.map(|digest| digest == ZERO_BLOCK_SHA256),
        (None, None) => Ok(true),
    };
    shared.pool.give_back(first);
    shared.pool.give_back(second);
    outcome
}

async fn read(
    shared: &Shared,
    log: &LaneLog,
    (end, entry): (&End, &Entry),
    into: &mut BytesMut,
) -> Result<crate::units::Digest> {
    let digest = match &end.routes {
        None => end.source.read(entry, &shared.pool, into).await,
        Some(routes) => {
            let tries = shared.caller.tries(&routes.get, log, NO_SEGMENT);
            retried!(tries, end.source.read(entry, &shared.pool, into))
        }
    }?;
    log.read(NO_SEGMENT, Bytes(BLOCK_BYTES));
    shared.watch.read.fetch_add(1, Ordering::Relaxed);
    Ok(digest)
}
