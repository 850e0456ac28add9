//! The one who owns the jobs: takes commands, keeps the queue, starts what may run, publishes the picture.
//!
//! Invariants: one engine per state directory; at most so many jobs run as the budget has items for; one of
//! their places is kept for small jobs, so that none waits behind 16 TiB; nothing of a job's state lives here
//! that is not on disk.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::blocks::lock;
use super::budget::Budget;
use super::call::Caller;
use super::hub::Hub;
use super::journal::{self, Journal, Record, Setting};
use super::protocol::{
    Answer, BudgetStatus, Command, JobDetail, JobState, JobStatus, Lanes, LeftOvers, MachineStatus, Status,
};
use super::rate::Limiters;
use super::run::{Control, Ended, Ready, weight_of};
use super::spec::{self, JobDir, Spec};
use super::status;
use super::telemetry::{Process, Ring};
use crate::aws::Aws;
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::ids::JobId;
use crate::plan::choices::{FETCHED_ITEM, lanes_for};
use crate::plan::{Plan, item_weight};
use crate::store::StateDir;
use crate::units::{Blocks, Bytes, Rate};

/// Jobs that run at once, at most.
const RUNNING_MOST: usize = 8;
/// A job below this may take the place that is kept free.
const SMALL: Blocks = Blocks(131_072);
/// How often the picture is taken.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// A job that met a quota is tried again after this, or when another job ends.
const QUOTA_AGAIN: Duration = Duration::from_secs(30);
/// Finished jobs in the picture.
const FINISHED_SHOWN: usize = 100;
/// Commands that wait for the supervisor.
const COMMANDS: usize = 64;

type Asked = (Command, oneshot::Sender<Result<Answer>>);

/// A connection's door to the engine.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    asks: mpsc::Sender<Asked>,
    status: watch::Receiver<Arc<Status>>,
    shelf: Arc<Shelf>,
}

