//! Follows jobs of an engine until nothing more happens to them, and says how they ended.
//!
//! The first Ctrl-C (or SIGTERM) pauses them cleanly, the second ends at once; what is written stays either way,
//! and `floe jobs resume` goes on from there. A lost terminal pauses only what lives in this process: jobs of the
//! background engine go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::args::Format;
use super::attach::Attached;
use super::events::Events;
use super::outcome::{DestinationOutcome, Group, Outcome};
use super::progress;
use super::resolve::Resolved;
use super::signals::{End, Ends};
use super::{Code, say, table};
use crate::address::Address;
use crate::engine::Client;
use crate::engine::protocol::{Command, DestinationState, Evidence, JobState, JobStatus};
use crate::engine::told::Told;
use crate::error::{Class, Error, Kind, Result};
use crate::ids::JobId;
use crate::units::Blocks;

/// The code of a command that was stopped and can go on.
const STOPPED: Code = Kind::Stopped.exit_code();
/// How long the engine may take to put itself away at the end; the jobs are over or paused by then.
const GOODBYE: Duration = Duration::from_secs(10);
/// How long a job may wait for what only a person can mend where no person looks: then it is paused, and the script
/// that started it gets its exit code.
const UNATTENDED: Duration = Duration::from_secs(60);

/// What a command is to the jobs that it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It started them: Ctrl-C pauses them.
    Own,
    /// It looks on: Ctrl-C ends the looking.
    Watch,
}

/// Follows `jobs`, prints what came of them, and ends the engine where it lives in this process.
///
/// # Errors
/// The engine went away, or stdout cannot be written.
pub async fn to_the_end(
    attached: &Attached,
    jobs: &[JobId],
    ends: Ends,
    manner: Manner,
    resolved: &Resolved,
) -> Result<Code> {
    let followed = watch(attached, jobs, ends, manner, resolved).await;
    if !attached.background {
        let _ = tokio::time::timeout(GOODBYE, attached.engine.send(Command::Shutdown)).await;
    }
    let Some(ended) = followed? else {
        let numbers: Vec<String> = jobs.iter().map(ToString::to_string).collect();
        resolved.say.note(&format!("job {} goes on · floe jobs watch", numbers.join(", ")));
        return Ok(if manner == Manner::Watch { 0 } else { STOPPED });
    };
    report(&ended, resolved.output)?;
    for job in &ended {
        tell(job, resolved);
    }
    Ok(code(&ended))
}

/// `None` when it stopped looking while they go on.
async fn watch(
    attached: &Attached,
    jobs: &[JobId],
    mut ends: Ends,
    manner: Manner,
    resolved: &Resolved,
) -> Result<Option<Vec<JobStatus>>> {
    let engine = &attached.engine;
    let mut status = engine.status();
    let mut shown = progress::Jobs::new(resolved.say);
    let mut events =
        (resolved.output == Format::Json && !resolved.say.quiet).then(|| Events::new(attached.state.clone()));
    let mut hooks = Hooks::default();
    let mut asked_to_end = false;
    let mut waits: BTreeMap<JobId, (Instant, Blocks)> = BTreeMap::new();
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    let mut contact = engine.contact();
    // Asked beside the looking: an engine that does not answer keeps nobody from ending it.
    let mut pausing = FuturesUnordered::new();
    loop {
        let picture = Arc::clone(&status.borrow_and_update());
        let ours: Vec<JobStatus> = picture.jobs.iter().filter(|job| jobs.contains(&job.job)).cloned().collect();
        let now = *contact.borrow_and_update();
        if shown.contact(now, picture.at) {
            ours.iter().for_each(|job| shown.show(job));
        }
        if let Some(events) = &mut events {
            events.show(&ours, &picture)?;
            events.contact(&ours, now)?;
        }
        // A background engine tells it itself, whoever looks on.
        if let Some(command) = resolved.config.on_event.as_ref().filter(|_| !attached.background) {
            hooks.tell(command, &ours);
        }
        if ours.len() == jobs.len() && ours.iter().all(|job| rests(job.state)) {
            shown.end();
            hooks.end(resolved).await;
            return Ok(Some(ours));
        }
        if !attached.background && !resolved.say.is_attended() {
            pausing.extend(the_stuck(&ours, &mut waits).into_iter().map(|job| pause(engine.clone(), job)));
        }
        tokio::select! {
            _ = beat.tick() => {}
            Ok(()) = contact.changed() => {}
            Some(()) = pausing.next() => {}
            changed = status.changed() => changed.map_err(|_| {
                Error::stopped("the engine has ended").todo("`floe jobs resume` goes on")
            })?,
            end = ends.next() => {
                if manner == Manner::Watch || (attached.background && (end == End::Hangup || asked_to_end)) {
                    shown.end();
                    return Ok(None);
                }
                if asked_to_end {
                    shown.end();
                    say::stderr("Ended at once; `floe jobs resume` goes on.");
                    std::process::exit(i32::from(STOPPED));
                }
                asked_to_end = true;
                shown.say("Pausing; once more ends at once.");
                let all = ours.iter().filter(|job| !rests(job.state));
                pausing.extend(all.map(|job| pause(engine.clone(), job.job)));
            }
        }
    }
}

