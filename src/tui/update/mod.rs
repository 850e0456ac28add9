//! `update(message) -> effects`: total, synchronous, without I/O, its clock handed in.
//!
//! Keys go to the topmost overlay, else to the screen, else to the action they stand for. Work on long
//! lists is cut into slices ([`Msg::Work`]); [`wants`] tells the loop whether and when to come back.

pub mod everywhere;
pub mod export;
mod mouse;

use std::time::Duration;

use crossterm::event::KeyEvent;

use super::action;
use super::catalog::Catalog;
use super::clock::Now;
use super::effect::{Effect, Memory};
use super::list::{Column, List, filter};
use super::model::{Mode, Model};
use super::msg::Msg;
use super::overlay::{self, Overlay};
use super::quiet::Quiet;
use super::screen::{self, Screen};
use crate::engine::protocol::{Command, JobState, Status};
use crate::error::Error;
use crate::ids::{Profile, Region};

/// One thing happened.
pub fn update(model: &mut Model, msg: Msg, now: Now) -> Vec<Effect> {
    if model.toast.as_ref().is_some_and(|toast| toast.until <= now.mono) {
        model.toast = None;
    }
    if model.armed.as_ref().is_some_and(|armed| armed.until <= now.mono) && !plan_is_open(model) {
        model.disarm();
        model.say(now, "no longer armed: half an hour without a key on the deletion screen");
    }
    let mut effects = match &msg {
        Msg::Key(key) => on_key(model, *key, now),
        Msg::Mouse(event) => mouse::on_mouse(model, *event, now),
        Msg::Paste(text) => overlay::paste(model, text, now),
        Msg::Resize(width, height) => {
            model.size = (*width, *height);
            Vec::new()
        }
        Msg::Inventory(number, told) if *number == model.look => {
            if let Some(error) = forbidden(model, told) {
                // Thousands of pages may come from it; it is said once.
                if !model.problems.iter().any(|known| known.error.what == error.what) {
                    model.trouble(now, error);
                }
                return Vec::new();
            }
            let mut effects = Vec::new();
            if let crate::inventory::Update::Regions(profile, account, rows) = told {
                if !model.aliases.contains_key(account) {
                    model.aliases.insert(account.clone(), None);
                    effects.push(Effect::AskAlias(profile.clone()));
                }
                // What the account has not opted into can hold nothing: it is offered nowhere.
                let open = rows.iter().filter(|row| row.is_enabled()).map(|row| &row.name);
                let fresh = open.filter(|name| !model.known_regions.contains(name));
                let fresh: Vec<Region> = fresh.cloned().collect();
                model.known_regions.extend(fresh);
                model.known_regions.sort();
            }
            if let Some(error) = model.catalog.hear(told.clone()) {
                model.keep_problem(now, error);
            }
            if let crate::inventory::Update::Done(origin, crate::inventory::Kind::Snapshots, _) = told
                && let Some(shard) = model.catalog.snapshots.of(origin)
            {
                let there = shard.rows.iter().filter(|slot| slot.seen != super::catalog::Seen::Gone);
                model.freed.forget_changed(origin, there.map(|slot| &*slot.row));
            }
            if matches!(told, crate::inventory::Update::Finished) {
                effects.extend(screen::orphans::looked(model, now));
            }
            effects
        }
        Msg::Inventory(..) => Vec::new(),
        Msg::Status(status) => {
            let told = tidings(model, status);
            model.status = Some(status.clone());
            told
        }
        Msg::Contact(quiet) => {
            contact(model, *quiet, now);
            Vec::new()
        }
        Msg::Profiles(profiles, looked_at) => {
            screen::start::keep_cursor(model, profiles);
            model.profiles.clone_from(profiles);
            model.looked_at.clone_from(looked_at);
            Vec::new()
        }
        Msg::World { profiles, profile, sandbox, memory } => {
            model.memory = Memory { legend: memory.legend.or(model.rules.legend), ..memory.clone() };
            restore(model);
            enter_world(model, profiles, profile.clone(), *sandbox)
        }
        Msg::Counting(number, progress) => {
            model.figures.progressed(*number, progress);
            Vec::new()
        }
        Msg::Counted(what, outcome) => {
            model.figures.keep(what.clone(), (**outcome).clone());
            Vec::new()
        }
        Msg::Looked(at, looked) => {
            model.insides.keep(at.clone(), (**looked).clone());
            Vec::new()
        }
        Msg::Freed(at, told) => {
            match &**told {
                Ok(lives) => model.freed.keep(at, Some(lives.clone())),
                Err(error) => {
                    model.freed.keep(at, None);
                    model.trouble(now, error.clone());
                }
            }
            Vec::new()
        }
        Msg::Billed(told) => {
            crate::tui::screen::world::billed(model, told, now);
            Vec::new()
        }
        Msg::Setup(of, setup) => {
            model.world.setups.keep(of, (**setup).clone(), model.look, now);
            Vec::new()
        }
        Msg::Copies(copies) => {
            model.copies.clone_from(copies);
            Vec::new()
        }
        Msg::Directory(typed, entries) => {
            model.names.directory(typed.clone(), entries.clone());
            Vec::new()
        }
        Msg::Buckets(profile, names) => {
            model.names.buckets(profile.clone(), names.clone());
            Vec::new()
        }
        Msg::Answered(_, Err(error)) => {
            model.trouble(now, error.clone());
            Vec::new()
        }
        Msg::Did(text) => {
            model.say(now, text.clone());
            Vec::new()
        }
        Msg::Failed(error) => {
            model.trouble(now, error.clone());
            Vec::new()
        }
        Msg::Work => {
            work(model, now);
            Vec::new()
        }
        Msg::Closing => vec![Effect::Quit],
        Msg::RemovalPlanned(..) | Msg::Removing(..) | Msg::Removed(..) | Msg::Restored(_) | Msg::Audit(_) => Vec::new(),
        Msg::PlanCompared(_) | Msg::Kept(_) => Vec::new(),
        Msg::Alias(account, alias) => {
            model.aliases.insert(account.clone(), alias.clone());
            Vec::new()
        }
        Msg::Previewed(..)
        | Msg::Planned(..)
        | Msg::Answered(..)
        | Msg::Archives(..)
        | Msg::Inspected(..)
        | Msg::Tick => Vec::new(),
        Msg::Judged(..) => Vec::new(),
    };
    if !matches!(msg, Msg::Key(_) | Msg::Mouse(_) | Msg::Work) {
        for screen in Screen::ALL {
            effects.extend((screen.page().hear)(model, &msg, now));
        }
    }
    waits(model, &effects, now);
    world_rows(model);
    effects.extend(screen::world_region::ask(model, now));
    let lines = model.list_lines();
    let asked = matches!(model.overlays.last(), Some(Overlay::Detail(_) | Overlay::Ask(_) | Overlay::Confirm(_)));
    if let Some(list) = model.list_mut() {
        // What is read or asked about a row is about that row, whatever comes above it meanwhile.
        if asked {
            list.hold();
        }
        list.settle(lines);
    }
    effects
}

