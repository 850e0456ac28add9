//! The listing cursors of one pass: each lists its segment page by page into the one queue.
//!
//! Invariants: blocks outside the asked range are dropped; a page's memory comes from the listing carve-out and is
//! held until its last item is handed on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::blocks::lock;
use super::budget::{Part, Permit};
use super::call::NO_SEGMENT;
use super::journal::{Record, Topic};
use super::listing::Listing;
use super::protocol::Tone;
use super::segments::Claim;
use super::source::{Page, Routes};
use super::transfer::{Board, Item, Job, halt_of};
use crate::error::{Class, Error, Result};
use crate::ids::BlockRange;
use crate::plan::choices::LISTED_ENTRY;
use crate::units::Bytes;

/// Pages without a block that one cursor follows by itself, before all of them look for the first one.
const ALONE: u32 = 20;
/// Memory of a page is given back in steps of so many blocks.
const GIVE_BACK: u64 = 64;

/// What a cursor is at.
#[derive(Debug, Clone, Copy)]
struct Work {
    /// The segment; none for a range that is listed again.
    segment: Option<u32>,
    from: u32,
    end: u32,
}

/// Lists until everything is listed and drained, or the pass stops.
pub(super) async fn cursor(job: Arc<Job>, board: Arc<Board>, routes: Option<Routes>, first: bool) {
    let stop = job.stopping();
    loop {
        let changed = board.changed.notified();
        let claim = lock(&board.segments).claim(first);
        let work = match claim {
            Claim::Segment { id, from } => Work { segment: Some(id), from, end: u32::MAX },
            Claim::Stolen { id, from, victim } => {
                let record = Record::Split { from: victim, at: from, segment: id };
                if let Err(error) = job.keeper.record(record).await {
                    return job.halt(halt_of(error));
                }
                job.hub.note(
                    Topic::Segment,
                    format!("segment {id}"),
                    format!("takes over from {victim} at {from}"),
                    Tone::Info,
                );
                Work { segment: Some(id), from, end: u32::MAX }
            }
            Claim::Again(range) => Work { segment: None, from: range.start, end: range.end },
            Claim::Over => {
                board.changed.notify_waiters();
                return;
            }
            Claim::Wait => {
                tokio::select! {
                    () = changed => continue,
                    () = stop.cancelled() => return,
                }
            }
        };
        let outcome = tokio::select! {
            outcome = list(&job, &board, routes.as_ref(), work, &stop) => outcome,
            () = stop.cancelled() => return,
        };
        lock(&board.segments).release(work.segment);
        board.changed.notify_waiters();
        if let Err(error) = outcome {
            return job.halt(halt_of(error.during("listing the source")));
        }
    }
}

/// Lists one piece of work to its end (or one page of it, when there is only one cursor).
async fn list(
    job: &Job,
    board: &Arc<Board>,
    routes: Option<&Routes>,
    work: Work,
    stop: &CancellationToken,
) -> Result<()> {
    let Work { segment, mut from, mut end } = work;
    let asks = routes.map(|routes| (&*job.caller, routes));
    let mut listing = Listing::new(&*job.source, asks, from).of_segment(segment.unwrap_or(NO_SEGMENT));
    let page_size = job.page_size.load(Ordering::Relaxed);
    let again = segment.is_none();
    if again && routes.is_some() {
        job.hub.relisted();
    }
    let _comes = job.coming.comes();
    let mut alone = 0;
    loop {
        let room = Bytes(u64::from(page_size) * LISTED_ENTRY.0);
        let permit = job.coming.away(job.budget.acquire_page(room)).await;
        let permit = permit.map_err(|denied| Error { class: Class::Quota, ..denied.into() })?;
        let listed = Instant::now();
        let Page { mut entries, through, .. } = listing.next(page_size).await?;
        let through = match segment {
            Some(id) => {
                end = lock(&board.segments).listed(id, through);
                through.min(end)
            }
            None => through.min(end),
        };
        entries.retain(|entry| entry.index.0 < end);
        let needed = job.keeper.page(segment.map(|id| (id, through)), entries, again).await?;
        if segment.is_some() {
            job.sinks.iter().for_each(|sink| sink.listed(through));
        }
        let found = !needed.is_empty();
        hand_on((job, board), BlockRange::new(from, through), listed, needed, segment, permit, stop).await;
        if found {
            // Until its first block has come through nothing more is asked.
            job.coming.away(board.sung.cancelled()).await;
        } else if alone == ALONE {
            board.sung.cancel();
        }
        alone += 1;
        let came_on = through > from;
        from = through;
        if from >= end {
            return Ok(());
        }
        // An empty page is followed by its token: asked by index again, it may be empty for ever.
        if came_on && lock(&board.segments).has_one_cursor() {
            if again {
                lock(&board.segments).put_back(BlockRange::new(from, end));
            }
            return Ok(());
        }
    }
}

/// Hands a page on, giving back the memory of what was taken.
async fn hand_on(
    (job, board): (&Job, &Arc<Board>),
    range: BlockRange,
    listed: Instant,
    needed: Vec<(super::source::Entry, super::keeper::Todo)>,
    segment: Option<u32>,
    mut memory: Permit,
    stop: &CancellationToken,
) {
    if needed.is_empty() {
        return;
    }
    let ticket = board.open(range, listed, needed.len());
    let mut left = needed.len() as u64;
    for (entry, todo) in needed {
        if left.is_multiple_of(GIVE_BACK) {
            memory.shrink(Part::Listing, Bytes(left * LISTED_ENTRY.0));
        }
        left -= 1;
        let segment = segment.or_else(|| lock(&board.segments).of(entry.index.0)).unwrap_or(NO_SEGMENT);
        let item = Item { entry, todo, segment, page: Arc::clone(&ticket) };
        // An item that cannot be handed on any more comes back by being dropped.
        tokio::select! {
            sent = job.coming.away(board.items.send(item)) => drop(sent),
            () = stop.cancelled() => {}
        }
    }
    Board::handed_on(&ticket);
}

/// A token of this page was refused: the rest of the page is not tried, it is listed again. A second time
/// within a minute, listings seem to void each other's tokens: one cursor goes on alone.
pub(super) async fn refused(job: &Job, board: &Board, page: &super::transfer::Ticket) {
    page.refuse();
    let fall_back = lock(&job.tokens).refused(page.listed, Instant::now());
    if !fall_back {
        return;
    }
    lock(&board.segments).fall_back();
    board.refuse_all();
    board.changed.notify_waiters();
    let text = "block tokens are refused before their time: listings seem to void the tokens of earlier ones. \
                From here on one cursor drains each page before it lists the next";
    job.hub.note(Topic::Segment, "listing", text, Tone::Warning);
    if let Err(error) = job.keeper.record(Record::OneCursor).await {
        job.halt(halt_of(error));
    }
}
