//! What an operation would do, before it is done: memory, money, time, other ways, checks, what if.
//!
//! The plan that is shown is the plan that runs: turning a knob weighs it again with the very functions that
//! the engine's choices come from, and `S` hands over exactly what is on the screen, once. Nothing here is
//! dangerous to what exists, so nothing is armed; a dear plan asks for its dollars.

mod checks;
mod command;
mod formula;
mod knobs;
mod parts;
mod sheet;
mod view;

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent};

use crate::address::Address;
use crate::engine::protocol::{Answer, Command};
use crate::error::Error;
use crate::inventory::SnapshotRow;
use crate::plan::{Knobs, Level, Operation, Plan};
use crate::tui::action::{Action, Scope, always};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::gate::{self, Gate};
use crate::tui::model::{Mode, Model};
use crate::tui::msg::Msg;
use crate::tui::overlay::{Overlay, ask, confirm};
use crate::tui::screen::{Page, Screen};

pub use command::command_of;
pub use knobs::Knob;

/// What lies over the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sheet {
    /// Nothing.
    #[default]
    None,
    /// How a figure was computed.
    Formula(Figure),
    /// Every check.
    Checks,
}

/// The three figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Figure {
    /// Memory.
    #[default]
    Memory,
    /// Money.
    Money,
    /// Time.
    Time,
}

impl Figure {
    const fn next(self) -> Self {
        match self {
            Self::Memory => Self::Money,
            Self::Money => Self::Time,
            Self::Time => Self::Memory,
        }
    }
}

/// How far the plan is.
#[derive(Debug, Default)]
pub enum Stage {
    /// No plan was asked for.
    #[default]
    Nothing,
    /// Facts are being read.
    Making,
    /// It could not be made.
    Failed(Box<Error>),
    /// It is here.
    Here(Box<Sheets>),
}

/// A plan and what was turned on it.
#[derive(Debug)]
pub struct Sheets {
    /// As it was made.
    pub made: Plan,
    /// As it is shown, and would run.
    pub shown: Plan,
    /// What was turned.
    pub knobs: Knobs,
    /// Whether it was started: a plan runs once.
    pub started: bool,
    /// When keys count.
    gate: Gate,
}

/// What the screen keeps.
#[derive(Debug, Default)]
pub struct State {
    /// What the plan is of.
    pub operation: Option<Operation>,
    /// The number it was asked for with; answers to older ones are dropped.
    number: u64,
    /// When it was asked for.
    opened: Duration,
    /// How far it is.
    pub stage: Stage,
    /// What is known before AWS has answered: shown and turned while the plan is made, and never run.
    pub preview: Option<Box<Sheets>>,
    /// The knob that the arrows turn.
    pub knob: Knob,
    /// What lies over the figures.
    pub sheet: Sheet,
    /// Lines of it that are scrolled away.
    pub top: u16,
}

impl State {
    /// Lays a sheet over the figures, from its first line on.
    fn lay(&mut self, sheet: Sheet) {
        (self.sheet, self.top) = (sheet, 0);
    }

    /// The plan as it is shown.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        match &self.stage {
            Stage::Here(sheets) => Some(&sheets.shown),
            _ => None,
        }
    }

    /// What is known while the plan is made; nothing once it is here.
    #[must_use]
    pub fn early(&self) -> Option<&Sheets> {
        self.preview.as_deref().filter(|_| matches!(self.stage, Stage::Making))
    }

    /// The figures on the screen: the plan's, and those of the preview before it.
    #[must_use]
    pub fn figures(&self) -> Option<&Plan> {
        self.plan().or_else(|| self.early().map(|early| &early.shown))
    }

    /// Whether the plan that is shown runs.
    #[must_use]
    pub fn is_started(&self) -> bool {
        matches!(&self.stage, Stage::Here(sheets) if sheets.started)
    }

    fn sheets(&mut self) -> Option<&mut Sheets> {
        match &mut self.stage {
            Stage::Here(sheets) => Some(sheets),
            _ => None,
        }
    }

    /// What the knobs turn: the plan, and the preview before it.
    fn turnable(&mut self) -> Option<&mut Sheets> {
        match &mut self.stage {
            Stage::Here(sheets) => Some(sheets),
            Stage::Making => self.preview.as_deref_mut(),
            _ => None,
        }
    }
}

