//! One job from its directory to its end: open, canary, passes, complete, verify, report.
//!
//! Invariants: the state on disk is never ahead of what happened; whatever stops a run, the next one goes on
//! from the ledger and the journal; a job that cannot go on now gives its memory back and tries again later.
//! Called by the supervisor, one task per running job.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::blocks::{Pool, lock};
use super::budget::{JobBudget, Part, Weight};
use super::call::{Caller, Quotas};
use super::crash::{self, Point};
use super::hub::{DestinationView, Hub};
use super::journal::{self, Cut, Journal, Record, Step};
use super::keeper::{Keeper, Todo};
use super::ledger::Header;
use super::protocol::{DestinationState, Event, Evidence, JobState, Lanes, LeftOvers, Tone};
use super::rate::{Limiters, PerSecond};
use super::retry::Tokens;
use super::segments::Segments;
use super::setup;
use super::sink::{Desk, Opened, dies_at};
use super::spec::{JobDir, Spec, open_ledger};
use super::transfer::{Halt, Job, halt_of, pass};
use super::window::Bounds;
use super::worlds::Worlds;
use crate::error::{Class, Error, Result};
use crate::ids::BlockRange;
use crate::plan::choices::{LISTED_ENTRY, PAGE_MIN};
use crate::plan::item_weight;
use crate::units::{BLOCK_BYTES, Blocks, Bytes};

/// What the supervisor wants of a running job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    /// Go on.
    Go,
    /// Stop cleanly, resumable.
    Pause,
    /// The engine ends: stop cleanly, and go on with the next one.
    Stop,
    /// Stop for good.
    Cancel(LeftOvers),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// In this state.
    In(JobState),
    /// It waits for its turn (pending snapshots).
    Queue,
}

/// A job that is about to run: its lock is held, its journal open, its hub can be shown.
#[derive(Debug)]
pub(super) struct Ready {
    pub spec: Arc<Spec>,
    pub hub: Arc<Hub>,
    pub caller: Arc<Caller>,
    pub resumed: Arc<AtomicU64>,
    dir: JobDir,
    journal: Journal,
    lock: File,
}

impl Ready {
    /// Locks and opens the directory.
    ///
    /// # Errors
    /// Another engine runs it, or its files are damaged.
    pub(super) fn open(spec: Arc<Spec>, dir: JobDir, limiters: Arc<Limiters>, background: bool) -> Result<Self> {
        let lock = dir.lock()?;
        let mut journal = Journal::open(&dir.events(), journal::LIMIT)?;
        let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION").to_owned());
        journal.append_sync(Timestamp::now(), Record::Engine { pid, version, background })?;
        let picture = journal.picture();
        let choices = &spec.plan.choices;
        let planned = spec.plan.operation.options.concurrency.map_or(Lanes::Auto, Lanes::AtMost);
        let bounds = Bounds { start: choices.lanes_start, most: choices.lanes_max };
        let views = spec.item()?.destinations.iter().zip(&picture.destinations).map(|(plan, known)| DestinationView {
            address: plan.address.to_string(),
            state: known.state,
            checksum: known.completing.and_then(|(_, checksum)| checksum),
            evidence: known.evidence,
            error: known.error.clone(),
        });
        let hub = Hub::new(spec.job, bounds, picture.lanes.unwrap_or(planned), picture.progress, views.collect());
        hub.remember(earlier_events(&spec, &dir));
        let quotas = Quotas {
            get_per_snapshot: PerSecond(choices.get_per_second),
            put_per_snapshot: PerSecond(choices.put_per_second),
            get_per_account: PerSecond(choices.get_per_account),
            put_per_account: PerSecond(choices.put_per_account),
        };
        let caller = Arc::new(Caller::new(Arc::clone(&hub), limiters, quotas));
        Ok(Self { spec, hub, caller, resumed: Arc::default(), dir, journal, lock })
    }

    /// What of the budget it may use at most: as it was turned last, else as planned.
    pub(super) fn share(&self) -> Option<Bytes> {
        self.journal.picture().memory.or(self.spec.plan.operation.options.memory)
    }

