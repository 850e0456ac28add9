//! The keeper's thread: takes what the doors say, one after another, and writes it down in the order that makes a
//! crash harmless: a file's data, then digests and bits, then the journal's `listed`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Ask, Board, Counts, MapCell, OnTrouble, PUBLISH_EVERY, SegmentCount, Todo};
use crate::engine::blocks::lock;
use crate::engine::crash::{self, Point};
use crate::engine::journal::{Journal, Record};
use crate::engine::ledger::{Dest, Ledger, Scan, Wanted};
use crate::engine::sink::Sink;
use crate::engine::source::Entry;
use crate::error::Result;
use crate::ids::{BlockIndex, BlockRange};
use crate::units::{BLOCK_BYTES, Blocks, Bytes, Digest};

/// A batch of a file is synced when it is this large …
const BATCH: Bytes = Bytes::mib(64);
/// … or this old. The ledger is flushed as often.
const FLUSH_EVERY: Duration = Duration::from_millis(1000);

/// Blocks that a file has and that are not synced yet.
#[derive(Debug, Default)]
struct Batch {
    blocks: Vec<(BlockIndex, Digest)>,
    since: Option<Instant>,
}

/// The thread's own state.
pub(super) struct Desk {
    ledger: Ledger,
    journal: Journal,
    sinks: Vec<Arc<dyn Sink>>,
    alive: Todo,
    /// Destinations whose last sync failed: what was written until they are opened anew may be lost.
    broken: Todo,
    batches: Vec<Batch>,
    /// `listed_through` of segments, to be journaled after the next flush.
    listed_ahead: Vec<(u32, u32)>,
    board: Arc<Board>,
    trouble: OnTrouble,
    flushed: Instant,
    published: Option<Instant>,
}

fn dest_of(dest: usize) -> Dest {
    Dest(u16::try_from(dest).unwrap_or(u16::MAX))
}

impl Desk {
    pub(super) fn new(
        ledger: Ledger,
        journal: Journal,
        sinks: Vec<Arc<dyn Sink>>,
        board: Arc<Board>,
        trouble: OnTrouble,
    ) -> Self {
        Self {
            batches: sinks.iter().map(|_| Batch::default()).collect(),
            alive: Todo((0..sinks.len()).fold(0, |all, dest| all | 1 << dest)),
            ledger,
            journal,
            sinks,
            broken: Todo::default(),
            listed_ahead: Vec::new(),
            board,
            trouble,
            flushed: Instant::now(),
            published: None,
        }
    }

