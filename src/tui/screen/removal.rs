//! The deletion screen: what would be removed, item by item, before anything is; then what became of each.
//!
//! Deleting starts here and nowhere else: the deck armed for that account, exactly the plan that is shown, its count
//! typed by hand. Taking out, archiving first and checking again make another plan; a plan runs once, unless it was
//! stopped: then the same one can go on, its count typed again.

mod actions;
mod compare;
mod heard;
#[cfg(test)]
mod tests;
mod view;

use crossterm::event::KeyEvent;

use crate::address::Place;
use crate::engine::removal::{Archiving, Outcome, Report};
use crate::error::Error;
use crate::ids::AccountId;
use crate::inventory::verdict::Judged;
use crate::plan::removal::{RemovalPlan, Target, Wishes};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::{ARMED_FOR, Model};
use crate::tui::removing::Wanted;
use crate::tui::screen::{Page, Screen};

pub use actions::ACTIONS;
pub use compare::Comparison;

/// How far it is.
#[derive(Debug, Default)]
pub enum Stage {
    /// Nothing was asked for.
    #[default]
    Nothing,
    /// Facts and verdicts are being read.
    Making,
    /// There is no plan, and why.
    Failed(Box<Error>),
    /// The plan is here.
    Planned,
    /// It is being carried out.
    Running,
    /// The same, and it ends after the item in flight.
    Stopping,
    /// It was carried out.
    Over(Box<Report>),
}

/// What the screen keeps.
#[derive(Debug, Default)]
pub struct State {
    /// The number that was asked with; answers to older ones are dropped.
    number: u64,
    /// What the plan is of.
    pub targets: Vec<(Place, Target)>,
    /// What is asked for beside.
    pub wishes: Wishes,
    /// Marks among them that the filter of their list hides.
    pub hidden: Vec<Target>,
    /// Whether only these are shown.
    pub only_hidden: bool,
    /// How far it is.
    pub stage: Stage,
    /// The plan.
    pub plan: Option<RemovalPlan>,
    /// What became of each item so far.
    pub outcomes: Vec<Option<Outcome>>,
    /// How far the archives are that come before the first deletion.
    pub archives: Archiving,
    /// The item under the cursor.
    pub cursor: usize,
    /// What it was before the plan was asked for again: another plan may list it elsewhere.
    at: Option<Target>,
    /// What the panel at the bottom shows.
    pub foot: Foot,
    /// The file that the plan was last written to.
    pub saved: Option<String>,
}

/// What the panel at the bottom shows.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum Foot {
    /// What is to be known before the count is typed.
    #[default]
    Before,
    /// What the verdict of the item rests on.
    Evidence,
    /// What differs from a saved plan.
    Compared(Comparison),
}

impl State {
    /// The number that the plan, or its run, was asked with.
    #[cfg(test)]
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether it was stopped before its end: the same plan can go on.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(&self.stage, Stage::Over(report) if report.not_tried > 0)
    }

    /// Whether archives may still be being made: they all come before the first item is gone.
    #[must_use]
    pub fn is_archiving(&self) -> bool {
        let archives = !self.archives.0.is_empty() || self.plan.as_ref().is_some_and(|plan| plan.archive.is_some());
        let removed = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Removed { .. }));
        self.is_running() && archives && !self.outcomes.iter().any(removed)
    }

    /// Whether something is being removed.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running | Stage::Stopping)
    }
}

/// Asks for the plan of these and goes there; `hidden` of them are marks that a filter hides.
pub fn open(model: &mut Model, targets: Vec<(Place, Target)>, hidden: usize) -> Vec<Effect> {
    open_with(model, targets, hidden, Wishes::default())
}

fn open_with(model: &mut Model, targets: Vec<(Place, Target)>, hidden: usize, wishes: Wishes) -> Vec<Effect> {
    if model.removal.is_running() {
        model.go(Screen::Removal);
        return Vec::new();
    }
    // Lists give what their filter hides last.
    let hidden = targets.iter().skip(targets.len().saturating_sub(hidden)).map(|(_, target)| target.clone()).collect();
    model.removal = State { targets, hidden, wishes, ..State::default() };
    model.go(Screen::Removal);
    make(model)
}