/// Whether a plan of the armed account is open: as long as it is, the arming does not end by itself.
fn plan_is_open(model: &Model) -> bool {
    model.screen == Screen::Removal
        && model.armed.as_ref().is_some_and(|armed| screen::removal::account(model).as_ref() == Some(&armed.account))
}

fn on_key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    if !model.overlays.is_empty() {
        return overlay::key(model, key, now);
    }
    if let Some(effects) = (model.screen.page().key)(model, key, now) {
        return effects;
    }
    let Some(action) = action::find(model, key) else { return Vec::new() };
    run(model, action, now)
}

/// Does an action, or says why it cannot be done.
pub fn run(model: &mut Model, action: &action::Action, now: Now) -> Vec<Effect> {
    match (action.disabled)(model) {
        Some(why) => {
            model.refuse(now, why);
            Vec::new()
        }
        None => (action.run)(model, now),
    }
}

/// Looks with these profiles in these regions; other profiles empty the catalog, because ids of another account are other things.
pub fn look(model: &mut Model, profiles: Vec<Profile>, regions: Vec<Region>) -> Vec<Effect> {
    if model.chosen_profiles != profiles {
        model.disarm();
    }
    if model.chosen_profiles != profiles || model.chosen_regions != regions {
        model.catalog = Catalog::default();
        for list in [&mut model.snapshots.list, &mut model.volumes.list, &mut model.images.list, &mut model.world.list]
        {
            *list = list.emptied();
        }
        model.orphans = model.orphans.emptied();
    }
    model.chosen_profiles = profiles;
    model.chosen_regions = regions;
    let read_only = model.rules.is_read_only(&model.chosen_profiles);
    if read_only {
        model.disarm();
    }
    model.mode = match (read_only, &model.armed) {
        (true, _) => Mode::ReadOnly,
        (false, Some(_)) => Mode::Armed,
        (false, None) => Mode::Safe,
    };
    model.catalog.finished = false;
    model.look = model.number();
    vec![Effect::Look {
        number: model.look,
        profiles: model.chosen_profiles.clone(),
        regions: model.chosen_regions.clone(),
    }]
}

