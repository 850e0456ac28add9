//! Volumes of every region: what they cost, what they hang on, whether anything could bring them back.

use std::cmp::Ordering;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::inventory::VolumeRow;
use crate::plan::removal::Target;
use crate::tui::action::{Action, Scope};
use crate::tui::catalog::{Record, Slot};
use crate::tui::clock::Now;
use crate::tui::list::{Column, List, Order, word_key};
use crate::tui::model::Model;
use crate::tui::overlay::{Overlay, detail as over};
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
    /// The largest first.
    fn default() -> Self {
        Self { list: List::sorted_by(SIZE, true) }
    }
}

const SIZE: usize = 4;

fn by_id(a: &VolumeRow, b: &VolumeRow) -> Ordering {
    a.id.cmp(&b.id)
}

const fn by(key: fn(&VolumeRow) -> u64, ties: fn(&VolumeRow, &VolumeRow) -> Ordering) -> Order<VolumeRow> {
    Order { key, ties: Some(ties) }
}

fn cents(row: &VolumeRow) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a price is finite and not negative")]
    row.month().known().map_or(0, |usd| (usd.0 * 10_000.0) as u64)
}

/// What it can be sorted by.
pub const COLUMNS: &[Column<VolumeRow>] = &[
    Column { id: "id", head: "VOLUME", order: by(|r| word_key(&r.id.as_str()[4..]), by_id), descending: false },
    Column {
        id: "name",
        head: "NAME",
        order: by(|r| r.name.as_deref().map_or(u64::MAX, word_key), |a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id))),
        descending: false,
    },
    Column {
        id: "zone",
        head: "ZONE",
        order: by(|r| word_key(&r.zone), |a, b| (&a.zone, &a.id).cmp(&(&b.zone, &b.id))),
        descending: false,
    },
    Column { id: "type", head: "TYPE", order: by(|r| word_key(&r.kind), by_id), descending: false },
    Column { id: "size", head: "SIZE", order: by(|r| r.size.0, by_id), descending: true },
    Column { id: "cost", head: "$/MO", order: by(cents, by_id), descending: true },
    Column {
        id: "age",
        head: "AGE",
        order: by(|r| u64::MAX / 2 - u64::try_from(r.created.as_second()).unwrap_or(0), by_id),
        descending: false,
    },
    Column { id: "state", head: "STATE", order: by(|r| word_key(&r.state), by_id), descending: false },
];

const HERE: Scope = Scope::Screen(Screen::Volumes);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.look(
        "volumes.inspect",
        "inspect",
        &["i"],
        0,
        "Look inside its youngest snapshot, or the one it was made from.",
        |m| readable(m).err(),
        |m, _| readable(m).map_or_else(|_| Vec::new(), |of| crate::tui::overlay::inside::open(m, of)),
    ),
    HERE.look(
        "volumes.open",
        "open",
        &["enter"],
        10,
        "Everything that is known of the volume.",
        |m| m.volumes.list.is_empty().then(|| "there is no volume here yet".to_owned()),
        |m, _| {
            m.overlays.push(Overlay::Detail(over::State::default()));
            Vec::new()
        },
    ),
    HERE.remove(
        "volumes.delete",
        "delete",
        &["D"],
        0,
        "A deletion plan of the marked volumes; nothing is deleted by it.",
        |m| m.volumes.list.is_empty().then(|| "there is no volume here yet".to_owned()),
        |m, _| {
            let rows = m.volumes.list.chosen().into_iter().filter_map(|at| m.catalog.volumes.get(at));
            let targets = rows.map(|row| (row.origin.place(), Target::Volume(row.id.clone()))).collect();
            let hidden = m.volumes.list.hidden;
            removal::open(m, targets, hidden)
        },
    ),
];