/// The same of things that were judged.
pub fn open_judged(model: &mut Model, judged: &[Judged], hidden: usize, wishes: Wishes) -> Vec<Effect> {
    let one = |judged: &Judged| Some((judged.origin.place(), judged.id.parse().ok()?));
    open_with(model, judged.iter().filter_map(one).collect(), hidden, wishes)
}

/// Makes the plan (again).
fn make(model: &mut Model) -> Vec<Effect> {
    let number = model.number();
    let state = &mut model.removal;
    state.number = number;
    state.stage = Stage::Making;
    if let Some(plan) = state.plan.take() {
        state.at = plan.items.into_iter().nth(state.cursor).map(|item| item.target);
    }
    state.outcomes.clear();
    // What differed from the plan before says nothing of this one.
    if matches!(state.foot, Foot::Compared(_)) {
        state.foot = Foot::Before;
    }
    let wanted = Wanted {
        targets: state.targets.clone(),
        wishes: state.wishes.clone(),
        limit: model.rules.max_delete(),
        policy: model.rules.policy.clone(),
    };
    vec![Effect::PlanRemoval { number, wanted: Box::new(wanted) }]
}

/// The door.
pub const PAGE: Page = Page {
    title: "Deletion",
    is_list: false,
    actions: ACTIONS,
    view: view::view,
    note: |model, _| match model.removal.stage {
        Stage::Nothing | Stage::Failed(_) => String::new(),
        Stage::Making => "◐ asking AWS".to_owned(),
        Stage::Planned => "plan, not run".to_owned(),
        Stage::Running => "◐ deleting".to_owned(),
        Stage::Stopping => "◐ stopping".to_owned(),
        Stage::Over(ref report) if report.not_tried > 0 => "stopped".to_owned(),
        Stage::Over(_) => "carried out".to_owned(),
    },
    command: |model| {
        let hash = model.removal.plan.as_ref().and_then(|plan| plan.short_hash().ok());
        match hash {
            Some(hash) => format!("floe delete --plan {} --confirm {hash}", file_name(&hash)),
            None => "floe delete ADDRESS… --out plan.json".to_owned(),
        }
    },
    hear: heard::hear,
    key: extend_arming,
    mouse: Page::no_mouse,
};

/// Each key here keeps the deck armed for another half hour.
fn extend_arming(model: &mut Model, _: KeyEvent, now: Now) -> Option<Vec<Effect>> {
    if let Some(armed) = &mut model.armed {
        armed.until = now.mono + ARMED_FOR;
    }
    None
}

fn file_name(hash: &str) -> String {
    format!("plan-{hash}.json")
}

/// The cursor stays on its item where a new plan has it, and on its line where it has not.
fn find_cursor(model: &mut Model) {
    let state = &mut model.removal;
    let items = state.plan.iter().flat_map(|plan| &plan.items);
    let found = state.at.take().and_then(|at| items.map(|item| &item.target).position(|target| *target == at));
    state.cursor = found.unwrap_or(state.cursor);
    step(model, 0);
}

fn step(model: &mut Model, by: isize) -> Vec<Effect> {
    let shown = shown(&model.removal);
    let at = shown.iter().position(|place| *place >= model.removal.cursor).unwrap_or(shown.len().saturating_sub(1));
    let to = at.saturating_add_signed(by).min(shown.len().saturating_sub(1));
    model.removal.cursor = shown.get(to).copied().unwrap_or(0);
    Vec::new()
}

/// The places of the items that are shown: all, or with `H` those that a filter hides.
pub fn shown(state: &State) -> Vec<usize> {
    let Some(plan) = &state.plan else { return Vec::new() };
    let all = plan.items.iter().enumerate();
    let some = all.filter(|(_, item)| !state.only_hidden || state.hidden.contains(&item.target));
    some.map(|(at, _)| at).collect()
}

/// The one account of the plan: the deck is armed for one.
pub fn account(model: &Model) -> Option<AccountId> {
    let accounts = model.removal.plan.as_ref().map(|plan| plan.summary().accounts).unwrap_or_default();
    match accounts.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
}
