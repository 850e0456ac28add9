//! The panels about one job: where it goes and its map, its segments, its events, its graph over time.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::engine::wrapped;
use super::{Sample, list};
use crate::engine::protocol::{Cell, Event, JobDetail, JobState, JobStatus, Status, Tone};
use crate::plan::clock;
use crate::tui::clock::Now;
use crate::tui::model::Model;
use crate::tui::text::{clip, left, tail, width, words as clip_words};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::{gauge, line, map, panel, segments, spark};
use crate::units::{BLOCK_BYTES, Bytes, counted, grouped};

fn styled(theme: &Theme, role: Role, text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), theme.style(role))
}

fn put(inner: Rect, row: u16, content: Line<'static>, buf: &mut Buffer) {
    if row < inner.height {
        let area = Rect { width: inner.width.saturating_sub(1), ..inner };
        line(inner.x + 1, inner.y + row, &content, area, buf);
    }
}

/// The detail of this job, when the engine tells of it.
pub fn detail<'a>(status: &'a Status, job: &JobStatus) -> Option<&'a JobDetail> {
    status.detail.as_ref().filter(|detail| detail.job == job.job)
}

/// From, to, and the block map.
pub fn job(status: &Status, job: &JobStatus, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    if area.height < 3 {
        return;
    }
    let over = job.state == JobState::Done;
    let (done, total) = (job.blocks_done.0, job.blocks_total.value.0);
    let sure = match job.blocks_total.sure {
        crate::units::Sure::Exact | crate::units::Sure::Measured => String::new(),
        other => format!("{} ", other.glyph()),
    };
    let counted =
        format!("{} of {sure}{} blocks · {}", grouped(done), grouped(total), gauge::percent_exact(done, total, over));
    let inner = panel(&format!("Job {}", job.job), &counted, false, area, buf, theme);
    let room = usize::from(inner.width.saturating_sub(2));
    let mut row = 0;
    let to: Vec<&str> = job.destinations.iter().map(|d| d.address.as_str()).collect();
    let route = format!("{} → {}", job.source, to.join(", "));
    let since = format!("since {}, {}", job.created.strftime("%H:%M"), job.who);
    let route =
        if width(&route) + width(&since) + 2 > room && width(&route) > room { tail(&route, room) } else { route };
    let gap = room.saturating_sub(width(&route) + width(&since));
    let mut spans = vec![styled(theme, Role::Accent, route)];
    if gap >= 2 {
        spans.push(Span::raw(" ".repeat(gap)));
        spans.push(styled(theme, Role::Dim, since));
    }
    put(inner, row, Line::from(spans), buf);
    row += 1;
    for text in trouble(job, now)
        .into_iter()
        .flat_map(|(role, text)| wrapped(&text, room).into_iter().map(move |text| (role, text)))
    {
        if row < inner.height {
            put(inner, row, Line::from(styled(theme, text.0, text.1)), buf);
            row += 1;
        }
    }
    let lines_left = inner.height.saturating_sub(row);
    let Some(detail) = detail(status, job).filter(|d| !d.map.is_empty()) else {
        if lines_left > 0 {
            let share = if over { 1.0 } else { gauge::share(done, total).min(0.999) };
            put(inner, row, Line::from(gauge::bar(theme, share, room, Role::Gauge)), buf);
        }
        return;
    };
    let legend = lines_left >= 3;
    let map_lines = usize::from(lines_left.saturating_sub(u16::from(legend)));
    for drawn in map::lines(theme, &detail.map, room, map_lines) {
        put(inner, row, drawn, buf);
        row += 1;
    }
    if legend {
        let each = map::blocks_per_drawn_cell(detail.map.len(), detail.blocks_per_cell, room * map_lines);
        put(inner, row, legend_line(theme, each, room), buf);
    }
}

/// What it waits for or died of, and until when it can go on.
fn trouble(job: &JobStatus, now: Now) -> Vec<(Role, String)> {
    let mut out = Vec::new();
    let (glyph, _, role) = list::state(job);
    match (&job.stall, &job.error) {
        (Some(stall), _) => {
            let glyph = if job.state == JobState::Running { "!" } else { glyph };
            out.push((Role::Warn, format!("{glyph} {}", stall.text)));
        }
        (None, Some(error)) => {
            let todo = error.todo.as_ref().map(|t| format!(" → {t}")).unwrap_or_default();
            out.push((role, format!("{glyph} {}{todo}", error.what)));
        }
        (None, None) => {}
    }
    if let Some(expires) = job.expires {
        let left = clock(list::until(expires, now));
        let at = expires.strftime("%d %b %H:%M UTC");
        out.push((Role::Warn, format!("! AWS gives its pending snapshot up in {left}, on {at}: p resumes it")));
    }
    out
}

fn legend_line(theme: &Theme, each: u64, room: usize) -> Line<'static> {
    const ALL: [(Cell, &str); 6] = [
        (Cell::Done, "proved there"),
        (Cell::Moving, "moving"),
        (Cell::ToDo, "listed, to do"),
        (Cell::Hole, "hole in the source"),
        (Cell::Trouble, "retried > 3×"),
        (Cell::Unknown, "not listed yet"),
    ];
    let size = Bytes(each.saturating_mul(BLOCK_BYTES));
    let cell = format!("1 cell ≈ {}, {size}", counted(each, "block"));
    let mut spans = Vec::new();
    let mut used = 0;
    for (kind, words) in ALL {
        let (symbol, role) = map::glyph(kind, theme.ascii);
        let symbol = if symbol == ' ' { "blank".to_owned() } else { symbol.to_string() };
        let length = width(&symbol) + 1 + width(words) + 2;
        if used + length + width(&cell) > room {
            break;
        }
        used += length;
        spans.push(styled(theme, role, symbol));
        spans.push(styled(theme, Role::Dim, format!(" {words}  ")));
    }
    spans.push(Span::raw(" ".repeat(room.saturating_sub(used + width(&cell)))));
    spans.push(styled(theme, Role::Dim, clip(&cell, room)));
    Line::from(spans)
}