    pub(super) fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        self.publish();
        while let Some(ask) = asked.blocking_recv() {
            self.take(ask);
            let due = self.flushed.elapsed() >= FLUSH_EVERY;
            if due
                && self.has_unsaved()
                && let Err(error) = self.commit()
            {
                (self.trouble)(None, error);
            }
            if self.published.is_none_or(|at| at.elapsed() >= PUBLISH_EVERY) {
                self.publish();
            }
        }
        // Every door is closed: what can be saved is saved, so that a resume has less to do.
        if let Err(error) = self.commit() {
            tracing::warn!(%error, "the ledger could not be saved at the end");
        }
        self.publish();
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Tick => {}
            Ask::Journal { record, sync, answer } => {
                let outcome = self.write(*record, sync);
                match answer {
                    Some(answer) => drop(answer.send(outcome)),
                    None => {
                        if let Err(error) = outcome {
                            tracing::warn!(%error, "a note could not be written");
                        }
                    }
                }
            }
            Ask::Picture(answer) => drop(answer.send(self.journal.picture().clone())),
            Ask::Page { segment, entries, again, answer } => drop(answer.send(self.page(segment, entries, again))),
            Ask::Done { dest, index, digest } => {
                if let Err(error) = self.done(dest, index, digest) {
                    (self.trouble)(Some(dest), error);
                }
            }
            Ask::Alive(alive) => (self.alive, self.broken) = (alive, Todo::default()),
            Ask::Commit(answer) => {
                let outcome = self.commit();
                // A job that is over by what comes next shows all that it did.
                self.publish();
                drop(answer.send(outcome));
            }
            Ask::Linear { dest, omit_zeros, answer } => {
                drop(answer.send(self.ledger.linear(dest_of(dest), omit_zeros)));
            }
            Ask::Digests { dest, from, max, answer } => {
                drop(answer.send(self.ledger.done_digests(dest_of(dest), from, max)));
            }
            Ask::Pending { answer } => drop(answer.send(self.pending())),
            Ask::Listed { range, answer } => drop(answer.send(self.listed_in(range))),
            Ask::Clear { dest, range, answer } => {
                match range {
                    None => self.batches[dest] = Batch::default(),
                    Some(range) => self.batches[dest].blocks.retain(|(index, _)| !range.contains(*index)),
                }
                let range = range.unwrap_or_else(|| self.ledger.range());
                drop(answer.send(self.ledger.clear_done(dest_of(dest), range).map(|_| ())));
            }
        }
    }

    fn write(&mut self, record: Record, sync: bool) -> Result<()> {
        let now = crate::wall::now();
        if sync { self.journal.append_sync(now, record) } else { self.journal.append(now, record) }
    }

    fn living(&self) -> Vec<Dest> {
        (0..self.sinks.len()).filter(|dest| self.alive.has(*dest)).map(dest_of).collect()
    }

    fn page(&mut self, segment: Option<(u32, u32)>, entries: Vec<Entry>, again: bool) -> Result<Vec<(Entry, Todo)>> {
        if again {
            self.commit()?; // what is written and not synced must not be read a second time
        }
        let mut needed = Vec::with_capacity(entries.len());
        for entry in entries {
            self.ledger.mark_listed(entry.index)?;
            let mut todo = Todo::default();
            for dest in 0..self.sinks.len() {
                if self.alive.has(dest) && !self.ledger.is_done(dest_of(dest), entry.index)? {
                    todo = todo.with(dest);
                }
            }
            if !todo.is_empty() {
                needed.push((entry, todo));
            }
        }
        if let Some(through) = segment {
            self.listed_ahead.retain(|(id, _)| *id != through.0);
            self.listed_ahead.push(through);
        }
        Ok(needed)
    }

    fn done(&mut self, dest: usize, index: BlockIndex, digest: Digest) -> Result<()> {
        crash::here(Point::AcknowledgedBeforeLedger);
        if !self.sinks[dest].needs_sync() {
            return self.ledger.mark_done(dest_of(dest), index, &digest).map(|_| ());
        }
        if self.broken.has(dest) {
            return Ok(()); // written before the sync that failed, told of after it
        }
        let batch = &mut self.batches[dest];
        batch.blocks.push((index, digest));
        batch.since.get_or_insert_with(Instant::now);
        if batch.blocks.len() as u64 * BLOCK_BYTES >= BATCH.0 { self.sync(dest) } else { Ok(()) }
    }

    /// Syncs a file and marks what it has. A failed sync is final for its batch: nothing of it is marked, the
    /// destination hears of it, reopens the file and writes those blocks again.
    fn sync(&mut self, dest: usize) -> Result<()> {
        let batch = std::mem::take(&mut self.batches[dest]);
        if batch.blocks.is_empty() {
            return Ok(());
        }
        self.sinks[dest].sync().inspect_err(|_| self.broken = self.broken.with(dest))?;
        crash::here(Point::SyncedBeforeLedger);
        for (index, digest) in &batch.blocks {
            self.ledger.mark_done(dest_of(dest), *index, digest)?;
        }
        Ok(())
    }

    fn listed_in(&self, range: BlockRange) -> Result<Option<Blocks>> {
        let ahead = |id: &u32| self.listed_ahead.iter().find(|(ahead, _)| ahead == id).map(|(_, through)| *through);
        let segments = &self.journal.picture().segments;
        let is_open = segments.iter().any(|(id, segment)| {
            let through = ahead(id).unwrap_or(segment.through);
            through.max(segment.range.start).max(range.start) < segment.range.end.min(range.end)
        });
        if segments.is_empty() || is_open {
            return Ok(None);
        }
        self.ledger.count(&Wanted::Listed, range).map(Some)
    }

    fn has_unsaved(&self) -> bool {
        !self.ledger.is_flushed() || !self.listed_ahead.is_empty() || self.batches.iter().any(|b| !b.blocks.is_empty())
    }

    /// Data, then digests and bits, then the journal's `listed`.
    fn commit(&mut self) -> Result<()> {
        self.flushed = Instant::now();
        for dest in 0..self.sinks.len() {
            if let Err(error) = self.sync(dest) {
                (self.trouble)(Some(dest), error);
            }
        }
        self.ledger.flush()?;
        let done = (0..self.sinks.len()).map(|dest| self.ledger.done(dest_of(dest)).0).sum();
        self.board.saved.store(done, Ordering::Relaxed);
        for (segment, through) in std::mem::take(&mut self.listed_ahead) {
            self.write(Record::Listed { segment, through }, false)?;
        }
        self.flushed = Instant::now();
        Ok(())
    }

    /// Runs closer than a page of listing are joined: what lies between is listed again and left out.
    fn pending(&mut self) -> Result<Vec<BlockRange>> {
        const NEAR: u32 = 10_000;
        self.commit()?;
        let mut scan = Scan::new(Wanted::Pending(self.living()), self.ledger.range());
        let mut found: Vec<BlockRange> = Vec::new();
        while let Some(run) = scan.next(&self.ledger)? {
            match found.last_mut() {
                Some(last) if run.start - last.end < NEAR => last.end = run.end,
                _ => found.push(run),
            }
        }
        Ok(found)
    }

    fn publish(&mut self) {
        self.published = Some(Instant::now());
        match self.counts() {
            Ok(counts) => *lock(&self.board.counts) = counts,
            Err(error) => tracing::warn!(%error, "the ledger could not be counted"),
        }
    }

    fn counts(&self) -> Result<Counts> {
        let living = self.living();
        let listed = self.ledger.listed();
        let by_dest: Vec<Blocks> = (0..self.sinks.len()).map(|dest| self.ledger.done(dest_of(dest))).collect();
        let left = self.board.watched.load(Ordering::Relaxed);
        let watched = left > 0;
        self.board.watched.store(left.saturating_sub(1), Ordering::Relaxed);
        let done_in = |range: BlockRange, listed: Blocks| -> Result<Blocks> {
            let open = self.ledger.count(&Wanted::Pending(living.clone()), range)?;
            Ok(listed.less(open))
        };
        // With one destination the counter is exact; with several, "every destination" has to be counted.
        let done = match living.as_slice() {
            [] => Blocks::ZERO,
            [one] => self.ledger.done(*one),
            several => listed.less(self.ledger.behind(several)?),
        };
        let through =
            |id: &u32, known: u32| self.listed_ahead.iter().find(|(ahead, _)| ahead == id).map_or(known, |a| a.1);
        let segments = &self.journal.picture().segments;
        let listed_whole = !segments.is_empty() && segments.iter().all(|(id, s)| through(id, s.through) >= s.range.end);
        let mut counts =
            Counts { listed, done, by_dest, listed_whole, memory: self.ledger.memory(), ..Counts::default() };
        if watched {
            for (id, segment) in segments {
                let listed = self.ledger.count(&Wanted::Listed, segment.range)?;
                let done = if living.is_empty() { Blocks::ZERO } else { done_in(segment.range, listed)? };
                let through = through(id, segment.through);
                counts.segments.push(SegmentCount { id: *id, range: segment.range, through, listed, done });
            }
            let cells = crate::engine::protocol::JobDetail::MAP_CELLS;
            let map = self.ledger.map(self.ledger.range(), cells, &living)?;
            counts.span = map.first().map_or(1, |cell| cell.range.len());
            counts.map = map.into_iter().map(|c| MapCell { range: c.range, listed: c.listed, done: c.done }).collect();
        }
        Ok(counts)
    }
}
