//! Volume by region: how old the newest proved copy of each is, and where there is none.
//!
//! From floe's records, what the lists show now, and tags. An age is the age of what the copy shows: what would be lost
//! if only it were left. Worst first.

mod families;

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub use families::{Copied, Family, Spot};

use super::rows::{Cursor, lines};
use crate::inventory::SnapshotRow;
use crate::tui::action::{Action, Scope};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::{Mode, Model};
use crate::tui::msg::Msg;
use crate::tui::overlay::{Overlay, address};
use crate::tui::screen::{Page, Screen, compare, lineage};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::stack::{Want, heights};
use crate::tui::widget::table::{self, Cell, Head, Look, put};

/// While pages come in the rows are made anew at most this often: it goes over every snapshot once.
const ANEW: Duration = Duration::from_secs(1);
/// Columns of one place.
const PLACE: u16 = 8;

/// What the screen keeps.
#[derive(Debug, Default)]
pub struct State {
    /// Volumes, those without any proved copy first.
    pub rows: Vec<Family>,
    /// Places that hold a copy of any.
    pub spots: Vec<Spot>,
    /// The one under the cursor.
    pub cursor: Cursor,
    /// Of which rows these were made, and when.
    made: Option<(u64, Duration)>,
}

/// Opens it.
pub fn open(model: &mut Model, now: Now) -> Vec<Effect> {
    model.go(Screen::Elsewhere);
    rebuild(model, now);
    vec![Effect::ReadCopies]
}

fn rebuild(model: &mut Model, now: Now) {
    let here = model.elsewhere.rows.get(model.elsewhere.cursor.0).map(|row| (row.origin.clone(), row.volume.clone()));
    let (rows, spots) = families::all(model);
    let at = here.and_then(|(origin, volume)| rows.iter().position(|r| r.origin == origin && r.volume == volume));
    let cursor = Cursor(at.unwrap_or(0));
    model.elsewhere = State { rows, spots, cursor, made: Some((model.catalog.snapshots.revision, now.mono)) };
}

/// When the rows should be made anew, while newer ones of the catalog wait.
#[must_use]
pub fn wakes(model: &Model) -> Option<Duration> {
    let (revision, at) = model.elsewhere.made.filter(|_| model.screen == Screen::Elsewhere)?;
    (revision != model.catalog.snapshots.revision).then(|| at + ANEW)
}

fn hear(model: &mut Model, msg: &Msg, now: Now) -> Vec<Effect> {
    if model.screen == Screen::Elsewhere
        && (matches!(msg, Msg::Copies(_)) || wakes(model).is_some_and(|at| at <= now.mono))
    {
        rebuild(model, now);
    }
    Vec::new()
}

fn current(model: &Model) -> Option<&Family> {
    model.elsewhere.rows.get(model.elsewhere.cursor.0)
}

/// The newest snapshot of the volume under the cursor.
fn newest(model: &Model) -> Option<&SnapshotRow> {
    let family = current(model)?;
    model.catalog.snapshots.get(model.catalog.snapshots.find_in(&family.origin, &family.newest)?)
}

fn step(model: &mut Model, by: isize) -> Vec<Effect> {
    let rows = model.elsewhere.rows.len();
    model.elsewhere.cursor.step(by, rows);
    Vec::new()
}

const HERE: Scope = Scope::Screen(Screen::Elsewhere);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.look("elsewhere.down", "down", &["down", "j"], 0, "One volume down.", no_row, |m, _| step(m, 1)),
    HERE.look("elsewhere.up", "up", &["up", "k"], 0, "One volume up.", no_row, |m, _| step(m, -1)),
    HERE.look("elsewhere.page-down", "page down", &["pgdn", "ctrl-d"], 0, "Ten volumes down.", no_row, |m, _| {
        step(m, 10)
    }),
    HERE.look("elsewhere.page-up", "page up", &["pgup", "ctrl-u"], 0, "Ten volumes up.", no_row, |m, _| step(m, -10)),
    HERE.look("elsewhere.first", "first", &["g", "home"], 0, "The first volume.", no_row, |m, _| step(m, isize::MIN)),
    HERE.look("elsewhere.last", "last", &["G", "end"], 0, "The last volume.", no_row, |m, _| step(m, isize::MAX)),
    HERE.look(
        "elsewhere.open",
        "its newest",
        &["enter"],
        10,
        "The newest snapshot of the volume, in the list.",
        no_newest,
        |m, now| {
            let at = newest(m).and_then(|row| m.catalog.snapshots.find_in(&row.origin, &row.id));
            if let Some(at) = at {
                m.go(Screen::Snapshots);
                m.snapshots.list.show(at, now);
            }
            Vec::new()
        },
    ),
    HERE.look("elsewhere.lineage", "lineage", &["L"], 26, "The chain of the volume.", no_newest, |m, now| {
        newest(m).cloned().map(|row| lineage::open(m, &row, now)).unwrap_or_default()
    }),
    HERE.make(
        "elsewhere.copy",
        "copy the newest",
        &["c"],
        20,
        "Copy the newest snapshot of the volume.",
        cannot_copy,
        copy,
    ),
];

