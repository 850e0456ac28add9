//! Snapshots of every region, with detail: the list that copies start from.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::inventory::{SnapshotRow, State as Life, Tier};
use crate::plan::removal::Target;
use crate::tui::action::{Action, Scope};
use crate::tui::catalog::Slot;
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::insides;
use crate::tui::list::{Column, List, Order, word_key};
use crate::tui::model::{Mode, Model};
use crate::tui::overlay::{Overlay, address};
use crate::tui::screen::{ListLayout, Page, Screen, compare, detail, lineage, listing, removal};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::{Cell, Head, put};

/// What the screen keeps.
#[derive(Debug)]
pub struct State {
    /// The list.
    pub list: List,
}

impl Default for State {
    /// The youngest first: what was made last is what one looks for.
    fn default() -> Self {
        Self { list: List::sorted_by(AGE, false) }
    }
}

const ID: usize = 0;
const NAME: usize = 1;
const REGION: usize = 2;
const VOLUME: usize = 3;
const FULL: usize = 4;
const AGE: usize = 5;
const STATE: usize = 6;

/// What it can be sorted by.
pub const COLUMNS: &[Column<SnapshotRow>] = &[
    Column {
        id: "id",
        head: "SNAPSHOT",
        order: by(|r| word_key(&r.id.as_str()[5..]), Some(|a, b| a.id.cmp(&b.id))),
        descending: false,
    },
    Column {
        id: "name",
        head: "NAME",
        // Rows without a name come last, not first.
        order: by(
            |r| r.name.as_deref().map_or(u64::MAX, word_key),
            Some(|a, b| (&a.name, b.started).cmp(&(&b.name, a.started))),
        ),
        descending: false,
    },
    Column {
        id: "region",
        head: "REG",
        order: by(
            |r| word_key(r.origin.region.as_str()),
            Some(|a, b| (&a.origin.region, &a.name).cmp(&(&b.origin.region, &b.name))),
        ),
        descending: false,
    },
    Column { id: "volume", head: "VOLUME", order: by(|r| r.size.0, Some(|a, b| a.id.cmp(&b.id))), descending: true },
    Column {
        id: "full",
        head: "FULL",
        order: by(|r| r.full.map_or(0, |f| f.0 + 1), Some(|a, b| a.id.cmp(&b.id))),
        descending: true,
    },
    // The key is the age, so that the youngest is the least.
    Column {
        id: "age",
        head: "AGE",
        order: by(age_key, Some(|a, b| b.started.cmp(&a.started).then_with(|| a.id.cmp(&b.id)))),
        descending: false,
    },
    Column {
        id: "state",
        head: "FLAGS",
        order: by(|r| r.state as u64, Some(|a, b| b.started.cmp(&a.started))),
        descending: true,
    },
];

const fn by(
    key: fn(&SnapshotRow) -> u64,
    ties: Option<fn(&SnapshotRow, &SnapshotRow) -> std::cmp::Ordering>,
) -> Order<SnapshotRow> {
    Order { key, ties }
}

fn age_key(row: &SnapshotRow) -> u64 {
    u64::MAX / 2 - u64::try_from(row.started.as_second()).unwrap_or(0)
}

const HERE: Scope = Scope::Screen(Screen::Snapshots);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.make(
        "snapshots.copy",
        "copy",
        &["c"],
        22,
        "Copy to a region, a file, or several at once: one line, then a plan.",
        cannot_copy,
        copy,
    ),
    HERE.look(
        "snapshots.compare",
        "compare",
        &["="],
        24,
        "Compare two marked snapshots: what changed, where, and what copying only that takes.",
        compare::cannot,
        compare::open_marked,
    ),
    HERE.look(
        "snapshots.lineage",
        "lineage",
        &["L"],
        26,
        "The chain of its volume, old to new: ages, sizes, what each changed.",
        no_row,
        |m, now| match m.snapshots.list.current().and_then(|at| m.catalog.snapshots.get(at)).cloned() {
            Some(row) => lineage::open(m, &row, now),
            None => Vec::new(),
        },
    ),
    HERE.look(
        "snapshots.inspect",
        "inspect",
        &["i"],
        0,
        "Look inside: partitions, file systems, labels, boot loader; a handful of blocks is read.",
        cannot_inspect,
        |m, _| match m.snapshots.list.current().and_then(|at| m.catalog.snapshots.get(at)) {
            Some(row) => {
                let of = (row.origin.clone(), row.id.clone());
                crate::tui::overlay::inside::open(m, of)
            }
            None => Vec::new(),
        },
    ),
    HERE.look(
        "snapshots.frees",
        "what it frees",
        &["X", "s"],
        0,
        "What removing it, or the marks, would free: the changes of its chain are listed, nothing is removed.",
        no_row,
        |m, now| {
            let rows: Vec<SnapshotRow> = chosen(m).into_iter().cloned().collect();
            insides::ask(m, &rows, now)
        },
    ),
    HERE.look("snapshots.open", "open", &["enter"], 10, "Everything that is known of the snapshot.", no_row, |m, _| {
        m.overlays.push(Overlay::Detail(crate::tui::overlay::detail::State::default()));
        Vec::new()
    }),
    HERE.look("snapshots.detail", "detail", &["d"], 45, "Show or hide the detail.", listing::no_detail, |m, _| {
        m.memory.detail = Some(!m.memory.detail.unwrap_or(true));
        vec![Effect::Remember(m.memory.clone())]
    }),
    HERE.remove(
        "snapshots.delete",
        "delete",
        &["D"],
        0,
        "A deletion plan of the marked snapshots; nothing is deleted by it.",
        no_row,
        |m, _| {
            let one = |row: &SnapshotRow| (row.origin.place(), Target::Snapshot(row.id.clone()));
            let targets = chosen(m).into_iter().map(one).collect();
            let hidden = m.snapshots.list.hidden;
            removal::open(m, targets, hidden)
        },
    ),
];