    /// Runs it to an end, keeping the lock meanwhile.
    pub(super) async fn run(
        self,
        worlds: Worlds,
        budget: super::budget::Budget,
        control: watch::Receiver<Control>,
    ) -> Ended {
        let share = self.share();
        let Self { spec, hub, caller, resumed, dir, journal, lock } = self;
        let weight = weight_of(&spec);
        let member = budget.join(spec.job, weight.total(), Bytes(LISTED_ENTRY.0 * u64::from(PAGE_MIN)));
        member.set_share(share);
        let outcome = start(&spec, &hub, &caller, &resumed, &dir, journal, &worlds, &member, weight, control).await;
        drop(lock);
        outcome.unwrap_or_else(|error| {
            hub.set_state(JobState::Failed, "failed", Some(error));
            Ended::In(JobState::Failed)
        })
    }
}

/// What an item of this job weighs on its way.
pub(super) fn weight_of(spec: &Spec) -> Weight {
    let whole = spec.plan.items.first().map_or(Bytes(BLOCK_BYTES), |item| item_weight(&item.source.kind));
    Weight::of(Part::Blocks, Bytes(BLOCK_BYTES)).and(Part::Connections, whole.less(Bytes(BLOCK_BYTES)))
}

fn earlier_events(spec: &Spec, dir: &JobDir) -> Vec<Event> {
    let notes = journal::tail(&dir.events(), 200, |record| matches!(record, Record::Note(_))).unwrap_or_default();
    let event = |entry: journal::Entry| match entry.record {
        Record::Note(note) => Some(Event {
            at: entry.at,
            job: Some(spec.job),
            subject: note.subject,
            text: note.text,
            tone: note.tone,
            count: note.count,
        }),
        _ => None,
    };
    notes.into_iter().filter_map(event).collect()
}

/// One run of one job.
struct Run {
    spec: Arc<Spec>,
    job: Arc<Job>,
    control: watch::Receiver<Control>,
    /// Wakes when a front may have brought credentials.
    fresh: watch::Receiver<u64>,
    resumed: Blocks,
    wait: Option<Duration>,
}

#[expect(clippy::too_many_arguments, reason = "everything that a run is made of, taken apart once")]
async fn start(
    spec: &Arc<Spec>,
    hub: &Arc<Hub>,
    caller: &Arc<Caller>,
    resumed: &AtomicU64,
    dir: &JobDir,
    mut journal: Journal,
    worlds: &Worlds,
    member: &JobBudget,
    weight: Weight,
    control: watch::Receiver<Control>,
) -> Result<Ended> {
    let before = journal.picture().clone();
    hub.set_state(JobState::Starting, "opening", None);
    journal.append_sync(Timestamp::now(), Record::State { to: JobState::Starting, why: "opening".to_owned() })?;
    let ends = match ends(spec, worlds, hub, &mut journal, control.clone()).await? {
        Ok(ends) => ends,
        Err(ended) => return Ok(ended),
    };
    let header = Header {
        job: spec.job,
        source: setup::identity(spec)?,
        blocks: ends.source.blocks(),
        destinations: spec.item()?.destinations.iter().map(|d| d.address.to_string()).collect(),
    };
    let ledger = open_ledger(dir, header)?;
    let open: Vec<usize> = (0..ends.sinks.len())
        .filter(|dest| before.destinations.get(*dest).is_none_or(|d| d.state != DestinationState::Completed))
        .collect();
    let alive = open.iter().fold(Todo::default(), |all, dest| all.with(*dest));
    let done_before = open
        .iter()
        .map(|dest| ledger.done(super::ledger::Dest(u16::try_from(*dest).unwrap_or(u16::MAX))))
        .min()
        .unwrap_or_default();
    resumed.store(done_before.0, Ordering::Relaxed);
    let trouble: Arc<Mutex<Option<std::sync::Weak<Job>>>> = Arc::default();
    let hears = Arc::clone(&trouble);
    let on_trouble = Box::new(move |dest: Option<usize>, error: Error| {
        let job = lock(&hears).as_ref().and_then(std::sync::Weak::upgrade);
        if let Some(job) = job {
            heard(&job, dest, error);
        }
    });
    let (keeper, thread) = Keeper::start(ledger, journal, ends.sinks.clone(), on_trouble);
    keeper.alive(alive).await?;
    hub.journal_to(&keeper);
    let job = Arc::new(Job {
        hub: Arc::clone(hub),
        keeper,
        caller: Arc::clone(caller),
        source: ends.source,
        sinks: ends.sinks,
        budget: member.clone(),
        weight,
        pool: Arc::new(Pool::default()),
        page_size: PAGE_MIN.into(),
        cursors: 1.into(),
        alive: AtomicU64::new(alive.0),
        tokens: Mutex::new(Tokens::new(before.one_cursor)),
        stop: Mutex::default(),
        halt: Mutex::default(),
        failed: Mutex::default(),
    });
    *lock(&trouble) = Some(Arc::downgrade(&job));
    let wait = spec.plan.operation.options.wait_timeout_seconds.map(Duration::from_secs);
    let fresh = worlds.fresh();
    let run = Run { spec: Arc::clone(spec), job: Arc::clone(&job), control, fresh, resumed: done_before, wait };
    let ended = run.to_the_end().await;
    drop(run);
    drop(job);
    hub.let_go();
    // The ledger is saved and closed before anybody may open it again.
    let _ = thread.await;
    ended
}

