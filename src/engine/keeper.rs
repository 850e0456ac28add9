//! The keeper of one job's ledger and journal: a thread of its own, reached by messages.
//!
//! Lanes never touch the disk of the ledger or wait for its lock: they send what was written and go on.
//! Invariants: a block is marked done only after its destination has it durably (files are synced first, in
//! batches bounded in bytes and time); `listed_through` is journaled only after the ledger was flushed. What
//! fronts see of counts, segments and the map is taken here at one moment, so that sums add up.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::blocks::lock;
use super::crash::{self, Point};
use super::journal::{Journal, Picture, Record};
use super::ledger::{Dest, Ledger, Linear, Scan, Wanted};
use super::sink::Sink;
use super::source::Entry;
use crate::error::{Error, Result};
use crate::ids::{BlockIndex, BlockRange};
use crate::units::{BLOCK_BYTES, Blocks, Bytes, Digest};

/// Messages that wait for the keeper at most; a lane that finds it full waits, holding no memory.
const QUEUE: usize = 1024;
/// A batch of a file is synced when it is this large …
pub(super) const BATCH: Bytes = Bytes::mib(64);
/// … or this old. The ledger is flushed as often.
const FLUSH_EVERY: Duration = Duration::from_millis(1000);
/// How often counts and the map are taken for fronts.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);

/// Destinations a job can have: one bit each in [`Todo`].
pub(super) const MAX_DESTINATIONS: usize = 64;

/// Which destinations still need a block: bit `n` for destination `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Todo(pub u64);

impl Todo {
    pub(super) const fn has(self, dest: usize) -> bool {
        self.0 >> dest & 1 == 1
    }
    pub(super) const fn with(self, dest: usize) -> Self {
        Self(self.0 | 1 << dest)
    }
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What the ledger says at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// Blocks listed.
    pub listed: Blocks,
    /// Blocks that every destination has that has not failed.
    pub done: Blocks,
    /// Whether every segment's listing ended.
    pub listed_whole: bool,
    /// Blocks by destination.
    pub by_dest: Vec<Blocks>,
    /// Segments with their listed and done blocks; only while somebody watches.
    pub segments: Vec<SegmentCount>,
    /// The block map; only while somebody watches.
    pub map: Vec<MapCell>,
    /// Indexes per cell of it.
    pub span: u32,
}

/// One segment in [`Counts`].
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentCount {
    pub id: u32,
    pub range: BlockRange,
    pub through: u32,
    pub listed: Blocks,
    pub done: Blocks,
}

/// One cell in [`Counts`].
#[derive(Debug, Clone, Copy)]
pub(super) struct MapCell {
    pub range: BlockRange,
    pub listed: u32,
    pub done: u32,
}

/// Shared with whoever draws.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub counts: Mutex<Counts>,
    /// For so many publications somebody wants segments and the map.
    watched: AtomicU8,
}

impl Board {
    /// Somebody looks: keep the segments and the map for a few more seconds.
    pub(super) fn watch(&self) {
        self.watched.store(12, Ordering::Relaxed);
    }
}

enum Ask {
    Journal {
        record: Box<Record>,
        sync: bool,
        answer: Option<oneshot::Sender<Result<()>>>,
    },
    Picture(oneshot::Sender<Picture>),
    Page {
        segment: Option<(u32, u32)>,
        entries: Vec<Entry>,
        again: bool,
        answer: oneshot::Sender<Result<Vec<(Entry, Todo)>>>,
    },
    Done {
        dest: usize,
        index: BlockIndex,
        digest: Digest,
    },
    Alive(Todo),
    Commit(oneshot::Sender<Result<()>>),
    Linear {
        dest: usize,
        omit_zeros: bool,
        answer: oneshot::Sender<Result<Linear>>,
    },
    Digests {
        dest: usize,
        from: BlockIndex,
        max: usize,
        answer: oneshot::Sender<Result<Vec<(BlockIndex, Digest)>>>,
    },
    Pending {
        answer: oneshot::Sender<Result<Vec<BlockRange>>>,
    },
    Clear {
        dest: usize,
        answer: oneshot::Sender<Result<()>>,
    },
    Tick,
}

/// A door to the keeper; clones are the same one. The thread ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    asks: mpsc::Sender<Ask>,
    board: Arc<Board>,
}

/// What ended a keeper's work for a destination, or for the whole job.
pub(super) type OnTrouble = Box<dyn Fn(Option<usize>, Error) + Send>;

impl Keeper {
    /// Starts the thread. `sinks` are asked to sync; `trouble` hears of failures that no caller waits for.
    pub(super) fn start(
        ledger: Ledger,
        journal: Journal,
        sinks: Vec<Arc<dyn Sink>>,
        trouble: OnTrouble,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (asks, asked) = mpsc::channel(QUEUE);
        let board = Arc::new(Board::default());
        let alive = Todo((0..sinks.len()).fold(0, |all, dest| all | 1 << dest));
        let desk = Desk {
            batches: sinks.iter().map(|_| Batch::default()).collect(),
            ledger,
            journal,
            sinks,
            alive,
            broken: Todo::default(),
            listed_ahead: Vec::new(),
            board: Arc::clone(&board),
            trouble,
            flushed: Instant::now(),
            published: None,
        };
        let thread = tokio::task::spawn_blocking(move || desk.run(asked));
        let ticks = asks.downgrade();
        tokio::spawn(async move {
            let mut every = tokio::time::interval(PUBLISH_EVERY);
            loop {
                every.tick().await;
                let Some(asks) = ticks.upgrade() else { return };
                let _ = asks.try_send(Ask::Tick); // a full queue wakes it as well
            }
        });
        (Self { asks, board }, thread)
    }

