//! The chain of the row under the cursor, below the list: what each holds alone, and what would become of it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::exact;
use super::whatif::WhatIf;
use crate::inventory::SnapshotRow;
use crate::inventory::verdict::{Thing, Verdict};
use crate::tui::catalog::{Record as _, Ref};
use crate::tui::clock::Now;
use crate::tui::model::Model;
use crate::tui::screen::chain::Nodes;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::put;

/// Lines of the panel with a chain, and of one that has only its sum to say: an image, or a volume without snapshots.
const LINES: (u16, u16) = (9, 3);

/// How tall the panel is for the row under the cursor.
pub fn height(model: &Model) -> u16 {
    let (_, chain, _) = of_cursor(model);
    if chain.is_empty() { LINES.1 } else { LINES.0 }
}

/// Draws the panel.
pub fn view(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let (title, chain, at) = of_cursor(model);
    let right = if chain.len() > 1 { "L walks it · space mark: the sum follows" } else { "" };
    let inner = panel(&title, right, false, area, buf, theme);
    let place = |row: &SnapshotRow| model.orphans.table.find_in(&row.origin, &row.id.as_str().to_owned());
    let marked = |row: &SnapshotRow| place(row).is_some_and(|at| model.orphans.list.marks.contains(&at));
    let alone = |here: usize| {
        let unique = model.freed.unique(chain[here]);
        match (unique.known(), exact::is_running(model, chain[here])) {
            (Some(bytes), _) => (format!("{} {}", unique.sure.glyph(), text::size(bytes)), Role::Text),
            (None, true) => ("◐".to_owned(), Role::Fresh),
            (None, false) => ("?".to_owned(), Role::Dim),
        }
    };
    let becomes = |here: usize| {
        if marked(chain[here]) {
            return ("would go".to_owned(), Role::Marked);
        }
        match place(chain[here]).and_then(|at| model.orphans.table.get(at)).map(|row| row.standing.verdict) {
            Some(verdict @ (Verdict::Orphan | Verdict::Stale)) => (verdict.word().to_owned(), Role::Text),
            Some(Verdict::Unknown) => ("? unknown".to_owned(), Role::Warn),
            Some(verdict) => (format!("✓ {}", verdict.word()), Role::Good),
            None => (String::new(), Role::Dim),
        }
    };
    let nodes = Nodes { chain: &chain, at: at.unwrap_or(usize::MAX), marked: &marked };
    let mut left = String::new();
    if !chain.is_empty() {
        let shown = nodes.draw(model, &[("alone", &alone), ("verdict", &becomes)], inner, buf, theme, now);
        if shown.len() < chain.len() {
            left = format!("{} of {} drawn · ", shown.len(), chain.len());
        }
    }
    let (said, role) = sum(model, now);
    let below = if chain.is_empty() { 0 } else { LINES.0 - LINES.1 };
    let line = Rect { y: inner.y + below, height: 1, ..inner }.intersection(inner);
    let room = usize::from(inner.width).saturating_sub(2);
    put(inner.x + 1, &text::clauses(&format!("{left}{said}"), room), theme.style(role), line, buf);
}

/// The title, the chain, and where the cursor is in it: a volume is in none, its snapshots are shown.
fn of_cursor(model: &Model) -> (String, Vec<&SnapshotRow>, Option<usize>) {
    let row = model.orphans.list.current().and_then(|at| model.orphans.table.get(at));
    let Some(row) = row else { return ("Lineage and what if".to_owned(), Vec::new(), None) };
    let Some(families) = model.orphans.families.get(row.origin()) else {
        return ("Lineage and what if".to_owned(), Vec::new(), None);
    };
    let region = &row.origin().region;
    match row.thing() {
        Some(Thing::Snapshot(one)) => {
            let chain = families.chain(one);
            let at = chain.iter().position(|other| other.id == one.id);
            let of = match one.volume.as_ref().filter(|volume| !volume.is_placeholder()) {
                Some(volume) if families.has(volume) => format!("{volume}, which is there"),
                Some(volume) => format!("{volume}, which is gone"),
                None => "no volume: a copy names none".to_owned(),
            };
            let name = one.name.as_deref().unwrap_or(one.id.as_str());
            (format!("Lineage of {name}, {region} · of {of}"), chain, at)
        }
        Some(Thing::Volume(one)) => {
            let chain = families.of_volume(&one.id);
            let many = match chain.len() {
                0 => "No snapshot".to_owned(),
                many => text::count(many as u64, "snapshot"),
            };
            (format!("{many} of {}, {region}", one.id), chain, None)
        }
        Some(Thing::Image(one)) => {
            let many = text::count(one.snapshots.len() as u64, "snapshot");
            (format!("{} is a name for {many}: it has no blocks of its own", one.id), Vec::new(), None)
        }
        None => ("Lineage and what if".to_owned(), Vec::new(), None),
    }
}

/// What all rows shown would free, and what makes that exact.
fn sum(model: &Model, now: Now) -> (String, Role) {
    let list = &model.orphans.list;
    let shown: Vec<Ref> = list.index.shown.iter().copied().take(exact::MOST).collect();
    let all = if shown.len() < list.len() {
        format!("more than {} are shown: narrow them with /", exact::MOST)
    } else {
        format!("all {}: {}", shown.len(), WhatIf::of(model, &shown, now).figures())
    };
    let left = model.freed.running.len();
    if left > 0 {
        return (format!("◐ {} left to list · esc stops · {all}", text::count(left as u64, "chain")), Role::Fresh);
    }
    let asked = exact::asked(model, &exact::about(model));
    if asked.of.is_empty() {
        return (all, Role::Text);
    }
    let what = if list.marks.is_empty() { "all" } else { "the marks" };
    (format!("{all} · X makes {what} exact: {}", asked.words()), Role::Text)
}
