//! What floe's own jobs read, write or lie on.

use jiff::Timestamp;

use super::{Found, Rule, RuleInfo, absent, refusal};
use crate::inventory::verdict::{Verdict, View};
use crate::rows::{ImageRow, SnapshotRow};

/// Jobs of this state directory that are not over.
pub(super) struct Jobs;

const INFO: RuleInfo = RuleInfo { name: "jobs", short: "floe job", summary: "jobs of floe" };

fn found(view: &View<'_>, id: &str) -> Found {
    match view.region.index.jobs.contains_key(id) {
        true => Found::Yes(Verdict::InUse),
        false => absent(&view.region.facts.jobs),
    }
}

fn said(view: &View<'_>, id: &str, found: Found) -> String {
    match (found, view.region.index.jobs.get(id)) {
        (Found::Yes(_), Some(job)) => format!("job {job} uses it"),
        (Found::No, _) => "no job of floe that is not over".to_owned(),
        _ => refusal(view.region.facts.jobs.error()),
    }
}

macro_rules! jobs {
    ($($row:ident)*) => {$(
        impl Rule<$row> for Jobs {
            fn info(&self) -> RuleInfo {
                INFO
            }
            fn check(&self, view: &View<'_>, row: &$row) -> Found {
                found(view, row.id.as_str())
            }
            fn format(&self, view: &View<'_>, row: &$row, found: Found) -> String {
                said(view, row.id.as_str(), found)
            }
            fn when(&self, view: &View<'_>, _: &$row) -> Option<Timestamp> {
                view.region.facts.jobs.when()
            }
            fn users(&self, view: &View<'_>, row: &$row, tell: &mut dyn FnMut(&str)) {
                if let Some(job) = view.region.index.jobs.get(row.id.as_str()) {
                    tell(&format!("job {job}"));
                }
            }
        }
    )*};
}

jobs!(SnapshotRow ImageRow);
