//! What the deletion screen hears: the plan that was made, how far its run is, what became of it, what the bin gave
//! back. Nothing is asked for here but to look again, so that what is gone or back is seen everywhere.

use super::{Stage, compare, find_cursor};
use crate::engine::removal::{Outcome, Report, Restoration, Told};
use crate::error::Error;
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::msg::Msg;
use crate::tui::screen::orphans;

/// Takes a message in; those of an older plan, or of its run, are dropped.
pub fn hear(model: &mut Model, msg: &Msg, now: Now) -> Vec<Effect> {
    match msg {
        Msg::RemovalPlanned(number, made) if *number == model.removal.number => {
            match &**made {
                Ok(plan) => {
                    model.removal.plan = Some(plan.clone());
                    model.removal.stage = Stage::Planned;
                    find_cursor(model);
                }
                Err(error) => {
                    model.removal.stage = Stage::Failed(Box::new(error.clone()));
                    model.keep_problem(now, error.clone());
                }
            }
            Vec::new()
        }
        Msg::Removing(number, told) if *number == model.removal.number => {
            match told {
                Told::Archiving(archives) => model.removal.archives = archives.clone(),
                Told::Item { at, outcome } => {
                    if let Some(place) = model.removal.outcomes.get_mut(*at) {
                        *place = Some(outcome.clone());
                    }
                }
            }
            Vec::new()
        }
        Msg::Removed(number, report) if *number == model.removal.number => ended(model, report, now),
        Msg::Restored(rows) => {
            match &**rows {
                Ok(Restoration { unwritten: Some(error), rows }) => {
                    let back = rows.iter().filter(|row| row.outcome == "restored").count();
                    model.trouble(now, error.clone().during(format!("{back} of {} are back", rows.len())));
                }
                Ok(Restoration { rows, .. }) => {
                    let failed = rows.iter().find_map(|row| row.reason.clone());
                    match failed {
                        Some(why) => model.refuse(now, why),
                        None => model.say(now, format!("{} is back", rows.first().map_or("", |row| row.id.id()))),
                    }
                }
                Err(error) => model.trouble(now, error.clone()),
            }
            again(model, now)
        }
        Msg::PlanCompared(told) => compare::heard(model, told, now),
        _ => Vec::new(),
    }
}

fn ended(model: &mut Model, report: &Result<Report, Error>, now: Now) -> Vec<Effect> {
    match report {
        Ok(report) => {
            model.removal.outcomes = report.items.iter().map(|row| Some(row.outcome.clone())).collect();
            model.say(now, counts(report));
            model.removal.stage = Stage::Over(Box::new(report.clone()));
            // Marks of what is gone must not go into the next plan.
            for list in [&mut model.snapshots.list, &mut model.volumes.list, &mut model.images.list] {
                list.unmark();
            }
        }
        Err(error) => {
            model.removal.stage = Stage::Failed(Box::new(error.clone()));
            model.trouble(now, error.clone());
        }
    }
    again(model, now)
}

/// `37 removed, 2 skipped, 0 failed`, and how many were not tried.
pub fn counts(report: &Report) -> String {
    let left = if report.not_tried > 0 { format!(", {} not tried", report.not_tried) } else { String::new() };
    format!("{} removed, {} skipped, {} failed{left}", report.removed, report.skipped, report.failed)
}

/// What is gone or back is seen, in the lists, among the orphans and in the log.
fn again(model: &mut Model, now: Now) -> Vec<Effect> {
    let (profiles, regions) = (model.chosen_profiles.clone(), model.chosen_regions.clone());
    let items = model.removal.plan.iter().flat_map(|plan| &plan.items).zip(&model.removal.outcomes);
    let gone = items.filter(|(_, outcome)| matches!(outcome, Some(Outcome::Removed { .. })));
    let gone: Vec<_> = gone.map(|(item, _)| (item.judged.origin.clone(), item.target.id().to_owned())).collect();
    let mut effects = crate::tui::update::look(model, profiles, regions);
    effects.extend(orphans::changed(model, gone.iter().map(|(origin, id)| (origin, id.as_str())), now));
    effects.push(Effect::ReadAudit);
    effects
}