fn no_row(model: &Model) -> Option<String> {
    model.snapshots.list.is_empty().then(|| "there is no snapshot here yet".to_owned())
}

fn cannot_inspect(model: &Model) -> Option<String> {
    let row = model.snapshots.list.current().and_then(|at| model.catalog.snapshots.get(at));
    row.map_or_else(|| no_row(model), compare::unreadable)
}

fn cannot_copy(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("this deck is read-only: it makes nothing".to_owned());
    }
    if let Some(why) = no_row(model) {
        return Some(why);
    }
    let rows = model.snapshots.list.chosen();
    let bad = rows
        .iter()
        .filter_map(|at| model.catalog.snapshots.get(*at))
        .find(|row| row.state != Life::Completed || row.tier == Tier::Archive)?;
    Some(match (bad.state, bad.tier) {
        (Life::Pending, _) => format!("{} is pending: it can be read when it is completed", bad.id),
        (Life::Error, _) => format!("{} failed on AWS's side and cannot be read", bad.id),
        (Life::Recoverable | Life::Recovering, _) => format!("{} is in the Recycle Bin: restore it first", bad.id),
        (Life::Completed, _) => format!("{} is in the archive tier: restore it to the standard tier first", bad.id),
    })
}

pub(super) fn chosen(model: &Model) -> Vec<&SnapshotRow> {
    model.snapshots.list.chosen().into_iter().filter_map(|at| model.catalog.snapshots.get(at)).collect()
}

fn copy(model: &mut Model, _: Now) -> Vec<Effect> {
    let state = address::State::copy_of(&chosen(model));
    model.overlays.push(Overlay::Address(state));
    Vec::new()
}

/// The door.
pub const PAGE: Page = Page {
    title: "Snapshots",
    is_list: true,
    actions: ACTIONS,
    view,
    note: listing::note,
    command: |model| listing::command(model, "snapshots", &model.snapshots.list),
    hear: Page::deaf,
    key: Page::no_key,
    mouse: Page::no_mouse,
};

/// Where what is drawn.
#[must_use]
pub fn layout(model: &Model, body: Rect) -> ListLayout {
    let detail = listing::has_detail(model, body);
    let legend = model.memory.legend.unwrap_or(true) && body.height >= 26 && body.width >= listing::WIDE;
    let upper = Rect { height: body.height - if legend { 4 } else { 0 }, ..body };
    let side = if detail { (body.width * 5 / 16).clamp(38, 56) } else { 0 };
    let list = Rect { width: body.width - side, ..upper };
    let mut out = ListLayout::of(
        list,
        listing::foot_lines(&model.snapshots.list, body),
        heads(list.width, !model.freed.is_empty()),
    );
    out.side = detail.then_some(Rect { x: list.right(), width: side, ..upper });
    if legend {
        out.below.push(Rect { y: upper.bottom(), height: 4, ..body });
    }
    out
}

/// Columns by width: ids are whole where names stay readable beside them, money and flags go first where they do not.
/// UNIQUE is there once something is known to be in it.
fn heads(width: u16, unique: bool) -> Vec<Head> {
    let inner = width.saturating_sub(2 + 3);
    let unique = unique && inner >= 74;
    let money = !unique && (inner >= 74 || (60..67).contains(&inner));
    let id = if inner >= 77 || (67..74).contains(&inner) { 22 } else { 12 };
    let fixed = id + 1 + 6 + 8 + 9 + 6 + if money { 9 } else { 0 } + if unique { 11 } else { 0 } + 6;
    let name = inner.saturating_sub(fixed + 1).clamp(4, 40);
    let mut out = vec![
        Head::left("SNAPSHOT", id, Some(ID)),
        Head::left("NAME", name, Some(NAME)),
        Head::left("REG", 5, Some(REGION)),
        Head::right("VOLUME", 7, Some(VOLUME)),
        Head::right("FULL", 8, Some(FULL)),
    ];
    if unique {
        out.push(Head::right("UNIQUE", 10, None));
    }
    if money {
        out.push(Head::right("$/MO", 8, Some(FULL)));
    }
    out.push(Head::right("AGE", 5, Some(AGE)));
    if inner >= fixed {
        out.push(Head::left("FLAGS", 5, Some(STATE)));
    }
    out
}

