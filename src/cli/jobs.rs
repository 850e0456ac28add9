//! `floe jobs`: what lies in the state directory, and the commands that go on with it or end it.

use super::args::{Cancel, Format, JobArg, Jobs, JobsVerb, Resume, Show, Turn, Watch};
use super::attach::{self, Attached};
use super::job_rows::{ls, show};
use super::resolve::{Resolved, World};
use super::signals::Ends;
use super::{Code, follow, receipt, say, table};
use crate::engine::protocol::{Command, JobState, JobStatus, Lanes, LeftOvers};
use crate::engine::{self, Client};
use crate::error::{Error, Kind, Result};
use crate::ids::JobId;

/// Runs one of them.
///
/// # Errors
/// Usage for a job that does not exist or does not fit; else as the engine says.
pub async fn run(args: Jobs, resolved: &Resolved) -> Result<Code> {
    let world = resolved.open().await?;
    match args.verb.unwrap_or(JobsVerb::Ls) {
        JobsVerb::Ls => {
            let (jobs, unheard) = seen(&world).await?;
            ls(&jobs, resolved.output)?;
            if let Some(why) = unheard {
                resolved.say.note(&why);
            }
            if let Some(note) = left_overs_note(&jobs) {
                resolved.say.note(&note);
            }
            Ok(0)
        }
        JobsVerb::Show(args) => show_one(args, &world, resolved).await,
        JobsVerb::Watch(args) => watch(args, &world, resolved).await,
        JobsVerb::Pause(job) => pause(job, &world, resolved).await,
        JobsVerb::Resume(args) => resume(args, &world, resolved).await,
        JobsVerb::Cancel(args) => cancel(args, &world, resolved).await,
        JobsVerb::Forget(job) => forget(job, &world, resolved).await,
    }
}

/// Every job as it stands: what lies on disk, and of what runs the engine's own picture. An engine that cannot be asked
/// does not hide what is on disk, nor one that hangs what it showed last; that it is so comes beside it.
async fn seen(world: &World) -> Result<(Vec<JobStatus>, Option<String>)> {
    let mut rows = engine::jobs(&world.state)?;
    match attach::running(world).await {
        Ok(Some(attached)) => {
            let picture = attached.engine.status().borrow().clone();
            for row in &mut rows {
                if let Some(live) = picture.jobs.iter().find(|live| live.job == row.job) {
                    row.clone_from(live);
                }
            }
            let unheard = (!attached.engine.answers(SILENT_AFTER).await).then(|| {
                let (pid, at) = (attached.engine.pid(), picture.at.strftime("%H:%M:%S"));
                format!(
                    "the engine (pid {pid}) has not answered for {} s: these are its figures of {at} UTC; {}",
                    SILENT_AFTER.as_secs(),
                    engine::what_ends_it(pid)
                )
            });
            Ok((rows, unheard))
        }
        Ok(None) => Ok((rows, None)),
        // An engine in the foreground of another command is asked by nobody.
        Err(error) if error.kind == Kind::Refused => Ok((rows, None)),
        Err(error) => Ok((rows, Some(format!("this is what lies on disk: {error}")))),
    }
}

async fn all(world: &World) -> Result<Vec<JobStatus>> {
    seen(world).await.map(|(rows, _)| rows)
}

/// The job that was named, or the only one that fits.
async fn pick(world: &World, arg: JobArg, doing: &str, fits: impl Fn(&JobStatus) -> bool) -> Result<JobStatus> {
    let all = all(world).await?;
    if let Some(id) = arg.job {
        return all
            .into_iter()
            .find(|job| job.job == id)
            .ok_or_else(|| Error::usage(format!("there is no job {id}")).todo("floe jobs ls lists them"));
    }
    let mut fitting: Vec<JobStatus> = all.into_iter().filter(fits).collect();
    match (fitting.pop(), fitting.len()) {
        (Some(only), 0) => Ok(only),
        (Some(last), _) => {
            let mut numbers: Vec<String> = fitting.iter().map(|job| job.job.to_string()).collect();
            numbers.push(last.job.to_string());
            Err(Error::usage(format!("which job? {} fit", numbers.join(", "))).todo(format!("floe jobs {doing} JOB")))
        }
        (None, _) => Err(Error::usage(format!("there is no job to {doing}")).todo("floe jobs ls lists all of them")),
    }
}

