//! Blocks of many lanes become runs: each run is one object.
//!
//! A lane that brings a block waits until the object that holds it was acknowledged, so the memory of its item is held
//! its whole way and the budget stays true. The lane that opened a run owns it: it waits until the run is full, or until
//! nobody else can bring more, writes the object, and tells the others. Invariants: nobody waits for a lane that waits
//! itself (a run ends when for a whole [`TICK`] nobody was coming on or compressing anything); an owner that is dropped
//! leaves no run behind and nobody waiting.
//!
//! What bounds a run that is not full is memory, never time. Whoever needs memory of those that wait is not coming, so a
//! run is closed when all others wait for it; a source that is slow, throttled or silent for a while is waited for, and so
//! is an object that is on its way to S3, whose lanes come on when it has arrived: a request more is paid for, and the plan
//! counted on none. What hangs has deadlines of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes as Buffer;
use tokio::sync::{Notify, oneshot};

use crate::archive::Piece;
use crate::engine::blocks::lock;
use crate::engine::coming::{Coming, On};
use crate::error::{Class, Error, Result};

/// How long nobody may have been on the way with a block before a run is closed that is not full.
const TICK: Duration = Duration::from_millis(20);

/// One block of a run, and who waits for it; the owner waits for nobody.
#[derive(Debug)]
pub(super) struct Held {
    pub piece: Piece,
    pub frame: Buffer,
    told: Option<oneshot::Sender<Told>>,
}

/// What became of a block. Its lane counts as coming on from when it was told, not from when it heard: on a machine that
/// is busy there is a while between.
#[derive(Debug)]
pub(super) struct Told {
    pub outcome: Result<()>,
    _comes: On,
}

impl Held {
    /// Tells the lane that brought it; one that is gone is not told.
    pub(super) fn tell(self, outcome: &Result<()>, gather: &Gather) {
        if let Some(told) = self.told {
            let _ = told.send(Told { outcome: outcome.clone(), _comes: gather.comes_on() });
        }
    }
}

#[derive(Debug)]
struct Run {
    held: Mutex<Vec<Held>>,
    most: usize,
    full: Notify,
    arrived: AtomicUsize,
}

/// The run that blocks are brought to now.
#[derive(Debug)]
pub(super) struct Gather {
    open: Mutex<Option<Arc<Run>>>,
    /// Blocks that are being compressed.
    compressing: AtomicUsize,
    /// Who may still bring a block.
    coming: Coming,
}

/// One block on its way to a run.
#[derive(Debug)]
pub(super) struct Packing<'a>(&'a AtomicUsize);

impl<'a> Packing<'a> {
    pub(super) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Packing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a lane has to do with the run that it brought its block to.
#[derive(Debug)]
pub(super) enum Joined<'a> {
    /// Close it and write it.
    Owns(Owner<'a>),
    /// Wait for who does.
    Waits(oneshot::Receiver<Told>),
}

impl Gather {
    pub(super) fn new(coming: Coming) -> Self {
        Self { open: Mutex::default(), compressing: AtomicUsize::new(0), coming }
    }

    /// Somebody compresses a block.
    pub(super) fn comes(&self) -> Packing<'_> {
        Packing::new(&self.compressing)
    }

    /// Somebody writes a run: its lanes come on afterwards, and wait for no other run.
    pub(super) fn comes_on(&self) -> On {
        self.coming.comes()
    }

    fn nobody_comes(&self) -> bool {
        self.compressing.load(Ordering::SeqCst) == 0 && !self.coming.anybody()
    }

    /// Brings a block; a run that it opens gets up to `most`.
    pub(super) fn join(&self, piece: Piece, frame: Buffer, most: usize) -> Joined<'_> {
        let mut open = lock(&self.open);
        let (run, joined, told) = match &*open {
            None => {
                let run = Arc::new(Run {
                    held: Mutex::default(),
                    most: most.max(1),
                    full: Notify::new(),
                    arrived: AtomicUsize::new(0),
                });
                *open = Some(Arc::clone(&run));
                (Arc::clone(&run), Joined::Owns(Owner { gather: self, run }), None)
            }
            Some(run) => {
                let (told, heard) = oneshot::channel();
                (Arc::clone(run), Joined::Waits(heard), Some(told))
            }
        };
        let mut held = lock(&run.held);
        held.push(Held { piece, frame, told });
        run.arrived.store(held.len(), Ordering::SeqCst);
        if held.len() >= run.most {
            *open = None;
            run.full.notify_one();
        }
        drop(held);
        joined
    }
}

/// The right, and the duty, to write a run.
#[derive(Debug)]
pub(super) struct Owner<'a> {
    gather: &'a Gather,
    run: Arc<Run>,
}

