//! Whether a thing is just being made or unmade: then it is somebody's business.

use super::{Found, Rule, RuleInfo};
use crate::inventory::verdict::{Verdict, View};
use crate::rows::{ImageRow, SnapshotRow, State as SnapshotState, VolumeRow};

/// Its state.
pub(super) struct State;

const INFO: RuleInfo = RuleInfo { name: "state", short: "unfinished", summary: "its state" };

fn said(found: Found, state: &str) -> String {
    match found {
        Found::Yes(_) => format!("it is {state}: something happens to it"),
        _ => format!("it is {state}"),
    }
}

impl Rule<SnapshotRow> for State {
    fn info(&self) -> RuleInfo {
        INFO
    }
    fn check(&self, _: &View<'_>, row: &SnapshotRow) -> Found {
        match row.state {
            SnapshotState::Completed | SnapshotState::Error => Found::No,
            SnapshotState::Pending | SnapshotState::Recovering | SnapshotState::Recoverable => {
                Found::Yes(Verdict::InUse)
            }
        }
    }
    fn format(&self, _: &View<'_>, row: &SnapshotRow, found: Found) -> String {
        said(found, crate::inventory::Fields::state(row))
    }
}

impl Rule<VolumeRow> for State {
    fn info(&self) -> RuleInfo {
        INFO
    }
    fn check(&self, _: &View<'_>, row: &VolumeRow) -> Found {
        let settled = matches!(row.state.as_str(), "available" | "in-use" | "error");
        if settled { Found::No } else { Found::Yes(Verdict::InUse) }
    }
    fn format(&self, _: &View<'_>, row: &VolumeRow, found: Found) -> String {
        said(found, &row.state)
    }
}

impl Rule<ImageRow> for State {
    fn info(&self) -> RuleInfo {
        INFO
    }
    fn check(&self, _: &View<'_>, row: &ImageRow) -> Found {
        let settled = matches!(row.state.as_str(), "available" | "disabled" | "failed" | "error" | "invalid");
        if settled { Found::No } else { Found::Yes(Verdict::InUse) }
    }
    fn format(&self, _: &View<'_>, row: &ImageRow, found: Found) -> String {
        said(found, &row.state)
    }
}
