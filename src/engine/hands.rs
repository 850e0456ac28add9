//! Hands: of a job whose blocks only pass through, a few are in memory at a time, however many lanes ask for them.
//!
//! A lane that waits for an answer holds its connection and no block. So the blocks of such a job have places of their
//! own: as many as there are lanes, and [`crate::plan::choices::IN_HAND`] at most. Invariants: there are never more
//! places than blocks that the budget granted; with a lane inside there is at least one, so that whoever waits for a
//! place waits for a block that moves; places go with the lanes.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::blocks::lock;
use super::budget::{Part, Permit, Weight};

/// The places of one job.
#[derive(Debug)]
pub(super) struct Hands {
    most: usize,
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Lanes that were let in.
    inside: usize,
    /// The memory of each place.
    blocks: Vec<Permit>,
}

/// A lane that was let in.
#[derive(Debug)]
pub(super) struct Inside {
    hands: Arc<Hands>,
    /// What it holds beside its block.
    _permit: Permit,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Hand {
    hands: Arc<Hands>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Hands {
    /// Places for so many blocks at most.
    pub(super) fn new(most: u32) -> Self {
        Self { most: most.max(1) as usize, places: Arc::new(Semaphore::new(0)), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What a lane that comes now asks of the budget: an item of `whole`, or one without its block.
    pub(super) fn asks(&self, whole: Weight) -> Weight {
        if self.state().blocks.len() < self.most { whole } else { whole.without(Part::Blocks) }
    }

    /// Lets a lane in with what it was granted; `None` when it holds no block and those that it counted on are gone
    /// meanwhile, so that it has to ask again.
    pub(super) fn enter(self: &Arc<Self>, mut permit: Permit) -> Option<Inside> {
        let mut state = self.state();
        match permit.split(Part::Blocks) {
            // Others filled the last place while this one waited: its block goes back.
            Some(_) if state.blocks.len() >= self.most => {}
            Some(block) => {
                state.blocks.push(block);
                self.places.add_permits(1);
            }
            None if state.blocks.len() < self.most => return None,
            None => {}
        }
        state.inside += 1;
        drop(state);
        Some(Inside { hands: Arc::clone(self), _permit: permit })
    }

    /// Waits for a place.
    pub(super) async fn hand(self: &Arc<Self>) -> Hand {
        // Nobody closes the semaphore.
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        Hand { hands: Arc::clone(self), permit }
    }

    /// Gives back the memory of places that there are no lanes for, as they fall free.
    fn settle(&self, state: &mut State) {
        while state.blocks.len() > state.inside {
            let Ok(free) = self.places.try_acquire() else { return };
            free.forget();
            state.blocks.pop();
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut state = self.hands.state();
        state.inside -= 1;
        self.hands.settle(&mut state);
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.permit.take();
        self.hands.settle(&mut self.hands.state());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::budget::{Budget, JobBudget};
    use crate::ids::JobId;
    use crate::units::Bytes;

    const BLOCK: u64 = 512;
    const LANE: u64 = 96;

    fn whole() -> Weight {
        Weight::of(Part::Blocks, Bytes(BLOCK)).and(Part::Connections, Bytes(LANE))
    }

    fn budget(limit: u64) -> (Budget, JobBudget) {
        let budget = Budget::new(Bytes(limit));
        let job = budget.join(JobId(1), Bytes(BLOCK + LANE), Bytes(1));
        (budget, job)
    }

    fn let_in(hands: &Arc<Hands>, job: &JobBudget) -> Option<Inside> {
        hands.enter(job.try_acquire(hands.asks(whole()))?)
    }

    #[test]
    fn a_few_lanes_bring_a_block_each_and_the_rest_share_them() {
        let (budget, job) = budget(1_000_000);
        let hands = Arc::new(Hands::new(4));
        let lanes: Vec<Inside> = (0..10).map(|_| let_in(&hands, &job).unwrap()).collect();
        assert_eq!(budget.usage().used, Bytes(4 * BLOCK + 10 * LANE));
        assert_eq!(hands.places.available_permits(), 4);
        drop(lanes);
        assert_eq!((budget.usage().used, hands.places.available_permits()), (Bytes::ZERO, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_kept_while_it_is_used_and_given_on_in_order() {
        let (budget, job) = budget(1_000_000);
        let hands = Arc::new(Hands::new(1));
        let (first, second) = (let_in(&hands, &job).unwrap(), let_in(&hands, &job).unwrap());
        let held = hands.hand().await;
        let other = Arc::clone(&hands);
        let next = tokio::spawn(async move { other.hand().await });
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert!(!next.is_finished(), "one place, one block");
        drop(held);
        let held = next.await.unwrap();
        // The block outlives its lane: its memory is counted until it goes.
        drop((first, second));
        assert_eq!(budget.usage().used, Bytes(BLOCK));
        drop(held);
        assert_eq!(budget.usage().used, Bytes::ZERO);
    }

    #[test]
    fn who_counted_on_a_block_that_went_asks_again() {
        let (_, job) = budget(1_000_000);
        let hands = Arc::new(Hands::new(1));
        let first = let_in(&hands, &job).unwrap();
        let light = job.try_acquire(hands.asks(whole())).unwrap();
        assert_eq!(light.weight().total(), Bytes(LANE));
        drop(first);
        assert!(hands.enter(light).is_none(), "nobody is inside without a block to wait for");
        assert!(let_in(&hands, &job).is_some());
    }

    proptest! {
        #[test]
        fn places_follow_the_lanes_and_the_budget_whatever_comes_and_goes(
            most in 1u32..6, limit in 700u64..6_000, steps in proptest::collection::vec(0u8..4, 1..200),
        ) {
            let (budget, job) = budget(limit);
            let hands = Arc::new(Hands::new(most));
            let (mut lanes, mut held) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    0 | 1 => lanes.extend(let_in(&hands, &job)),
                    2 if lanes.len() > held.len() => drop(lanes.pop()),
                    2 => drop(held.pop()),
                    _ => if let Ok(permit) = Arc::clone(&hands.places).try_acquire_owned() {
                        held.push(Hand { hands: Arc::clone(&hands), permit: Some(permit) });
                    }
                }
                let blocks = hands.state().blocks.len();
                prop_assert_eq!(blocks, held.len() + hands.places.available_permits());
                prop_assert_eq!(blocks.max(held.len()), lanes.len().min(most as usize).max(held.len()));
                prop_assert_eq!(budget.usage().used.0, blocks as u64 * BLOCK + lanes.len() as u64 * LANE);
                prop_assert!(budget.usage().used.0 <= limit);
            }
            drop((lanes, held));
            prop_assert_eq!(budget.usage().used, Bytes::ZERO);
        }
    }
}
