//! The engine panel: eight gauges of one job and of the process that moves it, each with its why.
//!
//! While a job runs they stand beside what was predicted; when it is over, the same panel is the comparison
//! of what was said with what was measured.

use std::cmp::Ordering;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::engine::protocol::{Dial, JobState, JobStatus, LaneReason, Lanes, Status, Turned};
use crate::plan::{clock, span as time_span};
use crate::tui::text::{clip, left, width, words as clip_words};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::{gauge, line, panel, spark};
use crate::units::Bytes;

/// One line of the panel.
struct Gauge {
    label: &'static str,
    share: Option<f64>,
    fill: Role,
    text: String,
    history: Vec<f32>,
    /// Sentences below it, when there is room.
    why: Vec<String>,
    /// What goes last when lines are short.
    worth: u8,
}

impl Gauge {
    fn new(label: &'static str, share: Option<f64>, text: String, worth: u8) -> Self {
        Self { label, share, fill: Role::Gauge, text, history: Vec::new(), why: Vec::new(), worth }
    }
}

/// Draws the panel; `job` is the one under the cursor.
pub fn view(status: &Status, job: &JobStatus, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 3 || area.width < 12 {
        return;
    }
    let over = job.state.is_over();
    let title = if over { "Said and measured" } else { "Engine" };
    let inner = panel(title, "", false, area, buf, theme);
    let gauges = if over { measured(job) } else { live(status, job) };
    let two = inner.width >= 70;
    let columns: u16 = if two { 2 } else { 1 };
    let width = inner.width / columns;
    let lines = usize::from(inner.height);
    let mut kept: Vec<&Gauge> = gauges.iter().collect();
    kept.sort_by_key(|g| std::cmp::Reverse(g.worth));
    kept.truncate(lines * usize::from(columns));
    kept.sort_by_key(|g| gauges.iter().position(|other| std::ptr::eq(other, *g)));
    let spare = (lines * usize::from(columns)).saturating_sub(kept.len());
    let rows = rows(&kept, spare, usize::from(width.saturating_sub(2)), theme);
    for (n, row) in rows.iter().enumerate().take(lines * usize::from(columns)) {
        let (column, y) = (n / lines, n % lines);
        let to_u16 = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let at = Rect { x: inner.x + to_u16(column) * width, width, ..inner };
        line(at.x + 1, at.y + to_u16(y), row, at, buf);
    }
}

fn rows(gauges: &[&Gauge], mut spare: usize, room: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    for gauge in gauges {
        out.push(row(gauge, room, theme));
        for why in gauge.why.iter().flat_map(|why| wrapped(why, room.saturating_sub(9))) {
            if spare == 0 {
                break;
            }
            spare -= 1;
            out.push(Line::from(vec![Span::raw(" ".repeat(9)), Span::styled(why, theme.style(Role::Dim))]));
        }
    }
    out
}

fn row(gauge: &Gauge, room: usize, theme: &Theme) -> Line<'static> {
    let bar = if room >= 42 {
        10
    } else if room >= 30 {
        6
    } else {
        0
    };
    let mut spans = vec![Span::styled(left(gauge.label, 9), theme.style(Role::Title))];
    let mut used = 9;
    if bar > 0
        && let Some(share) = gauge.share
    {
        spans.extend(gauge::bar(theme, share, bar, gauge.fill));
        spans.push(Span::raw(" "));
        used += bar + 1;
    }
    let text = clip_parts(&gauge.text, room.saturating_sub(used));
    used += width(&text);
    spans.push(Span::styled(text, theme.style(if gauge.fill == Role::Gauge { Role::Text } else { gauge.fill })));
    let rest = room.saturating_sub(used + 1);
    if rest >= 4 && !gauge.history.is_empty() {
        let cells = rest.min(10);
        spans.push(Span::raw(" ".repeat(rest + 1 - cells)));
        spans.push(spark::spark(theme, &gauge.history, cells, Role::Accent));
    }
    Line::from(spans)
}

/// Leaves out whole parts (` · `) from the end until the rest fits; a single part is cut with an ellipsis.
pub fn clip_parts(text: &str, room: usize) -> String {
    let mut rest = text;
    while width(rest) > room {
        match rest.rsplit_once(" · ") {
            Some((shorter, _)) => rest = shorter,
            None => return clip_words(rest, room),
        }
    }
    rest.to_owned()
}

/// Breaks at spaces; a word that is too long is cut with an ellipsis.
pub fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match out.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => out.push(clip(word, room)),
        }
    }
    out
}

