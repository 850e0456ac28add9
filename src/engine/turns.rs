//! Turns: blocks are taken in, or sent off, a few at a time and in order.
//!
//! Hundreds of lanes wait for answers; those whose answers are here share the machine. All at once they would end
//! together, late, each holding its memory meanwhile, and then leave the machine idle together for as long as the
//! service takes. Invariant: where the network is what binds, nobody waits: a turn ends after [`TURN`] at the latest.
//! Where the machine binds, it does not: its own timers come late there, and whoever began beside the others would only
//! hold memory beside theirs.

use std::time::Duration;

use bytes::Bytes as Buffer;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};

/// So many at a time.
const PLACES: usize = 16;
/// What is not through by then is waiting for the network, and waits without a turn.
const TURN: Duration = Duration::from_millis(10);
/// A timer that fires so much later than it was set for shows a machine that has enough to do.
const LATE: Duration = Duration::from_millis(3);

/// A few places, given in order.
#[derive(Debug)]
pub(super) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(PLACES))
    }
}

impl Turns {
    /// Begins `work` when it is its turn. What `work` allocates when it is first polled is held by few at a time.
    pub(super) async fn take<T>(&self, work: impl Future<Output = T>) -> T {
        self.until(std::future::pending(), || work).await
    }

    /// Sends `data` off when it is its turn. The turn ends when the last byte has gone out and `work` lets go of it:
    /// the answer takes its time, and meanwhile others send.
    pub(super) async fn send<T, W: Future<Output = T>>(&self, data: Buffer, work: impl FnOnce(Buffer) -> W) -> T {
        let (held, gone) = oneshot::channel();
        let gone = async {
            let _: Result<(), _> = gone.await;
        };
        self.until(gone, || work(Buffer::from_owner(Leaving { data, _held: held }))).await
    }

    /// Begins when a place is free, and holds it until `over`, or as long as a turn takes.
    async fn until<T, W: Future<Output = T>>(&self, over: impl Future<Output = ()>, begin: impl FnOnce() -> W) -> T {
        // Nobody closes the semaphore.
        let turn = self.0.acquire().await.ok();
        let (mut work, mut over) = (std::pin::pin!(begin()), std::pin::pin!(over));
        loop {
            let end = Instant::now() + TURN;
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = &mut over => break,
                () = sleep_until(end) => {}
            }
            if end.elapsed() < LATE {
                break;
            }
        }
        drop(turn);
        work.await
    }
}

/// Bytes on their way out; the other end hears when nobody holds them any more.
#[derive(Debug)]
struct Leaving {
    data: Buffer,
    _held: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Leaving {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_quick_goes_a_few_at_a_time_and_what_is_slow_keeps_nobody() {
        let (turns, inside, most) = (Arc::new(Turns::default()), Arc::new(AtomicUsize::new(0)), Arc::default());
        let run = |takes: Duration, most: &Arc<AtomicUsize>| {
            let (turns, inside, most) = (Arc::clone(&turns), Arc::clone(&inside), Arc::clone(most));
            tokio::spawn(async move {
                let work = async {
                    most.fetch_max(inside.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    sleep(takes).await;
                    inside.fetch_sub(1, Ordering::Relaxed);
                };
                turns.take(work).await;
            })
        };
        for task in (0..100).map(|_| run(Duration::from_millis(2), &most)).collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(most.load(Ordering::Relaxed), PLACES);

        let (begun, most) = (Instant::now(), Arc::default());
        for task in (0..100).map(|_| run(Duration::from_secs(5), &most)).collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert!(most.load(Ordering::Relaxed) == 100 && begun.elapsed() < Duration::from_millis(5_100));
    }

    /// With a hundred milliseconds to every answer, what is sent in one would otherwise bound what can be sent at all:
    /// sixteen places, ten milliseconds each.
    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_answer_has_given_its_turn_on() {
        let (turns, inside, most) = (Arc::new(Turns::default()), Arc::new(AtomicUsize::new(0)), Arc::default());
        let run = |most: &Arc<AtomicUsize>| {
            let (turns, inside, most) = (Arc::clone(&turns), Arc::clone(&inside), Arc::clone(most));
            tokio::spawn(async move {
                let work = |data: Buffer| async move {
                    most.fetch_max(inside.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    sleep(Duration::from_millis(1)).await;
                    inside.fetch_sub(1, Ordering::Relaxed);
                    drop(data);
                    sleep(Duration::from_millis(100)).await;
                };
                turns.send(Buffer::from_static(b"block"), work).await;
            })
        };
        let begun = Instant::now();
        for task in (0..160).map(|_| run(&most)).collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(most.load(Ordering::Relaxed), PLACES);
        // Virtual time: ten rounds of a millisecond and one answer, where ten turns of ten milliseconds were before.
        assert!(begun.elapsed() < Duration::from_millis(130), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_is_late_keeps_to_its_turns() {
        let turns = Arc::new(Turns::default());
        let hold = |turns: &Arc<Turns>| {
            let turns = Arc::clone(turns);
            tokio::spawn(async move { turns.take(sleep(Duration::from_secs(1))).await })
        };
        let held: Vec<_> = (0..PLACES).map(|_| hold(&turns)).collect();
        tokio::task::yield_now().await;
        assert_eq!(turns.0.available_permits(), 0);
        tokio::time::advance(TURN + LATE * 2).await;
        tokio::task::yield_now().await;
        assert_eq!(turns.0.available_permits(), 0, "the timers came late");
        tokio::time::advance(TURN).await;
        tokio::task::yield_now().await;
        assert_eq!(turns.0.available_permits(), PLACES, "in time now: it is the network");
        for held in held {
            held.await.unwrap();
        }
    }
}