/// What jobs have left behind that will not go on by themselves, in one line.
fn left_overs_note(jobs: &[JobStatus]) -> Option<String> {
    let littered: Vec<String> = jobs.iter().filter(|job| job.is_littered()).map(|job| job.job.to_string()).collect();
    let count: usize = jobs.iter().filter(|job| job.is_littered()).map(|job| job.left_overs.len()).sum();
    let things = if count == 1 { "1 left-over".to_owned() } else { format!("{count} left-overs") };
    (count > 0).then(|| {
        let shown = littered.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        let more = if littered.len() > SHOWN { ", …" } else { "" };
        let whose = if littered.len() == 1 { "job" } else { "jobs" };
        format!("{things} of {whose} {shown}{more}: floe jobs resume JOB goes on, floe jobs cancel JOB removes them")
    })
}

/// Numbers of jobs in one note.
const SHOWN: usize = 8;

async fn show_one(args: Show, world: &World, resolved: &Resolved) -> Result<Code> {
    let job = pick(world, args.job, "show", |_| true).await?;
    match (args.receipt, resolved.output) {
        (false, output) => show(&job, output)?,
        (true, Format::Csv) => {
            return Err(Error::usage("a receipt is Markdown or JSON").todo("leave -o out, or use -o json"));
        }
        (true, Format::Json) => table::json(&receipt::of(&world.state, &job)?)?,
        (true, _) => say::result(&say::clean(receipt::of(&world.state, &job)?.markdown().trim_end()))?,
    }
    Ok(0)
}

/// Whether an engine has it in hand.
fn is_in_hand(job: &JobStatus) -> bool {
    works(job.state)
}

/// Whether a job in that state goes on by itself.
fn works(state: JobState) -> bool {
    state.is_active() || state == JobState::Queued
}

/// The engine that runs `job`; there is none for a job that rests, and none to be asked for one that lives in
/// another command.
async fn engine_of(world: &World, job: &JobStatus) -> Result<Attached> {
    if !is_in_hand(job) {
        return Err(Error::usage(format!("job {} is {}, not running", job.job, job.state.word()))
            .todo(format!("floe jobs show {}", job.job)));
    }
    attach::running(world).await?.ok_or_else(|| {
        Error::usage(format!("job {} lives in the command that runs it", job.job))
            .todo("Ctrl-C in that command pauses it")
    })
}

async fn watch(args: Watch, world: &World, resolved: &Resolved) -> Result<Code> {
    let job = pick(world, args.job, "watch", is_in_hand).await?;
    let attached = engine_of(world, &job).await?;
    let ends = Ends::listen()?;
    // Keys of this shell may be what the job waits for; who looks on does not wait for an engine that hangs.
    let engine = attached.engine.clone();
    tokio::spawn(async move { engine.send(Command::Keys).await });
    turn(&attached.engine, job.job, args.turn, resolved).await?;
    follow::to_the_end(&attached, &[job.job], ends, follow::Manner::Watch, resolved).await
}

