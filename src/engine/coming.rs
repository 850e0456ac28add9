//! Who may still bring a block to a run of an archive: a count of lanes and cursors that come on by themselves.
//!
//! Whoever reads, waits for bandwidth or for a limiter, tells the keeper, lists, or writes an object of an archive comes on
//! without anybody's help, and counts. Whoever waits for what only others give back (memory, a slot of the window, its turn,
//! an empty or a full queue, a run that is not closed) does not. Invariant: where the count is not above zero, a run that
//! waits for more waits for itself, and has to be closed as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

/// The count of one job.
#[derive(Debug, Clone, Default)]
pub(super) struct Coming(Arc<AtomicIsize>);

impl Coming {
    /// Whether somebody comes on.
    pub(super) fn anybody(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    /// One more comes on, until what this answers is dropped.
    pub(super) fn comes(&self) -> On {
        self.0.fetch_add(1, Ordering::SeqCst);
        On { count: self.clone(), by: 1 }
    }

    /// One of those who come on waits for others meanwhile.
    pub(super) async fn away<T>(&self, wait: impl Future<Output = T>) -> T {
        self.0.fetch_sub(1, Ordering::SeqCst);
        let _back = On { count: self.clone(), by: -1 };
        wait.await
    }
}

/// One who counts, or who is left out of the count.
#[derive(Debug)]
pub(super) struct On {
    count: Coming,
    by: isize,
}

impl Drop for On {
    fn drop(&mut self) {
        self.count.0.fetch_sub(self.by, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_others_does_not_count_however_the_wait_ends() {
        let coming = Coming::default();
        let lane = coming.comes();
        assert!(coming.anybody());
        coming.away(async { assert!(!coming.anybody()) }).await;
        assert!(coming.anybody());
        let given_up =
            tokio::time::timeout(std::time::Duration::from_millis(1), coming.away(std::future::pending::<()>()));
        assert!(given_up.await.is_err() && coming.anybody(), "a wait that is dropped is over");
        drop(lane);
        assert!(!coming.anybody());
    }
}
