//! One lane: takes the next block, reads it, and gives it to every destination that needs it.
//!
//! A lane is a task for the whole pass and owns nothing between two blocks. The digest is computed once, where
//! the block is read, and serves the put's checksum, the ledger and the LINEAR checksum.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes as Buffer;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::blocks::{Place, Room};
use super::budget::{Denied, Permit, Weight};
use super::call::{Route, retried};
use super::hands::Inside;
use super::keeper::Todo;
use super::sink::Sink;
use super::source::{Content, Routes};
use super::telemetry::LaneLog;
use super::transfer::{Board, Halt, Item, Job, halt_of};
use crate::error::{Class, Error, Result};
use crate::ids::BlockIndex;
use crate::units::{BLOCK_BYTES, Bytes, Digest, ZERO_BLOCK_SHA256};

/// Who waits for memory so long, while nobody reads anything, waits for nothing.
const SQUEEZE_AFTER: Duration = Duration::from_secs(2);

/// The route of each destination's puts, looked up once.
struct Puts(Vec<Option<Arc<Route>>>);

impl Puts {
    fn of(job: &Job) -> Self {
        Self(job.sinks.iter().map(|sink| sink.route(&job.caller)).collect())
    }
}

/// Moves blocks until the queue is closed and empty, or the pass stops.
pub(super) async fn lane(job: Arc<Job>, board: Arc<Board>, routes: Option<Routes>, log: LaneLog) {
    let stop = job.stopping();
    let puts = Puts::of(&job);
    let _comes = job.coming.comes();
    loop {
        let turn = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            turn = job.coming.away(turn(&job)) => turn,
        };
        let item = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            item = job.coming.away(board.queue.recv()) => item,
        };
        let Ok(item) = item else { return };
        if item.page.is_refused() {
            continue;
        }
        let slot = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            slot = job.coming.away(job.hub.gate.acquire()) => slot,
        };
        // The page may have been refused while this lane stood at the gate.
        if !item.page.is_refused() {
            move_item(&job, &board, routes.as_ref(), &puts, &log, item, &stop, turn).await;
        }
        drop(slot);
    }
}

/// Its place in the order of the queue, where that counts.
async fn turn(job: &Job) -> Option<MutexGuard<'_, ()>> {
    match &job.in_order {
        Some(order) => Some(order.lock().await),
        None => None,
    }
}

#[expect(clippy::too_many_arguments, reason = "the hot path: all of them are borrowed from the lane")]
async fn move_item(
    job: &Job,
    board: &Board,
    routes: Option<&Routes>,
    puts: &Puts,
    log: &LaneLog,
    item: Item,
    stop: &tokio_util::sync::CancellationToken,
    turn: Option<MutexGuard<'_, ()>>,
) {
    let began = Instant::now();
    let todo = item.todo.and(job.alive()).without(board.stalled());
    let todo = without_held(job, board, item.entry.index, todo).await;
    if todo.is_empty() {
        return;
    }
    // Its turn before its memory: what waits for bandwidth keeps nobody from a block.
    if item.entry.content != Content::Hole {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = job.bytes_may_go() => {}
        }
    }
    let memory = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        memory = job.coming.away(memory(job, item.entry.index)) => match memory {
            Ok(memory) => memory,
            Err(denied) => return job.halt(Halt::Wait(Error { class: Class::Quota, ..Error::from(denied) })),
        },
    };
    drop(turn);
    // What lies on this machine is read again rather than held until the answer comes.
    let again = routes.is_none() && todo.is_one() && job.in_order.is_none();
    let mut room = match &memory {
        _ if again => Room::at(job.coming.away(place(job)).await),
        Memory::Whole(permit) if job.in_order.is_some() => Room::at(Place::default().with(Arc::clone(permit))),
        Memory::Whole(_) => Room::default(),
        Memory::Passing { .. } => Room::passing(job.hands.as_ref()),
    };
    let moving = log.moves(item.entry.index);
    let reading = Reading::of(&job.reading);
    let mut digest = match read(job, routes, log, &item, &mut room).await {
        Ok(digest) => digest,
        Err(error) => {
            job.pool.give_back(room);
            if error.class == Class::StaleToken {
                return super::lister::refused(job, board, &item.page).await;
            }
            return job.halt(halt_of(error));
        }
    };
    drop(reading);
    log.read(item.segment, Bytes(BLOCK_BYTES));
    let block = Block { data: Some(job.pool.lend(room)), again };
    let written = job.coming.away(write_all(job, board, puts, log, &item, todo, block, &mut digest)).await;
    drop(memory);
    drop(moving);
    job.hub.item_done(began.elapsed());
    // What the keeper is told needs no memory of the budget any more.
    for dest in (0..job.sinks.len()).filter(|dest| written.has(*dest)) {
        if let Err(error) = job.keeper.done(dest, item.entry.index, digest).await {
            return job.halt(Halt::Fail(error));
        }
    }
}

