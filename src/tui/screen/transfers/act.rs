//! What can be done with jobs: the keys of the transfers and the job screen, and what the engine answers.

use crate::bandwidth::Bandwidth;
use crate::engine::protocol::{Answer, Command, JobState, JobStatus, Lanes, LeftOvers};
use crate::error::Result;
use crate::ids::JobId;
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::gate::Gate;
use crate::tui::model::{Mode, Model};
use crate::tui::overlay::{Overlay, ask, confirm};
use crate::tui::screen::transfers::{selected, shown, targets};
use crate::units::{Bytes, parse_bytes};

/// The actions of a screen that shows jobs: one definition for both.
macro_rules! job_actions {
    ($prefix:literal, $screen:expr) => {{
        use crate::tui::action::Scope;
        use crate::tui::screen::transfers::act;
        const HERE: Scope = Scope::Screen($screen);
        [
            HERE.look(
                concat!($prefix, ".more"),
                "more lanes",
                &["+", "="],
                1,
                "A quarter more lanes, pinned there.",
                act::no_running,
                |m, n| act::lanes(m, n, true),
            ),
            HERE.look(
                concat!($prefix, ".fewer"),
                "fewer lanes",
                &["-"],
                2,
                "A fifth fewer lanes, pinned there.",
                act::no_running,
                |m, n| act::lanes(m, n, false),
            ),
            HERE.look(
                concat!($prefix, ".auto"),
                "auto",
                &["a"],
                3,
                "Give the lanes back to the window.",
                act::no_running,
                act::auto,
            ),
            HERE.look(
                concat!($prefix, ".memory"),
                "memory",
                &["m"],
                4,
                "Set the engine's memory budget while jobs run.",
                act::no_engine,
                act::memory,
            ),
            HERE.look(
                concat!($prefix, ".holders"),
                "who holds it",
                &["i"],
                0,
                "Who holds memory now: by part and by job, and the rest of the process.",
                act::no_engine,
                |m, _| {
                    m.overlays.push(crate::tui::overlay::Overlay::Holders(Default::default()));
                    Vec::new()
                },
            ),
            HERE.look(
                concat!($prefix, ".bandwidth"),
                "bandwidth",
                &["b"],
                0,
                "Limit bytes a second, read plus written: of the job, or of all marked ones.",
                act::no_job,
                act::bandwidth,
            ),
            HERE.look(
                concat!($prefix, ".pause"),
                "pause",
                &["p"],
                5,
                "Pause what runs, resume what is paused or failed.",
                act::no_pause,
                act::pause,
            ),
            HERE.replace(
                concat!($prefix, ".cancel"),
                "cancel…",
                &["x"],
                6,
                "Cancel: keep what was written, or clean it up.",
                act::no_cancel,
                act::cancel,
            ),
            HERE.look(
                concat!($prefix, ".verify"),
                "verify",
                &["V"],
                7,
                "Copy the command that compares source and result block by block.",
                act::no_job,
                act::verify,
            ),
            HERE.look(
                concat!($prefix, ".graph"),
                "graph",
                &["t"],
                8,
                "Rate, memory, lanes and latency over time.",
                act::no_job,
                |m, _| {
                    m.transfers.graph = !m.transfers.graph;
                    Vec::new()
                },
            ),
            HERE.look(
                concat!($prefix, ".freeze"),
                "freeze",
                &["f"],
                9,
                "Hold the picture still; jobs go on.",
                act::no_engine,
                act::freeze,
            ),
            HERE.look(
                concat!($prefix, ".earlier"),
                "earlier",
                &["["],
                0,
                "Earlier in the queue.",
                act::no_queued,
                |m, _| act::reorder(m, -1),
            ),
            HERE.look(concat!($prefix, ".later"), "later", &["]"], 0, "Later in the queue.", act::no_queued, |m, _| {
                act::reorder(m, 1)
            }),
            HERE.look(
                concat!($prefix, ".mark"),
                "mark",
                &["space"],
                0,
                "Mark the job; keys then act on all marks.",
                act::no_job,
                act::mark,
            ),
            HERE.look(concat!($prefix, ".unmark"), "unmark all", &["u"], 0, "Unmark all jobs.", act::no_job, |m, _| {
                m.transfers.marks.clear();
                Vec::new()
            }),
            HERE.look(
                concat!($prefix, ".open"),
                "open",
                &["enter"],
                10,
                "The job with its segments, full size; once more: back.",
                act::no_job,
                act::open,
            ),
            HERE.look(
                concat!($prefix, ".down"),
                "down",
                &["down", "j"],
                0,
                "Next row.",
                |_| None,
                |m, _| act::move_by(m, 1),
            ),
            HERE.look(
                concat!($prefix, ".up"),
                "up",
                &["up", "k"],
                0,
                "Row before.",
                |_| None,
                |m, _| act::move_by(m, -1),
            ),
            HERE.look(
                concat!($prefix, ".first"),
                "first",
                &["g", "home"],
                0,
                "First row.",
                |_| None,
                |m, _| act::move_by(m, -10_000),
            ),
            HERE.look(
                concat!($prefix, ".last"),
                "last",
                &["G", "end"],
                0,
                "Last row.",
                |_| None,
                |m, _| act::move_by(m, 10_000),
            ),
            HERE.look(
                concat!($prefix, ".page-down"),
                "page down",
                &["ctrl-d", "pgdn"],
                0,
                "Ten rows on.",
                |_| None,
                |m, _| act::move_by(m, 10),
            ),
            HERE.look(
                concat!($prefix, ".page-up"),
                "page up",
                &["ctrl-u", "pgup"],
                0,
                "Ten rows back.",
                |_| None,
                |m, _| act::move_by(m, -10),
            ),
            HERE.look(
                concat!($prefix, ".back"),
                "back",
                &["esc"],
                11,
                "Close the graph, else back.",
                |_| None,
                act::back,
            ),
        ]
    }};
}
pub(in crate::tui::screen) use job_actions;

