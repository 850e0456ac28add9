//! Bytes a second: one line in which every block waits for its turn, read or written.
//!
//! Invariant: in any second no more than the limit and a tenth goes through, or one block where that is more. What
//! is not used is not saved up, but for a few milliseconds of lateness. A new setting counts at once, also for
//! those who wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::rate::Nap;
use crate::bandwidth::Bandwidth;
use crate::ids::JobId;
use crate::units::Bytes;

/// How late a turn may be without being lost: timers are no finer than a millisecond.
const LATE: Duration = Duration::from_millis(40);
/// A schedule is looked at again this often while somebody waits.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One limit; shared by everything that it limits.
#[derive(Debug)]
pub(super) struct Throttle {
    setting: watch::Sender<Option<Bandwidth>>,
    /// When the next block may go. Who holds it is first in the line.
    turn: Mutex<Instant>,
    /// Odd while the first in the line waits for its turn: counts the beginnings and ends of waits.
    waits: AtomicU64,
    /// The same when it was asked last.
    seen: AtomicU64,
}

impl Throttle {
    pub(super) fn new(setting: Option<Bandwidth>) -> Self {
        let turn = Mutex::new(Instant::now());
        Self { setting: watch::channel(setting).0, turn, waits: AtomicU64::new(0), seen: AtomicU64::new(0) }
    }

    /// Turns it.
    pub(super) fn set(&self, setting: Option<Bandwidth>) {
        self.setting.send_replace(setting);
    }

    /// The setting.
    pub(super) fn setting(&self) -> Option<Bandwidth> {
        self.setting.borrow().clone()
    }

    /// Bytes a second now.
    pub(super) fn now(&self) -> Option<Bytes> {
        self.setting.borrow().as_ref().and_then(|setting| setting.at(crate::wall::here().datetime()))
    }

    /// Whether anybody waits, or has waited since this was asked last.
    pub(super) fn take_waited(&self) -> bool {
        let waits = self.waits.load(Ordering::Relaxed);
        waits % 2 == 1 || self.seen.swap(waits, Ordering::Relaxed) != waits
    }

    /// Waits until so many bytes may go.
    pub(super) async fn pass(&self, bytes: Bytes) {
        if self.setting.borrow().is_none() {
            return;
        }
        let mut changed = self.setting.subscribe();
        let mut turn = self.turn.lock().await;
        loop {
            changed.mark_unchanged();
            let Some(rate) = self.now() else { return };
            let now = Instant::now();
            if *turn <= now {
                #[expect(clippy::cast_precision_loss, reason = "a share of a second")]
                let takes = Duration::from_secs_f64(bytes.0 as f64 / rate.0.max(1) as f64);
                *turn = (*turn).max(now.checked_sub(LATE).unwrap_or(now)) + takes;
                return;
            }
            let _nap = Nap::new(&self.waits);
            let until = (*turn).min(now + LOOK_AGAIN);
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                _ = changed.changed() => *turn = now,
            }
        }
    }
}

/// The limit of one job: that of all jobs it came with, until somebody turns its own.
#[derive(Debug)]
pub(super) struct Allowance {
    own: Throttle,
    together: watch::Sender<Option<Arc<Throttle>>>,
}

impl Allowance {
    pub(super) fn new(setting: Option<Bandwidth>) -> Self {
        Self { own: Throttle::new(setting), together: watch::channel(None).0 }
    }

    /// Goes through this one together with other jobs.
    pub(super) fn share(&self, together: Arc<Throttle>) {
        self.together.send_replace(Some(together));
    }

    /// Turns the job's own: what it shared counts no longer.
    pub(super) fn set(&self, setting: Option<Bandwidth>) {
        self.own.set(setting);
        self.together.send_replace(None);
    }

    /// Asks the limit that counts.
    fn ask<T>(&self, ask: impl FnOnce(&Throttle) -> T) -> T {
        match self.together.borrow().as_deref() {
            Some(together) => ask(together),
            None => ask(&self.own),
        }
    }

    /// The setting.
    pub(super) fn setting(&self) -> Option<Bandwidth> {
        self.ask(Throttle::setting)
    }

    /// Bytes a second now, and whether other jobs have their part of them.
    pub(super) fn now(&self) -> Option<(Bytes, bool)> {
        let shared = self.together.borrow().is_some();
        Some((self.ask(Throttle::now)?, shared))
    }

    /// Whether anybody waits, or has waited since this was asked last.
    pub(super) fn take_waited(&self) -> bool {
        self.ask(Throttle::take_waited)
    }

    /// Waits until so many bytes may go.
    pub(super) async fn pass(&self, bytes: Bytes) {
        let mut turned = self.together.subscribe();
        let together = turned.borrow_and_update().clone();
        let Some(together) = together else { return self.own.pass(bytes).await };
        tokio::select! {
            () = together.pass(bytes) => {}
            // The sender lives as long as this. Whoever waits when it is turned waits in the new line.
            _ = turned.changed() => self.own.pass(bytes).await,
        }
    }
}

/// The limits of operations that have several jobs, by the first of these: each is there as long as one of them runs.
#[derive(Debug, Default)]
pub(super) struct Together(BTreeMap<JobId, Weak<Throttle>>);