fn live(status: &Status, job: &JobStatus) -> Vec<Gauge> {
    let highest = job.rate_history.iter().copied().fold(0.0f32, f32::max);
    let share = if highest > 0.0 { (job.rate.0 / f64::from(highest)).min(0.999) } else { 0.0 };
    let limit = job.bandwidth.as_ref().or(status.bandwidth.as_ref());
    let limit = limit.map(|limit| format!(" · limit {limit}")).unwrap_or_default();
    let mut rate = Gauge::new("RATE", Some(share), format!("{}{limit}", job.rate), 9);
    rate.history.clone_from(&job.rate_history);
    rate.why = turned_last(job, Dial::Bandwidth);

    let budget = &status.budget;
    let mut memory = Gauge::new(
        "MEMORY",
        Some(gauge::share(budget.used.0, budget.limit.0)),
        format!("{}/{} MiB of all", mib(budget.used), mib(budget.limit)),
        7,
    );
    memory.history.clone_from(&budget.history);
    memory.why = turned_last(job, Dial::Memory);

    let machine = &status.machine;
    let (used, total, name) = match machine.cgroup {
        Some((used, total)) => (used, total, "CGROUP"),
        None => (machine.machine_used, machine.machine_total, "MACHINE"),
    };
    // The process is that of all jobs, and so is what was said of it.
    let said = status.said();
    let embedded = status.jobs.iter().any(|job| job.embedded);
    let text = match said {
        Some(said) if embedded => format!("{} MiB with the sandbox · said ≤ {}", mib(machine.rss), mib(said.total())),
        Some(said) if said.jobs > 1 => format!("{} MiB · all said ≤ {}", mib(machine.rss), mib(said.total())),
        Some(said) => format!("{} MiB · said ≤ {}", mib(machine.rss), mib(said.total())),
        None => format!("{} MiB · peak {}", mib(machine.rss), mib(machine.rss_peak)),
    };
    let mut process = Gauge::new("PROCESS", Some(gauge::share(machine.rss.0, total.0)), text, 3);
    if !embedded && said.is_some_and(|said| machine.rss > said.total().max(machine.said_most)) {
        process.fill = Role::Warn;
    }
    let machine = Gauge::new(
        name,
        Some(gauge::share(used.0, total.0)),
        format!(
            "{:.1}/{:.1} GiB · CPU {:.0} %",
            used.as_gib(),
            total.as_gib(),
            f64::from(machine.cpu_percent) / f64::from(machine.cores.max(1))
        ),
        2,
    );
    vec![rate, lanes(job), memory, process, machine, money(job), time(job), errors(job)]
}

fn lanes(job: &JobStatus) -> Gauge {
    let lanes = &job.lanes;
    let setting = match lanes.setting {
        Lanes::Auto => "auto".to_owned(),
        Lanes::Pinned(n) => format!("pinned at {n}"),
        Lanes::AtMost(n) => format!("at most {n}"),
    };
    let text = format!("{} of cap {} · {setting}", lanes.now, lanes.cap);
    let mut gauge = Gauge::new("LANES", Some(gauge::share(u64::from(lanes.now), u64::from(lanes.cap))), text, 8);
    gauge.fill = match lanes.reason {
        LaneReason::Congestion
        | LaneReason::SnapshotThrottle
        | LaneReason::AccountThrottle
        | LaneReason::KmsThrottle => Role::Warn,
        _ => Role::Gauge,
    };
    let since = lanes.changed.map(|at| format!("since {}: ", at.strftime("%H:%M"))).unwrap_or_default();
    gauge.why = vec![format!("{since}{}", lanes.why)];
    gauge.why.extend(turned_last(job, Dial::Lanes));
    gauge
}

/// `last turned 09:14 by ops at pts/3: lanes of job 14 to 64`.
pub fn turned(turned: &Turned) -> String {
    format!("last turned {} by {}: {}", turned.at.strftime("%H:%M"), turned.who, turned.what)
}

/// Who turned that setting of this job last.
fn turned_last(job: &JobStatus, dial: Dial) -> Vec<String> {
    job.turned.iter().filter(|turned| turned.setting == dial).take(1).map(self::turned).collect()
}

fn money(job: &JobStatus) -> Gauge {
    let said = job.predicted.cost;
    let share = (said.0 > 0.0).then(|| (job.spent.0 / said.0).min(0.999));
    let text = if said.0 > 0.0 { format!("{} · said {said}", job.spent) } else { job.spent.to_string() };
    let mut gauge = Gauge::new("MONEY", share, text, 5);
    if said.0 > 0.0 && job.spent.0 > said.0 {
        gauge.fill = Role::Warn;
    }
    gauge
}

