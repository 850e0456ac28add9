//! What floe made a snapshot of and on, and what it made on it: by its own records, else by the tags that it gave.
//!
//! Copies carry no volume that would tie them, so without this nothing says that they are a chain. It ties, and holds
//! nothing: EBS keeps what a child shares when its parent is deleted. So it is a hint beside the verdict, whatever it
//! says, and a tag that no record bears out is called what it is.

use super::{Found, Rule, RuleInfo};
use crate::inventory::elsewhere;
use crate::inventory::relations::Made;
use crate::inventory::verdict::View;
use crate::rows::SnapshotRow;

/// Parents and children that floe made.
pub(super) struct Lineage;

/// Children that are named; the rest is counted.
const NAMED: usize = 3;

/// `a copy of us-east-1:snap-B on snap-C, by floe's record (job 3)`.
fn made(view: &View<'_>, row: &SnapshotRow) -> Option<String> {
    let record = view.region.index.made.get(&row.id);
    let parent = elsewhere::parent(row);
    let of = match record {
        Some(Made { of, .. }) if of.id == row.id => None,
        Some(Made { of, .. }) => Some(of.clone()),
        None => elsewhere::tagged(row),
    };
    let of = of.map(|of| format!("a copy of {}:{}", of.region, of.id));
    let on = parent.map(|parent| {
        let there = view.region.snapshots().iter().any(|one| one.id == parent);
        format!("made on {parent}{}", if there { "" } else { " (not there any more)" })
    });
    let said = [of, on].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let by = match record {
        Some(Made { job: Some(job), .. }) => format!("by floe's record (job {job})"),
        Some(Made { job: None, .. }) => "by floe's record (verified)".to_owned(),
        None => "by its tags alone".to_owned(),
    };
    (!said.is_empty()).then(|| format!("{said}, {by}"))
}

/// `snap-D was made on it`, `5 were made on it: snap-D, …`.
fn children(view: &View<'_>, row: &SnapshotRow) -> Option<String> {
    let children = view.region.index.children.get(&row.id)?;
    let named: Vec<&str> = children.iter().take(NAMED).map(|id| id.as_str()).collect();
    Some(match children.len() {
        1 => format!("{} was made on it", named[0]),
        n => format!("{n} were made on it: {}{}", named.join(", "), if n > NAMED { ", …" } else { "" }),
    })
}

impl Rule<SnapshotRow> for Lineage {
    fn info(&self) -> RuleInfo {
        RuleInfo { name: "lineage", short: "of floe", summary: "what floe made it of and on, and what on it" }
    }
    fn check(&self, view: &View<'_>, row: &SnapshotRow) -> Found {
        let index = &view.region.index;
        let has = index.made.contains_key(&row.id) || index.children.contains_key(&row.id);
        let tagged = || elsewhere::parent(row).is_some() || elsewhere::tagged(row).is_some();
        // A record that says only that it is itself ties it to nothing.
        if (has || tagged()) && (made(view, row).is_some() || children(view, row).is_some()) {
            Found::Hint
        } else {
            Found::Silent
        }
    }
    fn format(&self, view: &View<'_>, row: &SnapshotRow, _: Found) -> String {
        [made(view, row), children(view, row)].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}