async fn pause(arg: JobArg, world: &World, resolved: &Resolved) -> Result<Code> {
    let job = pick(world, arg, "pause", is_in_hand).await?;
    let attached = engine_of(world, &job).await?;
    attach::ask(&attached.engine, Command::Pause(job.job), resolved.say).await?;
    match tokio::time::timeout(CLEAN_UP, reached(&attached.engine, job.job, |state| !works(state))).await {
        Ok(Some(state)) if state != JobState::Paused => {
            resolved.say.note(&format!("job {} is {}: there was nothing left to pause", job.job, state.word()));
            Ok(0)
        }
        Ok(Some(_)) => {
            resolved.say.note(&format!("job {} is paused; floe jobs resume {} goes on", job.job, job.job));
            Ok(0)
        }
        Ok(None) => Err(Error::stopped(format!("the engine ended while job {} came to rest", job.job))
            .todo(format!("floe jobs show {} says where it stands", job.job))),
        Err(_) => Err(not_at_rest(job.job)),
    }
}

async fn resume(args: Resume, world: &World, resolved: &Resolved) -> Result<Code> {
    if args.detach && !attach::in_background(resolved, args.foreground) {
        return Err(Error::usage("--detach: a job of the sandbox lives in its command").todo("leave it out"));
    }
    let fits = |job: &JobStatus| job.state.is_resumable() || is_in_hand(job);
    let job = pick(world, args.job, "resume", fits).await?;
    let memory = match args.turn.memory {
        Some(memory) => Some(memory),
        // What the job was given counts, where the command says nothing.
        None => engine::spec(&world.state, job.job)?.plan.operation.options.memory,
    };
    let ends = Ends::listen()?;
    let attached = attach::start(world, resolved, memory, args.foreground).await?;
    attach::ask(&attached.engine, Command::Resume(job.job), resolved.say).await?;
    turn(&attached.engine, job.job, args.turn, resolved).await?;
    // What somebody else runs is not run a second time, and that is said.
    let runs = matches!(job.state, JobState::Starting | JobState::Running | JobState::Completing | JobState::Verifying);
    if runs {
        resolved.say.note(&format!("job {} is {} already: this command follows it", job.job, job.state.word()));
    }
    if args.detach {
        return super::copy::detached(&[job.job], resolved);
    }
    follow::to_the_end(&attached, &[job.job], ends, follow::Manner::Own, resolved).await
}

/// Turns what the flags name.
async fn turn(engine: &Client, job: JobId, turn: Turn, resolved: &Resolved) -> Result<()> {
    if let Some(memory) = turn.memory {
        attach::ask(engine, Command::Share(job, Some(memory)), resolved.say).await?;
    }
    if let Some(limit) = turn.bandwidth {
        attach::ask(engine, Command::Bandwidth(Some(job), Some(limit)), resolved.say).await?;
    }
    let mut lanes = turn.concurrency;
    resolved.limits.clamp_lanes(&mut lanes, &mut Vec::new());
    match turn.concurrency.and(lanes) {
        Some(lanes) => turn_lanes(engine, job, lanes, resolved).await,
        None => Ok(()),
    }
}

/// Lanes are turned once the job runs: before that there are none.
async fn turn_lanes(engine: &Client, job: JobId, lanes: u32, resolved: &Resolved) -> Result<()> {
    let mut status = engine.status();
    loop {
        let state = status.borrow_and_update().jobs.iter().find(|row| row.job == job).map(|row| row.state);
        match state {
            Some(JobState::Running) => {
                let lanes = Command::Lanes(job, Lanes::AtMost(lanes));
                return attach::ask(engine, lanes, resolved.say).await.map(|_| ());
            }
            Some(JobState::Queued | JobState::Starting | JobState::Paused | JobState::Interrupted) => {}
            _ => return Ok(()),
        }
        status.changed().await.map_err(|_| Error::stopped("the engine has ended"))?;
    }
}

