//! What was said of a job before it ran, and of a process with all jobs in it: what is measured is held against these.
//!
//! Invariant: the process is counted once, the budget no more than once, and what each job keeps beside it as often as
//! there are jobs.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Usd};

/// What was said before and what it became.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Predicted {
    /// Peak memory of the process, when the job runs alone.
    pub memory: Bytes,
    /// Of it, what the process takes whatever runs: with several jobs it is there once.
    #[serde(default)]
    pub base: Bytes,
    /// Of it, what the budget gives: several jobs have no more than the budget together.
    #[serde(default)]
    pub of_budget: Bytes,
    /// Dollars once.
    pub cost: Usd,
    /// Seconds at best.
    pub seconds_low: f64,
    /// Seconds at worst.
    pub seconds_high: f64,
    /// Requests of the data plane: listed, got and put.
    #[serde(default)]
    pub requests: u64,
}

impl Predicted {
    /// Where a duration lies beside the range that was said: before it, in it, or behind it. What reads the same as an
    /// end of the range is in it.
    #[must_use]
    pub fn beside(&self, took: f64) -> Ordering {
        let shown = crate::plan::clock(took);
        let at_an_end = [self.seconds_low, self.seconds_high].into_iter().any(|end| crate::plan::clock(end) == shown);
        match took {
            _ if at_an_end => Ordering::Equal,
            _ if took < self.seconds_low => Ordering::Less,
            _ if took > self.seconds_high => Ordering::Greater,
            _ => Ordering::Equal,
        }
    }
}

/// What was said of the memory of a process, with all jobs that run in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Said {
    /// How many jobs.
    pub jobs: usize,
    /// What the process takes whatever runs: once.
    pub base: Bytes,
    /// What each job keeps beside the budget, all together.
    pub beside: Bytes,
    /// What they hold of the budget: no more than its limit, however many they are.
    pub of_budget: Bytes,
}

impl Said {
    /// Of these jobs together, under that budget. None where there is no job, or nothing was said of one of them.
    #[must_use]
    pub fn of<'a>(predicted: impl IntoIterator<Item = &'a Predicted>, limit: Bytes) -> Option<Self> {
        let mut all = Self::default();
        for said in predicted {
            if said.memory == Bytes::ZERO {
                return None;
            }
            all.jobs += 1;
            all.base = crate::plan::warmed(all.base, said.base);
            all.of_budget += said.of_budget;
            all.beside += said.memory.less(said.base).less(said.of_budget);
        }
        // One alone is held to what its plan said, also when the budget was cut since.
        if all.jobs > 1 {
            all.of_budget = all.of_budget.min(limit);
        }
        (all.jobs > 0).then_some(all)
    }
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.base + self.beside + self.of_budget
    }
}