/// The user's command for events of jobs: told once for each state that a job comes into.
#[derive(Default)]
struct Hooks {
    told: Told,
    running: Vec<tokio::sync::oneshot::Receiver<Result<()>>>,
}

impl Hooks {
    fn tell(&mut self, command: &str, jobs: &[JobStatus]) {
        for event in self.told.fresh(jobs, crate::wall::now()) {
            let command = command.to_owned();
            let (done, ended) = tokio::sync::oneshot::channel();
            // A thread and no task: one that never ends must not hold up the end of this command.
            let run = move || drop(done.send(crate::store::hook::run(&command, &event)));
            if std::thread::Builder::new().name("on_event".to_owned()).spawn(run).is_ok() {
                self.running.push(ended);
            }
        }
    }

    /// Waits for those that still run, as long as a goodbye may take; a failure of theirs is none of the job.
    async fn end(self, resolved: &Resolved) {
        let all = async {
            for ended in self.running {
                if let Ok(Err(error)) = ended.await {
                    resolved.say.warn(&error.what);
                }
            }
        };
        if tokio::time::timeout(GOODBYE, all).await.is_err() {
            resolved.say.warn("on_event has not ended; it is left alone");
        }
    }
}

/// A job that ended meanwhile has nothing to pause, and an engine that ended is seen by whoever follows.
async fn pause(engine: Client, job: JobId) {
    let _ = engine.send(Command::Pause(job)).await;
}

/// Jobs that have waited too long for new credentials or for room on a disk. The engine tries again in
/// between: only a block that moved ends a wait.
fn the_stuck(ours: &[JobStatus], waits: &mut BTreeMap<JobId, (Instant, Blocks)>) -> Vec<JobId> {
    let mut stuck = Vec::new();
    for job in ours {
        if waits.get(&job.job).is_some_and(|(_, blocks)| *blocks != job.blocks_done) {
            waits.remove(&job.job);
        }
        let needs_a_person = job.state == JobState::Waiting
            && job.error.as_ref().is_some_and(|error| matches!(error.class, Class::Credentials | Class::Quota));
        if needs_a_person {
            let (since, _) = waits.entry(job.job).or_insert_with(|| (Instant::now(), job.blocks_done));
            if since.elapsed() >= UNATTENDED {
                // Told again after as long, should it still wait then.
                *since = Instant::now();
                stuck.push(job.job);
            }
        }
    }
    stuck
}

/// Whether nothing more happens to a job in this state by itself.
const fn rests(state: JobState) -> bool {
    use JobState::{Cancelled, Done, Failed, Interrupted, Partial, Paused};
    matches!(state, Done | Partial | Failed | Cancelled | Paused | Interrupted)
}

/// What came of one job, as the exit code says it.
fn code_of(job: &JobStatus) -> Code {
    match job.state {
        JobState::Done => 0,
        JobState::Partial => Kind::Partial.exit_code(),
        JobState::Paused | JobState::Interrupted | JobState::Waiting => STOPPED,
        _ => match job.error.as_ref().map(|error| error.kind) {
            Some(kind @ (Kind::Usage | Kind::Refused)) => kind.exit_code(),
            _ => Kind::Failed.exit_code(),
        },
    }
}

