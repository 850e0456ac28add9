//! One job from its directory to its end: open, canary, passes, complete, verify, report.
//!
//! Invariants: the state on disk is never ahead of what happened; whatever stops a run, the next one goes on
//! from the ledger and the journal; a job that cannot go on now gives its memory back and tries again later.
//! Called by the supervisor, one task per running job.

mod finish;
mod ready;
mod remember;
#[cfg(test)]
mod tests;
mod wait;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;

pub(super) use self::ready::{Ready, load_of};
use self::wait::{WAIT_FIRST, WAIT_MOST, ends, is_pending_quota, resting, told};
pub(super) use self::wait::{WAITED, but_full};
use super::blocks::{Pool, lock};
use super::budget::{JobBudget, Part, Weight};
use super::call::Caller;
use super::coming::Coming;
use super::hands::Hands;
use super::hub::Hub;
use super::journal::{Cut, Journal, Record};
use super::keeper::{Keeper, Todo};
use super::ledger::Header;
use super::protocol::{DestinationState, JobState, LeftOvers, Tone};
use super::retry::Tokens;
use super::segments::Segments;
use super::setup;
use super::sink::{Desk, Opened, dies_at};
use super::source::onto_parents;
use super::spec::{JobDir, Spec, open_ledger};
use super::throttle::Throttle;
use super::transfer::{Halt, Job, halt_of, pass};
use super::worlds::Worlds;
use crate::error::{Class, Error, Result};
use crate::ids::BlockRange;
use crate::plan::choices::{LISTED_ENTRY, PAGE_MIN};
use crate::store::copies::Copies;
use crate::store::routes::Routes;
use crate::units::{Blocks, Bytes};

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
    /// Its own records found no room: it begins again when there is some.
    Full,
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
    /// What the disk had of it when it found that full last.
    saved: AtomicU64,
    /// What floe knows of copies.
    copies: Copies,
    /// What jobs took, by their route.
    routes: Routes,
}

/// What a run is given by the engine around it.
struct Given {
    spec: Arc<Spec>,
    hub: Arc<Hub>,
    caller: Arc<Caller>,
    resumed: Arc<AtomicU64>,
    dir: JobDir,
    worlds: Worlds,
    member: JobBudget,
    throttle: Arc<Throttle>,
    weight: Weight,
    control: watch::Receiver<Control>,
}

/// Finds the two ends of the job and runs between them.
async fn start(given: Given, mut journal: Journal) -> Result<Ended> {
    given.hub.set_state(JobState::Starting, "opening", None);
    journal.append_sync(crate::wall::now(), Record::State { to: JobState::Starting, why: "opening".to_owned() })?;
    let Given { spec, worlds, dir, hub, control, .. } = &given;
    match ends(spec, worlds, dir, hub, &mut journal, control.clone()).await? {
        Ok(ends) => between(given, journal, ends).await,
        Err(ended) => Ok(ended),
    }
}

