//! The chain of one volume, old to new: age, full size, what each changed, marks. `←` and `→` walk, `s` counts.
//!
//! A chain is what shares a volume (never the placeholder of copies), or what floe's own tags say was made on what.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::address::Address;
use crate::ids::SnapshotId;
use crate::inventory::{Origin, SnapshotRow};
use crate::plan::compare::look_cost;
use crate::tui::action::{Action, Scope};
use crate::tui::catalog::Ref;
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::figures::{self, What};
use crate::tui::insides;
use crate::tui::model::{Mode, Model};
use crate::tui::overlay::{Overlay, address, detail as over};
use crate::tui::screen::compare::{self, ASK_ABOVE};
use crate::tui::screen::{Page, Screen, chain, detail};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::table::put;
use crate::tui::widget::{gauge, panel};
use crate::units::{Quantity, Usd};

/// Changes counted in one go, those nearest to the cursor.
const COUNTED_MOST: usize = 100;
/// Lines of the panel with the chain.
const CHAIN_LINES: u16 = 11;

/// What the screen keeps.
#[derive(Debug, Default)]
pub struct State {
    /// The snapshot under the cursor, and with it the chain.
    pub at: Option<(Arc<Origin>, SnapshotId)>,
}

/// Opens the chain of a snapshot.
pub fn open(model: &mut Model, row: &SnapshotRow, _: Now) -> Vec<Effect> {
    model.lineage.at = Some((row.origin.clone(), row.id.clone()));
    model.go(Screen::Lineage);
    vec![Effect::ReadCopies]
}

fn place_of(model: &Model) -> Option<Ref> {
    let (origin, id) = model.lineage.at.as_ref()?;
    model.catalog.snapshots.find_in(origin, id)
}

/// The row under the cursor.
fn current(model: &Model) -> Option<&SnapshotRow> {
    model.catalog.snapshots.get(place_of(model)?)
}

/// The chain and where in it the cursor is.
fn chain(model: &Model) -> (Vec<&SnapshotRow>, usize) {
    let Some(row) = current(model) else { return (Vec::new(), 0) };
    let mut chain = model.catalog.lineage(row);
    if chain.is_empty() {
        chain.push(row);
    }
    let at = chain.iter().position(|one| one.id == row.id).unwrap_or(0);
    (chain, at)
}

fn walk(model: &mut Model, to: impl Fn(usize, usize) -> usize) -> Vec<Effect> {
    let (chain, at) = chain(model);
    let next = chain.get(to(at, chain.len()).min(chain.len().saturating_sub(1)));
    if let Some(row) = next {
        model.lineage.at = Some((row.origin.clone(), row.id.clone()));
    }
    Vec::new()
}

/// The changes of the chain that nobody counted yet, those nearest to the cursor, and what counting them costs.
fn uncounted(model: &Model) -> (Vec<What>, Quantity<Usd>) {
    let (chain, at) = chain(model);
    let from = at.saturating_sub(COUNTED_MOST / 2);
    let steps = chain.windows(2).skip(from).take(COUNTED_MOST);
    let mut cost = Quantity::at_most(Usd(0.0));
    let mut out = Vec::new();
    for step in steps {
        let [before, this] = step else { continue };
        let what = What::delta(before, this);
        if model.figures.count(&what).is_none() && compare::unreadable(before).or(compare::unreadable(this)).is_none() {
            let one = look_cost(this.size, &this.origin.region);
            cost = Quantity { value: Usd(cost.value.0 + one.value.0), sure: cost.sure.and(one.sure) };
            out.push(what);
        }
    }
    (out, cost)
}