/// Of several jobs: stopped if one can go on, else partial when some are done and some are not.
fn code(jobs: &[JobStatus]) -> Code {
    let codes: Vec<Code> = jobs.iter().map(code_of).collect();
    match codes.as_slice() {
        all if all.iter().all(|code| *code == 0) => 0,
        all if all.contains(&STOPPED) => STOPPED,
        all if all.contains(&0) => Kind::Partial.exit_code(),
        [first, rest @ ..] if rest.iter().all(|code| code == first) => *first,
        _ => Kind::Failed.exit_code(),
    }
}

/// Says on stderr how a job ended.
fn tell(job: &JobStatus, resolved: &Resolved) {
    match job.state {
        JobState::Done => {
            let clock = crate::plan::clock(job.elapsed_seconds);
            resolved.say.note(&format!("job {} done: {} in {clock}", job.job, job.blocks_done.bytes()));
            for to in &job.destinations {
                resolved.say.note(&format!("  {} {}", to.address, evidence(to.evidence)));
            }
        }
        JobState::Paused => say::stderr(&format!("job {} is paused; floe jobs resume {} goes on", job.job, job.job)),
        state => say::stderr(&format!("job {} is {}", job.job, state.word())),
    }
    if job.state != JobState::Done {
        let own = job.error.iter().filter(|_| job.state != JobState::Paused);
        // What a cancelled job failed at before is over; what its clean-up could not do is its own error.
        let now = job.destinations.iter().filter(|_| job.state != JobState::Cancelled);
        let of_destinations = now.filter_map(|to| to.error.as_ref());
        let mut said: Vec<&Error> = Vec::new();
        for error in own.chain(of_destinations) {
            if !said.contains(&error) {
                say::error(error);
                said.push(error);
            }
        }
    }
}

const fn evidence(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::None => "",
        Evidence::Service => "checked by the service",
        Evidence::ReRead => "re-read by us",
        Evidence::Claimed => "claimed",
    }
}

/// The results on stdout: JSON, CSV, or the new ids, one a line.
fn report(jobs: &[JobStatus], output: Format) -> Result<()> {
    match output {
        Format::Json => match jobs {
            [job] => table::json(&Outcome::of(job)),
            jobs => {
                let state = match code(jobs) {
                    0 => JobState::Done,
                    3 => JobState::Partial,
                    4 => JobState::Paused,
                    _ => JobState::Failed,
                };
                table::json(&Group::of(jobs, state))
            }
        },
        Format::Csv => {
            let heads = ["job", "state", "source", "address", "destination_state", "blocks", "bytes"];
            let rows = jobs.iter().flat_map(|job| {
                job.destinations.iter().map(|to| {
                    let outcome = DestinationOutcome::of(to);
                    vec![
                        job.job.to_string(),
                        job.state.word().to_owned(),
                        job.source.clone(),
                        outcome.address,
                        outcome.state.to_owned(),
                        outcome.blocks.to_string(),
                        outcome.bytes.to_string(),
                    ]
                })
            });
            table::csv(&heads, rows)
        }
        Format::Table | Format::Ids | Format::Html => {
            let completed = || {
                let all = jobs.iter().flat_map(|job| &job.destinations);
                all.filter(|to| to.state == DestinationState::Completed)
            };
            if output == Format::Table {
                let hashed = completed().filter_map(|to| Some((to.image_sha256?, &to.address)));
                // As `sha256sum` writes it, so that `sha256sum -c` reads it.
                hashed.map(|(sum, path)| format!("{}  {path}", sum.hex())).try_for_each(|line| say::result(&line))?;
            }
            let ids = completed().filter_map(|to| match to.address.parse() {
                Ok(Address::Snapshot(_, id)) => Some(id),
                _ => None,
            });
            ids.into_iter().try_for_each(|id| say::result(id.as_str()))
        }
    }
}