/// Runs a job between its two ends.
async fn between(given: Given, mut journal: Journal, ends: setup::Ends) -> Result<Ended> {
    let Given { spec, hub, caller, resumed, dir, worlds, member, throttle, weight, control } = given;
    let before = journal.picture().clone();
    let source = onto_parents(ends.source, ends.parents, &caller);
    let header = Header {
        job: spec.job,
        unique: spec.unique.clone(),
        source: setup::identity(&spec)?,
        blocks: source.blocks(),
        destinations: spec.item()?.destinations.iter().map(|d| d.address.to_string()).collect(),
    };
    let ledger = open_ledger(&dir, &spec, header)?;
    if ledger.listed() == Blocks::ZERO && !before.segments.is_empty() {
        // What the journal calls listed is only listed as long as the ledger knows it.
        journal.append_sync(crate::wall::now(), Record::Segments(Vec::new()))?;
    }
    let open: Vec<usize> = (0..ends.sinks.len())
        .filter(|dest| before.destinations.get(*dest).is_none_or(|d| d.state != DestinationState::Completed))
        .collect();
    let alive = open.iter().fold(Todo::default(), |all, dest| all.with(*dest));
    let done_before = open
        .iter()
        .filter(|dest| ends.sinks[**dest].takes_blocks())
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
    let in_order = ends.sinks.iter().any(|sink| sink.gathers()).then(tokio::sync::Mutex::default);
    if in_order.is_some() {
        member.needs_floor_whole();
    }
    let job = Arc::new(Job {
        hub: Arc::clone(&hub),
        keeper,
        caller,
        source,
        sinks: ends.sinks,
        budget: member,
        throttle,
        weight,
        hands: load_of(&spec).in_hand().map(|most| Arc::new(Hands::new(most))),
        pool: Arc::new(Pool::default()),
        page_size: PAGE_MIN.into(),
        cursors: 1.into(),
        alive: AtomicU64::new(alive.0),
        tokens: Mutex::new(Tokens::new(before.one_cursor)),
        stop: Mutex::default(),
        halt: Mutex::default(),
        failed: Mutex::default(),
        reading: Arc::default(),
        coming: Coming::default(),
        in_order,
    });
    *lock(&trouble) = Some(Arc::downgrade(&job));
    let wait = spec.plan.operation.options.wait_timeout_seconds.map(Duration::from_secs);
    let (fresh, copies, routes) = (worlds.fresh(), dir.copies(), dir.routes());
    let run = Run {
        spec,
        job: Arc::clone(&job),
        control,
        fresh,
        resumed: done_before,
        wait,
        saved: AtomicU64::new(0),
        copies,
        routes,
    };
    let ended = run.to_the_end().await;
    drop(run);
    drop(job);
    // The ledger is saved and closed before anybody may open it again.
    let _ = thread.await;
    ended
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
        let mut fresh = self.fresh.clone();
        loop {
            // Credentials that come while it still tries with the old ones end the wait that follows.
            fresh.mark_unchanged();
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
                    if self.made_progress(&error) {
                        (pause, waits) = (WAIT_FIRST, None);
                    }
                    let since = *waits.get_or_insert_with(Instant::now);
                    let left = self.wait.map(|most| most.saturating_sub(since.elapsed()));
                    if left == Some(Duration::ZERO) {
                        return self.rest(JobState::Paused, WAITED, Some(error)).await;
                    }
                    self.wait_a_while(error, left.map_or(pause, |left| pause.min(left)), &mut fresh).await?;
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
            work: Arc::clone(&self.job),
            verify: self.spec.plan.operation.options.verify,
            wait: self.wait,
            copies: self.copies.clone(),
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
        let kept = Weight::of(Part::Compression, self.job.source.keeps());
        let kept = match kept.total() {
            Bytes::ZERO => None,
            _ => Some(
                self.job
                    .budget
                    .acquire(kept)
                    .await
                    .map_err(|e| Halt::Wait(Error { class: Class::Quota, ..e.into() }))?,
            ),
        };
        let stalled = pass(&self.job, segments).await?;
        drop(kept);
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

    fn living(&self) -> Vec<usize> {
        let alive = self.job.alive();
        (0..self.job.sinks.len()).filter(|dest| alive.has(*dest)).collect()
    }

    async fn state(&self, to: JobState, why: &str) -> Result<(), Halt> {
        self.job.hub.set_state(to, why, None);
        let record = Record::State { to, why: why.to_owned() };
        self.job.keeper.journal(record).await.map_err(halt_of)
    }

    /// Whether anything came of the last attempt. On a full disk only what was saved counts: what goes through and is
    /// not saved goes through again with every attempt, and the wait would never end.
    fn made_progress(&self, error: &Error) -> bool {
        let moved = self.job.hub.take_progress();
        if !error.is_full_disk() {
            return moved;
        }
        let saved = self.job.keeper.board().saved.load(Ordering::Relaxed);
        moved && self.saved.swap(saved, Ordering::Relaxed) != saved
    }

    async fn save(&self) -> Result<()> {
        but_full(self.job.keeper.commit().await)?;
        self.job.hub.settle();
        but_full(self.job.keeper.record(Record::Progress(self.job.hub.progress())).await)
    }

    /// Ends this run in a state that can be resumed.
    async fn rest(&self, state: JobState, why: &str, error: Option<Error>) -> Result<Ended> {
        self.save().await?;
        but_full(self.job.keeper.journal(Record::State { to: state, why: why.to_owned() }).await)?;
        self.job.hub.set_state(state, why, error);
        if self.has_pending_snapshot() {
            self.job.hub.set_expires(dies_at(crate::wall::now()));
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
}
