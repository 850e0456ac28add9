//! What guards a snapshot: a lock, fast restore, a move between tiers (trap T26).

use jiff::Timestamp;

use super::{Found, Rule, RuleInfo, absent, action, none_of, refusal};
use crate::inventory::relations::Told;
use crate::inventory::verdict::{Verdict, View};
use crate::rows::SnapshotRow;

fn guarded<T>(is: bool, told: &Told<T>) -> Found {
    if is { Found::Yes(Verdict::Protected) } else { absent(told) }
}

/// Snapshot Lock.
pub(super) struct Locks;

impl Rule<SnapshotRow> for Locks {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "locks", short: "locked", summary: "locked" }
    }
    fn check(&self, view: &View<'_>, row: &SnapshotRow) -> Found {
        guarded(view.region.index.locks.contains_key(&row.id), &view.region.facts.answers.locks)
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, found: Found) -> String {
        match (found, view.region.index.locks.get(&row.id)) {
            (Found::Yes(_), Some(lock)) => {
                let until = lock.expires.map_or_else(String::new, |at| format!(" until {}", at.strftime("%-d %b %Y")));
                format!("locked ({}){until}", lock.state)
            }
            (Found::No, _) => none_of(view, view.region.index.locks.len(), "locks"),
            _ => refusal(view.region.facts.answers.locks.error()),
        }
    }
    fn when(&self, view: &View<'_>, _: &SnapshotRow) -> Option<Timestamp> {
        view.region.facts.answers.locks.when()
    }
    fn refusals(&self, view: &View<'_>, _: &SnapshotRow) -> Vec<String> {
        action(view.region.facts.answers.locks.error()).into_iter().collect()
    }
}

/// Fast snapshot restore, billed by the hour and zone.
pub(super) struct FastRestore;

impl Rule<SnapshotRow> for FastRestore {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "fast-restore", short: "fast restore", summary: "fast restore" }
    }
    fn check(&self, view: &View<'_>, row: &SnapshotRow) -> Found {
        guarded(view.region.index.fast_restores.contains_key(&row.id), &view.region.facts.answers.fast_restores)
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, found: Found) -> String {
        match (found, view.region.index.fast_restores.get(&row.id)) {
            (Found::Yes(_), Some(zones)) => format!("on in {}, billed by the hour", zones.join(", ")),
            (Found::No, _) => none_of(view, view.region.index.fast_restores.len(), "fast restores"),
            _ => refusal(view.region.facts.answers.fast_restores.error()),
        }
    }
    fn when(&self, view: &View<'_>, _: &SnapshotRow) -> Option<Timestamp> {
        view.region.facts.answers.fast_restores.when()
    }
    fn refusals(&self, view: &View<'_>, _: &SnapshotRow) -> Vec<String> {
        action(view.region.facts.answers.fast_restores.error()).into_iter().collect()
    }
}

/// A move between tiers that somebody has asked for, and whose end is still to come.
pub(super) struct Tiering;

impl Rule<SnapshotRow> for Tiering {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "tier", short: "moves tier", summary: "moves between tiers" }
    }
    fn check(&self, view: &View<'_>, row: &SnapshotRow) -> Found {
        guarded(view.region.index.tierings.contains_key(&row.id), &view.region.facts.answers.tierings)
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, found: Found) -> String {
        match (found, view.region.index.tierings.get(&row.id)) {
            (Found::Yes(_), Some(status)) => format!("somebody moves it: {status}"),
            (Found::No, _) => none_of(view, view.region.index.tierings.len(), "moves"),
            _ => refusal(view.region.facts.answers.tierings.error()),
        }
    }
    fn when(&self, view: &View<'_>, _: &SnapshotRow) -> Option<Timestamp> {
        view.region.facts.answers.tierings.when()
    }
    fn refusals(&self, view: &View<'_>, _: &SnapshotRow) -> Vec<String> {
        action(view.region.facts.answers.tierings.error()).into_iter().collect()
    }
}
