//! What the sandbox was asked: counts by operation and outcome, requests in flight, bytes and rates.
//!
//! Tests and benchmarks read them through `GET /_sandbox/stats`. Maps are bounded: an operation beyond the 128th, or a
//! snapshot beyond the 65,536th, is counted under `other`. The first requests after a reset are known in their order too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

const APIS: usize = 128;
const SNAPSHOTS: usize = 65_536;
/// Outcomes told apart per operation.
const OUTCOMES: usize = 64;
/// Requests that are kept in their order.
const ORDERED: usize = 4_096;

/// Counts of one operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiStats {
    /// Requests that came in.
    pub requests: u64,
    /// `ok`, an error code (`ValidationException/INVALID_BLOCK_TOKEN`), or a fault (`reset-before`, `hang`, …).
    pub outcomes: BTreeMap<String, u64>,
    /// Under way now: from the request's head to the last byte of the answer.
    pub in_flight: u64,
    /// The most at once since the counts began.
    pub max_in_flight: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of answers.
    pub bytes_out: u64,
    /// Requests that came in during the last full second.
    pub per_second: u64,
    #[serde(skip)]
    window: (u64, u64, u64),
}

/// A picture of the counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// By operation.
    pub apis: BTreeMap<String, ApiStats>,
    /// Under way now.
    pub in_flight: u64,
    /// The most at once.
    pub max_in_flight: u64,
    /// GetSnapshotBlock requests by snapshot, also those that failed.
    pub gets: BTreeMap<String, u64>,
    /// PutSnapshotBlock requests by snapshot, also those that failed.
    pub puts: BTreeMap<String, u64>,
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
}

impl Stats {
    /// The counts of one operation.
    #[must_use]
    pub fn api(&self, api: &str) -> ApiStats {
        self.apis.get(api).cloned().unwrap_or_default()
    }
}

/// One request in its order: moments are counted, not timed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The operation.
    pub api: String,
    /// When its head was there.
    pub began: u64,
    /// When the last byte of the answer had gone out; `None` while it is under way.
    pub ended: Option<u64>,
}

/// The first requests since the counts began.
#[derive(Debug, Default)]
struct Order {
    now: u64,
    moments: Vec<Moment>,
    /// Counts up with each reset: what began before is not of this list.
    era: u64,
}

