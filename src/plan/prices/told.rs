//! What the Pricing API told, region by region, and where it is kept for seven days.
//!
//! A plan carries the part of it that it was weighed with; the whole lies in the state directory, one file for each
//! world, because the prices of a sandbox are nobody else's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ids::Region;
use crate::store::atomic;
use crate::units::Digest;

/// Version of the file.
const VERSION: u32 = 1;
/// AWS changes list prices a few times a year; a week is soon enough, and the API throttles hard.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What AWS told of some regions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The oldest day that one of these was told on.
    pub as_of: String,
    /// Cells by region.
    pub regions: BTreeMap<Region, Told>,
    /// One GiB from one region to another, `a>b`.
    #[serde(default)]
    pub pairs: BTreeMap<String, f64>,
    /// Egress by the GiB of a month.
    #[serde(default)]
    pub internet: BTreeMap<Region, Vec<(f64, f64)>>,
}

/// The cells of one region; what was not told is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// A GiB-month of a snapshot.
    pub snapshot: Option<f64>,
    /// Of one in the archive tier.
    pub archive: Option<f64>,
    /// A GiB brought back from it.
    pub retrieval: Option<f64>,
    /// A GiB-month of a volume.
    pub gp3: Option<f64>,
    /// See `gp3`.
    pub gp2: Option<f64>,
    /// See `gp3`.
    pub io1: Option<f64>,
    /// See `gp3`.
    pub st1: Option<f64>,
    /// See `gp3`.
    pub sc1: Option<f64>,
    /// One ListSnapshotBlocks or ListChangedBlocks.
    pub list: Option<f64>,
    /// One GetSnapshotBlock.
    pub get: Option<f64>,
    /// One PutSnapshotBlock.
    pub put: Option<f64>,
    /// A GiB to most other regions.
    pub out: Option<f64>,
    /// S3, by storage class.
    pub s3: BTreeMap<String, ToldS3>,
}

/// The cells of a storage class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToldS3 {
    /// A GiB-month.
    pub month: Option<f64>,
    /// One request that writes.
    pub put: Option<f64>,
    /// One that reads.
    pub get: Option<f64>,
    /// A GiB read.
    pub retrieval: Option<f64>,
}

impl Live {
    /// Adds what was told of one region on that day.
    pub(super) fn add(&mut self, region: &Region, day: &str, one: &OneRegion) {
        if self.as_of.is_empty() || day < self.as_of.as_str() {
            day.clone_into(&mut self.as_of);
        }
        self.regions.insert(region.clone(), one.told.clone());
        self.pairs.extend(one.pairs.iter().map(|(to, usd)| (format!("{region}>{to}"), *usd)));
        if !one.internet.is_empty() {
            self.internet.insert(region.clone(), one.internet.clone());
        }
    }
}

impl Live {
    /// Adds what another answer holds.
    pub fn merge(&mut self, other: Self) {
        if self.as_of.is_empty() || (!other.as_of.is_empty() && other.as_of < self.as_of) {
            self.as_of = other.as_of;
        }
        self.regions.extend(other.regions);
        self.pairs.extend(other.pairs);
        self.internet.extend(other.internet);
    }
}

/// All that was told of one region.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct OneRegion {
    pub told: Told,
    /// One GiB to that other region.
    pub pairs: BTreeMap<Region, f64>,
    /// Egress by the GiB of a month.
    pub internet: Vec<(f64, f64)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    version: u32,
    world: String,
    regions: BTreeMap<Region, Kept>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    asked: Timestamp,
    told: OneRegion,
}

/// Where what was told is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    directory: PathBuf,
}

impl Spot {
    /// In this directory of the state directory.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    fn path(&self, world: &str) -> PathBuf {
        self.directory.join(format!("prices-{}.json", &Digest::of(world.as_bytes()).hex()[..12]))
    }

    /// Drops what is kept of a world, so that the next question goes to AWS.
    pub fn forget(&self, world: &str) {
        // What cannot be removed is asked for again in seven days at the latest.
        let _ = std::fs::remove_file(self.path(world));
    }

    /// What cannot be read, or has another version, is nothing.
    fn read(&self, world: &str) -> File {
        let none = || File { version: VERSION, world: world.to_owned(), regions: BTreeMap::new() };
        let Ok(text) = std::fs::read(self.path(world)) else { return none() };
        let file = serde_json::from_slice::<File>(&text).ok();
        file.filter(|file| file.version == VERSION && file.world == world).unwrap_or_else(none)
    }

    /// What was told of a region in the last seven days, and on which day.
    pub(super) fn of(&self, world: &str, region: &Region, now: Timestamp) -> Option<(String, OneRegion)> {
        let kept = self.read(world).regions.remove(region)?;
        let fresh = now.duration_since(kept.asked) < KEPT && kept.asked <= now;
        fresh.then(|| (day(kept.asked), kept.told))
    }

    /// Keeps what was told now.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn keep(&self, world: &str, told: &BTreeMap<Region, OneRegion>, now: Timestamp) -> Result<()> {
        let mut file = self.read(world);
        file.regions
            .extend(told.iter().map(|(region, told)| (region.clone(), Kept { asked: now, told: told.clone() })));
        let text = serde_json::to_vec(&file).map_err(|e| Error::failed(format!("prices cannot be written: {e}")))?;
        atomic::write(&self.path(world), &text)
    }
}

/// `2026-11-28`.
pub(super) fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_counts_for_seven_days_and_in_its_own_world() {
        let dir = tempfile::tempdir().expect("a directory");
        let spot = Spot::at(dir.path());
        let region: Region = "eu-west-1".parse().expect("a region");
        let told = OneRegion { told: Told { get: Some(0.000_003), ..Told::default() }, ..OneRegion::default() };
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().expect("a time");
        spot.keep("aws", &[(region.clone(), told.clone())].into(), now).expect("kept");
        let later = |hours| now + SignedDuration::from_hours(hours);
        assert_eq!(spot.of("aws", &region, later(167)), Some(("2026-11-20".to_owned(), told)));
        assert_eq!(spot.of("aws", &region, later(168)), None);
        assert_eq!(spot.of("sandbox", &region, later(1)), None);
        assert_eq!(spot.of("aws", &region, later(-1)), None, "a clock that was set back");
        std::fs::write(spot.path("aws"), b"{").expect("written");
        assert_eq!(spot.of("aws", &region, later(1)), None);
    }
}
