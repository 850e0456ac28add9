//! What every list can do.

use crate::tui::action::{Action, Scope, always};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::list::List;
use crate::tui::model::Model;
use crate::tui::overlay::{self, Overlay};
use crate::tui::screen::Screen;
use crate::tui::update::export;

const HERE: Scope = Scope::Lists;

fn with(model: &mut Model, change: impl FnOnce(&mut List, usize)) -> Vec<Effect> {
    let lines = model.list_lines();
    if let Some(list) = model.list_mut() {
        change(list, lines);
    }
    Vec::new()
}

fn needs_rows(model: &Model) -> Option<String> {
    model.list().is_none_or(List::is_empty).then(|| "there is no row here yet".to_owned())
}

fn needs_marks(model: &Model) -> Option<String> {
    model.list().is_none_or(|l| l.marks.is_empty()).then(|| "nothing is marked (space marks a row)".to_owned())
}

fn markable(model: &Model) -> Option<String> {
    if model.screen == Screen::World {
        Some("regions are not marked: R chooses them".to_owned())
    } else {
        needs_rows(model)
    }
}

fn filterable(model: &Model) -> Option<String> {
    (model.screen == Screen::World).then(|| "regions are chosen with R; the lists (2, 3, 4) take a filter".to_owned())
}

#[expect(clippy::cast_possible_wrap, reason = "a screen has less than 2^63 lines")]
const fn half(lines: usize) -> isize {
    (lines / 2) as isize
}

/// On every screen that is a list.
pub const ACTIONS: &[Action] = &[
    HERE.look("list.down", "down", &["down", "j"], 0, "One row down.", always, |m, _| with(m, |l, _| l.step_by(1))),
    HERE.look("list.up", "up", &["up", "k"], 0, "One row up.", always, |m, _| with(m, |l, _| l.step_by(-1))),
    HERE.look("list.first", "first", &["g", "home"], 0, "The first row.", always, |m, _| with(m, |l, _| l.go_to(0))),
    HERE.look("list.last", "last", &["G", "end"], 0, "The last row.", always, |m, _| {
        with(m, |l, _| l.go_to(usize::MAX))
    }),
    HERE.look("list.half-down", "half down", &["ctrl-d", "pgdn"], 0, "Half a screen down.", always, |m, _| {
        with(m, |l, lines| l.step_by(half(lines).max(1)))
    }),
    HERE.look("list.half-up", "half up", &["ctrl-u", "pgup"], 0, "Half a screen up.", always, |m, _| {
        with(m, |l, lines| l.step_by(-half(lines).max(1)))
    }),
    HERE.look("list.mark", "mark", &["space"], 20, "Mark or unmark the row and go on.", markable, |m, _| {
        with(m, |l, _| l.toggle())
    }),
    HERE.look(
        "list.range",
        "range",
        &["v"],
        0,
        "Begin or end a range: rows the cursor passes are marked.",
        markable,
        |m, _| {
            with(m, |l, _| {
                l.anchor = if l.anchor.is_some() { None } else { Some(l.cursor) };
                l.go_to(l.cursor);
            })
        },
    ),
    HERE.look("list.invert", "invert", &["*"], 0, "Mark what is not marked among the rows shown.", markable, |m, _| {
        with(m, |l, _| l.invert())
    }),
    HERE.look(
        "list.unmark",
        "unmark",
        &["u"],
        0,
        "Unmark everything, also what the filter hides.",
        needs_marks,
        |m, _| with(m, |l, _| l.unmark()),
    ),
    HERE.look("list.sort", "sort", &["o"], 40, "Sort by the next column.", always, |m, now| sort(m, now, false)),
    HERE.look("list.turn", "turn order", &["O"], 0, "Turn the order round.", always, |m, now| sort(m, now, true)),
    HERE.look(
        "list.filter",
        "filter",
        &["/"],
        30,
        "Filter the rows while you type: words, or key:value.",
        filterable,
        |m, _| {
            let text = m.list().map(|l| l.filter.text.clone()).unwrap_or_default();
            m.overlays.push(Overlay::Filter(overlay::filter::State { before: text }));
            Vec::new()
        },
    ),
    HERE.look(
        "list.export",
        "export",
        &["w"],
        60,
        "Write the rows shown to a CSV and a JSON file.",
        needs_rows,
        export::rows,
    ),
    HERE.look(
        "list.copy-id",
        "copy id",
        &["y"],
        0,
        "Copy the id of the row, or of all marked rows, one a line.",
        needs_rows,
        |m, now| {
            let ids = export::chosen_ids(m);
            let said = if let [one] = ids.as_slice() { one.clone() } else { format!("{} ids", ids.len()) };
            m.say(now, format!("copied {said} (OSC 52)"));
            vec![Effect::Copy(ids.join("\n"))]
        },
    ),
];

/// The next column, or the other direction; kept for the next run.
fn sort(model: &mut Model, now: Now, turn: bool) -> Vec<Effect> {
    let screen = model.screen;
    let columns = screen.columns();
    let Some(list) = model.list_mut() else { return Vec::new() };
    let (column, descending) = if turn {
        (list.sort, !list.descending)
    } else {
        let next = (list.sort + 1) % columns.len().max(1);
        (next, columns.get(next).is_some_and(|c| c.1))
    };
    sort_to(model, column, descending, now)
}

/// Sorts the current list by a column.
pub fn sort_to(model: &mut Model, column: usize, descending: bool, now: Now) -> Vec<Effect> {
    let columns = model.screen.columns();
    let Some((name, _)) = columns.get(column) else { return Vec::new() };
    if let Some(list) = model.list_mut() {
        list.sort_by(column, descending);
    }
    let direction = if descending { "greatest first" } else { "least first" };
    model.say(now, format!("sorted by {name}, {direction}"));
    let screen = model.screen.page().title.to_lowercase();
    model.memory.sort.insert(screen, ((*name).to_owned(), descending));
    vec![Effect::Remember(model.memory.clone())]
}
