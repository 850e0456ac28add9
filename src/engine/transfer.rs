//! One pass over what is left to do: cursors list, lanes move, until all is done or something stops it.
//!
//! Invariants: a lane takes a slot, then its turn under the limits of bytes a second, then memory for the whole item
//! (where blocks only pass through, for its connection, and the blocks have places: [`super::hands`]), and only then asks
//! the source; it holds the memory to the last destination's answer and nothing longer. Whatever
//! stops a pass leaves the ledger right: the next pass lists what is missing and reads it again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::blocks::{Pool, lock};
use super::budget::{JobBudget, Weight};
use super::call::Caller;
use super::coming::Coming;
use super::hands::Hands;
use super::hub::Hub;
use super::keeper::{Keeper, Todo};
use super::protocol::LeftOvers;
use super::rate::Hold;
use super::retry::Tokens;
use super::segments::Segments;
use super::sink::Sink;
use super::source::{Entry, Routes, Source};
use super::throttle::Throttle;
use crate::error::{Class, Error};
use crate::ids::BlockRange;
use crate::units::{BLOCK_BYTES, Bytes};

/// Items between cursors and lanes: enough that no lane waits for a page, small beside any budget.
pub(super) const QUEUE: usize = 1024;

/// Why a pass ended before everything was done.
#[derive(Debug, Clone)]
pub(super) enum Halt {
    /// The user paused it, or its front ends and the engine with it.
    Pause,
    /// The engine ends, and the next one goes on.
    Stop,
    /// The user cancelled it.
    Cancel(LeftOvers),
    /// It cannot go on now: credentials, a full disk, silence. It is tried again later.
    Wait(Error),
    /// It cannot go on at all.
    Fail(Error),
}

/// What a job's passes share.
#[derive(Debug)]
pub(super) struct Job {
    pub hub: Arc<Hub>,
    pub keeper: Keeper,
    pub caller: Arc<Caller>,
    pub source: Arc<dyn Source>,
    pub sinks: Vec<Arc<dyn Sink>>,
    pub budget: JobBudget,
    /// The bytes a second of all jobs together.
    pub throttle: Arc<Throttle>,
    pub weight: Weight,
    /// The places of blocks, where they only pass through.
    pub hands: Option<Arc<Hands>>,
    pub pool: Arc<Pool>,
    pub page_size: AtomicU16,
    pub cursors: AtomicU32,
    /// Destinations that are still to be written.
    pub alive: AtomicU64,
    pub tokens: Mutex<Tokens>,
    /// Ends the pass; [`Job::halt`] says why.
    pub stop: Mutex<CancellationToken>,
    pub halt: Mutex<Option<Halt>>,
    /// Failures of destinations, to be journaled by the run.
    pub failed: Mutex<Vec<(usize, Error)>>,
    /// Blocks that lanes are reading now: nobody is asked to let go of blocks meanwhile.
    pub reading: Arc<AtomicUsize>,
    /// Who may still bring a block: runs of archives are kept open for them.
    pub coming: Coming,
    /// Where a destination gathers blocks, they get their memory in the order in which they were listed: so those that
    /// are waited for are never behind those that wait.
    pub in_order: Option<tokio::sync::Mutex<()>>,
}

impl Job {
    /// Waits until a block may be read or written: the job's own limit, then that of all jobs.
    pub async fn bytes_may_go(&self) {
        self.hub.throttle.pass(Bytes(BLOCK_BYTES)).await;
        self.throttle.pass(Bytes(BLOCK_BYTES)).await;
    }

    /// Keeps so many buffers for the next blocks, and says what they take.
    pub fn keep_buffers(&self, buffers: usize) {
        self.pool.keep(buffers);
        self.hub.keeps(self.pool.idle());
    }

    /// The limit of bytes a second that binds, in words.
    fn bandwidth(&self) -> Option<String> {
        let (own, all) = (self.hub.throttle.now(), self.throttle.now());
        match (own, all) {
            (Some((own, _)), Some(all)) if all < own => Some(format!("{all}/s for all jobs")),
            (Some((own, true)), _) => Some(format!("{own}/s for all jobs of its group")),
            (Some((own, false)), _) => Some(format!("{own}/s, read plus written")),
            (None, Some(all)) => Some(format!("{all}/s for all jobs")),
            (None, None) => None,
        }
    }

    pub(super) fn alive(&self) -> Todo {
        Todo(self.alive.load(Ordering::Relaxed))
    }

