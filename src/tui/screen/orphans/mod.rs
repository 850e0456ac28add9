//! Orphans: what nothing refers to, why we think so, and what keeps us from being sure.
//!
//! What bulk describes decide is asked when World's lists are complete; what is answered one by one when the screen is
//! opened, and all of it again with `r`, here or where its counts are shown. `X` lists chains, so that FREES is a figure. Marks are handed to the deletion plan as [`marked`]; nothing is deleted from here.

mod actions;
mod chain;
mod exact;
#[cfg(test)]
pub mod journey;
mod row;
#[cfg(test)]
pub mod tests;
mod view;
mod whatif;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent};
use jiff::{SignedDuration, Timestamp};

use crate::error::Error;
use crate::inventory::Origin;
use crate::inventory::relations::{Anew, Depth, Region, Update};
use crate::inventory::verdict::{Doubt, Judged, Thing, View, doubts};
use crate::tui::catalog::{Catalog, Load, Record, Ref, Table};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::list::{Column, List, Order, word_key};
use crate::tui::model::Model;
use crate::tui::msg::Msg;
use crate::tui::screen::{Page, Screen, listing};
use crate::tui::text;

pub use actions::ACTIONS;
pub use row::{OrphanRow, TALLY_OPEN, TALLY_ORPHAN, TALLY_UNKNOWN};
pub use view::{layout, why};

/// The filter that the list opens with; `esc` drops it.
const FIRST: &str = "verdict:orphan|unknown";

/// Lists that are so much younger than a verdict are other lists than it was drawn from.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

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
    /// How far it asks.
    depth: Depth,
    /// The screen was opened while bulk answers came in: what is left is asked after them.
    goes_on: bool,
    /// Lists were asked for again with `r`: what is judged by the ones before them is judged again after them.
    again: Option<Anew>,
    /// What an open question is about: answers may come in while it is read.
    asked: Vec<Ref>,
    of_region: BTreeMap<String, Vec<Doubt>>,
    families: HashMap<Arc<Origin>, exact::Families>,
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
            depth: Depth::Bulk,
            goes_on: false,
            again: None,
            asked: Vec::new(),
            of_region: BTreeMap::new(),
            families: HashMap::new(),
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
    pub fn of(&self, origin: &Origin) -> Option<Orphaned> {
        let shard = self.table.of(origin)?;
        let judged = !matches!(shard.load, Load::Waiting | Load::Failed { .. });
        judged.then(|| Orphaned { found: shard.tally[TALLY_ORPHAN], open: shard.tally[TALLY_OPEN], more: false })
    }

    /// How many there are in all.
    #[must_use]
    pub fn all(&self) -> Orphaned {
        let of = |tally| self.count(tally).0;
        Orphaned { found: of(TALLY_ORPHAN), open: of(TALLY_OPEN), more: !self.finished }
    }

    /// Whether a region was judged by lists that are older than those at hand; since when it stands as it is shown.
    #[must_use]
    pub fn older_than(&self, origin: &Origin, listed: Timestamp) -> Option<Timestamp> {
        let judged = match self.table.of(origin)?.load {
            Load::Done(judged) => judged,
            _ => return None,
        };
        (crate::age::of(judged, listed) >= MINUTE).then_some(judged)
    }

    /// Drops what was judged of other profiles or regions.
    pub fn emptied(&self) -> Self {
        Self { list: self.list.emptied(), ..Self::default() }
    }
}

/// How many orphans there are, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphaned {
    /// Nothing refers to them.
    pub found: u64,
    /// The same as far as bulk describes tell; whether they are shared is not asked yet.
    pub open: u64,
    /// More may come.
    pub more: bool,
}

impl std::iter::Sum for Orphaned {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let none = Self { found: 0, open: 0, more: false };
        all.fold(none, |a, b| Self { found: a.found + b.found, open: a.open + b.open, more: a.more || b.more })
    }
}