fn enter_world(
    model: &mut Model,
    profiles: &[crate::aws::ProfileInfo],
    profile: Option<Profile>,
    sandbox: bool,
) -> Vec<Effect> {
    model.profiles = profiles.to_vec();
    model.sandbox = sandbox;
    // Jobs, problems and rows of another world are other things: nothing of them stays.
    model.status = None;
    model.quiet = None;
    model.disarm();
    model.removal = screen::removal::State::default();
    model.figures = super::figures::Figures::default();
    model.insides = super::insides::Insides::default();
    model.freed = super::insides::Freed::default();
    model.copies.clear();
    model.aliases.clear();
    model.names = super::names::Names::default();
    model.archives = screen::archives::State::default();
    model.elsewhere = screen::elsewhere::State::default();
    model.orphans = screen::orphans::State::default();
    model.world.setups = screen::world_region::Setups::default();
    model.problems.clear();
    model.catalog = Catalog::default();
    model.back.clear();
    model.overlays.clear();
    model.screen = Screen::World;
    look(model, profile.into_iter().collect(), Vec::new())
}

/// A command to an engine that does not answer is kept for it: whoever gave it hears that it is not carried out yet.
fn waits(model: &mut Model, effects: &[Effect], now: Now) {
    let Some(quiet @ Quiet::Silent { .. }) = model.quiet else { return };
    let asked = effects.iter().find_map(|effect| match effect {
        Effect::Engine(command) if !matches!(**command, Command::Watch(_)) => Some(command.wish()),
        _ => None,
    });
    if let Some(wish) = asked {
        model.refuse(now, format!("the wish {wish} waits: {}", quiet.said(now)));
    }
}

/// The engine fell silent, or speaks again: the former stays among the problems, the latter is said in passing.
fn contact(model: &mut Model, quiet: Option<Quiet>, now: Now) {
    let was = std::mem::replace(&mut model.quiet, quiet);
    match (was, quiet) {
        (None, Some(Quiet::Silent { pid, .. })) => {
            let error = Error::failed("the engine does not answer").todo(crate::engine::what_ends_it(pid));
            model.keep_problem(now, error);
        }
        (Some(Quiet::Silent { .. }), None) => model.say(now, "the engine answers again"),
        _ => {}
    }
}

/// The bell for jobs that ended, failed or wait since the last picture; none for the first picture.
fn tidings(model: &Model, status: &Status) -> Vec<Effect> {
    let changed = status.jobs.iter().filter(|job| model.job(job.job).is_some_and(|before| before.state != job.state));
    changed
        .filter_map(|job| {
            let word = match job.state {
                JobState::Done => "is done",
                JobState::Failed => "failed",
                JobState::Partial => "finished, but some of it failed",
                JobState::Waiting => "waits",
                _ => return None,
            };
            let why = job.error.as_ref().map_or(String::new(), |error| format!(": {}", error.what));
            // What was copied is a copy to be shown and to build on.
            let mut out = vec![Effect::ReadCopies, Effect::Notify(format!("floe: job {} {word}{why}", job.job))];
            // A background engine tells it itself, whoever looks on.
            let command = model.rules.on_event.clone().filter(|_| status.in_process);
            let hook = command.zip(crate::engine::told::event(job, status.at));
            out.extend(hook.map(|(command, event)| Effect::Hook(command, Box::new(event))));
            Some(out)
        })
        .flatten()
        .collect()
}

/// Why rows of an account may not be shown.
fn forbidden(model: &Model, told: &crate::inventory::Update) -> Option<Error> {
    use crate::inventory::Update;
    let account = match told {
        Update::Regions(_, account, _) => account,
        Update::Started(origin, _)
        | Update::Page(origin, _)
        | Update::Done(origin, ..)
        | Update::Remembered(origin, ..)
        | Update::Failed { origin, .. } => &origin.account,
        Update::ProfileFailed(..) | Update::Finished => return None,
    };
    model.rules.check_account(account, model.sandbox).err()
}

