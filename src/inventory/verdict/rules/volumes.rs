//! Volumes and instances: whether the volume of a snapshot is still there, what a volume is attached to, what runs.
//!
//! The placeholder that a copy carries for its volume is evidence of nothing (trap T20): it is neither there nor gone.

use jiff::Timestamp;

use super::{Found, Rule, RuleInfo, absent, action, none_of, refusal};
use crate::inventory::verdict::policy::span;
use crate::inventory::verdict::{Verdict, View};
use crate::rows::{ImageRow, SnapshotRow, VolumeRow};

/// The volume that a snapshot was taken of.
pub(super) struct Volume;

/// What a backup of a volume that is still there is worth: at some age it is only old.
fn backup(view: &View<'_>, row: &SnapshotRow) -> Found {
    let stale = view.age(row.started) >= view.policy.stale_after;
    Found::Yes(if stale { Verdict::Stale } else { Verdict::InUse })
}

impl Rule<SnapshotRow> for Volume {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "volume", short: "has volume", summary: "volume it was taken of" }
    }
    fn check(&self, view: &View<'_>, row: &SnapshotRow) -> Found {
        match &row.volume {
            None => Found::Untold,
            Some(volume) if volume.is_placeholder() => Found::Untold,
            Some(volume) if view.region.index.volumes.contains_key(volume) => backup(view, row),
            Some(_) => absent(&view.region.facts.volumes),
        }
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, found: Found) -> String {
        let volume = row.volume.as_ref().map_or("", |volume| volume.as_str());
        match found {
            Found::Yes(_) => format!("{volume} is there; this backup of it is {} old", span(view.age(row.started))),
            Found::No => {
                let made = view.region.index.made_from.get(&row.id).copied().unwrap_or(0);
                let more = if made == 0 { String::new() } else { format!("; {made} volumes were made from it") };
                format!("{volume} is gone ({}){more}", none_of(view, view.region.volumes().len(), "volumes"))
            }
            Found::Untold => format!("it carries {volume}, as copies do: whether its volume is gone cannot be told"),
            _ => refusal(view.region.facts.volumes.error()),
        }
    }
    fn when(&self, view: &View<'_>, _: &SnapshotRow) -> Option<Timestamp> {
        view.region.facts.volumes.when()
    }
    fn refusals(&self, view: &View<'_>, _: &SnapshotRow) -> Vec<String> {
        action(view.region.facts.volumes.error()).into_iter().collect()
    }
    fn users(&self, view: &View<'_>, row: &SnapshotRow, tell: &mut dyn FnMut(&str)) {
        if let Some(volume) = row.volume.as_ref().filter(|id| view.region.index.volumes.contains_key(*id)) {
            tell(volume.as_str());
        }
    }
}

/// Instances: they map the volume, or run on the image.
pub(super) struct Instances;

const INSTANCES: RuleInfo = RuleInfo { name: "instances", short: "instance", summary: "instances" };

fn none(view: &View<'_>, what: &str) -> String {
    let count = view.region.facts.instances.known().map_or(0, |rows| rows.len());
    format!("{} {what}", none_of(view, count, "instances"))
}

impl Rule<SnapshotRow> for Instances {
    fn info(&self) -> RuleInfo {
        INSTANCES
    }
    fn check(&self, view: &View<'_>, row: &SnapshotRow) -> Found {
        let volume = row.volume.as_ref().filter(|volume| !volume.is_placeholder());
        match volume.and_then(|volume| view.region.index.instances_of_volume.get(volume)) {
            Some(_) => backup(view, row),
            None => absent(&view.region.facts.instances),
        }
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, found: Found) -> String {
        let instance = row.volume.as_ref().and_then(|volume| view.region.index.instances_of_volume.get(volume));
        match (found, instance) {
            (Found::Yes(_), Some(instance)) => format!("{instance} has its volume attached"),
            (Found::No, _) => none(view, "has its volume attached"),
            _ => refusal(view.region.facts.instances.error()),
        }
    }
    fn when(&self, view: &View<'_>, _: &SnapshotRow) -> Option<Timestamp> {
        view.region.facts.instances.when()
    }
    fn refusals(&self, view: &View<'_>, _: &SnapshotRow) -> Vec<String> {
        action(view.region.facts.instances.error()).into_iter().collect()
    }
    fn users(&self, view: &View<'_>, row: &SnapshotRow, tell: &mut dyn FnMut(&str)) {
        let instance = row.volume.as_ref().and_then(|volume| view.region.index.instances_of_volume.get(volume));
        instance.into_iter().for_each(|instance| tell(instance.as_str()));
    }
}