const HERE: Scope = Scope::Screen(Screen::Lineage);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.look("lineage.older", "older", &["left", "h"], 40, "The one before it.", no_row, |m, _| {
        walk(m, |at, _| at.saturating_sub(1))
    }),
    HERE.look("lineage.newer", "newer", &["right", "l"], 41, "The one after it.", no_row, |m, _| {
        walk(m, |at, _| at + 1)
    }),
    HERE.look("lineage.first", "oldest", &["g", "home"], 0, "The oldest of the chain.", no_row, |m, _| {
        walk(m, |_, _| 0)
    }),
    HERE.look("lineage.last", "newest", &["G", "end"], 0, "The newest of the chain.", no_row, |m, _| {
        walk(m, |_, all| all)
    }),
    HERE.look(
        "lineage.open",
        "open",
        &["enter"],
        15,
        "Everything that is known of the snapshot, in the list.",
        no_row,
        open_row,
    ),
    HERE.look("lineage.mark", "mark", &["space"], 20, "Mark it, here and in the list.", no_row, |m, _| {
        if let Some(at) = place_of(m) {
            let list = &mut m.snapshots.list;
            if !list.marks.remove(&at) {
                list.marks.insert(at);
            }
            list.recount();
        }
        Vec::new()
    }),
    HERE.look(
        "lineage.compare",
        "compare",
        &["="],
        25,
        "Compare the two that are marked; without marks, the one before it with it.",
        |m| two(m).err(),
        |m, now| match two(m) {
            Ok((a, b)) => compare::open(m, a, b, now),
            Err(_) => Vec::new(),
        },
    ),
    HERE.look(
        "lineage.count",
        "count the changes",
        &["s"],
        30,
        "Count what each changed, where that costs less than five cents.",
        cannot_count,
        |m, _| {
            let of = uncounted(m).0;
            figures::count(m, of)
        },
    ),
    HERE.look(
        "lineage.start",
        "start",
        &["S"],
        0,
        "Count what each changed, whatever listing costs.",
        |m| uncounted(m).0.is_empty().then(|| "every change of the chain is counted, or cannot be".to_owned()),
        |m, _| {
            let of = uncounted(m).0;
            figures::count(m, of)
        },
    ),
    HERE.look(
        "lineage.frees",
        "what each frees",
        &["X"],
        0,
        "What removing each, and the marks together, would free: the chain is listed, nothing is removed.",
        no_row,
        |m, now| {
            let rows: Vec<SnapshotRow> = current(m).cloned().into_iter().collect();
            insides::ask(m, &rows, now)
        },
    ),
    HERE.look(
        "lineage.inspect",
        "inspect",
        &["i"],
        0,
        "Look inside: partitions, file systems, labels, boot loader; a handful of blocks is read.",
        |m| current(m).map_or_else(|| no_row(m), compare::unreadable),
        |m, _| match current(m).map(|row| (row.origin.clone(), row.id.clone())) {
            Some(of) => crate::tui::overlay::inside::open(m, of),
            None => Vec::new(),
        },
    ),
    HERE.look(
        "lineage.stop",
        "stop counting",
        &["x"],
        0,
        "Stop the count that runs.",
        |m| (m.figures.left() == 0 && m.freed.running.is_empty()).then(|| "nothing is being counted".to_owned()),
        |m, now| {
            m.say(now, "stopped; what was counted stays");
            let mut effects = figures::stop(m);
            effects.extend(insides::stop_asking(m));
            effects
        },
    ),
    HERE.make("lineage.copy", "copy", &["c"], 22, "Copy the snapshot whole.", cannot_copy, copy),
];

fn no_row(model: &Model) -> Option<String> {
    current(model).is_none().then(|| "the snapshot is not in the list any more: go back with esc".to_owned())
}

fn cannot_count(model: &Model) -> Option<String> {
    if let Some(why) = no_row(model) {
        return Some(why);
    }
    let (of, cost) = uncounted(model);
    if of.is_empty() {
        return Some("every change of the chain is counted, or cannot be".to_owned());
    }
    (cost.value.0 > ASK_ABOVE.0).then(|| {
        format!("counting {} costs {}: S starts it", text::count(of.len() as u64, "change"), compare::money(cost))
    })
}

/// The two to compare: the marks of this chain, or the one before the cursor and it.
fn two(model: &Model) -> Result<(SnapshotRow, SnapshotRow), String> {
    let (chain, at) = chain(model);
    let marks = &model.snapshots.list.marks;
    let is_marked = |row: &&&SnapshotRow| {
        model.catalog.snapshots.find_in(&row.origin, &row.id).is_some_and(|at| marks.contains(&at))
    };
    let marked: Vec<&SnapshotRow> = chain.iter().filter(is_marked).copied().collect();
    let (a, b) = match (marked.as_slice(), at.checked_sub(1)) {
        ([a, b], _) => (*a, *b),
        ([] | [_], Some(before)) => (chain[before], chain[at]),
        ([] | [_], None) => return Err("it is the oldest known: mark two, or go to a newer one".to_owned()),
        _ => return Err("more than two of the chain are marked: unmark some with space".to_owned()),
    };
    match compare::unreadable(a).or_else(|| compare::unreadable(b)) {
        Some(why) => Err(why),
        None => Ok((a.clone(), b.clone())),
    }
}