/// The snapshot that tells what is on the volume under the cursor: a volume itself cannot be read from outside.
fn readable(model: &Model) -> Result<crate::tui::insides::At, String> {
    let row = model.volumes.list.current().and_then(|at| model.catalog.volumes.get(at));
    let row = row.ok_or_else(|| "there is no volume here yet".to_owned())?;
    let own = model.catalog.snapshots_of(&row.origin, &row.id);
    let can = |one: &&&crate::inventory::SnapshotRow| crate::tui::screen::compare::unreadable(one).is_none();
    let id =
        own.iter().filter(can).max_by_key(|one| one.started).map(|one| one.id.clone()).or_else(|| row.snapshot.clone());
    let none = || format!("{} has no snapshot: a volume itself cannot be read from outside", row.id);
    id.map(|id| (row.origin.clone(), id)).ok_or_else(none)
}

/// The door.
pub const PAGE: Page = Page {
    title: "Volumes",
    is_list: true,
    actions: ACTIONS,
    view,
    note: listing::note,
    command: |model| listing::command(model, "volumes", &model.volumes.list),
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
    let mut out = ListLayout::of(list, listing::foot_lines(&model.volumes.list, body), heads(list.width));
    out.side = detail.then_some(Rect { x: list.right(), width: side, ..body });
    out
}

fn heads(width: u16) -> Vec<Head> {
    let inner = width.saturating_sub(2 + 3);
    let id = if inner >= 67 { 21 } else { 10 };
    let kind = if inner >= 84 { 5 } else { 0 };
    let cost = if inner >= 74 || (60..67).contains(&inner) { 9 } else { 0 };
    let fixed = id + 1 + 8 + kind + 9 + cost + 6 + 13;
    let name = inner.saturating_sub(fixed + 1).clamp(4, 40);
    let mut out =
        vec![Head::left("VOLUME", id, Some(0)), Head::left("NAME", name, Some(1)), Head::left("ZONE", 7, Some(2))];
    if kind > 0 {
        out.push(Head::left("TYPE", kind - 1, Some(3)));
    }
    out.push(Head::right("SIZE", 8, Some(SIZE)));
    if cost > 0 {
        out.push(Head::right("$/MO", cost - 1, Some(5)));
    }
    out.push(Head::right("AGE", 5, Some(6)));
    out.push(Head::left("STATE", 13, Some(7)));
    out
}

fn view(model: &Model, body: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let layout = layout(model, body);
    let columns = layout.columns.clone();
    let cells = |slot: &Slot<VolumeRow>| columns.iter().map(|head| cell(&slot.row, head.title, now)).collect();
    listing::draw(&model.volumes.list, &model.catalog.volumes, &layout, "Volumes", &cells, buf, theme);
    if let Some(side) = layout.side {
        let inner = panel("Detail", "enter opens", false, side, buf, theme);
        let row = model.volumes.list.current().and_then(|at| model.catalog.volumes.get(at));
        detail::draw(&row.map(|row| detail::volume(model, row, now)).unwrap_or_default(), inner, buf, theme);
    }
}

fn cell(row: &VolumeRow, head: &str, now: Now) -> Cell {
    match head {
        "VOLUME" => Cell::id(row.id.as_str()),
        "NAME" => row.name.as_deref().map_or_else(|| Cell::with("(none)", Role::Dim), Cell::new),
        "ZONE" => Cell::new(short_zone(row)),
        "TYPE" => Cell::new(row.kind.as_str()),
        "SIZE" => Cell::new(text::size(row.size)),
        "$/MO" => Cell::new(text::usd_short(row.month())),
        "AGE" => Cell::new(text::age(row.created, now)),
        _ if row.attached_to.is_empty() => Cell::with("! unattached", Role::Warn),
        _ => Cell::with(format!("● {}", row.state), Role::Good),
    }
}

/// `use1-a`: the short code and the letter of the zone.
fn short_zone(row: &VolumeRow) -> String {
    let letter = row.zone.strip_prefix(row.origin.region.as_str()).unwrap_or(&row.zone);
    format!("{}-{letter}", row.origin.region.short())
}
