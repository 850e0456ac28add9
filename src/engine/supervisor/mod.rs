//! The one who owns the jobs: takes commands, keeps the queue, starts what may run.
//!
//! Invariants: one engine per state directory; at most so many jobs run as the budget has items for; one of
//! their places is kept for small jobs, so that none waits behind 16 TiB; nothing of a job's state lives here
//! that is not on disk.

mod commands;
mod order;
mod picture;
mod room;
mod share;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::order::Before;
use super::blocks::lock;
use super::budget::{Budget, Holding};
use super::call::Caller;
use super::ended;
use super::hub::Hub;
use super::journal;
use super::lock::Held;
use super::protocol::{
    Answer, BudgetStatus, Command, JobDetail, JobState, JobStatus, LeftOvers, MachineStatus, Status, Turned,
};
use super::rate::Limiters;
use super::run::{Control, Ended, Ready, load_of};
use super::spec::{JobDir, Spec};
use super::status;
use super::telemetry::{Process, Ring};
use super::throttle::{Throttle, Together};
use super::worlds::Worlds;
use crate::aws::Introduction;
use crate::bandwidth::Bandwidth;
use crate::error::{Error, Result};
use crate::ids::JobId;
use crate::plan::choices::{has_place, is_small, places};
use crate::store::StateDir;
use crate::units::{Blocks, Bytes, Rate};

/// How often the picture is taken.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// A job that met a quota is tried again after this, or when another job ends.
const QUOTA_AGAIN: Duration = Duration::from_secs(30);
/// A job's task ends so soon after the job's end was shown, or something is wrong with it.
const LAST_WORD: Duration = Duration::from_secs(2);
/// Jobs that are over, in the picture and in memory.
const FINISHED_SHOWN: usize = 100;
/// Commands that wait for the supervisor.
const COMMANDS: usize = 64;

#[derive(Debug)]
struct Asked {
    command: Command,
    who: String,
    world: Option<Box<Introduction>>,
    answer: oneshot::Sender<Result<Answer>>,
}

/// A connection's door to the engine.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    asks: mpsc::Sender<Asked>,
    status: watch::Receiver<Arc<Status>>,
    shelf: Arc<Shelf>,
}