    /// Ends the pass; the first reason counts, except that the user's word counts more than an error.
    pub(super) fn halt(&self, halt: Halt) {
        let mut known = lock(&self.halt);
        let stronger =
            matches!(halt, Halt::Cancel(_) | Halt::Pause | Halt::Stop) && matches!(*known, Some(Halt::Wait(_)));
        if known.is_none() || stronger {
            *known = Some(halt);
        }
        drop(known);
        lock(&self.stop).cancel();
    }

    /// A destination failed for good: the others go on.
    pub(super) fn destination_failed(&self, dest: usize, error: Error) {
        let before = self.alive.fetch_and(!(1 << dest), Ordering::Relaxed);
        if before >> dest & 1 == 0 {
            return;
        }
        lock(&self.failed).push((dest, error.clone()));
        if before & !(1 << dest) == 0 {
            self.halt(Halt::Fail(error));
        }
    }

    pub(super) fn stopping(&self) -> CancellationToken {
        lock(&self.stop).clone()
    }
}

/// One page whose items are on their way.
#[derive(Debug)]
pub(super) struct Ticket {
    pub range: BlockRange,
    pub listed: Instant,
    left: AtomicUsize,
    refused: AtomicBool,
    board: Weak<Board>,
}

impl Ticket {
    /// Its tokens are not accepted any more: what is left of it is not tried.
    pub(super) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn leave(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(board) = self.board.upgrade()
        {
            lock(&board.segments).drained(self.range, self.is_refused());
            board.changed.notify_waiters();
        }
    }
}

/// One block on its way. However it ends, its page hears of it.
#[derive(Debug)]
pub(super) struct Item {
    pub entry: Entry,
    pub todo: Todo,
    pub segment: u32,
    pub page: Arc<Ticket>,
}

impl Drop for Item {
    fn drop(&mut self) {
        self.page.leave();
    }
}

/// What cursors and lanes of one pass share.
#[derive(Debug)]
pub(super) struct Board {
    pub segments: Mutex<Segments>,
    pub changed: Notify,
    pub items: async_channel::Sender<Item>,
    pub queue: async_channel::Receiver<Item>,
    /// The first block has come through, alone: everybody may begin.
    pub sung: CancellationToken,
    /// The latest pages, to be refused together when tokens rotate.
    pages: Mutex<VecDeque<Weak<Ticket>>>,
    /// Destinations that are left out for the rest of this pass, and why.
    pub stalled: AtomicU64,
    pub stall: Mutex<Option<Error>>,
}

impl Board {
    pub(super) fn new(segments: Segments) -> Arc<Self> {
        let (items, queue) = async_channel::bounded(QUEUE);
        Arc::new(Self {
            segments: Mutex::new(segments),
            changed: Notify::new(),
            items,
            queue,
            sung: CancellationToken::new(),
            pages: Mutex::default(),
            stalled: AtomicU64::new(0),
            stall: Mutex::default(),
        })
    }

    /// A page of `items` items; the caller holds one more until it has handed all of them on.
    pub(super) fn open(self: &Arc<Self>, range: BlockRange, listed: Instant, items: usize) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket {
            range,
            listed,
            left: AtomicUsize::new(items + 1),
            refused: AtomicBool::new(false),
            board: Arc::downgrade(self),
        });
        lock(&self.segments).opened();
        let mut pages = lock(&self.pages);
        pages.retain(|page| page.strong_count() > 0);
        pages.push_back(Arc::downgrade(&ticket));
        ticket
    }

    /// The one who opened a page has handed all of it on (or given up).
    pub(super) fn handed_on(ticket: &Ticket) {
        ticket.leave();
    }

    pub(super) fn refuse_all(&self) {
        for page in lock(&self.pages).iter().filter_map(Weak::upgrade) {
            page.refuse();
        }
    }

    /// A destination is left out for the rest of the pass.
    pub(super) fn stall(&self, dest: usize, error: Error) {
        self.stalled.fetch_or(1 << dest, Ordering::Relaxed);
        lock(&self.stall).get_or_insert(error);
    }

    pub(super) fn stalled(&self) -> Todo {
        Todo(self.stalled.load(Ordering::Relaxed))
    }
}

/// Runs one pass to its end; `Ok` with what stalled, when everything else is done.
pub(super) async fn pass(job: &Arc<Job>, segments: Segments) -> Result<Option<Error>, Halt> {
    *lock(&job.stop) = CancellationToken::new();
    if let Some(halt) = lock(&job.halt).take() {
        return Err(halt);
    }
    let board = Board::new(segments);
    let routes = job.source.routes(&job.caller);
    for route in routes.iter().flat_map(|r| [&r.list, &r.get]) {
        route.begin();
    }
    let mut outcome = run(job, &board, routes).await;
    board.queue.close();
    if outcome.is_ok() && job.in_order.is_some() {
        outcome = settle(job, &board).await;
    }
    job.sinks.iter().for_each(|sink| sink.let_go());
    outcome?;
    let stalled = lock(&board.stall).take();
    Ok(stalled)
}

