//! What fronts can ask of the supervisor, command by command. None of it waits: what takes time is begun here and
//! seen in the pictures.

use super::{Queued, Shelved, Supervisor, lanes_of};
use crate::aws::Settings;
use crate::bandwidth::Bandwidth;
use crate::engine::blocks::lock;
use crate::engine::journal::{self, Record, Setting};
use crate::engine::protocol::{Answer, Command, Dial, JobState, Lanes, LeftOvers, Turned};
use crate::engine::run::{Control, but_full};
use crate::engine::spec::{self, JobDir};
use crate::engine::{ended, setup, status};
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::ids::JobId;
use crate::plan::choices::FETCHED_ITEM;
use crate::plan::{self, ItemPlan, Plan, item_weight};
use crate::units::Bytes;

impl Supervisor {
    pub(super) fn take(&mut self, command: Command, who: &str, settings: Option<Settings>) -> Result<Answer> {
        let what = turned(&command);
        let outcome = self.carry_out(command, settings.as_ref());
        if let (Some((setting, job, what)), Ok(_)) = (what, &outcome) {
            let turned = Turned { setting, job, at: crate::wall::now(), who: who.to_owned(), what };
            // Of jobs that are put away nobody asks any more.
            let jobs = lock(&self.shelf.jobs);
            self.turned.retain(|earlier| {
                (earlier.job, earlier.setting) != (job, setting)
                    && earlier.job.is_none_or(|job| jobs.contains_key(&job))
            });
            self.turned.push(turned);
        }
        outcome
    }

    fn carry_out(&mut self, command: Command, settings: Option<&Settings>) -> Result<Answer> {
        match command {
            Command::Run { plan, grant } => self.run(&plan, &grant, settings),
            Command::Resume(job) => self.resume(job),
            Command::Pause(job) => self.pause(job),
            Command::Cancel(job, left_overs) => self.cancel(job, left_overs),
            Command::Forget(job) => self.forget(job),
            Command::Lanes(job, lanes) => self.lanes(job, lanes),
            Command::Share(job, share) => self.share(job, share),
            Command::Bandwidth(job, limit) => self.bandwidth(job, limit),
            Command::Memory(limit) => Ok(self.memory(limit)),
            Command::Reorder(job, by) => self.reorder(job, by),
            Command::Hello { .. } | Command::Keys | Command::Watch(_) | Command::Ping | Command::Shutdown => {
                Ok(Answer::Done)
            }
        }
    }

    fn run(&mut self, plan: &Plan, grant: &Grant, settings: Option<&Settings>) -> Result<Answer> {
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
        if settings.is_none() && !self.in_process {
            return Err(Error::failed("the plan came without the world that it was made in"));
        }
        let specs = spec::create(&self.state, plan, grant, settings, !self.in_process)?;
        let mut jobs = Vec::with_capacity(specs.len());
        for spec in specs {
            self.worlds.check(&spec)?;
            let dir = JobDir(self.state.job(spec.job));
            let mut row = status::resting(&spec, &dir)?;
            let turn = spec.after.map_or_else(|| "its turn".to_owned(), |before| format!("after job {before}"));
            (row.state, row.why) = (JobState::Queued, turn);
            let job = spec.job;
            jobs.push(job);
            lock(&self.shelf.jobs).insert(job, Shelved::resting(dir, row));
            self.queue.push_back(Queued { job, not_before: None, control: Control::Go });
        }
        Ok(Answer::Jobs(jobs))
    }

    /// A budget below the floor is refused with the figures.
    fn must_fit(&self, plan: &Plan) -> Result<()> {
        let item = plan.items.iter().map(least_of).max().unwrap_or(FETCHED_ITEM);
        let floor = setup::floor(item);
        let limit = self.budget.usage().limit;
        let share = plan.operation.options.share(limit);
        must_fit(floor, share)
    }

    fn with<T>(&self, job: JobId, look: impl FnOnce(&mut Shelved) -> Result<T>) -> Result<T> {
        let mut jobs = lock(&self.shelf.jobs);
        let dir = JobDir(self.state.job(job));
        // One that was over long ago is not kept in memory.
        if !jobs.contains_key(&job) && dir.job().is_file() {
            let row = status::resting(&dir.spec()?, &dir)?;
            jobs.insert(job, Shelved::resting(dir, row));
        }
        match jobs.get_mut(&job) {
            Some(shelved) => look(shelved),
            None => Err(Error::usage(format!("there is no job {job}")).todo("`floe jobs ls` lists them")),
        }
    }

