//! Orphans: what nothing refers to, why we think so, and what keeps us from being sure.
//!
//! The survey starts when the screen is opened, and again with `r`; bulk answers fill the list, what is asked one by
//! one settles it. Marks are handed to the deletion plan as [`marked`]; nothing is deleted from here.

mod row;
#[cfg(test)]
pub mod tests;
mod view;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::inventory::Origin;
use crate::inventory::relations::{Region, Update};
use crate::inventory::verdict::{Doubt, Judged, Thing, View, doubts, statement};
use crate::tui::action::{Action, Danger, Scope};
use crate::tui::catalog::{Load, Record, Table};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::list::{Column, List, Order, word_key};
use crate::tui::model::Model;
use crate::tui::msg::Msg;
use crate::tui::overlay::{Overlay, detail as over};
use crate::tui::screen::{Page, Screen, lineage, listing};
use crate::tui::text;
use crate::tui::update::export;

pub use row::{OrphanRow, TALLY_ORPHAN, TALLY_UNKNOWN};
pub use view::{layout, why};

/// The filter that the list opens with; `esc` drops it.
const FIRST: &str = "verdict:orphan|unknown";

/// What the screen keeps.
#[derive(Debug)]
pub struct State {
    /// The list.
    pub list: List,
    /// Everything that was judged.
    pub table: Table<OrphanRow>,
    /// What keeps things from being orphans for want of an answer.
    pub doubts: Vec<Doubt>,
    /// Single questions under way: answered, of so many.
    pub asking: BTreeMap<String, (usize, usize)>,
    /// Regions that will be told of.
    pub expected: usize,
    /// The survey that runs or ran; 0: none yet.
    pub number: u64,
    /// Whether it is over.
    pub finished: bool,
    of_region: BTreeMap<String, Vec<Doubt>>,
}

impl Default for State {
    /// What frees most first.
    fn default() -> Self {
        Self {
            list: List::sorted_by(4, true),
            table: Table::default(),
            doubts: Vec::new(),
            asking: BTreeMap::new(),
            expected: 0,
            number: 0,
            finished: false,
            of_region: BTreeMap::new(),
        }
    }
}

impl State {
    /// How many there are of what a tally counts, and whether more may come.
    #[must_use]
    pub fn count(&self, tally: usize) -> (u64, bool) {
        (self.table.shards.iter().map(|shard| shard.tally[tally]).sum(), !self.finished)
    }

    /// How many there are in a region; none while it was not judged.
    #[must_use]
    pub fn of(&self, origin: &Origin) -> Option<u64> {
        let shard = self.table.of(origin)?;
        let judged = !matches!(shard.load, Load::Waiting | Load::Failed { .. });
        judged.then(|| shard.tally[TALLY_ORPHAN])
    }

    /// Drops what was judged of other profiles or regions.
    pub fn emptied(&self) -> Self {
        Self { list: self.list.emptied(), ..Self::default() }
    }
}

fn by_id(a: &OrphanRow, b: &OrphanRow) -> Ordering {
    a.id().cmp(b.id())
}