impl Handle {
    /// Carries out a command of the front that is called `who`, in the world that came with it.
    pub(super) async fn command(
        &self,
        command: Command,
        who: &str,
        world: Option<Box<Introduction>>,
    ) -> Result<Answer> {
        let (answer, answered) = oneshot::channel();
        let gone = || Error::stopped("the engine has ended");
        self.asks.send(Asked { command, who: who.to_owned(), world, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// A front that is connected may end an engine only together with its own process.
    pub(super) fn outlives_fronts(&self) -> bool {
        !self.status.borrow().in_process
    }

    /// Whether anything runs, waits or is queued.
    pub(super) fn is_busy(&self) -> bool {
        self.status.borrow().jobs.iter().any(|job| job.state.is_active() || job.state == JobState::Queued)
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

impl Shelf {
    /// Keeps of the jobs that are over the latest only: the others are on the disk.
    fn tidy(&self) {
        let mut jobs = lock(&self.jobs);
        let over: Vec<JobId> = jobs.iter().filter(|(_, s)| s.is_put_away()).map(|(job, _)| *job).collect();
        for job in &over[..over.len().saturating_sub(FINISHED_SHOWN)] {
            jobs.remove(job);
        }
    }
}

#[derive(Debug)]
struct Shelved {
    /// Read when it is needed: most jobs are over.
    spec: Option<Arc<Spec>>,
    dir: JobDir,
    /// What it was when it ran last; of a running job what it was before.
    row: JobStatus,
    /// What of the budget it may use at most; as it was turned, or planned; unknown before its spec is read.
    share: Option<Bytes>,
    /// Since when its records have found no room.
    full_since: Option<Instant>,
    /// Of a running job, and of the latest that ended.
    hub: Option<Arc<Hub>>,
    live: Option<Live>,
}

impl Shelved {
    fn resting(dir: JobDir, row: JobStatus) -> Self {
        Self { spec: None, dir, row, share: None, full_since: None, hub: None, live: None }
    }

    fn spec(&mut self) -> Result<Arc<Spec>> {
        if let Some(spec) = &self.spec {
            return Ok(Arc::clone(spec));
        }
        let spec = Arc::new(self.dir.spec()?);
        self.share = self.share.or(spec.plan.operation.options.memory);
        Ok(Arc::clone(self.spec.insert(spec)))
    }

    /// Nothing but its row and its directory is needed any more.
    const fn is_put_away(&self) -> bool {
        self.row.state.is_over() && self.live.is_none()
    }
}

#[derive(Debug)]
struct Live {
    caller: Arc<Caller>,
    resumed: Arc<AtomicU64>,
    control: watch::Sender<Control>,
    /// Whether it was resumed while it comes to rest.
    again: bool,
}

impl Live {
    /// Tells it what it is to do: the last word counts. Only a clean-up that has begun is not called off by a pause.
    fn turn(&mut self, control: Control) {
        self.again = false;
        self.control.send_if_modified(|now| {
            let turns = *now != Control::Cancel(LeftOvers::CleanUp);
            if turns {
                *now = control;
            }
            turns
        });
    }
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
    worlds: Worlds,
    in_process: bool,
    budget: Budget,
    throttle: Arc<Throttle>,
    /// What the jobs of an operation share of it.
    together: Together,
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
    /// The last writer of each setting, of a job or of all, in the order in which they wrote: the clock may be set between.
    turned: Vec<Turned>,
    dirty: bool,
    /// Held as long as this engine lives, where nobody else holds it.
    _held: Option<Held>,
}

impl Supervisor {
    /// Reads what there is and starts the task.
    pub(super) fn start(
        state: StateDir,
        worlds: Worlds,
        budget: Bytes,
        bandwidth: Option<Bandwidth>,
        in_process: bool,
        held: Option<Held>,
    ) -> Result<Handle> {
        let shelf = Arc::new(Shelf::default());
        for (job, row) in ended::all(&state)? {
            lock(&shelf.jobs).insert(job, Shelved::resting(JobDir(state.job(job)), row));
        }
        shelf.tidy();
        let now = crate::wall::now();
        let first = Status {
            revision: 0,
            at: now,
            engine_started: now,
            in_process,
            rate: Rate(0.0),
            rate_history: Vec::new(),
            budget: BudgetStatus::default(),
            machine: MachineStatus::default(),
            bandwidth: bandwidth.clone(),
            turned: None,
            jobs: Vec::new(),
            detail: None,
        };
        let (pictures, status) = watch::channel(Arc::new(first));
        let (asks, asked) = mpsc::channel(COMMANDS);
        let started = Instant::now();
        let mut supervisor = Self {
            state,
            worlds,
            in_process,
            budget: Budget::new(budget),
            throttle: Arc::new(Throttle::new(bandwidth)),
            together: Together::default(),
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
            turned: Vec::new(),
            dirty: true,
            _held: held,
        };
        if !in_process {
            supervisor.go_on();
        }
        supervisor.publish();
        tokio::spawn(supervisor.work(asked));
        Ok(Handle { asks, status, shelf })
    }

    /// What the last engine of its own process left running goes on, unasked: that is what it is for. What lived in
    /// a front's process, and what a person paused, waits for that person.
    fn go_on(&mut self) {
        for (job, shelved) in lock(&self.shelf.jobs).iter_mut() {
            if shelved.row.state != JobState::Interrupted {
                continue;
            }
            let Ok(spec) = shelved.spec() else { continue };
            let ours = journal::replay(&shelved.dir.events())
                .is_ok_and(|picture| picture.background.unwrap_or(spec.background));
            if ours && !shelved.dir.is_running() {
                (shelved.row.state, shelved.row.why) = (JobState::Queued, "goes on".to_owned());
                self.queue.push_back(Queued { job: *job, not_before: None, control: Control::Go });
            }
        }
    }

    async fn work(mut self, mut asked: mpsc::Receiver<Asked>) {
        let mut beat = tokio::time::interval(PUBLISH_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = asked.recv() => match command {
                    None => break,
                    Some(Asked { command: Command::Shutdown, answer, .. }) => {
                        self.rest().await;
                        let _ = answer.send(Ok(Answer::Done));
                        return;
                    }
                    // No news: no picture is made for it.
                    Some(Asked { command: Command::Ping, answer, .. }) => {
                        let _ = answer.send(Ok(Answer::Done));
                        continue;
                    }
                    Some(Asked { command, who, world, answer }) => {
                        if let Command::Forget(job) = command {
                            self.put_away(job).await;
                        }
                        let outcome = match world.as_deref().map_or(Ok(()), |world| self.worlds.introduce(world)) {
                            Ok(()) => self.take(command, &who, world.map(|world| world.settings)),
                            Err(error) => Err(error),
                        };
                        self.dirty = true;
                        // Whoever has the answer has a picture that shows what came of it.
                        self.start_ready();
                        self.publish();
                        self.dirty = true;
                        let _ = answer.send(outcome);
                        continue;
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

    /// Whoever saw in a picture that a job has ended may forget it, also when its task has a last word to say.
    async fn put_away(&mut self, job: JobId) {
        let is_ending = |shelf: &Shelf| {
            let jobs = lock(&shelf.jobs);
            let known = jobs.get(&job).filter(|shelved| shelved.live.is_some());
            known.and_then(|shelved| shelved.hub.as_ref()).is_some_and(|hub| {
                let state = hub.state().state;
                state.is_over() || matches!(state, JobState::Failed | JobState::Partial)
            })
        };
        let until = Instant::now() + LAST_WORD;
        while is_ending(&self.shelf) {
            match tokio::time::timeout_at(until, self.running.join_next()).await {
                Ok(Some(Ok((job, ended)))) => self.ended(job, ended),
                _ => return,
            }
        }
    }

    /// Puts everything down and waits for it. In a front's process that is a pause; an engine of its own process
    /// leaves it to the next one to go on.
    async fn rest(&mut self) {
        self.queue.clear();
        let how = if self.in_process { Control::Pause } else { Control::Stop };
        match how {
            Control::Pause => self.no_longer_for_room(JobState::Paused, "paused"),
            _ => self.no_longer_for_room(JobState::Interrupted, "the engine was stopped"),
        }
        for shelved in lock(&self.shelf.jobs).values_mut() {
            if let Some(live) = &mut shelved.live {
                live.again = false;
                // Who was paused or cancelled a moment ago stays so.
                live.control.send_if_modified(|now| {
                    let goes = *now == Control::Go;
                    if goes {
                        *now = how;
                    }
                    goes
                });
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

    fn start_ready(&mut self) {
        let places = places(self.budget.usage().limit);
        let mut at = 0;
        while at < self.queue.len() && self.running.len() < places {
            let queued = self.queue[at];
            let now = Instant::now();
            let due = queued.not_before.is_none_or(|when| when <= now);
            let spec = lock(&self.shelf.jobs).get_mut(&queued.job).map(Shelved::spec);
            let spec = spec.and_then(Result::ok);
            let small = spec.as_ref().is_some_and(|spec| is_small(spec.blocks()));
            // Whatever only puts things away takes any place.
            let allowed = has_place(self.running.len(), places, small) || queued.control != Control::Go;
            if !(due && allowed) {
                at += 1;
                continue;
            }
            let after = spec.and_then(|spec| spec.after).filter(|_| queued.control == Control::Go);
            match after.map(|before| (before, self.before(before))) {
                Some((_, Before::Coming)) => at += 1,
                Some((before, Before::Stopped(word))) => {
                    self.queue.remove(at);
                    self.hold_back(queued.job, before, word);
                }
                Some((_, Before::Done)) | None => {
                    self.queue.remove(at);
                    self.begin(queued);
                }
            }
        }
    }

    fn begin(&mut self, queued: Queued) {
        let limit = self.budget.usage().limit;
        let mut jobs = lock(&self.shelf.jobs);
        let Some(shelved) = jobs.get_mut(&queued.job) else { return };
        let opened = shelved.spec().and_then(|spec| {
            let (dir, limiters) = (shelved.dir.clone(), Arc::clone(&self.limiters));
            Ok((Ready::open(Arc::clone(&spec), dir, limiters, !self.in_process)?, spec))
        });
        let (ready, spec) = match opened {
            Ok(opened) => opened,
            Err(error) if error.is_full_disk() => {
                drop(jobs);
                return self.wait_for_room(queued.job, queued.control, error);
            }
            Err(error) => {
                (shelved.row.state, shelved.row.why) = (JobState::Failed, "could not be opened".to_owned());
                shelved.row.error = Some(error);
                return;
            }
        };
        shelved.share = ready.share();
        ready.hub.set_memory_lanes(lanes_of(&spec, shelved.share, limit));
        if let Some((group, limit)) = ready.limited_with() {
            ready.hub.throttle.share(self.together.of(group, limit));
        }
        let (control, controlled) = watch::channel(queued.control);
        shelved.hub = Some(Arc::clone(&ready.hub));
        shelved.live = Some(Live {
            caller: Arc::clone(&ready.caller),
            resumed: Arc::clone(&ready.resumed),
            control,
            again: false,
        });
        let throttle = Arc::clone(&self.throttle);
        let (worlds, budget, job) = (self.worlds.clone(), self.budget.clone(), queued.job);
        self.running.spawn(async move { (job, ready.run(worlds, budget, throttle, controlled).await) });
        self.dirty = true;
    }

    fn ended(&mut self, job: JobId, ended: Ended) {
        let mut jobs = lock(&self.shelf.jobs);
        let Some(shelved) = jobs.get_mut(&job) else { return };
        let (mut control, mut again) = (Control::Go, false);
        if let (Some(hub), Some(live), Some(spec)) = (&shelved.hub, shelved.live.take(), &shelved.spec) {
            (control, again) = (*live.control.borrow(), live.again);
            let resumed = Blocks(live.resumed.load(Ordering::Relaxed));
            shelved.row = status::live(spec, hub, &live.caller, resumed, Holding::default());
            match journal::replay(&shelved.dir.events()) {
                Ok(picture) => shelved.row.left_overs = status::left_overs(spec, &picture),
                Err(error) => tracing::warn!(%error, %job, "its left-overs are not known"),
            }
            // Without its line the index is only slower.
            let _ = ended::add(&self.state, &shelved.row);
        }
        if shelved.is_put_away() {
            shelved.spec = None;
        }
        again = again && matches!(ended, Ended::In(state) if state.is_resumable());
        if again {
            shelved.stand(JobState::Queued, "goes on");
        }
        if ended != Ended::Full {
            shelved.full_since = None;
        }
        let error = shelved.row.error.clone();
        drop(jobs);
        self.shelf.tidy();
        match ended {
            Ended::Full => {
                let unsaid = || Error::failed("the job's records found no room");
                self.wait_for_room(job, control, error.unwrap_or_else(unsaid));
            }
            Ended::Queue => {
                let again = Instant::now() + QUOTA_AGAIN;
                self.queue.push_back(Queued { job, not_before: Some(again), control: Control::Go });
            }
            Ended::In(_) => {
                if again {
                    self.queue.push_back(Queued { job, not_before: None, control: Control::Go });
                }
                // A place in a quota may be free now.
                for queued in &mut self.queue {
                    queued.not_before = None;
                }
            }
        }
        self.dirty = true;
    }
}

/// Lanes that the budget has room for, the job's own share considered.
fn lanes_of(spec: &Spec, share: Option<Bytes>, limit: Bytes) -> u32 {
    load_of(spec).lanes_in(share.map_or(limit, |own| own.min(limit)))
}