fn open_row(model: &mut Model, now: Now) -> Vec<Effect> {
    if let Some(at) = place_of(model) {
        model.go(Screen::Snapshots);
        model.snapshots.list.show(at, now);
        model.overlays.push(Overlay::Detail(over::State::default()));
    }
    Vec::new()
}

fn cannot_copy(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("this deck is read-only: it makes nothing".to_owned());
    }
    no_row(model).or_else(|| current(model).and_then(compare::unreadable))
}

fn copy(model: &mut Model, _: Now) -> Vec<Effect> {
    let Some(row) = current(model) else { return Vec::new() };
    model.overlays.push(Overlay::Address(address::State::copy_of(&[row])));
    Vec::new()
}

/// The door.
pub const PAGE: Page = Page {
    title: "Lineage",
    is_list: false,
    actions: ACTIONS,
    view,
    note: |model, _| {
        let (chain, at) = chain(model);
        let counting =
            if model.figures.left() > 0 { format!(" · ◐ {} to count", model.figures.left()) } else { String::new() };
        if chain.is_empty() { String::new() } else { format!("{} of {}{counting}", at + 1, chain.len()) }
    },
    command: |model| {
        let sandbox = if model.sandbox { " --sandbox" } else { "" };
        match chain(model) {
            (chain, at) if at > 0 => {
                let row = chain[at];
                format!(
                    "floe size{sandbox} {}",
                    Address::Delta(row.origin.place(), chain[at - 1].id.clone(), row.id.clone())
                )
            }
            (chain, _) => chain
                .first()
                .map_or_else(|| "floe size".to_owned(), |row| format!("floe size{sandbox} {}", row.address())),
        }
    },
    hear: Page::deaf,
    key: Page::no_key,
    mouse: Page::no_mouse,
};

/// What a step changed, in few characters: `= 402 G`, `?`, `✗`.
pub(super) fn change(model: &Model, before: &SnapshotRow, this: &SnapshotRow) -> (String, Role) {
    let what = What::delta(before, this);
    match (model.figures.count(&what), model.figures.is_coming(&what), figures::failure(model, &what)) {
        (Some(counted), ..) => (format!("= {}", text::size(counted.blocks.bytes())), Role::Text),
        (None, true, _) => ("◐ counting".to_owned(), Role::Fresh),
        (None, false, Some(_)) => ("✗ not told".to_owned(), Role::Bad),
        (None, false, None) => ("?".to_owned(), Role::Dim),
    }
}

fn view(model: &Model, body: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let (chain, at) = chain(model);
    let height = CHAIN_LINES.min(body.height);
    let upper = Rect { height, ..body };
    let Some(row) = chain.get(at) else {
        let inner = panel("Lineage", "esc back", true, body, buf, theme);
        put(inner.x + 1, "the snapshot is not in the list any more", theme.style(Role::Dim), inner, buf);
        return;
    };
    let volume = match &row.volume {
        Some(volume) if !volume.is_placeholder() => volume.to_string(),
        _ => "what floe made on it".to_owned(),
    };
    let title = format!("Lineage of {}, {}", row.name.as_deref().unwrap_or(&volume), row.origin.region);
    let inner = panel(&title, "← → walk · space mark · enter opens", true, upper, buf, theme);
    drawn(model, &chain, at, inner, buf, theme, now);
    let lower = Rect { y: body.y + height, height: body.height - height, ..body };
    if lower.height < 3 {
        return;
    }
    let inner = panel(row.id.as_str(), &volume, false, lower, buf, theme);
    let lines = detail::snapshot(model, row, usize::from(inner.width).saturating_sub(2), now);
    // Its id is the title, and its chain is drawn above.
    detail::draw(lines.get(1..).unwrap_or_default(), inner, buf, theme);
}