fn engine(command: Command) -> Effect {
    Effect::Engine(Box::new(command))
}

/// Why nothing of the engine can be turned.
pub fn no_engine(model: &Model) -> Option<String> {
    model.status.is_none().then(|| "no job was ever started here: c on a snapshot plans a copy".to_owned())
}

/// Why there is nothing to act on.
pub fn no_job(model: &Model) -> Option<String> {
    no_engine(model).or_else(|| selected(model).is_none().then(|| "there is no job".to_owned()))
}

fn chosen(model: &Model) -> Vec<&JobStatus> {
    let ids = targets(model);
    shown(model).map_or_else(Vec::new, |s| s.jobs.iter().filter(|job| ids.contains(&job.job)).collect())
}

/// The sentence that a key cannot act, when no target is in one of the right states.
fn needs(model: &Model, right: fn(&JobStatus) -> bool, why: &str) -> Option<String> {
    no_job(model).or_else(|| {
        let jobs = chosen(model);
        match jobs.as_slice() {
            [one] if !right(one) => Some(format!("job {} is {}: {why}", one.job, one.state.word())),
            many if !many.iter().any(|job| right(job)) => Some(format!("none of the marked jobs can: {why}")),
            _ => None,
        }
    })
}

/// Lanes exist while a job is active.
pub fn no_running(model: &Model) -> Option<String> {
    needs(model, |job| job.state.is_active(), "it has no lanes now")
}

const fn can_pause(state: JobState) -> bool {
    state.is_active() || matches!(state, JobState::Queued)
}

/// Pausing and resuming.
pub fn no_pause(model: &Model) -> Option<String> {
    needs(model, |job| can_pause(job.state) || job.state.is_resumable(), "it is over").or_else(|| {
        let resumes = chosen(model).iter().any(|job| !can_pause(job.state));
        (resumes && model.mode == Mode::ReadOnly).then(|| "READ-ONLY: this deck starts nothing".to_owned())
    })
}

/// Cancelling.
pub fn no_cancel(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("READ-ONLY: this deck cancels nothing".to_owned());
    }
    needs(model, |job| !job.state.is_over(), "there is nothing to cancel")
}

/// Moving in the queue.
pub fn no_queued(model: &Model) -> Option<String> {
    needs(model, |job| job.state == JobState::Queued, "only queued jobs have an order")
}

/// A quarter more or a fifth fewer: two presses either way come back to where they began.
pub fn lanes(model: &mut Model, now: Now, more: bool) -> Vec<Effect> {
    let mut said = Vec::new();
    let mut out = Vec::new();
    let jobs: Vec<(JobId, u32, u32)> = chosen(model)
        .iter()
        .filter(|job| job.state.is_active())
        .map(|job| {
            let from = match job.lanes.setting {
                Lanes::Pinned(n) => n,
                Lanes::Auto | Lanes::AtMost(_) => job.lanes.target,
            };
            (job.job, from, job.lanes.cap.max(1))
        })
        .collect();
    for (job, from, cap) in jobs {
        let from = model.transfers.asked.get(&job).copied().unwrap_or(from);
        let next = if more { from + (from / 4).max(1) } else { from - (from / 5).max(1).min(from) };
        let (cap, held) = model.rules.lanes(cap);
        let next = next.clamp(1, cap);
        model.transfers.asked.insert(job, next);
        said.push(if next == from {
            let why = match (more, held) {
                (true, true) => "the most that this machine's config allows",
                (true, false) => "its cap",
                (false, _) => "its least",
            };
            format!("job {job} stays at {next}, {why}")
        } else {
            format!("job {job}: lanes {from} → {next}, pinned (a gives them back)")
        });
        out.push(engine(Command::Lanes(job, Lanes::Pinned(next))));
    }
    model.say(now, said.join(" · "));
    out
}

