//! Blocks in memory: zeros, digests, and the pool that their buffers come from and go back to.
//!
//! Invariants: the pool never holds more than was ever in flight under the budget in force, a buffer goes back
//! only when nobody else reads it, and every buffer begins where a disk can take it without a copy.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, Bytes as Buffer, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::budget::Permit;
use super::hands::{Hand, Hands};
use crate::units::{BLOCK_BYTES, Digest};

const BLOCK: usize = BLOCK_BYTES as usize;
/// Where a block begins in memory and in a file: what every disk takes past the page cache (O_DIRECT).
pub(super) const ALIGN: usize = 4096;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// One block of zeros.
pub(super) const fn zeros() -> &'static [u8] {
    &ZEROS
}

/// Whether these bytes begin, and end, where a disk can take them without a copy.
pub(super) fn is_aligned(data: &[u8]) -> bool {
    data.as_ptr().addr().is_multiple_of(ALIGN) && data.len().is_multiple_of(ALIGN)
}

/// What a buffer takes: a block, or the longest frame of one, wherever it begins.
const BUFFER: usize = BLOCK + 2 * ALIGN;

/// An empty, aligned buffer with room for a block, or for the longest frame of one.
fn fresh() -> BytesMut {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let gap = buffer.as_ptr().addr().wrapping_neg() % ALIGN;
    buffer.resize(gap, 0);
    buffer.advance(gap);
    buffer
}

/// SHA-256 of a block.
pub(super) fn digest_of(block: &[u8]) -> Digest {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, block);
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.as_ref());
    Digest(digest)
}

/// Blocks of this machine that are read and not yet sent: what keeps two cores and a network busy, and few enough to
/// stay in the cache and beside the budget.
const PLACES: usize = 32;
/// Whoever has waited for a place this long does without: then it is the network that takes its time, and lanes are
/// what keeps it busy.
const PLACE_WAIT: Duration = Duration::from_millis(100);

/// Buffers of one block each, used again instead of being allocated and page-faulted anew.
#[derive(Debug)]
pub(super) struct Pool {
    free: Mutex<Vec<BytesMut>>,
    keep: AtomicUsize,
    places: Arc<Semaphore>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { free: Mutex::default(), keep: AtomicUsize::new(0), places: Arc::new(Semaphore::new(PLACES)) }
    }
}

/// A place among the blocks that are read and not yet sent, if there was one.
#[derive(Debug, Default)]
pub(super) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
    /// The place of a block that passes through.
    hand: Option<Hand>,
    /// The memory of the budget that the block is in, where it outlives its lane.
    _memory: Option<Arc<Permit>>,
}

impl Place {
    /// The same; the block keeps this memory until the last who reads it lets go of it.
    pub(super) fn with(self, memory: Arc<Permit>) -> Self {
        Self { _memory: Some(memory), ..self }
    }
}

impl From<Hand> for Place {
    fn from(hand: Hand) -> Self {
        Self { hand: Some(hand), ..Self::default() }
    }
}

/// Memory for one block: its buffer, and what says that it may be there. What reads into it sees the buffer.
#[derive(Debug, Default)]
pub(super) struct Room {
    buffer: BytesMut,
    place: Place,
    hands: Option<Arc<Hands>>,
}

impl Room {
    /// For a block that has this place.
    pub(super) fn at(place: Place) -> Self {
        Self { place, ..Self::default() }
    }

    /// For a block that waits for a place when it arrives, where its job has such.
    pub(super) fn passing(hands: Option<&Arc<Hands>>) -> Self {
        Self { hands: hands.cloned(), ..Self::default() }
    }

    /// What is in it, for whoever keeps it beside the pool.
    pub(super) fn into_buffer(self) -> BytesMut {
        self.buffer
    }

    /// Waits for its place, if it needs one and has none.
    pub(super) async fn enter(&mut self) {
        if let Some(hands) = self.hands.as_ref().filter(|_| self.place.hand.is_none()) {
            self.place = hands.hand().await.into();
        }
    }
}

impl From<BytesMut> for Room {
    fn from(buffer: BytesMut) -> Self {
        Self { buffer, ..Self::default() }
    }
}

impl Deref for Room {
    type Target = BytesMut;
    fn deref(&self) -> &BytesMut {
        &self.buffer
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }
}

impl Pool {
    /// Waits until few of what is read is still to be sent; the place is given back with the block
    /// ([`Pool::lend`]).
    pub(super) async fn place(&self) -> Place {
        let place = tokio::time::timeout(PLACE_WAIT, Arc::clone(&self.places).acquire_owned()).await;
        // Nobody closes the semaphore.
        Place { _permit: place.ok().and_then(std::result::Result::ok), ..Place::default() }
    }

    /// How many idle buffers are kept at most; the rest is freed at once.
    pub(super) fn keep(&self, buffers: usize) {
        self.keep.store(buffers, Ordering::Relaxed);
        let surplus: Vec<BytesMut> = {
            let mut free = lock(&self.free);
            let from = free.len().min(buffers);
            free.split_off(from)
        };
        drop(surplus);
    }

    /// What idle buffers take.
    pub(super) fn idle(&self) -> crate::units::Bytes {
        crate::units::Bytes((lock(&self.free).len() * BUFFER) as u64)
    }

    /// A buffer with room for a block; what it holds is what its last user left there, of whatever length.
    pub(super) fn take(&self) -> BytesMut {
        let free = lock(&self.free).pop();
        free.unwrap_or_else(fresh)
    }