fn view(model: &Model, body: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let layout = layout(model, body);
    let money = layout.columns.iter().any(|h| h.title == "$/MO");
    let unique = layout.columns.iter().any(|h| h.title == "UNIQUE");
    let cells = |slot: &Slot<SnapshotRow>| cells(model, &slot.row, (unique, money), now);
    listing::draw(&model.snapshots.list, &model.catalog.snapshots, &layout, "Snapshots", &cells, buf, theme);
    if let Some(side) = layout.side {
        let inner = panel("Detail", "d hides", false, side, buf, theme);
        let row = model.snapshots.list.current().and_then(|at| model.catalog.snapshots.get(at));
        let lines = row.map(|row| detail::snapshot(model, row, usize::from(inner.width).saturating_sub(2), now));
        detail::draw(&lines.unwrap_or_default(), inner, buf, theme);
    }
    if let Some(area) = layout.below.first() {
        legend(*area, buf, theme);
    }
}

fn cells(model: &Model, row: &SnapshotRow, (unique, money): (bool, bool), now: Now) -> Vec<Cell> {
    use crate::tui::catalog::Record;
    let full = match row.full {
        Some(full) => Cell::new(text::size(full)),
        None => Cell::with("?", Role::Dim),
    };
    let name = row.name.as_deref().map_or_else(|| Cell::with("(none)", Role::Dim), Cell::new);
    let mut out = vec![
        Cell::id(row.id.as_str()),
        name,
        Cell::new(row.origin.region.short()),
        Cell::new(text::size(row.size)),
        full,
    ];
    if unique {
        out.push(match (model.freed.unique(row), is_asked(model, row)) {
            (_, true) => Cell::with("◐", Role::Fresh),
            (known, false) => match known.known() {
                Some(bytes) => Cell::new(format!("{} {}", known.sure.glyph(), text::size(bytes))),
                None => Cell::with("?", Role::Dim),
            },
        });
    }
    if money {
        out.push(Cell::with(text::usd_short(row.month()), Role::Text));
    }
    out.push(Cell::new(text::age(row.started, now)));
    out.push(flags(model, row));
    out
}

fn is_asked(model: &Model, row: &SnapshotRow) -> bool {
    model.freed.running.iter().any(|(origin, id)| *origin == row.origin && *id == row.id)
}

/// Five places: encrypted, used by an AMI, shared (not asked for here), locked or archived, managed.
fn flags(model: &Model, row: &SnapshotRow) -> Cell {
    match (row.state, row.progress) {
        (Life::Pending, Some(percent)) => return Cell::with(format!("◐ {percent}%"), Role::Fresh),
        (Life::Pending, None) => return Cell::with("◐ pend", Role::Fresh),
        (Life::Error, _) => return Cell::with("✗ err", Role::Bad),
        (Life::Recoverable | Life::Recovering, _) => return Cell::with("▽ bin", Role::Dim),
        (Life::Completed, _) => {}
    }
    let mut out = String::with_capacity(5);
    out.push(if row.encrypted { 'E' } else { '·' });
    out.push(if model.catalog.is_used(&row.id) { 'A' } else { '·' });
    out.push(if row.tier == Tier::Archive { '▽' } else { '·' });
    out.push(if row.volume.as_ref().is_some_and(|v| v.is_placeholder()) { 'C' } else { '·' });
    out.push(detail::manager(&row.tags).map_or('·', |(letter, _)| letter));
    Cell::new(out)
}

fn legend(area: Rect, buf: &mut Buffer, theme: &Theme) {
    let inner = panel("Legend", "legend off: :set legend", false, area, buf, theme);
    let lines = [
        "E encrypted  A used by an AMI  ▽ archive tier  C copied (names no volume)  B Backup or DLM  K Kubernetes  V Velero",
        "◐ pending  ✗ failed  ▲ new since you looked   FULL all its blocks, shared ones too   $/MO ≤ if it shared none",
    ];
    for (n, line) in (0u16..).zip(lines) {
        let at = Rect { y: inner.y + n, height: 1, ..inner }.intersection(inner);
        put(at.x + 1, &text::parts(line, usize::from(inner.width).saturating_sub(2)), theme.style(Role::Dim), at, buf);
    }
}