    pub(super) fn is_queued(&self, job: JobId) -> bool {
        self.queue.iter().any(|queued| queued.job == job)
    }

    fn resume(&mut self, job: JobId) -> Result<Answer> {
        if let Some(queued) = self.queue.iter_mut().find(|queued| queued.job == job) {
            if matches!(queued.control, Control::Cancel(_)) {
                return Err(is_cancelled(job));
            }
            // Whoever says so has mended what it waits for.
            queued.not_before = None;
            return Ok(Answer::Done);
        }
        let running = self.with(job, |shelved| {
            let spec = shelved.spec()?;
            self.worlds.check(&spec)?;
            if let Some(live) = &mut shelved.live {
                return match *live.control.borrow() {
                    Control::Cancel(LeftOvers::CleanUp) => Err(is_cancelled(job)),
                    // It comes to rest as it was told, and then goes on: the last word counts.
                    Control::Pause | Control::Stop | Control::Cancel(LeftOvers::Keep) => {
                        live.again = true;
                        Ok(true)
                    }
                    Control::Go => Ok(true),
                };
            }
            if !shelved.row.state.is_resumable() && shelved.row.state != JobState::Queued {
                return Err(Error::usage(format!(
                    "job {job} is {}: there is nothing to resume",
                    shelved.row.state.word()
                )));
            }
            (shelved.row.state, shelved.row.why) = (JobState::Queued, "its turn".to_owned());
            (shelved.row.error, shelved.row.ended) = (None, None);
            Ok(false)
        })?;
        if !running {
            self.queue.push_back(Queued { job, not_before: None, control: Control::Go });
        }
        Ok(Answer::Done)
    }

    fn pause(&mut self, job: JobId) -> Result<Answer> {
        let queued = self.is_queued(job);
        self.with(job, |shelved| {
            if let Some(live) = &mut shelved.live {
                live.turn(Control::Pause);
                return Ok(());
            }
            if !queued {
                return Err(Error::usage(format!("job {job} is {}, not running", shelved.row.state.word())));
            }
            let paused = Record::State { to: JobState::Paused, why: "paused".to_owned() };
            // On a full disk it rests all the same: what its files say can be resumed, too.
            but_full(shelved.note(paused))?;
            shelved.stand(JobState::Paused, "paused");
            Ok(())
        })?;
        self.queue.retain(|queued| queued.job != job);
        Ok(Answer::Done)
    }