/// The two ends of a job; without credentials, or without an answer, it waits for them. `Err` is how it ended
/// instead.
async fn ends(
    spec: &Arc<Spec>,
    worlds: &Worlds,
    hub: &Hub,
    journal: &mut Journal,
    mut control: watch::Receiver<Control>,
) -> Result<Result<setup::Ends, Ended>> {
    let mut fresh = worlds.fresh();
    let mut pause = WAIT_FIRST;
    let most = spec.plan.operation.options.wait_timeout_seconds.map(Duration::from_secs);
    let since = Instant::now();
    loop {
        fresh.mark_unchanged();
        let opened = async { setup::ends(spec, &worlds.of(spec)?).await };
        let error = match opened.await {
            Ok(ends) => return Ok(Ok(ends)),
            Err(error) => error,
        };
        let waits =
            matches!(error.class, Class::Credentials | Class::Transient | Class::Congestion | Class::Throttled(_));
        let (state, why) = match told(&control) {
            Some(Halt::Cancel(LeftOvers::CleanUp)) => (JobState::Failed, "could not be cleaned up".to_owned()),
            Some(halt) => (resting(&halt).0, resting(&halt).1.to_owned()),
            None if waits && most.is_some_and(|most| since.elapsed() >= most) => (JobState::Paused, WAITED.to_owned()),
            None if waits => (JobState::Waiting, waits_for(&error)),
            None => (JobState::Failed, "failed".to_owned()),
        };
        hub.set_state(state, why.clone(), Some(error.clone()));
        let record = match state {
            // Without its two ends a run stops resumable, and says why.
            JobState::Failed => Record::Result { state, error: Some(error.clone()) },
            to => Record::State { to, why },
        };
        journal.append_sync(Timestamp::now(), record)?;
        if state != JobState::Waiting {
            return Ok(Err(Ended::In(state)));
        }
        hub.say("credentials", format!("waiting: {error}"), Tone::Warning);
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(WAIT_MOST),
            _ = fresh.changed() => {}
            _ = control.changed() => {}
        }
    }
}

/// The state and the words in which a run rests when it was told to stop.
const fn resting(halt: &Halt) -> (JobState, &'static str) {
    match halt {
        Halt::Stop => (JobState::Interrupted, "the engine was stopped"),
        Halt::Cancel(_) => (JobState::Paused, "cancelled, kept"),
        _ => (JobState::Paused, "paused"),
    }
}

/// The why-column of a job that waits.
fn waits_for(error: &Error) -> String {
    match (error.class, &error.profile) {
        (Class::Credentials, Some(profile)) => format!("login {profile}"),
        (Class::Credentials, None) => "login".to_owned(),
        (Class::Quota, _) => "room".to_owned(),
        (Class::Congestion, _) => "an answer".to_owned(),
        _ => "a new try".to_owned(),
    }
}

/// What the keeper could not do: of one destination, or of the ledger itself.
fn heard(job: &Job, dest: Option<usize>, error: Error) {
    match (dest, error.class) {
        (_, Class::Quota | Class::Transient) => job.halt(Halt::Wait(error)),
        (Some(dest), _) => job.destination_failed(dest, error),
        (None, _) => job.halt(Halt::Fail(error)),
    }
}

