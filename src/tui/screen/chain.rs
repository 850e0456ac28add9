//! A chain of snapshots as it is drawn, on its own screen and below the orphans: a dot for each, old to new, what it is
//! under it. What does not fit is left out at both ends; the cursor is always among what is drawn.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::inventory::SnapshotRow;
use crate::tui::clock::Now;
use crate::tui::figures::What;
use crate::tui::model::Model;
use crate::tui::screen::compare;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::table::put;

/// Columns of one snapshot.
pub const NODE: u16 = 16;
/// Columns in front, for what the lines are.
const LABELS: u16 = 10;

/// A line below the dots: its label, and what it says of the snapshot at a place of the chain.
pub type Below<'a> = (&'a str, &'a dyn Fn(usize) -> (String, Role));

/// A chain, where in it the cursor is, and which of it are marked.
pub struct Nodes<'a> {
    /// Old to new.
    pub chain: &'a [&'a SnapshotRow],
    /// The cursor.
    pub at: usize,
    /// Whether one is marked.
    pub marked: &'a dyn Fn(&SnapshotRow) -> bool,
}

impl Nodes<'_> {
    /// Which of them fit.
    fn shown(&self, inner: Rect) -> Range<usize> {
        let fits = usize::from((inner.width.saturating_sub(LABELS) / NODE).max(1));
        let last = self.chain.len().saturating_sub(fits);
        // Nowhere is the end.
        let first = self.at.saturating_add(1).saturating_sub(fits.div_ceil(2) + 1).min(last);
        first..self.chain.len().min(first + fits)
    }

    /// Draws four lines (age, dots, id, full size), then those of `below`; gives which were drawn.
    pub fn draw(
        &self,
        model: &Model,
        below: &[Below<'_>],
        inner: Rect,
        buf: &mut Buffer,
        theme: &Theme,
        now: Now,
    ) -> Range<usize> {
        let shown = self.shown(inner);
        let mut say = |n: u16, x: u16, what: &str, role: Role| {
            let line = Rect { y: inner.y + n, height: 1, ..inner }.intersection(inner);
            put(inner.x + 1 + x, what, theme.style(role), line, buf);
        };
        let labels = ["age", "", "snapshot", "full"].into_iter().chain(below.iter().map(|(label, _)| *label));
        for (n, label) in (0u16..).zip(labels) {
            say(n, 0, label, Role::Dim);
        }
        for (k, here) in (0u16..).zip(shown.clone()) {
            let (row, x) = (self.chain[here], LABELS - 1 + k * NODE);
            let (dot, role) = match (here == self.at, (self.marked)(row), compare::unreadable(row)) {
                (_, _, Some(_)) => ("✗", Role::Bad),
                (_, true, None) => ("✓", Role::Marked),
                (true, false, None) => ("◉", Role::Accent),
                (false, false, None) => ("●", Role::Text),
            };
            let own = if here == self.at { Role::Accent } else { Role::Text };
            say(0, x, &text::age(row.started, now), own);
            if here + 1 < self.chain.len() {
                let rule = if here + 1 < shown.end { usize::from(NODE) } else { 3 };
                say(1, x, &"─".repeat(rule), Role::Faint);
            }
            say(1, x, dot, role);
            say(2, x, &text::tail(row.id.as_str(), 9), own);
            say(3, x, &full(model, row), Role::Text);
            for (n, (_, what)) in (4u16..).zip(below) {
                let (said, role) = what(here);
                say(n, x, &text::clip(&said, usize::from(NODE) - 1), role);
            }
        }
        shown
    }
}

/// The full size of one: counted, or as AWS tells it.
fn full(model: &Model, row: &SnapshotRow) -> String {
    match (model.figures.count(&What::whole(row)), row.full) {
        (Some(counted), _) => format!("= {}", text::size(counted.blocks.bytes())),
        (None, Some(full)) => format!("≤ {}", text::size(full)),
        (None, None) => "?".to_owned(),
    }
}