async fn cancel(args: Cancel, world: &World, resolved: &Resolved) -> Result<Code> {
    let job = pick(world, args.job, "cancel", |job| !job.state.is_over() || job.is_littered()).await?;
    if args.keep {
        return put_down(&job, args.yes, world, resolved).await;
    }
    let question =
        format!("Cancel job {} ({}) and delete what it has made so far (--keep keeps it)?", job.job, job.source);
    if !resolved.say.confirm(&question, args.yes)? {
        return Err(Error::refused(format!("job {} was not cancelled", job.job)));
    }
    let ends = Ends::listen()?;
    let attached = attach::start(world, resolved, None, false).await?;
    attach::ask(&attached.engine, Command::Cancel(job.job, LeftOvers::CleanUp), resolved.say).await?;
    // The picture in hand may be older than the command: a failed job looks ended before its clean-up has begun.
    let _ =
        tokio::time::timeout(CLEAN_UP, reached(&attached.engine, job.job, |state| state == JobState::Cancelled)).await;
    let code = follow::to_the_end(&attached, &[job.job], ends, follow::Manner::Own, resolved).await?;
    // Cancelled is what was asked for; what could not be deleted is a failure.
    let now = pick(world, JobArg { job: Some(job.job) }, "cancel", |_| true).await?;
    Ok(if now.state == JobState::Cancelled && now.error.is_none() { 0 } else { code })
}

/// Ends a job for now: what it has made stays, for a resume or a later cancel.
async fn put_down(job: &JobStatus, yes: bool, world: &World, resolved: &Resolved) -> Result<Code> {
    if job.state.is_over() {
        return Err(Error::usage(format!("job {} is {} already", job.job, job.state.word()))
            .todo(format!("floe jobs forget {} drops what is kept of it", job.job)));
    }
    if is_in_hand(job) {
        if !resolved.say.confirm(&format!("Stop job {} ({}) and keep what it has made?", job.job, job.source), yes)? {
            return Err(Error::refused(format!("job {} was not cancelled", job.job)));
        }
        let attached = engine_of(world, job).await?;
        attach::ask(&attached.engine, Command::Cancel(job.job, LeftOvers::Keep), resolved.say).await?;
        let _ =
            tokio::time::timeout(CLEAN_UP, reached(&attached.engine, job.job, |state| state == JobState::Paused)).await;
    }
    let now = pick(world, JobArg { job: Some(job.job) }, "cancel", |_| true).await?;
    for left in &now.left_overs {
        resolved.say.note(&format!("kept: {left}"));
    }
    resolved.say.note(&format!("job {} can go on: floe jobs resume {}", job.job, job.job));
    Ok(0)
}

/// How long a list of jobs waits for a sign of life.
const SILENT_AFTER: std::time::Duration = std::time::Duration::from_secs(8);

/// How long a clean-up or a pause may take before what is known then is told.
const CLEAN_UP: std::time::Duration = std::time::Duration::from_secs(60);

/// Waits until the job is in a state that is wanted: in which. `None` when the engine has ended.
async fn reached(engine: &Client, job: JobId, wanted: fn(JobState) -> bool) -> Option<JobState> {
    let mut status = engine.status();
    loop {
        let state = status.borrow_and_update().jobs.iter().find(|row| row.job == job).map(|row| row.state);
        if let Some(state) = state.filter(|state| wanted(*state)) {
            return Some(state);
        }
        status.changed().await.ok()?;
    }
}

/// A job that was told to pause and is still at it.
fn not_at_rest(job: JobId) -> Error {
    Error::stopped(format!("job {job} was told to pause and is not at rest after {} s", CLEAN_UP.as_secs()))
        .todo(format!("floe jobs watch {job} shows what it waits for"))
}

async fn forget(arg: JobArg, world: &World, resolved: &Resolved) -> Result<Code> {
    let job = pick(world, arg, "forget", |job| job.state.is_over()).await?;
    let attached = match attach::running(world).await? {
        Some(attached) => attached,
        // Nothing runs by forgetting: no background engine is started for it.
        None => attach::start(world, resolved, None, true).await?,
    };
    let forgotten = attach::ask(&attached.engine, Command::Forget(job.job), resolved.say).await;
    if !attached.background {
        let _ = attached.engine.send(Command::Shutdown).await;
    }
    forgotten?;
    resolved.say.note(&format!("job {} is forgotten", job.job));
    Ok(0)
}
