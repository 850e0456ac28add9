//! How often S3 was asked by what keeps some of its answers: not every page of an index, nor every block of a segment, is a
//! request, so the meter of dollars takes the number from here.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

tokio::task_local! {
    /// Requests that this very question has sent.
    static OWN: Cell<u64>;
}

/// Requests since this was taken last.
#[derive(Debug, Default)]
pub struct Asked(AtomicU64);

impl Asked {
    /// One is sent now, whatever becomes of it.
    pub fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        // Outside of a question nobody wants to know.
        let _ = OWN.try_with(|own| own.set(own.get() + 1));
    }

    /// Asks a question; also whether that sent a request of its own, and was not answered out of what is kept, or out of
    /// what somebody else asked for.
    pub async fn whether<T>(question: impl Future<Output = T>) -> (T, bool) {
        let asking = async {
            let answer = question.await;
            (answer, OWN.with(Cell::get) > 0)
        };
        OWN.scope(Cell::new(0), asking).await
    }

    /// How many were sent since.
    #[must_use]
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}