impl Rule<VolumeRow> for Instances {
    fn info(&self) -> RuleInfo {
        INSTANCES
    }
    fn check(&self, view: &View<'_>, row: &VolumeRow) -> Found {
        match view.region.index.instances_of_volume.get(&row.id) {
            Some(_) => Found::Yes(Verdict::InUse),
            None => absent(&view.region.facts.instances),
        }
    }
    fn format(&self, view: &View<'_>, row: &VolumeRow, found: Found) -> String {
        match (found, view.region.index.instances_of_volume.get(&row.id)) {
            (Found::Yes(_), Some(instance)) => format!("{instance} maps it"),
            (Found::No, _) => none(view, "maps it"),
            _ => refusal(view.region.facts.instances.error()),
        }
    }
    fn when(&self, view: &View<'_>, _: &VolumeRow) -> Option<Timestamp> {
        view.region.facts.instances.when()
    }
    fn refusals(&self, view: &View<'_>, _: &VolumeRow) -> Vec<String> {
        action(view.region.facts.instances.error()).into_iter().collect()
    }
    fn users(&self, view: &View<'_>, row: &VolumeRow, tell: &mut dyn FnMut(&str)) {
        view.region.index.instances_of_volume.get(&row.id).into_iter().for_each(|id| tell(id.as_str()));
    }
}

impl Rule<ImageRow> for Instances {
    fn info(&self) -> RuleInfo {
        INSTANCES
    }
    fn check(&self, view: &View<'_>, row: &ImageRow) -> Found {
        match view.region.index.instances_of_image.get(&row.id) {
            Some(_) => Found::Yes(Verdict::InUse),
            None => absent(&view.region.facts.instances),
        }
    }
    fn format(&self, view: &View<'_>, row: &ImageRow, found: Found) -> String {
        match (found, view.region.index.instances_of_image.get(&row.id)) {
            (Found::Yes(_), Some(all)) => match all.as_slice() {
                [one] => format!("{one} runs on it"),
                all => format!("{} and {} more run on it", all[0], all.len() - 1),
            },
            (Found::No, _) => none(view, "runs on it"),
            _ => refusal(view.region.facts.instances.error()),
        }
    }
    fn when(&self, view: &View<'_>, _: &ImageRow) -> Option<Timestamp> {
        view.region.facts.instances.when()
    }
    fn refusals(&self, view: &View<'_>, _: &ImageRow) -> Vec<String> {
        action(view.region.facts.instances.error()).into_iter().collect()
    }
    fn users(&self, view: &View<'_>, row: &ImageRow, tell: &mut dyn FnMut(&str)) {
        view.region.index.instances_of_image.get(&row.id).into_iter().flatten().for_each(|id| tell(id.as_str()));
    }
}

/// A volume is attached.
pub(super) struct Attached;

impl Rule<VolumeRow> for Attached {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "attached", short: "attached", summary: "attachments" }
    }
    fn check(&self, _: &View<'_>, row: &VolumeRow) -> Found {
        let free = row.attached_to.is_empty() && row.state != "in-use";
        if free { Found::No } else { Found::Yes(Verdict::InUse) }
    }
    fn format(&self, view: &View<'_>, row: &VolumeRow, found: Found) -> String {
        match found {
            Found::Yes(_) => {
                let all: Vec<&str> = row.attached_to.iter().map(|instance| instance.as_str()).collect();
                if all.is_empty() { "it is in use".to_owned() } else { format!("attached to {}", all.join(", ")) }
            }
            _ => format!(
                "it is {}, made {} ago; AWS does not tell when it was last attached",
                row.state,
                span(view.age(row.created))
            ),
        }
    }
    fn when(&self, view: &View<'_>, _: &VolumeRow) -> Option<Timestamp> {
        view.region.facts.volumes.when()
    }
    fn users(&self, _: &View<'_>, row: &VolumeRow, tell: &mut dyn FnMut(&str)) {
        row.attached_to.iter().for_each(|instance| tell(instance.as_str()));
    }
}

/// Whether a snapshot of a volume exists: says what would be left, and decides nothing.
pub(super) struct BackedUp;

impl Rule<VolumeRow> for BackedUp {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "snapshots", short: "backed up", summary: "snapshots of it" }
    }
    fn check(&self, view: &View<'_>, _: &VolumeRow) -> Found {
        match absent(&view.region.facts.snapshots) {
            Found::No => Found::Hint,
            other => other,
        }
    }
    fn format(&self, view: &View<'_>, row: &VolumeRow, found: Found) -> String {
        match (found, view.region.index.newest.get(&row.id)) {
            (Found::Hint, Some((snapshot, at))) => {
                format!("its newest snapshot is {snapshot}, {} old", span(view.age(*at)))
            }
            (Found::Hint, None) => "there is no snapshot of it".to_owned(),
            _ => refusal(view.region.facts.snapshots.error()),
        }
    }
    fn when(&self, view: &View<'_>, _: &VolumeRow) -> Option<Timestamp> {
        view.region.facts.snapshots.when()
    }
    fn refusals(&self, view: &View<'_>, _: &VolumeRow) -> Vec<String> {
        action(view.region.facts.snapshots.error()).into_iter().collect()
    }
}
