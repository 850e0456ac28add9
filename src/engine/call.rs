//! The one retry layer around every request: pace, deadline, headers + body + checksum, classification.
//!
//! Invariants: nothing below this layer tries again; a throttle moves the limiter of its level and never the
//! window; a deadline that passes halves the window and never moves a limiter; a permanent error comes back
//! at once. What a caller gets back as an error is final for this item, and its class says what that means.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::blocks::lock;
use super::hub::Hub;
use super::protocol::{Lanes, RateStatus, Tone};
use super::rate::{Api, Key, Limiters, Pace, PerSecond, Scope};
use super::retry::{Attempts, Context, Deadlines, Decision, Limits, Policy};
use super::telemetry::LaneLog;
use super::window::Bounds;
use crate::aws::{CORRUPT, Session};
use crate::error::{Class, Error, Level, Result};
use crate::ids::{AccountId, JobId, Region, SnapshotId};
use crate::inventory::archives::Asked;
use crate::plan::choices::REQUESTS_PER_SECOND;

/// The segment of requests that belong to none.
pub(super) const NO_SEGMENT: u32 = u32::MAX;
/// The segment of what is read back from a destination: not of the source.
pub(super) const READ_BACK: u32 = u32::MAX - 1;
/// A route without a single answer for this long is silent: who waits for it gives its memory back.
pub(super) const SILENT: Duration = Duration::from_secs(60);
/// ListSnapshotBlocks per account (L-18E976AB), CompleteSnapshot per account (L-1D4D9345).
const LIST_PER_SECOND: f64 = 50.0;
const COMPLETE_PER_SECOND: f64 = 10.0;
/// S3 takes so many requests a second per prefix before it scales further; SlowDown says when it has not yet.
const FETCH_PER_SECOND: f64 = 5500.0;
const STORE_PER_SECOND: f64 = 3500.0;

type RouteKey = (Api, Option<SnapshotId>, AccountId, Region);

/// Where requests of one kind go: their limiters, deadlines and the time of the last answer.
#[derive(Debug)]
pub(super) struct Route {
    api: Api,
    pace: Pace,
    deadlines: Arc<Deadlines>,
    answered: Mutex<Instant>,
    asking: Mutex<Asking>,
    /// When the snapshot was started that may not be visible yet.
    started: Mutex<Option<Instant>>,
    name: String,
}

impl Route {
    /// How long nothing was answered here.
    fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*lock(&self.answered))
    }

    /// From now on "not found" means "not visible yet", for a bounded time.
    pub(super) fn just_started(&self) {
        *lock(&self.started) = Some(Instant::now());
    }

    /// Silence counts from here: after a wait, a new chance.
    pub(super) fn begin(&self) {
        *lock(&self.answered) = Instant::now();
    }

    pub(super) const fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn api(&self) -> Api {
        self.api
    }

    /// How long nobody has been answered who asks here; none when nobody asks.
    pub(super) fn unanswered_for(&self, now: Instant) -> Option<Duration> {
        lock(&self.asking).since.map(|since| now.saturating_duration_since(since))
    }
}

/// Who has asked and not been answered.
#[derive(Debug, Default)]
struct Asking {
    on_their_way: u32,
    /// Since when nobody was answered who asked.
    since: Option<Instant>,
}

/// One request on its way; dropped unheard (nobody waits for it any more) it says nothing about the service.
struct Question<'a> {
    route: &'a Route,
    heard: bool,
}

impl<'a> Question<'a> {
    fn new(route: &'a Route, now: Instant) -> Self {
        let mut asking = lock(&route.asking);
        asking.on_their_way += 1;
        asking.since.get_or_insert(now);
        Self { route, heard: false }
    }

    fn answered(mut self, now: Instant) {
        self.heard = true;
        let mut asking = lock(&self.route.asking);
        asking.since = (asking.on_their_way > 1).then_some(now);
    }

    /// It ended without an answer: the silence goes on while it is tried again.
    fn unanswered(mut self) {
        self.heard = true;
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut asking = lock(&self.route.asking);
        asking.on_their_way -= 1;
        if !self.heard && asking.on_their_way == 0 {
            asking.since = None;
        }
    }
}

/// Requests a second, as the plan found the quotas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quotas {
    pub get_per_snapshot: PerSecond,
    pub put_per_snapshot: PerSecond,
    pub get_per_account: PerSecond,
    pub put_per_account: PerSecond,
}

