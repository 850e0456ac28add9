//! What can be done on Orphans: look, make figures exact, keep for ever, archive first, plan a removal.

use super::{exact, judged, marked, start};
use crate::address::Address;
use crate::engine::keep::Kept;
use crate::error::Error;
use crate::inventory::SnapshotRow;
use crate::inventory::relations::{Anew, Depth};
use crate::inventory::verdict::{Judged, KEEP, statement};
use crate::plan::removal::{Target, Wishes};
use crate::tui::action::{Action, Scope};
use crate::tui::catalog::Record as _;
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::gate::Gate;
use crate::tui::model::{Mode, Model};
use crate::tui::overlay::{Overlay, ask, confirm, detail as over, inside};
use crate::tui::screen::{Screen, compare, lineage, removal};
use crate::tui::text;
use crate::tui::update::export;

fn needs_row(model: &Model) -> Option<String> {
    model.orphans.list.is_empty().then(|| "there is nothing judged here yet".to_owned())
}

fn snapshot(model: &Model) -> Option<SnapshotRow> {
    exact::snapshot(model, model.orphans.list.current()?).cloned()
}

const HERE: Scope = Scope::Screen(Screen::Orphans);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.look("orphans.open", "why", &["enter"], 10, "All the evidence for the thing, in words.", needs_row, |m, _| {
        m.overlays.push(Overlay::Detail(over::State::default()));
        Vec::new()
    }),
    HERE.look(
        "orphans.exact",
        "exact",
        &["X"],
        21,
        "Make FREES exact: the chains of the marks, or of all rows shown, are listed; nothing is removed.",
        exact::cannot,
        |m, now| exact::ask(m, false, now),
    ),
    HERE.look("orphans.start", "start", &["S"], 0, "The same, whatever listing costs.", exact::cannot, |m, now| {
        exact::ask(m, true, now)
    }),
    HERE.look(
        "orphans.stop",
        "stop asking",
        &["x"],
        0,
        "Stop what X asks; what was told stays.",
        |m| m.freed.running.is_empty().then(|| "nothing is being asked".to_owned()),
        |m, now| exact::stop(m, now).unwrap_or_default(),
    ),
    HERE.look(
        "orphans.inspect",
        "inspect",
        &["i"],
        23,
        "Look inside: partitions, file systems, labels, boot loader; a handful of blocks is read.",
        cannot_inspect,
        |m, _| match snapshot(m) {
            Some(row) => inside::open(m, (row.origin.clone(), row.id)),
            None => Vec::new(),
        },
    ),
    HERE.look(
        "orphans.lineage",
        "lineage",
        &["L"],
        26,
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
    HERE.remove(
        "orphans.delete",
        "deletion plan",
        &["D"],
        22,
        "The deletion plan of the marks; nothing is deleted by it.",
        |m| m.orphans.list.is_empty().then(|| "there is nothing here to delete".to_owned()),
        |m, now| {
            let (judged, hidden) = (marked(m, now), m.orphans.list.hidden);
            removal::open_judged(m, &judged, hidden, Wishes::default())
        },
    ),
    HERE.remove(
        "orphans.archive",
        "archive first",
        &["A"],
        25,
        "The deletion plan of the marks, their snapshots archived to S3 and proved first; nothing is done by it.",
        cannot_archive,
        archive,
    ),
    HERE.make(
        "orphans.keep",
        "never",
        &["z"],
        24,
        "Tag the marks so that they are never orphans again, for any floe; nothing is deleted by it.",
        cannot_keep,
        keep,
    ),
    HERE.look(
        "orphans.copy",
        "copy policy or id",
        &["y"],
        0,
        "Copy the IAM statement that is missing; where nothing is refused, or rows are marked, their ids.",
        |_| None,
        copy,
    ),
    HERE.look(
        "orphans.refresh",
        "judge again",
        &["r", "ctrl-r"],
        58,
        "Ask AWS everything anew; what is shown stays until newer answers come.",
        |_| None,
        |m, now| {
            m.say(now, "judging again");
            start(m, Anew::All, Depth::Single, now)
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

fn cannot_inspect(model: &Model) -> Option<String> {
    match (needs_row(model), snapshot(model)) {
        (Some(why), _) => Some(why),
        (None, None) => {
            Some("only snapshots can be looked into: a volume itself cannot be read from outside".to_owned())
        }
        (None, Some(row)) => compare::unreadable(&row),
    }
}

fn cannot_archive(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("READ-ONLY: this deck makes nothing".to_owned());
    }
    let rows = model.orphans.list.chosen();
    let none = !rows.iter().any(|at| exact::snapshot(model, *at).is_some());
    needs_row(model).or_else(|| none.then(|| "only snapshots can be archived".to_owned()))
}

/// Asks where to; the plan says what it costs.
fn archive(model: &mut Model, _: Now) -> Vec<Effect> {
    model.orphans.asked = model.orphans.list.chosen();
    let text = model.memory.archives.first().cloned().unwrap_or_else(|| "s3://".to_owned());
    model.overlays.push(Overlay::Ask(ask::State {
        title: "Archive them first".to_owned(),
        help: "s3://bucket/prefix/ · each block is read back before a snapshot is deleted".to_owned(),
        text,
        error: None,
        then: |model, text, now| {
            let address = Address::destination(text).map_err(|error| error.what)?;
            if !matches!(address, Address::Archive(..)) {
                return Err("that is no place for archives: write s3://bucket/prefix/".to_owned());
            }
            let wishes = Wishes { archive_to: Some(address.to_string()), ..Wishes::default() };
            let (judged, hidden) = (judged(model, &model.orphans.asked, now), model.orphans.list.hidden);
            Ok(removal::open_judged(model, &judged, hidden, wishes))
        },
    }));
    Vec::new()
}

fn cannot_keep(model: &Model) -> Option<String> {
    if model.mode == Mode::ReadOnly {
        return Some("READ-ONLY: this deck changes nothing".to_owned());
    }
    if let Some(why) = needs_row(model) {
        return Some(why);
    }
    let chosen = model.orphans.list.chosen();
    if chosen.len() > KEPT_MOST {
        return Some(format!("{} at once at most: unmark some", text::count(KEPT_MOST as u64, "mark")));
    }
    let rows = || chosen.iter().filter_map(|at| model.orphans.table.get(*at));
    let read_only = rows().find_map(|row| {
        let profile = row.origin().profile.as_ref()?;
        model.rules.read_only_profiles.contains(profile).then(|| profile.to_string())
    });
    if let Some(profile) = read_only {
        return Some(format!("READ-ONLY: the config names {profile} in read_only_profiles"));
    }
    rows().find_map(|row| model.rules.check_account(&row.origin().account, model.sandbox).err()).map(|e| e.what)
}

/// Things that are tagged at once: one call each.
const KEPT_MOST: usize = 200;

/// Asks with `S`, because it makes something: a tag.
fn keep(model: &mut Model, now: Now) -> Vec<Effect> {
    model.orphans.asked = model.orphans.list.chosen();
    let things = model.orphans.asked.len() as u64;
    model.overlays.push(Overlay::Confirm(confirm::State {
        title: format!("Keep {} for ever?", text::count(things, "thing")),
        lines: vec![
            format!(
                "{} the tag {KEEP}; every floe calls it protected then.",
                if things == 1 { "It gets" } else { "Each gets" }
            ),
            "Nothing is deleted; taking the tag off undoes it.".to_owned(),
        ],
        accept: confirm::Accept::Key('S'),
        gate: Gate::opened(now),
        others: Vec::new(),
        then: |model, now| {
            // What is marked may have changed its mind about being there while it was asked.
            if let Some(why) = cannot_keep(model) {
                model.refuse(now, why);
                return Vec::new();
            }
            let one = |judged: &Judged| Some((judged.origin.place(), judged.id.parse::<Target>().ok()?));
            vec![Effect::Keep(judged(model, &model.orphans.asked, now).iter().filter_map(one).collect())]
        },
    }));
    Vec::new()
}

/// They were tagged, or not: what is judged follows.
pub(super) fn kept(model: &mut Model, told: &Result<Vec<Kept>, Error>, now: Now) -> Vec<Effect> {
    let rows = match told {
        Ok(rows) => rows,
        Err(error) => {
            model.trouble(now, error.clone());
            return Vec::new();
        }
    };
    let failed: Vec<&Error> = rows.iter().filter_map(|row| row.error.as_ref()).collect();
    let done = rows.len() - failed.len();
    match failed.first() {
        Some(error) => model.trouble(now, (*error).clone()),
        None => model.say(now, format!("{} kept: tagged {KEEP}", text::count(done as u64, "thing"))),
    }
    if done == 0 {
        return Vec::new();
    }
    model.orphans.list.unmark();
    start(model, Anew::All, Depth::Single, now)
}
