//! Exact counts of what a snapshot or a delta holds, by listing it in parallel ranges; no data is read.
//!
//! Memory is flat: each of [`LISTINGS`] listings holds one page, counts it and drops it. Called by `floe size`
//! and by whoever wants an exact figure in place of an upper bound.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::aws::{Ebs, Walk};
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, BlockRange, SnapshotId};
use crate::plan::compare::{Change, ChangeMap};
use crate::units::{Blocks, Bytes};

/// Listings at once. Eight full pages in flight (tokens of 60 to 140 bytes, and the JSON they come in) stay under
/// 40 MiB, and at 100 ms a page they use the 50 listings a second that an account has.
pub(super) const LISTINGS: usize = 8;
/// Indexes of one range: a listing reads one page too far at its end, which is 2 % of 26 full pages.
pub(super) const RANGE: u32 = 262_144;
/// Blocks of a page, the most there is.
const PAGE: u16 = 10_000;
/// Pages that a plan looks at: 50,000 changes take it half a second.
const LOOKED_AT: usize = 5;
/// One page, from request to last byte; the slowest seen in the peers' traces took 9 s.
const PAGE_WITHIN: Duration = Duration::from_secs(30);
/// Attempts for one page: with doubling pauses from 100 ms to 5 s, half a minute of trouble.
const ATTEMPTS: u32 = 10;

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Size of the volume (of the second snapshot, for a delta).
    pub volume: Bytes,
    /// Blocks listed: allocated ones of a snapshot; added, changed and removed ones of a delta.
    pub blocks: Blocks,
    /// Of a delta: blocks that only the second snapshot has.
    pub added: Blocks,
    /// Of a delta: blocks that both have, with different contents.
    pub changed: Blocks,
    /// Of a delta: blocks that only the first snapshot has.
    pub removed: Blocks,
}

/// How far a count is, for whoever watches.
#[derive(Debug, Default)]
pub struct Counting {
    /// Blocks so far.
    pub blocks: AtomicU64,
    /// Ranges done.
    pub done: AtomicU64,
    /// Ranges there are; 0 until the volume's size is known.
    pub ranges: AtomicU64,
    /// Where changes lie, for whoever wants to see it.
    pub map: Option<ChangeMap>,
}

/// Listings that counting a volume of that size takes, at most: each range reads a page too far at its end, and the
/// first page tells the size.
#[must_use]
pub const fn lists_at_most(volume: Bytes) -> u64 {
    let ranges = volume.blocks().0.div_ceil(RANGE as u64);
    1 + ranges * ((RANGE as u64).div_ceil(PAGE as u64) + 1)
}

/// What is listed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Listing<'a> {
    Whole(&'a SnapshotId),
    Delta(&'a SnapshotId, &'a SnapshotId),
}

/// One page, reduced to figures.
struct Page {
    volume: Bytes,
    next: Option<String>,
    last: Option<u32>,
    counted: Counted,
    /// Each index, and whether the snapshot (the second one of a delta) has it.
    entries: Vec<(u32, bool)>,
}

/// Counts the allocated blocks of a snapshot.
///
/// # Errors
/// As AWS answers, after the retries that its class allows.
pub async fn snapshot(ebs: &Ebs, id: &SnapshotId, watch: &Counting) -> Result<Counted> {
    count(ebs, Listing::Whole(id), watch).await
}

/// Counts what differs between two snapshots of one lineage.
///
/// # Errors
/// As AWS answers, after the retries that its class allows.
pub async fn delta(ebs: &Ebs, first: &SnapshotId, second: &SnapshotId, watch: &Counting) -> Result<Counted> {
    count(ebs, Listing::Delta(first, second), watch).await
}

/// What differs, as far as [`LOOKED_AT`] pages tell it; true when that is all of it. Says so when they are not of one
/// lineage.
///
/// # Errors
/// As AWS answers, after the retries that its class allows.
pub(super) async fn changes(ebs: &Ebs, first: &SnapshotId, second: &SnapshotId) -> Result<(Counted, bool)> {
    let (all, watch) = (BlockRange::new(0, u32::MAX), Counting::default());
    let (mut total, mut token) = (Counted::default(), None::<String>);
    for _ in 0..LOOKED_AT {
        let page = page(ebs, Listing::Delta(first, second), all, 0, token.as_deref(), PAGE, &watch).await?;
        total = total.and(page.counted);
        token = page.next;
        if token.is_none() {
            return Ok((total, true));
        }
    }
    Ok((total, false))
}

async fn count(ebs: &Ebs, listing: Listing<'_>, watch: &Counting) -> Result<Counted> {
    // The smallest page says how large the volume is.
    let nothing = BlockRange::new(0, 0);
    let volume = page(ebs, listing, nothing, 0, None, 100, watch).await?.volume;
    let end = u32::try_from(volume.blocks().0).map_err(|_| Error::failed(format!("a volume of {volume}")))?;
    let ranges: Vec<BlockRange> = (0..end)
        .step_by(RANGE as usize)
        .map(|start| BlockRange::new(start, start.saturating_add(RANGE).min(end)))
        .collect();
    watch.ranges.store(ranges.len() as u64, Ordering::Relaxed);
    let total = stream::iter(ranges)
        .map(|range| one_range(ebs, listing, range, watch))
        .buffer_unordered(LISTINGS)
        .try_fold(Counted::default(), |sum, part| async move { Ok(sum.and(part)) })
        .await?;
    Ok(Counted { volume, ..total })
}

