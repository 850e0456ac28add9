//! The door that the window keeps: so many requests in flight and not one more.
//!
//! Obeys a smaller window at once: nobody is let in until enough have left. First come, first served; a
//! cancelled wait leaves no trace.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

#[derive(Debug, Default)]
struct State {
    limit: u32,
    inside: u32,
    peak: u32,
    next: u64,
    queue: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl State {
    fn serve(&mut self) {
        while self.inside < self.limit {
            let Some((_, sender)) = self.queue.pop_front() else { break };
            if sender.send(()).is_ok() {
                self.enter();
            }
        }
    }
    fn enter(&mut self) {
        self.inside += 1;
        self.peak = self.peak.max(self.inside);
    }
}

/// A gate; clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<State>>);

impl Gate {
    /// Lets `limit` in at a time.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        let gate = Self::default();
        gate.set_limit(limit);
        gate
    }

    /// Follows the window. Zero closes it.
    pub fn set_limit(&self, limit: u32) {
        let mut state = self.lock();
        state.limit = limit;
        state.serve();
    }

    /// Waits for a slot.
    pub async fn acquire(&self) -> Slot {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut state = self.lock();
            let id = state.next;
            state.next += 1;
            state.queue.push_back((id, sender));
            state.serve();
            id
        };
        let mut place = Place { gate: self, id, receiver: Some(receiver) };
        if let Some(receiver) = &mut place.receiver {
            // The sender is dropped only together with the gate that we borrow.
            let _ = receiver.await;
        }
        place.receiver = None;
        Slot(self.clone())
    }

    /// How many are inside.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.lock().inside
    }

    /// The most that were inside at once since this was asked last.
    #[must_use]
    pub fn take_peak(&self) -> u32 {
        let mut state = self.lock();
        let inside = state.inside;
        std::mem::replace(&mut state.peak, inside)
    }

    /// How many wait outside.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self) {
        let mut state = self.lock();
        state.inside -= 1;
        state.serve();
    }
}

struct Place<'a> {
    gate: &'a Gate,
    id: u64,
    receiver: Option<oneshot::Receiver<()>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else { return };
        let mut state = self.gate.lock();
        if receiver.try_recv().is_ok() {
            state.inside -= 1;
            state.serve();
        } else if let Ok(at) = state.queue.binary_search_by_key(&self.id, |(id, _)| *id) {
            state.queue.remove(at);
        }
    }
}

/// A request in flight; dropping it lets the next one in.
#[derive(Debug)]
pub struct Slot(Gate);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.leave();
    }
}
