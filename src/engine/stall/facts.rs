//! What is known of a job at one moment, gathered from its state, its routes and its telemetry.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{End, Facts, Silent};
use crate::engine::call::{Route, rates};
use crate::engine::hub::StateView;
use crate::engine::protocol::LaneReason;
use crate::engine::rate::{Api, PerSecond};
use crate::engine::telemetry::JobTelemetry;

/// A limiter below this part of its quota was cut.
const CUT: f64 = 0.98;

/// The job's own side of it.
#[derive(Debug)]
pub(in crate::engine) struct Seen<'a> {
    pub state: StateView,
    pub reason: LaneReason,
    /// The destinations' addresses.
    pub targets: Vec<String>,
    /// As of now.
    pub telemetry: &'a JobTelemetry,
    /// The limit of bytes a second, in words, when blocks wait for it.
    pub bandwidth: Option<String>,
}

impl Seen<'_> {
    /// Together with what its routes say.
    pub(in crate::engine) fn beside(self, routes: &[Arc<Route>], now: Instant) -> Facts {
        let Self { state, reason, targets, telemetry, bandwidth } = self;
        let silent = routes.iter().filter_map(|route| {
            route.unanswered_for(now).map(|lasted| Silent { api: route.api(), name: route.name().to_owned(), lasted })
        });
        let cut = rates(routes).into_iter().filter(|rate| rate.limit < CUT * rate.cap);
        let limiter = cut.min_by(|a, b| (a.limit / a.cap).total_cmp(&(b.limit / b.cap)));
        let get = routes.iter().find(|route| matches!(route.api(), Api::Get | Api::Fetch));
        let source = End {
            name: get.map_or_else(|| "reading it".to_owned(), |route| route.name().to_owned()),
            blocks: telemetry.reading(),
            takes: telemetry.get.recent_ms().map(|(p50, _)| f64::from(p50) / 1000.0),
            oldest: Duration::ZERO,
        };
        let targets = telemetry.targets().iter().zip(targets).map(|(target, name)| End {
            name,
            blocks: target.blocks,
            takes: target.takes,
            oldest: target.oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at)),
        });
        Facts {
            state: state.state,
            why: state.why,
            reason,
            progress: telemetry.read.total().0 + telemetry.written.total().0 + telemetry.answers,
            written: telemetry.written.total().0,
            troubles: telemetry.troubles,
            silent: silent.max_by_key(|silent| silent.lasted),
            limiter: limiter.map(|rate| (rate.name, PerSecond(rate.cap), PerSecond(rate.limit))),
            source,
            targets: targets.collect(),
            bandwidth,
            memory: reason == LaneReason::Memory,
        }
    }
}