/// Back to the window.
pub fn auto(model: &mut Model, now: Now) -> Vec<Effect> {
    let jobs: Vec<JobId> = chosen(model).iter().filter(|j| j.state.is_active()).map(|j| j.job).collect();
    model.transfers.asked.retain(|job, _| !jobs.contains(job));
    model.say(now, "lanes are automatic again");
    jobs.into_iter().map(|job| engine(Command::Lanes(job, Lanes::Auto))).collect()
}

/// The budget, typed.
pub fn memory(model: &mut Model, _: Now) -> Vec<Effect> {
    let Some(status) = model.status.as_ref() else { return Vec::new() };
    let (limit, floor) = (status.budget.limit, status.budget.floor);
    model.overlays.push(Overlay::Ask(ask::State {
        title: "Memory budget of the engine".to_owned(),
        help: format!("now {limit}, {} of it held; at least {floor} with these jobs", status.budget.used),
        text: format!("{}MiB", limit.0 / (1024 * 1024)),
        error: None,
        then: |model, text, _| {
            let bytes = parse_bytes(text)?;
            let floor = model.status.as_ref().map_or(Bytes::ZERO, |s| s.budget.floor);
            if bytes < floor {
                return Err(format!("the jobs that run need at least {floor}; pause one (p) to go lower"));
            }
            Ok(vec![engine(Command::Memory(model.rules.check_budget(bytes)?))])
        },
    }));
    Vec::new()
}

/// Bytes a second, typed: a rate, or a week's schedule.
pub fn bandwidth(model: &mut Model, _: Now) -> Vec<Effect> {
    let jobs: Vec<&JobStatus> = chosen(model).into_iter().filter(|job| !job.state.is_over()).collect();
    let Some(first) = jobs.first() else { return Vec::new() };
    let now = first.bandwidth.as_ref().map_or_else(|| "unlimited".to_owned(), ToString::to_string);
    let names: Vec<String> = jobs.iter().map(|job| job.job.to_string()).collect();
    model.overlays.push(Overlay::Ask(ask::State {
        title: format!("Bytes a second of job {}", names.join(", ")),
        help: "200MiB/s, unlimited, or Mon-Fri 08:00-18:00 50MiB/s; else unlimited".to_owned(),
        text: now,
        error: None,
        then: |model, text, _| {
            let limit: Bandwidth = text.parse()?;
            let jobs = chosen(model).into_iter().filter(|job| !job.state.is_over());
            Ok(jobs.map(|job| engine(Command::Bandwidth(Some(job.job), Some(limit.clone())))).collect())
        },
    }));
    Vec::new()
}

/// Pauses what runs; when nothing of it does, resumes what can.
pub fn pause(model: &mut Model, now: Now) -> Vec<Effect> {
    let ids = |right: fn(&JobStatus) -> bool| -> Vec<JobId> {
        chosen(model).iter().filter(|job| right(job)).map(|job| job.job).collect()
    };
    let running = ids(|job| can_pause(job.state));
    let (jobs, verb, command): (_, _, fn(JobId) -> Command) = if running.is_empty() {
        (ids(|job| job.state.is_resumable()), "resuming", Command::Resume)
    } else {
        (running, "pausing", Command::Pause)
    };
    let names: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    model.say(now, format!("{verb} {}", names.join(", ")));
    jobs.into_iter().map(|job| engine(command(job))).collect()
}

/// Keep or clean up? Cleaning up takes the job's number, typed.
pub fn cancel(model: &mut Model, now: Now) -> Vec<Effect> {
    let jobs: Vec<&JobStatus> = chosen(model).into_iter().filter(|job| !job.state.is_over()).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.job).collect();
    let mut lines: Vec<String> = jobs
        .iter()
        .map(|job| {
            let to: Vec<&str> = job.destinations.iter().map(|d| d.address.as_str()).collect();
            format!(
                "{}: {} of {} blocks, {} spent → {}",
                job.job,
                job.blocks_done,
                job.blocks_total.value,
                job.spent,
                to.join(", ")
            )
        })
        .collect();
    lines.push(String::new());
    lines.push("Kept: it can be resumed while its pending snapshot lives.".to_owned());
    lines.push("Cleaned up: pending snapshots are deleted, partial files removed; the money is spent.".to_owned());
    model.transfers.cancelling = ids;
    model.overlays.push(Overlay::Confirm(confirm::State {
        title: format!("Cancel job {}?", numbers(&model.transfers.cancelling)),
        lines,
        accept: confirm::Accept::Key('k'),
        gate: Gate::opened(now),
        others: vec![('c', "cancels and cleans up (asks for the number)", clean_up)],
        then: |model, _| left(model, LeftOvers::Keep),
    }));
    Vec::new()
}