impl Together {
    /// That of this one; begun with `limit` where none of its jobs runs yet.
    pub(super) fn of(&mut self, group: JobId, limit: Bandwidth) -> Arc<Throttle> {
        self.0.retain(|_, throttle| throttle.strong_count() > 0);
        self.0.get(&group).and_then(Weak::upgrade).unwrap_or_else(|| {
            let throttle = Arc::new(Throttle::new(Some(limit)));
            self.0.insert(group, Arc::downgrade(&throttle));
            throttle
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::BLOCK_BYTES;

    const BLOCK: Bytes = Bytes(BLOCK_BYTES);

    /// Lets `lanes` lanes go for that long; when each block went, in milliseconds.
    async fn flow(throttle: &Arc<Throttle>, lanes: u32, time: Duration) -> Vec<u128> {
        let (begun, out) = (Instant::now(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..lanes {
            let (throttle, out) = (Arc::clone(throttle), Arc::clone(&out));
            tasks.spawn(async move {
                loop {
                    throttle.pass(BLOCK).await;
                    out.lock().expect("no panic").push(begun.elapsed().as_millis());
                    tokio::task::yield_now().await;
                }
            });
        }
        tokio::time::sleep(time).await;
        tasks.shutdown().await;
        let mut went = out.lock().expect("no panic").clone();
        went.sort_unstable();
        went
    }

    /// The most blocks in any second.
    fn densest(went: &[u128]) -> usize {
        went.iter().map(|from| went.iter().filter(|at| (*from..from + 1_000).contains(*at)).count()).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_is_over_by_more_than_a_tenth_or_one_block() {
        for mib in [1u64, 7, 50, 200] {
            let throttle = Arc::new(Throttle::new(Some(Bandwidth::always(Bytes::mib(mib)))));
            let went = flow(&throttle, 64, Duration::from_secs(10)).await;
            let per_second = usize::try_from(mib * 2).expect("small");
            let most = per_second + (per_second / 10).max(1);
            assert!(densest(&went) <= most, "{mib} MiB/s: {} blocks in a second, {most} allowed", densest(&went));
            assert!(went.len() >= per_second * 10 * 95 / 100, "{mib} MiB/s: only {} blocks in 10 s", went.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_long_is_seen_at_every_look() {
        let throttle = Arc::new(Throttle::new(Some(Bandwidth::always(Bytes::kib(64)))));
        assert!(!throttle.take_waited());
        throttle.pass(BLOCK).await;
        assert!(!throttle.take_waited(), "the first one need not wait");
        let waiting = tokio::spawn({
            let throttle = Arc::clone(&throttle);
            async move { throttle.pass(BLOCK).await }
        });
        for _ in 0..70 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(throttle.take_waited(), "it waits for eight seconds");
        }
        waiting.await.expect("its turn");
        assert!(throttle.take_waited() && !throttle.take_waited(), "once more, for the end of it");
        let given_up = tokio::spawn({
            let throttle = Arc::clone(&throttle);
            async move { throttle.pass(BLOCK).await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        given_up.abort();
        assert!(given_up.await.is_err() && throttle.take_waited() && !throttle.take_waited());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_setting_counts_at_once_for_those_who_wait() {
        let throttle = Arc::new(Throttle::new(Some(Bandwidth::always(Bytes::kib(64)))));
        let waiting = tokio::spawn({
            let throttle = Arc::clone(&throttle);
            async move {
                let begun = Instant::now();
                for _ in 0..4 {
                    throttle.pass(BLOCK).await;
                }
                begun.elapsed()
            }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(throttle.take_waited());
        throttle.set(None);
        assert!(waiting.await.expect("it ends") < Duration::from_secs(2));
        assert_eq!(throttle.now(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_setting_nobody_waits() {
        let throttle = Throttle::new(None);
        let begun = Instant::now();
        for _ in 0..10_000 {
            throttle.pass(BLOCK).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    /// Two jobs of a group have one limit together; one that is turned has its own, also for whoever waits, and the other
    /// all that there was for both.
    #[tokio::test(start_paused = true)]
    async fn jobs_of_a_group_share_one_limit_until_one_is_turned() {
        let together = Arc::new(Throttle::new(Some(Bandwidth::always(Bytes(BLOCK_BYTES)))));
        let jobs = [Allowance::new(None), Allowance::new(None)].map(Arc::new);
        jobs.iter().for_each(|job| job.share(Arc::clone(&together)));
        assert_eq!(jobs[0].now(), Some((BLOCK, true)));
        let begun = Instant::now();
        let pass = |job: &Arc<Allowance>, times: u32| {
            let job = Arc::clone(job);
            tokio::spawn(async move {
                for _ in 0..times {
                    job.pass(BLOCK).await;
                }
                begun.elapsed().as_secs()
            })
        };
        let (one, other) = (pass(&jobs[0], 5), pass(&jobs[1], 5));
        let (one, other) = (one.await.expect("no panic"), other.await.expect("no panic"));
        assert_eq!(one.max(other), 9, "ten blocks of one a second, the first at once");
        let waits = pass(&jobs[0], 100);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!waits.is_finished());
        jobs[0].set(None);
        waits.await.expect("no panic");
        assert!(begun.elapsed() < Duration::from_secs(14), "it waits no longer once it is turned");
        assert_eq!((jobs[0].setting(), jobs[1].now()), (None, Some((BLOCK, true))));
    }
}