fn time(job: &JobStatus) -> Gauge {
    let said = (job.predicted.seconds_low, job.predicted.seconds_high);
    match job.left_seconds {
        Some((low, high)) => {
            let whole = job.elapsed_seconds + high;
            let share = if whole > 0.0 { (job.elapsed_seconds / whole).min(0.999) } else { 0.0 };
            let before = (said.0 - job.elapsed_seconds).max(0.0);
            let text = if said.1 > 0.0 {
                format!("{} · said {}", clock(high), clock(before))
            } else {
                format!("{} left", time_span(low, high))
            };
            Gauge::new("TIME", Some(share), text, 6)
        }
        None => {
            let why = if job.state == JobState::Queued {
                "not begun".to_owned()
            } else {
                format!("{} so far", clock(job.elapsed_seconds))
            };
            Gauge::new("TIME", Some(0.0), why, 6)
        }
    }
}

fn errors(job: &JobStatus) -> Gauge {
    let t = &job.troubles;
    let mut text = format!("{} retried · {} throttles", t.retries, t.throttles());
    if t.timeouts > 0 {
        text.push_str(&format!(" · {} timeouts", t.timeouts));
    }
    if t.corrupt > 0 {
        text.push_str(&format!(" · {} corrupt, read again", t.corrupt));
    }
    Gauge::new("ERRORS", None, text, 4)
}

/// What was said beside what it became.
fn measured(job: &JobStatus) -> Vec<Gauge> {
    let (said, memory) = (&job.predicted, job.said_of_peak());
    // What the embedded AWS takes in the same process was not said.
    let fits = job.embedded || job.peak_rss <= memory;
    let (peak, memory) = (mib(job.peak_rss), mib(memory));
    let text = match (job.embedded, job.said_at_peak) {
        (true, _) => format!("{peak} MiB with the sandbox · said ≤ {memory}"),
        (false, Some(_)) => format!("{peak} MiB at the peak · said ≤ {memory} {} · several jobs", verdict(fits)),
        (false, None) => format!("{peak} MiB at the peak · said ≤ {memory} {}", verdict(fits)),
    };
    let mut memory = Gauge::new("MEMORY", None, text, 9);
    let mut money = Gauge::new(
        "MONEY",
        None,
        format!("{} · said {} {}", job.spent, said.cost, verdict(job.spent.0 <= said.cost.0 * 1.02)),
        8,
    );
    let took = job.elapsed_seconds;
    let mut time = Gauge::new(
        "TIME",
        None,
        format!(
            "{} · said {} {}",
            clock(took),
            time_span(said.seconds_low, said.seconds_high),
            beside(said.beside(took))
        ),
        7,
    );
    for (gauge, good) in
        [(&mut memory, fits), (&mut money, job.spent.0 <= said.cost.0 * 1.02), (&mut time, said.beside(took).is_eq())]
    {
        gauge.fill = if good { Role::Gauge } else { Role::Warn };
    }
    let average = if took > 0.0 { job.bytes_read.as_mib() / took } else { 0.0 };
    let rate = Gauge::new("RATE", None, format!("{average:.0} MiB/s on average"), 6);
    let requests = Gauge::new(
        "REQUESTS",
        None,
        format!(
            "{} list · {} get · {} put",
            job.requests.list,
            crate::units::grouped(job.requests.get),
            crate::units::grouped(job.requests.put)
        ),
        4,
    );
    let evidence = job.destinations.iter().map(|to| {
        use crate::engine::protocol::Evidence;
        match to.evidence {
            Evidence::ReRead => "listed or read back by us",
            Evidence::Service => "checked by the service",
            Evidence::Claimed => "claimed",
            Evidence::None => "none",
        }
    });
    let proof = Gauge::new("PROOF", None, evidence.collect::<Vec<_>>().join(" · "), 5);
    vec![memory, money, time, rate, proof, requests, errors(job)]
}

/// Quicker than said is no tick either: the plan was wrong.
const fn beside(range: Ordering) -> &'static str {
    match range {
        Ordering::Less => "! quicker",
        Ordering::Equal => "✓",
        Ordering::Greater => "! slower",
    }
}

const fn verdict(good: bool) -> &'static str {
    if good { "✓" } else { "! more" }
}

fn mib(bytes: Bytes) -> String {
    format!("{:.0}", bytes.as_mib())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_break_at_words_and_lose_none() {
        let text = "since 06:02: Put quota, 972/s of 1,000/s: more lanes would not help";
        for room in 10..80 {
            let lines = wrapped(text, room);
            assert_eq!(lines.join(" "), text, "{room}");
            assert!(lines.iter().all(|l| width(l) <= room));
        }
        assert_eq!(wrapped("extraordinary", 5), ["extr…"]);
        assert_eq!(clip_words("40 throttles at SNAPSHOT level", 20), "40 throttles at …");
        assert_eq!(clip_words("extraordinary", 5), "extr…");
        assert_eq!(clip_parts("212 retried · 41 throttles · 3 timeouts", 30), "212 retried · 41 throttles");
        assert_eq!(clip_parts("extraordinary · x", 5), "extr…");
    }
}
