//! What can be done on the deletion screen, and why it cannot. Everything that changes the plan makes another one;
//! only [`start`] carries one out.

use super::{Foot, Stage, account, compare, file_name, make, step};
use crate::engine::daemon::user;
use crate::engine::removal::{Archiving, Outcome};
use crate::ids::{AccountId, SnapshotId};
use crate::plan::removal::Target;
use crate::tui::action::{Action, Scope, always};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::gate::Gate;
use crate::tui::model::{Mode, Model};
use crate::tui::overlay::{Overlay, ask, confirm};
use crate::tui::screen::Screen;
use crate::units::counted;

const HERE: Scope = Scope::Screen(Screen::Removal);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.remove("removal.start","delete…",&["D"],1,"Carry out exactly this plan: needs the deck armed, and its count typed.",cannot_start,ask_for_count),
    HERE.look(
        "removal.stop",
        "stop",
        &["x"],
        5,
        "Stop: archives at once, kept to go on with; else after the item in flight. The report says what was not tried.",
        cannot_stop,
        |model, now| {
            model.removal.stage = Stage::Stopping;
            model.say(now, stops(model));
            vec![Effect::StopRemoval]
        },
    ),
    HERE.look(
        "removal.take-out",
        "take out",
        &["-"],
        3,
        "Take the item out; the plan is made again.",
        cannot_change,
        take_out,
    ),
    HERE.look(
        "removal.archive",
        "archive first",
        &["a"],
        4,
        "Archive the snapshot to S3 and prove it before it is deleted.",
        cannot_archive,
        archive,
    ),
    HERE.look(
        "removal.snapshot",
        "snapshot first",
        &["s"],
        0,
        "Make a snapshot of each volume before it is deleted, or not.",
        cannot_change,
        |model, _| {
            model.removal.wishes.snapshot_first = !model.removal.wishes.snapshot_first;
            make(model)
        },
    ),
    HERE.look(
        "removal.with-snapshots",
        "with snapshots",
        &["S"],
        0,
        "Delete the snapshots of each image after it, or not.",
        cannot_change,
        |model, _| {
            model.removal.wishes.with_snapshots = !model.removal.wishes.with_snapshots;
            make(model)
        },
    ),
    HERE.look(
        "removal.accept-unknown",
        "accept unknown",
        &["U"],
        6,
        "Include what a rule could not be answered for, or leave it alone again.",
        cannot_change,
        |model, _| {
            model.removal.wishes.accept_unknown = !model.removal.wishes.accept_unknown;
            make(model)
        },
    ),
    HERE.look(
        "removal.again",
        "check again",
        &["r"],
        8,
        "Make the plan again, by what AWS says now; after a run, of what is left.",
        cannot_make_again,
        |m, _| make_again(m),
    ),
    HERE.look("removal.write", "save for review", &["w"], 2, "Write the plan to a file, for a colleague.", no_plan, write),
    HERE.look("removal.compare", "compare", &["c"], 5, "What differs from a saved plan.", cannot_compare, compare::open),
    HERE.look(
        "removal.hidden",
        "hidden",
        &["H"],
        6,
        "Only the items that a filter of their list hides.",
        no_hidden,
        |m, _| {
            m.removal.only_hidden = !m.removal.only_hidden;
            step(m, 0)
        },
    ),
    HERE.look("removal.evidence", "evidence", &["e"], 7, "What the verdict of the item rests on.", no_plan, |model, _| {
        let evidence = model.removal.foot == Foot::Evidence;
        model.removal.foot = if evidence { Foot::Before } else { Foot::Evidence };
        Vec::new()
    }),
    HERE.make("removal.restore","bring back",&["u"],8,"Bring the deleted item back from the Recycle Bin.",cannot_restore,|model, _| {
            let state = &model.removal;
            let Some(item) = state.plan.as_ref().and_then(|plan| plan.items.get(state.cursor)) else {
                return Vec::new();
            };
            vec![Effect::Restore(vec![(item.judged.origin.place(), item.target.clone())])]
        }),
    HERE.look("removal.down", "down", &["down", "j"], 0, "The next item.", always, |m, _| step(m, 1)),
    HERE.look("removal.up", "up", &["up", "k"], 0, "The item before.", always, |m, _| step(m, -1)),
    HERE.look("removal.page-down", "page down", &["ctrl-d", "pgdn"], 0, "Ten items down.", always, |m, _| step(m, 10)),
    HERE.look("removal.page-up", "page up", &["ctrl-u", "pgup"], 0, "Ten items up.", always, |m, _| step(m, -10)),
    HERE.look("removal.back", "keep all", &["esc"], 9, "Back; nothing is removed.", always, |model, _| {
        model.go_back();
        Vec::new()
    }),
];

