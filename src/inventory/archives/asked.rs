//! How often S3 was asked by what keeps some of its answers: not every page of an index, nor every block of a segment, is a
//! request, so the meter of dollars takes the number from here.

use std::sync::atomic::{AtomicU64, Ordering};

/// Requests since this was taken last.
#[derive(Debug, Default)]
pub struct Asked(AtomicU64);

impl Asked {
    /// One is sent now, whatever becomes of it.
    pub fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were sent since.
    #[must_use]
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}