    pub(super) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(make(answer)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())
    }

    /// Journals and waits until it is on the disk: before a call with effects.
    pub(super) async fn journal(&self, record: Record) -> Result<()> {
        self.ask(|answer| Ask::Journal { record: Box::new(record), sync: true, answer: Some(answer) }).await?
    }

    /// Journals what may be lost in a power cut; never waits for the disk.
    pub(super) fn note(&self, record: Record) {
        let _ = self.asks.try_send(Ask::Journal { record: Box::new(record), sync: false, answer: None });
    }

    /// Journals in order; on the disk when something later is.
    pub(super) async fn record(&self, record: Record) -> Result<()> {
        self.ask(|answer| Ask::Journal { record: Box::new(record), sync: false, answer: Some(answer) }).await?
    }

    /// What the journal says.
    pub(super) async fn picture(&self) -> Result<Picture> {
        self.ask(Ask::Picture).await
    }

    /// Notes a page as listed (through the index given for its segment, once that is durable) and tells which
    /// destinations need each block; blocks that nobody needs are left out. `again` for pages of blocks that
    /// were listed before.
    pub(super) async fn page(
        &self,
        segment: Option<(u32, u32)>,
        entries: Vec<Entry>,
        again: bool,
    ) -> Result<Vec<(Entry, Todo)>> {
        self.ask(|answer| Ask::Page { segment, entries, again, answer }).await?
    }

    /// A destination acknowledged a block.
    pub(super) async fn done(&self, dest: usize, index: BlockIndex, digest: Digest) -> Result<()> {
        self.asks.send(Ask::Done { dest, index, digest }).await.map_err(|_| closed())
    }

    /// Which destinations count: those that failed do not. Said between two passes, when nothing is being written.
    pub(super) async fn alive(&self, alive: Todo) -> Result<()> {
        self.asks.send(Ask::Alive(alive)).await.map_err(|_| closed())
    }

    /// Makes everything said so far durable.
    pub(super) async fn commit(&self) -> Result<()> {
        self.ask(Ask::Commit).await?
    }

    /// Count and LINEAR checksum of what a destination has.
    pub(super) async fn linear(&self, dest: usize, omit_zeros: bool) -> Result<Linear> {
        self.ask(|answer| Ask::Linear { dest, omit_zeros, answer }).await?
    }

    /// The next blocks that a destination has, with their digests.
    pub(super) async fn digests(&self, dest: usize, from: BlockIndex, max: usize) -> Result<Vec<(BlockIndex, Digest)>> {
        self.ask(|answer| Ask::Digests { dest, from, max, answer }).await?
    }

    /// Ranges that hold every block that is listed and missing somewhere; near ones are joined.
    pub(super) async fn pending(&self) -> Result<Vec<BlockRange>> {
        self.ask(|answer| Ask::Pending { answer }).await?
    }

    /// Forgets what a destination had: it starts anew.
    pub(super) async fn clear(&self, dest: usize) -> Result<()> {
        self.ask(|answer| Ask::Clear { dest, answer }).await?
    }
}

fn closed() -> Error {
    Error::stopped("the job's ledger is closed")
}

/// Blocks that a file has and that are not synced yet.
#[derive(Debug, Default)]
struct Batch {
    blocks: Vec<(BlockIndex, Digest)>,
    since: Option<Instant>,
}

/// The thread's own state.
struct Desk {
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
    fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
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
            Ask::Commit(answer) => drop(answer.send(self.commit())),
            Ask::Linear { dest, omit_zeros, answer } => {
                drop(answer.send(self.ledger.linear(dest_of(dest), omit_zeros)));
            }
            Ask::Digests { dest, from, max, answer } => {
                drop(answer.send(self.ledger.done_digests(dest_of(dest), from, max)));
            }
            Ask::Pending { answer } => drop(answer.send(self.pending())),
            Ask::Clear { dest, answer } => {
                self.batches[dest] = Batch::default();
                let range = self.ledger.range();
                drop(answer.send(self.ledger.clear_done(dest_of(dest), range).map(|_| ())));
            }
        }
    }

    fn write(&mut self, record: Record, sync: bool) -> Result<()> {
        let now = Timestamp::now();
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
            _ => done_in(self.ledger.range(), listed)?,
        };
        let through =
            |id: &u32, known: u32| self.listed_ahead.iter().find(|(ahead, _)| ahead == id).map_or(known, |a| a.1);
        let segments = &self.journal.picture().segments;
        let listed_whole = !segments.is_empty() && segments.iter().all(|(id, s)| through(id, s.through) >= s.range.end);
        let mut counts = Counts { listed, done, by_dest, listed_whole, ..Counts::default() };
        if watched {
            for (id, segment) in segments {
                let listed = self.ledger.count(&Wanted::Listed, segment.range)?;
                let done = if living.is_empty() { Blocks::ZERO } else { done_in(segment.range, listed)? };
                let through = through(id, segment.through);
                counts.segments.push(SegmentCount { id: *id, range: segment.range, through, listed, done });
            }
            let cells = super::protocol::JobDetail::MAP_CELLS;
            let map = self.ledger.map(self.ledger.range(), cells, &living)?;
            counts.span = map.first().map_or(1, |cell| cell.range.len());
            counts.map = map.into_iter().map(|c| MapCell { range: c.range, listed: c.listed, done: c.done }).collect();
        }
        Ok(counts)
    }
}