const fn by(key: fn(&OrphanRow) -> u64) -> Order<OrphanRow> {
    Order { key, ties: Some(by_id) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cents of a price are small and positive")]
fn cents(row: &OrphanRow) -> u64 {
    row.usd.map_or(0, |usd| (usd * 10_000.0) as u64)
}

fn age(row: &OrphanRow) -> u64 {
    row.made().map_or(0, |made| u64::MAX / 2 - u64::try_from(made.as_second()).unwrap_or(0))
}

/// What it can be sorted by.
pub const COLUMNS: &[Column<OrphanRow>] = &[
    Column { id: "id", head: "THING", order: by(|r| word_key(r.id())), descending: false },
    Column { id: "name", head: "NAME", order: by(|r| word_key(r.name().unwrap_or_default())), descending: false },
    Column { id: "region", head: "REG", order: by(|r| word_key(r.origin().region.as_str())), descending: false },
    Column { id: "verdict", head: "BECAUSE", order: by(|r| r.standing.verdict as u64), descending: false },
    Column { id: "frees", head: "FREES", order: by(|r| r.frees.bytes.0), descending: true },
    Column { id: "cost", head: "$/MO", order: by(cents), descending: true },
    Column { id: "age", head: "AGE", order: by(age), descending: true },
];

/// Opens the screen; the first time the survey starts.
pub fn open(model: &mut Model, now: Now) -> Vec<Effect> {
    model.go(Screen::Orphans);
    if model.orphans.number == 0 { start(model, false, now) } else { Vec::new() }
}

/// Starts the survey, anew or with what was answered within ten minutes.
pub fn start(model: &mut Model, anew: bool, now: Now) -> Vec<Effect> {
    let number = model.number();
    let state = &mut model.orphans;
    if state.number == 0 {
        state.list.set_filter(FIRST, now);
    }
    (state.number, state.finished, state.expected) = (number, false, 0);
    state.asking.clear();
    vec![Effect::Judge {
        number,
        profiles: model.chosen_profiles.clone(),
        regions: model.chosen_regions.clone(),
        policy: Box::new((*model.rules.policy).clone()),
        anew,
    }]
}

/// The marked things, or the one under the cursor, judged: what a deletion plan is made of.
#[must_use]
pub fn marked(model: &Model, now: Now) -> Vec<Judged> {
    let state = &model.orphans;
    state.list.chosen().into_iter().filter_map(|at| state.table.get(at)?.judged(now.wall)).collect()
}

fn hear(model: &mut Model, msg: &Msg, now: Now) -> Vec<Effect> {
    let Msg::Judged(number, update) = msg else { return Vec::new() };
    if *number != model.orphans.number {
        return Vec::new();
    }
    let trouble = match &**update {
        Update::Regions(count) => {
            model.orphans.expected += count;
            None
        }
        Update::Bulk(region) => take(model, region, false, now),
        Update::Done(region) => take(model, region, true, now),
        Update::Asking { origin, done, of } => {
            model.orphans.asking.insert(origin.region.to_string(), (*done, *of));
            None
        }
        Update::Failed { origin, error, denied } => {
            model.orphans.table.failed(origin, error.clone(), *denied);
            Some(error.clone())
        }
        Update::ProfileFailed(_, error) => Some(error.clone()),
        Update::Finished => {
            model.orphans.finished = true;
            model.orphans.asking.clear();
            None
        }
    };
    if let Some(error) = trouble {
        model.keep_problem(now, error);
    }
    Vec::new()
}

/// Takes a region in: its rows replace those that were there.
fn take(model: &mut Model, region: &Arc<Region>, done: bool, now: Now) -> Option<Error> {
    let origin = &region.facts.origin;
    if let Err(error) = model.rules.check_account(&origin.account, model.sandbox) {
        return Some(error);
    }
    let policy = Arc::clone(&model.rules.policy);
    let state = &mut model.orphans;
    state.table.started(origin);
    state.table.page(origin, row::rows(region, &policy, now.wall), None);
    if done {
        state.table.done(origin, now.wall);
        state.asking.remove(origin.region.as_str());
    }
    let found = doubts(&View { region, policy: &policy, now: now.wall });
    state.of_region.insert(format!("{:?}", origin), found);
    state.doubts = state.of_region.values().flatten().cloned().collect();
    state.doubts.sort_by_key(|doubt| (doubt.actions.is_empty(), std::cmp::Reverse(doubt.count)));
    region.missing().next().cloned()
}

fn needs_row(model: &Model) -> Option<String> {
    model.orphans.list.is_empty().then(|| "there is nothing judged here yet".to_owned())
}

fn snapshot(model: &Model) -> Option<crate::inventory::SnapshotRow> {
    let row = model.orphans.list.current().and_then(|at| model.orphans.table.get(at))?;
    match row.thing()? {
        Thing::Snapshot(row) => Some(row.clone()),
        Thing::Volume(_) | Thing::Image(_) => None,
    }
}

const fn look(
    id: &'static str,
    title: &'static str,
    keys: &'static [&'static str],
    hint: u8,
    doc: &'static str,
    disabled: fn(&Model) -> Option<String>,
    run: fn(&mut Model, Now) -> Vec<Effect>,
) -> Action {
    Action { id, title, keys, scope: Scope::Screen(Screen::Orphans), danger: Danger::Look, hint, doc, disabled, run }
}

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    look("orphans.open", "why", &["enter"], 10, "All the evidence for the thing, in words.", needs_row, |m, _| {
        m.overlays.push(Overlay::Detail(over::State::default()));
        Vec::new()
    }),
    look(
        "orphans.lineage",
        "lineage",
        &["L"],
        24,
        "The chain that the snapshot is part of.",
        |m| match (needs_row(m), snapshot(m)) {
            (Some(why), _) => Some(why),
            (None, None) => Some("only snapshots have a lineage".to_owned()),
            (None, Some(row)) => {
                let known = m.catalog.snapshots.find_in(&row.origin, &row.id).is_some();
                (!known).then(|| "this snapshot is not in the list of snapshots yet (2)".to_owned())
            }
        },
        |m, now| snapshot(m).map(|row| lineage::open(m, &row, now)).unwrap_or_default(),
    ),
    Action {
        id: "orphans.delete",
        title: "deletion plan",
        keys: &["D"],
        scope: Scope::Screen(Screen::Orphans),
        danger: Danger::Remove,
        hint: 26,
        doc: "The deletion plan of the marks; nothing is deleted by it.",
        disabled: |m| m.orphans.list.is_empty().then(|| "there is nothing here to delete".to_owned()),
        run: |m, now| {
            let (judged, hidden) = (marked(m, now), m.orphans.list.hidden);
            crate::tui::screen::removal::open_judged(m, &judged, hidden)
        },
    },
    look(
        "orphans.copy",
        "copy policy or id",
        &["y"],
        0,
        "Copy the IAM statement that is missing; where nothing is refused, or rows are marked, their ids.",
        |_| None,
        copy,
    ),
    look(
        "orphans.refresh",
        "judge again",
        &["r", "ctrl-r"],
        58,
        "Ask AWS everything anew; what is shown stays until newer answers come.",
        |_| None,
        |m, now| {
            m.say(now, "judging again");
            start(m, true, now)
        },
    ),
];

