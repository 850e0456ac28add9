//! From which day a removal is felt: a Recycle Bin rule and the archive tier go on billing for a while.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::inventory::Tier;

/// Days for which what is archived is billed, however soon it is deleted.
const ARCHIVED_DAYS: i64 = 90;

/// Until when what was removed is billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "billed")]
pub enum Billed {
    /// No longer than it is there.
    AtOnce,
    /// Up to that day, and why.
    Until {
        /// The day.
        day: Timestamp,
        /// Why.
        why: String,
    },
    /// Nobody has asked for the rules of the Recycle Bin, or when it was archived.
    Unknown,
}

/// Until when a snapshot is billed that is removed at `now`. `kept_days` is how long the rule of the Recycle Bin that
/// catches it keeps it (none: no rule does); `archived` is when it was moved to the archive tier.
#[must_use]
pub fn billed_until(tier: Tier, kept_days: Option<u32>, archived: Option<Timestamp>, now: Timestamp) -> Billed {
    let after = |from: Timestamp, days: i64| from.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(from);
    let bin = kept_days.map(|days| (after(now, i64::from(days)), format!("the Recycle Bin keeps it for {days} days")));
    let tier = match (tier, archived) {
        (Tier::Standard, _) => None,
        (Tier::Archive, None) => return Billed::Unknown,
        (Tier::Archive, Some(since)) => {
            let day = after(since, ARCHIVED_DAYS);
            (day > now).then(|| (day, format!("the archive tier is billed for {ARCHIVED_DAYS} days at least")))
        }
    };
    match bin.into_iter().chain(tier).max_by_key(|(day, _)| *day) {
        None => Billed::AtOnce,
        Some((day, why)) => Billed::Until { day, why },
    }
}