impl Run {
    async fn to_the_end(&self) -> Result<Ended> {
        let mut pause = WAIT_FIRST;
        let mut waits: Option<Instant> = None;
        loop {
            let outcome = self.attempt().await;
            self.bury_the_failed().await?;
            match outcome {
                Ok(()) => return self.conclude(None).await,
                Err(Halt::Cancel(LeftOvers::CleanUp)) => return self.clean_up().await,
                Err(halt @ (Halt::Pause | Halt::Stop | Halt::Cancel(LeftOvers::Keep))) => {
                    let (state, why) = resting(&halt);
                    return self.rest(state, why, None).await;
                }
                Err(Halt::Fail(error)) => return self.conclude(Some(error)).await,
                Err(Halt::Wait(error)) if is_pending_quota(&error) => return self.queue(error).await,
                Err(Halt::Wait(error)) => {
                    if self.made_progress() {
                        (pause, waits) = (WAIT_FIRST, None);
                    }
                    let since = *waits.get_or_insert_with(Instant::now);
                    let left = self.wait.map(|most| most.saturating_sub(since.elapsed()));
                    if left == Some(Duration::ZERO) {
                        return self.rest(JobState::Paused, WAITED, Some(error)).await;
                    }
                    self.wait_a_while(error, left.map_or(pause, |left| pause.min(left))).await?;
                    pause = (pause * 2).min(WAIT_MOST);
                }
            }
        }
    }

    /// Opens what is to be filled, fills it, completes it. Stops at the first thing that stops it.
    async fn attempt(&self) -> Result<(), Halt> {
        self.state(JobState::Starting, "canary").await?;
        let watcher = self.watch_control();
        let outcome = async {
            let opened = self.until_told(self.open_all()).await?;
            self.fill(&opened).await?;
            self.until_told(self.finish_all(&opened)).await
        }
        .await;
        watcher.abort();
        outcome
    }

    /// The user's word reaches a pass through the job's own stop.
    fn watch_control(&self) -> tokio::task::JoinHandle<()> {
        let (mut control, job) = (self.control.clone(), Arc::clone(&self.job));
        tokio::spawn(async move {
            loop {
                match told(&control) {
                    Some(halt) => return job.halt(halt),
                    None => {
                        if control.changed().await.is_err() {
                            return job.halt(Halt::Pause);
                        }
                    }
                }
            }
        })
    }

    /// Does `work` unless the user says otherwise first.
    async fn until_told<T>(&self, work: impl Future<Output = Result<T, Halt>>) -> Result<T, Halt> {
        let mut control = self.control.clone();
        let word = async {
            loop {
                if let Some(halt) = told(&control) {
                    return halt;
                }
                if control.changed().await.is_err() {
                    return Halt::Pause;
                }
            }
        };
        tokio::select! {
            biased;
            halt = word => Err(halt),
            outcome = work => outcome,
        }
    }

    fn desk(&self, dest: usize) -> Desk {
        Desk {
            job: self.spec.job,
            dest,
            keeper: self.job.keeper.clone(),
            caller: Arc::clone(&self.job.caller),
            hub: Arc::clone(&self.job.hub),
            verify: self.spec.plan.operation.options.verify,
            wait: self.wait,
        }
    }

    /// Opens every destination that still counts. One that cannot be opened fails alone.
    async fn open_all(&self) -> Result<Vec<(usize, Opened)>, Halt> {
        let picture = self.job.keeper.picture().await.map_err(halt_of)?;
        let mut opening: FuturesUnordered<_> = self
            .living()
            .into_iter()
            .map(|dest| {
                let known = picture.destinations.get(dest).cloned().unwrap_or_default();
                let desk = self.desk(dest);
                async move { (dest, self.job.sinks[dest].open(&desk, &known).await) }
            })
            .collect();
        let (mut opened, mut waits) = (Vec::new(), None);
        while let Some((dest, outcome)) = opening.next().await {
            match outcome {
                Ok(how) => {
                    let address = self.job.sinks[dest].address();
                    self.job.hub.destination(dest, |view| view.address = address);
                    opened.push((dest, how));
                }
                Err(error) => match halt_of(error) {
                    Halt::Fail(error) => self.job.destination_failed(dest, error),
                    Halt::Wait(error) => waits = Some(error),
                    halt => return Err(halt),
                },
            }
        }
        drop(opening);
        if let Some(error) = waits {
            return Err(Halt::Wait(error));
        }
        match lock(&self.job.halt).take() {
            Some(halt) => Err(halt),
            None => Ok(opened),
        }
    }