impl Sheets {
    /// A plan as it was made, with what was turned on its preview.
    fn new(made: &Plan, knobs: Knobs, now: Now) -> Self {
        let shown = knobs::weighed(made, knobs);
        Self { made: made.clone(), shown, knobs, started: false, gate: Gate::opened(now) }
    }
}

/// Asks for the plan of an operation and goes there; called by the address line (`c`).
pub fn open(model: &mut Model, operation: Operation, now: Now) -> Vec<Effect> {
    let number = model.number();
    let knob = model.plan.knob;
    let known = known(model, &operation);
    model.plan = State {
        operation: Some(operation.clone()),
        number,
        opened: now.mono,
        stage: Stage::Making,
        preview: None,
        knob,
        sheet: Sheet::default(),
        top: 0,
    };
    model.go(Screen::Plan);
    vec![Effect::MakePlan { number, operation: Box::new(operation), known }]
}

/// What the lists know of its sources.
fn known(model: &Model, operation: &Operation) -> Vec<SnapshotRow> {
    let rows = &model.catalog.snapshots;
    let row = |from: &Address| match from {
        Address::Snapshot(_, id) => rows.find(id).and_then(|at| rows.get(at)).cloned(),
        _ => None,
    };
    operation.sources.iter().filter_map(row).collect()
}

const HERE: Scope = Scope::Screen(Screen::Plan);

const fn strategy(
    id: &'static str,
    keys: &'static [&'static str],
    hint: u8,
    run: fn(&mut Model, Now) -> Vec<Effect>,
) -> Action {
    HERE.look(
        id,
        "strategy",
        keys,
        hint,
        "Take the alternative of that number: the plan is made again with it.",
        needs_plan,
        run,
    )
}

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.make(
        "plan.start",
        "start",
        &["S"],
        1,
        "Run exactly this plan, once; above ask_above_usd ($100) its whole dollars have to be typed.",
        cannot_start,
        start,
    ),
    HERE.look("plan.next", "next knob", &["tab"], 2, "The next thing to turn.", needs_figures, |model, _| {
        model.plan.knob = stepped(model, true);
        Vec::new()
    }),
    HERE.look(
        "plan.previous",
        "previous knob",
        &["backtab"],
        0,
        "The thing to turn before.",
        needs_figures,
        |model, _| {
            model.plan.knob = stepped(model, false);
            Vec::new()
        },
    ),
    HERE.look(
        "plan.more",
        "more",
        &["right", "l"],
        0,
        "Turn it up; the figures follow.",
        needs_figures,
        |model, now| turn(model, true, now),
    ),
    HERE.look(
        "plan.less",
        "less",
        &["left", "h"],
        0,
        "Turn it down; the figures follow.",
        needs_figures,
        |model, now| turn(model, false, now),
    ),
    HERE.look("plan.reset", "reset", &["0"], 8, "Everything as it was planned.", needs_figures, |model, _| {
        if let Some(sheets) = model.plan.turnable() {
            sheets.knobs = Knobs::default();
            sheets.shown = sheets.made.clone();
        }
        Vec::new()
    }),
    HERE.make(
        "plan.queue",
        "queue",
        &["Q"],
        0,
        "Start it after what runs now.",
        |_| Some("jobs run side by side inside one budget, so there is nothing to wait for: S starts it".into()),
        |_, _| Vec::new(),
    ),
    HERE.look(
        "plan.write",
        "save",
        &["w"],
        4,
        "Write the plan as JSON, for a colleague or a record.",
        needs_plan,
        write,
    ),
    HERE.look(
        "plan.edit",
        "edit",
        &["e"],
        5,
        "Change where it goes; the plan is made again.",
        |model| model.plan.operation.is_none().then(|| "there is nothing to edit: c on a snapshot plans a copy".into()),
        edit,
    ),
    HERE.look(
        "plan.formula",
        "formula",
        &["i"],
        6,
        "How each figure was computed, from which inputs.",
        needs_figures,
        |model, _| {
            model.plan.lay(match model.plan.sheet {
                Sheet::Formula(Figure::Time) => Sheet::None,
                Sheet::Formula(figure) => Sheet::Formula(figure.next()),
                _ => Sheet::Formula(Figure::Memory),
            });
            Vec::new()
        },
    ),
    HERE.look(
        "plan.checks",
        "all checks",
        &["enter"],
        7,
        "Every check with what it found.",
        needs_figures,
        |model, _| {
            model.plan.lay(Sheet::Checks);
            Vec::new()
        },
    ),
    strategy("plan.way1", &["1"], 3, |model, now| take(model, 0, now)),
    strategy("plan.way2", &["2"], 0, |model, now| take(model, 1, now)),
    strategy("plan.way3", &["3"], 0, |model, now| take(model, 2, now)),
    strategy("plan.way4", &["4"], 0, |model, now| take(model, 3, now)),
    strategy("plan.way5", &["5"], 0, |model, now| take(model, 4, now)),
    HERE.look("plan.back", "back", &["esc"], 9, "Back; nothing is lost and nothing was done.", always, |model, _| {
        model.go_back();
        Vec::new()
    }),
];

