//! What the house wants kept: too young, tagged, or of an account where nothing is to be cleared.

use jiff::Timestamp;

use super::{Found, Rule, RuleInfo};
use crate::inventory::verdict::policy::span;
use crate::inventory::verdict::{Verdict, View};
use crate::rows::{ImageRow, SnapshotRow, Tag, VolumeRow};

/// The policy of the config.
pub(super) struct Kept;

const INFO: RuleInfo = RuleInfo { name: "policy", short: "kept", summary: "kept by the policy" };

fn reason(view: &View<'_>, tags: &[Tag], born: Option<Timestamp>) -> Option<String> {
    let (policy, account) = (view.policy, &view.region.facts.origin.account);
    if let Some((key, value)) = policy.keeps(tags) {
        return Some(format!("the tag {key}={value} keeps it"));
    }
    if !policy.accounts.is_empty() && !policy.accounts.contains(account) {
        return Some(format!("orphan_accounts of the config does not name {}", account.grouped()));
    }
    let age = born.map(|born| view.age(born))?;
    let young = age < policy.min_age;
    young.then(|| format!("it is {} old, and is kept for {}", span(age), span(policy.min_age)))
}

fn found(view: &View<'_>, tags: &[Tag], born: Option<Timestamp>) -> Found {
    if reason(view, tags, born).is_some() { Found::Yes(Verdict::Protected) } else { Found::No }
}

fn said(view: &View<'_>, tags: &[Tag], born: Option<Timestamp>) -> String {
    reason(view, tags, born).unwrap_or_else(|| "old enough, and no tag keeps it".to_owned())
}

macro_rules! kept {
    ($($row:ident, |$it:ident| $born:expr;)*) => {$(
        impl Rule<$row> for Kept {
            fn info(&self) -> RuleInfo {
                INFO
            }
            fn check(&self, view: &View<'_>, $it: &$row) -> Found {
                found(view, &$it.tags, $born)
            }
            fn format(&self, view: &View<'_>, $it: &$row, _: Found) -> String {
                said(view, &$it.tags, $born)
            }
        }
    )*};
}

kept! {
    SnapshotRow, |row| Some(row.started);
    VolumeRow, |row| Some(row.created);
    ImageRow, |row| row.created;
}