impl Owner<'_> {
    /// Waits until nobody else brings anything to it, and takes it: in index order.
    pub(super) async fn close(self) -> Vec<Held> {
        let mut before = self.run.arrived.load(Ordering::SeqCst);
        let mut nobody = self.gather.nobody_comes();
        loop {
            tokio::select! {
                biased;
                () = self.run.full.notified() => break,
                () = tokio::time::sleep(TICK) => {}
            }
            let now = self.run.arrived.load(Ordering::SeqCst);
            let nobody_now = self.gather.nobody_comes();
            if now == before && nobody && nobody_now {
                break;
            }
            (before, nobody) = (now, nobody_now);
        }
        self.leave();
        let mut held = std::mem::take(&mut *lock(&self.run.held));
        held.sort_by_key(|held| held.piece.index);
        held
    }

    /// From here on nobody joins this run.
    fn leave(&self) {
        let mut open = lock(&self.gather.open);
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, &self.run)) {
            *open = None;
        }
    }
}

impl Drop for Owner<'_> {
    fn drop(&mut self) {
        self.leave();
        // Whoever waits hears that nobody writes it.
        lock(&self.run.held).clear();
    }
}

/// What a lane hears whose run was given up: nothing is wrong with the destination, the pass ends.
pub(super) fn given_up() -> Error {
    Error::classed(Class::Congestion, "the run of this block was given up")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BlockIndex;
    use crate::units::Digest;

    fn piece(index: u32) -> Piece {
        Piece { index: BlockIndex(index), length: 3, digest: Digest([0; 32]) }
    }

    fn gather() -> (Gather, Coming) {
        let coming = Coming::default();
        (Gather::new(coming.clone()), coming)
    }

    fn bring(gather: &Gather, index: u32, most: usize) -> Joined<'_> {
        gather.join(piece(index), Buffer::from_static(b"abc"), most)
    }

    fn owns(joined: Joined<'_>) -> Owner<'_> {
        match joined {
            Joined::Owns(owner) => owner,
            Joined::Waits(_) => panic!("it waits"),
        }
    }

    fn waits(joined: Joined<'_>) -> oneshot::Receiver<Told> {
        match joined {
            Joined::Waits(heard) => heard,
            Joined::Owns(_) => panic!("it owns"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_run_is_closed_at_once_and_in_order() {
        let (gather, coming) = gather();
        let lane = coming.comes();
        let owner = owns(bring(&gather, 9, 3));
        let (first, second) = (waits(bring(&gather, 2, 3)), waits(bring(&gather, 5, 3)));
        let next = owns(bring(&gather, 11, 3));
        let begun = tokio::time::Instant::now();
        let held = owner.close().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(held.iter().map(|held| held.piece.index.0).collect::<Vec<_>>(), [2, 5, 9]);
        drop(lane);
        held.into_iter().for_each(|held| held.tell(&Ok(()), &gather));
        assert!(coming.anybody(), "who was told comes on, before it was heard");
        assert!(first.await.unwrap().outcome.is_ok() && second.await.unwrap().outcome.is_ok());
        assert!(!coming.anybody());
        drop(next);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_waits_for_who_reads_and_not_for_who_does_not_come() {
        let (gather, coming) = gather();
        let lane = coming.comes();
        let owner = owns(bring(&gather, 0, 8));
        let begun = tokio::time::Instant::now();
        let close = async {
            let held = owner.close().await;
            (held.len(), begun.elapsed())
        };
        let other = async {
            // However long it takes: a slow source makes no more objects.
            tokio::time::sleep(Duration::from_secs(300)).await;
            let heard = waits(bring(&gather, 1, 8));
            drop(lane);
            drop(heard);
        };
        let ((held, took), ()) = tokio::join!(close, other);
        assert_eq!(held, 2, "the one that was being read came along");
        assert!((Duration::from_secs(300)..Duration::from_secs(301)).contains(&took), "{took:?}");

        // One that reads and then waits for memory, which those that wait here have, is not waited for.
        let lane = coming.comes();
        let owner = owns(bring(&gather, 2, 8));
        let begun = tokio::time::Instant::now();
        let waits_for_memory = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            coming.away(std::future::pending::<()>()).await;
        };
        tokio::select! {
            held = owner.close() => assert_eq!(held.len(), 1),
            () = waits_for_memory => {}
        }
        assert!((Duration::from_millis(500)..Duration::from_millis(600)).contains(&begun.elapsed()));
        drop(lane);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_waits_for_an_object_that_is_on_its_way() {
        let (gather, _) = gather();
        let stored = owns(bring(&gather, 0, 1)).close().await;
        let on_its_way = gather.comes_on();
        let owner = owns(bring(&gather, 1, 8));
        let begun = tokio::time::Instant::now();
        let close = async { (owner.close().await.len(), begun.elapsed()) };
        let other = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            stored.into_iter().for_each(|held| held.tell(&Ok(()), &gather));
            drop(on_its_way);
        };
        let ((held, took), ()) = tokio::join!(close, other);
        assert_eq!(held, 1);
        assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_is_dropped_leaves_nobody_waiting() {
        let (gather, coming) = gather();
        let _lane = coming.comes();
        let owner = owns(bring(&gather, 0, 8));
        let heard = waits(bring(&gather, 1, 8));
        drop(owner);
        assert!(heard.await.is_err());
        drop(owns(bring(&gather, 2, 8)));
    }
}
