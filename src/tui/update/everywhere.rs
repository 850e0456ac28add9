//! What can be done on every screen.

use crate::tui::action::{Action, Scope, always};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::gate::Gate;
use crate::tui::model::Model;
use crate::tui::overlay::{self, Overlay, address, confirm};
use crate::tui::screen::Screen;
use crate::tui::text;

const HERE: Scope = Scope::Everywhere;

fn go(model: &mut Model, to: Screen) -> Vec<Effect> {
    model.go(to);
    Vec::new()
}

fn open(model: &mut Model, overlay: Overlay) -> Vec<Effect> {
    model.overlays.push(overlay);
    Vec::new()
}

fn needs_profile(model: &Model) -> Option<String> {
    (model.look == 0).then(|| "no profile is open yet: choose one, or s for the sandbox".to_owned())
}

/// The actions.
pub const ACTIONS: &[Action] = &[
    HERE.look("world", "World", &["1"], 0, "Regions at a glance, and what needs attention.", needs_profile, |m, _| {
        go(m, Screen::World)
    }),
    HERE.look("snapshots", "Snapshots", &["2"], 0, "Snapshots of every region.", needs_profile, |m, _| {
        go(m, Screen::Snapshots)
    }),
    HERE.look("volumes", "Volumes", &["3"], 0, "Volumes of every region.", needs_profile, |m, _| {
        go(m, Screen::Volumes)
    }),
    HERE.look("images", "AMIs", &["4"], 0, "Machine images of every region.", needs_profile, |m, _| {
        go(m, Screen::Images)
    }),
    HERE.look(
        "orphans",
        "Orphans",
        &["5"],
        0,
        "What nothing refers to any more, with the evidence.",
        needs_profile,
        crate::tui::screen::orphans::open,
    ),
    HERE.look(
        "copy-from",
        "copy from…",
        &["C"],
        0,
        "Copy from anywhere: a file, a device, an archive, an object.",
        needs_profile,
        |m, _| {
            open(m, Overlay::Address(address::State { purpose: address::Purpose::Pair, ..address::State::default() }))
        },
    ),
    HERE.look("transfers", "jobs", &["J", "6"], 70, "Transfers: what runs, how fast, and why.", always, |m, _| {
        go(m, Screen::Transfers)
    }),
    HERE.look("log", "Log", &["7"], 0, "What happened, newest first.", always, |m, _| go(m, Screen::Log)),
    HERE.look(
        "elsewhere",
        "elsewhere",
        &["W"],
        0,
        "Volume by region: how old the newest proved copy is, and what has none.",
        needs_profile,
        crate::tui::screen::elsewhere::open,
    ),
    HERE.look(
        "archives",
        "archives",
        &["A"],
        0,
        "Archives in S3 below the prefix looked at last; the first time it is asked for.",
        needs_profile,
        crate::tui::screen::archives::open,
    ),
    HERE.look("profiles", "profile", &["P"], 55, "Choose profiles; several may be marked.", always, |m, _| {
        let state = overlay::pick::profiles(m);
        open(m, Overlay::Pick(state))
    }),
    HERE.look("regions", "regions", &["R"], 50, "Choose regions; none marked means all.", needs_profile, |m, _| {
        let state = overlay::pick::regions(m);
        open(m, Overlay::Pick(state))
    }),
    HERE.look(
        "refresh",
        "refresh",
        &["r", "ctrl-r"],
        58,
        "Look again; what is shown stays until newer rows come.",
        needs_profile,
        |m, now| {
            m.say(now, "looking again");
            crate::tui::screen::orphans::will_look(m);
            let (profiles, regions) = (m.chosen_profiles.clone(), m.chosen_regions.clone());
            crate::tui::update::look(m, profiles, regions)
        },
    ),
    HERE.look(
        "errors",
        "errors",
        &["E"],
        0,
        "Everything that went wrong and is not mended, grouped.",
        always,
        |m, _| open(m, Overlay::Errors(overlay::errors::State::default())),
    ),
    HERE.look("arm", "arm", &["!"], 0, "Arm the deck for deletions in one account.", cannot_arm, arm),
    HERE.look(
        "copy-command",
        "copy command",
        &["Y", "y"],
        0,
        "Copy the floe command that does the same as this screen.",
        always,
        |m, now| {
            let command = (m.screen.page().command)(m);
            m.say(now, "copied the command (OSC 52)");
            vec![Effect::Copy(command)]
        },
    ),
    HERE.look(
        "palette",
        "command",
        &[":"],
        91,
        "Every action, screen, region and id, by a few letters.",
        always,
        |m, _| open(m, Overlay::Palette(overlay::palette::State::default())),
    ),
    HERE.look("help", "help", &["?"], 92, "Every key of this screen, and what it does.", always, |m, _| {
        open(m, Overlay::Help(overlay::help::State::default()))
    }),
    HERE.look(
        "back",
        "back",
        &["esc", "left", "h"],
        0,
        "Drop the range, the filter, then go back one screen; never quits.",
        always,
        back,
    ),
    HERE.look("quit", "quit", &["q"], 93, "Back one screen; from the first one, quit.", always, |m, now| {
        if m.go_back() { Vec::new() } else { quit(m, now) }
    }),
    HERE.look(
        "quit-now",
        "quit at once",
        &["ctrl-c"],
        0,
        "Quit from anywhere; asks only where jobs would stop.",
        always,
        quit,
    ),
];

