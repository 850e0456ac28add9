//! The list of jobs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{ordered, shown};
use crate::engine::protocol::{JobState, JobStatus, Stall, Status};
use crate::plan::clock;
use crate::tui::clock::Now;
use crate::tui::model::Model;
use crate::tui::text::{left, right, tail, width};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::{gauge, line, panel, sums};

/// Rows of jobs at most before the list scrolls: the rest of the screen explains one of them.
const ROWS: usize = 8;

/// Lines that the panel takes.
pub fn height(status: &Status, area: Rect) -> u16 {
    let rows = status.jobs.len().clamp(1, ROWS);
    u16::try_from(rows + 3).unwrap_or(u16::MAX).min((area.height * 2 / 5).max(5)).min(area.height)
}

/// The first row that is drawn, so that the cursor is.
pub fn first_row(model: &Model, status: &Status, area: Rect) -> usize {
    let rows = usize::from(height(status, area).saturating_sub(3)).max(1);
    let at = ordered(status).iter().position(|job| Some(job.job) == model.transfers.cursor).unwrap_or(0);
    (at + 1).saturating_sub(rows)
}

/// `2 running · 1 queued · 1 waiting`.
pub fn summary(status: &Status) -> String {
    type Kind = (&'static str, fn(JobState) -> bool);
    const WORDS: [Kind; 6] = [
        ("running", |s| {
            matches!(s, JobState::Starting | JobState::Running | JobState::Completing | JobState::Verifying)
        }),
        ("queued", |s| matches!(s, JobState::Queued)),
        ("waiting", |s| matches!(s, JobState::Waiting)),
        ("paused", |s| matches!(s, JobState::Paused)),
        ("need you", |s| matches!(s, JobState::Failed | JobState::Partial | JobState::Interrupted)),
        ("over", JobState::is_over),
    ];
    let parts: Vec<String> = WORDS
        .iter()
        .map(|(word, is)| (word, status.jobs.iter().filter(|job| is(job.state)).count()))
        .filter(|(_, n)| *n > 0)
        .map(|(word, n)| format!("{n} {word}"))
        .collect();
    parts.join(" · ")
}

/// Glyph, word and colour of a state.
pub fn state(job: &JobStatus) -> (&'static str, &'static str, Role) {
    match job.state {
        JobState::Running => ("●", "running", Role::Good),
        JobState::Starting => ("◐", "starting", Role::Fresh),
        JobState::Completing => ("◐", "completing", Role::Fresh),
        JobState::Verifying => ("◐", "verifying", Role::Fresh),
        JobState::Queued => ("◌", "queued", Role::Dim),
        JobState::Waiting => ("◍", "waiting", Role::Warn),
        JobState::Paused => ("◍", "paused", Role::Warn),
        JobState::Done if proved(job) => ("✓", "proved", Role::Good),
        JobState::Done => ("✓", "done", Role::Good),
        JobState::Partial => ("✗", "partial", Role::Bad),
        JobState::Failed => ("✗", "failed", Role::Bad),
        JobState::Interrupted => ("!", "interrupted", Role::Bad),
        JobState::Cancelled => ("·", "cancelled", Role::Dim),
    }
}

fn proved(job: &JobStatus) -> bool {
    use crate::engine::protocol::Evidence;
    !job.destinations.is_empty() && job.destinations.iter().all(|d| d.evidence == Evidence::ReRead)
}

/// `…d2f48 → eu-west-1:`: ids by their tails, names where there is room.
pub fn what(job: &JobStatus, room: usize) -> String {
    let to = match job.destinations.as_slice() {
        [] => "?".to_owned(),
        [one] => place(&one.address),
        many => format!("{} places", many.len()),
    };
    let source = match job.source.rsplit_once("snap-") {
        Some((_, id)) if id.len() > 5 => format!("…{}", &id[id.len() - 5..]),
        _ => tail(&job.source, 14),
    };
    let plain = format!("{source} → {to}");
    match &job.name {
        Some(name) if width(&plain) + width(name) < room => format!("{name} {plain}"),
        _ => plain,
    }
}

/// Where something goes, without profile and id: `eu-west-1:`, `web.img`.
fn place(address: &str) -> String {
    let rest = address.split_once('@').map_or(address, |(_, rest)| rest);
    match rest.split_once(":snap-") {
        Some((region, _)) => format!("{region}:"),
        None => tail(rest, 22),
    }
}

/// What stands in the why-column: why it does not get on, or until when what it has begun can go on.
fn why(job: &JobStatus, now: Now) -> String {
    match job.expires.filter(|_| job.state == JobState::Paused) {
        Some(expires) => format!("dies in {}", clock(until(expires, now))),
        None if job.state == JobState::Paused => String::new(),
        None => job.shown_why().into_owned(),
    }
}

/// Seconds until then.
#[expect(clippy::cast_precision_loss, reason = "hours")]
pub fn until(then: jiff::Timestamp, now: Now) -> f64 {
    then.duration_since(now.wall).as_secs().max(0) as f64
}

/// What stands in place of rate and time left where both say nothing: how long nothing has moved and, where there is no
/// column for it, why.
fn in_place_of_rate(job: &JobStatus, has_why: bool, room: usize, now: Now) -> Option<String> {
    let still = job.stall.as_ref().and_then(Stall::still);
    if has_why {
        return still;
    }
    let seconds = job.stall.as_ref().map_or(0.0, |stall| stall.seconds);
    let why = why(job, now);
    let quiet = job.state.is_active() || job.state == JobState::Paused;
    let both = if seconds >= 1.0 { format!("{why} {}", clock(seconds)) } else { why.clone() };
    (quiet && job.rate.0 <= 0.0 && !why.is_empty()).then_some(if width(&both) <= room { both } else { why })
}

/// Draws the panel.
pub fn view(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let Some(status) = shown(model) else { return };
    let inner = panel("Transfers", &summary(status), true, area, buf, theme);
    if inner.width < 4 || inner.height == 0 {
        return;
    }
    let columns = Columns::of(usize::from(inner.width));
    line(inner.x, inner.y, &columns.heading(theme), inner, buf);
    if status.jobs.is_empty() {
        let text = "  nothing runs: c on a snapshot plans a copy";
        line(inner.x, inner.y + 1, &Line::styled(text, theme.style(Role::Dim)), inner, buf);
        return;
    }
    let jobs = ordered(status);
    let tenths = rates(&jobs);
    let first = first_row(model, status, area);
    for (row, n) in (1..inner.height).zip(first..jobs.len()) {
        let drawn = columns.row(model, jobs[n], &tenths[n], theme, now);
        line(inner.x, inner.y + row, &drawn, inner, buf);
    }
}

/// Rates as they are shown, adding up to the total as the header shows it.
fn rates(jobs: &[&JobStatus]) -> Vec<String> {
    let tenths: Vec<f64> = jobs.iter().map(|job| job.rate.as_tenths()).collect();
    let whole = tenths.iter().sum::<f64>() >= 99.5;
    let scaled: Vec<f64> = tenths.iter().map(|t| if whole { t / 10.0 } else { *t }).collect();
    sums::apportioned(&scaled)
        .into_iter()
        .zip(&tenths)
        .map(|(n, raw)| match (whole, *raw <= 0.0) {
            (_, true) => "–".to_owned(),
            (true, _) => format!("{n} MiB/s"),
            (false, _) => format!("{}.{} MiB/s", n / 10, n % 10),
        })
        .collect()
}

/// `5 h 33 m`, `1 m 04 s`, `after 14`: what is left, or what it took.
pub fn left_text(job: &JobStatus) -> String {
    match (job.state, job.left_seconds) {
        (JobState::Done | JobState::Cancelled, _) => clock(job.elapsed_seconds),
        (_, Some((_, high))) => clock(high),
        (JobState::Queued, None) => "–".to_owned(),
        _ => "?".to_owned(),
    }
}

/// How wide each column is.
struct Columns {
    what: usize,
    bar: usize,
    rate: usize,
    left: usize,
    usd: usize,
    why: usize,
}

impl Columns {
    /// State 12, number 6, percent 6 and gaps are always there.
    fn of(width: usize) -> Self {
        let (rate, left, usd) = (11, 10, 9);
        let fixed = 6 + 12 + 6 + rate + left + 1;
        let room = width.saturating_sub(fixed);
        let usd = if room >= usd + 16 { usd } else { 0 };
        let room = room - usd;
        let why = if room >= 46 { 18 } else { 0 };
        let room = room - why;
        let bar = if room >= 30 { 11 } else { 0 };
        Self { what: room - bar, bar, rate, left, usd, why }
    }

    fn heading(&self, theme: &Theme) -> Line<'static> {
        let mut text = format!("   {:>2} {:<12}{}", "#", "STATE", left("WHAT", self.what));
        text.push_str(&left("DONE", self.bar));
        text.push_str(&format!("{:>5} {:>11}{:>10}", if self.bar == 0 { "DONE" } else { "" }, "RATE", "LEFT"));
        if self.usd > 0 {
            text.push_str(&right("USD", self.usd));
        }
        if self.why > 0 {
            text.push_str("  WHY");
        }
        Line::styled(text, theme.style(Role::Title))
    }

    fn row(&self, model: &Model, job: &JobStatus, rate: &str, theme: &Theme, now: Now) -> Line<'static> {
        let cursor = model.transfers.cursor == Some(job.job);
        let marked = model.transfers.marks.contains(&job.job);
        let (glyph, word, role) = state(job);
        let quiet = model.quiet.filter(|_| job.state.is_active() || job.state == JobState::Queued);
        let held_up = (job.stall.is_some() && job.state.is_active()) || quiet.is_some();
        let role = if held_up { Role::Warn } else { role };
        let needs_you = matches!(role, Role::Warn | Role::Bad);
        let over = job.state.is_over();
        let base = match (marked, over) {
            (true, _) => Role::Marked,
            (_, true) => Role::Dim,
            _ => Role::Text,
        };
        let styled = |text: String, role: Role| Span::styled(text, theme.style(role));
        let mark = match (cursor, marked, needs_you) {
            (true, true, _) => "▶✓",
            (true, ..) => "▶ ",
            (_, true, _) => " ✓",
            (.., true) => " !",
            _ => "  ",
        };
        let mut spans = vec![
            styled(mark.to_owned(), if cursor { Role::Accent } else { role }),
            styled(format!("{:>3} ", job.job.to_string()), if cursor { Role::Title } else { base }),
            styled(left(&format!("{glyph} {word}"), 12), role),
            styled(left(&what(job, self.what.saturating_sub(1)), self.what), base),
        ];
        let (done, total) = (job.blocks_done.0, job.blocks_total.value.0);
        if self.bar > 0 {
            let share = if job.state == JobState::Done { 1.0 } else { gauge::share(done, total).min(0.999) };
            spans.extend(gauge::bar(theme, share, self.bar - 1, if needs_you { Role::Warn } else { Role::Gauge }));
            spans.push(Span::raw(" "));
        }
        let percent = match job.state {
            JobState::Done => "done".to_owned(),
            _ => gauge::percent(done, total, false),
        };
        spans.push(styled(right(&percent, 5), base));
        spans.push(Span::raw(" "));
        let instead = match quiet {
            // What it did when it spoke last is no rate of now.
            Some(quiet) => Some(if self.why > 0 { "–".to_owned() } else { quiet.short(now) }),
            None => in_place_of_rate(job, self.why > 0, self.rate + self.left, now),
        };
        match instead {
            Some(text) => spans.push(styled(right(&text, self.rate + self.left), role)),
            None => {
                spans.push(styled(right(rate, self.rate), base));
                spans.push(styled(right(&left_text(job), self.left), base));
            }
        }
        if self.usd > 0 {
            spans.push(styled(right(&job.spent.to_string().replace('$', ""), self.usd), base));
        }
        if self.why > 0 {
            spans.push(styled(
                format!("  {}", left(&quiet.map_or_else(|| why(job, now), |quiet| quiet.short(now)), self.why - 2)),
                if needs_you { role } else { Role::Dim },
            ));
        }
        Line::from(spans)
    }
}