fn no_hidden(model: &Model) -> Option<String> {
    no_plan(model)
        .or_else(|| model.removal.hidden.is_empty().then(|| "no item of this plan is hidden by a filter".to_owned()))
}

fn cannot_compare(model: &Model) -> Option<String> {
    no_plan(model)
}

/// When it stops.
fn stops(model: &Model) -> &'static str {
    if model.removal.is_archiving() {
        "it stops: archives are put down, to go on with; a deletion in flight ends first"
    } else {
        "it stops after the item in flight"
    }
}

fn cannot_stop(model: &Model) -> Option<String> {
    match model.removal.stage {
        Stage::Running => None,
        Stage::Stopping => Some(stops(model).to_owned()),
        _ => Some("nothing is being removed".to_owned()),
    }
}

fn cannot_make_again(model: &Model) -> Option<String> {
    match &model.removal.stage {
        Stage::Over(report) if report.not_tried + report.failed + report.skipped > 0 => None,
        Stage::Over(_) => Some("everything of it was carried out".to_owned()),
        _ => cannot_change(model),
    }
}

/// Makes the plan again; after a run of what is not gone.
fn make_again(model: &mut Model) -> Vec<Effect> {
    let state = &mut model.removal;
    if let (Stage::Over(report), Some(_)) = (&state.stage, &state.plan) {
        let gone = |target: &Target| {
            report.items.iter().any(|row| row.id == *target && matches!(row.outcome, Outcome::Removed { .. }))
        };
        state.targets.retain(|(_, target)| !gone(target));
        let targets = &state.targets;
        state.hidden.retain(|target| targets.iter().any(|(_, left)| left == target));
        state.only_hidden &= !state.hidden.is_empty();
        state.cursor = 0;
    }
    make(model)
}

fn no_plan(model: &Model) -> Option<String> {
    match (&model.removal.plan, &model.removal.stage) {
        (Some(_), _) => None,
        (None, Stage::Making) => Some("the plan is still being made".to_owned()),
        (None, _) => Some("there is no plan: D on marks makes one".to_owned()),
    }
}

fn cannot_change(model: &Model) -> Option<String> {
    match model.removal.stage {
        Stage::Running | Stage::Stopping => Some("it is being carried out: x stops it".to_owned()),
        Stage::Over(_) => Some("it was carried out; a plan runs once".to_owned()),
        _ => no_plan(model),
    }
}

fn cannot_start(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("READ-ONLY: this deck removes nothing; w saves the plan for where it may be".to_owned());
    }
    if !model.removal.is_stopped()
        && let Some(why) = cannot_change(model)
    {
        return Some(why);
    }
    let plan = model.removal.plan.as_ref()?;
    if plan.summary().removed == 0 {
        return Some("the plan would remove nothing: every item is skipped, with its reason".to_owned());
    }
    let read_only = plan.removals().find_map(|item| {
        let profile = item.judged.origin.profile.as_ref()?;
        model.rules.read_only_profiles.contains(profile).then(|| profile.to_string())
    });
    if let Some(profile) = read_only {
        return Some(format!("READ-ONLY: the config names {profile} in read_only_profiles"));
    }
    let Some(account) = account(model) else {
        return Some("the plan is of several accounts, and the deck is armed for one: take the others out".to_owned());
    };
    if let Err(error) = model.rules.check_account(&account, model.sandbox) {
        return Some(error.what);
    }
    match &model.armed {
        Some(armed) if armed.account == account => None,
        Some(armed) => Some(format!("armed for {}, and the plan is of {}", armed.account.grouped(), account.grouped())),
        None => Some("not armed: ! arms the deck for this account".to_owned()),
    }
}

fn ask_for_count(model: &mut Model, now: Now) -> Vec<Effect> {
    let Some(plan) = &model.removal.plan else { return Vec::new() };
    if let Err(error) = plan.check_age(now.wall) {
        model.refuse(now, error.what);
        return Vec::new();
    }
    let (sum, token) = (plan.summary(), plan.token());
    let accounts: Vec<String> = sum.accounts.iter().map(AccountId::grouped).collect();
    let regions: Vec<&str> = sum.regions.iter().map(crate::ids::Region::as_str).collect();
    let kinds = [(sum.snapshots, "snapshot"), (sum.volumes, "volume"), (sum.images, "AMI")];
    let kinds = kinds.into_iter().filter(|(n, _)| *n > 0).map(|(n, one)| counted(n.into(), one));
    let mut lines = vec![format!("{} in {}", kinds.collect::<Vec<_>>().join(" + "), regions.join(", "))];
    if let Stage::Over(report) = &model.removal.stage {
        let (gone, left) = (report.removed, report.not_tried);
        lines.push(format!("It goes on where it was stopped: {gone} are gone, {left} were not tried."));
    }
    if sum.finals > 0 {
        lines.push(format!("! {} cannot be brought back: no Recycle Bin keeps it", sum.finals));
    }
    lines.push("Each is checked again just before its call; what changed is skipped.".to_owned());
    model.overlays.push(Overlay::Confirm(confirm::State {
        title: format!("Delete {} in {}?", sum.removed, accounts.join(", ")),
        lines,
        accept: confirm::Accept::Typed { wanted: token, typed: String::new() },
        gate: Gate::opened(now),
        others: Vec::new(),
        then: start,
    }));
    Vec::new()
}

