//! Machine images of every region: disabled and deprecated ones too, because they hold snapshots.

use std::cmp::Ordering;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::address::Address;
use crate::inventory::ImageRow;
use crate::plan::removal::Target;
use crate::tui::action::{Action, Scope};
use crate::tui::catalog::Slot;
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::list::{Column, List, Order, word_key};
use crate::tui::model::{Mode, Model};
use crate::tui::overlay::{Overlay, address, detail as over};
use crate::tui::screen::{ListLayout, Page, Screen, detail, listing, removal};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::{Cell, Head};

/// What the screen keeps.
#[derive(Debug)]
pub struct State {
    /// The list.
    pub list: List,
}

impl Default for State {
    /// The youngest first.
    fn default() -> Self {
        Self { list: List::sorted_by(5, false) }
    }
}

fn by_id(a: &ImageRow, b: &ImageRow) -> Ordering {
    a.id.cmp(&b.id)
}

const fn by(key: fn(&ImageRow) -> u64, ties: fn(&ImageRow, &ImageRow) -> Ordering) -> Order<ImageRow> {
    Order { key, ties: Some(ties) }
}

fn age(row: &ImageRow) -> u64 {
    row.created.map_or(u64::MAX, |t| u64::MAX / 2 - u64::try_from(t.as_second()).unwrap_or(0))
}

/// What it can be sorted by.
pub const COLUMNS: &[Column<ImageRow>] = &[
    Column { id: "id", head: "IMAGE", order: by(|r| word_key(&r.id.as_str()[4..]), by_id), descending: false },
    Column {
        id: "name",
        head: "NAME",
        order: by(|r| word_key(&r.name), |a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id))),
        descending: false,
    },
    Column {
        id: "region",
        head: "REG",
        order: by(
            |r| word_key(r.origin.region.as_str()),
            |a, b| (&a.origin.region, &a.name).cmp(&(&b.origin.region, &b.name)),
        ),
        descending: false,
    },
    Column { id: "snapshots", head: "SNAPS", order: by(|r| r.snapshots.len() as u64, by_id), descending: true },
    Column { id: "size", head: "SIZE", order: by(|r| r.size.0, by_id), descending: true },
    Column { id: "age", head: "AGE", order: by(age, by_id), descending: false },
    Column {
        id: "launched",
        head: "LAUNCHED",
        order: by(|r| r.last_launched.map_or(0, |t| u64::try_from(t.as_second()).unwrap_or(0)), by_id),
        descending: true,
    },
    Column { id: "state", head: "STATE", order: by(|r| word_key(&r.state), by_id), descending: false },
];

/// Why what is marked, or under the cursor, cannot be copied.
fn cannot_copy(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("this deck is read-only: it makes nothing".to_owned());
    }
    if model.images.list.is_empty() {
        return Some("there is no image here yet".to_owned());
    }
    let rows = chosen(model);
    if let Some(row) = rows.iter().find(|row| row.snapshots.is_empty()) {
        return Some(format!("{} is made of no snapshot, so there is nothing that could be copied", row.id));
    }
    // A disabled one is no image for AWS, and its one snapshot is a disk all the same: the plan says which it is.
    let bad = rows.iter().find(|row| !matches!(row.state.as_str(), "available" | "disabled"))?;
    Some(format!("{} is {}: AWS copies only images that can be launched", bad.id, bad.state))
}

fn chosen(model: &Model) -> Vec<&ImageRow> {
    model.images.list.chosen().into_iter().filter_map(|at| model.catalog.images.get(at)).collect()
}

fn copy(model: &mut Model, _: Now) -> Vec<Effect> {
    let rows = chosen(model);
    let what = match rows.as_slice() {
        [one] => format!("{} {}", one.id, one.name).trim_end().to_owned(),
        many => format!("{} images", many.len()),
    };
    let source = |row: &&ImageRow| Address::Image(row.origin.place(), row.id.clone());
    let sources = rows.iter().map(source).collect();
    model.overlays.push(Overlay::Address(address::State { sources, what, ..address::State::default() }));
    Vec::new()
}