/// The door.
pub const PAGE: Page = Page {
    title: "Plan",
    is_list: false,
    actions: ACTIONS,
    view: view::view,
    note: |model, _| match &model.plan.stage {
        Stage::Here(sheets) if sheets.started => "started".to_owned(),
        Stage::Making => "reading facts".to_owned(),
        _ => "plan, not run".to_owned(),
    },
    command: |model| {
        let operation = model.plan.plan().map(|plan| &plan.operation).or(model.plan.operation.as_ref());
        let command = operation.map_or_else(|| "floe plan SOURCE DEST".to_owned(), command_of);
        // Without it, the same words would be carried out in real AWS.
        if model.sandbox { command + " --sandbox" } else { command }
    },
    hear,
    key,
    mouse: Page::no_mouse,
};

fn needs_plan(model: &Model) -> Option<String> {
    match &model.plan.stage {
        Stage::Here(_) => None,
        Stage::Making => Some("the plan is still being made".to_owned()),
        Stage::Failed(_) => Some("there is no plan: e edits where it goes".to_owned()),
        Stage::Nothing => Some("there is no plan yet: c on a snapshot plans a copy".to_owned()),
    }
}

fn needs_figures(model: &Model) -> Option<String> {
    if model.plan.early().is_some() { None } else { needs_plan(model) }
}

fn cannot_start(model: &Model) -> Option<String> {
    if let Some(why) = needs_plan(model) {
        return Some(why);
    }
    if model.mode == Mode::ReadOnly {
        return Some("READ-ONLY: this deck makes nothing; the command below can be run elsewhere".to_owned());
    }
    let Stage::Here(sheets) = &model.plan.stage else { return None };
    if sheets.started {
        return Some("this plan was started; a plan runs once".to_owned());
    }
    if let Some(to) = model.rules.read_only_destination(&sheets.shown) {
        return Some(format!("READ-ONLY: the config names the profile of {to} in read_only_profiles"));
    }
    sheets.shown.refusal().map(|error| match error.todo {
        Some(todo) => format!("{}: {todo}", error.what),
        None => error.what,
    })
}

fn stepped(model: &Model, forward: bool) -> Knob {
    let knob = model.plan.knob;
    model.plan.figures().map_or(knob, |plan| knob.step(plan, forward))
}

fn turn(model: &mut Model, up: bool, now: Now) -> Vec<Effect> {
    let knob = model.plan.knob;
    let Model { plan, rules, .. } = model;
    let Some(sheets) = plan.turnable() else { return Vec::new() };
    let asked = knob.turned(&sheets.made, sheets.knobs, up);
    sheets.knobs = rules.clamp(asked);
    sheets.shown = knobs::weighed(&sheets.made, sheets.knobs);
    if sheets.knobs != asked {
        model.refuse(now, format!("{} allows no more {}", crate::store::config::MACHINE_FILE, knob.name()));
    }
    Vec::new()
}