/// What the loop should do when nothing else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// Send [`Msg::Work`] as soon as no key waits.
    pub work: bool,
    /// Let keys wait for that work: they are meant for the rows that a filter is still finding.
    pub keys_wait: bool,
    /// Send [`Msg::Tick`] at this moment of the deck's own clock.
    pub wake: Option<Duration>,
}

/// Whether and when to come back. A deck in which nothing goes on wants nothing.
#[must_use]
pub fn wants(model: &Model, now: Now) -> Wants {
    let c = &model.catalog;
    let lists = [
        (&model.snapshots.list, c.snapshots.revision),
        (&model.volumes.list, c.volumes.revision),
        (&model.images.list, c.images.revision),
        (&model.orphans.list, model.orphans.table.revision),
    ];
    let work = lists.iter().any(|(list, revision)| list.has_work(*revision, now));
    let keys_wait = work && model.overlays.is_empty() && model.list().is_some_and(List::is_narrowing);
    let gates = model.overlays.iter().filter_map(|o| match o {
        Overlay::Confirm(state) if !state.gate.listens(now) => Some(now.mono + Duration::from_millis(50)),
        _ => None,
    });
    let wake = lists
        .iter()
        .filter_map(|(list, revision)| list.wakes(*revision))
        .chain(model.toast.as_ref().map(|t| t.until))
        .chain(model.armed.as_ref().filter(|_| !plan_is_open(model)).map(|armed| armed.until))
        .chain(gates)
        .chain(screen::elsewhere::wakes(model))
        .chain(model.quiet.and_then(|quiet| quiet.wakes(now)))
        .chain(ages_change(model, now))
        .min();
    Wants { work, keys_wait, wake }
}

/// Ages on screen are whole minutes, so they change once a minute; without any data there is none to change.
fn ages_change(model: &Model, now: Now) -> Option<Duration> {
    (!model.catalog.origins.is_empty()).then(|| now.mono + Duration::from_secs(60))
}

/// One slice for the first list that has something to do; the list on screen comes first.
fn work(model: &mut Model, now: Now) {
    let Model { catalog, snapshots, volumes, images, orphans, screen, .. } = model;
    let mut order = [Screen::Snapshots, Screen::Volumes, Screen::Images, Screen::Orphans];
    order.sort_by_key(|s| *s != *screen);
    for of in order {
        match of {
            Screen::Snapshots if snapshots.list.has_work(catalog.snapshots.revision, now) => {
                let columns: &[Column<_>] = screen::snapshots::COLUMNS;
                return snapshots.list.work(&catalog.snapshots, columns, filter::snapshot, now);
            }
            Screen::Volumes if volumes.list.has_work(catalog.volumes.revision, now) => {
                return volumes.list.work(&catalog.volumes, screen::volumes::COLUMNS, filter::volume, now);
            }
            Screen::Images if images.list.has_work(catalog.images.revision, now) => {
                return images.list.work(&catalog.images, screen::images::COLUMNS, filter::image, now);
            }
            Screen::Orphans if orphans.list.has_work(orphans.table.revision, now) => {
                return orphans.list.work(&orphans.table, screen::orphans::COLUMNS, filter::orphan, now);
            }
            _ => {}
        }
    }
}

/// The rows of World follow the catalog: there are as many as regions, so they are made anew each time.
fn world_rows(model: &mut Model) {
    if model.screen == Screen::World {
        screen::world::rebuild(model);
    }
}

/// Takes up what was kept between runs: the order of each list.
pub fn restore(model: &mut Model) {
    let kept = model.memory.sort.clone();
    for screen in [Screen::World, Screen::Snapshots, Screen::Volumes, Screen::Images, Screen::Orphans] {
        let Some((name, descending)) = kept.get(&screen.page().title.to_lowercase()) else { continue };
        let Some(column) = screen.columns().iter().position(|(known, _)| known == name) else { continue };
        let here = std::mem::replace(&mut model.screen, screen);
        if let Some(list) = model.list_mut() {
            list.sort_by(column, *descending);
        }
        model.screen = here;
    }
}