/// The count was typed: exactly the plan that is shown is carried out.
fn start(model: &mut Model, now: Now) -> Vec<Effect> {
    // Between the question and the answer the arming may have ended.
    if let Some(why) = cannot_start(model) {
        model.refuse(now, why);
        return Vec::new();
    }
    let Some(plan) = model.removal.plan.clone() else { return Vec::new() };
    let who = format!("{} (typed {} in the deck)", user(), plan.token());
    match plan.grant(who, now.wall) {
        Ok(grant) => {
            let number = model.number();
            model.removal.number = number;
            model.removal.stage = Stage::Running;
            model.removal.outcomes = vec![None; plan.items.len()];
            model.removal.archives = Archiving::default();
            vec![Effect::Remove {
                number,
                plan: Box::new(plan),
                grant: Box::new(grant),
                policy: model.rules.policy.clone(),
            }]
        }
        Err(error) => {
            model.trouble(now, error);
            Vec::new()
        }
    }
}

fn take_out(model: &mut Model, now: Now) -> Vec<Effect> {
    let state = &mut model.removal;
    let Some(item) = state.plan.as_ref().and_then(|plan| plan.items.get(state.cursor)) else { return Vec::new() };
    let target = item.target.clone();
    if state.targets.len() == 1 {
        model.say(now, "that was the last one: nothing would be removed");
        model.go_back();
        return Vec::new();
    }
    state.targets.retain(|(_, other)| *other != target);
    state.hidden.retain(|other| *other != target);
    state.only_hidden &= !state.hidden.is_empty();
    make(model)
}

fn cannot_archive(model: &Model) -> Option<String> {
    // A place that was refused can be named anew.
    if matches!(model.removal.stage, Stage::Failed(_)) && model.removal.wishes.archive_to.is_some() {
        return None;
    }
    if let Some(why) = cannot_change(model) {
        return Some(why);
    }
    let item = model.removal.plan.as_ref()?.items.get(model.removal.cursor)?;
    match item.target {
        Target::Snapshot(_) => None,
        Target::Volume(_) => Some("a volume is kept by a snapshot: s makes one first".to_owned()),
        Target::Image(_) => Some("an image is no data: its snapshots are archived".to_owned()),
    }
}

/// Asks where to, once; the next ones go there too.
fn archive(model: &mut Model, _: Now) -> Vec<Effect> {
    let text = model.removal.wishes.archive_to.clone().unwrap_or_else(|| "s3://".to_owned());
    model.overlays.push(Overlay::Ask(ask::State {
        title: "Archive it first".to_owned(),
        help: "s3://bucket/prefix/ · each block is read back before the snapshot is deleted".to_owned(),
        text,
        error: None,
        then: |model, text, _| {
            let address = crate::address::Address::destination(text).map_err(|error| error.what)?;
            if !matches!(address, crate::address::Address::Archive(..)) {
                return Err("that is no place for archives: write s3://bucket/prefix/".to_owned());
            }
            let state = &mut model.removal;
            let item = state.plan.as_ref().and_then(|plan| plan.items.get(state.cursor));
            if let Some(Target::Snapshot(id)) = item.map(|item| item.target.clone()) {
                let only: &mut Vec<SnapshotId> = &mut state.wishes.archive_only;
                if !only.contains(&id) {
                    only.push(id);
                }
            }
            state.wishes.archive_to = Some(address.to_string());
            Ok(make(model))
        },
    }));
    Vec::new()
}

fn write(model: &mut Model, now: Now) -> Vec<Effect> {
    let Some(plan) = &model.removal.plan else { return Vec::new() };
    match (plan.short_hash(), crate::plan::removal::text(plan)) {
        (Ok(hash), Ok(contents)) => {
            let name = file_name(&hash);
            model.removal.saved = Some(name.clone());
            vec![Effect::Write { path: name.into(), contents }]
        }
        (Err(error), _) | (_, Err(error)) => {
            model.trouble(now, error);
            Vec::new()
        }
    }
}

fn cannot_restore(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("READ-ONLY: this deck makes nothing".to_owned());
    }
    match model.removal.outcomes.get(model.removal.cursor) {
        Some(Some(Outcome::Removed { back_until: Some(_), .. })) => None,
        Some(Some(Outcome::Removed { .. })) => Some("the Recycle Bin does not keep it".to_owned()),
        _ => Some("it was not deleted".to_owned()),
    }
}
