//! Two snapshots compared, oldest to newest whatever the order of the marks: what changed, where, and what copying only
//! that takes. Where AWS lists no changes between them, why, and what reading both would cost.
//!
//! The figures are those of [`crate::tui::figures`]: counted once, kept while the deck is open.

mod map;
pub mod view;

use crate::address::Address;
use crate::error::Error;
use crate::inventory::{SnapshotRow, State as Life, Tier};
use crate::plan::compare::{is_unrelated, look_cost};
use crate::tui::action::{Action, Scope};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::elsewhere::{bases, held};
use crate::tui::figures::{self, Count, Progress, What};
use crate::tui::model::{Mode, Model};
use crate::tui::overlay::{Overlay, address};
use crate::tui::screen::{Page, Screen, lineage, snapshots};
use crate::units::{Quantity, Usd};

/// A look that costs more says so first and starts with `S`.
pub const ASK_ABOVE: Usd = Usd(0.05);

/// What a look costs, in words: hundredths of a cent are the least that is told.
#[must_use]
pub fn money(cost: Quantity<Usd>) -> String {
    format!("{} {}", cost.sure.glyph(), Usd(cost.value.0.max(0.0001)))
}

/// What the screen keeps.
#[derive(Debug, Default)]
pub struct State {
    /// The older and the newer, as they were when they were chosen: a snapshot never changes.
    pub pair: Option<(SnapshotRow, SnapshotRow)>,
}

/// Where a comparison stands.
#[derive(Debug, Clone, Copy)]
pub enum Stage<'a> {
    /// Nothing was chosen.
    Nothing,
    /// It would cost this, and nobody said yes yet.
    Ask(Quantity<Usd>),
    /// It is being counted, or will be.
    Counting(Option<&'a Progress>),
    /// It was counted.
    Done(&'a Count),
    /// AWS lists no changes between them: it said so, or cannot be asked.
    Apart(Option<&'a Error>),
    /// It could not be counted.
    Failed(&'a Error),
}

/// Where the comparison on screen stands.
#[must_use]
pub fn stage(model: &Model) -> Stage<'_> {
    let Some((older, newer)) = &model.compare.pair else { return Stage::Nothing };
    if !is_one_place(older, newer) {
        return Stage::Apart(None);
    }
    let what = What::delta(older, newer);
    match model.figures.get(&what) {
        _ if model.figures.is_coming(&what) => Stage::Counting(model.figures.progress(&what)),
        Some(Ok(count)) => Stage::Done(count),
        Some(Err(error)) if is_unrelated(error) => Stage::Apart(Some(error)),
        Some(Err(error)) => Stage::Failed(error),
        None => Stage::Ask(look_cost(newer.size, &newer.origin.region)),
    }
}

/// Changes are listed only within one account's region.
fn is_one_place(a: &SnapshotRow, b: &SnapshotRow) -> bool {
    a.origin.region == b.origin.region && a.origin.account == b.origin.account
}

/// Why the marked two cannot be compared.
#[must_use]
pub fn cannot(model: &Model) -> Option<String> {
    match snapshots::chosen(model).as_slice() {
        [a, b] => unreadable(a).or_else(|| unreadable(b)),
        _ => Some("mark two snapshots of one lineage (space marks a row), then = compares them".to_owned()),
    }
}

/// Why blocks of a snapshot cannot be listed.
#[must_use]
pub fn unreadable(row: &SnapshotRow) -> Option<String> {
    match (row.state, row.tier) {
        (Life::Completed, Tier::Standard) => None,
        (Life::Completed, Tier::Archive) => {
            Some(format!("{} is in the archive tier: restore it to the standard tier first", row.id))
        }
        (Life::Pending, _) => Some(format!("{} is pending: it can be read when it is completed", row.id)),
        (Life::Error, _) => Some(format!("{} failed on AWS's side and cannot be read", row.id)),
        (Life::Recoverable | Life::Recovering, _) => {
            Some(format!("{} is in the Recycle Bin: restore it first", row.id))
        }
    }
}

/// Compares the two that are marked.
pub fn open_marked(model: &mut Model, now: Now) -> Vec<Effect> {
    let rows: Vec<SnapshotRow> = snapshots::chosen(model).into_iter().cloned().collect();
    let [a, b] = rows.as_slice() else { return Vec::new() };
    open(model, a.clone(), b.clone(), now)
}

/// Compares two; the older is the first whatever the order.
pub fn open(model: &mut Model, a: SnapshotRow, b: SnapshotRow, _: Now) -> Vec<Effect> {
    let key = |row: &SnapshotRow| (row.started, row.size, row.id.clone());
    model.compare.pair = Some(if key(&a) <= key(&b) { (a, b) } else { (b, a) });
    model.go(Screen::Compare);
    let mut effects = vec![Effect::ReadCopies];
    // What costs next to nothing is done at once; what does not waits for its `S`.
    if matches!(stage(model), Stage::Ask(cost) if cost.value.0 <= ASK_ABOVE.0)
        || matches!(stage(model), Stage::Failed(_))
    {
        effects.extend(begin(model));
    }
    effects
}

fn begin(model: &mut Model) -> Vec<Effect> {
    let Some((older, newer)) = &model.compare.pair else { return Vec::new() };
    let what = What::delta(older, newer);
    figures::count(model, vec![what])
}

/// The delta as a source.
fn source(older: &SnapshotRow, newer: &SnapshotRow) -> Address {
    Address::Delta(newer.origin.place(), older.id.clone(), newer.id.clone())
}

const HERE: Scope = Scope::Screen(Screen::Compare);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.make(
        "compare.copy",
        "copy the difference",
        &["c"],
        10,
        "Copy only what differs, onto a copy of the older: one line, then a plan.",
        cannot_copy,
        copy,
    ),
    HERE.look(
        "compare.start",
        "start",
        &["S"],
        12,
        "Compare although listing costs more than five cents; or once more after a failure.",
        cannot_start,
        |m, _| begin(m),
    ),
    HERE.look(
        "compare.count",
        "count the newer",
        &["s"],
        20,
        "Count every block of the newer, so that what is the same is exact.",
        cannot_count,
        |m, _| match &m.compare.pair {
            Some((_, newer)) => {
                let what = What::whole(newer);
                figures::count(m, vec![what])
            }
            None => Vec::new(),
        },
    ),
    HERE.look(
        "compare.stop",
        "stop counting",
        &["x"],
        25,
        "Stop the count that runs; what it found so far is dropped.",
        |m| (m.figures.left() == 0).then(|| "nothing is being counted".to_owned()),
        |m, now| {
            m.say(now, "stopped; S counts again");
            figures::stop(m)
        },
    ),
    HERE.look(
        "compare.lineage",
        "lineage",
        &["L"],
        30,
        "The whole chain that the newer belongs to.",
        |m| m.compare.pair.is_none().then(nothing),
        |m, now| match &m.compare.pair {
            Some((_, newer)) => {
                let newer = newer.clone();
                lineage::open(m, &newer, now)
            }
            None => Vec::new(),
        },
    ),
];

fn nothing() -> String {
    "nothing is compared: mark two snapshots, then = compares them".to_owned()
}

fn cannot_start(model: &Model) -> Option<String> {
    match stage(model) {
        Stage::Nothing => Some(nothing()),
        Stage::Ask(_) | Stage::Failed(_) => None,
        Stage::Counting(_) => Some("it is being counted".to_owned()),
        Stage::Done(_) => Some("it is counted, and a snapshot never changes".to_owned()),
        Stage::Apart(_) => {
            Some("AWS lists no changes between these two; y copies the command that reads both".to_owned())
        }
    }
}

fn cannot_count(model: &Model) -> Option<String> {
    let Some((_, newer)) = &model.compare.pair else { return Some(nothing()) };
    let what = What::whole(newer);
    if model.figures.count(&what).is_some() {
        return Some(format!("{} is counted already", newer.id));
    }
    match stage(model) {
        Stage::Counting(_) => Some("one count at a time: this one is not done yet".to_owned()),
        _ if model.figures.is_coming(&what) => Some("it is being counted".to_owned()),
        _ => None,
    }
}

fn cannot_copy(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("this deck is read-only: it makes nothing".to_owned());
    }
    match stage(model) {
        Stage::Nothing => Some(nothing()),
        Stage::Apart(_) => Some("there is no delta between these two: copy the newer whole from the list".to_owned()),
        Stage::Ask(_) | Stage::Counting(_) | Stage::Done(_) | Stage::Failed(_) => None,
    }
}

