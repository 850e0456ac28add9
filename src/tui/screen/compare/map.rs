//! Where over a volume two snapshots differ: each cell a run of blocks, drawn as what most of its changes are.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Stage;
use crate::inventory::SnapshotRow;
use crate::plan::compare::{CELLS, Change, Tally};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::table::put;
use crate::tui::widget::{gauge, line, panel};
use crate::units::{Blocks, Bytes};

/// Columns of what the glyphs of the map mean.
const LEGEND: usize = 49;
/// The cells of a map folded to as many as are drawn; all of them in one where nothing is known.
fn folded(cells: &[Tally], room: usize) -> Vec<Tally> {
    if cells.is_empty() || room == 0 {
        return Vec::new();
    }
    let room = room.min(cells.len());
    (0..room)
        .map(|n| {
            let (from, to) = (n * cells.len() / room, (n + 1) * cells.len() / room);
            cells[from..to.max(from + 1)].iter().fold(Tally::default(), |sum, cell| sum.and(*cell))
        })
        .collect()
}

pub(super) fn glyph(change: Option<Change>) -> (&'static str, Role) {
    match change {
        Some(Change::Changed) => ("█", Role::Gauge),
        Some(Change::Added) => ("▓", Role::Fresh),
        Some(Change::Removed) => ("▒", Role::Warn),
        None => ("·", Role::Faint),
    }
}

/// Draws it.
pub(super) fn draw(
    newer: &SnapshotRow,
    older: &SnapshotRow,
    stage: Stage<'_>,
    area: Rect,
    buf: &mut Buffer,
    theme: &Theme,
) {
    if area.height < 3 {
        return;
    }
    let cells = match stage {
        Stage::Done(count) => count.cells.as_slice(),
        Stage::Counting(Some(progress)) => progress.cells.as_slice(),
        _ => &[],
    };
    let label = 10usize;
    let width = usize::from(area.width).saturating_sub(2 + label + 2).max(1);
    let lines = usize::from(area.height).saturating_sub(3).min(CELLS / width).max(1);
    let drawn = folded(cells, width * lines);
    let per = newer.size.blocks().0.div_ceil(drawn.len().max(1) as u64);
    let right = if drawn.is_empty() {
        String::new()
    } else {
        format!("1 cell ≈ {}, {}", text::count(per, "block"), text::size(Blocks(per).bytes()))
    };
    let inner = panel("Where, by position in the volume", &right, false, area, buf, theme);
    for (n, row) in (0u16..).zip(drawn.chunks(width)) {
        let at = Rect { y: inner.y + n, height: 1, ..inner }.intersection(inner);
        let from = newer.size.0 / drawn.len().max(1) as u64 * (usize::from(n) * width) as u64;
        put(at.x + 1, &text::right(&text::size(Bytes(from)), label - 1), theme.style(Role::Dim), at, buf);
        let spans: Vec<Span<'static>> = row
            .iter()
            .map(|cell| {
                let (symbol, role) = glyph(cell.most());
                Span::styled(symbol, theme.style(role))
            })
            .collect();
        line(at.x + 1 + u16::try_from(label).unwrap_or(0), at.y, &Line::from(spans), at, buf);
    }
    if inner.height > 1 {
        let last = Rect { y: inner.bottom() - 1, height: 1, ..inner };
        let mut spans: Vec<Span<'static>> = vec![Span::raw(" ")];
        for (change, word) in [
            (Some(Change::Changed), "changed"),
            (Some(Change::Added), "added"),
            (Some(Change::Removed), "removed"),
            (None, if matches!(stage, Stage::Done(_)) { "nothing" } else { "nothing yet" }),
        ] {
            let (symbol, role) = glyph(change);
            spans.push(Span::styled(symbol, theme.style(role)));
            spans.push(Span::styled(format!(" {word}  "), theme.style(Role::Dim)));
        }
        let room = usize::from(inner.width).saturating_sub(LEGEND);
        spans.push(Span::styled(text::clauses(&legend(&drawn, newer, older), room), theme.style(Role::Dim)));
        line(last.x, last.y, &Line::from(spans), last, buf);
    }
}

/// Where most changed, and where the older one ends.
fn legend(drawn: &[Tally], newer: &SnapshotRow, older: &SnapshotRow) -> String {
    let mut out = Vec::new();
    let densest = (0u64..).zip(drawn).max_by_key(|(_, cell)| cell.all()).filter(|(_, cell)| cell.all() > 0);
    if let Some((n, cell)) = densest {
        let per = (newer.size.0 / drawn.len().max(1) as u64).max(1);
        let percent = (gauge::share(Blocks(u64::from(cell.all())).bytes().0, per) * 100.0).min(100.0);
        out.push(format!("most at {} ({percent:.0} % of that cell)", text::size(Bytes(n * per))));
    }
    if newer.size > older.size {
        out.push(format!("the older ends at {}", text::size(older.size)));
    }
    out.join(", ")
}
