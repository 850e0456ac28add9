//! Who unpacks blocks of an archive: a few at a time.
//!
//! Invariant: what one of them holds beside the block's own buffer (its frame, its tables) is there as often as the plan
//! counted, at most: a turn ends when that was given back, not when the work is done. Between the two lies the time until
//! the lane goes on, and on a machine that has enough to do that is long.

use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use tokio::sync::Semaphore;

use crate::archive::Decompressor;
use crate::aws::CORRUPT;
use crate::engine::blocks::{Pool, Room, digest_of, lock};
use crate::error::{Error, Result};
use crate::plan::choices::UNPACKER;
use crate::units::{BLOCK_BYTES, Bytes, Digest};

#[derive(Debug)]
pub(super) struct Unpackers {
    many: u32,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Decompressor>>,
}

impl Unpackers {
    /// So many blocks at a time.
    pub(super) fn new(many: u32) -> Self {
        Self { many, turns: Arc::new(Semaphore::new(many as usize)), idle: Mutex::default() }
    }

    /// What the job keeps for them all the time.
    pub(super) fn keep(&self) -> Bytes {
        Bytes(u64::from(self.many) * UNPACKER.0)
    }

    /// The bytes of a block out of its frame, which goes back to the pool; their digest.
    ///
    /// # Errors
    /// It is not the frame of a block: transient.
    pub(super) async fn unpack(&self, frame: BytesMut, pool: &Pool, into: &mut Room) -> Result<Digest> {
        // Nobody closes the semaphore.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        pool.provide(into);
        let idle = lock(&self.idle).pop();
        let mut buffer: BytesMut = std::mem::take(&mut **into);
        // Given up meanwhile, it still has its memory until it ends: the turn goes with it.
        let ((frame, buffer), opener, outcome, turn) = tokio::task::spawn_blocking(move || {
            buffer.resize(usize::try_from(BLOCK_BYTES).unwrap_or_default(), 0);
            let mut opener = match idle.map_or_else(Decompressor::new, Ok) {
                Ok(opener) => opener,
                Err(error) => return ((frame, buffer), None, Err(error.to_string()), turn),
            };
            let outcome = opener.open(&frame, &mut buffer).map_err(|why| why.to_string());
            let outcome = outcome.map(|()| digest_of(&buffer));
            ((frame, buffer), Some(opener), outcome, turn)
        })
        .await
        .map_err(|e| Error::failed(format!("decompressing a block: {e}")))?;
        **into = buffer;
        pool.give_back(frame.into());
        // Never more than unpack at a time.
        lock(&self.idle).extend(opener);
        drop(turn);
        outcome.map_err(|why| Error::transient(format!("{CORRUPT} ({why})")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;
    use crate::archive::Compressor;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    #[tokio::test]
    async fn a_turn_lasts_until_its_lane_took_out_what_it_holds() {
        let (unpackers, pool) = (Unpackers::new(1), Pool::default());
        pool.keep(4);
        let block = vec![7; usize::try_from(BLOCK_BYTES).unwrap()];
        let mut compressor = Compressor::new(1).unwrap();
        let frame = compressor.frame(&block, BytesMut::with_capacity);
        let (mut first, mut second) = (Room::default(), Room::default());
        let mut one = Box::pin(unpackers.unpack(frame.clone(), &pool, &mut first));
        let mut other = Box::pin(unpackers.unpack(frame, &pool, &mut second));

        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let context = &mut Context::from_waker(&waker);
        assert!(one.as_mut().poll(context).is_pending());
        while !woken.0.swap(false, Ordering::AcqRel) {
            std::thread::yield_now();
        }
        // Unpacked, and not taken out: what it holds is still there.
        assert_eq!(unpackers.turns.available_permits(), 0);
        assert!(other.as_mut().poll(context).is_pending());
        assert!(lock(&unpackers.idle).is_empty());

        assert!(matches!(one.as_mut().poll(context), Poll::Ready(Ok(found)) if found == digest_of(&block)));
        assert_eq!(other.await.unwrap(), digest_of(&block));
        assert_eq!((unpackers.turns.available_permits(), lock(&unpackers.idle).len()), (1, 1));
        drop(one);
        assert!(**first == block && **second == block);
    }
}