fn no_row(model: &Model) -> Option<String> {
    model.elsewhere.rows.is_empty().then(|| "there is no volume with a snapshot here yet".to_owned())
}

fn no_newest(model: &Model) -> Option<String> {
    no_row(model).or_else(|| newest(model).is_none().then(|| "its newest snapshot is gone: r looks again".to_owned()))
}

fn cannot_copy(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("this deck is read-only: it makes nothing".to_owned());
    }
    no_newest(model).or_else(|| newest(model).and_then(compare::unreadable))
}

fn copy(model: &mut Model, _: Now) -> Vec<Effect> {
    let Some(row) = newest(model) else { return Vec::new() };
    model.overlays.push(Overlay::Address(address::State::copy_of(&[row])));
    Vec::new()
}

/// The door.
pub const PAGE: Page = Page {
    title: "Elsewhere",
    is_list: false,
    actions: ACTIONS,
    view,
    note: |model, _| {
        let bare = model.elsewhere.rows.iter().filter(|row| row.proved.is_none()).count();
        format!(
            "{} of {} nowhere else",
            crate::units::grouped(bare as u64),
            text::count(model.elsewhere.rows.len() as u64, "volume")
        )
    },
    command: |model| super::listing::command(model, "snapshots", &model.snapshots.list),
    hear,
    key: Page::no_key,
    mouse: Page::no_mouse,
};

fn view(model: &Model, body: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let wants = [
        Want { least: 5, most: 200, worth: 9 },
        Want { least: 4, most: 11, worth: 5 },
        Want { least: 3, most: 3, worth: 1 },
    ];
    let parts = heights(body.height, &wants[..if body.height >= 24 { 3 } else { 2 }]);
    // The table takes what the others leave.
    let below: u16 = if body.height >= 24 { 11 + 3 } else { parts.get(1).copied().unwrap_or(0).min(7) };
    let upper = Rect { height: body.height - below.min(body.height), ..body };
    rows(model, upper, buf, theme, now);
    let side = Rect { y: upper.bottom(), height: below.saturating_sub(if body.height >= 24 { 3 } else { 0 }), ..body };
    if side.height > 2 {
        copies(model, side, buf, theme, now);
    }
    let last = Rect { y: side.bottom(), height: body.bottom().saturating_sub(side.bottom()), ..body };
    if last.height == 3 {
        let inner = panel("Legend", "", false, last, buf, theme);
        let said = "✓ proved by floe  ? only a tag says so  ! claimed  ✗ none, or gone   an age is that of what the copy shows";
        put(
            inner.x + 1,
            &text::parts(said, usize::from(inner.width).saturating_sub(2)),
            theme.style(Role::Dim),
            inner,
            buf,
        );
    }
}

/// Columns by width: those of places come last, as many as there is room for.
fn heads(model: &Model, width: u16) -> (Vec<Head>, usize) {
    let inner = width.saturating_sub(2 + table::GUTTER);
    let id = if inner >= 90 { 21 } else { 10 };
    let fixed = id + 1 + 6 + 6 + 7 + 9;
    let rest = inner.saturating_sub(fixed);
    let name = (rest / 3).clamp(6, 18);
    let mut out = vec![
        Head::left("VOLUME", id, None),
        Head::left("NAME", name, None),
        Head::left("HOME", 5, None),
        Head::right("SNAPS", 5, None),
        Head::right("NEWEST", 6, None),
        Head::left("PROVED", 8, None),
    ];
    let places = usize::from(rest.saturating_sub(name + 1) / (PLACE + 1)).min(model.elsewhere.spots.len());
    out.extend(std::iter::repeat_n(Head::left("", PLACE, None), places));
    (out, places)
}

