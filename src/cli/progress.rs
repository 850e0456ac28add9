//! Progress on stderr: drawn over itself on a terminal, a plain line now and then otherwise, nothing with `-q`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::say::{self, Say};
use crate::engine::protocol::{Cause, JobState, JobStatus};
use crate::engine::{Contact, Silence, what_ends_it};
use crate::ids::JobId;
use crate::plan::span;

/// How often a plain line is written where nothing can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// One changing line.
#[derive(Debug)]
pub struct Line {
    bar: Option<ProgressBar>,
    quiet: bool,
    last: Instant,
}

impl Line {
    /// A line that is not shown yet.
    #[must_use]
    pub fn new(say: Say) -> Self {
        let bar = say.can_draw().then(|| {
            let bar = ProgressBar::new_spinner().with_style(style("{spinner} {msg}"));
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar
        });
        Self { bar, quiet: say.quiet, last: Instant::now() }
    }

    /// Shows `text`; without a terminal at most once in ten seconds.
    pub fn show(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(say::clean(text));
                bar.tick();
            }
            None if !self.quiet && self.last.elapsed() >= LINE_EVERY => {
                self.last = Instant::now();
                say::stderr(text);
            }
            None => {}
        }
    }

    /// Takes it away, so that the result stands alone.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The bars, or lines, of jobs that run.
#[derive(Debug)]
pub struct Jobs {
    say: Say,
    bars: Option<MultiProgress>,
    shown: BTreeMap<JobId, Shown>,
    /// Since the engine is silent: when that was said last.
    silent: Option<Instant>,
}

#[derive(Debug)]
struct Shown {
    bar: Option<ProgressBar>,
    state: Option<JobState>,
    why: String,
    last: Instant,
    /// Whether it was said that it stands still, and why.
    stalled: Option<Cause>,
    /// The last change of a setting that was said.
    turned: Option<jiff::Timestamp>,
}

impl Jobs {
    /// Nothing is shown yet.
    #[must_use]
    pub fn new(say: Say) -> Self {
        let bars = say.can_draw().then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { say, bars, shown: BTreeMap::new(), silent: None }
    }

    /// Says that the engine does not answer, in the place of figures that are not those of now (they were taken `at`), and
    /// when it answers again. Whether figures may be shown.
    pub fn contact(&mut self, contact: Contact, at: jiff::Timestamp) -> bool {
        match (contact, self.silent) {
            (Contact::Silent(silence), before) => {
                self.hush(&silence, before, at);
                false
            }
            (Contact::Answers, Some(_)) => {
                self.silent = None;
                self.say("the engine answers again");
                true
            }
            (Contact::Answers | Contact::Gone { .. }, _) => true,
        }
    }

    fn hush(&mut self, silence: &Silence, before: Option<Instant>, at: jiff::Timestamp) {
        let waiting = match silence.waiting {
            0 => String::new(),
            1 => " · 1 command waits for it".to_owned(),
            n => format!(" · {n} commands wait for it"),
        };
        let said = silence.said(tokio::time::Instant::now());
        let text = format!("{said} · figures of {} UTC{waiting}", at.strftime("%H:%M:%S"));
        for bar in self.shown.values().filter_map(|shown| shown.bar.as_ref()) {
            bar.set_message(say::clean(&text));
        }
        let due = before.is_none_or(|said| self.bars.is_none() && !self.say.quiet && said.elapsed() >= LINE_EVERY);
        if due {
            self.say(&format!("warning: {text}"));
            self.silent = Some(Instant::now());
        }
        if before.is_none() {
            self.say(&format!("  → {}", what_ends_it(silence.pid)));
        }
    }

    /// Shows a job as it is now. Changes of state are said even where bars are drawn.
    pub fn show(&mut self, job: &JobStatus) {
        let bars = &self.bars;
        let shown = self.shown.entry(job.job).or_insert_with(|| Shown {
            bar: bars.as_ref().map(|bars| bars.add(ProgressBar::new(0).with_style(style(BAR)))),
            state: None,
            why: String::new(),
            last: Instant::now(),
            stalled: None,
            turned: job.turned.first().map(|turned| turned.at),
        });
        let turned = shown.state != Some(job.state);
        let stalled = job.stall.as_ref().map(|stall| stall.cause);
        let stall = shown.stalled != stalled && job.state == JobState::Running;
        shown.stalled = stalled;
        let by_others = job.turned.first().filter(|turned| shown.turned.is_none_or(|last| last < turned.at));
        if let Some(turned) = by_others {
            shown.turned = Some(turned.at);
        }
        let troubled = job.state == JobState::Waiting && shown.why != job.why;
        shown.state = Some(job.state);
        job.why.clone_into(&mut shown.why);
        match &shown.bar {
            Some(bar) => {
                bar.set_length(job.blocks_total.value.0);
                bar.set_position(job.blocks_done.0);
                bar.set_prefix(format!("job {}", job.job));
                bar.set_message(say::clean(&message(job)));
                if job.state.is_over() || job.state.is_resumable() && job.state != JobState::Waiting {
                    bar.abandon();
                }
            }
            None if turned || stall || shown.last.elapsed() >= LINE_EVERY => {
                shown.last = Instant::now();
                self.say.note(&line(job));
            }
            None => {}
        }
        if let Some(turned) = by_others {
            self.remark(&format!("job {}: {turned}", job.job));
        }
        if troubled || (turned && job.state == JobState::Waiting) {
            self.trouble(job);
        }
    }

    /// A waiting job's reason, above the bars.
    fn trouble(&self, job: &JobStatus) {
        let Some(error) = &job.error else { return };
        let text = format!("job {} waits: {error}", job.job);
        match &self.bars {
            Some(bars) => drop(bars.println(say::for_stderr(&text))),
            None => self.say.warn(&text),
        }
        error.todo.iter().for_each(|todo| self.say(&format!("  → {todo}")));
    }

    /// One line above the bars, or on stderr unless it is to be quiet.
    fn remark(&self, text: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(say::for_stderr(text))),
            None => self.say.note(text),
        }
    }

    /// One line above the bars, or on stderr.
    pub fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(say::for_stderr(text))),
            None => say::stderr(text),
        }
    }

    /// Leaves the bars as they are and ends drawing.
    pub fn end(&self) {
        for bar in self.shown.values().filter_map(|shown| shown.bar.as_ref()) {
            bar.abandon();
        }
    }
}

const BAR: &str = "{prefix} {bar:24} {percent:>3} % {msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("█▌·")
}

fn message(job: &JobStatus) -> String {
    match (job.state, &job.stall) {
        (state, Some(stall)) => {
            let of = format!("{} of {} blocks", job.blocks_done, job.blocks_total);
            let state = if state == JobState::Running { String::new() } else { format!("{} · ", state.word()) };
            format!("{state}{of} · {}: {}", stall.word, stall.text)
        }
        (JobState::Running, None) => {
            let left = job.left_seconds.map_or_else(String::new, |(low, high)| format!(" · {} left", span(low, high)));
            format!("{} of {} blocks · {} · {} lanes{left}", job.blocks_done, job.blocks_total, job.rate, job.lanes.now)
        }
        (state, None) => match job.shown_why() {
            why if why.is_empty() => state.word().to_owned(),
            why => format!("{} · {why}", state.word()),
        },
    }
}

fn line(job: &JobStatus) -> String {
    format!(
        "job {} {}",
        job.job,
        match job.state {
            JobState::Running => format!("running · {}", message(job)),
            _ => message(job),
        }
    )
}
