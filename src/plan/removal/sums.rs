//! What a plan comes to: counts, bytes and money, that add up to its items.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::model::count;
use crate::ids::{AccountId, Region, SnapshotId};
use crate::inventory::frees::Whys;
use crate::inventory::verdict::{Judged, Sureness};
use crate::units::{Bytes, Usd};

/// What some snapshots of one account's region free together: what only they share counts once, and it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Together {
    /// Whose.
    pub account: AccountId,
    /// Where.
    pub region: Region,
    /// Which; what is archived, or could not be counted, is not among them and counts by itself.
    pub snapshots: Vec<SnapshotId>,
    /// On chains that nothing branches off.
    pub exact: Bytes,
    /// On others, at most.
    pub at_most: Bytes,
    /// Why these are at most.
    #[serde(default, skip_serializing_if = "Whys::is_none")]
    pub why: Whys,
    /// Dollars a month of the first; none where the region has no price.
    pub usd_exact: Option<f64>,
    /// Of the second.
    pub usd_at_most: Option<f64>,
    /// Where the lists come from that it rests on, and what could not be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Bytes and money of some items, by how sure they are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Freed {
    /// Counted.
    pub exact: Bytes,
    /// At most this beside it.
    pub at_most: Bytes,
    /// Why that is at most.
    #[serde(default, skip_serializing_if = "Whys::is_none")]
    pub why: Whys,
    /// Items of which nothing is known.
    pub unknown: u32,
    /// Items whose price is not known.
    pub unpriced: u32,
    /// Dollars a month of what is counted.
    pub usd_exact: Usd,
    /// At most these dollars a month beside it.
    pub usd_at_most: Usd,
}

/// A plan in figures; they add up to its items.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Snapshots, volumes and images that would be gone.
    pub removed: u32,
    /// Of these, snapshots.
    pub snapshots: u32,
    /// Volumes.
    pub volumes: u32,
    /// Images.
    pub images: u32,
    /// Snapshots that are archived first.
    pub archived: u32,
    /// Volumes of which a snapshot is made first.
    pub copied: u32,
    /// Items that are left alone.
    pub skipped: u32,
    /// Items that cannot be brought back.
    pub finals: u32,
    /// What is freed.
    pub frees: Freed,
    /// The day from which the last of it is no longer billed; the bin bills as before.
    pub billed_until: Option<Timestamp>,
    /// Why that is so, of the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billed_why: Option<String>,
    /// Items of which nobody knows until when they are billed.
    #[serde(default)]
    pub billed_unknown: u32,
    /// What carrying it out costs now.
    pub costs_usd: f64,
    /// Accounts.
    pub accounts: Vec<AccountId>,
    /// Regions.
    pub regions: Vec<Region>,
}

impl Freed {
    /// Adds one item.
    pub fn add(&mut self, judged: &Judged) {
        let usd = Usd(judged.usd_per_month.unwrap_or(0.0));
        self.unpriced += u32::from(judged.usd_per_month.is_none());
        self.why = self.why.with(judged.frees.why);
        match judged.frees.label {
            Sureness::Exact => {
                self.exact += judged.frees.bytes;
                self.usd_exact += usd;
            }
            Sureness::UpperBound => {
                self.at_most += judged.frees.bytes;
                self.usd_at_most += usd;
            }
            Sureness::Unknown => self.unknown += 1,
        }
    }

    /// Adds what snapshots free together.
    pub(super) fn together(&mut self, one: &Together) {
        self.exact += one.exact;
        self.at_most += one.at_most;
        self.why = self.why.with(one.why);
        self.usd_exact += Usd(one.usd_exact.unwrap_or(0.0));
        self.usd_at_most += Usd(one.usd_at_most.unwrap_or(0.0));
        if one.usd_exact.is_none() || one.usd_at_most.is_none() {
            self.unpriced += count(one.snapshots.len());
        }
    }

    /// `= 1.41 TiB + ≤ 318 GiB + ? of 2`.
    #[must_use]
    pub fn text(&self) -> String {
        let unknown = (self.unknown > 0).then(|| format!("? of {}", self.unknown));
        joined([
            (self.exact > Bytes::ZERO).then(|| format!("= {}", self.exact)),
            (self.at_most > Bytes::ZERO).then(|| format!("≤ {}", self.at_most)),
            unknown,
        ])
    }

    /// `= $87.19 + ≤ $15.87`.
    #[must_use]
    pub fn money(&self) -> String {
        joined([
            (self.usd_exact.0 > 0.0).then(|| format!("= {}", self.usd_exact)),
            (self.usd_at_most.0 > 0.0).then(|| format!("≤ {}", self.usd_at_most)),
            (self.unpriced > 0).then(|| format!("? of {}", self.unpriced)),
        ])
    }
}

fn joined<const N: usize>(parts: [Option<String>; N]) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(" + ") }
}