/// The segment table.
pub fn segment_table(detail: Option<&JobDetail>, cursor: Option<usize>, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 3 || area.width < 40 {
        return;
    }
    let count = detail.map_or(0, |d| d.segments.len());
    let inner = panel(&format!("Segments {count}"), "sort: worst first", cursor.is_some(), area, buf, theme);
    let Some(detail) = detail.filter(|d| !d.segments.is_empty()) else {
        put(inner, 0, Line::styled("no segments: it does not run now", theme.style(Role::Dim)), buf);
        return;
    };
    let room = usize::from(inner.width.saturating_sub(1));
    line(inner.x, inner.y, &segments::heading(theme, room), inner, buf);
    let height = usize::from(inner.height.saturating_sub(1));
    let first = cursor.map_or(0, |at| (at + 2).saturating_sub(height));
    let rows = segments::rows(theme, &detail.segments, first, cursor, room, height);
    for (n, row) in (1u16..).zip(rows) {
        line(inner.x, inner.y + n, &row, inner, buf);
    }
}

/// What happens and why, newest first.
pub fn events(model: &Model, detail: Option<&JobDetail>, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 3 {
        return;
    }
    let all = detail.map_or(&[][..], |d| &d.events);
    let problems = model.problems.len();
    let hint = if problems > 0 { format!("E errors {problems} · 7 log") } else { "7 log".to_owned() };
    let inner = panel("What happens and why", &hint, false, area, buf, theme);
    let room = usize::from(inner.width.saturating_sub(2));
    if all.is_empty() {
        put(inner, 0, Line::styled("nothing but plain success so far", theme.style(Role::Dim)), buf);
    }
    for (row, event) in (0..inner.height).zip(all.iter().rev()) {
        put(inner, row, event_line(theme, event, room, false), buf);
    }
}

/// One event in one line.
pub fn event_line(theme: &Theme, event: &Event, room: usize, with_job: bool) -> Line<'static> {
    let role = match event.tone {
        Tone::Info => Role::Text,
        Tone::Warning => Role::Warn,
        Tone::Bad => Role::Bad,
        Tone::Good => Role::Good,
    };
    let count = if event.count > 1 { format!(" ({}×)", event.count) } else { String::new() };
    let job = match (with_job, event.job) {
        (true, Some(job)) => left(&job.to_string(), 4),
        (true, None) => "    ".to_owned(),
        _ => String::new(),
    };
    let used = 10 + width(&job) + 14;
    let text = clip_words(&format!("{}{count}", event.text), room.saturating_sub(used));
    Line::from(vec![
        styled(theme, Role::Dim, format!("{}  ", event.at.strftime("%H:%M:%S"))),
        styled(theme, Role::Key, job),
        // Of an address the end tells which one it is.
        styled(theme, role, left(&tail(&event.subject, 13), 14)),
        styled(theme, Role::Text, text),
    ])
}

/// Four graphs over time: rate, memory, lanes, latency.
pub fn graph(model: &Model, job: &JobStatus, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 3 {
        return;
    }
    let inner = panel(&format!("Job {} over time", job.job), "t closes", true, area, buf, theme);
    let samples = &model.transfers.samples;
    let series = |of: fn(&Sample) -> f32| samples.iter().map(of).collect::<Vec<f32>>();
    let told: Vec<f32> = job.rate_history.iter().map(|v| v / (1024.0 * 1024.0)).collect();
    let rate = if told.len() > samples.len() { told } else { series(|s| s.rate) };
    let minutes = rate.len() * 5 / 60;
    let all: [(&str, &str, Vec<f32>, Role); 4] = [
        ("RATE", "MiB/s", rate, Role::Gauge),
        ("MEMORY", "MiB held", series(|s| s.memory), Role::Accent),
        ("LANES", "in flight", series(|s| s.lanes), Role::GaugeSoft),
        ("LATENCY", "ms, p99 of Get", series(|s| s.latency), Role::Warn),
    ];
    let each = (inner.height / 4).max(2);
    let room = usize::from(inner.width.saturating_sub(2));
    for (n, (name, unit, values, role)) in (0u16..).zip(all) {
        let top = n * each;
        if top + 1 >= inner.height {
            break;
        }
        let known = || values.iter().copied().filter(|v| v.is_finite());
        let text = match (known().next_back(), known().reduce(f32::max)) {
            (Some(last), Some(most)) => format!("now {last:.0}, at most {most:.0} {unit}"),
            _ => "nothing measured yet".to_owned(),
        };
        let span = if n == 0 && minutes > 0 { format!(" · the last {minutes} min") } else { String::new() };
        put(
            inner,
            top,
            Line::from(vec![styled(theme, Role::Title, left(name, 9)), styled(theme, Role::Dim, text + &span)]),
            buf,
        );
        let lines = spark::graph(theme, &values, room, usize::from(each.min(inner.height - top) - 1), role);
        for (k, drawn) in (1u16..).zip(lines) {
            put(inner, top + k, drawn, buf);
        }
    }
}