fn copy(model: &mut Model, _: Now) -> Vec<Effect> {
    let Some((older, newer)) = &model.compare.pair else { return Vec::new() };
    let what = format!("{}..{} {}", older.id, newer.id, newer.name.as_deref().unwrap_or(""));
    let state = address::State {
        sources: vec![source(older, newer)],
        what: what.trim_end().to_owned(),
        bases: bases(model, &held(older)),
        ..address::State::default()
    };
    model.overlays.push(Overlay::Address(state));
    Vec::new()
}

/// The door.
pub const PAGE: Page = Page {
    title: "Compare",
    is_list: false,
    actions: ACTIONS,
    view: view::view,
    note: |model, _| match stage(model) {
        Stage::Counting(_) => "◐ counting".to_owned(),
        Stage::Done(_) => "● counted, kept".to_owned(),
        _ => String::new(),
    },
    command,
    hear: Page::deaf,
    key: Page::no_key,
    mouse: Page::no_mouse,
};

fn command(model: &Model) -> String {
    let sandbox = if model.sandbox { " --sandbox" } else { "" };
    match (&model.compare.pair, stage(model)) {
        (Some((older, newer)), Stage::Apart(_)) => {
            format!("floe verify{sandbox} {} {}", older.address(), newer.address())
        }
        (Some((older, newer)), _) => format!("floe size{sandbox} {}", source(older, newer)),
        (None, _) => "floe size".to_owned(),
    }
}