fn take(model: &mut Model, at: usize, now: Now) -> Vec<Effect> {
    let Some(plan) = model.plan.plan() else { return Vec::new() };
    let Some(way) = plan.alternatives.get(at) else {
        model.refuse(now, format!("there is no alternative {}", at + 1));
        return Vec::new();
    };
    if way.chosen {
        model.say(now, format!("{} is the one that is shown", way.name));
        return Vec::new();
    }
    if let Some(why) = &way.unavailable {
        let why = why.clone();
        model.refuse(now, why);
        return Vec::new();
    }
    let operation = way.operation.as_deref().cloned().unwrap_or_else(|| {
        let mut operation = plan.operation.clone();
        operation.options.strategy = way.strategy;
        operation.options.complete_within = way.complete_within;
        operation
    });
    open(model, operation, now)
}

fn write(model: &mut Model, now: Now) -> Vec<Effect> {
    let Some(plan) = model.plan.plan() else { return Vec::new() };
    let written = plan.hash().and_then(|hash| {
        let json = serde_json::to_string_pretty(plan)
            .map_err(|e| Error::failed(format!("the plan cannot be written: {e}")))?;
        Ok((format!("plan-{}.json", crate::grant::short_hash(&hash)), json + "\n"))
    });
    match written {
        Ok((name, contents)) => vec![Effect::Write { path: name.into(), contents }],
        Err(error) => {
            model.trouble(now, error);
            Vec::new()
        }
    }
}

fn edit(model: &mut Model, _: Now) -> Vec<Effect> {
    let Some(operation) = &model.plan.operation else { return Vec::new() };
    let text = operation.destinations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    model.overlays.push(Overlay::Ask(ask::State {
        title: "Where to".to_owned(),
        help: "addresses, a space between them: eu-west-1:  disk.img  null:".to_owned(),
        text,
        error: None,
        then: |model, text, now| {
            let destinations = text
                .split_whitespace()
                .map(|word| Address::destination(word).map_err(|e| e.what))
                .collect::<Result<Vec<_>, String>>()?;
            if destinations.is_empty() {
                return Err("at least one destination, like eu-west-1:".to_owned());
            }
            let Some(operation) = model.plan.operation.clone() else { return Ok(Vec::new()) };
            Ok(open(model, Operation { destinations, ..operation }, now))
        },
    }));
    Vec::new()
}

fn start(model: &mut Model, now: Now) -> Vec<Effect> {
    let Some(plan) = model.plan.plan() else { return Vec::new() };
    if plan.cost.once.value.0 <= model.rules.ask_above.0 {
        return run(model, now);
    }
    let wanted = format!("{:.0}", plan.cost.once.value.0.floor());
    let mut lines = vec![view::consequence(plan)];
    lines.push(format!("{} once, {} a month to keep it.", plan.cost.once.value, plan.cost.monthly));
    let title = format!("Spend {}?", plan.cost.once.value);
    model.overlays.push(Overlay::Confirm(confirm::State {
        title,
        lines,
        accept: confirm::Accept::Typed { wanted, typed: String::new() },
        gate: Gate::opened(now),
        others: Vec::new(),
        then: run,
    }));
    Vec::new()
}

/// Hands the plan over: the budget first when it was turned, then the run.
fn run(model: &mut Model, now: Now) -> Vec<Effect> {
    let Some(sheets) = model.plan.sheets() else { return Vec::new() };
    match sheets.shown.grant("S on the plan screen", now.wall) {
        Ok(grant) => {
            sheets.started = true;
            let plan = Box::new(sheets.shown.clone());
            let mut effects = Vec::new();
            if let Some(budget) = sheets.knobs.budget {
                effects.push(Effect::Engine(Box::new(Command::Memory(budget))));
            }
            effects.push(Effect::Engine(Box::new(Command::Run { plan, grant })));
            model.go(Screen::Transfers);
            effects
        }
        Err(error) => {
            model.trouble(now, error);
            Vec::new()
        }
    }
}