async fn one_range(ebs: &Ebs, listing: Listing<'_>, range: BlockRange, watch: &Counting) -> Result<Counted> {
    each(ebs, listing, range, watch, |_, _| {}).await
}

/// Hands over each index of a range that is listed, and whether the (second) snapshot has it.
pub(super) async fn each(
    ebs: &Ebs,
    listing: Listing<'_>,
    range: BlockRange,
    watch: &Counting,
    mut take: impl FnMut(u32, bool) + Send,
) -> Result<Counted> {
    let mut total = Counted::default();
    let (mut start, mut token) = (range.start, None::<String>);
    let mut walk = Walk::over(range.len());
    loop {
        let page = match page(ebs, listing, range, start, token.as_deref(), PAGE, watch).await {
            // The page token is gone: go on from the last index that was counted.
            Err(error) if error.class == Class::StalePage && token.is_some() => {
                walk.stale(token.as_deref())?;
                token = None;
                continue;
            }
            other => other?,
        };
        total = total.and(page.counted);
        page.entries.iter().for_each(|(index, there)| take(*index, *there));
        watch.blocks.fetch_add(page.counted.blocks.0, Ordering::Relaxed);
        walk.page(token.as_deref(), page.next.as_deref(), page.last.is_some_and(|last| last >= start))?;
        if let Some(last) = page.last {
            start = last.saturating_add(1);
        }
        // An empty page with a token is not the end; an index past the range is.
        match page.next {
            Some(next) if start < range.end => token = Some(next),
            _ => break,
        }
    }
    watch.done.fetch_add(1, Ordering::Relaxed);
    Ok(total)
}

/// One page with the retries that its errors' class allows; what lies outside of `range` is not counted.
async fn page(
    ebs: &Ebs,
    listing: Listing<'_>,
    range: BlockRange,
    start: u32,
    token: Option<&str>,
    max: u16,
    watch: &Counting,
) -> Result<Page> {
    let mut pause = Duration::from_millis(100);
    for attempt in 1.. {
        let asked = tokio::time::timeout(PAGE_WITHIN, ask(ebs, listing, range, start, token, max, watch)).await;
        let error = match asked {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(error)) => error,
            Err(_) => Error::transient(format!("a page of blocks did not come within {} s", PAGE_WITHIN.as_secs())),
        };
        let again =
            matches!(error.class, Class::Transient | Class::Throttled(_) | Class::Congestion | Class::ClockSkew);
        if !again || attempt >= ATTEMPTS {
            return Err(error);
        }
        tracing::debug!(%error, attempt, "a page of blocks is asked for again");
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
    Err(Error::failed("no page of blocks was asked for"))
}

async fn ask(
    ebs: &Ebs,
    listing: Listing<'_>,
    range: BlockRange,
    start: u32,
    token: Option<&str>,
    max: u16,
    watch: &Counting,
) -> Result<Page> {
    let start = Some(BlockIndex(start));
    let mut counted = Counted::default();
    Ok(match listing {
        Listing::Whole(id) => {
            let page = ebs.list_blocks(id, start, token, max).await?;
            counted.blocks = Blocks(page.blocks.iter().filter(|entry| range.contains(entry.index)).count() as u64);
            let entries = page.blocks.iter().map(|entry| (entry.index.0, true)).collect();
            Page { volume: page.volume, next: page.next, last: page.blocks.last().map(|e| e.index.0), counted, entries }
        }
        Listing::Delta(first, second) => {
            let page = ebs.list_changed(first, second, start, token, max).await?;
            for entry in page.blocks.iter().filter(|entry| range.contains(entry.index)) {
                let (kind, change) = match (&entry.first, &entry.second) {
                    (None, _) => (&mut counted.added, Change::Added),
                    (Some(_), None) => (&mut counted.removed, Change::Removed),
                    (Some(_), Some(_)) => (&mut counted.changed, Change::Changed),
                };
                *kind += Blocks(1);
                // No await lies between here and the sums, so that the map holds what the sums hold.
                if let Some(map) = &watch.map {
                    map.add(entry.index, page.volume, change);
                }
                counted.blocks += Blocks(1);
            }
            let entries = page.blocks.iter().map(|entry| (entry.index.0, entry.second.is_some())).collect();
            Page { volume: page.volume, next: page.next, last: page.blocks.last().map(|e| e.index.0), counted, entries }
        }
    })
}

impl Counted {
    fn and(self, other: Self) -> Self {
        Self {
            volume: self.volume.max(other.volume),
            blocks: self.blocks + other.blocks,
            added: self.added + other.added,
            changed: self.changed + other.changed,
            removed: self.removed + other.removed,
        }
    }
}
