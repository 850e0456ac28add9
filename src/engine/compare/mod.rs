//! Two things compared block by block: both are listed, both are read, nothing is believed of either. Or one archive,
//! held against the digests in its own index.
//!
//! Invariants: what is not listed reads as zeros; a block is the same only when the bytes of both sides were here
//! together (or one side's bytes are zeros and the other side lists nothing); memory is a block of each side for each
//! worker and pages of at most an eighth of the budget; every request goes through the one retry layer. Used by
//! `floe verify`.

mod differences;
mod side;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::task::JoinSet;

pub use self::differences::Differences;
pub use self::side::Side;
pub(super) use self::side::{End, open};
use super::blocks::{Pool, Room, lock};
use super::call::{Caller, NO_SEGMENT, retried};
use super::hub::Hub;
use super::listing::Listing;
use super::source::Entry;
use super::telemetry::{LaneLog, Process};
use crate::error::{Class, Error, Result};
use crate::plan::choices::{LISTED_ENTRY, LISTING_SHARE, PAGE_MIN, floor, lanes_for, listing_share};
use crate::units::{BLOCK_BYTES, Blocks, Bytes, ZERO_BLOCK_SHA256};

/// Requests in flight where nobody asks for a number.
const REQUESTS: u32 = 64;
/// Block tokens refused this often in a row: one worker at a time lists and reads.
const REFUSED_TOGETHER: u32 = 2;
/// And this often: it leads nowhere.
const REFUSED: u32 = 8;

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
    pub lengths: Vec<Bytes>,
    /// Blocks that each side has (listed, or not a hole).
    pub blocks: Vec<Blocks>,
    /// What differs; of an archive alone, what is missing or damaged.
    pub different: Differences,
}

impl Compared {
    /// Whether both are of one length; what stands alone is.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.lengths.iter().all(|length| *length == self.lengths[0])
    }
}

#[derive(Debug)]
struct Shared {
    /// Two, or an archive alone.
    ends: Vec<End>,
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

/// Compares them; a single one, which has to be an archive, with the digests that its index has.
///
/// # Errors
/// A side cannot be listed or read, changes meanwhile, or the memory is too little for one block of each.
pub async fn compare(sides: Vec<Side>, knobs: Knobs, watch: Arc<Watch>) -> Result<Compared> {
    let missing = match sides.as_slice() {
        [] => return Err(Error::usage("there is nothing to compare")),
        [alone] => alone.missing()?,
        _ => Vec::new(),
    };
    let (count, remote) = (sides.len() as u64, sides.iter().filter(|side| side.is_remote()).count());
    let pair: Bytes = sides.iter().map(Side::weight).sum();
    let least = Bytes(floor(pair).0 + LISTING_SHARE * count * u64::from(PAGE_MIN) * LISTED_ENTRY.0);
    if knobs.memory < least {
        return Err(Error::usage(format!("{} of memory is too little to compare blocks", knobs.memory))
            .todo(format!("give it at least --memory {}", Bytes::mib(least.0.div_ceil(Bytes::mib(1).0)))));
    }
    let requests = knobs.concurrency.unwrap_or(REQUESTS).max(1);
    let both_at_once = remote < 2 || requests > 1;
    let wanted = if remote == 2 { (requests / 2).max(1) } else { requests };
    let pages = listing_share(knobs.memory).0 / LISTED_ENTRY.0 / count;
    let affordable = u32::try_from(pages / u64::from(PAGE_MIN)).unwrap_or(u32::MAX).max(1);
    let workers = wanted.min(lanes_for(knobs.memory, pair)).min(affordable);
    let page = u16::try_from((pages / u64::from(workers)).clamp(u64::from(PAGE_MIN), 1000)).unwrap_or(PAGE_MIN);

    let (hub, caller) = Caller::alone(workers);
    let mut ends = Vec::with_capacity(sides.len());
    for side in sides {
        ends.push(open(side, false, &caller).await?);
    }
    let indexes = ends.iter().map(|end| end.source.blocks()).max().unwrap_or_default();
    watch.indexes.store(u64::from(indexes), Ordering::Relaxed);
    let pool = Pool::default();
    pool.keep(workers as usize * ends.len());
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
    let blocks = shared.ends.iter().map(|end| Blocks(end.listed.load(Ordering::Relaxed))).collect();
    let lengths = shared.ends.iter().map(|end| end.length).collect();
    let mut different = std::mem::take(&mut *lock(&shared.different));
    missing.iter().flat_map(|range| range.start..range.end).for_each(|index| different.add(index));
    Ok(Compared { lengths, blocks, different })
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
    let all_at = |at: u32| -> Vec<Cursor<'_>> { shared.ends.iter().map(|end| Cursor::at(shared, end, at)).collect() };
    let mut cursors = all_at(from);
    let mut heads = vec![None; cursors.len()];
    loop {
        for (head, cursor) in heads.iter_mut().zip(&mut cursors) {
            *head = head_of(shared, cursor, end, &mut turn).await?;
        }
        let Some(index) = heads.iter().flatten().min().copied() else { break };
        let at_index = heads.iter().zip(&mut cursors);
        let entries: Vec<Option<Entry>> = at_index
            .map(|(head, cursor)| if *head == Some(index) { cursor.entries.pop_front() } else { None })
            .collect();
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
                cursors = all_at(at);
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
    fn at(shared: &'a Shared, end: &'a End, from: u32) -> Self {
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

/// Whether all sides hold the same bytes here; of an archive alone, whether these are the bytes of its index's digest.
async fn same(shared: &Shared, log: &LaneLog, entries: &[Option<Entry>]) -> Result<bool> {
    let (mut first, mut second) = (Room::default(), Room::default());
    let one = |nth: usize, entry| (&shared.ends[nth], entry);
    let outcome = match entries {
        [Some(alone)] => match read(shared, log, one(0, alone), &mut first).await {
            Ok(_) => Ok(true),
            Err(error) if side::is_lost(&error) => {
                tracing::warn!(%error, "a block of the archive cannot be read");
                Ok(false)
            }
            Err(error) => Err(error),
        },
        [Some(a), Some(b)] => {
            let (a, b) = (one(0, a), one(1, b));
            let read = if shared.both_at_once {
                tokio::try_join!(read(shared, log, a, &mut first), read(shared, log, b, &mut second)).map(|_| ())
            } else {
                match read(shared, log, a, &mut first).await {
                    Ok(_) => read(shared, log, b, &mut second).await.map(|_| ()),
                    Err(error) => Err(error),
                }
            };
            read.map(|()| *first == *second)
        }
        [Some(a), None] => read(shared, log, one(0, a), &mut first).await.map(|digest| digest == ZERO_BLOCK_SHA256),
        [None, Some(b)] => read(shared, log, one(1, b), &mut second).await.map(|digest| digest == ZERO_BLOCK_SHA256),
        _ => Ok(true),
    };
    shared.pool.give_back(first);
    shared.pool.give_back(second);
    outcome
}

async fn read(
    shared: &Shared,
    log: &LaneLog,
    (end, entry): (&End, &Entry),
    into: &mut Room,
) -> Result<crate::units::Digest> {
    let digest = match &end.routes {
        None => end.source.read(entry, &shared.pool, into).await,
        Some(routes) => {
            let tries = shared.caller.tries(&routes.get, log, NO_SEGMENT).counted(end.source.asked());
            retried!(tries, end.source.read(entry, &shared.pool, into))
        }
    }?;
    log.read(NO_SEGMENT, Bytes(BLOCK_BYTES));
    shared.watch.read.fetch_add(1, Ordering::Relaxed);
    Ok(digest)
}
