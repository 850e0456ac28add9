//! Exact figures that were counted while the deck is open: blocks of snapshots, and what differs between two.
//!
//! A snapshot never changes, so what was counted once stays true: going back to a comparison is instant. One count
//! runs at a time, the latest; what it told so far is shown as "at least".

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::effect::Effect;
use super::model::Model;
use crate::error::{Error, Result};
use crate::ids::SnapshotId;
use crate::inventory::{Origin, SnapshotRow};
use crate::plan::compare::{Tally, is_unrelated};
use crate::plan::count::Counted;

/// Figures kept at most: each may carry a map of some 12 KiB.
const KEPT: usize = 500;

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum What {
    /// The blocks of a snapshot.
    Whole(Arc<Origin>, SnapshotId),
    /// What differs between two.
    Delta(Arc<Origin>, SnapshotId, SnapshotId),
}

impl What {
    /// The blocks of that row.
    #[must_use]
    pub fn whole(row: &SnapshotRow) -> Self {
        Self::Whole(row.origin.clone(), row.id.clone())
    }

    /// From the older to the newer of two rows of one region.
    #[must_use]
    pub fn delta(older: &SnapshotRow, newer: &SnapshotRow) -> Self {
        Self::Delta(older.origin.clone(), older.id.clone(), newer.id.clone())
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// The figures.
    pub counted: Counted,
    /// Of a delta: where the changes lie.
    pub cells: Vec<Tally>,
}

/// How far the count that runs is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Of what.
    pub what: What,
    /// Blocks so far.
    pub blocks: u64,
    /// Ranges done, of how many; of 0 while the volume's size is not known.
    pub ranges: (u64, u64),
    /// Where changes were found so far.
    pub cells: Vec<Tally>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Figures {
    known: HashMap<What, Result<Count>>,
    order: VecDeque<What>,
    number: u64,
    waiting: Vec<What>,
    running: Option<Progress>,
}

impl Figures {
    /// What came of counting it, if it was.
    #[must_use]
    pub fn get(&self, what: &What) -> Option<&Result<Count>> {
        self.known.get(what)
    }

    /// The figures of it, if they are known.
    #[must_use]
    pub fn count(&self, what: &What) -> Option<Counted> {
        self.get(what)?.as_ref().ok().map(|count| count.counted)
    }

    /// How far the count of it is, if it runs.
    #[must_use]
    pub fn progress(&self, what: &What) -> Option<&Progress> {
        self.running.as_ref().filter(|running| running.what == *what)
    }

    /// Whether it is to be counted, or is just being.
    #[must_use]
    pub fn is_coming(&self, what: &What) -> bool {
        self.waiting.contains(what)
    }

    /// How many are still to be counted.
    #[must_use]
    pub fn left(&self) -> usize {
        self.waiting.len()
    }

    /// Keeps what came of it.
    pub fn keep(&mut self, what: What, outcome: Result<Count>) {
        self.waiting.retain(|waiting| *waiting != what);
        if self.running.as_ref().is_some_and(|running| running.what == what) {
            self.running = None;
        }
        if self.known.insert(what.clone(), outcome).is_none() {
            self.order.push_back(what);
        }
        while self.order.len() > KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// The count of that number is so far.
    pub fn progressed(&mut self, number: u64, progress: &Progress) {
        if number == self.number && self.waiting.contains(&progress.what) {
            self.running = Some(progress.clone());
        }
    }

    /// Nothing is counted any more.
    pub fn stop(&mut self) {
        self.waiting.clear();
        self.running = None;
    }

    /// Whether asking again could give another answer.
    fn is_settled(&self, what: &What) -> bool {
        match self.get(what) {
            Some(Ok(_)) => true,
            Some(Err(error)) => is_unrelated(error),
            None => false,
        }
    }
}

/// Counts what of these is not known yet, one after the other, in the place of what was being counted.
pub fn count(model: &mut Model, of: Vec<What>) -> Vec<Effect> {
    let mut wanted: Vec<What> = Vec::new();
    for what in of {
        if !model.figures.is_settled(&what) && !wanted.contains(&what) {
            wanted.push(what);
        }
    }
    if wanted.is_empty() || wanted == model.figures.waiting {
        return Vec::new();
    }
    let number = model.number();
    model.figures.stop();
    model.figures.number = number;
    model.figures.waiting.clone_from(&wanted);
    vec![Effect::Count { number, of: wanted }]
}

/// Stops the count that runs.
pub fn stop(model: &mut Model) -> Vec<Effect> {
    if model.figures.waiting.is_empty() {
        return Vec::new();
    }
    model.figures.stop();
    vec![Effect::StopCounting]
}

/// Why it could not be counted, when it was tried.
#[must_use]
pub fn failure<'a>(model: &'a Model, what: &What) -> Option<&'a Error> {
    model.figures.get(what)?.as_ref().err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{origin, snapshot};

    #[test]
    fn what_is_known_is_not_counted_again_and_what_failed_is() {
        let mut model = Model::default();
        let here = origin("us-east-1");
        let (a, b) = (What::whole(&snapshot(&here, 1)), What::whole(&snapshot(&here, 2)));
        let asked = count(&mut model, vec![a.clone(), b.clone(), a.clone()]);
        assert!(matches!(asked.as_slice(), [Effect::Count { of, .. }] if of.len() == 2));
        assert!(count(&mut model, vec![a.clone(), b.clone()]).is_empty(), "it is on its way");
        model.figures.keep(a.clone(), Ok(Count { counted: Counted::default(), cells: Vec::new() }));
        model.figures.keep(b.clone(), Err(Error::failed("the line broke")));
        assert_eq!(model.figures.left(), 0);
        let again = count(&mut model, vec![a, b.clone()]);
        assert!(matches!(again.as_slice(), [Effect::Count { of, .. }] if *of == [b]));
        assert!(matches!(stop(&mut model).as_slice(), [Effect::StopCounting]));
        assert!(stop(&mut model).is_empty());
    }

    #[test]
    fn no_more_than_some_hundred_are_kept() {
        let mut figures = Figures::default();
        let here = origin("us-east-1");
        for n in 0..(KEPT as u64 + 20) {
            figures.keep(What::whole(&snapshot(&here, n)), Err(Error::failed("no")));
        }
        assert_eq!((figures.known.len(), figures.order.len()), (KEPT, KEPT));
    }
}