/// Sends what destinations still hold.
async fn settle(job: &Arc<Job>, board: &Board) -> Result<(), Halt> {
    let stop = job.stopping();
    let living = (0..job.sinks.len()).filter(|dest| job.alive().without(board.stalled()).has(*dest));
    for dest in living {
        let settled = tokio::select! {
            settled = beating(job, job.sinks[dest].settle()) => settled,
            () = stop.cancelled() => break,
        };
        if let Err(error) = settled {
            super::lane::destination_trouble(job, board, dest, error);
        }
    }
    lock(&job.halt).take().map_or(Ok(()), Err)
}

async fn run(job: &Arc<Job>, board: &Arc<Board>, routes: Option<Routes>) -> Result<(), Halt> {
    let stop = job.stopping();
    let mut tasks = tokio::task::JoinSet::new();
    let mut cursors = tokio::task::JoinSet::new();
    let cursor = |nth| super::lister::cursor(Arc::clone(job), Arc::clone(board), routes.clone(), nth == 0);
    cursors.spawn(cursor(0));
    tasks.spawn(super::lane::canary(Arc::clone(job), Arc::clone(board), routes.clone()));
    let (mut sung, mut lanes, mut listing) = (false, 0, true);
    let mut beat = tokio::time::interval(TICK);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = beat.tick(), if sung => tick(job),
            () = board.sung.cancelled(), if !sung => {
                sung = true;
                (1..job.cursors.load(Ordering::Relaxed)).for_each(|nth| drop(cursors.spawn(cursor(nth))));
            }
            Some(_) = cursors.join_next(), if listing => {
                if cursors.is_empty() {
                    // Everything is listed and drained: lanes end when they find the queue empty.
                    listing = false;
                    board.items.close();
                }
            }
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
        if tasks.is_empty() && !listing {
            break;
        }
        // A lane is a task for the whole pass; there are as many as the window ever asked for.
        while sung && listing && lanes < job.hub.lanes_target() {
            lanes += 1;
            tasks.spawn(super::lane::lane(Arc::clone(job), Arc::clone(board), routes.clone(), job.hub.lane_log()));
        }
    }
    board.items.close();
    let end = async {
        while cursors.join_next().await.is_some() {}
        while tasks.join_next().await.is_some() {}
    };
    tick(job);
    // What is in flight gets a moment to land; what has not by then is sent again after a resume.
    if tokio::time::timeout(grace(job), end).await.is_err() {
        cursors.shutdown().await;
        tasks.shutdown().await;
    }
    tick(job);
    lock(&job.halt).take().map_or(Ok(()), Err)
}

const TICK: Duration = Duration::from_millis(100);

/// Does `work`, and keeps the figures and the window up to now meanwhile: for what reads outside of a pass.
pub(super) async fn beating<T>(job: &Job, work: impl Future<Output = T>) -> T {
    let mut beat = tokio::time::interval(TICK);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut work = std::pin::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            _ = beat.tick() => tick(job),
        }
    };
    tick(job);
    outcome
}

/// How long requests in flight may still land when a pass is stopped.
fn grace(job: &Job) -> Duration {
    match &*lock(&job.halt) {
        Some(Halt::Pause | Halt::Stop) => Duration::from_secs(5),
        Some(Halt::Cancel(_)) => Duration::from_secs(1),
        Some(Halt::Wait(_) | Halt::Fail(_)) => Duration::from_millis(500),
        None => Duration::from_secs(60),
    }
}

/// Brings the figures and the window up to now.
fn tick(job: &Job) {
    let routes = job.caller.routes();
    let waited = job.hub.throttle.take_waited() | job.throttle.take_waited();
    job.hub.tick(|| match waited.then(|| job.bandwidth()).flatten() {
        Some(name) => Some(Hold::bandwidth(name)),
        None => routes.iter().find_map(|route| route.pace().hold()),
    });
    // A block of each lane, and what each destination makes of it.
    let packed = job.sinks.iter().filter(|sink| sink.packs()).count();
    job.keep_buffers(usize::try_from(job.hub.lanes_target()).unwrap_or(0) * (1 + packed));
}

/// What a failure of the source means for the pass.
pub(super) fn halt_of(error: Error) -> Halt {
    match error.class {
        Class::Credentials | Class::Quota | Class::Congestion => Halt::Wait(error),
        _ => Halt::Fail(error),
    }
}