    /// Passes until every block is where it should be.
    async fn fill(&self, opened: &[(usize, Opened)]) -> Result<(), Halt> {
        let ready = opened.iter().filter(|(_, how)| *how == Opened::Ready);
        let filling = ready.fold(Todo::default(), |all, (dest, _)| all.with(*dest));
        if filling.is_empty() {
            return Ok(());
        }
        self.job.source.unchanged().await.map_err(halt_of)?;
        // What is being completed already is not written to, and does not count as missing anything.
        let completing = Todo(self.job.alive().0 & !filling.0);
        self.job.alive.store(filling.0, Ordering::Relaxed);
        self.job.keeper.alive(filling).await.map_err(halt_of)?;
        let outcome = self.passes().await;
        self.job.alive.fetch_or(completing.0, Ordering::Relaxed);
        outcome
    }

    async fn passes(&self) -> Result<(), Halt> {
        self.fit_listing();
        let segments = self.segments().await.map_err(halt_of)?;
        self.job.budget.set_active(true);
        self.state(JobState::Running, "").await?;
        let stalled = pass(&self.job, segments).await?;
        if let Some(error) = stalled {
            return Err(Halt::Wait(error));
        }
        self.job.keeper.commit().await.map_err(halt_of)?;
        if let Some(halt) = lock(&self.job.halt).take() {
            return Err(halt);
        }
        self.job.source.unchanged().await.map_err(halt_of)?;
        // What failed on the way misses blocks, and nobody waits for them.
        self.job.keeper.alive(self.job.alive()).await.map_err(halt_of)?;
        let missing = self.job.keeper.pending().await.map_err(halt_of)?;
        match missing.first() {
            None => Ok(()),
            // A sync that failed took its batch back; anything else that is missing is read again as well.
            Some(range) => Err(Halt::Wait(Error::transient(format!("blocks from {} on are missing", range.start)))),
        }
    }

    /// Page size and cursors, as far as this job's part of the carve-out goes.
    fn fit_listing(&self) {
        let choices = &self.spec.plan.choices;
        let room = self.job.budget.page_room().0 / LISTED_ENTRY.0;
        let affordable = u32::try_from(room / u64::from(PAGE_MIN)).unwrap_or(u32::MAX);
        let cursors = choices.cursors.min(affordable).max(1);
        let page = (room / u64::from(cursors)).clamp(u64::from(PAGE_MIN), u64::from(choices.page_size.max(PAGE_MIN)));
        self.job.cursors.store(cursors, Ordering::Relaxed);
        self.job.page_size.store(u16::try_from(page).unwrap_or(PAGE_MIN), Ordering::Relaxed);
    }

    /// What is to be listed: the rest of every segment, and what was listed and is not done.
    async fn segments(&self) -> Result<Segments> {
        let mut picture = self.job.keeper.picture().await?;
        if picture.segments.is_empty() {
            let cuts = Segments::cut(self.job.source.blocks(), self.job.cursors.load(Ordering::Relaxed));
            let cuts = cuts.into_iter().map(|(segment, range)| Cut { segment, range }).collect();
            self.job.keeper.journal(Record::Segments(cuts)).await?;
            picture = self.job.keeper.picture().await?;
        }
        let again: Vec<BlockRange> = self.job.keeper.pending().await?;
        let all = picture.segments.iter().map(|(id, s)| (*id, s.range, s.through));
        Ok(Segments::new(all, again, self.job.page_size.load(Ordering::Relaxed), picture.one_cursor))
    }

    /// Completes and proves every destination that has all blocks; each fails alone.
    async fn finish_all(&self, opened: &[(usize, Opened)]) -> Result<(), Halt> {
        let living = self.living();
        if living.is_empty() {
            return Ok(());
        }
        self.state(JobState::Completing, "").await?;
        if self.resumed > Blocks::ZERO {
            self.recheck_source().await.map_err(halt_of)?;
        }
        let mut finishing: FuturesUnordered<_> = opened
            .iter()
            .filter(|(dest, _)| living.contains(dest))
            .map(|(dest, how)| async move { (*dest, self.finish(*dest, *how).await) })
            .collect();
        let mut waits = None;
        while let Some((dest, outcome)) = finishing.next().await {
            match outcome.map_err(halt_of) {
                Ok(()) => {}
                Err(Halt::Wait(error)) => waits = Some(error),
                Err(Halt::Fail(error)) => self.job.destination_failed(dest, error),
                Err(halt) => return Err(halt),
            }
        }
        waits.map_or(Ok(()), |error| Err(Halt::Wait(error)))
    }