    fn cancel(&mut self, job: JobId, left_overs: LeftOvers) -> Result<Answer> {
        let start = self.with(job, |shelved| {
            if let Some(live) = &mut shelved.live {
                live.turn(Control::Cancel(left_overs));
                return Ok(false);
            }
            if shelved.row.state.is_over() && shelved.row.left_overs.is_empty() {
                return Err(Error::usage(format!("job {job} is {} already", shelved.row.state.word())));
            }
            let start = left_overs == LeftOvers::CleanUp;
            if start {
                (shelved.row.state, shelved.row.why) = (JobState::Queued, "is cleaned up".to_owned());
            }
            Ok(start)
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
            // Whether anything is left over can only be looked for: nobody drops the one thing that names the job.
            let unknown = |dir: &JobDir, error: Error| {
                let todo = error.todo.clone().unwrap_or_else(|| {
                    format!("what it made is not known any more: look for it, then rm -r {}", dir.0.display())
                });
                error.during(format!("job {job} cannot be forgotten")).todo(todo)
            };
            let picture = journal::replay(&shelved.dir.events()).map_err(|error| unknown(&shelved.dir, error))?;
            let spec = shelved.spec().map_err(|error| unknown(&shelved.dir, error))?;
            let left = status::left_overs(&spec, &picture);
            if !left.is_empty() {
                let names: Vec<String> = left.iter().map(ToString::to_string).collect();
                return Err(Error::refused(format!("job {job} still has left-overs: {}", names.join(", ")))
                    .todo(format!("`floe jobs cancel {job}` removes them, or finds that they are gone")));
            }
            let held = shelved.dir.lock()?;
            spec::forget(&shelved.dir)?;
            drop(held);
            Ok(())
        })?;
        lock(&self.shelf.jobs).remove(&job);
        // A line for a directory that is gone is passed over, so nothing hangs on this.
        let _ = ended::forget(&self.state, job);
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

    fn share(&mut self, job: JobId, share: Option<Bytes>) -> Result<Answer> {
        let limit = self.budget.usage().limit;
        self.with(job, |shelved| {
            let spec = shelved.spec()?;
            if let Some(share) = share {
                let item = spec.item().map(plan::moved)?;
                must_fit(setup::floor(item), share)?;
            }
            shelved.share = share;
            match (&shelved.hub, &shelved.live) {
                (Some(hub), Some(_)) => {
                    hub.set_memory_lanes(lanes_of(&spec, share, limit));
                    hub.record(Record::Setting(Setting::Memory(share)));
                }
                _ => {
                    shelved.note(Record::Setting(Setting::Memory(share)))?;
                }
            }
            Ok(())
        })?;
        self.budget.set_share(job, share);
        let value = share.map_or(limit, |own| own.min(limit));
        let why = share.filter(|own| *own > limit).map(|_| format!("the engine's budget is {limit}"));
        Ok(Answer::Effective { value: value.0, why })
    }

    fn bandwidth(&mut self, job: Option<JobId>, limit: Option<Bandwidth>) -> Result<Answer> {
        let limit = limit.filter(|limit| !limit.is_unlimited());
        let Some(job) = job else {
            self.throttle.set(limit);
            return Ok(Answer::Done);
        };
        self.with(job, |shelved| {
            let record = Record::Setting(Setting::Bandwidth(limit.clone()));
            match (&shelved.hub, &shelved.live) {
                (Some(hub), Some(_)) => {
                    hub.throttle.set(limit.clone());
                    hub.record(record);
                }
                _ => {
                    shelved.note(record)?;
                    shelved.row.bandwidth.clone_from(&limit);
                }
            }
            Ok(Answer::Done)
        })
    }

    fn memory(&mut self, limit: Bytes) -> Answer {
        self.budget.resize(limit);
        for shelved in lock(&self.shelf.jobs).values() {
            if let (Some(hub), Some(_), Some(spec)) = (&shelved.hub, &shelved.live, &shelved.spec) {
                hub.set_memory_lanes(lanes_of(spec, shelved.share, limit));
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
}

/// A clean-up takes back what a resume would go on with, and is not called off.
fn is_cancelled(job: JobId) -> Error {
    Error::usage(format!("job {job} is being cancelled: what it made is removed"))
        .todo("make a new plan to copy it again")
}

/// What a command turns, whose it is, and to what, in words.
fn turned(command: &Command) -> Option<(Dial, Option<JobId>, String)> {
    Some(match command {
        Command::Lanes(job, Lanes::Auto) => (Dial::Lanes, Some(*job), format!("lanes of job {job} to automatic")),
        Command::Lanes(job, Lanes::Pinned(n)) => (Dial::Lanes, Some(*job), format!("lanes of job {job} to {n}")),
        Command::Lanes(job, Lanes::AtMost(n)) => {
            (Dial::Lanes, Some(*job), format!("lanes of job {job} to at most {n}"))
        }
        Command::Share(job, Some(share)) => (Dial::Memory, Some(*job), format!("memory of job {job} to {share}")),
        Command::Share(job, None) => (Dial::Memory, Some(*job), format!("memory of job {job} to all of the budget")),
        Command::Bandwidth(job, limit) => {
            let whose = job.map_or_else(|| "all jobs".to_owned(), |job| format!("job {job}"));
            let limit = limit.as_ref().map_or_else(|| "unlimited".to_owned(), ToString::to_string);
            (Dial::Bandwidth, *job, format!("bandwidth of {whose} to {limit}"))
        }
        Command::Memory(limit) => (Dial::Memory, None, format!("the budget to {limit}")),
        Command::Pause(job) => (Dial::Course, Some(*job), format!("job {job} to paused")),
        Command::Resume(job) => (Dial::Course, Some(*job), format!("job {job} to go on")),
        Command::Cancel(job, _) => (Dial::Course, Some(*job), format!("job {job} to cancelled")),
        Command::Reorder(job, _) => (Dial::Course, Some(*job), format!("the place of job {job}")),
        _ => return None,
    })
}

/// What has to fit for anything of it to move.
fn least_of(item: &ItemPlan) -> Bytes {
    if plan::gathered(item) > 0 { plan::moved(item) } else { item_weight(&item.source.kind) }
}

/// A budget below the floor is refused with the figures.
fn must_fit(floor: Bytes, share: Bytes) -> Result<()> {
    if share >= floor {
        return Ok(());
    }
    Err(Error::usage(format!("a memory budget of {share} is too small: one item on its way needs {floor}"))
        .todo(format!("--memory {}K at least", floor.0.div_ceil(1024))))
}