fn hear(model: &mut Model, msg: &Msg, now: Now) -> Vec<Effect> {
    match msg {
        Msg::Previewed(number, plan) if *number == model.plan.number && matches!(model.plan.stage, Stage::Making) => {
            model.plan.preview = Some(Box::new(Sheets::new(plan, Knobs::default(), now)));
        }
        Msg::Planned(number, result) if *number == model.plan.number && matches!(model.plan.stage, Stage::Making) => {
            // What was turned meanwhile holds.
            let knobs = model.plan.preview.take().map_or_else(Knobs::default, |early| early.knobs);
            let allowed = |plan: &Plan| model.rules.check_plan(plan, model.sandbox);
            model.plan.stage = match result.as_ref().map_err(Clone::clone).and_then(|p| allowed(p).map(|()| p)) {
                Ok(plan) => Stage::Here(Box::new(Sheets::new(plan, knobs, now))),
                Err(error) => Stage::Failed(Box::new(error.clone())),
            };
            // A sheet goes on with the plan's figures; without a plan there is nothing to explain.
            if model.plan.plan().is_none() {
                model.plan.lay(Sheet::None);
            }
        }
        Msg::Answered(command, result) if matches!(**command, Command::Run { .. }) => match result {
            Ok(Answer::Jobs(jobs)) => {
                let names: Vec<String> = jobs.iter().map(ToString::to_string).collect();
                model.say(now, format!("job {} started", names.join(", ")));
            }
            Ok(_) => {}
            Err(error) => {
                if let Some(sheets) = model.plan.sheets() {
                    sheets.started = false;
                }
                model.trouble(now, error.clone());
            }
        },
        _ => {}
    }
    Vec::new()
}

/// The gate hears every key; `S` counts only once it listens. An open sheet takes `esc`.
fn key(model: &mut Model, key: KeyEvent, now: Now) -> Option<Vec<Effect>> {
    let heard = model.plan.sheets().is_none_or(|sheets| sheets.gate.key(now));
    if key.code == KeyCode::Char('S') && !heard {
        model.say(now, "S counts in a moment: a plan must be seen before it is started");
        return Some(Vec::new());
    }
    let sheet = model.plan.sheet;
    // The enter that asked for the plan, pressed twice.
    if key.code == KeyCode::Enter && now.mono.saturating_sub(model.plan.opened) < gate::OPENING {
        return Some(Vec::new());
    }
    match (key.code, sheet) {
        (_, Sheet::None) => return None,
        (KeyCode::Esc, _) => model.plan.lay(Sheet::None),
        (KeyCode::Tab, Sheet::Formula(figure)) => model.plan.lay(Sheet::Formula(figure.next())),
        (KeyCode::Down | KeyCode::Char('j'), _) => {
            model.plan.top = (model.plan.top + 1).min(sheet::end(model));
        }
        (KeyCode::Up | KeyCode::Char('k'), _) => model.plan.top = model.plan.top.saturating_sub(1),
        _ => return None,
    }
    Some(Vec::new())
}

/// How many checks passed, and how many say something.
fn tally(plan: &Plan) -> (usize, usize) {
    let passed = plan.findings.iter().filter(|f| f.level == Level::Passed).count();
    (passed, plan.findings.len() - passed)
}

/// The knobs that lead from the plan as made to the plan as shown.
fn knobs_of(made: &Plan, shown: &Plan) -> Knobs {
    let (before, after) = (&made.operation.options, &shown.operation.options);
    Knobs {
        concurrency: (before.concurrency != after.concurrency).then_some(after.concurrency).flatten(),
        budget: (made.choices.budget != shown.choices.budget).then_some(shown.choices.budget),
        pace: (before.pace != after.pace).then_some(after.pace),
        verify: (before.verify != after.verify).then_some(after.verify),
        bandwidth: (before.bandwidth != after.bandwidth)
            .then(|| after.bandwidth.as_ref().and_then(crate::bandwidth::Bandwidth::least)),
        class: if before.storage_class == after.storage_class { None } else { knobs::class_of(after) },
    }
}