const HERE: Scope = Scope::Screen(Screen::Images);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.make(
        "images.copy",
        "copy",
        &["c"],
        21,
        "Have AWS copy the image to a region, or read its one snapshot to a file: one line, then a plan.",
        cannot_copy,
        copy,
    ),
    HERE.look(
        "images.open",
        "open",
        &["enter"],
        10,
        "Everything that is known of the image.",
        |m| m.images.list.is_empty().then(|| "there is no image here yet".to_owned()),
        |m, _| {
            m.overlays.push(Overlay::Detail(over::State::default()));
            Vec::new()
        },
    ),
    HERE.remove(
        "images.delete",
        "delete",
        &["D"],
        0,
        "A deletion plan of the marked images; S in it takes their snapshots along. Nothing is deleted by it.",
        |m| m.images.list.is_empty().then(|| "there is no image here yet".to_owned()),
        |m, _| {
            let rows = m.images.list.chosen().into_iter().filter_map(|at| m.catalog.images.get(at));
            let targets = rows.map(|row| (row.origin.place(), Target::Image(row.id.clone()))).collect();
            let hidden = m.images.list.hidden;
            removal::open(m, targets, hidden)
        },
    ),
    HERE.look(
        "images.snapshots",
        "its snapshots",
        &["s"],
        22,
        "The snapshots that the image is made of.",
        |m| m.images.list.is_empty().then(|| "there is no image here yet".to_owned()),
        |m, now| {
            let row = m.images.list.current().and_then(|at| m.catalog.images.get(at));
            let first = row.and_then(|row| row.snapshots.iter().find_map(|id| m.catalog.snapshots.find(id)));
            match first {
                Some(at) => {
                    m.go(Screen::Snapshots);
                    m.snapshots.list.show(at, now);
                }
                None => m.refuse(now, "none of its snapshots is in the list (another account's, or still loading)"),
            }
            Vec::new()
        },
    ),
];

/// The door.
pub const PAGE: Page = Page {
    title: "AMIs",
    is_list: true,
    actions: ACTIONS,
    view,
    note: listing::note,
    command: |model| listing::command(model, "images", &model.images.list),
    hear: Page::deaf,
    key: Page::no_key,
    mouse: Page::no_mouse,
};

/// Where what is drawn.
#[must_use]
pub fn layout(model: &Model, body: Rect) -> ListLayout {
    let detail = listing::has_detail(model, body);
    let side = if detail { 40 } else { 0 };
    let list = Rect { width: body.width - side, ..body };
    let mut out = ListLayout::of(list, listing::foot_lines(&model.images.list, body), heads(list.width));
    out.side = detail.then_some(Rect { x: list.right(), width: side, ..body });
    out
}

fn heads(width: u16) -> Vec<Head> {
    let inner = width.saturating_sub(2 + 3);
    let wide = inner >= 67;
    let id = if wide { 21 } else { 10 };
    let fixed = id + 1 + 6 + 9 + 6 + 13 + if wide { 6 } else { 0 };
    let name = inner.saturating_sub(fixed + 1).clamp(4, 60);
    let mut out =
        vec![Head::left("IMAGE", id, Some(0)), Head::left("NAME", name, Some(1)), Head::left("REG", 5, Some(2))];
    if wide {
        out.push(Head::right("SNAPS", 5, Some(3)));
    }
    out.push(Head::right("SIZE", 8, Some(4)));
    out.push(Head::right("AGE", 5, Some(5)));
    out.push(Head::left("STATE", 13, Some(7)));
    out
}

fn view(model: &Model, body: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let layout = layout(model, body);
    let columns = layout.columns.clone();
    let cells = |slot: &Slot<ImageRow>| columns.iter().map(|head| cell(&slot.row, head.title, now)).collect();
    listing::draw(&model.images.list, &model.catalog.images, &layout, "AMIs", &cells, buf, theme);
    if let Some(side) = layout.side {
        let inner = panel("Detail", "enter opens", false, side, buf, theme);
        let row = model.images.list.current().and_then(|at| model.catalog.images.get(at));
        let lines = row.map(|row| detail::image(model, row, usize::from(inner.width).saturating_sub(2), now));
        detail::draw(&lines.unwrap_or_default(), inner, buf, theme);
    }
}

fn cell(row: &ImageRow, head: &str, now: Now) -> Cell {
    match head {
        "IMAGE" => Cell::id(row.id.as_str()),
        "NAME" => Cell::new(row.name.as_str()),
        "REG" => Cell::new(row.origin.region.short()),
        "SNAPS" => Cell::new(row.snapshots.len().to_string()),
        "SIZE" => Cell::new(text::size(row.size)),
        "AGE" => Cell::new(row.created.map_or_else(|| "?".to_owned(), |t| text::age(t, now))),
        _ => state(row, now),
    }
}

fn state(row: &ImageRow, now: Now) -> Cell {
    match row.state.as_str() {
        _ if row.public => Cell::with("! public", Role::Warn),
        "available" if row.deprecated.is_some_and(|t| t <= now.wall) => Cell::with("▽ deprecated", Role::Dim),
        "available" => Cell::with("● available", Role::Good),
        "pending" => Cell::with("◐ pending", Role::Fresh),
        "failed" | "error" | "invalid" => Cell::with(format!("✗ {}", row.state), Role::Bad),
        other => Cell::with(format!("◌ {other}"), Role::Dim),
    }
}