    async fn finish(&self, dest: usize, how: Opened) -> Result<()> {
        let (sink, desk) = (&self.job.sinks[dest], self.desk(dest));
        if how == Opened::Ready && self.resumed > Blocks::ZERO {
            sink.recheck(&desk).await?;
        }
        let written = self.job.keeper.linear(dest, sink.omits_zeros()).await?;
        let picture = self.job.keeper.picture().await?;
        let known = picture.destinations.get(dest);
        let stood = known.map(|known| known.failed_in.unwrap_or(known.state));
        if how == Opened::Ready || stood != Some(DestinationState::Checking) {
            sink.complete(&desk, &written).await?;
        }
        desk.step(Step::Checking).await?;
        crash::here(Point::Checking);
        self.job.hub.set_state(JobState::Verifying, "", None);
        let mut evidence = sink.check(&desk, &written).await?;
        if let Some(change) = self.job.source.changed() {
            // Allowed, and labelled: what was read is not one state of the source.
            evidence = Evidence::Claimed;
            let text = format!("the source changed while it was copied ({change}): the result is only claimed");
            desk.say(sink.address(), text, Tone::Warning);
        }
        desk.step(Step::Completed { evidence }).await?;
        self.job.alive.fetch_and(!(1 << dest), Ordering::Relaxed);
        let how = match evidence {
            Evidence::Service => "checked by the service",
            Evidence::ReRead => "read back",
            Evidence::Claimed | Evidence::None => "written and synced",
        };
        desk.say(sink.address(), format!("completed: {} blocks, {how}", written.blocks), Tone::Good);
        Ok(())
    }

    /// What can change under us was read in an earlier run: it has to be what it was.
    async fn recheck_source(&self) -> Result<()> {
        if !self.job.source.is_mutable() || self.spec.plan.operation.options.allow_changed {
            return Ok(());
        }
        setup::compare_source(&self.job.source, &self.job.keeper, self.living().first().copied()).await
    }

    fn living(&self) -> Vec<usize> {
        let alive = self.job.alive();
        (0..self.job.sinks.len()).filter(|dest| alive.has(*dest)).collect()
    }

    /// Journals what failed; the keeper stops counting it.
    async fn bury_the_failed(&self) -> Result<()> {
        let failed = std::mem::take(&mut *lock(&self.job.failed));
        for (dest, error) in failed {
            self.job.hub.say(self.job.sinks[dest].address(), error.to_string(), Tone::Bad);
            but_full(self.desk(dest).step(Step::Failed { error }).await)?;
        }
        Ok(())
    }

    async fn state(&self, to: JobState, why: &str) -> Result<(), Halt> {
        self.job.hub.set_state(to, why, None);
        let record = Record::State { to, why: why.to_owned() };
        self.job.keeper.journal(record).await.map_err(halt_of)
    }

    fn made_progress(&self) -> bool {
        self.job.hub.take_progress()
    }