/// The retry layer of one job.
#[derive(Debug)]
pub(super) struct Caller {
    policy: Policy,
    hub: Arc<Hub>,
    limiters: Arc<Limiters>,
    quotas: Quotas,
    log: LaneLog,
    routes: Mutex<HashMap<RouteKey, Arc<Route>>>,
}

impl Caller {
    /// Nothing was asked yet.
    pub(super) fn new(hub: Arc<Hub>, limiters: Arc<Limiters>, quotas: Quotas) -> Self {
        let log = hub.lane_log();
        Self { policy: Policy::default(), hub, limiters, quotas, log, routes: Mutex::default() }
    }

    /// The retry layer of work that is no job: nobody steers it, and the usual quotas hold.
    pub(super) fn alone(workers: u32) -> (Arc<Hub>, Self) {
        let bounds = Bounds { start: workers, most: workers };
        let hub = Hub::new(JobId(0), bounds, Lanes::Auto, super::journal::Progress::default(), Vec::new(), None);
        let per_second = PerSecond(REQUESTS_PER_SECOND);
        let quotas = Quotas {
            get_per_snapshot: per_second,
            put_per_snapshot: per_second,
            get_per_account: per_second,
            put_per_account: per_second,
        };
        let caller = Self::new(Arc::clone(&hub), Arc::new(Limiters::default()), quotas);
        (hub, caller)
    }

    /// The route of that API in that session; the same arguments give the same route.
    pub(super) fn route(&self, api: Api, session: &Session, snapshot: Option<&SnapshotId>) -> Arc<Route> {
        let key = (api, snapshot.cloned(), session.account().clone(), session.region().clone());
        let mut routes = lock(&self.routes);
        if let Some(route) = routes.get(&key) {
            return Arc::clone(route);
        }
        let quotas = &self.quotas;
        let (quota, own) = match api {
            Api::Get => (quotas.get_per_account, Some(quotas.get_per_snapshot)),
            Api::Put => (quotas.put_per_account, Some(quotas.put_per_snapshot)),
            Api::List | Api::Changed => (PerSecond(LIST_PER_SECOND), None),
            Api::Complete => (PerSecond(COMPLETE_PER_SECOND), None),
            Api::Fetch => (PerSecond(FETCH_PER_SECOND), None),
            Api::Store => (PerSecond(STORE_PER_SECOND), None),
        };
        let account = Scope::Account(session.account().clone(), session.region().clone());
        let account = self.limiters.get(Key { scope: account, api }, quota);
        let own = snapshot
            .zip(own)
            .map(|(id, quota)| self.limiters.get(Key { scope: Scope::Snapshot(id.clone()), api }, quota));
        let now = Instant::now();
        let route = Arc::new(Route {
            api,
            pace: Pace::new(own, account),
            deadlines: Arc::new(Deadlines::new(Limits::default(), now)),
            answered: Mutex::new(now),
            asking: Mutex::default(),
            started: Mutex::new(None),
            name: format!("{} {}", api.name(), session.region()),
        });
        routes.insert(key, Arc::clone(&route));
        route
    }

    /// The log of requests that belong to no lane.
    pub(super) const fn log(&self) -> &LaneLog {
        &self.log
    }

    /// All routes used so far, for `Status` and for the window.
    pub(super) fn routes(&self) -> Vec<Arc<Route>> {
        lock(&self.routes).values().cloned().collect()
    }

    /// Tries of one item at one end.
    pub(super) fn tries<'a>(&'a self, route: &'a Route, log: &'a LaneLog, segment: u32) -> Tries<'a> {
        let (attempts, frozen) = (Attempts::default(), AtomicU64::new(0));
        Tries {
            caller: self,
            route: Some(route),
            log,
            segment,
            attempts,
            within: None,
            paid: None,
            asked: None,
            lists: false,
            frozen,
        }
    }

    /// Tries of a request that belongs to no lane.
    pub(super) fn own_tries<'a>(&'a self, route: &'a Route) -> Tries<'a> {
        self.tries(route, &self.log, NO_SEGMENT)
    }

    /// Tries of a control call (start, describe, delete): no limiter, a fixed deadline.
    pub(super) fn control(&self) -> Tries<'_> {
        let (log, attempts, frozen) = (&self.log, Attempts::default(), AtomicU64::new(0));
        let segment = NO_SEGMENT;
        let (within, paid, asked, lists) = (None, None, None, false);
        Tries { caller: self, route: None, log, segment, attempts, within, paid, asked, lists, frozen }
    }
}

