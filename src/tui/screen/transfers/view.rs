//! The transfers screen, drawn: the list first, then what explains the job under the cursor.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{engine, list, panels, selected, shown};
use crate::engine::protocol::{JobStatus, Status};
use crate::tui::clock::Now;
use crate::tui::model::Model;
use crate::tui::text::{clauses, width};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::stack::{Want, heights};
use crate::tui::widget::{line, panel};

/// Draws the screen.
pub fn view(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let Some(status) = shown(model) else {
        let inner = panel("Transfers", "esc back", true, area, buf, theme);
        for (n, (role, text)) in (0u16..).zip([
            (Role::Text, "No job to show: no engine runs for this deck, nothing here costs anything."),
            (Role::Dim, "2 snapshots · c on one plans a copy: its memory, money and time come first"),
        ]) {
            let text = clauses(text, usize::from(inner.width.saturating_sub(2)));
            if n < inner.height {
                line(inner.x + 1, inner.y + n, &Line::styled(text, theme.style(role)), inner, buf);
            }
        }
        return;
    };
    let top = list::height(status, area);
    list::view(model, Rect { height: top, ..area }, buf, theme, now);
    let rest = Rect { y: area.y + top, height: area.height - top, ..area };
    if let Some(job) = selected(model) {
        below(model, status, job, rest, buf, theme, now);
    }
}

fn below(model: &Model, status: &Status, job: &JobStatus, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let wide = area.width >= 100;
    let detail = panels::detail(status, job);
    let segments = detail.map_or(0, |d| u16::try_from(d.segments.len()).unwrap_or(u16::MAX));
    let events = detail.map_or(1, |d| u16::try_from(d.events.len()).unwrap_or(u16::MAX));
    let notes = 2 * u16::from(job.error.is_some() || job.stall.is_some()) + u16::from(job.expires.is_some());
    let wants = [
        Want { least: 4, most: 6 + notes, worth: 9 },
        Want { least: 5, most: if wide { (segments + 3).clamp(12, 23) } else { 7 }, worth: 6 },
        Want { least: 3, most: (events + 2).clamp(3, 5), worth: 7 },
        Want { least: 1, most: 1, worth: 5 },
    ];
    let tall = heights(area.height, &wants);
    let mut y = area.y;
    let mut take = |height: u16| {
        let rect = Rect { y, height, ..area };
        y += height;
        rect
    };
    if model.transfers.graph {
        panels::graph(model, job, take(tall[0] + tall[1]), buf, theme);
    } else {
        panels::job(status, job, take(tall[0]), buf, theme, now);
        let middle = take(tall[1]);
        if wide {
            let width = middle.width * 7 / 12;
            panels::segment_table(detail, None, Rect { width, ..middle }, buf, theme);
            let beside = Rect { x: middle.x + width, width: middle.width - width, ..middle };
            engine::view(status, job, beside, buf, theme);
        } else {
            engine::view(status, job, middle, buf, theme);
        }
    }
    panels::events(model, detail, take(tall[2]), buf, theme);
    let last = take(tall[3]);
    if last.height > 0 {
        line(last.x + 1, last.y, &last_line(status, usize::from(last.width.saturating_sub(2)), theme), last, buf);
    }
}

/// What closing the deck does, and who turned what last; the latter alone where there is no room for both.
fn last_line(status: &Status, room: usize, theme: &Theme) -> Line<'static> {
    let closing = if status.in_process {
        "This engine lives in the deck: quitting pauses its jobs."
    } else {
        "Safe to close: the engine goes on without this deck."
    };
    let turned = status.turned.as_ref().map(engine::turned).unwrap_or_default();
    let gap = room.saturating_sub(width(closing) + width(&turned));
    let text = match (turned.is_empty(), gap >= 2) {
        (false, true) => format!("{closing}{}{turned}", " ".repeat(gap)),
        (false, false) => clauses(&turned, room),
        (true, _) => clauses(closing, room),
    };
    Line::styled(text, theme.style(Role::Dim))
}