/// The account that the deck would be armed for: the plan's, else the one that is looked at.
fn account(model: &Model) -> Option<crate::ids::AccountId> {
    if model.screen == Screen::Removal
        && let Some(account) = crate::tui::screen::removal::account(model)
    {
        return Some(account);
    }
    let profile = model.chosen_profiles.first();
    model.catalog.origins.iter().find(|origin| origin.profile.as_ref() == profile).map(|origin| origin.account.clone())
}

fn cannot_arm(model: &Model) -> Option<String> {
    if model.mode == crate::tui::model::Mode::ReadOnly {
        return Some("READ-ONLY: this deck removes nothing, and that cannot be left".to_owned());
    }
    match account(model) {
        None => Some("no account is known yet".to_owned()),
        Some(account) => model.rules.check_account(&account, model.sandbox).err().map(|error| error.what),
    }
}

/// Arms, by the alias of the account or its last four digits; armed, it disarms.
fn arm(model: &mut Model, now: Now) -> Vec<Effect> {
    if model.armed.is_some() {
        model.disarm();
        model.say(now, "no longer armed");
        return Vec::new();
    }
    let Some(account) = account(model) else { return Vec::new() };
    let digits = account.as_str();
    let wanted = digits.get(digits.len().saturating_sub(4)..).unwrap_or(digits).to_owned();
    let alias = model.alias(&account).map(str::to_owned);
    model.overlays.push(Overlay::Confirm(confirm::State {
        title: format!("Arm deletions in {}?", account.grouped()),
        lines: vec![
            "Nothing is deleted by this: a plan is, on the deletion screen, by its typed count.".to_owned(),
            "It lasts half an hour from the last key there; ! ends it.".to_owned(),
            match &alias {
                Some(alias) => format!("Type its alias, {alias}, or the last four digits of the account:"),
                None => "Type the last four digits of the account:".to_owned(),
            },
        ],
        accept: confirm::Accept::either(wanted, alias.as_deref()),
        gate: Gate::opened(now),
        others: Vec::new(),
        then: |model, now| {
            if let Some(account) = self::account(model) {
                model.say(now, format!("armed for {}", account.grouped()));
                model.arm(account, now);
            }
            Vec::new()
        },
    }));
    Vec::new()
}

fn back(model: &mut Model, now: Now) -> Vec<Effect> {
    if let Some(list) = model.list_mut() {
        if list.anchor.take().is_some() {
            return Vec::new();
        }
        if !list.filter.text.is_empty() {
            list.set_filter("", now);
            return Vec::new();
        }
    }
    if !model.go_back() {
        model.say(now, "this is the first screen; q quits");
    }
    Vec::new()
}

/// Ends the deck; asks where jobs would stop with it.
fn quit(model: &mut Model, now: Now) -> Vec<Effect> {
    let jobs = model.jobs_that_would_stop();
    if jobs == 0 {
        return vec![Effect::Quit];
    }
    model.overlays.push(Overlay::Confirm(confirm::State {
        title: format!("Quit with {} running?", text::count(jobs as u64, "job")),
        lines: vec![
            "The engine runs inside this deck, so the jobs would be paused.".to_owned(),
            "Nothing is lost: `floe jobs resume` goes on where they stopped.".to_owned(),
        ],
        accept: confirm::Accept::Key('p'),
        gate: Gate::opened(now),
        others: Vec::new(),
        then: |_, _| vec![Effect::Engine(Box::new(crate::engine::protocol::Command::Shutdown)), Effect::Quit],
    }));
    Vec::new()
}