    /// Puts a buffer into `into`, unless it has one already: what waits for an answer holds no memory yet.
    pub(super) fn provide(&self, into: &mut Room) {
        if into.buffer.capacity() < BLOCK {
            into.buffer = self.take();
        }
    }

    /// Empties a room: what is tried again later holds neither a buffer nor a place meanwhile. Memory that the budget
    /// gave for a block which outlives its lane stays with it.
    pub(super) fn vacate(&self, room: &mut Room) {
        self.keep_buffer(std::mem::take(&mut room.buffer));
        room.place = Place { _memory: room.place._memory.take(), ..Place::default() };
    }

    /// Gives a room back that nobody lent on.
    pub(super) fn give_back(&self, mut room: Room) {
        self.vacate(&mut room);
    }

    /// A block for those who only read it: it comes back, its place with it, when the last of them lets go of it.
    pub(super) fn lend(self: &Arc<Self>, room: Room) -> Buffer {
        Buffer::from_owner(Lent { block: room.buffer, home: Arc::clone(self), _place: room.place })
    }

    /// Keeps a buffer for the next who takes one.
    ///
    /// It keeps what it holds: zeros that the next block is read over cost a tenth of hashing it.
    fn keep_buffer(&self, buffer: BytesMut) {
        if buffer.capacity() < BLOCK || !buffer.as_ptr().addr().is_multiple_of(ALIGN) {
            return;
        }
        let mut free = lock(&self.free);
        if free.len() < self.keep.load(Ordering::Relaxed) {
            free.push(buffer);
        }
    }
}

/// A block that somebody reads.
struct Lent {
    block: BytesMut,
    home: Arc<Pool>,
    _place: Place,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.block
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.keep_buffer(std::mem::take(&mut self.block));
    }
}

/// A lock that outlives a panic of its holder: what it guards here is valid at every step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ZERO_BLOCK_SHA256;

    #[test]
    fn the_digest_of_zeros_is_the_constant() {
        assert_eq!(digest_of(zeros()), ZERO_BLOCK_SHA256);
    }

    #[test]
    fn a_buffer_comes_back_only_when_nobody_reads_it() {
        let pool = Arc::new(Pool::default());
        pool.keep(4);
        let mut first = pool.take();
        first.resize(BLOCK, 1);
        let at = first.as_ptr();
        let block = pool.lend(first.into());
        assert!(is_aligned(&block));
        let reader = block.clone();
        drop(block);
        let second = pool.take();
        assert_ne!(second.as_ptr(), at, "still being read");
        drop(reader);
        let third = pool.take();
        assert_eq!(third.as_ptr(), at, "used again");
        pool.give_back(second.into());
        pool.keep(0);
        assert!(lock(&pool.free).is_empty());
    }

    fn lent(pool: &Arc<Pool>, place: Place) -> Buffer {
        let mut room = Room::at(place);
        pool.provide(&mut room);
        pool.lend(room)
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_read_ahead_but_nobody_waits_for_a_network() {
        let pool = Arc::new(Pool::default());
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.push(lent(&pool, pool.place().await));
        }
        let (begun, next) = (tokio::time::Instant::now(), Arc::clone(&pool));
        let next = tokio::spawn(async move { next.place().await });
        tokio::time::sleep(PLACE_WAIT / 2).await;
        assert!(!next.is_finished(), "as many as there are places are read and not sent");
        held.pop();
        held.push(lent(&pool, next.await.unwrap()));
        assert_eq!(begun.elapsed(), PLACE_WAIT / 2, "the next one goes when one was sent");
        held.push(lent(&pool, pool.place().await));
        assert_eq!(begun.elapsed(), PLACE_WAIT / 2 + PLACE_WAIT, "or without a place when sending takes long");
        drop(held);
        assert_eq!(pool.places.available_permits(), PLACES);
    }

    /// A block that a destination gathers outlives its lane: its memory stays counted until the last reader lets go of it,
    /// also when it was read a second time into a room that the first attempt had filled. What only says that it may be
    /// here now goes back meanwhile.
    #[tokio::test(start_paused = true)]
    async fn a_room_that_is_emptied_keeps_the_memory_that_the_budget_gave_for_it() {
        use crate::engine::budget::{Budget, Part, Weight};
        use crate::ids::JobId;
        use crate::units::Bytes;

        let whole = Bytes(BLOCK_BYTES);
        let budget = Budget::new(Bytes::mib(4));
        let job = budget.join(JobId(1), whole, Bytes(1));
        let permit = Arc::new(job.try_acquire(Weight::of(Part::Blocks, whole)).expect("room for a block"));
        let pool = Arc::new(Pool::default());
        pool.keep(4);
        let place = pool.place().await;
        assert_eq!(pool.places.available_permits(), PLACES - 1);
        let mut room = Room::at(place.with(Arc::clone(&permit)));
        // The first attempt filled it and failed; the second one fills it again.
        pool.provide(&mut room);
        pool.vacate(&mut room);
        assert_eq!((room.capacity(), pool.places.available_permits()), (0, PLACES), "nothing is held while it asks");
        assert_eq!(budget.usage().used, whole);
        pool.provide(&mut room);
        let gathered = pool.lend(room);
        // The lane is through; the block waits for its neighbours.
        drop(permit);
        assert_eq!(budget.usage().used, whole, "the budget counts it as long as it is there");
        drop(gathered);
        assert_eq!(budget.usage().used, Bytes::ZERO);
    }
}