/// What was tried for one item at one end.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    caller: &'a Caller,
    route: Option<&'a Route>,
    log: &'a LaneLog,
    segment: u32,
    attempts: Attempts,
    /// The deadline of each, where what is asked for says how long it takes.
    within: Option<Duration>,
    /// What each is paid for as, where it has no route that says so.
    paid: Option<Api>,
    /// Where what is asked counts its requests, when an attempt is not always one.
    asked: Option<&'a Asked>,
    /// Whether pages are asked for, by whatever API: what they take says nothing of how quick a block can be.
    lists: bool,
    /// Milliseconds in which this process did not run at all: in them nothing was tried, and nothing failed.
    frozen: AtomicU64,
}

/// Who comes so much later than their own deadline was not running (stopped by a signal, a frozen machine).
const FROZEN: Duration = Duration::from_secs(30);

/// A control call is answered within this.
const CONTROL_DEADLINE: Duration = Duration::from_secs(30);

impl<'a> Tries<'a> {
    /// The meter counts what the source says that it asked, when it says that.
    pub(super) const fn counted(mut self, asked: Option<&'a Asked>) -> Self {
        self.asked = asked;
        self
    }

    /// Pages are asked for: those of an archive come from the index that is kept, mostly at once.
    pub(super) const fn lists(mut self) -> Self {
        self.lists = true;
        self
    }

    /// Each attempt may take that long: its answer comes when the work is done, and that is known to take its time.
    pub(super) fn within(mut self, deadline: Duration) -> Self {
        self.within = Some(deadline);
        self
    }

    /// Each attempt is paid for like that: what S3 does alone has no limiter, and a price all the same.
    pub(super) fn paid_as(mut self, api: Api) -> Self {
        self.paid = Some(api);
        self
    }

    /// One attempt: `Ok(None)` after a failure that is to be tried again now (its wait is over).
    pub(super) async fn attempt<T>(&mut self, request: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        match self.send(request).await {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.again(error).await.map(|()| None),
        }
    }