fn copy(model: &mut Model, now: Now) -> Vec<Effect> {
    let missing = statement(&model.orphans.doubts).filter(|_| model.orphans.list.marks.is_empty());
    if let Some(policy) = missing {
        model.say(now, "copied the IAM statement that is missing (OSC 52)");
        return vec![Effect::Copy(policy)];
    }
    let ids = export::chosen_ids(model);
    if ids.is_empty() {
        model.refuse(now, "there is no row here yet");
        return Vec::new();
    }
    let said = if let [one] = ids.as_slice() { one.clone() } else { text::count(ids.len() as u64, "id") };
    model.say(now, format!("copied {said} (OSC 52)"));
    vec![Effect::Copy(ids.join("\n"))]
}

/// The right end of the tab line.
fn note(model: &Model, now: Now) -> String {
    let state = &model.orphans;
    let done = state.table.shards.iter().filter(|shard| matches!(shard.load, Load::Done(_))).count();
    let (asked, of) = state.asking.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    if !state.finished && of > asked {
        return format!(
            "◐ {} of {} asked one by one",
            crate::units::grouped(asked as u64),
            crate::units::grouped(of as u64)
        );
    }
    if !state.finished {
        return if state.expected == 0 { "◐ asking".to_owned() } else { format!("{done}/{} ◐", state.expected) };
    }
    let oldest = state.table.shards.iter().filter_map(|shard| match shard.load {
        Load::Done(when) => Some(when),
        _ => None,
    });
    let age = oldest.min().map_or_else(String::new, |when| format!(" · {}", text::data_age(when, now)));
    format!("{done}/{}{age}", state.expected)
}

/// The command that does the same.
fn command(model: &Model) -> String {
    listing::command(model, "", &model.orphans.list).replacen("floe ls ", "floe orphans", 1)
}

/// The door.
pub const PAGE: Page = Page {
    title: "Orphans",
    is_list: true,
    actions: ACTIONS,
    view: view::view,
    note,
    command,
    hear,
    key: Page::no_key,
    mouse: Page::no_mouse,
};
