//! The keeper of one job's ledger and journal: a thread of its own, reached by messages.
//!
//! Lanes never touch the disk of the ledger or wait for its lock: they send what was written and go on.
//! Invariants: a block is marked done only after its destination has it durably (files are synced first, in
//! batches bounded in bytes and time); `listed_through` is journaled only after the ledger was flushed. What
//! fronts see of counts, segments and the map is taken here at one moment, so that sums add up.

mod desk;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::desk::Desk;
use super::journal::{Journal, Picture, Record};
use super::ledger::{Ledger, Linear};
use super::sink::Sink;
use super::source::Entry;
use crate::error::{Error, Result};
use crate::ids::{BlockIndex, BlockRange};
use crate::units::{Blocks, Bytes, Digest};

/// Messages that wait for the keeper at most; a lane that finds it full waits, holding no memory.
const QUEUE: usize = 1024;
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
    pub(super) const fn is_one(self) -> bool {
        self.0.is_power_of_two()
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
    /// What the ledger holds in memory.
    pub memory: Bytes,
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
    /// Blocks by destination, summed, as the disk has them since the last commit that was good.
    pub saved: AtomicU64,
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
    Listed {
        range: BlockRange,
        answer: oneshot::Sender<Result<Option<Blocks>>>,
    },
    Clear {
        dest: usize,
        range: Option<BlockRange>,
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

/// A door that keeps no thread alive.
#[derive(Debug)]
pub(super) struct Distant(mpsc::WeakSender<Ask>);

impl Distant {
    /// Journals what may be lost, unless the keeper is gone; never waits for the disk.
    pub(super) fn note(&self, record: Record) {
        if let Some(asks) = self.0.upgrade() {
            note(&asks, record);
        }
    }
}

fn note(asks: &mpsc::Sender<Ask>, record: Record) {
    let _ = asks.try_send(Ask::Journal { record: Box::new(record), sync: false, answer: None });
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
        let desk = Desk::new(ledger, journal, sinks, Arc::clone(&board), trouble);
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
        note(&self.asks, record);
    }

    /// The same, for whoever the keeper's thread may hold.
    pub(super) fn distant(&self) -> Distant {
        Distant(self.asks.downgrade())
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
        self.ask(|answer| Ask::Clear { dest, range: None, answer }).await?
    }

    /// Forgets what a destination had of a range.
    pub(super) async fn clear_in(&self, dest: usize, range: BlockRange) -> Result<()> {
        self.ask(|answer| Ask::Clear { dest, range: Some(range), answer }).await?
    }

    /// How many blocks of a range the source has; `None` as long as some of it is not listed.
    pub(super) async fn listed_in(&self, range: BlockRange) -> Result<Option<Blocks>> {
        self.ask(|answer| Ask::Listed { range, answer }).await?
    }

    /// For what the keeper's thread itself holds: a door that does not keep it.
    pub(super) fn weak(&self) -> WeakKeeper {
        WeakKeeper { asks: self.asks.downgrade(), board: Arc::clone(&self.board) }
    }
}

/// See [`Keeper::weak`].
#[derive(Debug, Clone)]
pub(super) struct WeakKeeper {
    asks: mpsc::WeakSender<Ask>,
    board: Arc<Board>,
}

impl WeakKeeper {
    /// The door, as long as somebody keeps one.
    ///
    /// # Errors
    /// The job is over.
    pub(super) fn keeper(&self) -> Result<Keeper> {
        let asks = self.asks.upgrade().ok_or_else(closed)?;
        Ok(Keeper { asks, board: Arc::clone(&self.board) })
    }
}

fn closed() -> Error {
    Error::stopped("the job's ledger is closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::journal;
    use crate::engine::ledger::{CACHE, Header};
    use crate::engine::sink::NullSink;
    use crate::engine::source::Content;
    use crate::ids::JobId;
    use crate::units::ZERO_BLOCK_SHA256;

    #[tokio::test]
    async fn what_was_committed_is_counted_before_anybody_hears_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let header = Header {
            job: JobId(1),
            unique: "0123456789abcdef".to_owned(),
            source: String::new(),
            blocks: 64,
            destinations: vec!["null:".to_owned()],
        };
        let ledger = Ledger::create(&dir.path().join("ledger"), header, CACHE).unwrap();
        let journal = Journal::create(&dir.path().join("events.ndjson"), journal::LIMIT).unwrap();
        let (keeper, thread) = Keeper::start(ledger, journal, vec![Arc::new(NullSink)], Box::new(|_, _| {}));
        let entries = (0..64).map(|index| Entry { index: BlockIndex(index), content: Content::File }).collect();
        assert_eq!(keeper.page(None, entries, false).await.unwrap().len(), 64);
        for index in 0..64 {
            keeper.done(0, BlockIndex(index), ZERO_BLOCK_SHA256).await.unwrap();
        }
        keeper.commit().await.unwrap();
        let counts = super::super::blocks::lock(&keeper.board().counts).clone();
        assert_eq!((counts.listed, counts.done), (Blocks(64), Blocks(64)));
        drop(keeper);
        thread.await.unwrap();
    }
}