/// Leaves out who has this block already, because its page was listed a second time. What gathers tells
/// the keeper only when all of a piece is there, so its first block comes by again and would be read, and paid for, twice.
async fn without_held(job: &Job, board: &Board, index: BlockIndex, todo: Todo) -> Todo {
    let mut left = todo;
    if job.in_order.is_none() {
        return left;
    }
    for dest in (0..job.sinks.len()).filter(|dest| todo.has(*dest) && job.sinks[*dest].gathers()) {
        let sink = &job.sinks[dest];
        match sink.holds(index) {
            Ok(false) => {}
            Ok(true) => {
                left = left.without(Todo::default().with(dest));
                if let Err(error) = sink.settle().await {
                    destination_trouble(job, board, dest, error);
                }
            }
            Err(error) => {
                left = left.without(Todo::default().with(dest));
                destination_trouble(job, board, dest, error);
            }
        }
    }
    left
}

/// What an item holds of the budget on its way.
enum Memory {
    /// All of it.
    Whole(Arc<Permit>),
    /// Its connection; its block has one of the job's places while it is there.
    Passing { _lane: Inside },
}

/// Memory for an item.
async fn memory(job: &Job, index: BlockIndex) -> Result<Memory, Denied> {
    let Some(hands) = &job.hands else {
        return Ok(Memory::Whole(Arc::new(granted(job, job.weight, index).await?)));
    };
    loop {
        if let Some(inside) = hands.enter(granted(job, hands.asks(job.weight), index).await?) {
            return Ok(Memory::Passing { _lane: inside });
        }
    }
}

/// So much of the budget, after a wait if need be. Where a destination gathers blocks and nothing moves any more, it has
/// to let go of some: a page whose tokens were refused may have left it with blocks whose neighbours come much later.
async fn granted(job: &Job, weight: Weight, index: BlockIndex) -> Result<Permit, Denied> {
    if let Some(permit) = job.budget.try_acquire(weight) {
        return Ok(permit);
    }
    job.hub.waited_for_memory();
    let mut waiting = std::pin::pin!(job.budget.acquire(weight));
    if job.in_order.is_none() {
        return waiting.await;
    }
    loop {
        match tokio::time::timeout(SQUEEZE_AFTER, &mut waiting).await {
            Ok(permit) => return permit,
            Err(_) if job.reading.load(Ordering::SeqCst) == 0 => {
                job.sinks.iter().for_each(|sink| sink.squeeze(index));
            }
            Err(_) => {}
        }
    }
}

/// A place for a block of this machine that is to be read.
async fn place(job: &Job) -> Place {
    match &job.hands {
        Some(hands) => hands.hand().await.into(),
        None => job.pool.place().await,
    }
}

/// One block that is being read, also when that is given up.
struct Reading<'a>(&'a AtomicUsize);

impl<'a> Reading<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn read(job: &Job, routes: Option<&Routes>, log: &LaneLog, item: &Item, into: &mut Room) -> Result<Digest> {
    match routes {
        Some(routes) if item.entry.content != Content::Hole => {
            let tries = job.caller.tries(&routes.get, log, item.segment).counted(job.source.asked());
            retried!(tries, job.source.read(&item.entry, &job.pool, into))
        }
        _ => job.source.read(&item.entry, &job.pool, into).await,
    }
}

/// A block on its way to a destination.
struct Block {
    data: Option<Buffer>,
    /// Whether a second attempt reads it again, so that the first gives its memory back once it is sent.
    again: bool,
}