    /// Gives the memory back and waits; the user's word ends the wait (the next attempt obeys it).
    async fn wait_a_while(&self, error: Error, pause: Duration) -> Result<()> {
        let why = waits_for(&error);
        self.job.hub.say(why.clone(), format!("waiting: {error}; tried again in {} s", pause.as_secs()), Tone::Warning);
        self.job.budget.set_active(false);
        self.job.pool.keep(0);
        self.job.hub.set_state(JobState::Waiting, why.clone(), Some(error));
        self.save().await?;
        but_full(self.job.keeper.journal(Record::State { to: JobState::Waiting, why }).await)?;
        let mut fresh = self.fresh.clone();
        fresh.mark_unchanged();
        let slept: Result<(), Halt> = self
            .until_told(async {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = fresh.changed() => {}
                }
                Ok(())
            })
            .await;
        drop(slept);
        // What the keeper said while it waited is asked again, not waited for a second time.
        let mut halt = lock(&self.job.halt);
        if matches!(*halt, Some(Halt::Wait(_))) {
            *halt = None;
        }
        drop(halt);
        self.job.budget.set_active(true);
        Ok(())
    }

    async fn save(&self) -> Result<()> {
        but_full(self.job.keeper.commit().await)?;
        but_full(self.job.keeper.record(Record::Progress(self.job.hub.progress())).await)
    }

    /// Ends this run in a state that can be resumed.
    async fn rest(&self, state: JobState, why: &str, error: Option<Error>) -> Result<Ended> {
        self.save().await?;
        but_full(self.job.keeper.journal(Record::State { to: state, why: why.to_owned() }).await)?;
        self.job.hub.set_state(state, why, error);
        if self.has_pending_snapshot() {
            self.job.hub.set_expires(dies_at(Timestamp::now()));
        }
        Ok(Ended::In(state))
    }

    fn has_pending_snapshot(&self) -> bool {
        self.living().iter().any(|dest| self.job.sinks[*dest].dies_when_left())
    }

    async fn queue(&self, error: Error) -> Result<Ended> {
        self.job.hub.say("quota", format!("queued: {error}"), Tone::Warning);
        self.rest(JobState::Queued, "quota", Some(error)).await?;
        Ok(Ended::Queue)
    }

    async fn clean_up(&self) -> Result<Ended> {
        let picture = self.job.keeper.picture().await?;
        let mut left = None;
        for dest in 0..self.job.sinks.len() {
            let known = picture.destinations.get(dest).cloned().unwrap_or_default();
            if known.state == DestinationState::Completed {
                continue;
            }
            if let Err(error) = self.job.sinks[dest].discard(&self.desk(dest), &known).await {
                self.job.hub.say(self.job.sinks[dest].address(), format!("could not be removed: {error}"), Tone::Bad);
                left = Some(error);
            }
        }
        self.result(JobState::Cancelled, left).await
    }

    /// Every destination completed or failed, or the source did.
    async fn conclude(&self, error: Option<Error>) -> Result<Ended> {
        let picture = self.job.keeper.picture().await?;
        let completed = picture.destinations.iter().filter(|d| d.state == DestinationState::Completed).count();
        let first = picture.destinations.iter().find_map(|d| d.error.clone());
        let state = match completed {
            all if all == picture.destinations.len() => JobState::Done,
            0 => JobState::Failed,
            _ => JobState::Partial,
        };
        let error = if state == JobState::Done { None } else { error.or(first) };
        self.result(state, error).await
    }

    async fn result(&self, state: JobState, error: Option<Error>) -> Result<Ended> {
        if let Err(error) = self.save().await {
            tracing::warn!(%error, "the last figures could not be saved");
        }
        but_full(self.job.keeper.journal(Record::State { to: state, why: state.word().to_owned() }).await)?;
        but_full(self.job.keeper.journal(Record::Result { state, error: error.clone() }).await)?;
        self.job.hub.finish(state, error);
        if state != JobState::Done && state != JobState::Cancelled && self.has_pending_snapshot() {
            self.job.hub.set_expires(dies_at(Timestamp::now()));
        }
        Ok(Ended::In(state))
    }
}

/// Why a job rests whose `--wait-timeout` has passed: nothing of it is deleted.
const WAITED: &str = "waited as long as it may";
/// A first wait, doubled with each one that brought nothing …
const WAIT_FIRST: Duration = Duration::from_secs(2);
/// … up to this.
const WAIT_MOST: Duration = Duration::from_secs(60);

fn told(control: &watch::Receiver<Control>) -> Option<Halt> {
    match *control.borrow() {
        Control::Go => None,
        Control::Pause => Some(Halt::Pause),
        Control::Stop => Some(Halt::Stop),
        Control::Cancel(left_overs) => Some(Halt::Cancel(left_overs)),
    }
}

/// A quota of things in AWS, not a full disk here: others must end first.
fn is_pending_quota(error: &Error) -> bool {
    error.class == Class::Quota && error.aws.is_some()
}

/// A full disk ends no run: what could not be saved is found again by the next one.
fn but_full(saved: Result<()>) -> Result<()> {
    match saved {
        Err(error) if error.class == Class::Quota => {
            tracing::warn!(%error, "not saved");
            Ok(())
        }
        saved => saved,
    }
}