fn rows(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let state = &model.elsewhere;
    let hidden = |places: usize| match state.spots.len().saturating_sub(places) {
        0 => "worst first".to_owned(),
        n => format!("worst first · {} not shown", text::count(n as u64, "place")),
    };
    let (heads, places) = heads(model, area.width);
    let inner = panel("Elsewhere: the newest copy of each volume", &hidden(places), true, area, buf, theme);
    let line = Rect { height: inner.height.min(1), ..inner };
    table::heads(&heads, None, line, buf, theme);
    // Names of places are not known when the table is built, so they stand over its last columns.
    let mut x = inner.x + table::GUTTER + heads[..6].iter().map(|head| head.width + 1).sum::<u16>();
    for spot in state.spots.iter().take(places) {
        put(x, &text::clip(&spot.short(), usize::from(PLACE)), theme.style(Role::Dim), line, buf);
        x += PLACE + 1;
    }
    let body = Rect { y: inner.y + line.height, height: inner.height.saturating_sub(1), ..inner };
    for (n, line) in lines(state.cursor, state.rows.len(), body) {
        let row = &state.rows[n];
        let look = Look { cursor: n == state.cursor.0, ..Look::default() };
        let mut cells = vec![
            Cell::id(row.volume.as_str()),
            row.name.as_deref().map_or_else(|| Cell::with("(none)", Role::Dim), Cell::new),
            Cell::new(row.origin.region.short()),
            Cell::new(crate::units::grouped(row.snapshots)),
            Cell::new(text::age(row.started, now)),
            match row.proved {
                Some(when) => Cell::with(format!("✓ {}", text::age(when, now)), Role::Good),
                None => Cell::with("✗ none", Role::Bad),
            },
        ];
        cells.extend(state.spots.iter().take(places).map(|spot| cell(row, spot, now)));
        table::row(&heads, &cells, look, line, buf, theme);
    }
    if state.rows.is_empty() {
        let said = "no volume with a snapshot is known yet";
        put(body.x + 3, said, theme.style(Role::Dim), body, buf);
    }
}

/// What one place has of one volume.
fn cell(row: &Family, spot: &Spot, now: Now) -> Cell {
    if *spot == Spot::Region(row.origin.region.clone()) && row.best(spot).is_none() {
        return Cell::with("home", Role::Dim);
    }
    match row.best(spot) {
        Some(copy) => {
            let (glyph, _) = copy.copy.proof.words();
            let age = copy.shows.map_or_else(|| "?".to_owned(), |when| text::age(when, now));
            let word = if glyph == '✗' { "gone".to_owned() } else { age };
            Cell::with(format!("{glyph} {word}"), role(glyph))
        }
        None => Cell::with("✗ none", Role::Dim),
    }
}

const fn role(glyph: char) -> Role {
    match glyph {
        '✓' => Role::Good,
        '✗' => Role::Bad,
        '!' => Role::Warn,
        _ => Role::Dim,
    }
}

/// Every copy of the volume under the cursor.
fn copies(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let Some(row) = current(model) else {
        panel("Copies", "", false, area, buf, theme);
        return;
    };
    let title = format!("Copies of {} {}", row.volume, row.name.as_deref().unwrap_or(""));
    let inner = panel(title.trim_end(), "c copies the newest · L lineage", false, area, buf, theme);
    let room = usize::from(inner.width).saturating_sub(2);
    let line = |n: u16| Rect { y: inner.y + n, height: 1, ..inner }.intersection(inner);
    if row.copies.is_empty() {
        let said = "✗ no copy of any of its snapshots is known: neither a record of floe nor a tag tells of one";
        put(inner.x + 1, &text::clauses(said, room), theme.style(Role::Bad), line(0), buf);
        return;
    }
    for (n, copied) in (0..inner.height).zip(&row.copies) {
        let (glyph, how) = copied.copy.proof.words();
        let shows = copied.shows.map_or_else(|| "?".to_owned(), |when| text::age(when, now));
        let made = text::age(copied.copy.since, now);
        let said = format!(
            "{glyph} {} of {}, {} old, copied {made} ago, {how}",
            text::left(&crate::tui::elsewhere::place(&copied.copy), 22),
            text::tail(copied.copy.of.id.as_str(), 9),
            text::right(&shows, 5),
        );
        put(inner.x + 1, &text::clauses(&said, room), theme.style(role(glyph)), line(n), buf);
    }
}