/// The chain, from old to new; what does not fit is counted at its ends.
fn drawn(model: &Model, chain: &[&SnapshotRow], at: usize, inner: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let marked = |row: &SnapshotRow| {
        let place = model.catalog.snapshots.find_in(&row.origin, &row.id);
        place.is_some_and(|place| model.snapshots.list.marks.contains(&place))
    };
    let changed = |here: usize| {
        let step = here.checked_sub(1).map(|before| change(model, chain[before], chain[here]));
        step.unwrap_or_else(|| ("whole".to_owned(), Role::Dim))
    };
    let largest = steps(model, chain).map(|(blocks, _)| blocks).max().unwrap_or(0);
    // What only it holds, once that is known; till then how much it changed, drawn.
    let own = |here: usize| {
        let (row, before) = (chain[here], here.checked_sub(1));
        let blocks = before.and_then(|before| model.figures.count(&What::delta(chain[before], row)));
        let unique = model.freed.unique(row);
        match (unique.known(), blocks) {
            (Some(bytes), _) => (format!("{} {} own", unique.sure.glyph(), text::size(bytes)), Role::Text),
            (None, Some(blocks)) => {
                let share = gauge::share(blocks.blocks.0, largest);
                let part = gauge::filled(share, usize::from(chain::NODE) - 3);
                ("█".repeat(part.max(usize::from(blocks.blocks.0 > 0))), Role::Gauge)
            }
            (None, None) => (String::new(), Role::Text),
        }
    };
    let nodes = chain::Nodes { chain, at, marked: &marked };
    let shown = nodes.draw(model, &[("changed", &changed), ("", &own)], inner, buf, theme, now);
    let room = usize::from(inner.width).saturating_sub(2);
    for (n, (said, role)) in (6u16..).zip(sentences(model, chain, shown.start, shown.len())) {
        let line = Rect { y: inner.y + n, height: 1, ..inner }.intersection(inner);
        put(inner.x + 1, &text::clauses(&said, room), theme.style(role), line, buf);
    }
}

/// Every step of the chain that was counted: its blocks and bytes.
fn steps<'a>(model: &'a Model, chain: &'a [&SnapshotRow]) -> impl Iterator<Item = (u64, u64)> + 'a {
    let counted = chain.windows(2).filter_map(|step| model.figures.count(&What::delta(step[0], step[1])));
    counted.map(|counted| (counted.blocks.0, counted.blocks.bytes().0))
}

/// What the marks of this chain free together, beside what each frees alone.
fn what_if(model: &Model, chain: &[&SnapshotRow]) -> Option<(String, Role)> {
    if !model.freed.running.is_empty() {
        return Some(("◐ asking what removing frees, x stops".to_owned(), Role::Fresh));
    }
    let is_marked = |row: &&&SnapshotRow| {
        let place = model.catalog.snapshots.find_in(&row.origin, &row.id);
        place.is_some_and(|place| model.snapshots.list.marks.contains(&place))
    };
    let marked: Vec<&SnapshotRow> = chain.iter().filter(is_marked).copied().collect();
    let first = marked.first()?;
    let together = model.freed.together(&marked)?;
    let bytes = together.bytes;
    let sure = together.label.sure();
    let alone = marked.iter().map(|row| model.freed.unique(row).value).sum::<crate::units::Bytes>();
    let price = crate::plan::Prices::bundled().snapshot_month(&first.origin.region);
    let usd = price.known().map_or_else(String::new, |usd| {
        format!(" · {} {} a month", sure.and(price.sure).glyph(), Usd(bytes.as_gib() * usd.0))
    });
    let figure = format!("{} {}", sure.glyph(), text::size(bytes));
    Some((
        format!("{} marked free {figure} together{usd} · alone, summed, {}", marked.len(), text::size(alone)),
        Role::Marked,
    ))
}

/// What is not drawn, and what all changes are together.
fn sentences(model: &Model, chain: &[&SnapshotRow], first: usize, shown: usize) -> Vec<(String, Role)> {
    let mut out = Vec::new();
    let after = chain.len() - first - shown;
    if first > 0 || after > 0 {
        out.push((format!("{first} older and {after} newer are not drawn, g and G go to the ends"), Role::Dim));
    } else if chain.len() == 1 {
        out.push(("no other snapshot of its volume is known".to_owned(), Role::Dim));
    } else {
        out.push((format!("all {} known are drawn", chain.len()), Role::Dim));
    }
    out.extend(what_if(model, chain));
    let (known, all) = (steps(model, chain).count(), chain.len().saturating_sub(1));
    let sum = crate::units::Bytes(steps(model, chain).map(|(_, bytes)| bytes).sum());
    let (of, cost) = uncounted(model);
    if model.figures.left() > 0 {
        out.push((
            format!("◐ {} still to count, x stops", text::count(model.figures.left() as u64, "change")),
            Role::Fresh,
        ));
    } else if !of.is_empty() {
        out.push((
            format!("s counts {}: listing only, {}", text::count(of.len() as u64, "change"), compare::money(cost)),
            Role::Fresh,
        ));
    }
    if known > 0 {
        let sure = if known == all { "=" } else { "≥" };
        out.push((format!("changed in all {sure} {}, {known} of {all} steps counted", text::size(sum)), Role::Text));
    }
    out
}