fn numbers(jobs: &[JobId]) -> String {
    jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn clean_up(model: &mut Model, now: Now) -> Vec<Effect> {
    let wanted = numbers(&model.transfers.cancelling);
    model.overlays.push(Overlay::Confirm(confirm::State {
        title: format!("Cancel job {wanted} and clean up?"),
        lines: vec!["What was written so far would be removed. It cannot be resumed then.".to_owned()],
        accept: confirm::Accept::Typed { wanted, typed: String::new() },
        gate: Gate::opened(now),
        others: Vec::new(),
        then: |model, _| left(model, LeftOvers::CleanUp),
    }));
    Vec::new()
}

fn left(model: &mut Model, what: LeftOvers) -> Vec<Effect> {
    std::mem::take(&mut model.transfers.cancelling).into_iter().map(|job| engine(Command::Cancel(job, what))).collect()
}

/// Copies the command that compares.
pub fn verify(model: &mut Model, now: Now) -> Vec<Effect> {
    let Some(job) = selected(model) else { return Vec::new() };
    let Some(to) = job.destinations.first() else { return Vec::new() };
    let command = format!("floe verify {} {}", job.source, to.address);
    model.say(now, format!("copied: {command}"));
    vec![Effect::Copy(command)]
}

/// Holds the picture, or lets it go.
pub fn freeze(model: &mut Model, _: Now) -> Vec<Effect> {
    model.transfers.frozen = match model.transfers.frozen.take() {
        Some(_) => None,
        None => model.status.clone(),
    };
    Vec::new()
}

/// Moves queued jobs; the block of them keeps its own order.
pub fn reorder(model: &mut Model, by: i32) -> Vec<Effect> {
    let mut jobs: Vec<JobId> =
        chosen(model).iter().filter(|job| job.state == JobState::Queued).map(|job| job.job).collect();
    if by > 0 {
        jobs.reverse();
    }
    jobs.into_iter().map(|job| engine(Command::Reorder(job, by))).collect()
}

/// Marks and goes on, as in every list.
pub fn mark(model: &mut Model, _: Now) -> Vec<Effect> {
    if let Some(job) = selected(model).map(|job| job.job) {
        let marks = &mut model.transfers.marks;
        if !marks.remove(&job) {
            marks.insert(job);
        }
    }
    super::step(model, 1)
}

/// Opens the job; there, goes back.
pub fn open(model: &mut Model, _: Now) -> Vec<Effect> {
    use crate::tui::screen::Screen;
    if model.screen == Screen::Job {
        model.go_back();
    } else {
        model.job.segment = 0;
        model.go(Screen::Job);
    }
    Vec::new()
}

/// Rows of jobs here, of segments on the job screen.
pub fn move_by(model: &mut Model, by: isize) -> Vec<Effect> {
    use crate::tui::screen::Screen;
    if model.screen == Screen::Job {
        crate::tui::screen::job::step(model, by);
        return Vec::new();
    }
    super::step(model, by)
}

/// Closes the graph, unfreezes, else goes back.
pub fn back(model: &mut Model, _: Now) -> Vec<Effect> {
    if std::mem::take(&mut model.transfers.graph) || model.transfers.frozen.take().is_some() {
        return Vec::new();
    }
    model.go_back();
    Vec::new()
}

/// What the engine made of a command.
pub(super) fn answered(model: &mut Model, command: &Command, result: &Result<Answer>, now: Now) {
    if let Command::Lanes(job, _) = command
        && !matches!(result, Ok(Answer::Effective { why: None, .. }))
    {
        model.transfers.asked.remove(job);
    }
    match (command, result) {
        // Its plan screen tells of these.
        (Command::Run { .. }, _) => {}
        (Command::Memory(_), Ok(Answer::Effective { value, why })) => {
            let why = why.as_ref().map(|w| format!(": {w}")).unwrap_or_default();
            model.say(now, format!("the budget is {} now{why}", Bytes(*value)));
        }
        (Command::Lanes(job, _), Ok(Answer::Effective { value, why: Some(why) })) => {
            model.say(now, format!("job {job} has {value} lanes: {why}"));
        }
        (Command::Cancel(job, what), Ok(_)) => {
            let rest = if *what == LeftOvers::Keep { "what was written is kept" } else { "what it wrote is removed" };
            model.say(now, format!("job {job} cancelled: {rest}"));
        }
        (_, Ok(_)) => {}
        (_, Err(error)) => model.trouble(now, error.clone()),
    }
}