impl fmt::Display for Orphaned {
    /// `37`; `37+` while more may come; `≤ 37` where it is not asked whether all of them are unshared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.open > 0 { "≤ " } else { "" };
        let more = if self.more { "+" } else { "" };
        write!(f, "{sign}{}{more}", crate::units::grouped(self.found + self.open))
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

/// Opens the screen; the first time what is answered one by one is asked, after the bulk answers that are coming in.
pub fn open(model: &mut Model, now: Now) -> Vec<Effect> {
    model.go(Screen::Orphans);
    let state = &mut model.orphans;
    match (state.number, state.depth) {
        (0, _) => start(model, Anew::Nothing, Depth::Single, now),
        (_, Depth::Single) => Vec::new(),
        (_, Depth::Bulk) if state.finished => start(model, Anew::Nothing, Depth::Single, now),
        (_, Depth::Bulk) => {
            state.goes_on = true;
            Vec::new()
        }
    }
}

/// The lists are complete: what bulk describes decide is asked, and what was asked before is asked again as far as it was,
/// where these lists were asked for again.
pub fn looked(model: &mut Model, now: Now) -> Vec<Effect> {
    let state = &mut model.orphans;
    if state.number == 0 {
        return start(model, Anew::Nothing, Depth::Bulk, now);
    }
    match state.again.take_if(|_| state.finished) {
        Some(anew) => {
            let depth = state.depth;
            start(model, anew, depth, now)
        }
        None if state.depth == Depth::Bulk && state.finished => start(model, Anew::Nothing, Depth::Bulk, now),
        None => Vec::new(),
    }
}

/// `r`: the lists are asked for again, and the screen it was pressed on shows how many orphans there are. World shows them
/// by region, so there everything is asked; elsewhere they are a figure in a tab, and answers of the last minutes do.
pub const fn will_look(model: &mut Model) {
    let on_world = matches!(model.screen, Screen::World);
    model.orphans.again = Some(if on_world { Anew::Answers } else { Anew::Nothing });
}

/// Starts the survey, anew or with what was answered within ten minutes.
pub fn start(model: &mut Model, anew: Anew, depth: Depth, now: Now) -> Vec<Effect> {
    let number = model.number();
    let state = &mut model.orphans;
    if state.number == 0 {
        state.list.set_filter(FIRST, now);
    }
    (state.number, state.finished, state.expected) = (number, false, 0);
    (state.depth, state.goes_on) = (depth, false);
    state.asking.clear();
    vec![Effect::Judge {
        number,
        profiles: model.chosen_profiles.clone(),
        regions: model.chosen_regions.clone(),
        policy: Box::new((*model.rules.policy).clone()),
        anew,
        depth,
    }]
}

/// The marked things, or the one under the cursor, judged: what a deletion plan is made of.
#[must_use]
pub fn marked(model: &Model, now: Now) -> Vec<Judged> {
    judged(model, &model.orphans.list.chosen(), now)
}

/// Things as they are judged now.
fn judged(model: &Model, of: &[Ref], now: Now) -> Vec<Judged> {
    of.iter().filter_map(|at| model.orphans.table.get(*at)?.judged(now.wall)).collect()
}

/// What was removed is no orphan any more: its row goes now, the rest is judged anew, because neighbours stand
/// otherwise without it. What came back comes with that.
pub fn changed<'i>(model: &mut Model, gone: impl Iterator<Item = (&'i Origin, &'i str)>, now: Now) -> Vec<Effect> {
    if model.orphans.number == 0 {
        return Vec::new();
    }
    model.orphans.list.unmark();
    for (origin, id) in gone {
        if let Some(at) = model.orphans.table.find_in(origin, &id.to_owned()) {
            model.orphans.table.drop_row(at);
        }
    }
    let depth = model.orphans.depth;
    start(model, Anew::All, depth, now)
}

fn hear(model: &mut Model, msg: &Msg, now: Now) -> Vec<Effect> {
    exact::hear(model, msg);
    if let Msg::Kept(told) = msg {
        return actions::kept(model, told, now);
    }
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
            // Newer lists came while it ran.
            let again = model.orphans.again.take_if(|_| model.catalog.finished);
            if model.orphans.goes_on {
                return start(model, again.unwrap_or_default(), Depth::Single, now);
            }
            if let Some(anew) = again {
                let depth = model.orphans.depth;
                return start(model, anew, depth, now);
            }
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
    hold_once(&mut model.catalog, region);
    model.freed.forget_changed(origin, region.snapshots().iter());
    let mut rows = row::rows(region, &policy, now.wall);
    if !model.freed.is_empty() {
        for row in &mut rows {
            let known = match row.thing() {
                Some(Thing::Snapshot(one)) => exact::frees(model, one),
                _ => None,
            };
            known.into_iter().for_each(|frees| row.told(frees));
        }
    }
    let state = &mut model.orphans;
    state.families.insert(Arc::clone(origin), exact::Families::new(region));
    state.table.started(origin);
    state.table.page(origin, rows, None);
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

/// The lists take the rows of a region that was judged for theirs.
fn hold_once(catalog: &mut Catalog, region: &Region) {
    let facts = &region.facts;
    if let Some(rows) = facts.snapshots.known() {
        catalog.snapshots.share(&facts.origin, rows);
    }
    if let Some(rows) = facts.volumes.known() {
        catalog.volumes.share(&facts.origin, rows);
    }
    if let Some(rows) = facts.images.known() {
        catalog.images.share(&facts.origin, rows);
    }
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

/// While something is asked, `esc` stops that first.
fn stop_with_esc(model: &mut Model, key: KeyEvent, now: Now) -> Option<Vec<Effect>> {
    (key.code == KeyCode::Esc).then(|| exact::stop(model, now)).flatten()
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
    key: stop_with_esc,
    mouse: Page::no_mouse,
};