    /// Sends it once, under its limiters and its deadline.
    pub(super) async fn send<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(route) = self.route else {
            let (deadline, began) = (self.within.unwrap_or(CONTROL_DEADLINE), Instant::now());
            if let Some(api) = self.paid {
                self.log.asked(api);
            }
            let outcome = tokio::time::timeout(deadline, request).await;
            self.thaw(began.elapsed(), deadline);
            return match outcome {
                Ok(outcome) => outcome,
                Err(_) => Err(late("the control plane", deadline)),
            };
        };
        route.pace.acquire().await;
        let began = Instant::now();
        let what = if self.lists { Api::List } else { route.api };
        let flight = self.log.take_off(self.segment, what, began, self.asked.is_none());
        let question = Question::new(route, began);
        let most = SILENT.saturating_sub(route.silent_for(began)).max(Duration::from_secs(1));
        let deadline = self.within.unwrap_or_else(|| route.deadlines.attempt(began).min(most));
        // Where it is: what is asked of S3 is a large future, and none too many of them fit on a stack.
        let mut request = std::pin::pin!(request);
        let answered = async {
            match self.asked {
                Some(_) => Asked::whether(request.as_mut()).await,
                None => (request.as_mut().await, true),
            }
        };
        let outcome = tokio::time::timeout(deadline, answered).await;
        for _ in 0..self.asked.map_or(0, Asked::take) {
            self.log.asked(route.api);
        }
        let now = Instant::now();
        let took = now.saturating_duration_since(began);
        self.thaw(took, deadline);
        let took = took.min(deadline);
        match outcome {
            Ok((Ok(value), sent)) => {
                *lock(&route.answered) = now;
                question.answered(now);
                self.caller.hub.succeeded();
                // What was at hand says nothing of the service, nor of how quick a block can be.
                if sent {
                    if self.within.is_none() {
                        route.deadlines.answered(took, now);
                    }
                    route.pace.succeeded();
                    flight.landed(now);
                }
                Ok(value)
            }
            Ok((Err(error), _)) => {
                if !matches!(error.class, Class::Transient | Class::Congestion) {
                    *lock(&route.answered) = now; // it speaks, even if it refuses
                }
                if error.aws.is_some() {
                    question.answered(now)
                } else {
                    question.unanswered()
                }
                Err(error)
            }
            Err(_) => {
                route.deadlines.cut_off(took, now);
                question.unanswered();
                Err(late(&route.name, deadline))
            }
        }
    }

    /// What was to be over after `due` took so long: time in which the process did not run counts for no bound.
    fn thaw(&self, took: Duration, due: Duration) {
        let over = took.saturating_sub(due);
        if over >= FROZEN {
            self.frozen.fetch_add(u64::try_from(over.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            self.caller.hub.thawed();
        }
    }

    /// Now, on a clock that stood still while the process did.
    fn awake(&self, now: Instant) -> Instant {
        let frozen = Duration::from_millis(self.frozen.load(Ordering::Relaxed));
        now.checked_sub(frozen).unwrap_or(now)
    }

    /// Decides about a failure and waits what is to be waited.
    pub(super) async fn again(&mut self, error: Error) -> Result<()> {
        let now = Instant::now();
        let hub = &self.caller.hub;
        let policy = &self.caller.policy;
        hub.met(&error);
        match error.class {
            Class::Throttled(level) => {
                if let Some(change) = self.route.and_then(|route| route.pace.throttled(level)) {
                    let name = self.route.map_or("", |route| route.name());
                    let text = format!("throttled by {}: {} → {}", whose(level), change.from, change.to);
                    hub.say(name, text, Tone::Warning);
                }
            }
            Class::Congestion => {
                hub.congested(now);
                if let Some(route) = self.route.filter(|route| route.silent_for(now) >= SILENT) {
                    return Err(error.during(format!("{} is silent for {} s", route.name, SILENT.as_secs())));
                }
            }
            _ => {}
        }
        if error.class == Class::Transient && error.what.contains(CORRUPT) {
            self.log.corrupt();
        }
        if let Some(lasted) = hub.failed(policy, now) {
            return Err(Error { class: Class::Permanent, ..error }
                .during(format!("nothing succeeded for {} s", lasted.as_secs()))
                .todo("`floe jobs resume` goes on when the service answers again"));
        }
        let context = Context { started: self.route.and_then(|route| *lock(&route.started)), asked: None };
        match self.attempts.decide(policy, error.class, context, self.awake(now), fastrand::f64()) {
            Decision::Again { after, .. } => {
                self.log.retried(self.segment, error.class);
                tracing::debug!(%error, wait_ms = after.as_millis(), "tried again");
                tokio::time::sleep(after).await;
                self.thaw(now.elapsed(), after);
                Ok(())
            }
            Decision::Now => {
                self.log.retried(self.segment, error.class);
                Ok(())
            }
            Decision::Relist | Decision::ListFromLast | Decision::WaitForCredentials | Decision::Queue => Err(error),
            Decision::Stop(stop) => {
                let text = stop.text();
                // What was tried enough is final, whatever its class was; the class of a stale token is not.
                let class = if error.class == Class::StaleToken { error.class } else { Class::Permanent };
                let error = Error { class, ..error };
                Err(if text.is_empty() { error } else { error.during(text) })
            }
        }
    }
}

/// Whose limit it was.
const fn whose(level: Level) -> &'static str {
    match level {
        Level::Snapshot => "this snapshot's limit",
        Level::Account => "the account's limit",
        Level::Dependency => "KMS, behind the service",
    }
}

fn late(what: &str, after: Duration) -> Error {
    Error::classed(Class::Congestion, format!("{what}: no answer within {:.1} s", after.as_secs_f64()))
}

/// Sends `$request` (built anew for each try) until it succeeds or the error is final.
macro_rules! retried {
    ($tries:expr, $request:expr) => {{
        let mut tries = $tries;
        loop {
            match tries.attempt($request).await {
                Ok(Some(value)) => break Ok(value),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        }
    }};
}
pub(super) use retried;

/// The limiters of one job's requests, for `Status`.
pub(super) fn rates(routes: &[Arc<Route>]) -> Vec<RateStatus> {
    let mut seen: Vec<RateStatus> = Vec::new();
    for limiter in routes.iter().flat_map(|route| route.pace().limiters()) {
        let status = limiter.status();
        if !seen.iter().any(|known| known.name == status.name && known.used == status.used) {
            seen.push(status);
        }
    }
    seen.sort_by(|a, b| a.name.cmp(&b.name));
    seen
}