impl Block {
    /// Its bytes for one attempt; `digest` becomes that of what is read again.
    async fn bytes(&mut self, job: &Job, item: &Item, digest: &mut Digest) -> Result<Buffer> {
        let held = if self.again { self.data.take() } else { self.data.clone() };
        if let Some(data) = held {
            return Ok(data);
        }
        let mut room = Room::at(place(job).await);
        *digest = job.source.read(&item.entry, &job.pool, &mut room).await?;
        Ok(job.pool.lend(room))
    }
}

/// Writes a block to all that need it, at once; answers who acknowledged it.
#[expect(clippy::too_many_arguments, reason = "the hot path: all of them are borrowed from the lane")]
async fn write_all(
    job: &Job,
    board: &Board,
    puts: &Puts,
    log: &LaneLog,
    item: &Item,
    todo: Todo,
    mut block: Block,
    digest: &mut Digest,
) -> Todo {
    let mut written = Todo::default();
    let mut take = |(dest, outcome): (usize, Result<()>)| match outcome {
        Ok(()) => {
            log.written(Bytes(BLOCK_BYTES));
            if !job.sinks[dest].gathers() {
                written = written.with(dest);
            }
        }
        Err(error) => destination_trouble(job, board, dest, error),
    };
    if todo.is_one() {
        let dest = todo.0.trailing_zeros() as usize;
        take((dest, write(job, puts, log, item, dest, &mut block, digest).await));
        return written;
    }
    let one = |dest: usize| {
        let (mut block, mut digest) = (Block { data: block.data.clone(), again: false }, *digest);
        async move { (dest, write(job, puts, log, item, dest, &mut block, &mut digest).await) }
    };
    let mut all: FuturesUnordered<_> = (0..job.sinks.len()).filter(|dest| todo.has(*dest)).map(one).collect();
    while let Some(outcome) = all.next().await {
        take(outcome);
    }
    drop(all);
    written
}

async fn write(
    job: &Job,
    puts: &Puts,
    log: &LaneLog,
    item: &Item,
    dest: usize,
    block: &mut Block,
    digest: &mut Digest,
) -> Result<()> {
    let sink = &job.sinks[dest];
    // A lane that writes comes on by itself, except where its block waits for those of others.
    let comes = job.coming.comes();
    if sink.omits_zeros() && *digest == ZERO_BLOCK_SHA256 {
        return Ok(());
    }
    if sink.keeps() {
        job.bytes_may_go().await;
    }
    let _comes = (!sink.waits_for_others()).then_some(comes);
    let _writing = log.writes(dest);
    match &puts.0[dest] {
        Some(route) => {
            retried!(job.caller.tries(route, log, item.segment), attempt(job, item, &**sink, block, digest))
        }
        None => attempt(job, item, &**sink, block, digest).await,
    }
}

async fn attempt(job: &Job, item: &Item, sink: &dyn Sink, block: &mut Block, digest: &mut Digest) -> Result<()> {
    let data = block.bytes(job, item, digest).await?;
    sink.write(item.entry.index, data, digest).await
}

/// What a failed write means: the destination is left out for this pass, or for good.
pub(super) fn destination_trouble(job: &Job, board: &Board, dest: usize, error: Error) {
    match error.class {
        Class::Credentials | Class::Quota | Class::Congestion => {
            let stalled = board.stalled().with(dest);
            board.stall(dest, error.clone());
            if job.alive().without(stalled).is_empty() {
                job.halt(Halt::Wait(error));
            }
        }
        _ => job.destination_failed(dest, error.during(format!("writing to {}", job.sinks[dest].address()))),
    }
}

/// One List, one Get, one Put per destination, before anything else is sent: EBS direct has no dry run, and a
/// denied key shows only here. The first cursor waits after its first page; when this ends, everybody may begin.
pub(super) async fn canary(job: Arc<Job>, board: Arc<Board>, routes: Option<Routes>) {
    let stop = job.stopping();
    let first = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        first = board.queue.recv() => first,
        // So many empty pages: whoever finds the first block finds it among others.
        () = board.sung.cancelled() => return,
    };
    if let Ok(item) = first {
        let (log, puts) = (job.hub.lane_log(), Puts::of(&job));
        let sung = move_item(&job, &board, routes.as_ref(), &puts, &log, item, &stop, None);
        // One that hangs is not waited for once the user has spoken.
        tokio::select! {
            () = sung => {}
            () = stop.cancelled() => return,
        }
    }
    board.sung.cancel();
}