impl Order {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

/// The counts, shared.
#[derive(Debug, Clone)]
pub struct Counters {
    stats: Arc<Mutex<Stats>>,
    order: Arc<Mutex<Order>>,
    since: Instant,
}

impl Default for Counters {
    fn default() -> Self {
        Self { stats: Arc::default(), order: Arc::default(), since: Instant::now() }
    }
}

impl Counters {
    fn lock(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A picture of them now.
    #[must_use]
    pub fn picture(&self) -> Stats {
        let second = self.since.elapsed().as_secs();
        let mut stats = self.lock().clone();
        for api in stats.apis.values_mut() {
            let (at, now, before) = api.window;
            api.per_second = match second - at.min(second) {
                0 => before,
                1 => now,
                _ => 0,
            };
        }
        stats
    }

    fn ordered(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first requests since the counts began, in the order in which they came: as many as are kept.
    #[must_use]
    pub fn order(&self) -> Vec<Moment> {
        self.ordered().moments.clone()
    }

    /// Starts them anew; what is under way stays counted as such.
    pub fn reset(&self) {
        {
            let mut order = self.ordered();
            order.moments.clear();
            order.era += 1;
        }
        let mut stats = self.lock();
        for api in stats.apis.values_mut() {
            *api = ApiStats { in_flight: api.in_flight, max_in_flight: api.in_flight, ..ApiStats::default() };
        }
        stats.max_in_flight = stats.in_flight;
        stats.gets.clear();
        stats.puts.clear();
    }

    /// Counts a request until the answer is dropped.
    #[must_use]
    pub fn begin(&self, api: &str, snapshot: Option<&str>, bytes: u64) -> InFlight {
        let second = self.since.elapsed().as_secs();
        let mut stats = self.lock();
        stats.in_flight += 1;
        stats.max_in_flight = stats.max_in_flight.max(stats.in_flight);
        let by_snapshot = match api {
            "GetSnapshotBlock" => Some(&mut stats.gets),
            "PutSnapshotBlock" => Some(&mut stats.puts),
            _ => None,
        };
        if let (Some(map), Some(id)) = (by_snapshot, snapshot) {
            let known = map.len() < SNAPSHOTS || map.contains_key(id);
            *map.entry(if known { id.to_owned() } else { "other".into() }).or_default() += 1;
        }
        let known = stats.apis.len() < APIS || stats.apis.contains_key(api);
        let api = if known { api } else { "other" };
        if !stats.apis.contains_key(api) {
            stats.apis.insert(api.to_owned(), ApiStats::default());
        }
        if let Some(entry) = stats.apis.get_mut(api) {
            entry.requests += 1;
            entry.bytes_in += bytes;
            entry.in_flight += 1;
            entry.max_in_flight = entry.max_in_flight.max(entry.in_flight);
            let (at, now, _) = entry.window;
            match second - at.min(second) {
                0 => entry.window.1 += 1,
                1 => entry.window = (second, 1, now),
                _ => entry.window = (second, 1, 0),
            }
        }
        let (mut order, mut place) = (self.ordered(), None);
        let began = order.tick();
        if order.moments.len() < ORDERED {
            place = Some((order.era, order.moments.len()));
            order.moments.push(Moment { api: api.to_owned(), began, ended: None });
        }
        drop(order);
        InFlight { counters: self.clone(), api: api.to_owned(), place }
    }

    /// A connection came (`true`) or went.
    pub fn connection(&self, open: bool) {
        let mut stats = self.lock();
        if open {
            stats.connections += 1;
            stats.open_connections += 1;
        } else {
            stats.open_connections = stats.open_connections.saturating_sub(1);
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct InFlight {
    counters: Counters,
    api: String,
    /// Its place in the order: of which counting, and there.
    place: Option<(u64, usize)>,
}

impl InFlight {
    /// Notes how it ended and how long the answer is.
    pub fn outcome(&self, outcome: &str, bytes: u64) {
        let mut stats = self.counters.lock();
        if let Some(api) = stats.apis.get_mut(&self.api) {
            api.bytes_out += bytes;
            if let Some(count) = api.outcomes.get_mut(outcome) {
                *count += 1;
            } else {
                let name = if api.outcomes.len() < OUTCOMES { outcome } else { "other" };
                *api.outcomes.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut stats = self.counters.lock();
        stats.in_flight = stats.in_flight.saturating_sub(1);
        if let Some(api) = stats.apis.get_mut(&self.api) {
            api.in_flight = api.in_flight.saturating_sub(1);
        }
        drop(stats);
        let mut order = self.counters.ordered();
        let ended = order.tick();
        if let Some((era, at)) = self.place
            && era == order.era
            && let Some(moment) = order.moments.get_mut(at)
        {
            moment.ended = Some(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_in_flight_until_its_answer_is_gone() {
        let counters = Counters::default();
        let first = counters.begin("GetSnapshotBlock", Some("snap-1"), 0);
        let second = counters.begin("GetSnapshotBlock", Some("snap-1"), 0);
        first.outcome("ok", 524_288);
        drop(first);
        let stats = counters.picture();
        assert_eq!((stats.in_flight, stats.max_in_flight, stats.gets["snap-1"]), (1, 2, 2));
        let get = stats.api("GetSnapshotBlock");
        assert_eq!((get.requests, get.in_flight, get.max_in_flight, get.bytes_out), (2, 1, 2, 524_288));
        assert_eq!(get.outcomes["ok"], 1);
        let order: Vec<(u64, Option<u64>)> = counters.order().iter().map(|m| (m.began, m.ended)).collect();
        assert_eq!(order, [(1, Some(3)), (2, None)], "one after the other, as they came and went");
        counters.reset();
        drop(second);
        assert_eq!(counters.picture().api("GetSnapshotBlock").in_flight, 0);
        assert_eq!(counters.picture().in_flight, 0);
        assert!(counters.order().is_empty(), "what began before is not of this counting");
    }
}