impl Handle {
    pub(super) async fn command(&self, command: Command) -> Result<Answer> {
        let (answer, answered) = oneshot::channel();
        let gone = || Error::stopped("the engine has ended");
        self.asks.send((command, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    pub(super) fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    pub(super) fn detail(&self, job: JobId) -> Option<JobDetail> {
        let hub = lock(&self.shelf.jobs).get(&job)?.hub.clone()?;
        Some(status::detail(&hub))
    }
}

/// All jobs of the state directory.
#[derive(Debug, Default)]
struct Shelf {
    jobs: Mutex<BTreeMap<JobId, Shelved>>,
}

#[derive(Debug)]
struct Shelved {
    spec: Arc<Spec>,
    dir: JobDir,
    /// What it was when it ran last; of a running job what it was before.
    row: JobStatus,
    /// Of a running job, and of the latest that ended.
    hub: Option<Arc<Hub>>,
    live: Option<Live>,
}

#[derive(Debug)]
struct Live {
    caller: Arc<Caller>,
    resumed: Arc<AtomicU64>,
    control: watch::Sender<Control>,
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    job: JobId,
    not_before: Option<Instant>,
    control: Control,
}

/// The engine's own task.
pub(super) struct Supervisor {
    state: StateDir,
    aws: Aws,
    budget: Budget,
    limiters: Arc<Limiters>,
    shelf: Arc<Shelf>,
    queue: VecDeque<Queued>,
    running: JoinSet<(JobId, Ended)>,
    pictures: watch::Sender<Arc<Status>>,
    process: Process,
    machine: MachineStatus,
    sampled: Option<Instant>,
    rate_history: Ring<120>,
    budget_history: Ring<120>,
    dirty: bool,
    /// Held as long as this engine lives.
    _lock: File,
}

impl Supervisor {
    /// Reads what there is and starts the task.
    pub(super) fn start(state: StateDir, aws: Aws, budget: Bytes, in_process: bool, lock_file: File) -> Result<Handle> {
        let shelf = Arc::new(Shelf::default());
        for (job, dir) in spec::all(&state)? {
            match dir.spec().and_then(|spec| Ok((status::resting(&spec, &dir)?, spec))) {
                Ok((row, spec)) => {
                    lock(&shelf.jobs).insert(job, Shelved { spec: Arc::new(spec), dir, row, hub: None, live: None });
                }
                Err(error) => tracing::warn!(%error, %job, "a job's directory could not be read"),
            }
        }
        let now = Timestamp::now();
        let first = Status {
            revision: 0,
            at: now,
            engine_started: now,
            in_process,
            rate: Rate(0.0),
            rate_history: Vec::new(),
            budget: BudgetStatus::default(),
            machine: MachineStatus::default(),
            jobs: Vec::new(),
            detail: None,
        };
        let (pictures, status) = watch::channel(Arc::new(first));
        let (asks, asked) = mpsc::channel(COMMANDS);
        let started = Instant::now();
        let mut supervisor = Self {
            state,
            aws,
            budget: Budget::new(budget),
            limiters: Arc::default(),
            shelf: Arc::clone(&shelf),
            queue: VecDeque::new(),
            running: JoinSet::new(),
            pictures,
            process: Process::new(),
            machine: MachineStatus::default(),
            sampled: None,
            rate_history: Ring::new(Duration::from_secs(5), started),
            budget_history: Ring::new(Duration::from_secs(5), started),
            dirty: true,
            _lock: lock_file,
        };
        supervisor.publish();
        tokio::spawn(supervisor.work(asked));
        Ok(Handle { asks, status, shelf })
    }

    async fn work(mut self, mut asked: mpsc::Receiver<Asked>) {
        let mut beat = tokio::time::interval(PUBLISH_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = asked.recv() => match command {
                    None => break,
                    Some((Command::Shutdown, answer)) => {
                        self.rest().await;
                        let _ = answer.send(Ok(Answer::Done));
                        return;
                    }
                    Some((command, answer)) => {
                        let outcome = self.take(command);
                        let _ = answer.send(outcome);
                        self.dirty = true;
                    }
                },
                Some(ended) = self.running.join_next(), if !self.running.is_empty() => {
                    if let Ok((job, ended)) = ended {
                        self.ended(job, ended);
                    }
                }
                _ = beat.tick() => {}
            }
            self.start_ready();
            self.publish();
        }
        // Every front is gone: what runs here would die with the process, so it pauses.
        self.rest().await;
    }

    /// Pauses everything and waits for it.
    async fn rest(&mut self) {
        self.queue.clear();
        for shelved in lock(&self.shelf.jobs).values() {
            if let Some(live) = &shelved.live {
                live.control.send_replace(Control::Pause);
            }
        }
        while let Some(ended) = self.running.join_next().await {
            if let Ok((job, ended)) = ended {
                self.ended(job, ended);
            }
        }
        self.dirty = true;
        self.publish();
    }

    fn take(&mut self, command: Command) -> Result<Answer> {
        match command {
            Command::Run { plan, grant } => self.run(&plan, &grant),
            Command::Resume(job) => self.resume(job),
            Command::Pause(job) => self.pause(job),
            Command::Cancel(job, left_overs) => self.cancel(job, left_overs),
            Command::Forget(job) => self.forget(job),
            Command::Lanes(job, lanes) => self.lanes(job, lanes),
            Command::Memory(limit) => Ok(self.memory(limit)),
            Command::Reorder(job, by) => self.reorder(job, by),
            Command::Watch(_) | Command::Shutdown => Ok(Answer::Done),
        }
    }

    fn run(&mut self, plan: &Plan, grant: &Grant) -> Result<Answer> {
        if let Some(refusal) = plan.refusal() {
            return Err(refusal);
        }
        if plan.hash()? != grant.plan_hash {
            return Err(Error::refused("this is not the plan that was accepted").todo("accept it again"));
        }
        if plan.items.is_empty() {
            return Err(Error::usage("the plan has nothing to do"));
        }
        self.must_fit(plan)?;
        let specs = spec::create(&self.state, plan, grant)?;
        let mut jobs = Vec::with_capacity(specs.len());
        for spec in specs {
            spec.must_be_in(&self.aws.world())?;
            let dir = JobDir(self.state.job(spec.job));
            let mut row = status::resting(&spec, &dir)?;
            (row.state, row.why) = (JobState::Queued, "its turn".to_owned());
            let job = spec.job;
            jobs.push(job);
            lock(&self.shelf.jobs).insert(job, Shelved { spec: Arc::new(spec), dir, row, hub: None, live: None });
            self.queue.push_back(Queued { job, not_before: None, control: Control::Go });
        }
        Ok(Answer::Jobs(jobs))
    }

    /// A budget below the floor is refused with the figures.
    fn must_fit(&self, plan: &Plan) -> Result<()> {
        let item = plan.items.iter().map(|item| item_weight(&item.source.kind)).max().unwrap_or(FETCHED_ITEM);
        let floor = super::setup::floor(item);
        let limit = self.budget.usage().limit;
        let share = plan.operation.options.memory.map_or(limit, |own| own.min(limit));
        if share >= floor {
            return Ok(());
        }
        Err(Error::usage(format!("a memory budget of {share} is too small: one item on its way needs {floor}"))
            .todo(format!("--memory {}K at least", floor.0.div_ceil(1024))))
    }

    fn with<T>(&self, job: JobId, look: impl FnOnce(&mut Shelved) -> Result<T>) -> Result<T> {
        match lock(&self.shelf.jobs).get_mut(&job) {
            Some(shelved) => look(shelved),
            None => Err(Error::usage(format!("there is no job {job}")).todo("`floe jobs ls` lists them")),
        }
    }

    fn is_queued(&self, job: JobId) -> bool {
        self.queue.iter().any(|queued| queued.job == job)
    }

    fn resume(&mut self, job: JobId) -> Result<Answer> {
        if self.is_queued(job) {
            return Ok(Answer::Done);
        }
        let world = self.aws.world();
        self.with(job, |shelved| {
            shelved.spec.must_be_in(&world)?;
            if shelved.live.is_some() {
                return Err(Error::usage(format!("job {job} is running already")));
            }
            if !shelved.row.state.is_resumable() && shelved.row.state != JobState::Queued {
                return Err(Error::usage(format!(
                    "job {job} is {}: there is nothing to resume",
                    shelved.row.state.word()
                )));
            }
            (shelved.row.state, shelved.row.why) = (JobState::Queued, "its turn".to_owned());
            (shelved.row.error, shelved.row.ended) = (None, None);
            Ok(())
        })?;
        self.queue.push_back(Queued { job, not_before: None, control: Control::Go });
        Ok(Answer::Done)
    }

    fn pause(&mut self, job: JobId) -> Result<Answer> {
        let queued = self.is_queued(job);
        self.with(job, |shelved| {
            if let Some(live) = &shelved.live {
                live.control.send_replace(Control::Pause);
                return Ok(());
            }
            if !queued {
                return Err(Error::usage(format!("job {job} is {}, not running", shelved.row.state.word())));
            }
            let mut journal = Journal::open(&shelved.dir.events(), journal::LIMIT)?;
            let paused = Record::State { to: JobState::Paused, why: "paused".to_owned() };
            journal.append_sync(Timestamp::now(), paused)?;
            (shelved.row.state, shelved.row.why) = (JobState::Paused, "paused".to_owned());
            Ok(())
        })?;
        self.queue.retain(|queued| queued.job != job);
        Ok(Answer::Done)
    }

    fn cancel(&mut self, job: JobId, left_overs: LeftOvers) -> Result<Answer> {
        let start = self.with(job, |shelved| {
            if let Some(live) = &shelved.live {
                live.control.send_replace(Control::Cancel(left_overs));
                return Ok(false);
            }
            if shelved.row.state.is_over() {
                return Err(Error::usage(format!("job {job} is {} already", shelved.row.state.word())));
            }
            Ok(left_overs == LeftOvers::CleanUp)
        })?;
        if self.is_queued(job) && !start {
            return self.pause(job);
        }
        if start {
            // What it made is removed by a run of its own, under its lock and its grant.
            self.queue.retain(|queued| queued.job != job);
            self.queue.push_front(Queued { job, not_before: None, control: Control::Cancel(left_overs) });
        }
        Ok(Answer::Done)
    }

    fn forget(&mut self, job: JobId) -> Result<Answer> {
        self.with(job, |shelved| {
            let state = shelved.row.state;
            let ended = state.is_over() || matches!(state, JobState::Failed | JobState::Partial);
            if shelved.live.is_some() || !ended {
                return Err(Error::usage(format!("job {job} is {}", state.word()))
                    .todo(format!("`floe jobs cancel {job}` first")));
            }
            let held = shelved.dir.lock()?;
            spec::forget(&shelved.dir)?;
            drop(held);
            Ok(())
        })?;
        lock(&self.shelf.jobs).remove(&job);
        Ok(Answer::Done)
    }

    fn lanes(&mut self, job: JobId, lanes: Lanes) -> Result<Answer> {
        if matches!(lanes, Lanes::Pinned(0) | Lanes::AtMost(0)) {
            return Err(Error::usage("a job has at least one lane").todo("to stop it, pause it"));
        }
        self.with(job, |shelved| {
            let Some(hub) = shelved.hub.as_ref().filter(|_| shelved.live.is_some()) else {
                return Err(Error::usage(format!("job {job} is {}, not running", shelved.row.state.word())));
            };
            hub.set_lanes(lanes);
            hub.record(Record::Setting(Setting::Lanes(lanes)));
            let now = hub.lanes();
            let differs = match lanes {
                Lanes::Auto => false,
                Lanes::Pinned(n) => n != now.target,
                Lanes::AtMost(n) => now.cap < n,
            };
            Ok(Answer::Effective { value: u64::from(now.target), why: differs.then_some(now.why) })
        })
    }

    fn memory(&mut self, limit: Bytes) -> Answer {
        self.budget.resize(limit);
        for shelved in lock(&self.shelf.jobs).values() {
            if let (Some(hub), Some(_)) = (&shelved.hub, &shelved.live) {
                hub.set_memory_lanes(lanes_of(&shelved.spec, limit));
            }
        }
        let usage = self.budget.usage();
        let why = (limit < usage.floor).then(|| {
            format!("the jobs that run need {}: they wait until the budget has room for one item each", usage.floor)
        });
        Answer::Effective { value: limit.0, why }
    }

    fn reorder(&mut self, job: JobId, by: i32) -> Result<Answer> {
        let Some(at) = self.queue.iter().position(|queued| queued.job == job) else {
            return Err(Error::usage(format!("job {job} is not queued")));
        };
        let Some(queued) = self.queue.remove(at) else { return Ok(Answer::Done) };
        let to = i64::try_from(at).unwrap_or(0).saturating_add(i64::from(by));
        let to = usize::try_from(to.max(0)).unwrap_or(0).min(self.queue.len());
        self.queue.insert(to, queued);
        Ok(Answer::Effective { value: to as u64 + 1, why: None })
    }

    /// How many jobs may run: no more than the budget has items for.
    fn places(&self) -> usize {
        let room = lanes_for(self.budget.usage().limit, FETCHED_ITEM);
        usize::try_from(room).unwrap_or(1).clamp(1, RUNNING_MOST)
    }

    fn start_ready(&mut self) {
        let places = self.places();
        let mut at = 0;
        while at < self.queue.len() && self.running.len() < places {
            let queued = self.queue[at];
            let now = Instant::now();
            let due = queued.not_before.is_none_or(|when| when <= now);
            let small = lock(&self.shelf.jobs).get(&queued.job).is_some_and(|s| s.spec.blocks() <= SMALL);
            // The last place is for whoever will leave it soon.
            let allowed = small || places == 1 || self.running.len() + 1 < places || queued.control != Control::Go;
            if !(due && allowed) {
                at += 1;
                continue;
            }
            self.queue.remove(at);
            self.begin(queued);
        }
    }

    fn begin(&mut self, queued: Queued) {
        let limit = self.budget.usage().limit;
        let mut jobs = lock(&self.shelf.jobs);
        let Some(shelved) = jobs.get_mut(&queued.job) else { return };
        let ready = match Ready::open(Arc::clone(&shelved.spec), shelved.dir.clone(), Arc::clone(&self.limiters)) {
            Ok(ready) => ready,
            Err(error) => {
                (shelved.row.state, shelved.row.why) = (JobState::Failed, "could not be opened".to_owned());
                shelved.row.error = Some(error);
                return;
            }
        };
        ready.hub.set_memory_lanes(lanes_of(&shelved.spec, limit));
        let (control, controlled) = watch::channel(queued.control);
        shelved.hub = Some(Arc::clone(&ready.hub));
        shelved.live = Some(Live { caller: Arc::clone(&ready.caller), resumed: Arc::clone(&ready.resumed), control });
        let (aws, budget, job) = (self.aws.clone(), self.budget.clone(), queued.job);
        self.running.spawn(async move { (job, ready.run(aws, budget, controlled).await) });
        self.dirty = true;
    }

    fn ended(&mut self, job: JobId, ended: Ended) {
        let mut jobs = lock(&self.shelf.jobs);
        let Some(shelved) = jobs.get_mut(&job) else { return };
        if let (Some(hub), Some(live)) = (&shelved.hub, shelved.live.take()) {
            let resumed = Blocks(live.resumed.load(Ordering::Relaxed));
            shelved.row = status::live(&shelved.spec, hub, &live.caller, resumed, Bytes::ZERO);
        }
        drop(jobs);
        match ended {
            Ended::Queue => {
                let again = Instant::now() + QUOTA_AGAIN;
                self.queue.push_back(Queued { job, not_before: Some(again), control: Control::Go });
            }
            Ended::In(_) => {
                // A place in a quota may be free now.
                for queued in &mut self.queue {
                    queued.not_before = None;
                }
            }
        }
        self.dirty = true;
    }

    fn publish(&mut self) {
        let now = Instant::now();
        let busy = !self.running.is_empty();
        if self.sampled.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1))
            && (busy || self.dirty)
        {
            self.machine = self.process.sample();
            self.sampled = Some(now);
        }
        if !busy && !self.dirty {
            return;
        }
        self.dirty = busy; // one more picture after the last job ended
        let usage = self.budget.usage();
        let held = |job: JobId| usage.jobs.iter().find(|(id, _)| *id == job).map_or(Bytes::ZERO, |(_, held)| *held);
        let mut rows = Vec::new();
        for (job, shelved) in lock(&self.shelf.jobs).iter() {
            rows.push(match (&shelved.hub, &shelved.live) {
                (Some(hub), Some(live)) => {
                    hub.sampled_rss(self.machine.rss);
                    let resumed = Blocks(live.resumed.load(Ordering::Relaxed));
                    status::live(&shelved.spec, hub, &live.caller, resumed, held(*job))
                }
                _ => shelved.row.clone(),
            });
        }
        let over = rows.iter().filter(|row| row.state.is_over()).count();
        let mut surplus = over.saturating_sub(FINISHED_SHOWN);
        rows.retain(|row| {
            let drop = surplus > 0 && row.state.is_over();
            surplus -= usize::from(drop);
            !drop
        });
        let rate: Rate = rows.iter().map(|row| row.rate).sum();
        self.rate_history.push(rate.0, now);
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        self.budget_history.push(usage.used.0 as f64, now);
        let last = Arc::clone(&self.pictures.borrow());
        let parts = usage.parts.iter().filter(|(_, held)| held.0 > 0);
        self.pictures.send_replace(Arc::new(Status {
            revision: last.revision + 1,
            at: Timestamp::now(),
            engine_started: last.engine_started,
            in_process: last.in_process,
            rate,
            rate_history: self.rate_history.values(),
            budget: BudgetStatus {
                used: usage.used,
                limit: usage.limit,
                floor: usage.floor,
                parts: parts.map(|(part, held)| (part.name().to_owned(), *held)).collect(),
                history: self.budget_history.values(),
            },
            machine: self.machine.clone(),
            jobs: rows,
            detail: None,
        }));
    }
}

/// Lanes that the budget has room for, the job's own share considered.
fn lanes_of(spec: &Spec, limit: Bytes) -> u32 {
    let share = spec.plan.operation.options.memory.map_or(limit, |own| own.min(limit));
    lanes_for(share, weight_of(spec).total())
}
